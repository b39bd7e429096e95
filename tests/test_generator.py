"""The commands as Python methods: what is promised of every table, checked against RDKit where that can be."""

from __future__ import annotations

import dataclasses
import inspect
import threading
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Contrib.SA_Score import sascorer
from tiny_vae import SMALL, trained

import molvae
from molvae import api
from molvae.checkpoint import Checkpoint, save
from molvae.data.parallel import SERIAL, WorkerPool
from molvae.errors import InputError, MoleculeError, MolvaeWarning
from molvae.generation.options import ANALOG_COLUMNS, AnalogOptions
from molvae.generator import SAMPLE_COLUMNS, Generator
from molvae.nn.autoencoder import Autoencoder

SEEDS = ["CCO", "c1ccccc1", "CC(=O)O", "OCCO"]
BAD = ["C1CC", "", "[U]", "CCO"]


def _quietly(method, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MolvaeWarning)
        return method(*args, **options)


def _by_seed(frame: pd.DataFrame) -> dict[str, list[str]]:
    return {seed: group["smiles"].tolist() for seed, group in frame.groupby("seed")}


@pytest.fixture(scope="module")
def found(tiny) -> pd.DataFrame:
    return _quietly(tiny.analogs, SEEDS, 12, random_state=1)


# --- analogs ---


def test_analogs_have_the_columns_that_are_promised(found):
    assert tuple(found.columns) == ANALOG_COLUMNS
    assert tuple(ANALOG_COLUMNS) == (
        "seed", "smiles", "similarity", "log_likelihood", "qed", "sa", "logp", "mw", "not_in_training",
    )  # fmt: skip
    assert set(found["seed"]) == set(SEEDS)


def test_analogs_are_valid_canonical_distinct_and_not_the_seed(found):
    for seed, smiles in _by_seed(found).items():
        assert all(Chem.CanonSmiles(s) == s for s in smiles)
        assert len(set(smiles)) == len(smiles)
        assert Chem.CanonSmiles(seed) not in smiles


def test_the_most_similar_come_first(found):
    for _, group in found.groupby("seed"):
        assert group["similarity"].is_monotonic_decreasing


def test_similarity_and_properties_are_rdkits(found):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for row in found.itertuples():
        seed, mol = Chem.MolFromSmiles(row.seed), Chem.MolFromSmiles(row.smiles)
        expected = DataStructs.TanimotoSimilarity(generator.GetFingerprint(seed), generator.GetFingerprint(mol))
        assert row.similarity == pytest.approx(expected)
        assert row.qed == pytest.approx(QED.qed(mol))
        assert row.sa == pytest.approx(sascorer.calculateScore(mol))
        assert row.logp == pytest.approx(Crippen.MolLogP(mol))
        assert row.mw == pytest.approx(Descriptors.MolWt(mol))


def test_novel_means_not_in_the_training_set(found):
    members = found["smiles"].isin(SMALL)
    assert members.any()
    assert not found.loc[members, "not_in_training"].any()
    assert found.loc[~members, "not_in_training"].mean() > 0.9  # a Bloom filter is wrong now and then


def test_same_seed_same_molecules_however_they_are_asked_for(tiny, found):
    """Alone, together, in another order, and as a stream of small groups."""
    expected = _by_seed(found)
    for seed in SEEDS[:2]:
        assert _quietly(tiny.analogs, seed, 12, random_state=1)["smiles"].tolist() == expected[seed]
    assert _by_seed(_quietly(tiny.analogs, SEEDS[::-1], 12, random_state=1)) == expected
    again = _quietly(tiny.analogs, ["C1CC", *SEEDS, *SMALL[3:6]], 12, random_state=1)
    assert {s: m for s, m in _by_seed(again).items() if s in SEEDS} == expected


def test_a_stream_gives_the_same(tiny, found, monkeypatch):
    monkeypatch.setattr("molvae.generation.runner.GROUP_SIZE", 1)
    frames = _quietly(lambda: list(tiny.iter_analogs(iter(SEEDS), 12, random_state=1)))
    assert len(frames) == len(SEEDS)
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), found, rtol=1e-4)


def test_properties_may_be_left_out_or_others(tiny, found):
    bare = _quietly(tiny.analogs, SEEDS, 12, random_state=1, properties=())
    assert list(bare.columns) == ["seed", "smiles", "similarity", "log_likelihood", "not_in_training"]
    pd.testing.assert_frame_equal(bare, found[bare.columns], check_dtype=False)
    other = _quietly(tiny.analogs, SEEDS[0], 12, random_state=1, properties=["heavy_atoms"])
    counts = [Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in other["smiles"]]
    assert other["heavy_atoms"].tolist() == counts


@pytest.mark.parametrize("queued", [1, 100])
def test_workers_do_not_show(tiny, monkeypatch, queued):
    """Whether they do all that there is to do for a seed, or are so many that they only read what is decoded here.

    Nor do two groups of seeds under way at once, of which the first has only seeds that are rejected.
    """
    monkeypatch.setattr("molvae.generation.runner.GROUP_SIZE", 2)
    monkeypatch.setattr("molvae.generation.runner.PARTS_PER_WORKER", queued)
    options = {
        "n": 12,
        "random_state": 1,
        "filters": ["mw<200"],
        "rank_by": "qed - similarity",
        "similarity": "0.1:0.9",
    }
    here = _quietly(tiny.analogs, ["C1CC", "x", *SEEDS], workers=0, **options)
    there = _quietly(tiny.analogs, ["C1CC", "x", *SEEDS], workers=2, **options)
    pd.testing.assert_frame_equal(here, there)
    assert len(here) > 12
    assert here.attrs == there.attrs


