"""From one molecule to another: the ends stay, neighbors merge, the arc is an arc."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.errors import InputError, MoleculeError
from molvae.explore.interpolation import _angle, _arc, _noise_level, _on_the_way, draw_path, interpolate

COLUMNS = ["position", "points", "smiles", "similarity_start", "similarity_end", "log_likelihood"]


@pytest.fixture(scope="module")
def path(tiny):
    return interpolate(tiny, "OCCCC", "c1ccccc1N", steps=15)


def test_the_ends_are_as_given_and_every_point_is_accounted_for(path):
    assert list(path.columns) == COLUMNS
    assert (path["smiles"].iloc[0], path["smiles"].iloc[-1]) == ("CCCCO", "Nc1ccccc1")
    assert (path["position"].iloc[0], path["position"].is_monotonic_increasing) == (0, True)
    (summary,) = path.attrs["summary"]
    holes = int(summary.split("molecules, ")[1].split()[0])
    assert path["n_merged"].sum() + holes == 15


def test_neighbors_differ_and_all_are_canonical_molecules(path):
    names = path["smiles"].tolist()
    assert all(a != b for a, b in pairwise(names))
    assert [Chem.CanonSmiles(name) for name in names] == names


def test_similarities_are_rdkits(path):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(name)) for name in path["smiles"]]
    np.testing.assert_allclose(path["similarity_start"], DataStructs.BulkTanimotoSimilarity(prints[0], prints))
    np.testing.assert_allclose(path["similarity_end"], DataStructs.BulkTanimotoSimilarity(prints[-1], prints))


def test_a_molecule_to_itself_is_one_row(tiny):
    table = interpolate(tiny, "CCO", "OCC", steps=6)
    assert table[["smiles", "points"]].to_numpy().tolist() == [["CCO", 6]]


def test_how_much_noise_is_told_follows_from_the_angle():
    """Of the arc's points, what lies across the nearer end is all that the other end adds."""
    random = np.random.default_rng(0)
    a = random.normal(size=64)
    for other in (a, a + 0.3 * random.normal(size=64), random.normal(size=64)):
        b = other * np.linalg.norm(a) / np.linalg.norm(other)
        t = np.array([0.1, 0.25, 0.5])
        points = _arc(a, b, t[:, None])
        along = points @ a / np.linalg.norm(a) ** 2
        across = np.linalg.norm(points - along[:, None] * a, axis=1) / np.linalg.norm(a)
        np.testing.assert_allclose(_noise_level(t, _angle(a, b)), across, atol=1e-6)
        np.testing.assert_allclose(_noise_level(1 - t, _angle(a, b)), across, atol=1e-6)


def test_two_steps_are_the_ends_alone(tiny):
    assert list(interpolate(tiny, "CCO", "CCN", steps=2)["smiles"]) == ["CCO", "CCN"]


def test_the_same_seed_gives_the_same_path(tiny, path):
    pd.testing.assert_frame_equal(interpolate(tiny, "OCCCC", "c1ccccc1N", steps=15), path)
    assert len(interpolate(tiny, "OCCCC", "c1ccccc1N", steps=15, path="linear")) > 1


def test_what_is_taken_lies_best_on_the_way():
    """Of three candidates in the middle, one the start itself and one like the end alone; of one point nothing."""
    start, end = "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1"
    between, far = "CC(=O)Oc1ccc(O)cc1", "NCCNCCN"
    found = pd.DataFrame({"point": [0, 0, 0, 2], "smiles": [start, far, between, start], "log_likelihood": -1.0})
    table = _on_the_way(found, [start, end], np.array([0.25, 0.5, 0.75]))
    assert table["smiles"].tolist() == [between, "", start]
    assert table["log_likelihood"].isna().tolist() == [False, True, False]


def test_drawing_finds_more_on_the_way(tiny):
    paths = [
        interpolate(tiny, "OCCCC", "c1ccccc1N", steps=15, samples_per_latent=samples_per_latent)["smiles"]
        for samples_per_latent in (0, 16)
    ]
    assert paths[1].nunique() > paths[0].nunique()


def test_more_samples_per_latent_leave_no_more_holes(tiny):
    def holes(samples_per_latent):
        ends = [("CC(=O)OC", "Clc1ccccc1"), ("C1CCNC1", "COCCO"), (DRUGS["aspirin"], DRUGS["caffeine"])]
        return sum(
            20 - interpolate(tiny, *pair, steps=20, samples_per_latent=samples_per_latent)["n_merged"].sum()
            for pair in ends
        )

    assert holes(30) < holes(0)


def test_the_arc_keeps_length_and_angle():
    a, b = np.random.default_rng(0).normal(size=(2, 8))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    points = _arc(a, b, np.linspace(0, 1, 5)[:, None])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.linalg.norm(a))
    np.testing.assert_allclose(points[[0, -1]], [a, b])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])
    np.testing.assert_allclose(_arc(a, 2 * a, np.array([[0.5]])), [1.5 * a])  # the same way: a line
    np.testing.assert_allclose(_arc(0 * a, b, np.array([[0.5]])), [0.5 * b])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"steps": 1}, "2 steps or more, got 1"), ({"path": "crooked"}, "spherical or linear, got 'crooked'")],
)
def test_what_is_no_path(tiny, options, message):
    with pytest.raises(InputError, match=message):
        interpolate(tiny, "CCO", "CCN", **options)


def test_an_end_that_cannot_be_read(tiny):
    with pytest.raises(MoleculeError, match="ring 1 opened but not closed"):
        interpolate(tiny, "CCO", "C1CC")


def test_the_picture_has_both_ends_in_blue(path, tmp_path):
    text = draw_path(path, tmp_path / "path.svg").read_text()
    assert text.count("#CCE5FF") >= 5 + 7  # the ends' atoms
    assert draw_path(path, tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")
