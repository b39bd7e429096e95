"""Learned priors of models: fitted, saved, loaded and sampled from, without changing the rest of the model."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae import checkpoint as checkpoints
from molvae.cli.app import app
from molvae.data.datasets import MoleculeSource
from molvae.data.json_files import signed
from molvae.data.rows import Record
from molvae.errors import CheckpointError, InputError
from molvae.generator import Generator
from molvae.nn.priors import PRIORS, MixturePrior, PriorConfig
from molvae.training import fit_prior as fit_prior_module
from molvae.training.fit_prior import fit_prior, sample_rows

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def molecules(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "small.smi"
    path.write_text("\n".join([*SMALL, "C1CC"]) + "\n")
    return path


@pytest.fixture(scope="module")
def learned(tiny_model, molecules, tmp_path_factory):
    """The tiny model with a learned mixture prior."""
    messages: list[str] = []
    folder = fit_prior(
        tiny_model, [molecules], tmp_path_factory.mktemp("models") / "learned", kind="mixture", noise_level=0.1,
        device="cpu", workers=0, log=messages.append,
    )  # fmt: skip
    assert f"{len(SMALL)}" in messages[0], "row counts"
    return folder


def sample(folder, **options):
    return Generator.load(folder, "cpu").sample(12, max_samples=300, **options)["smiles"].tolist()


@pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")
def test_learned_prior_is_the_default(tiny_model, learned):
    unit = sample(tiny_model)
    assert sample(learned, prior="unit") == unit == sample(tiny_model, prior="unit")
    assert sample(learned) == sample(learned, prior="learned") != unit


@pytest.mark.filterwarnings("ignore::molvae.errors.MolvaeWarning")
def test_samples_of_the_learned_prior_are_training_molecules(learned):
    """The tiny model has memorized its training set, and the noise level of the prior is small."""
    found = sample(learned, temperature=0.0)
    assert sum(smiles in SMALL for smiles in found[:6]) >= 4


def test_rest_of_the_model_is_unchanged(tiny_model, learned):
    before, after = checkpoints.load(tiny_model), checkpoints.load(learned)
    for name in ("name", "config", "defaults"):
        assert getattr(before, name) == getattr(after, name)
    for file in ("weights.safetensors", "vocabulary.json", "bloom_filter.npz"):
        assert (learned / file).read_bytes() == (tiny_model / file).read_bytes()
    assert set(after.card) - set(before.card) == {"Learned prior"}
    assert f"{len(SMALL)} encoded molecules" in after.card["Learned prior"]
    assert checkpoints.describe(after)["prior"]["noise_level"] == 0.1
    assert checkpoints.describe(before)["prior"] == "unit"


def test_scores_of_the_previous_learned_prior_are_removed_from_the_card(tiny_model, molecules, tmp_path):
    checkpoint = checkpoints.load(tiny_model)
    scores = {
        "exact": "0.9 of 10",
        "learned prior samples valid": "0.5 of 10",
        "distinct learned prior samples novel": "1",
    }
    before = dataclasses.replace(checkpoint, card={**checkpoint.card, "Evaluation": scores})
    checkpoints.save(before, tmp_path / "before")
    fit_prior(tmp_path / "before", [molecules], tmp_path / "after", device="cpu", workers=0)
    assert checkpoints.load(tmp_path / "after").card["Evaluation"] == {"exact": "0.9 of 10"}


@pytest.mark.parametrize("kind", PRIORS)
def test_fit_is_reproducible_also_in_place(kind, tiny_model, molecules, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_prior_module, "FLOW_STEPS", 3)
    options = {"kind": kind, "device": "cpu", "workers": 0}
    first = fit_prior(tiny_model, [molecules], tmp_path / "a", random_state=4, **options)
    again = fit_prior(first, [molecules], first, random_state=4, **options)
    other = fit_prior(first, [molecules], tmp_path / "b", random_state=5, **options)
    one, same, another = ((folder / "prior.safetensors").read_bytes() for folder in (first, again, other))
    assert one == same != another
    assert sample(first, temperature=0.0, prior="learned") == sample(again, temperature=0.0, prior="learned")


def test_saved_prior_is_loaded_in_half_precision(tiny_checkpoint, tmp_path):
    torch.manual_seed(0)
    prior = MixturePrior(PriorConfig(12, kind="mixture", components=2))
    for array in prior.state_dict().values():
        array.copy_(torch.rand_like(array))
    prior.weights /= prior.weights.sum()
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
        ({"kind": "spline"}, r"config\.json is damaged: kind must be one of"),
        ({"components": 3}, r"prior\.safetensors is damaged: tensor weights has the shape"),
    ],
)
def test_incompatible_or_damaged_prior(learned, tmp_path, changes, message):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in learned.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["prior"].update(changes)
    (folder / "config.json").write_text(json.dumps(signed(config)))
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(folder)


def test_damaged_prior_file(learned, tmp_path):
    folder = shutil.copytree(learned, tmp_path / "model")
    (folder / "prior.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"prior\.safetensors is damaged"):
        checkpoints.load(folder)


def test_rows_are_sampled_uniformly(molecules):
    source = MoleculeSource(molecules)
    all_rows = sample_rows([source], 1000, 0)
    assert [row.smiles for row in all_rows if isinstance(row, Record)] == [*SMALL, "C1CC"]
    counts = dict.fromkeys([*SMALL, "C1CC"], 0)
    for seed in range(300):
        for row in sample_rows([source], 10, seed):
            counts[row.smiles] += 1
    expected = 3000 / len(counts)
    assert all(0.6 * expected < count < 1.4 * expected for count in counts.values())
    with pytest.raises(InputError, match="1 or more, got 0"):
        sample_rows([source], 0, 0)


def test_output_folder_is_checked_first(tiny_model, molecules, tmp_path):
    (tmp_path / "notes.txt").touch()
    messages = list[str]()
    with pytest.raises(InputError, match=r"exists and does not contain config\.json"):
        fit_prior(tiny_model, [molecules], tmp_path, device="cpu", log=messages.append)
    assert messages == []


def test_errors_name_the_wrong_argument(tiny_model, molecules, tiny, tmp_path):
    with pytest.raises(InputError, match="no model 'nowhere'"):
        fit_prior("nowhere", [molecules], tmp_path / "x")
    with pytest.raises(InputError, match="'spline'"):
        fit_prior(tiny_model, [molecules], tmp_path / "x", kind="spline", device="cpu")
    with pytest.raises(InputError, match="'tiny' has no learned prior"):
        tiny.sample(3, prior="learned")
    with pytest.raises(InputError, match="'flat'"):
        tiny.sample(3, prior="flat")
    assert not (tmp_path / "x").exists()


def test_command_line(tiny_model, molecules, learned, tmp_path):
    """The command writes the same prior as the Python function; `sample` draws from both priors."""
    output = tmp_path / "model"
    arguments = ["fit-prior", tiny_model, molecules, "-o", output, "--noise-level", 0.1, "--workers", 0]
    done = CliRunner().invoke(app, list(map(str, [*arguments, "--kind", "mixture", "--device", "cpu"])))
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(output)
    assert (output / "prior.safetensors").read_bytes() == (learned / "prior.safetensors").read_bytes()
    command = ["sample", "-n", "5", "--model", str(output), "--device", "cpu"]
    first, second = (CliRunner().invoke(app, [*command, "--prior", prior]).stdout for prior in ("auto", "unit"))
    assert first != second
    unknown_prior = CliRunner().invoke(app, [*command, "--prior", "flat"])
    assert (unknown_prior.exit_code, "flat" in unknown_prior.stderr) == (2, True)
