"""The Jinja templates of HTML pages and SVG charts, in `molvae/viz/templates`.

Autoescaping is on for every template, so text from input files cannot inject markup. Structure drawings, which RDKit
generates, and rendered templates are passed on as `Markup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.errors import one_line
from molvae.viz.formatting import clean_text, format_cell, format_column, format_name, format_number, format_text
from molvae.viz.molecules import depict, depiction_svg

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
        finalize=_clean,
    )
    environment.filters |= {
        "cell": format_cell,
        "column_cells": format_column,
        "heading": format_name,
        "number": format_number,
        "text": format_text,
        "structure": _structure,
        "svg": _svg,
    }
    return environment


def _clean(value: Any) -> Any:
    """Text of users without characters that are not allowed in XML; it is escaped afterwards."""
    return clean_text(value) if type(value) is str else value


def _svg(text: str) -> Markup:
    """An element that RDKit has written, or the content of one."""
    from markupsafe import Markup

    return Markup(text)


def _structure(
    smiles: Any,
    width: int = 220,
    height: int = 160,
    align_to: str = "",
    name: str = "",
    stopwatch: Any = None,
    marked: Sequence[int] = (),
) -> Markup:
    """The drawing of a molecule with a text alternative, or why there is none.

    Parameters
    ----------
    smiles
        The molecule.
    width, height
        Size in pixels.
    align_to
        SMILES of the seed: what differs from it is marked.
    name
        Name for the text alternative; by default the SMILES.
    stopwatch
        Limit of the time for comparisons with seeds.
    marked
        Atoms to mark, without a seed.
    """
    from markupsafe import Markup

    text = format_text(smiles)
    depiction = depict(text, align_to=align_to, stopwatch=stopwatch, marked=marked)
    drawing, problem = depiction_svg(depiction, width, height)
    label = clean_text(f"structure of {one_line(name or text, 100)}")
    if not drawing:
        return Markup('<div class="none">{}</div>').format(clean_text(problem) if text else "no structure")
    return Markup('<div class="molecule" role="img" aria-label="{}">{}</div>').format(label, Markup(drawing))
