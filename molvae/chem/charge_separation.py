"""Write each bond between opposite charges in one form, such as S=O for [S+][O-].

A sulfoxide, a phosphine oxide, an azide, a diazo compound or the zwitterionic form of an amide can be written with
separated charges or without. The form with fewer charges is kept, and where both forms have charges, that of most
databases: `N=[N+]=[N-]`, `C=[N+]=[N-]`, `C#[N+][O-]`. RDKit's parser writes nitro groups and N-oxides in one form
already. Only charges and bond orders change; atoms, hydrogens and stereocenters stay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from rdkit import Chem

_SINGLE, _DOUBLE, _TRIPLE = Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE
# phosphorus, sulfur, arsenic, selenium, antimony, tellurium: neutral with five or six bonds as well
_HYPERVALENT = frozenset((15, 16, 33, 34, 51, 52))
_IODINE = 53
# nitrogen, oxygen, sulfur, selenium; carbon is not among them, because its anions are not written in one form
_HETERO = frozenset((7, 8, 16, 34))
_ANIONS = _HETERO | {6}


def has_opposite_charges(mol: Chem.Mol) -> bool:
    """Whether a molecule has both a positive and a negative atom."""
    charges = {atom.GetFormalCharge() for atom in mol.GetAtoms()}
    return min(charges, default=0) < 0 < max(charges, default=0)


def merge_charges(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with opposite charges merged into bonds where this is another form of the same molecule.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        A sanitized molecule, which stays unchanged.

    Returns
    -------
    rdkit.Chem.Mol
        `mol` itself if nothing is to be merged, or a sanitized molecule.

    Examples
    --------
    >>> Chem.MolToSmiles(merge_charges(Chem.MolFromSmiles("C[S+]([O-])C")))
    'CS(C)=O'
    """
    ranks = list(Chem.CanonicalRankAtoms(mol))
    ring_anions = {a.GetIdx() for a in mol.GetAtoms() if a.GetIsAromatic() and a.GetFormalCharge() < 0}
    merged = Chem.RWMol(mol)
    Chem.Kekulize(merged, clearAromaticFlags=True)
    changed = False
    while _merge_one(merged, ranks, ring_anions):
        changed = True
    if not changed:
        return mol
    for atom in merged.GetAtoms():
        atom.UpdatePropertyCache(strict=False)
    Chem.SanitizeMol(merged)
    Chem.AssignStereochemistry(merged, cleanIt=True, force=True)
    return merged.GetMol()


def _merge_one(mol: Chem.RWMol, ranks: list[int], ring_anions: set[int]) -> bool:
    """Merge the first pair of charges, in canonical order; False if there is none."""
    anions = sorted((a for a in mol.GetAtoms() if a.GetFormalCharge() < 0), key=lambda a: ranks[a.GetIdx()])
    for anion in anions:
        if anion.GetIdx() in ring_anions and anion.GetAtomicNum() == 6:
            continue  # the charge of an aromatic ring has no place of its own
        if _merge_neighbor(anion) or _merge_dipole(anion):
            return True
    paths = [path for anion in anions for path in _paths_to_cations(mol, anion, ranks)]
    if not paths:
        return False
    _shift(mol, min(paths, key=lambda path: (len(path), ranks[path[0]], ranks[path[-1]])))
    return True


def _merge_neighbor(anion: Chem.Atom) -> bool:
    """[S+][O-] to S=O, and the like for P, As, Se, Sb, Te and I, and for negative N, C, S and Se."""
    if anion.GetAtomicNum() not in _ANIONS:
        return False
    for bond in anion.GetBonds():
        cation = bond.GetOtherAtom(anion)
        if bond.GetBondType() == _SINGLE and cation.GetFormalCharge() > 0 and _may_be_neutral(cation):
            _set_bond(bond, _DOUBLE)
            anion.SetFormalCharge(anion.GetFormalCharge() + 1)
            cation.SetFormalCharge(cation.GetFormalCharge() - 1)
            return True
    return False


def _may_be_neutral(cation: Chem.Atom) -> bool:
    """Whether an atom exists with one bond more and one charge less."""
    if cation.GetAtomicNum() == _IODINE:  # RDKit writes the oxides of halogens without carbon with charges
        return any(neighbor.GetAtomicNum() != 8 for neighbor in cation.GetNeighbors())
    return cation.GetAtomicNum() in _HYPERVALENT and cation.GetTotalDegree() >= 3


