"""Shards: how jobs are cut."""

from collections import Counter

import pytest

from glassbox.config.shards import cut


@pytest.mark.parametrize(
    ("kinds", "shards", "most"),
    [
        ([*"abcd"] * 64, 8, 8),  # each shard has one kind
        ([*"aab"] * 40, 4, 5),  # one border inside a kind more than shards
        ([*"abc"] * 10 + [None] * 7, 4, 6),
        (["a", None, "b", None, "c"], 2, 0),  # none has another of its kind
        ([*"ab"] * 2, 16, 4),
    ],
)
def test_jobs_of_one_kind_stay_together_in_shards_of_one_size(kinds: list[str | None], shards: int, most: int) -> None:
    found = cut(kinds, shards)
    assert sorted(index for shard in found for index in shard) == list(range(len(kinds)))
    sizes = [len(shard) for shard in found]
    assert len(found) == min(shards, len(kinds))
    assert max(sizes) - min(sizes) <= 1
    many = {kind for kind, count in Counter(kinds).items() if kind is not None and count > 1}
    assert sum(len({kinds[index] for index in shard} & many) for shard in found) == most
    alone = [sum(kinds[index] not in many for index in shard) for shard in found]
    assert max(alone) - min(alone) <= 1