class _Deadly(WorkerPool):
    """Processes that all end at one seed, as far as one can see from here."""

    def submit(self, function, items, size=1):
        pending = SERIAL.submit(function, items, size)
        pending.done = [None if item == SEEDS[1] else one for item, one in zip(items, pending.result(), strict=True)]
        return pending


def test_a_seed_that_no_worker_survives_is_told_and_costs_no_other(tiny, found, monkeypatch):
    monkeypatch.setattr("molvae.generation.runner.WorkerPool", _Deadly)
    monkeypatch.setattr("molvae.generation.runner.PARTS_PER_WORKER", 1)
    with pytest.warns(MolvaeWarning, match="SMILES c1ccccc1: each worker process that processed this seed crashed"):
        frame = tiny.analogs(SEEDS, 12, random_state=1, workers=2)
    assert list(frame.attrs["errors"]) == [SEEDS[1]]
    others = found[found["seed"] != SEEDS[1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, others, rtol=1e-4)


def test_an_interrupt_ends_the_workers(tiny, monkeypatch):
    """Before anything that they were to do is let go of, and without waiting for what they are at."""
    heard = []

    def interrupted(_):
        raise KeyboardInterrupt

    class Interrupted(WorkerPool):
        def submit(self, function, items, size=1):
            pending = SERIAL.submit(function, items, size)
            pending.result = interrupted
            pending.cancel = lambda: heard.append("cancel")
            return pending

        def stop(self):
            heard.append("stop")

    monkeypatch.setattr("molvae.generation.runner.WorkerPool", Interrupted)
    monkeypatch.setattr("molvae.generation.runner.GROUP_SIZE", 2)
    monkeypatch.setattr("molvae.generation.runner.PARTS_PER_WORKER", 1)
    with pytest.raises(KeyboardInterrupt):
        tiny.analogs([SEEDS[0]] * 4, 12, workers=2)
    assert heard == ["stop", "cancel", "cancel"]


def test_a_model_that_cannot_travel_is_decoded_here(tiny, found, monkeypatch):
    monkeypatch.setattr("molvae.generation.runner.PARTS_PER_WORKER", 1)
    hook = tiny.model.encoder.register_forward_hook(lambda *_, lock=threading.Lock(): None)  # noqa: ARG005
    try:
        frame = _quietly(tiny.analogs, SEEDS, 12, random_state=1, workers=2)
    finally:
        hook.remove()
    pd.testing.assert_frame_equal(frame, found, rtol=1e-4)


@pytest.mark.parametrize(("many", "started"), [(12, 0), (13, 2)])
def test_for_a_few_molecules_no_worker_is_started(tiny, monkeypatch, many, started):
    """However many seeds they are of; seeds beyond those that tell so are not read before they are needed."""
    crews = []

    class Crew(WorkerPool):
        def __init__(self, count=0, modules=()):
            super().__init__(0, modules)
            crews.append(count)

    monkeypatch.setattr("molvae.generation.runner.WorkerPool", Crew)
    monkeypatch.setattr("molvae.generation.runner.worker_count", lambda workers=None: 2 if workers is None else workers)
    monkeypatch.setattr("molvae.generation.runner.MIN_MOLECULES_FOR_WORKERS", 24)
    monkeypatch.setattr("molvae.generation.runner.GROUP_SIZE", 4)
    seeds = iter([SEEDS[0]] * many)
    next(_quietly(tiny.iter_analogs, seeds, 2))
    assert crews == [started]
    assert len(list(seeds)) == 0
    assert sum(map(len, _quietly(lambda: list(tiny.iter_analogs([SEEDS[0]] * many, 2))))) == 2 * many


@pytest.mark.parametrize(("memory", "apart"), [(float("inf"), [3]), (2e9, [2]), (1e9, [])])
def test_there_are_as_many_networks_as_memory_has_room_for(tiny, monkeypatch, memory, apart):
    with_network = []

    class Crew(WorkerPool):
        def __init__(self, count=0, modules=()):
            super().__init__(0, modules)
            with_network.extend([count] * ("molvae.generation.runner" in modules))
            self.count = count

        def submit(self, function, items, size=1):
            return SERIAL.submit(function, items, size)

    monkeypatch.setattr("molvae.generation.runner.WorkerPool", Crew)
    monkeypatch.setattr("molvae.generation.runner.PARTS_PER_WORKER", 1)
    monkeypatch.setattr("molvae.generation.runner.available_memory", lambda: memory)
    _quietly(tiny.analogs, [SEEDS[0]] * 4, 2, workers=3)
    assert with_network == apart


@pytest.mark.parametrize(("workers", "ahead"), [(0, 2), (2, 4)])
def test_a_stream_reads_no_further_than_it_needs(tiny, monkeypatch, workers, ahead):
    """A few seeds; and as many more to decode while worker processes read what was decoded for these."""
    monkeypatch.setattr("molvae.generation.runner.GROUP_SIZE", 2)
    read: list[str] = []

    def seeds():
        for seed in SEEDS:
            read.append(seed)
            yield seed

    next(_quietly(tiny.iter_analogs, seeds(), 2, workers=workers))
    assert len(read) == ahead


def test_another_seed_other_molecules(tiny, found):
    other = _by_seed(_quietly(tiny.analogs, SEEDS, 12, random_state=2))
    assert all(other[seed] != smiles for seed, smiles in _by_seed(found).items())


def test_a_spent_max_samples_is_reported(tiny):
    with pytest.warns(MolvaeWarning, match="CCO: .* of 500 molecules from 64 samples"):
        frame = tiny.analogs("CCO", 500, max_samples=64)
    assert 0 < len(frame) < 64
    assert len(frame.attrs["summary"]) == 1


@pytest.mark.parametrize(
    "short",
    [
        lambda tiny: tiny.analogs("CCO", 500, max_samples=64),
        lambda tiny: list(tiny.iter_analogs("C1CC", 3)),
        lambda tiny: tiny.sample(500, max_samples=64),
    ],
)
def test_a_warning_is_of_the_line_that_asked_whatever_lies_between(tiny, short):
    with pytest.warns(MolvaeWarning) as caught:
        short(tiny)
    assert {warning.filename for warning in caught} == {__file__}


def test_bad_seeds_are_errors_beside_the_good_ones(tiny):
    with pytest.warns(MolvaeWarning):
        frame = tiny.analogs(BAD, 3)
    assert set(frame["seed"]) == {"CCO"}
    assert set(frame.attrs["errors"]) == {"C1CC", "", "[U]"}
    assert "ring 1 opened but not closed" in frame.attrs["errors"]["C1CC"]
    assert "'[U]' is not in the model's vocabulary" in frame.attrs["errors"]["[U]"]


def test_only_bad_seeds_and_none_at_all(tiny):
    for seeds in (["C1CC"], []):
        frame = _quietly(tiny.analogs, seeds, 3)
        assert len(frame) == 0
        assert tuple(frame.columns) == ANALOG_COLUMNS


def test_a_salt_is_stripped_when_asked(tiny):
    assert set(_quietly(tiny.analogs, "CCO.[Na+].[Cl-]", 3, standardize=True)["seed"]) == {"CCO.[Na+].[Cl-]"}


def test_greedy_and_noise_level_0_stays_at_the_seed(tiny):
    """So few different strings are there that the budget ends it."""
    near = _quietly(tiny.analogs, "CCO", 50, noise_level=0.0, temperature=0.0, max_samples=200)
    far = _quietly(tiny.analogs, "CCO", 50, noise_level=0.9, temperature=0.0, max_samples=200)
    assert len(near) < len(far)
    assert near["similarity"].mean() > far["similarity"].mean() or near.empty


def test_progress_is_told(tiny):
    seen: list[int] = []
    _quietly(tiny.analogs, "CCO", 5, progress=seen.append)
    assert seen[-1] == 5


@pytest.mark.parametrize(
    "options",
    [{"n": 0}, {"noise_level": 2.0}, {"samples_per_latent": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -2}],
)
def test_impossible_options_are_named(tiny, options):
    with pytest.raises(InputError):
        tiny.analogs("CCO", **options)


def test_with_the_grammar_more_strings_are_molecules(tiny):
    latents = np.random.default_rng(0).normal(size=(300, 12))
    free, kept = (tiny.decode(latents, temperature=1.5, grammar=grammar) for grammar in (False, True))
    assert (free["error"] == "").sum() < (kept["error"] == "").sum()
    assert not kept["error"].str.contains(r"not a molecule: '[^a-z\[]*'").any()  # but for what is aromatic
    for verb in (lambda **more: tiny.analogs("CCO", 20, **more), lambda **more: tiny.sample(20, **more)):
        plain, masked = (_quietly(verb, temperature=1.5, grammar=grammar) for grammar in (False, True))
        assert not plain.equals(masked)
        assert len(masked) > 0


# --- analogs of a similarity, and analogs that are steered ---


def _tanimoto(one, other):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return DataStructs.TanimotoSimilarity(*(generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in (one, other)))


def _has(smiles, smarts):
    return Chem.MolFromSmiles(smiles).HasSubstructMatch(Chem.MolFromSmarts(smarts))


ALKANOLS = ["CC(C)CO", "CCCO"]
STEERED = {
    "similarity": (0.15, 0.6), "filters": ["heavy_atoms<=7", "logp -3:1.5"], "exclude_smarts": ["[#7]"], "alerts": ["brenk"],
    "exclude_training_set": True, "rank_by": "similarity - 0.1*tpsa + heavy_atoms",
}  # fmt: skip


@pytest.fixture(scope="module")
def steered(tiny) -> pd.DataFrame:
    return _quietly(tiny.analogs, ALKANOLS, 6, max_samples=2_000, random_state=1, **STEERED)


@pytest.mark.parametrize("band", [(0.25, 0.6), "0.1:0.2"])
def test_nothing_lies_outside_the_band(tiny, band):
    low, high = (float(part) for part in band.split(":")) if isinstance(band, str) else band
    frame = _quietly(tiny.analogs, ALKANOLS, 6, similarity=band)
    assert len(frame) >= 8
    for row in frame.itertuples():
        assert low <= _tanimoto(row.seed, row.smiles) <= high
        assert row.similarity == pytest.approx(_tanimoto(row.seed, row.smiles))


@pytest.mark.parametrize(("target", "n"), [(0.35, 6), (0.3, 9)])
def test_a_target_is_the_median(tiny, target, n):
    frame = _quietly(tiny.analogs, "CC(C)CO", n, similarity=target)
    exact = [_tanimoto("CC(C)CO", smiles) for smiles in frame["smiles"]]
    assert 4 <= len(exact) <= n
    above = sum(s >= target for s in exact)
    assert abs(2 * above - len(exact)) <= 1
    assert all(target - 0.15 <= s <= target + 0.15 for s in exact)
    assert max(s for s in exact if s < target) <= np.median(exact) <= min(s for s in exact if s >= target)


def test_too_few_of_a_target_are_balanced_and_told_what_it_would_take(tiny):
    with pytest.warns(MolvaeWarning, match="max_samples=[0-9]+ would be needed|the last samples gave no molecules"):
        frame = tiny.analogs("CCCO", 30, similarity=0.4, max_samples=400)
    assert 0 < len(frame) < 30
    above = (frame["similarity"] >= 0.4).sum()
    assert abs(2 * above - len(frame)) <= 1
    (statistics,) = frame.attrs["statistics"]
    assert statistics["found"] == len(frame)
    assert statistics["samples"] == 400
    assert statistics["samples_needed"] is None or statistics["samples_needed"] > 400


def test_a_band_that_is_empty_says_so(tiny):
    frame = _quietly(tiny.analogs, "CCCO", 5, similarity=(0.97, 0.99), max_samples=100)
    assert len(frame) == 0
    assert tuple(frame.columns) == ANALOG_COLUMNS
    assert frame.attrs["statistics"][0]["samples_needed"] is None
    assert "a wider similarity range" in frame.attrs["summary"][0]


def test_every_wish_holds_for_every_row(tiny, steered):
    assert set(steered["seed"]) == set(ALKANOLS)
    assert len(steered) >= 5
    for row in steered.itertuples():
        mol = Chem.MolFromSmiles(row.smiles)
        assert 0.15 <= _tanimoto(row.seed, row.smiles) <= 0.6
        assert mol.GetNumHeavyAtoms() <= 7
        assert -3 <= Crippen.MolLogP(mol) <= 1.5
        assert "N" not in row.smiles
        assert row.smiles not in SMALL
        assert row.not_in_training
    loose = _quietly(tiny.analogs, ALKANOLS, 6, max_samples=2_000, random_state=1, similarity=(0.15, 0.6))
    assert any("N" in smiles or smiles in SMALL for smiles in loose["smiles"])  # the wishes are what keeps them away


def test_named_properties_are_columns_and_the_rank_is_the_formula(steered):
    assert tuple(steered.columns) == (*ANALOG_COLUMNS, "heavy_atoms", "tpsa", "rank")
    for row in steered.itertuples():
        mol = Chem.MolFromSmiles(row.smiles)
        assert row.heavy_atoms == mol.GetNumHeavyAtoms()
        assert row.tpsa == pytest.approx(rdMolDescriptors.CalcTPSA(mol))
        formula = _tanimoto(row.seed, row.smiles) - 0.1 * row.tpsa + row.heavy_atoms
        assert row.rank == pytest.approx(formula)
    for _, group in steered.groupby("seed"):
        assert all(first >= second for first, second in pairwise(group["rank"]))


@pytest.mark.parametrize("options", [STEERED, {"similarity": 0.4}, {"keep_scaffold": True, "samples_per_latent": 3}])
def test_company_changes_nothing_with_a_dial_or_with_wishes(tiny, options):
    """A seed's molecules do not depend on the seeds beside it."""
    options = {"max_samples": 2000, "random_state": 1, **options}
    alone = _quietly(tiny.analogs, "CCCO", 6, **options)
    together = _by_seed(_quietly(tiny.analogs, ["Oc1ccccc1", "CCCO", "C1CC", "CC(C)CO"], 6, **options))
    assert alone["smiles"].tolist() == together["CCCO"] != []
    assert _by_seed(_quietly(tiny.analogs, ["CCCO"], 6, **{**options, "random_state": 3})) != {"CCCO": together["CCCO"]}


def test_scaffold_and_patterns(tiny):
    """Of what the model knows two molecules are left, phenol and toluene."""
    frame = _quietly(
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


def test_a_score_may_be_called_much_like_another_figure(tiny):
    scores = {"similarity_to_x": lambda smiles: [5.0] * len(smiles)}
    frame = _quietly(tiny.analogs, "CCCO", 2, scores=scores, filters="similarity_to_x>3", properties="tpsa")
    assert set(frame["similarity_to_x"]) == {5.0}
    assert "tpsa" in frame
    assert "qed" not in frame


def test_core_is_kept_and_seeds_without_it_are_errors(tiny):
    frame = _quietly(tiny.analogs, ["CCCO", "CC(C)CO", "CCN", "C("], 5, core="*CO", max_samples=600)
    assert set(frame["seed"]) == {"CCCO", "CC(C)CO"}
    assert "does not contain the core *CO" in frame.attrs["errors"]["CCN"]
    assert set(frame.attrs["errors"]) == {"CCN", "C("}
    assert all(_has(smiles, "[CH2;D2]([!#1])[OH]") for smiles in frame["smiles"])


def test_branching_at_the_substituents_of_a_core_accepts_a_larger_share(tiny):
    """Compared with the same condition as SMARTS, for which samples branch anywhere."""

    def accepted_share(**condition):
        found = rejected = 0
        for random_state in range(3):
            options = {"similarity": "0:1", "max_samples": 400, "random_state": random_state, "properties": ()}
            (row,) = _quietly(tiny.analogs, "Nc1ccccc1", 60, **condition, **options).attrs["statistics"]
            found, rejected = found + row["found"], rejected + sum(row["rejected"].values())
        return found / (found + rejected)

    anywhere = accepted_share(include_smarts="[!#1]c1[cH][cH][cH][cH][cH]1")
    assert accepted_share(core="*c1ccccc1") > 1.2 * anywhere > 0


@pytest.mark.parametrize("kind", [list, np.array, lambda values: pd.Series(values, index=range(9, 9 + len(values)))])
def test_a_score_may_come_in_whatever_holds_numbers(tiny, kind):
    def atoms(smiles):
        assert len(smiles)  # of none it is not asked: here, of methane's
        return kind([float(Chem.MolFromSmiles(text).GetNumAtoms()) for text in smiles])

    wishes = {"scores": {"atoms": atoms}, "filters": "atoms>2", "rank_by": "atoms", "similarity": (0.05, 1.0)}
    frame = _quietly(tiny.analogs, ["CCCO", "C"], 5, max_samples=200, **wishes)
    assert frame["atoms"].tolist() == [Chem.MolFromSmiles(text).GetNumAtoms() for text in frame["smiles"]]
    assert set(frame["seed"]) == {"CCCO"}
    assert frame["rank"].tolist() == frame["atoms"].tolist()


@pytest.mark.parametrize(
    ("score", "complaint"),
    [
        (lambda smiles: 1.0, "x must return [0-9]+ numbers for [0-9]+ molecules, got a single number"),  # noqa: ARG005
        (lambda smiles: smiles, "x must return one number for each molecule: could not convert"),
        (lambda smiles: [1.0] * (len(smiles) + 1), "x must return ([0-9]+) numbers for [0-9]+ molecules, got an array"),
    ],
)
def test_a_score_that_gives_something_else(tiny, score, complaint):
    for wishes in ({"rank_by": "x"}, {"filters": "x>0"}):
        with pytest.raises(InputError, match=complaint):
            _quietly(tiny.analogs, "CCCO", 2, scores={"x": score}, **wishes)


@pytest.mark.parametrize("workers", [0, 2])
def test_scores_of_ones_own_can_be_wished_for(tiny, monkeypatch, workers):
    """Asked of what meets all other wishes, and drawing goes on until there are enough."""
    monkeypatch.setattr("molvae.generation.runner.PARTS_PER_WORKER", 1)
    asked = set()

    def atoms(smiles):
        asked.update(smiles)
        return np.array([Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles], dtype=float)

    wishes = {"scores": {"atoms": atoms}, "filters": ["atoms 3:4", "mw<75"], "similarity": "0:1", "workers": workers}
    frame = _quietly(tiny.analogs, SEEDS, 6, **wishes)
    assert len(frame) >= 8
    assert set(frame["atoms"]) == {3, 4}
    assert frame["mw"].max() < 75
    assert max(Descriptors.MolWt(Chem.MolFromSmiles(text)) for text in asked) < 75
    assert any(row["rejected"]["atoms 3:4"] for row in _quietly(tiny.analogs, SEEDS, 60, **wishes).attrs["statistics"])


def test_a_bare_string_is_one_wish(tiny):
    """Not one for each of its letters."""
    wishes = {"include_smarts": "CCO", "exclude_smarts": "CN", "filters": "mw<100", "alerts": "PAINS"}
    lists = {name: [wish] for name, wish in wishes.items()}
    frame = tiny.analogs("CC(C)CO", 5, **wishes)
    pd.testing.assert_frame_equal(frame, tiny.analogs("CC(C)CO", 5, **lists))
    assert all(_has(smiles, "CCO") for smiles in frame["smiles"])


def test_no_wishes_at_all_change_nothing(tiny):
    empty = {
        "filters": (),
        "include_smarts": None,
        "exclude_smarts": [],
        "alerts": None,
        "exclude_training_set": False,
        "similarity": None,
    }
    pd.testing.assert_frame_equal(tiny.analogs("CCO", 5, **empty), tiny.analogs("CCO", 5))


def test_diverse_are_so_many_of_each_seed_and_the_best_is_among_them(tiny):
    full = tiny.analogs(ALKANOLS, 12, rank_by="qed")
    few = tiny.analogs(ALKANOLS, 12, rank_by="qed", n_diverse=4)
    for seed in ALKANOLS:
        picked, best = (frame.loc[frame["seed"] == seed, "smiles"].tolist() for frame in (few, full))
        assert len(picked) == 4
        assert picked[0] == best[0]
        assert picked == [smiles for smiles in best if smiles in picked]
        assert set(picked) <= set(best[:12])


def test_a_seed_with_nothing_stands_beside_others(tiny):
    """And no seeds at all still have the columns that were asked for."""
    frame = _quietly(
        tiny.analogs, ["C1CCNC1", "CCO"], 3, filters="rings=0", include_smarts="O", exclude_smarts="N", max_samples=100
    )
    assert "CCO" in set(frame["seed"])
    assert frame["mw"].dtype == float
    nothing = _quietly(tiny.analogs, "CCO", 3, filters="rings>20", rank_by="fsp3", max_samples=64)
    none = tiny.analogs([], 3, filters="rings>20", rank_by="fsp3")
    assert len(nothing) == len(none) == 0
    assert list(nothing.columns) == list(none.columns) == [*ANALOG_COLUMNS, "rings", "fsp3", "rank"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_level": 0.2, "similarity": 0.5}, "either noise_level or similarity"),
        ({"similarity": 1.2}, "similarity must be a median"),
        ({"similarity": "0.7:0.5"}, "similarity must be a range"),
        ({"filters": ["mw<<500"]}, "cannot read the filter 'mw<<500'"),
        ({"filters": ["lgp<3"]}, "did you mean 'logp'"),
        ({"include_smarts": ["C("]}, "cannot read SMARTS"),
        ({"exclude_smarts": ["C("]}, "cannot read SMARTS"),
        ({"alerts": ["pain"]}, "unknown set of alerts 'PAIN'"),
        ({"rank_by": "similarty"}, "did you mean 'similarity'"),
        ({"n_diverse": -1}, "n_diverse must be 0"),
        ({"n": 0}, "number of molecules"),
        ({"n": 2.5}, "number of molecules"),
        ({"filters": "similarity>0.4"}, "filters cannot name similarity: pass similarity="),
        ({"n": 5, "n_diverse": 20}, "n_diverse=20 molecules out of n=5"),
    ],
)
def test_a_stream_refuses_options_before_it_is_read(tiny, options, message):
    with pytest.raises(InputError, match=message):
        tiny.iter_analogs(iter(["CCO"]), **options)
    with pytest.raises(InputError, match=message):
        tiny.analogs([], **options)


@pytest.mark.parametrize("function", [molvae.analogs, Generator.analogs, Generator.iter_analogs])
def test_every_option_is_explicit(function):
    parameters = inspect.signature(function).parameters
    assert {field.name for field in dataclasses.fields(AnalogOptions)} <= set(parameters)
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values())


