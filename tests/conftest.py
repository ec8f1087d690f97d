"""What every test gets: a home, a folder and an environment of its own, and clean global state after it."""

import logging
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# One thread, in this process and in the commands that tests start: torch and numpy read it at import.
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

# A shell ignores Ctrl-C for what it runs in the background, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Settings of the person or the `make` that runs the tests, which no test may depend on.
FOREIGN = ("WANDB_", "GLASSBOX_", "HYDRA_", "XDG_", "PL_", "SLURM_", "MAKE", "MFLAGS", "PYTHON", "NETRC")

# Read when pytest starts: each test loses the variables that begin with GLASSBOX_.
REQUIRED = os.environ.get("GLASSBOX_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def missing() -> Callable[[str, str], None]:
    """Give a function that skips a test that needs a service; where GLASSBOX_REQUIRE names the service, it fails."""

    def leave(service: str, reason: str) -> None:
        if service in REQUIRED:
            pytest.fail(f"GLASSBOX_REQUIRE names {service}: {reason}")
        pytest.skip(reason)

    return leave


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of all tests: empty at first, shared so that a cache is filled once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def isolation(home: Path, tmp_path: Path) -> Iterator[None]:
    """Run a test in its `tmp_path`, with the home above and without foreign settings; undo its changes."""
    environment, folder, path = dict(os.environ), Path.cwd(), list(sys.path)
    for key in environment:
        if key.startswith(FOREIGN):
            del os.environ[key]
    os.environ["HOME"] = str(home)
    os.environ["MPLCONFIGDIR"] = str(home / "matplotlib")
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    os.chdir(tmp_path)
    yield
    os.chdir(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(autouse=True)
def global_state() -> Iterator[None]:
    """Undo what a test does to random numbers, logging, torch and Hydra; import none of them for it."""
    undo = [_random_state(), _logging_state(), _torch_state()]
    yield
    for restore in undo:
        restore()
    if "hydra.core.global_hydra" in sys.modules:
        sys.modules["hydra.core.global_hydra"].GlobalHydra.instance().clear()


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty outputs folder, which the program uses instead of the project's."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    monkeypatch.setenv("GLASSBOX_OUTPUTS", str(folder))
    return folder


@pytest.fixture
def write_run(outputs: Path) -> Callable[..., Path]:
    """Write the record of a made-up run: `write_run(0.25, study="demo", optimizer="adam", lr=0.1, seed=3)`."""
    from glassbox.tracking.record import Record

    def write(
        value: float | None = None,
        *,
        study: str = "demo",
        status: str = "finished",
        fields: dict[str, Any] | None = None,
        **config: Any,
    ) -> Path:
        words = re.sub(r"[^\w.]+", "-", "-".join(str(part) for part in config.values()))
        folder = outputs / study / f"{len(list(outputs.glob('*/*')))}-{words}"
        record = Record.create(
            folder,
            study=study,
            name=folder.name,
            identity=f"{study} {sorted(config.items())}",
            config=config,
            files={},
            command=["python", "scripts/train.py"],
            seeds={},
            device="cpu",
            launcher=None,
            tags=[],
            notes=None,
            root=outputs,
        )
        best = {} if value is None else {"epoch": 3, "val/loss": value, "val/accuracy": 1 - value}
        test = {key.replace("val", "test"): number for key, number in best.items() if "val" in key}
        record.finish(status, **{"best": best, "test": test, "seconds": 2.0, **(fields or {})})
        return folder

    return write


@pytest.fixture
def wandb_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stand-in for the W&B server, which wandb then uses; every other address leads nowhere."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from wandb_server import WandbServer

    with WandbServer() as server:
        for key, value in {
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": server.key,
            "WANDB_DIR": str(tmp_path),
            "WANDB_CONFIG_DIR": str(tmp_path / "wandb-config"),
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(key, value)
        yield server
    assert server.unknown == []


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project which trusts the package of a user, tests/mine, and has it in its src/."""
    root, copy = Path(__file__).parents[1], tmp_path_factory.mktemp("copy") / "project"
    for name in ("src", "conf", "scripts"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
    shutil.copytree(root / "tests" / "mine", copy / "src" / "mine", ignore=shutil.ignore_patterns("__pycache__"))
    text = (root / "pyproject.toml").read_text()
    (copy / "pyproject.toml").write_text(re.sub(r"(?m)^trusted_packages = .*$", 'trusted_packages = ["mine"]', text))
    return copy


@pytest.fixture
def train(outputs: Path) -> Callable[..., Path]:
    """Run scripts/train.py in this process: `train("lr=0.1")` returns the folder of the run that it made."""
    from glassbox.config.entry import Train

    def run(*overrides: str, exit_code: int = 0) -> Path:
        before = set(outputs.glob("*/*/run.json"))
        assert Train(list(overrides)).main() == exit_code
        (made,) = set(outputs.glob("*/*/run.json")) - before
        return made.parent

    return run


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Give a function that does what scripts/publish.py does, with W&B's client in a hurry."""
    import wandb

    from glassbox.config.publication import _parser
    from glassbox.config.publication import publish as program
    from glassbox.publish import upload

    for what in ("FILE_STREAM", "FILE_TRANSFER", "GRAPHQL"):
        for which in ("MIN", "MAX"):
            monkeypatch.setenv(f"WANDB__{what}_RETRY_WAIT_{which}_SECONDS", "0.05")
    monkeypatch.setattr(upload, "LOOKS", (0.0,))
    yield lambda *words: program(_parser().parse_args(words))
    wandb.teardown()


def _random_state() -> Callable[[], None]:
    numpy = sys.modules.get("numpy")
    state, legacy = random.getstate(), numpy and numpy.random.get_state()

    def restore() -> None:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(legacy)

    return restore


def _logging_state() -> Callable[[], None]:
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.root.manager.disable

    def restore() -> None:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)

    return restore


def _torch_state() -> Callable[[], None]:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return _fresh_torch
    dtype, threads, rng = torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    precision, grad = torch.get_float32_matmul_precision(), torch.is_grad_enabled()
    anomaly, check_nan = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    # Whatever tests ran before; `torch.manual_seed` would also make a note of each call for devices that are not there.
    torch.default_generator.manual_seed(0)

    def restore() -> None:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_rng_state(rng)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_float32_matmul_precision(precision)
        torch.set_grad_enabled(grad)
        torch.autograd.set_detect_anomaly(anomaly, check_nan)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn

    return restore


def _fresh_torch() -> None:
    """Put back torch's own defaults after the test that imported it first."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")
    torch.set_grad_enabled(True)
    torch.autograd.set_detect_anomaly(False)
    torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False
