"""The plan of a study: what was decided for a member once is found again, whoever decided it."""

import pytest

from glassbox.errors import BadInput
from glassbox.population.plan import Plan
from glassbox.population.setting import Setting


def never() -> Setting:
    raise AssertionError("nothing is left to decide")


def test_shards_write_files_of_their_own_and_read_all(tmp_path):
    names = [str(number) for number in range(60)]
    one, two = Plan(tmp_path / "population-1.json"), Plan(tmp_path / "population-2.json")
    ((first, _),) = one.place("adam", names[:30], lambda: Setting(width=32))
    ((second, _),) = two.place("adam", names[30:], lambda: Setting(width=64, varied=("lr",)))
    assert {path.name for path in tmp_path.iterdir()} == {"population-1.json", "population-2.json"}
    for name in ("population.json", "population-1.json", "population-3.json"):
        found = Plan(tmp_path / name).place("adam", names[20:40], never)
        assert dict(found) == {first: names[20:30], second: names[30:40]}
    ((third, _),) = Plan(tmp_path / "population.json").place("sgd", names, lambda: Setting(width=64))
    assert Plan(one.path).place("sgd", names[:1], never) == [(third, names[:1])]


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "population-7.json").write_text("{")
    with pytest.raises(BadInput, match=r"population-7\.json cannot be read: .*; move it away"):
        Plan(tmp_path / "population.json")