def test_unknown_option_is_a_type_error(tiny):
    with pytest.raises(TypeError, match="similarty"):
        tiny.analogs("CCO", similarty=0.5)


def test_a_stream_of_one_string_is_one_seed(tiny):
    (frame,) = tiny.iter_analogs("CCO", 3)
    assert set(frame["seed"]) == {"CCO"}


def test_novelty_needs_a_record_of_the_training_set(tiny_checkpoint):
    forgetful = Generator(dataclasses.replace(tiny_checkpoint, training_filter=None))
    with pytest.raises(InputError, match="record of its training set"):
        forgetful.analogs("CCO", 3, exclude_training_set=True)
    assert forgetful.analogs("CCO", 3, exclude_training_set=False)["not_in_training"].isna().all()


# --- sample ---


def test_samples_are_valid_and_distinct_and_repeatable(tiny):
    frame = tiny.sample(15, random_state=4)
    assert tuple(frame.columns) == SAMPLE_COLUMNS
    assert frame["smiles"].is_unique
    assert all(Chem.CanonSmiles(s) == s for s in frame["smiles"])
    pd.testing.assert_frame_equal(frame, tiny.sample(15, random_state=4))
    assert frame["smiles"].tolist() != tiny.sample(15, random_state=5)["smiles"].tolist()


