"""Rules that make a proposal of a molecule: plausible, and no isomer of the seed or of another proposal.

What they need is computed once for each sample, when it is parsed, because it does not depend on the seed.
"""

from __future__ import annotations

from molvae.chem.isomers import IsomerIndex
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.sample_parsing import ParsedSample

SEED_ISOMER = "isomer of the seed"
ANALOG_ISOMER = "isomer of another analog"


class ProposalRules:
    """The rules for the samples around one seed.

    Parameters
    ----------
    plausibility
        Checker with the flaws of the seed, or None: all molecules are plausible.
    seed_skeleton
        The `skeleton_key` of the seed; "" if isomers are allowed.
    seed
        SMILES of the seed, "" for none.
    """

    def __init__(
        self, plausibility: PlausibilityChecker | None = None, seed_skeleton: str = "", seed: str = ""
    ) -> None:
        self.plausibility, self.one_per_isomer = plausibility, bool(seed_skeleton)
        self._seed, self._found = IsomerIndex(), IsomerIndex()
        if seed_skeleton:
            self._seed.add(seed, seed_skeleton)

    def violated(self, sample: ParsedSample) -> str:
        """The rule that a sample violates: a kind of `FLAWS`, or that it is an isomer of the seed; "" if none."""
        if self.plausibility is not None and (flaws := self.plausibility.new_flaws(sample.flaws)):
            return flaws[0]
        return SEED_ISOMER if self.one_per_isomer and self._seed.find(sample.smiles, sample.skeleton) else ""

    def earlier_isomer(self, sample: ParsedSample) -> str | None:
        """The proposal that was added before and is an isomer of a sample, or None."""
        return self._found.find(sample.smiles, sample.skeleton) if self.one_per_isomer else None

    def add(self, sample: ParsedSample, smiles: str) -> None:
        """Add a proposal: the sample that it was made from, and its SMILES, which may have other stereo."""
        if self.one_per_isomer:
            self._found.add(smiles, sample.skeleton)
