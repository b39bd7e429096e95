"""SMILES in and out: the only module that calls RDKit's parser or touches RDKit's log.

RDKit explains a bad SMILES only in its log. `parse` works the reason out again, so that nobody has to
redirect a global log to learn that ring 1 was never closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from molvae.errors import MoleculeError

MAX_SMILES_LENGTH = 5000
"""Longer strings are rejected unread: RDKit's ring and stereo perception can take minutes on them."""

SHOWN = 80
"""Characters of a SMILES that is told of."""

_TOKEN = re.compile(r"\[[^\[\]]*\]|%[0-9]{2}|%\([0-9]+\)|[0-9]|Br|Cl|[BCNOPSFI]|[bcnops]|[()=#$:/\\.~*@+-]")
_NEEDS_ALL = re.compile(r"[@/\\]|\[H|[^\x00-\x7f]")  # stereo to perceive, hydrogens to fold in, or no SMILES at all
_NAMED = re.compile(r"\S\s+[^|\s]")  # RDKit would take what follows white space for a name, and say nothing
_AS_WRITTEN = Chem.SmilesParserParams()
_AS_WRITTEN.sanitize = _AS_WRITTEN.removeHs = False  # type: ignore[assignment]
_BARE = (
    Chem.SanitizeFlags.SANITIZE_ALL
    ^ Chem.SanitizeFlags.SANITIZE_SETCONJUGATION
    ^ Chem.SanitizeFlags.SANITIZE_SETHYBRIDIZATION
)
_FRAGMENTS = rdMolStandardize.CleanupParameters()
_FRAGMENTS.preferOrganic = True  # type: ignore[assignment]
# RDKit's default counts hydrogens too, and keeps the butane of butane and benzene
_FRAGMENTS.largestFragmentChooserCountHeavyAtomsOnly = True  # type: ignore[assignment]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep RDKit's log silent inside the block, and leave it as the caller had it."""
    block = rdBase.BlockLogs()
    try:
        yield
    finally:
        del block


def parse(smiles: str) -> Chem.Mol:
    """Read one SMILES into a sanitized molecule.

    Raises `MoleculeError` saying what is wrong with the string, e.g.
    "cannot read SMILES 'C1CC': ring 1 opened but not closed".
    """
    with quiet():
        return parse_quietly(smiles)


def parse_quietly(smiles: str, *, bare: bool = False) -> Chem.Mol:
    """`parse` for loops that keep a `quiet` block open around themselves: opening one costs a tenth of a parse.

    `bare` leaves out what neither a SMILES nor a graph shows, conjugation and hybridisation: another tenth.
    """
    text = smiles.strip() if isinstance(smiles, str) else ""
    if not text:
        if isinstance(smiles, Chem.Mol):
            raise MoleculeError("a SMILES is text, and this is a molecule: Chem.MolToSmiles(mol) writes its SMILES")
        raise MoleculeError(f"cannot read SMILES {smiles!r}: it is empty")
    if len(text) > MAX_SMILES_LENGTH:
        raise MoleculeError(
            f"cannot read SMILES {shortened(text)!r}: {len(text):,} characters, more than {MAX_SMILES_LENGTH:,}"
        )
    plain = bare and not _NEEDS_ALL.search(text)
    mol = None if _NAMED.search(text) else _read_bare(text) if plain else _read(text)
    if mol is None:
        raise MoleculeError(f"cannot read SMILES {shortened(text)!r}: {_reason(text)}")
    if mol.GetNumAtoms() == 0:
        raise MoleculeError(f"cannot read SMILES {shortened(text)!r}: no atoms in it")
    return mol


def shortened(smiles: str) -> str:
    """A SMILES, or what was given as one, as messages show it."""
    return smiles if len(smiles) <= SHOWN else smiles[:SHOWN] + "..."


def write(mol: Chem.Mol) -> str:
    """RDKit's canonical isomeric SMILES: the one string molvae knows a molecule by."""
    return str(Chem.MolToSmiles(mol))


def canonical(smiles: str) -> str:
    """Read and write: the canonical isomeric SMILES of `smiles`. Raises `MoleculeError`."""
    return write(parse(smiles))


