"""Better molecules near a start, within windows, and the same ones whatever else is asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import Crippen, rdFingerprintGenerator

from molvae.errors import InputError
from molvae.explore.latent_search import Search, SearchStrategy
from molvae.explore.objective import Goal
from molvae.explore.optimization import draw_best, optimize

SMALL_PLAN = SearchStrategy(population_size=16, noise_level=0.7)
COLUMNS = ["seed", "smiles", "score", "similarity", "logp", "mw", "evaluation", "string"]


@pytest.fixture(scope="module")
def best(tiny):
    return optimize(
        tiny,
        ["CCCO", "Cc1ccccc1", "C1CC"],
        "logp",
        keep=["similarity>=0.2", "mw<110"],
        max_samples=160,
        strategy=SMALL_PLAN,
    )


def test_every_row_is_inside_the_windows_scored_and_best_first(best):
    assert list(best.columns) == COLUMNS
    assert len(best) > 3
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for seed, rows in best.groupby("seed"):
        mols = [Chem.MolFromSmiles(smiles) for smiles in rows["smiles"]]
        start = generator.GetFingerprint(Chem.MolFromSmiles(seed))
        similarity = DataStructs.BulkTanimotoSimilarity(start, [generator.GetFingerprint(mol) for mol in mols])
        np.testing.assert_allclose(rows["similarity"], similarity)
        assert min(similarity) >= 0.2
        assert rows["mw"].max() < 110
        np.testing.assert_allclose(rows["score"], [Crippen.MolLogP(mol) for mol in mols])
        assert rows["score"].is_monotonic_decreasing
        assert rows["smiles"].is_unique
        assert seed not in set(rows["smiles"])


def test_counts_add_up(best):
    assert set(best.attrs["errors"]) == {"C1CC"}
    for run in best.attrs["runs"]:
        rows = best[best["seed"] == run["seed"]]
        assert run["strings"] == 160
        assert len(rows) == run["admissible"] == run["evaluations"] == rows["evaluation"].max()
        assert run["best"] == rows["score"].max()
        assert rows["string"].between(1, 160).all()
        assert rows.sort_values("string")["evaluation"].is_monotonic_increasing
    assert "from 160 strings" in best.attrs["summary"][0]


def test_it_finds_better_ones_than_it_began_with(best):
    start = Crippen.MolLogP(Chem.MolFromSmiles("CCCO"))
    assert best[best["seed"] == "CCCO"]["score"].max() > start


def test_company_and_numpys_global_generator_change_nothing(tiny, best):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    alone = optimize(
        tiny, "Cc1ccccc1", "logp", keep=["similarity>=0.2", "mw<110"], max_samples=160, strategy=SMALL_PLAN
    )
    same = best[best["seed"] == "Cc1ccccc1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, same, check_like=True)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_another_seed_other_molecules(tiny):
    tables = [optimize(tiny, "CCCO", "logp", max_samples=48, strategy=SMALL_PLAN, seed=seed) for seed in (1, 1, 2)]
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_a_target_stops_it(tiny):
    table = optimize(tiny, "CCCO", "logp", target=1.0, max_samples=2000, strategy=SMALL_PLAN)
    (run,) = table.attrs["runs"]
    assert run["reached"]
    assert run["strings"] < 2000
    assert table["score"][0] >= 1.0
    assert table["string"].max() <= run["strings"]


def test_without_a_target_nothing_reaches_it(tiny):
    endless = optimize(tiny, "CCCO", lambda _: float("inf"), max_samples=64, strategy=SMALL_PLAN)
    (run,) = endless.attrs["runs"]
    assert run["strings"] == 64
    assert not run["reached"]


def test_a_folder_called_as_a_property_is_none(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qed").mkdir()
    assert optimize(tiny, "CCCO", max_samples=16, strategy=SMALL_PLAN).attrs["runs"][0]["strings"] == 16


def test_several_generations_and_samples_per_latent(tiny):
    plan = SearchStrategy(population_size=8, samples_per_latent=3, generations=4, noise_level=0.7)
    table = optimize(tiny, "CCCO", "logp", max_samples=200, strategy=plan)
    assert table.attrs["runs"][0]["strings"] == 200  # the last of the generations of 24 is cut short
    assert len(table)


def test_nothing_admissible(tiny):
    table = optimize(tiny, "CCO", "qed", keep="mw>900", max_samples=32, strategy=SMALL_PLAN)
    assert len(table) == 0
    assert list(table.columns)[:4] == ["seed", "smiles", "score", "similarity"]
    assert "none admissible" in table.attrs["summary"][0]
    assert table.attrs["runs"][0]["evaluations"] == 0


def test_ranks_of_a_generation(tiny):
    """The admissible by score, then the others by how far they are out, then what is no molecule."""
    told = []
    plan = SearchStrategy(population_size=6, generations=9, departing=0)
    search = Search(tiny, Goal.of("heavy_atoms", ["mw<50"]), plan, "CCO", max_samples=99)
    asked = search.ask()
    assert asked.z.shape == (6, 12)
    assert len(set(asked.keys)) == 6
    assert asked.branch_from == [""] * 6
    search.run.tell = lambda _, costs: told.append(costs)
    search.tell(["CC", "", "CCCO", "CCCCCCO", "CCC", "CC"])
    assert told == [[1, 4, 2, 3, 0, 1]]
    assert [known.string for known in search.known.values()] == [1, 3, 4, 5]
    assert (search.strings, search.valid, search.evaluations) == (6, 5, 2)


def test_some_strings_leave_the_molecule_that_the_run_began_at(tiny):
    """CMA-ES is not told of them; what they give counts as everything else does."""
    plan = SearchStrategy(population_size=8, samples_per_latent=2, departing=0.5, near=0.1)
    search = Search(tiny, Goal.of("heavy_atoms", ["mw<110"]), plan, "CCO", max_samples=40)
    asked = search.ask()
    assert asked.branch_from == [""] * 8 + ["CCO"] * 8
    assert asked.noise_level.tolist() == [0.5] * 8 + [0.1] * 8
    distance = np.linalg.norm(asked.z - search.center, axis=1)
    assert distance[8:].max() < distance[:8].min()
    np.testing.assert_array_equal(asked.z[::2], asked.z[1::2])
    assert len(np.unique(asked.z, axis=0)) == 8
    told, tell = [], search.run.tell
    search.run.tell = lambda latents, costs: (told.append(len(costs)), tell(latents, costs))
    search.tell(["CC"] * 8 + ["CCCCN", "CCCO"] * 4)
    assert told == [4]
    assert search.origin == "CCCCN"
    assert search.ask().branch_from[-1] == "CCCCN"
    search.tell(["CCC"] * 16)
    assert search.ask().branch_from == [""] * 8  # of the last generation what the budget allows


def test_a_run_begins_at_the_best_that_is_new(tiny):
    plan = SearchStrategy(population_size=4, closeness=0.0)
    search = Search(tiny, Goal.of("heavy_atoms", ["mw<110"]), plan, "CCO", max_samples=99)
    for expected in ("CCCCCO", "CCCCN", "CCO"):
        search.ask()
        search.tell(["CCCCN", "CCCCCO", "", "CCCCCCCCCCC"])
        latent = tiny.encode(expected, optimize_latents=True).iloc[0, 2:].to_numpy(float)
        np.testing.assert_allclose(search.center, latent, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_samples": 0}, "1 string or more, got 0"),
        ({"maximize": "qde"}, "did you mean 'qed'"),
        ({"keep": "similarity>2<1"}, "cannot read the wish"),
    ],
)
def test_what_cannot_be_asked(tiny, options, message):
    with pytest.raises(InputError, match=message):
        optimize(tiny, "CCO", **options)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("population", 3, "a population is 4 or more"),
        ("samples_per_latent", 0, "decodes and generations are 1 or more"),
        ("generations", 0, "decodes and generations are 1 or more"),
        ("noise_level", 0.0, "noise level must lie above 0"),
        ("noise_level", 1.5, "noise level must lie above 0"),
        ("departing", -0.1, "departing and near lie in 0 to 1"),
        ("near", 1.1, "departing and near lie in 0 to 1"),
    ],
)
def test_what_is_no_strategy(option, value, message):
    with pytest.raises(InputError, match=message):
        SearchStrategy(**{option: value})


def test_seeds_that_cannot_be_read(tiny):
    with pytest.raises(InputError, match="a molecule is needed, and there are 0"):
        optimize(tiny, "C1CC")
    with pytest.raises(InputError, match="there is none that can be read"):
        optimize(tiny, [])


def test_the_picture_begins_with_the_seed(best, tmp_path):
    from molvae.viz.molecules import _panels

    assert "#CCE5FF" in draw_best(best, tmp_path / "best.svg", n=2).read_text()
    row = best.iloc[0]
    legends = [panel.legend for panel in _panels(best[["seed", "smiles", "similarity", "score"]])]
    assert legends[:2] == ["seed", f"{row['similarity']:.2f}   score {row['score']:.2f}"]
