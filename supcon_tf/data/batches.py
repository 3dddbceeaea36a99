"""Batches of a split, as `tf.data`, that any run can repeat from any step."""

import zlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from supcon_tf.data.augmentation.policies import (
    augment,
    augment_parts,
    begins_with_crop,
)
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.image_data import Split
from supcon_tf.data.order import by_class, shuffled
from supcon_tf.data.pipeline import gatherer, made_ahead, to_float
from supcon_tf.errors import UserError

_ORDER, _PIXELS = 0, 1


class Batches:
    """Shuffled, augmented batches for training.

    Order and pixels are a pure function of (seed, stage, epoch, step) and the place in
    the global batch. Batches are always full: what remains of an epoch is left out,
    another part in each epoch.

    Args:
        split: the images.
        batch_size: images (not views) in a global batch.
        augmentation: a policy of `supcon_tf.data.augmentation.policies.augment`.
        views: 1, or 2 independently augmented ones of each image.
        classes_per_batch: each batch holds that many classes, with as many images of
            each; 0 shuffles plainly.
        seed: of order and augmentation.
        stage: name that sets one stage's random numbers apart from another's.

    Raises:
        UserError: if the split is smaller than a batch, or `classes_per_batch` exceeds
            the classes or does not divide the batch.

    Example:
        >>> from supcon_tf.config import DataConfig
        >>> from supcon_tf.data import load
        >>> from supcon_tf.data.batches import Batches
        >>> data = load(DataConfig(dataset="digits", limit_train=200))
        >>> batches = Batches(data.train, batch_size=128, views=2)
        >>> images, labels = next(iter(batches.epoch(0)))
        >>> images.shape
        TensorShape([128, 2, 32, 32, 3])
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        augmentation: str = "none",
        views: int = 1,
        classes_per_batch: int = 0,
        seed: int = 0,
        stage: str = "pretrain",
    ) -> None:
        if views not in (1, 2):
            raise ValueError(f"views must be 1 or 2. Received: {views}")
        refuse_batches(split, batch_size, classes_per_batch)
        self._split = split
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._views = views
        self._classes_per_batch = classes_per_batch
        self._seed = seed
        self._stage = zlib.crc32(stage.encode())
        self._gather = gatherer(split)
        self._makers: dict[tuple[int, int], Callable] = {}

    @property
    def steps_per_epoch(self) -> int:
        return len(self._split) // self._batch_size

    def epoch(
        self, epoch: int, start_step: int = 0, rows: tuple[int, int] | None = None
    ) -> tf.data.Dataset:
        """The batches of one epoch, from `start_step` on.

        Args:
            epoch: counted from 0 within the stage.
            start_step: the batches before it are skipped, at no cost.
            rows: (first, last + 1) of every global batch, for one worker of many;
                default all.

        Returns:
            (images, labels): float32 in [0, 1], (B, H, W, 3) or, with two views,
            (B, 2, H, W, 3); int64 (B,).
        """
        first, last = rows or (0, self._batch_size)
        if not 0 <= first < last <= self._batch_size:
            raise ValueError(
                f"rows must lie within the batch, 0 to {self._batch_size}. "
                f"Received: {rows}"
            )
        order = self._order(epoch)[start_step:, first:last]
        # Seeds of all steps are drawn, so that those from start_step on are the same.
        seeds = self._generator(epoch, _PIXELS).integers(
            2**31, size=(self.steps_per_epoch, 2)
        )[start_step:]
        dataset = tf.data.Dataset.from_tensor_slices(
            (order, self._split.labels[order], seeds)
        )
        return made_ahead(dataset, self._maker(first, last), self._split)

    def _order(self, epoch: int) -> np.ndarray:
        rng = self._generator(epoch, _ORDER)
        if self._classes_per_batch == 0:
            return shuffled(len(self._split), self._batch_size, rng)
        return by_class(
            self._split.labels, self._batch_size, self._classes_per_batch, rng
        )

    def _generator(self, epoch: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._stage, epoch, purpose])

    def _maker(self, first: int, last: int) -> Callable:
        """The function that makes one batch, traced once for all epochs."""
        if (first, last) not in self._makers:

            @tf.function(autograph=False)
            def make(
                indices: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
            ) -> tuple[tf.Tensor, tf.Tensor]:
                if self.cuts_stored_images:
                    return self._cut(indices, seed, (first, last)), labels
                images = to_float(self._gather(indices))
                return self._augmented(images, seed, (first, last)), labels

            self._makers[first, last] = make
        return self._makers[first, last]

    @property
    def crops(self) -> bool:
        """Whether resized crops are shown."""
        return begins_with_crop(self._augmentation)

    @property
    def cuts_stored_images(self) -> bool:
        """Whether these are of images as they are stored, not of `image_size`."""
        return self.crops and isinstance(self._split.images, EncodedImages)

    def _cut(
        self, indices: tf.Tensor, seed: tf.Tensor, rows: tuple[int, int]
    ) -> tf.Tensor:
        images, views = self._split.images, self._views
        assert isinstance(images, EncodedImages)
        shape = images.shape[1:]

        def cut(crops: tf.Tensor) -> tf.Tensor:
            crops = tf.reshape(crops, (-1, views, 5))
            (parts,) = tf.numpy_function(
                images.cut, [indices, crops], [tf.float32], stateful=False
            )
            return tf.reshape(parts, (-1, *shape))

        augmented = augment_parts(
            cut,
            self._augmentation,
            seed,
            batch_size=self._batch_size * views,
            rows=(rows[0] * views, rows[1] * views),
        )
        if views == 1:
            return tf.ensure_shape(augmented, (rows[1] - rows[0], *shape))
        return tf.reshape(augmented, (rows[1] - rows[0], views, *shape))

    def _augmented(
        self, images: tf.Tensor, seed: tf.Tensor, rows: tuple[int, int]
    ) -> tf.Tensor:
        first, last = rows
        # Views are neighbours in one larger batch: half the graph of a call for each.
        augmented = augment(
            tf.repeat(images, self._views, axis=0),
            self._augmentation,
            seed,
            batch_size=self._batch_size * self._views,
            rows=(first * self._views, last * self._views),
        )
        if self._views == 1:
            return augmented
        return tf.reshape(augmented, (last - first, self._views, *images.shape[1:]))


def refuse_batches(split: Split, batch_size: int, classes_per_batch: int) -> None:
    """Makes sure that a split has enough images and classes for a batch.

    Raises:
        UserError: naming the flag.
    """
    if not 1 <= batch_size <= len(split):
        raise UserError(
            "--batch_size must be from 1 to the number of training images, "
            f"{len(split)}. Received: {batch_size}"
        )
    classes = len(np.unique(split.labels))
    if classes_per_batch > classes:
        raise UserError(
            "--classes_per_batch must be at most the number of classes, "
            f"{classes}. Received: {classes_per_batch}"
        )
    if classes_per_batch and batch_size % classes_per_batch:
        raise UserError(
            "--classes_per_batch must divide --batch_size evenly. "
            f"Received: {classes_per_batch} and {batch_size}"
        )


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """All images of a split in order, unchanged; the last batch may be smaller.

    Returns:
        (images, labels): (B, H, W, 3) float32 in [0, 1], (B,) int64.
    """
    gather = gatherer(split)
    dataset = tf.data.Dataset.from_tensor_slices(
        (np.arange(len(split)), split.labels)
    ).batch(batch_size)
    return made_ahead(
        dataset, lambda indices, labels: (to_float(gather(indices)), labels), split
    )
