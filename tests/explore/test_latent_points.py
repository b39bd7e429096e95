"""Encoding and decoding shared by the explore functions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from molvae.errors import InputError
from molvae.explore.latent_points import EncodedMolecules, decode_molecules


class FixedDecoder:
    """A stand-in for a Generator whose decoder returns fixed SMILES."""

    def __init__(self, *smiles):
        self.smiles = smiles

    def decode(self, latents, *, noise_level, **options):  # noqa: ARG002
        error = ["" if text else "not a molecule" for text in self.smiles]
        return pd.DataFrame({"smiles": self.smiles, "log_likelihood": noise_level * len(latents), "error": error})


def test_radicals_count_as_invalid_samples():
    decoder = FixedDecoder("CCO", "C[CH]C", "", "[O-][N+](=O)c1ccccc1", "CC1(C)CCCC(C)(C)N1[O]", "C[C@H](F)Cl")
    table = decode_molecules(decoder, np.zeros((6, 2)), noise_level=0.5)
    assert list(table["smiles"]) == ["CCO", "", "", "[O-][N+](=O)c1ccccc1", "", "C[C@H](F)Cl"]
    assert [text.startswith("radical: ") for text in table["error"]] == [False, True, False, False, True, False]
    assert table["error"][2] == "not a molecule"
    assert list(table["log_likelihood"]) == [3.0] * 6


def test_no_latents_give_an_empty_table():
    assert decode_molecules(FixedDecoder(), np.zeros((0, 2)), noise_level=0.5).empty


def test_encoded_molecules_keep_invalid_rows(tiny):
    molecules = EncodedMolecules.from_smiles(tiny, ["CCO", "C1CC", "CCN"])
    assert molecules.smiles == ["CCO", "CCN"]
    assert molecules.latents.shape == (2, 12)
    assert (list(molecules.errors), molecules.n_rejected) == (["C1CC"], 1)
    table = molecules.with_columns(count=np.array([1, 2]), known=np.array([True, False]))
    assert table["count"].tolist() == [1, pd.NA, 2]
    assert table["known"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("smiles", "minimum", "message"),
    [
        ([], 1, "at least 1 molecule is needed, but the input is empty"),
        (
            ["CCO", "OCC", "C1CC"],
            2,
            "at least 2 different molecules are needed, got 1: 2 of 3 could be encoded; 'C1CC'",
        ),
    ],
)
def test_too_few_molecules_are_rejected(tiny, smiles, minimum, message):
    with pytest.raises(InputError, match=message):
        EncodedMolecules.from_smiles(tiny, smiles, min_distinct=minimum)
