"""Whether the images that a model is judged on played a part in its training."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from supcon_tf.config import Config
from supcon_tf.errors import UserError
from supcon_tf.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from supcon_tf.data import ImageData
    from supcon_tf.data.fingerprint import Fingerprint


def refuse_seen_images(folder: RunFolder, config: Config, data: "ImageData") -> None:
    """Refuses to begin from a run that was trained on what is held out here.

    What can't be known, or concerns a run that has begun already, is said.

    Raises:
        UserError: naming the other run and some of the images.
    """
    for path, theirs in earlier_runs(config):
        shared = _shared(data, "test", theirs)
        if shared and not folder.has_trained():
            raise UserError(
                f"--init_from={config.init_from} leads to a model that was trained on "
                f"{len(shared)} of the test images: {', '.join(shared[:3])} (data.json "
                f"of {path}). Give the images, --split_seed, --test_share and "
                "--limit_train that it was trained with"
            )
    for split in ("test", "validation"):
        for fact in facts(config, data, split):
            print(f"note: {fact}", file=sys.stderr)


def facts(config: Config, data: "ImageData", split: str) -> list[str]:
    """What keeps a split from being images that the weights never saw.

    Args:
        config: of the run.
        data: of the run.
        split: "test" or "validation".

    Returns:
        Clauses; none if the images played no part in training.
    """
    images = data.test if split == "test" else data.validation
    if images is None:
        return []
    found = []
    repeated = data.repeated(images)
    if repeated.found:
        of = f"{repeated.looked_at} of the " if repeated.looked_at < len(images) else ""
        found.append(
            f"{repeated.found} of {of or 'the '}{len(images)} {split} images are byte "
            "for byte training images"
        )
    for path, theirs in earlier_runs(config):
        if shared := _shared(data, split, theirs):
            found.append(
                f"{len(shared)} of the {len(images)} {split} images were training "
                f"images of {path}, where the weights come from"
            )
        elif theirs is None or not theirs.since_start:
            found.append(
                f"whether {split} images were training images of {path}, where the "
                "weights come from, is not known (it has no data.json of its start)"
            )
    return found


def part_in_training(folder: RunFolder, config: Config, data: "ImageData") -> str:
    """The end of a sentence about the images that a run is attacked on."""
    split = config.evaluation.split
    found = facts(config, data, split)
    known = folder.fingerprint()
    if known is None or not known.since_start:
        found.append(
            "whether they were held out from the start can't be checked, since the run "
            "began before data.json was kept"
        )
    if found:
        return "; ".join(["", *found]) + "."
    # A stage may be chosen by its accuracy on validation images.
    if split == "validation":
        return " that were not trained on."
    return " that played no part in training."


def earlier_runs(config: Config) -> Iterator[tuple[Path, "Fingerprint | None"]]:
    """The runs that `--init_from` leads to, nearest first, with what is known of each.

    A run that can't be read any more is unknown, as is what it began from.
    """
    seen: set[Path] = set()
    while config.init_from:
        folder = RunFolder(config.init_from)
        if folder.path in seen:
            return
        seen.add(folder.path)
        try:
            config, theirs = folder.config(), folder.fingerprint()
        except UserError:
            config, theirs = Config(), None
        yield folder.path, theirs


def _shared(data: "ImageData", split: str, theirs: "Fingerprint | None") -> list[str]:
    return data.fingerprint.shared(split, theirs, "train") if theirs else []
