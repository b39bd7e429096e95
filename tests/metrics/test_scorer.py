"""Tables and set metrics of `Scorer` compared with direct computations, for any division into chunks and any order."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from math import exp, sqrt

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy.stats import wasserstein_distance
from threadpoolctl import threadpool_limits

from molvae.chem.plausibility import FLAWS, PlausibilityChecker
from molvae.chem.smiles import canonical, parse
from molvae.data.rows import InvalidRow, Record
from molvae.errors import InputError, MissingExtraError
from molvae.metrics import scorer as scorer_module
from molvae.metrics import set_metrics as set_metrics_module
from molvae.metrics.molecules import COLUMNS, concat_tables, rows_from_smiles
from molvae.metrics.reference import Reference
from molvae.metrics.scorer import Scorer, Scores
from molvae.metrics.set_metrics import ReferenceSets

ALL = [canonical(text) for text in DRUGS.values()]
TRAIN, TEST, SCAFFOLDS, SET = ALL[::2], ALL[1::2], ALL[::3], [*ALL[5:35], *ALL[20:40]]
INVALID = ["", "C1CC", "C" * 6000, float("nan"), None, 7]
CHEAP = ("logp", "scaffold")
MORGAN = {bits: rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=bits) for bits in (1024, 2048)}


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")
    return ReferenceSets(*(Reference(smiles, "a set", folder=folder, workers=1) for smiles in (TRAIN, TEST, SCAFFOLDS)))


def scored(rows, references=None, **options):
    """Return the table of all rows, and the scores."""
    scorer = Scorer(references, **{"workers": 1, "fcd": False, **options})
    table = concat_tables(scorer.tables(rows_from_smiles(rows) if isinstance(rows, list) else rows))
    return table, scorer.scores()


@pytest.fixture(scope="module")
def scored_set(references):
    return scored(SET, references)


def fingerprint(smiles, bits=2048):
    return MORGAN[bits].GetFingerprint(parse(smiles))


def similarity(a, b, bits=2048):
    return DataStructs.TanimotoSimilarity(fingerprint(a, bits), fingerprint(b, bits))


def murcko(smiles, stereo=False):
    return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(parse(smiles)), isomericSmiles=stereo)


def cosine(a, b):
    return sum(a[k] * b[k] for k in a) / sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))


def parse_strict_json(text):
    def fail(name):
        raise AssertionError(f"{name} is not standard JSON")

    return json.loads(text, parse_constant=fail)


def all_metrics(scores):
    return {f"{section}/{name}": value for section, found in scores.metrics.items() for name, value in found.items()}


# --- rows ---


def test_one_output_row_per_input_row(references):
    rows = ["OCC", *INVALID, "c1ccccc1C(=O)O", "nonsense"]
    table, scores = scored(rows, references)
    assert len(table) == len(rows)
    assert table["canonical"].tolist() == ["CCO", *[""] * len(INVALID), "O=C(O)c1ccccc1", ""]
    assert table["smiles"].tolist() == ["OCC", "", "C1CC", "C" * 6000, "nan", "None", "7", "c1ccccc1C(=O)O", "nonsense"]
    assert (table["error"] == "").tolist() == [True, *[False] * len(INVALID), True, False]
    for index, reason in enumerate(["empty", "ring 1", "6,000 characters", "float, not", "NoneType, not", "int, not"]):
        assert reason in table["error"][index + 1]
    invalid = table[table["canonical"] == ""]
    comparisons = ["not_in_training", "scaffold_not_in_training", "nearest_neighbor", "nearest_similarity"]
    assert invalid[[*COLUMNS, *comparisons]].drop(columns=["alerts", "scaffold"]).isna().all(axis=None)
    assert scores.counts["read"] == 9
    assert scores.counts["valid"] == scores.counts["distinct"] == scores.counts["sampled"] == 2
    assert scores.counts["invalid"] == 7
    assert scores.invalid["smiles"].tolist() == invalid["smiles"].tolist()
    assert scores.metrics["MOSES"]["valid"] == scores.metrics["GuacaMol"]["validity"] == 2 / 9


def test_invalid_rows_keep_position_and_reason():
    rows = iter(
        [
            InvalidRow("a.smi", 1, "text", "not a row"),
            Record("CCO", "x", "a.smi", 2),
            InvalidRow("a.smi", 3, "", "empty"),
        ]
    )
    table, _ = scored(rows, columns=())
    assert table["smiles"].tolist() == ["text", "CCO", ""]
    assert table["error"].tolist() == ["not a row", "", "empty"]
    assert "seed" not in table.columns


def test_unparsable_canonical_smiles_is_invalid_row(references):
    """The canonical SMILES of 450 linked pyrroles exceeds the length limit."""
    chain = "C1=CNC(=C1)" * 450 + "C"
    table, scores = scored(["CCO", chain, "CCN"], references, columns=("logp", "moses_filters"))
    assert table["canonical"].tolist() == ["CCO", "", "CCN"]
    assert table["smiles"][1] == chain
    assert "cannot be parsed" in table["error"][1]
    assert table.loc[1, ["logp", "moses_filters", "not_in_training", "nearest_neighbor"]].isna().all()
    assert scores.counts["valid"] == 2


def test_surrogates_are_invalid_rows():
    table, scores = scored(["CCO", "C\udcff", "\ud800"], columns=())
    assert table["canonical"].tolist() == ["CCO", "", ""]
    assert table["smiles"].tolist() == ["CCO", "C\\udcff", "\\ud800"]
    assert scores.counts["invalid"] == 2


def test_numeric_columns_are_float64():
    whole, mixed = scored(["CCO"])[0], scored(["CCO", "C1CC"])[0]
    numbers = [name for name, column in COLUMNS.items() if isinstance(column.missing, float)]
    assert {"hbd", "rings", "qed"} <= set(numbers)
    for table in (whole, mixed):
        assert set(table[numbers].dtypes.astype(str)) == {"float64"}


def test_novelty_columns(scored_set):
    table, scores = scored_set
    known, scaffolds = set(TRAIN), {murcko(text) for text in TRAIN}
    assert table["not_in_training"].tolist() == [text not in known for text in SET]
    assert {True, False} == set(table["not_in_training"])
    expected = [None if not murcko(text) else murcko(text) not in scaffolds for text in SET]
    assert table["scaffold_not_in_training"].tolist() == expected
    assert {True, False, None} == set(expected)
    assert scores.counts["novel"] == len(set(SET) - known)


def test_stereoisomer_is_not_in_training(tmp_path):
    train = ReferenceSets(Reference(["C[C@H](N)C(=O)O", "C[C@H]1CCCO1"], folder=tmp_path, workers=1))
    table, _ = scored(["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@@H]1CCCO1"], train, columns=CHEAP)
    assert table["not_in_training"].tolist() == [False, True, True]
    assert table["scaffold_not_in_training"].tolist() == [None, None, False]
    assert table["nearest_similarity"].tolist() == [1, 1, 1]


def test_nearest_neighbor_of_reference_molecule_is_itself(tmp_path):
    alanines = ["CC(N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O"]
    train = ReferenceSets(Reference(alanines, "alanines", folder=tmp_path, workers=1))
    table, _ = scored([*alanines, "CCC(N)C(=O)O"], train, columns=CHEAP)
    assert table["nearest_neighbor"].tolist() == [*alanines, alanines[0]]


def test_missing_score_is_noted(references):
    def incomplete_score(smiles):
        return np.array([np.nan if "N" in text else len(text) for text in smiles], dtype=float)

    table, scores = scored(["CCO", "CCN", "C1CC"], references, columns=(), scores={"my model": incomplete_score})
    assert table["error"].tolist()[:2] == ["", "no my model"]
    assert table["error"][2].startswith("cannot read")
    assert "valid molecules with a missing value: 1; see the column error" in scores.notes


def test_nearest_neighbor(scored_set, references):
    table, _ = scored_set
    for text, found, value in zip(SET, table["nearest_neighbor"], table["nearest_similarity"], strict=True):
        similarities = [similarity(text, other) for other in TRAIN]
        assert value == pytest.approx(max(similarities), abs=1e-6)
        assert found == TRAIN[int(np.argmax(similarities))]
    test_table, _ = scored(SET[:3], ReferenceSets(test=references.test), columns=CHEAP)
    assert set(test_table["nearest_neighbor"]) <= set(TEST)
    without, _ = scored(SET[:3], references, columns=CHEAP, nearest=False)
    assert "nearest_neighbor" not in without.columns
    assert "nearest_similarity" not in without.columns


def test_columns(references):
    table, scores = scored(["CCO"], columns=("scaffold", "logp"))
    assert list(table.columns) == ["smiles", "error", "note", "canonical", "logp", "scaffold"]
    assert set(scores.metrics["Molecules"]) == {"mean logp"}
    table, _ = scored(["CCO"], ReferenceSets(references.train), columns=("logp",))
    assert "scaffold_not_in_training" not in table.columns
    with pytest.raises(InputError, match="did you mean 'logp'"):
        Scorer(columns=("lugp",))
    with pytest.raises(InputError, match="unknown benchmark 'nosuch'"):
        Scorer(benchmarks=("nosuch",))
    with pytest.raises(InputError, match="sample_size must be at least 1"):
        Scorer(sample_size=0)


def test_benchmarks(references):
    _, scores = scored(["CCO", "CCN"], references, columns=CHEAP, benchmarks=("guacamol",))
    assert set(scores.metrics) == {"GuacaMol", "Molecules"}
    _, scores = scored(["CCO", "CCN"], references, columns=CHEAP, benchmarks=())
    assert set(scores.metrics) == {"Molecules"}


# --- metrics of the set ---


def test_moses_metrics_match_definitions(scored_set):
    _, scores = scored_set
    found = scores.metrics["MOSES"]
    assert found["valid"] == 1
    assert found["unique@1000"] == found["unique@10000"] == len(set(SET)) / len(SET)
    assert found["Novelty"] == len(set(SET) - set(TRAIN)) / len(set(SET))
    pairs = np.array([similarity(a, b, 1024) for a, b in product(SET, SET)])
    assert found["IntDiv"] == pytest.approx(1 - pairs.mean())
    rows = pairs.reshape(len(SET), -1)
    assert found["IntDiv2"] == pytest.approx(1 - np.sqrt((rows**2).mean(axis=1)).mean())
    for label, reference in (("Test", TEST), ("TestSF", SCAFFOLDS)):
        nearest = [max(similarity(text, other, 1024) for other in reference) for text in SET]
        assert found[f"SNN/{label}"] == pytest.approx(np.mean(nearest), abs=1e-6)
        fragments, scaffolds = (
            [Counter(piece for text in smiles for piece in pieces(text)) for smiles in (SET, reference)]
            for pieces in (_fragments, _scaffold)
        )
        assert found[f"Frag/{label}"] == pytest.approx(cosine(*fragments))
        assert found[f"Scaf/{label}"] == pytest.approx(cosine(*scaffolds))
        assert found[f"FCD/{label}"] is None
    for name, function in (("logP", Crippen.MolLogP), ("weight", Descriptors.MolWt)):
        values = [[function(parse(text)) for text in smiles] for smiles in (SET, TEST)]
        assert found[name] == pytest.approx(wasserstein_distance(*values))
    assert 0 < found["SA"] < 2
    assert 0 <= found["Filters"] <= 1


def _fragments(smiles):
    return Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(parse(smiles))).split(".")


def _scaffold(smiles):
    scaffold = MurckoScaffold.GetScaffoldForMol(parse(smiles))
    return [Chem.MolToSmiles(scaffold)] if scaffold.GetRingInfo().NumRings() > 1 else []


def test_guacamol_metrics_match_definitions(scored_set):
    _, scores = scored_set
    flat, known = ({Chem.MolToSmiles(parse(text), isomericSmiles=False) for text in smiles} for smiles in (SET, TRAIN))
    found = scores.metrics["GuacaMol"]
    assert found["validity"] == 1
    assert found["uniqueness"] == len(flat) / len(SET) < len(set(SET)) / len(SET)
    assert found["novelty"] == len(flat - known) / len(flat)
    assert 0.5 < found["KL divergence"] < 1
    assert found["FCD score"] is None


def test_metrics_of_reference_itself(tmp_path):
    same = Reference(TEST, folder=tmp_path, workers=1)
    _, scores = scored(TEST, ReferenceSets(same, same))
    found = scores.metrics["MOSES"]
    for name in ("SNN/Test", "Frag/Test", "Scaf/Test"):
        assert found[name] == pytest.approx(1)
    assert found["Novelty"] == found["logP"] == found["QED"] == 0
    assert scores.metrics["GuacaMol"]["KL divergence"] == pytest.approx(1)
    assert scores.metrics["GuacaMol"]["novelty"] == 0


def test_molecule_averages(scored_set):
    table, scores = scored_set
    found = scores.metrics["Molecules"]
    assert found["mean qed"] == pytest.approx(np.mean([QED.qed(parse(text)) for text in SET]))
    assert found["mean mw"] == pytest.approx(np.mean([Descriptors.MolWt(parse(text)) for text in SET]))
    assert found["lipinski"] == table["lipinski"].mean()
    assert found["no alerts"] == (table["alerts"] == "").mean()
    assert 0 < found["no alerts"] < 1
    assert scores.reference is not None
    assert len(scores.reference) == len(TEST)


def test_results_do_not_depend_on_chunks_and_workers(references, monkeypatch):
    monkeypatch.setattr(scorer_module, "CHUNKS_PER_TABLE", 2)
    monkeypatch.setattr(scorer_module, "chunked", lambda rows, _: ([row] for row in rows))
    rows = [*SET[:6], "C1CC", *SET[6:12]]
    divided = scored(rows, references)
    monkeypatch.undo()
    for workers in (0, 2):
        table, scores = scored(rows, references, workers=workers)
        for one, other in zip(*(t.astype(object).to_dict("records") for t in (table, divided[0])), strict=True):
            assert {k: v for k, v in one.items() if pd.notna(v)} == {k: v for k, v in other.items() if pd.notna(v)}
        assert all_metrics(scores) == pytest.approx(all_metrics(divided[1]))
        assert (scores.counts, scores.notes) == (divided[1].counts, divided[1].notes)


def test_order_does_not_change_metrics(scored_set, references):
    _, in_order = scored_set
    _, reversed_order = scored(SET[::-1], references)
    assert all_metrics(reversed_order) == pytest.approx(all_metrics(in_order))
    assert reversed_order.counts == in_order.counts


def test_set_metrics_of_sample(references):
    _, scores = scored(SET, references, columns=CHEAP, sample_size=10, random_state=1)
    assert scores.counts["sampled"] == len(scores.molecules) == 10
    assert scores.counts["distinct"] == len(set(SET))  # of all molecules
    assert "the metrics of the set are computed from 10 random molecules of 50 valid ones" in scores.notes
    again = scored(SET, references, columns=CHEAP, sample_size=10, random_state=1)[1]
    other = scored(SET, references, columns=CHEAP, sample_size=10, random_state=2)[1]
    assert all_metrics(again) == all_metrics(scores) != all_metrics(other)


def test_structures_of_complete_sample_are_reused(references, monkeypatch):
    """Structures are computed from canonical SMILES, also if the input is not canonical."""
    rows = [Chem.MolToSmiles(parse(text), doRandom=True) for text in SET[:12]] + ["C1CC", SET[0]]
    options = {"columns": CHEAP, "sample_size": 14}
    expected = scored(rows, references, **options)[1]
    compute_structures, computed = scorer_module.compute_structures, []
    monkeypatch.setattr(
        scorer_module, "compute_structures", lambda s, w: computed.extend(s) or compute_structures(s, w)
    )
    scorer = Scorer(references, **options, workers=1, fcd=False)
    _ = concat_tables(scorer.tables(rows_from_smiles(rows)))
    assert all_metrics(scorer.scores()) == all_metrics(expected)
    assert computed == []
    scorer._structures.clear()
    assert all_metrics(scorer.scores()) == all_metrics(expected)
    assert computed == [canonical(text) for text in rows if text != "C1CC"]


def test_several_streams(references):
    scorer = Scorer(references, columns=CHEAP, workers=1, fcd=False, sample_size=20)
    for start in (0, 15, 30):
        _ = concat_tables(scorer.tables(rows_from_smiles(SET[start : start + 15])))
    assert all_metrics(scorer.scores()) == all_metrics(scored(SET[:45], references, columns=CHEAP, sample_size=20)[1])


def test_guacamol_uses_random_subset_of_sample(references, monkeypatch):
    monkeypatch.setattr(set_metrics_module, "SUBSET_SIZE", 10)
    sampled = []
    guacamol_features = set_metrics_module.guacamol_features
    monkeypatch.setattr(
        set_metrics_module, "guacamol_features", lambda s, w: sampled.extend(s) or guacamol_features(s, w)
    )
    _, scores = scored(ALL, ReferenceSets(references.train), columns=())
    assert len(sampled) == 10
    assert sampled == [text for text in ALL if text in sampled]
    assert set(sampled) & set(ALL[len(ALL) // 2 :])
    assert any(note.startswith("the GuacaMol scores except validity are computed from 10") for note in scores.notes)


def test_scores_during_stream(references):
    scorer = Scorer(references, columns=CHEAP, workers=1, fcd=False)
    _ = concat_tables(scorer.tables(rows_from_smiles(SET[:20])))
    early = scorer.scores()
    _ = concat_tables(scorer.tables(rows_from_smiles(SET[20:])))
    assert early.counts["read"] == 20
    assert all_metrics(scorer.scores()) == pytest.approx(all_metrics(scored(SET, references, columns=CHEAP)[1]))


# --- edge cases ---


@pytest.mark.parametrize(
    "rows",
    [[], ["C1CC"], ["", "x"], ["CCO"], ["C"], ["c1ccc2ccccc2c1"], ["CCO"] * 5, ["CCO", "CCN"], ["[Na+].[Cl-]", "*"]],
    ids=str,
)
def test_metrics_are_finite_or_none(rows, references):
    table, scores = scored(rows, references)
    assert len(table) == len(rows) == scores.counts["read"]
    for name, value in all_metrics(scores).items():
        assert value is None or np.isfinite(value), name
    read = parse_strict_json(scores.to_json())
    assert read == {"counts": scores.counts, "metrics": scores.metrics, "notes": scores.notes}
    assert ("no row is a valid molecule" in scores.notes) == (scores.counts["valid"] == 0)


def test_empty_stream(scored_set, references):
    table, scores = scored([], references)
    assert list(table.columns) == list(scored_set[0].columns)
    assert scores.counts == {"read": 0, "valid": 0, "invalid": 0, "distinct": 0, "sampled": 0, "novel": 0}
    assert scores.metrics["MOSES"]["valid"] is None


def test_repeated_molecule(references):
    _, scores = scored(["CCO"] * 5, references, columns=CHEAP)
    assert (scores.counts["valid"], scores.counts["distinct"]) == (5, 1)
    assert scores.metrics["MOSES"]["unique@1000"] == scores.metrics["GuacaMol"]["uniqueness"] == 0.2
    assert scores.metrics["MOSES"]["IntDiv"] == 0


def test_unique_at_k_uses_first_k(monkeypatch):
    monkeypatch.setattr(scorer_module.moses, "UNIQUE_AT", (3, 100))
    _, scores = scored(["CCO", "CCO", "CCN", "CCC", "CCF"], columns=())
    assert scores.metrics["MOSES"]["unique@3"] == 2 / 3
    assert scores.metrics["MOSES"]["unique@100"] == 4 / 5
    assert scores.notes == ["unique@100: fewer than 100 valid molecules (5)"]


def test_reference_without_scaffolds(tmp_path):
    _, scores = scored(TEST[:5], ReferenceSets(test=Reference(["CCO", "c1ccccc1"], folder=tmp_path, workers=1)))
    assert scores.metrics["MOSES"]["Scaf/Test"] is None
    assert any(note.startswith("no Scaf/Test") for note in scores.notes)


@pytest.mark.parametrize("role", ["train", "test", "test_scaffolds"])
def test_empty_reference_raises_before_rows_are_read(role, tmp_path):
    def rows():
        raise AssertionError("a row was read")
        yield

    empty = ReferenceSets(**{role: Reference([], f"the {role} set", folder=tmp_path)})
    with pytest.raises(InputError, match=f"the {role} set has no valid molecule"):
        next(Scorer(empty, workers=1).tables(rows()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_metric_is_none_with_note(references, monkeypatch, value):
    monkeypatch.setattr(scorer_module.moses, "internal_diversity", lambda *_: {"IntDiv": value, "IntDiv2": 0.5})
    _, scores = scored(["CCO"], references, columns=CHEAP)
    assert scores.metrics["MOSES"]["IntDiv"] is None
    assert scores.metrics["MOSES"]["IntDiv2"] == 0.5
    assert f"no IntDiv: its value is {value}" in scores.notes
    parse_strict_json(scores.to_json())


def test_to_json_with_nan_raises():
    with pytest.raises(ValueError, match="not JSON compliant"):
        Scores({}, {"MOSES": {"x": float("nan")}}, [], pd.DataFrame()).to_json()


def test_column_that_fails_for_some_molecules(monkeypatch, references):
    """The molecules remain valid, are counted in a note, and are excluded from the mean."""
    column = COLUMNS["sa"]

    def fail_for_three_atoms(mol, row):
        if mol.GetNumAtoms() == 3:
            raise ValueError("three atoms")
        return column.function(mol, row)

    monkeypatch.setitem(COLUMNS, "sa", type(column)("sa", fail_for_three_atoms, "", float("nan")))
    table, scores = scored(["CCO", "CCCC"], references, columns=("sa",))
    assert table["error"].tolist() == ["no sa: three atoms", ""]
    assert scores.counts["valid"] == 2
    assert scores.metrics["Molecules"]["mean sa"] == table["sa"][1]
    assert scores.metrics["MOSES"]["SA"] is not None
    assert "valid molecules with a missing value: 1; see the column error" in scores.notes
    _, scores = scored(["CCO"], references, columns=("sa",))
    assert scores.metrics["Molecules"]["mean sa"] is None
    parse_strict_json(scores.to_json())


# --- Fréchet ChemNet distances ---


@pytest.fixture
def chemnet(monkeypatch):
    """Replaces ChemNet; returns the list of its inputs."""
    calls = []

    def activation_statistics(smiles, **_):
        calls.append(list(smiles))
        mean = np.zeros(512)
        mean[0] = np.mean([len(text) for text in smiles])
        return scorer_module.frechet_chemnet.ActivationStatistics(mean, np.eye(512), len(calls[-1]))

    monkeypatch.setattr(scorer_module.frechet_chemnet, "activation_statistics", activation_statistics)
    return calls


@pytest.fixture
def one_blas_thread():
    """Decompositions of 512 x 512 matrices are slow with several threads on a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.mark.usefixtures("one_blas_thread")
