"""`molvae.index` and `molvae.open_library`: libraries that are indexed once and then searched."""

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
from molvae.chem.smiles import shortened
from molvae.chem.standardization import fingerprint_mol, prepare
from molvae.data.arguments import as_paths, as_smiles_iterable, as_tuple
from molvae.data.checked_arguments import checked_arguments
from molvae.data.files import check_writable
from molvae.data.rows import ARGUMENT, InvalidRow, Record, RowCounts, make_row
from molvae.errors import CheckpointError, InputError, MoleculeError, warn
from molvae.library.build import PROPERTIES, SHARD_ROWS, build_index
from molvae.library.embedding import embed_rows
from molvae.library.ivf import IVFSearcher
from molvae.library.manifest import ModelId
from molvae.library.nearest_neighbors import FingerprintSearcher, LatentSearcher, Searcher
from molvae.library.search import SearchHits, search_library
from molvae.library.storage import LibraryStorage
from molvae.nn.devices import find_device
from molvae.viz.progress import no_progress, progress_bar

RANKINGS = {"latent": ("latent",), "tanimoto": ("tanimoto",), "both": ("tanimoto", "latent")}

EQUAL_FINGERPRINTS = 16
"""Additional hits that are searched for the seed itself, which may have the same fingerprint as other molecules."""


@checked_arguments
def index(
    library: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    model: str | Path = "druglike",
    device: str = "auto",
    column: str | None = None,
    name_column: str | None = None,
    properties: Sequence[str] = PROPERTIES,
    standardize: bool = False,
    keep_salts: bool = False,
    workers: int | None = None,
    shard_rows: int = SHARD_ROWS,
    progress: Callable[[RowCounts], None] | None = None,
) -> IndexedLibrary:
    """Index files of molecules for searches by similarity and by latent.

    The folder `output` will contain Parquet files with the distinct canonical isomeric SMILES, ids, properties and
    latents in half precision; Morgan fingerprints; invalid_rows.csv with the invalid rows; and manifest.json. Memory is
    constant except for 8 bytes per molecule. A call after an interruption resumes the build; the resulting files are
    the same as without the interruption.

    Parameters
    ----------
    library : str, Path or sequence
        Files of the formats that `molvae.data.readers.read_records` reads, and folders of such files.
    output : str or Path
        The folder to create.
    model : str or Path
        Name or folder of the model that computes the latents.
    device : str
        Device of the model: "auto", "cpu", "cuda", "mps".
    column : str, optional
        Column of the SMILES in tables. Default: "smiles".
    name_column : str, optional
        Column of the names, which become the IDs of the library. Default: "name", "id" or another usual name.
    properties : sequence of str
        Properties to store; searches can filter by them.
    standardize : bool
        Clean up functional groups and metals with RDKit's MolStandardize first.
    keep_salts : bool
        Keep salts and solvents; otherwise the largest fragment of each row is indexed, and notes.csv says so.
    workers : int, optional
        Worker processes; default one per core, 0 or 1 for none.
    shard_rows : int
        Rows of a shard, 1 to 512 or a multiple of 512. After an interruption, at most one shard is repeated.
    progress : callable, optional
        Called with the `RowCounts` so far after every batch of rows.

    Returns
    -------
    IndexedLibrary

    Raises
    ------
    InputError
        If a file or an option cannot be used, or if `output` exists with other files, model or options.
    CheckpointError
        If the model is missing or damaged.
    """
    paths = as_paths(library, "library")
    check_writable(output)
    found_device = find_device(device)
    loaded = checkpoints.load(model, found_device)
    with progress_bar(None, "rows", None if progress is None else no_progress) as advance:

        def show_progress(counts: RowCounts) -> None:
            if progress is not None:
                progress(counts)
            elif advance:
                advance(counts.read)

        build_index(
            paths, output, loaded.model, loaded.vocabulary, model_id=_model_id(str(model), loaded),
            max_length=loaded.config.max_length, device=found_device, column=column, name_column=name_column,
            properties=properties, standardize=standardize, keep_salts=keep_salts, workers=workers,
            shard_rows=shard_rows, progress=show_progress,
        )  # fmt: skip
    return open_library(output, model=model, device=device)


