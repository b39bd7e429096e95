"""The object users hold: molecules in, tables of molecules out."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack
from uuid import uuid4

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from molvae import checkpoint as checkpoints
from molvae.calibration import Calibration
from molvae.checkpoint import Checkpoint
from molvae.chem.graph import MolGraph
from molvae.chem.properties import PROPERTIES as PROPERTY_TABLE
from molvae.chem.reading import figures
from molvae.chem.smiles import canonical_or_none
from molvae.chem.tokens import PAD_ID
from molvae.chem.windows import Window
from molvae.data.featurise import featurise, in_chunks, worker_count
from molvae.data.memory import memory_left
from molvae.data.packed import GraphBatch, PackedGraphs
from molvae.data.rows import each, one_or_many
from molvae.data.workers import HERE, Workers
from molvae.errors import InputError, MoleculeError
from molvae.models.devices import find_device, one_thread
from molvae.models.encoding import in_batches, posteriors
from molvae.models.latents import Posterior, on_sphere
from molvae.models.priors import LatentSource, Prior
from molvae.sampling.analogs import Draws, Found, draw_around
from molvae.sampling.dial import NEAREST, Dial
from molvae.sampling.engine import Decoded, Engine
from molvae.sampling.inversion import Inverted, inverted
from molvae.sampling.options import GREEDY, DecodeOptions
from molvae.sampling.origins import departures
from molvae.sampling.overlap import Job, Tally, finish, take_turns
from molvae.sampling.request import PROPERTIES, AnalogOptions, Order, Progress, read_order
from molvae.sampling.steering import Steering
from molvae.sampling.streams import row_keys

SAMPLE_COLUMNS = ("smiles", "log_likelihood", *PROPERTIES, "novel")
SEEDS_AT_ONCE = 64  # of 100 molecules each; fewer where more are wanted
PARTS = 8  # that those are cut into for worker processes; smaller ones leave the decoder's slots empty more often
QUEUED = 4  # parts for each worker: with fewer, some would have nothing left to do while others end
WORKER_BYTES = 400e6  # that a worker process with a network in it takes
MOLECULES_HERE = 2000  # up to so many molecules in all, starting worker processes takes longer than they save


class MolvaeWarning(UserWarning):
    """Some rows could not be used, or fewer molecules were found than asked for; the rest was delivered."""


class Generator:
    """A loaded model with its verbs. Every verb takes SMILES (one or many) and returns a pandas DataFrame.

    Rows that cannot be used never stop the others: they stand in an `error` column where there is one row out per row
    in, and otherwise in `frame.attrs["errors"]` (SMILES to reason), with a `MolvaeWarning`.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str = "cpu", precision: str = "auto") -> None:
        """Takes the checkpoint to the device: its model, and the learned prior where it has one."""
        self.checkpoint, self.precision = checkpoint, precision
        self.device = torch.device(device)
        self.model = checkpoint.model.to(self.device).eval()
        if checkpoint.prior is not None:
            checkpoint.prior.to(self.device)
        self.vocabulary = checkpoint.vocabulary
        self.engine = Engine(
            self.model.decoder, checkpoint.config.max_symbols, precision=precision, vocabulary=self.vocabulary
        )

    def __repr__(self) -> str:
        shape = self.checkpoint.config
        return f"<Generator {self.checkpoint.name!r}: {shape.latent} latent of {shape.latent_size}, on {self.device}>"

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
        frames = list(self.iter_analogs(seeds, n, **options))
        return _joined(frames, read_order(options).columns(self._steering(options)))

    def iter_analogs(
        self, seeds: str | Iterable[str], n: int = 100, **options: Unpack[AnalogOptions]
    ) -> Iterator[pd.DataFrame]:
        """`analogs` as a stream: a table for every few seeds, in flat memory. Options are checked at once.

        Of many seeds a CPU's worker processes take a few at a time, all the way to their analogs. Otherwise, while the
        strings of some seeds are read in worker processes, those of the next are decoded. `attrs` has `seeds` too:
        those that a table is about, refused ones included.
        """
        order, steering = read_order(options), self._steering(options)
        asked = _Asked(
            self._draws(n, options),
            steering,
            order,
            [name for name in order.columns(steering) if name in PROPERTY_TABLE],
            options.get("standardise", False),
            options.get("refine", True),
        )
        if order.diverse > n:
            raise InputError(f"{order.diverse} diverse ones cannot be picked out of {n}: ask for thrice as many")
        at_once = max(1, min(SEEDS_AT_ONCE, SEEDS_AT_ONCE * 100 // n))
        groups = in_chunks(one_or_many(seeds), at_once)
        return self._in_turns(groups, at_once, asked, options.get("workers"), options.get("progress"))

    def _in_turns(
        self,
        groups: Iterator[list[str]],
        at_once: int,
        asked: _Asked,
        workers: int | None,
        progress: Progress | None,
    ) -> Iterator[pd.DataFrame]:
        """Who does the work hangs on how much there is of it, for which some groups are looked at beforehand."""
        wanted, first, few = asked.draws.wanted, list[list[str]](), False
        if workers is None:
            first += islice(groups, MOLECULES_HERE // (at_once * wanted) + 1)
            few = sum(map(len, first)) * wanted <= MOLECULES_HERE
        count = 0 if few else worker_count(workers)
        crew, tally = Workers(count if count > 1 or workers else 0), Tally(progress)
        part = max(1, at_once // PARTS)
        under_way = max(2, ceil(QUEUED * crew.count * part / at_once)) if crew.count else 1
        first += islice(groups, max(0, under_way - len(first)))
        apart = int(min(crew.count, memory_left() / 2 / WORKER_BYTES))
        fair = sum(map(len, first)) // (QUEUED * apart) if apart > 1 else 0
        analogs_of = self._analogs_of
        # with fewer seeds than that, all cores decode for one
        if self.device.type == "cpu" and fair and (luggage := self._luggage(asked)):
            crew = Workers(apart, modules=(__name__,))
            analogs_of = partial(self._analogs_apart, luggage=luggage, part=min(part, fair))
        jobs = (analogs_of(group, asked, crew, tally.part()) for group in chain(first, groups))
        yield from take_turns(jobs, under_way)

    def _draws(self, n: int, options: AnalogOptions) -> Draws:
        radius, similarity = options.get("radius"), options.get("similarity")
        if radius is not None and similarity is not None:
            raise InputError("radius and similarity exclude each other: a similarity finds its own radius")
        return Draws(
            wanted=n,
            radius=radius or 0.0,
            dial=Dial.of(similarity) if similarity is not None else NEAREST if radius is None else None,
            decodes=options.get("decodes", 1),
            budget=options.get("budget", 0),
            options=self._options(
                options.get("temperature"),
                options.get("top_k", 0),
                options.get("top_p", 1.0),
                options.get("grammar", False),
            ),
            seed=options.get("seed", 0),
        )

    def _steering(self, options: AnalogOptions) -> Steering:
        seen, scores = self.checkpoint.seen, options.get("scores") or {}
        if any(text.strip().lower().startswith("similarity") for text in each(options.get("keep"))):
            raise InputError('similarity is no property to keep: ask for similarity="0.4:1" (--similarity 0.4:1)')
        if options.get("novel_only", False) and seen is None:
            raise InputError(
                f"the model {self.checkpoint.name!r} has no record of what it was trained on: no novel_only"
            )
        return Steering(
            windows=tuple(Window.of(text, tuple(scores)) for text in each(options.get("keep"))),
            contains=each(options.get("contains")),
            without=each(options.get("without")),
            scaffold=options.get("keep_scaffold", False),
            no_isomers=options.get("no_isomers", False),
            exclude=tuple(name.upper() for name in each(options.get("exclude"))),
            seen=seen.contains if seen is not None and options.get("novel_only", False) else None,
            scores=scores,
        )

    def _analogs_of(
        self, seeds: list[str], asked: _Asked, workers: Workers, progress: Progress | None
    ) -> Job[pd.DataFrame]:
        """Decoded here, read by `workers`."""
        drawn = yield from self._drawn(seeds, asked, workers, progress)
        return self._table(seeds, drawn, asked)

    def _analogs_apart(
        self,
        seeds: list[str],
        asked: _Asked,
        workers: Workers,
        progress: Progress | None,
        *,
        luggage: _Luggage,
        part: int,
    ) -> Job[pd.DataFrame]:
        """The same, where each of the workers does all that there is to do for `part` seeds at a time."""

        def tell(drawn: list[_Drawn | MoleculeError | None]) -> None:
            if progress:
                progress(sum(len(one.found.molecules) for one in drawn if isinstance(one, _Drawn)))

        pending = workers.submit(partial(_drawn_apart, luggage), seeds, part)
        try:
            yield
            drawn = [one or _fatal(seed) for seed, one in zip(seeds, pending.result(tell), strict=True)]
            return self._table(seeds, drawn, asked)
        except KeyboardInterrupt:
            workers.stop()  # what they are at takes seconds
            raise
        finally:
            pending.cancel()

    def _luggage(self, asked: _Asked) -> _Luggage | None:
        """What another process needs to draw as this one does, or None where something in it cannot travel.

        The user's own scores stay here, and where a wish is about one of them, so does everything.
        """
        import cloudpickle

        if asked.steering.own_windows:
            return None
        told = replace(asked, order=Order(), steering=replace(asked.steering, scores={}))
        try:
            return _Luggage(cloudpickle.dumps((self.checkpoint, self.precision, told)))
        except (pickle.PicklingError, TypeError, AttributeError):
            return None

    def _drawn(
        self, seeds: list[str], asked: _Asked, workers: Workers, progress: Progress | None
    ) -> Job[list[_Drawn | MoleculeError]]:
        """What is found around each seed, or why nothing can be."""
        graphs = self._graphs(seeds, asked.standardise)
        usable = [graph for graph in graphs if isinstance(graph, MolGraph)]
        found: list[Found] = []
        if usable:
            # one molecule at a time: a latent must not depend, in its last digit, on the seeds beside it
            latents = Posterior.concatenate([self._encode([graph], asked.refine) for graph in usable])
            names = [graph.smiles for graph in usable]
            found = yield from self._draw(names, latents, asked.draws, asked.steering, workers, progress)
        pending = [workers.submit(partial(figures, names=asked.properties), list(one.molecules)) for one in found]
        yield
        drawn = (_Drawn(one, known.result()) for one, known in zip(found, pending, strict=True))
        return [next(drawn) if isinstance(graph, MolGraph) else graph for graph in graphs]

    def _table(self, seeds: list[str], drawn: Sequence[_Drawn | MoleculeError], asked: _Asked) -> pd.DataFrame:
        """The analogs of some seeds, in order."""
        columns = list(asked.order.columns(asked.steering))
        errors = {str(seed): str(one) for seed, one in zip(seeds, drawn, strict=True) if isinstance(one, MoleculeError)}
        around = [(seed, one) for seed, one in zip(seeds, drawn, strict=True) if isinstance(one, _Drawn)]
        tables = [
            asked.order.applied(self._described(one.found, asked.properties, one.figures).assign(seed=seed))[columns]
            for seed, one in around
        ]
        frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
        found = [one.found for _, one in around]
        short = [one.summary(asked.draws) for one in found if len(one.molecules) < asked.draws.wanted]
        frame = _reported(frame, errors, [one.summary(asked.draws) for one in found], short)
        lengths = map(len, tables)
        frame.attrs["seeds"] = seeds
        frame.attrs["found"] = [next(lengths) if isinstance(one, _Drawn) else 0 for one in drawn]
        return frame

    def sample(
        self,
        n: int = 100,
        *,
        prior: str = "auto",
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        budget: int = 0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """`n` distinct valid molecules from the prior, in the order they were drawn; options as in `analogs`.

        `prior`: "unit", what training aimed at; "learned", fitted to what it reached and saved with the model; "auto",
        learned where there is one. Raises `InputError` for another, or where none was learned.
        """
        source, options = self._prior(prior), self._options(temperature, top_k, top_p, grammar)
        draws = Draws(wanted=n, radius=source.radius, budget=budget, options=options, seed=seed)
        (found,) = finish(self._draw([""], source, draws, Steering(), HERE, progress))
        short = [found.summary(draws)] if len(found.molecules) < n else []
        frame = self._described(found, PROPERTIES, figures(list(found.molecules), PROPERTIES))
        return _reported(frame[list(SAMPLE_COLUMNS)], {}, [found.summary(draws)], short)

    def encode(
        self,
        smiles: str | Iterable[str],
        *,
        standardise: bool = False,
        refine: bool = False,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Latents (means of the posterior), one row out per row in: smiles, error ("" when there is none), z0, z1 ...

        `refine`: move those that the decoder would not write the molecule from, by gradient, until it does. Rows with
        an error have NaN latents.
        """
        texts = list(one_or_many(smiles))
        graphs = self._graphs(texts, standardise)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        z = np.full((len(texts), self.checkpoint.config.latent_size), np.nan, dtype=np.float32)
        good = np.array([isinstance(g, MolGraph) for g in graphs], dtype=bool)
        if usable:
            z[good] = self._encode(usable, refine, progress).mean.cpu().numpy()
        columns = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
        error = ["" if isinstance(g, MolGraph) else str(g) for g in graphs]
        return pd.concat([pd.DataFrame({"smiles": texts, "error": error}, dtype=object), columns], axis=1)

    def decode(
        self,
        latents: NDArray[Any] | pd.DataFrame,
        *,
        radius: float | NDArray[Any] = 0.0,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        grammar: bool = False,
        seed: int | NDArray[Any] = 0,
        leaving: Sequence[str] | None = None,
        corrections: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """One string per latent (N x D, or a table from `encode`): smiles, log_likelihood, error.

        Greedy unless a temperature is given. smiles is canonical, "" where the string is no molecule; error then holds
        the string. `radius` says how much noise the latents carry, 0 to 1: a decoder that was trained to be told leans
        the more on what molecules look like. It and `seed` may be N numbers, one for each latent: a string then depends
        on its own alone, wherever it stands. Where the model's latents lie on a sphere, others are put there first.

        `leaving`: a SMILES for each latent, which its string is to leave: up to an atom drawn at random it is
        that, there another symbol stands, and from there on it goes freely; "" for none. Near a molecule's latent
        nearly every string is its own, and these are its near analogs.

        `corrections`: how often at most what was written is encoded again and the latent corrected by what it missed,
        which ends where it has come to lie at the latent itself; the molecule whose own latent is nearest is given, and
        how near in a column `distance` (`sampling.inversion`). Besides the greedy one strings are then drawn, at the
        temperature or at 1.2. With 32 it takes some twenty times as long.

        Raises `InputError` for latents of another width, for an option that cannot be used, and for `corrections` of
        strings that are `leaving`, which are not meant to come back.
        """
        z = _latent_array(latents, self.checkpoint.config.latent_size)
        usable = ~np.isnan(z).any(1)
        points = torch.from_numpy(z[usable])
        points = on_sphere(points) if self.model.latent.spherical else points
        radius = radius[usable] if isinstance(radius, np.ndarray) else radius
        seed = seed[usable] if isinstance(seed, np.ndarray) else seed
        if leaving is not None:
            if len(leaving) != len(z):
                raise InputError(
                    f"leaving is a SMILES for each latent: there are {len(z)}, and {len(leaving)} of these"
                )
            leaving = [leaving[row] for row in np.flatnonzero(usable).tolist()]
        options = DecodeOptions(temperature, top_k, top_p, grammar)
        frame = pd.DataFrame({"smiles": "", "log_likelihood": np.nan, "error": "no latent"}, index=range(len(z)))
        if many := _checked(corrections):
            if leaving is not None:
                raise InputError("corrections are for strings that are to come back, leaving is for those that are not")
            found = self._invert(points, options, radius, seed, many, progress)
            strings, scores = found.strings, found.log_likelihood
            frame.insert(2, "distance", np.nan)
            frame.loc[usable, "distance"] = found.distance.astype(float)
        else:
            done = self._decode(points, options, radius, seed, leaving, progress)
            strings, scores = done.strings(self.vocabulary), done.log_likelihood
        known = {text: canonical_or_none(text) for text in set(strings)}
        molecules = [known[text] for text in strings]
        frame.loc[usable, "smiles"] = [m or "" for m in molecules]
        frame.loc[usable, "log_likelihood"] = scores.astype(float)
        frame.loc[usable, "error"] = [_fault(text, m) for text, m in zip(strings, molecules, strict=True)]
        return frame

    def reconstruct(
        self,
        smiles: str | Iterable[str],
        *,
        standardise: bool = False,
        refine: bool = False,
        corrections: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Encode and decode greedily, one row out per row in: smiles, reconstruction, exact, error.

        exact: the reconstruction is the canonical isomeric SMILES of the input. error: why there is none, of the input
        (`attrs["refused"]` says of how many) or of what was written. `refine` as in `encode`, `corrections` as in
        `decode`: the first moves a latent, knowing the molecule, until it is written from there, and the second knows
        the latent alone. Raises `InputError` for both at once, as the latent of a molecule is then no longer its own,
        and for corrections below 0.
        """
        texts = list(one_or_many(smiles))
        graphs = self._graphs(texts, standardise)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        strings: list[str] = []
        many = _checked(corrections)
        if many and refine:
            raise InputError("refine moves a latent away from its molecule's own, which corrections look for: take one")
        if usable:
            z = self._encode(usable, refine).mean
            alike = np.zeros(len(z), np.int64)  # a seed for each row, so that none hangs on where it stands
            strings = (
                self._invert(z, GREEDY, seed=alike, corrections=many, progress=progress).strings
                if many
                else self._decode(z, GREEDY, progress=progress).strings(self.vocabulary)
            )
        written = iter(strings)
        rows = []
        for text, graph in zip(texts, graphs, strict=True):
            if isinstance(graph, MolGraph):
                string = next(written)
                molecule = canonical_or_none(string)
                rows.append((text, molecule or "", molecule == graph.smiles, _fault(string, molecule)))
            else:
                rows.append((text, "", False, str(graph)))
        frame = pd.DataFrame(rows, columns=["smiles", "reconstruction", "exact", "error"])
        frame.attrs["refused"] = len(texts) - len(usable)
        return frame

    @torch.inference_mode()
    def likelihood(
        self, smiles: str | Iterable[str], *, standardise: bool = False, progress: Progress | None = None
    ) -> pd.DataFrame:
        """How well each molecule is known, one row out per row in: smiles, log_likelihood, symbols, error.

        log_likelihood: log p(x given z) in nats, of the molecule's canonical SMILES given its own latent, the mean of
        q(z given x). symbols: how many its string has, the end counted.
        """
        texts = list(one_or_many(smiles))
        graphs = self._graphs(texts, standardise)
        good = [isinstance(graph, MolGraph) for graph in graphs]
        packed = PackedGraphs.from_graphs([g for g in graphs if isinstance(g, MolGraph)], self.vocabulary)

        def scored(batch: GraphBatch) -> NDArray[np.float32]:
            clean = torch.zeros(batch.size, device=self.device)
            score = self.model.log_likelihood(self.model.encode(batch).mean, clean, batch.tokens)
            return torch.stack([score, (batch.tokens != PAD_ID).sum(1)], dim=1).cpu().numpy()

        parts = [np.empty((0, 2), np.float32), *in_batches(scored, packed, self.model, progress)]
        frame = pd.DataFrame({"smiles": texts, "log_likelihood": np.nan, "symbols": 0})
        frame.loc[good, "log_likelihood"], frame.loc[good, "symbols"] = np.concatenate(parts).astype(float).T
        frame["error"] = ["" if isinstance(graph, MolGraph) else str(graph) for graph in graphs]
        return frame

    def calibration(self, smiles: str | Iterable[str]) -> Calibration:
        """How well the model knows some thousand reference molecules: what is usual, for `explore.anomaly`.

        Raises `InputError` where fewer than 20 of them can be encoded.
        """
        known = np.asarray(per_symbol(self.likelihood(smiles)), dtype=np.float64)
        return Calibration.of(self.checkpoint.name, self.model, known)

    # --- parts of the verbs ---

    def _prior(self, name: str) -> Prior:
        learned = self.checkpoint.prior
        if name not in ("auto", "unit", "learned"):
            raise InputError(f"prior is one of auto, unit, learned; got {name!r}")
        if name == "learned" and learned is None:
            raise InputError(f"the model {self.checkpoint.name!r} has no learned prior: molvae fit-prior gives it one")
        return self.model.prior() if learned is None or name == "unit" else learned

    def _options(self, temperature: float | None, top_k: int, top_p: float, grammar: bool) -> DecodeOptions:
        default = self.checkpoint.defaults.temperature
        return DecodeOptions(default if temperature is None else temperature, top_k, top_p, grammar)

    def _graphs(self, smiles: Sequence[str], standardise: bool) -> list[MolGraph | MoleculeError]:
        return [self._fitting(graph) for graph in featurise(smiles, clean=standardise)]

    def _fitting(self, graph: MolGraph | MoleculeError) -> MolGraph | MoleculeError:
        """The graph, or why this model cannot represent it."""
        if isinstance(graph, MoleculeError):
            return graph
        try:
            symbols = len(self.vocabulary.encode(graph.smiles)) - 1
        except MoleculeError as error:
            way_out = "; standardise it first: --standardise, or standardise=True, strips salts"
            return MoleculeError(f"{error}{way_out if '.' in graph.smiles else ''}")
        most = self.checkpoint.config.max_symbols
        if symbols > most:
            return MoleculeError(f"SMILES {graph.smiles[:40]}... has {symbols} symbols, the model writes up to {most}")
        return graph

    def _encode(self, graphs: Sequence[MolGraph], refine: bool, progress: Progress | None = None) -> Posterior:
        packed = PackedGraphs.from_graphs(graphs, self.vocabulary if refine else None)
        return posteriors(self.model, packed, refine=refine, progress=progress)

    def _decode(
        self,
        z: torch.Tensor,
        options: DecodeOptions,
        radius: float | NDArray[Any] = 0.0,
        seed: int | NDArray[Any] = 0,
        leaving: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Decoded:
        z, keys = z.to(self.device), self._keys(seed, len(z))
        given = None if leaving is None else departures(leaving, keys, self.vocabulary)
        return self.engine.decode(z, self._told(radius, len(z)), keys, options, progress, given=given)

    def _invert(
        self,
        z: torch.Tensor,
        options: DecodeOptions,
        radius: float | NDArray[Any] = 0.0,
        seed: int | NDArray[Any] = 0,
        corrections: int = 0,
        progress: Progress | None = None,
    ) -> Inverted:
        z, told, keys = z.to(self.device), self._told(radius, len(z)), self._keys(seed, len(z))
        return inverted(self.model, self.engine, self.vocabulary, z, told, keys, options, corrections, progress)

    def _keys(self, seed: int | NDArray[Any], count: int) -> torch.Tensor:
        if isinstance(seed, np.ndarray):
            return row_keys(0, torch.from_numpy(seed).to(self.device))
        return row_keys(int(seed), torch.arange(count, device=self.device))

    def _told(self, radius: float | NDArray[Any], count: int) -> torch.Tensor:
        told = torch.zeros(count, device=self.device)
        if self.checkpoint.defaults.noise_aware:
            told += torch.as_tensor(radius, dtype=torch.float32, device=self.device)
        return told

    def _draw(
        self,
        names: list[str],
        latents: LatentSource,
        draws: Draws,
        steering: Steering,
        workers: Workers,
        progress: Progress | None,
    ) -> Job[list[Found]]:
        return draw_around(
            self.engine,
            self.vocabulary,
            names,
            latents,
            draws,
            noise_aware=self.checkpoint.defaults.noise_aware,
            steering=None if steering.idle else steering,
            workers=workers,
            progress=progress,
        )

    def _described(
        self, found: Found, properties: Sequence[str], rows: Sequence[tuple[float, ...] | None]
    ) -> pd.DataFrame:
        """The molecules with similarity, likelihood, novelty, and their properties, of which `rows` has a row each."""
        smiles, seen = list(found.molecules), self.checkpoint.seen
        unknown = (float("nan"),) * len(properties)
        frame = pd.DataFrame([row or unknown for row in rows], columns=list(properties), dtype=float)
        return frame.assign(
            smiles=np.array(smiles, dtype=object),
            similarity=np.array([found.similarity[name] for name in smiles], dtype=float),
            log_likelihood=np.array(list(found.molecules.values()), dtype=float),
            novel=None if seen is None else ~seen.contains(smiles),
        )


@dataclass(frozen=True)
class _Asked:
    """What is wanted of every seed."""

    draws: Draws
    steering: Steering
    order: Order
    properties: list[str]  # to be computed of every molecule
    standardise: bool
    refine: bool


@dataclass(frozen=True)
class _Drawn:
    """What was found around a seed, and the figures of each of its molecules."""

    found: Found
    figures: Sequence[tuple[float, ...] | None]


class _Luggage:
    """A generator and what is asked of it, on the way to a worker process, which unpacks it once."""

    unpacked: ClassVar[dict[str, tuple[Generator, _Asked]]] = {}

    def __init__(self, packed: bytes) -> None:
        self.packed, self.tag = packed, uuid4().hex

    def unpack(self) -> tuple[Generator, _Asked]:
        if self.tag not in self.unpacked:
            checkpoint, precision, asked = pickle.loads(self.packed)
            self.unpacked.clear()
            self.unpacked[self.tag] = Generator(checkpoint, "cpu", precision), asked
        return self.unpacked[self.tag]


def _drawn_apart(luggage: _Luggage, seeds: list[str]) -> list[_Drawn | MoleculeError]:
    """In a worker process, which has one thread as there is one of it for each core."""
    generator, asked = luggage.unpack()
    with one_thread():
        return finish(generator._drawn(seeds, asked, HERE, None))


def _fatal(seed: str) -> MoleculeError:
    return MoleculeError(f"SMILES {seed}: a process that ended whenever it worked on it")


def _reported(frame: pd.DataFrame, errors: dict[str, str], summary: list[str], short: list[str]) -> pd.DataFrame:
    frame.attrs = {"errors": errors, "summary": summary}
    for message in [*errors.values(), *short]:
        warnings.warn(message, MolvaeWarning, stacklevel=4)
    return frame


def _joined(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    attrs = [frame.attrs for frame in frames]
    for frame in frames:
        frame.attrs = {}
    filled = [frame for frame in frames if len(frame)]
    out = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    out.attrs = {
        "errors": {k: v for a in attrs for k, v in a["errors"].items()},
        "summary": [line for a in attrs for line in a["summary"]],
    }
    return out


def _fault(string: str, molecule: str | None) -> str:
    """What is wrong with a string that was written, "" where it is a molecule."""
    if molecule:
        return ""
    return f"not a molecule: {string!r}" if string else "longer than the model writes"


def per_symbol(likelihood: pd.DataFrame) -> pd.Series[float]:
    """Nats per symbol of a table of `Generator.likelihood`: longer strings have more to get wrong."""
    return likelihood["log_likelihood"] / likelihood["symbols"].clip(lower=1)


def _checked(corrections: int) -> int:
    if not isinstance(corrections, int | np.integer) or corrections < 0:
        raise InputError(f"corrections must be 0 (none) or a whole number above, got {corrections}")
    return int(corrections)


def _latent_array(latents: NDArray[Any] | pd.DataFrame, size: int) -> NDArray[np.float32]:
    if isinstance(latents, pd.DataFrame):
        columns = [f"z{i}" for i in range(size)]
        missing = [c for c in columns if c not in latents.columns]
        if missing:
            raise InputError(f"a table of latents has columns z0 to z{size - 1}; {missing[0]} is missing")
        latents = latents[columns].to_numpy()
    z = np.atleast_2d(np.asarray(latents, dtype=np.float32))
    if z.ndim != 2 or z.shape[1] != size:
        raise InputError(f"latents must be N x {size} for this model, got {' x '.join(map(str, z.shape))}")
    return z
