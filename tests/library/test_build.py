"""Building a library: row counts, stored columns, resuming and invalid input."""

from __future__ import annotations

import csv
import json
import multiprocessing
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from libraries import INVALID, SMILES, build_library, distinct_smiles, file_contents, write_library
from tiny_vae import SMALL

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.data.rows import Record
from molvae.errors import InputError, MolvaeWarning
from molvae.library.build import PROPERTIES
from molvae.library.embedding import embed_rows
from molvae.library.manifest import FORMAT, MANIFEST, Manifest
from molvae.similarity.bit_slicing import BitPlanes


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library") / "raw"
    rows = write_library(folder)
    return folder, rows


def test_row_counts_and_invalid_rows(tiny_checkpoint, library, tmp_path):
    folder, rows = library
    counts = build_library(tiny_checkpoint, folder, tmp_path / "lib").counts
    assert counts.read == rows
    assert counts.invalid == 2 * len(INVALID) + 2
    assert counts.accepted == len(distinct_smiles())
    assert counts.duplicate == rows - counts.accepted - counts.invalid
    with (tmp_path / "lib" / "invalid_rows.csv").open() as file:
        invalid_rows = list(csv.DictReader(file))
    assert [row["value"] for row in invalid_rows[:3]] == INVALID[:3]
    assert invalid_rows[0]["source"].endswith("a.smi.gz")
    assert invalid_rows[0]["row"] == str(len(SMILES) + 1)
    assert invalid_rows[0]["reason"].endswith("ring 1 opened but not closed")
    assert invalid_rows[-1]["source"].endswith("c.parquet")
    assert len(invalid_rows) == counts.invalid


def test_stored_columns(tiny_checkpoint, library, tmp_path):
    build_library(tiny_checkpoint, library[0], tmp_path / "lib")
    table = pq.read_table(tmp_path / "lib" / "shards" / "00000.parquet")
    frame = table.to_pandas()
    assert frame["smiles"].tolist() == distinct_smiles()
    assert frame["id"].tolist()[:2] == ["drug-0", "drug-1"]
    assert (frame["row"] == np.arange(1, len(frame) + 1)).all()
    mols = [parse(smiles) for smiles in frame["smiles"]]
    for name, values in compute_properties(mols, PROPERTIES).items():
        np.testing.assert_allclose(frame[name], values, rtol=1e-12)
    rows = [Record(smiles, "", "", 1) for smiles in frame["smiles"]]
    (batch,) = embed_rows(
        tiny_checkpoint.model, tiny_checkpoint.vocabulary, rows, device="cpu", max_length=80, workers=0
    )
    assert table.schema.field("latent").type.value_type == "halffloat"
    np.testing.assert_allclose(np.stack(frame["latent"]), batch.latents, rtol=2e-3, atol=1e-3)
    planes = BitPlanes.load(tmp_path / "lib" / "shards" / "00000.bits.npy", len(frame))
    np.testing.assert_array_equal(planes.packed(), morgan_bits(mols))


@pytest.fixture(scope="module")
def long_library(tmp_path_factory):
    """About five shards of 64 rows, with duplicates and invalid rows throughout."""
    path = tmp_path_factory.mktemp("long") / "long.smi"
    rng = random.Random(0)
    chains = ["C" * n + tail for n in range(1, 20) for tail in ("O", "N", "Cl", "C(=O)O", "Br", "OC")]
    rows = [*chains, *SMALL, *INVALID] * 2
    rng.shuffle(rows)
    path.write_text("".join(f"{smiles}\n" for smiles in rows))
    return path


def index_long(checkpoint, library, folder, **options):
    return build_library(checkpoint, library, folder, **{"shard_rows": 64, **options})


@pytest.fixture(scope="module")
def uninterrupted(tiny_checkpoint, long_library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "lib"
    assert len(index_long(tiny_checkpoint, long_library, folder).shards) >= 4
    return file_contents(folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_files(tiny_checkpoint, long_library, uninterrupted, tmp_path, workers):
    index_long(tiny_checkpoint, long_library, tmp_path / "lib", workers=workers)
    assert file_contents(tmp_path / "lib") == uninterrupted


class _Interrupted(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_interrupted_build_resumes(tiny_checkpoint, long_library, uninterrupted, tmp_path, after):
    """The build is interrupted after a number of batches, each of which is a shard here."""
    before = []

    def stop(counts):
        before.append(counts.read)
        if len(before) == after:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=stop)
    with pytest.raises(InputError, match="incomplete library"):
        Manifest.load(tmp_path / "lib")
    resumed = []
    index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=lambda counts: resumed.append(counts.read))
    assert resumed[0] == before[-1]  # the build resumes with the batch that was interrupted
    assert file_contents(tmp_path / "lib") == uninterrupted


def test_damaged_shard_is_rebuilt(tiny_checkpoint, long_library, uninterrupted, tmp_path):
    with pytest.raises(_Interrupted):
        index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=_stop_after(4))
    (tmp_path / "lib" / "shards" / "00001.parquet").write_bytes(b"half a fi")
    index_long(tiny_checkpoint, long_library, tmp_path / "lib")
    assert file_contents(tmp_path / "lib") == uninterrupted


