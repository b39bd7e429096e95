"""A model gets a learned prior: fitted, saved, loaded, sampled from; everything else about it stays."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae import checkpoint as checkpoints
from molvae.cli.app import app
from molvae.data.datasets import MoleculeSource
from molvae.data.rows import Record
from molvae.errors import CheckpointError, InputError
from molvae.generator import Generator
from molvae.nn.priors import PRIORS, MixturePrior, PriorConfig
from molvae.training import fit_prior as priors
from molvae.training.fit_prior import _without_prior, drawn_rows, learn_prior

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def molecules(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "small.smi"
    path.write_text("\n".join([*SMALL, "C1CC"]) + "\n")
    return path


@pytest.fixture(scope="module")
def learned(tiny_model, molecules, tmp_path_factory):
    """The tiny model with a mixture."""
    told: list[str] = []
    folder = learn_prior(
        tiny_model, [molecules], tmp_path_factory.mktemp("models") / "learned", kind="mixture", noise_level=0.1,
        device="cpu", workers=0, tell=told.append,
    )  # fmt: skip
    assert f"{len(SMALL)}" in told[0], "every row is accounted for"
    return folder


def _smiles(folder, **options):
    return Generator.load(folder, "cpu").sample(12, max_samples=300, **options)["smiles"].tolist()


@pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")
def test_samples_come_from_it_unless_told_otherwise(tiny_model, learned):
    unit = _smiles(tiny_model)
    assert _smiles(learned, prior="unit") == unit == _smiles(tiny_model, prior="unit")
    assert _smiles(learned) == _smiles(learned, prior="learned") != unit


@pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")
def test_samples_of_a_learned_prior_are_what_was_learned(learned):
    """Thirty molecules known by heart, close around them: most samples are among them."""
    found = _smiles(learned, temperature=0.0)
    assert sum(smiles in SMALL for smiles in found[:6]) >= 4


def test_everything_else_stays(tiny_model, learned):
    before, after = checkpoints.load(tiny_model), checkpoints.load(learned)
    for name in ("name", "config", "defaults"):
        assert getattr(before, name) == getattr(after, name)
    for file in ("weights.safetensors", "vocabulary.json", "bloom_filter.npz"):
        assert (learned / file).read_bytes() == (tiny_model / file).read_bytes()
    assert set(after.card) - set(before.card) == {"Learned prior"}
    assert f"{len(SMALL)} encoded molecules" in after.card["Learned prior"]
    assert checkpoints.describe(after)["prior"]["noise_level"] == 0.1
    assert checkpoints.describe(before)["prior"] == "unit"


def test_the_card_loses_what_was_measured_of_another_prior(tiny_model, molecules, tmp_path):
    checkpoint = checkpoints.load(tiny_model)
    scores = {
        "exact": "0.9 of 10",
        "learned prior samples valid": "0.5 of 10",
        "distinct learned prior samples novel": "1",
    }
    before = dataclasses.replace(checkpoint, card={**checkpoint.card, "Scores": scores})
    checkpoints.save(before, tmp_path / "before")
    learn_prior(tmp_path / "before", [molecules], tmp_path / "after", device="cpu", workers=0)
    assert checkpoints.load(tmp_path / "after").card["Scores"] == {"exact": "0.9 of 10"}
    assert _without_prior({"Scores": {"learned prior samples valid": "0.5 of 10"}}) == {"Scores": {}}
    assert _without_prior({"data": "none"}) == {"data": "none"}


@pytest.mark.parametrize("kind", PRIORS)
def test_the_same_seed_gives_the_same_files_also_in_place(kind, tiny_model, molecules, tmp_path, monkeypatch):
    monkeypatch.setattr(priors, "FLOW_STEPS", 3)
    options = {"kind": kind, "device": "cpu", "workers": 0}
    first = learn_prior(tiny_model, [molecules], tmp_path / "a", seed=4, **options)
    again = learn_prior(first, [molecules], first, seed=4, **options)
    other = learn_prior(first, [molecules], tmp_path / "b", seed=5, **options)
    one, same, another = ((folder / "prior.safetensors").read_bytes() for folder in (first, again, other))
    assert one == same != another
    assert _smiles(first, temperature=0.0, prior="learned") == _smiles(again, temperature=0.0, prior="learned")


def test_a_prior_survives_being_saved(tiny_checkpoint, tmp_path):
    """In half precision."""
    torch.manual_seed(0)
    prior = MixturePrior(PriorConfig(12, kind="mixture", components=2))
    for array in prior.state_dict().values():
        array.copy_(torch.rand_like(array))
    folder = checkpoints.save(dataclasses.replace(tiny_checkpoint, prior=prior), tmp_path / "model")
    loaded = checkpoints.load(folder).prior
    assert loaded is not None
    assert loaded.config == prior.config
    noise = torch.randn(20, 13)
    torch.testing.assert_close(loaded.sample(noise), prior.sample(noise), rtol=2e-3, atol=5e-3)
    assert not any(array.requires_grad for array in loaded.state_dict().values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 13}, "the prior has 13 dimensions, the latent 12"),
        ({"kind": "vine"}, "kind of prior"),
        ({"components": 3}, "cannot load"),
    ],
)
def test_a_prior_that_does_not_fit_is_rejected(learned, tmp_path, changes, message):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in learned.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["prior"].update(changes)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(folder)
    (folder / "prior.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"prior\.safetensors is damaged"):
        checkpoints.load(folder)


def test_rows_are_drawn_each_as_likely(molecules):
    source = MoleculeSource(molecules)
    whole = drawn_rows([source], 1000, 0)
    assert [row.smiles for row in whole if isinstance(row, Record)] == [*SMALL, "C1CC"]
    counts = dict.fromkeys([*SMALL, "C1CC"], 0)
    for seed in range(300):
        for row in drawn_rows([source], 10, seed):
            counts[row.smiles] += 1
    expected = 3000 / len(counts)
    assert all(0.6 * expected < count < 1.4 * expected for count in counts.values())
    with pytest.raises(InputError, match="1 or more, got 0"):
        drawn_rows([source], 0, 0)


def test_a_place_for_it_is_looked_at_first(tiny_model, molecules, tmp_path):
    (tmp_path / "notes.txt").touch()
    told = list[str]()
    with pytest.raises(InputError, match=r"exists and has no config\.json in it"):
        learn_prior(tiny_model, [molecules], tmp_path, device="cpu", tell=told.append)
    assert told == []


def test_wrong_usage_is_named(tiny_model, molecules, tiny, tmp_path):
    with pytest.raises(InputError, match="no model 'nowhere'"):
        learn_prior("nowhere", [molecules], tmp_path / "x")
    with pytest.raises(InputError, match="kind of prior is one of mixture, flow; got 'vine'"):
        learn_prior(tiny_model, [molecules], tmp_path / "x", kind="vine", device="cpu")
    with pytest.raises(InputError, match="'tiny' has no learned prior: molvae fit-prior"):
        tiny.sample(3, prior="learned")
    with pytest.raises(InputError, match="prior is one of auto, unit, learned; got 'flat'"):
        tiny.sample(3, prior="flat")
    assert not (tmp_path / "x").exists()


def test_the_verb(tiny_model, molecules, learned, tmp_path):
    """The same files as from Python; then samples of both priors."""
    output = tmp_path / "model"
    arguments = ["fit-prior", tiny_model, molecules, "-o", output, "--noise-level", 0.1, "--workers", 0]
    done = CliRunner().invoke(app, list(map(str, [*arguments, "--kind", "mixture", "--device", "cpu"])))
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(output)
    assert (output / "prior.safetensors").read_bytes() == (learned / "prior.safetensors").read_bytes()
    given = ["sample", "-n", "5", "--model", str(output), "--device", "cpu"]
    first, second = (CliRunner().invoke(app, [*given, "--prior", prior]).stdout for prior in ("auto", "unit"))
    assert first != second
    wrong = CliRunner().invoke(app, [*given, "--prior", "flat"])
    assert (wrong.exit_code, "auto, unit, learned" in wrong.stderr) == (2, True)
