"""The epoch's metrics against scikit-learn and torchmetrics on the same rows, in batches of unequal size."""

import warnings

import pytest
import torch
import torchmetrics.functional as tm
import torchmetrics.functional.classification as tmc
from sklearn import metrics as sk

from glassbox.training.metric import EpochMetrics, auroc, metrics

SIZES = (32, 32, 7)


def kept(epoch, loss, outputs, targets):
    """Feed an epoch in unequal batches, and return its values as numbers."""
    for output, target in zip(outputs.split(SIZES), targets.split(SIZES), strict=True):
        epoch.keep(loss(output, target), output, target)
    return {name: float(value) for name, value in epoch.compute().items()}


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_binary(rng, scale):
    # Small logits all lie in [0, 1]: taken for probabilities, they would give another accuracy.
    logits = (torch.rand(71, 1, generator=rng, dtype=torch.float64) - 0.3) * scale
    target = torch.randint(0, 2, (71, 1), generator=rng).double()
    values = kept(EpochMetrics("binary"), torch.nn.BCEWithLogitsLoss(), logits, target)
    expected = {
        "loss": sk.log_loss(target.ravel(), torch.sigmoid(logits).ravel()),
        "accuracy": sk.accuracy_score(target.ravel(), logits.ravel() > 0),
        "auroc": sk.roc_auc_score(target.ravel(), logits.ravel()),
    }
    assert values == pytest.approx(expected, rel=1e-6)


def test_multiclass(rng):
    logits = torch.randn(71, 4, generator=rng, dtype=torch.float64)
    target = torch.randint(0, 4, (71,), generator=rng)
    values = kept(EpochMetrics("multiclass"), torch.nn.CrossEntropyLoss(), logits, target)
    probability = torch.softmax(logits, 1)
    expected = {
        "loss": sk.log_loss(target, probability),
        "accuracy": sk.accuracy_score(target, logits.argmax(1)),
        "auroc": sk.roc_auc_score(target, probability, multi_class="ovr", average="macro"),
    }
    assert values == pytest.approx(expected, rel=1e-6)


def test_regression_in_the_targets_own_units(rng):
    output = torch.randn(71, 1, generator=rng, dtype=torch.float64)
    target = torch.randn(71, 1, generator=rng, dtype=torch.float64)
    values = kept(EpochMetrics("regression", target_scale=77.0), torch.nn.MSELoss(), output, target)
    expected = {
        "loss": sk.mean_squared_error(target, output),
        "mae": sk.mean_absolute_error(77 * target + 5, 77 * output + 5),
        "r2": sk.r2_score(target, output),
    }
    assert values == pytest.approx(expected, rel=1e-6)


def test_an_epoch_forgets_the_one_before(rng):
    epoch = EpochMetrics("binary")
    target = torch.tensor([[0.0], [1.0]])
    for logits in (torch.tensor([[-1.0], [1.0]]), torch.tensor([[1.0], [-1.0]])):
        epoch.keep(torch.tensor(1.0), logits, target)
        last = epoch.compute()
    assert float(last["accuracy"]) == 0.0
    assert epoch.compute() == {}


def test_outputs_that_are_not_finite_give_nan():
    epoch = EpochMetrics("binary")
    epoch.keep(torch.tensor(torch.nan), torch.tensor([[torch.nan], [1.0]]), torch.tensor([[0.0], [1.0]]))
    assert all(torch.isnan(value) for value in epoch.compute().values())


def test_a_batch_without_rows_counts_for_nothing():
    with_it, without = EpochMetrics("binary"), EpochMetrics("binary")
    logits, target = torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([[1.0], [0.0], [0.0]])
    loss = torch.nn.BCEWithLogitsLoss()
    for epoch in (with_it, without):
        epoch.keep(loss(logits, target), logits, target)
    with_it.keep(loss(logits[:0], target[:0]), logits[:0], target[:0])
    assert with_it.compute() == without.compute()


