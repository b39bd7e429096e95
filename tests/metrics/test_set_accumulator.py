"""Counts, hashes and random sample of a stream of rows, accumulated table by table."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.data.hashing import hash_texts
from molvae.errors import InputError
from molvae.metrics.set_metrics import MAX_INVALID_KEPT, SetAccumulator


def rows(flags):
    """Return a row per flag: valid (True), valid with a missing value (None), or invalid (False)."""
    texts = [f"m{i}" for i in range(len(flags))]
    errors = {True: "", None: "no sa: reason", False: "invalid"}
    return pd.DataFrame(
        {
            "smiles": texts,
            "error": [errors[flag] for flag in flags],
            "canonical": ["" if flag is False else text for flag, text in zip(flags, texts, strict=True)],
            "not_in_training": pd.Series([None] * len(flags), dtype=object),
        }
    )


def accumulate(frame, size, random_state=0, boundaries=()):
    accumulator = SetAccumulator(size, random_state)
    edges = [0, *sorted(boundaries), len(frame)]
    for start, end in pairwise(edges):
        accumulator.add(frame.iloc[start:end])
    return accumulator


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_division_into_tables(data):
    flags = data.draw(st.lists(st.sampled_from([True, True, True, None, False]), max_size=60))
    size, random_state = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 5))
    boundaries = data.draw(st.lists(st.integers(0, len(flags)), max_size=8))
    frame = rows(flags)
    whole, parts = accumulate(frame, size, random_state), accumulate(frame, size, random_state, boundaries)
    pd.testing.assert_frame_equal(parts.sample(), whole.sample(), check_dtype=False)
    assert parts.first_invalid()["smiles"].tolist() == whole.first_invalid()["smiles"].tolist()
    valid = [f"m{i}" for i, flag in enumerate(flags) if flag is not False]
    for accumulator in (whole, parts):
        assert (accumulator.n_read, accumulator.n_valid, accumulator.n_invalid) == (
            len(flags),
            len(valid),
            flags.count(False),
        )
        assert accumulator.n_incomplete == flags.count(None)
        assert accumulator.hashes().tolist() == hash_texts(valid).tolist()
        sampled = accumulator.sample()["smiles"].tolist()
        assert len(sampled) == min(size, len(valid))
        assert sampled == [text for text in valid if text in set(sampled)]  # distinct, in input order
        assert list(accumulator.sample().columns) == list(frame.columns)
        invalid = [f"m{i}" for i, flag in enumerate(flags) if flag is False]
        assert accumulator.first_invalid()["smiles"].tolist() == invalid[:MAX_INVALID_KEPT]


def test_sample_is_uniform():
    """In 120 samples of 10 out of 40 rows, each row is expected 30 times, with a standard deviation of 5."""
    frame, sampled = rows([True] * 40), np.zeros(40)
    for random_state in range(120):
        sampled[[int(text[1:]) for text in accumulate(frame, 10, random_state, (15, 30)).sample()["smiles"]]] += 1
    assert sampled.sum() == 1200
    assert sampled.min() > 30 - 22
    assert sampled.max() < 30 + 22
    assert abs(sampled[:20].sum() - 600) < 90


def test_sample_depends_on_random_state():
    frame = rows([True] * 200)
    samples = [accumulate(frame, 10, random_state).sample()["smiles"].tolist() for random_state in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]


def test_memory_is_bounded():
    accumulator = SetAccumulator(10, 0)
    for _ in range(50):
        accumulator.add(rows([True] * 7))
        assert sum(map(len, accumulator._candidates)) <= 20
    assert accumulator.n_valid == 350


def test_sample_does_not_change_state():
    frame = rows([True] * 50)
    accumulator, expected = SetAccumulator(5, 0), accumulate(frame, 5).sample()
    for start in range(0, 50, 10):
        accumulator.add(frame.iloc[start : start + 10])
        accumulator.sample()
    pd.testing.assert_frame_equal(accumulator.sample(), expected)


def test_empty_accumulator():
    accumulator = SetAccumulator(5, 0)
    assert (accumulator.n_read, accumulator.n_valid, accumulator.n_invalid, len(accumulator.hashes())) == (0, 0, 0, 0)
    assert accumulator.sample().empty
    assert accumulator.first_invalid().empty
    assert {"smiles", "error", "canonical"} <= set(accumulator.sample().columns)


@pytest.mark.parametrize("size", [0, -1])
def test_sample_size_below_one_raises(size):
    with pytest.raises(InputError, match="sample_size must be at least 1"):
        SetAccumulator(size, 0)
