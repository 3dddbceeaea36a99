"""Who takes part in a run on many machines, and what is refused before it begins."""

import json
import socket

import pytest

from supcon_tf.config import Config
from supcon_tf.distribution.cluster import read_cluster
from supcon_tf.distribution.slurm import expand_hosts
from supcon_tf.distribution.workers import join_workers
from supcon_tf.errors import RunError, UserError


def worker(*addresses, **task):
    cluster = {"worker": list(addresses)}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", **task}})


TF_CONFIGS = {
    "{worker": "must hold JSON. Received: {worker",
    '["a:1"]': 'must hold an object with a "cluster" object in it',
    '{"cluster": {}}': 'must hold an object with a "task" object in it',
    '{"cluster": {"ps": ["a:1"]}, "task": {}}': "a cluster with a worker list",
    worker(index=0): "a cluster with a worker list",
    worker("a:1", "a:1", index=0): "each address once",
    worker("a:1", index=0).replace('"worker",', '"ps",'): "a task whose type is worker",
    worker("a:1", index=1): "a task index from 0 to 0",
    worker("a:1", index=-1): "a task index from 0 to 0",
    worker("a:1"): "a task index from 0 to 0",
    # In Python true is 1.
    worker("a:1", "b:1", index=True): "a task index from 0 to 1",
    worker("a:1", "b:1", index="1"): "a task index from 0 to 1",
}
NO_ADDRESSES = (
    *("a", "a:", ":1", "a:x", "a:0", "a:65536", "a:1_0", "a: 12", "a:12 ", "a b:12"),
    *(True, 12, None, "true", "grpc://a:12", "http://a:12/", "::1:12", "fe80::1:12"),
    *("[::1]", "[a:12", "a]:12", "a:12,b:12", "a:\u0661\u0662"),
)


def test_a_tf_config_that_cannot_be_is_refused(monkeypatch):
    wrong = dict(TF_CONFIGS)
    for address in NO_ADDRESSES:
        wrong[worker("b:12", address, index=0)] = 'a list of "HOST:PORT"'
    for content, message in wrong.items():
        monkeypatch.setenv("TF_CONFIG", content)
        with pytest.raises(UserError, match="TF_CONFIG must hold ") as error:
            read_cluster()
        assert message in str(error.value), content
        assert "\n" not in str(error.value)


def test_addresses_are_names_or_numbers_with_a_port(monkeypatch):
    addresses = ["n1:1", "n-1.a_b.c:12", "10.0.0.1:65535", "[::1]:12", "[fe80::1%e0]:1"]
    monkeypatch.setenv("TF_CONFIG", worker(*addresses, index=3))
    found = read_cluster()
    assert (found.addresses, found.index) == (tuple(addresses), 3)


def test_the_chief_of_a_tf_config_comes_first(monkeypatch):
    content = {
        "cluster": {"worker": ["b:1", "c:1"], "chief": ["a:1"]},
        "task": {"type": "worker", "index": 1},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(content))
    found = read_cluster()
    assert (found.addresses, found.index) == (("a:1", "b:1", "c:1"), 2)
    resolver = found.resolver()
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)
    assert resolver.cluster_spec().as_dict() == content["cluster"]


