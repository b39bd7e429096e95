"""Tables of measured molecules: values, labels, duplicates and invalid rows."""

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
def test_rows_without_label_are_invalid(tmp_path, task):
    table = read(tmp_path, ["CCO,1", "CC,0", "CCC,NA", "CCCC,", "CN,Active", "CF,no"], task)
    assert table.task == "classification"
    assert dict(zip(table.smiles, table.values, strict=True)) == {"CCO": 1, "CC": 0, "CN": 1, "CF": 0}
    assert [(row.row, row.reason) for row in table.invalid_rows] == [
        (4, "y is 'NA', expected a label"),
        (5, "y is '', expected a label"),
    ]


def test_other_numbers_make_a_regression(tmp_path):
    table = read(tmp_path, ["CCO,1", "CC,0", "CCC,2", "CN,NA"])
    assert table.task == "regression"
    assert table.values.tolist() == [1, 0, 2]
    assert table.invalid_rows[0].reason == "y is 'NA', expected a finite number"
    with pytest.raises(InputError, match=r"'2\.5' in column y is not a label"):
        read(tmp_path, ["CCO,1", "CC,2.5", "CN,3.5"], "classification")


def test_repeated_molecules(tmp_path):
    """Labels are decided by majority, and a tie is invalid; values are averaged."""
    rows = ["CCO,1", "OCC,0", "CC,1", "C[CH3],1", "CC,0", "CN,0"]
    table = read(tmp_path, rows)
    assert dict(zip(table.smiles, table.values, strict=True)) == {"CC": 1, "CN": 0}
    assert [(row.row, row.reason) for row in table.invalid_rows] == [
        (2, "contradictory values of y: as many 1 as 0 in rows 2, 3"),
        (3, "contradictory values of y: as many 1 as 0 in rows 2, 3"),
    ]
    assert (table.counts.accepted, table.counts.duplicate, table.counts.invalid) == (2, 2, 2)
    table = read(tmp_path, ["CCO,1.5", "OCC,0.5", "CC,7"])
    assert table.values.tolist() == [1, 7]