MODELS = 5


def by_torchmetrics(task, output, target, scale):
    """Return the metrics of one model; torchmetrics computes areas in torch's default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(output.dtype)
    try:
        if task == "regression":
            pairs = (output[:, 0] * scale, target * scale)
            return [float(tm.mean_absolute_error(*pairs)), float(tm.r2_score(*pairs))]
        if task == "binary":
            pairs = (torch.sigmoid(output[:, 0]), target.long())
            return [float(tmc.binary_accuracy(*pairs)), float(tmc.binary_auroc(*pairs))]
        pairs = (torch.softmax(output, 1), target, output.shape[1])
        return [float(tmc.multiclass_accuracy(*pairs, average="micro")), float(tmc.multiclass_auroc(*pairs))]
    finally:
        torch.set_default_dtype(before)


def ties(output):
    return (output * 2).round() / 2


CASES = {
    "binary": ("binary", 1, lambda z: z),
    "binary, with ties": ("binary", 1, ties),
    "binary, all equal": ("binary", 1, lambda z: z * 0),
    "multiclass": ("multiclass", 3, lambda z: z),
    "multiclass, all equal": ("multiclass", 3, lambda z: z * 0),
    "multiclass, a class that is absent": ("multiclass", 4, lambda z: z),
    "regression": ("regression", 1, lambda z: z),
}


@pytest.mark.parametrize("shared", [False, True], ids=["own targets", "shared targets"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["double", "single"]
)
@pytest.mark.parametrize("case", CASES)
def test_many_models_have_torchmetrics_values(rng, case, dtype, tolerance, shared):
    task, outputs, change = CASES[case]
    output = change(torch.randn(71, outputs, MODELS, generator=rng, dtype=torch.float64)).to(dtype)
    target = torch.randint(0, min(3, max(2, outputs)), (71, 1 if shared else MODELS), generator=rng)
    target = target if task == "multiclass" else target.to(dtype)
    values = torch.stack(list(metrics(task, output, target, target_scale=3.0).values()))
    for model in range(MODELS):
        own = target[:, 0 if shared else model]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that are absent
            expected = by_torchmetrics(task, output[..., model], own, 3.0)
        first, second = values[:, model].tolist()
        assert second == pytest.approx(expected[1], rel=tolerance, abs=tolerance)
        # torchmetrics' functions return a share of rows in single precision.
        assert first == pytest.approx(expected[0], rel=tolerance if task == "regression" else 1e-7)


@pytest.mark.parametrize("positive", [0, 1])
def test_one_class_has_no_area(positive):
    values = metrics("binary", torch.tensor([[[0.1]], [[0.2]]]), torch.full((2, 1), float(positive)))
    assert float(values["auroc"]) == 0.0


@pytest.mark.parametrize(("residual", "target", "r2"), [(0.0, 5.0, 1.0), (1.0, 5.0, 0.0)])
def test_r2_of_a_constant_target(residual, target, r2):
    values = metrics("regression", torch.full((3, 1, 1), target + residual), torch.full((3, 1), target))
    assert float(values["r2"]) == r2


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_only_the_model_whose_outputs_are_not_finite_has_nan(rng, task):
    output = torch.randn(9, 1 if task != "multiclass" else 3, 4, generator=rng)
    output[4, 0, 1], output[5, 0, 2] = torch.nan, torch.inf
    target = torch.arange(9)[:, None] % 2
    for value in metrics(task, output, target if task == "multiclass" else target.float()).values():
        assert value.isnan().tolist() == [False, True, True, False]


def test_equal_rankings_have_equal_areas(rng):
    # Counted as floats the areas under them differ in the last digit, which then chooses between epochs.
    positive = torch.rand(97, 1, generator=rng) > 0.5
    score = positive + torch.rand(97, 8, generator=rng)
    assert set(auroc(score, positive.expand(97, 8)).tolist()) == {1.0}
