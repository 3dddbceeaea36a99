"""What a sweep varies: `--grid=FLAG=V1,V2,...`, and the combinations of several."""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from supcon_tf.config import Config
from supcon_tf.errors import UserError

# Which recipe a run follows is a flag of every command and an option of none.
RECIPE = "flagfile"


@dataclass(frozen=True)
class Axis:
    """A flag and the values that it takes, as they were written.

    Example:
        >>> Axis.of("seed=0,1,2").values
        ('0', '1', '2')
        >>> Axis.of("epsilons=1,2;4,8").values
        ('1,2', '4,8')
    """

    flag: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Axis":
        """Reads `FLAG=V1,V2,...`; semicolons, where there are any, separate instead.

        Raises:
            UserError: if it is not that, or no run has such a flag.
        """
        flag, _, listed = text.partition("=")
        flag = flag.strip()
        known = [RECIPE, *Config().flag_values()]
        if flag not in known:
            close = difflib.get_close_matches(flag, known, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UserError(
                "--grid must be FLAG=V1,V2,... of a flag that python train.py --help "
                f"lists.{hint} Received: {text!r}"
            )
        if not listed.strip(" ,;"):
            raise UserError(
                f"--grid={flag}=V1,V2,... must have values. Received: {text!r}"
            )
        values = [value.strip() for value in listed.split(_separator(listed))]
        if ";" in listed and not values[-1]:
            values.pop()
        return cls(flag, tuple(values))


def _separator(listed: str) -> str:
    return ";" if ";" in listed else ","


def parse_grid(texts: Sequence[str]) -> list[Axis]:
    """The axes of a grid.

    Raises:
        UserError: for a text that is none, no text at all, or a flag in two of them.
    """
    if not texts:
        raise UserError(
            "--grid=FLAG=V1,V2,... must say what the runs differ by. Received: none"
        )
    axes = [Axis.of(text) for text in texts]
    flags = [axis.flag for axis in axes]
    for place, flag in enumerate(flags):
        if flag in flags[:place]:
            raise UserError(
                f"--grid must have each flag once. Received: {flag} in "
                f"{texts[flags.index(flag)]!r} and in {texts[place]!r}"
            )
    return axes


def combinations(axes: Sequence[Axis]) -> Iterator[dict[str, str]]:
    """Each combination of values, by flag; the last axis varies fastest."""
    for values in itertools.product(*(axis.values for axis in axes)):
        yield {axis.flag: value for axis, value in zip(axes, values, strict=True)}
