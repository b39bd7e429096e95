"""Read and write SMILES. All other modules parse through `parse`, which explains why a SMILES is invalid.

RDKit reports the reason only in its log, which is global. `parse` silences the log and determines the reason itself. It
is stricter than RDKit, which ignores control characters and characters that are not ASCII at both ends of a SMILES, and
text after it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, deque
from collections.abc import Sequence
from operator import itemgetter

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from molvae.chem.rdkit_guard import RDKIT_ERRORS, molecule_error, rdkit_guard, rdkit_reason
from molvae.chem.rdkit_guard import silence_rdkit as silence_rdkit
from molvae.errors import MoleculeError

MAX_SMILES_LENGTH = 5000
"""Longer SMILES are rejected without parsing: ring and stereo perception can take RDKit minutes."""

MAX_RING_SIZE = 2000
"""Atoms of the largest ring. The time of RDKit grows with the square of it."""

MAX_RING_ATOMS = 20_000
"""Sum of the sizes of all rings (the smallest set of smallest rings, made symmetric)."""

MAX_EXTRA_RINGS = 20
"""A molecule may have this many more rings than atoms, which carboranes and metal clusters do not reach.

The time of a substructure search grows exponentially with the number of bonds for each atom.
"""

MAX_CAGE_RINGS = 150
"""Rings of a molecule with less than 1.5 atoms for each ring, such as a lattice; fullerenes have 1.9."""

MAX_QUERY_RINGS = 24
"""Rings of a molecule with * atoms and a CX extension, which makes them queries: RDKit tests all unions of rings."""

MAX_RING_PATHS = 20_000
"""Rings of equal size through one bond, as in a ring of fused rings. The time of RDKit grows with their number."""

MAX_RING_BONDS = 24
"""Bonds of an atom in a molecule with as many rings. Two atoms with 300 paths between them take RDKit a minute."""

MAX_STANDARDIZED = 500
"""Atoms of the largest molecule that is standardized. The time of RDKit grows with the cube of it."""

MAX_SHOWN = 80
"""Characters of a SMILES that are shown in a message."""

WHITE_SPACE = " \t\n\r\v\f"
"""Characters that may precede and follow a SMILES. Other white space, such as a no-break space, is reported."""

# a word of three or more letters, perhaps with digits, such as imatinib or CHEMBL25
_LOOKS_LIKE_NAME = re.compile(r"(?=.*[A-Za-z]{3})[\w][\w ,'-]*", re.ASCII)
_LONG = 80  # characters; shorter SMILES cannot have rings that are large or many enough to be slow
_TOKEN = re.compile(r"\[[^\[\]]*\]|%[0-9]{2}|%\([0-9]+\)|[0-9]|Br|Cl|[BCNOPSFI]|[bcnops]|->|<-|[()=#$:/\\.~*@+-]")
# ASCII characters without white space, and perhaps a ChemAxon extension (CX), which may contain any text
_SMILES = re.compile(rf"[!-~]+(?:[{WHITE_SPACE}]+\|[^|]*\|?)?")
# SMILES with stereo, explicit hydrogens, or a CX extension
_NEEDS_FULL_PARSE = re.compile(r"[@/\\|]|\[0*H")
_TOO_MANY_HYDROGENS = re.compile(r"H\d\d")
_NOT_SMILES = re.compile(r"[^!-~]")
REMOVE_HS = Chem.RemoveHsParameters()
REMOVE_HS.removeDefiningBondStereo = True  # type: ignore[assignment]
"""Also removes hydrogens that RDKit keeps for the stereo of a double bond, as in [H]/N=C(/N)C."""
_SILENT = silence_rdkit()
_UNSANITIZED = Chem.SmilesParserParams()
_UNSANITIZED.sanitize = _UNSANITIZED.removeHs = False  # type: ignore[assignment]
_WITHOUT_CONJUGATION = (
    Chem.SanitizeFlags.SANITIZE_ALL
    ^ Chem.SanitizeFlags.SANITIZE_SETCONJUGATION
    ^ Chem.SanitizeFlags.SANITIZE_SETHYBRIDIZATION
)
_MAX_VISITED = 300_000  # atoms that are visited in a search for rings, which takes 0.1 s
_MAX_CHOSEN = 20  # fragments that RDKit chooses from
_CLEANUP = rdMolStandardize.CleanupParameters()
_CLEANUP.preferOrganic = True  # type: ignore[assignment]
# by default RDKit counts hydrogens, too, and would keep butane from a mixture of butane and benzene
_CLEANUP.largestFragmentChooserCountHeavyAtomsOnly = True  # type: ignore[assignment]


def parse(smiles: str, *, conjugation: bool = True) -> Chem.Mol:
    """Parse a SMILES into a sanitized molecule.

    Parameters
    ----------
    smiles : str
        At most 5,000 characters; ASCII white space at both ends is ignored.
    conjugation : bool
        False skips conjugation and hybridization, which neither a SMILES nor a `MolGraph` contains; this saves a tenth
        of the time.

    Returns
    -------
    rdkit.Chem.Mol

    Raises
    ------
    MoleculeError
        With the reason, such as "cannot read SMILES 'C1CC': ring 1 opened but not closed".
    """
    text = smiles.strip(WHITE_SPACE) if isinstance(smiles, str) else ""
    if not text:
        if isinstance(smiles, Chem.Mol):
            raise MoleculeError(
                "expected a SMILES string, got an RDKit molecule: convert it with Chem.MolToSmiles(mol)"
            )
        raise MoleculeError(f"cannot read SMILES {smiles!r}: it is empty")
    if len(text) > MAX_SMILES_LENGTH:
        raise MoleculeError(
            f"cannot read SMILES {shortened(text)!r}: {len(text):,} characters, more than {MAX_SMILES_LENGTH:,}"
        )
    with silence_rdkit():
        try:
            mol = _mol_from_text(text, conjugation)
            reason = "" if mol is not None else _reason(text)
        except RDKIT_ERRORS as error:
            mol, reason = None, rdkit_reason(error)
    if mol is None:
        raise MoleculeError(f"cannot read SMILES {shortened(text)!r}: {reason}")
    return mol


def _mol_from_text(text: str, conjugation: bool) -> Chem.Mol | None:
    """The molecule of a SMILES, or None if RDKit rejects it.

    Raises one of `RDKIT_ERRORS`; `MoleculeError` for molecules on which RDKit would spend seconds or hours.
    """
    if _SMILES.fullmatch(text) is None:
        return None
    if len(text) > _LONG:
        _check_ring_closures(text)
    full = conjugation or _NEEDS_FULL_PARSE.search(text)
    mol = Chem.MolFromSmiles(text) if full else _mol_without_conjugation(text)
    if mol is None:
        return None
    if not (atoms := mol.GetNumAtoms()):
        raise MoleculeError("no atoms in it")
    if (extra := mol.GetNumBonds() - 2 * atoms) > MAX_EXTRA_RINGS:
        raise MoleculeError(_too_many_rings(extra + atoms, atoms))
    if len(text) > _LONG:
        _check_ring_sizes(mol)
    return mol


def _check_ring_closures(text: str) -> None:
    """Reject a SMILES with more rings than `MAX_EXTRA_RINGS` allows, before RDKit searches for them."""
    tokens = Counter(map(itemgetter(0), _TOKEN.findall(text)))
    # a ring closure across a dot, as in C1.C1, may be a bond of a chain
    rings = sum(number for char, number in tokens.items() if char in "%0123456789") // 2 - tokens["."]
    atoms = sum(number for char, number in tokens.items() if char in "[*" or char.isalpha())
    if rings > atoms + MAX_EXTRA_RINGS:
        raise MoleculeError(_too_many_rings(rings, atoms))
    if rings > MAX_QUERY_RINGS and tokens["*"] and "|" in text:
        raise MoleculeError(f"{rings:,} rings, * atoms and a CX extension: more than {MAX_QUERY_RINGS} rings")
    if rings > MAX_CAGE_RINGS and 2 * atoms < 3 * rings:
        limit = f"more than {MAX_CAGE_RINGS}, of less than 1.5 atoms each"
        raise MoleculeError(f"{rings:,} rings of {atoms:,} atoms: {limit}")
    if rings <= MAX_RING_BONDS and (atoms <= MAX_RING_SIZE or not rings):
        return
    if (mol := Chem.MolFromSmiles(text, _UNSANITIZED)) is None:
        return
    bonds = max((atom.GetDegree() for atom in mol.GetAtoms()), default=0)
    if rings > MAX_RING_BONDS and bonds > MAX_RING_BONDS:
        raise MoleculeError(f"an atom with {bonds:,} bonds and {rings:,} rings, more than {MAX_RING_BONDS} each")
    _check_rings_of_bonds(mol)


def _check_rings_of_bonds(mol: Chem.Mol) -> None:
    """Reject large rings, and rings that can be closed in too many ways, before RDKit searches for rings."""
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    neighbors: list[list[int]] = [[] for _ in range(mol.GetNumAtoms())]
    for a, b in ends:
        neighbors[a].append(b)
        neighbors[b].append(a)
    # bonds that close a ring in the SMILES, those between distant atoms first: they close the large rings
    closures = sorted(((abs(a - b), a, b) for a, b in ends if abs(a - b) > 1), reverse=True)
    left = _MAX_VISITED
    for _, a, b in closures:
        size, n_paths, n_visited = _smallest_ring(neighbors, a, b)
        left -= n_visited
        if size > MAX_RING_SIZE:
            raise MoleculeError(f"a ring of {size:,} atoms, more than {MAX_RING_SIZE:,}")
        if n_paths > MAX_RING_PATHS:
            raise MoleculeError(f"{n_paths:,} rings of {size:,} atoms with one bond, more than {MAX_RING_PATHS:,}")
        if left < 0:
            return


def _smallest_ring(neighbors: list[list[int]], start: int, end: int) -> tuple[int, int, int]:
    """The size of the smallest ring of a bond, 0 if it is not in a ring; the number of rings of this size; the number
    of atoms that were visited."""
    distance, n_paths = {start: 1}, {start: 1}
    queue = deque([start])
    while queue and distance[queue[0]] < distance.get(end, len(neighbors) + 1):
        atom = queue.popleft()
        for other in neighbors[atom]:
            if (atom, other) == (start, end):
                continue
            if other not in distance:
                distance[other], n_paths[other] = distance[atom] + 1, 0
                queue.append(other)
            if distance[other] == distance[atom] + 1:
                n_paths[other] += n_paths[atom]
    return distance.get(end, 0), n_paths.get(end, 0), len(distance)


def _too_many_rings(rings: int, atoms: int) -> str:
    return f"{rings:,} rings of {atoms:,} atoms, more than the number of atoms plus {MAX_EXTRA_RINGS}"


def _check_ring_sizes(mol: Chem.Mol) -> None:
    sizes = [len(ring) for ring in mol.GetRingInfo().AtomRings()]
    if sum(sizes) > MAX_RING_ATOMS:
        raise MoleculeError(f"its rings have {sum(sizes):,} atoms in total, more than {MAX_RING_ATOMS:,}")
    if sizes and max(sizes) > MAX_RING_SIZE:
        raise MoleculeError(f"a ring of {max(sizes):,} atoms, more than {MAX_RING_SIZE:,}")


def shortened(smiles: str) -> str:
    """A SMILES for an error message, cut to 80 characters."""
    return smiles if len(smiles) <= MAX_SHOWN else smiles[:MAX_SHOWN] + "..."


def write(mol: Chem.Mol) -> str:
    """RDKit's canonical isomeric SMILES, by which molvae identifies a molecule. Raises `MoleculeError` if it fails."""
    try:
        with _SILENT:
            return str(Chem.MolToSmiles(mol))
    except RDKIT_ERRORS as error:
        raise molecule_error(error, "cannot write the molecule as SMILES") from error