@pytest.fixture
def slurm(monkeypatch):
    """Sets variables; without any, of the second of four tasks on two machines."""
    monkeypatch.delenv("TF_CONFIG", raising=False)

    def step(**values):
        defaults = {
            "SLURM_PROCID": "1",
            "SLURM_JOB_ID": "7",
            "SLURM_STEP_ID": "0",
            "SLURM_STEP_NODELIST": "n[1-2]",
            "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        }
        for name in ("SLURMD_NODENAME", "SLURM_LOCALID", "SLURM_DISTRIBUTION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**defaults, **values}.items():
            monkeypatch.setenv(name, value)
        return read_cluster()

    return step


def test_the_cluster_of_a_slurm_step_is_found(slurm):
    found = slurm()
    assert found.addresses == ("n1:12112", "n1:12113", "n2:12112", "n2:12113")
    assert found.index == 1
    spec = found.resolver().cluster_spec().as_dict()
    assert spec == {"worker": list(found.addresses)}


def test_slurm_ranks_follow_its_list_of_machines(slurm):
    """Not the order of the names as text, in which n10 comes before n9."""
    found = slurm(SLURM_STEP_NODELIST="n[9-10]", SLURMD_NODENAME="n9")
    assert [a.partition(":")[0] for a in found.addresses] == ["n9", "n9", "n10", "n10"]


def test_neighbouring_slurm_jobs_and_steps_share_no_port(slurm):
    places = [(job, 0) for job in range(1000, 1100)] + [(1000, s) for s in range(1, 9)]
    taken = [
        address
        for job, step in places
        for address in slurm(
            SLURM_PROCID="0",
            SLURM_JOB_ID=str(job),
            SLURM_STEP_ID=str(step),
            SLURM_STEP_NODELIST="n1",
            SLURM_STEP_TASKS_PER_NODE="8",
        ).addresses
    ]
    assert len(set(taken)) == len(taken) == 8 * len(places)
    ports = [int(address.partition(":")[2]) for address in taken]
    assert 1024 <= min(ports) <= max(ports) < 32768


def test_lists_of_slurm_hosts_are_expanded():
    for text, hosts in {
        "n1": "n1",
        "n1,login-2.x": "n1 login-2.x",
        "n[1-2]-ib": "n1-ib n2-ib",
        "r[1-2]n[1-2]": "r1n1 r1n2 r2n1 r2n2",
        "p9r2n[01,09]": "p9r2n01 p9r2n09",
        "n[1-2],m5,o[3-4,6,7-9]": "n1 n2 m5 o3 o4 o6 o7 o8 o9",
        "n[098-101]": "n098 n099 n100 n101",
        "[1-2]": "1 2",
    }.items():
        assert " ".join(expand_hosts(text)) == hosts
    for text in ("n[1-2", "n1-2]", "n[]", "n[a-b]", "n[1--2]", "n[[1]]"):
        with pytest.raises(ValueError, match="is no"):
            list(expand_hosts(text))


def test_a_slurm_step_that_cannot_be_is_refused_with_a_hint(slurm):
    for values, received in [
        ({"PROCID": "4"}, "SLURM_PROCID=4 of 4 tasks"),
        ({"PROCID": "-1"}, "SLURM_PROCID=-1 of 4 tasks"),
        ({"PROCID": "first"}, "invalid literal for int() with base 10: 'first'"),
        ({"STEP_NODELIST": "n[1-2"}, "'n[1-2' is no list of hosts"),
        ({"STEP_TASKS_PER_NODE": "2(x3)"}, "3 task counts for 2 machines"),
        ({"STEP_TASKS_PER_NODE": "many"}, "'many' is no list of task counts"),
        ({"DISTRIBUTION": "cyclic:block"}, "laid out as cyclic, not in blocks"),
        ({"LOCALID": "0"}, "SLURM_LOCALID would be 1 and is 0"),
    ]:
        with pytest.raises(UserError) as error:
            slurm(**{f"SLURM_{name}": value for name, value in values.items()})
        assert str(error.value).endswith(received)
        assert "else set TF_CONFIG (docs/scaling.md)" in str(error.value)
    with pytest.raises(UserError, match="would be on n1 and is on n2"):
        slurm(SLURMD_NODENAME="n2")


def test_one_slurm_task_a_machine_may_be_laid_out_in_any_way(slurm):
    found = slurm(SLURM_STEP_TASKS_PER_NODE="1(x2)", SLURM_DISTRIBUTION="cyclic")
    assert found.index == 1


def joined(**flags):
    return join_workers(Config.from_flag_values({"strategy": "multi_worker", **flags}))


def test_without_a_cluster_nothing_begins(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(UserError, match=r"SLURM's srun\. Received: neither$"):
        joined()


def test_a_batch_that_the_workers_cannot_share_is_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", worker("a:1", "b:1", index=0))
    with pytest.raises(UserError, match=r"multiple of the 2 replicas\. Received: 31"):
        joined(batch_size=31)


def test_a_worker_that_never_appears_ends_the_others(monkeypatch):
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as two:
        own, other = (f"127.0.0.1:{s.getsockname()[1]}" for s in (one, two))
    monkeypatch.setenv("TF_CONFIG", worker(own, other, index=0))
    with pytest.raises(RunError, match=f"no answer from worker {other} within 0.1 s"):
        joined(worker_timeout=0.1)


def test_virtual_devices_are_refused_on_many_machines():
    with pytest.raises(UserError, match="--virtual_devices must be 0 with"):
        Config.from_flag_values({"strategy": "multi_worker", "virtual_devices": 2})
