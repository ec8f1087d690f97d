"""The filter against Python's own evaluation, and every mistake with its words and its mark."""

import pytest

from glassbox.compare.filter import select
from glassbox.compare.run import Run
from glassbox.errors import BadInput

CONFIGS = [
    {"lr": lr, "optimizer": optimizer, "optimizer.eps": eps}
    for lr in (0.1, 0.01)
    for optimizer, eps in (("adam", 1e-8), ("sgd", None))
]


@pytest.fixture
def runs(tmp_path):
    made = []
    for number, config in enumerate(CONFIGS):
        kept = {key: value for key, value in config.items() if value is not None}
        fields = {"name": str(number), "config": kept, "best": {"val/loss": number / 10}, "tags": ["a"]}
        made.append(Run(tmp_path, fields, "finished" if number else "failed"))
    return made


@pytest.mark.parametrize(
    "text",
    [
        "lr > 0.05",
        'lr>0.05 and optimizer=="adam"',
        'not lr > 0.05 or optimizer != "adam"',
        "0.05 < lr <= 0.1",
        "lr in [0.1, 3]",
        'optimizer not in ("adam", "x")',
        'status == "failed"',
        "loss >= 0.2 and loss < 0.3",
        "lr > -1",
        '"a" in tags',
    ],
)
def test_it_lets_through_what_python_would(runs, text):
    names = [
        {**config, "loss": number / 10, "status": "finished" if number else "failed", "tags": ["a"]}
        for number, config in enumerate(CONFIGS)
    ]
    expected = [str(number) for number, known in enumerate(names) if eval(text, {}, known)]
    assert [run.name for run in select(runs, text.replace("loss", "val/loss"))] == expected


def test_a_key_that_a_run_does_not_have_is_equal_to_nothing(runs):
    assert [run.name for run in select(runs, "optimizer.eps < 1")] == ["0", "2"]
    assert [run.name for run in select(runs, "optimizer.eps != 3")] == ["0", "1", "2", "3"]
    assert [run.name for run in select(runs, "1e-8 in [optimizer.eps]")] == ["0", "2"]


@pytest.mark.parametrize(
    ("text", "why", "place"),
    [
        ("lr >", "invalid syntax", 4),
        ("lr > > 1", "invalid syntax", 5),
        ("lrr > 1", "no run has a 'lrr', did you mean 'lr'?", 0),
        ("optimizer == adam", "no run has a 'adam'; a text needs quotes", 13),
        ('optimizer == "ééé" and zzz > 1', "no run has a 'zzz'; a text needs quotes", 23),
        ("lr", "here a comparison is needed, as in lr>0.01", 0),
        ("lr > 0 and lr", "here a comparison is needed, as in lr>0.01", 11),
        ("lr is 1", "compare with < <= > >= == != in not in", 0),
        ("lr > len('a')", "here a key, a number, a 'text' or a [list] is needed", 5),
        ("__import__('os').getpid() > 1", "here a key, a number, a 'text' or a [list] is needed", 0),
        ('lr > "a"', "0.1 and 'a' cannot be compared so", 0),
    ],
)
def test_a_mistake_is_marked(runs, text, why, place):
    with pytest.raises(BadInput) as error:
        select(runs, text)
    assert str(error.value) == f"--filter: {why}\n  {text}\n  {' ' * place}^"


def test_an_empty_filter_is_told(runs):
    with pytest.raises(BadInput, match="it is empty"):
        select(runs, " ")
