"""The shortlist equals the head of the sorted list, for any order in which hits are added."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from molvae.screening.shortlist import Hit, Shortlist

NAMES = [a + b for a in "CNOS" for b in "CNOSFB"]


def make_hits(names):
    """Hits with scores of one decimal, many of them equal."""
    return [Hit(round(sum(map(ord, n)) % 7 / 10, 1), n, f"name {i}", "lib.smi", i) for i, n in enumerate(names, 1)]


@given(st.lists(st.sampled_from(NAMES), max_size=80), st.integers(1, 8), st.integers(1, 9), st.randoms())
def test_shortlist_equals_head_of_sorted_list(names, top, size, order: random.Random):
    hits = make_hits(names)
    first = {hit.smiles: hit for hit in reversed(hits)}
    expected = sorted(first.values(), key=lambda hit: (-hit.score, hit.smiles))[:top]
    order.shuffle(hits)
    shortlist = Shortlist(top)
    for start in range(0, len(hits), size):
        shortlist.add(hits[start : start + size])
    found = shortlist.hits()
    assert [(h.smiles, h.score, h.name, h.row) for h in found] == [(h.smiles, h.score, h.name, h.row) for h in expected]
    assert [h.n_occurrences for h in found] == [Counter(names)[h.smiles] for h in found]


def test_memory_and_threshold():
    shortlist = Shortlist(3)
    shortlist.add(Hit(float(i), f"C{i}", "", "", i) for i in range(1000))
    assert len(shortlist._hits) < 6
    assert shortlist.threshold >= 994
    assert [hit.score for hit in shortlist.hits()] == [999, 998, 997]
    assert shortlist.threshold == 997


def test_seeds_come_first_among_equal_scores():
    hits = [Hit(1.0, "C[C@@H](N)O", "", "", 1), Hit(1.0, "CC(N)O", "", "", 2), Hit(1.0, "C[C@H](N)O", "", "", 3)]
    shortlist = Shortlist(1, {"C[C@H](N)O", "CCC"})
    for hit in [*hits, Hit(0.5, "CCC", "", "", 4)]:
        shortlist.add([hit])
    assert shortlist.hits() == hits[2:]


def test_empty_shortlist():
    assert Shortlist(5).hits() == []
    assert Shortlist(5).threshold == -float("inf")
