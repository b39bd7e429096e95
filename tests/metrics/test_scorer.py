"""Rows in, rows out, and the figures of the set: each against a plain loop, whatever the cuts, workers and order."""

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

from molvae.chem.smiles import canonical, parse
from molvae.data.rows import InvalidRow, Record
from molvae.errors import InputError, MissingExtraError
from molvae.metrics import scorer as scorer_module
from molvae.metrics import set_metrics as set_figures
from molvae.metrics.molecules import COLUMNS
from molvae.metrics.reference import Reference
from molvae.metrics.row_metrics import as_rows, joined
from molvae.metrics.scorer import Scorer, Scores
from molvae.metrics.set_metrics import Against

ALL = [canonical(text) for text in DRUGS.values()]
TRAIN, TEST, SCAFFOLDS, SET = ALL[::2], ALL[1::2], ALL[::3], [*ALL[5:35], *ALL[20:40]]
BAD = ["", "C1CC", "C" * 6000, float("nan"), None, 7]
CHEAP = ("logp", "scaffold")
MORGAN = {bits: rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=bits) for bits in (1024, 2048)}


@pytest.fixture(scope="module")
def against(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")
    return Against(*(Reference(smiles, "a set", folder=folder, workers=1) for smiles in (TRAIN, TEST, SCAFFOLDS)))


def scored(rows, against=None, **options):
    """Scores with the table of all rows in `molecules`."""
    scorer = Scorer(against, **{"workers": 1, "fcd": False, **options})
    table = joined(scorer.tables(as_rows(rows) if isinstance(rows, list) else rows))
    return table, scorer.scores()


@pytest.fixture(scope="module")
def fifty(against):
    return scored(SET, against)


def fingerprint(smiles, bits=2048):
    return MORGAN[bits].GetFingerprint(parse(smiles))


def similarity(a, b, bits=2048):
    return DataStructs.TanimotoSimilarity(fingerprint(a, bits), fingerprint(b, bits))


def murcko(smiles, stereo=False):
    return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(parse(smiles)), isomericSmiles=stereo)


def cosine(a, b):
    return sum(a[k] * b[k] for k in a) / sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))


def strictly(text):
    def rejected(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=rejected)


def all_figures(scores):
    return {f"{section}/{name}": value for section, found in scores.figures.items() for name, value in found.items()}


# --- rows ---


def test_a_row_out_for_every_row_in(against):
    rows = ["OCC", *BAD, "c1ccccc1C(=O)O", "nonsense"]
    table, scores = scored(rows, against)
    assert len(table) == len(rows)
    assert table["canonical"].tolist() == ["CCO", *[""] * len(BAD), "O=C(O)c1ccccc1", ""]
    assert table["smiles"].tolist() == ["OCC", "", "C1CC", "C" * 6000, "nan", "None", "7", "c1ccccc1C(=O)O", "nonsense"]
    assert (table["error"] == "").tolist() == [True, *[False] * len(BAD), True, False]
    for place, reason in enumerate(["empty", "ring 1", "6,000 characters", "float, not", "NoneType, not", "int, not"]):
        assert reason in table["error"][place + 1]
    bad = table[table["canonical"] == ""]
    comparing = ["not_in_training", "scaffold_not_in_training", "nearest_neighbor", "nearest_similarity"]
    assert bad[[*COLUMNS, *comparing]].drop(columns=["alerts", "scaffold"]).isna().all(axis=None)
    assert scores.counts["read"] == 9
    assert scores.counts["valid"] == scores.counts["distinct"] == scores.counts["sampled"] == 2
    assert scores.counts["invalid"] == 7
    assert scores.invalid["smiles"].tolist() == bad["smiles"].tolist()
    assert scores.figures["MOSES"]["valid"] == scores.figures["GuacaMol"]["validity"] == 2 / 9


def test_invalid_rows_keep_their_place_and_their_reason():
    rows = iter(
        [InvalidRow("a.smi", 1, "junk", "no row"), Record("CCO", "x", "a.smi", 2), InvalidRow("a.smi", 3, "", "empty")]
    )
    table, _ = scored(rows, columns=())
    assert table["smiles"].tolist() == ["junk", "CCO", ""]
    assert table["error"].tolist() == ["no row", "", "empty"]
    assert "seed" not in table.columns


