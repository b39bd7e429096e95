"""Practice: a decoder in training writes around molecules by itself, and what was good becomes likelier.

From given strings alone a decoder never sees what it writes itself: some of it is no molecule, much is the molecule
that it was to leave, or the same again, and how far away the rest lies is not quite what the noise level says. So strings
are written around some molecules of each step, each is given a value, and a policy gradient (Williams 1992) makes those
likelier that are worth more than the others around the same molecule (Kool et al. 2019, "Buy 4 REINFORCE samples, get a
baseline for free!").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from molvae.chem.filters import BRENK, alerts
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.properties import sa_score
from molvae.chem.sample_parsing import parse_samples
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.tokenizer import PAD_ID, Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.parallel import chunked
from molvae.generation.engine import Engine
from molvae.generation.rng import row_keys
from molvae.generation.token_sampling import DecodeOptions
from molvae.metrics.analogs import USABLE_SA_INCREASE
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.inference import encode_dataset
from molvae.training.distribution_matching import Likeness

VALID = 0.4
"""What a molecule is worth that is nothing else that is wanted; a string that is none is worth nothing."""
FLAWED, KNOWN = 0.5, 0.6
"""What is left of the rest of a molecule's worth where it is harder to make, or has an alert, that the one it lies
around has not; and where it is of the training set."""
REACH = 0.5
"""How far off the similarity asked for a molecule may be before that is worth nothing."""
ITSELF = 0.25
"""The noise level from which on the molecule itself is no longer wanted."""
SPREAD = 0.3
"""How far values differ: what an advantage is measured in."""
FAR = 0.75
"""The noise level from which on any molecule is as good, or with a `Likeness` as good as it makes what is written there more
like the training set."""


@dataclass(frozen=True)
class Practice:
    """A `training.module.Practice`: `strings` around each of up to `molecules` of a step.

    They are drawn at noise levels of `nearest` to `furthest` and the `temperature` at which the model will be used; with
    `seen`, what it was trained on, new molecules are worth more, and far away those that `likeness` says.
    """

    vocabulary: Vocabulary
    max_length: int
    seen: BloomFilter | None = None
    molecules: int = 24
    strings: int = 24
    temperature: float = 0.7
    nearest: float = 0.1
    furthest: float = 0.65
    likeness: Likeness | None = None

    def __call__(self, model: Autoencoder, data: PackedGraphs, rows: Tensor) -> tuple[Tensor, dict[str, float]]:
        """What is to be made smaller, 0-d, and how good the strings were; random numbers are torch's."""
        some = data.select(rows[: self.molecules])
        with _encoding(model):
            around = encode_dataset(model, some)
        mean = around.mean.clone().repeat_interleave(self.strings, 0)  # a copy, for its gradient: inference has none
        each = self.nearest + (self.furthest - self.nearest) * torch.rand(len(some), device=mean.device)
        noise_level = each.repeat_interleave(self.strings)
        z = around.perturb(mean, noise_level[:, None], torch.randn_like(mean))
        keys = row_keys(int(torch.randint(2**62, ())), torch.arange(len(z), device=z.device))
        engine = Engine(model.decoder, self.max_length, precision="32")
        written = engine.decode(z, noise_level, keys, DecodeOptions(self.temperature))
        groups = chunked(written.strings(self.vocabulary), self.strings)
        with silence_rdkit():
            judged = [
                judge(molecule, group, float(r), self.seen, self.likeness)
                for molecule, group, r in zip(some.smiles(self.vocabulary), groups, each, strict=True)
            ]
        values = torch.tensor([group.values for group in judged], device=z.device)
        symbols = torch.from_numpy(written.symbols).long().to(z.device)
        symbols = symbols[:, : int((symbols != PAD_ID).sum(1).max())]
        likelihood = model.token_log_likelihood(z, noise_level, symbols, self.temperature).sum(1)
        figures = _figures(judged) | ({"gap": self.likeness.gap()} if self.likeness else {})
        return -(advantages(values).flatten() * likelihood).mean(), figures

    def state_dict(self) -> dict[str, Any]:
        """What a run has to remember to go on as if it had not been stopped."""
        return self.likeness.state_dict() if self.likeness else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.likeness and state:
            self.likeness.load_state_dict(state)


