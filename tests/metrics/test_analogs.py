"""Analog metrics compared with direct implementations of their definitions, for any division into tables."""

from __future__ import annotations

from itertools import combinations, pairwise
from statistics import mean

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.filters import alerts
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.properties import compute_properties
from molvae.chem.smiles import canonical, canonical_or_none, parse
from molvae.errors import InputError
from molvae.metrics import analogs
from molvae.metrics.analogs import COLUMNS, COUNT_COLUMNS, METRIC_COLUMNS, AnalogMetrics

ASPIRIN, NAPROXEN, VALPROIC = DRUGS["aspirin"], DRUGS["(S)-naproxen"], DRUGS["valproic acid"]
PROPOSED = {
    ASPIRIN: [
        *("CC(=O)Oc1ccccc1C(=O)O", "O=C(C)Oc1ccccc1C(O)=O", "CC(=O)Oc1ccccc1C(=O)OC", "CC(=O)Oc1ccccc1C(N)=O"),
        *("CC(=O)Oc1ccccc1C(N)=O", "CC(=O)Oc1ccc(F)cc1C(=O)O", "CC(=O)Oc1cccnc1C(=O)O", "CCC(=O)Oc1ccccc1C(=O)O"),
        *("CC(=O)Oc1ccccc1C(=O", "c1cc", "CC(=O)Oc1ccccc1C=O", "CC(=O)Oc1cc([N+](=O)[O-])ccc1C(=O)O", "CCCC"),
        *("O=C1C=CC(=O)c2ccccc12", "CC(=O)Oc1ccccc1C(=O)OC1C2CC3CC1CC(C2)C3", "CC(=O)Oc1c2ccccc2ccc1C(=O)O"),
    ],
    NAPROXEN: [
        *("COc1ccc2cc([C@@H](C)C(=O)O)ccc2c1", "COc1ccc2cc(C(C)C(=O)O)ccc2c1", "COc1ccc2cc(CC(=O)O)ccc2c1"),
        *("CCOc1ccc2cc([C@H](C)C(=O)O)ccc2c1", "COc1ccc2cc([C@H](C)C(N)=O)ccc2c1", "COc1ccc(C(C)C(=O)O)cc1"),
    ],
    VALPROIC: [
        *("CCCC(CCC)C(N)=O", "CCCC(CC)C(=O)O", "CCCC(CCC)C(=O)O", "C1CCCC1C(=O)O", "CC(C)C(=O)O", "CCCC(CCC)C=O")
    ],
}
MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def is_plausible(seed, mol):
    seed_mol = parse(seed) if canonical_or_none(seed) else Chem.Mol()
    return not PlausibilityChecker.for_seed(seed_mol).first_flaw(mol)


def scored(seed, smiles, novel=lambda text: "F" not in text):
    """Return a table of proposed analogs."""
    canonicals = [canonical_or_none(text) or "" for text in smiles]
    mols = [parse(text) if text else None for text in canonicals]
    return pd.DataFrame(
        {
            "seed": seed,
            "smiles": smiles,
            "canonical": canonicals,
            "not_in_training": [novel(text) for text in canonicals],
            "sa": [compute_properties([mol], ["sa"])["sa"][0] if mol else np.nan for mol in mols],
            "alerts": [alerts(mol) if mol else [] for mol in mols],
            "plausible": [is_plausible(seed, mol) if mol else None for mol in mols],
        }
    )


def tables(*chunks):
    metrics = AnalogMetrics()
    for chunk in chunks:
        metrics.add(chunk)
    return metrics.per_seed(), metrics.overall(), metrics.similarities()


def single_row(chunk):
    (row,) = tables(chunk)[0].to_dict("records")
    return row


def ratio(part, whole):
    return part / whole if whole else None


def tanimoto(a, b):
    return DataStructs.TanimotoSimilarity(MORGAN.GetFingerprint(parse(a)), MORGAN.GetFingerprint(parse(b)))


def scaffold(smiles):
    return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(parse(smiles)), isomericSmiles=False)


