"""Interpolation: the ends, the selected intermediates, merged rows, and the geometry of the paths."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.errors import InputError, MoleculeError
from molvae.explore.interpolation import (
    COLUMNS,
    _angle,
    _noise_level,
    _select_intermediates,
    draw_path,
    interpolate,
    spherical_interpolation,
)

PAIRS = [
    ("OCCCC", "c1ccccc1N"),
    ("CC(=O)OC", "Clc1ccccc1"),
    ("C1CCNC1", "COCCO"),
    ("CCO", "Cc1ccncc1"),
    (DRUGS["aspirin"], DRUGS["caffeine"]),
]


@pytest.fixture(scope="module")
def path(tiny):
    return interpolate(tiny, "OCCCC", "c1ccccc1N", steps=15)


@pytest.fixture(scope="module")
def paths(tiny):
    """Tables of all pairs by the number of samples per latent."""
    return {n: [interpolate(tiny, *pair, steps=20, samples_per_latent=n) for pair in PAIRS] for n in (0, 30)}


def test_path_has_both_ends_and_counts_every_point(path):
    assert list(path.columns) == COLUMNS
    assert (path["smiles"].iloc[0], path["smiles"].iloc[-1]) == ("CCCCO", "Nc1ccccc1")
    assert path["position"].iloc[0] == 0
    assert path["position"].is_monotonic_increasing
    statistics = path.attrs["statistics"]
    assert statistics["points"] == 15
    assert statistics["distinct"] == path["smiles"].nunique()
    assert path["n_merged"].sum() + statistics["invalid"] == 15


def test_consecutive_molecules_differ_and_are_canonical(path):
    smiles = path["smiles"].tolist()
    assert all(a != b for a, b in pairwise(smiles))
    assert [Chem.CanonSmiles(text) for text in smiles] == smiles


def test_similarities_match_rdkit(path):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in path["smiles"]]
    to_start, to_end = (DataStructs.BulkTanimotoSimilarity(fingerprints[i], fingerprints) for i in (0, -1))
    np.testing.assert_allclose(path["similarity_start"], to_start)
    np.testing.assert_allclose(path["similarity_end"], to_end)


def test_identical_ends_give_one_row(tiny):
    table = interpolate(tiny, "CCO", "OCC", steps=6)
    assert table[["smiles", "n_merged"]].to_numpy().tolist() == [["CCO", 6]]


def test_two_steps_give_the_ends(tiny):
    assert list(interpolate(tiny, "CCO", "CCN", steps=2)["smiles"]) == ["CCO", "CCN"]


def test_same_random_state_gives_the_same_path(tiny, path):
    pd.testing.assert_frame_equal(interpolate(tiny, "OCCCC", "c1ccccc1N", steps=15), path)


def test_linear_path_has_the_same_ends(tiny, path):
    linear = interpolate(tiny, "OCCCC", "c1ccccc1N", steps=15, path="linear")["smiles"]
    assert [linear.iloc[0], linear.iloc[-1]] == [path["smiles"].iloc[0], path["smiles"].iloc[-1]]


def test_noise_level_is_the_component_across_the_nearer_end():
    rng = np.random.default_rng(0)
    a = rng.normal(size=64)
    for other in (a, a + 0.3 * rng.normal(size=64), rng.normal(size=64)):
        b = other * np.linalg.norm(a) / np.linalg.norm(other)
        t = np.array([0.1, 0.25, 0.5])
        points = spherical_interpolation(a, b, t[:, None])
        along = points @ a / np.linalg.norm(a) ** 2
        across = np.linalg.norm(points - along[:, None] * a, axis=1) / np.linalg.norm(a)
        np.testing.assert_allclose(_noise_level(t, _angle(a, b)), across, atol=1e-6)
        np.testing.assert_allclose(_noise_level(1 - t, _angle(a, b)), across, atol=1e-6)


def test_intermediate_with_the_best_mean_similarity_is_selected():
    """Point 0 has the start, an intermediate and an unrelated molecule; point 1 has none, point 2 the start only."""
    start, end = "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1"
    between, unrelated = "CC(=O)Oc1ccc(O)cc1", "NCCNCCN"
    samples = pd.DataFrame(
        {"point": [0, 0, 0, 2], "smiles": [start, unrelated, between, start], "log_likelihood": -1.0}
    )
    table = _select_intermediates(samples, [start, end], np.array([0.25, 0.5, 0.75]))
    assert table["smiles"].tolist() == [between, "", start]
    assert table["log_likelihood"].isna().tolist() == [False, True, False]


def test_sampling_finds_more_molecules_than_greedy_decoding(paths):
    """The counts are sums over five pairs: for a single pair the tiny model may find no additional molecule."""
    n_distinct = {n: sum(table["smiles"].nunique() for table in tables) for n, tables in paths.items()}
    assert n_distinct[30] > n_distinct[0]


def test_sampling_reduces_invalid_points(paths):
    n_invalid = {n: sum(table.attrs["statistics"]["invalid"] for table in tables) for n, tables in paths.items()}
    assert n_invalid[30] < n_invalid[0]


def test_spherical_path_keeps_the_length_and_has_equal_steps():
    a, b = np.random.default_rng(0).normal(size=(2, 8))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    points = spherical_interpolation(a, b, np.linspace(0, 1, 5)[:, None])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.linalg.norm(a))
    np.testing.assert_allclose(points[[0, -1]], [a, b])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])


def test_spherical_path_of_parallel_or_zero_latents_is_linear():
    a, b = np.random.default_rng(0).normal(size=(2, 8))
    half = np.array([[0.5]])
    np.testing.assert_allclose(spherical_interpolation(a, 2 * a, half), [1.5 * a])
    np.testing.assert_allclose(spherical_interpolation(0 * a, b, half), [0.5 * b])


@pytest.mark.parametrize(
    ("options", "message"), [({"steps": 1}, "steps must be at least 2"), ({"path": "crooked"}, "'crooked'")]
)
def test_invalid_options_are_rejected(tiny, options, message):
    with pytest.raises(InputError, match=message):
        interpolate(tiny, "CCO", "CCN", **options)


def test_invalid_end_is_rejected(tiny):
    with pytest.raises(MoleculeError, match="ring 1 opened but not closed"):
        interpolate(tiny, "CCO", "C1CC")


def test_image_highlights_both_ends(path, tmp_path):
    text = draw_path(path, tmp_path / "path.svg").read_text()
    assert text.count('fill="#e6f1fd"') == 2
    assert draw_path(path, tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")