def test_fcd_metrics(chemnet, tmp_path):
    sets = [Reference(smiles, folder=tmp_path, workers=1) for smiles in (["CCCC"], ["CC"], ["CCC"])]
    _, scores = scored(["CCCCC", "CCCCC"], ReferenceSets(*sets), columns=(), fcd=None)
    assert scores.metrics["MOSES"]["FCD/Test"] == pytest.approx(9)
    assert scores.metrics["MOSES"]["FCD/TestSF"] == pytest.approx(4)
    assert scores.metrics["GuacaMol"]["FCD score"] == pytest.approx(exp(-0.2))
    assert chemnet.count(["CCCCC", "CCCCC"]) == 2  # once for MOSES, once for GuacaMol


def test_fcd_false_does_not_call_the_network(chemnet, references):
    _, scores = scored(["CCO"], references, columns=CHEAP, fcd=False)
    assert chemnet == []
    assert scores.metrics["MOSES"]["FCD/Test"] is None


@pytest.mark.parametrize("has_reference", [True, False])
def test_missing_fcd_torch_is_note_or_error(monkeypatch, references, has_reference):
    def missing(*_, **__):
        raise MissingExtraError("pip install it")

    monkeypatch.setattr(scorer_module.frechet_chemnet, "activation_statistics", missing)
    reference_sets = references if has_reference else None
    _, scores = scored(["CCO", "CCN"], reference_sets, columns=CHEAP, fcd=None)
    assert ("no FCD: pip install it" in scores.notes) == has_reference
    if has_reference:
        with pytest.raises(MissingExtraError):
            next(Scorer(reference_sets, fcd=True).tables(iter(())))


