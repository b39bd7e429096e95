"""Practice: what strings are worth, and that a decoder learns from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from tiny_vae import SMALL, trained

from molvae.chem.smiles import silence_rdkit
from molvae.data.bloom_filter import BloomFilter
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.training.policy_gradient import VALID, Practice, advantages, judge

SEED = Chem.CanonSmiles("CCOc1ccc(CC(=O)N(C)C)cc1")
NEAR = Chem.CanonSmiles("CCOc1ccc(CC(=O)NC)cc1")
FAR = "CCCCCCO"
ALDEHYDE = Chem.CanonSmiles("CCOc1ccc(CC(=O)N(C)C)cc1C=O")  # an alert of BRENK


def similarity(a: str, b: str) -> float:
    morgan = GetMorganGenerator(radius=2, fpSize=2048)
    return float(DataStructs.TanimotoSimilarity(*(morgan.GetFingerprint(Chem.MolFromSmiles(s)) for s in (a, b))))


def values(strings: list[str], noise_level: float, seen: BloomFilter | None = None) -> list[float]:
    with silence_rdkit():
        return judge(SEED, strings, noise_level, seen).values


def test_the_best_is_a_new_molecule_as_far_away_as_asked_for() -> None:
    assert values([NEAR], 1 - similarity(NEAR, SEED)) == [pytest.approx(1)]
    nearer, further = values([NEAR], 0.1)[0], values([NEAR], 0.6)[0]
    assert VALID < nearer < 1
    assert VALID < further < 1
    assert values([FAR], 0.2) == [VALID]


def test_what_is_no_molecule_is_worth_nothing_and_the_molecule_itself_little_where_it_was_to_be_left() -> None:
    assert values(["c1ccc", "", "C(C)(C)(C)(C)C", "CC[CH2]"], 0.3) == [0, 0, 0, 0]
    assert values([SEED, "CN(C)C(=O)Cc1ccc(OCC)cc1"], 0.3) == [VALID, VALID]
    assert VALID < values([SEED], 0.2)[0] < values([SEED], 0.05)[0] < 1


def test_far_away_any_molecule_is_as_good() -> None:
    assert values([NEAR, NEAR, FAR, SEED, ALDEHYDE, "C("], 0.9) == [1, 1, 1, 1, 1, 0]


def test_repeats_share_what_they_are_worth_and_flaws_and_what_is_known_lower_it() -> None:
    noise_level = 1 - similarity(NEAR, SEED)
    whole = values([NEAR], noise_level)[0] - VALID
    assert values([NEAR, "CNC(=O)Cc1ccc(OCC)cc1"], noise_level) == [pytest.approx(VALID + whole / 2)] * 2
    assert values([NEAR], noise_level, BloomFilter.from_smiles([NEAR]))[0] == pytest.approx(VALID + 0.6 * whole)
    assert values([NEAR], noise_level, BloomFilter.from_smiles([FAR]))[0] == pytest.approx(VALID + whole)
    noise_level = 1 - similarity(ALDEHYDE, SEED)
    assert values([ALDEHYDE], noise_level)[0] == pytest.approx(VALID + 0.5 * (1 - VALID))


def test_figures_are_those_of_the_strings() -> None:
    with silence_rdkit():
        found = judge(SEED, [NEAR, NEAR, SEED, "C(", ALDEHYDE], 0.3)
    assert (found.valid, found.itself, found.distinct) == pytest.approx((0.8, 0.2, 0.4))
    assert found.similarity == pytest.approx([similarity(NEAR, SEED)] * 2 + [similarity(ALDEHYDE, SEED)])
    assert found.sound == [True, True, False]


def test_advantages_are_over_the_mean_of_the_others() -> None:
    worth = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    for row, found in zip(worth, advantages(worth), strict=True):
        for i, value in enumerate(row):
            others = torch.cat([row[:i], row[i + 1 :]])
            assert float(found[i]) == pytest.approx(float(value - others.mean()) / 0.3, abs=1e-5)
    assert advantages(torch.ones(2, 1)).tolist() == [[0], [0]]


@pytest.mark.parametrize("decoder", ["gru", "transformer"])
def test_a_decoder_that_practises_writes_better_strings(decoder: str) -> None:
    model, config, vocabulary = trained("gaussian", decoder, steps=60)
    data = PackedGraphs.from_graphs(featurize(SMALL), vocabulary)
    practice = Practice(vocabulary, config.max_length, molecules=len(SMALL), strings=8, temperature=1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=3e-3)
    rows, figures = torch.arange(len(SMALL)), []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()
        for _ in range(30):
            loss, found = practice(model, data, rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            figures.append(found)
    first, last = (np.mean([[f["value"], f["valid"]] for f in part], 0) for part in (figures[:5], figures[-5:]))
    assert last[0] > first[0] + 0.04, (first, last)
    assert last[1] > first[1] + 0.1, (first, last)
    after = model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert all(name.startswith("decoder.") for name in changed), "latents are encoded as in use"
    assert all(part.training for part in model.modules()), "modes are as they were"


def test_random_numbers_are_those_of_torch() -> None:
    model, config, vocabulary = trained("deterministic", "gru", steps=2)
    data, rows = PackedGraphs.from_graphs(featurize(SMALL), vocabulary), torch.arange(4)
    practice = Practice(vocabulary, config.max_length, strings=3)
    losses = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            losses.append(float(practice(model, data, rows)[0].detach()))
    assert losses[0] == losses[1] != losses[2]
