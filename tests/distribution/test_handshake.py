"""Workers that start find each other; what is none of them does not pass for one."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from supcon_tf.distribution.handshake import host_and_port, meet
from supcon_tf.errors import RunError, UserError

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
        meet(addresses, index, FACTS, 60)

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
        lambda: meet(addresses[:2], 0, FACTS, 60),
        lambda: meet(addresses[:2], 1, others, 60),
    )
    for error, received in [
        (first, f"0 here, 1 at {addresses[1]}"),
        (second, f"1 here, 0 at {addresses[0]}"),
    ]:
        assert isinstance(error, UserError)
        assert str(error) == (
            f"all workers must have the same --seed. Received: {received}"
        )


def test_a_second_process_in_a_place_is_turned_away_while_the_first_lives(addresses):
    """Elsewhere, since the port would be taken on the same machine."""
    place = {"index": 1, "process": "first", "facts": FACTS}
    with ThreadPoolExecutor() as pool:
        chief = pool.submit(meet, addresses[:2], 0, FACTS, 60)
        for _ in range(1000):
            with contextlib.suppress(ConnectionRefusedError):
                first = socket.create_connection(host_and_port(addresses[0]))
                break
            time.sleep(0.05)
        first.sendall(json.dumps(place).encode() + b"\n")
        assert first.recv(10)
        with pytest.raises(RunError) as error:
            meet([addresses[0], addresses[3]], 1, FACTS, 0.3)
        assert str(error.value).startswith(
            f"no answer from worker {addresses[0]} (which has met another worker 1) "
        )
        assert not chief.done()
        # It dies without the word that it has heard from all, and comes again.
        first.close()
        second = pool.submit(meet, addresses[:2], 1, FACTS, 60)
        assert (chief.result(), second.result()) == (None, None)


def test_an_address_has_a_host_and_a_port():
    assert host_and_port("n1-ib.cluster:12") == ("n1-ib.cluster", 12)
    assert host_and_port("[::1]:12") == ("::1", 12)
