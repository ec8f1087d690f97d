"""The DataModule of a table against scikit-learn and pandas."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from glassbox.data import breast_cancer, diabetes, digits, moons
from glassbox.data.csv import read_frame
from glassbox.data.module import TableModule
from glassbox.data.predict import Preprocessing
from glassbox.data.table import Table
from glassbox.errors import BadInput

SETS = {"binary": breast_cancer, "multiclass": digits, "regression": diabetes}


@pytest.mark.parametrize("task", SETS)
def test_standardised_by_the_training_rows_alone(task):
    table = SETS[task]()
    module = TableModule(table, task=task, dtype=torch.float64)
    scaler = StandardScaler().fit(table.features[module.rows["train"]])
    for part, loader in (("train", module.train_dataloader()), ("val", module.val_dataloader())):
        expected = torch.from_numpy(scaler.transform(table.features[module.rows[part]]))
        assert torch.allclose(loader.tensors[0], expected, rtol=1e-12, atol=1e-12)


def test_a_numeric_target_is_standardised_and_comes_back():
    table = diabetes()
    module = TableModule(table, task="regression", dtype=torch.float64)
    y = module.test_dataloader().tensors[1]
    train = table.target[module.rows["train"]]
    assert module.target_scale == pytest.approx(train.std())
    back = Preprocessing.from_state(module.state_dict()).decode(y)["prediction"]
    assert back.to_numpy() == pytest.approx(table.target[module.rows["test"]], rel=1e-12)


def test_the_split_follows_the_data_seed_and_not_the_runs():
    one, two = (TableModule(moons(), task="binary", order_seed=seed) for seed in (0, 1))
    assert all(np.array_equal(one.rows[part], two.rows[part]) for part in one.rows)
    other = TableModule(moons(), task="binary", seed=1)
    assert not np.array_equal(one.rows["train"], other.rows["train"])


def test_a_constant_feature_stays_finite():
    table = Table(np.array([[7.0, float(i)] for i in range(30)]), ("a", "b"), np.arange(30) % 2, "t", ("n", "y"))
    x = TableModule(table, task="binary", batch_size=4).train_dataloader().tensors[0]
    assert torch.equal(x[:, 0], torch.zeros(18))


def test_the_state_survives_a_checkpoint_that_holds_no_code(tmp_path):
    state = TableModule(breast_cancer(), task="binary").state_dict()
    torch.save(state, tmp_path / "state.ckpt")
    read = torch.load(tmp_path / "state.ckpt", weights_only=True)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[key], state[key]) for key in ("mean", "std"))


@pytest.mark.parametrize("task", SETS)
def test_raw_rows_are_predicted_as_in_memory(tmp_path, task):
    table = SETS[task]()
    module = TableModule(table, task=task, dtype=torch.float64)
    frame = pd.DataFrame(table.features, columns=list(table.feature_names))
    frame.insert(0, "id", range(len(frame)))
    frame[frame.columns[::-1]].to_csv(tmp_path / "raw.csv", index=False)
    preprocessing = Preprocessing.from_state(module.state_dict())
    transformed = preprocessing.transform(tmp_path / "raw.csv", read_frame(tmp_path / "raw.csv"))
    assert torch.equal(transformed, module.standardize(torch.from_numpy(table.features)))
    net = torch.nn.Linear(module.in_features, module.out_features, dtype=torch.float64)
    predicted = preprocessing.decode(net(transformed).detach())
    output = net(transformed).detach().numpy()
    if task == "regression":
        expected = output[:, 0] * module.target_scale + module.target.mean
        assert predicted["prediction"].to_numpy() == pytest.approx(expected)
    else:
        codes = (output[:, 0] > 0).astype(int) if task == "binary" else output.argmax(axis=1)
        assert predicted["prediction"].tolist() == [table.classes[code] for code in codes]
        assert predicted.filter(like="probability_").sum(axis=1).to_numpy() == pytest.approx(1.0)


MISFITS = [
    (breast_cancer, "multi", {}, "loss.task=multi: must be binary, multiclass, regression"),
    (digits, "binary", {}, "The target 'digit' has 10 classes, but loss=bce needs 2; use loss=cross_entropy"),
    (diabetes, "binary", {}, "The target 'progression' is a number, but loss=bce needs classes; use loss=mse"),
    (diabetes, "multiclass", {}, "The target 'progression' is a number, but loss=cross_entropy needs classes"),
    (breast_cancer, "regression", {}, "has classes (malignant, benign, …), but loss=mse needs numbers; use loss=bce"),
    (moons, "binary", {"batch_size": 601}, "batch_size=601: larger than the 600 training rows; use 600 or less"),
]


@pytest.mark.parametrize(("source", "task", "options", "message"), MISFITS)
def test_what_does_not_fit_is_refused(source, task, options, message):
    with pytest.raises(BadInput) as error:
        TableModule(source(), task=task, **options)
    assert message in str(error.value)


def test_classes_that_are_numbers_may_be_predicted_as_numbers():
    module = TableModule(digits(), task="regression", dtype=torch.float64)
    raw = module.train_dataloader().tensors[1] * module.target_scale + module.target.mean
    assert raw.flatten().numpy() == pytest.approx(digits().target[module.rows["train"]])


def test_a_checkpoint_of_other_rows_is_refused():
    state = TableModule(moons(), task="binary", seed=1).state_dict()
    with pytest.raises(BadInput, match="trained on other rows"):
        TableModule(moons(), task="binary").load_state_dict(state)
