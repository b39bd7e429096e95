"""`molvae train`: train a model on molecules (`molvae.train_model`).

The options for the model and for training are generated from the fields of `ModelConfig` and `TrainConfig`: name, type,
default and help text are defined there once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from molvae.cli import checks, options
from molvae.cli.usage import one_of

HARDWARE = "Hardware"


def train(
    data: Annotated[
        list[str],
        typer.Argument(show_default=False, help="Files of molecules, or datasets as NAME or NAME:SPLIT."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", show_default=False, help="Run folder; an unfinished run in it is resumed."),
    ],
    valid: Annotated[
        str | None, typer.Option(show_default=False, help="Validation set. Default: a part of the data.")
    ] = None,
    column: options.Column = None,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    init_from: Annotated[
        str | None,
        typer.Option(
            callback=checks.model_name, show_default=False, help="Start from the weights and vocabulary of this model."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(show_default=False, help="Name of the model. Default: the name of the folder.")
    ] = None,
    neighbor_targets: Annotated[
        bool,
        typer.Option(
            "--neighbor-targets/--no-neighbor-targets",
            help="Decode a noisy latent to a similar training molecule, less similar for more noise.",
        ),
    ] = True,
    device: Annotated[
        str,
        typer.Option(
            rich_help_panel=HARDWARE,
            callback=checks.device_name,
            help="The device to train on: cpu, cuda, cuda:1 ..., or auto (every GPU, or else the CPU).",
        ),
    ] = "auto",
    accelerator: Annotated[
        str,
        typer.Option(
            rich_help_panel=HARDWARE,
            callback=one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
            help="For several devices, with --devices: auto, cpu or gpu.",
        ),
    ] = "auto",
    devices: Annotated[
        str, typer.Option(rich_help_panel=HARDWARE, help="Number of devices, their indices (0,2), or auto.")
    ] = "auto",
    nodes: Annotated[int, typer.Option(rich_help_panel=HARDWARE, min=1, help="Number of machines.")] = 1,
    strategy: Annotated[str, typer.Option(rich_help_panel=HARDWARE, help="Lightning strategy: auto, ddp ...")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            rich_help_panel=HARDWARE,
            show_default=False,
            help="Worker processes that read molecules. Default: one per core.",
        ),
    ] = None,
    **config: Any,
) -> None:
    """Train a model on molecules and write it to FOLDER/model.

    Molecules are converted to graphs once, into FOLDER/packed; invalid rows are listed in FOLDER/invalid_rows.csv. The
    same command resumes an interrupted run. In Python: `molvae.train_model`.
    """
    import sys

    from molvae.data.files import check_run_folder
    from molvae.errors import InputError
    from molvae.nn.config import ModelConfig
    from molvae.training.config import TrainConfig

    chosen = {key: value for key, value in config.items() if value is not None}
    model_config = {key: chosen[key] for key in _field_names(ModelConfig) if key in chosen}
    train_config = {key: chosen[key] for key in _field_names(TrainConfig) if key in chosen}
    if "random_seed" in chosen:
        train_config["random_state"] = chosen["random_seed"]
    training = TrainConfig.from_dict(train_config)
    if init_from is None:
        ModelConfig.from_dict({"vocab_size": 3, **model_config})  # replaced when the data is known
    check_run_folder(output)
    checks.check_datasets(data, column)
    checks.check_datasets([valid] if valid else [], column, "--valid")
    spread = (accelerator, devices, nodes, strategy) != ("auto", "auto", 1, "auto")
    if spread and device != "auto":
        raise InputError(
            f"--device {device} is one device: leave it out, or --accelerator, --devices, --nodes and --strategy"
        )
    from molvae.training.train import HardwareConfig, train_model

    folder = train_model(
        data, output, valid=valid, column=column, standardize=standardize, keep_salts=keep_salts,
        model_config=model_config, train_config=training, neighbor_targets=neighbor_targets, init_from=init_from,
        name=name, workers=workers, device=device,
        hardware=HardwareConfig(accelerator, devices, nodes, strategy) if spread else None,
        progress_bar=sys.stderr.isatty(), log=lambda text: typer.echo(text, err=True),
    )  # fmt: skip
    typer.echo(folder)


def _field_names(config: type) -> Iterable[str]:
    import dataclasses

    return [field.name for field in dataclasses.fields(config)]


def _config_options() -> list[inspect.Parameter]:
    """An option for each field of the configurations, except the vocabulary size, which depends on the data."""
    import dataclasses
    from typing import get_type_hints

    from molvae.nn.config import ModelConfig
    from molvae.training.config import TrainConfig

    parameters = []
    for config, panel in ((ModelConfig, "Model"), (TrainConfig, "Training")):
        types = get_type_hints(config)
        for field in dataclasses.fields(config):  # type: ignore[arg-type]
            if field.name == "vocab_size":
                continue
            name = "random_seed" if field.name == "random_state" else field.name
            choices = f" One of: {', '.join(field.metadata['choices'])}." if "choices" in field.metadata else ""
            help_text = f"{field.metadata['help']}{choices} [default: {field.default}]"
            option = typer.Option(show_default=False, rich_help_panel=panel, help=help_text)
            parameters.append(
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=None,
                    annotation=Annotated[types[field.name] | None, option],
                )
            )
    return parameters


def _add_parameters(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
    """Replace the `**config` parameter in the signature that typer reads by these parameters."""
    signature = inspect.signature(function, eval_str=True)
    fixed = [parameter for name, parameter in signature.parameters.items() if name != "config"]
    function.__signature__ = signature.replace(parameters=[*fixed, *parameters])  # type: ignore[attr-defined]
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in [*fixed, *parameters]}


_add_parameters(train, _config_options())
