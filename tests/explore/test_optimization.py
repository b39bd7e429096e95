"""Optimization near seeds: feasible results, exact counts, reproducibility, and the steps of the search."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import Crippen, rdFingerprintGenerator

from molvae.chem.plausibility import PlausibilityChecker
from molvae.errors import InputError
from molvae.explore.latent_search import LatentSearch, SearchStrategy
from molvae.explore.objective import Objective
from molvae.explore.optimization import draw_best, optimize
from molvae.viz.table_image import table_panels

STRATEGY = SearchStrategy(population_size=16, noise_level=0.7)
FILTERS = ["similarity>=0.2", "mw<110"]
COLUMNS = ["seed", "smiles", "score", "similarity", "logp", "mw", "n_evaluations", "n_samples"]


@pytest.fixture(scope="module")
def best(tiny):
    seeds = ["CCCO", "Cc1ccccc1", "C1CC"]
    return optimize(tiny, seeds, "logp", filters=FILTERS, allow_unprecedented=True, max_samples=160, strategy=STRATEGY)


def search_of(tiny, objective, strategy, **options):
    return LatentSearch(tiny, Objective.parse("heavy_atoms", [objective]), strategy, "CCO", **options)


def test_rows_pass_the_filters_and_are_sorted_by_score(best):
    assert list(best.columns) == COLUMNS
    assert len(best) > 3
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for seed, rows in best.groupby("seed"):
        mols = [Chem.MolFromSmiles(smiles) for smiles in rows["smiles"]]
        query = generator.GetFingerprint(Chem.MolFromSmiles(seed))
        similarity = DataStructs.BulkTanimotoSimilarity(query, [generator.GetFingerprint(mol) for mol in mols])
        np.testing.assert_allclose(rows["similarity"], similarity)
        np.testing.assert_allclose(rows["score"], [Crippen.MolLogP(mol) for mol in mols])
        assert min(similarity) >= 0.2
        assert rows["mw"].max() < 110
        assert rows["score"].is_monotonic_decreasing
        assert rows["smiles"].is_unique
        assert seed not in set(rows["smiles"])


def test_statistics_agree_with_the_rows(best):
    assert set(best.attrs["errors"]) == {"C1CC"}
    for statistics in best.attrs["statistics"]:
        rows = best[best["seed"] == statistics["seed"]]
        assert statistics["samples"] == 160
        assert len(rows) == statistics["feasible"] == statistics["evaluations"] == rows["n_evaluations"].max()
        assert statistics["best_score"] == rows["score"].max()
        assert rows["n_samples"].between(1, 160).all()
        assert rows.sort_values("n_samples")["n_evaluations"].is_monotonic_increasing
    assert "160 samples" in best.attrs["summary"][0]


def test_best_score_exceeds_that_of_the_seed(best):
    assert best[best["seed"] == "CCCO"]["score"].max() > Crippen.MolLogP(Chem.MolFromSmiles("CCCO"))


def test_result_is_independent_of_other_seeds(tiny, best):
    """NumPy's global random state is neither used nor changed."""
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    alone = optimize(tiny, "Cc1ccccc1", "logp", filters=FILTERS, max_samples=160, strategy=STRATEGY)
    together = best[best["seed"] == "Cc1ccccc1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together, check_like=True)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_random_state_determines_the_result(tiny):
    tables = [
        optimize(tiny, "CCCO", "logp", max_samples=48, strategy=STRATEGY, random_state=state) for state in (1, 1, 2)
    ]
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_target_stops_the_search(tiny):
    table = optimize(tiny, "CCCO", "logp", target=1.0, max_samples=2000, strategy=STRATEGY)
    (statistics,) = table.attrs["statistics"]
    assert statistics["reached_target"]
    assert statistics["samples"] < 2000
    assert table["score"][0] >= 1.0
    assert table["n_samples"].max() <= statistics["samples"]


def test_without_a_target_the_search_uses_all_samples(tiny):
    table = optimize(tiny, "CCCO", lambda _: float("inf"), max_samples=64, strategy=STRATEGY)
    (statistics,) = table.attrs["statistics"]
    assert statistics["samples"] == 64
    assert not statistics["reached_target"]


def test_property_name_takes_precedence_over_a_directory(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qed").mkdir()
    assert optimize(tiny, "CCCO", max_samples=16, strategy=STRATEGY).attrs["statistics"][0]["samples"] == 16


def test_several_generations_and_samples_per_latent(tiny):
    strategy = SearchStrategy(population_size=8, samples_per_latent=3, n_generations=4, noise_level=0.7)
    table = optimize(tiny, "CCCO", "logp", max_samples=200, strategy=strategy)
    assert table.attrs["statistics"][0]["samples"] == 200  # the last generation of 24 samples is cut
    assert len(table)


def test_no_feasible_molecule(tiny):
    table = optimize(tiny, "CCO", "qed", filters="mw>900", max_samples=32, strategy=STRATEGY)
    assert len(table) == 0
    assert list(table.columns)[:4] == ["seed", "smiles", "score", "similarity"]
    assert table.attrs["statistics"][0]["evaluations"] == 0
    assert "0 feasible molecules" in table.attrs["summary"][0]


def test_order_of_samples_for_cma(tiny):
    """Feasible molecules by score, infeasible ones by violation, then invalid samples."""
    costs = []
    strategy = SearchStrategy(population_size=6, n_generations=9, branch_fraction=0)
    search = search_of(tiny, "mw<50", strategy, max_samples=99)
    generation = search.ask()
    assert generation.latents.shape == (6, 12)
    assert len(set(generation.keys)) == 6
    assert generation.branch_from == [""] * 6
    search._cma.tell = lambda _, values: costs.append(values)
    search.tell(["CC", "", "CCCO", "CCCCCCO", "CCC", "CC"])
    assert costs == [[1, 4, 2, 3, 0, 1]]
    assert [candidate.n_samples for candidate in search.candidates.values()] == [1, 3, 4, 5]
    assert (search.n_samples, search.n_valid, search.n_evaluations) == (6, 5, 2)


def test_branched_samples(tiny):
    """Their latents are close to the center, and CMA-ES does not use them."""
    strategy = SearchStrategy(population_size=8, samples_per_latent=2, branch_fraction=0.5, branch_noise_level=0.1)
    search = search_of(tiny, "mw<110", strategy, max_samples=40)
    generation = search.ask()
    assert generation.branch_from == [""] * 8 + ["CCO"] * 8
    assert generation.noise_level.tolist() == [0.5] * 8 + [0.1] * 8
    distance = np.linalg.norm(generation.latents - search.center, axis=1)
    assert distance[8:].max() < distance[:8].min()
    np.testing.assert_array_equal(generation.latents[::2], generation.latents[1::2])
    assert len(np.unique(generation.latents, axis=0)) == 8
    n_costs, tell = [], search._cma.tell
    search._cma.tell = lambda latents, costs: (n_costs.append(len(costs)), tell(latents, costs))
    search.tell(["CC"] * 8 + ["CCCCN", "CCCO"] * 4)
    assert n_costs == [4]
    assert search.center_smiles == "CCCCN"
    assert search.ask().branch_from[-1] == "CCCCN"
    search.tell(["CCC"] * 16)
    assert search.ask().branch_from == [""] * 8  # the last generation is cut to the remaining samples


def test_each_run_starts_from_the_best_molecule_not_used_before(tiny):
    strategy = SearchStrategy(population_size=4, similarity_weight=0.0)
    search = search_of(tiny, "mw<110", strategy, max_samples=99)
    for expected in ("CCCCCO", "CCCCN", "CCO"):
        search.ask()
        search.tell(["CCCCN", "CCCCCO", "", "CCCCCCCCCCC"])
        latent = tiny.encode(expected, optimize_latents=True).filter(regex=r"^z\d+$").to_numpy(float)[0]
        np.testing.assert_allclose(search.center, latent, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_samples": 0}, "max_samples must be at least 1, got 0"),
        ({"target": float("nan")}, "target must be a number"),
        ({"objective": "qde"}, "did you mean 'qed'"),
        ({"filters": "similarity>2<1"}, "similarity>2<1"),
    ],
)
def test_invalid_options_are_rejected(tiny, options, message):
    with pytest.raises(InputError, match=message):
        optimize(tiny, "CCO", **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("population_size", 3),
        ("samples_per_latent", 0),
        ("n_generations", 0),
        ("noise_level", 0.0),
        ("noise_level", 1.5),
        ("branch_fraction", -0.1),
        ("branch_noise_level", 1.1),
    ],
)
def test_invalid_strategy_is_rejected(option, value):
    with pytest.raises(InputError, match=f"{option} must be .*, got {value}"):
        SearchStrategy(**{option: value})


