"""What an export is asked for, and its flags."""

from dataclasses import dataclass
from typing import Any

from supcon_tf.commands.flags import define_options, new_flags, parse
from supcon_tf.config import FINAL, Config
from supcon_tf.config.options import Section, option
from supcon_tf.errors import UserError

USAGE = """
usage: python -m supcon_tf.export --run_dir=RUN --output=DIR [--flag=value ...]

Writes the model of a finished run as a SavedModel into DIR/N, the layout that
TensorFlow Serving reads, after a fresh process has checked its answers.
"""


@dataclass(frozen=True)
class ExportSettings(Section):
    """Which model goes where, and in what form.

    Raises:
        UserError: on construction, if a value is not allowed.
    """

    run_dir: str = option("", "folder of the finished run", path=True)
    output: str = option(
        "",
        "folder of the served model, which holds a folder for each version",
        path=True,
    )
    data_dir: str = option(
        "", "folder of the run's images, if they lie elsewhere than when it was trained"
    )
    stage: str = option(
        FINAL, "which of the run's models", choices=Config.model_names()
    )
    model_version: int = option(
        0, "version number to write; 0 = the highest in --output + 1", minimum=0
    )
    fold_batch_norm: bool = option(
        True,
        "fold batch norm into the convolutions: faster, logits within 1e-4 of the "
        "run's model; without, within 1e-5",
    )
    verify_images: int = option(
        64, "test images that the export is verified on", minimum=8, maximum=4096
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("run_dir", "output"):
            if not getattr(self, name):
                raise UserError(f"--{name} must be a folder. Received: ''")


def parse_settings(argv: list[str]) -> ExportSettings:
    """The settings that a command line asks for.

    Raises:
        UserError: naming the flag, the value and what is allowed.
    """
    values = new_flags()
    # An instance would be refused: two settings have no default.
    define_options(values, ExportSettings)
    parse(values, argv, USAGE)
    names = ExportSettings.__dataclass_fields__
    given: dict[str, Any] = {name: values[name].value for name in names}
    return ExportSettings(**given)
