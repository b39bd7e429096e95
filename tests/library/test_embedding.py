"""Embedding of rows: invalid rows, latents, properties, and independence of workers and batches."""

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
    (batch,) = embedded(tiny.checkpoint, records(DRUGS.values()))
    assert batch.smiles == [canonical(text) for text in (row.smiles for row in batch.records)]
    table = tiny.encode([row.smiles for row in batch.records])
    assert (table["error"] == "").all()
    np.testing.assert_allclose(batch.latents, table.filter(like="z"), atol=1e-5)
    assert batch.latents.dtype == np.float32
    assert batch.fingerprints.shape == (0, 256)
    assert batch.properties == {}


def test_every_row_is_a_molecule_or_invalid(tiny_checkpoint):
    invalid_row = InvalidRow("library.smi", 2, "", "the SMILES field is empty")
    rows = [*records(["CCO", "", "C1CC", "OCC", "[Pd]", "C" * 200]), Record("[Pt]", "", "other.csv", 9)]
    rows[1] = invalid_row
    (batch,) = embedded(tiny_checkpoint, rows)
    assert [row.row for row in batch.records] == [1, 4]
    assert batch.smiles == ["CCO", "CCO"]
    assert batch.hashes[0] == batch.hashes[1]
    assert [(row.source, row.row) for row in batch.invalid_rows] == [
        ("library.smi", 2), ("library.smi", 3), ("library.smi", 5), ("library.smi", 6), ("other.csv", 9),
    ]  # fmt: skip
    assert batch.invalid_rows[0] is invalid_row
    assert "ring 1 opened" in batch.invalid_rows[1].reason
    assert "[Pt]" in batch.invalid_rows[4].reason
    assert batch.read == len(rows)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_numbers(tiny_checkpoint, workers):
    rows = records([*DRUGS.values(), "C1CC"] * 3)
    options = {"properties": ("mw", "sa"), "fingerprints": True, "batch_size": 20}
    serial = embedded(tiny_checkpoint, rows, **options)
    parallel = embedded(tiny_checkpoint, rows, workers=workers, **options)
    assert [batch.read for batch in serial] == [batch.read for batch in parallel]
    for a, b in zip(serial, parallel, strict=True):
        assert (a.records, a.smiles, a.invalid_rows) == (b.records, b.smiles, b.invalid_rows)
        assert a.latents.tobytes() == b.latents.tobytes()
        assert a.fingerprints.tobytes() == b.fingerprints.tobytes()
        assert {k: v.tobytes() for k, v in a.properties.items()} == {k: v.tobytes() for k, v in b.properties.items()}


def test_batch_does_not_depend_on_earlier_rows(tiny_checkpoint):
    rows = records(DRUGS.values())
    batches = embedded(tiny_checkpoint, rows, batch_size=10)
    later_batches = embedded(tiny_checkpoint, rows[20:], batch_size=10)
    assert [batch.latents.tobytes() for batch in batches[2:]] == [batch.latents.tobytes() for batch in later_batches]


def test_properties_and_fingerprints(tiny_checkpoint):
    """All properties, including those that need more than the featurizer computes."""
    (batch,) = embedded(tiny_checkpoint, records(DRUGS.values()), properties=tuple(PROPERTIES), fingerprints=True)
    mols = [parse(row.smiles) for row in batch.records]
    for name, values in compute_properties(mols, list(PROPERTIES)).items():
        np.testing.assert_array_equal(batch.properties[name], values, err_msg=name)
    np.testing.assert_array_equal(batch.fingerprints, morgan_bits(mols))


@pytest.mark.parametrize("rows", [[], [InvalidRow("a.smi", 1, "", "empty")]])
def test_no_valid_rows(tiny_checkpoint, rows):
    batches = embedded(tiny_checkpoint, rows, fingerprints=True, properties=("mw",))
    assert sum(batch.read for batch in batches) == len(rows)
    assert all(batch.latents.shape == (0, tiny_checkpoint.config.latent_dim) for batch in batches)


def test_unknown_property_is_an_error(tiny_checkpoint):
    def rows():
        raise AssertionError("rows were read")
        yield

    with pytest.raises(InputError, match="did you mean 'mw'"):
        embedded(tiny_checkpoint, rows(), properties=("mww",))
