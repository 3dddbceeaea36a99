"""Models from files."""

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from supcon_tf.errors import UserError
from supcon_tf.models.twin import reason_of


def load_model(path: str | Path) -> keras.Model:
    """Loads a `.keras` file, such as a run's `model.keras`, in safe mode.

    Raises:
        UserError: if the file is missing, is no Keras model, or needs code that is not
            known.

    Example:

    ```python
    import tempfile
    from supcon_tf.models import ContrastiveClassifier, load_model, resnet18

    with tempfile.TemporaryDirectory() as folder:
        ContrastiveClassifier(resnet18(width=2), 10).save(f"{folder}/model.keras")
        model = load_model(f"{folder}/model.keras")
    ```
    """
    if not Path(path).is_file():
        raise UserError(f"a .keras model is needed. Received: {path} (no such file)")
    # Keras says of such a file that it is not there.
    if Path(path).suffix == ".keras" and not zipfile.is_zipfile(path):
        size = Path(path).stat().st_size
        raise UserError(
            f"{path} could not be loaded as a model: it is cut short or no .keras file "
            f"({size} bytes)"
        )
    try:
        with _never_compiled(Path(path)) as file:
            return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} could not be loaded as a model: {reason_of(error)}"
        ) from error


@contextlib.contextmanager
def _never_compiled(path: Path) -> Iterator[Path]:
    """The file, or a copy of it in which the models within the model are not compiled.

    Keras' `compile=False` holds for the outermost model only, and the losses of the
    others may be unknown here.
    """
    if not zipfile.is_zipfile(path):
        yield path
        return
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        config = json.loads(archive.read("config.json"))
        config.pop("compile_config", None)
        plain = _without_compile_configs(config)
        if plain == config:
            yield path
            return
        copy = Path(folder) / path.name
        with zipfile.ZipFile(copy, "w") as target:
            for item in archive.infolist():
                if item.filename == "config.json":
                    target.writestr(item, json.dumps(plain))
                    continue
                with archive.open(item) as old, target.open(item, "w") as new:
                    shutil.copyfileobj(old, new)
        yield copy


def _without_compile_configs(config: Any) -> Any:
    if isinstance(config, list):
        return [_without_compile_configs(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: None if key == "compile_config" else _without_compile_configs(value)
        for key, value in config.items()
    }
