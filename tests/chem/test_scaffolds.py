"""Scaffolds: rings and linkers stay, side chains and stereo go."""

from __future__ import annotations

import pytest
from molecules import DRUGS

from molvae.chem.scaffolds import murcko
from molvae.chem.smiles import canonical, parse


@pytest.mark.parametrize(
    ("drug", "scaffold"),
    [
        ("aspirin", "c1ccccc1"),
        ("fluoxetine", "c1ccc(COc2ccccc2)cc1"),
        ("caffeine", "O=c1[nH]c(=O)c2[nH]cnc2[nH]1"),
        ("(S)-naproxen", "c1ccc2ccccc2c1"),
        ("valproic acid", ""),
        ("cetylpyridinium", "c1cc[nH+]cc1"),
    ],
)
def test_known_scaffolds(drug, scaffold):
    assert murcko(parse(DRUGS[drug])) == (canonical(scaffold) if scaffold else "")


def test_stereoisomers_share_a_scaffold():
    naproxen = DRUGS["(S)-naproxen"]
    assert murcko(parse(naproxen)) == murcko(parse(naproxen.replace("@", "@@")))
    assert murcko(parse(DRUGS["tamoxifen"])) == murcko(parse(DRUGS["(E)-tamoxifen"]))


@pytest.mark.parametrize("drug", DRUGS)
def test_a_scaffold_is_its_own_scaffold(drug):
    scaffold = murcko(parse(DRUGS[drug]))
    assert "@" not in scaffold
    assert not scaffold or murcko(parse(scaffold)) == scaffold