def test_what_cannot_be_read_again_costs_its_row_only(against):
    """RDKit's spelling of 450 pyrroles is longer than any SMILES that is read."""
    chain = "C1=CNC(=C1)" * 450 + "C"
    table, scores = scored(["CCO", chain, "CCN"], against, columns=("logp", "moses_filters"))
    assert table["canonical"].tolist() == ["CCO", "", "CCN"]
    assert table["smiles"][1] == chain
    assert "cannot be read again" in table["error"][1]
    assert table.loc[1, ["logp", "moses_filters", "not_in_training", "nearest_neighbor"]].isna().all()
    assert scores.counts["valid"] == 2


def test_bytes_that_are_no_text_cost_their_row_only():
    table, scores = scored(["CCO", "C\udcff", "\ud800"], columns=())
    assert table["canonical"].tolist() == ["CCO", "", ""]
    assert table["smiles"].tolist() == ["CCO", "C\\udcff", "\\ud800"]
    assert scores.counts["invalid"] == 2


def test_numbers_are_numbers_whatever_stands_beside_them():
    whole, mixed = scored(["CCO"])[0], scored(["CCO", "C1CC"])[0]
    numbers = [name for name, column in COLUMNS.items() if isinstance(column.missing, float)]
    assert {"hbd", "rings", "qed"} <= set(numbers)
    for table in (whole, mixed):
        assert set(table[numbers].dtypes.astype(str)) == {"float64"}


def test_novel_and_new_scaffold(fifty):
    table, scores = fifty
    known, scaffolds = set(TRAIN), {murcko(text) for text in TRAIN}
    assert table["not_in_training"].tolist() == [text not in known for text in SET]
    assert {True, False} == set(table["not_in_training"])
    expected = [None if not murcko(text) else murcko(text) not in scaffolds for text in SET]
    assert table["scaffold_not_in_training"].tolist() == expected
    assert {True, False, None} == set(expected)
    assert scores.counts["novel"] == len(set(SET) - known)


def test_a_stereoisomer_is_novel(tmp_path):
    train = Against(Reference(["C[C@H](N)C(=O)O", "C[C@H]1CCCO1"], folder=tmp_path, workers=1))
    table, _ = scored(["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@@H]1CCCO1"], train, columns=CHEAP)
    assert table["not_in_training"].tolist() == [False, True, True]
    assert table["scaffold_not_in_training"].tolist() == [None, None, False]
    assert table["nearest_similarity"].tolist() == [1, 1, 1]


def test_what_is_there_is_the_nearest_to_itself(tmp_path):
    alanines = ["CC(N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O"]
    train = Against(Reference(alanines, "alanines", folder=tmp_path, workers=1))
    table, _ = scored([*alanines, "CCC(N)C(=O)O"], train, columns=CHEAP)
    assert table["nearest_neighbor"].tolist() == [*alanines, alanines[0]]


def test_a_score_that_is_missing_is_told(against):
    def of_some(smiles):
        return np.array([np.nan if "N" in text else len(text) for text in smiles], dtype=float)

    table, scores = scored(["CCO", "CCN", "C1CC"], against, columns=(), scores={"size": of_some})
    assert table["error"].tolist()[:2] == ["", "no size"]
    assert table["error"][2].startswith("cannot read")
    assert "1 valid molecules lack a figure; their error column says which" in scores.notes


def test_the_nearest_neighbor(fifty, against):
    table, _ = fifty
    for text, found, value in zip(SET, table["nearest_neighbor"], table["nearest_similarity"], strict=True):
        similarities = [similarity(text, other) for other in TRAIN]
        assert value == pytest.approx(max(similarities), abs=1e-6)
        assert found == TRAIN[int(np.argmax(similarities))]
    of_test, _ = scored(SET[:3], Against(test=against.test), columns=CHEAP)
    assert set(of_test["nearest_neighbor"]) <= set(TEST)
    without, _ = scored(SET[:3], against, columns=CHEAP, nearest=False)
    assert "nearest_neighbor" not in without.columns
    assert "nearest_similarity" not in without.columns


