"""Own images, in `data_dir/train/CLASS/` and, if there, `val/` and `test/`."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from supcon_tf.data.decoding.image_files import (
    BadImage,
    decoded,
    side_by_side,
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
from supcon_tf.data.sources.source import (
    BadImages,
    Source,
    SourceSplit,
    progress_options,
)
from supcon_tf.errors import UserError


def open_folder(data_dir: str, image_size: int) -> Source:
    """Lists an image folder; classes are the sorted names of the folders in `train`.

    The images of `val` are the validation images, those of `test` the test images.
    Images are decoded to RGB (see `image_files.decoded`) and resized, without keeping
    their proportions, to a square.

    Args:
        data_dir: folder that holds `train` and perhaps `val` and `test`.
        image_size: height and width in pixels; 0 keeps the size of the images, which
            must then be one.

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
    splits = {
        role: _source_split(found, train.class_names, root, resize=image_size > 0)
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
    counts = np.bincount(train.labels, minlength=len(train.class_names))
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
    counts = np.bincount(found.labels, minlength=len(found.class_names))
    for name, count in zip(found.class_names, counts, strict=True):
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
    found: ClassFolders, class_names: list[str], root: Path, resize: bool
) -> SourceSplit:
    number = {name: index for index, name in enumerate(class_names)}
    labels = np.array([number[name] for name in found.class_names], np.int64)

    def read(indices: np.ndarray, out: np.ndarray) -> BadImages:
        size = (out.shape[2], out.shape[1])

        def read_one(position: int) -> str:
            path = found.paths[indices[position]]
            try:
                out[position] = _sized(decoded(path), size, resize, path)
            except BadImage as error:
                return f"{shown(path)} ({error})"
            return ""

        bad: BadImages = {}
        bar = tqdm(**progress_options(len(indices), "images"))
        # Pillow's warnings name no file.
        with warnings.catch_warnings(action="ignore"), bar:
            problems = side_by_side(read_one, range(len(indices)))
            for position, problem in enumerate(problems):
                bar.update()
                if problem:
                    bad[position] = problem
        return bad

    # Slices, since pathlib takes a second for 100,000 paths.
    below = len(str(root / "x")) - 1
    names = [path[below:].replace(os.sep, "/") for path in found.paths]
    return SourceSplit(labels[found.labels], read, names, root)


def _sized(
    image: Image.Image, size: tuple[int, int], resize: bool, path: str
) -> np.ndarray:
    if image.size != size:
        if not resize:
            raise UserError(_sizes_differ(size, "the others", image.size, path))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image)


def _common_shape(paths: list[str]) -> tuple[int, int, int]:
    """The one size of all images, from the headers that can be read."""

    def size_of(path: str) -> tuple[int, int] | None:
        try:
            return upright_size(path)
        except BadImage:
            # Named with all others when the images are read.
            return None

    first: tuple[str, tuple[int, int]] | None = None
    with warnings.catch_warnings(action="ignore"):
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
