"""`molvae info`: `checkpoint.describe`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from molvae.errors import CheckpointError, InputError


def info(
    model: Annotated[
        str | None, typer.Argument(show_default=False, help="A model's name or directory; without one, the names.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """What a model is: its parts and their sizes, vocabulary, defaults, and card. Without a model: the shipped ones."""
    import json

    from molvae.checkpoint import describe, load, locate, shipped_models

    if model is None:
        names = shipped_models()
        typer.echo(json.dumps(names) if as_json else "\n".join(names) or "no models are shipped with this version")
        return
    try:
        folder = locate(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None
    content = describe(load(folder))
    typer.echo(json.dumps(content, indent=2) if as_json else "\n".join(_lines(content)))


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