def test_columns(against):
    table, scores = scored(["CCO"], columns=("scaffold", "logp"))
    assert list(table.columns) == ["smiles", "error", "canonical", "logp", "scaffold"]
    assert set(scores.figures["Molecules"]) == {"mean logp"}
    table, _ = scored(["CCO"], Against(against.train), columns=("logp",))
    assert "scaffold_not_in_training" not in table.columns
    with pytest.raises(InputError, match="did you mean 'logp'"):
        Scorer(columns=("lugp",))
    with pytest.raises(InputError, match="no benchmark is called 'nosuch'"):
        Scorer(benchmarks=("nosuch",))
    with pytest.raises(InputError, match="at least 1 molecule"):
        Scorer(sample_size=0)


def test_benchmarks(against):
    _, scores = scored(["CCO", "CCN"], against, columns=CHEAP, benchmarks=("guacamol",))
    assert set(scores.figures) == {"GuacaMol", "Molecules"}
    _, scores = scored(["CCO", "CCN"], against, columns=CHEAP, benchmarks=())
    assert set(scores.figures) == {"Molecules"}


# --- the set ---


def test_moses_figures_of_fifty(fifty):
    """Each by its definition."""
    _, scores = fifty
    found = scores.figures["MOSES"]
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


def test_guacamol_figures_of_fifty(fifty):
    _, scores = fifty
    flat, known = ({Chem.MolToSmiles(parse(text), isomericSmiles=False) for text in smiles} for smiles in (SET, TRAIN))
    found = scores.figures["GuacaMol"]
    assert found["validity"] == 1
    assert found["uniqueness"] == len(flat) / len(SET) < len(set(SET)) / len(SET)
    assert found["novelty"] == len(flat - known) / len(flat)
    assert 0.5 < found["KL divergence"] < 1
    assert found["FCD score"] is None


def test_the_set_itself_is_what_it_should_be_like(tmp_path):
    same = Reference(TEST, folder=tmp_path, workers=1)
    _, scores = scored(TEST, Against(same, same))
    found = scores.figures["MOSES"]
    for name in ("SNN/Test", "Frag/Test", "Scaf/Test"):
        assert found[name] == pytest.approx(1)
    assert found["Novelty"] == found["logP"] == found["QED"] == 0
    assert scores.figures["GuacaMol"]["KL divergence"] == pytest.approx(1)
    assert scores.figures["GuacaMol"]["novelty"] == 0


def test_averages(fifty):
    table, scores = fifty
    found = scores.figures["Molecules"]
    assert found["mean qed"] == pytest.approx(np.mean([QED.qed(parse(text)) for text in SET]))
    assert found["mean mw"] == pytest.approx(np.mean([Descriptors.MolWt(parse(text)) for text in SET]))
    assert found["lipinski"] == table["lipinski"].mean()
    assert found["no alerts"] == (table["alerts"] == "").mean()
    assert 0 < found["no alerts"] < 1
    assert scores.reference is not None
    assert len(scores.reference) == len(TEST)


def test_cuts_and_workers_make_no_difference(against, monkeypatch):
    monkeypatch.setattr(scorer_module, "TOGETHER", 2)
    monkeypatch.setattr(scorer_module, "chunked", lambda rows: ([row] for row in rows))
    rows = [*SET[:6], "C1CC", *SET[6:12]]
    cut = scored(rows, against)
    monkeypatch.undo()
    for workers in (0, 2):
        table, scores = scored(rows, against, workers=workers)
        for one, other in zip(*(t.astype(object).to_dict("records") for t in (table, cut[0])), strict=True):
            assert {k: v for k, v in one.items() if pd.notna(v)} == {k: v for k, v in other.items() if pd.notna(v)}
        assert all_figures(scores) == pytest.approx(all_figures(cut[1]))
        assert (scores.counts, scores.notes) == (cut[1].counts, cut[1].notes)


def test_the_order_of_molecules_makes_no_difference(fifty, against):
    _, there = fifty
    _, back = scored(SET[::-1], against)
    assert all_figures(back) == pytest.approx(all_figures(there))
    assert back.counts == there.counts


def test_the_set_is_judged_by_a_sample(against):
    _, scores = scored(SET, against, columns=CHEAP, sample_size=10, random_state=1)
    assert scores.counts["sampled"] == len(scores.molecules) == 10
    assert scores.counts["distinct"] == len(set(SET))  # of all
    assert "the metrics of the set are of 10 valid molecules drawn at random from 50" in scores.notes
    again = scored(SET, against, columns=CHEAP, sample_size=10, random_state=1)[1]
    other = scored(SET, against, columns=CHEAP, sample_size=10, random_state=2)[1]
    assert all_figures(again) == all_figures(scores) != all_figures(other)


