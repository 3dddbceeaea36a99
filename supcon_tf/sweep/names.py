"""Names of runs: what differs between them, in characters that are safe anywhere."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supcon_tf.config import Config
from supcon_tf.config.options import plain_number
from supcon_tf.sweep.grid import RECIPE

# File systems allow 255 bytes, and a table's column wants fewer.
LONGEST = 100
# No capitals: some file systems don't tell them from small letters.
_UNSAFE = re.compile(r"[^a-z0-9._+-]")


def run_name(differing: Mapping[str, Any]) -> str:
    """A name that depends on the flags and their values alone.

    It stays the same when the grid grows or its axes change places, so that a sweep
    finds its runs again.

    Args:
        differing: typed values by flag.

    Example:
        >>> run_name({"finetune_margin_weight": 1.0, "seed": 0})
        'seed=0,finetune_margin_weight=1'
    """
    order = [RECIPE, *Config().flag_values()]
    flags = sorted(differing, key=order.index)
    name = ",".join(f"{flag}={_text(flag, differing[flag])}" for flag in flags)
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{_digest(name, 8)}"


def _text(flag: str, value: Any) -> str:
    if flag == RECIPE:
        return _safe(Path(value).stem)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "+".join(_text("", item) for item in value)
    return _safe(value) if isinstance(value, str) else plain_number(value)


def _safe(text: str) -> str:
    """The text; with a digest if it has characters that a name can't have."""
    safe = _UNSAFE.sub("-", text.lower())
    return safe if safe == text else f"{safe}-{_digest(text, 6)}"


def _digest(text: str, length: int) -> str:
    encoded = text.encode(errors="surrogateescape")
    return hashlib.sha256(encoded).hexdigest()[:length]
