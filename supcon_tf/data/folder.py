"""Own images, in `data_dir/train/CLASS/` and, if there, `data_dir/test/CLASS/`."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from supcon_tf.data.source import Source, SourceSplit, progress_options
from supcon_tf.errors import UserError

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_LAYOUT = "train/CLASS/*.png|jpg|jpeg"
# EXIF orientations that swap height and width when they are applied.
_TURNED = range(5, 9)
_ORIENTATION = 0x0112


def open_folder(data_dir: str, image_size: int) -> Source:
    """Lists an image folder; classes are the sorted names of the folders in `train`.

    Images are decoded to RGB, turned as their EXIF tag says and resized, without
    keeping their proportions, to a square.

    Args:
        data_dir: folder that holds `train` and perhaps `test`.
        image_size: height and width in pixels; 0 keeps the size of the images, which
            must then be one.

    Raises:
        UserError: if the folder is not as described, an image can't be decoded, or
            sizes differ while `image_size` is 0.
    """
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(f"--data_dir must be a folder. Received: {data_dir}")
    files, class_names = _list_classes(root / "train")
    _check_class_sizes(files, class_names, root / "train")
    test_files: list[tuple[Path, str]] | None = None
    if (root / "test").is_dir():
        test_files, test_classes = _list_classes(root / "test")
        unknown = sorted(set(test_classes) - set(class_names))
        if unknown:
            raise UserError(
                f"--data_dir must have every class of test in train. Received: "
                f"{root / 'test' / unknown[0]} without {root / 'train' / unknown[0]}"
            )
    shape = (image_size, image_size, 3)
    if image_size == 0:
        shape = _common_shape([path for path, _ in [*files, *(test_files or [])]])
    return Source(
        name=root.resolve().name,
        class_names=tuple(class_names),
        image_shape=shape,
        train=_source_split(files, class_names, root),
        test=_source_split(test_files, class_names, root) if test_files else None,
    )


def _list_classes(folder: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """All (file, class) pairs of a folder in order, and its classes, sorted."""
    if not folder.is_dir():
        raise UserError(f"--data_dir must hold {_LAYOUT}. Received: no folder {folder}")
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )
    files = [
        (path, name)
        for name in names
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    ]
    if not files:
        raise UserError(
            f"--data_dir must hold {_LAYOUT}. Received: no images below {folder}"
        )
    return files, names


def _check_class_sizes(
    files: list[tuple[Path, str]], class_names: list[str], folder: Path
) -> None:
    for name in class_names:
        count = sum(owner == name for _, owner in files)
        if count < 2:
            raise UserError(
                "--data_dir must hold at least 2 training images of each class, for "
                f"positive pairs. Received: {count} in {folder / name}"
            )


def _source_split(
    files: list[tuple[Path, str]], class_names: list[str], root: Path
) -> SourceSplit:
    paths = [path for path, _ in files]
    number = {name: index for index, name in enumerate(class_names)}
    labels = np.array([number[name] for _, name in files], np.int64)

    def read(indices: np.ndarray, out: np.ndarray) -> None:
        size = (out.shape[2], out.shape[1])

        def read_one(position: int) -> None:
            out[position] = _decode(paths[indices[position]], size)

        # Pillow releases the interpreter lock while it decodes.
        with ThreadPoolExecutor() as pool:
            done: Iterable[None] = pool.map(read_one, range(len(indices)))
            for _ in tqdm(done, **progress_options(len(indices), "images")):
                pass

    # Slices, since pathlib takes a second for 100,000 paths.
    below = len(str(root / "x")) - 1
    names = [str(path)[below:].replace(os.sep, "/") for path in paths]
    return SourceSplit(labels, read, names, root)


def _decode(path: Path, size: tuple[int, int]) -> np.ndarray:
    """One image as (H, W, 3) uint8; `size` is (W, H)."""
    try:
        with Image.open(path) as image:
            # Pillow would clip their 16 or 32 bits to 8 instead of scaling them.
            if image.mode.startswith(("I", "F")):
                raise UserError(
                    "--data_dir must hold images of 8 bits a channel. "
                    f"Received: mode {image.mode} in {path}"
                )
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(_unreadable(path, error)) from error
    if upright.size != size:
        upright = upright.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(upright)


def _common_shape(paths: list[Path]) -> tuple[int, int, int]:
    """The one size of all images, from their headers."""
    first, size = paths[0], _size(paths[0])
    for path in paths[1:]:
        other = _size(path)
        if other != size:
            raise UserError(
                "--image_size must be given for images of different sizes. Received: "
                f"0 with {size[0]}x{size[1]} ({first}) and {other[0]}x{other[1]} "
                f"({path})"
            )
    return size[1], size[0], 3


def _size(path: Path) -> tuple[int, int]:
    """(W, H) of an image when upright."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _TURNED
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(_unreadable(path, error)) from error
    return (height, width) if turned else (width, height)


def _unreadable(path: Path, error: Exception) -> str:
    return f"--data_dir has an image that can't be decoded: {path} ({error})"
