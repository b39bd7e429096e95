"""`molvae train`: models, resuming, options and usage errors."""

from __future__ import annotations

import csv
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae.checkpoint import load
from molvae.cli.app import app
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbors import Neighbors
from molvae.training.config import TrainConfig
from molvae.training.fit_prior import fit_prior
from molvae.training.policy_gradient import PolicyGradient
from molvae.training.train import HardwareConfig, train_model, with_likelihood_reference

pytestmark = pytest.mark.slow

MODEL_OPTIONS = ["--encoder-dim", 16, "--encoder-layers", 1, "--latent-dim", 8, "--decoder-dim", 24]
RUN_OPTIONS = [*MODEL_OPTIONS, "--batch-size", 8, "--max-steps", 4, "--workers", 1, "--accelerator", "cpu"]


@pytest.fixture
def data(tmp_path):
    """Thirty molecules, three duplicates, two invalid rows."""
    file = tmp_path / "data.smi"
    file.write_text("\n".join([*SMALL, "OCC", *SMALL[:2], "C1CC broken", "[2H]C labeled"]) + "\n")
    return file


def _run(*arguments, code=0):
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exit_code == code, result.stderr
    return result


def test_train_writes_model(data, tmp_path):
    result = _run(data, "-o", tmp_path / "run", *RUN_OPTIONS)
    assert result.stdout == f"{tmp_path / 'run' / 'model'}\n"
    assert "data: 35 read: 30 accepted, 3 duplicate, 2 invalid" in result.stderr
    (summary,) = [line for line in result.stderr.splitlines() if line.startswith("4 steps")]
    assert "0% of validation molecules are reconstructed exactly" in summary
    assert f"are valid. This model is not usable yet: train it for longer; the model is {tmp_path}" in summary
    model = load(tmp_path / "run" / "model")
    assert model.name == "run"
    assert model.config.encoder_dim == 16
    assert model.card["training"]["steps"] == 4
    assert model.card["rows"]["training molecules"] + model.card["rows"]["validation molecules"] == 30
    assert model.training_filter is not None
    assert len(model.training_filter) == model.card["rows"]["training molecules"]
    assert model.likelihood_reference is not None
    assert model.likelihood_reference.n_molecules == len(model.training_filter)
    with (tmp_path / "run" / "invalid_rows.csv").open() as file:
        rejected = list(csv.DictReader(file))
    assert [(row["row"], row["source"]) for row in rejected] == [("34", str(data)), ("35", str(data))]
    assert "ring 1 opened" in rejected[0]["reason"]
    result = CliRunner().invoke(app, ["reconstruct", "CCO", "--model", str(tmp_path / "run" / "model")])
    assert result.exit_code == 0
    result = CliRunner().invoke(app, ["anomaly", "CCO", "--model", str(tmp_path / "run" / "model")])
    assert result.stdout.splitlines()[0].endswith(",percentile")


def test_model_without_likelihood_reference(tiny_checkpoint):
    """There is no likelihood reference for too few molecules or a network that has diverged."""
    packed = PackedGraphs.from_graphs(featurize(SMALL), tiny_checkpoint.vocabulary)
    assert with_likelihood_reference(tiny_checkpoint, packed).likelihood_reference is not None
    assert with_likelihood_reference(tiny_checkpoint, packed.select(torch.arange(5))).likelihood_reference is None
    network = deepcopy(tiny_checkpoint.model)
    for weights in network.parameters():
        weights.data.fill_(torch.nan)
    assert with_likelihood_reference(replace(tiny_checkpoint, model=network), packed).likelihood_reference is None


def test_resume_with_packed_data(data, tmp_path):
    _run(data, "-o", tmp_path / "run", *RUN_OPTIONS)
    result = _run(data, "-o", tmp_path / "run", *RUN_OPTIONS, "--max-steps", 7)
    assert "using the packed data" in result.stderr
    assert load(tmp_path / "run" / "model").card["training"]["steps"] == 7
    changed = _run(data, "-o", tmp_path / "run", *RUN_OPTIONS, "--kl-weight", 0.5, code=1)
    assert "kl_weight 0.003 -> 0.5" in changed.stderr


