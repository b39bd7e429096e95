"""Policy gradient: rewards of samples, and their effect on the decoder."""

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
from molvae.training.policy_gradient import (
    IMPLAUSIBLE_FACTOR,
    INVERTED_FACTOR,
    KNOWN_FACTOR,
    LOW_QUALITY_FACTOR,
    VALID_REWARD,
    PolicyGradient,
    advantages,
    reward_samples,
)

pytestmark = pytest.mark.slow

SEED = Chem.CanonSmiles("CCOc1ccc(CC(=O)N(C)C)cc1")
ANALOG = Chem.CanonSmiles("CCOc1ccc(CC(=O)NC)cc1")
DISSIMILAR = "CCCCCCO"
ALDEHYDE = Chem.CanonSmiles("CCOc1ccc(CC(=O)N(C)C)cc1C=O")  # an alert of BRENK that the seed does not have
INVALID = ["c1ccc", "", "C(C)(C)(C)(C)C", "CC[CH2]"]


def similarity(a: str, b: str) -> float:
    morgan = GetMorganGenerator(radius=2, fpSize=2048)
    return float(DataStructs.TanimotoSimilarity(*(morgan.GetFingerprint(Chem.MolFromSmiles(s)) for s in (a, b))))


def rewards(samples: list[str], noise_level: float, training_filter: BloomFilter | None = None) -> list[float]:
    with silence_rdkit():
        return reward_samples(SEED, samples, noise_level, training_filter).rewards


def test_reward_is_largest_at_the_expected_similarity() -> None:
    assert rewards([ANALOG], 1 - similarity(ANALOG, SEED)) == [pytest.approx(1)]
    less_noise, more_noise = rewards([ANALOG], 0.1)[0], rewards([ANALOG], 0.6)[0]
    assert VALID_REWARD < less_noise < 1
    assert VALID_REWARD < more_noise < 1
    assert rewards([DISSIMILAR], 0.2) == [VALID_REWARD]


def test_reward_of_invalid_smiles_is_zero() -> None:
    assert rewards(INVALID, 0.3) == [0, 0, 0, 0]


def test_reward_of_the_seed_falls_with_the_noise_level() -> None:
    assert rewards([SEED, "CN(C)C(=O)Cc1ccc(OCC)cc1"], 0.3) == [VALID_REWARD, VALID_REWARD]
    assert VALID_REWARD < rewards([SEED], 0.2)[0] < rewards([SEED], 0.05)[0] < 1


def test_all_valid_samples_get_the_same_reward_at_high_noise_levels() -> None:
    assert rewards([ANALOG, ANALOG, DISSIMILAR, SEED, ALDEHYDE, "C("], 0.9) == [1, 1, 1, 1, 1, 0]


def test_duplicates_share_the_reward() -> None:
    noise_level = 1 - similarity(ANALOG, SEED)
    bonus = rewards([ANALOG], noise_level)[0] - VALID_REWARD
    expected = pytest.approx(VALID_REWARD + bonus / 2)
    assert rewards([ANALOG, "CNC(=O)Cc1ccc(OCC)cc1"], noise_level) == [expected, expected]


def test_training_molecules_and_new_alerts_reduce_the_reward() -> None:
    noise_level = 1 - similarity(ANALOG, SEED)
    bonus = rewards([ANALOG], noise_level)[0] - VALID_REWARD
    known, unknown = (rewards([ANALOG], noise_level, BloomFilter.from_smiles([s]))[0] for s in (ANALOG, DISSIMILAR))
    assert known == pytest.approx(VALID_REWARD + KNOWN_FACTOR * bonus)
    assert unknown == pytest.approx(VALID_REWARD + bonus)
    with_alert = rewards([ALDEHYDE], 1 - similarity(ALDEHYDE, SEED))[0]
    assert with_alert == pytest.approx(VALID_REWARD + LOW_QUALITY_FACTOR * (1 - VALID_REWARD))


def test_implausible_molecules_get_a_small_reward() -> None:
    acyl_chloride = Chem.CanonSmiles("CCOc1ccc(CC(=O)Cl)cc1")
    low_quality = LOW_QUALITY_FACTOR  # it is an alert of BRENK, too
    reward = rewards([acyl_chloride], 1 - similarity(acyl_chloride, SEED))[0]
    assert reward == pytest.approx(VALID_REWARD + IMPLAUSIBLE_FACTOR * low_quality * (1 - VALID_REWARD))


