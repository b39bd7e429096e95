"""The object users hold: molecules in, tables of molecules out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint
from molvae.chem.graph import MolGraph
from molvae.chem.sample_parsing import figures
from molvae.chem.smiles import canonical_or_none
from molvae.chem.tokenizer import PAD_ID
from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.data.rows import indexed, one_or_many
from molvae.errors import InputError
from molvae.generation.analogs import Draws
from molvae.generation.codec import Codec
from molvae.generation.options import PROPERTIES, AnalogOptions, Progress
from molvae.generation.plan import Asked
from molvae.generation.runner import Drawn, SeedRun, described, joined, reported
from molvae.generation.scheduling import finish
from molvae.generation.token_sampling import DecodeOptions
from molvae.nn.devices import find_device
from molvae.nn.inference import in_batches
from molvae.nn.latents import on_sphere
from molvae.nn.likelihood_reference import LikelihoodReference
from molvae.nn.priors import Prior

SAMPLE_COLUMNS = ("smiles", "log_likelihood", *PROPERTIES, "novel")


class Generator:
    """A loaded model with its commands. Every command takes SMILES (one or many) and returns a pandas DataFrame.

    Rows that cannot be used never stop the others. Where there is one row out per row in, they stand in an `error`
    column, and a pandas column is answered under its own index; otherwise they stand in `frame.attrs["errors"]` (SMILES
    to reason), with a `MolvaeWarning`.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str = "cpu", precision: str = "auto") -> None:
        """Takes the checkpoint to the device: its model, and the learned prior where it has one."""
        self.device = torch.device(device)
        checkpoint.model.to(self.device).eval()
        if checkpoint.prior is not None:
            checkpoint.prior.to(self.device)
        self.checkpoint, self.codec = checkpoint, Codec.of(checkpoint, precision)
        self.model, self.vocabulary = self.codec.model, self.codec.vocabulary

    def __repr__(self) -> str:
        shape = self.checkpoint.config
        return f"<Generator {self.checkpoint.name!r}: {shape.latent} latent of {shape.latent_dim}, on {self.device}>"

    @classmethod
    def load(cls, model: str | Path = "druglike", device: str = "auto", precision: str = "auto") -> Self:
        """A shipped model by name, or a model directory by path.

        `precision` is that of the decoder's products: "32", "bf16", "int8" (CPUs only), or "auto", the quickest that
        the device has. The same seed gives the same molecules under the same precision.
        Raises `CheckpointError`, and `InputError` for a device that is not there or a precision it does not have.
        """
        chosen = find_device(device)
        return cls(checkpoints.load(model, chosen), chosen, precision)

    def analogs(self, seeds: str | Iterable[str], n: int = 100, **options: Unpack[AnalogOptions]) -> pd.DataFrame:
        """`n` distinct valid analogs of each seed, the most similar first; options as described in `AnalogOptions`.

        Latents are drawn around the seed's own and decoded until there are `n` molecules of the kind asked for, or the
        budget is spent.

        Columns: seed, smiles, similarity (Tanimoto of Morgan fingerprints, radius 2, 2048 bits), log_likelihood (nats,
        of the string given its latent), qed, sa, logp, mw, novel (not in the training set; None where the model
        has no record of it), what else `keep` and `rank` name, and the rank. `attrs`: errors (seed to
        reason) and summary (a line per seed). Raises `InputError` for an option that cannot be used.
        """
        run = self._run(n, options)
        return joined(list(_tables(run, seeds, options)), run.asked.columns)

    def iter_analogs(
        self, seeds: str | Iterable[str], n: int = 100, **options: Unpack[AnalogOptions]
    ) -> Iterator[pd.DataFrame]:
        """`analogs` as a stream: a table for every few seeds, in flat memory. Options are checked at once.

        Of many seeds a CPU's worker processes take a few at a time, all the way to their analogs. Otherwise, while the
        strings of some seeds are read in worker processes, those of the next are decoded. `attrs` has `seeds` too:
        those that a table is about, rejected ones included.
        """
        return _tables(self._run(n, options), seeds, options)

    def _run(self, n: int, options: AnalogOptions) -> SeedRun:
        temperature, seen = self.checkpoint.defaults.temperature, self.checkpoint.seen
        return SeedRun(self.codec, Asked.of(n, options, temperature=temperature, seen=seen), seen)

    def sample(
        self,
        n: int = 100,
        *,
        prior: str = "auto",
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        max_samples: int = 0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """`n` distinct valid molecules from the prior, in the order they were drawn; options as in `analogs`.

        `prior`: "unit", what training aimed at; "learned", fitted to what it reached and saved with the model; "auto",
        learned where there is one. Raises `InputError` for another, or where none was learned.
        """
        source, usual = self._prior(prior), self.checkpoint.defaults.temperature
        options = DecodeOptions(usual if temperature is None else temperature, top_k, top_p, grammar)
        draws = Draws(wanted=n, noise_level=source.noise_level, max_samples=max_samples, options=options, seed=seed)
        (found,) = finish(self.codec.draw([""], source, draws, progress=progress))
        short = [found.summary(draws)] if len(found.molecules) < n else []
        drawn = Drawn(found, figures(list(found.molecules), PROPERTIES))
        frame = described(drawn, PROPERTIES, self.checkpoint.seen)[list(SAMPLE_COLUMNS)]
        return reported(frame, {}, [found.summary(draws)], short)

    def encode(
        self,
        smiles: str | Iterable[str],
        *,
        standardize: bool = False,
        refine: bool = False,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Latents (means of the posterior), one row out per row in: smiles, error ("" when there is none), z0, z1 ...

        `refine`: move those that the decoder would not write the molecule from, by gradient, until it does. Rows with
        an error have NaN latents.
        """
        texts = list(one_or_many(smiles))
        graphs = self.codec.graphs(texts, standardize=standardize)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        z = np.full((len(texts), self.checkpoint.config.latent_dim), np.nan, dtype=np.float32)
        good = np.array([isinstance(g, MolGraph) for g in graphs], dtype=bool)
        if usable:
            z[good] = self.codec.encode(usable, refine=refine, progress=progress).mean.cpu().numpy()
        columns = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
        error = ["" if isinstance(g, MolGraph) else str(g) for g in graphs]
        frame = pd.concat([pd.DataFrame({"smiles": texts, "error": error}, dtype=object), columns], axis=1)
        return indexed(frame, smiles)

    def decode(
        self,
        latents: NDArray[Any] | pd.DataFrame,
        *,
        noise_level: float | Sequence[float] | NDArray[Any] = 0.0,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        seed: int | Sequence[int] | NDArray[Any] = 0,
        branch_from: Sequence[str] | None = None,
        inversion_steps: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """One string per latent (N x D, or a table from `encode`): smiles, log_likelihood, error.

        Greedy unless a temperature is given. smiles is canonical, "" where the string is no molecule; error then holds
        the string. `noise level` says how much noise the latents carry, 0 to 1: a decoder that was trained to be told leans
        the more on what molecules look like. It and `seed` may be N numbers, one for each latent: a string then depends
        on its own alone, wherever it stands. Where the model's latents lie on a sphere, others are put there first.

        `branch_from`: a SMILES for each latent, which its string is to leave: up to an atom drawn at random it is
        that, there another symbol stands, and from there on it goes freely; "" for none. Near a molecule's latent
        nearly every string is its own, and these are its near analogs.

        `inversion_steps`: how often at most what was written is encoded again and the latent corrected by what it missed,
        which ends where it has come to lie at the latent itself; the molecule whose own latent is nearest is given, and
        how near in a column `distance` (`sampling.inversion`). Besides the greedy one strings are then drawn, at the
        temperature or at 1.2. With 32 it takes some twenty times as long.

        A row that is not all finite numbers is no latent, and says so in its error. Raises `InputError` for latents of
        another width or that are no numbers, for an option that cannot be used, and for `inversion_steps` of strings that
        are `branch_from`, which are not meant to come back.
        """
        z = _latent_array(latents, self.checkpoint.config.latent_dim)
        usable: NDArray[np.bool_] = np.asarray(np.isfinite(z).all(1))
        points = torch.from_numpy(z[usable])
        points = on_sphere(points) if self.model.latent.spherical else points
        told = _one_or_each("noise_level", noise_level, np.float32, usable)
        if not np.all((told >= 0) & (told <= 1)):
            raise InputError("a noise level lies in 0 (a molecule's own latent) to 1 (anything)")
        numbers = _one_or_each("seed", seed, np.int64, usable)
        if branch_from is not None:
            if len(branch_from) != len(z):
                raise InputError(
                    f"leaving is a SMILES for each latent: there are {len(z)}, and {len(branch_from)} of these"
                )
            branch_from = [branch_from[row] for row in np.flatnonzero(usable).tolist()]
        options = DecodeOptions(temperature, top_k, top_p, grammar)
        frame = pd.DataFrame({"smiles": "", "log_likelihood": np.nan, "error": "no latent"}, index=range(len(z)))
        if many := _checked(inversion_steps):
            if branch_from is not None:
                raise InputError("corrections are for strings that are to come back, leaving is for those that are not")
            found = self.codec.invert(
                points, options, inversion_steps=many, noise_level=told, seed=numbers, progress=progress
            )
            strings, scores = found.strings, found.log_likelihood
            frame.insert(2, "distance", np.nan)
            frame.loc[usable, "distance"] = found.distance.astype(float)
        else:
            done = self.codec.write(
                points, options, noise_level=told, seed=numbers, branch_from=branch_from, progress=progress
            )
            strings, scores = done.strings(self.vocabulary), done.log_likelihood
        known = {text: canonical_or_none(text) for text in set(strings)}
        molecules = [known[text] for text in strings]
        frame.loc[usable, "smiles"] = [m or "" for m in molecules]
        frame.loc[usable, "log_likelihood"] = scores.astype(float)
        frame.loc[usable, "error"] = [_fault(text, m) for text, m in zip(strings, molecules, strict=True)]
        return indexed(frame, latents if isinstance(latents, pd.DataFrame) else None)

    def reconstruct(
        self,
        smiles: str | Iterable[str],
        *,
        standardize: bool = False,
        refine: bool = False,
        inversion_steps: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Encode and decode greedily, one row out per row in: smiles, reconstruction, exact, error.

        exact: the reconstruction is the canonical isomeric SMILES of the input. error: why there is none, of the input
        (`attrs["rejected"]` says of how many) or of what was written. `refine` as in `encode`, `inversion_steps` as in
        `decode`: the first moves a latent, knowing the molecule, until it is written from there, and the second knows
        the latent alone. Raises `InputError` for both at once, as the latent of a molecule is then no longer its own,
        and for corrections below 0.
        """
        texts = list(one_or_many(smiles))
        graphs = self.codec.graphs(texts, standardize=standardize)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        strings: list[str] = []
        many = _checked(inversion_steps)
        if many and refine:
            raise InputError("refine moves a latent away from its molecule's own, which corrections look for: take one")
        if usable:
            z = self.codec.encode(usable, refine=refine).mean
            strings = self.codec.reproduce(z, inversion_steps=many, progress=progress)
        written = iter(strings)
        rows = []
        for graph in graphs:
            if isinstance(graph, MolGraph):
                string = next(written)
                molecule = canonical_or_none(string)
                rows.append((molecule or "", molecule == graph.smiles, _fault(string, molecule)))
            else:
                rows.append(("", False, str(graph)))
        frame = pd.DataFrame(rows, columns=["reconstruction", "exact", "error"])
        frame.insert(0, "smiles", _as_given(texts))
        frame.attrs["rejected"] = len(texts) - len(usable)
        return indexed(frame, smiles)

    @torch.inference_mode()
    def likelihood(
        self, smiles: str | Iterable[str], *, standardize: bool = False, progress: Progress | None = None
    ) -> pd.DataFrame:
        """How well each molecule is known, one row out per row in: smiles, log_likelihood, symbols, error.

        log_likelihood: log p(x given z) in nats, of the molecule's canonical SMILES given its own latent, the mean of
        q(z given x). symbols: how many its string has, the end counted.
        """
        texts = list(one_or_many(smiles))
        graphs = self.codec.graphs(texts, standardize=standardize)
        good = [isinstance(graph, MolGraph) for graph in graphs]
        packed = PackedGraphs.from_graphs([g for g in graphs if isinstance(g, MolGraph)], self.vocabulary)

        def scored(batch: GraphBatch) -> NDArray[np.float32]:
            clean = torch.zeros(batch.size, device=self.device)
            score = self.model.log_likelihood(self.model.encode(batch).mean, clean, batch.tokens)
            return torch.stack([score, (batch.tokens != PAD_ID).sum(1)], dim=1).cpu().numpy()

        parts = [np.empty((0, 2), np.float32), *in_batches(scored, packed, self.model, progress)]
        frame = pd.DataFrame({"smiles": _as_given(texts), "log_likelihood": np.nan, "symbols": 0})
        frame.loc[good, "log_likelihood"], frame.loc[good, "symbols"] = np.concatenate(parts).astype(float).T
        frame["error"] = ["" if isinstance(graph, MolGraph) else str(graph) for graph in graphs]
        return indexed(frame, smiles)

    def calibration(self, smiles: str | Iterable[str]) -> LikelihoodReference:
        """How well the model knows some thousand reference molecules: what is usual, for `explore.anomaly`.

        Raises `InputError` where fewer than 20 of them can be encoded.
        """
        known = np.asarray(per_symbol(self.likelihood(smiles)), dtype=np.float64)
        return LikelihoodReference.of(self.checkpoint.name, self.model, known)

    def _prior(self, name: str) -> Prior:
        learned = self.checkpoint.prior
        if name not in ("auto", "unit", "learned"):
            raise InputError(f"prior is one of auto, unit, learned; got {name!r}")
        if name == "learned" and learned is None:
            raise InputError(f"the model {self.checkpoint.name!r} has no learned prior: molvae fit-prior gives it one")
        return self.model.prior() if learned is None or name == "unit" else learned


def _tables(run: SeedRun, seeds: str | Iterable[str], options: AnalogOptions) -> Iterator[pd.DataFrame]:
    return run.tables(one_or_many(seeds), options.get("workers"), options.get("progress"))


def _as_given(texts: list[Any]) -> pd.Series[Any]:
    """As a column, whatever they are: one of pandas' own kind rejects some of what is no SMILES."""
    return pd.Series(texts, dtype=object)


def _fault(string: str, molecule: str | None) -> str:
    """What is wrong with a string that was written, "" where it is a molecule."""
    if molecule:
        return ""
    return f"not a molecule: {string!r}" if string else "longer than the model writes"


def per_symbol(likelihood: pd.DataFrame) -> pd.Series[float]:
    """Nats per symbol of a table of `Generator.likelihood`: longer strings have more to get wrong."""
    return likelihood["log_likelihood"] / likelihood["symbols"].clip(lower=1)


def _checked(inversion_steps: int) -> int:
    if not isinstance(inversion_steps, int | np.integer) or inversion_steps < 0:
        raise InputError(f"corrections must be 0 (none) or a whole number above, got {inversion_steps}")
    return int(inversion_steps)


def _one_or_each(name: str, given: object, kind: type[np.generic], usable: NDArray[np.bool_]) -> Any:
    """A number, or an array with one for each of the latents that are `usable`; from whatever holds numbers."""
    try:
        numbers = np.asarray(given)
        exact = numbers.astype(kind, casting="same_kind")
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is a number, or one for each latent; got {given!r:.60}: {error}") from None
    if numbers.shape == ():
        return exact[()].item()
    if numbers.shape != usable.shape:
        shape = " x ".join(map(str, numbers.shape))
        raise InputError(f"{name} is a number, or one for each of {len(usable)} latents; there are {shape}")
    return exact[usable]


def _latent_array(latents: NDArray[Any] | pd.DataFrame, size: int) -> NDArray[np.float32]:
    if isinstance(latents, pd.DataFrame):
        columns = [f"z{i}" for i in range(size)]
        missing = [c for c in columns if c not in latents.columns]
        if missing:
            raise InputError(f"a table of latents has columns z0 to z{size - 1}; {missing[0]} is missing")
        latents = latents[columns].to_numpy()
    try:
        z = np.atleast_2d(np.asarray(latents, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"latents are numbers: {error}") from None
    if z.ndim != 2 or z.shape[1] != size:
        raise InputError(f"latents must be N x {size} for this model, got {' x '.join(map(str, z.shape))}")
    return z