def canonical_or_none(smiles: str) -> str | None:
    """`canonical` for strings that often fail, such as a decoder's: None instead of a reason."""
    with quiet():
        mol = molecule_or_none(smiles)
        return None if mol is None else written_or_none(mol, smiles)


def written_or_none(mol: Chem.Mol, smiles: str) -> str | None:
    """`write`, inside a `quiet` of the caller's; None where RDKit cannot read what it writes (some aromatic sulfur).

    `smiles` is what `mol` was read from: where that is canonical already, as a decoder's mostly is, there is no doubt.
    """
    text = write(mol)
    return text if text == smiles or _read(text) is not None else None


def molecule_or_none(smiles: str) -> Chem.Mol | None:
    """`parse` for such strings, inside a `quiet` of the caller's."""
    if not smiles or len(smiles) > MAX_SMILES_LENGTH or _NAMED.search(smiles):
        return None
    mol = _read(smiles)
    return mol if mol is not None and mol.GetNumAtoms() else None


def without_stereo(mol: Chem.Mol) -> str:
    """The canonical SMILES of what a molecule's stereoisomers share; isotopes are left out too."""
    return str(Chem.MolToSmiles(mol, isomericSmiles=False))


def standardize(mol: Chem.Mol, *, strip_salts: bool = True, neutralize: bool = False) -> Chem.Mol:
    """A cleaned copy: functional groups normalized; stereo and, unless `neutralize`, charges kept.

    A group has one spelling afterwards: nitro is [N+](=O)[O-], and RDKit writes a sulfoxide as [S+][O-].

    `strip_salts` keeps the fragment with the most heavy atoms (organic ones preferred), so sodium acetate
    becomes acetate. `neutralize` then adds or removes protons where that removes a charge; quaternary
    nitrogens keep theirs.
    """
    with quiet():
        clean = rdMolStandardize.Cleanup(mol)
        if strip_salts:
            clean = rdMolStandardize.LargestFragmentChooser(_FRAGMENTS).choose(clean)
        if neutralize:
            clean = rdMolStandardize.Uncharger().uncharge(clean)
        Chem.AssignStereochemistry(clean, cleanIt=True, force=True)
        return clean


def _read(smiles: str) -> Chem.Mol | None:
    try:
        return Chem.MolFromSmiles(smiles)
    except UnicodeEncodeError:  # a lone surrogate, what Python makes of bytes that are not text
        return None


def _read_bare(smiles: str) -> Chem.Mol | None:
    mol = Chem.MolFromSmiles(smiles, _AS_WRITTEN)
    if mol is None or Chem.SanitizeMol(mol, _BARE, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return mol


def _reason(smiles: str) -> str:
    """Why RDKit rejects `smiles`: spelling first, then branches and rings, then atoms, then chemistry."""
    return _misspelling(smiles) or _unbalanced(smiles) or _unknown_atom(smiles) or _impossible(smiles)


def _misspelling(smiles: str) -> str | None:
    position = 0
    while position < len(smiles):
        match = _TOKEN.match(smiles, position)
        if match is None and smiles[position] == "[":
            return f"the '[' at position {position + 1} has no ']'"
        if match is None:
            return f"unexpected {smiles[position]!r} at position {position + 1}"
        position = match.end()
    return None


def _unbalanced(smiles: str) -> str | None:
    depth, open_rings = 0, set[int]()
    for token in _TOKEN.findall(smiles):
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
            if depth < 0:
                return "a ')' without its '('"
        elif token[0] == "%" or token.isdigit():
            open_rings ^= {int(token.strip("%()"))}
    if depth:
        return f"{depth} '(' without ')'"
    if open_rings:
        return f"ring {min(open_rings)} opened but not closed"
    return None


def _unknown_atom(smiles: str) -> str | None:
    for token in _TOKEN.findall(smiles):
        if token[0] == "[" and Chem.MolFromSmiles(token, sanitize=False) is None:
            return f"{token} is not an atom"
    return None


def _impossible(smiles: str) -> str:
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return "not valid SMILES syntax"
    problems = Chem.DetectChemistryProblems(mol)
    return problems[0].Message().strip() if problems else "RDKit cannot sanitize it"
