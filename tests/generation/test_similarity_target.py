"""Similarity targets and how they are written, and whether the allocator finds strategies that reach them."""

from __future__ import annotations

from math import ceil
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.errors import InputError
from molvae.generation.similarity_target import MEDIAN_HALF_WIDTH, SimilarityTarget, StrategyAllocator
from molvae.generation.strategies import SIMILARITY_FREQUENCIES, STRATEGIES, Strategy, expected_yield

# --- similarity target ---


@pytest.mark.parametrize("value", [0.6, "0.6", " .6 ", np.float64(0.6), np.float32(0.6)])
def test_median(value):
    target = SimilarityTarget.parse(value)
    assert target.median == pytest.approx(0.6)
    assert (target.low, target.high) == pytest.approx((0.6 - MEDIAN_HALF_WIDTH, 0.6 + MEDIAN_HALF_WIDTH))
    assert str(target) == "similarity 0.6"


@pytest.mark.parametrize("value", [(0.5, 0.7), [0.5, 0.7], "0.5:0.7", " 0.5 : 0.7 ", np.array([0.5, 0.7])])
def test_range(value):
    target = SimilarityTarget.parse(value)
    assert target == SimilarityTarget(0.5, 0.7, None)
    assert str(target) == "similarity 0.5 to 0.7"


@pytest.mark.parametrize(("value", "low", "high"), [(0.05, 0, 0.2), (0.95, 0.8, 1)])
def test_range_of_a_median_is_clipped(value, low, high):
    target = SimilarityTarget.parse(value)
    assert (target.low, target.high) == pytest.approx((low, high))
    assert SimilarityTarget.parse((0, 1)) == SimilarityTarget(0, 1)


@pytest.mark.parametrize(
    "value",
    [0, 1, 1.2, -0.3, True, False, float("nan"), "0", "1", "a", "", ":", ":0.5", "0.5:", "nan", "0.7:0.5", "0.5:0.5",
     "0.5:1.1", "-0.1:0.5", "nan:0.5", "0.1:0.2:0.3", (0.1,), (), (0.1, 0.2, 0.3), (0.7, 0.5), (None, 0.5), None,
     "None", 0.5j, object()],
)  # fmt: skip
def test_invalid_targets(value):
    with pytest.raises(InputError, match=r"similarity must be a median|goes from 0 to 1|a range begins"):
        SimilarityTarget.parse(value)


# --- strategy allocator ---

CLOSE, DISTANT = Strategy(0.2), Strategy(0.8, branch=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 600), st.integers(0, 5), st.randoms(use_true_random=False))
def test_number_of_allocated_samples(n_samples, rounds, random):
    allocator = StrategyAllocator(SimilarityTarget.parse(0.5), 50)
    for _ in range(rounds):
        strategies = allocator.allocate(random.randint(0, 300))
        allocator.update(strategies, [random.random() < random.choice([0, 0.1, 1]) for _ in strategies])
    strategies = allocator.allocate(n_samples)
    assert len(strategies) == n_samples
    assert set(strategies) <= set(STRATEGIES)


def _expected(strategy, low, high):
    """Fraction of the samples of a strategy in a range of whole tenths."""
    return sum(SIMILARITY_FREQUENCIES[STRATEGIES.index(strategy)][round(10 * low) : round(10 * high)])


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.2), (0.4, 1.0), (0.5, 0.7), (0.8, 1.0)])
def test_first_round_prefers_what_reaches_the_range_around_other_seeds(low, high):
    strategies = StrategyAllocator(SimilarityTarget(low, high), 50).allocate(1000)
    counts = {strategy: strategies.count(strategy) for strategy in STRATEGIES}
    assert min(counts.values()) >= 1
    for first in STRATEGIES:
        for second in STRATEGIES:
            if _expected(first, low, high) > _expected(second, low, high) + 1e-6:
                assert counts[first] >= counts[second] - 1


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_expected_yield_is_additive(bounds):
    low, middle, high = sorted(bounds)
    for index, strategy in enumerate(STRATEGIES):
        total = expected_yield(index, low, high)
        assert total == pytest.approx(expected_yield(index, low, middle) + expected_yield(index, middle, high))
        assert 0 <= total <= 1
        assert expected_yield(index, 0.3, 0.6) == pytest.approx(_expected(strategy, 0.3, 0.6))


def test_allocation_follows_the_yield():
    allocator = StrategyAllocator(SimilarityTarget(0.5, 0.7), 50)
    first = allocator.allocate(90)
    allocator.update(first, [strategy == CLOSE for strategy in first])
    assert allocator.allocate(90).count(CLOSE) > 70
    for _ in range(8):  # the yield changes
        strategies = allocator.allocate(90)
        allocator.update(strategies, [strategy == DISTANT for strategy in strategies])
    assert allocator.allocate(90).count(DISTANT) > 60


def test_earlier_rounds_count_less():
    allocator = StrategyAllocator(SimilarityTarget(0.5, 0.7), 500)
    strategies = [CLOSE] * 20 + [DISTANT] * 20
    for _ in range(10):
        allocator.update(strategies, [True] * 20 + [True, False] * 10)
    assert allocator.allocate(90).count(CLOSE) > allocator.allocate(90).count(DISTANT)
    for _ in range(4):
        allocator.update(strategies, [False] * 20 + [True, False] * 10)
    assert allocator.allocate(90).count(CLOSE) < allocator.allocate(90).count(DISTANT)


def test_no_strategy_is_dropped_without_any_yield():
    allocator = StrategyAllocator(SimilarityTarget(0.9, 0.95), 50)
    for _ in range(5):
        strategies = allocator.allocate(64)
        allocator.update(strategies, [False] * len(strategies))
    assert set(allocator.allocate(64)) == set(STRATEGIES)


