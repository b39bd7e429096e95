"""Read molecules from .sdf and .mol files, record by record, as canonical SMILES."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

from rdkit import Chem

from molvae.chem.rdkit_guard import rdkit_guard
from molvae.chem.smiles import write
from molvae.data.column_names import distinct_names, find_requested, name_column
from molvae.data.lines import read_lines
from molvae.data.rows import InvalidRow, Record, clean_name, make_row
from molvae.errors import MoleculeError, one_line

_MAX_RECORD = 10_000_000  # characters


def sdf_rows(
    stream: IO[bytes], source: str, requested_name: str | None = None, *, with_columns: bool = False
) -> Iterator[Record | InvalidRow]:
    """Read the records of an .sdf, or the one of a .mol.

    Parameters
    ----------
    stream : file object
        Bytes.
    source : str
        Name of the file for records and messages.
    requested_name : str, optional
        Property with the names; by default the title, or if it is empty a property such as ID or Compound_ID.
    with_columns : bool
        Whether the records contain the properties.
    """
    block: list[str] = []
    row, size, problem, in_properties = 1, 0, None, False
    for line in read_lines(stream, source):
        # undecodable bytes after "M  END", or in the title, do not affect the structure
        in_properties = in_properties or line.text.startswith("M  END")
        problem = problem or (None if line.undecodable and (in_properties or not block) else line.problem)
        size += len(line.text) + 1
        if line.text.startswith("$$$$"):
            yield _sdf_row("\n".join(block), problem, source, row, requested_name, with_columns)
            block, row, size, problem, in_properties = [], row + 1, 0, None, False
        elif size > _MAX_RECORD:
            problem = f"a record of more than {_MAX_RECORD:,} characters"
        else:
            block.append(line.text)
    if problem or any(line.strip() for line in block):  # the last record may have no $$$$
        yield _sdf_row("\n".join(block), problem, source, row, requested_name, with_columns)


def _sdf_row(
    text: str, problem: str | None, source: str, row: int, requested_name: str | None, with_columns: bool
) -> Record | InvalidRow:
    title = clean_name(text.partition("\n")[0])
    if problem:
        return InvalidRow(source, row, title, problem)
    try:
        with rdkit_guard("cannot read the record"):
            mol = next(Chem.ForwardSDMolSupplier(io.BytesIO(text.encode("utf-8", "replace"))), None)
            if mol is None:
                return InvalidRow(source, row, title, _problem(text))
            if mol.GetNumAtoms() == 0:
                return InvalidRow(source, row, title, "no atoms in the record")
            smiles = _smiles(mol)
    except MoleculeError as error:
        return InvalidRow(source, row, title, str(error))
    properties = list(mol.GetPropNames())
    name, name_property = _name(mol, title, properties, requested_name)
    columns: dict[str, str] = {}
    if with_columns:
        others = [prop for prop in properties if prop != name_property]
        columns = dict(zip(distinct_names(others), (_property(mol, prop) for prop in others), strict=True))
    return make_row(smiles, name, source, row, columns)


def _smiles(mol: Chem.Mol) -> str:
    """The canonical SMILES, with groups of enhanced stereo as a CX extension."""
    if all(group.GetGroupType() == Chem.StereoGroupType.STEREO_ABSOLUTE for group in mol.GetStereoGroups()):
        return write(mol)
    return str(Chem.MolToCXSmiles(mol, Chem.SmilesWriteParams(), int(Chem.CXSmilesFields.CX_ENHANCEDSTEREO)))


def _name(mol: Chem.Mol, title: str, properties: list[str], requested: str | None) -> tuple[str, str | None]:
    """The name of a record, and the property that it was read from."""
    if requested is not None:
        index = find_requested(properties, requested)
        return ("", None) if index is None else (_property(mol, properties[index]), properties[index])
    if title:
        return title, None
    index = name_column(properties)
    return ("", None) if index is None else (_property(mol, properties[index]), properties[index])


def _property(mol: Chem.Mol, name: str) -> str:
    """Return a property as text, without conversion: 0012 stays 0012."""
    return str(mol.GetProp(name))


def _problem(text: str) -> str:
    mol = Chem.MolFromMolBlock(text, sanitize=False)
    problems = Chem.DetectChemistryProblems(mol) if mol is not None else []
    return f"cannot read the record: {one_line(problems[0].Message()) if problems else 'not a valid mol block'}"