def canonical(smiles: str) -> str:
    """The canonical isomeric SMILES of a SMILES. Raises `MoleculeError` as `parse` does.

    >>> canonical("OCC")
    'CCO'
    """
    return write(parse(smiles))


def canonical_or_none(smiles: str) -> str | None:
    """`canonical`, but None for an invalid SMILES; faster for texts that are often invalid, such as decoder samples."""
    with silence_rdkit():
        mol = parse_or_none(smiles)
        return None if mol is None else write_or_none(mol, smiles)


def write_or_none(mol: Chem.Mol, smiles: str) -> str | None:
    """`write`, but None if RDKit cannot parse its own output, which happens with some aromatic sulfur atoms.

    `smiles` is the text that `mol` was parsed from: if it is the canonical SMILES already, as most decoder samples are,
    it needs no check. Call it inside a `silence_rdkit` block.
    """
    try:
        text = write(mol)
        return text if text == smiles or Chem.MolFromSmiles(text) is not None else None
    except RDKIT_ERRORS:
        return None


def parse_or_none(smiles: str) -> Chem.Mol | None:
    """`parse`, but None for an invalid SMILES, also for one with white space at its ends.

    Call it inside a `silence_rdkit` block.
    """
    if len(smiles) > MAX_SMILES_LENGTH:
        return None
    try:
        return _mol_from_text(smiles, conjugation=True)
    except RDKIT_ERRORS:
        return None