def _stop_after(batches):
    remaining = iter(range(batches))

    def stop(_):
        if next(remaining, None) is None:
            raise _Interrupted

    return stop


def test_killed_builds_resume(tiny_checkpoint, long_library, uninterrupted, tmp_path):
    """Builds are killed (SIGKILL) at random moments until one is complete."""
    rng, max_delay, n_kills = random.Random(1), 0.1, 0
    fork = multiprocessing.get_context("fork")
    arguments = (tiny_checkpoint, long_library, tmp_path / "lib")
    while not (tmp_path / "lib" / "manifest.json").exists():
        child = fork.Process(target=index_long, args=arguments, kwargs={"workers": 2})
        child.start()
        child.join(rng.uniform(0, max_delay))
        max_delay *= 1.3  # on a busy machine a shard may take seconds
        n_kills += child.is_alive()
        child.kill()
        child.join()
    assert n_kills
    index_long(*arguments)  # removes temporary files if the last build was killed while doing so
    assert file_contents(tmp_path / "lib") == uninterrupted


def test_complete_library_is_not_rebuilt(tiny_checkpoint, long_library, uninterrupted, tmp_path):
    index_long(tiny_checkpoint, long_library, tmp_path / "lib")
    index_long(tiny_checkpoint, long_library, tmp_path / "lib", progress=_stop_after(0))
    assert file_contents(tmp_path / "lib") == uninterrupted


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"properties": ("mw",)}, "other properties"),
        ({"standardize": True}, "other standardize: False, and now True"),
        ({"column": "other"}, "other column: None, and now other"),
        ({"shard_rows": 32}, "other shard_rows: 64, and now 32"),
    ],
)
def test_other_settings_are_an_error(tiny_checkpoint, long_library, tmp_path, complete, change, message):
    _build(tiny_checkpoint, long_library, tmp_path / "lib", complete)
    with pytest.raises(InputError, match=message):
        index_long(tiny_checkpoint, long_library, tmp_path / "lib", **change)


@pytest.mark.parametrize("complete", [True, False])
def test_other_file_or_model_is_an_error(tiny_checkpoint, long_library, tmp_path, complete):
    file = tmp_path / "copy.smi"
    file.write_bytes(long_library.read_bytes())
    _build(tiny_checkpoint, file, tmp_path / "lib", complete)
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


def _build(checkpoint, library, folder, complete):
    if complete:
        index_long(checkpoint, library, folder)
    else:
        with pytest.raises(_Interrupted):
            index_long(checkpoint, library, folder, progress=_stop_after(1))


def test_build_killed_before_settings_are_written(tiny_checkpoint, long_library, uninterrupted, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / f".settings.json.{123:032x}").write_text("{")
    index_long(tiny_checkpoint, long_library, tmp_path / "lib")
    assert file_contents(tmp_path / "lib") == uninterrupted


