"""The index: every row accounted for, the same bytes whatever happens on the way."""

from __future__ import annotations

import csv
import json
import multiprocessing
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from libraries import BAD, SMILES, contents, distinct, indexed, write_library
from tiny_vae import SMALL

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.data.rows import Record
from molvae.errors import InputError
from molvae.library.build import PROPERTIES
from molvae.library.embedding import embed
from molvae.library.manifest import MANIFEST, Manifest
from molvae.similarity.bit_slicing import BitPlanes


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library") / "raw"
    rows = write_library(folder)
    return folder, rows


def test_every_row_is_kept_a_duplicate_or_rejected(tiny_checkpoint, library, tmp_path):
    folder, rows = library
    counts = indexed(tiny_checkpoint, folder, tmp_path / "lib").counts
    assert counts.read == rows
    assert counts.invalid == 2 * len(BAD) + 2
    assert counts.accepted == len(distinct())
    assert counts.duplicate == rows - counts.accepted - counts.invalid
    with (tmp_path / "lib" / "invalid_rows.csv").open() as file:
        bad = list(csv.DictReader(file))
    assert [row["value"] for row in bad[:3]] == BAD[:3]
    assert bad[0]["source"].endswith("a.smi.gz")
    assert bad[0]["row"] == str(len(SMILES) + 1)
    assert bad[0]["reason"].endswith("ring 1 opened but not closed")
    assert bad[-1]["source"].endswith("c.parquet")
    assert len(bad) == counts.invalid


def test_a_row_holds_what_was_computed_of_the_molecule(tiny_checkpoint, library, tmp_path):
    indexed(tiny_checkpoint, library[0], tmp_path / "lib")
    table = pq.read_table(tmp_path / "lib" / "shards" / "00000.parquet")
    frame = table.to_pandas()
    assert frame["smiles"].tolist() == distinct()
    assert frame["id"].tolist()[:2] == ["drug-0", "drug-1"]
    assert (frame["row"] == np.arange(1, len(frame) + 1)).all()
    mols = [parse(smiles) for smiles in frame["smiles"]]
    for name, values in compute_properties(mols, PROPERTIES).items():
        np.testing.assert_allclose(frame[name], values, rtol=1e-12)
    rows = [Record(smiles, "", "", 1) for smiles in frame["smiles"]]
    (alone,) = embed(tiny_checkpoint.model, tiny_checkpoint.vocabulary, rows, device="cpu", max_length=80, workers=0)
    assert table.schema.field("latent").type.value_type == "halffloat"
    np.testing.assert_allclose(np.stack(frame["latent"]), alone.latents, rtol=2e-3, atol=1e-3)
    planes = BitPlanes.load(tmp_path / "lib" / "shards" / "00000.bits.npy", len(frame))
    np.testing.assert_array_equal(planes.packed(), morgan_bits(mols))


@pytest.fixture(scope="module")
def long_library(tmp_path_factory):
    """Five shards of 64 rows or so, with duplicates and bad rows all over."""
    path = tmp_path_factory.mktemp("long") / "long.smi"
    draw = random.Random(0)
    chains = ["C" * n + tail for n in range(1, 20) for tail in ("O", "N", "Cl", "C(=O)O", "Br", "OC")]
    rows = [*chains, *SMALL, *BAD] * 2
    draw.shuffle(rows)
    path.write_text("".join(f"{smiles}\n" for smiles in rows))
    return path


def index_long(checkpoint, library, folder, **options):
    return indexed(checkpoint, library, folder, **{"shard_rows": 64, **options})


@pytest.fixture(scope="module")
def undisturbed(tiny_checkpoint, long_library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "lib"
    assert len(index_long(tiny_checkpoint, long_library, folder).shards) >= 4
    return contents(folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_byte(tiny_checkpoint, long_library, undisturbed, tmp_path, workers):
    index_long(tiny_checkpoint, long_library, tmp_path / "lib", workers=workers)
    assert contents(tmp_path / "lib") == undisturbed


class _Interrupted(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_an_interrupted_index_goes_on(tiny_checkpoint, long_library, undisturbed, tmp_path, after):
    """Stopped after so many batches, here of a shard each."""
    seen = []

    def stop(counts):
        seen.append(counts.read)
        if len(seen) == after:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=stop)
    with pytest.raises(InputError, match="not finished"):
        Manifest.load(tmp_path / "lib")
    again = []
    index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=lambda counts: again.append(counts.read))
    assert again[0] == seen[-1]  # the batch that was interrupted, and none before it
    assert contents(tmp_path / "lib") == undisturbed


def test_a_damaged_shard_is_made_again(tiny_checkpoint, long_library, undisturbed, tmp_path):
    with pytest.raises(_Interrupted):
        index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=_stop_after(4))
    (tmp_path / "lib" / "shards" / "00001.parquet").write_bytes(b"half a fi")
    index_long(tiny_checkpoint, long_library, tmp_path / "lib")
    assert contents(tmp_path / "lib") == undisturbed


def _stop_after(batches):
    left = iter(range(batches))

    def stop(_):
        if next(left, None) is None:
            raise _Interrupted

    return stop


