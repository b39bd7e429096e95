"""Tables of analogs: columns, similarity targets, constraints, scores and ranking, compared with RDKit."""

from __future__ import annotations

import dataclasses
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Contrib.SA_Score import sascorer
from tiny_vae import SMALL

from molvae.errors import InputError, MolvaeWarning
from molvae.generation import runner
from molvae.generation.interruption import AnalogsInterrupted
from molvae.generation.options import ANALOG_COLUMNS, analog_ids
from molvae.generator import Generator

SEEDS = ["CCO", "c1ccccc1", "CC(=O)O", "OCCO"]
INVALID = ["C1CC", "", "[U]", "CCO"]


def ignore_warnings(method, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MolvaeWarning)
        return method(*args, **options)


def _by_seed(frame: pd.DataFrame) -> dict[str, list[str]]:
    return {seed: group["smiles"].tolist() for seed, group in frame.groupby("seed")}


@pytest.fixture(scope="module")
def found(tiny) -> pd.DataFrame:
    return ignore_warnings(tiny.analogs, SEEDS, 12, random_state=1)


def test_columns(found):
    assert tuple(found.columns) == ANALOG_COLUMNS
    assert tuple(ANALOG_COLUMNS) == (
        "seed", "id", "smiles", "similarity", "log_likelihood", "qed", "sa", "logp", "mw",
        "open_stereocenters", "not_in_training",
    )  # fmt: skip
    assert set(found["seed"]) == set(SEEDS)


def test_analogs_are_valid_canonical_distinct_and_not_the_seed(found):
    for seed, smiles in _by_seed(found).items():
        assert all(Chem.CanonSmiles(s) == s for s in smiles)
        assert len(set(smiles)) == len(smiles)
        assert Chem.CanonSmiles(seed) not in smiles


def test_analogs_are_sorted_by_similarity(found):
    for _, group in found.groupby("seed"):
        assert group["similarity"].is_monotonic_decreasing


def test_similarity_and_properties_equal_rdkit(found):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for row in found.itertuples():
        seed, mol = Chem.MolFromSmiles(row.seed), Chem.MolFromSmiles(row.smiles)
        expected = DataStructs.TanimotoSimilarity(generator.GetFingerprint(seed), generator.GetFingerprint(mol))
        assert row.similarity == pytest.approx(expected)
        assert row.qed == pytest.approx(QED.qed(mol))
        assert row.sa == pytest.approx(sascorer.calculateScore(mol))
        assert row.logp == pytest.approx(Crippen.MolLogP(mol))
        assert row.mw == pytest.approx(Descriptors.MolWt(mol))


def test_not_in_training(found):
    members = found["smiles"].isin(SMALL)
    assert members.any()
    assert not found.loc[members, "not_in_training"].any()
    assert found.loc[~members, "not_in_training"].mean() > 0.9  # a Bloom filter has false positives


def test_analogs_do_not_depend_on_other_seeds(tiny, found):
    """Alone, together, and in another order."""
    expected = _by_seed(found)
    for seed in SEEDS[:2]:
        assert ignore_warnings(tiny.analogs, seed, 12, random_state=1)["smiles"].tolist() == expected[seed]
    assert _by_seed(ignore_warnings(tiny.analogs, SEEDS[::-1], 12, random_state=1)) == expected
    again = ignore_warnings(tiny.analogs, ["C1CC", *SEEDS, *SMALL[3:6]], 12, random_state=1)
    assert {s: m for s, m in _by_seed(again).items() if s in SEEDS} == expected


def test_properties_option(tiny, found):
    without_properties = ignore_warnings(tiny.analogs, SEEDS, 12, random_state=1, properties=())
    assert list(without_properties.columns) == [
        "seed",
        "id",
        "smiles",
        "similarity",
        "log_likelihood",
        "not_in_training",
    ]
    pd.testing.assert_frame_equal(without_properties, found[without_properties.columns], check_dtype=False)
    other = ignore_warnings(tiny.analogs, SEEDS[0], 12, random_state=1, properties=["heavy_atoms"])
    counts = [Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in other["smiles"]]
    assert other["heavy_atoms"].tolist() == counts


