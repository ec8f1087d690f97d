"""`launcher=ray`: the jobs as tasks of a Ray cluster."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from glassbox.errors import BadInput, told
from glassbox.sweep.executor import Lost, attempt

PATIENCE = 30.0  # seconds that jobs get to write down that they were interrupted


class RayExecutor:
    """Run jobs on the Ray cluster that is there (`ray start --head`), or on one of this machine that ends with it.

    Args:
        address: The cluster's address, `auto` for the one of this machine; None takes RAY_ADDRESS, or starts one.
        **options: What `ray.remote` takes for each job, such as `num_cpus`, `num_gpus`, `memory`.

    Raises:
        BadInput: Ray is not installed, or there is no cluster at the address.

    Example:
        >>> cluster = RayExecutor(num_cpus=1)  # doctest: +SKIP
        >>> sorted(cluster.run(abs, [-2, 3]))  # doctest: +SKIP
        [(0, 2), (1, 3)]
    """

    def __init__(self, address: str | None = None, **options: Any) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise BadInput("launcher=ray needs Ray: pip install 'glassbox[ray]'") from error
        self.ray: Any = ray
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        settings: dict[str, Any] = {
            "address": address or os.environ.get("RAY_ADDRESS"),
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "configure_logging": False,
            "runtime_env": {"env_vars": kept},
        }
        if settings["address"] is None:
            settings["include_dashboard"] = False
        try:
            ray.init(**settings)
        except (ConnectionError, ValueError) as error:
            raise BadInput(f"launcher.address={address}: {' '.join(str(error).split())}") from error
        # A job that dies is a failure to be told, not to be tried again in silence.
        self._remote = ray.remote(max_retries=0, **options)(attempt)

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end."""
        shared = self.ray.put(function)
        flying = {self._remote.remote(shared, payload): index for index, payload in enumerate(payloads)}
        try:
            while flying:
                ended, _ = self.ray.wait(list(flying), num_returns=1)
                for reference in ended:
                    index = flying.pop(reference)
                    try:
                        answer = self.ray.get(reference)
                    except self.ray.exceptions.RayError as error:
                        answer = Lost(told(error)[:200])
                    yield index, answer
        finally:
            for reference in flying:
                self.ray.cancel(reference)  # KeyboardInterrupt in the job
            if flying:
                self.ray.wait(list(flying), num_returns=len(flying), timeout=PATIENCE)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self.ray.shutdown()
