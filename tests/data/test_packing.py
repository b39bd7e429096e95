"""Packing: every row is accepted, duplicate or invalid, for any number of workers."""

from __future__ import annotations

from dataclasses import fields
from itertools import islice

import pytest
import torch
from molecules import DRUGS

from molvae.chem.smiles import canonical
from molvae.chem.tokenizer import SPECIAL, Vocabulary, tokenize
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.data.rows import InvalidRow, Record
from molvae.errors import InputError


def records(smiles):
    return [Record(text, "", "library.smi", row) for row, text in enumerate(smiles, 1)]


def decode(packed, vocabulary):
    tokens = packed.gather(torch.arange(len(packed))).tokens
    return [vocabulary.decode(row.tolist()) for row in tokens]


MIXED = [
    Record("CCO", "", "library.smi", 1),
    InvalidRow("library.smi", 2, "", "the SMILES field is empty"),
    Record("OCC", "", "library.smi", 3),
    Record("C1CC", "", "library.smi", 4),
    Record("c1ccccc1", "", "library.smi", 6),
    Record("[13CH4].Cl", "", "library.smi", 7),
    Record("C" * 200, "", "library.smi", 8),
    Record("CCO", "", "other.sdf", 1),
]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_counts_and_invalid_rows(workers):
    packed, vocabulary, report = pack(iter(MIXED), workers=workers)
    assert decode(packed, vocabulary) == ["CCO", "c1ccccc1", "C"]
    assert (report.accepted, report.duplicate, report.invalid, report.read) == (3, 2, 3, len(MIXED))
    counts = "8 read: 3 accepted, 2 duplicate, 3 invalid"
    assert report.summary() == f"{counts}; 1 changed, such as salts that were stripped"
    assert list(map(str, report.notes)) == ["library.smi, line 7: isotope labels removed; salt removed: Cl"]
    assert list(map(str, report.invalid_rows)) == [
        "library.smi, line 2: the SMILES field is empty",
        "library.smi, line 4: cannot read SMILES 'C1CC': ring 1 opened but not closed",
        "library.smi, line 8: 200 tokens, more than the 160 that the model decodes",
    ]


def test_vocabulary_of_the_data():
    smiles = [canonical(text) for text in DRUGS.values()]
    packed, vocabulary, _ = pack(records(DRUGS.values()), workers=0)
    assert vocabulary == Vocabulary.from_tokens(token for text in smiles for token in tokenize(text))
    assert decode(packed, vocabulary) == smiles


def test_unknown_tokens_are_invalid():
    known = Vocabulary.from_tokens(["Br", "C", "O"])
    packed, vocabulary, report = pack(records(["CO", "CCN", "C=C", "CC"]), vocabulary=known, workers=0)
    assert vocabulary is known
    assert decode(packed, known) == ["CO", "CC"]
    assert [(invalid_row.row, invalid_row.value) for invalid_row in report.invalid_rows] == [(2, "CCN"), (3, "C=C")]
    assert "'N' is not in the model's vocabulary" in report.invalid_rows[0].reason


def test_special_tokens_precede_tokens_of_the_data():
    _, vocabulary, _ = pack(records(["C"]), workers=0)
    assert vocabulary.tokens == (*SPECIAL, "C")


@pytest.mark.parametrize(("max_length", "accepted"), [(9, 1), (10, 2)])
def test_max_length(max_length, accepted):
    assert pack(records(["C", "C" * 10]), max_length=max_length, workers=0)[2].accepted == accepted


def test_identity_is_decided_before_deduplication():
    salts = records(["CC(=O)[O-].[Na+]", "CC(=O)[O-].[K+]", "CN(=O)=O", "C[N+](=O)[O-]"])
    packed, vocabulary, report = pack(salts, workers=0)
    assert decode(packed, vocabulary) == ["CC(=O)[O-]", "C[N+](=O)[O-]"]
    assert (report.accepted, report.duplicate) == (2, 2)
    assert pack(salts, keep_salts=True, workers=0)[2].accepted == 3


def test_result_does_not_depend_on_workers():
    """Several chunks, with duplicates and invalid rows in different chunks."""
    rows = records([*(f"C{'C' * (i % 70)}O" for i in range(700)), "C1", *DRUGS.values(), *["N" * 9] * 500])
    one, vocabulary, report = pack(rows, workers=1)
    two, same_vocabulary, same_report = pack(rows, workers=2)
    assert vocabulary == same_vocabulary
    assert report == same_report
    for field in fields(PackedGraphs):
        assert torch.equal(getattr(one, field.name), getattr(two, field.name))


def test_order_of_first_occurrence():
    packed, vocabulary, _ = pack(records(["CN", "CO", "NC", "CC", "OC"]), workers=0)
    assert decode(packed, vocabulary) == ["CN", "CO", "CC"]


def test_progress():
    reads = []
    pack(records(["C" * (i % 9 + 1) for i in range(1100)]), workers=0, progress=lambda now: reads.append(now.read))
    assert reads == [512, 1024, 1100]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "it is empty"),
        (MIXED[1:2], "line 2: the SMILES field is empty"),
        (records(["C1"]), "library.smi, line 1: .*ring 1"),
    ],
)
def test_no_valid_molecule(rows, reason):
    with pytest.raises(InputError, match=f"no valid molecule in the data: .*{reason}"):
        pack(rows, workers=0)


def test_exception_of_the_input_stream():
    """An exception of the input stream is raised, and the workers are stopped."""

    def broken():
        yield from islice(records(["C"] * 10_000), 6000)
        raise OSError("disk error")

    with pytest.raises(OSError, match="disk error"):
        pack(broken(), workers=2)
