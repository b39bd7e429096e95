"""The object users hold: molecules in, tables of molecules out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.graph import MolGraph
from molvae.chem.properties import PROPERTIES as PROPERTY_TABLE
from molvae.chem.properties import compute
from molvae.chem.smiles import canonical_or_none, parse
from molvae.chem.windows import Window
from molvae.data.featurise import featurise, in_chunks
from molvae.data.packed import PackedGraphs
from molvae.errors import InputError, MoleculeError
from molvae.models.devices import find_device
from molvae.models.latents import Posterior
from molvae.sampling.analogs import Admit, Draws, Found, draw_around
from molvae.sampling.dial import Dial
from molvae.sampling.engine import Decoded, decode
from molvae.sampling.options import GREEDY, DecodeOptions
from molvae.sampling.request import PROPERTIES, AnalogOptions, Order, Progress, read_order
from molvae.sampling.steering import Steering
from molvae.sampling.streams import row_keys

SAMPLE_COLUMNS = ("smiles", "log_likelihood", *PROPERTIES, "novel")
ENCODING_BATCH = 256
SEEDS_AT_ONCE = 64


class MolvaeWarning(UserWarning):
    """Some rows could not be used, or fewer molecules were found than asked for; the rest was delivered."""


class Generator:
    """A loaded model with its verbs. Every verb takes SMILES (one or many) and returns a pandas DataFrame.

    Rows that cannot be used never stop the others: they stand in an `error` column where there is one row out per row
    in, and otherwise in `frame.attrs["errors"]` (SMILES to reason), with a `MolvaeWarning`.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> None:
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.model = checkpoint.model.to(self.device).eval()
        self.vocabulary = checkpoint.vocabulary

    @classmethod
    def load(cls, model: str | Path = "druglike", device: str = "auto") -> Self:
        """A shipped model by name, or a model directory by path.

        Raises `CheckpointError`, and `InputError` for a device that is not there.
        """
        chosen = find_device(device)
        return cls(checkpoints.load(model, chosen), chosen)

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
        """`analogs` as a stream: a table for every few seeds, in flat memory. Options are checked at once."""
        order, draws, steering = read_order(options), self._draws(n, options), self._steering(options)
        standardise, progress = options.get("standardise", False), options.get("progress")
        groups = in_chunks([seeds] if isinstance(seeds, str) else seeds, SEEDS_AT_ONCE)
        return (self._analogs_of(group, draws, steering, order, standardise, progress) for group in groups)

    def _draws(self, n: int, options: AnalogOptions) -> Draws:
        radius, similarity = options.get("radius"), options.get("similarity")
        if radius is not None and similarity is not None:
            raise InputError("radius and similarity exclude each other: a similarity finds its own radius")
        return Draws(
            wanted=n,
            radius=self.checkpoint.defaults.radius if radius is None else radius,
            widen=radius is None,
            dial=None if similarity is None else Dial.of(similarity),
            decodes=options.get("decodes", 1),
            budget=options.get("budget", 0),
            options=self._options(options.get("temperature"), options.get("top_k", 0), options.get("top_p", 1.0)),
            seed=options.get("seed", 0),
        )

    def _steering(self, options: AnalogOptions) -> Steering:
        seen = self.checkpoint.seen
        if options.get("novel_only", False) and seen is None:
            raise InputError(
                f"the model {self.checkpoint.name!r} has no record of what it was trained on: no novel_only"
            )
        return Steering(
            windows=tuple(map(Window.of, _each(options.get("keep")))),
            contains=_each(options.get("contains")),
            without=_each(options.get("without")),
            scaffold=options.get("keep_scaffold", False),
            exclude=tuple(name.upper() for name in _each(options.get("exclude"))),
            seen=seen.contains if seen is not None and options.get("novel_only", False) else None,
        )

    def _analogs_of(
        self,
        seeds: list[str],
        draws: Draws,
        steering: Steering,
        order: Order,
        standardise: bool,
        progress: Progress | None,
    ) -> pd.DataFrame:
        usable, errors = _split(seeds, self._graphs(seeds, standardise))
        # one molecule at a time: a latent must not depend, in its last digit, on the seeds beside it
        latents = [self._encode([graph], None) for _, graph in usable]
        found: list[Found] = []
        if usable:
            names = [graph.smiles for _, graph in usable]
            admit = None if steering.idle else steering.admit
            found = self._draw(names, Posterior.concatenate(latents), draws, progress, admit)
        columns = order.columns(steering)
        tables = [self._analog_table(text, f, order, columns) for (text, _), f in zip(usable, found, strict=True)]
        frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns))
        short = [f.summary(draws) for f in found if len(f.molecules) < draws.wanted]
        return _reported(frame, errors, [f.summary(draws) for f in found], short)

    def sample(
        self,
        n: int = 100,
        *,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        budget: int = 0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """`n` distinct valid molecules from the prior, in the order they were drawn; options as in `analogs`."""
        options = self._options(temperature, top_k, top_p)
        draws = Draws(wanted=n, radius=1.0, budget=budget, options=options, seed=seed)
        nowhere = Posterior(torch.zeros(1, self.checkpoint.config.latent_size, device=self.device))
        (found,) = self._draw([""], nowhere, draws, progress)
        short = [found.summary(draws)] if len(found.molecules) < n else []
        return _reported(self._described(found)[list(SAMPLE_COLUMNS)], {}, [found.summary(draws)], short)

    def encode(
        self, smiles: str | Iterable[str], *, standardise: bool = False, progress: Progress | None = None
    ) -> pd.DataFrame:
        """Latents (means of the posterior), one row out per row in: smiles, error ("" when there is none), z0, z1 ...

        Rows with an error have NaN latents.
        """
        texts = [smiles] if isinstance(smiles, str) else list(smiles)
        graphs = self._graphs(texts, standardise)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        z = np.full((len(texts), self.checkpoint.config.latent_size), np.nan, dtype=np.float32)
        good = np.array([isinstance(g, MolGraph) for g in graphs], dtype=bool)
        if usable:
            z[good] = self._encode(usable, progress).mean.cpu().numpy()
        columns = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
        error = ["" if isinstance(g, MolGraph) else str(g) for g in graphs]
        return pd.concat([pd.DataFrame({"smiles": texts, "error": error}, dtype=object), columns], axis=1)

    def decode(
        self,
        latents: NDArray[Any] | pd.DataFrame,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """One string per latent (N x D, or a table from `encode`): smiles, log_likelihood, error.

        Greedy unless a temperature is given. smiles is canonical, "" where the string is no molecule; error then holds
        the string.
        """
        z = _latent_array(latents, self.checkpoint.config.latent_size)
        usable = ~np.isnan(z).any(1)
        done = self._decode(torch.from_numpy(z[usable]), DecodeOptions(temperature, top_k, top_p), seed, progress)
        strings = done.strings(self.vocabulary)
        molecules = [canonical_or_none(text) for text in strings]
        frame = pd.DataFrame({"smiles": "", "log_likelihood": np.nan, "error": "no latent"}, index=range(len(z)))
        frame.loc[usable, "smiles"] = [m or "" for m in molecules]
        frame.loc[usable, "log_likelihood"] = done.log_likelihood.astype(float)
        bad = [
            "" if m else f"not a molecule: {t!r}" if t else "longer than the model writes"
            for m, t in zip(molecules, strings, strict=True)
        ]
        frame.loc[usable, "error"] = bad
        return frame

    def reconstruct(
        self, smiles: str | Iterable[str], *, standardise: bool = False, progress: Progress | None = None
    ) -> pd.DataFrame:
        """Encode and decode greedily, one row out per row in: smiles, reconstruction, exact, error.

        exact: the reconstruction is the canonical isomeric SMILES of the input.
        """
        texts = [smiles] if isinstance(smiles, str) else list(smiles)
        graphs = self._graphs(texts, standardise)
        usable = [g for g in graphs if isinstance(g, MolGraph)]
        strings: list[str] = []
        if usable:
            latents = self._encode(usable, None).mean
            strings = self._decode(latents, GREEDY, 0, progress).strings(self.vocabulary)
        written = iter(strings)
        rows = []
        for text, graph in zip(texts, graphs, strict=True):
            if isinstance(graph, MolGraph):
                string = next(written)
                rows.append((text, canonical_or_none(string) or "", string == graph.smiles, ""))
            else:
                rows.append((text, "", False, str(graph)))
        return pd.DataFrame(rows, columns=["smiles", "reconstruction", "exact", "error"])

    # --- parts of the verbs ---

    def _options(self, temperature: float | None, top_k: int, top_p: float) -> DecodeOptions:
        default = self.checkpoint.defaults.temperature
        return DecodeOptions(default if temperature is None else temperature, top_k, top_p)

    def _graphs(self, smiles: Sequence[str], standardise: bool) -> list[MolGraph | MoleculeError]:
        return [self._fitting(graph) for graph in featurise(smiles, clean=standardise)]

    def _fitting(self, graph: MolGraph | MoleculeError) -> MolGraph | MoleculeError:
        """The graph, or why this model cannot represent it."""
        if isinstance(graph, MoleculeError):
            return graph
        try:
            symbols = len(self.vocabulary.encode(graph.smiles)) - 1
        except MoleculeError as error:
            hint = "; standardise it first (this strips salts)" if "." in graph.smiles else ""
            return MoleculeError(f"{error}{hint}")
        most = self.checkpoint.config.max_symbols
        if symbols > most:
            return MoleculeError(f"SMILES {graph.smiles[:40]}... has {symbols} symbols, the model writes up to {most}")
        return graph

    @torch.inference_mode()
    def _encode(self, graphs: Sequence[MolGraph], progress: Progress | None) -> Posterior:
        packed = PackedGraphs.from_graphs(graphs)
        parts = []
        for rows in torch.arange(len(graphs)).split(ENCODING_BATCH):
            parts.append(self.model.encode(packed.gather(rows).to(self.device)))
            if progress:
                progress(int(rows[-1]) + 1)
        return Posterior.concatenate(parts)

    def _decode(self, z: torch.Tensor, options: DecodeOptions, seed: int, progress: Progress | None) -> Decoded:
        z = z.to(self.device)
        keys = row_keys(seed, torch.arange(len(z), device=self.device))
        radius = torch.zeros(len(z), device=self.device)
        return decode(self.model.decoder, z, radius, keys, options, self.checkpoint.config.max_symbols, progress)

    def _draw(
        self,
        names: list[str],
        posterior: Posterior,
        draws: Draws,
        progress: Progress | None,
        admit: Admit | None = None,
    ) -> list[Found]:
        return draw_around(
            self.model,
            self.vocabulary,
            names,
            posterior,
            draws,
            noise_aware=self.checkpoint.defaults.noise_aware,
            max_symbols=self.checkpoint.config.max_symbols,
            admit=admit,
            progress=progress,
        )

    def _analog_table(self, text: str, found: Found, order: Order, columns: Sequence[str]) -> pd.DataFrame:
        frame = self._described(found, [name for name in columns if name in PROPERTY_TABLE])
        fingerprints = [morgan(parse(m)) for m in found.molecules]
        frame["seed"] = text
        frame["similarity"] = tanimoto(morgan(parse(found.seed)), fingerprints)
        return order.applied(frame)[list(columns)]

    def _described(self, found: Found, properties: Sequence[str] = PROPERTIES) -> pd.DataFrame:
        """The molecules with their likelihood, properties and novelty."""
        smiles = list(found.molecules)
        seen = self.checkpoint.seen
        return pd.DataFrame(
            {
                "smiles": np.array(smiles, dtype=object),
                "log_likelihood": np.array(list(found.molecules.values()), dtype=float),
                **compute([parse(m) for m in smiles], properties),
                "novel": None if seen is None else ~seen.contains(smiles),
            },
        )


def _each(asked: str | Sequence[str] | None) -> tuple[str, ...]:
    """What was asked for; a bare string is one wish, not one for each of its letters."""
    return (asked,) if isinstance(asked, str) else tuple(asked or ())


def _split(
    texts: Sequence[str], graphs: Sequence[MolGraph | MoleculeError]
) -> tuple[list[tuple[str, MolGraph]], dict[str, str]]:
    pairs = list(zip(texts, graphs, strict=True))
    usable = [(text, graph) for text, graph in pairs if isinstance(graph, MolGraph)]
    return usable, {str(text): str(graph) for text, graph in pairs if isinstance(graph, MoleculeError)}


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
