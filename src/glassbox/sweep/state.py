"""What jobs of one process could hand on to each other, put back after each one: job k is the same job alone."""

import gc
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from typing import Any

Undo = Callable[[], None]
Setting = tuple[Callable[[], Any], Callable[[Any], Any]]  # how to read it and how to set it

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def preserved_state() -> Iterator[None]:
    """Put back what a job changes in its process.

    Environment, working directory, `sys.path` and `sys.argv`; signal handlers; thresholds of garbage collection; the
    root logger, whose new handlers are closed; filters of warnings; the start method of processes; random numbers of
    Python, numpy and torch; torch's default dtype and device, thread count, determinism, precision, grad and anomaly
    modes. Of a library that the job is the first to import, the state right after the import is put back: that of a
    fresh process.

    What cannot be put back: imported modules, and `torch.set_num_interop_threads`, which torch allows only once.

    Example:
        >>> with preserved_state():
        ...     os.environ["LEAK"] = "1"
        >>> "LEAK" in os.environ
        False
    """
    with ExitStack() as undo:
        undo.enter_context(warnings.catch_warnings())
        undo.callback(random.setstate, random.getstate())
        undo.callback(_process())
        undo.callback(_logging())
        missing = False
        for name, note in LIBRARIES.items():
            if name in sys.modules:
                undo.callback(note(sys.modules[name]))
            else:
                missing = True
        if missing:
            watch = _Watch(undo)
            sys.meta_path.insert(0, watch)
            undo.callback(sys.meta_path.remove, watch)
        yield


def _kept(*settings: Setting) -> Undo:
    """Read settings now; what is returned sets those that are others by then."""
    before = [get() for get, _ in settings]

    def restore() -> None:
        for (get, put), value in zip(settings, before, strict=True):
            if get() != value:
                put(value)

    return restore


def _attribute(holder: Any, name: str) -> Setting:
    return partial(getattr, holder, name), partial(setattr, holder, name)


def _process() -> Undo:
    folder = os.getcwd()  # noqa: PTH109 (called for each job)
    path, argv = list(sys.path), list(sys.argv)
    start_method: Setting = (
        partial(multiprocessing.get_start_method, allow_none=True),
        partial(multiprocessing.set_start_method, force=True),
    )
    garbage: Setting = gc.get_threshold, lambda thresholds: gc.set_threshold(*thresholds)
    settings = [(lambda: dict(os.environ), _set_environment), start_method, garbage]
    if threading.current_thread() is threading.main_thread():  # elsewhere nobody can set a handler
        settings += [(partial(signal.getsignal, number), partial(signal.signal, number)) for number in SIGNALS]
    rest = _kept(*settings)

    def restore() -> None:
        sys.path[:], sys.argv[:] = path, argv
        rest()
        os.chdir(folder)

    return restore


def _set_environment(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _logging() -> Undo:
    root = logging.getLogger()
    handlers = list(root.handlers)
    levels = _kept((lambda: root.level, root.setLevel), (lambda: root.manager.disable, logging.disable))

    def restore() -> None:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        levels()

    return restore


def _numpy(numpy: Any) -> Undo:
    state = numpy.random.get_state()
    errors = _kept((numpy.geterr, lambda handling: numpy.seterr(**handling)))

    def restore() -> None:
        numpy.random.set_state(state)
        errors()

    return restore


def _torch(torch: Any) -> Undo:
    def set_device(device: Any) -> None:
        torch.set_default_device(None)  # "cpu" would cover every call of torch with a context, at a cost
        if torch.get_default_device() != device:
            torch.set_default_device(device)

    backends = torch.backends
    # Generators of GPUs are seeded from the clock in a fresh process: there is no state to go back to.
    rng = torch.get_rng_state()
    settings = _kept(
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.get_default_device, set_device),
        (torch.get_num_threads, torch.set_num_threads),
        (
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda flags: torch.use_deterministic_algorithms(flags[0], warn_only=flags[1]),
        ),
        (torch.is_grad_enabled, torch.set_grad_enabled),
        (
            lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
            lambda flags: torch.autograd.set_detect_anomaly(*flags),
        ),
        (lambda: sys.float_info.min / 2 == 0, torch.set_flush_denormal),  # torch cannot be asked; arithmetic can
        (partial(_matmul_precision, torch), torch.set_float32_matmul_precision),
        *(
            _attribute(backend, "fp32_precision")
            for backend in (
                backends,
                backends.cuda.matmul,
                *(part for whole in (backends.cudnn, backends.mkldnn) for part in (whole, whole.conv, whole.rnn)),
                backends.mkldnn.matmul,
            )
        ),
        _attribute(backends.cudnn, "deterministic"),
        _attribute(backends.cudnn, "benchmark"),
    )

    def restore() -> None:
        torch.set_rng_state(rng)
        settings()

    return restore


def _matmul_precision(torch: Any) -> str | None:
    try:
        return str(torch.get_float32_matmul_precision())
    except RuntimeError:  # torch does not tell it where single backends have been set, too
        return None


LIBRARIES: dict[str, Callable[[Any], Undo]] = {"numpy": _numpy, "torch": _torch}


class _Watch(MetaPathFinder):
    """Note the state of a library at the moment when a job imports it."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find what the other finders find; the libraries tell when they have been imported."""
        if name not in LIBRARIES:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec: Any = next(filter(None, found), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            self._undo.callback(LIBRARIES[name](module))

        spec.loader.exec_module = exec_module
        return spec
