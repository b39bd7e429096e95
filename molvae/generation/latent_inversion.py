"""From a latent to the molecule whose own latent it is: write, read back, correct, write again.

A decoder writes a molecule in one go and may be off by a branch or a chirality mark. Whether it was can be asked of the
encoder, which puts what was written at a latent of its own: if that is where the latent asked for lies, this is the
molecule; if not, the difference says in which direction it was missed, and the decoder is asked again from a latent a
little to the other side. Of the wrong reconstructions of `druglike` four in five are put right so
(docs/model_choices.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from molvae.chem.graph import MolGraph
from molvae.chem.tokenizer import PAD_ID, Vocabulary, tokenize, unsupported_reason
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.parallel import chunked
from molvae.errors import MoleculeError
from molvae.generation.engine import Engine
from molvae.generation.rng import row_keys
from molvae.generation.token_sampling import DecodeOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.inference import BATCH_SIZE, encode_dataset
from molvae.nn.latents import project_to_sphere

STRINGS = 8
"""Written of a latent at a time, one of them greedily: a symbol in doubt is thus also tried the other way.

At first it is only the greedy one, which seven times out of eight is all that is needed.
"""

GAIN = 0.3
"""How much of a miss the next latent is moved by. With 0.5 fewer are found in the end, with 1 half as many."""

SAME = 1e-3
"""Nearer than this, in spreads of the latent space, is the latent itself but for the last digits."""

DOUBT = 1.2
"""The temperature of the others: at 1 fewer stereo marks are tried the other way."""

BOUT = 8
"""After so many turns in vain it begins anew from the latent itself, with other strings: an aim that has drifted far is
no good. Of `druglike-ae` 0.985 are found after 16 turns and not 0.982, and others still after 32."""

COLD = 1e-3
"""A temperature that is greedy."""

AT_ONCE = 1024  # latents


@dataclass(frozen=True)
class Inverted:
    """Of N latents the molecules whose own are nearest.

    `strings`: canonical SMILES; where nothing that was written is a molecule that the encoder takes, what the decoder
    writes greedily. `log_likelihood` N: log p(string given z) in nats. `distance` N: of the molecule's own latent from
    z, root mean square over the dimensions, in spreads of the latent space; below `SAME` it is that very one, two
    molecules drawn at random are 1.4 apart, and NaN stands where there is none.
    """

    strings: list[str]
    log_likelihood: NDArray[np.float32]
    distance: NDArray[np.float32]


@torch.inference_mode()
def inverted(
    model: Autoencoder,
    engine: Engine,
    vocabulary: Vocabulary,
    z: Tensor,
    noise_level: Tensor,
    keys: Tensor,
    options: DecodeOptions,
    inversion_steps: int,
    progress: Callable[[int], None] | None = None,
) -> Inverted:
    """The molecules nearest to latents N x D, each written from, read back and corrected up to `inversion_steps` times.

    `noise level` and `keys` N as in `Engine.decode`; a molecule depends on its own row alone. `options` say how the strings
    that are not greedy are drawn; where they say greedily, these are at a temperature of `DOUBT`. `progress` is called
    with the number of latents that are done.
    """
    options = replace(options, temperature=options.temperature or DOUBT)
    strings, scores, distances = list[str](), [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for first in range(0, len(z), AT_ONCE):
        rows = slice(first, first + AT_ONCE)
        reader = _Reader(model, vocabulary, engine.max_length)
        part = _Inversion(reader, engine, options, z[rows], noise_level[rows], keys[rows])
        for turn in range(inversion_steps + 1):
            part.advance(turn)
            done = part.done
            if progress and turn < inversion_steps:
                progress(len(strings) + done)
            if done == len(part.z):
                break
        found, score = part.written()
        strings += found
        scores.append(score)
        distances.append(part.distance.masked_fill(part.distance.isinf(), torch.nan).cpu().numpy())
        if progress:
            progress(len(strings))
    return Inverted(strings, np.concatenate(scores), np.concatenate(distances))


class _Inversion:
    """Some latents on the way to their molecules."""

    def __init__(
        self, reader: _Reader, engine: Engine, options: DecodeOptions, z: Tensor, noise_level: Tensor, keys: Tensor
    ) -> None:
        self.reader, self.engine, self.options = reader, engine, options
        self.z, self.noise_level, self.keys = z, noise_level, keys
        self.aim = z.clone()  # what is written from
        self.nearest = torch.full((len(z),), -1, device=z.device)  # the reader's number of it, or -1
        self.distance = torch.full((len(z),), torch.inf, device=z.device)

    @property
    def done(self) -> int:
        """How many latents have their molecule."""
        return int((self.distance <= SAME).sum())

    def advance(self, turn: int) -> None:
        """Write from where each latent that is not there yet is aimed, and aim anew by what comes nearest."""
        rows = torch.nonzero(self.distance > SAME).squeeze(1)
        if turn % BOUT == 0:
            self.aim[rows] = self.z[rows]
        read = self.reader.read(self._strings(rows, turn)).to(rows.device).view(len(rows), -1)
        miss = self.reader.latents[read.clamp(min=0)] - self.z[rows, None]  # rows x strings of each x D
        distance = miss.square().mean(2).sqrt()
        distance, best = distance.masked_fill((read < 0) | distance.isnan(), torch.inf).min(1)
        pick = torch.arange(len(rows), device=rows.device), best
        read, miss, some = read[pick], miss[pick], distance.isfinite()
        self._aim_past(rows[some], miss[some])
        nearer = distance < self.distance[rows]
        self.nearest[rows[nearer]], self.distance[rows[nearer]] = read[nearer], distance[nearer]

    def _aim_past(self, rows: Tensor, miss: Tensor) -> None:
        aim = self.aim[rows] - GAIN * miss
        self.aim[rows] = project_to_sphere(aim) if self.reader.model.latent.spherical else aim

    def written(self) -> tuple[list[str], NDArray[np.float32]]:
        """The molecules found, and greedy strings where none was; how likely each is."""
        found, none = (torch.nonzero(which).squeeze(1) for which in (self.nearest >= 0, self.nearest < 0))
        likeliest = replace(self.options, temperature=0.0)
        plain = self.engine.decode(self.z[none], self.noise_level[none], self.keys[none], likeliest)
        greedy = iter(plain.strings(self.reader.vocabulary))
        strings = [self.reader.molecules[i] if i >= 0 else next(greedy) for i in self.nearest.tolist()]
        scores = np.empty(len(strings), np.float32)
        scores[none.cpu().numpy()] = plain.log_likelihood
        scores[found.cpu().numpy()] = self._likelihood(found, [strings[row] for row in found.tolist()])
        return strings, scores

    def _likelihood(self, rows: Tensor, strings: list[str]) -> NDArray[np.float32]:
        parts = [np.zeros(0, np.float32)]
        for some in chunked(range(len(rows)), BATCH_SIZE):
            ids = [torch.from_numpy(self.reader.vocabulary.encode(strings[i]).astype(np.int64)) for i in some]
            tokens = pad_sequence(ids, batch_first=True, padding_value=PAD_ID).to(rows.device)
            own = rows[some]
            parts.append(self.reader.model.log_likelihood(self.z[own], self.noise_level[own], tokens).cpu().numpy())
        return np.concatenate(parts)

    def _strings(self, rows: Tensor, turn: int) -> list[str]:
        """Those of each row, one after the other."""
        each = STRINGS if turn else 1
        keys = torch.stack([row_keys(turn * STRINGS + i, self.keys[rows]) for i in range(each)], dim=1)
        heat = torch.ones(keys.shape, device=rows.device)
        heat[:, 0] = COLD / self.options.temperature
        aim, noise_level = self.aim[rows].repeat_interleave(each, 0), self.noise_level[rows].repeat_interleave(each)
        done = self.engine.decode(aim, noise_level, keys.flatten(), self.options, heat=heat.flatten())
        return done.strings(self.reader.vocabulary)


@dataclass
class _Reader:
    """What strings are, and where the encoder puts them; each is looked at once."""

    model: Autoencoder
    vocabulary: Vocabulary
    max_length: int
    molecules: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)  # of strings and of canonical SMILES; -1: no molecule

    def __post_init__(self) -> None:
        weight = self.model.latent.mean.weight
        self.latents = weight.new_zeros(1, len(weight))  # of the molecules; the last row is of none

    def read(self, strings: list[str]) -> Tensor:
        """The number of each string's molecule, or -1."""
        new = sorted({text for text in strings if text not in self.numbers})
        graphs = list[MolGraph]()
        for text, graph in zip(new, featurize(new), strict=True):
            self.numbers[text] = self._number(graph, graphs)
        if graphs:
            z = encode_dataset(self.model, PackedGraphs.from_graphs(graphs)).mean
            self.latents = torch.cat([self.latents[:-1], z, self.latents[-1:]])
        return torch.tensor([self.numbers[text] for text in strings])

    def _number(self, graph: MolGraph | MoleculeError, fresh: list[MolGraph]) -> int:
        if isinstance(graph, MoleculeError) or unsupported_reason(
            tokenize(graph.smiles), self.max_length, self.vocabulary
        ):
            return -1
        if graph.smiles not in self.numbers:
            self.numbers[graph.smiles] = len(self.molecules)
            self.molecules.append(graph.smiles)
            fresh.append(graph)
        return self.numbers[graph.smiles]