def test_what_is_all_in_the_sample_is_read_once(against, monkeypatch):
    """Written in any way; and the structures taken along are those of the canonical SMILES."""
    rows = [Chem.MolToSmiles(parse(text), doRandom=True) for text in SET[:12]] + ["C1CC", SET[0]]
    options = {"columns": CHEAP, "sample_size": 14}
    along = scored(rows, against, **options)[1]
    structures, given = scorer_module.structures, []
    monkeypatch.setattr(scorer_module, "structures", lambda s, w: given.extend(s) or structures(s, w))
    scorer = Scorer(against, **options, workers=1, fcd=False)
    _ = joined(scorer.tables(as_rows(rows)))
    assert all_figures(scorer.scores()) == all_figures(along)
    assert given == []
    scorer._taken.clear()
    assert all_figures(scorer.scores()) == all_figures(along)
    assert given == [canonical(text) for text in rows if text != "C1CC"]


def test_more_than_the_sample_in_several_streams(against):
    scorer = Scorer(against, columns=CHEAP, workers=1, fcd=False, sample_size=20)
    for start in (0, 15, 30):
        _ = joined(scorer.tables(as_rows(SET[start : start + 15])))
    assert all_figures(scorer.scores()) == all_figures(scored(SET[:45], against, columns=CHEAP, sample_size=20)[1])