@pytest.mark.parametrize(("text", "accepted", "invalid"), [("CCO\n", 1, 0), ("C1CC\n", 0, 1), ("# nothing\n", 0, 0)])
def test_one_molecule_and_no_molecule(tiny_checkpoint, tmp_path, text, accepted, invalid):
    (tmp_path / "a.smi").write_text(text)
    counts = build_library(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib").counts
    assert (counts.accepted, counts.duplicate, counts.invalid) == (accepted, 0, invalid)
    assert (tmp_path / "lib" / "invalid_rows.csv").read_text().count("\n") == 1 + invalid


def test_output_inside_input_folder(tiny_checkpoint, tmp_path):
    """The output is not indexed, and hidden files in it are kept."""
    (tmp_path / "a.smi").write_text("CCO\nC1CC\n")
    (tmp_path / "lib" / ".git").mkdir(parents=True)
    (tmp_path / "lib" / ".gitattributes").write_text("* binary\n")
    for _ in range(2):
        counts = build_library(tiny_checkpoint, tmp_path, tmp_path / "lib").counts
        assert (counts.accepted, counts.duplicate, counts.invalid) == (1, 0, 1)
    assert (tmp_path / "lib" / ".gitattributes").read_text() == "* binary\n"
    assert (tmp_path / "lib" / ".git").is_dir()


def test_damaged_manifest_is_an_error(tiny_checkpoint, tmp_path):
    (tmp_path / "a.smi").write_text("CCO\n")
    build_library(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib")
    path = tmp_path / "lib" / MANIFEST
    complete = json.loads(path.read_text())
    for damaged in ({k: v for k, v in complete.items() if k != "counts"}, {**complete, "shards": [{"x": 1}]}):
        path.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"manifest\.json is damaged: .*run the same `molvae index` command again"):
            Manifest.load(tmp_path / "lib")


@pytest.mark.parametrize(
    "name",
    ["shards/00001.parquet", "shards/00002.bits.npy", "invalid_rows.csv", "notes.csv", "manifest.json"],
)
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_damaged_library_is_rebuilt(tiny_checkpoint, long_library, tmp_path, name, damage):
    """The same command gives the files of an undisturbed build."""
    if (name, damage) == ("manifest.json", "missing"):
        pytest.skip("the folder is then not a library")
    folder = tmp_path / "lib"
    build_library(tiny_checkpoint, long_library, folder, shard_rows=64)
    expected = file_contents(folder)
    path = folder / name
    content = path.read_bytes()
    if damage == "changed":
        path.write_bytes(content[: len(content) // 2] + b"\0\1\2\3" + content[len(content) // 2 + 4 :])
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 3])
    else:
        path.unlink()
    with pytest.warns(MolvaeWarning, match=f"{Path(name).name}.*(damaged|cannot).*building the library again"):
        build_library(tiny_checkpoint, long_library, folder, shard_rows=64)
    assert file_contents(folder) == expected


@pytest.mark.parametrize("name", ["shards/00001.parquet", "invalid_rows.csv", "manifest.json"])
def test_folder_in_place_of_a_file_is_not_removed(tiny_checkpoint, long_library, tmp_path, name):
    path = tmp_path / "lib" / name
    build_library(tiny_checkpoint, long_library, tmp_path / "lib", shard_rows=64)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=f"{path.name} is .*a folder"):
        build_library(tiny_checkpoint, long_library, tmp_path / "lib", shard_rows=64)
    assert path.is_dir()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.json", b"[]"),
        ("settings.json", b"\xff"),
        ("settings.json", f'{{"format": "{FORMAT}", "model": 3}}'.encode()),
        ("shards/00001.json", b"{"),
        ("shards/00001.json", b'{"name": "00001", "accepted": "many"}'),
        ("shards/00000.json", b"[" * 100_000),
        ("shards/00000.json", "noted"),  # a count that only the digest of the record contradicts
    ],
)
def test_incomplete_library_with_a_damaged_file_is_resumed(tiny_checkpoint, long_library, tmp_path, name, content):
    build_library(tiny_checkpoint, long_library, tmp_path / "whole", shard_rows=64)

    def interrupt(counts):
        if counts.read > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_library(tiny_checkpoint, long_library, tmp_path / "lib", shard_rows=64, progress=interrupt)
    assert (tmp_path / "lib" / "shards" / "00001.json").exists()
    path = tmp_path / "lib" / name
    if isinstance(content, str):
        content = json.dumps({**json.loads(path.read_text()), content: 1}).encode()
    path.write_bytes(content)
    with pytest.warns(MolvaeWarning, match=f"{Path(name).name} is damaged: .*; building the library from"):
        build_library(tiny_checkpoint, long_library, tmp_path / "lib", shard_rows=64)
    assert file_contents(tmp_path / "lib") == file_contents(tmp_path / "whole")


def test_invalid_input_writes_nothing(tiny_checkpoint, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").write_text("name,formula\nwater,H2O\n")
    for library, message in [
        ("-", "cannot be read again"), (tmp_path / "folder", "contains no"), (tmp_path / "b.smi", "does not exist"),
        (tmp_path / "a.csv", "no column called smiles"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            build_library(tiny_checkpoint, library, tmp_path / "lib")
    (tmp_path / "a.smi").write_text("CCO\n")
    with pytest.raises(InputError, match="exists and is not a library"):
        build_library(tiny_checkpoint, tmp_path / "a.smi", tmp_path)
    with pytest.raises(InputError, match="did you mean 'mw'"):
        build_library(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib", properties=("mww",))
    with pytest.raises(InputError, match="multiple of 512, got 513"):
        build_library(tiny_checkpoint, tmp_path / "a.smi", tmp_path / "lib", shard_rows=513)
    assert not (tmp_path / "lib").exists()
