"""The record of a job: what a sweep writes a thousand times is what one run alone writes."""

import subprocess
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from glassbox.config.compose import composed, task_values
from glassbox.config.job import open_record
from glassbox.config.place import CONF
from glassbox.config.plain import _dumper, writable
from glassbox.tracking import record
from glassbox.tracking.identity import identity
from glassbox.tracking.secret import mask, mask_command

JOBS = [
    ["lr=0.1", "seed=0"],
    ["lr=0.1", "seed=1"],
    ["lr=1", "seed=1"],
    ["lr=1.0", "seed=1", "+logger.api_key=hunter2"],
    ["lr=1.0", "seed=1", "+logger.api_key={a: hunter2, b: [hunter2]}"],
    ["optimizer=sgd", "notes='a: b, and a text that is too long for a line of YAML, which ends at column eighty'"],
    ["lr=0.1", "seed=0", "tags=['${oc.env:HOME}']"],
]


@pytest.fixture
def git(monkeypatch):
    """The git commands that are run."""
    commands, run = [], subprocess.run
    monkeypatch.setattr(record.subprocess, "run", lambda words, **more: commands.append(words) or run(words, **more))
    record.git_state.cache_clear()
    yield commands
    record.git_state.cache_clear()


def test_the_records_of_a_sweep_are_those_of_single_runs(tmp_path, git):
    def plainly(content):
        return yaml.dump(mask(content), Dumper=_dumper(), default_flow_style=False, allow_unicode=True, sort_keys=False)

    for number, overrides in enumerate(JOBS):
        cfg = composed(CONF, "train", overrides)
        values, folder = task_values(cfg), tmp_path / str(number)
        hydra = {"hydra": OmegaConf.to_container(cfg.hydra, resolve=False, enum_to_str=True)}
        config = writable(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]))
        made = open_record(
            values, config, identity(values), folder, root=Path(), overrides=overrides, hydra=hydra, command=[]
        )
        written = {path.name: path.read_text() for path in (folder / ".hydra").iterdir()}
        assert written == {
            "config.yaml": plainly(config),
            "overrides.yaml": plainly(mask_command(overrides)),
            "hydra.yaml": plainly(hydra),
        }
        assert "hunter2" not in "".join(written.values())
        assert OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml"), resolve=False) == mask(config)
        assert made.fields["versions"]["wandb"] == record._version("wandb")
    assert len(git) <= 2
