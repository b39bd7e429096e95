"""Many SMARTS searched for in one molecule, most of them ruled out by what it lacks before any is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs

from molvae.chem.smiles import silence_rdkit
from molvae.errors import InputError

Fingerprint = NDArray[np.uint64]

_BITS = 2048
_MARKS = (
    "[#6]=[#6]", "[#7]-c", "[#8;!H0]", "[F,Cl,Br,I]", "[#7][#7]", "[+,-]", "[#8]c", "[C;R2]", "[#7;!H0;!H1]",
    "[#7]!@[#7]", "[#7]=[#6]", "[c;R2][c;R2]", "[#7]-[#6;!H0]", "[F,Cl,Br,I,S]", "[#6]#[#6]",
)  # fmt: skip
"""Atoms and bonds that many patterns ask for and few molecules have, where RDKit's fingerprint does not tell."""


class PatternSet:
    """Named SMARTS. `hydrogens`: [H] and [#1] in a pattern are hydrogens of the atom beside them, whether or not the
    molecule has them as atoms; no other atom of a pattern, be it `*`, is a hydrogen.

    A pattern that occurs in a molecule needs no trait that the molecule lacks; the few patterns that pass this test are
    searched for. Hydrogens are counted, not added as atoms: that would triple what the traits cost. Raises `InputError`
    for what is not SMARTS, or for hydrogens that cannot be counted, as one that may as well be another atom.
    """

    def __init__(self, smarts: Mapping[str, str], *, hydrogens: bool = False) -> None:
        self.names = list(smarts)
        self._queries = [_query(text, hydrogens) for text in smarts.values()]
        self._needs = np.stack([_needs(query) for query in self._queries], axis=1)  # words x patterns

    def found(self, mol: Chem.Mol, of: Fingerprint | None = None) -> list[str]:
        """The names of the patterns that occur in `mol`, in the order given; `of`: its `pattern_fingerprint`, if they are there."""
        return list(self._search(mol, of))

    def any_in(self, mol: Chem.Mol, of: Fingerprint | None = None) -> bool:
        """Whether one of them occurs in `mol`; stops at the first."""
        return next(self._search(mol, of), None) is not None

    def _search(self, mol: Chem.Mol, of: Fingerprint | None) -> Iterator[str]:
        lacking = ~(pattern_fingerprint(mol) if of is None else of)[:, None]
        for index in np.flatnonzero(np.bitwise_or.reduce(self._needs & lacking) == 0):
            if mol.HasSubstructMatch(self._queries[index]):
                yield self.names[index]


def pattern_fingerprint(mol: Chem.Mol) -> Fingerprint:
    """What patterns may need: RDKit's pattern fingerprint, made for that, and which of `_MARKS` occur; packed bits.

    Worth keeping where several sets of patterns are searched for in one molecule: it costs as much as they do.
    """
    marks = sum(1 << place for place, mark in enumerate(_marks()) if mol.HasSubstructMatch(mark.query))
    return _packed(mol, marks)


def _needs(query: Chem.Mol) -> Fingerprint:
    parts = set(_parts(query))
    marks = (any(part.needs(mark.part) for part in parts) for mark in _marks())
    return _packed(query, sum(1 << place for place, needed in enumerate(marks) if needed))


def _packed(mol: Chem.Mol, marks: int) -> Fingerprint:
    fingerprint = DataStructs.BitVectToBinaryText(Chem.PatternFingerprint(mol, _BITS))
    return np.frombuffer(fingerprint + marks.to_bytes(8, "little"), dtype=np.uint64)


def _query(smarts: str, hydrogens: bool) -> Chem.Mol:
    with silence_rdkit():
        query = Chem.MolFromSmarts(smarts)
        if query is None:
            raise InputError(f"cannot read SMARTS {smarts!r}")
        if not hydrogens:
            return query
        merged = Chem.MergeQueryHs(query)
    if any(Chem.HasQueryHs(merged)):
        raise InputError(f"the hydrogens in SMARTS {smarts!r} cannot be counted: each has to be beside another atom")
    return merged


# --- which marks a pattern needs ---

Conditions = frozenset[frozenset[frozenset[str]]]
"""What an atom or a bond has to be: of each set one alternative, which is all that stands in it."""

_IMPLIED = {
    "C": ["#6"], "c": ["#6"], "N": ["#7"], "n": ["#7"], "O": ["#8"], "o": ["#8"], "S": ["#16"], "s": ["#16"],
    "H1": ["!H0"], "H2": ["!H0", "!H1"], "H3": ["!H0", "!H1"],
}  # fmt: skip
"""Conditions that follow from another."""


class _Part(NamedTuple):
    """An atom of a pattern, or two and the bond between them."""

    begin: Conditions
    bond: Conditions = frozenset()
    end: Conditions = frozenset()

    def needs(self, other: _Part) -> bool:
        """Whether whatever matches this has the other in it."""
        turned = _Part(self.end, self.bond, self.begin)
        return any(all(map(_follow, part, other)) for part in (self, turned))


class _Mark(NamedTuple):
    query: Chem.Mol
    part: _Part


@cache
def _marks() -> tuple[_Mark, ...]:
    queries = [Chem.MolFromSmarts(smarts) for smarts in _MARKS]
    return tuple(_Mark(query, _parts(query)[-1]) for query in queries)


def _parts(query: Chem.Mol) -> list[_Part]:
    atoms = [_Part(_conditions(atom.GetSmarts())) for atom in query.GetAtoms()]
    ends = [(atoms[bond.GetBeginAtomIdx()].begin, atoms[bond.GetEndAtomIdx()].begin) for bond in query.GetBonds()]
    kinds = [bond.GetSmarts() or "-,:" for bond in query.GetBonds()]  # type: ignore[call-arg]
    return [*atoms, *(_Part(a, _conditions(kind), b) for (a, b), kind in zip(ends, kinds, strict=True))]


@cache
def _conditions(smarts: str) -> Conditions:
    """`[C;H1,H2;!R]` as C, #6, H1 or H2, !R, with all that follows from each; what stands in $() is one condition,
    whatever it says."""
    found = set[frozenset[frozenset[str]]]()
    for clause in _split(smarts.removeprefix("[").removesuffix("]"), ";"):
        alternatives = [_alternative(text) for text in _split(clause, ",")]
        if len(alternatives) > 1:
            found.add(frozenset(alternatives))
        else:
            found |= {frozenset([frozenset([condition])]) for condition in alternatives[0]}
    return frozenset(found)


def _alternative(text: str) -> frozenset[str]:
    conditions = _split(text, "&")
    return frozenset(each for condition in conditions for each in (condition, *_IMPLIED.get(condition, ())))


def _split(text: str, separator: str) -> list[str]:
    """At the separators that stand in no parentheses or brackets."""
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


@cache  # of hundreds of patterns most atoms and bonds are alike
def _follow(given: Conditions, asked: Conditions) -> bool:
    """Whether what fulfils `given` fulfils all that is asked."""
    return all(any(_implies(one, wanted) for one in given) for wanted in asked)


def _implies(given: frozenset[frozenset[str]], wanted: frozenset[frozenset[str]]) -> bool:
    """Whether each alternative of the one is more than some alternative of the other."""
    return all(any(less <= more for less in wanted) for more in given)