@silence_rdkit()
def without_stereo(mol: Chem.Mol) -> str:
    """The canonical SMILES without stereo and isotopes: the same for all stereoisomers and isotopologues."""
    try:
        text = str(Chem.MolToSmiles(mol, isomericSmiles=False))
        if "[H]" not in text:
            return text
        unlabelled = Chem.RWMol(mol)  # deuterium would become an explicit hydrogen
        for atom in unlabelled.GetAtoms():
            atom.SetIsotope(0)
        return str(Chem.MolToSmiles(Chem.RemoveHs(unlabelled, REMOVE_HS), isomericSmiles=False))
    except RDKIT_ERRORS as error:
        raise molecule_error(error, "cannot write the molecule as SMILES") from error


def standardize(mol: Chem.Mol, *, strip_salts: bool = True, neutralize: bool = False) -> Chem.Mol:
    """A cleaned copy of a molecule, with functional groups normalized by RDKit's MolStandardize.

    Every group is written in one form: nitro as `[N+](=O)[O-]`, sulfoxide as `[S+][O-]`. Stereo is kept.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
    strip_salts : bool
        Keep only the fragment with the most heavy atoms, organic ones first: sodium acetate becomes acetate.
    neutralize : bool
        Add or remove protons to neutralize charges. Quaternary nitrogens remain charged.

    Returns
    -------
    rdkit.Chem.Mol

    Raises
    ------
    MoleculeError
        If RDKit cannot standardize the molecule, for example an aromatic ring with a metal, or would take seconds,
        because it has more than `MAX_STANDARDIZED` atoms.
    """
    if (atoms := mol.GetNumAtoms()) > MAX_STANDARDIZED and len(Chem.GetMolFrags(mol)) == 1:
        raise MoleculeError(f"cannot standardize the molecule: {atoms:,} atoms, more than {MAX_STANDARDIZED:,}")
    with rdkit_guard("cannot standardize the molecule"):
        clean = rdMolStandardize.Cleanup(mol)
        if strip_salts:
            clean = largest_fragment(clean)
        if neutralize:
            clean = rdMolStandardize.Uncharger().uncharge(clean)
        Chem.AssignStereochemistry(clean, cleanIt=True, force=True)
        return clean


