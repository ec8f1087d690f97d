"""The house: constraints.txt names what is installed; the Makefile says in a line what a machine lacks."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
# Brought by torch's CUDA builds for Linux, which name their exact versions themselves.
CUDA = re.compile(r"(nvidia|cuda|triton)(-|$)")


def pins() -> dict[str, Version]:
    """Return the versions in constraints.txt by canonical name; each line must be exact and new."""
    found: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pin = re.fullmatch(r"([a-z0-9-]+)==([a-z0-9.]+)", line)
        assert pin, f"constraints.txt: {line!r} is not a plain name==version"
        name, version = pin.groups()
        assert name == canonicalize_name(name), line
        assert name not in found, line
        found[name] = Version(version)
    return found


def installed(requirement: Requirement) -> dict[str, Version]:
    """Return the public version of everything installed that a requirement needs, itself included."""
    found: dict[str, Version] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, extra) for extra in ("", *requirement.extras)]
    while waiting:
        needed, extra = waiting.pop()
        name = canonicalize_name(needed.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        package = distribution(name)
        found[name] = Version(Version(package.version).public)
        for line in package.requires or ():
            below = Requirement(line)
            if below.marker is None or below.marker.evaluate({"extra": extra}):
                waiting += [(below, each) for each in ("", *below.extras)]
    return found


def test_constraints_pin_everything_that_is_installed() -> None:
    needed = {
        name: version
        for name, version in installed(Requirement("glassbox[dev]")).items()
        if name != "glassbox" and not CUDA.match(name)
    }
    assert {"torch", "wandb", "tensorboard", "pytest", "antlr4-python3-runtime"} <= needed.keys()
    assert {name: pins().get(name) for name in needed} == needed


def test_constraints_pin_what_builds_the_package() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_walk_follows_extras_and_reports_what_is_absent() -> None:
    assert "pytest" not in installed(Requirement("glassbox"))
    assert "tensorboard" in installed(Requirement("glassbox[tensorboard]"))
    with pytest.raises(PackageNotFoundError):
        installed(Requirement("glassbox-of-nobody"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs make in a copy whose every python is the given shell script."""
    copy, programs = tmp_path / "a copy", tmp_path / "programs"
    copy.mkdir()
    programs.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, copy)

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        for name in ("python3", *(f"python3.{minor}" for minor in range(8, 20))):
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        return subprocess.run(
            ["make", *arguments],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    return run


REAL = f'exec "{sys.executable}" "$@"'
NO_VENV = f'case "$*" in *venv*) exit 1;; *) {REAL};; esac'
OLD = """case "$*" in *print*) echo 3.9;; *) exit 1;; esac"""


def said(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what make printed, without its own closing line."""
    return [line for line in (run.stdout + run.stderr).splitlines() if not line.startswith("make: ***")]


@pytest.mark.parametrize("verb", ["install", "train", "test", "test-slow", "check"])
def test_python_without_venv_gets_one_line(verb: str, make: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    run = make(NO_VENV, verb)
    assert run.returncode == 2
    assert said(run) == [
        "Python's venv module is missing: install it (Debian/Ubuntu: apt install python3-venv) and run make again"
    ]


@pytest.mark.parametrize(("script", "why"), [(OLD, "python3 is Python 3.9"), ("exit 127", "No python3 found")])
def test_old_or_absent_python_gets_one_line(
    script: str, why: str, make: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    run = make(script, "install")
    assert run.returncode == 2
    assert said(run) == [
        f"{why}; Glassbox needs Python 3.11 or later: install it and run make again, "
        "or name one: make PYTHON=/path/to/python3 install"
    ]


def test_half_finished_installation_is_not_taken_for_a_finished_one(
    make: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    # Its pip fails the first time: the second call makes the environment anew, the third does nothing.
    log = tmp_path / "log"
    fake = f"""case "$*" in
        *"-m pip"*) echo pip >>"{log}"; test -e "{log}.2" || {{ : >"{log}.2"; exit 1; }};;
        *"-m venv"*) echo venv >>"{log}"; mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
        *print*) echo 3.12;;
    esac"""
    codes = [make(fake, "install").returncode for _ in range(3)]
    assert codes == [2, 0, 0]
    assert log.read_text().split() == ["venv", "pip", "venv", "pip"]


def test_help_lists_every_verb_and_needs_no_python(
    make: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    run = make("exit 1")
    verbs = re.search(r"^\.PHONY: help (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert run.returncode == 0
    assert verbs
    assert [line.split()[1] for line in run.stdout.splitlines()] == verbs[1].split()
