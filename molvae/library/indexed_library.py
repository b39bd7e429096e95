"""Libraries of molecules, indexed once and searched often: `molvae.index`, `molvae.open_library`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint
from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.smiles import parse, standardize, write
from molvae.data.rows import ARGUMENT, InvalidRow, Record, RowCounts, as_smiles_iterable, as_tuple, make_row
from molvae.errors import CheckpointError, InputError, MoleculeError, warn
from molvae.library.build import PROPERTIES, SHARD_ROWS, build_index
from molvae.library.embedding import embed
from molvae.library.ivf import ByLatentCells
from molvae.library.manifest import ModelId
from molvae.library.measures import ByFingerprint, ByLatent, Measure
from molvae.library.search import Hits, search
from molvae.library.storage import Library
from molvae.nn.devices import find_device

EQUALS = 16
"""Molecules with the fingerprint of a seed, such as its stereoisomers, among which it is looked for itself."""

RANKINGS = {"latent": ("latent",), "tanimoto": ("tanimoto",), "both": ("tanimoto", "latent")}


def index(
    library: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    model: str | Path = "druglike",
    device: str = "auto",
    column: str | None = None,
    properties: Sequence[str] = PROPERTIES,
    standardize: bool = False,
    workers: int | None = None,
    shard_rows: int = SHARD_ROWS,
    progress: Callable[[RowCounts], None] | None = None,
) -> IndexedLibrary:
    """Index files and folders of molecules (.smi .csv .tsv .sdf .parquet, .gz) into the folder `output`.

    The folder gets sharded Parquet (SMILES, id, properties, latents in half precision), fingerprints, invalid_rows.csv with the
    rows that gave no molecule, and manifest.json. Interrupted and called again, it goes on and ends with the same
    bytes; it costs `shard_rows` rows at most. Memory is flat. `column` is the one with SMILES, `properties` those to
    compute (units as in `PROPERTIES`); `standardize` normalizes groups and strips salts first. Raises `InputError`,
    also where `output` was begun with other files, model or options, and `CheckpointError`.
    """
    paths = [library] if isinstance(library, str | Path) else library
    place = find_device(device)
    loaded = checkpoints.load(model, place)
    build_index(
        paths, output, loaded.model, loaded.vocabulary, model_id=_id_of(str(model), loaded),
        max_length=loaded.config.max_length, device=place, column=column, properties=properties, clean=standardize,
        workers=workers, shard_rows=shard_rows, progress=progress,
    )  # fmt: skip
    return open_library(output, model=model, device=device)


def open_library(folder: str | Path, *, model: str | Path | None = None, device: str = "auto") -> IndexedLibrary:
    """A library that `index` made. `model` says where its model is now, if that was moved.

    Raises `InputError` where there is no library, or one that is not finished.
    """
    return IndexedLibrary(Library(folder), model, device)


@dataclass(frozen=True)
class Seed:
    """What was asked about, as given; its `latent` (D,) where latents are asked for, else its `canonical` SMILES."""

    smiles: str
    fingerprint: NDArray[np.uint8]
    latent: NDArray[np.float32] | None = None
    canonical: str = ""


class IndexedLibrary:
    """A library and, once latents are asked for, the model that made it."""

    def __init__(self, library: Library, model: str | Path | None = None, device: str = "auto") -> None:
        self.library = library
        self.device = device
        self._place = model or library.manifest.settings.model.name
        self._checkpoint: Checkpoint | None = None

    def __len__(self) -> int:
        return len(self.library)

    @property
    def counts(self) -> RowCounts:
        """What became of the rows that were read."""
        return self.library.manifest.counts

    def search(
        self,
        seeds: str | Iterable[str],
        *,
        rank_by: str = "both",
        metric: str = "cosine",
        nprobe: int = 0,
        top: int = 100,
        filters: str | Sequence[str] = (),
        include_smarts: str | Sequence[str] = (),
        exclude_smarts: str | Sequence[str] = (),
        core: str | None = None,
        workers: int | None = None,
    ) -> pd.DataFrame:
        """The `top` molecules nearest to each seed, the nearest first, as if compared with every molecule.

        `rank_by` is tanimoto (Morgan, radius 2, 2048 bits), latent (`metric` cosine or l2) or both: the two lists, 1000 deep
        or ten times `top`, fused by reciprocal rank (Cormack, Clarke and Buettcher 2009). With `nprobe` latents are
        compared only in that many of the cells that the library's are sorted into: quicker, and it may miss some
        (`ByLatentCells`). `filters` are windows of the library's properties such as "mw<500", `include_smarts` and `exclude_smarts`
        SMARTS, `core` as in `Generator.analogs`; ranks are among what passes.

        Columns: seed, rank, smiles, id, similarity (Tanimoto), latent_distance (1 - cosine, or Euclidean; not by
        tanimoto alone), the library's properties. `attrs["errors"]`: seed to reason, of those that cannot be used.
        Raises `InputError` for an option that cannot be used, `CheckpointError` for a damaged model.
        """
        if rank_by not in RANKINGS:
            raise InputError(f"a library is searched by {', '.join(RANKINGS)}, got {rank_by!r}")
        if rank_by == "tanimoto" and (metric != "cosine" or nprobe):
            raise InputError("metric and nprobe are about latents, which are not looked at by tanimoto")
        molecule_filters = Filters(
            tuple(map(PropertyFilter.from_text, as_tuple(filters))),
            as_tuple(include_smarts),
            as_tuple(exclude_smarts),
            core,
        )
        found, errors = self._seeds(list(as_smiles_iterable(seeds)), latents=rank_by != "tanimoto")
        measures: dict[str, Measure] = {"tanimoto": ByFingerprint(np.array([seed.fingerprint for seed in found]))}
        if rank_by != "tanimoto":
            latents = np.array([seed.latent for seed in found], np.float32)
            exact = ByLatent(latents, metric, find_device(self.device))
            measures["latent"] = ByLatentCells(latents, metric, nprobe=nprobe) if nprobe else exact
        deep = top + EQUALS if rank_by == "tanimoto" else top
        hits = (
            search(self.library, measures, deep, by=RANKINGS[rank_by], filters=molecule_filters, workers=workers)
            if found
            else []
        )
        if rank_by == "tanimoto":
            hits = [self._itself_first(one, seed, top) for one, seed in zip(hits, found, strict=True)]
        frame = self._table(found, hits, measures)
        frame.attrs["errors"] = errors
        for reason in errors.values():
            warn(reason)
        return frame

    def _itself_first(self, hits: Hits, seed: Seed, top: int) -> Hits:
        """The `top` best, first the seed itself if it is there: its stereoisomers have the same fingerprint."""
        equals = int((hits.scores == 1).sum())
        itself = (self.library.molecules(hits.rows[:equals])["smiles"] == seed.canonical).to_numpy()
        order = np.argsort(~itself, kind="stable")
        rows = np.concatenate([hits.rows[:equals][order], hits.rows[equals:]])[:top]
        return Hits(rows, hits.scores[:top], {name: figures[:top] for name, figures in hits.measured.items()})

    def _seeds(self, texts: list[str], *, latents: bool) -> tuple[list[Seed], dict[str, str]]:
        """The seeds that can be used, and the others' reasons."""
        rows = [make_row(text, "", ARGUMENT, place) for place, text in enumerate(texts, start=1)]
        if latents:
            return self._encoded(rows, texts)
        seeds, errors = list[Seed](), dict[str, str]()
        for row, text in zip(rows, texts, strict=True):
            try:
                if isinstance(row, InvalidRow):
                    raise MoleculeError(row.reason)
                mol = standardize(parse(text)) if self.library.manifest.settings.standardized else parse(text)
                seeds.append(Seed(text, morgan_bits([mol])[0], canonical=write(mol)))
            except MoleculeError as error:
                errors[text] = str(error)
        return seeds, errors

    def _encoded(self, rows: Sequence[Record | InvalidRow], texts: list[str]) -> tuple[list[Seed], dict[str, str]]:
        loaded = self._model()
        parts = embed(
            loaded.model, loaded.vocabulary, rows, device=find_device(self.device), fingerprints=True, workers=0,
            max_length=loaded.config.max_length, clean=self.library.manifest.settings.standardized,
        )  # fmt: skip
        seeds, errors = list[Seed](), dict[str, str]()
        for part in parts:
            seeds += [
                Seed(texts[record.row - 1], fingerprint, latent)
                for record, fingerprint, latent in zip(part.records, part.fingerprints, part.latents, strict=True)
            ]
            errors |= {texts[bad.row - 1]: bad.reason for bad in part.invalid_rows}
        return seeds, errors

    def _model(self) -> Checkpoint:
        """The model that made the latents. Raises `InputError` where it is gone, or another."""
        if self._checkpoint is None:
            wanted = self.library.manifest.settings.model
            try:
                place = checkpoints.locate(self._place)
            except CheckpointError as error:
                raise InputError(
                    f"{self.library.folder} needs the model {wanted.name!r} that made it: {error}"
                ) from None
            loaded = checkpoints.load(place, find_device(self.device))
            if _id_of(wanted.name, loaded) != wanted:
                raise InputError(
                    f"{self.library.folder} was made with the model {wanted.name!r} of other weights than "
                    f"{str(self._place)!r} has now: name the one it was made with, or index it again"
                )
            self._checkpoint = loaded
        return self._checkpoint

    def _table(self, seeds: list[Seed], hits: list[Hits], measures: dict[str, Measure]) -> pd.DataFrame:
        rows = np.concatenate([np.zeros(0, np.int64), *(found.rows for found in hits)])
        distinct, place = np.unique(rows, return_inverse=True)
        molecules = self.library.molecules(distinct).iloc[place].reset_index(drop=True)
        sizes = [len(found.rows) for found in hits]
        figures = {
            "seed": np.repeat(np.array([seed.smiles for seed in seeds], dtype=object), sizes),
            "rank": np.concatenate([np.zeros(0, int), *(np.arange(1, size + 1) for size in sizes)]),
            "smiles": molecules["smiles"],
            "id": molecules["id"],
            "similarity": _column(hits, "tanimoto"),
        }
        latent = measures.get("latent")
        if isinstance(latent, ByLatent):
            figures["latent_distance"] = latent.distance(_column(hits, "latent"))
        return pd.DataFrame({**figures, **{name: molecules[name] for name in self.library.properties}})


def _column(hits: list[Hits], measure: str) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *(found.measured[measure] for found in hits)])


def _id_of(name: str, loaded: Checkpoint) -> ModelId:
    return ModelId.of(name, loaded.model, loaded.config.latent_dim)