def test_random_state_changes_analogs(tiny, found):
    other = _by_seed(ignore_warnings(tiny.analogs, SEEDS, 12, random_state=2))
    assert all(other[seed] != smiles for seed, smiles in _by_seed(found).items())


def test_warning_if_max_samples_is_reached(tiny):
    with pytest.warns(MolvaeWarning, match="CCO: .* of 500 molecules from 64 samples"):
        frame = tiny.analogs("CCO", 500, max_samples=64)
    assert 0 < len(frame) < 64
    assert len(frame.attrs["summary"]) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda tiny: tiny.analogs("CCO", 500, max_samples=64),
        lambda tiny: list(tiny.iter_analogs("C1CC", 3)),
        lambda tiny: tiny.sample(500, max_samples=64),
    ],
)
def test_warnings_point_to_the_calling_line(tiny, call):
    with pytest.warns(MolvaeWarning) as caught:
        call(tiny)
    assert {warning.filename for warning in caught} == {__file__}


def test_invalid_seeds_are_reported(tiny):
    with pytest.warns(MolvaeWarning):
        frame = tiny.analogs(INVALID, 3)
    assert set(frame["seed"]) == {"CCO"}
    assert set(frame.attrs["errors"]) == {"C1CC", "", "[U]"}
    assert "ring 1 opened but not closed" in frame.attrs["errors"]["C1CC"]
    assert "'[U]' is not in the model's vocabulary" in frame.attrs["errors"]["[U]"]


def test_no_valid_seeds(tiny):
    for seeds in (["C1CC"], []):
        frame = ignore_warnings(tiny.analogs, seeds, 3)
        assert len(frame) == 0
        assert tuple(frame.columns) == ANALOG_COLUMNS


def test_standardize_strips_salts(tiny):
    assert set(ignore_warnings(tiny.analogs, "CCO.[Na+].[Cl-]", 3, standardize=True)["seed"]) == {"CCO.[Na+].[Cl-]"}


def test_greedy_samples_at_low_noise_stay_near_the_seed(tiny):
    near = ignore_warnings(tiny.analogs, "CCO", 50, noise_level=0.0, temperature=0.0, max_samples=200)
    far = ignore_warnings(tiny.analogs, "CCO", 50, noise_level=0.9, temperature=0.0, max_samples=200)
    assert len(near) < len(far)
    assert near["similarity"].mean() > far["similarity"].mean() or near.empty


def test_progress(tiny):
    seen: list[int] = []
    ignore_warnings(tiny.analogs, "CCO", 5, progress=seen.append)
    assert seen[-1] == 5


@pytest.mark.parametrize(
    "options",
    [{"n": 0}, {"noise_level": 2.0}, {"samples_per_latent": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -2}],
)
def test_invalid_numbers(tiny, options):
    with pytest.raises(InputError):
        tiny.analogs("CCO", **options)


def test_grammar_gives_more_valid_samples(tiny):
    latents = np.random.default_rng(0).normal(size=(300, 12))
    free, kept = (tiny.decode(latents, temperature=1.5, grammar=grammar) for grammar in (False, True))
    assert (free["error"] == "").sum() < (kept["error"] == "").sum()
    assert not kept["error"].str.contains(r"not a molecule: '[^a-z\[]*'").any()  # only aromatic systems may be invalid
    for method in (lambda **more: tiny.analogs("CCO", 20, **more), lambda **more: tiny.sample(20, **more)):
        plain, masked = (ignore_warnings(method, temperature=1.5, grammar=grammar) for grammar in (False, True))
        assert not plain.equals(masked)
        assert len(masked) > 0


# --- similarity targets and constraints ---


def _tanimoto(one, other):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return DataStructs.TanimotoSimilarity(*(generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in (one, other)))


def _has(smiles, smarts):
    return Chem.MolFromSmiles(smiles).HasSubstructMatch(Chem.MolFromSmarts(smarts))


ALKANOLS = ["CC(C)CO", "CCCO"]
CONSTRAINTS = {
    "similarity": (0.15, 0.6), "filters": ["heavy_atoms<=7", "logp -3:1.5"], "exclude_smarts": ["[#7]"],
    "alerts": ["brenk"],
    "exclude_training_set": True, "rank_by": "similarity - 0.1*tpsa + heavy_atoms",
}  # fmt: skip


