"""One run from its start to its end, on the drugs of tests/molecules.py."""

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


def test_schedules_are_those_of_the_settings(tmp_path: Path) -> None:
    run_tiny(tmp_path, max_steps=20, kl_weight=0.5, kl_delay_steps=4, kl_warmup_steps=8, decay_fraction=0.5)
    weights = column(tmp_path, "train/kl_weight")
    assert (weights[4], weights[8], weights[12], weights[-1]) == (0.0, 0.25, 0.5, 0.5)
    rates = column(tmp_path, "train/learning_rate")
    assert max(rates) == pytest.approx(5e-3)
    assert rates[-1] == pytest.approx(5e-4)


def test_cycles_follow_the_run(tmp_path: Path) -> None:
    run_tiny(tmp_path, max_steps=16, kl_weight=0.5, kl_cycles=2)
    assert column(tmp_path, "train/kl_weight") == pytest.approx(2 * [0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5])


def test_matching_the_prior_matches_it(tmp_path: Path) -> None:
    """A Wasserstein autoencoder: the discrepancy is logged, weighed in, and falls."""
    options = {"max_steps": 60, "noise_prob": 0.0, "validate_every": 60, "kl_weight": 0.0, "batch_size": 40}
    run_tiny(tmp_path, model={"latent": "hypersphere"}, mmd_weight=300.0, **options)
    found = column(tmp_path, "train/mmd")
    assert np.mean(found[-10:]) < 0.5 * np.mean(found[:5])
    parts = zip(column(tmp_path, "train/reconstruction"), found, column(tmp_path, "train/loss"), strict=True)
    assert all(loss == pytest.approx(rec + 300 * mmd, rel=1e-3) for rec, mmd, loss in parts)
    assert len(column(tmp_path, "valid/mmd")) == 1


def test_denoising_trains(tmp_path: Path) -> None:
    """The noise is in training alone: a validation of the same rows is better."""
    options = {"max_steps": 120, "noise_prob": 0.0, "validate_every": 120}
    run_tiny(tmp_path, model={"latent": "deterministic"}, latent_noise=0.5, mask_prob=0.2, **options)
    losses = column(tmp_path, "train/reconstruction")
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert column(tmp_path, "train/mmd") == []
    assert column(tmp_path, "valid/reconstruction")[-1] < np.mean(losses[-10:])


def test_moved_latents_are_decoded_to_neighbors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row i's only neighbor is row i + 1: where a latent is moved its SMILES is the target, and its distance told."""
    data, _ = packed_drugs()
    near = Neighbors(
        (torch.arange(len(data), dtype=torch.int32)[:, None] + 1) % len(data),
        torch.full((len(data), 1), 0.75, dtype=torch.float16),
    )
    asked: list[tuple[GraphBatch, torch.Tensor]] = []
    losses = Autoencoder.losses

    def spied(model: Autoencoder, batch: GraphBatch, noise_level: torch.Tensor, *a: Any, **b: Any) -> Any:
        if model.training:
            asked.append((batch, noise_level))
        return losses(model, batch, noise_level, *a, **b)

    monkeypatch.setattr(Autoencoder, "losses", spied)
    run_tiny(tmp_path, max_steps=4, noise_prob=0.5, neighbors=near)
    order = RowSampler(len(data), SETTINGS["batch_size"], random_state=0)
    moved = 0
    for step, (batch, noise_level) in enumerate(asked):
        rows = order.rows(step)
        assert torch.equal(batch.x, data.gather(rows).x), "what is read stays"
        expected = data.gather_tokens(torch.where(noise_level > 0, (rows + 1) % len(data), rows))
        assert torch.equal(batch.tokens, expected)
        assert all(r in (0, 0.25) or r >= MAX_DISTANCE for r in noise_level.tolist())
        moved += int((noise_level == 0.25).sum())
    assert 5 < moved < 60
    assert column(tmp_path, "valid/denoising") == [], "no neighbors of validation molecules are known"


def test_latents_are_moved_as_far_as_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    losses = Autoencoder.losses

    def spied(model: Autoencoder, batch: GraphBatch, noise_level: torch.Tensor, *a: Any, **b: Any) -> Any:
        asked.extend(noise_level.tolist())
        return losses(model, batch, noise_level, *a, **b)

    monkeypatch.setattr(Autoencoder, "losses", spied)
    run_tiny(tmp_path, max_steps=8, batch_size=47, noise_prob=0.75, noise_min=0.5, noise_max=0.75)
    moved = [noise_level for noise_level in asked if noise_level]
    assert len(moved) / len(asked) == pytest.approx(0.75, abs=0.1)
    assert min(moved) >= 0.5
    assert max(moved) <= 0.75
    assert np.mean(moved) == pytest.approx(0.625, abs=0.02)


