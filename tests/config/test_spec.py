"""Jobs composed fast are those that Hydra composes, to the last key and byte."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from glassbox.config.place import CONF
from glassbox.config.plain import _yaml, both, dump
from glassbox.config.resolvers import register_resolvers
from glassbox.config.spec import Composer, configs, hydra_config, live, plain, task_config

JOBS = [
    [],
    ["lr=0.1"],
    ["lr=1e-3", "seed=7", "max_epochs=3"],
    ["optimizer=sgd", "lr=0.1"],
    ["lr=0.1", "optimizer=sgd", "lr=0.2"],
    ["optimizer.betas=[0.8,0.99]"],
    ["notes='a, b: c'"],
    ["notes=null", "tags=[]"],
    ["tags=[x,y]", "data.split=[0.5,0.25,0.25]"],
    ["notes=1e-3", "study=other"],
    ["notes=${study}"],
    ["+callbacks.mine.patience=3", "callbacks.mine.patience=4"],
    ["~callbacks.checkpoint", "lr=0.1"],
    ["data=moons", "data.noise=0.5", "loss=mse"],
    ["hydra.verbose=true", "lr=0.5"],
    ["experiment=bend", "lr=0.5"],
    ["trainer={precision:64-true}"],
    ["trainer.gradient_clip_val=1"],
    ["callbacks={}"],
    ["data.split.0=0.7"],
    ["optimizer.weight_decay=${lr}", "lr=0.3"],
    ["optimizer.lr=0.7", "scheduler=one_cycle", "lr=0.3"],
    ["optimizer.lr=0.7", "scheduler=one_cycle", "scheduler.max_lr=${optimizer.lr}"],
    ["notes=${oc.env:HOME}"],
    ["notes='at ${lr}'", "lr=0.3"],
]


@pytest.fixture
def loader():
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3", job_name="train"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def master(loader):
    return loader.load_configuration("train", ["study=mine"], run_mode=RunMode.MULTIRUN)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, -1])
def test_a_job_is_what_hydra_composes(loader, master, order):
    setup_globals()
    composer = Composer(loader, master)
    for number, overrides in list(enumerate(JOBS))[::order]:
        slow = loader.load_sweep_config(master, list(overrides))
        with open_dict(slow):
            slow.hydra.job.num, slow.hydra.job.id = number, str(number)
        spec = composer.spec(overrides, number)
        with live(spec) as found:
            fast = found.cfg
            slow.hydra.runtime.output_dir = spec.folder
            assert OmegaConf.to_container(fast, resolve=False) == OmegaConf.to_container(slow, resolve=False), overrides
            assert OmegaConf.to_yaml(fast) == OmegaConf.to_yaml(slow), overrides
            assert HydraConfig.get().job.num == number
            assert plain(spec) == OmegaConf.to_container(slow, resolve=False)
            assert repr(configs(spec)) == repr(both(task_config(slow))), overrides
            task = task_config(fast)
            assert found.task == task
            assert "hydra" not in task
            assert hydra_config(fast).hydra.job.num == number
            written = OmegaConf.to_container(fast, resolve=False, enum_to_str=True)
            hydra = written.pop("hydra")
            assert dump(written) == OmegaConf.to_yaml(task)
            assert dump(hydra["overrides"]) == OmegaConf.to_yaml(slow.hydra.overrides)
            # libyaml folds the long lines of a help text elsewhere than PyYAML does; they read back alike.
            assert OmegaConf.create(dump(hydra)) == OmegaConf.create(OmegaConf.to_yaml(slow.hydra))
    assert len(composer._templates) < len(JOBS)


def test_what_a_job_does_to_its_config_stays_its_own(loader, master):
    composer = Composer(loader, master)
    with live(composer.spec(["lr=0.1"], 0)) as found:
        found.task.lr = 5.0
        found.task.callbacks.checkpoint.filename = "mine"
        assert found.cfg.lr == 0.1
    with live(composer.spec([], 1)) as found:
        assert found.task.lr == 0.01
        assert found.task.callbacks.checkpoint.filename == "best"
        assert found.cfg.hydra.overrides.task == []


def test_no_two_jobs_share_a_folder(loader, master):
    composer = Composer(loader, master)
    specs = [composer.spec(["lr=0.1"], 0) for _ in range(100)]
    assert len({spec.folder for spec in specs}) == 100


def test_texts_are_written_as_omegaconf_writes_them():
    texts = [
        "1e-3",
        "yes",
        "null",
        "0x1f",
        "a: b",
        "- a",
        "é",
        "*",
        "${lr}",
        "a\nb",
        " x",
        "",
        "1_000",
        "2026-11-25",
        "~",
    ]
    content = {"texts": texts, "numbers": [1, 1.5, 1e-8, float("inf"), True, None], "nested": {"a": {"b": []}, "c": {}}}
    assert dump(content) == OmegaConf.to_yaml(OmegaConf.create(content))
    assert OmegaConf.to_container(OmegaConf.create(dump(content))) == content


NEARLY = [
    {"lr": 1, "deep": {"deeper": {"x": [1, 2], "y": 0}, "z": None}},
    {"lr": 1.0, "deep": {"deeper": {"x": [1.0, 2], "y": False}, "z": None}},
    {"lr": True, "deep": {"z": None, "deeper": {"y": -0.0, "x": [1, 2]}}},
    {"lr": "1", "deep": {"deeper": {}, "z": {"a": {"b": "a\n\nb"}}}},
    {"lr": "1", "deep": {"deeper": {}, "z": {"a": {"b": "word " * 40, "c": {"d": ["word " * 40]}}}}},
    {"lr": float("nan"), "deep": []},
    {},
]


def test_a_text_that_is_used_again_is_what_would_be_written_anew():
    for content in [*NEARLY, *NEARLY[::-1], *(item for item in NEARLY for _ in range(2))]:
        assert dump(content) == _yaml(content)
        assert dump({"in": content}) == _yaml({"in": content})
