"""The dial: how it is written, and whether its gauge finds the ways to draw that give what was asked for."""

from __future__ import annotations

from math import ceil
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.errors import InputError
from molvae.generation.similarity_target import HALF_WIDTH, WAYS, Dial, Gauge, Way

# --- the dial ---


@pytest.mark.parametrize("asked", [0.6, "0.6", " .6 ", np.float64(0.6), np.float32(0.6)])
def test_a_target(asked):
    dial = Dial.of(asked)
    assert dial.target == pytest.approx(0.6)
    assert (dial.low, dial.high) == pytest.approx((0.6 - HALF_WIDTH, 0.6 + HALF_WIDTH))
    assert str(dial) == "similarity 0.6"


@pytest.mark.parametrize("asked", [(0.5, 0.7), [0.5, 0.7], "0.5:0.7", " 0.5 : 0.7 ", np.array([0.5, 0.7])])
def test_a_band(asked):
    dial = Dial.of(asked)
    assert dial == Dial(0.5, 0.7, None)
    assert str(dial) == "similarity 0.5 to 0.7"


@pytest.mark.parametrize(("target", "low", "high"), [(0.05, 0, 0.2), (0.95, 0.8, 1)])
def test_a_target_near_the_end_has_what_there_is(target, low, high):
    dial = Dial.of(target)
    assert (dial.low, dial.high) == pytest.approx((low, high))
    assert Dial.of((0, 1)) == Dial(0, 1)


@pytest.mark.parametrize(
    "asked",
    [0, 1, 1.2, -0.3, True, False, float("nan"), "0", "1", "a", "", ":", ":0.5", "0.5:", "nan", "0.7:0.5", "0.5:0.5",
     "0.5:1.1", "-0.1:0.5", "nan:0.5", "0.1:0.2:0.3", (0.1,), (), (0.1, 0.2, 0.3), (0.7, 0.5), (None, 0.5), None,
     "None", 0.5j, object()],
)  # fmt: skip
def test_what_is_no_dial(asked):
    with pytest.raises(InputError, match=r"similarity is a (target such as 0\.6 or a )?band such as 0\.5:0\.7"):
        Dial.of(asked)


# --- the gauge ---

NEAR, FAR = Way(0.2), Way(0.8, departs=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 600), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_ways_are_as_many_as_asked_for(strings, rounds, random):
    gauge = Gauge(Dial.of(0.5), 50)
    for _ in range(rounds):
        ways = gauge.ways(random.randint(0, 300))
        gauge.learn(ways, [random.random() < random.choice([0, 0.1, 1]) for _ in ways])
    ways = gauge.ways(strings)
    assert len(ways) == strings
    assert set(ways) <= set(WAYS)


@pytest.mark.parametrize("strings", [17, 64, 100, 256])
def test_the_first_round_tries_every_way_alike(strings):
    ways = Gauge(Dial.of(0.5), 50).ways(strings)
    counts = [ways.count(way) for way in WAYS]
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 1


def test_what_a_way_yields_it_gets_more_of():
    gauge = Gauge(Dial(0.5, 0.7), 50)
    first = gauge.ways(90)
    gauge.learn(first, [way == NEAR for way in first])
    second = gauge.ways(90)
    assert second.count(NEAR) > 80
    for _ in range(8):  # and when it dries up, it loses it again
        ways = gauge.ways(90)
        gauge.learn(ways, [way == FAR for way in ways])
    assert gauge.ways(90).count(FAR) > 60


def test_what_was_long_ago_counts_less():
    gauge = Gauge(Dial(0.5, 0.7), 500)
    for _ in range(10):
        gauge.learn([NEAR] * 20 + [FAR] * 20, [True] * 20 + [True, False] * 10)
    assert gauge.ways(90).count(NEAR) > gauge.ways(90).count(FAR)
    for _ in range(4):
        gauge.learn([NEAR] * 20 + [FAR] * 20, [False] * 20 + [True, False] * 10)
    assert gauge.ways(90).count(NEAR) < gauge.ways(90).count(FAR)


def test_without_any_yield_no_way_is_given_up():
    gauge = Gauge(Dial(0.9, 0.95), 50)
    for _ in range(5):
        ways = gauge.ways(64)
        gauge.learn(ways, [False] * len(ways))
    assert set(gauge.ways(64)) == set(WAYS)


