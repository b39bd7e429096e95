"""`molvae.screen`: rank a library of any size and return a shortlist, on one machine or on a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem

from molvae.checkpoint import find_model
from molvae.chem.expressions import PropertyFilter, RankExpression
from molvae.chem.filters import Filters, value_ranges
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import PROPERTIES, compute_properties
from molvae.chem.scoring_functions import PropertyFunction, ScoringFunction
from molvae.chem.smiles import parse
from molvae.chem.standardization import fingerprint_mol, prepare
from molvae.data.arguments import as_smiles_iterable, as_tuple, is_table
from molvae.data.checked_arguments import checked_arguments
from molvae.data.layout import is_molecule
from molvae.data.readers import looks_like_file, read_records
from molvae.data.rows import ARGUMENT, InvalidRow, Record, escape_surrogates, file_format
from molvae.errors import InputError, MoleculeError, MolvaeWarning, warn
from molvae.generator import Generator
from molvae.library.input_files import find_files
from molvae.metrics.molecules import rows_from_smiles
from molvae.qsar.property_model import PropertyModel, weights_sha256
from molvae.screening.pipeline import PartialResult, Row, ScreenCounts, screen_rows
from molvae.screening.query import LatentEncoder, ScreenQuery
from molvae.screening.ray_backend import screen_on_ray
from molvae.screening.scoring_functions import (
    LATENT,
    TANIMOTO,
    CosineScore,
    LatentScore,
    MoleculeScore,
    PropertyModelFunction,
    Scores,
    TanimotoScore,
    load_scoring_functions,
)
from molvae.screening.shortlist import Hit
from molvae.viz.progress import no_progress, progress_bar
from molvae.viz.report import Report, save_report
from molvae.viz.similarity_map import similarity_map

Source = str | Path | Iterable[Row]

MAX_EXAMPLES = 1_000
"""Filtered molecules whose properties are reported if no molecule passes the filters."""

MAX_REREAD_SDF = 100_000
"""Records of an .sdf that are parsed a second time, at about 2,000 a second, for the properties of the hits."""

DESCRIPTORS = ("qed", "sa", "logp", "mw")
"""Properties in every shortlist."""


@dataclass(frozen=True)
class ScreenResult:
    """The result of a screen.

    Attributes
    ----------
    table : pandas.DataFrame
        One row for each molecule of the shortlist, the best first; see `screen` for its columns.
    counts : ScreenCounts
        The numbers of rows that were read, scored, filtered out, and invalid.
    seeds : list of str
        Canonical SMILES of the seeds.
    """

    table: pd.DataFrame
    counts: ScreenCounts
    seeds: list[str]

    def write_report(self, path: str | Path, title: str = "shortlist") -> None:
        """Write an HTML page with counts, structures, distributions and a map of the shortlist around its seeds."""
        molecules = list(self.table["smiles"])
        bits = morgan_bits([parse(text) for text in [*molecules, *self.seeds]])
        image = similarity_map(molecules, self.seeds, self.table["score"].to_numpy(), bits) if molecules else ""
        counts = {"read": self.counts.read, "scored": self.counts.scored, "filtered out": self.counts.filtered,
                  "invalid": self.counts.invalid, "shortlist": len(molecules)}  # fmt: skip
        shown = self.table.rename(columns={TANIMOTO: "similarity"}).drop(
            columns=["name", "source", "row", "n_occurrences"]
        )
        save_report(
            Report(
                title=title, counts=counts, metrics={}, notes=[], molecules=shown, rank_by="score",
                images={"Similarity map: near points are similar; dark points score best, diamonds are seeds": image},
            ),
            path,
        )  # fmt: skip


@checked_arguments
def screen(
    library: str | Path | Iterable[Any],
    *,
    seeds: str | Iterable[str] = (),
    top: int = 1000,
    rank_by: str | None = None,
    scores: Scores = (),
    filters: str | Sequence[str] = (),
    include_smarts: str | Sequence[str] = (),
    exclude_smarts: str | Sequence[str] = (),
    core: str | None = None,
    standardize: bool = False,
    keep_salts: bool = False,
    model: str | Path = "druglike",
    device: str = "auto",
    column: str | None = None,
    name_column: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    on_part: Callable[[PartialResult], None] | None = None,
) -> ScreenResult:
    """Rank a library in one pass and return the best distinct molecules. Memory does not grow with the library.

    The network runs only for "latent" and for property models of latents. Among molecules with equal scores, seeds
    come first, then molecules are in the order of their SMILES.

    Parameters
    ----------
    library : str, Path or sequence
        File, folder, or several of them; or molecules: SMILES, RDKit molecules, or a DataFrame with a column of SMILES;
        or iterables of `Record` and `InvalidRow`. "-" is standard input, unless there are SMILES.
    seeds : str, Mol, DataFrame, path or iterable
        Molecules to compare with. Needed for "tanimoto" and "latent".
    top : int
        Length of the shortlist.
    rank_by : str, optional
        Score that ranks molecules, highest first: "tanimoto" (similarity to the nearest seed), "latent" (cosine
        similarity to the latent of the nearest seed), a property, a score, or a weighted sum such as
        "tanimoto - 0.1*sa".
        Default: the first score if there are any, else "tanimoto".
    scores : sequence or mapping
        Property models (folders or `PropertyModel`) and scoring functions: callables that take a list of SMILES and
        return one number for each, functions of one RDKit Mol, or "FILE.py:FUNCTION". The keys of a mapping are their
        names; otherwise, the name is the target of the model or the name of the function.
    filters : str or sequence of str
        Ranges of properties and scores, such as "mw<500", "pIC50>6" or "tanimoto 0.3:0.6".
    include_smarts, exclude_smarts : str or sequence of str
        SMARTS patterns that molecules must contain, and must not contain.
    core : str, optional
        Substructure with attachment points (*) that molecules must have; other atoms may only be attached there.
    standardize : bool
        Clean up functional groups and metals of seeds and library with RDKit's MolStandardize first; takes 1 to 2 ms
        per molecule.
    keep_salts : bool
        Keep salts and solvents; otherwise the largest fragment of each row is screened.
    model : str or Path
        Model that computes latents.
    device : str
        Device of the network: "auto", "cpu", "cuda", "mps".
    column : str, optional
        Column of the SMILES in tables. Default: "smiles".
    name_column : str, optional
        Column of the names in tables. Default: "name", "id" or another usual name.
    workers : int, optional
        Worker processes; default one per core, 0 or 1 for none.
    ray : str, optional
        Address of a Ray cluster to run on, or "auto" or "local".
    on_part : callable
        Called with the `PartialResult` of every batch of rows, for example to show progress.

    Returns
    -------
    ScreenResult
        Its `table` has the columns smiles (canonical), name, score (that of `rank_by`), tanimoto and nearest_seed (if
        there are seeds), the scores and properties that were used (property models also with their uncertainty), qed,
        sa, logp, mw, n_occurrences (number of rows with the molecule), and source and row (its first occurrence).

    Raises
    ------
    InputError
        If an option, a file or a seed cannot be used.
    CheckpointError
        If a model is missing or damaged.
    MissingExtraError
        If `ray` is given and Ray is not installed.
    """
    plan = _ScreenPlan(seeds, rank_by, scores, as_tuple(filters), standardize, keep_salts, model, device)
    property_filters = tuple(condition for condition in plan.conditions if condition not in plan.score_filters)
    query = plan.query(top, Filters(property_filters, as_tuple(include_smarts), as_tuple(exclude_smarts), core))
    encoder, counts, seen = plan.encoder(), ScreenCounts(), _SeenValues(property_filters)

    sources = _sources(library)
    with progress_bar(None, "rows", None if on_part is None else no_progress) as advance:

        def count(result: PartialResult) -> None:
            counts.add(result.counts)
            seen.add(result)
            if on_part is not None:
                on_part(result)
            if advance:
                advance(counts.read)

        if ray is None:
            rows = (part for source in sources for part in _rows(source, column, name_column))
            hits = screen_rows(rows, query, encoder=encoder, workers=workers, on_part=count)
        else:
            hits = screen_on_ray(
                _files(sources), query, address=ray, column=column, name_column=name_column, encoder=encoder,
                on_part=count,
            )  # fmt: skip
    if not hits and counts.filtered and (values := seen.text()):
        warn(f"no molecule passes all filters; values seen: {values}")
    return ScreenResult(plan.table(hits), counts, plan.seeds)


@dataclass
class _SeenValues:
    """The values of filtered properties and scores, which are reported if no molecule passes."""

    filters: tuple[PropertyFilter, ...]
    examples: list[str] = field(default_factory=list)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, result: PartialResult) -> None:
        """Add the values of a batch."""
        self.examples += result.filtered_examples[: MAX_EXAMPLES - len(self.examples)]
        for name, (low, high) in result.score_ranges.items():
            lowest, highest = self.ranges.get(name, (low, high))
            self.ranges[name] = min(low, lowest), max(high, highest)

    def text(self) -> str:
        """The ranges, such as "mw 46.1 to 180.2, tanimoto 0.1 to 0.3"."""
        scores = [f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in self.ranges.items()]
        return ", ".join(filter(None, [value_ranges(self.filters, self.examples), *scores]))


class _ScreenPlan:
    """The scores that the options name, what is needed to compute them, and the table of the hits."""

    def __init__(
        self,
        seeds: str | Iterable[str],
        rank_by: str | None,
        scores: Scores,
        filters: Sequence[str],
        standardize: bool,
        keep_salts: bool,
        model: str | Path,
        device: str,
    ) -> None:
        self.standardize, self.keep_salts = standardize, keep_salts
        prepared = [prepare(text, standardize=standardize, keep_salts=keep_salts) for text in as_smiles_iterable(seeds)]
        self.seeds = [molecule.smiles for molecule in prepared]
        self.functions = load_scoring_functions(scores, device)
        known = [*self.functions, TANIMOTO, LATENT]
        self.ranking = RankExpression.from_text(rank_by or known[0], known)
        self.conditions = [PropertyFilter.from_text(text, known) for text in filters]
        self.score_filters = tuple(condition for condition in self.conditions if condition.name not in PROPERTIES)
        """Conditions on scores; the others are conditions on properties."""
        self.names = tuple(dict.fromkeys([*self.ranking.names, *(condition.name for condition in self.score_filters)]))
        """Scores that are computed for all rows."""
        if not self.seeds and (similarities := [name for name in self.names if name in (TANIMOTO, LATENT)]):
            raise InputError(f"the score {' or '.join(similarities)} needs at least one seed: give seeds (--seeds)")
        self.generator = self._load_generator(model, device)

    @property
    def models(self) -> Mapping[str, PropertyModel]:
        """The property models by name."""
        return {name: f.model for name, f in self.functions.items() if isinstance(f, PropertyModelFunction)}

    def _load_generator(self, model: str | Path, device: str) -> Generator | None:
        """Load the one network that all scores of latents share; None if there are no such scores."""
        models = {name: self.models[name] for name in self.names if name in self.models}
        encoders = {
            name: m.fitted_model.encoder.sha256 for name, m in models.items() if m.fitted_model.encoder is not None
        }
        if LATENT in self.names:
            encoders[LATENT] = weights_sha256(find_model(model))
        if len(set(encoders.values())) > 1:
            raise InputError(f"{' and '.join(encoders)} use latents of different models: a screen can run only one")
        loaded = next((m.generator for m in models.values() if m.generator is not None), None)
        return loaded if loaded or not encoders else Generator.load(model, device)

    def encoder(self) -> LatentEncoder | None:
        """Return the encoder of molecules; None if there are no scores of latents."""
        g = self.generator
        return None if g is None else LatentEncoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device)

    def query(self, top: int, filters: Filters) -> ScreenQuery:
        """Return the query with a function for each score."""
        if top < 1:
            raise InputError(f"top must be at least 1, got {top}")
        molecule_scores: dict[str, MoleculeScore] = {}
        latent_scores: dict[str, LatentScore] = {}
        for name in self.names:
            if name == LATENT:
                latent_scores[name] = self._cosine()
            elif name == TANIMOTO:
                molecule_scores[name] = self._tanimoto()
            elif name in self.models and self.models[name].uses_latents:
                latent_scores[name] = self.models[name].predict_latents
            else:
                function: ScoringFunction = self.functions.get(name) or PropertyFunction(name)
                molecule_scores[name] = function.score_molecules
        g = self.generator
        return ScreenQuery(
            ranking=self.ranking,
            top=top,
            filters=filters,
            score_filters=self.score_filters,
            molecule_scores=molecule_scores,
            latent_scores=latent_scores,
            known_tokens=frozenset(g.vocabulary.tokens) if g else frozenset(),
            max_length=g.checkpoint.config.max_length if g else 0,
            seeds=frozenset(self.seeds),
            standardize=self.standardize,
            keep_salts=self.keep_salts,
        )

    def table(self, hits: Sequence[Hit]) -> pd.DataFrame:
        """Return the shortlist with all scores and properties that were used."""
        smiles = [hit.smiles for hit in hits]
        mols = [fingerprint_mol(parse(text), text) for text in smiles]
        columns: dict[str, Any] = {
            "smiles": np.array(smiles, dtype=object),
            "name": np.array([hit.name for hit in hits], dtype=object),
            "score": np.array([hit.score for hit in hits], dtype=float),
            **self._score_columns(smiles, mols),
            **compute_properties(mols, DESCRIPTORS),
            "n_occurrences": np.array([hit.n_occurrences for hit in hits], dtype=int),
            "source": np.array([escape_surrogates(hit.source) for hit in hits], dtype=object),
            "row": np.array([hit.row for hit in hits], dtype=int),
        }
        return pd.DataFrame(columns)

    def _score_columns(self, smiles: Sequence[str], mols: Sequence[Chem.Mol]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        if self.seeds:
            similarity = self._tanimoto().to_each_seed(mols)
            columns[TANIMOTO] = similarity.max(axis=1).astype(float)
            columns["nearest_seed"] = np.array(self.seeds, dtype=object)[similarity.argmax(axis=1)]
        if LATENT in self.names and self.generator is not None:
            columns[LATENT] = self._cosine()(_latents(self.generator, smiles))
        for name, property_model in self.models.items():
            predicted = property_model.predict(smiles)
            columns[name] = predicted["prediction"].to_numpy()
            columns[f"{name}_uncertainty"] = predicted["uncertainty"].to_numpy()
        columns |= {name: f.score_molecules(mols) for name, f in self.functions.items() if name not in self.models}
        used = [*self.ranking.names, *(condition.name for condition in self.conditions)]
        others = [name for name in dict.fromkeys(used) if name in PROPERTIES and name not in DESCRIPTORS]
        return columns | compute_properties(mols, others)

    def _tanimoto(self) -> TanimotoScore:
        return TanimotoScore(morgan_bits([fingerprint_mol(parse(seed), seed) for seed in self.seeds]))

    def _cosine(self) -> CosineScore:
        assert self.generator is not None
        return CosineScore(_latents(self.generator, self.seeds))


def _latents(generator: Generator, smiles: Sequence[str]) -> NDArray[np.float32]:
    """Return the latents of molecules: (N, D). Raises `MoleculeError` if the model cannot encode one."""
    frame = generator.encode(smiles, keep_salts=True)
    for error in frame["error"]:
        if error:
            raise MoleculeError(str(error))
    latents: NDArray[np.float32] = frame.filter(regex=r"^z\d+$").to_numpy(np.float32)
    return latents


def hit_records(table: pd.DataFrame, column: str | None = None, name_column: str | None = None) -> list[Record | None]:
    """Return the rows of files that the molecules of a shortlist come from, with their further columns.

    The files are read again, up to the last row that is needed. Molecules from standard input and .sdf files of more
    than `MAX_REREAD_SDF` records have none.
    """
    wanted: dict[str, set[int]] = {}
    for source, row in zip(table["source"], table["row"], strict=True):
        wanted.setdefault(source, set()).add(int(row))
    found: dict[tuple[str, int], Record] = {}
    for source, rows in wanted.items():
        last = max(rows)
        if not Path(source).is_file() or (file_format(source) == "sdf" and last > MAX_REREAD_SDF):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MolvaeWarning)  # about the layout, which has been told
            for record in read_records(source, column=column, name_column=name_column, with_columns=True):
                if record.row in rows and isinstance(record, Record):
                    found[source, record.row] = record
                if record.row >= last:
                    break
    return [found.get((source, int(row))) for source, row in zip(table["source"], table["row"], strict=True)]


def _sources(library: Any) -> list[Source]:
    """Return the files and folders of a library as given, and its molecules and rows as iterables of rows.

    Raises `InputError` for an object of another type, and for a text that is neither a file nor a molecule.
    """
    if isinstance(library, str | Path):
        return [library]
    if is_table(library) or isinstance(library, Chem.Mol):
        return [list(rows_from_smiles(as_smiles_iterable(library)))]
    if isinstance(library, bytes | Mapping) or not isinstance(library, Iterable):
        raise InputError(f"library must be files or molecules, got {type(library).__name__}: {library!r:.60}")
    sources: list[Any] = []
    items = list(library)
    texts = [item for item in items if isinstance(item, str) and not looks_like_file(item)]
    if texts and not any(map(is_molecule, texts)):
        raise InputError(f"{texts[0]!r} is not a file, and not the SMILES of a molecule: check the spelling")
    for position, item in enumerate(items, start=1):
        if isinstance(item, Record | InvalidRow):
            row: Any = item
        # among SMILES, "-" is a row and not standard input
        elif isinstance(item, Chem.Mol) or (
            isinstance(item, str) and (not looks_like_file(item) or (item == "-" and texts))
        ):
            row = replace(next(iter(rows_from_smiles(as_smiles_iterable([item])))), row=position)
        elif isinstance(item, str | Path | Iterable) and not isinstance(item, bytes):
            sources.append(item)
            continue
        else:
            row = InvalidRow(ARGUMENT, position, str(item), f"the SMILES is {type(item).__name__}, not text")
        if not sources or not isinstance(sources[-1], list):
            sources.append([])
        sources[-1].append(row)
    return sources


def _rows(source: Source, column: str | None, name_column: str | None) -> list[Iterable[Row]]:
    """Return the rows of a source, file by file."""
    if isinstance(source, str | Path):
        if str(source) == "-":
            return [read_records("-")]
        return [read_records(path, column=column, name_column=name_column) for path in find_files([source])]
    return [source]


def _files(sources: Sequence[Source]) -> list[Path]:
    """Return the absolute paths of the files of all sources. Raises `InputError` for rows."""
    files = [source for source in sources if isinstance(source, str | Path)]
    if len(files) < len(sources):
        raise InputError(
            "a cluster can screen only files, which every machine can open; got rows: write them to a file"
        )
    return [path.resolve() for path in find_files(files)]
