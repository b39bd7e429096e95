"""Parse decoder samples: valid molecules with their canonical SMILES, fingerprints and properties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.isomers import skeleton_key
from molvae.chem.plausibility import NO_FLAWS, Flaws, PlausibilityChecker
from molvae.chem.properties import compute_properties
from molvae.chem.rdkit_guard import RDKIT_ERRORS
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.standardization import prepare_sample

_MAY_BE_RADICAL = re.compile(r"\[\d*[A-Z][^@\]]*\]")


class ParsedSample(NamedTuple):
    """A valid decoder sample.

    Attributes
    ----------
    smiles
        Its identity.
    fingerprint
        Its Morgan fingerprint, packed as by `morgan_bits`.
    skeleton
        Its `skeleton_key`; "" if not computed.
    flaws
        What makes it implausible; nothing if not computed.
    """

    smiles: str
    fingerprint: bytes
    skeleton: str = ""
    flaws: Flaws = NO_FLAWS


@dataclass(frozen=True)
class SampleParser:
    """Parses samples; can be pickled for worker processes.

    Attributes
    ----------
    plausibility
        Finds the flaws, or None.
    with_skeletons
        Whether to compute skeletons.
    """

    plausibility: PlausibilityChecker | None = None
    with_skeletons: bool = False

    def __call__(self, samples: Sequence[str]) -> list[ParsedSample | None]:
        """Parse each sample; None for an invalid SMILES, and for a radical, which RDKit would accept."""
        with silence_rdkit():
            return [self._parse(sample) for sample in samples]

    def _parse(self, sample: str) -> ParsedSample | None:
        prepared = prepare_sample(sample)
        if prepared is None or is_radical(prepared.smiles, prepared.mol):
            return None
        mol = prepared.mol
        try:
            flaws = self.plausibility.find(mol) if self.plausibility else NO_FLAWS
            skeleton = skeleton_key(mol) if self.with_skeletons else ""
        except RDKIT_ERRORS:
            return None
        return ParsedSample(prepared.smiles, morgan_bits([mol]).tobytes(), skeleton, flaws)


def parse_samples(samples: Sequence[str]) -> list[ParsedSample | None]:
    """Parse each sample, without skeletons and flaws; None for an invalid SMILES and for a radical."""
    return SampleParser()(samples)


def is_radical(smiles: str, mol: Chem.Mol | None = None) -> bool:
    """Whether a molecule has an unpaired electron.

    `smiles` is its canonical SMILES. Only molecules with a bracket atom that is neither aromatic nor a stereocenter are
    inspected, because no other atom can be a radical; most molecules have no such atom.
    """
    if not _MAY_BE_RADICAL.search(smiles):
        return False
    return any(atom.GetNumRadicalElectrons() for atom in (mol or parse(smiles)).GetAtoms())


def property_rows(smiles: Sequence[str], names: Sequence[str]) -> list[tuple[float, ...]]:
    """Compute properties of molecules: one tuple per molecule, in the order of `names`."""
    if not names:
        return [()] * len(smiles)
    columns = compute_properties([parse(text) for text in smiles], names)
    return list(zip(*(columns[name].tolist() for name in names), strict=True))