def largest_fragment(mol: Chem.Mol) -> Chem.Mol:
    """The fragment with the most heavy atoms, organic ones first, then by weight and by SMILES."""
    fragments = Chem.GetMolFrags(mol)
    if len(fragments) > _MAX_CHOSEN:
        mol = _largest_fragments(mol, fragments)
    return rdMolStandardize.LargestFragmentChooser(_CLEANUP).choose(mol)


def _largest_fragments(mol: Chem.Mol, fragments: Sequence[Sequence[int]]) -> Chem.Mol:
    """A molecule of the largest fragments: RDKit's time to choose grows with the square of their number."""

    def size(fragment: Sequence[int]) -> tuple[bool, int, float]:
        atoms = [mol.GetAtomWithIdx(index) for index in fragment]
        numbers = [atom.GetAtomicNum() for atom in atoms]
        weight = sum(atom.GetMass() + 1.008 * atom.GetTotalNumHs() for atom in atoms)
        return 6 in numbers, sum(number > 1 for number in numbers), weight

    largest = Chem.RWMol(mol)
    largest.BeginBatchEdit()
    for fragment in sorted(fragments, key=size, reverse=True)[_MAX_CHOSEN:]:
        for index in fragment:
            largest.RemoveAtom(index)
    largest.CommitBatchEdit()
    Chem.SanitizeMol(largest)
    return largest.GetMol()


