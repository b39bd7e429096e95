"""`molvae info`: the description and model card of a model or property model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from molvae.cli.checks import PROPERTY_MODEL_FILE
from molvae.errors import CheckpointError, InputError


def info(
    model: Annotated[
        str | None,
        typer.Argument(show_default=False, help="Name of a shipped model, or a folder; without it, list the names."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show parameters, vocabulary, sampling defaults and card of a model. Without MODEL, list the shipped models.

    For a property model written by `molvae fit`: its target, its task, its estimator and its validation scores.
    """
    import json

    from molvae.model_folders import find_model, shipped_models

    if model is None:
        names = shipped_models()
        typer.echo(json.dumps(names) if as_json else "\n".join(names) or "no models are shipped with this version")
        return
    try:
        folder = find_model(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None
    from molvae.checkpoint import describe, load

    content = _describe_property_model(folder) if (folder / PROPERTY_MODEL_FILE).exists() else describe(load(folder))
    typer.echo(json.dumps(content, indent=2) if as_json else "\n".join(_lines(content)))


def _describe_property_model(folder: Path) -> dict[str, Any]:
    from molvae.qsar.fitted_model import load

    model = load(folder)
    return {"target": model.target, "task": model.task, "estimator": str(model.candidate), "card": model.card}


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
