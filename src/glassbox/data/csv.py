"""A table of the user's own, from a CSV file."""

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glassbox.data.table import Table
from glassbox.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

FEW = 20


def csv(path: str, target: str, features: Sequence[str] | str = "all") -> Table:
    r"""Return the table in a CSV file: UTF-8, commas, one header line.

    A target of text, of truth values or of at most 20 different whole numbers is classes, in sorted order; any other is
    a number.

    Args:
        path: The file.
        target: The column to predict.
        features: The columns to predict from, or `all` others.

    Raises:
        BadInput: The file is missing, empty or no such table, a column is missing, or a cell is not a finite number.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "my.csv"
        >>> _ = file.write_text("a,b,label\n1,2,yes\n3,4,no\n")
        >>> csv(str(file), "label").classes
        ('no', 'yes')
    """
    frame = read_frame(Path(path))
    columns = [str(name) for name in frame.columns]
    if target not in columns:
        raise BadInput(f"{path}: no column '{target}' (data.target){_near(target, columns)}")
    if isinstance(features, str) and features != "all":
        features = [features]
    wanted = [name for name in columns if name != target] if features == "all" else [str(name) for name in features]
    if not wanted:
        raise BadInput(f"{path}: no feature beside the target '{target}'")
    if target in wanted:
        raise BadInput(f"data.features: '{target}' is the target; leave it out")
    codes, classes = read_target(Path(path), frame[target])
    return Table(read_features(Path(path), frame, wanted), tuple(wanted), codes, target, classes)


def read_frame(path: Path) -> "pd.DataFrame":
    r"""Read a CSV file as text, with every mistake of the file told.

    Args:
        path: The file.

    Returns:
        Its cells as text; missing ones are empty.

    Raises:
        BadInput: The file is missing, empty, without rows, ragged, in another encoding, or has a column twice.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "my.csv"
        >>> _ = file.write_text("a, b\n1,\n02,x\n")
        >>> read_frame(file).to_dict("list")
        {'a': ['1', '02'], 'b': ['', 'x']}
    """
    import pandas as pd

    try:
        raw = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8", skipinitialspace=True)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file (data.path)") from error
    except pd.errors.EmptyDataError as error:
        raise BadInput(f"{path}: the file is empty") from error
    except pd.errors.ParserError as error:
        text = " ".join(str(error).replace("Error tokenizing data. C error:", "").split())
        raise BadInput(f"{path}: rows of unequal length: {text}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    names = [str(name).strip() for name in raw.iloc[0]]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise BadInput(f"{path}: one column only, '{names[0]}'; separate columns by commas")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"{path}: two columns are called '{twice[0]}'")
    if len(raw) < 2:
        raise BadInput(f"{path}: a header and no rows")
    if any(_is_number(name) for name in names):
        raise BadInput(f"{path}: the first line must name the columns, but holds the number {_first_number(names)}")
    frame = raw.iloc[1:].reset_index(drop=True)
    frame.columns = pd.Index(names)
    return frame


def read_features(path: Path, frame: "pd.DataFrame", names: Sequence[str]) -> np.ndarray:
    """Return columns as numbers [N, D].

    Args:
        path: The file, for messages.
        frame: What `read_frame` returned.
        names: The columns.

    Raises:
        BadInput: A column is missing, or a cell is not a finite number; the message names row and column.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"a": ["1", "2"], "b": ["3", "4"], "label": ["yes", "no"]})
        >>> read_features(Path("my.csv"), frame, ["b", "a"]).tolist()
        [[3.0, 1.0], [4.0, 2.0]]
    """
    columns = [str(name) for name in frame.columns]
    for name in names:
        if name not in columns:
            raise BadInput(f"{path}: no column '{name}'{_near(name, columns)}")
    return np.stack([_numbers(path, name, frame[name]) for name in names], axis=1)


def read_target(path: Path, column: "pd.Series[str]") -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return a target as class codes with the names of the classes, or as numbers with None.

    Args:
        path: The file, for messages.
        column: The column.

    Raises:
        BadInput: A cell is empty or not finite, or there is one class only.

    Example:
        >>> import pandas as pd
        >>> codes, classes = read_target(Path("my.csv"), pd.Series(["yes", "no", "yes"]))
        >>> codes.tolist(), classes
        ([1, 0, 1], ('no', 'yes'))
        >>> read_target(Path("my.csv"), pd.Series(["0.5", "2"]))
        (array([0.5, 2. ]), None)
    """
    texts = [text.strip() for text in column]
    for row, text in enumerate(texts, start=2):
        if text == "" or text.lower() in ("nan", "na", "null", "none", "inf", "-inf"):
            raise BadInput(f"{path}, row {row}, column '{column.name}' (target): {_what(text)}")
    distinct = sorted(set(texts))
    if all(_is_number(text) for text in distinct):
        values = _numbers(path, str(column.name), column)
        unique = np.unique(values)
        if len(unique) > FEW or not bool(np.all(unique == np.round(unique))):
            return values, None
        names = tuple(f"{value:.0f}" for value in unique)
        codes = np.searchsorted(unique, values).astype(np.int64)
    else:
        if len(distinct) > max(FEW, len(texts) // 2):
            raise BadInput(
                f"{path}, column '{column.name}' (target): {len(distinct)} different texts in {len(texts)} rows "
                "are no classes; is it the right column?"
            )
        names = tuple(distinct)
        place = {name: code for code, name in enumerate(names)}
        codes = np.array([place[text] for text in texts], dtype=np.int64)
    if len(names) < 2:
        raise BadInput(f"{path}, column '{column.name}' (target): one value only, '{names[0]}'; nothing to learn")
    return codes, names


def _numbers(path: Path, name: str, column: "pd.Series[str]") -> np.ndarray:
    values = np.empty(len(column))
    for row, text in enumerate(column):
        try:
            values[row] = float(text)
        except ValueError:
            values[row] = np.nan
        if not abs(values[row]) <= np.finfo(np.float32).max:
            raise BadInput(f"{path}, row {row + 2}, column '{name}': {_what(text.strip())}")
    return values


def _what(text: str) -> str:
    if text == "":
        return "the cell is empty; fill it or leave the row out"
    if _is_number(text):
        return f"{text} is too large for float32; scale the column"
    return f"'{text}' is not a finite number; correct it or leave the row out"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _first_number(names: Sequence[str]) -> str:
    return next(name for name in names if _is_number(name))


def _near(name: str, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, columns, n=1)
    return f", did you mean '{near[0]}'?" if near else f"; it has {', '.join(columns)}"
