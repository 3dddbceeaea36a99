"""Command lines: each command's own flags, built from the config's options.

Nothing is defined on import, and TensorFlow is never imported here, so help and wrong
flags answer at once.
"""

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from supcon_tf.config import Config, DataConfig, EvaluationConfig
from supcon_tf.errors import RunError, UserError
from supcon_tf.options import Allowed, options_of, plain_number

USER_MISTAKE = 2


def run_command(main: Callable[[list[str]], Any], argv: Sequence[str]) -> NoReturn:
    """Runs `main(argv)`; a user's mistake becomes one line and exit code 2."""
    try:
        code = main(list(argv))
    except (UserError, flags.Error) as error:
        _print_error(error)
        sys.exit(USER_MISTAKE)
    except RunError as error:
        _print_error(error)
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        _print_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code or 0)


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
        "relative names count; later flags win",
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
    serializer: flags.ArgumentSerializer = flags.ArgumentSerializer()
    flags.DEFINE(_Path(), name, default, text, values, serializer)


class _Path(flags.ArgumentParser):
    """Shells leave the ~ of --name=~/folder as it is."""

    def parse(self, argument: str) -> str:
        path = os.path.expanduser(argument)
        if path.startswith("~"):
            raise ValueError("must begin with a home folder that is known, or with ./~")
        return path

    def flag_type(self) -> str:
        return "path"


def define_config(values: flags.FlagValues) -> None:
    """Defines a flag for each option of `Config`."""
    for prefix, section in Config().sections():
        define_options(values, section, prefix)


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
        rest = values([*argv[:1], *_with_flagfiles(argv[1:])])[1:]
    except UserError:
        raise
    except (flags.Error, ValueError) as error:
        raise UserError(_plain(error)) from error
    if values["help"].value:
        _print_help(values, usage)
        sys.exit(0)
    return rest


def config_from(values: flags.FlagValues) -> Config:
    """The config that parsed flags describe."""
    return Config.from_flag_values(_typed(values, Config().flag_values()))


def evaluation_from(values: flags.FlagValues, base: EvaluationConfig) -> dict[str, Any]:
    """The evaluation options that were given on the command line."""
    names = {field.name: getattr(base, field.name) for field, _ in options_of(base)}
    given = {name: value for name, value in names.items() if values[name].present}
    return _typed(values, given)


def flagfile_text(config: Config, run_dir: str) -> str:
    """The flags of a run, usable again as a flagfile."""
    lines = _flag_lines("run_dir", run_dir)
    for name, value in config.flag_values().items():
        if isinstance(value, bool):
            lines.append(f"--{name}" if value else f"--no{name}")
        elif isinstance(value, tuple):
            lines.append(f"--{name}=" + ",".join(map(plain_number, value)))
        else:
            lines += _flag_lines(name, str(value))
    return "\n".join(lines) + "\n"


def default_run_dir(argv: Sequence[str], data: DataConfig) -> str:
    """`runs/FLAGFILE_NAME`, or `runs/DATASET` without a flagfile.

    A recipe for own images is one for many data sets: their folder's name is added.
    """
    name = data.dataset
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        flag, given, value = word.partition("=")
        if flag in _FLAGFILE:
            name = Path(value if given else following).stem or name
    if data.dataset == "folder":
        images = Path(data.data_dir).expanduser().resolve().name
        name = "-".join(filter(None, (name, images)))
    return str(Path("runs") / name)


_FLAGFILE = ("--flagfile", "-flagfile")


def _with_flagfiles(
    words: Sequence[str], within: tuple[str, ...] = (), folder: str = ""
) -> list[str]:
    """The words, with the flags of a flagfile in the place where it is named.

    absl does this too, but ends with a traceback on a picture, takes indented comments
    for words and goes on without a flagfile that reads itself.

    Args:
        words: of a command line, or the lines of a flagfile.
        within: the flagfiles that are being read.
        folder: of the flagfile that holds the words, where names are looked for first.
    """
    expanded: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*expanded, word, *rest]
        flag, given, value = word.partition("=")
        if flag not in _FLAGFILE:
            expanded.append(word)
        elif (name := value if given else next(rest, None)) is None:
            raise UserError("Missing value for flag --flagfile")
        else:
            expanded += _read_flagfile(name, within, folder)
    return expanded