@settings(deadline=None)
@given(
    st.integers(1, 12),
    st.sampled_from([0.1, 0.5, 0.92]),
    st.lists(st.floats(0, 1), max_size=80),
)
def test_neither_half_takes_more_than_half(wanted, target, similarities):
    gauge = Gauge(Dial.of(target), wanted)
    half = ceil(wanted / 2)
    taken: list[float] = []
    for similarity in similarities:
        inside = abs(similarity - target) <= HALF_WIDTH + 1e-12
        peers = [s for s in taken if (s >= target) == (similarity >= target)]
        accepted = gauge.accepts(similarity)
        if abs(abs(similarity - target) - HALF_WIDTH) > 1e-9:  # on the edge, rounding decides
            assert accepted == (inside and len(peers) < half)
        if accepted:
            taken.append(similarity)
    assert gauge.above == sum(s >= target for s in taken) <= half
    assert gauge.below == sum(s < target for s in taken) <= half


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_band_takes_all_that_lies_in_it(similarity):
    gauge = Gauge(Dial(0.5, 0.7), 1)
    assert all(gauge.accepts(similarity) == (0.5 <= similarity <= 0.7) for _ in range(3))


@settings(deadline=None)
@given(st.lists(st.floats(0.35, 0.65), max_size=40))
def test_what_is_balanced_has_its_median_at_the_target(similarities):
    molecules = {f"m{i}": s for i, s in enumerate(similarities)}
    chosen = Gauge(Dial.of(0.5), 40).balanced(molecules)
    assert chosen == [m for m in molecules if m in set(chosen)]
    lower, upper = ([s for s in similarities if (s >= 0.5) == side] for side in (False, True))
    if len(lower) == len(upper):
        assert chosen == list(molecules)
    if lower and upper:
        delivered, most = median(molecules[m] for m in chosen), min(len(lower), len(upper))
        assert max(lower) <= delivered <= min(upper)
        assert len(chosen) >= 2 * most
        even = sorted(lower)[-most:] + sorted(upper)[:most]
        assert abs(delivered - 0.5) <= max(0.02, abs(median(even) - 0.5)) + 1e-12
    else:
        assert len(chosen) == min(1, len(similarities))


def test_a_gap_at_the_target_costs_one_molecule_and_not_the_median():
    """As of a small seed, around which there is nothing between 0.7 and 0.8."""
    molecules = {"a": 0.9, "b": 0.8, "c": 0.8, "d": 0.7, "e": 0.7, "f": 0.7, "g": 0.65}
    chosen = Gauge(Dial.of(0.8), 20).balanced(molecules)
    assert chosen == list("abcdef")
    assert median(map(molecules.get, chosen)) == 0.75
    assert Gauge(Dial.of(0.8), 7).balanced(molecules) == list("abcdefg")  # which are all that were asked for
    close = {"a": 0.85, "b": 0.81, "c": 0.79, "d": 0.78, "e": 0.7}
    assert Gauge(Dial.of(0.8), 20).balanced(close) == list("abcde")  # 0.79 is near enough


def test_a_band_is_not_balanced():
    molecules = {"a": 0.69, "b": 0.68, "c": 0.51, "d": 0.67}
    assert Gauge(Dial(0.5, 0.7), 4).balanced(molecules) == list(molecules)


# --- a seed whose similarity falls with the noise level ---


def _falls(way):
    """0.9 at the nearest way, 0.2 at the farthest."""
    return float(np.exp(-1.6 * (way.noise_level + 0.06) * way.heat * (0.5 if way.departs else 1)))


def _searched(asked, wanted=60, max_samples=3000, seed=0):
    """The similarities found, the gauge, and the ways of the last full round."""
    random = np.random.default_rng(seed)
    gauge, found, spent, last = Gauge(Dial.of(asked), wanted), [], 0, []
    while len(found) < wanted and spent < max_samples:
        ways = gauge.ways(min(128, max_samples - spent))
        kept = []
        for way in ways:
            similarity = float(np.clip(_falls(way) + random.normal(0, 0.07), 0, 1))
            good = random.random() < 0.3 and len(found) < wanted and gauge.accepts(similarity)  # the others are no news
            kept.append(good)
            if good:
                found.append(similarity)
        gauge.learn(ways, kept)
        spent, last = spent + len(ways), ways
    return found, gauge, last, spent


@pytest.mark.parametrize("target", [0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
def test_both_halves_are_filled_and_the_median_is_met(target):
    found, gauge, _, spent = _searched(target)
    assert gauge.below == gauge.above == 30
    assert len(found) == 60
    assert median(found) == pytest.approx(target, abs=0.04)
    assert spent < 2000


@pytest.mark.parametrize("target", [0.3, 0.45, 0.6, 0.8])
def test_the_strings_go_where_the_band_is(target):
    band = (target - 0.05, target + 0.05)
    _, _, last, spent = _searched(band, wanted=400, max_samples=1280)
    assert spent == 1280
    assert len(last) == 128
    right = [way for way in last if abs(_falls(way) - target) < 0.13]
    blind = [way for way in WAYS if abs(_falls(way) - target) < 0.13]
    assert len(blind) <= 8
    assert len(right) > 0.8 * len(last)