def _merge_dipole(anion: Chem.Atom) -> bool:
    """[N-][N+]#N to N=[N+]=[N-], [C-][N+]#N to C=[N+]=[N-], and [C-]=[N+]=O to C#[N+][O-]."""
    for bond in anion.GetBonds():
        middle = bond.GetOtherAtom(anion)
        if middle.GetAtomicNum() != 7 or middle.GetFormalCharge() != 1 or middle.GetTotalDegree() != 2:
            continue
        last = next((b for b in middle.GetBonds() if b.GetIdx() != bond.GetIdx()), None)
        if last is None:
            continue
        end = last.GetOtherAtom(middle)
        if end.GetFormalCharge() or end.GetAtomicNum() not in _ANIONS:
            continue
        orders = bond.GetBondType(), last.GetBondType()
        is_azide = orders == (_SINGLE, _TRIPLE) and end.GetAtomicNum() == 7 and anion.GetAtomicNum() in (6, 7)
        is_oxide = orders == (_DOUBLE, _DOUBLE) and anion.GetAtomicNum() == 6 and anion.GetTotalDegree() == 2
        if is_azide or is_oxide:
            _set_bond(bond, _DOUBLE if is_azide else _TRIPLE)
            _set_bond(last, _DOUBLE if is_azide else _SINGLE)
            anion.SetFormalCharge(0)
            end.SetFormalCharge(-1)
            return True
    return False


def _paths_to_cations(mol: Chem.RWMol, anion: Chem.Atom, ranks: list[int]) -> Iterator[list[int]]:
    """Shortest paths of alternating single and double bonds from a negative to a positive atom.

    Such as [O-]C=[NH+]: if all bonds of the path change their order, both charges vanish.
    """
    if anion.GetFormalCharge() != -1 or anion.GetAtomicNum() not in _HETERO:
        return
    if any(neighbor.GetFormalCharge() > 0 for neighbor in anion.GetNeighbors()):
        return
    start = anion.GetIdx()
    previous = {start: -1}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for middle in _neighbors(mol, here, _SINGLE, ranks):
            if middle in previous or mol.GetAtomWithIdx(middle).GetFormalCharge():
                continue
            for there in _neighbors(mol, middle, _DOUBLE, ranks):
                if there in previous:
                    continue
                previous[middle], previous[there] = here, middle
                atom = mol.GetAtomWithIdx(there)
                if _ends_path(atom):
                    yield _path(previous, there)
                elif not atom.GetFormalCharge():
                    queue.append(there)


def _neighbors(mol: Chem.RWMol, index: int, order: Chem.BondType, ranks: list[int]) -> list[int]:
    """The neighbors of an atom by bonds of an order, in canonical order."""
    bonds = (bond for bond in mol.GetAtomWithIdx(index).GetBonds() if bond.GetBondType() == order)
    return sorted((bond.GetOtherAtomIdx(index) for bond in bonds), key=ranks.__getitem__)


def _ends_path(atom: Chem.Atom) -> bool:
    """Whether an atom is a cation with one double bond, such as =[NH+]."""
    if atom.GetFormalCharge() != 1 or atom.GetAtomicNum() not in _HETERO:
        return False
    orders = [bond.GetBondType() for bond in atom.GetBonds()]
    return orders.count(_DOUBLE) == 1 and _TRIPLE not in orders


def _path(previous: dict[int, int], end: int) -> list[int]:
    path = [end]
    while previous[path[-1]] >= 0:
        path.append(previous[path[-1]])
    return path[::-1]


def _shift(mol: Chem.RWMol, path: list[int]) -> None:
    """Exchange single and double bonds of a path, and remove the charges of its ends."""
    for position, (a, b) in enumerate(pairwise(path)):
        _set_bond(mol.GetBondBetweenAtoms(a, b), _SINGLE if position % 2 else _DOUBLE)
    for index in (path[0], path[-1]):
        mol.GetAtomWithIdx(index).SetFormalCharge(0)


def _set_bond(bond: Chem.Bond, order: Chem.BondType) -> None:
    bond.SetBondType(order)
    bond.SetStereo(Chem.BondStereo.STEREONONE)
    bond.SetBondDir(Chem.BondDir.NONE)