def test_fewer_samples_begin_as_more_do(tiny):
    assert tiny.sample(20, random_state=4)["smiles"].tolist()[:5] == tiny.sample(5, random_state=4)["smiles"].tolist()


# --- encode, decode, reconstruct ---


@pytest.mark.parametrize("verb", ["encode", "reconstruct"])
def test_one_row_out_per_row_in(tiny, verb):
    frame = getattr(tiny, verb)([*BAD, *SMALL, "CCO"])
    assert frame["smiles"].tolist() == [*BAD, *SMALL, "CCO"]
    assert (frame["error"] != "").tolist() == [True, True, True] + [False] * (len(SMALL) + 2)


@pytest.mark.parametrize("verb", ["encode", "reconstruct"])
def test_none_and_one_and_a_bare_string(tiny, verb):
    method = getattr(tiny, verb)
    assert len(method([])) == 0
    assert list(method([]).columns) == list(method(["CCO"]).columns)
    pd.testing.assert_frame_equal(method("CCO"), method(["CCO"]))


def test_encoding_is_a_function_of_the_molecule(tiny):
    """Not of the run, the spelling, or the rows beside it."""
    frame = tiny.encode(SMALL)
    latents = frame.filter(regex=r"^z\d").to_numpy()
    assert latents.shape == (len(SMALL), tiny.checkpoint.config.latent_dim)
    np.testing.assert_array_equal(tiny.encode(SMALL).filter(regex=r"^z\d").to_numpy(), latents)
    alone = tiny.encode(SMALL[20]).filter(regex=r"^z\d").to_numpy()[0]
    np.testing.assert_allclose(alone, latents[20], atol=1e-5)
    other_spelling = tiny.encode("C(C)O").filter(regex=r"^z\d").to_numpy()[0]
    np.testing.assert_allclose(other_spelling, latents[SMALL.index("CCO")], atol=1e-5)


