"""How a model is trained, as data: saved in the run's folder, so that the run can be repeated."""

from __future__ import annotations

from dataclasses import dataclass

from molvae.errors import InputError
from molvae.nn.config import JsonConfig

NOT_NEGATIVE = (
    *("max_minutes", "weight_decay", "warmup_steps", "gradient_clip", "kl_weight", "kl_delay_steps"),
    *(
        "kl_warmup_steps",
        "kl_cycles",
        "free_bits",
        "mmd_weight",
        "rl_weight",
        "length_weight_exponent",
        "patience",
        "seed",
    ),
)


PRECISIONS = ("auto", "32", "tf32", "bf16")
"""auto is bf16 on a GPU, else 32. tf32 rounds the inputs of a GPU's matrix products to 10 bits (those of its GRU are
rounded so with 32, too, unless torch is told otherwise); bf16 rounds on a GPU whatever can be rounded, on a CPU matrix
products alone."""


@dataclass(frozen=True)
class TrainConfig(JsonConfig):
    """Everything but the data and the shape of the model."""

    batch_size: int = 128  # molecules a step, over all devices
    max_steps: int = 20_000  # optimizer steps
    max_minutes: float = 0.0  # stop, annealed, after this long however many steps that was; 0: no time box
    learning_rate: float = 1.5e-3  # AdamW's peak
    weight_decay: float = 0.01
    warmup_steps: int = 500  # the learning rate rises linearly over these
    decay_share: float = 0.4  # and falls linearly to 0 over this last share of the run
    gradient_clip: float = 1.0  # largest gradient norm; 0: no limit
    kl_weight: float = 0.003  # what a nat of KL costs beside a nat of reconstruction (Gaussian latent only)
    kl_delay_steps: int = 1_000  # plain autoencoder first
    kl_warmup_steps: int = 3_000  # then the KL weight rises linearly over these
    kl_cycles: int = 0  # instead of delay and one rise: rise from 0 this often over the run; 0: once, as above
    free_bits: float = 0.0  # nats per latent dimension that cost nothing
    mmd_weight: float = 0.0  # what the discrepancy of all latents from the prior costs (a Wasserstein autoencoder)
    latent_noise: float = 0.0  # noise level by which every latent is moved, the decoder not told (de-noising)
    corruption: float = 0.0  # share of the input's atoms and bonds that are masked (de-noising)
    length_weight_exponent: float = (
        0.0  # molecules come in proportion to their symbols to this power; 0: all alike, 1.6: trains the long
    )
    noise_prob: float = 0.5  # share of molecules decoded from a latent that is moved
    noise_min: float = 0.0  # by a noise level drawn from this
    noise_max: float = 1.0  # up to this: where a model draws its prior, or around seeds, is what it should see most
    rl_weight: float = 0.0  # what strings that the decoder writes itself count beside those it is given
    freeze_encoder: bool = False  # train the decoder alone: latents stay as they are
    precision: str = "auto"  # one of PRECISIONS
    compile: bool = False  # torch.compile the decoder (its GRU stays as it is)
    validate_every: int = 2_000  # steps between validations
    checkpoint_every: int = 500  # steps between checkpoints
    patience: int = 0  # stop after this many validations without improvement; 0: never
    seed: int = 0  # of the weights, the order of the data and the noise

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_steps", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.batch_size < 2:
            raise InputError("batch_size must be 2 or more: the latent is standardized over a batch")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise InputError(f"learning_rate must be more than 0, got {self.learning_rate}")
        for name in ("noise_prob", "noise_min", "noise_max", "decay_share", "latent_noise", "corruption"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must lie in 0 to 1, got {getattr(self, name)}")
        if self.noise_min >= self.noise_max:
            raise InputError(f"noise_min must be less than noise_max, got {self.noise_min} and {self.noise_max}")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is one of {', '.join(PRECISIONS)}; got {self.precision!r}")


def run_progress(config: TrainConfig, step: int, minutes: float, reserve: float = 0.0) -> float:
    """How far a run is, 0 to 1 (and beyond, by a step): in steps or in its time box, whichever is further.

    `reserve` minutes of the box, at most half of it, are kept for the validation at the end.
    """
    box = max(config.max_minutes - reserve, config.max_minutes / 2)
    return max(step / config.max_steps, minutes / box if box else 0.0)


def rate_factor(config: TrainConfig, step: int, progress: float) -> float:
    """The learning rate as a share of its peak: linear warm-up, constant, linear decay at the end.

    `progress` is how far the run is (`run_progress`).
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay = min(1.0, (1.0 - progress) / config.decay_share) if config.decay_share else 1.0
    return warm * max(0.0, decay)


def kl_weight_at(config: TrainConfig, step: int, progress: float) -> float:
    """The KL weight at a step: 0 during the delay, then a linear rise to its value.

    With `kl_cycles`, that many times over the run (`progress` 0 to 1): up in the first half of a cycle, there in the
    second (Fu et al. 2019, "Cyclical annealing schedule").
    """
    if config.kl_cycles:
        done = config.kl_cycles * progress
        return config.kl_weight * (min(1.0, 2 * (done % 1)) if progress < 1 else 1.0)
    since = step - config.kl_delay_steps
    return config.kl_weight * min(1.0, max(0.0, since / max(1, config.kl_warmup_steps)))
