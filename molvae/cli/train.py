"""`molvae train`: `workflow.train_model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from molvae.cli import options


def _model(help: str, **more: Any) -> Any:
    return typer.Option(show_default=False, rich_help_panel="Shape of the model", help=help, **more)


def _training(help: str, **more: Any) -> Any:
    return typer.Option(show_default=False, rich_help_panel="Training", help=help, **more)


def _machine(help: str, **more: Any) -> Any:
    return typer.Option(rich_help_panel="Machine", help=help, **more)


def train(
    data: Annotated[
        list[str], typer.Argument(show_default=False, help="Files of molecules, or datasets: NAME, or NAME:SPLIT.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", show_default=False, help="The run's folder; an unfinished run in it goes on."),
    ],
    valid: Annotated[
        str | None, typer.Option(show_default=False, help="Validation data; else a share is split off.")
    ] = None,
    column: options.Column = None,
    standardize: options.Standardize = False,
    start: Annotated[
        str | None, typer.Option("--from", show_default=False, help="Start from this model's weights and vocabulary.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(show_default=False, help="The model's name. Default: the folder's.")
    ] = None,
    encoder: Annotated[str | None, _model("dmpnn (default), gine, gatv2 or gps.")] = None,
    encoder_dim: Annotated[int | None, _model("Channels of an atom's state.")] = None,
    encoder_layers: Annotated[int | None, _model("Message-passing layers.")] = None,
    pooling_heads: Annotated[int | None, _model("Attention heads that pool atoms into a molecule.")] = None,
    latent: Annotated[
        str | None, _model("gaussian (a VAE, default), deterministic (an autoencoder) or hypersphere.")
    ] = None,
    latent_dim: Annotated[int | None, _model("Dimensions of z.")] = None,
    decoder: Annotated[str | None, _model("gru (default) or transformer.")] = None,
    decoder_dim: Annotated[int | None, _model("Channels of the decoder's state.")] = None,
    decoder_layers: Annotated[int | None, _model("Layers of the decoder.")] = None,
    bilinear_dim: Annotated[
        int | None, _model("Channels in which the decoder's state is multiplied with z; 0: none.", min=0)
    ] = None,
    max_length: Annotated[int | None, _model("The longest SMILES, in symbols.")] = None,
    dropout: Annotated[float | None, _model("Dropout.")] = None,
    batch_size: Annotated[int | None, _training("Molecules a step, over all devices.")] = None,
    max_steps: Annotated[int | None, _training("Optimizer steps.")] = None,
    max_minutes: Annotated[float | None, _training("Stop, annealed, after this long.")] = None,
    learning_rate: Annotated[float | None, _training("AdamW's peak.")] = None,
    kl_weight: Annotated[float | None, _training("What a nat of KL costs beside one of reconstruction.")] = None,
    kl_cycles: Annotated[int | None, _training("Let the KL weight rise from 0 this often, not once.")] = None,
    free_bits: Annotated[float | None, _training("Nats per latent dimension that cost nothing.")] = None,
    mmd_weight: Annotated[
        float | None, _training("What the discrepancy (MMD) of all latents from the prior costs.")
    ] = None,
    latent_noise: Annotated[
        float | None, _training("Radius of noise on every latent that the decoder is not told.")
    ] = None,
    mask_prob: Annotated[float | None, _training("Share of the input's atoms and bonds that are masked.")] = None,
    noise_prob: Annotated[float | None, _training("Share of molecules decoded from a perturbed latent.")] = None,
    noise_min: Annotated[float | None, _training("The least noise level that a latent is perturbed by.")] = None,
    noise_max: Annotated[float | None, _training("The largest.")] = None,
    rl_weight: Annotated[
        float | None, _training("What strings that the decoder writes itself count, by what they are worth.")
    ] = None,
    freeze_encoder: Annotated[
        bool | None, _training("Train the decoder alone: the latents of --from stay as they are.")
    ] = None,
    length_weight_exponent: Annotated[
        float | None, _training("Long molecules more often: as their symbols to this power.")
    ] = None,
    neighbors: Annotated[
        bool,
        typer.Option(
            "--neighbors/--no-neighbors",
            rich_help_panel="Training",
            help="Decode a perturbed latent to a similar molecule, the less similar the further it was moved.",
        ),
    ] = True,
    validate_every: Annotated[int | None, _training("Steps between validations.")] = None,
    patience: Annotated[int | None, _training("Stop after this many validations without gain; 0: never.")] = None,
    seed: Annotated[int | None, _training("Of weights, order and noise.", min=0)] = None,
    precision: Annotated[str | None, _training("auto, 32, tf32 (on a GPU) or bf16.")] = None,
    compile: Annotated[bool | None, _training("torch.compile the decoder.")] = None,
    accelerator: Annotated[str, _machine("auto, cpu or gpu.")] = "auto",
    devices: Annotated[str, _machine("How many, or which (0,2), or auto.")] = "auto",
    nodes: Annotated[int, _machine("Machines.", min=1)] = 1,
    strategy: Annotated[str, _machine("Lightning's strategy: auto, ddp ...")] = "auto",
    workers: Annotated[
        int | None, _machine("Processes that read molecules. Default: one per core.", show_default=False)
    ] = None,
) -> None:
    """Train a model on molecules, and write FOLDER/model for `--model`.

    The data is packed once into FOLDER/packed; every row is counted, and rejected ones are listed in
    FOLDER/rejected.csv. Run the same command again to go on after an interruption. In Python: `workflow.train_model`.
    """
    import sys

    from molvae.training.config import TrainConfig
    from molvae.training.train import Machine, train_model

    shape = _given(
        encoder=encoder, encoder_dim=encoder_dim, encoder_layers=encoder_layers,
        pooling_heads=pooling_heads, latent=latent, latent_dim=latent_dim, decoder=decoder,
        decoder_dim=decoder_dim, decoder_layers=decoder_layers, bilinear_dim=bilinear_dim,
        max_length=max_length, dropout=dropout,
    )  # fmt: skip
    settings = _given(
        batch_size=batch_size, max_steps=max_steps, max_minutes=max_minutes, learning_rate=learning_rate,
        kl_weight=kl_weight, kl_cycles=kl_cycles, free_bits=free_bits, mmd_weight=mmd_weight, latent_noise=latent_noise,
        mask_prob=mask_prob, noise_prob=noise_prob, noise_min=noise_min, noise_max=noise_max,
        rl_weight=rl_weight, freeze_encoder=freeze_encoder, length_weight_exponent=length_weight_exponent,
        validate_every=validate_every, patience=patience, random_state=seed, precision=precision, compile=compile,
    )  # fmt: skip
    folder = train_model(
        data, output, valid=valid, column=column, standardize=standardize, shape=shape,
        config=TrainConfig.from_dict(settings), neighbors=neighbors, start_from=start, name=name, workers=workers,
        machine=Machine(accelerator, devices, nodes, strategy),
        progress=sys.stderr.isatty(), tell=lambda text: typer.echo(text, err=True),
    )  # fmt: skip
    typer.echo(folder)


def _given(**settings: Any) -> dict[str, Any]:
    """The settings that the user named; the others keep the defaults of their dataclass."""
    return {key: value for key, value in settings.items() if value is not None}
