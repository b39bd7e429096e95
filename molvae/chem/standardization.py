"""The identity of a molecule: `prepare` turns a SMILES as written by a user into the one that molvae compares.

Two SMILES are the same molecule if `prepare` writes them as the same text. It is decided only here, for training data,
seeds, libraries, references and generated molecules: salts are stripped, sulfoxides and the like are written in one
form (`charge_separation`), explicit hydrogens and atom maps are removed, and stereo marks that say nothing are left
out. The text is RDKit's canonical isomeric SMILES, which stays the same if it is prepared again. Stereoisomers,
isotopologues, tautomers and protonation states are different molecules.

Most SMILES have nothing that could need a change; a regular expression recognizes them, so that preparing them costs as
much as parsing and writing them.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from rdkit import Chem

from molvae.chem.canonical_smiles import stable_smiles
from molvae.chem.charge_separation import has_opposite_charges, merge_charges
from molvae.chem.rdkit_guard import RDKIT_ERRORS, molecule_error, silence_rdkit
from molvae.chem.smiles import MAX_SMILES_LENGTH, REMOVE_HS, largest_fragment, parse, parse_or_none, shortened, write
from molvae.chem.smiles import standardize as standardize_mol
from molvae.chem.stereo_marks import remove_implied_nitrogen_stereo, unrepresented_stereo, without_enhanced_stereo
from molvae.errors import MoleculeError

# fragments, CX blocks, unusual bonds (: is no atom map if no digits and ] follow), isotopes, hydrogen atoms, atom maps,
# stereo of nitrogen and of allenes
_MAY_CHANGE = re.compile(r"[.|~>$\s]|:(?!\d+\])|\[\d|\[H|:\d+\]|\[N@|@[A-Z]{2}\d|=\[C@|\[C@@?\][%\d]*\(?=")
_NITRO = re.compile(r"\[N\+\]\(=O\)\[O-\]|\[O-\]\[N\+\]\(=O\)|\[N\+\]\(\[O-\]\)=O")
# aromatic sulfur with three neighbors, cages of ten rings, unspecified bonds: written by RDKit, but not always read
_MAY_BE_UNREADABLE = re.compile(r"s\(|s[%\d]+[A-Za-z(=]|%\d|~")
# a double bond between aromatic atoms, which makes RDKit read a ring as aromatic that it then cannot read again
_DOUBLE_AROMATIC_BOND = re.compile(r"[bcnops\]]\)?=(?:[%\d]|[bcnops])")
_ISOTOPE = re.compile(r"\[\d")
# marks that change the SMILES even if it does not show them: c:1 in a CX block, [C@AL1], ~ in an aromatic ring, and :
# outside of one
_HIDDEN_MARKS = re.compile(r"[|~]|:(?!\d+\])|@[A-Z]{2}\d")
_MAX_FRAGMENTS_SHOWN = 3


class PreparedMolecule(NamedTuple):
    """A molecule, its identity, and what was changed.

    Attributes
    ----------
    mol : rdkit.Chem.Mol
        The sanitized molecule.
    smiles : str
        Its identity: the canonical isomeric SMILES. `prepare(smiles)` returns the same text.
    notes : tuple of str
        What was removed or cannot be represented, such as "salt removed: [Na+]".
    """

    mol: Chem.Mol
    smiles: str
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The notes in one text, "" if there are none."""
        return "; ".join(self.notes)


def prepare(
    smiles: str,
    *,
    keep_salts: bool = False,
    keep_isotopes: bool = True,
    standardize: bool = False,
    conjugation: bool = True,
) -> PreparedMolecule:
    """Parse a SMILES and determine the identity of the molecule.

    Parameters
    ----------
    smiles : str
        May have a CX block, such as ``C[C@H](O)F |&1:1|``.
    keep_salts : bool
        Keep all fragments. Otherwise only the largest is kept, organic ones first: sodium acetate becomes acetate.
    keep_isotopes : bool
        False removes isotope labels, which models cannot represent.
    standardize : bool
        Also clean up functional groups and metals with RDKit's MolStandardize.
    conjugation : bool
        As in `parse`.

    Returns
    -------
    PreparedMolecule

    Raises
    ------
    MoleculeError
        If the SMILES is invalid.

    Examples
    --------
    >>> prepare("C[S+]([O-])c1ccccc1.Cl").smiles
    'CS(=O)c1ccccc1'
    >>> prepare("CC(=O)[O-].[Na+]").notes
    ('salt removed: [Na+]',)
    """
    mol = parse(smiles, conjugation=conjugation)
    with silence_rdkit():
        try:
            if standardize or _may_change(smiles):
                prepared = _prepare_fully(mol, smiles.strip(), keep_salts, keep_isotopes, standardize)
            else:
                prepared = PreparedMolecule(*stable_smiles(mol, smiles))
        except RDKIT_ERRORS as error:
            raise molecule_error(error, f"cannot standardize SMILES {shortened(smiles)!r}") from None
    if len(prepared.smiles) > MAX_SMILES_LENGTH or (
        prepared.smiles != smiles
        and (_MAY_BE_UNREADABLE.search(prepared.smiles) or _DOUBLE_AROMATIC_BOND.search(smiles))
    ):
        _require_readable(prepared.smiles)
    return prepared


