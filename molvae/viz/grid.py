"""Grids of molecules as PNG and SVG: panels with a title, a structure and values below it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Geometry import Point2D

from molvae.data.files import atomic_write
from molvae.errors import InputError, MoleculeError
from molvae.viz.comparison import Stopwatch
from molvae.viz.formatting import clean_text
from molvae.viz.molecules import Depiction, depict, depiction_svg, draw_on
from molvae.viz.templating import render

PANELS_PER_ROW = 5
MAX_PANELS = 250
"""Image viewers fail to open grids of more panels."""

IMAGE_FORMATS = (".png", ".svg")

PANEL_WIDTH = _WIDTH = 264
"""Width of a panel in pixels."""

_STRUCTURE_HEIGHT = 180  # pixels
_MARGIN, _GAP = 10, 8  # inside and between panels
_TITLE_SIZE, _TEXT_SIZE, _LINE = 14, 12, 17  # font sizes and line height
_MAX_LINES = 4  # of values
_BOLD = 1.1  # width of bold text, compared with regular text
_INK, _GREY, _ERROR = (0.11, 0.15, 0.20), (0.32, 0.38, 0.43), (0.71, 0.14, 0.09)
_PLAIN, _HIGHLIGHT, _SHADE = (1.0, 1.0, 1.0), (0.90, 0.945, 0.992), (0.925, 0.925, 0.925)
_BORDER = (0.87, 0.89, 0.91)
_NARROW, _WIDE = "ijltfr.,:;'|!()[] /\\-", "mwMW@%+=<>"


@dataclass(frozen=True)
class Panel:
    """One cell of a grid of molecules.

    Attributes
    ----------
    depiction : Depiction or None
        The molecule, or why it cannot be drawn; None leaves the cell blank.
    legend : str
        Values, separated by three spaces or more, which are wrapped to lines below the structure.
    title : str
        Rank and name.
    highlight, shade : bool
        Background: light blue for a seed, grey for a molecule that is less reliable than the others.
    """

    depiction: Depiction | None
    legend: str = ""
    title: str = ""
    highlight: bool = False
    shade: bool = False

    @classmethod
    def from_smiles(
        cls,
        smiles: str,
        legend: str = "",
        *,
        title: str = "",
        highlight: bool = False,
        shade: bool = False,
        align_to: str = "",
        stopwatch: Stopwatch | None = None,
        marked: Sequence[int] = (),
    ) -> Self:
        """A panel for a SMILES, drawn like another one as far as they agree; without a structure for an empty SMILES.

        See `depict` for `align_to`, `stopwatch` and `marked`.
        """
        depiction = depict(smiles, align_to=align_to, stopwatch=stopwatch, marked=marked) if smiles else Depiction(None)
        return cls(depiction, legend, title, highlight, shade)


@dataclass(frozen=True)
class PlacedPanel:
    """A panel and the place of its upper left corner in pixels. A panel is `PANEL_WIDTH` wide."""

    panel: Panel
    x: int
    y: int


@dataclass(frozen=True)
class Connection:
    """A line from one point to another in pixels, and a text below its end."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str = ""


def save_panels(panels: Sequence[Panel], path: str | Path, n_columns: int = PANELS_PER_ROW) -> Path:
    """Draw panels row by row to a .png or .svg file, which is replaced atomically. Returns the path."""
    path = Path(path)
    with atomic_write(path) as draft:
        draft.write_bytes(render_panels(panels, path.suffix, n_columns))
    return path


def render_panels(panels: Sequence[Panel], suffix: str = ".png", n_columns: int = PANELS_PER_ROW) -> bytes:
    """Draw the first `MAX_PANELS` panels in rows of `n_columns`.

    Parameters
    ----------
    panels : sequence of Panel
    suffix : {".png", ".svg"}
        Image format. Text is drawn with RDKit's font in a .png, which has ASCII characters only: accents are dropped
        and other characters become "?". An .svg has all characters.
    n_columns : int
        Panels per row.

    Raises
    ------
    InputError
        For another format or no panels.
    """
    if suffix.lower() not in IMAGE_FORMATS:
        raise InputError(f"an image must be {' or '.join(IMAGE_FORMATS)}, got {suffix!r}")
    if not panels:
        raise InputError("no molecules to draw: the table is empty")
    cells = list(_cells(panels[:MAX_PANELS], n_columns))
    return _render(cells, [], suffix)


