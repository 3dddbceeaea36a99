"""Command lines: each command's own flags, built from the config's options.

Nothing is defined on import, and TensorFlow is never imported here, so help and wrong
flags answer at once.
"""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from supcon_tf.commands.flagfile import FLAGFILE, with_flagfiles
from supcon_tf.commands.parsers import define_flag
from supcon_tf.config import Config, DataConfig, EvaluationConfig
from supcon_tf.config.options import Allowed, options_of
from supcon_tf.errors import RunError, UserError
from supcon_tf.runtime.environment import abandon_standard_output, open_standard_streams

USER_MISTAKE = 2


def run_command(main: Callable[[list[str]], Any], argv: Sequence[str]) -> NoReturn:
    """Runs `main(argv)`; a user's mistake becomes one line and exit code 2."""
    open_standard_streams()
    try:
        try:
            code = main(list(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        abandon_standard_output()
        _print_error(RunError(_UNREAD))
        sys.exit(1)
    except (UserError, flags.Error) as error:
        _print_error(error)
        sys.exit(USER_MISTAKE)
    except RunError as error:
        _print_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _disk_is_full(error):
            raise
        _print_error(error)
        sys.exit(1)
    sys.exit(code or 0)


def _disk_is_full(error: Exception) -> bool:
    """Also in the words of TensorFlow, which writes TensorBoard's files."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return os.strerror(errno.ENOSPC) in str(error)


_UNREAD = (
    "nothing reads the output any more. What was finished is kept: the same command "
    "goes on from there"
)


def _print_error(error: Exception) -> None:
    print("error: " + " ".join(str(error).split()), file=sys.stderr)


def new_flags() -> flags.FlagValues:
    """An empty set of flags that knows `--help` and `--flagfile`."""
    values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "print every flag and exit", flag_values=values)
    flags.DEFINE_string(
        "flagfile",
        "",
        "read flags from this file, one on a line; lines that begin with # are "
        "comments; may be given several times and inside a flagfile, from which "
        "relative names count; later flags win; a mere name that is no file here is "
        "that of a recipe, such as digits.flags",
        flag_values=values,
    )
    return values


def define_options(values: flags.FlagValues, section: Any, prefix: str = "") -> None:
    """Defines a flag for each option of a config section, with its default."""
    for field, allowed in options_of(section):
        _define(values, prefix + field.name, getattr(section, field.name), allowed)


def define_path(
    values: flags.FlagValues, name: str, text: str, default: str = ""
) -> None:
    """Defines a flag that names a file or a folder, perhaps in the home folder (~)."""
    define_flag(values, name, default, text, path=True)


def define_config(values: flags.FlagValues) -> None:
    """Defines a flag for each option of `Config`."""
    for setting in Config().options():
        _define(values, *setting)


def parse(values: flags.FlagValues, argv: Sequence[str], usage: str) -> None:
    """Parses `argv` (program name first); prints all flags and exits on `--help`.

    Raises:
        UserError: for a flag that does not exist, a value of the wrong type, a
            flagfile that is not there, or words that belong to no flag.
    """
    rest = parse_words(values, argv, usage)
    if rest:
        raise UserError(
            f"words that belong to no flag (flags look like --name=value). "
            f"Received: {' '.join(rest)}"
        )


def parse_words(values: flags.FlagValues, argv: Sequence[str], usage: str) -> list[str]:
    """As `parse`, and returns the words that belong to no flag."""
    try:
        rest = values([*argv[:1], *with_flagfiles(argv[1:])])[1:]
    except UserError:
        raise
    except flags.UnrecognizedFlagError as error:
        raise UserError(_unknown(error.flagname, list(values))) from error
    except (flags.Error, ValueError) as error:
        raise UserError(str(error)) from error
    if values["help"].value:
        _print_help(values, usage)
        sys.exit(0)
    return rest


def config_from(values: flags.FlagValues) -> Config:
    """The config that parsed flags describe."""
    names = Config().flag_values()
    config = Config.from_flag_values({name: values[name].value for name in names})
    refuse_unread_data_dir(config.data)
    return config


def refuse_unread_data_dir(data: DataConfig) -> None:
    """Own images that would not be looked at. A config of an old run may have them."""
    if data.data_dir and data.dataset == "digits":
        raise UserError(
            "--data_dir needs --dataset=folder for own images, or the name of a data "
            f"set of tensorflow-datasets. Received: --data_dir={data.data_dir} with "
            "--dataset=digits, which come with scikit-learn"
        )


def evaluation_from(values: flags.FlagValues, base: EvaluationConfig) -> dict[str, Any]:
    """The evaluation options that were given on the command line."""
    names = [field.name for field, _ in options_of(base)]
    return {name: values[name].value for name in names if values[name].present}


def default_run_dir(argv: Sequence[str], data: DataConfig) -> str:
    """`runs/FLAGFILE_NAME`, or `runs/DATASET` without a flagfile.

    A recipe for own images is one for many data sets: their folder's name is added.
    """
    name = data.dataset
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        flag, given, value = word.partition("=")
        if flag in FLAGFILE:
            name = Path(value if given else following).stem or name
    if data.dataset == "folder":
        images = Path(data.data_dir).expanduser().resolve().name
        name = "-".join(filter(None, (name, images)))
    return str(Path("runs") / name)


def _define(
    values: flags.FlagValues, name: str, default: Any, allowed: Allowed
) -> None:
    text = allowed.help
    if allowed.describe():
        several = isinstance(default, tuple) and allowed.choices
        what = f"any of {', '.join(allowed.choices)}" if several else allowed.describe()
        text += f" ({what})"
    define_flag(values, name, default, text, allowed.path)


def _unknown(flag: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(flag, known, n=1)
    hint = f" Did you mean --{close[0]}?" if close else ""
    return f"unknown flag --{flag}.{hint} --help lists all flags"


def _print_help(values: flags.FlagValues, usage: str) -> None:
    lines = [usage.strip(), "", "flags:"]
    for name in values:
        flag = values[name]
        default = flag.default_as_str or "''"
        lines.append(f"  --{name}  (default {default})")
        lines.append(flags.text_wrap(str(flag.help), length=88, indent=" " * 6))
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        # Who has read enough has nothing to be told.
        abandon_standard_output()