def expected_metrics(seed, rows):
    """Compute the metrics of a seed by their definitions."""
    rows, canonical_seed = rows.to_dict("records"), canonical(seed)
    valid = [row for row in rows if row["canonical"]]
    distinct = list({row["canonical"]: row for row in valid}.values())
    others = [row for row in distinct if row["canonical"] != canonical_seed]
    similar = {row["canonical"]: tanimoto(row["canonical"], seed) for row in others}
    effective = [row for row in others if row["not_in_training"] is not False]
    (sa,), seed_alerts = compute_properties([parse(seed)], ["sa"])["sa"], set(alerts(parse(seed)))
    usable = [
        row
        for row in effective
        if similar[row["canonical"]] >= 0.4
        and row["sa"] <= sa + 0.5
        and set(row["alerts"]) <= seed_alerts
        and row["plausible"]
    ]
    values = list(similar.values())
    q1, median, q3 = np.percentile(values, [25, 50, 75]) if values else [None] * 3
    unknown = any(row["not_in_training"] is None for row in distinct)
    pairs = [tanimoto(a["canonical"], b["canonical"]) for a, b in combinations(distinct, 2)]
    return {
        "proposed": len(rows),
        "valid": len(valid),
        "distinct": len(distinct),
        "effective": len(effective),
        "usable_count": len(usable),
        "validity": ratio(len(valid), len(rows)),
        "uniqueness": ratio(len(distinct), len(valid)),
        "novelty": None if unknown else ratio(sum(row["not_in_training"] for row in distinct), len(distinct)),
        "non_identity": ratio(sum(row["canonical"] != canonical_seed for row in valid), len(valid)),
        "effective_novelty": ratio(len(effective), len(rows)),
        "usable": ratio(len(usable), len(rows)),
        "similarity_mean": mean(values) if values else None,
        "similarity_q1": q1,
        "similarity_median": median,
        "similarity_q3": q3,
        "frac_similarity_ge_0.4": ratio(sum(v >= 0.4 for v in values), len(values)),
        "frac_similarity_ge_0.6": ratio(sum(v >= 0.6 for v in values), len(values)),
        "scaffold_retention": ratio(sum(scaffold(c) == scaffold(seed) for c in similar), len(similar)),
        "internal_diversity": 1 - mean(pairs) if pairs else None,
    }


def approximately(values):
    return pytest.approx(values, rel=1e-6)


@pytest.fixture(scope="module")
def frames():
    return {seed: scored(seed, smiles) for seed, smiles in PROPOSED.items()}


def test_per_seed_matches_definitions(frames):
    table, _, _ = tables(pd.concat(frames.values()))
    assert list(table) == list(COLUMNS)
    assert list(table["seed"]) == list(PROPOSED)
    assert (table["error"] == "").all()
    for row in table.to_dict("records"):
        expected = expected_metrics(row["seed"], frames[row["seed"]])
        assert {name: row[name] for name in (*COUNT_COLUMNS, *METRIC_COLUMNS)} == approximately(expected)


def test_aspirin_known_values(frames):
    row = single_row(frames[ASPIRIN])
    assert [row[name] for name in COUNT_COLUMNS[:3]] == [16, 14, 12]
    assert row["validity"] == 14 / 16
    assert row["uniqueness"] == 12 / 14
    assert row["novelty"] == 11 / 12
    assert row["non_identity"] == 12 / 14
    assert row["effective"] == 10
    assert 0 < row["usable_count"] < row["effective"]


def test_drugs_as_analogs():
    for seed in (DRUGS["tamoxifen"], DRUGS["metformin"]):
        frame = scored(seed, list(DRUGS.values()), novel=lambda text: len(text) % 2 == 0)
        row = single_row(frame)
        assert {name: row[name] for name in (*COUNT_COLUMNS, *METRIC_COLUMNS)} == approximately(
            expected_metrics(seed, frame)
        )


def test_overall_pools_and_averages(frames):
    _, overall, similarities = tables(*frames.values())
    per_seed = [expected_metrics(seed, frame) for seed, frame in frames.items()]
    assert (overall["seeds"], overall["seeds_failed"], overall["rows_failed"]) == (3, 0, 0)
    for name in COUNT_COLUMNS:
        assert overall[name] == sum(row[name] for row in per_seed)
    for name in METRIC_COLUMNS:
        assert overall[f"{name}_per_seed"] == approximately(mean(row[name] for row in per_seed))
    assert "internal_diversity" not in overall
    assert overall["validity"] == sum(row["valid"] for row in per_seed) / sum(row["proposed"] for row in per_seed)
    assert overall["uniqueness"] == sum(row["distinct"] for row in per_seed) / sum(row["valid"] for row in per_seed)
    assert overall["usable"] == sum(row["usable_count"] for row in per_seed) / sum(row["proposed"] for row in per_seed)
    values = [
        tanimoto(text, seed) for seed, frame in frames.items() for text in {*frame["canonical"]} - {"", canonical(seed)}
    ]
    np.testing.assert_allclose(similarities, sorted(values), rtol=1e-6)
    assert overall["similarity_median"] == approximately(np.median(values))
    assert overall["frac_similarity_ge_0.6"] == mean(v >= 0.6 for v in values)


