"""Hyperparameters of training, and the schedules of the learning rate and the KL weight."""

from __future__ import annotations

from dataclasses import dataclass, field

from molvae.data.json_files import check_limits, option
from molvae.errors import InputError
from molvae.nn.config import JsonConfig

PRECISIONS = ("auto", "32", "tf32", "bf16")
"""Floating-point precisions of a training run.

- "auto": bf16 on a GPU, 32 on a CPU.
- "32": float32. On a GPU, cuDNN may still use TF32 in the GRU unless it is disabled in torch.
- "tf32": inputs of matrix products are rounded to TF32 (10-bit mantissa) on a GPU; no effect on a CPU.
- "bf16": mixed precision with bfloat16 on a GPU; on a CPU only the inputs of matrix products are rounded.
"""


@dataclass(frozen=True)
class TrainConfig(JsonConfig):
    """Hyperparameters of a training run: everything except the data and the architecture.

    Each field's ``metadata`` holds its help text (``help``), its range (``min``, ``max``) and its
    values (``choices``); the options of ``molvae train`` are generated from them.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    batch_size: int = field(default=128, metadata=option("Molecules per optimizer step, over all devices.", min=2))
    max_steps: int = field(default=20_000, metadata=option("Optimizer steps.", min=1))
    max_minutes: float = field(
        default=0.0,
        metadata=option(
            "Time limit in minutes; the learning-rate schedule is shortened to end with it. 0: no limit.", min=0
        ),
    )
    learning_rate: float = field(default=1.5e-3, metadata=option("Peak learning rate of AdamW.", min=0))
    weight_decay: float = field(default=0.01, metadata=option("Weight decay of AdamW.", min=0))
    warmup_steps: int = field(
        default=500, metadata=option("Steps over which the learning rate rises linearly to its peak.", min=0)
    )
    decay_fraction: float = field(
        default=0.4,
        metadata=option(
            "Fraction of the run, at its end, over which the learning rate falls linearly to 0.", min=0, max=1
        ),
    )
    gradient_clip: float = field(
        default=1.0, metadata=option("Largest norm of the gradient; 0 disables clipping.", min=0)
    )
    kl_weight: float = field(
        default=0.003, metadata=option("Weight of the KL divergence in the loss (Gaussian latents only).", min=0)
    )
    kl_delay_steps: int = field(
        default=1_000, metadata=option("Steps at the start during which the KL weight is 0.", min=0)
    )
    kl_warmup_steps: int = field(
        default=3_000, metadata=option("Steps over which the KL weight then rises linearly.", min=0)
    )
    kl_cycles: int = field(
        default=0,
        metadata=option("Cycles of KL annealing over the run; 0: a single rise, after the delay.", min=0),
    )
    free_bits: float = field(
        default=0.0, metadata=option("KL divergence per latent dimension that is not penalized, in nats.", min=0)
    )
    mmd_weight: float = field(
        default=0.0,
        metadata=option(
            "Weight of the maximum mean discrepancy between latents and prior (a Wasserstein autoencoder).", min=0
        ),
    )
    latent_noise: float = field(
        default=0.0,
        metadata=option(
            "Noise level added to every latent without conditioning the decoder on it (a denoising autoencoder).",
            min=0,
            max=1,
        ),
    )
    mask_prob: float = field(
        default=0.0,
        metadata=option(
            "Probability that the features of an input atom or bond are masked (a denoising autoencoder).",
            min=0,
            max=1,
        ),
    )
    length_weight_exponent: float = field(
        default=0.0,
        metadata=option(
            "Sample molecules in proportion to (number of tokens) ** exponent; 0: uniformly; 1.6: favors long SMILES.",
            min=0,
        ),
    )
    noise_prob: float = field(
        default=0.5,
        metadata=option("Probability that a molecule's latent is perturbed before it is decoded.", min=0, max=1),
    )
    noise_min: float = field(default=0.0, metadata=option("Smallest noise level of that perturbation.", min=0, max=1))
    noise_max: float = field(default=1.0, metadata=option("Largest noise level of that perturbation.", min=0, max=1))
    rl_weight: float = field(default=0.0, metadata=option("Weight of the policy-gradient loss; 0 disables it.", min=0))
    rl_no_route_factor: float = field(
        default=1.0,
        metadata=option(
            "Factor of the reward of samples without a route of synthesis (see `molvae routes`); 1 searches no routes.",
            min=0, max=1,
        ),
    )  # fmt: skip
    freeze_encoder: bool = field(
        default=False, metadata=option("Train the decoder only; the latents of the initial model do not change.")
    )
    precision: str = field(default="auto", metadata=option("Floating-point precision.", choices=PRECISIONS))
    compile: bool = field(default=False, metadata=option("Compile the decoder with torch.compile."))
    validate_every: int = field(default=2_000, metadata=option("Steps between validations.", min=1))
    checkpoint_every: int = field(default=500, metadata=option("Steps between checkpoints.", min=1))
    patience: int = field(
        default=0,
        metadata=option("Stop after this many validations without improvement; 0 disables early stopping.", min=0),
    )
    random_state: int = field(
        default=0, metadata=option("Random seed of the initial weights, the order of the data and the noise.", min=0)
    )

    def __post_init__(self) -> None:
        check_limits(self)
        if self.learning_rate <= 0:
            raise InputError(f"learning_rate must be more than 0, got {self.learning_rate}")
        if self.noise_min >= self.noise_max:
            raise InputError(f"noise_min must be less than noise_max, got {self.noise_min} and {self.noise_max}")


def run_progress(config: TrainConfig, step: int, minutes: float, reserved_minutes: float = 0.0) -> float:
    """Completed fraction of a run: of its steps or of its time limit, whichever is larger.

    It exceeds 1 if the last step ended after the time limit. `reserved_minutes` of the time limit, at most half
    of it, are kept for the validation at the end.
    """
    time_limit = max(config.max_minutes - reserved_minutes, config.max_minutes / 2)
    return max(step / config.max_steps, minutes / time_limit if time_limit else 0.0)


def learning_rate_factor(config: TrainConfig, step: int, progress: float) -> float:
    """Learning rate as a fraction of its peak: linear warm-up, constant, linear decay to 0 at the end.

    `progress` is the completed fraction of the run (`run_progress`).
    """
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay = min(1.0, (1.0 - progress) / config.decay_fraction) if config.decay_fraction else 1.0
    return warmup * max(0.0, decay)


def kl_weight_at(config: TrainConfig, step: int, progress: float) -> float:
    """Weight of the KL divergence at a step: 0 during the delay, then a linear rise to ``config.kl_weight``.

    With ``kl_cycles`` the weight is annealed that many times over the run (`progress` from 0 to 1): in each cycle
    it rises during the first half and is constant during the second half [1]_.

    References
    ----------
    .. [1] Fu et al. (2019), "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing", NAACL.
    """
    if config.kl_cycles:
        position = config.kl_cycles * progress
        return config.kl_weight * (min(1.0, 2 * (position % 1)) if progress < 1 else 1.0)
    steps_after_delay = step - config.kl_delay_steps
    return config.kl_weight * min(1.0, max(0.0, steps_after_delay / max(1, config.kl_warmup_steps)))
