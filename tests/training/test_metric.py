"""The epoch's metrics against scikit-learn on the same rows, in batches of unequal size."""

import pytest
import torch
from sklearn import metrics as sk

from glassbox.training.metric import EpochMetrics

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
