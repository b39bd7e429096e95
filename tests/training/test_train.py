"""Whole training runs of a tiny model on the molecules of tests/molecules.py."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import SETTINGS, packed_drugs, run_tiny, tiny_model

from molvae.chem.tokenizer import PAD_ID
from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.data.neighbors import MAX_DISTANCE, Neighbors
from molvae.errors import InputError, MissingExtraError
from molvae.nn.autoencoder import Autoencoder
from molvae.training.batches import RowSampler
from molvae.training.curves import draw_curves, read_metrics


def column(folder: Path, name: str) -> list[float]:
    return [row[name] for row in read_metrics(folder / "metrics.csv") if name in row]


@pytest.mark.parametrize("latent", ["gaussian", "deterministic"])
def test_loss_falls(tmp_path: Path, latent: str) -> None:
    trained = run_tiny(tmp_path, model={"latent": latent}, max_steps=100, validate_every=50)
    losses = column(tmp_path, "train/loss")
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert trained.metrics["valid/loss"] == pytest.approx(column(tmp_path, "valid/loss")[-1])
    assert (trained.steps, trained.n_molecules) == (100, 1600)
    assert 0 < trained.batch_fraction < 1
    assert (max(column(tmp_path, "train/kl")) > 0) == (latent == "gaussian")


def test_schedules_of_learning_rate_and_kl_weight(tmp_path: Path) -> None:
    run_tiny(tmp_path, max_steps=20, kl_weight=0.5, kl_delay_steps=4, kl_warmup_steps=8, decay_fraction=0.5)
    weights = column(tmp_path, "train/kl_weight")
    assert (weights[4], weights[8], weights[12], weights[-1]) == (0.0, 0.25, 0.5, 0.5)
    rates = column(tmp_path, "train/learning_rate")
    assert max(rates) == pytest.approx(5e-3)
    assert rates[-1] == pytest.approx(5e-4)


def test_cyclical_kl_annealing(tmp_path: Path) -> None:
    run_tiny(tmp_path, max_steps=16, kl_weight=0.5, kl_cycles=2)
    assert column(tmp_path, "train/kl_weight") == pytest.approx(2 * [0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5])


def test_mmd_loss_falls(tmp_path: Path) -> None:
    """The discrepancy of a Wasserstein autoencoder is logged and part of the loss."""
    options = {"max_steps": 60, "noise_prob": 0.0, "validate_every": 60, "kl_weight": 0.0, "batch_size": 40}
    run_tiny(tmp_path, model={"latent": "hypersphere"}, mmd_weight=300.0, **options)
    found = column(tmp_path, "train/mmd")
    assert np.mean(found[-10:]) < 0.5 * np.mean(found[:5])
    parts = zip(column(tmp_path, "train/reconstruction"), found, column(tmp_path, "train/loss"), strict=True)
    assert all(loss == pytest.approx(reconstruction + 300 * mmd, rel=1e-3) for reconstruction, mmd, loss in parts)
    assert len(column(tmp_path, "valid/mmd")) == 1


def test_denoising_autoencoder(tmp_path: Path) -> None:
    """Inputs are masked and latents perturbed in training only: the validation loss of the same rows is smaller."""
    options = {"max_steps": 120, "noise_prob": 0.0, "validate_every": 120}
    run_tiny(tmp_path, model={"latent": "deterministic"}, latent_noise=0.5, mask_prob=0.2, **options)
    losses = column(tmp_path, "train/reconstruction")
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert column(tmp_path, "train/mmd") == []
    assert column(tmp_path, "valid/reconstruction")[-1] < np.mean(losses[-10:])


def test_targets_of_perturbed_latents_are_neighbors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only neighbor of row i is row i + 1; its distance, 0.25, replaces the noise level."""
    data, _ = packed_drugs()
    neighbors = Neighbors(
        (torch.arange(len(data), dtype=torch.int32)[:, None] + 1) % len(data),
        torch.full((len(data), 1), 0.75, dtype=torch.float16),
    )
    calls: list[tuple[GraphBatch, torch.Tensor]] = []
    losses = Autoencoder.losses

    def recorded(model: Autoencoder, batch: GraphBatch, noise_level: torch.Tensor, *a: Any, **b: Any) -> Any:
        if model.training:
            calls.append((batch, noise_level))
        return losses(model, batch, noise_level, *a, **b)

    monkeypatch.setattr(Autoencoder, "losses", recorded)
    run_tiny(tmp_path, max_steps=4, noise_prob=0.5, neighbors=neighbors)
    sampler = RowSampler(len(data), SETTINGS["batch_size"], random_state=0)
    n_perturbed = 0
    for step, (batch, noise_level) in enumerate(calls):
        rows = sampler.rows(step)
        assert torch.equal(batch.x, data.gather(rows).x), "the input does not change"
        expected = data.gather_tokens(torch.where(noise_level > 0, (rows + 1) % len(data), rows))
        assert torch.equal(batch.tokens, expected)
        assert all(r in (0, 0.25) or r >= MAX_DISTANCE for r in noise_level.tolist())
        n_perturbed += int((noise_level == 0.25).sum())
    assert 5 < n_perturbed < 60
    assert column(tmp_path, "valid/denoising") == [], "validation latents are not perturbed"