@pytest.mark.usefixtures("one_blas_thread")
def test_fcd_of_one_molecule_is_none_with_a_note(tmp_path):
    pytest.importorskip("fcd_torch")
    test = Reference(["CCO", "CCN", "CCC"], folder=tmp_path, workers=1)
    _, scores = scored(["CCO"], ReferenceSets(test=test), columns=(), fcd=None)
    assert scores.metrics["MOSES"]["FCD/Test"] is None
    assert any("needs at least 2 molecules" in note for note in scores.notes)
    _, scores = scored(["CCO", "CCN", "CCC"], ReferenceSets(test=test), columns=(), fcd=True)
    assert scores.metrics["MOSES"]["FCD/Test"] == pytest.approx(0, abs=1e-6)


# --- analogs ---

SEEDS = ["CCO", "c1ccccc1O", "broken"]


@pytest.fixture(scope="module")
def analogs(references):
    rows = [("CCN", "CCO"), ("CCO", "CCO"), ("Oc1ccccc1C", "c1ccccc1O"), ("C1CC", "c1ccccc1O"), ("CCC", "broken")]
    smiles, seeds = zip(*rows, strict=True)
    return scored(rows_from_smiles(smiles, seeds), references, names_are_seeds=True, columns=("logp",)), smiles, seeds