def _read_flagfile(name: str, within: tuple[str, ...], folder: str) -> list[str]:
    if not name:
        return []
    named = os.path.expanduser(name)
    beside = os.path.join(folder, named)
    found = {os.path.realpath(p) for p in (beside, named) if os.path.exists(p)}
    if len(found) > 1:
        raise UserError(
            "--flagfile must be one file, and is another beside the flagfile that "
            f"names it ({folder}) than in {os.getcwd()}. Received: {name!r}"
        )
    path = found.pop() if found else os.path.realpath(named)
    if path in within:
        raise UserError(f"--flagfile must not lead to itself. Received: {name!r}")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        kind = "readable" if isinstance(error, OSError) else "text"
        raise UserError(
            f"--flagfile must be a {kind} file. Received: {name!r}"
        ) from None
    lines = [line.strip() for line in text.split("\n")]
    flag_lines = [line for line in lines if line and not line.startswith(("#", "//"))]
    for line in flag_lines:
        if _misread(line):
            raise UserError(
                "a flagfile's line must be --name=value without quotes, and comments "
                f"have lines of their own. Received: {line!r} in {name!r}"
            )
    folder = os.path.dirname(beside if os.path.exists(beside) else named)
    return _with_flagfiles(flag_lines, (*within, path), folder)


# A comment after a value, or a value that begins with a quote.
_NOT_PLAIN = re.compile(r"""\s(#|//)|^-[^=]*=["'\u2018\u201c]""")


def _misread(line: str) -> bool:
    """Whether a flagfile's line would give a value that its writer did not mean."""
    return line.startswith("-") and _NOT_PLAIN.search(line) is not None


def _flag_lines(name: str, value: str) -> list[str]:
    """The lines of a flagfile that give a flag this value, to the letter."""
    line = f"--{name}={value}"
    if not _misread(line) and value == value.rstrip() and "\n" not in value:
        return [line]
    # A line that begins with no hyphen is the value of the flag before it.
    if value != value.strip() or "\n" in value or value.startswith(("-", "#", "//")):
        raise UserError(
            f"--{name} must be a value that a flagfile can hold, such as the run's "
            f"flags.txt. Received: {value!r}"
        )
    return [f"--{name}", value]


def _define(
    values: flags.FlagValues, name: str, default: Any, allowed: Allowed
) -> None:
    text = allowed.help
    if allowed.describe() and not allowed.choices:
        text += f" ({allowed.describe()})"
    if isinstance(default, bool):
        flags.DEFINE_bool(name, default, text, flag_values=values)
    elif isinstance(default, tuple):
        strings = [plain_number(item) for item in default]
        if allowed.choices:
            text += f" (any of {', '.join(allowed.choices)})"
        flags.DEFINE_list(name, strings, text, flag_values=values)
    elif isinstance(default, int):
        flags.DEFINE_integer(name, default, text, flag_values=values)
    elif isinstance(default, float):
        flags.DEFINE_float(name, default, text, flag_values=values)
    elif allowed.path:
        define_path(values, name, text, default)
    else:
        if allowed.choices:
            text += f" ({allowed.describe()})"
        flags.DEFINE_string(name, default, text, flag_values=values)


def _typed(values: flags.FlagValues, defaults: dict[str, Any]) -> dict[str, Any]:
    """Flag values in the types of `defaults`; absl knows no list of floats."""
    typed = {}
    for name, default in defaults.items():
        value: Any = values[name].value
        if isinstance(default, tuple):
            value = tuple(value)
            if isinstance(default[0], float):
                value = _floats(name, value)
            if not value:
                raise UserError(f"--{name} must not be empty. Received: ''")
        typed[name] = value
    return typed


def _floats(name: str, strings: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(float(string) for string in strings)
    except ValueError:
        raise UserError(
            f"--{name} must be numbers separated by commas. "
            f"Received: {','.join(strings)}"
        ) from None


def _plain(error: Exception) -> str:
    """absl's message as one line in the words of this project's errors."""
    text = " ".join(str(error).split())
    if isinstance(error, flags.UnrecognizedFlagError):
        hint = text.partition("Did you mean: ")[2].split("?")[0].split(",")[0].strip()
        hint = f" Did you mean --{hint}?" if hint else ""
        return f"unknown flag --{error.flagname}.{hint} --help lists all flags"
    if isinstance(error, flags.IllegalFlagValueError) and text.startswith("flag --"):
        name, _, rest = text.removeprefix("flag --").partition("=")
        value, _, reason = rest.partition(": ")
        for words, wanted in _WANTED.items():
            if words in reason:
                reason = f"must be {wanted}"
        return f"--{name} {reason.rstrip('.')}. Received: {value!r}"
    return text


_WANTED = {
    "to float": "a number",
    "for int()": "a whole number",
    "Non-boolean": "true or false",
}


def _print_help(values: flags.FlagValues, usage: str) -> None:
    print(usage.strip() + "\n\nflags:")
    for name in values:
        flag = values[name]
        default = flag.default_as_str or "''"
        print(f"  --{name}  (default {default})")
        print(flags.text_wrap(str(flag.help), length=88, indent=" " * 6))