def test_long_molecules_come_more_often_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: dict[float, list[float]] = {0.0: [], 2.0: []}
    losses = Autoencoder.losses

    def spied(model: Autoencoder, batch: GraphBatch, *a: Any, **b: Any) -> Any:
        if model.training:
            lengths[power].append(float((batch.tokens != PAD_ID).sum(1).float().mean()))
        return losses(model, batch, *a, **b)

    monkeypatch.setattr(Autoencoder, "losses", spied)
    for power in lengths:
        run_tiny(tmp_path / str(power), max_steps=6, batch_size=47, length_weight_exponent=power)
    symbols = packed_drugs()[0].token_start.diff().double()
    for power, found in lengths.items():
        expected = (symbols * symbols**power).sum() / (symbols**power).sum()
        assert np.mean(found) == pytest.approx(float(expected), rel=0.02)


def test_neighbors_of_other_data_are_rejected(tmp_path: Path) -> None:
    near = Neighbors(torch.full((3, 1), -1, dtype=torch.int32), torch.zeros(3, 1, dtype=torch.float16))
    with pytest.raises(InputError, match="neighbors of 3 molecules, but there are 47 to train on"):
        run_tiny(tmp_path, neighbors=near)


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_rounded_products_leave_no_trace_on_a_cpu(tmp_path: Path, precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    trained = run_tiny(tmp_path, max_steps=5, precision=precision)
    assert torch.get_float32_matmul_precision() == before
    assert {p.dtype for p in trained.model.parameters()} == {torch.float32}


def test_time_box_ends_in_time_with_the_rate_at_nothing(tmp_path: Path) -> None:
    """Also over two runs: the second finds the time used up."""
    begin = time.monotonic()
    trained = run_tiny(tmp_path, max_steps=10**6, max_minutes=0.05, validate_every=10**6)
    assert 2.5 < time.monotonic() - begin < 60, "steps without a box would take an hour"
    rates = column(tmp_path, "train/learning_rate")
    assert rates[-1] < 0.05 * max(rates)
    assert len(column(tmp_path, "valid/loss")) == 1, "validated at the end"
    again = run_tiny(tmp_path, max_steps=10**6, max_minutes=0.05, validate_every=10**6)
    assert (again.steps, again.minutes) == (trained.steps, trained.minutes)
    longer = run_tiny(tmp_path, max_steps=10**6, max_minutes=trained.minutes + 0.01, validate_every=10**6)
    assert trained.minutes < longer.minutes < trained.minutes + 0.1
    assert longer.steps > trained.steps


def test_stops_early_and_stays_stopped(tmp_path: Path) -> None:
    """A rate too small to learn anything from: the validation loss is flat from the start."""
    options = {"learning_rate": 1e-12, "patience": 2, "validate_every": 3, "max_steps": 200, "kl_weight": 0.0}
    trained = run_tiny(tmp_path, validation_metrics=lambda *_: {"exact": 0.0}, **options)
    assert trained.steps < 100
    assert run_tiny(tmp_path, **options).steps == trained.steps


def test_probe_is_asked_at_each_validation_and_logged(tmp_path: Path) -> None:
    asked = []

    def probe(model: Autoencoder, data: PackedGraphs) -> dict[str, float]:
        torch.rand(3)
        asked.append((model.training, len(data)))
        return {"exact": len(asked) / 10}

    trained = run_tiny(tmp_path, max_steps=25, validation_metrics=probe)
    assert asked == [(False, len(packed_drugs()[0]))] * 3
    assert column(tmp_path, "valid/exact") == pytest.approx([0.1, 0.2, 0.3])
    steps = [row["step"] for row in read_metrics(tmp_path / "metrics.csv") if "valid/exact" in row]
    assert steps == [9, 19, 24]
    assert trained.metrics["valid/exact"] == pytest.approx(0.3)


def test_starts_from_the_weights_of_another_model(tmp_path: Path) -> None:
    _, size = packed_drugs()
    source = Autoencoder.from_config(tiny_model(size, latent="deterministic"))
    options = {"learning_rate": 1e-12, "weight_decay": 0.0, "max_steps": 1}
    trained = run_tiny(tmp_path, init_from=source, **options)
    for name, value in source.named_parameters():
        assert torch.allclose(value, trained.model.get_parameter(name), atol=1e-9), name
    other = Autoencoder.from_config(tiny_model(size))
    other.encoder = other.latent = other.decoder = torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(InputError, match="no weight"):
        run_tiny(tmp_path / "other", init_from=other, max_steps=1)


def test_a_frozen_encoder_gives_the_same_latents_and_the_decoder_learns(tmp_path: Path) -> None:
    data, size = packed_drugs()
    source = Autoencoder.from_config(tiny_model(size))
    source.encode(data.gather(torch.arange(len(data))))  # so that it knows the spread of its latents
    trained = run_tiny(tmp_path, init_from=source, freeze_encoder=True, max_steps=12, validate_every=6)
    before, after = source.state_dict(), trained.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    assert all(weight.requires_grad for weight in trained.model.parameters()), "it may be trained further, whole"
    losses = column(tmp_path, "train/loss")
    assert losses[-1] < losses[0]


def test_a_new_encoder_cannot_stay_as_it_is(tmp_path: Path) -> None:
    point = Autoencoder.from_config(tiny_model(packed_drugs()[1], latent="deterministic"))
    for start in (None, point):
        with pytest.raises(InputError, match="has random weights and must be trained"):
            run_tiny(tmp_path, init_from=start, freeze_encoder=True, max_steps=1)


def test_a_practice_counts_as_the_settings_say(tmp_path: Path) -> None:
    asked: list[int] = []

    def practice(model: Autoencoder, data: PackedGraphs, rows: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        asked.append(len(data.gather(rows).tokens))
        return (model.decoder.embedding.weight - 1).square().sum(), {"noise": float(torch.rand(()))}

    run_tiny(tmp_path / "without", policy_gradient=practice, max_steps=3)
    assert not asked
    run_tiny(tmp_path / "with", policy_gradient=practice, rl_weight=1.0, max_steps=60, learning_rate=5e-2)
    assert asked == [SETTINGS["batch_size"]] * 60
    noise = column(tmp_path / "with", "train/rl_noise")
    assert len(set(noise)) == 60
    run_tiny(tmp_path / "again", policy_gradient=practice, rl_weight=1.0, max_steps=3)
    assert column(tmp_path / "again", "train/rl_noise") == noise[:3], "it has random numbers of its own"
    with pytest.raises(InputError, match="pass one"):
        run_tiny(tmp_path / "missing", rl_weight=1.0)


def test_what_is_practised_is_learned(tmp_path: Path) -> None:
    def practice(model: Autoencoder, *_: Any) -> tuple[torch.Tensor, dict[str, float]]:
        return (model.decoder.embedding.weight - 1).square().sum(), {}

    options = {"max_steps": 40, "learning_rate": 5e-2, "policy_gradient": practice}
    trained = {w: run_tiny(tmp_path / str(w), rl_weight=w, **options) for w in (0.0, 1.0)}
    off = {w: float((run.model.decoder.embedding.weight.detach() - 1).abs().mean()) for w, run in trained.items()}
    assert off[1.0] < 0.5 * off[0.0]


def test_process_is_left_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loggers = [logging.getLogger(name) for name in ("", "lightning.pytorch", "lightning.fabric")]

    def state() -> list[object]:
        levels = [logger.level for logger in loggers]
        return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), levels, list(warnings.filters)]

    before = state()
    run_tiny(tmp_path, max_steps=4, progress_bar=True)
    assert state() == before
    assert capfd.readouterr() == ("", ""), "no terminal, no progress"


