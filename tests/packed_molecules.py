"""Test helper: pack a list of SMILES."""

from __future__ import annotations

from collections.abc import Sequence

from molvae.chem.tokenizer import Vocabulary
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.data.rows import Record


def packed_of(molecules: Sequence[str]) -> tuple[PackedGraphs, Vocabulary]:
    """Pack distinct molecules in their order; returns the data and its vocabulary."""
    rows = [Record(smiles, "", "molecules", row) for row, smiles in enumerate(molecules, 1)]
    data, vocabulary, _ = pack(rows, workers=0)
    assert len(data) == len(molecules)
    return data, vocabulary