@pytest.mark.parametrize(("seeds", "message"), [("C1CC", "0 of 1 could be encoded"), ([], "the input is empty")])
def test_no_usable_seed_is_an_error(tiny, seeds, message):
    with pytest.raises(InputError, match=message):
        optimize(tiny, seeds)


def test_image_starts_with_the_seed(best, tmp_path):
    assert "#e6f1fd" in draw_best(best, tmp_path / "best.svg", n=2).read_text()
    row = best.iloc[0]
    panels = list(table_panels(best[["seed", "smiles", "similarity", "score"]]))
    assert [panel.title for panel in panels[:2]] == ["Seed", "1"]
    assert panels[1].legend == f"score {row['score']:.2f}   similarity {row['similarity']:.2f}"


def test_only_plausible_molecules_by_default(tiny):
    """The rejected ones are counted; with allow_unprecedented there are more, and some are implausible."""
    seed = "Cc1ccccc1"
    options = {"filters": ["mw<200"], "max_samples": 160, "strategy": STRATEGY}
    found = optimize(tiny, seed, "logp", **options)
    (statistics,) = found.attrs["statistics"]
    checker = PlausibilityChecker.for_seed(Chem.MolFromSmiles(seed))
    assert statistics["implausible"] > 0
    assert f"{statistics['implausible']} implausible" in found.attrs["summary"][0]
    assert not any(checker.first_flaw(Chem.MolFromSmiles(smiles)) for smiles in found["smiles"])
    unfiltered = optimize(tiny, seed, "logp", allow_unprecedented=True, **options)
    assert unfiltered.attrs["statistics"][0]["implausible"] == 0
    assert "implausible" not in unfiltered.attrs["summary"][0]
    assert any(checker.first_flaw(Chem.MolFromSmiles(smiles)) for smiles in unfiltered["smiles"])