def test_killed_at_random_moments_it_ends_the_same(tiny_checkpoint, long_library, undisturbed, tmp_path):
    """kill -9, again and again, until one run has come to its end."""
    draw, longest, kills = random.Random(1), 0.1, 0
    fork = multiprocessing.get_context("fork")
    arguments = (tiny_checkpoint, long_library, tmp_path / "lib")
    while not (tmp_path / "lib" / "manifest.json").exists():
        child = fork.Process(target=index_long, args=arguments, kwargs={"workers": 2})
        child.start()
        child.join(draw.uniform(0, longest))
        longest *= 1.3  # on a busy machine a shard may take seconds
        kills += child.is_alive()
        child.kill()
        child.join()
    assert kills
    index_long(*arguments)  # to tidy up, if the last one was killed over it
    assert contents(tmp_path / "lib") == undisturbed


def test_a_whole_library_is_left_alone(tiny_checkpoint, long_library, undisturbed, tmp_path):
    index_long(tiny_checkpoint, long_library, tmp_path / "lib")
    index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=_stop_after(0))
    assert contents(tmp_path / "lib") == undisturbed


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"properties": ("mw",)}, "other properties"),
        ({"clean": True}, "other standardized: False, and now True"),
        ({"column": "other"}, "other column: None, and now other"),
        ({"shard_rows": 32}, "other shard_rows: 64, and now 32"),
    ],
)
def test_other_settings_are_rejected(tiny_checkpoint, long_library, tmp_path, whole, change, complaint):
    _begin(tiny_checkpoint, long_library, tmp_path / "lib", whole)
    with pytest.raises(InputError, match=complaint):
        index_long(tiny_checkpoint, long_library, tmp_path / "lib", **change)


@pytest.mark.parametrize("whole", [True, False])
def test_another_file_or_model_is_rejected(tiny_checkpoint, long_library, tmp_path, whole):
    file = tmp_path / "copy.smi"
    file.write_bytes(long_library.read_bytes())
    _begin(tiny_checkpoint, file, tmp_path / "lib", whole)
    file.write_text("CCO\n")
    with pytest.raises(InputError, match="other inputs"):
        index_long(tiny_checkpoint, file, tmp_path / "lib")
    file.write_bytes(long_library.read_bytes())
    bias = tiny_checkpoint.model.latent.mean.bias
    before = bias.detach().clone()
    bias.data += 1
    with pytest.raises(InputError, match="other model"):
        index_long(tiny_checkpoint, file, tmp_path / "lib")
    bias.data = before


def _begin(checkpoint, library, folder, whole):
    if whole:
        index_long(checkpoint, library, folder)
    else:
        with pytest.raises(_Interrupted):
            index_long(checkpoint, library, folder, progress=_stop_after(1))


def test_killed_before_anything_was_written(tiny_checkpoint, long_library, undisturbed, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / f".settings.json.{123:032x}").write_text("{")
    index_long(tiny_checkpoint, long_library, tmp_path / "lib")
    assert contents(tmp_path / "lib") == undisturbed


@pytest.mark.parametrize(("text", "kept", "rejected"), [("CCO\n", 1, 0), ("C1CC\n", 0, 1), ("# nothing\n", 0, 0)])
def test_one_molecule_and_none(tiny_checkpoint, tmp_path, text, kept, rejected):
    (tmp_path / "a.smi").write_text(text)
    counts = indexed(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib").counts
    assert (counts.accepted, counts.duplicate, counts.invalid) == (kept, 0, rejected)
    assert (tmp_path / "lib" / "invalid_rows.csv").read_text().count("\n") == 1 + rejected


def test_what_is_written_is_not_read_and_what_is_anothers_stays(tiny_checkpoint, tmp_path):
    """An index inside the folder that it is of, twice, with files beside its own that only a shell hides."""
    (tmp_path / "a.smi").write_text("CCO\nC1CC\n")
    (tmp_path / "lib" / ".git").mkdir(parents=True)
    (tmp_path / "lib" / ".gitattributes").write_text("* binary\n")
    for _ in range(2):
        counts = indexed(tiny_checkpoint, tmp_path, tmp_path / "lib").counts
        assert (counts.accepted, counts.duplicate, counts.invalid) == (1, 0, 1)
    assert (tmp_path / "lib" / ".gitattributes").read_text() == "* binary\n"
    assert (tmp_path / "lib" / ".git").is_dir()


def test_a_damaged_manifest_is_told_so(tiny_checkpoint, tmp_path):
    (tmp_path / "a.smi").write_text("CCO\n")
    indexed(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib")
    path = tmp_path / "lib" / MANIFEST
    whole = json.loads(path.read_text())
    for damaged in ({k: v for k, v in whole.items() if k != "counts"}, {**whole, "shards": [{"x": 1}]}):
        path.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"is damaged .*index the library again"):
            Manifest.load(tmp_path / "lib")


def test_what_cannot_be_indexed_is_said_before_anything_is_written(tiny_checkpoint, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").write_text("name,formula\nwater,H2O\n")
    for library, complaint in [
        ("-", "read again"), (tmp_path / "folder", "without a"), (tmp_path / "b.smi", "does not exist"),
        (tmp_path / "a.csv", "no column called smiles"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=complaint):
            indexed(tiny_checkpoint, library, tmp_path / "lib")
    (tmp_path / "a.smi").write_text("CCO\n")
    with pytest.raises(InputError, match="exists and is no library"):
        indexed(tiny_checkpoint, tmp_path / "a.smi", tmp_path)
    with pytest.raises(InputError, match="did you mean 'mw'"):
        indexed(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib", properties=("mww",))
    with pytest.raises(InputError, match="multiple of 512 rows, or of fewer than that; got 513"):
        indexed(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib", shard_rows=513)
    assert not (tmp_path / "lib").exists()
