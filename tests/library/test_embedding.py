"""Embedding a stream: every row is kept or invalid, and numbers do not depend on workers or batches."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import PROPERTIES, compute_properties
from molvae.chem.smiles import canonical, parse
from molvae.data.rows import InvalidRow, Record
from molvae.errors import InputError
from molvae.library.embedding import embed_rows


def records(smiles):
    return [Record(text, f"m{row}", "library.smi", row) for row, text in enumerate(smiles, 1)]


def embedded(checkpoint, rows, **options):
    settings = {"device": "cpu", "max_length": checkpoint.config.max_length, "workers": 0, **options}
    return list(embed_rows(checkpoint.model, checkpoint.vocabulary, iter(rows), **settings))


def test_latents_equal_those_of_the_generator(tiny):
    (got,) = embedded(tiny.checkpoint, records(DRUGS.values()))
    assert got.smiles == [canonical(text) for text in (row.smiles for row in got.records)]
    table = tiny.encode([row.smiles for row in got.records])
    assert (table["error"] == "").all()
    np.testing.assert_allclose(got.latents, table.filter(like="z"), atol=1e-5)
    assert got.latents.dtype == np.float32
    assert got.fingerprints.shape == (0, 256)
    assert got.properties == {}


def test_every_row_is_a_molecule_or_invalid(tiny_checkpoint):
    invalid_row = InvalidRow("library.smi", 2, "", "the SMILES field is empty")
    rows = [*records(["CCO", "", "C1CC", "OCC", "[13CH4]", "C" * 200]), Record("[Pt]", "", "other.csv", 9)]
    rows[1] = invalid_row
    (got,) = embedded(tiny_checkpoint, rows)
    assert [row.row for row in got.records] == [1, 4]
    assert got.smiles == ["CCO", "CCO"]
    assert got.hashes[0] == got.hashes[1]
    assert [(row.source, row.row) for row in got.invalid_rows] == [
        ("library.smi", 2), ("library.smi", 3), ("library.smi", 5), ("library.smi", 6), ("other.csv", 9),
    ]  # fmt: skip
    assert got.invalid_rows[0] is invalid_row
    assert "ring 1 opened" in got.invalid_rows[1].reason
    assert "[Pt]" in got.invalid_rows[4].reason
    assert got.read == len(rows)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_numbers(tiny_checkpoint, workers):
    rows = records([*DRUGS.values(), "C1CC"] * 3)
    options = {"properties": ("mw", "sa"), "fingerprints": True, "batch_size": 20}
    alone = embedded(tiny_checkpoint, rows, **options)
    together = embedded(tiny_checkpoint, rows, workers=workers, **options)
    assert [part.read for part in alone] == [part.read for part in together]
    for a, b in zip(alone, together, strict=True):
        assert (a.records, a.smiles, a.invalid_rows) == (b.records, b.smiles, b.invalid_rows)
        assert a.latents.tobytes() == b.latents.tobytes()
        assert a.fingerprints.tobytes() == b.fingerprints.tobytes()
        assert {k: v.tobytes() for k, v in a.properties.items()} == {k: v.tobytes() for k, v in b.properties.items()}


def test_batch_does_not_depend_on_earlier_rows(tiny_checkpoint):
    rows = records(DRUGS.values())
    whole = embedded(tiny_checkpoint, rows, batch_size=10)
    later = embedded(tiny_checkpoint, rows[20:], batch_size=10)
    assert [part.latents.tobytes() for part in whole[2:]] == [part.latents.tobytes() for part in later]


def test_properties_and_fingerprints(tiny_checkpoint):
    """All properties: some need features that the featurizer does not compute."""
    (got,) = embedded(tiny_checkpoint, records(DRUGS.values()), properties=tuple(PROPERTIES), fingerprints=True)
    mols = [parse(row.smiles) for row in got.records]
    for name, values in compute_properties(mols, list(PROPERTIES)).items():
        np.testing.assert_array_equal(got.properties[name], values, err_msg=name)
    np.testing.assert_array_equal(got.fingerprints, morgan_bits(mols))


@pytest.mark.parametrize("rows", [[], [InvalidRow("a.smi", 1, "", "empty")]])
def test_no_valid_rows(tiny_checkpoint, rows):
    got = embedded(tiny_checkpoint, rows, fingerprints=True, properties=("mw",))
    assert sum(part.read for part in got) == len(rows)
    assert all(part.latents.shape == (0, tiny_checkpoint.config.latent_dim) for part in got)


def test_unknown_property_is_an_error_before_rows_are_read(tiny_checkpoint):
    def rows():
        raise AssertionError("read")
        yield

    with pytest.raises(InputError, match="did you mean 'mw'"):
        embedded(tiny_checkpoint, rows(), properties=("mww",))
