"""Rows of a table with measurements: each counted, each invalid row with its reason."""

from __future__ import annotations

import numpy as np
import pytest

from molvae.errors import InputError
from molvae.qsar.measurements import Measurements


def read(tmp_path, rows, task="auto"):
    (tmp_path / "d.csv").write_text("\n".join(["smiles,y", *rows]) + "\n")
    encode = lambda smiles: (np.zeros((len(smiles), 2), np.float32), [""] * len(smiles))  # noqa: E731
    return Measurements.read(tmp_path / "d.csv", "y", None, task, encode)


@pytest.mark.parametrize("task", ["auto", "classification"])
def test_a_row_without_a_label_is_rejected_and_the_others_are_labels(tmp_path, task):
    table = read(tmp_path, ["CCO,1", "CC,0", "CCC,NA", "CCCC,", "CN,Active", "CF,no"], task)
    assert table.task == "classification"
    assert dict(zip(table.smiles, table.values, strict=True)) == {"CCO": 1, "CC": 0, "CN": 1, "CF": 0}
    assert [(bad.row, bad.reason) for bad in table.invalid_rows] == [
        (4, "its y is 'NA', not a label"),
        (5, "its y is '', not a label"),
    ]


def test_numbers_beside_0_and_1_are_no_labels(tmp_path):
    table = read(tmp_path, ["CCO,1", "CC,0", "CCC,2", "CN,NA"])
    assert table.task == "regression"
    assert table.values.tolist() == [1, 0, 2]
    assert table.invalid_rows[0].reason == "its y is 'NA', not a finite number"
    with pytest.raises(InputError, match=r"'2\.5' is no label"):
        read(tmp_path, ["CCO,1", "CC,2.5", "CN,3.5"], "classification")


def test_a_molecule_measured_more_than_once(tmp_path):
    """Labels by majority, and none where there is no majority; values by their mean."""
    rows = ["CCO,1", "OCC,0", "CC,1", "C[CH3],1", "CC,0", "CN,0"]
    table = read(tmp_path, rows)
    assert dict(zip(table.smiles, table.values, strict=True)) == {"CC": 1, "CN": 0}
    assert [(bad.row, bad.reason) for bad in table.invalid_rows] == [
        (2, "its y is 1 as often as 0, in rows 2, 3"),
        (3, "its y is 1 as often as 0, in rows 2, 3"),
    ]
    assert (table.counts.accepted, table.counts.duplicate, table.counts.invalid) == (2, 2, 2)
    table = read(tmp_path, ["CCO,1.5", "OCC,0.5", "CC,7"])
    assert table.values.tolist() == [1, 7]