MIXED = pd.concat(
    [scored(seed, smiles[:8], lambda text: len(text) % 3 > 0) for seed, smiles in PROPOSED.items()]
    + [pd.DataFrame({"seed": "c1cc", "canonical": ["C", ""], "not_in_training": True, "sa": 1.0, "alerts": [[], []]})]
)
WHOLE = tables(MIXED)


@given(st.lists(st.integers(0, len(MIXED)), max_size=6))
@settings(max_examples=25, deadline=None)
def test_division_into_tables(cuts):
    edges = [0, *sorted(cuts), len(MIXED)]
    assert_same(tables(*(MIXED.iloc[a:b] for a, b in pairwise(edges))), WHOLE)


@given(st.permutations(range(len(MIXED))), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_order_of_rows(order, size):
    rows = MIXED.iloc[order]
    table, overall, similarities = tables(*(rows.iloc[i : i + size] for i in range(0, len(rows), size)))
    assert list(table["seed"]) == list(dict.fromkeys(rows["seed"]))
    pd.testing.assert_frame_equal(
        table.set_index("seed").sort_index(), WHOLE[0].set_index("seed").sort_index(), check_exact=True
    )
    assert overall == pytest.approx(WHOLE[1], rel=1e-12)  # the order of summation differs
    np.testing.assert_array_equal(similarities, WHOLE[2])


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found[0], expected[0], check_exact=True)
    assert found[1] == expected[1]
    np.testing.assert_array_equal(found[2], expected[2])


def test_invalid_seed_is_counted_and_excluded(frames, capfd):
    invalid = pd.DataFrame(
        {"seed": ["C1CC", None], "canonical": ["C", ""], "not_in_training": True, "sa": 1.0, "alerts": ""}
    ).assign(plausible=True)
    table, overall, similarities = tables(invalid, frames[ASPIRIN])
    assert list(table["seed"]) == ["C1CC", "", ASPIRIN]
    assert "ring 1 opened but not closed" in table["error"][0]
    assert "empty" in table["error"][1]
    assert list(table["proposed"]) == [1, 1, 16]
    assert all(table.loc[i, name] is None for i in (0, 1) for name in (*COUNT_COLUMNS[1:], *METRIC_COLUMNS))
    assert (overall["seeds"], overall["seeds_failed"], overall["rows_failed"]) == (1, 2, 2)
    without_invalid = tables(frames[ASPIRIN])
    assert {**overall, "seeds_failed": 0, "rows_failed": 0} == without_invalid[1]
    np.testing.assert_array_equal(similarities, without_invalid[2])
    assert capfd.readouterr().err == ""


def test_repeated_molecule():
    row = single_row(scored(ASPIRIN, ["CC(=O)Oc1ccccc1C(=O)OC"] * 5))
    assert [row[name] for name in COUNT_COLUMNS] == [5, 5, 1, 1, 1]
    assert (row["uniqueness"], row["non_identity"], row["effective_novelty"], row["usable"]) == (0.2, 1, 0.2, 0.2)
    assert row["similarity_q1"] == row["similarity_q3"] == row["similarity_mean"]
    assert row["internal_diversity"] is None


def test_only_the_seed():
    table, overall, similarities = tables(scored(ASPIRIN, ["OC(=O)c1ccccc1OC(C)=O"] * 3))
    row = table.to_dict("records")[0]
    assert [row[name] for name in COUNT_COLUMNS] == [3, 3, 1, 0, 0]
    assert (row["validity"], row["novelty"], row["non_identity"], row["usable"]) == (1, 1, 0, 0)
    for name in (
        "similarity_mean",
        "similarity_median",
        "frac_similarity_ge_0.4",
        "scaffold_retention",
        "internal_diversity",
    ):
        assert row[name] is None
        assert overall[f"{name}_per_seed"] is None
    assert similarities.shape == (0,)


def test_no_valid_molecule():
    row = single_row(scored(ASPIRIN, ["c1cc", ""]))
    assert (row["validity"], row["effective_novelty"], row["usable"]) == (0, 0, 0)
    assert [row[name] for name in COUNT_COLUMNS] == [2, 0, 0, 0, 0]
    for name in ("uniqueness", "novelty", "non_identity", "similarity_q1", "scaffold_retention", "internal_diversity"):
        assert row[name] is None


def test_empty_table(frames):
    table, overall, similarities = tables(frames[ASPIRIN].iloc[:0])
    assert list(table) == list(COLUMNS)
    assert len(table) == len(similarities) == 0
    assert overall["proposed"] == 0
    assert all(overall[f"{name}_per_seed"] is None for name in METRIC_COLUMNS)


@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA])
def test_unknown_novelty_is_none(frames, unknown):
    row = single_row(frames[ASPIRIN].assign(not_in_training=unknown))
    known = single_row(frames[ASPIRIN].assign(not_in_training=True))
    assert row["novelty"] is None
    assert {**row, "novelty": 1} == known


