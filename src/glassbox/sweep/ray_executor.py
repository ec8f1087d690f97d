"""`launcher=ray`: the jobs as tasks of a Ray cluster."""

import logging
import os
import pickle
import secrets
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from glassbox.errors import BadInput
from glassbox.process import TERMINATED
from glassbox.sweep.executor import Lost, attempt, ended

PATIENCE = 30.0  # seconds that jobs get to write down that they were interrupted


class RayExecutor:
    """Run jobs on the Ray cluster that is there (`ray start --head`), or on one of this machine that ends with it.

    Args:
        address: The cluster's address, `auto` for the one of this machine; None takes RAY_ADDRESS, or starts one.
        **options: What `ray.remote` takes for each job, such as `num_cpus`, `num_gpus`, `memory`.

    Raises:
        BadInput: There is no cluster at the address, or Ray does not take an option.

    Example:
        >>> cluster = RayExecutor(num_cpus=1)  # doctest: +SKIP
        >>> sorted(cluster.run(abs, [-2, 3]))  # doctest: +SKIP
        [(0, 2), (1, 3)]
    """

    def __init__(self, address: str | None = None, **options: Any) -> None:
        settings: dict[str, Any] = {"address": address or os.environ.get("RAY_ADDRESS", "local")}
        _prepare(new_cluster=settings["address"] == "local")
        import ray
        from ray._private import worker

        logging.getLogger("ray").setLevel(logging.ERROR)
        worker._worker_logs_enabled = False  # as Ray's debugger does; else each death is told twice, at length
        self.ray: Any = ray
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        settings |= {
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "configure_logging": False,
            "runtime_env": {"env_vars": kept},
        }
        if settings["address"] == "local":
            settings["include_dashboard"] = False
        before = signal.getsignal(signal.SIGTERM)
        try:
            # A job that dies is a failure to be told, not to be tried again in silence.
            self._remote = ray.remote(max_retries=0, **options)(_job)
            _check_address(settings["address"])
            ray.init(**settings)
        except (ConnectionError, ValueError) as error:
            raise BadInput(f"launcher=ray: {' '.join(str(error).split())}") from error
        finally:
            signal.signal(signal.SIGTERM, before)  # Ray's own handler prints its stack and leaves the jobs

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end."""
        import cloudpickle

        # Ray's own cloudpickle is another one, which does not know what was registered with this one.
        shared = self.ray.put(cloudpickle.dumps(function))
        flying = {
            self._remote.remote(shared, cloudpickle.dumps(payload)): index for index, payload in enumerate(payloads)
        }
        try:
            while flying:
                for reference in self._wait(list(flying)):
                    yield flying.pop(reference), self._answer(reference)
        finally:
            for reference in flying:
                self.ray.cancel(reference)  # SIGINT in the job
            if flying:
                self.ray.wait(list(flying), num_returns=len(flying), timeout=PATIENCE)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self.ray.shutdown()

    def _wait(self, references: list[Any]) -> list[Any]:
        try:
            over, _ = self.ray.wait(references, num_returns=1)
        except SystemExit as stop:
            raise SystemExit(TERMINATED) from stop  # SIGTERM, whose exit code Ray forgets
        return list(over)

    def _answer(self, reference: Any) -> Any:
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except errors.TaskCancelledError:
            return ended(TERMINATED)
        except errors.OutOfMemoryError:
            return Lost("killed by Ray, which was out of memory")
        except errors.WorkerCrashedError:
            return Lost("its process was killed, perhaps out of memory")
        except errors.RayError as error:
            return Lost(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200])


def _prepare(*, new_cluster: bool) -> None:
    """Set what Ray reads from the environment when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if new_cluster:  # nobody else gets in, and no token is left in the home folder
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _check_address(address: str) -> None:
    """Look whether anybody listens at host:port, where Ray itself would try for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise ConnectionError(f"nobody answers at address={address}: {error.strerror or error}") from error


def _job(function: bytes, payload: bytes) -> Any:
    """Do a job in a process of Ray's, which says SIGINT where the others say SIGTERM."""
    return attempt(pickle.loads(function), pickle.loads(payload), (signal.SIGTERM, signal.SIGINT))