def without_isotopes(molecule: PreparedMolecule) -> PreparedMolecule:
    """The molecule without isotope labels, which graphs and fingerprints do not have; itself if there are none.

    The notes stay, because the labels are still in the identity of the molecule.
    """
    if not _ISOTOPE.search(molecule.smiles):
        return molecule
    bare = prepare(molecule.smiles, keep_salts=True, keep_isotopes=False)
    return bare._replace(notes=molecule.notes)


def fingerprint_mol(mol: Chem.Mol, smiles: str) -> Chem.Mol:
    """The molecule whose fingerprint is compared: without isotope labels, which are no structural difference.

    `smiles` is the identity of `mol`.
    """
    return without_isotopes(PreparedMolecule(mol, smiles)).mol


def prepare_sample(sample: str) -> PreparedMolecule | None:
    """`prepare` without stripping salts, for decoder samples, which are often invalid: None instead of an error.

    None also if RDKit cannot parse its own canonical SMILES. Call it inside a `silence_rdkit` block.
    """
    mol = parse_or_none(sample)
    if mol is None:
        return None
    try:
        if _may_change(sample):
            prepared = _prepare_fully(mol, sample, keep_salts=True, keep_isotopes=True, standardize=False)
        else:
            prepared = PreparedMolecule(*stable_smiles(mol, sample))
    except RDKIT_ERRORS:
        return None
    return prepared if prepared.smiles == sample or parse_or_none(prepared.smiles) is not None else None


def identity_or_none(smiles: str) -> str | None:
    """The identity of a decoder sample as of `prepare_sample`, or None."""
    with silence_rdkit():
        prepared = prepare_sample(smiles)
    return None if prepared is None else prepared.smiles


def _require_readable(smiles: str) -> None:
    """Raise `MoleculeError` if a canonical SMILES cannot be parsed."""
    try:
        parse(smiles)
    except MoleculeError as error:
        raise MoleculeError(f"its canonical SMILES cannot be parsed: {error}") from None


def _may_change(smiles: str) -> bool:
    """Whether the molecule can have another identity than its canonical SMILES. False for most molecules."""
    if _MAY_CHANGE.search(smiles):
        return True
    if "+" not in smiles or "-" not in smiles:
        return False
    rest = _NITRO.sub("", smiles) if "[N+]" in smiles else smiles
    return "+" in rest and "-" in rest


def _prepare_fully(
    mol: Chem.Mol, smiles: str, keep_salts: bool, keep_isotopes: bool, standardize: bool
) -> PreparedMolecule:
    notes = unrepresented_stereo(mol, smiles)
    mol = _without_labels(mol, keep_isotopes, notes)
    mol = _without_explicit_hydrogens(mol, notes)
    mol = without_enhanced_stereo(mol, notes)
    if standardize:
        mol = standardize_mol(mol, strip_salts=False)
    if not keep_salts:
        mol = _without_salts(mol, notes)
    if has_opposite_charges(mol):
        mol = merge_charges(mol)
    mol = remove_implied_nitrogen_stereo(mol, notes)
    if _HIDDEN_MARKS.search(smiles):
        mol = parse(write(mol))
    mol, text = stable_smiles(mol, smiles)
    return PreparedMolecule(mol, text, tuple(notes))


def _without_labels(mol: Chem.Mol, keep_isotopes: bool, notes: list[str]) -> Chem.Mol:
    """Without atom map numbers, and without isotope labels unless they are kept."""
    mapped = [atom for atom in mol.GetAtoms() if atom.GetAtomMapNum()]
    labelled = [] if keep_isotopes else [atom for atom in mol.GetAtoms() if atom.GetIsotope()]
    for atom in mapped:
        atom.SetAtomMapNum(0)
    for atom in labelled:
        atom.SetIsotope(0)
    if mapped:
        notes.append("atom map numbers removed")
    if labelled:
        notes.append("isotope labels removed")
    if mapped or labelled:
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol


def _without_explicit_hydrogens(mol: Chem.Mol, notes: list[str]) -> Chem.Mol:
    """Without hydrogen atoms that are implied, also those that RDKit keeps for the stereo of a double bond."""
    if not any(atom.GetAtomicNum() == 1 and not atom.GetIsotope() for atom in mol.GetAtoms()):
        return mol
    n_before = _n_stereo_bonds(mol)
    mol = Chem.RemoveHs(mol, REMOVE_HS)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    if _n_stereo_bonds(mol) < n_before:
        notes.append("E/Z of =NH removed")
    return mol


def _n_stereo_bonds(mol: Chem.Mol) -> int:
    """Double bonds with two substituents each whose E or Z is specified."""
    return sum(
        bond.GetStereo() > Chem.BondStereo.STEREOANY
        and 7 in (bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum())
        for bond in mol.GetBonds()
    )


def _without_salts(mol: Chem.Mol, notes: list[str]) -> Chem.Mol:
    """The largest fragment."""
    fragments = Chem.GetMolFrags(mol)
    if len(fragments) == 1:
        return mol
    kept = largest_fragment(mol)
    texts = Counter(write(mol).split("."))
    texts.subtract([write(kept)])
    removed = [f"{text} x{n}" if n > 1 else text for text, n in sorted(texts.items()) if n > 0]
    more = f" and {len(removed) - _MAX_FRAGMENTS_SHOWN} more" if len(removed) > _MAX_FRAGMENTS_SHOWN else ""
    notes.append(f"salt removed: {', '.join(map(shortened, removed[:_MAX_FRAGMENTS_SHOWN]))}{more}")
    return kept
