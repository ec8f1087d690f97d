"""A job in another process: what Hydra writes and returns, without its cost."""

import pickle

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from glassbox.config.place import CONF
from glassbox.config.resolvers import register_resolvers
from glassbox.config.spec import Composer
from glassbox.config.work import Done, Returned, Work, build_only

OVERRIDES = [
    ["lr=0.1"],
    ["lr=0.2", "seed=3"],
    ["optimizer=sgd", "notes='a: b, and a rather long text that a line of a YAML file cannot hold'"],
]


@pytest.fixture
def composer(tmp_path):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3", job_name="train"):
        loader = GlobalHydra.instance().config_loader()
        settings = [
            f"hydra.sweep.dir={tmp_path}/out",
            "hydra.sweep.subdir=${hydra.job.num}",
            "hydra.output_subdir=.hydra",
        ]
        yield Composer(loader, loader.load_configuration("train", settings, run_mode=RunMode.MULTIRUN))


def test_a_job_gets_its_config_and_leaves_hydras_files(composer):
    seen = []
    for number, overrides in enumerate([*OVERRIDES, *OVERRIDES[::-1]]):
        spec = composer.spec(overrides, number)

        def function(cfg, number=number):
            seen.append(OmegaConf.to_container(cfg))
            return number * 2

        done = Work(function)(spec)
        assert done == Done(number * 2, folder=spec.folder)
        returned = Returned(spec, done)
        assert (returned.return_value, returned.status) == (number * 2, JobStatus.COMPLETED)
        folder = spec.folder + "/.hydra/"
        assert OmegaConf.load(folder + "overrides.yaml") == overrides
        assert OmegaConf.load(folder + "config.yaml") == returned.cfg
        assert (OmegaConf.to_container(OmegaConf.load(folder + "hydra.yaml"))) == OmegaConf.to_container(
            OmegaConf.create(OmegaConf.to_yaml(returned.hydra_cfg))
        )
        assert returned.hydra_cfg.hydra.job.num == number
    assert [cfg["lr"] for cfg in seen] == [0.1, 0.2, 0.01, 0.01, 0.2, 0.1]
    assert [cfg["seed"] for cfg in seen] == [0, 3, 0, 0, 3, 0]


def test_an_error_comes_back_whatever_it_is(composer):
    class Awkward(Exception):
        def __reduce__(self):
            raise TypeError("not me")

    def fails(error):
        def function(cfg):
            raise error

        return Work(function)(composer.spec([], 0)).error

    assert str(fails(ValueError("no"))) == "no"
    assert str(fails(SystemExit(0))) == "sys.exit(0) was called"
    told = fails(Awkward("odd"))
    assert str(told) == "Awkward: odd"
    assert str(pickle.loads(pickle.dumps(told))) == "Awkward: odd"
    with pytest.raises(SystemExit):
        fails(SystemExit(143))


def test_a_result_that_cannot_be_sent_is_an_error(composer):
    done = Work(lambda cfg: lambda: 0)(composer.spec([], 0))
    assert "cannot be sent to another process" in str(done.error)


def test_building_tells_what_does_not_fit(composer):
    small = ["data=moons", "data.samples=50"]
    assert build_only(composer.spec([*small, "batch_size=10"], 0)) is None
    assert build_only(composer.spec([*small, "batch_size=31"], 0)).startswith("batch_size=31: larger than the 30")