def test_distribution_of_noise_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    losses = Autoencoder.losses

    def recorded(model: Autoencoder, batch: GraphBatch, noise_level: torch.Tensor, *a: Any, **b: Any) -> Any:
        calls.extend(noise_level.tolist())
        return losses(model, batch, noise_level, *a, **b)

    monkeypatch.setattr(Autoencoder, "losses", recorded)
    run_tiny(tmp_path, max_steps=8, batch_size=47, noise_prob=0.75, noise_min=0.5, noise_max=0.75)
    perturbed = [noise_level for noise_level in calls if noise_level]
    assert len(perturbed) / len(calls) == pytest.approx(0.75, abs=0.1)
    assert min(perturbed) >= 0.5
    assert max(perturbed) <= 0.75
    assert np.mean(perturbed) == pytest.approx(0.625, abs=0.02)


def test_length_weight_exponent_favors_long_molecules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: dict[float, list[float]] = {0.0: [], 2.0: []}
    losses = Autoencoder.losses

    def recorded(model: Autoencoder, batch: GraphBatch, *a: Any, **b: Any) -> Any:
        if model.training:
            lengths[exponent].append(float((batch.tokens != PAD_ID).sum(1).float().mean()))
        return losses(model, batch, *a, **b)

    monkeypatch.setattr(Autoencoder, "losses", recorded)
    for exponent in lengths:
        run_tiny(tmp_path / str(exponent), max_steps=6, batch_size=47, length_weight_exponent=exponent)
    n_tokens = packed_drugs()[0].token_start.diff().double()
    for exponent, found in lengths.items():
        expected = (n_tokens * n_tokens**exponent).sum() / (n_tokens**exponent).sum()
        assert np.mean(found) == pytest.approx(float(expected), rel=0.02)