def test_guacamol_takes_its_molecules_from_the_whole_sample(against, monkeypatch):
    monkeypatch.setattr(set_figures, "GUACAMOL_MOLECULES", 10)
    given = []
    columns = set_figures.guacamol_columns
    monkeypatch.setattr(set_figures, "guacamol_columns", lambda s, w: given.extend(s) or columns(s, w))
    _, scores = scored(ALL, Against(against.train), columns=())
    assert len(given) == 10
    assert given == [text for text in ALL if text in given]
    assert set(given) & set(ALL[len(ALL) // 2 :])
    assert any(note.startswith("GuacaMol's figures but validity are of 10") for note in scores.notes)


def test_figures_may_be_asked_for_on_the_way(against):
    scorer = Scorer(against, columns=CHEAP, workers=1, fcd=False)
    _ = joined(scorer.tables(as_rows(SET[:20])))
    early = scorer.scores()
    _ = joined(scorer.tables(as_rows(SET[20:])))
    assert early.counts["read"] == 20
    assert all_figures(scorer.scores()) == pytest.approx(all_figures(scored(SET, against, columns=CHEAP)[1]))


# --- edges ---


@pytest.mark.parametrize(
    "rows",
    [[], ["C1CC"], ["", "x"], ["CCO"], ["C"], ["c1ccc2ccccc2c1"], ["CCO"] * 5, ["CCO", "CCN"], ["[Na+].[Cl-]", "*"]],
    ids=str,
)
def test_figures_are_numbers_or_none_and_json_is_strict(rows, against):
    table, scores = scored(rows, against)
    assert len(table) == len(rows) == scores.counts["read"]
    for name, value in all_figures(scores).items():
        assert value is None or np.isfinite(value), name
    read = strictly(scores.to_json())
    assert read == {"counts": scores.counts, "figures": scores.figures, "notes": scores.notes}
    assert ("not one row is a valid molecule" in scores.notes) == (scores.counts["valid"] == 0)


def test_nothing_in_is_an_empty_table_with_its_columns(fifty, against):
    table, scores = scored([], against)
    assert list(table.columns) == list(fifty[0].columns)
    assert scores.counts == {"read": 0, "valid": 0, "invalid": 0, "distinct": 0, "sampled": 0, "novel": 0}
    assert scores.figures["MOSES"]["valid"] is None


def test_duplicates(against):
    _, scores = scored(["CCO"] * 5, against, columns=CHEAP)
    assert (scores.counts["valid"], scores.counts["distinct"]) == (5, 1)
    assert scores.figures["MOSES"]["unique@1000"] == scores.figures["GuacaMol"]["uniqueness"] == 0.2
    assert scores.figures["MOSES"]["IntDiv"] == 0


def test_unique_at_k_is_of_the_first_k(monkeypatch):
    monkeypatch.setattr(scorer_module.moses, "UNIQUE_AT", (3, 100))
    _, scores = scored(["CCO", "CCO", "CCN", "CCC", "CCF"], columns=())
    assert scores.figures["MOSES"]["unique@3"] == 2 / 3
    assert scores.figures["MOSES"]["unique@100"] == 4 / 5
    assert scores.notes == ["unique@100 is of the 5 valid molecules that there are"]


def test_a_reference_without_scaffolds(tmp_path):
    _, scores = scored(TEST[:5], Against(test=Reference(["CCO", "c1ccccc1"], folder=tmp_path, workers=1)))
    assert scores.figures["MOSES"]["Scaf/Test"] is None
    assert any(note.startswith("no Scaf/Test") for note in scores.notes)


@pytest.mark.parametrize("role", ["train", "test", "test_scaffolds"])
def test_an_empty_reference_fails_before_any_row_is_read(role, tmp_path):
    def rows():
        raise AssertionError("a row was read")
        yield

    empty = Against(**{role: Reference([], f"the {role} set", folder=tmp_path)})
    with pytest.raises(InputError, match=f"the {role} set has no valid molecule"):
        next(Scorer(empty, workers=1).tables(rows()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_figure_is_ever_nan(against, monkeypatch, value):
    monkeypatch.setattr(scorer_module.moses, "diversity", lambda *_: {"IntDiv": value, "IntDiv2": 0.5})
    _, scores = scored(["CCO"], against, columns=CHEAP)
    assert scores.figures["MOSES"]["IntDiv"] is None
    assert scores.figures["MOSES"]["IntDiv2"] == 0.5
    assert f"no IntDiv: it came out as {value}" in scores.notes
    strictly(scores.to_json())


def test_json_with_nan_is_rejected_rather_than_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        Scores({}, {"MOSES": {"x": float("nan")}}, [], pd.DataFrame()).to_json()


def test_a_figure_that_some_molecules_lack(monkeypatch, against):
    """They stay valid, are counted in a note, and weigh in no mean."""
    column = COLUMNS["sa"]

    def sometimes(mol, row):
        if mol.GetNumAtoms() == 3:
            raise ValueError("cannot")
        return column.function(mol, row)

    monkeypatch.setitem(COLUMNS, "sa", type(column)("sa", sometimes, "", float("nan")))
    table, scores = scored(["CCO", "CCCC"], against, columns=("sa",))
    assert table["error"].tolist() == ["no sa: cannot", ""]
    assert scores.counts["valid"] == 2
    assert scores.figures["Molecules"]["mean sa"] == table["sa"][1]
    assert scores.figures["MOSES"]["SA"] is not None
    assert "1 valid molecules lack a figure; their error column says which" in scores.notes
    _, scores = scored(["CCO"], against, columns=("sa",))
    assert scores.figures["Molecules"]["mean sa"] is None
    strictly(scores.to_json())


# --- Fréchet ChemNet distances ---


@pytest.fixture
def chemnet(monkeypatch):
    """Stands for the network: what was asked of it."""
    asked = []

    def activations(smiles, **_):
        asked.append(list(smiles))
        mean = np.zeros(512)
        mean[0] = np.mean([len(text) for text in smiles])
        return scorer_module.fcd.Activations(mean, np.eye(512), len(asked[-1]))

    monkeypatch.setattr(scorer_module.fcd, "activations", activations)
    return asked


def test_fcd_figures(chemnet, tmp_path):
    sets = [Reference(smiles, folder=tmp_path, workers=1) for smiles in (["CCCC"], ["CC"], ["CCC"])]
    _, scores = scored(["CCCCC", "CCCCC"], Against(*sets), columns=(), fcd=None)
    assert scores.figures["MOSES"]["FCD/Test"] == pytest.approx(9)
    assert scores.figures["MOSES"]["FCD/TestSF"] == pytest.approx(4)
    assert scores.figures["GuacaMol"]["FCD score"] == pytest.approx(exp(-0.2))
    assert chemnet.count(["CCCCC", "CCCCC"]) == 2  # once for MOSES, once for GuacaMol


def test_without_fcd_the_network_is_not_asked(chemnet, against):
    _, scores = scored(["CCO"], against, columns=CHEAP, fcd=False)
    assert chemnet == []
    assert scores.figures["MOSES"]["FCD/Test"] is None


@pytest.mark.parametrize("reference", [True, False])
def test_without_the_library_there_is_a_note_or_where_it_was_asked_for_an_error(monkeypatch, against, reference):
    def missing(*_, **__):
        raise MissingExtraError("pip install it")

    monkeypatch.setattr(scorer_module.fcd, "activations", missing)
    compared = against if reference else None
    _, scores = scored(["CCO", "CCN"], compared, columns=CHEAP, fcd=None)
    assert ("no FCD: pip install it" in scores.notes) == reference
    if reference:
        with pytest.raises(MissingExtraError):
            next(Scorer(compared, fcd=True).tables(iter(())))


def test_fcd_of_one_molecule_is_none_with_a_note(tmp_path):
    pytest.importorskip("fcd_torch")
    test = Reference(["CCO", "CCN", "CCC"], folder=tmp_path, workers=1)
    _, scores = scored(["CCO"], Against(test=test), columns=(), fcd=None)
    assert scores.figures["MOSES"]["FCD/Test"] is None
    assert any("needs 2 molecules or more" in note for note in scores.notes)
    _, scores = scored(["CCO", "CCN", "CCC"], Against(test=test), columns=(), fcd=True)
    assert scores.figures["MOSES"]["FCD/Test"] == pytest.approx(0, abs=1e-6)


# --- analogs ---

SEEDS = ["CCO", "c1ccccc1O", "broken"]


@pytest.fixture(scope="module")
def analogs(against):
    rows = [("CCN", "CCO"), ("CCO", "CCO"), ("Oc1ccccc1C", "c1ccccc1O"), ("C1CC", "c1ccccc1O"), ("CCC", "broken")]
    smiles, seeds = zip(*rows, strict=True)
    return scored(as_rows(smiles, seeds), against, seeded=True, columns=("logp",)), smiles, seeds


def test_similarity_to_the_seed(analogs):
    (table, _), smiles, seeds = analogs
    assert table.columns[0] == "seed"
    assert table["seed"].tolist() == list(seeds)
    expected = [similarity(a, b) for a, b in zip(smiles[:3], seeds[:3], strict=True)]
    assert table["similarity"].tolist()[:3] == pytest.approx(expected)
    assert table["similarity"].isna().tolist() == [False, False, False, True, True]


def test_a_row_per_seed_and_all_of_them(analogs):
    (_, scores), *_ = analogs
    assert scores.seeds["seed"].tolist() == SEEDS
    assert scores.seeds["proposed"].tolist() == [2, 2, 1]
    assert scores.seeds["valid"].tolist() == [2, 1, None]
    assert scores.seeds["error"].astype(bool).tolist() == [False, False, True]
    found = scores.figures["Analogs"]
    assert (found["seeds"], found["seeds_failed"], found["rows_failed"]) == (2, 1, 1)
    assert found["validity"] == 3 / 4
    assert found["non_identity"] == 2 / 3
    strictly(scores.to_json())


def test_without_a_training_set_novelty_is_unknown():
    table, scores = scored(as_rows(["CCN"], ["CCO"]), seeded=True, columns=())
    assert table["not_in_training"].tolist() == [None]
    assert scores.figures["Analogs"]["novelty"] is None
    assert scores.figures["Analogs"]["effective_novelty"] == 1


@pytest.mark.parametrize("seeds", [["CCO"], ["CCO"] * 3, []])
def test_every_molecule_has_its_seed(seeds):
    with pytest.raises(InputError, match="each molecule needs its own"):
        list(as_rows(["CCN", "CCC"], seeds))


def test_rows_of_any_iterable():
    rows = list(as_rows(iter(["CCO", np.nan, pd.NA, b"CCO"])))
    assert [type(row) for row in rows] == [Record, InvalidRow, InvalidRow, InvalidRow]
    assert [row.row for row in rows] == [1, 2, 3, 4]
    assert [row.smiles for row in as_rows(pd.Series(["CCO", "C"], index=[5, 7]))] == ["CCO", "C"]