def test_learned_prior_is_kept(data, tmp_path):
    _run(data, "-o", tmp_path / "run", *RUN_OPTIONS)
    model = tmp_path / "run" / "model"
    fit_prior(model, [data], model, device="cpu", workers=0)
    assert load(model).prior is not None
    _run(data, "-o", tmp_path / "run", *RUN_OPTIONS)
    assert load(model).prior is not None
    _run(data, "-o", tmp_path / "run", *RUN_OPTIONS, "--max-steps", 7)
    assert load(model).prior is None  # it was fitted to other weights


def test_other_validation_column_fails(data, tmp_path):
    table = tmp_path / "valid.csv"
    table.write_text("a,b\nCCO,CCC\nCCN,CCCC\n")
    _run(data, "-o", tmp_path / "run", "--valid", f"{table}:a", *RUN_OPTIONS)
    other = _run(data, "-o", tmp_path / "run", "--valid", f"{table}:b", *RUN_OPTIONS, code=1)
    assert "holds a run with other settings" in other.stderr


def test_other_data_fails(data, tmp_path):
    _run(data, "-o", tmp_path / "run", *RUN_OPTIONS)
    packed = tmp_path / "run" / "packed" / "train" / "packed.json"
    before = packed.read_bytes()
    data.write_text("\n".join(SMALL[:20]))
    assert "holds a run with other settings" in _run(data, "-o", tmp_path / "run", *RUN_OPTIONS, code=1).stderr
    assert packed.read_bytes() == before


def test_validation_file_and_model_options(data, tmp_path):
    (tmp_path / "valid.csv").write_text("smiles\nCCO\nCCN\n")
    _run(data, "-o", tmp_path / "run", "--valid", tmp_path / "valid.csv", *RUN_OPTIONS, "--latent", "deterministic",
         "--decoder", "transformer", "--encoder", "gatv2", "--name", "mine", "--noise-prob", 0)  # fmt: skip
    model = load(tmp_path / "run" / "model")
    assert (model.name, model.config.latent, model.config.decoder) == ("mine", "deterministic", "transformer")
    assert model.card["rows"]["validation molecules"] == 2
    assert not model.defaults.noise_conditioned


def test_init_from_model(data, tiny_model, tmp_path):
    """Configuration, vocabulary and initial weights are those of the given model."""
    _run(data, "-o", tmp_path / "run", "--init-from", tiny_model, *RUN_OPTIONS[8:], "--learning-rate", 1e-9)
    start, model = load(tiny_model), load(tmp_path / "run" / "model")
    assert model.config == start.config
    assert model.vocabulary.tokens == start.vocabulary.tokens
    before = start.model.decoder.output.weight
    assert (model.model.decoder.output.weight - before).abs().max() < 1e-3


def test_neighbors_are_computed_once(data, tmp_path):
    neighbors = tmp_path / "run" / "packed" / "neighbors.npz"
    assert "searching neighbors" in _run(data, "-o", tmp_path / "run", *RUN_OPTIONS).stderr
    assert len(Neighbors.load(neighbors)) == len(PackedGraphs.load(tmp_path / "run" / "packed" / "train"))
    assert "searching neighbors" not in _run(data, "-o", tmp_path / "run", *RUN_OPTIONS).stderr
    _run(data, "-o", tmp_path / "without", *RUN_OPTIONS, "--no-neighbor-targets")
    assert not (tmp_path / "without" / "packed" / "neighbors.npz").exists()
    changed = _run(data, "-o", tmp_path / "without", *RUN_OPTIONS, code=1)
    assert "neighbor_targets False -> True" in changed.stderr