def test_similarity_to_seed(analogs):
    (table, _), smiles, seeds = analogs
    assert table.columns[0] == "seed"
    assert table["seed"].tolist() == list(seeds)
    expected = [similarity(a, b) for a, b in zip(smiles[:3], seeds[:3], strict=True)]
    assert table["similarity"].tolist()[:3] == pytest.approx(expected)
    assert table["similarity"].isna().tolist() == [False, False, False, True, True]


def test_analog_metrics_per_seed_and_overall(analogs):
    (_, scores), *_ = analogs
    assert scores.seeds["seed"].tolist() == SEEDS
    assert scores.seeds["proposed"].tolist() == [2, 2, 1]
    assert scores.seeds["valid"].tolist() == [2, 1, None]
    assert scores.seeds["error"].astype(bool).tolist() == [False, False, True]
    found = scores.metrics["Analogs"]
    assert (found["seeds"], found["seeds_failed"], found["rows_failed"]) == (2, 1, 1)
    assert found["validity"] == 3 / 4
    assert found["non_identity"] == 2 / 3
    parse_strict_json(scores.to_json())


def test_novelty_is_unknown_without_training_set():
    table, scores = scored(rows_from_smiles(["CCN"], ["CCO"]), names_are_seeds=True, columns=())
    assert table["not_in_training"].tolist() == [None]
    assert scores.metrics["Analogs"]["novelty"] is None
    assert scores.metrics["Analogs"]["effective_novelty"] == 1


