"""A sample is each row's equal chance, whatever tables the rows come in, and the counts are those of the rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.data.hashing import hash_texts
from molvae.errors import InputError
from molvae.metrics.accumulator import INVALID_KEPT, Tally


def rows(flags):
    """A row per flag: a made-up molecule, one that lacks a figure (None), or no molecule (False)."""
    texts = [f"m{i}" for i in range(len(flags))]
    errors = {True: "", None: "no sa: why not", False: "bad"}
    return pd.DataFrame(
        {
            "smiles": texts,
            "error": [errors[flag] for flag in flags],
            "canonical": ["" if flag is False else text for flag, text in zip(flags, texts, strict=True)],
            "novel": pd.Series([None] * len(flags), dtype=object),
        }
    )


def tallied(frame, size, seed=0, cuts=()):
    tally = Tally(size, seed)
    edges = [0, *sorted(cuts), len(frame)]
    for start, end in pairwise(edges):
        tally.add(frame.iloc[start:end])
    return tally


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_how_rows_are_cut_makes_no_difference(data):
    flags = data.draw(st.lists(st.sampled_from([True, True, True, None, False]), max_size=60))
    size, seed = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 5))
    cuts = data.draw(st.lists(st.integers(0, len(flags)), max_size=8))
    frame = rows(flags)
    whole, parts = tallied(frame, size, seed), tallied(frame, size, seed, cuts)
    pd.testing.assert_frame_equal(parts.sample(), whole.sample(), check_dtype=False)
    assert parts.first_invalid()["smiles"].tolist() == whole.first_invalid()["smiles"].tolist()
    valid = [f"m{i}" for i, flag in enumerate(flags) if flag is not False]
    for tally in (whole, parts):
        assert (tally.read, tally.valid, tally.invalid) == (len(flags), len(valid), flags.count(False))
        assert tally.incomplete == flags.count(None)
        assert tally.keys().tolist() == hash_texts(valid).tolist()
        drawn = tally.sample()["smiles"].tolist()
        assert len(drawn) == min(size, len(valid))
        assert drawn == [text for text in valid if text in set(drawn)]  # each once, in order of arrival
        assert list(tally.sample().columns) == list(frame.columns)
        bad = [f"m{i}" for i, flag in enumerate(flags) if flag is False]
        assert tally.first_invalid()["smiles"].tolist() == bad[:INVALID_KEPT]


def test_every_row_has_the_same_chance():
    """First and last ones too: 120 draws of 10 in 40, each row expected 30 times, standard deviation 5."""
    frame, drawn = rows([True] * 40), np.zeros(40)
    for seed in range(120):
        drawn[[int(text[1:]) for text in tallied(frame, 10, seed, (15, 30)).sample()["smiles"]]] += 1
    assert drawn.sum() == 1200
    assert drawn.min() > 30 - 22
    assert drawn.max() < 30 + 22
    assert abs(drawn[:20].sum() - 600) < 90


def test_the_seed_draws():
    frame = rows([True] * 200)
    samples = [tallied(frame, 10, seed).sample()["smiles"].tolist() for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]


def test_what_is_kept_stays_small():
    tally = Tally(10, 0)
    for _ in range(50):
        tally.add(rows([True] * 7))
        assert sum(map(len, tally._kept)) <= 20
    assert tally.valid == 350


def test_asking_changes_nothing():
    frame = rows([True] * 50)
    asked, expected = Tally(5, 0), tallied(frame, 5).sample()
    for start in range(0, 50, 10):
        asked.add(frame.iloc[start : start + 10])
        asked.sample()
    pd.testing.assert_frame_equal(asked.sample(), expected)


def test_nothing_at_all():
    tally = Tally(5, 0)
    assert (tally.read, tally.valid, tally.invalid, len(tally.keys())) == (0, 0, 0, 0)
    assert tally.sample().empty
    assert tally.first_invalid().empty
    assert {"smiles", "error", "canonical"} <= set(tally.sample().columns)


@pytest.mark.parametrize("size", [0, -1])
def test_a_sample_of_nothing_is_rejected(size):
    with pytest.raises(InputError, match="at least 1 molecule"):
        Tally(size, 0)