@pytest.fixture(scope="module")
def constrained(tiny) -> pd.DataFrame:
    return ignore_warnings(tiny.analogs, ALKANOLS, 6, max_samples=2_000, random_state=1, **CONSTRAINTS)


@pytest.mark.parametrize("value", [(0.25, 0.6), "0.1:0.2"])
def test_similarity_range(tiny, value):
    low, high = (float(part) for part in value.split(":")) if isinstance(value, str) else value
    frame = ignore_warnings(tiny.analogs, ALKANOLS, 6, similarity=value)
    assert len(frame) >= 8
    for row in frame.itertuples():
        assert low <= _tanimoto(row.seed, row.smiles) <= high
        assert row.similarity == pytest.approx(_tanimoto(row.seed, row.smiles))


@pytest.mark.parametrize(("target", "n"), [(0.35, 6), (0.3, 9)])
def test_similarity_median(tiny, target, n):
    frame = ignore_warnings(tiny.analogs, "CC(C)CO", n, similarity=target)
    exact = [_tanimoto("CC(C)CO", smiles) for smiles in frame["smiles"]]
    assert 4 <= len(exact) <= n
    above = sum(s >= target for s in exact)
    assert abs(2 * above - len(exact)) <= 1
    assert all(target - 0.15 <= s <= target + 0.15 for s in exact)
    assert max(s for s in exact if s < target) <= np.median(exact) <= min(s for s in exact if s >= target)


def test_median_that_cannot_be_reached_is_told(tiny):
    """All molecules are delivered, those closest to the target first to be selected."""
    # the sampled molecules are also too few for the median
    with pytest.warns(MolvaeWarning, match=r" of 30 molecules .* median similarity 0\.\d\d instead of 0\.45"):
        frame = tiny.analogs("CCCO", 30, similarity=0.45, max_samples=400)
    (statistics,) = frame.attrs["statistics"]
    assert statistics["found"] == len(frame) > 5
    assert statistics["median"] == pytest.approx(frame["similarity"].median())
    assert statistics["unbalanced"] > 0
    above = int((frame["similarity"] >= 0.45).sum())
    assert 2 * above < len(frame)
    assert f"({above} with 0.45 or more, {len(frame) - above} below)" in frame.attrs["summary"][0]


def test_empty_similarity_range(tiny):
    frame = ignore_warnings(tiny.analogs, "CCCO", 5, similarity=(0.97, 0.99), max_samples=100)
    assert len(frame) == 0
    assert tuple(frame.columns) == ANALOG_COLUMNS
    assert frame.attrs["statistics"][0]["samples_needed"] is None
    assert "a wider similarity range" in frame.attrs["summary"][0]


def test_all_constraints_hold(tiny, constrained):
    assert set(constrained["seed"]) == set(ALKANOLS)
    assert len(constrained) >= 5
    for row in constrained.itertuples():
        mol = Chem.MolFromSmiles(row.smiles)
        assert 0.15 <= _tanimoto(row.seed, row.smiles) <= 0.6
        assert mol.GetNumHeavyAtoms() <= 7
        assert -3 <= Crippen.MolLogP(mol) <= 1.5
        assert "N" not in row.smiles
        assert row.smiles not in SMALL
        assert row.not_in_training
    loose = ignore_warnings(tiny.analogs, ALKANOLS, 6, max_samples=2_000, random_state=1, similarity=(0.15, 0.6))
    assert any("N" in smiles or smiles in SMALL for smiles in loose["smiles"])  # without the constraints they occur


def test_additional_columns_and_rank(constrained):
    assert tuple(constrained.columns) == (*ANALOG_COLUMNS, "heavy_atoms", "tpsa", "rank")
    for row in constrained.itertuples():
        mol = Chem.MolFromSmiles(row.smiles)
        assert row.heavy_atoms == mol.GetNumHeavyAtoms()
        assert row.tpsa == pytest.approx(rdMolDescriptors.CalcTPSA(mol))
        formula = _tanimoto(row.seed, row.smiles) - 0.1 * row.tpsa + row.heavy_atoms
        assert row.rank == pytest.approx(formula)
    for _, group in constrained.groupby("seed"):
        assert all(first >= second for first, second in pairwise(group["rank"]))


