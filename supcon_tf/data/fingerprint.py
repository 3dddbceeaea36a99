"""What the images of a run were, so that others are noticed wherever they lie."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from supcon_tf.data.examples import Examples, ListedExamples, unpacked, written
from supcon_tf.errors import UserError

SCHEMA = 1
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
        yield _indented(self._of_pixels(), 3) + ',\n   "examples": {'
        for place, (owner, names) in enumerate(self.examples.items()):
            yield f"{',' if place else ''}\n    {json.dumps(owner)}: "
            yield _indented(written(names), 4)
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


@dataclass(frozen=True)
class Fingerprint:
    """What the data of a run was; it does not depend on where the data lies.

    Args:
        dataset: as `--dataset` has it.
        class_names: in order.
        splits: train, perhaps validation, test.
        held_out_by: how images were held out, see `supcon_tf.data.load`.
        since_start: whether it was taken before the first step of the run.
        statistics_of: how many training images the channel statistics are of; 0 for
            all, as those of runs of earlier versions are.
    """

    dataset: str
    class_names: tuple[str, ...]
    splits: Mapping[str, SplitFingerprint]
    held_out_by: str = field(default="name", compare=False)
    since_start: bool = field(default=True, compare=False)
    statistics_of: int = field(default=0, compare=False)

    @cached_property
    def digest(self) -> str:
        """The same for the same images, labels and classes, anywhere."""
        splits = {name: split.digest for name, split in self.splits.items()}
        return _digest([self.dataset, self.class_names, splits])

    def only(self, name: str) -> "Fingerprint":
        """That of one split alone."""
        kept = {key: split for key, split in self.splits.items() if key == name}
        return dataclasses.replace(self, splits=kept)

    def difference(self, now: "Fingerprint") -> str:
        """What is not as it was, in words; empty if all is."""
        if self.digest == now.digest:
            return ""
        if self.dataset != now.dataset:
            return f"data set {self.dataset} became {now.dataset}"
        if self.class_names != now.class_names:
            return _classes_apart(self.class_names, now.class_names)
        nothing = SplitFingerprint({}, "", 0)
        found: dict[str, list[str]] = {}
        for name in {**self.splits, **now.splits}:
            before, after = (each.splits.get(name, nothing) for each in (self, now))
            if words := ", ".join(_images_apart(before, after)):
                found.setdefault(words, []).append(name)
        return "; ".join(
            f"{', '.join(names)}: {words}" for words, names in found.items()
        )

    def shared(self, name: str, other: "Fingerprint", others_name: str) -> list[str]:
        """Names of images of a split that are also in a split of another's."""
        if self.dataset != other.dataset or others_name not in other.splits:
            return []
        theirs = other.splits[others_name].images()
        mine = self.splits[name].images() if name in self.splits else {}
        return [image for image, known in mine.items() if theirs.get(image) == known]

    def to_json(self) -> str:
        return "".join(self.json_parts())

    def json_parts(self) -> Iterator[str]:
        """The text of `to_json`, of which a part at a time is in memory."""
        values = {
            "schema": SCHEMA,
            "digest": self.digest,
            "dataset": self.dataset,
            "class_names": self.class_names,
            "held_out_by": self.held_out_by,
            "since_start": self.since_start,
            "statistics_of": self.statistics_of,
        }
        yield _indented(values, 0).removesuffix("\n}") + ',\n "splits": {'
        for place, (name, split) in enumerate(self.splits.items()):
            yield f"{',' if place else ''}\n  {json.dumps(name)}: "
            yield from split.json_parts()
        yield "\n }\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Fingerprint":
        """Reads what `to_json` wrote.

        Raises:
            UserError: if it is not that.
        """
        try:
            values = json.loads(text)
            if values["schema"] != SCHEMA:
                raise UserError(f"its schema must be {SCHEMA}: {values['schema']!r}")
            return cls(
                values["dataset"],
                tuple(values["class_names"]),
                {
                    name: SplitFingerprint.from_json(split)
                    for name, split in values["splits"].items()
                },
                values["held_out_by"],
                values["since_start"],
                values.get("statistics_of", 0),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"this is no fingerprint: {error!r}") from error


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


def _indented(values: Any, depth: int) -> str:
    return json.dumps(values, indent=1).replace("\n", "\n" + " " * depth)


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _classes_apart(before: tuple[str, ...], now: tuple[str, ...]) -> str:
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    if not gone and not new:
        return "the classes are in another order"
    parts = [("without", gone), ("with", new)]
    words = (f"{word} {_some(names)}" for word, names in parts if names)
    return f"the classes are now {' and '.join(words)}"


def _images_apart(before: SplitFingerprint, now: SplitFingerprint) -> Iterator[str]:
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
            yield f"{len(names)} {images} {words} ({_some(names)})"
    if not any(found.values()) and before.pixels != now.pixels:
        yield "other pixels (or another order, or another decoder)"


def _some(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
