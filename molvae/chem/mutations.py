"""Variants of a molecule: a branch or an atom of its SMILES exchanged, added or left out, as a chemist would begin.

What comes in is drawn from what other molecules have in such a place, so that a variant is made of what molecules are
made of; and it has to be a molecule, as easy to make as the one it comes from. Where an alert is new, and BRENK has it
(PAINS would take longer than all the rest), a variant is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.filters import alerts
from molvae.chem.grammar import TokenClass, token_class
from molvae.chem.properties import sa_score
from molvae.chem.smiles import parse_or_none, write
from molvae.chem.tokenizer import END, tokenize

ATOMS: dict[str, Sequence[str]] = {
    "c": "n",
    "n": "c",
    "C": "NO",
    "N": "CO",
    "O": "CNS",
    "S": "O",
    "F": ["Cl"],
    "Cl": ["F", "Br"],
    "Br": ["Cl"],
}
"""What an atom is exchanged for."""

LARGEST_BRANCH = 7
"""Symbols of a branch without its parentheses, at the most."""

HARDER = 0.2
"""How much harder to make than the molecule a variant may be, in units of SA."""

_PIECES = 60  # branches that are drawn from, on one kind of atom
_LEAST = 3  # times that a branch was seen, to be drawn
_ATOMS_SHARE = 0.2  # of the changes, those of an atom; of the others
_ADDED = 0.3  # those that add a branch
_LEFT_OUT = 0.2  # of the branches that are exchanged, those that nothing takes the place of

BRENK = ("BRENK",)
_CARRIERS = {"c": "c1ccccc1", "n": "c1cccn1", "N": "C1CCCCN1", "O": "CO", "S": "CS(=O)(=O)"}
"""Molecules to whose last atom a branch is added, to see whether it is an alert on such an atom."""
_CARRIER = "C1CCCCC1"  # for other atoms

_ATOM = frozenset("BCNOPSFIbcnops") | {"Cl", "Br"}  # those without brackets, whose hydrogens follow from their bonds
Symbols = list[str]


@dataclass(frozen=True)
class Substituents:
    """Branches by the symbol of the atom that they hang on: each as its symbols, and the sums of their chances.

    None that is an alert by itself.
    """

    on: Mapping[str, tuple[list[Symbols], NDArray[np.float64]]]

    @classmethod
    def from_smiles(cls, molecules: Iterable[str]) -> Substituents:
        """Those of canonical SMILES, by the root of how often they occur: rare ones are worth trying too."""
        counts = defaultdict[str, Counter[tuple[str, ...]]](Counter)
        for smiles in molecules:
            symbols = tokenize(smiles)
            for branch in _branches(symbols):
                counts[branch.on][tuple(symbols[branch.start : branch.stop])] += 1
        on = {}
        for atom, seen in sorted(counts.items()):
            common = [(list(piece), count) for piece, count in seen.most_common(_PIECES) if count >= _LEAST]
            often = [(piece, count) for piece, count in common if not _is_alert(piece, atom)]
            if often:
                chances = np.sqrt([count for _, count in often])
                on[atom] = [piece for piece, _ in often], np.cumsum(chances / chances.sum())
        return cls(on)

    def draw(self, atom: str, random: np.random.Generator) -> Symbols | None:
        """A branch for such an atom, with its parentheses; None where none is known."""
        if atom not in self.on:
            return None
        pieces, chances = self.on[atom]
        return pieces[min(int(np.searchsorted(chances, random.random(), side="right")), len(pieces) - 1)]


class Variant(NamedTuple):
    """A molecule, and its canonical SMILES."""

    mol: Chem.Mol
    smiles: str


def mutate(
    mol: Chem.Mol,
    smiles: str,
    pieces: Substituents,
    random: np.random.Generator,
    *,
    tries: int,
    fits: Callable[[str], bool] = lambda _: True,
) -> Iterator[Variant]:
    """Up to `tries` variants of a molecule, as they are found; keep a `quiet` block open around them.

    `smiles` is its canonical SMILES. Those whose canonical SMILES `fits` rejects are left out before more is asked of
    them.
    """
    symbols, known = tokenize(smiles), {smiles}
    worst: float | None = None
    for _ in range(tries):
        atom = random.random() < _ATOMS_SHARE
        changed = _atom_exchanged(symbols, random) if atom else _branch_changed(symbols, pieces, random)
        found = parse_or_none("".join(changed)) if changed else None
        if found is None or (text := write(found)) in known or not fits(text):
            continue
        known.add(text)
        worst = sa_score(mol) + HARDER if worst is None else worst
        if sa_score(found) <= worst and not (atom and _new_alert(found, mol)):
            yield Variant(found, text)


def shared_ends(a: Sequence[str], b: Sequence[str]) -> float:
    """The share of the longer one that two strings begin and end with alike, 0 to 1."""
    both = sum(
        sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(x, y, strict=False)))
        for x, y in ((a, b), (reversed(a), reversed(b)))
    )
    return min(both, len(a), len(b)) / max(len(a), len(b), 1)


def _is_alert(piece: Symbols, atom: str) -> bool:
    """Whether a branch is an alert on such an atom, by itself."""
    carrier = parse_or_none(_CARRIERS.get(atom, _CARRIER) + "".join(piece))
    return carrier is None or bool(alerts(carrier, BRENK))


def _new_alert(variant: Chem.Mol, mol: Chem.Mol) -> bool:
    raised = alerts(variant, BRENK)
    return bool(raised) and not set(raised) <= set(alerts(mol, BRENK))


def _branch_changed(symbols: Symbols, pieces: Substituents, random: np.random.Generator) -> Symbols | None:
    """The symbols with one branch changed, whatever they mean then; None where there is no place for the change."""
    change = _branch_added if random.random() < _ADDED else _branch_exchanged
    return change(symbols, pieces, random)


def _branch_exchanged(symbols: Symbols, pieces: Substituents, random: np.random.Generator) -> Symbols | None:
    branches = _branches(symbols)
    if not branches:
        return None
    start, stop, on = branches[random.integers(len(branches))]
    # an atom in brackets says how many hydrogens it has: it cannot lose a branch
    none = random.random() < _LEFT_OUT and on in _ATOM
    piece = [] if none else pieces.draw(on, random)
    return None if piece is None else symbols[:start] + piece + symbols[stop:]


def _branch_added(symbols: Symbols, pieces: Substituents, random: np.random.Generator) -> Symbols | None:
    following = map(token_class, [*symbols[1:], END])
    places = [
        place for place, (symbol, after) in enumerate(zip(symbols, following, strict=True))
        if symbol in _ATOM and after not in (TokenClass.OPEN, TokenClass.RING)
    ]  # fmt: skip
    place = places[random.integers(len(places))] if places else 0
    piece = pieces.draw(symbols[place], random) if places else None
    if piece is None:
        return None
    last = place + 1 == len(symbols)
    return symbols[: place + 1] + (piece[1:-1] if last else piece) + symbols[place + 1 :]


def _atom_exchanged(symbols: Symbols, random: np.random.Generator) -> Symbols | None:
    places = [i for i, symbol in enumerate(symbols) if symbol in ATOMS]
    if not places:
        return None
    place = places[random.integers(len(places))]
    others = ATOMS[symbols[place]]
    return [*symbols[:place], others[int(random.integers(len(others)))], *symbols[place + 1 :]]


class _Branch(NamedTuple):
    """Where a branch stands, its parentheses included, and the symbol of the atom that it hangs on."""

    start: int
    stop: int
    on: str


def _branches(symbols: Symbols) -> list[_Branch]:
    """Branches of a few atoms, on a single bond, with no ring and no stereo in them."""
    found, opened = list[_Branch](), list[tuple[int, str]]()
    atom = ""
    for place, symbol in enumerate(symbols):
        if symbol == "(":
            opened.append((place, atom))
        elif symbol == ")":
            start, atom = opened.pop()
            inner = symbols[start + 1 : place]
            if (
                len(inner) <= LARGEST_BRANCH
                and token_class(inner[0]) == TokenClass.ATOM
                and not any(map(_is_ring_or_stereo, inner))
            ):
                found.append(_Branch(start, place + 1, atom))
        elif token_class(symbol) == TokenClass.ATOM:
            atom = symbol
    return found


def _is_ring_or_stereo(symbol: str) -> bool:
    return token_class(symbol) == TokenClass.RING or symbol in "/\\" or "@" in symbol
