"""One pass against doing it by hand: the same hits, every row counted, whatever the workers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import Descriptors

from molvae.chem.expressions import Rank, Window
from molvae.chem.filters import Filters
from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.smiles import parse
from molvae.chem.tokenizer import tokenize
from molvae.data.rows import InvalidRow, Record
from molvae.screening.pipeline import ScreenCounts, screen
from molvae.screening.query import Encoder, Question
from molvae.screening.scoring_functions import Cosine, Property, Tanimoto

NAMES = list(DRUGS)
SEED = "CC(=O)Nc1ccccc1"


def library(times=3):
    """The drugs several times over, written in other ways, with bad rows among them."""
    rows = []
    for turn in range(times):
        for i, (name, text) in enumerate(DRUGS.items()):
            other = Chem.MolToSmiles(parse(text), doRandom=True) if turn else text
            rows.append(Record(other, name, "lib.smi", turn * 100 + i + 1))
        rows.append(Record("C1CC", "bad", "lib.smi", turn * 100 + 90))
        rows.append(InvalidRow("lib.smi", turn * 100 + 91, "", "the SMILES field is empty"))
    return rows


def asked(top=10, **options):
    seeds = morgan_bits([parse(SEED)])
    return Question(Rank.of("tanimoto", ["tanimoto"]), top, of_molecules={"tanimoto": Tanimoto(seeds)}, **options)


def run(question, rows, **options):
    counts, invalid_rows = ScreenCounts(), []

    def taken(part):
        counts.add(part.counts)
        invalid_rows.extend(part.invalid_rows)

    return screen([rows], question, taken=taken, **options), counts, invalid_rows


def odd(mols):
    """A number that small molecules do not have."""
    return np.array([np.nan if (n := mol.GetNumAtoms()) < 15 else float(n % 5) for mol in mols])


def by_hand(top, accept=lambda _: True):
    best = {Chem.MolToSmiles(parse(text)): DataStructs.TanimotoSimilarity(morgan(parse(text)), morgan(parse(SEED)))
            for text in DRUGS.values() if accept(parse(text))}  # fmt: skip
    return sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:top]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_best_of_all_rows(workers):
    hits, counts, invalid_rows = run(asked(), library(), workers=workers)
    expected = by_hand(10)
    assert [hit.smiles for hit in hits] == [smiles for smiles, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected])
    assert [hit.n_occurrences for hit in hits] == [3] * 10
    assert all(hit.row < 90 and parse(DRUGS[hit.name]) for hit in hits)  # the first of its copies
    assert (counts.scored, counts.filtered, counts.rejected) == (3 * len(DRUGS), 0, 6)
    assert counts.read == len(library())
    assert Counter(invalid_row.row for invalid_row in invalid_rows) == Counter(
        t * 100 + r for t in range(3) for r in (90, 91)
    )


def test_filters_come_first():
    def accept(mol):
        return Descriptors.MolWt(mol) < 300 and mol.HasSubstructMatch(Chem.MolFromSmarts("c1ccccc1")) and (
            not mol.HasSubstructMatch(Chem.MolFromSmarts("[Cl,Br]"))
        )  # fmt: skip

    filters = Filters((Window.of("mw<300"), Window.of("qed>0")), ("c1ccccc1",), ("[Cl,Br]",))
    hits, counts, _ = run(asked(50, filters=filters), library(1), workers=0)
    assert [hit.smiles for hit in hits] == [smiles for smiles, _ in by_hand(50, accept)]
    assert counts.scored == len(hits)
    assert counts.filtered == len(DRUGS) - len(hits)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("top", [3, 50])
def test_windows_of_figures_are_counted_whatever_ends_up_on_the_list(top, workers):
    """A figure that does not rank, and is missing for some, and one that does."""
    hits, counts, invalid_rows = run(
        Question(
            Rank.of("tanimoto", ["tanimoto"]),
            top,
            windows=(Window.of("odd>2", ["odd"]), Window.of("tanimoto 0.1:0.3", ["tanimoto"])),
            of_molecules={"tanimoto": Tanimoto(morgan_bits([parse(SEED)])), "odd": odd},
        ),
        library(30),
        workers=workers,
    )
    mols = {Chem.MolToSmiles(mol): mol for mol in map(parse, DRUGS.values())}
    missing = {smiles for smiles, mol in mols.items() if mol.GetNumAtoms() < 15}
    similarity = dict(by_hand(len(mols)))
    good = {s for s in set(mols) - missing if 0.1 <= similarity[s] <= 0.3 and mols[s].GetNumAtoms() % 5 > 2}
    assert 3 < len(good) < len(mols) - len(missing)
    assert [hit.smiles for hit in hits] == [s for s in similarity if s in good][:top]
    assert counts.scored == 30 * len(good)
    assert counts.filtered == 30 * (len(mols) - len(missing) - len(good))
    assert sum("odd cannot be computed" in invalid_row.reason for invalid_row in invalid_rows) == 30 * len(missing)
    assert counts.read == len(library(30))


@pytest.mark.parametrize("latent", [False, True])
def test_a_batch_of_which_nothing_is_left_before_the_windows(tiny, latent):
    g = tiny
    encoder = Encoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device) if latent else None
    z = g.encode([SEED]).filter(regex=r"^z").to_numpy(np.float32)
    of_latents = {"latent": Cosine(z)} if latent else {}
    windows = (Window.of("odd>2", ["odd"]), *([Window.of("latent>0", ["latent"])] if latent else []))
    for filters, expected in ((Filters((Window.of("mw<1"),)), (0, len(DRUGS), 2)), (Filters(), (0, 0, 1))):
        rows = library(1) if filters else [Record("C1CC", "bad", "lib.smi", 1)]
        known, most = frozenset(g.vocabulary.tokens), g.checkpoint.config.max_length
        question = Question(Rank.of("odd", ["odd"]), 5, filters, windows, {"odd": odd}, of_latents, known, most)
        hits, counts, _ = run(question, rows, encoder=encoder, workers=0)
        assert hits == []
        assert (counts.scored, counts.filtered, counts.rejected) == expected


def test_what_lies_outside_a_window_of_molecules_is_not_encoded(tiny):
    encoded = []

    def encoder(chunk):
        encoded.extend(chunk.rows)
        return real(chunk)

    g = tiny
    real = Encoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device)
    encoder.device = g.device
    z = g.encode([SEED]).filter(regex=r"^z").to_numpy(np.float32)
    question = Question(
        Rank.of("latent", ["latent"]), 5, windows=(Window.of("odd>2", ["odd"]),), of_molecules={"odd": odd},
        of_latents={"latent": Cosine(z)}, known=frozenset(g.vocabulary.tokens), max_length=80,
    )  # fmt: skip
    _, counts, _ = run(question, library(1), encoder=encoder, workers=0)
    assert 0 < len(encoded) == counts.scored < len(DRUGS) / 2


def test_windows_of_latents_too(tiny):
    """On the other path, where figures of molecules wait for the network."""
    g = tiny
    encoder = Encoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device)
    z = g.encode([SEED]).filter(regex=r"^z").to_numpy(np.float32)
    table = g.encode(list(DRUGS.values()))
    table = table[table["error"] == ""]
    cosine = Cosine(z)(table.filter(regex=r"^z").to_numpy(np.float32))
    half = float(np.median(cosine)) + 1e-4
    question = Question(
        Rank.of("latent", ["latent"]),
        100,
        windows=(Window("latent", high=half), Window.of("odd>2", ["odd"])),
        of_latents={"latent": Cosine(z)},
        of_molecules={"odd": odd},
        known=frozenset(g.vocabulary.tokens),
        max_length=g.checkpoint.config.max_length,
    )
    hits, counts, invalid_rows = run(question, library(1), encoder=encoder, workers=0)
    sizes = np.array([parse(text).GetNumAtoms() for text in table["smiles"]])
    small, good = sizes < 15, (sizes >= 15) & (sizes % 5 > 2) & (cosine < half)
    assert good.any()
    assert {hit.smiles for hit in hits} == {Chem.CanonSmiles(text) for text in table["smiles"][good]}
    assert (counts.scored, counts.filtered) == (good.sum(), (~small & ~good).sum())
    assert sum("odd cannot be computed" in invalid_row.reason for invalid_row in invalid_rows) == small.sum()


def test_a_sum_of_figures():
    rank = Rank.of("tanimoto - 0.01*mw", ["tanimoto"])
    figures = {"tanimoto": Tanimoto(morgan_bits([parse(SEED)])), "mw": Property("mw")}
    hits, _, _ = run(Question(rank, 3, of_molecules=figures), library(1), workers=0)
    scores = {Chem.MolToSmiles(parse(t)): float(figures["tanimoto"]([parse(t)])[0] - 0.01 * Descriptors.MolWt(parse(t)))
              for t in DRUGS.values()}  # fmt: skip
    assert [hit.smiles for hit in hits] == sorted(scores, key=lambda s: -scores[s])[:3]


def test_costly_figures_are_spared_where_they_cannot_help():
    """What is left out is only what could not have been on the list."""
    seen = []

    def counted(mols):
        seen.extend(mols)
        return Property("qed")(mols)

    rank = Rank.of("tanimoto + 0.2*qed - 0.01*sa", ["tanimoto"])
    tanimoto = Tanimoto(morgan_bits([parse(SEED)]))
    question = Question(rank, 3, of_molecules={"tanimoto": tanimoto, "qed": counted, "sa": Property("sa")})
    hits, counts, _ = run(question, library(30), workers=0)
    mols = {Chem.MolToSmiles(parse(text)): parse(text) for text in DRUGS.values()}
    scores = {s: float(tanimoto([m])[0] + 0.2 * Property("qed")([m])[0] - 0.01 * Property("sa")([m])[0])
              for s, m in mols.items()}  # fmt: skip
    best = sorted(scores, key=lambda s: (-scores[s], s))[:3]
    assert [hit.smiles for hit in hits] == best
    assert [hit.score for hit in hits] == pytest.approx([scores[s] for s in best])
    assert [hit.n_occurrences for hit in hits] == [30] * 3
    assert counts.scored == 30 * len(DRUGS)
    assert len(seen) < 0.7 * counts.scored


def test_what_has_no_score_is_rejected_and_named():
    def odd(mols):
        return np.array([np.nan if mol.GetNumAtoms() < 15 else 1.0 for mol in mols])

    hits, counts, invalid_rows = run(
        Question(Rank.of("odd", ["odd"]), 100, of_molecules={"odd": odd}), library(1), workers=0
    )
    small = [name for name, text in DRUGS.items() if parse(text).GetNumAtoms() < 15]
    assert len(hits) == counts.scored == len(DRUGS) - len(small)
    assert sum("odd cannot be computed" in invalid_row.reason for invalid_row in invalid_rows) == len(small)
    assert [hit.smiles for hit in hits] == sorted(hit.smiles for hit in hits)  # all are equal


def test_no_rows_and_one():
    assert run(asked(), [], workers=0)[0] == []
    hits, counts, _ = run(asked(), [Record(SEED, "it", "x", 1)], workers=0)
    assert [(hit.score, hit.name) for hit in hits] == [(1.0, "it")]
    assert counts.summary() == "1 read: 1 scored, 0 filtered out, 0 rejected"


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_latents(tiny, workers, filtered):
    config, known = tiny.checkpoint.config, frozenset(tiny.vocabulary.tokens)
    encoder = Encoder(tiny.model, tiny.vocabulary, config.max_length, tiny.device)
    frame = tiny.encode(list(DRUGS.values())).query("error == ''")
    z = frame.filter(regex=r"^z\d+$").to_numpy(np.float32)
    cosine = Cosine(z[:2])
    question = Question(
        Rank.of("latent", ["latent"]), 5, Filters((Window.of("mw<250"),)) if filtered else Filters(),
        of_latents={"latent": cosine}, known=known, max_length=config.max_length,
    )  # fmt: skip
    hits, counts, invalid_rows = run(question, library(2), workers=workers, encoder=encoder)
    expected = [(score, Chem.MolToSmiles(parse(text)))
                for score, text in zip(cosine(z), frame["smiles"], strict=True)
                if not filtered or Descriptors.MolWt(parse(text)) < 250]  # fmt: skip
    best = sorted(expected, key=lambda pair: -pair[0])[:5]
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in best], abs=1e-5)
    assert counts.scored == 2 * len(expected)
    assert counts.read == len(library(2))
    assert len(invalid_rows) == counts.rejected >= 4


def test_symbols_that_the_model_has_never_seen_are_rejected(tiny):
    question = Question(
        Rank.of("latent", ["latent"]), 5, of_latents={"latent": Cosine(np.ones((1, 12), np.float32))},
        known=frozenset(tokenize("CCO")), max_length=80,
    )  # fmt: skip
    encoder = Encoder(tiny.model, tiny.vocabulary, 80, tiny.device)
    hits, counts, invalid_rows = run(question, [*library(1)[:5], Record("CCO", "", "x", 1)], workers=0, encoder=encoder)
    assert [hit.smiles for hit in hits] == ["CCO"]
    assert all("never seen" in invalid_row.reason for invalid_row in invalid_rows)
    assert counts.rejected == 5
