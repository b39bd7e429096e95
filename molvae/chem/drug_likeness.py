"""QED as RDKit defines it, from descriptors that are there already: they are half of what it costs."""

from __future__ import annotations

from functools import cache

from rdkit import Chem
from rdkit.Chem import QED

from molvae.chem.patterns import Patterns, Traits


def qed(
    mol: Chem.Mol, *, mw: float, logp: float, hbd: float, tpsa: float, rotatable_bonds: float, of: Traits | None = None
) -> float:
    """Quantitative estimate of drug-likeness, 0 to 1 (Bickerton et al. 2012): `rdkit.Chem.QED.qed` to the last digit.

    The descriptors are those of `properties.PROPERTIES`. Acceptors, aromatic rings and alerts are counted here by QED's
    own patterns. `of`: the molecule's `traits`, where they are there already.
    """
    rest = Chem.DeleteSubstructs(mol, QED.AliphaticRings)  # a copy
    counted = QED.QEDproperties(  # type: ignore[no-untyped-call]
        MW=mw,
        ALOGP=logp,
        HBA=sum(len(mol.GetSubstructMatches(pattern)) for pattern in _acceptors()),
        HBD=hbd,
        PSA=tpsa,
        ROTB=rotatable_bonds,
        AROM=len(Chem.GetSSSR(rest)),
        ALERTS=len(_alerts().found(mol, of)),
    )
    return float(QED.qed(mol, qedProperties=counted))  # type: ignore[no-untyped-call]


@cache
def _acceptors() -> list[Chem.Mol]:
    """QED's patterns of an atom each in two searches, for the charged and the others: no atom is in two of either."""
    charged = [smarts for smarts in QED.AcceptorSmarts if "-" in smarts]
    others = [smarts for smarts in QED.AcceptorSmarts if smarts not in charged]
    alternatives = (",".join(f"$({smarts})" for smarts in group) for group in (charged, others))
    return [Chem.MolFromSmarts(f"[{text}]") for text in alternatives]


@cache
def _alerts() -> Patterns:
    return Patterns({str(number): smarts for number, smarts in enumerate(QED.StructuralAlertSmarts)})
