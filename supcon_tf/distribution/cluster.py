"""The cluster of a run on many machines, from TF_CONFIG or from SLURM."""

import json
import os
import re
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from supcon_tf.distribution.slurm import slurm_step
from supcon_tf.errors import UserError

_ROLES = ("chief", "worker")
_HOST = r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\]"
_ADDRESS = re.compile(rf"({_HOST}):([0-9]{{1,5}})")


@dataclass(frozen=True)
class Cluster:
    """Who takes part.

    Attributes:
        workers: HOST:PORT of each worker, for each role.
        role: this process's.
        number: this process's place within its role.
    """

    workers: dict[str, list[str]]
    role: str
    number: int

    @property
    def addresses(self) -> tuple[str, ...]:
        """HOST:PORT of each worker, the chief's first."""
        return tuple(a for role in _ROLES for a in self.workers.get(role, []))

    @property
    def index(self) -> int:
        """This process's place among all addresses."""
        before = _ROLES[: _ROLES.index(self.role)]
        return sum(len(self.workers.get(r, [])) for r in before) + self.number

    def resolver(self) -> tf.distribute.cluster_resolver.ClusterResolver:
        """TensorFlow's own, for the strategy."""
        gpus = len(tf.config.list_physical_devices("GPU"))
        return tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(self.workers),
            task_type=self.role,
            task_id=self.number,
            num_accelerators={"GPU": gpus},
        )


def read_cluster() -> Cluster:
    """The cluster that the environment describes.

    Raises:
        UserError: if it describes none, or one that can't be.
    """
    if os.environ.get("TF_CONFIG"):
        return _from_tf_config(os.environ["TF_CONFIG"])
    if "SLURM_PROCID" in os.environ and "SLURM_STEP_NODELIST" in os.environ:
        addresses, rank = slurm_step(os.environ)
        return Cluster({"worker": addresses}, "worker", rank)
    raise UserError(
        "--strategy=multi_worker needs the environment variable TF_CONFIG, or to be "
        "started by SLURM's srun. Received: neither"
    )


def _from_tf_config(text: str) -> Cluster:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong("JSON", text) from error
    cluster, task = (_part(content, name) for name in ("cluster", "task"))
    workers = {role: cluster[role] for role in _ROLES if role in cluster}
    for role, addresses in workers.items():
        if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
            raise _wrong(f'a list of "HOST:PORT" as its cluster\'s {role}', text)
    addresses = [address for listed in workers.values() for address in listed]
    if not addresses or len(set(addresses)) < len(addresses):
        raise _wrong("a cluster with a worker list, each address once", text)
    role, index = str(task.get("type")), task.get("index")
    if role not in workers:
        raise _wrong(f"a task whose type is {' or '.join(workers)}", text)
    # In JSON true is no number, in Python it is 1.
    if type(index) is not int or not 0 <= index < len(workers[role]):
        raise _wrong(f"a task index from 0 to {len(workers[role]) - 1}", text)
    return Cluster(workers, role, index)


def _part(content: Any, name: str) -> dict[str, Any]:
    part = content.get(name) if isinstance(content, dict) else None
    if not isinstance(part, dict):
        raise _wrong(f'an object with a "{name}" object in it', json.dumps(content))
    return part


def _is_address(value: Any) -> bool:
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return found is not None and 0 < int(found[found.lastindex or 0]) < 2**16


def _wrong(wanted: str, text: str) -> UserError:
    shown = text if len(text) <= 200 else text[:200] + "..."
    return UserError(f"TF_CONFIG must hold {wanted}. Received: {shown}")
