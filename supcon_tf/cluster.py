"""The cluster of a run on many machines, from TF_CONFIG or from SLURM."""

import json
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from supcon_tf.errors import RunError, UserError

_ROLES = ("chief", "worker")
_SECONDS_BETWEEN_TRIES = 0.2


@dataclass(frozen=True)
class Cluster:
    """Who takes part.

    Attributes:
        resolver: TensorFlow's own, for the strategy.
        addresses: HOST:PORT of each worker, the chief's first.
        index: this process's place among them.
    """

    resolver: tf.distribute.cluster_resolver.ClusterResolver
    addresses: tuple[str, ...]
    index: int


def read_cluster() -> Cluster:
    """The cluster that the environment describes.

    Raises:
        UserError: if it describes none, or one that can't be.
    """
    if os.environ.get("TF_CONFIG"):
        return _from_tf_config(os.environ["TF_CONFIG"])
    if "SLURM_PROCID" in os.environ and "SLURM_STEP_NODELIST" in os.environ:
        return _from_slurm()
    raise UserError(
        "--strategy=multi_worker needs the environment variable TF_CONFIG, or to be "
        "started by SLURM's srun. Received: neither"
    )


def wait_for_workers(cluster: Cluster, seconds: float) -> None:
    """Returns once every other worker answers at its address.

    TensorFlow itself would wait for an hour, deaf to signals.

    Raises:
        UserError: if this worker's own port is taken.
        RunError: if a worker does not answer in time.
    """
    own = cluster.addresses[cluster.index]
    missing = [address for address in cluster.addresses if address != own]
    give_up = time.monotonic() + seconds
    try:
        dual = socket.has_dualstack_ipv6()
        listener = socket.create_server(
            ("", _host_and_port(own)[1]),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            dualstack_ipv6=dual,
        )
    except OSError as error:
        raise UserError(
            "the port of this worker's address in TF_CONFIG (or SLURM's) must be free. "
            f"Received: {own} ({error.strerror})"
        ) from error
    with listener:
        while missing := [address for address in missing if not _answers(address)]:
            if time.monotonic() > give_up:
                raise RunError(
                    f"no answer from worker {', '.join(missing)} within {seconds:g} s "
                    "(--worker_timeout): start all workers, with the same cluster"
                )
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), timeout=2).close()
    except OSError:
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


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
    addresses = [address for role in _ROLES for address in workers.get(role, [])]
    if not addresses or len(set(addresses)) < len(addresses):
        raise _wrong("a cluster with a worker list, each address once", text)
    role, index = str(task.get("type")), task.get("index")
    if role not in workers:
        raise _wrong(f"a task whose type is {' or '.join(workers)}", text)
    if not isinstance(index, int) or not 0 <= index < len(workers[role]):
        raise _wrong(f"a task index from 0 to {len(workers[role]) - 1}", text)
    place = index + (len(workers.get("chief", [])) if role == "worker" else 0)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return Cluster(resolver, tuple(addresses), place)


def _part(content: Any, name: str) -> dict[str, Any]:
    part = content.get(name) if isinstance(content, dict) else None
    if not isinstance(part, dict):
        raise _wrong(f'an object with a "{name}" object in it', json.dumps(content))
    return part


def _is_address(value: Any) -> bool:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def _wrong(wanted: str, text: str) -> UserError:
    shown = text if len(text) <= 200 else text[:200] + "..."
    return UserError(f"TF_CONFIG must hold {wanted}. Received: {shown}")


def _from_slurm() -> Cluster:
    # Jobs that share a machine must not share ports.
    port = 12000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 20000
    try:
        # Its division of GPUs is not used: srun shows each task its own.
        slurm = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=2**16, gpus_per_task=1, auto_set_gpu=False
        )
        spec = slurm.cluster_spec()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"SLURM's environment describes no cluster: {error}") from error
    role, index = slurm.get_task_info()
    addresses = tuple(spec.as_dict()[role])
    host = os.environ.get("SLURMD_NODENAME")
    # The resolver sorts host names as text, n10 before n9; SLURM's ranks don't.
    if host and _host_and_port(addresses[index])[0] != host:
        raise UserError(
            "SLURM's tasks are in another order than TensorFlow sorts their hosts: set "
            f"TF_CONFIG (docs/scaling.md). Received: {addresses[index]} for {host}"
        )
    gpus = len(tf.config.list_physical_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type=role, task_id=index, num_accelerators={"GPU": gpus}
    )
    return Cluster(resolver, addresses, index)
