"""Strings of a seed: what each begins with, and that none depends on those beside it."""

from __future__ import annotations

import torch

from molvae.chem.tokenizer import PAD_ID, Vocabulary, tokenize
from molvae.generation.rng import row_keys
from molvae.generation.seed_sampler import Rows, SeedSampler, Text, departures, seed_key
from molvae.generation.similarity_target import Way
from molvae.nn.priors import unit_prior

VOCABULARY = Vocabulary.from_tokens(tokenize("CC(=O)Nc1ccccc1[C@@H]2"))
SEED = "CC(=O)Nc1ccccc1"
ATOMS = [0, 1, 4, 6, 7, 9, 10, 11, 12, 13]  # places of its symbols that are atoms


def test_a_string_departs_at_an_atom_of_the_seed():
    source = SeedSampler.of(unit_prior(3), 5, SEED, VOCABULARY)
    assert source.text.places == ATOMS
    rows = source.next(0, [Way(0.5)] * 40 + [Way(0.5, departs=True)] * 400, 1)
    assert (rows.given[:40] == PAD_ID).all()
    ends = []
    for row in rows.given[40:].tolist():
        (end,) = [place for place, symbol in enumerate(row) if symbol < 0]
        assert row[: end + 1] == [*source.text.symbols[:end], -source.text.symbols[end]]
        assert set(row[end + 1 :]) <= {PAD_ID}
        ends.append(end)
    assert set(ends) == set(ATOMS)
    assert max(map(ends.count, ATOMS)) < 70  # of 40 expected
    assert source.next(0, [Way(0.5)], 1).given.shape == (1, 0)
    later = source.next(100, [Way(0.5, departs=True)] * 20, 1)
    assert torch.equal(later.given, rows.given[100:120, : later.given.shape[1]])


def test_with_a_core_it_departs_at_the_groups_and_behind_them():
    """In `CC(=O)Nc1ccccc1` acetyl is 0 to 6, and N stands at 6; a ring's digit is no place."""
    assert Text.of(SEED, VOCABULARY, "*Nc1ccccc1").places == [0, 1, 2, 4, 5]
    assert Text.of(SEED, VOCABULARY, "CC(=O)N*").places == [7, 9, 10, 11, 12, 13]
    assert Text.of(SEED, VOCABULARY, "CC(*)Nc1ccccc1").places == ATOMS  # which has not that core
    text = Text.of("CN", VOCABULARY, "*C")
    ends = text.departures(row_keys(0, torch.arange(40)))
    n, end = VOCABULARY.encode("N").tolist()
    c = int(VOCABULARY.encode("C")[0])
    assert {tuple(row) for row in ends.tolist()} == {(c, -n, PAD_ID), (c, n, -end)}


def test_one_atom_can_be_left():
    rows = SeedSampler.of(unit_prior(3), 5, "C", VOCABULARY).next(0, [Way(0.5, departs=True)] * 3, 1)
    assert rows.given.tolist() == [[-int(VOCABULARY.encode("C")[0])]] * 3


def test_strings_of_several_seeds_stand_one_after_the_other():
    one, other = (SeedSampler.of(unit_prior(3), 5, smiles, VOCABULARY) for smiles in ("CC", "CCCCCCCC"))
    departs = Way(0.5, departs=True)
    parts = [one.next(0, [departs] * 30, 1), other.next(0, [Way(0.2, heat=1.4)] * 4, 1)]
    rows = Rows.of([*parts, other.next(4, [departs] * 30, 1)])
    assert rows.z.shape == (64, 3)
    assert rows.given.shape[1] == 8
    torch.testing.assert_close(rows.heat, torch.tensor([1.0] * 30 + [1.4] * 4 + [1.0] * 30))
    assert torch.equal(rows.z[:30], parts[0].z)
    assert (rows.given[30:34] == PAD_ID).all()


def test_strings_of_one_latent_share_it_and_nothing_else():
    rows = SeedSampler.of(unit_prior(3), 5, "CC", VOCABULARY).next(0, [Way(0.5)] * 6, 3)
    assert torch.equal(rows.z[0], rows.z[2])
    assert not torch.equal(rows.z[2], rows.z[3])
    assert len(set(rows.keys.tolist())) == 6


def test_every_molecule_and_every_seed_has_a_stream_of_its_own():
    assert len({seed_key(seed, smiles) for seed in (0, 1) for smiles in ("", "C", "CC")}) == 6


def test_strings_may_leave_texts_of_their_own():
    """Each as if it were alone, wherever it stands; and some leave none."""
    texts = [SEED, "", "CC", SEED, "CCC", ""] * 5
    keys = row_keys(1, torch.arange(len(texts)))
    given = departures(texts, keys, VOCABULARY)
    for text, key, row in zip(texts, keys, given, strict=True):
        alone = Text.of(text, VOCABULARY).departures(key[None])[0].tolist() if text else []
        assert row.tolist() == alone + [PAD_ID] * (given.shape[1] - len(alone))
    assert departures(["", ""], keys[:2], VOCABULARY).shape == (2, 0)
    assert departures([], keys[:0], VOCABULARY).shape == (0, 0)
