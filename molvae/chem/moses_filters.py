"""The filters of the MOSES benchmark data: Polykovskiy et al. 2020, Frontiers in Pharmacology 11, 565644.

22 medicinal-chemistry patterns of its own, and the 480 PAINS of Baell and Holloway 2010 as RDKit carries them in
wehi_pains.csv. RDKit has since corrected some of these; MOSES has not, and its figures are what people compare with, so
those few stand in moses_filters.json as MOSES has them. Only where MCF12 and 13 end in any atom, hydrogen or other,
that is there said by a count of neighbors. Hydrogens in the patterns are those of the molecule, given or not.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path

from rdkit import Chem, RDConfig

from molvae.chem.substructures import Fingerprint, PatternSet

LARGEST_RING = 7
FOREIGN = {"charge": "[!+0]", "element": "[!#1&!#6&!#7&!#8&!#9&!#16&!#17&!#35]"}
"""Atoms that no molecule of MOSES has: it is made of H, C, N, O, F, S, Cl and Br."""


def passes_moses_filters(mol: Chem.Mol, of: Fingerprint | None = None) -> bool:
    """Whether MOSES would have kept the molecule: rings up to 7, no charged atom, its elements only, no alert.

    `of`: its `traits`, where they are there already.
    """
    if any(len(ring) > LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    return not _alerts().any_in(mol, of)


@cache
def _alerts() -> PatternSet:
    own = json.loads(Path(__file__).with_name("moses_filters.json").read_text(encoding="utf-8"))
    with (Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv").open(encoding="utf-8", newline="") as file:
        pains = {name.removeprefix("<regId=").removesuffix(">"): smarts.strip() for smarts, name in csv.reader(file)}
    return PatternSet({**FOREIGN, **own["mcf"], **pains, **own["pains_before_correction"]}, hydrogens=True)