def test_rows_with_an_error_have_no_latent(tiny):
    frame = tiny.encode(["C1CC", "CCO"])
    assert frame.filter(regex=r"^z\d").isna().all(axis=1).tolist() == [True, False]


def test_decoding_what_was_encoded_reconstructs(tiny):
    rows = [*SMALL, "C1CC"]
    expected = tiny.reconstruct(rows)
    latents = tiny.encode(rows)
    for given in (latents, latents.filter(regex=r"^z\d").to_numpy()):
        decoded = tiny.decode(given)
        assert decoded["smiles"].tolist() == expected["reconstruction"].tolist()
    assert decoded["error"].iloc[-1] == "latent is not finite"


def test_exact_is_equality_with_the_canonical_input(tiny):
    frame = tiny.reconstruct([*SMALL, "OCC", "C1CC"])
    for row in frame.itertuples():
        if not row.error:
            assert row.exact == (row.reconstruction == Chem.CanonSmiles(row.smiles))
    assert frame["exact"].mean() > 0.6


def test_a_string_that_is_no_molecule_is_told(tiny):
    latents = 30 * np.random.default_rng(0).standard_normal((40, tiny.checkpoint.config.latent_dim))
    frame = tiny.decode(latents, temperature=2.0)
    assert len(frame) == 40
    assert ((frame["smiles"] == "") == (frame["error"] != "")).all()
    assert frame["error"].str.contains("not a molecule: '|longer than the maximum").any()