def _mol_without_conjugation(smiles: str) -> Chem.Mol | None:
    mol = Chem.MolFromSmiles(smiles, _UNSANITIZED)
    if mol is None or Chem.SanitizeMol(mol, _WITHOUT_CONJUGATION, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return mol


# --- why a SMILES is invalid ---


def _reason(smiles: str) -> str:
    """Why RDKit rejects a SMILES: characters first, then branches and rings, then atoms, then chemistry."""
    core, extension = smiles, ""
    if _SMILES.fullmatch(smiles):
        core, *rest = smiles.split(None, 1)
        extension = "".join(rest)
    return (
        _unexpected_character(core)
        or _unbalanced(core)
        or _unknown_atom(core)
        or _sanitization_error(core)
        or (f"the extension {shortened(extension)!r} is not valid" if extension else "RDKit cannot sanitize it")
    )


def _unexpected_character(smiles: str) -> str | None:
    if outside := _NOT_SMILES.search(smiles):
        return f"unexpected {_character(outside[0])} at position {outside.start() + 1}"
    position = 0
    while position < len(smiles):
        match = _TOKEN.match(smiles, position)
        if match is None and smiles[position] == "[":
            return f"the '[' at position {position + 1} has no ']'"
        if match is None and smiles[position] == ">":
            return f"the '>' at position {position + 1} belongs to a reaction, not to a molecule"
        if match is None:
            hint = "; it is not a SMILES, and names are not looked up" if _LOOKS_LIKE_NAME.fullmatch(smiles) else ""
            return f"unexpected {smiles[position]!r} at position {position + 1}{hint}"
        position = match.end()
    return None


def _character(char: str) -> str:
    """A character in a message; with its code point and name unless it is ASCII.

    >>> _character("O"), _character("\N{CYRILLIC CAPITAL LETTER O}")
    ("'O'", 'U+041E CYRILLIC CAPITAL LETTER O')
    """
    if char in WHITE_SPACE or " " < char <= "~":
        return repr(char)
    kind = "(a byte that is not UTF-8)" if "\udc80" <= char <= "\udcff" else "(control character)"
    return f"U+{ord(char):04X} {unicodedata.name(char, kind)}"


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
        if token[0] == "[" and (_TOO_MANY_HYDROGENS.search(token) or Chem.MolFromSmiles(token, sanitize=False) is None):
            return f"{shortened(token)} is not an atom"
    return None


def _sanitization_error(smiles: str) -> str | None:
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return "not valid SMILES syntax"
    problems = Chem.DetectChemistryProblems(mol)
    return problems[0].Message().strip() if problems else None
