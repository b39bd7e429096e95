"""Routes of synthesis drawn as trees: building blocks on the left, the target on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from molvae.data.files import atomic_write
from molvae.errors import InputError
from molvae.viz.grid import IMAGE_FORMATS, PANEL_WIDTH, Connection, Panel, PlacedPanel, cut_text, render_placed

_ROW, _GAP = 232, 12  # height of a panel with a title and one line, and space between panels, in pixels
_ARROW = 250  # pixels between columns
_JOINT = 26  # pixels from the reactants to the point where their lines meet
_TEXT_SIZE = 12


@dataclass(frozen=True)
class _Step:
    reaction: str
    reactants: tuple[str, ...]


def save_routes(routes: Sequence[str], path: str | Path) -> Path:
    """Draw routes, given as in the column `route` of `molvae.routes`, below each other to a .png or .svg file.

    Parameters
    ----------
    routes : sequence of str
        Such as "amide coupling: CC(=O)O.CN>>CNC(C)=O".
    path : str or Path

    Raises
    ------
    InputError
        For another format, no routes, or a text that is not a route.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_FORMATS:
        raise InputError(f"an image must be {' or '.join(IMAGE_FORMATS)}, got {path}")
    if not routes:
        raise InputError("no routes to draw")
    panels, lines, y = list[PlacedPanel](), list[Connection](), _GAP
    for number, text in enumerate(routes, start=1):
        drawing = _RouteDrawing(text, number, y)
        panels += drawing.panels
        lines += drawing.lines
        y = drawing.bottom + 2 * _GAP
    with atomic_write(path) as draft:
        draft.write_bytes(render_placed(panels, lines, path.suffix))
    return path


class _RouteDrawing:
    """Places the molecules of a route: each one in the middle of its reactants."""

    def __init__(self, text: str, number: int, top: int) -> None:
        self._steps, self._target = _parse(text)
        self._number = number
        self._depth = self._depth_of(self._target)
        self.panels = list[PlacedPanel]()
        self.lines = list[Connection]()
        self.bottom = top
        self._place(self._target, 0)

    def _depth_of(self, smiles: str) -> int:
        step = self._steps.get(smiles)
        return 0 if step is None else 1 + max(map(self._depth_of, step.reactants))

    def _place(self, smiles: str, level: int) -> int:
        """Place a molecule and what it is made from; returns the y of its middle."""
        x = _GAP + (self._depth - level) * (PANEL_WIDTH + _ARROW)
        step = self._steps.get(smiles)
        if step is None:
            middle = self.bottom + _ROW // 2
            self.bottom += _ROW + _GAP
            title = "building block"
        else:
            middles = [self._place(reactant, level + 1) for reactant in step.reactants]
            middle = sum(middles) // len(middles)
            joint = (x - _ARROW + _JOINT, middle)
            self.lines += [Connection((x - _ARROW, y), joint) for y in middles]
            name = cut_text(step.reaction, _ARROW - _JOINT - 12, _TEXT_SIZE)
            self.lines += [Connection(joint, (x, middle)), Connection(joint, joint, name)]
            title = f"route {self._number}" if level == 0 else ""
        panel = Panel.from_smiles(smiles, title=title, highlight=level == 0, shade=step is None)
        self.panels.append(PlacedPanel(panel, x, middle - _ROW // 2))
        return middle


def _parse(text: str) -> tuple[dict[str, _Step], str]:
    """The step that makes each product of a route, and the target."""
    steps, product = dict[str, _Step](), ""
    for part in text.split("; "):
        reaction, _, equation = part.rpartition(": ")
        reactants, arrow, product = equation.partition(">>")
        if not arrow or not reaction:
            raise InputError(f"not a route: {part!r}; a step is written as 'reaction: reactants>>product'")
        steps[product] = _Step(reaction, tuple(reactants.split(".")))
    return steps, product
