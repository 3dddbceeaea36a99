"""`load`: from a config to images, divided into train, validation and test."""

import numpy as np

from supcon_tf.config import DataConfig
from supcon_tf.data.bad_images import listed, refuse_bad_images
from supcon_tf.data.division import Chosen, choose
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.examples import ListedExamples
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.image_data import ImageData, Split, statistics_sample
from supcon_tf.data.reading import read
from supcon_tf.data.sources.source import Source, SourceSplit
from supcon_tf.data.split_fingerprint import SplitFingerprint, digest_of_pixels
from supcon_tf.errors import UserError


def load(config: DataConfig, held_out_by: str = "name") -> ImageData:
    """Reads a data set once into uint8 images, or lists it if these take too much.

    Images are chosen by their labels before any is decoded: a test share is held out
    if the source has no test images, then `limit_train` and `limit_test` are counted,
    class-balanced, and the validation share is taken from what remains for training
    if the source has no validation images. All of that depends on `split_seed` alone;
    a file that is held out stays so when others are added or removed. Images that can't
    be decoded are refused, or left out with `skip_bad_images`; of those that stay
    encoded another of the class takes the place of one that is trained on.

    Args:
        config: the source, the limits, the shares, the seed and the memory.
        held_out_by: "name"; or "order", as runs did that kept no data.json, whose held
            out images are all drawn anew when files are added or removed.

    Returns:
        The data. If its images, decoded, exceed `cache_gib`, they stay encoded and are
        decoded when they are indexed.

    Raises:
        UserError: in one line that names the flag, if the data can't be found, read,
            or divided as asked.

    Example:
        >>> from supcon_tf.config import DataConfig
        >>> from supcon_tf.data import load
        >>> data = load(DataConfig(dataset="digits", limit_train=100))
        >>> len(data.train), len(data.validation), data.image_shape
        (90, 10, (32, 32, 3))
    """
    source = _open(config)
    if len(source.class_names) < 2:
        raise UserError(
            f"--dataset={config.dataset} must have at least 2 classes. "
            f"Received: {', '.join(source.class_names)}"
        )
    _check_labels(source, config)
    chosen = choose(source, config, held_out_by)
    notes = [*source.notes, *_about_validation(source, chosen.get("validation"))]
    loaded = read(chosen, source.image_shape, config)
    notes += loaded.notes
    ready = loaded.splits
    if loaded.bad:
        before = [split.labels[indices] for split, indices in chosen.values()]
        left = [split.labels for split in ready.values()]
        refuse_bad_images(loaded.bad, before, left, source.class_names, config)
        notes.append(f"left out by --skip_bad_images, {listed(loaded.bad)}")
    sample = statistics_sample(ready["train"])
    if sample:
        notes.append(
            f"mean and deviation of the channels are those of {sample:,} training "
            "images, a seeded sample"
        )
    fingerprints = {
        name: _fingerprint(chosen[name][0], indices, split, source.class_names)
        for name, (indices, split) in loaded.known.items()
    }
    return ImageData(
        name=source.name,
        class_names=source.class_names,
        train=ready["train"],
        validation=ready.get("validation"),
        test=ready["test"],
        fingerprint=Fingerprint(
            config.dataset,
            source.class_names,
            fingerprints,
            held_out_by,
            statistics_of=sample,
        ),
        notes=tuple(notes),
    )


def _open(config: DataConfig) -> Source:
    # Imported here, since each needs a library that the others don't.
    if config.dataset == "digits":
        from supcon_tf.data.sources.digits import open_digits

        return open_digits(config.image_size)
    if config.dataset == "folder":
        from supcon_tf.data.sources.folder import open_folder

        return open_folder(
            config.data_dir, config.image_size, config.crop_to_aspect_ratio
        )
    from supcon_tf.data.sources.tfds import open_tfds

    return open_tfds(
        config.dataset,
        config.data_dir,
        config.image_size,
        config.crop_to_aspect_ratio,
    )


def _check_labels(source: Source, config: DataConfig) -> None:
    for name in ("train", "validation", "test"):
        split = getattr(source, name)
        if split is None:
            continue
        if len(split.labels) == 0:
            raise UserError(f"--dataset={config.dataset} has no {name} images")
        wrong = split.labels[
            (split.labels < 0) | (split.labels >= len(source.class_names))
        ]
        if len(wrong):
            raise UserError(
                f"--dataset={config.dataset} must have labels from 0 to "
                f"{len(source.class_names) - 1}. Received: {wrong[0]} in {name} "
                "(-1 marks images without a label)"
            )


def _fingerprint(
    source: SourceSplit,
    indices: np.ndarray,
    split: Split,
    class_names: tuple[str, ...],
) -> SplitFingerprint:
    def name(index: int) -> str:
        return source.files[index] if source.files else f"{source.name}/{index}"

    sizes = None
    if source.files is not None and source.stored is not None:
        if isinstance(split.images, EncodedImages):
            sizes = split.images.stored_sizes
            # Which is refused, or warned of.
            for gone in np.flatnonzero(sizes < 0):
                split.images[gone]
        else:
            sizes = source.stored.sizes(indices)
            for gone in np.flatnonzero(sizes < 0)[:1]:
                raise UserError(
                    "--data_dir changed while it was read. Received: "
                    f"{source.root / source.files[indices[gone]]} is gone"
                )
    examples = ListedExamples(class_names, split.labels, indices, name, sizes)
    return SplitFingerprint(examples, *digest_of_pixels(split.images))


def _about_validation(source: Source, chosen: Chosen | None) -> list[str]:
    if source.validation is None:
        return []
    count = len(source.validation.labels)
    if chosen is None:
        return [f"ignored: {count} validation images, by --validation_share=0"]
    if chosen[0] is not source.validation:
        return [f"ignored: {count} validation images, as when the run was begun"]
    return [
        f"validation: {len(chosen[1])} of the {count} validation images that the data "
        "comes with, and no share of its training images"
    ]
