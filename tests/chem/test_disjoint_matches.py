"""Placement of patterns without shared atoms, against a search through all combinations."""

from __future__ import annotations

import random
from itertools import product

import pytest

from molvae.chem import disjoint_matches
from molvae.chem.disjoint_matches import place_disjoint


def brute_force(candidates):
    return any(len(frozenset().union(*sets)) == sum(map(len, sets)) for sets in product(*candidates))


@pytest.mark.parametrize("random_state", range(200))
def test_equals_brute_force(random_state):
    choose = random.Random(random_state)
    pools = [
        [frozenset(choose.sample(range(8), choose.randint(1, 3))) for _ in range(choose.randint(0, 5))]
        for _ in range(2)
    ]
    candidates = [choose.choice(pools) for _ in range(choose.randint(1, 4))]
    found = place_disjoint(candidates)
    assert (found is not None) == brute_force(candidates)
    if found is not None:
        assert any(found == frozenset().union(*sets) for sets in product(*candidates))


def test_nothing_to_place():
    assert place_disjoint([]) == frozenset()
    assert place_disjoint([[frozenset({1})], []]) is None


def test_search_stops(monkeypatch):
    """The last of the candidates fits, which a search of two steps does not reach."""
    candidates = [[frozenset({0, 1}), frozenset({1, 2}), frozenset({2, 3})], [frozenset({n, 4}) for n in (0, 1)]]
    candidates[1] += [frozenset({2, 5}), frozenset({1, 5})]
    assert place_disjoint(candidates) is not None
    monkeypatch.setattr(disjoint_matches, "MAX_STEPS", 1)
    assert place_disjoint(candidates) is None
