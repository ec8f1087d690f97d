"""A table of the user's own: what is read, and every mistake in its exact words."""

import numpy as np
import pandas as pd
import pytest

from glassbox.data import csv
from glassbox.errors import BadInput

GOOD = "a,b,label\n1,2.5,yes\n-3,4e2,no\n5,6,yes\n"

MISTAKES = {
    "empty": ("", {}, "the file is empty"),
    "header only": ("a,b,label\n", {}, "a header and no rows"),
    "no header": ("1,2,3\n4,5,6\n", {"target": "3"}, "the first line must name the columns, but holds the number 1"),
    "semicolons": ("a;b;label\n1;2;yes\n", {}, "one column only, 'a;b;label'; separate columns by commas"),
    "ragged": ("a,b,label\n1,2,yes\n1,2,yes,9\n", {}, "rows of unequal length: Expected 3 fields in line 3, saw 4"),
    "twice": ("a,a,label\n1,2,yes\n", {}, "two columns are called 'a'"),
    "no target": (GOOD, {"target": "lable"}, "no column 'lable' (data.target), did you mean 'label'?"),
    "no such target": (GOOD, {"target": "zzz"}, "no column 'zzz' (data.target); it has a, b, label"),
    "no feature": ("label\nyes\nno\n", {}, "no feature beside the target 'label'"),
    "no such feature": (GOOD, {"features": ["a", "bb"]}, "no column 'bb', did you mean 'b'?"),
    "target as feature": (GOOD, {"features": ["a", "label"]}, "data.features: 'label' is the target; leave it out"),
    "one class": ("a,label\n1,yes\n2,yes\n", {}, "column 'label' (target): one value only, 'yes'; nothing to learn"),
    "ids": (
        "a,label\n" + "".join(f"{i},id{i}\n" for i in range(50)),
        {},
        "column 'label' (target): 50 different texts in 50 rows are no classes; is it the right column?",
    ),
}
CELLS = {
    "": "the cell is empty; fill it or leave the row out",
    "nan": "'nan' is not a finite number; correct it or leave the row out",
    "inf": "'inf' is not a finite number; correct it or leave the row out",
    "-inf": "'-inf' is not a finite number; correct it or leave the row out",
    "many": "'many' is not a finite number; correct it or leave the row out",
    "1e39": "1e39 is too large for float32; scale the column",
}


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "my.csv"
    path.write_text(text, encoding=encoding)
    return str(path)


def test_features_and_classes_as_pandas_reads_them(tmp_path):
    path = write(tmp_path, GOOD)
    table, frame = csv(path, "label"), pd.read_csv(path)
    assert table.feature_names == ("a", "b")
    assert np.array_equal(table.features, frame[["a", "b"]].to_numpy(float))
    assert [table.classes[code] for code in table.target] == frame["label"].tolist()


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["b", "a", "b", "c"], ("a", "b", "c")),
        (["True", "False", "True", "True"], ("False", "True")),
        (["10", "9", "10", "9"], ("9", "10")),
        (["1.0", "0.0", "1", "0"], ("0", "1")),
        (["1.5", "0.0", "1", "0"], None),
        ([str(i) for i in range(30)], None),
    ],
)
def test_what_a_target_is(tmp_path, cells, classes):
    path = write(tmp_path, "a,t\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    table = csv(path, "t")
    assert table.classes == classes
    if classes is None:
        assert table.target.tolist() == [float(cell) for cell in cells]


def test_features_may_be_chosen(tmp_path):
    assert csv(write(tmp_path, GOOD), "label", features=["b"]).features.tolist() == [[2.5], [400.0], [6.0]]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told(tmp_path, name):
    text, options, message = MISTAKES[name]
    path = write(tmp_path, text)
    with pytest.raises(BadInput) as error:
        csv(path, **{"target": "label"} | options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_that_is_no_number_is_told_by_row_and_column(tmp_path, cell):
    path = write(tmp_path, f"a,b,label\n1,2,yes\n3,{cell},no\n")
    with pytest.raises(BadInput) as error:
        csv(path, "label")
    assert str(error.value) == f"{path}, row 3, column 'b': {CELLS[cell]}"


@pytest.mark.parametrize("cell", ["", "nan", "inf"])
def test_a_target_that_is_missing_is_told(tmp_path, cell):
    path = write(tmp_path, f"a,label\n1,2.5\n3,{cell}\n4,1.5\n")
    with pytest.raises(BadInput, match=r"row 3, column 'label' \(target\)"):
        csv(path, "label")


def test_a_missing_file_and_another_encoding_are_told(tmp_path):
    with pytest.raises(BadInput, match=r"no such file \(data.path\)"):
        csv(str(tmp_path / "none.csv"), "label")
    with pytest.raises(BadInput, match="not UTF-8"):
        csv(write(tmp_path, "a,label\n1,größe\n", "latin-1"), "label")
