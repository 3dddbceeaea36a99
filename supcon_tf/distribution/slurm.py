"""The workers of a SLURM job step, from the variables that srun sets."""

import itertools
import re
from collections.abc import Iterator, Mapping

from supcon_tf.errors import UserError

# Below the ports that systems give to outgoing connections, from 32768 on.
_FIRST_PORT, _PORTS, _PORTS_A_STEP = 12000, 20000, 16
# Neighbouring jobs take the next places, so steps of one job are set far apart.
_STEP_STRIDE = 139


def slurm_step(environment: Mapping[str, str]) -> tuple[list[str], int]:
    """HOST:PORT of each task of the step in the order of their ranks, and this rank.

    Raises:
        UserError: if the variables describe no step, or one whose tasks don't fill one
            machine after the other.
    """
    try:
        hosts = list(expand_hosts(environment["SLURM_STEP_NODELIST"]))
        counts = list(_expand_counts(environment["SLURM_STEP_TASKS_PER_NODE"]))
        rank = int(environment["SLURM_PROCID"])
        port = _first_port(environment)
    except KeyError as error:
        raise _wrong(f"{error.args[0]} is not set") from error
    except ValueError as error:
        raise _wrong(str(error)) from error
    if len(hosts) != len(counts):
        raise _wrong(f"{len(counts)} task counts for {len(hosts)} machines")
    places = [
        (host, local)
        for host, count in zip(hosts, counts, strict=True)
        for local in range(count)
    ]
    if not 0 <= rank < len(places):
        raise _wrong(f"SLURM_PROCID={rank} of {len(places)} tasks")
    _check_place(environment, *places[rank], blocks=max(counts) > 1 and len(hosts) > 1)
    return [f"{host}:{port + local}" for host, local in places], rank


def expand_hosts(text: str) -> Iterator[str]:
    """The names in a list of hosts, such as `n[1-2,7]-ib,r[1-2]n[01-02],login`."""
    for part in re.findall(r"(?:\[[^\]]*\]|[^,\[])+|[\[,]", text):
        if part == ",":
            continue
        pieces = re.split(r"\[([^\[\]]*)\]", part)
        if any(character in piece for piece in pieces[::2] for character in "[]"):
            raise ValueError(f"{text!r} is no list of hosts")
        choices = [
            list(_expand_range(piece)) if i % 2 else [piece]
            for i, piece in enumerate(pieces)
        ]
        yield from map("".join, itertools.product(*choices))


def _expand_range(text: str) -> Iterator[str]:
    """`01-03,7` as 01, 02, 03, 7."""
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
        if not found:
            raise ValueError(f"{part!r} is no range of hosts")
        first, last = found[1], found[2] or found[1]
        for number in range(int(first), int(last) + 1):
            yield str(number).zfill(len(first))


def _expand_counts(text: str) -> Iterator[int]:
    """`2(x3),1` as 2, 2, 2, 1."""
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]+)(?:\(x([0-9]+)\))?", part)
        if not found:
            raise ValueError(f"{text!r} is no list of task counts")
        yield from itertools.repeat(int(found[1]), int(found[2] or 1))


def _first_port(environment: Mapping[str, str]) -> int:
    """Of a range that neighbouring jobs, and steps of one job, don't share."""
    job = int(environment.get("SLURM_JOB_ID", 0))
    step = int(environment.get("SLURM_STEP_ID", 0))
    place = (job + _STEP_STRIDE * step) % (_PORTS // _PORTS_A_STEP)
    return _FIRST_PORT + place * _PORTS_A_STEP


def _check_place(
    environment: Mapping[str, str], host: str, local: int, blocks: bool
) -> None:
    """Checks that the rank is where it is if tasks fill one machine after the other."""
    way = re.split("[:,]", environment.get("SLURM_DISTRIBUTION", "block"))[0]
    if blocks and way not in ("block", "", "*", "unknown"):
        raise _wrong(f"its tasks are laid out as {way}, not in blocks")
    found = environment.get("SLURMD_NODENAME") or host
    if found != host:
        raise _wrong(f"SLURM_PROCID would be on {host} and is on {found}")
    found = environment.get("SLURM_LOCALID") or str(local)
    if found != str(local):
        raise _wrong(f"SLURM_LOCALID would be {local} and is {found}")


def _wrong(what: str) -> UserError:
    return UserError(
        "SLURM's environment must describe a step whose tasks fill one machine after "
        "the other (srun --distribution=block); else set TF_CONFIG (docs/scaling.md). "
        f"Received: {what}"
    )