@checked_arguments
def open_library(folder: str | Path, *, model: str | Path | None = None, device: str = "auto") -> IndexedLibrary:
    """Open a library that `index` created.

    Parameters
    ----------
    folder : str or Path
        The folder of the library.
    model : str or Path, optional
        Name or folder of the model, if it has moved. Default: that with which the library was indexed.
    device : str
        Device of searches by latent: "auto", "cpu", "cuda", "mps".

    Returns
    -------
    IndexedLibrary

    Raises
    ------
    InputError
        If there is no library in `folder`, or an incomplete one.
    """
    return IndexedLibrary(LibraryStorage(folder), model, device)


@dataclass(frozen=True)
class SearchSeed:
    """A seed as written by the user, its position among the seeds, and its packed fingerprint (256,).

    `latent` (D,) is None, and `canonical` has the identity, for searches without latents. `note` tells how the molecule
    differs from the input.
    """

    smiles: str
    position: int
    fingerprint: NDArray[np.uint8]
    latent: NDArray[np.float32] | None = None
    canonical: str = ""
    note: str = ""


class IndexedLibrary:
    """A library to search; its model is loaded at the first search by latent.

    Parameters
    ----------
    storage : LibraryStorage
        The library on disk.
    model : str or Path, optional
        Name or folder of its model. Default: that in the manifest.
    device : str
        Device of searches by latent.
    """

    def __init__(self, storage: LibraryStorage, model: str | Path | None = None, device: str = "auto") -> None:
        self.storage = storage
        self.device = device
        self._model_path = model or storage.manifest.settings.model.name
        self._checkpoint: Checkpoint | None = None

    def __len__(self) -> int:
        return len(self.storage)

    @property
    def counts(self) -> RowCounts:
        """The numbers of accepted, duplicate and invalid rows."""
        return self.storage.manifest.counts

    @checked_arguments
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
        standardize: bool | None = None,
        keep_salts: bool | None = None,
        workers: int | None = None,
    ) -> pd.DataFrame:
        """Return the nearest molecules of each seed, by comparison with every molecule unless `nprobe` is given.

        Parameters
        ----------
        seeds : str or iterable of str
            SMILES of the molecules to search for. Those that cannot be used are skipped with a warning.
        rank_by : {"both", "tanimoto", "latent"}
            Tanimoto similarity of Morgan fingerprints (radius 2, 2048 bits), `metric` of latents, or both: the ranks in
            two lists of 1000 molecules, or of ten times `top` if that is more, are fused [1]_.
        metric : {"cosine", "l2"}
            Metric of latents.
        nprobe : int
            Lists of an inverted file index that are searched for each seed (see `IVFSearcher`): faster, and some of the
            nearest may be missed. 0 compares with all latents.
        top : int
            Molecules for each seed.
        filters : str or sequence of str
            Conditions on the properties in the library, such as "mw<500". Only molecules that pass are ranked.
        include_smarts, exclude_smarts : str or sequence of str
            SMARTS patterns that molecules must contain, and must not contain.
        core : str, optional
            Substructure with attachment points (*) that molecules must have; other atoms may only be attached there.
        standardize : bool, optional
            Clean up functional groups and metals of the seeds. Default: if the library was indexed so.
        keep_salts : bool, optional
            Keep salts and solvents of the seeds. Default: if the library was indexed so.
        workers : int, optional
            Worker processes for substructure filters; default one per core, 0 or 1 for none.

        Returns
        -------
        pandas.DataFrame
            Columns seed, rank (from 1), smiles, id (name, or file:row), similarity (Tanimoto), latent_distance
            (1 - cosine, or Euclidean; absent if `rank_by` is "tanimoto"), and the properties of the library.
            ``attrs["hits_per_seed"]`` has the number of rows of each seed in the order of `seeds`.
            ``attrs["errors"]`` maps the seeds that cannot be used to the reasons, ``attrs["notes"]`` those that were
            changed to what was changed, such as "salt removed: Cl".

        Raises
        ------
        InputError
            If an option cannot be used, or if the model of the library is missing or has changed.
        CheckpointError
            If the model is damaged.

        References
        ----------
        .. [1] Cormack, Clarke and Buettcher, "Reciprocal rank fusion", SIGIR 2009, 758.
        """
        if rank_by not in RANKINGS:
            raise InputError(f"rank_by must be one of {', '.join(RANKINGS)}, got {rank_by!r}")
        if top < 1:
            raise InputError(f"top must be at least 1, got {top}")
        if rank_by == "tanimoto" and (metric != "cosine" or nprobe):
            raise InputError("metric and nprobe apply to latents, which rank_by 'tanimoto' does not use")
        molecule_filters = Filters(
            tuple(map(PropertyFilter.from_text, as_tuple(filters))), as_tuple(include_smarts),
            as_tuple(exclude_smarts), core,
        )  # fmt: skip
        settings = self.storage.manifest.settings
        preparation = {
            "standardize": settings.standardize if standardize is None else standardize,
            "keep_salts": settings.keep_salts if keep_salts is None else keep_salts,
        }
        prepare_seeds = self._prepare_seeds if rank_by == "tanimoto" else self._encode_seeds
        texts = list(as_smiles_iterable(seeds))
        found, errors = prepare_seeds(texts, **preparation)
        searchers: dict[str, Searcher] = {
            "tanimoto": FingerprintSearcher(np.array([seed.fingerprint for seed in found]))
        }
        if rank_by != "tanimoto":
            latents = np.array([seed.latent for seed in found], np.float32)
            exact = LatentSearcher(latents, metric, find_device(self.device))
            searchers["latent"] = IVFSearcher(latents, metric, nprobe=nprobe) if nprobe else exact
        depth = top + EQUAL_FINGERPRINTS if rank_by == "tanimoto" else top
        hits = list[SearchHits]()
        if found:
            hits = search_library(
                self.storage, searchers, depth, rank_by=RANKINGS[rank_by], filters=molecule_filters, workers=workers
            )
        if rank_by == "tanimoto":
            hits = [self._seed_first(found_hits, seed, top) for found_hits, seed in zip(hits, found, strict=True)]
        frame = self._hits_table(found, hits, searchers)
        notes = {seed.smiles: seed.note for seed in found if seed.note}
        sizes = {seed.position: len(found_hits.rows) for seed, found_hits in zip(found, hits, strict=True)}
        hits_per_seed = [sizes.get(position, 0) for position in range(len(texts))]
        frame.attrs |= {"errors": errors, "notes": notes, "hits_per_seed": hits_per_seed}
        for message in [*errors.values(), *(f"SMILES {shortened(seed)}: {note}" for seed, note in notes.items())]:
            warn(message)
        return frame

    def _seed_first(self, hits: SearchHits, seed: SearchSeed, top: int) -> SearchHits:
        """Return the `top` nearest, the seed itself before molecules with the same fingerprint."""
        equal = int((hits.scores == 1).sum())
        is_seed = (self.storage.molecules(hits.rows[:equal])["smiles"] == seed.canonical).to_numpy()
        order = np.argsort(~is_seed, kind="stable")
        rows = np.concatenate([hits.rows[:equal][order], hits.rows[equal:]])[:top]
        return SearchHits(rows, hits.scores[:top], {name: scores[:top] for name, scores in hits.by_searcher.items()})

    def _prepare_seeds(
        self, texts: list[str], *, standardize: bool, keep_salts: bool
    ) -> tuple[list[SearchSeed], dict[str, str]]:
        """Return the usable seeds without latents, and the reasons why the others cannot be used."""
        seeds, errors = list[SearchSeed](), dict[str, str]()
        for row, text in zip(_seed_rows(texts), texts, strict=True):
            try:
                if isinstance(row, InvalidRow):
                    raise MoleculeError(row.reason)
                molecule = prepare(text, standardize=standardize, keep_salts=keep_salts)
                mol = fingerprint_mol(molecule.mol, molecule.smiles)
                seeds.append(
                    SearchSeed(text, row.row - 1, morgan_bits([mol])[0], canonical=molecule.smiles, note=molecule.note)
                )
            except MoleculeError as error:
                errors[text] = str(error)
        return seeds, errors

    def _encode_seeds(
        self, texts: list[str], *, standardize: bool, keep_salts: bool
    ) -> tuple[list[SearchSeed], dict[str, str]]:
        """Return the usable seeds with latents, and the reasons why the others cannot be used."""
        loaded = self._load_model()
        batches = embed_rows(
            loaded.model, loaded.vocabulary, _seed_rows(texts), device=find_device(self.device), fingerprints=True,
            workers=0, max_length=loaded.config.max_length, standardize=standardize, keep_salts=keep_salts,
        )  # fmt: skip
        seeds, errors = list[SearchSeed](), dict[str, str]()
        for batch in batches:
            notes = {row.row: row.reason for row in batch.notes}
            seeds += [
                SearchSeed(texts[record.row - 1], record.row - 1, fingerprint, latent, note=notes.get(record.row, ""))
                for record, fingerprint, latent in zip(batch.records, batch.fingerprints, batch.latents, strict=True)
            ]
            errors |= {texts[invalid_row.row - 1]: invalid_row.reason for invalid_row in batch.invalid_rows}
        return seeds, errors

    def _load_model(self) -> Checkpoint:
        """Load the model of the library. Raises `InputError` if it is missing or has other weights."""
        if self._checkpoint is None:
            expected = self.storage.manifest.settings.model
            try:
                path = checkpoints.find_model(self._model_path)
            except CheckpointError as error:
                raise InputError(
                    f"{self.storage.folder} was indexed with the model {expected.name!r}: {error}"
                ) from None
            loaded = checkpoints.load(path, find_device(self.device))
            if _model_id(expected.name, loaded) != expected:
                raise InputError(
                    f"{self.storage.folder} was indexed with the model {expected.name!r}, whose weights differ from "
                    f"those of {str(self._model_path)!r}: give the original model, or index the library again"
                )
            self._checkpoint = loaded
        return self._checkpoint

    def _hits_table(
        self, seeds: list[SearchSeed], hits: list[SearchHits], searchers: dict[str, Searcher]
    ) -> pd.DataFrame:
        rows = np.concatenate([np.zeros(0, np.int64), *(found.rows for found in hits)])
        distinct, positions = np.unique(rows, return_inverse=True)
        molecules = self.storage.molecules(distinct).iloc[positions].reset_index(drop=True)
        sizes = [len(found.rows) for found in hits]
        columns = {
            "seed": np.repeat(np.array([seed.smiles for seed in seeds], dtype=object), sizes),
            "rank": np.concatenate([np.zeros(0, int), *(np.arange(1, size + 1) for size in sizes)]),
            "smiles": molecules["smiles"],
            "id": molecules["id"],
            "similarity": _joined_scores(hits, "tanimoto"),
        }
        latent = searchers.get("latent")
        if isinstance(latent, LatentSearcher):
            columns["latent_distance"] = latent.distance(_joined_scores(hits, "latent"))
        return pd.DataFrame({**columns, **{name: molecules[name] for name in self.storage.properties}})


def _seed_rows(texts: Sequence[str]) -> list[Record | InvalidRow]:
    return [make_row(text, "", ARGUMENT, position) for position, text in enumerate(texts, start=1)]


def _joined_scores(hits: list[SearchHits], searcher: str) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *(found.by_searcher[searcher] for found in hits)])


def _model_id(name: str, loaded: Checkpoint) -> ModelId:
    return ModelId.from_model(name, loaded.model, loaded.config.latent_dim)