def test_sampled_decoding_follows_its_seed(tiny):
    latents = tiny.encode(SMALL)
    one, same, other = (tiny.decode(latents, temperature=1.5, random_state=s)["smiles"].tolist() for s in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4)])
def test_latents_of_another_shape_are_named(tiny, shape):
    with pytest.raises(InputError, match=r"latents must have shape \(N, 12\)"):
        tiny.decode(np.zeros(shape))


def test_a_table_without_latents_is_named(tiny):
    with pytest.raises(InputError, match="z0 is missing"):
        tiny.decode(pd.DataFrame({"smiles": ["CCO"]}))


# --- loading ---


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(tiny_model, device):
    with pytest.raises(InputError, match=f"cannot use the device '{device}'"):
        Generator.load(tiny_model, device)


def test_the_functions_of_the_package_keep_the_model(tiny_model, tiny):
    import molvae

    pd.testing.assert_frame_equal(molvae.encode(SMALL, model=tiny_model, device="cpu"), tiny.encode(SMALL))
    assert molvae.load(tiny_model, "cpu") is molvae.load(str(tiny_model), "cpu")
    assert len(molvae.analogs("CCO", 3, model=tiny_model, device="cpu")) == 3
    assert len(molvae.sample(3, model=tiny_model, device="cpu")) == 3
    assert molvae.reconstruct("CCO", model=tiny_model, device="cpu")["exact"].all()
    assert len(molvae.decode(np.zeros((2, 12)), model=tiny_model, device="cpu")) == 2


