"""What the images of a split were: their names, labels and pixels."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from supcon_tf.data.examples import Examples, ListedExamples, unpacked, written

# Up to this many bytes of a split are digested, evenly spaced images of a larger one.
DIGESTED_WHOLE = 256 * 2**20
_DIGESTED_SAMPLE = 64 * 2**20
_AT_ONCE = 64


@dataclass(frozen=True)
class SplitFingerprint:
    """The images of a split.

    Args:
        examples: which images these are, with their labels.
        pixels: SHA-256 of what was decoded, in order.
        digested: how many images `pixels` is of.
    """

    examples: Examples
    pixels: str
    digested: int

    def __len__(self) -> int:
        if isinstance(self.examples, ListedExamples):
            return self.examples.count
        return sum(map(len, self.examples.values()))

    @cached_property
    def digest(self) -> str:
        """That of `to_json`, of which one class at a time is in memory."""
        hasher = hashlib.sha256(b'{"examples": {')
        for place, owner in enumerate(sorted(self.examples)):
            names = json.dumps(written(self.examples[owner]), sort_keys=True)
            hasher.update(f"{', ' if place else ''}{json.dumps(owner)}: ".encode())
            hasher.update(names.encode())
        pixels = json.dumps(self._of_pixels(), sort_keys=True)
        hasher.update(f'}}, "images": {len(self)}, "pixels": {pixels}}}'.encode())
        return hasher.hexdigest()

    def images(self) -> dict[str, tuple[str, int | None]]:
        """By name: the class and the bytes of an image."""
        return {
            name: (owner, size)
            for owner, names in self.examples.items()
            for name, size in names.items()
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "images": len(self),
            "pixels": self._of_pixels(),
            "examples": {
                owner: written(names) for owner, names in self.examples.items()
            },
        }

    def json_parts(self) -> Iterator[str]:
        """The text of `to_json`, indented, class by class."""
        yield f'{{\n   "images": {len(self)},\n   "pixels": '
        yield indented(self._of_pixels(), 3) + ',\n   "examples": {'
        for place, (owner, names) in enumerate(self.examples.items()):
            yield f"{',' if place else ''}\n    {json.dumps(owner)}: "
            yield indented(written(names), 4)
        yield "\n   }\n  }"

    def _of_pixels(self) -> dict[str, Any]:
        return {"sha256": self.pixels, "of_images": self.digested}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SplitFingerprint":
        if "examples" not in values:
            from supcon_tf.data.split_digest import SplitDigest

            return SplitDigest.from_json(values)
        examples = {
            owner: names if isinstance(names, dict) else unpacked(names)
            for owner, names in values["examples"].items()
        }
        pixels = values["pixels"]
        return cls(examples, str(pixels["sha256"]), int(pixels["of_images"]))


def digest_of_pixels(images: Any) -> tuple[str, int]:
    """SHA-256 of images (N, H, W, C) uint8, and how many of them it is of."""
    count = len(images)
    each = max(1, int(np.prod(images.shape[1:])))
    if images.nbytes > DIGESTED_WHOLE:
        count = max(1, _DIGESTED_SAMPLE // each)
    chosen = np.linspace(0, len(images) - 1, count).astype(np.int64)
    hasher = hashlib.sha256(repr(images.shape[1:]).encode())
    for start in range(0, count, _AT_ONCE):
        hasher.update(images[chosen[start : start + _AT_ONCE]].tobytes())
    return hasher.hexdigest(), count


def images_apart(before: SplitFingerprint, now: SplitFingerprint) -> Iterator[str]:
    """What is not as it was, a clause each."""
    if before.digest == now.digest:
        return
    if before.examples is None or now.examples is None:
        yield f"{len(before)} images became {len(now)} others, of which is kept no name"
        return
    mine, theirs = before.images(), now.images()
    both = [name for name in mine if name in theirs]
    found = {
        "fewer": [name for name in mine if name not in theirs],
        "more": [name for name in theirs if name not in mine],
        "of another class": [n for n in both if mine[n][0] != theirs[n][0]],
        "with a file of another size": [n for n in both if mine[n][1] != theirs[n][1]],
    }
    for words, names in found.items():
        if names:
            images = "image" if len(names) == 1 else "images"
            yield f"{len(names)} {images} {words} ({some(names)})"
    if not any(found.values()) and before.pixels != now.pixels:
        yield "other pixels (or another order, or another decoder)"


def indented(values: Any, depth: int) -> str:
    """JSON text, indented, that stands this deep in another."""
    return json.dumps(values, indent=1).replace("\n", "\n" + " " * depth)


def some(names: list[str], shown: int = 3) -> str:
    """The first of some names."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
