"""Samples of a seed: branch positions, forced tokens, and independence of other samples."""

from __future__ import annotations

import torch

from molvae.chem.tokenizer import PAD_ID, Vocabulary, tokenize
from molvae.generation.rng import row_keys
from molvae.generation.seed_sampler import BranchTemplate, SampleBatch, SeedSampler, branch_tokens, seed_key
from molvae.generation.strategies import Strategy
from molvae.nn.priors import unit_prior

VOCABULARY = Vocabulary.from_tokens(tokenize("CC(=O)Nc1ccccc1[C@@H]2"))
SEED = "CC(=O)Nc1ccccc1"
ATOMS = [0, 1, 4, 6, 7, 9, 10, 11, 12, 13]  # positions of its atom tokens
FREE, BRANCH = Strategy(0.5), Strategy(0.5, branch=True)


def _sampler(smiles):
    return SeedSampler.from_smiles(unit_prior(3), 5, smiles, VOCABULARY)


def test_samples_branch_at_atoms_of_the_seed():
    sampler = _sampler(SEED)
    assert sampler.template.positions == ATOMS
    batch = sampler.batch(0, [FREE] * 40 + [BRANCH] * 400, 1)
    assert (batch.forced_tokens[:40] == PAD_ID).all()
    branches = []
    for row in batch.forced_tokens[40:].tolist():
        (branch,) = [position for position, token in enumerate(row) if token < 0]
        assert row[: branch + 1] == [*sampler.template.tokens[:branch], -sampler.template.tokens[branch]]
        assert set(row[branch + 1 :]) <= {PAD_ID}
        branches.append(branch)
    assert set(branches) == set(ATOMS)
    assert max(map(branches.count, ATOMS)) < 70  # 40 expected
    assert sampler.batch(0, [FREE], 1).forced_tokens.shape == (1, 0)
    later = sampler.batch(100, [BRANCH] * 20, 1)
    assert torch.equal(later.forced_tokens, batch.forced_tokens[100:120, : later.forced_tokens.shape[1]])


def test_with_a_core_samples_branch_at_and_after_its_substituents():
    """In `CC(=O)Nc1ccccc1` the tokens 0 to 5 are acetyl, and 6 is N; ring digits are no branch positions."""
    assert BranchTemplate.from_smiles(SEED, VOCABULARY, "*Nc1ccccc1").positions == [0, 1, 2, 4, 5]
    assert BranchTemplate.from_smiles(SEED, VOCABULARY, "CC(=O)N*").positions == [7, 9, 10, 11, 12, 13]
    assert BranchTemplate.from_smiles(SEED, VOCABULARY, "CC(*)Nc1ccccc1").positions == ATOMS  # lacks this core
    template = BranchTemplate.from_smiles("CN", VOCABULARY, "*C")
    forced = template.forced_tokens(row_keys(0, torch.arange(40)))
    n, end = VOCABULARY.encode("N").tolist()
    c = int(VOCABULARY.encode("C")[0])
    assert {tuple(row) for row in forced.tolist()} == {(c, -n, PAD_ID), (c, n, -end)}


def test_seed_with_one_atom():
    batch = _sampler("C").batch(0, [BRANCH] * 3, 1)
    assert batch.forced_tokens.tolist() == [[-int(VOCABULARY.encode("C")[0])]] * 3


def test_concatenation_of_batches():
    short, long = _sampler("CC"), _sampler("CCCCCCCC")
    parts = [
        short.batch(0, [BRANCH] * 30, 1),
        long.batch(0, [Strategy(0.2, temperature_scale=1.4)] * 4, 1),
        long.batch(4, [BRANCH] * 30, 1),
    ]
    batch = SampleBatch.concatenate(parts)
    assert batch.z.shape == (64, 3)
    assert batch.forced_tokens.shape[1] == 8
    torch.testing.assert_close(batch.temperature_scale, torch.tensor([1.0] * 30 + [1.4] * 4 + [1.0] * 30))
    assert torch.equal(batch.z[:30], parts[0].z)
    assert (batch.forced_tokens[30:34] == PAD_ID).all()


def test_samples_of_one_latent_share_only_the_latent():
    batch = _sampler("CC").batch(0, [FREE] * 6, 3)
    assert torch.equal(batch.z[0], batch.z[2])
    assert not torch.equal(batch.z[2], batch.z[3])
    assert len(set(batch.keys.tolist())) == 6


def test_seed_keys_are_distinct():
    assert len({seed_key(random_state, smiles) for random_state in (0, 1) for smiles in ("", "C", "CC")}) == 6


def test_branch_tokens_of_each_row_equal_those_of_the_row_alone():
    smiles = [SEED, "", "CC", SEED, "CCC", ""] * 5
    keys = row_keys(1, torch.arange(len(smiles)))
    forced = branch_tokens(smiles, keys, VOCABULARY)
    for text, key, row in zip(smiles, keys, forced, strict=True):
        template = BranchTemplate.from_smiles(text, VOCABULARY)
        alone = template.forced_tokens(key[None])[0].tolist() if text else []
        assert row.tolist() == alone + [PAD_ID] * (forced.shape[1] - len(alone))
    assert branch_tokens(["", ""], keys[:2], VOCABULARY).shape == (2, 0)
    assert branch_tokens([], keys[:0], VOCABULARY).shape == (0, 0)