def test_every_public_name_is_there():
    import molvae

    for name in molvae.__all__:
        assert getattr(molvae, name) is not None
    assert set(molvae.__all__) <= set(dir(molvae))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = molvae.nothing


# --- likelihood ---


def test_the_likelihood_of_what_is_reconstructed_is_that_of_its_decoding(tiny_checkpoint):
    tiny = Generator(tiny_checkpoint, precision="32")  # the network's own products, which training has too
    latents = tiny.encode(SMALL)
    decoded, known = tiny.decode(latents), tiny.likelihood(SMALL)
    exact = (decoded["smiles"] == known["smiles"]).to_numpy()
    assert exact.sum() > 20
    np.testing.assert_allclose(known["log_likelihood"][exact], decoded["log_likelihood"][exact], atol=1e-4)
    assert list(known["n_tokens"][:2]) == [4, 4]  # C C O end


def test_what_has_no_likelihood_says_why(tiny):
    table = tiny.likelihood(["CCO", "C1CC", "[U]"])
    assert list(table["error"] == "") == [True, False, False]
    assert list(table["log_likelihood"].isna()) == [False, True, True]
    assert "ring 1 opened but not closed" in table["error"][1]
    assert len(tiny.likelihood([])) == 0
    assert tiny.likelihood("CCN")["log_likelihood"][0] > tiny.likelihood("CN(C)C(=N)NC(=N)N")["log_likelihood"][0]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"noise_level": -0.1}, "noise_level must be between 0 and 1"),
        ({"noise_level": float("nan")}, "noise_level must be between 0 and 1"),
        ({"noise_level": [0.5, 0.5, 2.0]}, "noise_level must be between 0 and 1"),
        ({"noise_level": [0.5, 0.5]}, r"noise_level must be a number or one per latent \(3\)"),
        ({"noise_level": "far"}, "noise_level must be a number or one number per latent, got 'far'"),
        ({"random_state": 0.5}, "random_state must be a number or one number per latent, got 0.5"),
        ({"random_state": [[1, 2, 3]]}, r"one per latent \(3\), got an array of \(1, 3\)"),
        ({"random_state": 2**70}, "random_state must be a number"),
    ],
)
def test_numbers_that_cannot_be_used_in_decoding(tiny, wrong, complaint):
    with pytest.raises(InputError, match=complaint):
        tiny.decode(np.zeros((3, 12)), **wrong)
    with pytest.raises(InputError, match="latents must be numeric"):
        tiny.decode(np.array([["a"] * 12]))


def test_what_is_no_number_is_no_latent(tiny):
    """And the numbers of the other rows may come in whatever holds them."""
    z = np.random.default_rng(1).normal(size=(4, 12))
    expected = tiny.decode(z, noise_level=np.array([0.1, 0.2, 0.3, 0.4]), random_state=np.arange(4), temperature=1.0)
    z[1, 3], z[2, 0] = np.inf, np.nan
    for noise_level, seed in (([0.1, 0.2, 0.3, 0.4], range(4)), (pd.Series([0.1, 0.2, 0.3, 0.4]), [0, 1, 2, 3])):
        table = tiny.decode(z, noise_level=noise_level, random_state=seed, temperature=1.0)
        assert table["error"][1] == table["error"][2] == "latent is not finite"
        pd.testing.assert_frame_equal(table.iloc[[0, 3]], expected.iloc[[0, 3]])


def test_text_that_no_file_can_hold_costs_its_row_only(tiny):
    """What Python makes of bytes that are no text, in an argument."""
    texts = ["CCO", "CC\udce9"]
    for table in (tiny.reconstruct(texts), tiny.likelihood(texts), tiny.encode(texts)):
        assert table["smiles"].tolist() == texts
        assert list(table["error"] == "") == [True, False]


def test_a_noise_level_and_a_seed_for_each_latent(tiny):
    """A string then depends on its own two numbers, wherever it stands."""
    latents = np.random.default_rng(0).normal(size=(12, 12))
    noise_level, seed = np.linspace(0, 1, 12), np.arange(12) + 100
    together = tiny.decode(latents, noise_level=noise_level, random_state=seed, temperature=1.5)
    swapped = tiny.decode(
        latents[::-1].copy(), noise_level=noise_level[::-1], random_state=seed[::-1].copy(), temperature=1.5
    )
    pd.testing.assert_frame_equal(together, swapped[::-1].reset_index(drop=True))
    others = tiny.decode(latents, noise_level=noise_level, random_state=seed + 1, temperature=1.5)
    told_nothing = tiny.decode(latents, random_state=seed, temperature=1.5)
    assert not together.equals(others)
    assert not together["log_likelihood"].equals(told_nothing["log_likelihood"])


def test_a_string_that_is_to_leave_a_molecule_s_begins_as_it_does(tiny):
    """As many of its symbols as there are before one of its atoms, and then another; the others are as without."""
    latents = tiny.encode(["CCCCO", "CCCCO", "CCO"] * 20)
    branch_from = ["CCCCO", "", "CCO"] * 20
    table = tiny.decode(latents, temperature=1.0, random_state=3, branch_from=branch_from)
    free = tiny.decode(latents, temperature=1.0, random_state=3)
    texts = table["smiles"].where(table["smiles"] != "", table["error"])
    assert (table["smiles"][1::3] == free["smiles"][1::3]).all()
    assert not any(text == own for text, own in zip(texts, branch_from, strict=True))
    assert (free["smiles"][::3] == "CCCCO").mean() > 0.5
    with pytest.raises(InputError, match="60 latents, 2 SMILES"):
        tiny.decode(latents, branch_from=["C", "C"])
    with pytest.raises(MoleculeError, match=r"\[U\]"):
        tiny.decode(latents[:1], branch_from=["[U]"])