@settings(deadline=None)
@given(
    st.integers(1, 12),
    st.sampled_from([0.1, 0.5, 0.92]),
    st.lists(st.floats(0, 1), max_size=80),
)
def test_each_side_of_a_median_accepts_half_of_the_molecules(n_molecules, target, similarities):
    allocator = StrategyAllocator(SimilarityTarget.parse(target), n_molecules)
    half = ceil(n_molecules / 2)
    accepted: list[float] = []
    for similarity in similarities:
        inside = abs(similarity - target) <= MEDIAN_HALF_WIDTH + 1e-12
        same_side = [s for s in accepted if (s >= target) == (similarity >= target)]
        is_accepted = allocator.accepts(similarity)
        if abs(abs(similarity - target) - MEDIAN_HALF_WIDTH) > 1e-9:  # at the bound, rounding decides
            assert is_accepted == (inside and len(same_side) < half)
        if is_accepted:
            accepted.append(similarity)
    assert allocator.n_above == sum(s >= target for s in accepted) <= half
    assert allocator.n_below == sum(s < target for s in accepted) <= half


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_range_accepts_any_number_of_molecules(similarity):
    allocator = StrategyAllocator(SimilarityTarget(0.5, 0.7), 1)
    assert all(allocator.accepts(similarity) == (0.5 <= similarity <= 0.7) for _ in range(3))


@settings(deadline=None)
@given(st.lists(st.floats(0.35, 0.65), max_size=40))
def test_balanced_molecules_have_the_target_median(similarities):
    molecules = {f"m{i}": s for i, s in enumerate(similarities)}
    selected = StrategyAllocator(SimilarityTarget.parse(0.5), 40).balance(molecules)
    assert selected == [m for m in molecules if m in set(selected)]
    lower, upper = ([s for s in similarities if (s >= 0.5) == side] for side in (False, True))
    if len(lower) == len(upper):
        assert selected == list(molecules)
    if lower and upper:
        result, size = median(molecules[m] for m in selected), min(len(lower), len(upper))
        assert max(lower) <= result <= min(upper)
        assert len(selected) >= 2 * size
        even = sorted(lower)[-size:] + sorted(upper)[:size]
        assert abs(result - 0.5) <= max(0.02, abs(median(even) - 0.5)) + 1e-12
    else:
        assert len(selected) == min(1, len(similarities))


def test_balance_drops_an_extra_molecule_unless_it_completes_the_number():
    """Around a small seed there may be no molecules between 0.7 and 0.8."""
    molecules = {"a": 0.9, "b": 0.8, "c": 0.8, "d": 0.7, "e": 0.7, "f": 0.7, "g": 0.65}
    selected = StrategyAllocator(SimilarityTarget.parse(0.8), 20).balance(molecules)
    assert selected == list("abcdef")
    assert median(map(molecules.get, selected)) == 0.75
    assert StrategyAllocator(SimilarityTarget.parse(0.8), 7).balance(molecules) == list("abcdefg")
    close = {"a": 0.85, "b": 0.81, "c": 0.79, "d": 0.78, "e": 0.7}
    assert StrategyAllocator(SimilarityTarget.parse(0.8), 20).balance(close) == list("abcde")  # 0.79 is close enough


def test_a_range_is_not_balanced():
    molecules = {"a": 0.69, "b": 0.68, "c": 0.51, "d": 0.67}
    assert StrategyAllocator(SimilarityTarget(0.5, 0.7), 4).balance(molecules) == list(molecules)


# --- simulated seed whose similarity falls with the noise level ---


def _mean_similarity(strategy):
    """0.9 for the strategy closest to the seed, 0.2 for the most distant one."""
    factor = 0.5 if strategy.branch else 1
    return float(np.exp(-1.6 * (strategy.noise_level + 0.06) * strategy.temperature_scale * factor))


def _simulate(target, n_molecules=60, max_samples=3000):
    """The similarities found, the allocator, the strategies of the last full round, and the number of samples."""
    random = np.random.default_rng(0)
    allocator = StrategyAllocator(SimilarityTarget.parse(target), n_molecules)
    found, n_samples, last = [], 0, []
    while len(found) < n_molecules and n_samples < max_samples:
        strategies = allocator.allocate(min(128, max_samples - n_samples))
        accepted = []
        for strategy in strategies:
            similarity = float(np.clip(_mean_similarity(strategy) + random.normal(0, 0.07), 0, 1))
            is_new = random.random() < 0.3  # the others are duplicates
            is_accepted = is_new and len(found) < n_molecules and allocator.accepts(similarity)
            accepted.append(is_accepted)
            if is_accepted:
                found.append(similarity)
        allocator.update(strategies, accepted)
        n_samples, last = n_samples + len(strategies), strategies
    return found, allocator, last, n_samples


@pytest.mark.parametrize("target", [0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
def test_simulated_search_meets_the_median(target):
    found, allocator, _, n_samples = _simulate(target)
    assert allocator.n_below == allocator.n_above == 30
    assert len(found) == 60
    assert median(found) == pytest.approx(target, abs=0.04)
    assert n_samples < 2000


@pytest.mark.parametrize("target", [0.3, 0.45, 0.6, 0.8])
def test_simulated_search_uses_strategies_near_the_range(target):
    _, _, last, n_samples = _simulate((target - 0.05, target + 0.05), n_molecules=400, max_samples=1280)
    assert n_samples == 1280
    assert len(last) == 128
    suitable = [strategy for strategy in last if abs(_mean_similarity(strategy) - target) < 0.13]
    all_suitable = [strategy for strategy in STRATEGIES if abs(_mean_similarity(strategy) - target) < 0.13]
    assert len(all_suitable) <= 8
    assert len(suitable) > 0.75 * len(last)
