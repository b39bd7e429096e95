"""Rows of inputs: text that is not Unicode, names in one line."""

from __future__ import annotations

import pandas as pd
import pytest

from molvae.data.rows import ARGUMENT, InvalidRow, Record, clean_name, make_row
from molvae.metrics.molecules import COLUMNS, score_chunk

LONE = "\udcff"
"""What Python makes of a byte that is not UTF-8 in an argument or a file name. Arrow does not accept it."""


@pytest.mark.parametrize(
    ("smiles", "name"),
    [(f"CC{LONE}", "x"), (f"CCO |${LONE}$|", "x"), ("CCO", LONE), (f"InChI={LONE}", ""), (f"{LONE} |&1:1|", ""),
     (f"C{LONE}" * 500, ""), ("", LONE)],
)  # fmt: skip
def test_rows_have_no_lone_surrogates(smiles, name):
    row = make_row(smiles, name, ARGUMENT, 1)
    texts = [row.name, *([row.smiles, row.note] if isinstance(row, Record) else [row.value, row.reason])]
    assert pd.Series(texts, dtype="str").tolist() == texts  # pandas stores them in an Arrow array


def test_undecodable_character_is_the_reason():
    row = make_row(f"CC{LONE}", "x", ARGUMENT, 1)
    assert isinstance(row, InvalidRow)
    assert "U+DCFF (a byte that is not UTF-8) at position 3" in row.reason
    assert row.value == r"CC\udcff"


def test_one_undecodable_row_leaves_the_others():
    """The fuzzer found a batch that was lost because the note of the reader quoted the CX block."""
    texts = ["CCO", f"C[C@@][999s@H9-99999]O |$\u03b1;;{LONE}$|", f"CC{LONE}", "CCN"]
    rows = [make_row(text, "", ARGUMENT, number) for number, text in enumerate(texts, start=1)]
    chunk = score_chunk(rows, tuple(COLUMNS), with_fingerprints=True, with_structures=True)
    assert (chunk.table["error"] == "").tolist() == [True, False, False, True]
    assert chunk.table["note"][1] == "CX extension |$α;;\\udcff$| dropped"
    assert chunk.table["mw"].round(2).iloc[[0, 3]].tolist() == [46.07, 45.08]


@pytest.mark.parametrize(
    ("name", "clean"),
    [("two\x1f\rwords", "two words"), ("two \r\n words", "two words"), ("two  words", "two  words"), ("\ta\x00\n", "a"),
     ("a\u2028b\x85c", "a b c"), ("β-lactam", "β-lactam"), ("\x1b[31mred", "[31mred"), (f"a{LONE}", r"a\udcff")],
)  # fmt: skip
def test_names_are_one_line(name, clean):
    assert clean_name(name) == clean
