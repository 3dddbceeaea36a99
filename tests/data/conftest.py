import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save_image():
    """Writes a (height, width) RGB image of one value and returns its path."""

    def save(path: Path, value: int = 128, size: tuple[int, int] = (6, 6)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
        return path

    return save


@pytest.fixture
def image_folder(tmp_path, save_image) -> Path:
    """train/{cat,dog} with 10 images each; a cat is darker than 100."""
    for index in range(10):
        save_image(tmp_path / "train" / "cat" / f"{index}.png", index)
        save_image(tmp_path / "train" / "dog" / f"{index}.JPG", 200 + index)
    return tmp_path


@pytest.fixture(scope="session")
def cifar100_dir() -> str:
    default = Path(__file__).parents[3] / "shared" / "tfds"
    folder = Path(os.environ.get("SUPCON_TF_TEST_DATA_DIR", default))
    if not (folder / "cifar100").is_dir():
        pytest.skip("no prepared CIFAR-100: set SUPCON_TF_TEST_DATA_DIR")
    return str(folder)
