"""The Jinja templates of HTML pages and SVG charts, in `molvae/viz/templates`.

Autoescaping is on for every template, so text from input files cannot inject markup. Structure drawings, which RDKit
generates, and rendered templates are passed on as `Markup`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.viz.formatting import format_cell, format_column, format_name, format_number, format_text
from molvae.viz.molecules import molecule_svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATE_FOLDER = Path(__file__).parent / "templates"


def render(template: str, **context: Any) -> Markup:
    """Render a template file."""
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(**context))


def macros(template: str) -> Any:
    """The macros of a template file, as attributes; each is a function that returns `Markup`."""
    return _environment().get_template(template).module


def template_source(name: str) -> str:
    """The text of a template file."""
    return (TEMPLATE_FOLDER / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Jinja is imported on first use: most commands write no HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": format_cell,
        "column_cells": format_column,
        "heading": format_name,
        "number": format_number,
        "text": format_text,
        "structure": _structure,
    }
    return environment


def _structure(smiles: Any, width: int = 220, height: int = 160, align_to: str = "") -> Markup:
    """The drawing of a molecule, oriented like that of `align_to`; "" for an invalid SMILES."""
    from markupsafe import Markup

    return Markup(molecule_svg(format_text(smiles), width, height, align_to=align_to))
