"""Screening gives the same hits and counts as a loop over all molecules, with and without workers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import Descriptors

from molvae.chem.expressions import PropertyFilter, RankExpression
from molvae.chem.filters import Filters
from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.scoring_functions import PropertyFunction
from molvae.chem.smiles import parse
from molvae.chem.tokenizer import tokenize
from molvae.data.rows import InvalidRow, Record
from molvae.screening.pipeline import ScreenCounts, screen_rows
from molvae.screening.query import LatentEncoder, ScreenQuery
from molvae.screening.scoring_functions import CosineScore, TanimotoScore

NAMES = list(DRUGS)
SEED = "CC(=O)Nc1ccccc1"


def library(n_copies=3):
    """`n_copies` copies of the drugs with different SMILES, and invalid rows."""
    rows = []
    for copy in range(n_copies):
        for i, (name, text) in enumerate(DRUGS.items()):
            variant = Chem.MolToSmiles(parse(text), doRandom=True) if copy else text
            rows.append(Record(variant, name, "lib.smi", copy * 100 + i + 1))
        rows.append(Record("C1CC", "invalid", "lib.smi", copy * 100 + 90))
        rows.append(InvalidRow("lib.smi", copy * 100 + 91, "", "the SMILES field is empty"))
    return rows


def tanimoto_query(top=10, **options):
    seeds = morgan_bits([parse(SEED)])
    return ScreenQuery(
        RankExpression.from_text("tanimoto", ["tanimoto"]),
        top,
        molecule_scores={"tanimoto": TanimotoScore(seeds)},
        **options,
    )


def run(query, rows, **options):
    counts, invalid_rows = ScreenCounts(), []

    def collect(result):
        counts.add(result.counts)
        invalid_rows.extend(result.invalid_rows)

    return screen_rows([rows], query, on_part=collect, **options), counts, invalid_rows


def property_score(name):
    return PropertyFunction(name).score_molecules


def size_mod_5(mols):
    """A score that is NaN for molecules with fewer than 15 atoms."""
    return np.array([np.nan if (n := mol.GetNumAtoms()) < 15 else float(n % 5) for mol in mols])


def expected_hits(top, accept=lambda _: True):
    best = {Chem.MolToSmiles(parse(text)): DataStructs.TanimotoSimilarity(morgan(parse(text)), morgan(parse(SEED)))
            for text in DRUGS.values() if accept(parse(text))}  # fmt: skip
    return sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:top]


@pytest.mark.parametrize("workers", [0, 2])
def test_hits_equal_those_of_a_loop(workers):
    hits, counts, invalid_rows = run(tanimoto_query(), library(), workers=workers)
    expected = expected_hits(10)
    assert [hit.smiles for hit in hits] == [smiles for smiles, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected])
    assert [hit.n_occurrences for hit in hits] == [3] * 10
    assert all(hit.row < 90 and parse(DRUGS[hit.name]) for hit in hits)  # the first occurrence
    assert (counts.scored, counts.filtered, counts.invalid) == (3 * len(DRUGS), 0, 6)
    assert counts.read == len(library())
    assert Counter(row.row for row in invalid_rows) == Counter(t * 100 + r for t in range(3) for r in (90, 91))


def test_filters():
    def accept(mol):
        return Descriptors.MolWt(mol) < 300 and mol.HasSubstructMatch(Chem.MolFromSmarts("c1ccccc1")) and (
            not mol.HasSubstructMatch(Chem.MolFromSmarts("[Cl,Br]"))
        )  # fmt: skip

    filters = Filters(
        (PropertyFilter.from_text("mw<300"), PropertyFilter.from_text("qed>0")), ("c1ccccc1",), ("[Cl,Br]",)
    )
    hits, counts, _ = run(tanimoto_query(50, filters=filters), library(1), workers=0)
    assert [hit.smiles for hit in hits] == [smiles for smiles, _ in expected_hits(50, accept)]
    assert counts.scored == len(hits)
    assert counts.filtered == len(DRUGS) - len(hits)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("top", [3, 50])
def test_score_filters(top, workers):
    """Filters on the ranking score and on another score, which is NaN for some molecules."""
    hits, counts, invalid_rows = run(
        ScreenQuery(
            RankExpression.from_text("tanimoto", ["tanimoto"]),
            top,
            score_filters=(
                PropertyFilter.from_text("size_mod_5>2", ["size_mod_5"]),
                PropertyFilter.from_text("tanimoto 0.1:0.3", ["tanimoto"]),
            ),
            molecule_scores={"tanimoto": TanimotoScore(morgan_bits([parse(SEED)])), "size_mod_5": size_mod_5},
        ),
        library(30),
        workers=workers,
    )
    mols = {Chem.MolToSmiles(mol): mol for mol in map(parse, DRUGS.values())}
    missing = {smiles for smiles, mol in mols.items() if mol.GetNumAtoms() < 15}
    similarity = dict(expected_hits(len(mols)))
    passing = {s for s in set(mols) - missing if 0.1 <= similarity[s] <= 0.3 and mols[s].GetNumAtoms() % 5 > 2}
    assert 3 < len(passing) < len(mols) - len(missing)
    assert [hit.smiles for hit in hits] == [s for s in similarity if s in passing][:top]
    assert counts.scored == 30 * len(passing)
    assert counts.filtered == 30 * (len(mols) - len(missing) - len(passing))
    assert sum("size_mod_5 cannot be computed" in row.reason for row in invalid_rows) == 30 * len(missing)
    assert counts.read == len(library(30))


@pytest.mark.parametrize("latent", [False, True])
def test_batch_without_molecules_left(tiny, latent):
    g = tiny
    encoder = LatentEncoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device) if latent else None
    z = g.encode([SEED]).filter(regex=r"^z").to_numpy(np.float32)
    latent_scores = {"latent": CosineScore(z)} if latent else {}
    score_filters = (
        PropertyFilter.from_text("size_mod_5>2", ["size_mod_5"]),
        *([PropertyFilter.from_text("latent>0", ["latent"])] if latent else []),
    )
    for filters, expected in (
        (Filters((PropertyFilter.from_text("mw<1"),)), (0, len(DRUGS), 2)),
        (Filters(), (0, 0, 1)),
    ):
        rows = library(1) if filters else [Record("C1CC", "invalid", "lib.smi", 1)]
        known_tokens, max_length = frozenset(g.vocabulary.tokens), g.checkpoint.config.max_length
        query = ScreenQuery(
            RankExpression.from_text("size_mod_5", ["size_mod_5"]),
            5,
            filters,
            score_filters,
            {"size_mod_5": size_mod_5},
            latent_scores,
            known_tokens,
            max_length,
        )
        hits, counts, _ = run(query, rows, encoder=encoder, workers=0)
        assert hits == []
        assert (counts.scored, counts.filtered, counts.invalid) == expected


def test_filtered_molecules_are_not_encoded(tiny):
    encoded = []

    def encoder(chunk):
        encoded.extend(chunk.rows)
        return latent_encoder(chunk)

    g = tiny
    latent_encoder = LatentEncoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device)
    encoder.device = g.device
    z = g.encode([SEED]).filter(regex=r"^z").to_numpy(np.float32)
    query = ScreenQuery(
        RankExpression.from_text("latent", ["latent"]), 5,
        score_filters=(PropertyFilter.from_text("size_mod_5>2", ["size_mod_5"]),),
        molecule_scores={"size_mod_5": size_mod_5},
        latent_scores={"latent": CosineScore(z)}, known_tokens=frozenset(g.vocabulary.tokens), max_length=80,
    )  # fmt: skip
    _, counts, _ = run(query, library(1), encoder=encoder, workers=0)
    assert 0 < len(encoded) == counts.scored < len(DRUGS) / 2


def test_filters_on_latent_scores(tiny):
    g = tiny
    encoder = LatentEncoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device)
    z = g.encode([SEED]).filter(regex=r"^z").to_numpy(np.float32)
    table = g.encode(list(DRUGS.values()))
    table = table[table["error"] == ""]
    cosine = CosineScore(z)(table.filter(regex=r"^z").to_numpy(np.float32))
    median = float(np.median(cosine)) + 1e-4
    query = ScreenQuery(
        RankExpression.from_text("latent", ["latent"]),
        100,
        score_filters=(PropertyFilter("latent", high=median), PropertyFilter.from_text("size_mod_5>2", ["size_mod_5"])),
        latent_scores={"latent": CosineScore(z)},
        molecule_scores={"size_mod_5": size_mod_5},
        known_tokens=frozenset(g.vocabulary.tokens),
        max_length=g.checkpoint.config.max_length,
    )
    hits, counts, invalid_rows = run(query, library(1), encoder=encoder, workers=0)
    sizes = np.array([parse(text).GetNumAtoms() for text in table["smiles"]])
    small, passing = sizes < 15, (sizes >= 15) & (sizes % 5 > 2) & (cosine < median)
    assert passing.any()
    assert {hit.smiles for hit in hits} == {Chem.CanonSmiles(text) for text in table["smiles"][passing]}
    assert (counts.scored, counts.filtered) == (passing.sum(), (~small & ~passing).sum())
    assert sum("size_mod_5 cannot be computed" in row.reason for row in invalid_rows) == small.sum()


def test_weighted_sum():
    rank = RankExpression.from_text("tanimoto - 0.01*mw", ["tanimoto"])
    tanimoto = TanimotoScore(morgan_bits([parse(SEED)]))
    query = ScreenQuery(rank, 3, molecule_scores={"tanimoto": tanimoto, "mw": property_score("mw")})
    hits, _, _ = run(query, library(1), workers=0)
    scores = {Chem.MolToSmiles(mol): float(tanimoto([mol])[0] - 0.01 * Descriptors.MolWt(mol))
              for mol in map(parse, DRUGS.values())}  # fmt: skip
    assert [hit.smiles for hit in hits] == sorted(scores, key=lambda s: -scores[s])[:3]


def test_expensive_properties_are_skipped_below_threshold():
    computed = []

    def recorded_qed(mols):
        computed.extend(mols)
        return property_score("qed")(mols)

    rank = RankExpression.from_text("tanimoto + 0.2*qed - 0.01*sa", ["tanimoto"])
    tanimoto = TanimotoScore(morgan_bits([parse(SEED)]))
    query = ScreenQuery(
        rank, 3, molecule_scores={"tanimoto": tanimoto, "qed": recorded_qed, "sa": property_score("sa")}
    )
    hits, counts, _ = run(query, library(30), workers=0)
    mols = {Chem.MolToSmiles(parse(text)): parse(text) for text in DRUGS.values()}
    scores = {s: float(tanimoto([m])[0] + 0.2 * property_score("qed")([m])[0] - 0.01 * property_score("sa")([m])[0])
              for s, m in mols.items()}  # fmt: skip
    best = sorted(scores, key=lambda s: (-scores[s], s))[:3]
    assert [hit.smiles for hit in hits] == best
    assert [hit.score for hit in hits] == pytest.approx([scores[s] for s in best])
    assert [hit.n_occurrences for hit in hits] == [30] * 3
    assert counts.scored == 30 * len(DRUGS)
    assert len(computed) < 0.7 * counts.scored


def test_molecules_without_score_are_rejected():
    def size_mod_5(mols):
        return np.array([np.nan if mol.GetNumAtoms() < 15 else 1.0 for mol in mols])

    hits, counts, invalid_rows = run(
        ScreenQuery(
            RankExpression.from_text("size_mod_5", ["size_mod_5"]), 100, molecule_scores={"size_mod_5": size_mod_5}
        ),
        library(1),
        workers=0,
    )
    small = [name for name, text in DRUGS.items() if parse(text).GetNumAtoms() < 15]
    assert len(hits) == counts.scored == len(DRUGS) - len(small)
    assert sum("size_mod_5 cannot be computed" in row.reason for row in invalid_rows) == len(small)
    assert [hit.smiles for hit in hits] == sorted(hit.smiles for hit in hits)  # all are equal


def test_zero_rows_and_one_row():
    assert run(tanimoto_query(), [], workers=0)[0] == []
    hits, counts, _ = run(tanimoto_query(), [Record(SEED, "seed", "x", 1)], workers=0)
    assert [(hit.score, hit.name) for hit in hits] == [(1.0, "seed")]
    assert counts.summary() == "1 read: 1 scored, 0 filtered out, 0 invalid"


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_latent_scores(tiny, workers, filtered):
    config, known_tokens = tiny.checkpoint.config, frozenset(tiny.vocabulary.tokens)
    encoder = LatentEncoder(tiny.model, tiny.vocabulary, config.max_length, tiny.device)
    frame = tiny.encode(list(DRUGS.values())).query("error == ''")
    z = frame.filter(regex=r"^z\d+$").to_numpy(np.float32)
    cosine = CosineScore(z[:2])
    filters = Filters((PropertyFilter.from_text("mw<250"),)) if filtered else Filters()
    query = ScreenQuery(
        RankExpression.from_text("latent", ["latent"]), 5, filters,
        latent_scores={"latent": cosine}, known_tokens=known_tokens, max_length=config.max_length,
    )  # fmt: skip
    hits, counts, invalid_rows = run(query, library(2), workers=workers, encoder=encoder)
    expected = [(score, Chem.MolToSmiles(parse(text)))
                for score, text in zip(cosine(z), frame["smiles"], strict=True)
                if not filtered or Descriptors.MolWt(parse(text)) < 250]  # fmt: skip
    best = sorted(expected, key=lambda pair: -pair[0])[:5]
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in best], abs=1e-5)
    assert counts.scored == 2 * len(expected)
    assert counts.read == len(library(2))
    assert len(invalid_rows) == counts.invalid >= 4


def test_unknown_tokens_are_rejected(tiny):
    query = ScreenQuery(
        RankExpression.from_text("latent", ["latent"]), 5,
        latent_scores={"latent": CosineScore(np.ones((1, 12), np.float32))},
        known_tokens=frozenset(tokenize("CCO")), max_length=80,
    )  # fmt: skip
    encoder = LatentEncoder(tiny.model, tiny.vocabulary, 80, tiny.device)
    hits, counts, invalid_rows = run(query, [*library(1)[:5], Record("CCO", "", "x", 1)], workers=0, encoder=encoder)
    assert [hit.smiles for hit in hits] == ["CCO"]
    assert all("not in the model's vocabulary" in row.reason for row in invalid_rows)
    assert counts.invalid == 5
