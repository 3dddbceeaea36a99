"""Own images, in `data_dir/train/CLASS/` and, if there, `val/` and `test/`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from supcon_tf.data.decoding.image_files import (
    BadImage,
    content_of,
    decoded,
    fitted,
    upright_size,
)
from supcon_tf.data.sources.folder_listing import (
    LAYOUT,
    ClassFolders,
    find_splits,
    list_classes,
    look_alike,
    shown,
)
from supcon_tf.data.sources.quiet import no_warnings
from supcon_tf.data.sources.source import Source, SourceSplit, Stored, reader_of
from supcon_tf.data.threads import side_by_side
from supcon_tf.errors import UserError

_AT_ONCE = 1024


def open_folder(
    data_dir: str, image_size: int, crop_to_aspect_ratio: bool = False
) -> Source:
    """Lists an image folder; classes are the sorted names of the folders in `train`.

    The images of `val` are the validation images, those of `test` the test images.
    Images are decoded to RGB (see `image_files.decoded`) and resized to a square.

    Args:
        data_dir: folder that holds `train` and perhaps `val` and `test`.
        image_size: height and width in pixels; 0 keeps the size of the images, which
            must then be one.
        crop_to_aspect_ratio: resize the middle square of an image, else the whole of
            it without keeping its proportions.

    Raises:
        UserError: if the folder is not as described, or sizes differ while
            `image_size` is 0.
    """
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(f"--data_dir must be a folder. Received: {data_dir}")
    folders, ignored = find_splits(root)
    if "train" not in folders:
        raise UserError(
            f"--data_dir must hold {LAYOUT}. Received: no folder {root / 'train'}"
        )
    listed = {role: list_classes(folder) for role, folder in folders.items()}
    train = listed["train"]
    for role, found in listed.items():
        if not found.paths:
            raise UserError(
                f"--data_dir must hold {LAYOUT}. Received: no images below "
                f"{shown(found.folder)}{_besides(found)}"
            )
        if role != "train":
            _check_classes(found, train)
        ignored += found.ignored
    _check_class_sizes(train)
    shape = (image_size, image_size, 3)
    if image_size == 0:
        shape = _common_shape(
            [path for found in listed.values() for path in found.paths]
        )
    fit = _Fit(shape, image_size > 0, crop_to_aspect_ratio)
    splits = {
        role: _source_split(found, train.class_names, root, fit)
        for role, found in listed.items()
    }
    return Source(
        name=root.resolve().name,
        class_names=tuple(train.class_names),
        image_shape=shape,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        notes=(f"ignored: {'; '.join(ignored)}",) if ignored else (),
    )


def _check_class_sizes(train: ClassFolders) -> None:
    counts = train.counts
    few = np.flatnonzero(counts < 2)
    if len(few):
        folder = os.path.join(train.folder, train.class_names[few[0]])
        raise UserError(
            "--data_dir must hold at least 2 training images of each class, for "
            f"positive pairs. Received: {counts[few[0]]} in {folder}{_besides(train)}"
        )


def _check_classes(found: ClassFolders, train: ClassFolders) -> None:
    """Every class is one of train, and has images if it has files."""
    known = set(train.class_names)
    twins = {look_alike(name): name for name in known}
    for name, count in zip(found.class_names, found.counts, strict=True):
        folder = os.path.join(found.folder, name)
        if name not in known:
            twin = twins.get(look_alike(name))
            # Escaped, or the two would look the same.
            hint = f" (which has {twin!a}, not {name!a})" if twin else ""
            raise UserError(
                f"--data_dir must have every class of {os.path.basename(found.folder)} "
                f"in train. Received: {folder} without "
                f"{os.path.join(train.folder, name)}{hint}"
            )
        if not count and os.listdir(folder):
            raise UserError(
                f"--data_dir must hold images that can be read in {folder}. "
                f"Received: none{_besides(found)}"
            )


def _besides(found: ClassFolders) -> str:
    return f" (ignored: {'; '.join(found.ignored)})" if found.ignored else ""


def _source_split(
    found: ClassFolders, class_names: list[str], root: Path, fit: "_Fit"
) -> SourceSplit:
    number = {name: index for index, name in enumerate(class_names)}
    labels = np.array([number[name] for name in found.class_names], np.int64)
    paths = found.paths

    @contextmanager
    def naming(index: int) -> Iterator[str]:
        path = paths[index]
        try:
            yield path
        except BadImage as error:
            raise BadImage(f"{shown(path)} ({error})") from error

    def image(index: int) -> np.ndarray:
        with naming(index) as path:
            return np.asarray(fit(decoded(path), path))

    def content(index: int) -> bytes:
        with naming(index) as path:
            return content_of(path)

    def decode(index: int, content: bytes) -> np.ndarray:
        with naming(index):
            return np.asarray(decoded(content))

    # Slices, since pathlib takes a second for 100,000 paths.
    below = len(str(root / "x")) - 1
    return SourceSplit(
        np.repeat(labels, found.counts),
        reader_of(image, "images"),
        paths.within(found.folder[below:].replace(os.sep, "/")),
        root,
        image=image,
        stored=Stored(content, decode, lambda indices: _file_sizes(paths, indices)),
    )


def _file_sizes(paths: Sequence[str], indices: np.ndarray) -> np.ndarray:
    """(N,) int64 bytes of the files of some indices."""

    def sizes(start: int) -> list[int]:
        return [
            _file_size(paths[index])
            for index in indices[start : start + _AT_ONCE].tolist()
        ]

    found = np.empty(len(indices), np.int64)
    starts = range(0, len(indices), _AT_ONCE)
    for start, part in zip(starts, side_by_side(sizes, starts), strict=True):
        found[start : start + _AT_ONCE] = part
    return found


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


@dataclass(frozen=True)
class _Fit:
    """Brings images to the size of all."""

    shape: tuple[int, int, int]
    resize: bool
    crop_to_aspect_ratio: bool

    def __call__(self, image: Image.Image, path: str) -> Image.Image:
        size = (self.shape[1], self.shape[0])
        if image.size != size and not self.resize:
            raise UserError(_sizes_differ(size, "the others", image.size, path))
        return fitted(image, size, self.crop_to_aspect_ratio)


def _common_shape(paths: Sequence[str]) -> tuple[int, int, int]:
    """The one size of all images, from the headers that can be read."""

    def size_of(path: str) -> tuple[int, int] | None:
        try:
            return upright_size(path)
        except BadImage:
            # Named with all others when the images are read.
            return None

    first: tuple[str, tuple[int, int]] | None = None
    with no_warnings():
        sizes = side_by_side(size_of, paths)
        for path, size in zip(paths, sizes, strict=True):
            if size is None:
                continue
            first = first or (path, size)
            if size != first[1]:
                raise UserError(_sizes_differ(first[1], first[0], size, path))
    if first is None:
        raise UserError(
            f"--data_dir must hold images that can be decoded. "
            f"Received: {shown(paths[0])} and {len(paths) - 1} more, of which none can"
        )
    width, height = first[1]
    return height, width, 3


def _sizes_differ(
    size: tuple[int, int], where: str, other: tuple[int, int], path: str
) -> str:
    return (
        "--image_size must be given for images of different sizes. Received: "
        f"0 with {size[0]}x{size[1]} ({shown(where)}) and {other[0]}x{other[1]} "
        f"({shown(path)})"
    )