def test_latents_off_the_sphere_are_put_there_before_they_are_decoded():
    """Traversals and optimization step off it, and the decoder of a hypersphere model has never seen such latents."""
    model, config, vocabulary = trained("hypersphere", "gru", 60)
    generator = Generator(Checkpoint("sphere", model, config, vocabulary), "cpu")
    there = generator.encode(list(SMALL)).iloc[:, 2:].to_numpy()
    np.testing.assert_allclose(np.linalg.norm(there, axis=1), np.sqrt(config.latent_dim), rtol=1e-5)
    for off in (0.1 * there, 3.0 * there):
        pd.testing.assert_frame_equal(generator.decode(off), generator.decode(there))


# --- refined latents ---

STRANGE = ["CC(=O)NCc1ccccc1", "CC(C)CCO", "CCO"]


def test_a_refined_latent_gives_back_its_molecule(tiny):
    plain, refined = (tiny.reconstruct(STRANGE, optimize_latents=refine)["exact"].tolist() for refine in (False, True))
    assert plain == [False, False, True]
    assert sum(refined) > sum(plain)
    z, moved = (tiny.encode(STRANGE, optimize_latents=refine).filter(regex="z").to_numpy() for refine in (False, True))
    assert not np.array_equal(z[0], moved[0])
    decoded = tiny.decode(moved)["smiles"]
    assert [smiles == text for smiles, text in zip(decoded, STRANGE, strict=True)] == refined


def test_a_seed_s_refined_latent_does_not_depend_on_the_others(tiny):
    alone = tiny.analogs(STRANGE[0], 5, max_samples=200)
    beside = tiny.analogs([*STRANGE[1:], STRANGE[0]], 5, max_samples=200)
    beside = beside[beside["seed"] == STRANGE[0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, beside, check_exact=True)


# --- what is kept, and what is not ---


def test_a_model_that_was_written_anew_is_read_anew(tiny_checkpoint, tmp_path, monkeypatch):
    place = save(tiny_checkpoint, tmp_path / "here" / "m")
    first = api.load(place, "cpu")
    assert api.load(str(place), "cpu") is first
    save(dataclasses.replace(tiny_checkpoint, name="another"), place)
    assert api.load(place, "cpu").checkpoint.name == "another"
    save(tiny_checkpoint, tmp_path / "there" / "m")
    monkeypatch.chdir(tmp_path / "here")
    assert api.load("m", "cpu").checkpoint.name == "another"
    monkeypatch.chdir(tmp_path / "there")
    assert api.load("m", "cpu").checkpoint.name == "tiny"


def test_a_generator_says_what_it_is(tiny):
    parameters = sum(parameter.numel() for parameter in tiny.model.parameters())
    assert repr(tiny) == (
        "Generator(name='tiny', encoder='dmpnn', latent='gaussian', latent_dim=12, decoder='gru', "
        f"parameters={parameters:,}, learned_prior=None, device='cpu')"
    )


def test_the_package_has_its_parts():
    assert molvae.explore.interpolate is not None
    assert {"explore", "analogs"} <= set(dir(molvae))


def test_a_molecule_is_no_smiles(tiny):
    with pytest.warns(MolvaeWarning, match=r"Chem\.MolToSmiles\(mol\)"):
        assert len(tiny.analogs([Chem.MolFromSmiles("CCO")], 2)) == 0


def test_what_is_written_and_is_no_molecule_is_said(tiny_checkpoint):
    """A network with fresh weights writes nonsense."""
    fresh = Autoencoder.from_config(tiny_checkpoint.config)
    frame = Generator(dataclasses.replace(tiny_checkpoint, model=fresh)).reconstruct(["CCO", "C1CC"])
    assert frame.attrs["n_invalid"] == 1
    assert frame["error"].str.contains("not a molecule|longer than the maximum").tolist() == [True, False]


def test_a_seed_may_be_an_integer_of_numpys(tiny):
    z = tiny.encode(["CCO", "CCN"]).filter(regex="^z").to_numpy()
    first, second = (tiny.decode(z, temperature=1.0, random_state=seed) for seed in (3, np.int64(3)))
    pd.testing.assert_frame_equal(first, second)


def test_a_temperature_is_a_number(tiny):
    with pytest.raises(InputError, match="temperature must be 0"):
        tiny.sample(3, temperature=float("nan"))


def test_wishes_may_be_any_iterable(tiny):
    assert _quietly(tiny.analogs, "CCO", 3, filters=iter(["mw<1"]), max_samples=50).empty


@pytest.mark.parametrize("n", [0, "10", None])
def test_how_many_is_a_number_above_0(tiny, n):
    with pytest.raises(InputError, match=f"the number of molecules must be 1 or more, got {n}"):
        tiny.analogs("CCO", n, n_diverse=3)


def test_a_column_is_answered_under_its_own_index(tiny):
    """What is joined to a table so lies beside its molecules, whatever rows of it were taken."""
    column = pd.Series([*SMALL[:3], "C1CC", None], index=["a", "c", "b", "b", 7])
    for verb in (tiny.encode, tiny.reconstruct, tiny.likelihood):
        frame = verb(column)
        assert frame.index.equals(column.index)
        pd.testing.assert_frame_equal(frame.reset_index(drop=True), verb(list(column)))
    latents = tiny.encode(column)
    written = tiny.decode(latents)
    assert written.index.equals(column.index)
    pd.testing.assert_frame_equal(written.reset_index(drop=True), tiny.decode(latents.iloc[:, 2:].to_numpy()))
    assert tiny.decode(latents.iloc[0, 2:]).index.tolist() == [0], "one latent, whose index names its dimensions"
    written.index.name = "mine"
    assert column.index.name is None
