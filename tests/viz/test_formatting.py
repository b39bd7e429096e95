"""Numbers and other values as text for people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from molvae.viz.formatting import format_cell, format_column, format_name, format_number, format_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (float("nan"), "–"), (pd.NA, "–"), (0, "0"), (30_000, "30,000"), (np.int64(7), "7"),
        (0.0, "0.000"), (1.0, "1.000"), (0.99984, "0.9998"), (0.0812, "0.081"), (0.00012, "0.00012"), (-1.5, "-1.50"),
        (12.0, "12"), (12.345, "12.35"), (123.45, "123.5"), (1234567.8, "1,234,568"), (np.float32(0.25), "0.250"),
        (True, "yes"), ("a<b", "a<b"),
    ],
)  # fmt: skip
def test_format_number(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (np.nan, ""), (pd.NA, ""), (0.5, "0.50"), (-130.123, "-130.1"), (7, "7"), (np.True_, "yes"),
     (False, "no"), ("C1CC", "C1CC")],
)  # fmt: skip
def test_format_cell(value, text):
    assert format_cell(value) == text


@pytest.mark.parametrize(
    ("values", "cells"),
    [([1.0, np.nan, 1200], ["1", "–", "1,200"]), ([True, False], ["yes", "no"]), ([1.0, 0.5], ["1.000", "0.500"])],
)
def test_format_column(values, cells):
    assert format_column(pd.Series(values)) == cells


def test_format_text_and_name():
    assert [format_text(value) for value in (None, np.nan, 3)] == ["", "", "3"]
    assert format_name("rotatable_bonds") == "rotatable bonds"
