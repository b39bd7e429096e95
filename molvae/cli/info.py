"""`molvae info`: `checkpoint.describe`, or the card of a property model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from molvae.errors import CheckpointError, InputError


def info(
    model: Annotated[
        str | None,
        typer.Argument(show_default=False, help="A model's name, or the folder of one; without one, the names."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """What a model is: its parts and their sizes, vocabulary, defaults, and card. Without a model: the shipped ones.

    Of a property model that `fit` made: what it predicts, from what, and what it scored.
    """
    import json

    from molvae.checkpoint import describe, load, locate, shipped_models
    from molvae.qsar.fitted_model import SETTINGS

    if model is None:
        names = shipped_models()
        typer.echo(json.dumps(names) if as_json else "\n".join(names) or "no models are shipped with this version")
        return
    try:
        folder = locate(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None
    content = _property_model(folder) if (folder / SETTINGS).exists() else describe(load(folder))
    typer.echo(json.dumps(content, indent=2) if as_json else "\n".join(_lines(content)))


def _property_model(folder: Path) -> dict[str, Any]:
    from molvae.qsar.fitted_model import load

    model = load(folder)
    return {"target": model.target, "task": model.task, "made of": str(model.candidate), "card": model.card}


def _lines(content: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{key}:", *(f"{indent}  {item}" for item in value)]
        else:
            lines.append(f"{indent}{key}: {value:,}" if type(value) is int else f"{indent}{key}: {value}")
    return lines
