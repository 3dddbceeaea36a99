"""What the commands set up in their process before TensorFlow is imported."""

import contextlib
import gc
import os
import platform
import subprocess
import sys
from collections.abc import Iterator

# Leaves out lines of absl's log ("I0000 00:00:1795639256.504532 ...") by severity. What
# TensorFlow dies of is on none of them.
_FILTER = r"""
import re, sys
note = re.compile(rb"[%s]\d{4} |WARNING: All log messages before absl::InitializeLog")
for line in sys.stdin.buffer:
    if not note.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def prepare_environment() -> None:
    """Quiet start-up, and TensorFlow's faster CPU kernels; what is set already stays.

    TensorFlow uses oneDNN by itself only on processors with AVX-512 VNNI, bfloat16 or
    AMX. On those with AVX2 alone a training step takes about half the time with it.
    Where TensorFlow is imported already, it has read this: set now, it would hold for
    child processes alone, whose logits then would not be the same bits.
    """
    quieten_tensorflow()
    has_onednn = platform.machine().lower() in ("x86_64", "amd64")
    if has_onednn and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import_tensorflow()


def quieten_tensorflow() -> None:
    """No notes at start-up: they would bury ours."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def import_tensorflow() -> None:
    """Imports TensorFlow without what it notes before it reads its log level.

    Its half a million objects are not looked through for garbage, which took a quarter
    of the import and as long again at the end.
    """
    if "tensorflow" not in sys.modules:
        level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "")
        severities = "IWE"[: int(level)] if level.isdigit() else ""
        with (
            _without_notes(severities) if severities else contextlib.nullcontext(),
            _without_collection(),
        ):
            import tensorflow  # noqa: F401


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """What is made within its context is taken as there to stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _without_notes(severities: str) -> Iterator[None]:
    """Within its context, standard error leaves out lines of the log's severities."""
    # A process, as a thread of this one would lose the last words of a crash.
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _FILTER % severities],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        kept = os.dup(2)
        try:
            os.dup2(process.stdin.fileno(), 2)  # type: ignore[union-attr]
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def open_standard_streams() -> None:
    """Makes sure that a program can print, whatever it was started with.

    A stream that is closed (`>&-`) leads nowhere instead: its number would go to the
    next file that is opened. What a terminal's encoding lacks is printed as an escape.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def abandon_standard_output() -> None:
    """Sends what is still to be printed nowhere, once nothing reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