def render_placed(panels: Sequence[PlacedPanel], lines: Sequence[Connection], suffix: str = ".png") -> bytes:
    """Draw panels at given places, and lines between them with a text above each.

    Parameters
    ----------
    panels : sequence of PlacedPanel
    lines : sequence of Connection
    suffix : {".png", ".svg"}
        As in `render_panels`.
    """
    cells = [_cell(placed.panel, placed.x, placed.y, _panel_height(placed.panel)) for placed in panels]
    return _render(cells, lines, suffix)


def _render(cells: Sequence[_Cell], lines: Sequence[Connection], suffix: str) -> bytes:
    width = max(cell.x + _WIDTH for cell in cells) + _GAP
    height = max(cell.y + cell.height for cell in cells) + _GAP
    draw = _png if suffix.lower() == ".png" else _svg
    return draw(cells, lines, width, height)


@dataclass(frozen=True)
class _Cell:
    """A panel with its place and its text, cut and wrapped to the width of the panel."""

    panel: Panel
    x: int
    y: int
    height: int
    title: str
    lines: list[str]
    has_titles: bool  # in its row

    @property
    def is_blank(self) -> bool:
        return self.panel.depiction is None

    @property
    def structure_y(self) -> int:
        return self.y + _MARGIN // 2 + self.has_titles * _LINE

    @property
    def color(self) -> tuple[float, float, float]:
        return _HIGHLIGHT if self.panel.highlight else _SHADE if self.panel.shade else _PLAIN


def _cells(panels: Sequence[Panel], n_columns: int) -> Iterator[_Cell]:
    """Place the panels; a row is as high as its longest legend."""
    y = _GAP
    for start in range(0, len(panels), n_columns):
        row = panels[start : start + n_columns]
        has_titles = any(panel.title for panel in row)
        height = max(_panel_height(panel, has_titles) for panel in row)
        for column, panel in enumerate(row):
            yield _cell(panel, _GAP + column * (_WIDTH + _GAP), y, height, has_titles)
        y += height + _GAP


def _panel_height(panel: Panel, has_titles: bool = True) -> int:
    """Height of a panel with its title, structure and values, in pixels."""
    n_lines = len(wrap_values(panel.legend, _WIDTH - 2 * _MARGIN))
    return has_titles * _LINE + _STRUCTURE_HEIGHT + n_lines * _LINE + _MARGIN


def _cell(panel: Panel, x: int, y: int, height: int, has_titles: bool = True) -> _Cell:
    title = cut_text(clean_text(panel.title), _WIDTH - 2 * _MARGIN, _BOLD * _TITLE_SIZE)
    return _Cell(panel, x, y, height, title, wrap_values(panel.legend, _WIDTH - 2 * _MARGIN), has_titles)


def wrap_values(legend: str, width: float) -> list[str]:
    """Wrap values that are separated by three spaces to lines of at most `width` pixels, at most four.

    >>> wrap_values("similarity 0.72   QED 0.61   SA 2.3", 120)
    ['similarity 0.72', 'QED 0.61   SA 2.3']
    """
    lines: list[str] = []
    for value in filter(None, (part.strip() for part in clean_text(legend).split("   "))):
        joined = f"{lines[-1]}   {value}" if lines else value
        if lines and text_width(joined, _TEXT_SIZE) <= width:
            lines[-1] = joined
        else:
            lines.append(cut_text(value, width, _TEXT_SIZE))
    return lines[:_MAX_LINES]


def cut_text(text: str, width: float, size: float) -> str:
    """Text of at most `width` pixels; what is cut off is replaced by "...".

    >>> cut_text("a very long name", 60, 12)
    'a very l...'
    """
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}...", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}..."


def text_width(text: str, size: float) -> float:
    """Approximate width in pixels of a text in a sans-serif font of this size; rather too large than too small."""
    return size * sum(map(_character_width, text))


def _character_width(character: str) -> float:
    """Width of a character as a share of the font size."""
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if unicodedata.combining(character):
        return 0.0
    return 0.36 if character in _NARROW else 0.9 if character in _WIDE else 0.72 if character.isupper() else 0.6


