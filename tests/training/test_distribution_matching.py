"""Likeness: what brings averages nearer to those of the training set is worth more, and a decoder learns that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors
from tiny_vae import SMALL, trained

from molvae.chem.smiles import silence_rdkit
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.nn.devices import single_threaded
from molvae.training.config import TrainConfig
from molvae.training.curves import read_metrics
from molvae.training.distribution_matching import COMPARED, LARGEST, LEAST_SPREAD, PULL, Likeness
from molvae.training.policy_gradient import Practice, judge
from molvae.training.trainer import train_autoencoder

MEMORY = 400
"""Molecules that are remembered here: a twentieth, so that little has to be written."""
RINGS = COMPARED.index("rings")
ALIPHATIC = ["CCO", "CCCN", "CC(C)CO", "CCCCCC"]
AROMATIC = [Chem.CanonSmiles(s) for s in ("c1ccccc1O", "c1ccc2ccccc2c1", "Cc1ccncc1", "c1ccc(-c2ccccc2)cc1")]


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molvae.training.distribution_matching.REMEMBERED", MEMORY)


@pytest.fixture(scope="module")
def data() -> PackedGraphs:
    vocabulary = trained("gaussian", "gru", steps=1)[2]
    return PackedGraphs.from_graphs(featurize(SMALL), vocabulary)


@pytest.fixture
def likeness(data: PackedGraphs) -> Likeness:
    return Likeness.to(data, trained("gaussian", "gru", steps=1)[2])


def worth(likeness: Likeness, molecules: list[str]) -> np.ndarray:
    with silence_rdkit():
        return likeness.worth(molecules)


def test_wanted_are_the_averages_of_the_training_set(likeness: Likeness) -> None:
    molecules = [Chem.MolFromSmiles(smiles) for smiles in SMALL]
    symbols = likeness.vocabulary.tokens
    for name, reference in (
        ("rings", rdMolDescriptors.CalcNumRings),
        ("mw", Descriptors.MolWt),
        ("tpsa", rdMolDescriptors.CalcTPSA),
    ):
        found = [reference(molecule) for molecule in molecules]
        assert likeness.mean[COMPARED.index(name)] == pytest.approx(np.mean(found))
        assert likeness.spread[COMPARED.index(name)] == pytest.approx(max(np.std(found), LEAST_SPREAD))
    oxygens = np.mean([Chem.MolToSmiles(molecule).count("O") for molecule in molecules])
    assert likeness.mean[len(COMPARED) + symbols.index("O")] == pytest.approx(oxygens)
    assert likeness.spread.min() == LEAST_SPREAD


def test_what_is_missing_is_worth_more(likeness: Likeness) -> None:
    assert not worth(likeness, ALIPHATIC).any(), "nothing was written before"
    for _ in range(100):
        worth(likeness, ALIPHATIC)
    found = worth(likeness, [*ALIPHATIC, *AROMATIC])
    assert found[len(ALIPHATIC) :].min() > found[: len(ALIPHATIC)].max()
    for _ in range(2 * MEMORY // len(AROMATIC)):
        worth(likeness, AROMATIC)
    found = worth(likeness, [*ALIPHATIC, *AROMATIC])
    assert found[len(ALIPHATIC) :].mean() < found[: len(ALIPHATIC)].mean(), "by now there is enough of them"
    assert abs(found).max() <= LARGEST


def test_it_is_the_gradient_of_the_squared_distance_of_the_averages(likeness: Likeness) -> None:
    """A molecule's worth is what a little more of it takes from half of that, by brute force; up to a constant."""
    for _ in range(MEMORY // len(ALIPHATIC)):
        worth(likeness, [*ALIPHATIC, *AROMATIC[:1]])
    assert likeness.count == MEMORY
    likeness.off *= 0.01  # far from where values are cut
    off, more = likeness.off.copy(), [*ALIPHATIC, *AROMATIC]
    found = worth(likeness, more)
    share = 1e-9

    def distance(smiles: str) -> float:
        alone = Likeness(likeness.vocabulary, likeness.mean, likeness.spread)
        worth(alone, [smiles])  # its only one: the averages are its own
        return 0.5 * float((((1 - share) * off + share * alone.off) ** 2).sum())

    gained = np.array([0.5 * float((off**2).sum()) - distance(smiles) for smiles in more]) / share * PULL
    assert found - found.mean() == pytest.approx(gained - gained.mean(), rel=1e-3, abs=1e-5)


def test_the_gap_closes_on_the_training_set_itself(likeness: Likeness, data: PackedGraphs) -> None:
    for _ in range(50):
        worth(likeness, ALIPHATIC)
    apart = likeness.gap()
    for _ in range(5 * MEMORY // len(SMALL)):
        worth(likeness, list(data.smiles(likeness.vocabulary)))
    assert apart > 0.2 > 1e-2 > likeness.gap()


def test_it_counts_far_away_alone(likeness: Likeness) -> None:
    for _ in range(MEMORY // len(ALIPHATIC)):
        worth(likeness, ALIPHATIC)
    state = likeness.off.copy()
    strings = [ALIPHATIC[0], AROMATIC[0], "C("]
    with silence_rdkit():
        near = judge(SMALL[0], strings, 0.3, None, likeness)
        assert near == judge(SMALL[0], strings, 0.3)
        assert np.array_equal(state, likeness.off), "what is near was asked to be like its seed"
        poor, missing, none = judge(SMALL[0], strings, 0.9, None, likeness).values
    assert 1 - LARGEST <= poor < 1 < missing <= 1 + LARGEST
    assert none == 0
    with silence_rdkit():
        assert judge(SMALL[0], ["C(", ")"], 0.9, None, likeness).values == [0, 0]
    assert not np.array_equal(state, likeness.off)


def test_a_decoder_that_practises_comes_to_write_what_is_missing() -> None:
    """Its rings per molecule rise when the training set is said to have more of them, and fall when it has fewer."""
    model, config, vocabulary = trained("gaussian", "gru", steps=60)
    data = PackedGraphs.from_graphs(featurize(SMALL), vocabulary)
    rows = torch.arange(len(SMALL))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    found = {}
    for more in (-1.0, 1.0):
        model.load_state_dict(start)
        optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=1e-2)
        likeness = Likeness.to(data, vocabulary)
        likeness.mean[RINGS] += more * likeness.spread[RINGS]
        likeness.spread[np.arange(len(likeness.spread)) != RINGS] = 1e6  # the others are as good as any
        likeness.count = MEMORY
        likeness.off[RINGS] = -more
        practice = Practice(
            vocabulary, config.max_length, molecules=len(SMALL), strings=8, temperature=1.0,
            nearest=0.8, furthest=1.0, likeness=likeness,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for _ in range(30):
                loss, figures = practice(model, data, rows)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        assert figures["gap"] == likeness.gap()
        likeness.count = 1  # forgets: what it writes now
        practice(model, data, rows)
        found[more] = likeness.off[RINGS] * likeness.spread[RINGS] + likeness.mean[RINGS]
    assert found[1.0] > found[-1.0] + 0.1, found


def test_a_resumed_run_remembers_what_was_written(tmp_path: Path, data: PackedGraphs) -> None:
    _, shape, vocabulary = trained("gaussian", "gru", steps=1)

    def run(folder: Path, steps: int) -> dict[str, torch.Tensor]:
        """Each time with a likeness that was told nothing."""
        practice = Practice(
            vocabulary, shape.max_length, molecules=8, strings=8, temperature=1.0,
            nearest=0.8, furthest=1.0, likeness=Likeness.to(data, vocabulary),
        )  # fmt: skip
        config = TrainConfig(batch_size=8, max_steps=steps, rl_weight=1.0, decay_fraction=0.0, precision="32")
        options = {"accelerator": "cpu", "devices": 1, "log_every": 1, "progress_bar": False}
        with single_threaded():  # sums depend, in their last digit, on the number of threads
            return train_autoencoder(
                folder, data, data, shape, config, policy_gradient=practice, **options
            ).model.state_dict()

    whole = run(tmp_path / "whole", 12)
    run(tmp_path / "stopped", 7)
    resumed = run(tmp_path / "stopped", 12)
    gaps = [column(tmp_path / name, "train/rl_gap") for name in ("whole", "stopped")]
    assert gaps[0] == gaps[1]
    assert len(set(gaps[0])) > 6, "it writes molecules"
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def column(folder: Path, name: str) -> list[float]:
    return [row[name] for row in read_metrics(folder / "metrics.csv") if name in row]
