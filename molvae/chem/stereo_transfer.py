"""Transfer of the configuration of a molecule's stereocenters to an analog that keeps their surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations

from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

RADIUS = 2
"""Radius in bonds within which an analog must equal the seed for a stereocenter to count as kept."""

MAX_RADIUS = 6
"""Radius in bonds up to which the neighbors of a stereocenter are compared."""

_TETRAHEDRAL = (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW)


@dataclass(frozen=True)
class StereoComparison:
    """Stereocenters of the seed that an analog keeps, by what their configuration was before the transfer.

    Attributes
    ----------
    kept, inverted, undefined : int
        Numbers of centers with the configuration of the seed, with the opposite one, and without one.
    """

    kept: int = 0
    inverted: int = 0
    undefined: int = 0

    @property
    def changed(self) -> bool:
        """Whether the transfer changes the analog."""
        return self.inverted + self.undefined > 0


class StereoTemplate:
    """The stereocenters of a seed, as a template for its analogs.

    A center of the analog corresponds to one of the seed if all atoms within two bonds are equal, and if no other atom
    of either molecule has these surroundings. Its neighbors correspond by the radius up to which their own surroundings
    are equal; a center whose neighbors cannot be told apart in this way is left as it is.

    Parameters
    ----------
    seed : rdkit.Chem.Mol

    Examples
    --------
    >>> template = StereoTemplate(Chem.MolFromSmiles("C[C@H](N)C(=O)Nc1ccccc1"))
    >>> analog, comparison = template.transfer(Chem.MolFromSmiles("CC(N)C(=O)Nc1ccc(F)cc1"))
    >>> Chem.MolToSmiles(analog), comparison.undefined
    ('C[C@H](N)C(=O)Nc1ccc(F)cc1', 1)
    """

    def __init__(self, seed: Chem.Mol) -> None:
        self._environments = _environments(seed)
        counts = _occurrences(self._environments)
        self._centers = {
            self._environments[atom.GetIdx()][RADIUS]: _Center.from_atom(atom)
            for atom in seed.GetAtoms()
            if atom.GetChiralTag() in _TETRAHEDRAL and counts[self._environments[atom.GetIdx()][RADIUS]] == 1
        }

    def __bool__(self) -> bool:
        """Whether the seed has a stereocenter that can be transferred."""
        return bool(self._centers)

    def transfer(self, mol: Chem.Mol) -> tuple[Chem.Mol, StereoComparison]:
        """A copy of an analog with the seed's configurations, and what was changed.

        The analog itself is returned if nothing changes.
        """
        environments = _environments(mol)
        counts = _occurrences(environments)
        copy, kept, inverted, undefined = Chem.RWMol(mol), 0, 0, 0
        for atom in mol.GetAtoms():
            index = atom.GetIdx()
            center = self._centers.get(environments[index][RADIUS])
            if center is None or counts[environments[index][RADIUS]] > 1:
                continue
            neighbors = [neighbor.GetIdx() for neighbor in atom.GetNeighbors()]
            order = self._order(center, neighbors, environments)
            if order is None:
                continue
            tag = center.tag if _is_even(order) else _opposite(center.tag)
            kept += atom.GetChiralTag() == tag
            inverted += atom.GetChiralTag() == _opposite(tag)
            undefined += atom.GetChiralTag() not in _TETRAHEDRAL
            copy.GetAtomWithIdx(index).SetChiralTag(tag)
        comparison = StereoComparison(kept, inverted, undefined)
        if not comparison.changed:
            return mol, comparison
        Chem.AssignStereochemistry(copy, cleanIt=True, force=True)
        return copy.GetMol(), comparison

    def _order(
        self, center: _Center, neighbors: list[int], environments: list[tuple[int, ...]]
    ) -> tuple[int, ...] | None:
        """For each neighbor of the seed's center the position of its counterpart among `neighbors`; None if unclear."""
        if len(neighbors) != len(center.neighbors):
            return None
        size = range(len(neighbors))
        agreement = [
            [_agreement(self._environments[own], environments[other]) for other in neighbors]
            for own in center.neighbors
        ]
        orders = ((sum(agreement[i][order[i]] for i in size), order) for order in permutations(size))
        scored = sorted(orders, reverse=True)
        if len(scored) > 1 and scored[0][0] == scored[1][0]:
            return None
        return scored[0][1]


@dataclass(frozen=True)
class _Center:
    """A stereocenter: its chiral tag, which refers to the order of its neighbors."""

    tag: Chem.ChiralType
    neighbors: tuple[int, ...]

    @classmethod
    def from_atom(cls, atom: Chem.Atom) -> _Center:
        return cls(atom.GetChiralTag(), tuple(neighbor.GetIdx() for neighbor in atom.GetNeighbors()))


def _environments(mol: Chem.Mol) -> list[tuple[int, ...]]:
    """For each atom the identifiers of its Morgan environments of radius 0 to `MAX_RADIUS`, without stereo."""
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    _generator().GetSparseFingerprint(mol, additionalOutput=output)
    found = [[0] * (MAX_RADIUS + 1) for _ in range(mol.GetNumAtoms())]
    for key, places in output.GetBitInfoMap().items():
        for atom, radius in places:
            found[atom][radius] = key
    return [tuple(keys) for keys in found]


@cache
def _generator() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=MAX_RADIUS, includeRedundantEnvironments=True)


def _occurrences(environments: list[tuple[int, ...]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for keys in environments:
        counts[keys[RADIUS]] = counts.get(keys[RADIUS], 0) + 1
    return counts


def _agreement(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """The number of radii, from 0 on, at which two atoms have equal environments."""
    return next((radius for radius, (a, b) in enumerate(zip(first, second, strict=True)) if a != b), len(first))


def _is_even(order: tuple[int, ...]) -> bool:
    inversions = sum(order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order)))
    return inversions % 2 == 0


def _opposite(tag: Chem.ChiralType) -> Chem.ChiralType:
    clockwise, counterclockwise = _TETRAHEDRAL
    return counterclockwise if tag == clockwise else clockwise