def _svg(cells: Sequence[_Cell], lines: Sequence[Connection], width: int, height: int) -> bytes:
    """The grid as an image with real text, which can be searched and has all characters."""
    shapes = []
    for cell in cells:
        if cell.panel.depiction is None:
            continue
        structure, problem = depiction_svg(cell.panel.depiction, _WIDTH - 2 * _MARGIN, _STRUCTURE_HEIGHT)
        shapes.append(
            {
                "cell": cell,
                "color": _hex(cell.color),
                "structure": structure.partition(">")[2].rpartition("</svg>")[0],
                "problem": _wrapped(problem),
                "label": f"{clean_text(cell.panel.title)} {clean_text(cell.panel.legend)}".strip(),
            }
        )
    image = render(
        "grid.svg", shapes=shapes, lines=lines, width=width, height=height, panel=_WIDTH,
        structure_height=_STRUCTURE_HEIGHT, margin=_MARGIN, line=_LINE, title_size=_TITLE_SIZE, text_size=_TEXT_SIZE,
        ink=_hex(_INK), grey=_hex(_GREY), error=_hex(_ERROR), border=_hex(_BORDER),
    )  # fmt: skip
    return str(image).encode()


def _png(cells: Sequence[_Cell], lines: Sequence[Connection], width: int, height: int) -> bytes:
    """The grid on an RDKit canvas."""
    canvas = rdMolDraw2D.MolDraw2DCairo(width, height, _WIDTH - 2 * _MARGIN, _STRUCTURE_HEIGHT)
    canvas.ClearDrawing()
    canvas.drawOptions().clearBackground = False  # type: ignore[assignment]
    for connection in lines:
        canvas.SetColour(_GREY)
        canvas.DrawLine(Point2D(*connection.start), Point2D(*connection.end), True)
        _write(canvas, connection.text, connection.end[0] + 6, connection.end[1] + _LINE / 2, _TEXT_SIZE, _INK)
    for cell in cells:
        if cell.panel.depiction is None:
            continue
        canvas.SetOffset(0, 0)
        _box(canvas, cell)
        problem = cell.panel.depiction.problem
        if cell.panel.depiction.mol is not None:
            canvas.SetOffset(cell.x + _MARGIN, cell.structure_y)
            try:
                draw_on(canvas, cell.panel.depiction)
            except MoleculeError as error:
                problem = str(error)
            canvas.SetOffset(0, 0)
        x = cell.x + _MARGIN
        _write(canvas, cell.title, x, cell.y + _MARGIN / 2 + _LINE / 2, _TITLE_SIZE, _INK)
        for number, line in enumerate(cell.lines):
            _write(canvas, line, x, cell.structure_y + _STRUCTURE_HEIGHT + (number + 0.5) * _LINE, _TEXT_SIZE, _GREY)
        for number, line in enumerate(_wrapped(problem)):
            y = cell.structure_y + _STRUCTURE_HEIGHT / 3 + number * _LINE
            _write(canvas, line, x, y, _TEXT_SIZE, _ERROR)
    canvas.FinishDrawing()
    return bytes(canvas.GetDrawingText())


def _box(canvas: rdMolDraw2D.MolDraw2D, cell: _Cell) -> None:
    """The background and the border of a panel."""
    corners = Point2D(cell.x, cell.y), Point2D(cell.x + _WIDTH, cell.y + cell.height)
    canvas.SetLineWidth(1)
    for color, fill in ((cell.color, True), (_BORDER, False)):
        canvas.SetFillPolys(fill)
        canvas.SetColour(color)
        canvas.DrawRect(*corners, True)
    canvas.SetFillPolys(True)
    canvas.SetLineWidth(2)


def _write(canvas: Any, text: str, x: float, y: float, size: int, color: tuple[float, float, float]) -> None:
    """Text that begins at x and is centered around y. RDKit's font has ASCII characters only."""
    if not text:
        return
    canvas.SetColour(color)
    canvas.SetFontSize(size)
    # RDKit reads <sub> and <sup> as markup, and has no way to escape them
    canvas.DrawString(_ascii(text).replace("<su", "< su"), Point2D(x, y), 1, True)


def _ascii(text: str) -> str:
    """Text without accents; other characters become "?".

    >>> _ascii("Crème, 5 µM")
    'Creme, 5 ?M'
    """
    decomposed = unicodedata.normalize("NFD", text)
    plain = (character for character in decomposed if not unicodedata.combining(character))
    return "".join(character if " " <= character <= "~" else "?" for character in plain)


def _wrapped(text: str) -> list[str]:
    """Words of a message in lines that fit into a panel."""
    lines: list[str] = []
    width = _WIDTH - 2 * _MARGIN
    for word in clean_text(text).split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, _TEXT_SIZE) <= width:
            lines[-1] = joined
        else:
            lines.append(cut_text(word, width, _TEXT_SIZE))
    return lines


def _hex(color: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)
