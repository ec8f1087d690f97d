"""Composing as Hydra's main will, and the check of Hydra's own tree."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from glassbox.config.compose import check_hydra, composed, task_values
from glassbox.config.grid import Grid
from glassbox.config.place import CONF
from glassbox.config.resolvers import register_resolvers
from glassbox.config.schema import check
from glassbox.errors import BadInput


@pytest.fixture
def conf(tmp_path) -> Path:
    """A small folder of configs."""
    folder = tmp_path / "conf"
    files = {
        "train.yaml": "defaults:\n  - _self_\n  - optimizer: sgd\nlr: 1\nname: ???\n",
        "optimizer/sgd.yaml": "lr: ${lr}\nmomentum: 0\n",
        "optimizer/adam.yaml": "lr: ${lr}\nbetas: [0.9, 0.999]\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def task(cfg):
    return OmegaConf.to_container(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]))


@pytest.mark.parametrize(
    "overrides",
    [[], ["lr=2"], ["optimizer=adam", "lr=1e-3"], ["+optimizer.x=3"], ["~optimizer.momentum"], ["name=a b"]],
)
def test_composes_as_hydra_does(conf, overrides):
    with initialize_config_dir(str(conf), version_base="1.3"):
        theirs = compose("train", overrides=overrides)
    assert task(composed(conf, "train", overrides)) == task(theirs)


@pytest.mark.parametrize(
    ("sweep", "first"),
    [
        ("lr=2,3", "lr=2"),
        ("lr=choice(5,6)", "lr=5"),
        ("lr=range(3,6)", "lr=3"),
        ("optimizer=adam,sgd", "optimizer=adam"),
        ("name='a, b',c", "name='a, b'"),
        ("name=null,c", "name=null"),
        ("+optimizer.x=[1,2],[3]", "+optimizer.x=[1,2]"),
    ],
)
def test_of_a_sweep_the_first_value_is_composed(conf, sweep, first):
    (job, *_) = Grid.of({}, [sweep]).samples()
    assert task(composed(conf, "train", job)) == task(composed(conf, "train", [first]))


def test_every_value_of_every_sweep_is_checked_once():
    jobs = Grid.of({}, ["lr=1,2,3", "optimizer=adam,sgd", "name=x"]).samples()
    assert jobs[0] == ["lr=1", "optimizer=adam", "name=x"]
    assert len(jobs) == 1 + 2 + 1
    assert {job[0] for job in jobs} == {"lr=1", "lr=2", "lr=3"}
    assert {job[1] for job in jobs} == {"optimizer=adam", "optimizer=sgd"}


def test_several_values_are_no_value(conf):
    with pytest.raises(
        BadInput, match=r"^lr=2,3: several values need a multirun, add -m; one value with a comma needs quotes$"
    ):
        composed(conf, "train", ["lr=2,3"])
    assert composed(conf, "train", ["name='2,3'"]).name == "2,3"


def test_a_folder_of_ones_own_comes_first(conf, tmp_path):
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "mine" / "optimizer" / "lion.yaml").write_text("lr: ${lr}\nbeta: 0.5\n")
    cfg = composed(conf, "train", ["optimizer=lion"], extra=str(tmp_path / "mine"))
    assert cfg.optimizer == {"lr": 1, "beta": 0.5}


def test_a_missing_value_is_named(conf):
    with pytest.raises(BadInput, match=r"^name is missing: add name=…$"):
        task_values(composed(conf, "train", []))
    assert task_values(composed(conf, "train", ["name=a"]))["optimizer"] == {"lr": 1, "momentum": 0}


@pytest.mark.parametrize("text", ["${nothing}", "${oc.env:NOT_SET_ANYWHERE}", "${nobody:1}"])
def test_an_interpolation_that_leads_nowhere(conf, text):
    with pytest.raises(BadInput) as caught:
        task_values(composed(conf, "train", [f"name={text}"]))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizr=adam", "optimizr=adam: unknown key 'optimizr', did you mean 'optimizer'?"),
        ("optimizer=adm", "optimizer=adm: no such option, did you mean 'adam'? (optimizer has adam, sgd)"),
        (
            "optimizer.momentm=1",
            "optimizer.momentm=1: unknown key 'optimizer.momentm', did you mean 'optimizer.momentum'?",
        ),
        ("lr.x=1", "lr.x=1: unknown key 'lr.x'"),
    ],
)
def test_the_override_that_was_meant(conf, override, message):
    with pytest.raises(BadInput) as caught:
        composed(conf, "train", ["name=a", override])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "override",
    [
        "+hydra.callbacks.mine._target_=builtins.exec",
        "+hydra.callbacks.mine._target_=glassbox.model.TinyNet",
        "hydra.sweeper._target_=hydra.utils.call",
        "+hydra.callbacks.mine.deep._target_=os.system",
        "+hydra.callbacks.mine.list=[{_target_:os.system}]",
        "hydra.job_logging.handlers.file.class=subprocess.Popen",
        "hydra.job_logging.handlers.file.class=logging.config.dictConfig",
        "+hydra.job_logging.handlers.file.\\(\\)=os.system",
        "+hydra.job_logging.handlers.mine={'()':os.system}",
        "+hydra.job_logging.filters.mine={'()':'ext://os.system'}",
        "+hydra.job_logging.formatters.line.style=ext://os.environ",
        "+hydra.hydra_logging.handlers.mine.class=os.system",
        "hydra.run.dir=/tmp",
        "hydra.run.dir=${glassbox.outputs:}/${study}/fixed",
        "hydra.sweep.dir=.",
    ],
)
def test_hydras_tree_names_no_code_of_its_own(override):
    register_resolvers()
    with pytest.raises(BadInput):
        check_hydra(composed(CONF, "train", [override]))


@pytest.mark.parametrize(
    "override",
    [
        "hydra.job_logging.root.level=DEBUG",
        "hydra.job_logging.handlers.console.class=rich.logging.RichHandler",
        "hydra.job_logging.handlers.console.stream=ext://sys.stdout",
        "hydra.job_logging.handlers.file.class=logging.handlers.WatchedFileHandler",
        "hydra/job_logging=stdout",
        "+hydra.callbacks.log._target_=hydra.experimental.callbacks.LogJobReturnCallback",
    ],
)
def test_hydras_tree_may_be_set_otherwise(override):
    register_resolvers()
    check_hydra(composed(CONF, "train", [override]))


def test_the_projects_own_config_passes():
    register_resolvers()
    cfg = composed(CONF, "train", [])
    check_hydra(cfg)
    check(task_values(cfg))
