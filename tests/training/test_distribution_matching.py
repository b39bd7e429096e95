"""Distribution matching: rewards move the average properties of samples towards those of the training set."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors
from tiny_vae import SMALL, trained

from molvae.checkpoint import Checkpoint
from molvae.chem.smiles import silence_rdkit
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.nn.devices import single_threaded
from molvae.training import distribution_matching
from molvae.training.config import TrainConfig
from molvae.training.curves import read_metrics
from molvae.training.distribution_matching import MAX_REWARD, MIN_STD, PROPERTIES, REWARD_SCALE, DistributionMatching
from molvae.training.policy_gradient import PolicyGradient, reward_samples
from molvae.training.trainer import train_autoencoder

WINDOW = 400
"""Window of the running averages in these tests, in molecules; it is smaller so that it is filled quickly."""
RINGS = PROPERTIES.index("rings")
ALIPHATIC = ["CCO", "CCCN", "CC(C)CO", "CCCCCC"]
AROMATIC = [Chem.CanonSmiles(s) for s in ("c1ccccc1O", "c1ccc2ccccc2c1", "Cc1ccncc1", "c1ccc(-c2ccccc2)cc1")]


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution_matching, "WINDOW", WINDOW)


@pytest.fixture(scope="module")
def data() -> PackedGraphs:
    vocabulary = trained("gaussian", "gru", steps=1)[2]
    return PackedGraphs.from_graphs(featurize(SMALL), vocabulary)


@pytest.fixture
def matching(data: PackedGraphs) -> DistributionMatching:
    return DistributionMatching.from_training_set(data, trained("gaussian", "gru", steps=1)[2])


def rewards(matching: DistributionMatching, smiles: list[str]) -> np.ndarray:
    with silence_rdkit():
        return matching.rewards(smiles)


def test_targets_are_the_averages_of_the_training_set(matching: DistributionMatching) -> None:
    mols = [Chem.MolFromSmiles(smiles) for smiles in SMALL]
    tokens = matching.vocabulary.tokens
    for name, descriptor in (
        ("rings", rdMolDescriptors.CalcNumRings),
        ("mw", Descriptors.MolWt),
        ("tpsa", rdMolDescriptors.CalcTPSA),
    ):
        values = [descriptor(mol) for mol in mols]
        assert matching.mean[PROPERTIES.index(name)] == pytest.approx(np.mean(values))
        assert matching.std[PROPERTIES.index(name)] == pytest.approx(max(np.std(values), MIN_STD))
    oxygens = np.mean([Chem.MolToSmiles(mol).count("O") for mol in mols])
    assert matching.mean[len(PROPERTIES) + tokens.index("O")] == pytest.approx(oxygens)
    assert matching.std.min() == MIN_STD


def test_underrepresented_molecules_get_larger_rewards(matching: DistributionMatching) -> None:
    assert not rewards(matching, ALIPHATIC).any(), "no samples so far"
    for _ in range(100):
        rewards(matching, ALIPHATIC)
    after_aliphatic = rewards(matching, [*ALIPHATIC, *AROMATIC])
    assert after_aliphatic[len(ALIPHATIC) :].min() > after_aliphatic[: len(ALIPHATIC)].max()
    for _ in range(2 * WINDOW // len(AROMATIC)):
        rewards(matching, AROMATIC)
    after_aromatic = rewards(matching, [*ALIPHATIC, *AROMATIC])
    assert after_aromatic[len(ALIPHATIC) :].mean() < after_aromatic[: len(ALIPHATIC)].mean()
    assert abs(after_aromatic).max() <= MAX_REWARD


def test_rewards_are_the_gradient_of_the_squared_distance(matching: DistributionMatching) -> None:
    """Finite differences: by how much a small fraction of a molecule reduces half the squared distance of the averages.

    Rewards and finite differences agree up to a constant.
    """
    for _ in range(WINDOW // len(ALIPHATIC)):
        rewards(matching, [*ALIPHATIC, *AROMATIC[:1]])
    assert matching.n_samples == WINDOW
    matching.deviation *= 0.01  # far from the limits of the rewards
    deviation, smiles = matching.deviation.copy(), [*ALIPHATIC, *AROMATIC]
    computed = rewards(matching, smiles)
    fraction = 1e-9

    def distance(molecule: str) -> float:
        alone = DistributionMatching(matching.vocabulary, matching.mean, matching.std)
        rewards(alone, [molecule])  # the averages are now those of this molecule
        return 0.5 * float((((1 - fraction) * deviation + fraction * alone.deviation) ** 2).sum())

    before = 0.5 * float((deviation**2).sum())
    expected = np.array([before - distance(molecule) for molecule in smiles]) / fraction * REWARD_SCALE
    assert computed - computed.mean() == pytest.approx(expected - expected.mean(), rel=1e-3, abs=1e-5)


def test_mean_gap_vanishes_for_samples_of_the_training_set(matching: DistributionMatching, data: PackedGraphs) -> None:
    for _ in range(50):
        rewards(matching, ALIPHATIC)
    gap = matching.mean_gap()
    for _ in range(5 * WINDOW // len(SMALL)):
        rewards(matching, list(data.smiles(matching.vocabulary)))
    assert gap > 0.2 > 1e-2 > matching.mean_gap()


def test_only_samples_at_high_noise_levels_are_matched(matching: DistributionMatching) -> None:
    for _ in range(WINDOW // len(ALIPHATIC)):
        rewards(matching, ALIPHATIC)
    deviation = matching.deviation.copy()
    samples = [ALIPHATIC[0], AROMATIC[0], "C("]
    with silence_rdkit():
        assert reward_samples(SMALL[0], samples, 0.3, None, matching) == reward_samples(SMALL[0], samples, 0.3)
        assert np.array_equal(deviation, matching.deviation)
        common, rare, invalid = reward_samples(SMALL[0], samples, 0.9, None, matching).rewards
    assert 1 - MAX_REWARD <= common < 1 < rare <= 1 + MAX_REWARD
    assert invalid == 0
    with silence_rdkit():
        assert reward_samples(SMALL[0], ["C(", ")"], 0.9, None, matching).rewards == [0, 0]
    assert not np.array_equal(deviation, matching.deviation)


def test_policy_gradient_changes_the_average_number_of_rings(tiny_checkpoint: Checkpoint) -> None:
    """The average rises if the target is above the training set's, and falls if it is below."""
    model, vocabulary = deepcopy(tiny_checkpoint.model), tiny_checkpoint.vocabulary
    data = PackedGraphs.from_graphs(featurize(SMALL), vocabulary)
    rows = torch.arange(len(SMALL))
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    averages = {}
    for sign in (-1.0, 1.0):
        model.load_state_dict(initial)
        optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=5e-3)
        matching = DistributionMatching.from_training_set(data, vocabulary)
        matching.mean[RINGS] += sign * matching.std[RINGS]
        matching.std[np.arange(len(matching.std)) != RINGS] = 1e6  # the other features do not count
        matching.n_samples = WINDOW
        matching.deviation[RINGS] = -sign
        policy_gradient = PolicyGradient(
            vocabulary, tiny_checkpoint.config.max_length, n_seeds=15, samples_per_seed=8, temperature=1.0,
            noise_min=0.8, noise_max=1.0, distribution_matching=matching,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for _ in range(8):
                loss, metrics = policy_gradient(model, data, rows)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        assert metrics["mean_gap"] == matching.mean_gap()
        matching.n_samples = 1  # the average of the next samples alone
        policy_gradient(model, data, rows)
        averages[sign] = matching.deviation[RINGS] * matching.std[RINGS] + matching.mean[RINGS]
    assert averages[1.0] > averages[-1.0] + 0.3, averages


def test_resumed_run_continues_the_running_averages(tmp_path: Path, data: PackedGraphs) -> None:
    _, model_config, vocabulary = trained("gaussian", "gru", steps=1)

    def run(folder: Path, steps: int) -> dict[str, torch.Tensor]:
        """Train with new running averages."""
        policy_gradient = PolicyGradient(
            vocabulary, model_config.max_length, n_seeds=8, samples_per_seed=8, temperature=1.0,
            noise_min=0.8, noise_max=1.0,
            distribution_matching=DistributionMatching.from_training_set(data, vocabulary),
        )  # fmt: skip
        config = TrainConfig(batch_size=8, max_steps=steps, rl_weight=1.0, decay_fraction=0.0, precision="32")
        options = {"accelerator": "cpu", "devices": 1, "log_every": 1, "progress_bar": False}
        with single_threaded():  # the last digits of sums depend on the number of threads
            result = train_autoencoder(
                folder, data, data, model_config, config, policy_gradient=policy_gradient, **options
            )
        return result.model.state_dict()

    uninterrupted = run(tmp_path / "whole", 9)
    run(tmp_path / "resumed", 5)
    resumed = run(tmp_path / "resumed", 9)
    gaps = [column(tmp_path / name, "train/rl_mean_gap") for name in ("whole", "resumed")]
    assert gaps[0] == gaps[1]
    assert len(set(gaps[0])) > 4, "some samples are valid"
    assert all(torch.equal(value, resumed[name]) for name, value in uninterrupted.items())


def column(folder: Path, name: str) -> list[float]:
    return [row[name] for row in read_metrics(folder / "metrics.csv") if name in row]
