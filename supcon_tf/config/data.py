"""Which images a run is trained and judged on."""

from dataclasses import dataclass

from supcon_tf.config.options import Section, option
from supcon_tf.errors import UserError


@dataclass(frozen=True)
class DataConfig(Section):
    """Which images, and how they are divided. Nothing is ever tuned on test."""

    dataset: str = option(
        "digits",
        "digits (bundled with scikit-learn), folder (own images below --data_dir: "
        "train/CLASS/*.jpg|png|... and, if there, val/CLASS/... and test/CLASS/...), "
        "or the name of any classification data set of tensorflow-datasets, such as "
        "cifar100",
    )
    data_dir: str = option(
        "",
        "folder of the images, or of tensorflow-datasets' prepared data (its own "
        "default if empty)",
        changes="nothing",
        path=True,
    )
    image_size: int = option(
        0,
        "height and width in pixels that images are resized to; 0 keeps the size of "
        "the data set (digits: 32), which must then be one size",
        minimum=0,
        maximum=1024,
    )
    crop_to_aspect_ratio: bool = option(
        False,
        "with --image_size: resize the middle square of an image, so that it keeps its "
        "proportions, instead of the whole image",
    )
    limit_train: int = option(
        0,
        "use this many training images, class-balanced and seeded, counted before the "
        "validation share is taken; 0 = all",
        minimum=0,
    )
    limit_test: int = option(
        0, "use this many test images, class-balanced and seeded; 0 = all", minimum=0
    )
    validation_share: float = option(
        0.1,
        "where the data comes without validation images, share of the training images "
        "held out for validation",
        minimum=0,
        below=1,
    )
    test_share: float = option(
        0.2,
        "share held out for test where the data comes without a test split; of a "
        "folder's images by a hash of each name, so that it is met on average",
        above=0,
        below=1,
    )
    split_seed: int = option(
        0,
        "seed of every choice of images (limits, validation, held-out test); separate "
        "from --seed, so that runs that differ by seed share their test images",
        minimum=0,
    )
    cache_gib: float = option(
        4.0,
        "decoded images are kept in memory up to this size (GiB); above it they stay "
        "encoded and are decoded when they are used",
        minimum=0,
        changes="nothing",
    )
    skip_bad_images: bool = option(
        False,
        "leave out images that can't be decoded, and say which, instead of refusing "
        "them",
        changes="nothing",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dataset:
            raise UserError("--dataset must not be empty. Received: ''")
        if self.dataset == "folder" and not self.data_dir:
            raise UserError(
                "--dataset=folder needs --data_dir. Received: --data_dir=''"
            )
