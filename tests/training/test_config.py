"""TrainConfig: validation of its fields, and the schedules of a run."""

from __future__ import annotations

from dataclasses import fields

import pytest

from molvae.errors import InputError
from molvae.nn.config import ModelConfig
from molvae.training.config import TrainConfig, kl_weight_at, learning_rate_factor, run_progress


def test_json_round_trip() -> None:
    config = TrainConfig(batch_size=64, max_minutes=1.5, precision="bf16")
    assert TrainConfig.from_json(config.to_json()) == config


def test_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'learning_rate'"):
        TrainConfig.from_dict({"learning_rat": 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 1), ("max_steps", 0), ("validate_every", 0), ("noise_prob", 1.1), ("decay_fraction", -0.1),
        ("noise_min", 1.0), ("noise_max", 0.0), ("noise_max", 1.1),
        ("precision", "fp8"), ("kl_cycles", -1), ("mmd_weight", -1.0), ("latent_noise", 1.1), ("mask_prob", -0.1),
        ("random_state", -1), ("patience", -1), ("max_minutes", -1.0), ("learning_rate", 0.0),
    ],
)  # fmt: skip
def test_values_out_of_range(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        TrainConfig(**{name: value})  # type: ignore[arg-type]


def test_kl_weight_after_delay_and_warmup() -> None:
    config = TrainConfig(kl_weight=0.5, kl_delay_steps=100, kl_warmup_steps=200)
    assert [kl_weight_at(config, step, 0.3) for step in (0, 100, 200, 300, 9999)] == [0, 0, 0.25, 0.5, 0.5]
    assert kl_weight_at(config.replace(kl_delay_steps=0, kl_warmup_steps=0), 1, 0.0) == 0.5


def test_cyclical_kl_weight() -> None:
    """Four cycles, each rising in its first half; the full weight at the end of the run and beyond."""
    config = TrainConfig(kl_weight=0.5, kl_cycles=4)
    positions = (0.0, 0.0625, 0.125, 0.2, 0.25, 0.3125, 0.875, 0.99, 1.0, 1.01)
    found = [kl_weight_at(config, 0, position) for position in positions]
    assert found == pytest.approx([0, 0.25, 0.5, 0.5, 0, 0.25, 0.5, 0.5, 0.5, 0.5])


def test_learning_rate_schedule() -> None:
    config = TrainConfig(warmup_steps=10, decay_fraction=0.4)
    assert learning_rate_factor(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate_factor(config, 9, 0.1) == learning_rate_factor(config, 500, 0.6) == 1.0
    assert learning_rate_factor(config, 800, 0.8) == pytest.approx(0.5)
    assert learning_rate_factor(config, 1000, 1.0) == learning_rate_factor(config, 1001, 1.1) == 0.0
    assert learning_rate_factor(config.replace(decay_fraction=0.0), 999, 0.999) == 1.0


def test_progress_is_the_larger_of_steps_and_time() -> None:
    config = TrainConfig(max_steps=100, max_minutes=10)
    assert run_progress(config, 50, 2.0) == 0.5
    assert run_progress(config, 50, 8.0) == 0.8
    assert run_progress(config, 0, 8.0, reserved_minutes=2.0) == 1.0
    assert run_progress(config, 0, 2.5, reserved_minutes=60.0) == 0.5, "at most half of the time limit is reserved"
    assert run_progress(config.replace(max_minutes=0.0), 10, 1e9) == 0.1


def test_every_field_has_a_help_text() -> None:
    for config in (TrainConfig, ModelConfig):
        for field in fields(config):
            assert field.metadata["help"].endswith("."), field.name