@pytest.mark.parametrize("seeds", [["CCO"], ["CCO"] * 3, []])
def test_number_of_seeds_must_match(seeds):
    with pytest.raises(InputError, match="one per molecule"):
        list(rows_from_smiles(["CCN", "CCC"], seeds))


def test_rows_from_any_iterable():
    rows = list(rows_from_smiles(iter(["CCO", np.nan, pd.NA, b"CCO"])))
    assert [type(row) for row in rows] == [Record, InvalidRow, InvalidRow, InvalidRow]
    assert [row.row for row in rows] == [1, 2, 3, 4]
    assert [row.smiles for row in rows_from_smiles(pd.Series(["CCO", "C"], index=[5, 7]))] == ["CCO", "C"]


# --- plausibility ---

N_FLUORO, DIOL = "CN1CCN(F)CC1", "CCCC(O)(O)CCC"


def test_flaws_of_molecules():
    table, scores = scored([N_FLUORO, "CC(=O)Nc1ccc(O)cc1", "C1CC", DIOL], columns=["plausible"])
    assert table["plausible"].tolist() == [False, True, None, False]
    assert "unstable group N-halogen" in table["flaws"][0].split("; ")
    assert "unprecedented atom environment N(F)(C)C" in table["flaws"][0].split("; ")
    assert table["flaws"][1] == ""
    assert pd.isna(table["flaws"][2])
    assert scores.metrics["Plausibility"]["plausible"] == 1 / 3
    assert scores.metrics["Plausibility"]["unstable group"] == 2 / 3
    assert scores.metrics["Plausibility"]["plausible/held-out"] > 0.9
    assert "plausible" not in scores.metrics["Molecules"]