class Judged(NamedTuple):
    """The strings written around a molecule, and what they are worth."""

    values: list[float]  # of each string, 0 to 1, or with a likeness to 1.5
    valid: float  # share of the strings that are molecules
    itself: float  # share that are the molecule they lie around
    distinct: float  # different others, as a share of the strings
    similarity: list[float]  # Tanimoto of each string that is another molecule
    sound: list[bool]  # of those, whether they are as easy to make and bear no new alert


def judge(
    molecule: str,
    strings: Sequence[str],
    noise_level: float,
    seen: BloomFilter | None = None,
    likeness: Likeness | None = None,
) -> Judged:
    """Values of strings written around a molecule, its canonical SMILES, at a noise level; keep a `silence_rdkit` block open.

    The best, 1, is a new molecule whose similarity is one minus the noise level, as easy to make as the molecule and without
    a new alert; of several that are the same each has its share of that. A string that is no molecule is worth 0, and
    from the noise level `FAR` on any other 1, and what a `likeness` adds.
    """
    mol = parse(molecule)
    fingerprint, hardest, known_alerts = morgan(mol), sa_score(mol) + USABLE_SA_INCREASE, set(alerts(mol, BRENK))
    names = [found.smiles if found is not None else "" for found in parse_samples(strings)]
    others = {name: parse(name) for name in names if name not in ("", molecule)}
    similarity = {name: float(tanimoto(fingerprint, [morgan(one)])[0]) for name, one in others.items()}
    sound = {
        name: sa_score(one) <= hardest and set(alerts(one, BRENK)) <= known_alerts
        for name, one in others.items()
    }  # fmt: skip
    known = {name for name in others if seen is not None and name in seen}
    count, far = Counter(names), noise_level >= FAR
    written = [name for name in names if name]
    worth = dict(zip(written, likeness.worth(written), strict=True)) if far and likeness else {}

    def value(name: str) -> float:
        if not name or far:
            return float(name != "") + float(worth.get(name, 0.0))
        if name == molecule:
            more = 0.9 * max(0.0, 1 - noise_level / ITSELF)
        else:
            near = max(0.0, 1 - abs(similarity[name] - (1 - noise_level)) / REACH)
            more = near * (1 if sound[name] else FLAWED) * (KNOWN if name in known else 1) / count[name]
        return VALID + (1 - VALID) * more

    return Judged(
        values=[value(name) for name in names],
        valid=1 - count[""] / max(1, len(names)),
        itself=count[molecule] / max(1, len(names)),
        distinct=len(others) / max(1, len(names)),
        similarity=[similarity[name] for name in names if name in others],
        sound=[sound[name] for name in names if name in others],
    )


def advantages(values: Tensor) -> Tensor:
    """By how much each value, M x K, exceeds the mean of the others in its row, in units of `SPREAD`; M x K."""
    strings = values.shape[1]
    return (values - values.mean(1, keepdim=True)) * (strings / max(1, strings - 1)) / SPREAD


def _figures(judged: Sequence[Judged]) -> dict[str, float]:
    """Averages over molecules, and over all strings that are other ones."""
    similarity = [s for group in judged for s in group.similarity]
    sound = [s for group in judged for s in group.sound]
    return {
        "value": float(np.mean([group.values for group in judged])),
        **{
            name: float(np.mean([getattr(group, name) for group in judged])) for name in ("valid", "itself", "distinct")
        },
        "similarity": float(np.median(similarity)) if similarity else 0.0,
        "sound": float(np.mean(sound)) if sound else 0.0,
    }


@contextmanager
def _encoding(model: Autoencoder) -> Iterator[None]:
    """Inside, the encoder is as in use: in training it would standardize latents by a few molecules."""
    parts = [part for part in (*model.encoder.modules(), *model.latent.modules()) if part.training]
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part in parts:
            part.training = True