@pytest.mark.parametrize(
    "options", [CONSTRAINTS, {"similarity": 0.4}, {"keep_scaffold": True, "samples_per_latent": 3}]
)
def test_constrained_analogs_do_not_depend_on_other_seeds(tiny, options):
    options = {"max_samples": 2000, "random_state": 1, "allow_unprecedented": True, **options}
    alone = ignore_warnings(tiny.analogs, "CCCO", 6, **options)
    together = _by_seed(ignore_warnings(tiny.analogs, ["Oc1ccccc1", "CCCO", "C1CC", "CC(C)CO"], 6, **options))
    assert alone["smiles"].tolist() == together["CCCO"] != []
    assert _by_seed(ignore_warnings(tiny.analogs, ["CCCO"], 6, **{**options, "random_state": 3})) != {
        "CCCO": together["CCCO"]
    }


def test_scaffold_and_smarts(tiny):
    """Two molecules of the training set satisfy these constraints, phenol and toluene."""
    frame = ignore_warnings(
        tiny.analogs,
        "Nc1ccccc1",
        4,
        max_samples=4000,
        keep_scaffold=True,
        exclude_smarts=["[Cl]", "N"],
        include_smarts=["[O,C]"],
    )
    assert len(frame) > 1
    for smiles in frame["smiles"]:
        assert _has(smiles, "c1ccccc1")
        assert Chem.MolFromSmiles(smiles).GetRingInfo().NumRings() == 1
        assert _has(smiles, "[O,C]")
        assert not _has(smiles, "[Cl]")
        assert not _has(smiles, "N")


def test_score_name_similar_to_a_column(tiny):
    scores = {"similarity_to_x": lambda smiles: [5.0] * len(smiles)}
    frame = ignore_warnings(tiny.analogs, "CCCO", 2, scores=scores, filters="similarity_to_x>3", properties="tpsa")
    assert set(frame["similarity_to_x"]) == {5.0}
    assert "tpsa" in frame
    assert "qed" not in frame


def test_core_is_kept_and_seeds_without_it_are_errors(tiny):
    frame = ignore_warnings(tiny.analogs, ["CCCO", "CC(C)CO", "CCN", "C("], 5, core="*CO", max_samples=600)
    assert set(frame["seed"]) == {"CCCO", "CC(C)CO"}
    assert "the seed does not match --core *CO; put * wherever it has another group" in frame.attrs["errors"]["CCN"]
    assert set(frame.attrs["errors"]) == {"CCN", "C("}
    assert all(_has(smiles, "[CH2;D2]([!#1])[OH]") for smiles in frame["smiles"])


def test_branching_at_the_substituents_of_a_core_is_accepted_more_often(tiny):
    """Compared with the same condition as SMARTS, for which samples branch anywhere."""

    def accepted_fraction(**condition):
        found = rejected = 0
        for random_state in range(3):
            options = {"similarity": "0:1", "max_samples": 400, "random_state": random_state, "properties": ()}
            options["pool_size"] = 60
            (row,) = ignore_warnings(tiny.analogs, "Nc1ccccc1", 60, **condition, **options).attrs["statistics"]
            found, rejected = found + row["found"], rejected + sum(row["rejected"].values())
        return found / (found + rejected)

    anywhere = accepted_fraction(include_smarts="[!#1]c1[cH][cH][cH][cH][cH]1")
    assert accepted_fraction(core="*c1ccccc1") > 1.2 * anywhere > 0


