"""What the images of a run were, so that others are noticed wherever they lie."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from supcon_tf.data.split_fingerprint import (
    SplitFingerprint,
    images_apart,
    indented,
    some,
)
from supcon_tf.errors import UserError

SCHEMA = 1


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
            if words := ", ".join(images_apart(before, after)):
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
        yield indented(values, 0).removesuffix("\n}") + ',\n "splits": {'
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
        except (
            ValueError,
            RecursionError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:
            raise UserError(f"this is no fingerprint: {error!r}") from error


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _classes_apart(before: tuple[str, ...], now: tuple[str, ...]) -> str:
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    if not gone and not new:
        return "the classes are in another order"
    parts = [("without", gone), ("with", new)]
    words = (f"{word} {some(names)}" for word, names in parts if names)
    return f"the classes are now {' and '.join(words)}"
