"""Strings of a seed: what each begins with, and that none depends on those beside it."""

from __future__ import annotations

import torch

from molvae.chem.tokens import PAD_ID
from molvae.models.priors import unit_prior
from molvae.sampling.dial import Way
from molvae.sampling.origins import Rows, Source, seed_key


def test_the_seeds_own_beginning_is_kept_where_a_way_says_so():
    source = Source(unit_prior(3), 5, [7, 8, 9, 7, 8, 9, 7, 8, 9, 7])
    rows = source.next(0, [Way(0.5)] * 40 + [Way(0.5, kept=0.95)] * 200, 1)
    lengths = (rows.prefix != PAD_ID).sum(1)
    assert (lengths[:40] == 0).all()
    assert set(lengths[40:].tolist()) == set(range(10))  # never the whole of it
    for row, length in zip(rows.prefix.tolist(), lengths.tolist(), strict=True):
        assert row[:length] == source.symbols[:length]
    assert source.next(0, [Way(0.5)], 1).prefix.shape == (1, 0)
    later = source.next(100, [Way(0.5, kept=0.95)] * 20, 1)
    assert torch.equal(later.prefix != PAD_ID, (rows.prefix != PAD_ID)[100:120, : later.prefix.shape[1]])


def test_strings_of_several_seeds_stand_one_after_the_other():
    one, other = Source(unit_prior(3), 5, [7, 8]), Source(unit_prior(3), 6, [9] * 8)
    parts = [one.next(0, [Way(0.5, kept=0.95)] * 30, 1), other.next(0, [Way(0.2, heat=1.4)] * 4, 1)]
    rows = Rows.of([*parts, other.next(4, [Way(0.2, kept=0.95)] * 30, 1)])
    assert rows.z.shape == (64, 3)
    assert rows.prefix.shape[1] == 7
    torch.testing.assert_close(rows.heat, torch.tensor([1.0] * 30 + [1.4] * 4 + [1.0] * 30))
    assert torch.equal(rows.z[:30], parts[0].z)
    assert (rows.prefix[30:34] == PAD_ID).all()


def test_strings_of_one_latent_share_it_and_nothing_else():
    rows = Source(unit_prior(3), 5, [7, 8]).next(0, [Way(0.5)] * 6, 3)
    assert torch.equal(rows.z[0], rows.z[2])
    assert not torch.equal(rows.z[2], rows.z[3])
    assert len(set(rows.keys.tolist())) == 6


def test_every_molecule_and_every_seed_has_a_stream_of_its_own():
    assert len({seed_key(seed, smiles) for seed in (0, 1) for smiles in ("", "C", "CC")}) == 6