@pytest.mark.parametrize(
    "container", [list, np.array, lambda values: pd.Series(values, index=range(9, 9 + len(values)))]
)
def test_return_types_of_scores(tiny, container):
    def atoms(smiles):
        assert len(smiles)  # not called without molecules, as for methane
        return container([float(Chem.MolFromSmiles(text).GetNumAtoms()) for text in smiles])

    options = {"scores": {"atoms": atoms}, "filters": "atoms>2", "rank_by": "atoms", "similarity": (0.05, 1.0)}
    frame = ignore_warnings(tiny.analogs, ["CCCO", "C"], 5, max_samples=200, **options)
    assert frame["atoms"].tolist() == [Chem.MolFromSmiles(text).GetNumAtoms() for text in frame["smiles"]]
    assert set(frame["seed"]) == {"CCCO"}
    assert frame["rank"].tolist() == frame["atoms"].tolist()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda smiles: 1.0, "x must return [0-9]+ numbers for [0-9]+ molecules, got a single number"),  # noqa: ARG005
        (lambda smiles: smiles, "x must return one number for each molecule: could not convert"),
        (lambda smiles: [1.0] * (len(smiles) + 1), "x must return ([0-9]+) numbers for [0-9]+ molecules, got an array"),
    ],
)
def test_invalid_return_values_of_scores(tiny, score, message):
    for options in ({"rank_by": "x"}, {"filters": "x>0"}):
        with pytest.raises(InputError, match=message):
            ignore_warnings(tiny.analogs, "CCCO", 2, scores={"x": score}, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_filters_on_scores(tiny, monkeypatch, workers):
    """Scores are computed for molecules that satisfy all other constraints."""
    monkeypatch.setattr(runner, "PARTS_PER_WORKER", 1)
    scored = set()

    def atoms(smiles):
        scored.update(smiles)
        return np.array([Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles], dtype=float)

    options = {"scores": {"atoms": atoms}, "filters": ["atoms 3:4", "mw<75"], "similarity": "0:1", "workers": workers}
    options["allow_unprecedented"] = True
    frame = ignore_warnings(tiny.analogs, SEEDS, 6, **options)
    assert len(frame) >= 8
    assert set(frame["atoms"]) == {3, 4}
    assert frame["mw"].max() < 75
    assert max(Descriptors.MolWt(Chem.MolFromSmiles(text)) for text in scored) < 75
    assert any(
        row["rejected"]["atoms 3:4"] for row in ignore_warnings(tiny.analogs, SEEDS, 60, **options).attrs["statistics"]
    )


def test_single_string_options(tiny):
    options = {"include_smarts": "CCO", "exclude_smarts": "CN", "filters": "mw<100", "alerts": "PAINS"}
    lists = {name: [value] for name, value in options.items()}
    frame = tiny.analogs("CC(C)CO", 5, **options)
    pd.testing.assert_frame_equal(frame, tiny.analogs("CC(C)CO", 5, **lists))
    assert all(_has(smiles, "CCO") for smiles in frame["smiles"])


def test_empty_constraints_change_nothing(tiny):
    empty = {
        "filters": (),
        "include_smarts": (),
        "exclude_smarts": [],
        "alerts": [],
        "exclude_training_set": False,
        "similarity": None,
    }
    pd.testing.assert_frame_equal(tiny.analogs("CCO", 5, **empty), tiny.analogs("CCO", 5))


def test_n_diverse(tiny):
    full = tiny.analogs(ALKANOLS, 12, rank_by="qed")
    few = tiny.analogs(ALKANOLS, 12, rank_by="qed", n_diverse=4)
    for seed in ALKANOLS:
        selected, best = (frame.loc[frame["seed"] == seed, "smiles"].tolist() for frame in (few, full))
        assert len(selected) == 4
        assert selected[0] == best[0]
        assert selected == [smiles for smiles in best if smiles in selected]
        assert set(selected) <= set(best[:12])


def test_columns_without_any_analogs(tiny):
    frame = ignore_warnings(
        tiny.analogs, ["C1CCNC1", "CCO"], 3, filters="rings=0", include_smarts="O", exclude_smarts="N", max_samples=100
    )
    assert "CCO" in set(frame["seed"])
    assert frame["mw"].dtype == float
    nothing = ignore_warnings(tiny.analogs, "CCO", 3, filters="rings>20", rank_by="fsp3", max_samples=64)
    none = tiny.analogs([], 3, filters="rings>20", rank_by="fsp3")
    assert len(nothing) == len(none) == 0
    assert list(nothing.columns) == list(none.columns) == [*ANALOG_COLUMNS, "rings", "fsp3", "rank"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_level": 0.2, "similarity": 0.5}, "either noise_level or similarity"),
        ({"similarity": 1.2}, "similarity goes from 0 to 1, got 1.2"),
        ({"similarity": "0.7:0.5"}, "a range begins with the lower number"),
        ({"similarity": "0.7:1.5"}, "similarity goes from 0 to 1"),
        ({"similarity": 1}, "pass a range such as 0.8:1"),
        ({"pool_size": -1}, "pool_size must be 0"),
        ({"filters": ["mw<<500"]}, "cannot read the filter 'mw<<500'"),
        ({"filters": ["lgp<3"]}, "did you mean 'logp'"),
        ({"include_smarts": ["C("]}, "cannot read SMARTS"),
        ({"exclude_smarts": ["C("]}, "cannot read SMARTS"),
        ({"alerts": ["pain"]}, "unknown set of alerts 'pain'"),
        ({"rank_by": "similarty"}, "did you mean 'similarity'"),
        ({"n_diverse": -1}, "n_diverse must be 0"),
        ({"n": 0}, "number of molecules"),
        ({"n": 2.5}, "n must be a whole number"),
        ({"filters": "similarity>0.4"}, "filters cannot name similarity: pass similarity="),
        ({"n": 5, "n_diverse": 20}, "n_diverse=20 molecules out of n=5"),
    ],
)
def test_invalid_options_raise_before_seeds_are_read(tiny, options, message):
    with pytest.raises(InputError, match=message):
        tiny.iter_analogs(iter(["CCO"]), **options)
    with pytest.raises(InputError, match=message):
        tiny.analogs([], **options)


