"""Workers that start find each other; what is none of them does not pass for one."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from supcon_tf.errors import RunError, UserError
from supcon_tf.handshake import host_and_port, meet

FACTS = {"version of supcon_tf": "1", "--seed": 0, "--epsilons": [1.0]}


@pytest.fixture
def addresses():
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("", 0))) for _ in range(4)
        ]
        ports = [listener.getsockname()[1] for listener in listeners]
    return [f"127.0.0.1:{port}" for port in ports]


def together(*actions):
    """What each action, all in threads of their own, returned or raised."""
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(action) for action in actions]
        return [future.exception() or future.result() for future in futures]


def test_workers_that_come_at_any_time_are_waited_for(addresses):
    def worker(index):
        time.sleep(0.3 * index)
        meet(addresses, index, FACTS, 20)

    assert together(*[lambda i=i: worker(i) for i in range(4)]) == [None] * 4
    # The ports are free for TensorFlow.
    for address in addresses:
        socket.create_server(host_and_port(address)).close()


def test_a_port_that_is_taken_is_named(addresses):
    with (
        socket.create_server(("", host_and_port(addresses[0])[1])),
        pytest.raises(UserError, match=f"must be free. Received: {addresses[0]} "),
    ):
        meet(addresses[:2], 0, FACTS, 1)


def test_the_workers_that_do_not_answer_are_named(addresses):
    with pytest.raises(RunError) as error:
        meet(addresses[:2], 0, FACTS, 0.1)
    assert str(error.value) == (
        f"no answer from worker {addresses[1]} within 0.1 s (--worker_timeout): start "
        "all workers, with the same cluster"
    )


def test_a_host_that_is_not_known_is_said(addresses):
    with pytest.raises(RunError, match=r"from worker no\.such\.host:12 \(.+\) within"):
        meet([addresses[0], "no.such.host:12"], 0, FACTS, 0.1)


@pytest.mark.parametrize("speech", [b"", b"\x00\x00\x12\x04\n", b"[]\n", b"{}\n"])
def test_whoever_listens_does_not_pass_for_a_worker(addresses, speech):
    """As gRPC answers in a run that is at work, or any other program."""
    with socket.create_server(("", host_and_port(addresses[1])[1])) as stranger:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    stranger.accept()[0].sendall(speech)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(RunError) as error:
            meet(addresses[:2], 0, FACTS, 0.3)
        stranger.shutdown(socket.SHUT_RDWR)
    assert str(error.value).startswith(
        f"no answer from worker {addresses[1]} (where a run is at work already, or "
        "another program) within 0.3 s"
    )


def test_what_differs_between_workers_is_named_on_all(addresses):
    others = {**FACTS, "--seed": 1}
    first, second = together(
        lambda: meet(addresses[:2], 0, FACTS, 20),
        lambda: meet(addresses[:2], 1, others, 20),
    )
    for error, received in [
        (first, f"0 here, 1 at {addresses[1]}"),
        (second, f"1 here, 0 at {addresses[0]}"),
    ]:
        assert isinstance(error, UserError)
        assert str(error) == (
            f"all workers must have the same --seed. Received: {received}"
        )


def test_a_second_process_in_a_place_is_turned_away(addresses):
    """Worker 1 is there twice, the second time elsewhere; the third makes it whole."""
    met, intruding = threading.Event(), [addresses[0], addresses[3], addresses[2]]

    def third():
        assert met.wait(20)
        meet(addresses[:3], 2, FACTS, 20)

    def intruder():
        time.sleep(0.6)
        try:
            meet(intruding, 1, FACTS, 20)
        finally:
            met.set()

    ends = together(
        lambda: meet(addresses[:3], 0, FACTS, 20),
        lambda: meet(addresses[:3], 1, FACTS, 20),
        third,
        intruder,
    )
    assert ends[:3] == [None] * 3
    assert str(ends[3]) == (
        "this process must be the only worker 1 of its cluster. "
        f"Received: {addresses[0]} has met another"
    )


def test_a_worker_that_dies_while_others_are_waited_for_may_come_again(addresses):
    """Its call ends without the word that it has heard from all."""
    place = {"index": 1, "process": "first", "facts": FACTS}
    with ThreadPoolExecutor() as pool:
        chief = pool.submit(meet, addresses[:2], 0, FACTS, 20)
        for _ in range(100):
            with contextlib.suppress(ConnectionRefusedError):
                dying = socket.create_connection(host_and_port(addresses[0]))
                break
            time.sleep(0.05)
        dying.sendall(json.dumps(place).encode() + b"\n")
        assert dying.recv(10)
        dying.close()
        time.sleep(0.3)
        second = pool.submit(meet, addresses[:2], 1, FACTS, 20)
        assert (chief.result(), second.result()) == (None, None)


def test_an_address_has_a_host_and_a_port():
    assert host_and_port("n1-ib.cluster:12") == ("n1-ib.cluster", 12)
    assert host_and_port("[::1]:12") == ("::1", 12)