def test_policy_gradient_with_frozen_encoder(data, tmp_path, monkeypatch):
    filter_sizes, compute_loss = [], PolicyGradient.__call__

    def recorded(policy_gradient, *arguments):
        filter_sizes.append(len(policy_gradient.training_filter))
        return compute_loss(policy_gradient, *arguments)

    monkeypatch.setattr(PolicyGradient, "__call__", recorded)
    _run(data, "-o", tmp_path / "first", *RUN_OPTIONS, "--no-neighbor-targets")
    start = tmp_path / "first" / "model"
    options = ("--rl-weight", 1, "--freeze-encoder", "--noise-prob", 0)
    result = _run(data, "-o", tmp_path / "run", *RUN_OPTIONS, "--init-from", start, *options)
    assert Path(result.stdout.strip()) == tmp_path / "run" / "model"
    assert filter_sizes == 4 * [len(load(start).training_filter)]
    before, after = (load_file(folder / "weights.safetensors") for folder in (start, tmp_path / "run" / "model"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in changed} == {"decoder"}
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["defaults"]["noise_conditioned"]
    rejected = _run(data, "-o", tmp_path / "new", *RUN_OPTIONS, "--freeze-encoder", code=2)
    assert "must be trained" in rejected.stderr


def test_settings_are_stored(data, tmp_path):
    _run(
        data,
        "-o",
        tmp_path / "run",
        *RUN_OPTIONS,
        "--random-seed",
        5,
        "--precision",
        "32",
        "--length-weight-exponent",
        1.5,
        "--noise-max",
        0.5,
    )
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert [settings["training"][name] for name in ("random_state", "length_weight_exponent", "noise_max")] == [
        5,
        1.5,
        0.5,
    ]
    assert settings["data"]["train_sha256"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.smi"], 2, "nowhere.smi"),
        (["drugliek"], 2, "did you mean 'druglike'"),
        (["FILE", "--encoder", "gin"], 2, "did you mean 'gine'"),
        (["FILE", "--batch-size", "1"], 2, "batch_size must be 2 or more"),
        (["FILE", "--accelerator", "tpu9"], 2, "--accelerator: must be auto, cpu"),
        (["FILE", "--strategy", "unknown"], 2, "cannot train on strategy unknown"),
        (["FILE", "--init-from", "nothing"], 2, "no model 'nothing'"),
        (["EMPTY"], 2, "is empty"),
        (["BAD"], 1, "no valid molecule in the data"),
        (["FEW"], 1, "too few to train on"),
    ],
)
def test_train_usage_errors(data, tmp_path, arguments, code, message):
    texts = {"EMPTY": "", "BAD": "C1CC\nC1C\n", "FEW": "CCO\nCCN\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.smi").write_text(text)
    arguments = [{"FILE": data, **{n: tmp_path / f"{n}.smi" for n in texts}}.get(a, a) for a in arguments]
    stderr = _run(*arguments, "-o", tmp_path / "run", "--workers", 1, code=code).stderr
    assert message in stderr.splitlines()[-1]
    assert stderr.splitlines()[-1].startswith("molvae: ")


def test_interrupt_raises_keyboard_interrupt(data, tmp_path, monkeypatch):
    """Lightning ends the process on Ctrl+C; a caller of the function gets KeyboardInterrupt."""

    def interrupted(*_, **__):
        raise SystemExit(1)

    monkeypatch.setattr("molvae.training.train.train_autoencoder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_model([data], tmp_path / "a", train_config=TrainConfig(), hardware=HardwareConfig("cpu"), workers=1)
    assert "molvae: interrupted" in _run(data, "-o", tmp_path / "b", *RUN_OPTIONS, code=130).stderr


def test_train_equals_python(data, tmp_path):
    messages: list[str] = []
    folder = train_model(
        [data], tmp_path / "run",
        model_config={"encoder_dim": 16, "encoder_layers": 1, "latent_dim": 8, "decoder_dim": 24},
        train_config=TrainConfig(batch_size=8, max_steps=4), workers=1, hardware=HardwareConfig("cpu"),
        log=messages.append,
    )  # fmt: skip
    _run(data, "-o", tmp_path / "cli", *RUN_OPTIONS)
    from_python, from_cli = load(folder), load(tmp_path / "cli" / "model")
    assert all((a == b).all() for a, b in zip(
        from_python.model.state_dict().values(), from_cli.model.state_dict().values(), strict=True
    ))  # fmt: skip
    assert messages
