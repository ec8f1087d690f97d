"""The order of samples is a function of seed and epoch alone."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.data import BatchSampler, DataLoader, TensorDataset

from glassbox.data.batches import TensorBatches
from glassbox.data.sampler import EpochSampler, SharedBatches, mix
from glassbox.errors import BadInput


def test_order_ignores_every_other_source_of_randomness():
    sampler = EpochSampler(50, seed=3)
    expected = [sampler.order(epoch).tolist() for epoch in range(4)]
    torch.manual_seed(9)
    torch.rand(7)
    random.seed(1)
    np.random.default_rng(2)
    seen = EpochSampler(50, seed=3)
    for epoch in (3, 1, 0, 2):  # in any order, again and again
        seen.set_epoch(epoch)
        assert list(seen) == list(seen) == expected[epoch]


def test_order_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    list(EpochSampler(50, seed=3))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_epoch_and_seed_has_its_own_order_of_all_rows():
    orders = {tuple(EpochSampler(20, seed).order(epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    assert all(sorted(order) == list(range(20)) for order in orders)


def test_orders_are_uniform_and_those_of_a_seed_independent():
    def chi_square(pairs, cells):
        counts = Counter(pairs)
        return stats.chisquare([counts[cell] for cell in cells]).pvalue

    by_seed = [EpochSampler(5, seed).order(3).tolist() for seed in range(4000)]
    first_two = [(order[0], order[1]) for order in by_seed]
    assert chi_square(first_two, itertools.permutations(range(5), 2)) > 0.01
    sampler = EpochSampler(5, seed=1)
    by_epoch = [int(sampler.order(epoch)[0]) for epoch in range(4001)]
    following = itertools.pairwise(by_epoch)
    assert chi_square(following, itertools.product(range(5), repeat=2)) > 0.01


def test_without_shuffling_the_order_is_that_of_the_rows():
    assert list(EpochSampler(5, seed=1, shuffle=False)) == [0, 1, 2, 3, 4]


def test_mix_is_a_bijection_of_the_packed_pair():
    # The finaliser undone, step by step, gives the pair back: two pairs cannot meet.
    def unshift(z, k):
        x = z
        for _ in range(64 // k + 1):
            x = z ^ (x >> k)
        return x

    mask = 2**64 - 1
    for seed in (0, 1, 2**31, 2**32 - 1):
        for epoch in (0, 1, 999, 2**32 - 1):
            z = unshift(mix(seed, epoch), 31)
            z = unshift(z * pow(0x94D049BB133111EB, -1, 2**64) & mask, 27)
            z = unshift(z * pow(0xBF58476D1CE4E5B9, -1, 2**64) & mask, 30)
            assert (z - 0x9E3779B97F4A7C15) & mask == (seed << 32 | epoch)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 20])
def test_batches_equal_those_of_a_data_loader(batch_size):
    x, y = torch.arange(40.0).reshape(20, 2), torch.arange(20)
    sampler = EpochSampler(20, seed=5)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, sampler=sampler)
    ours = TensorBatches((x, y), batch_size, lambda: sampler.order(2))
    sampler.set_epoch(2)
    assert len(ours) == len(loader)
    for mine, theirs in zip(ours, loader, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [8, 9, 19])
def test_the_gradient_of_a_batch_is_the_mean_over_processes_of_their_weighted_ones(world, batch_size):
    x = torch.randn(20, 3, dtype=torch.float64)
    net = torch.nn.Linear(3, 1).double()

    def gradient(rows):
        loss = net(rows).square().mean()  # NaN of no rows, which reaches no weight
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, net.parameters())])

    sampler = EpochSampler(20, seed=5)
    whole = TensorBatches((x,), batch_size, lambda: sampler.order(1))
    shares = [TensorBatches((x,), batch_size, lambda: sampler.order(1), rank, world) for rank in range(world)]
    for index, ((batch,), parts) in enumerate(zip(whole, zip(*shares, strict=True), strict=True)):
        assert sorted(torch.cat([rows for (rows,) in parts]).tolist()) == sorted(batch.tolist())
        weighted = [share.share(index) * gradient(rows) for share, (rows,) in zip(shares, parts, strict=True)]
        assert torch.allclose(sum(weighted) / world, gradient(batch), rtol=1e-12, atol=0)


@pytest.mark.parametrize("world", [2, 3])
def test_a_data_loader_is_shared_as_our_own_batches_are(world):
    order = EpochSampler(20, seed=5)
    order.set_epoch(3)
    whole = BatchSampler(order, 8, drop_last=False)
    rows = torch.arange(20)
    for rank in range(world):
        theirs = SharedBatches(whole, rank, world)
        ours = TensorBatches((rows,), 8, lambda: order.order(3), rank, world)
        assert len(theirs) == len(ours)
        assert list(theirs) == [batch.tolist() for (batch,) in ours]
        assert [theirs.share(index) for index in range(3)] == [ours.share(index) for index in range(3)]


def test_the_first_process_says_which_batches():
    theirs = [[4, 5, 6], [1, 2, 3]]
    assert list(SharedBatches([[1, 2, 3], [4, 5, 6]], 1, 2, agree=lambda ours: theirs)) == [[5], [2]]


def test_a_loader_whose_last_batch_is_too_small_is_refused():
    with pytest.raises(BadInput, match=r"trainer.devices=2: a batch of 1 rows has no row for some of the processes"):
        list(SharedBatches(BatchSampler(range(9), 4, drop_last=False), 0, 2))