def test_settings_say_how_to_repeat_the_run(tmp_path: Path) -> None:
    run_tiny(tmp_path, max_steps=1, data={"files": {"drugs.smi": "sha256:0"}})
    found = json.loads((tmp_path / "settings.json").read_text())
    assert found["model"]["encoder_dim"] == 16
    assert found["training"]["batch_size"] == 16
    assert found["data"] == {"files": {"drugs.smi": "sha256:0"}, "train_molecules": 47, "valid_molecules": 47}
    assert {"molvae", "torch", "python"} <= set(found["versions"])
    assert found["hardware"]["cpus"] >= 1


def test_clips_gradients_and_runs_in_bf16(tmp_path: Path) -> None:
    trained = run_tiny(tmp_path, max_steps=5, precision="bf16", gradient_clip=1e-9)
    assert {value.dtype for value in trained.model.parameters()} == {torch.float32}
    assert np.isfinite(column(tmp_path, "train/loss")).all()


def test_curves_are_drawn_where_matplotlib_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where it is not, the run is none the worse and the error names the extra."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run_tiny(tmp_path, max_steps=12)
    with pytest.raises(MissingExtraError, match=r"molvae\[plot\]"):
        draw_curves(tmp_path)
    assert not (tmp_path / "curves.png").exists()
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    assert draw_curves(tmp_path).stat().st_size > 10_000


def test_empty_data_is_rejected(tmp_path: Path) -> None:
    from molvae.training.config import TrainConfig
    from molvae.training.trainer import train_autoencoder

    data, size = packed_drugs()
    with pytest.raises(InputError, match="valid_molecules is 0"):
        train_autoencoder(tmp_path, data, data.select(torch.arange(0)), tiny_model(size), TrainConfig())
