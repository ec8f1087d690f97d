"""The three gates: a config names code, and only what its group accepts is imported or called."""

import sys

import pytest
import torch
from torch import nn

from glassbox.config.build import ACCEPTS, build, call, check_targets, find
from glassbox.errors import BadInput

REFUSED_BY_NAME = [
    ({"model": {"_target_": "os.system"}}, "package 'os' is not trusted"),
    ({"model": {"_target_": "builtins.exec"}}, "package 'builtins' is not trusted"),
    (
        {"callbacks": {"x": {"_target_": "subprocess.Popen"}}},
        "callbacks.x._target_=subprocess.Popen: package 'subprocess'",
    ),
    ({"model": {"backbone": {"_target_": "os.system"}}}, "model.backbone._target_=os.system"),
    ({"model": {"layers": [{"_target_": "os.system"}]}}, "model.layers.0._target_=os.system"),
    ({"model": {"_target_": "torch"}}, "must be a dotted name"),
    ({"model": {"_target_": "torch.nn._reduction"}}, "must be a dotted name"),
    ({"model": {"_target_": "torch..nn"}}, "must be a dotted name"),
    ({"model": {"_target_": ["torch.nn.Linear"]}}, "must be a dotted name"),
    ({"model": {"_args_": [1]}}, "of Hydra's special keys only `_target_` is used here"),
    ({"model": {"_partial_": True}}, "of Hydra's special keys only `_target_` is used here"),
    ({"tags": {"_target_": "torch.nn.Linear"}}, "nothing is built here"),
    ({"_target_": "torch.nn.Linear"}, "nothing is built here"),
]

REFUSED_BY_KIND = [
    ("model", "torch.hub.load", "must be a subclass of torch.nn.Module"),
    ("model", "torch.load", "must be a subclass of torch.nn.Module"),
    ("model", "torch.optim.Adam", "must be a subclass of torch.nn.Module"),
    ("optimizer", "torch.nn.Linear", "must be a subclass of torch.optim.Optimizer"),
    ("init", "torch.hub.load", "must be a function of torch.nn.init or a function of glassbox.init"),
    ("init", "torch.nn.init.warnings", "must be a function of torch.nn.init"),
    ("data", "torch.load", "a function of glassbox.data"),
    ("data", "torch.hub.download_url_to_file", "a function of glassbox.data"),
    ("callbacks", "torch.nn.Linear", "must be a subclass of lightning.pytorch.callbacks.Callback"),
    ("trainer", "lightning.pytorch.LightningModule", "must be a subclass of lightning.pytorch.Trainer"),
    ("logger", "lightning.pytorch.loggers.CSVLogger", "glassbox.tracking"),
    ("scheduler", "torch.optim.SGD", "must be a subclass of torch.optim.lr_scheduler.LRScheduler"),
    ("optimizer", "torch.optim.Adm", "no such name, did you mean 'Adam'?"),
    ("optimizer", "torch.optimm.Adam", "there is no module 'torch.optimm'"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED_BY_NAME)
def test_refused_by_name_alone(config, message):
    before = set(sys.modules)
    with pytest.raises(BadInput) as error:
        check_targets(config)
    assert message in str(error.value)
    assert set(sys.modules) == before


@pytest.mark.parametrize(("group", "target", "message"), REFUSED_BY_KIND)
def test_refused_by_kind(group, target, message):
    with pytest.raises(BadInput) as error:
        find(group, target)
    assert message in str(error.value)
    assert f"{group}._target_={target}" in str(error.value)


def test_a_function_that_a_module_only_imported_is_refused():
    # torch.nn.init has `torch` in its namespace; what lives elsewhere is not its own.
    with pytest.raises(BadInput):
        find("init", "glassbox.init.apply.torch")


def test_trusted_packages_come_from_pyproject_alone(monkeypatch, tmp_path):
    config = {"trusted_packages": ["os"], "model": {"_target_": "os.system", "trusted_packages": ["os"]}}
    with pytest.raises(BadInput, match="not trusted"):
        check_targets(config)


def test_arguments_are_checked_before_the_call():
    with pytest.raises(BadInput) as error:
        build("model", {"_target_": "torch.nn.Linear", "in_feature": 2, "out_features": 1})
    assert str(error.value) == (
        "model.in_feature: torch.nn.Linear has no argument 'in_feature', did you mean 'in_features'?"
    )


def test_what_a_target_says_against_its_arguments_is_one_line():
    optimizer = build("optimizer", {"_target_": "torch.optim.Adam", "lr": 0.1, "betas": [2.0, 0.9]})
    with pytest.raises(BadInput) as error:
        call("optimizer", optimizer, nn.Linear(1, 1).parameters())
    assert str(error.value) == "optimizer: Adam refuses its arguments: Invalid beta parameter at index 0: 2.0"


def test_built_objects_equal_those_made_by_hand():
    linear = build("model", {"_target_": "torch.nn.Linear", "out_features": 3}, in_features=2, unknown=9)
    assert (linear.in_features, linear.out_features) == (2, 3)
    nested = build(
        "model",
        {
            "_target_": "torch.nn.TransformerEncoder",
            "num_layers": 1,
            "enable_nested_tensor": False,
            "encoder_layer": {"_target_": "torch.nn.TransformerEncoderLayer", "d_model": 4, "nhead": 2},
        },
    )
    assert isinstance(nested.layers[0], nn.TransformerEncoderLayer)
    optimizer = build("optimizer", {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})(linear.parameters())
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.defaults["lr"] == 0.5
    assert build("init", {"_target_": None}) is None


def test_every_group_of_conf_is_known():
    from glassbox.config.schema import GROUPS

    assert set(ACCEPTS) == set(GROUPS) - {"launcher"}  # whose executor is no class of torch or Lightning
