"""What the tools share of points: what is decoded as a proposal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from molvae.explore.latent_points import proposed


class _Writes:
    """A generator as far as these need it, which writes what it is told to."""

    def __init__(self, *smiles):
        self.smiles = smiles

    def decode(self, latents, *, noise_level):
        error = ["" if text else "not a molecule" for text in self.smiles]
        return pd.DataFrame({"smiles": self.smiles, "log_likelihood": noise_level * len(latents), "error": error})


def test_radicals_are_no_proposals():
    written = _Writes("CCO", "C[CH]C", "", "[O-][N+](=O)c1ccccc1", "CC1(C)CCCC(C)(C)N1[O]", "C[C@H](F)Cl")
    table = proposed(written, np.zeros((6, 2)), noise_level=0.5)
    assert list(table["smiles"]) == ["CCO", "", "", "[O-][N+](=O)c1ccccc1", "", "C[C@H](F)Cl"]
    assert list(table["error"]) == [
        "", "a radical: C[CH]C", "not a molecule", "", "a radical: CC1(C)CCCC(C)(C)N1[O]", ""
    ]  # fmt: skip
    assert list(table["log_likelihood"]) == [3.0] * 6


def test_of_no_latents_there_is_nothing():
    assert proposed(_Writes(), np.zeros((0, 2)), noise_level=0.5).empty