def test_model_without_training_filter(tiny_checkpoint):
    generator = Generator(dataclasses.replace(tiny_checkpoint, training_filter=None))
    with pytest.raises(InputError, match="record of its training set"):
        generator.analogs("CCO", 3, exclude_training_set=True)
    assert generator.analogs("CCO", 3, exclude_training_set=False)["not_in_training"].isna().all()


# --- the pool from which the best molecules are selected ---


POOL = {"max_samples": 600, "random_state": 1, "pool_size": 40, "properties": ()}


@pytest.mark.parametrize(
    "options", [{}, {"rank_by": "qed"}, {"rank_by": "-mw", "filters": "logp<2"}, {"noise_level": 0.8}]
)
def test_fewer_molecules_are_the_best_of_the_same_pool(tiny, options):
    seeds = ["CC(C)CO", "Oc1ccccc1"]
    similarity = None if "noise_level" in options or not options else "0:1"
    many = ignore_warnings(tiny.analogs, seeds, 30, similarity=similarity, **POOL, **options)
    few = ignore_warnings(tiny.analogs, seeds, 3, similarity=similarity, **POOL, **options)
    assert len(few) == 6
    for seed in seeds:
        columns = ["smiles", "id", "similarity"]
        best = many[many["seed"] == seed].head(3)[columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(few[few["seed"] == seed][columns].reset_index(drop=True), best)
    assert [row["found"] for row in few.attrs["statistics"]] == [3, 3]


def test_best_of_a_pool_are_selected(tiny):
    """Compared with all molecules of the pool, ranked here."""
    whole = ignore_warnings(tiny.analogs, "CC(C)CO", 40, **POOL, similarity="0:1")
    best = ignore_warnings(tiny.analogs, "CC(C)CO", 5, **POOL, similarity="0:1", rank_by="qed")
    qed = {smiles: QED.qed(Chem.MolFromSmiles(smiles)) for smiles in whole["smiles"]}
    assert best["smiles"].tolist() == sorted(qed, key=qed.__getitem__, reverse=True)[:5]
    nearest = ignore_warnings(tiny.analogs, "CC(C)CO", 5, **POOL, similarity="0:1")
    assert nearest["smiles"].tolist() == whole["smiles"].tolist()[:5]


def test_pool_around_a_median(tiny):
    """Half of the molecules are on each side of the target: the closest, or the best of a ranking."""
    whole = ignore_warnings(tiny.analogs, "CC(C)CO", 40, **POOL, similarity=0.3)
    near = ignore_warnings(tiny.analogs, "CC(C)CO", 6, **POOL, similarity=0.3)
    ranked = ignore_warnings(tiny.analogs, "CC(C)CO", 6, **POOL, similarity=0.3, rank_by="qed")
    above = whole["similarity"] >= 0.3
    for frame in (near, ranked):
        assert set(frame["smiles"]) <= set(whole["smiles"])
        assert (frame["similarity"] >= 0.3).sum() == 3
    distance = (whole["similarity"] - 0.3).abs()
    limits = [distance[side].nsmallest(3).max() for side in (above, ~above)]
    assert (near["similarity"] - 0.3).abs().max() == pytest.approx(max(limits))
    qed = whole["smiles"].map(lambda smiles: QED.qed(Chem.MolFromSmiles(smiles)))
    expected = [whole["smiles"][qed[side].nlargest(3).index] for side in (above, ~above)]
    assert set(ranked["smiles"]) == set(pd.concat(expected))


def test_without_a_pool_the_first_molecules_are_returned(tiny):
    """A pool that is not larger than the number of molecules changes nothing."""
    options = {"max_samples": 300, "random_state": 1, "similarity": "0.1:1", "allow_unprecedented": True}
    first, same = (ignore_warnings(tiny.analogs, "CCCO", 10, pool_size=size, **options) for size in (1, 10))
    pd.testing.assert_frame_equal(first, same)
    pool = ignore_warnings(tiny.analogs, "CCCO", 10, pool_size=60, **options)
    assert pool["similarity"].mean() > first["similarity"].mean()
    sample = {"noise_level": 0.9, "random_state": 1, "max_samples": 300}
    at_level, same = (ignore_warnings(tiny.analogs, "CCCO", 10, pool_size=size, **sample) for size in (0, 1))
    pd.testing.assert_frame_equal(at_level, same)


def test_ids(tiny):
    """Invalid seeds are counted, so that an ID names the position of its seed."""
    frame = ignore_warnings(tiny.analogs, ["CCO", "C1CC", "CCN"], 2, max_samples=64)
    assert frame["id"].tolist() == ["seed1_a01", "seed1_a02", "seed3_a01", "seed3_a02"]
    options = {"similarity": "0:1", "properties": (), "allow_unprecedented": True, "allow_isomers": True}
    many = ignore_warnings(tiny.analogs, ["CCO"], 120, **options)["id"].tolist()
    assert many[8:10] == ["seed1_a09", "seed1_a10"]
    assert many == analog_ids("seed1", len(many))
    assert analog_ids("x", 100)[98:] == ["x_a99", "x_a100"]


def test_enantiomers_are_rejected_by_a_core_with_stereo(tiny):
    seed, core = "CC[C@H](O)CN", "*C[C@H](O)C*"
    frame = ignore_warnings(tiny.analogs, seed, 5, core=core, similarity="0:1", max_samples=500)
    for smiles in frame["smiles"]:
        assert Chem.FindMolChiralCenters(Chem.MolFromSmiles(smiles))


@pytest.mark.parametrize("workers", [0, 2])
def test_interruption_returns_what_was_found(tiny, monkeypatch, workers):
    n_rounds = []
    batch = runner.Codec.search

    def interrupted(codec, seeds, latents, options, *arguments):
        def stop(n):
            n_rounds.append(n)
            if len(n_rounds) == 2:
                raise KeyboardInterrupt

        return batch(codec, seeds, latents, options, *arguments[:-1], stop)

    monkeypatch.setattr(runner.Codec, "search", interrupted)
    with pytest.raises(AnalogsInterrupted) as caught:
        ignore_warnings(tiny.analogs, ["CCO", "C1CC", "CCCO"], 500, workers=workers, similarity="0:1", max_samples=5000)
    frame = caught.value.frame
    assert tuple(frame.columns) == ANALOG_COLUMNS
    assert set(frame["seed"]) == {"CCO", "CCCO"}
    assert 0 < len(frame) < 1000
    assert frame["qed"].notna().all()
    assert set(frame.attrs["errors"]) == {"C1CC"}