def test_neighbors_of_other_data(tmp_path: Path) -> None:
    neighbors = Neighbors(torch.full((3, 1), -1, dtype=torch.int32), torch.zeros(3, 1, dtype=torch.float16))
    with pytest.raises(InputError, match="neighbors of 3 molecules, but there are 47 to train on"):
        run_tiny(tmp_path, neighbors=neighbors)


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_matmul_precision_is_restored(tmp_path: Path, precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    trained = run_tiny(tmp_path, max_steps=5, precision=precision)
    assert torch.get_float32_matmul_precision() == before
    assert {p.dtype for p in trained.model.parameters()} == {torch.float32}


def test_time_limit(tmp_path: Path) -> None:
    """The learning rate falls to 0 at the limit; a resumed run counts the time of the first one."""
    begin = time.monotonic()
    trained = run_tiny(tmp_path, max_steps=10**6, max_minutes=0.05, validate_every=10**6)
    assert 2.5 < time.monotonic() - begin < 60, "the steps would take an hour"
    rates = column(tmp_path, "train/learning_rate")
    assert rates[-1] < 0.05 * max(rates)
    assert len(column(tmp_path, "valid/loss")) == 1, "one validation, at the end"
    again = run_tiny(tmp_path, max_steps=10**6, max_minutes=0.05, validate_every=10**6)
    assert (again.steps, again.minutes) == (trained.steps, trained.minutes)
    longer = run_tiny(tmp_path, max_steps=10**6, max_minutes=trained.minutes + 0.01, validate_every=10**6)
    assert trained.minutes < longer.minutes < trained.minutes + 0.1
    assert longer.steps > trained.steps


def test_early_stopping(tmp_path: Path) -> None:
    """With a learning rate of almost 0 the validation loss does not improve; a stopped run is not resumed."""
    options = {"learning_rate": 1e-12, "patience": 2, "validate_every": 3, "max_steps": 200, "kl_weight": 0.0}
    trained = run_tiny(tmp_path, validation_metrics=lambda *_: {"exact": 0.0}, **options)
    assert trained.steps < 100
    assert run_tiny(tmp_path, **options).steps == trained.steps


def test_validation_metrics_are_logged(tmp_path: Path) -> None:
    calls = []

    def probe(model: Autoencoder, data: PackedGraphs) -> dict[str, float]:
        torch.rand(3)
        calls.append((model.training, len(data)))
        return {"exact": len(calls) / 10}

    trained = run_tiny(tmp_path, max_steps=25, validation_metrics=probe)
    assert calls == [(False, len(packed_drugs()[0]))] * 3
    assert column(tmp_path, "valid/exact") == pytest.approx([0.1, 0.2, 0.3])
    steps = [row["step"] for row in read_metrics(tmp_path / "metrics.csv") if "valid/exact" in row]
    assert steps == [9, 19, 24]
    assert trained.metrics["valid/exact"] == pytest.approx(0.3)


def test_initial_weights_of_another_model(tmp_path: Path) -> None:
    _, size = packed_drugs()
    source = Autoencoder.from_config(tiny_model(size, latent="deterministic"))
    options = {"learning_rate": 1e-12, "weight_decay": 0.0, "max_steps": 1}
    trained = run_tiny(tmp_path, init_from=source, **options)
    for name, value in source.named_parameters():
        assert torch.allclose(value, trained.model.get_parameter(name), atol=1e-9), name
    other = Autoencoder.from_config(tiny_model(size))
    other.encoder = other.latent = other.decoder = torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(InputError, match="no weight of the initial model fits"):
        run_tiny(tmp_path / "other", init_from=other, max_steps=1)


def test_frozen_encoder(tmp_path: Path) -> None:
    data, size = packed_drugs()
    source = Autoencoder.from_config(tiny_model(size))
    source.encode(data.gather(torch.arange(len(data))))  # sets the running statistics of its latents
    trained = run_tiny(tmp_path, init_from=source, freeze_encoder=True, max_steps=12, validate_every=6)
    before, after = source.state_dict(), trained.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    assert all(weight.requires_grad for weight in trained.model.parameters()), "gradients are enabled again"
    losses = column(tmp_path, "train/loss")
    assert losses[-1] < losses[0]


def test_frozen_encoder_needs_initial_weights(tmp_path: Path) -> None:
    deterministic = Autoencoder.from_config(tiny_model(packed_drugs()[1], latent="deterministic"))
    for initial in (None, deterministic):
        with pytest.raises(InputError, match="has random weights and must be trained"):
            run_tiny(tmp_path, init_from=initial, freeze_encoder=True, max_steps=1)


def test_policy_gradient_loss_is_used_if_its_weight_is_positive(tmp_path: Path) -> None:
    calls: list[int] = []

    def policy_gradient(
        model: Autoencoder, data: PackedGraphs, rows: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        calls.append(len(data.gather(rows).tokens))
        return (model.decoder.embedding.weight - 1).square().sum(), {"noise": float(torch.rand(()))}

    run_tiny(tmp_path / "without", policy_gradient=policy_gradient, max_steps=3)
    assert not calls
    run_tiny(tmp_path / "with", policy_gradient=policy_gradient, rl_weight=1.0, max_steps=12, learning_rate=5e-2)
    assert calls == [SETTINGS["batch_size"]] * 12
    noise = column(tmp_path / "with", "train/rl_noise")
    assert len(set(noise)) == 12
    run_tiny(tmp_path / "again", policy_gradient=policy_gradient, rl_weight=1.0, max_steps=3)
    assert column(tmp_path / "again", "train/rl_noise") == noise[:3], "random numbers depend on the step only"
    with pytest.raises(InputError, match="policy_gradient"):
        run_tiny(tmp_path / "missing", rl_weight=1.0)


def test_policy_gradient_loss_is_minimized(tmp_path: Path) -> None:
    def policy_gradient(model: Autoencoder, *_: Any) -> tuple[torch.Tensor, dict[str, float]]:
        return (model.decoder.embedding.weight - 1).square().sum(), {}

    options = {"max_steps": 40, "learning_rate": 5e-2, "policy_gradient": policy_gradient}
    trained = {w: run_tiny(tmp_path / str(w), rl_weight=w, **options) for w in (0.0, 1.0)}
    distance = {w: float((run.model.decoder.embedding.weight.detach() - 1).abs().mean()) for w, run in trained.items()}
    assert distance[1.0] < 0.5 * distance[0.0]


def test_process_state_is_restored(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loggers = [logging.getLogger(name) for name in ("", "lightning.pytorch", "lightning.fabric")]

    def state() -> list[object]:
        levels = [logger.level for logger in loggers]
        return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), levels, list(warnings.filters)]

    before = state()
    run_tiny(tmp_path, max_steps=4, progress_bar=True)
    assert state() == before
    assert capfd.readouterr() == ("", ""), "no progress bar without a terminal"


def test_settings_file(tmp_path: Path) -> None:
    run_tiny(tmp_path, max_steps=1, data={"files": {"drugs.smi": "sha256:0"}})
    found = json.loads((tmp_path / "settings.json").read_text())
    assert found["model"]["encoder_dim"] == 16
    assert found["training"]["batch_size"] == 16
    assert found["data"] == {"files": {"drugs.smi": "sha256:0"}, "train_molecules": 47, "valid_molecules": 47}
    assert {"molvae", "torch", "python"} <= set(found["versions"])
    assert found["hardware"]["cpus"] >= 1


def test_bf16_with_gradient_clipping(tmp_path: Path) -> None:
    trained = run_tiny(tmp_path, max_steps=5, precision="bf16", gradient_clip=1e-9)
    assert {value.dtype for value in trained.model.parameters()} == {torch.float32}
    assert np.isfinite(column(tmp_path, "train/loss")).all()


def test_curves(tmp_path: Path, curves: None) -> None:  # noqa: ARG001
    pytest.importorskip("matplotlib")
    run_tiny(tmp_path, max_steps=12)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_run_without_matplotlib(
    tmp_path: Path,
    curves: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The run succeeds with one warning; drawing the curves raises an error that names the extra."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run_tiny(tmp_path, max_steps=12)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["curves.png is not drawn"]
    with pytest.raises(MissingExtraError, match=r"molvae\[plot\]"):
        draw_curves(tmp_path)
    assert not (tmp_path / "curves.png").exists()


def test_empty_data(tmp_path: Path) -> None:
    from molvae.training.config import TrainConfig
    from molvae.training.trainer import train_autoencoder

    data, size = packed_drugs()
    with pytest.raises(InputError, match="valid_molecules is 0"):
        train_autoencoder(tmp_path, data, data.select(torch.arange(0)), tiny_model(size), TrainConfig())
