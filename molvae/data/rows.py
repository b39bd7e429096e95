"""Rows of input files: records, invalid rows with the reason, and their counts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rdkit import Chem

from molvae.chem.rdkit_guard import rdkit_guard
from molvae.chem.smiles import MAX_SMILES_LENGTH, parse, shortened, write
from molvae.data.compression import compression_suffix
from molvae.errors import MoleculeError, one_line

ARGUMENT = "argument"
"""`source` of a SMILES that is an argument of a command or a function."""

WHITE_SPACE = " \t\r\n"
"""Characters that separate fields. Other white space, such as a no-break space, is part of a field."""

MAX_INVALID_ROWS_SHOWN = 20
"""Maximum number of invalid rows that a command prints one by one."""

_FORMATS = {
    **dict.fromkeys((".smi", ".smiles", ".ism", ".cxsmiles", ".cxsmi"), "smi"),
    ".txt": "txt",
    ".csv": "csv",
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".sdf", ".sd"), "sdf"),
    ".mol": "mol",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
_UNCOMPRESSED = ("parquet", "xlsx")  # formats that are never compressed a second time
_UNITS = {"sdf": "record", "mol": "record", "parquet": "row", "xlsx": "row"}
_CONTROL = re.compile(r"[ \t]*[\x00-\x1f\x7f-\x9f\u2028\u2029][\x00-\x20\x7f-\x9f\u2028\u2029]*")
_CX_BLOCK = re.compile(r"([^ \t]+)[ \t]+(\|[^|]*\|)[ \t]*(.*)")
_CX_COORDINATES = re.compile(r"\|(\([^()]*\))?\|")
_CX_STEREO = re.compile(r"[|,][o&]\d+:")

_NO_COLUMNS: Mapping[str, str] = {}  # one object, because most readers carry no columns


@dataclass(frozen=True, slots=True)
class Record:
    """A row with a SMILES, which has not been parsed yet.

    Attributes
    ----------
    smiles : str
        As in the source.
    name : str
        Name of the molecule, or "".
    source : str
        File name as passed by the user, "-" for standard input, or `ARGUMENT`.
    row : int
        Number of the line of a text file, the row of a .parquet or the record of an .sdf, from 1.
    columns : mapping of str to str
        The further columns of the row, if they were requested; empty otherwise.
    note : str
        What the reader dropped, such as a CX extension; "" if nothing.
    """

    smiles: str
    name: str
    source: str
    row: int
    columns: Mapping[str, str] = field(default_factory=lambda: _NO_COLUMNS, hash=False)
    note: str = ""

    @property
    def location(self) -> str:
        """Source and row for messages, such as "library.smi, line 48"."""
        return _location(self.source, self.row)


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that cannot be used, with the reason.

    Attributes
    ----------
    source, row : str, int
        As in `Record`.
    value : str
        Contents of the row or of its SMILES field, shortened; lone surrogates are escaped.
    reason : str
        Why the row is invalid.
    name, columns : str, mapping of str to str
        As in `Record`.
    """

    source: str
    row: int
    value: str
    reason: str
    name: str = ""
    columns: Mapping[str, str] = field(default_factory=lambda: _NO_COLUMNS, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", escape_surrogates(shortened(self.value)))

    def __str__(self) -> str:
        return f"{_location(self.source, self.row)}: {self.reason}"


@dataclass
class RowCounts:
    """Numbers of accepted, duplicate and invalid rows. Each row is counted once.

    `noted` is the number of accepted and duplicate rows that were changed, such as salts that were stripped.

    >>> print(RowCounts(980, 15, 5).summary())
    1,000 read: 980 accepted, 15 duplicate, 5 invalid
    """

    accepted: int = 0
    duplicate: int = 0
    invalid: int = 0
    noted: int = 0

    @property
    def read(self) -> int:
        """Total number of rows."""
        return self.accepted + self.duplicate + self.invalid

    def summary(self) -> str:
        """Return the counts in one line."""
        counts = f"{self.accepted:,} accepted, {self.duplicate:,} duplicate, {self.invalid:,} invalid"
        noted = f"; {self.noted:,} changed, such as salts that were stripped" if self.noted else ""
        return f"{self.read:,} read: {counts}{noted}"


def make_row(
    smiles: str, name: str, source: str, row: int, columns: Mapping[str, str] = _NO_COLUMNS
) -> Record | InvalidRow:
    """Return a record, or an invalid row if the SMILES is empty, too long to be parsed, or not Unicode text.

    Spaces and tabs at both ends are removed, a CX extension such as `|&1:1|` is split off, and an InChI is converted.
    Line breaks and other control characters in the name become spaces.
    """
    smiles, name, note = smiles.strip(WHITE_SPACE), clean_name(name), ""
    if smiles.isspace() or not smiles:
        return InvalidRow(source, row, "", "the SMILES field is empty", name, columns)
    if " |" in smiles or "\t|" in smiles:
        smiles, note, rest = split_cx_block(smiles)
        name = name or rest
    if len(smiles) > MAX_SMILES_LENGTH:
        return InvalidRow(source, row, smiles, too_long_message(len(smiles)), name, columns)
    if smiles.startswith("InChI="):
        converted = smiles_from_inchi(smiles)
        if converted is None:
            return InvalidRow(source, row, smiles, f"cannot read the InChI {shortened(smiles)!r}", name, columns)
        smiles = converted
    if not smiles.isascii() and escape_surrogates(smiles) != smiles:
        try:
            parse(smiles)
        except MoleculeError as error:
            return InvalidRow(source, row, smiles, str(error), name, columns)
    if columns or note:
        return Record(smiles, name, source, row, columns, note)
    return Record(smiles, name, source, row)


def clean_name(name: str) -> str:
    r"""Return a name in one line that every format can hold.

    Control characters, with the spaces around them, become one space; lone surrogates are escaped; spaces at both ends
    are removed.

    >>> clean_name("two\x1f\r words\n")
    'two words'
    """
    return (name if name.isprintable() else escape_surrogates(_CONTROL.sub(" ", name))).strip(WHITE_SPACE)


def split_cx_block(text: str) -> tuple[str, str, str]:
    """Split a SMILES with a ChemAxon extension into the SMILES, a note of what is dropped, and the text after it.

    Groups of enhanced stereo stay with the SMILES (`chem.standardization.prepare` notes them); the rest is dropped.

    >>> split_cx_block("C[C@H](N)O |&1:1| aminoethanol")
    ('C[C@H](N)O |&1:1|', '', 'aminoethanol')
    >>> split_cx_block("CCO |$;;OH_p$| ethanol")
    ('CCO', 'CX extension |$;;OH_p$| dropped', 'ethanol')
    >>> split_cx_block("CCO ethanol")
    ('CCO ethanol', '', '')
    """
    match = _CX_BLOCK.fullmatch(text)
    if match is None:
        return text, "", ""
    smiles, block, rest = match.groups()
    if _CX_STEREO.search(block):
        return f"{smiles} {block}", "", rest
    note = "" if _CX_COORDINATES.fullmatch(block) else f"CX extension {one_line(shortened(block))} dropped"
    return smiles, note, rest


def smiles_from_inchi(inchi: str) -> str | None:
    """Return the SMILES of an InChI, or None if RDKit cannot read it."""
    try:
        with rdkit_guard("cannot read the InChI"):
            mol = Chem.MolFromInchi(inchi)  # type: ignore[no-untyped-call]
            return None if mol is None else write(mol) or None
    except MoleculeError:
        return None


def too_long_message(length: int) -> str:
    """Return the message for a SMILES with too many characters."""
    return f"the SMILES has {length:,} characters, more than the maximum of {MAX_SMILES_LENGTH:,}"


def file_format(name: str) -> str | None:
    """Return the format of a file by its suffix, ignoring that of a compressed file; None if unknown.

    Formats: smi, txt, csv, tsv, sdf, mol, parquet, xlsx.

    >>> file_format("library.SMI.gz"), file_format("library.docx")
    ('smi', None)
    """
    compression = compression_suffix(name)
    known = _FORMATS.get(os.path.splitext(name.lower().removesuffix(compression))[1])
    return None if compression and known in _UNCOMPRESSED else known


def _location(source: str, row: int) -> str:
    if source == ARGUMENT:
        return f"argument {row}"
    unit = _UNITS.get(file_format(source) or "", "line")
    return f"{'standard input' if source == '-' else source}, {unit} {row}"


def escape_surrogates(text: str) -> str:
    """Escape lone surrogates, which represent undecodable bytes in Python and are not allowed in Arrow columns."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
