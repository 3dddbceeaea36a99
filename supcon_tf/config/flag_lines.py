"""A config as the lines of a flagfile, which give it again to the letter."""

import re

from supcon_tf.config.config import Config
from supcon_tf.config.options import plain_number
from supcon_tf.errors import UserError

# A comment after a value, or a value that begins with a quote.
_NOT_PLAIN = re.compile(r"""\s(#|//)|^-[^=]*=["'\u2018\u201c]""")


def flagfile_text(config: Config, run_dir: str) -> str:
    """The flags of a run, usable again as a flagfile.

    Raises:
        UserError: if a value is none that a flagfile can hold.
    """
    lines = _lines("run_dir", run_dir)
    for flag, value, _ in config.options():
        if isinstance(value, bool):
            lines.append(f"--{flag}" if value else f"--no{flag}")
        elif isinstance(value, tuple):
            lines.append(f"--{flag}=" + ",".join(map(plain_number, value)))
        else:
            lines += _lines(flag, str(value))
    return "\n".join(lines) + "\n"


def misread(line: str) -> bool:
    """Whether a flagfile's line would give a value that its writer did not mean."""
    return line.startswith("-") and _NOT_PLAIN.search(line) is not None


def _lines(flag: str, value: str) -> list[str]:
    line = f"--{flag}={value}"
    if not misread(line) and value == value.rstrip() and "\n" not in value:
        return [line]
    # A line that begins with no hyphen is the value of the flag before it.
    if value != value.strip() or "\n" in value or value.startswith(("-", "#", "//")):
        raise UserError(
            f"--{flag} must be a value that a flagfile can hold, such as the run's "
            f"flags.txt. Received: {value!r}"
        )
    return [f"--{flag}", value]