def test_isomers_share_the_reward_and_those_of_the_seed_get_none() -> None:
    def reward(*samples: str) -> list[float]:
        with silence_rdkit():
            return reward_samples(seed, [*map(Chem.CanonSmiles, samples)], 0.4).rewards

    seed = Chem.CanonSmiles("C[C@H](O)Cc1ccc(F)cc1")
    assert reward("C[C@@H](O)Cc1ccc(F)cc1", "CC(O)Cc1ccc(F)cc1") == [VALID_REWARD] * 2
    ketone, enol = "CC(O)Cc1ccc(O)nc1", "CC(O)Cc1ccc(=O)[nH]c1"
    alone, together = reward(ketone)[0] - VALID_REWARD, reward(ketone, enol)
    assert alone > 0
    assert together[0] == pytest.approx(VALID_REWARD + alone / 2)


def test_inverted_stereocenters_reduce_the_reward() -> None:
    seed = Chem.CanonSmiles("C[C@H](NC(=O)c1ccccc1)C(=O)OC")
    kept, inverted = (
        Chem.CanonSmiles(f"C[{center}](NC(=O)c1ccc(F)cc1)C(=O)OC") for center in ("C@H", "C@@H")
    )  # fmt: skip
    with silence_rdkit():
        values = [reward_samples(seed, [smiles], 0.3).rewards[0] - VALID_REWARD for smiles in (kept, inverted)]
    assert values[1] == pytest.approx(INVERTED_FACTOR * values[0])
    assert values[0] > 0


def test_statistics_of_samples() -> None:
    with silence_rdkit():
        result = reward_samples(SEED, [ANALOG, ANALOG, SEED, "C(", ALDEHYDE], 0.3)
    assert (result.valid, result.identical, result.distinct) == pytest.approx((0.8, 0.2, 0.4))
    assert result.similarities == pytest.approx([similarity(ANALOG, SEED)] * 2 + [similarity(ALDEHYDE, SEED)])
    assert result.high_quality == [True, True, False]
    assert result.plausible == [True, True, True]


def test_advantage_is_relative_to_the_mean_of_the_other_samples() -> None:
    values = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    for row, row_advantages in zip(values, advantages(values), strict=True):
        for i, value in enumerate(row):
            others = torch.cat([row[:i], row[i + 1 :]])
            assert float(row_advantages[i]) == pytest.approx(float(value - others.mean()) / 0.3, abs=1e-5)
    assert advantages(torch.ones(2, 1)).tolist() == [[0], [0]]


@pytest.mark.parametrize("decoder", ["gru", "transformer"])
def test_policy_gradient_increases_the_rewards(decoder: str) -> None:
    model, config, vocabulary = trained("gaussian", decoder, steps=60)
    data = PackedGraphs.from_graphs(featurize(SMALL), vocabulary)
    policy_gradient = PolicyGradient(
        vocabulary, config.max_length, n_seeds=len(SMALL), samples_per_seed=8, temperature=1.0
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=3e-3)
    rows, history = torch.arange(len(SMALL)), []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()
        for _ in range(30):
            loss, metrics = policy_gradient(model, data, rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append((metrics["reward"], metrics["valid"]))
    first, last = np.mean(history[:5], 0), np.mean(history[-5:], 0)
    assert last[0] > first[0] + 0.04, (first, last)
    assert last[1] > first[1] + 0.1, (first, last)
    after = model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert all(name.startswith("decoder.") for name in changed), "running statistics of the encoder are unchanged"
    assert all(part.training for part in model.modules()), "the training mode is restored"


def test_random_numbers_come_from_torch() -> None:
    model, config, vocabulary = trained("deterministic", "gru", steps=2)
    data, rows = PackedGraphs.from_graphs(featurize(SMALL), vocabulary), torch.arange(4)
    policy_gradient = PolicyGradient(vocabulary, config.max_length, samples_per_seed=3)
    losses = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            losses.append(float(policy_gradient(model, data, rows)[0].detach()))
    assert losses[0] == losses[1] != losses[2]


def test_samples_without_a_route_get_a_smaller_reward():
    """An amide of two common building blocks has a route, a tricyclic alkane has none."""
    seed, amide, alkane = "CC(=O)NCc1ccccc1", "O=C(NCc1ccccc1)C1CC1", "CC12CC3CC1CC(C2)C3CCC"
    plain, with_routes = (
        reward_samples(seed, [amide, alkane], 0.5, no_route_factor=factor).rewards for factor in (1.0, 0.2)
    )
    assert with_routes[0] == plain[0] > VALID_REWARD
    assert plain[1] > VALID_REWARD
    assert with_routes[1] - VALID_REWARD == pytest.approx(0.2 * (plain[1] - VALID_REWARD))
