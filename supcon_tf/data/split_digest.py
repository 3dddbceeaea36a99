"""A split of which it is known whether others are the same, and not what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supcon_tf.data.split_fingerprint import SplitFingerprint
from supcon_tf.errors import UserError


@dataclass(frozen=True)
class SplitDigest(SplitFingerprint):
    """What a split's fingerprint comes down to: a line in place of all its names.

    It is the same as the fingerprint that it was made of, and can't say what tells that
    from another. `examples` is None.

    Args:
        count: of images.
        known: the digest of the fingerprint.
    """

    count: int = 0
    known: str = ""

    def __len__(self) -> int:
        return self.count

    @property
    def digest(self) -> str:
        return self.known

    def images(self) -> dict[str, tuple[str, int | None]]:
        raise UserError("a data.json keeps a digest of the images, and not their names")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SplitDigest":
        pixels, names = values["pixels"], None
        return cls(
            names,  # type: ignore[arg-type]
            str(pixels["sha256"]),
            int(pixels["of_images"]),
            int(values["images"]),
            str(values["digest"]),
        )
