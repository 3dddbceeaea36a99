"""Images that stay as they are stored until they are looked at."""

import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from tqdm import tqdm

from supcon_tf.data.decoding.image_files import BadImage
from supcon_tf.data.sources.source import SourceSplit, progress_options
from supcon_tf.data.threads import all_places
from supcon_tf.errors import UserError

if TYPE_CHECKING:
    from supcon_tf.data.decoding.cutting import Window

Result = TypeVar("Result")


class EncodedImages:
    """Looks like an array (N, H, W, 3) uint8; what is indexed is decoded then.

    It takes 8 bytes an image. Any number of threads may index it. An image that can't
    be decoded is an error that names it, or with `skip_bad_images` the next image of
    its class that can be takes its place, whenever and wherever it is looked at: so
    the pixels of a place depend on the files alone.

    Args:
        source: the images, and those that are not wanted.
        indices: (N,) of the wanted ones.
        image_shape: (H, W, 3).
        crop_to_aspect_ratio: whether images keep their proportions, see `DataConfig`.
        skip_bad_images: whether others may take the place of bad images.
        origin: the flag that images come from, for errors.

    Example:
        >>> images = EncodedImages(source, np.arange(1000), (224, 224, 3))
        >>> images[:8].shape, images.shape
        ((8, 224, 224, 3), (1000, 224, 224, 3))
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        source: SourceSplit,
        indices: np.ndarray,
        image_shape: tuple[int, int, int],
        *,
        crop_to_aspect_ratio: bool = False,
        skip_bad_images: bool = False,
        origin: str = "--data_dir",
    ) -> None:
        self.source, self.indices = source, indices
        self.left_out: dict[int, str] = {}
        # JPEGs that only another decoder can decode, or none.
        self._damaged: set[int] = set()
        self.failure: UserError | None = None
        self._all = indices
        self._image_shape = image_shape
        self._keep_proportions = crop_to_aspect_ratio
        self._skip, self._origin = skip_bad_images, origin

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.indices), *self._image_shape)

    @property
    def nbytes(self) -> int:
        """What all of them would take when decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Any) -> np.ndarray:
        """As of an array. A tuple indexes the images first, and then what they give."""
        if isinstance(key, tuple):
            rows, *inner = key
            if isinstance(rows, int | np.integer):
                return self[rows][tuple(inner)]
            return self[rows][(slice(None), *inner)]
        chosen = self.indices[key]
        if chosen.ndim == 0:
            return self._decoded(int(chosen))
        found = np.empty((len(chosen), *self._image_shape), np.uint8)

        def decode(place: int) -> None:
            found[place] = self._decoded(int(chosen[place]))

        all_places(decode, len(chosen))
        return found

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[place] for place in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def subset(self, rows: np.ndarray) -> "EncodedImages":
        """Some of the images, which stay encoded."""
        part = EncodedImages(self.source, self.indices[rows], self._image_shape)
        part._all, part._skip = self._all, self._skip
        part._keep_proportions = self._keep_proportions
        part.left_out, part._origin = self.left_out, self._origin
        part._damaged = self._damaged
        return part

    def cut(self, rows: np.ndarray, crops: np.ndarray) -> np.ndarray:
        """Parts of some images, taken from them as they are stored.

        Args:
            rows: (R,) of the images.
            crops: (R, V, 5) float32, V parts of each, see `draw_crops`.

        Returns:
            (R, V, H, W, 3) float32 in [0, 1].
        """
        from supcon_tf.data.decoding.cutting import cut

        indices, size = self.indices[rows], self._image_shape[:2]
        found = cut(self._windows(indices, crops, decode_later=True), size)
        if found is None:
            # A JPEG among them is damaged. Of pixels there is nothing left to decode.
            found = cut(self._windows(indices, crops, decode_later=False), size)
        assert found is not None
        return found

    def _windows(
        self, indices: np.ndarray, crops: np.ndarray, decode_later: bool
    ) -> "list[Window]":
        from supcon_tf.data.decoding.cutting import window

        stored = self.source.stored
        assert stored is not None
        found: dict[int, Window] = {}

        def look(place: int) -> None:
            def read(index: int) -> "Window":
                def decode(content: bytes) -> np.ndarray:
                    if not decode_later:
                        self._damaged.add(index)
                    return stored.decode(index, content)

                return window(
                    stored.content(index),
                    decode,
                    crops[place],
                    self._image_shape[:2],
                    self._keep_proportions,
                    decode_later=decode_later and index not in self._damaged,
                )

            found[place] = self.try_to(read, int(indices[place]))

        all_places(look, len(indices))
        return [found[place] for place in range(len(indices))]

    @cached_property
    def stored_sizes(self) -> np.ndarray:
        """(N,) int64 bytes of the images as they are stored."""
        assert self.source.stored is not None
        return self.source.stored.sizes(self.indices)

    def find_bad(self, description: str) -> dict[int, str]:
        """The places of images that can't be decoded, each with name and reason."""
        bar = tqdm(**progress_options(len(self), f"looking at {description}"))

        def look(place: int) -> None:
            index = int(self.indices[place])
            try:
                self.source.image(index)
            except BadImage as error:
                self.left_out[index] = str(error)
            bar.update()

        with bar:
            all_places(look, len(self))
        found = np.flatnonzero(np.isin(self.indices, list(self.left_out))).tolist()
        return {place: self.left_out[int(self.indices[place])] for place in found}

    def try_to(self, read: Callable[[int], Result], index: int) -> Result:
        """What `read` makes of an image of the source, or of one that replaces it.

        Raises:
            UserError: naming the image, if it can't be decoded and none may.
        """
        try:
            return read(index)
        except BadImage as error:
            self._leave_out(index, str(error))
        except UserError as error:
            self.failure = error
            raise
        labels = self.source.labels
        alike = self._all[labels[self._all] == labels[index]]
        # From the image on, and then from the first one.
        place = int(np.flatnonzero(alike == index)[0])
        for other in np.roll(alike, -place - 1)[:-1]:
            try:
                return read(int(other))
            except BadImage as error:
                self._leave_out(int(other), str(error))
        raise self._failed(
            f"{self._origin} must have images of each class that can be decoded. "
            f"Received: none like {self.left_out[index]}"
        )

    def _decoded(self, index: int) -> np.ndarray:
        return self.try_to(self.source.image, index)

    def _leave_out(self, index: int, problem: str) -> None:
        if not self._skip:
            raise self._failed(
                f"{self._origin} has an image that can't be decoded "
                f"(--skip_bad_images leaves it out). Received: {problem}"
            )
        if index not in self.left_out:
            self.left_out[index] = problem
            print(
                f"warning: left out by --skip_bad_images, another of its class takes "
                f"its place: {problem}",
                file=sys.stderr,
            )

    def _failed(self, message: str) -> UserError:
        """The error, kept for whoever hears of it through TensorFlow only."""
        self.failure = UserError(message)
        return self.failure