def test_flaws_equal_the_checker():
    table, _ = scored(ALL, columns=["flaws"])
    for smiles, flaws in zip(ALL, table["flaws"], strict=True):
        kinds = PlausibilityChecker().flaws(parse(smiles))
        assert {kind for kind in FLAWS if kind in flaws} == set(kinds)


def test_rates_of_the_reference(references):
    for given, label, smiles in ((references, "Test", TEST), (ReferenceSets(train=references.train), "Train", TRAIN)):
        _, scores = scored(SET, given, columns=["plausible"])
        flaws = [PlausibilityChecker().flaws(parse(text)) for text in smiles]
        expected = {kind: sum(kind in found for found in flaws) / len(flaws) for kind in FLAWS}
        found = scores.metrics["Plausibility"]
        assert {kind: found[f"{kind}/{label}"] for kind in FLAWS} == pytest.approx(expected)
        assert found[f"plausible/{label}"] == pytest.approx(sum(not kinds for kinds in flaws) / len(flaws))


def test_what_the_seed_has_is_allowed():
    rows = [Record(N_FLUORO, seed, "", 1) for seed in (N_FLUORO, "CN1CCNCC1", "C1CC")]
    table, _ = scored(iter(rows), names_are_seeds=True)
    assert table["plausible"].tolist() == [True, False, False]
    assert table["flaws"][0] == ""
    rows = [Record("CCN1CCN(F)CC1", seed, "", 1) for seed in (N_FLUORO, "CCN1CCNCC1")]
    assert scored(iter(rows), names_are_seeds=True)[1].metrics["Plausibility"]["plausible"] == 0.5


def test_no_plausibility_without_its_column():
    assert "Plausibility" not in scored(SET, columns=["logp"])[1].metrics
