"""`launcher=basic`: one warm process that runs jobs in turn, and is replaced when it dies."""

import atexit
import contextlib
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from glassbox.process import die_with_parent
from glassbox.sweep.executor import Lost, attempt, ended, leave
from glassbox.tracking.wandb_run import teardown

PATIENCE = 10.0  # seconds that a job gets to write down that it was interrupted
LEAVE = b""  # instead of a job: there will be none


class Worker:
    """One process that runs jobs in turn and lives until it is closed, dies, or loses its parent.

    It is forked, so it begins with all that the parent holds, open files among it, and keeps what its jobs import: only
    the first of them waits for torch. What a job changes is put back after it. The process leads a session of its
    own: Ctrl-C in the terminal reaches the parent alone, which then ends the job in order. When the parent is gone, so
    is the worker, and all that its jobs have started.

    Example:
        >>> worker = Worker()
        >>> list(worker.run(lambda number: number**2, [2, 3]))
        [(0, 4), (1, 9)]
        >>> list(worker.run(os._exit, [0]))
        [(0, Lost(reason='the process ended with exit code 0'))]
        >>> worker.close()
    """

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection
        self._function: Any = None

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`), in order.

        A job begins when its answer is asked for. Closing the iterator leaves the process warm for the next `run`;
        an exception that meets a running job ends it: SIGTERM, and SIGKILL to all its processes some seconds later.

        Args:
            function: A process that exists gets it by cloudpickle; a new one inherits it.
            payloads: Picklable by cloudpickle.
        """
        for index, payload in enumerate(payloads):
            try:
                self.begin(function, payload)
                answer = self.answer()
            except BaseException:
                self._end(interrupt=True)
                raise
            yield index, answer

    def begin(self, function: Callable[[Any], Any], payload: Any) -> None:
        """Begin a job without waiting for it; the worker must have none.

        Args:
            function: As for `run`.
            payload: As for `run`.
        """
        message = self._message(function, payload)
        with contextlib.suppress(ConnectionError):  # it has just died, which `answer` tells
            self._pipe.send_bytes(message)

    @property
    def pipe(self) -> Connection:
        """What `multiprocessing.connection.wait` takes: it is ready when the job that was begun has ended."""
        return self._pipe

    def answer(self) -> Any:
        """Return what came of the job that was begun, when it has ended: what the function returned, or `Lost`."""
        try:
            answer = self._pipe.recv_bytes()
        except (EOFError, ConnectionError):
            return self._bury()
        try:
            return pickle.loads(answer)
        except Exception as error:  # noqa: BLE001 (whatever a class of somebody else raises)
            return Lost(f"its result cannot be read: {type(error).__name__}: {error}")

    def terminate(self) -> None:
        """Tell the job that runs to end early; `close` waits for it."""
        if self._process is not None:
            self._process.terminate()

    def close(self) -> None:
        """End the process."""
        self._end()

    def _message(self, function: Callable[[Any], Any], payload: Any) -> bytes:
        """Return what tells a job to the process, which is there afterwards."""
        import cloudpickle

        if self._process is not None and self._process.exitcode is not None:
            self._end()  # it has died between two jobs
        if self._process is not None and function is not self._function:
            try:
                message: bytes = cloudpickle.dumps((function, payload))
            except (TypeError, AttributeError, pickle.PicklingError):
                self._end()  # what cannot be sent is inherited by a new process
            else:
                self._function = function
                return message
        if self._process is None:
            self._start(function)
        return bytes(cloudpickle.dumps((None, payload)))

    def _start(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, ours, function), name="glassbox worker", daemon=False)
        process.start()
        theirs.close()
        self._process, self._pipe, self._function = process, ours, function
        atexit.register(self._end)  # else multiprocessing would wait for it for ever

    def _bury(self) -> Lost:
        """Say how the process died, and end what it has left."""
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        self._end()
        return ended(code)

    def _end(self, *, interrupt: bool = False) -> None:
        """End the process and all that it has started: in order if that takes some seconds, else by SIGKILL.

        Args:
            interrupt: Whether a job runs that is to end early.
        """
        process, self._process, self._function = self._process, None, None
        if process is None or process.pid is None:
            return
        deadline = time.monotonic() + PATIENCE
        try:
            if interrupt:
                process.terminate()
            with contextlib.suppress(EOFError, ConnectionError):  # it has gone
                self._pipe.send_bytes(LEAVE)
                while self._pipe.poll(max(0.0, deadline - time.monotonic())):
                    self._pipe.recv_bytes()  # an answer that nobody waits for
        finally:
            process.kill()
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left in its group
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
            process.close()
            self._pipe.close()
            atexit.unregister(self._end)


def _serve(pipe: Connection, parents: Connection, function: Callable[[Any], Any]) -> None:
    """Be the worker: answer one job after the other."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, leave)
    parents.close()
    # Processes that jobs fork must not keep the pipe open: its end is what tells of this process's death.
    os.register_at_fork(after_in_child=pipe.close)
    try:
        while message := pipe.recv_bytes():
            new, payload = pickle.loads(message)
            function = function if new is None else new
            pipe.send_bytes(_answer(function, payload))
        teardown()  # a process of multiprocessing does nothing else at its end, and its group is killed
    except (EOFError, ConnectionError):  # the parent is gone, and this thread was the first to see it
        os.killpg(0, signal.SIGKILL)


def _answer(function: Callable[[Any], Any], payload: Any) -> bytes:
    """Do a job; what came of it, pickled."""
    import cloudpickle

    try:
        answer: bytes = cloudpickle.dumps(attempt(function, payload))
    except Exception as error:  # noqa: BLE001 (whatever an object of somebody else raises)
        answer = pickle.dumps(Lost(f"its result cannot be sent to another process: {type(error).__name__}: {error}"))
    return answer
