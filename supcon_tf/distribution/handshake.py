"""How the workers of a run find each other, and nobody else.

Each listens at its address and calls all others until all have heard from all. They say
who they are: a program that happens to listen, a run that is at work already, a worker
with other flags or other code, or a second process in a worker's place is none of them.
"""

import contextlib
import json
import select
import socket
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from supcon_tf.errors import RunError, UserError

_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_TO_ANSWER = 2
_LONGEST_LINE = 2**16
_DONE = {"done": True}


def meet(
    addresses: Sequence[str], index: int, facts: Mapping[str, Any], seconds: float
) -> None:
    """Returns once all workers are there, on all of them.

    TensorFlow itself would wait for an hour, deaf to signals.

    Args:
        addresses: HOST:PORT of each worker.
        index: this worker's place among them.
        facts: what must be the same on all, JSON values by the name an error says.
        seconds: how long to wait.

    Raises:
        UserError: if this worker's own port is taken or a fact differs.
        RunError: if a worker does not answer in time, or has met another process in
            this one's place.
    """
    greeting = {"index": index, "process": uuid.uuid4().hex, "facts": dict(facts)}
    others = {i: address for i, address in enumerate(addresses) if i != index}
    give_up = time.monotonic() + seconds
    with contextlib.ExitStack() as held:
        hall = held.enter_context(_Hall(addresses, index, greeting))
        calls: dict[int, _Call] = {}
        while True:
            for i, address in others.items():
                # A worker that is done ends its side of the call, as a dead one does.
                if i not in calls or calls[i].is_over(done=i in hall.done):
                    calls[i] = held.enter_context(_Call(address, hall))
            if hall.problem:
                raise UserError(hall.problem)
            unheard = [i for i in others if not calls[i].answered]
            if not unheard:
                for call in calls.values():
                    call.say_done()
                unheard = [i for i in others if i not in hall.done]
            if not unheard:
                return
            if time.monotonic() > give_up:
                missing = ", ".join(others[i] + calls[i].remark for i in unheard)
                raise RunError(
                    f"no answer from worker {missing} within {seconds:g} s "
                    "(--worker_timeout): start all workers, with the same cluster"
                )
            time.sleep(_SECONDS_BETWEEN_TRIES)


class _Hall:
    """Where this worker is called by the others.

    Attributes:
        done: the workers that have heard from all.
        problem: why this run can't be, once that is known.
    """

    def __init__(
        self, addresses: Sequence[str], index: int, greeting: Mapping[str, Any]
    ) -> None:
        self.done: set[int] = set()
        self.problem = ""
        self.greeting = greeting
        self._addresses = addresses
        self._index = index
        # Whose place is taken, by which process: this worker's own is.
        self._present = {index: greeting["process"]}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def __enter__(self) -> "_Hall":
        own = self._addresses[self._index]
        dual = socket.has_dualstack_ipv6()
        try:
            self._listener = socket.create_server(
                ("", host_and_port(own)[1]),
                family=socket.AF_INET6 if dual else socket.AF_INET,
                dualstack_ipv6=dual,
            )
        except OSError as error:
            raise UserError(
                "the port of this worker's address in TF_CONFIG (or SLURM's) must be "
                f"free. Received: {own} ({error.strerror})"
            ) from error
        self._listener.settimeout(_SECONDS_BETWEEN_TRIES)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self._listener.close()

    def compare(self, theirs: Mapping[str, Any], address: str) -> None:
        """Notes the first fact that another worker sees otherwise."""
        mine = self.greeting["facts"]
        for name in [*mine, *theirs]:
            if mine.get(name) != theirs.get(name):
                self.problem = self.problem or (
                    f"all workers must have the same {name}. Received: "
                    f"{mine.get(name)!r} here, {theirs.get(name)!r} at {address}"
                )

    def _listen(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                caller, _ = self._listener.accept()
                caller.settimeout(_SECONDS_TO_ANSWER)
                threading.Thread(
                    target=self._receive, args=(caller,), daemon=True
                ).start()

    def _receive(self, caller: socket.socket) -> None:
        """One call, until it ends; a caller that is no worker is left alone."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError), caller:
            lines = caller.makefile("rb")
            said = _read(lines)
            index, process = said["index"], said["process"]
            address = self._addresses[index]
            with self._lock:
                free = self._present.setdefault(index, process) == process
                if free:
                    self.done.discard(index)
            _write(caller, {**self.greeting, "taken": not free})
            if not free:
                return
            try:
                self.compare(said["facts"], address)
                caller.settimeout(None)
                if _read(lines) == _DONE:
                    self.done.add(index)
                    lines.read()
            finally:
                with self._lock:
                    del self._present[index]


class _Call:
    """A call to another worker, held until this one needs none any more.

    Attributes:
        answered: whether it was a worker that answered.
        remark: what else is to be said of the address.
    """

    def __init__(self, address: str, hall: _Hall) -> None:
        self.answered = False
        self.remark = ""
        self._told = False
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.create_connection(
                host_and_port(address), timeout=_SECONDS_TO_ANSWER
            )
            _write(self._socket, hall.greeting)
            said = _read(self._socket.makefile("rb"))
            if said["taken"]:
                # The other may be dying: who comes in its place is let in then.
                self._socket.close()
                self.remark = (
                    f" (which has met another worker {hall.greeting['index']})"
                )
                return
            hall.compare(said["facts"], address)
            self.answered = True
        except (ValueError, KeyError, TypeError, TimeoutError, ConnectionError):
            if self._socket is not None:
                self._socket.close()
                self.remark = " (where a run is at work already, or another program)"
        except OSError as error:
            self.remark = f" ({error.strerror or error})"

    def __enter__(self) -> "_Call":
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def is_over(self, done: bool) -> bool:
        """Whether there was no answer, or the other has ended without being done."""
        if not self.answered or self._socket is None:
            return True
        if done:
            return False
        try:
            ready, _, _ = select.select([self._socket], [], [], 0)
            return bool(ready) and not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def say_done(self) -> None:
        if self._socket is not None and not self._told:
            # One that has ended meanwhile is called again.
            with contextlib.suppress(OSError):
                _write(self._socket, _DONE)
            self._told = True


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of HOST:PORT or [HOST]:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _write(connection: socket.socket, content: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")


def _read(lines: Any) -> dict[str, Any]:
    content = json.loads(lines.readline(_LONGEST_LINE))
    if not isinstance(content, dict):
        raise TypeError
    return content