def test_novelty_known_for_some_molecules(frames):
    frame = frames[VALPROIC]
    row = single_row(frame.assign(not_in_training=[None, True, False, True, False, True]))
    assert row["novelty"] is None
    assert row["effective"] == 4, "the seed and one training molecule are excluded"


def test_stereoisomers_of_seed():
    row = single_row(scored(NAPROXEN, ["COc1ccc2cc([C@@H](C)C(=O)O)ccc2c1", "COc1ccc2cc(C(C)C(=O)O)ccc2c1", NAPROXEN]))
    assert row["similarity_q1"] == row["similarity_q3"] == row["scaffold_retention"] == 1
    assert (row["distinct"], row["effective"], row["usable_count"]) == (3, 2, 2)
    assert row["non_identity"] == 2 / 3
    assert row["internal_diversity"] == 0


@pytest.mark.parametrize(
    ("change", "usable"),
    [
        ({}, 1),
        ({"sa": 9.0}, 0),
        ({"sa": np.nan}, 0),
        ({"alerts": "PAINS_A: quinone_A(370)"}, 0),
        ({"alerts": "NIH: 2halo_pyrazine_3EWG; BRENK: aldehyde"}, 0),
        ({"alerts": "NIH: 2halo_pyrazine_3EWG"}, 1),
        ({"alerts": "Brenk: phenol_ester; BRENK: phenol_ester"}, 1),  # an alert of the seed
        ({"alerts": None}, 1),
        ({"alerts": np.nan}, 1),
        ({"alerts": [["Brenk: phenol_ester", "NIH: any"]]}, 1),
        ({"alerts": [np.array(["Brenk: aldehyde"])]}, 0),
        ({"not_in_training": False}, 0),
        ({"plausible": False}, 0),
        ({"plausible": None}, 0),
        ({"plausible": True}, 1),
        ({"canonical": "CCCC"}, 0),
    ],
)
def test_usable_criteria(change, usable):
    assert "Brenk: phenol_ester" in alerts(parse(ASPIRIN))
    assert single_row(scored(ASPIRIN, ["CC(=O)Oc1ccccc1C(=O)OC"]).assign(**change))["usable_count"] == usable


def test_table_from_csv(frames, tmp_path):
    rows = pd.concat(frames.values())
    rows.assign(alerts=["; ".join(names) for names in rows["alerts"]]).to_csv(tmp_path / "rows.csv", index=False)
    assert_same(tables(pd.read_csv(tmp_path / "rows.csv")), tables(rows))


def test_unparsable_canonical_smiles_is_invalid(frames):
    frame = frames[VALPROIC].copy()
    frame.loc[[0, 1], "canonical"] = "C1CC"
    assert single_row(frame)["valid"] == 4


def test_internal_diversity_of_sample(monkeypatch):
    chunk = scored(ASPIRIN, list(DRUGS.values()))
    exact = single_row(chunk)["internal_diversity"]
    monkeypatch.setattr(analogs, "DIVERSITY_SAMPLE_SIZE", 24)
    whole, divided = tables(chunk), tables(*(chunk.iloc[i : i + 7] for i in range(0, len(chunk), 7)))
    assert_same(divided, whole)
    assert exact != whole[0]["internal_diversity"][0] == pytest.approx(exact, abs=0.03)


def test_limited_similarities_keep_quantiles(frames, monkeypatch):
    unlimited = tables(*frames.values())[2]
    monkeypatch.setattr(analogs, "MAX_SIMILARITIES", 9)
    limited = tables(*frames.values())[2]
    assert len(limited) == 9 < len(unlimited)
    assert (limited[0], limited[-1]) == (unlimited[0], unlimited[-1])
    assert set(limited) <= set(unlimited)
    assert abs(np.median(limited) - np.median(unlimited)) < 0.1


def test_invalid_table_raises_and_adds_no_row(frames):
    metrics = AnalogMetrics()
    for table, message in [
        (frames[ASPIRIN].drop(columns=["sa", "alerts", "plausible"]), "missing column sa, alerts, plausible"),
        (
            frames[ASPIRIN].assign(not_in_training="True"),
            "'not_in_training' must contain True, False or missing values, got 'True'",
        ),
        (frames[ASPIRIN].assign(sa="easy"), "'sa' must contain numbers"),
        (frames[ASPIRIN].assign(plausible="yes"), "'plausible' must contain True, False or missing values, got 'yes'"),
        (frames[ASPIRIN].assign(alerts=3), "'alerts' must contain lists or text, got 3"),
    ]:
        with pytest.raises(InputError, match=message):
            metrics.add(table)
    assert metrics.per_seed().empty
