"""`molvae.screen`: from a library of any length to a ranked shortlist, on one machine or on many."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem

from molvae.checkpoint import locate
from molvae.chem.expressions import Rank, Window
from molvae.chem.filters import Filters
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import PROPERTIES, compute
from molvae.chem.smiles import canonical, parse, standardize, write
from molvae.data.readers import read_records
from molvae.data.rows import as_smiles_iterable, as_tuple, escape_surrogates
from molvae.errors import InputError, MoleculeError
from molvae.generator import Generator
from molvae.library.input_files import find_files
from molvae.qsar.property_model import PropertyModel, weights_sha256
from molvae.screening.pipeline import Part, Row, ScreenCounts
from molvae.screening.pipeline import screen as screen_rows
from molvae.screening.query import Encoder, Question
from molvae.screening.ray_backend import screen_on_ray
from molvae.screening.scoring_functions import Cosine, LatentScore, MoleculeScore, Property, PythonScore, Tanimoto
from molvae.screening.shortlist import Hit
from molvae.viz.report import Content, write_html
from molvae.viz.similarity_map import similarity_map

Floats = NDArray[np.float64]
Score = str | Path | PropertyModel
Source = str | Path | Iterable[Row]

TANIMOTO, LATENT = "tanimoto", "latent"
DESCRIBED = ("qed", "sa", "logp", "mw")
_TAKEN = {"smiles", "name", "score", "nearest_seed", "n_occurrences", "source", "row", "seed", "similarity", "log_likelihood",
          "not_in_training", "rank", TANIMOTO, LATENT, *PROPERTIES}  # fmt: skip


@dataclass(frozen=True)
class ScreenResult:
    """`table`: a row for each molecule of the shortlist, the best first; `counts`: what became of all rows."""

    table: pd.DataFrame
    counts: ScreenCounts
    seeds: list[str]

    def write_report(self, path: str | Path, title: str = "shortlist") -> None:
        """A page with counts, pictures, distributions and the map of the shortlist around its seeds."""
        molecules = list(self.table["smiles"])
        bits = morgan_bits([parse(text) for text in [*molecules, *self.seeds]])
        picture = similarity_map(molecules, self.seeds, self.table["score"].to_numpy(), bits) if molecules else ""
        counts = {"read": self.counts.read, "scored": self.counts.scored, "filtered out": self.counts.filtered,
                  "rejected": self.counts.rejected, "shortlist": len(molecules)}  # fmt: skip
        shown = self.table.rename(columns={TANIMOTO: "similarity"}).drop(
            columns=["name", "source", "row", "n_occurrences"]
        )
        write_html(
            Content(
                title=title, counts=counts, figures={}, notes=[], molecules=shown, rank_by="score",
                pictures={"Map: the nearer, the more alike; dark dots score best, diamonds are seeds": picture},
            ),
            path,
        )  # fmt: skip


def screen(
    library: str | Path | Sequence[Source],
    *,
    seeds: str | Iterable[str] = (),
    top: int = 1000,
    rank_by: str | None = None,
    scores: Sequence[Score] = (),
    filters: str | Sequence[str] = (),
    include_smarts: str | Sequence[str] = (),
    exclude_smarts: str | Sequence[str] = (),
    core: str | None = None,
    standardize: bool = False,
    model: str | Path = "druglike",
    device: str = "auto",
    column: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    on_part: Callable[[Part], None] = lambda _: None,
) -> ScreenResult:
    """The `top` molecules of a library in one pass and in flat memory, each once.

    Among equals the seeds themselves come first, and then the order is that of their SMILES.

    `library`: files, folders, or rows. `like`: seeds, as SMILES. `by`: what ranks, the highest first: "tanimoto" (to
    the nearest seed), "latent" (cosine to the nearest seed's), a property, a score, or a sum such as
    "tanimoto - 0.1*sa". `scores`: property models, or functions as "FILE.py:function", each called by its target or
    name; without `by` the first one ranks, and without any "tanimoto". `keep`: windows of properties and of whatever
    may rank, such as "mw<500", "pIC50>6", "tanimoto 0.3:0.6"; `contains`, `without`, `core`: as in `Generator.analogs`.
    `standardize`: first normalize the groups of seeds and library and strip their salts, which takes one to two ms
    a molecule. The network runs only for "latent" and for models that read latents. `ray`: the address of a Ray cluster
    to run on. `taken` is shown what became of every batch of rows.

    Columns: smiles (canonical), name, score, the figures that were asked for (of a property model also its
    uncertainty), tanimoto and nearest where there are seeds, qed, sa, logp, mw, copies (how often it was read), source
    and row. Raises `InputError` for what cannot be used.
    """
    asked = _Asked(seeds, rank_by, scores, as_tuple(filters), standardize, model, device)
    windows = tuple(window for window in asked.windows if window not in asked.of_figures)
    molecule_filters = Filters(windows, as_tuple(include_smarts), as_tuple(exclude_smarts), core)
    question, encoder = asked.question(top, molecule_filters), asked.encoder()
    counts = ScreenCounts()

    def counted(part: Part) -> None:
        counts.add(part.counts)
        on_part(part)

    sources = [library] if isinstance(library, str | Path) else list(library)
    if ray is None:
        rows = (part for source in sources for part in _rows(source, column))
        hits = screen_rows(rows, question, encoder=encoder, workers=workers, taken=counted)
    else:
        hits = screen_on_ray(_files(sources), question, address=ray, column=column, encoder=encoder, taken=counted)
    return ScreenResult(asked.table(hits), counts, asked.seeds)


def read_score(score: Score, device: str = "auto") -> tuple[str, PropertyModel | PythonScore]:
    """A property model by its folder, or a function by "FILE.py:function"; and the name that a rank calls it by."""
    found: PropertyModel | PythonScore
    if isinstance(score, str) and ".py:" in score:
        found = PythonScore.read(score)
        name = found.name
    else:
        found = score if isinstance(score, PropertyModel) else PropertyModel.load(score, device=device)
        name = re.sub(r"\W+|^(?=\d)", "_", found.target)
    if name in _TAKEN:
        raise InputError(f"a score cannot be called {name!r}, for that is something else already: rename it")
    return name, found


def read_scores(scores: Iterable[Score], device: str = "auto") -> dict[str, Callable[[Sequence[str]], Floats]]:
    """The same as functions of SMILES, for `Generator.analogs`."""
    return {name: partial(_of_smiles, score) for name, score in _read(scores, device).items()}


def _read(scores: Iterable[Score], device: str) -> dict[str, PropertyModel | PythonScore]:
    """By their names, of which none may come twice."""
    found: dict[str, PropertyModel | PythonScore] = {}
    for name, score in (read_score(one, device) for one in scores):
        if name in found:
            raise InputError(f"two scores are called {name!r}, and a table has one column of a name: rename one")
        found[name] = score
    return found


def _of_smiles(score: PropertyModel | PythonScore, smiles: Sequence[str]) -> Floats:
    if isinstance(score, PropertyModel):
        return score(smiles)
    return score([parse(text) for text in smiles])


class _Asked:
    """The figures that were asked for by name, and what is needed to compute them."""

    def __init__(
        self,
        like: str | Iterable[str],
        by: str | None,
        scores: Sequence[Score],
        keep: Sequence[str],
        clean: bool,
        model: str | Path,
        device: str,
    ) -> None:
        self.seeds, self.clean = [_seed(text, clean) for text in as_smiles_iterable(like)], clean
        read = _read(scores, device)
        self.models = {name: score for name, score in read.items() if isinstance(score, PropertyModel)}
        self.functions = {name: score for name, score in read.items() if isinstance(score, PythonScore)}
        known = [*read, TANIMOTO, LATENT]
        self.rank = Rank.of(by or known[0], known)
        self.windows = [Window.of(text, known) for text in keep]
        self.of_figures = tuple(window for window in self.windows if window.name not in PROPERTIES)
        wishes = [window.name for window in self.of_figures]
        self.names = tuple(dict.fromkeys([*self.rank.names, *wishes]))  # of the figures that are computed of all rows
        if not self.seeds and (likeness := [name for name in self.names if name in (TANIMOTO, LATENT)]):
            raise InputError(f"{' and '.join(likeness)} takes seeds: give one or more as seeds (--seeds)")
        self.generator = self._generator(model, device)

    def _generator(self, model: str | Path, device: str) -> Generator | None:
        """The one network that all figures of latents share; None where there are none."""
        models = {name: self.models[name] for name in self.names if name in self.models}
        readers = {
            name: m.fitted_model.encoder.sha256 for name, m in models.items() if m.fitted_model.encoder is not None
        }
        if LATENT in self.names:
            readers[LATENT] = weights_sha256(locate(model))
        weights = set(readers.values())
        if len(weights) > 1:
            raise InputError(f"{' and '.join(readers)} read latents of different models: a screen runs one")
        loaded = next((m.generator for m in models.values() if m.generator is not None), None)
        return loaded if loaded or not weights else Generator.load(model, device)

    def encoder(self) -> Encoder | None:
        g = self.generator
        return None if g is None else Encoder(g.model, g.vocabulary, g.checkpoint.config.max_length, g.device)

    def question(self, top: int, filters: Filters) -> Question:
        if top < 1:
            raise InputError(f"a shortlist is of 1 molecule or more, got {top}")
        of_molecules: dict[str, MoleculeScore] = {}
        of_latents: dict[str, LatentScore] = {}
        for name in self.names:
            if name in self.models:
                property_model = self.models[name]
                if property_model.uses_latents:
                    of_latents[name] = property_model.predict_latents
                else:
                    of_molecules[name] = property_model.predict_mols
            elif name == LATENT:
                of_latents[name] = self._cosine()
            else:
                of_molecules[name] = self._of_molecules(name)
        g = self.generator
        known = frozenset(g.vocabulary.tokens) if g else frozenset[str]()
        most = g.checkpoint.config.max_length if g else 0
        seeds, windows = frozenset(self.seeds), self.of_figures
        return Question(self.rank, top, filters, windows, of_molecules, of_latents, known, most, seeds, self.clean)

    def _of_molecules(self, name: str) -> MoleculeScore:
        if name == TANIMOTO:
            return self._tanimoto()
        return self.functions.get(name) or Property(name)

    def _tanimoto(self) -> Tanimoto:
        return Tanimoto(morgan_bits([parse(seed) for seed in self.seeds]))

    def _cosine(self) -> Cosine:
        assert self.generator is not None
        return Cosine(_latents(self.generator, self.seeds))

    def table(self, hits: Sequence[Hit]) -> pd.DataFrame:
        """The shortlist with every figure that was asked for; a thousand rows are described in a moment."""
        smiles = [hit.smiles for hit in hits]
        mols = [parse(text) for text in smiles]
        columns: dict[str, Any] = {
            "smiles": np.array(smiles, dtype=object),
            "name": np.array([hit.name for hit in hits], dtype=object),
            "score": np.array([hit.score for hit in hits], dtype=float),
            **self._figures(smiles, mols),
            **compute(mols, DESCRIBED),
            "n_occurrences": np.array([hit.n_occurrences for hit in hits], dtype=int),
            "source": np.array([escape_surrogates(hit.source) for hit in hits], dtype=object),
            "row": np.array([hit.row for hit in hits], dtype=int),
        }
        return pd.DataFrame(columns)

    def _figures(self, smiles: Sequence[str], mols: Sequence[Chem.Mol]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        if self.seeds:
            similarity = self._tanimoto().to_each(mols)
            columns[TANIMOTO] = similarity.max(axis=1).astype(float)
            columns["nearest_seed"] = np.array(self.seeds, dtype=object)[similarity.argmax(axis=1)]
        if LATENT in self.names and self.generator is not None:
            columns[LATENT] = self._cosine()(_latents(self.generator, smiles))
        for name, property_model in self.models.items():
            predicted = property_model.predict(smiles)
            columns[name] = predicted["prediction"].to_numpy()
            columns[f"{name}_uncertainty"] = predicted["uncertainty"].to_numpy()
        columns |= {name: function(mols) for name, function in self.functions.items()}
        asked = [*self.rank.names, *(window.name for window in self.windows)]
        rest = [name for name in dict.fromkeys(asked) if name in PROPERTIES and name not in DESCRIBED]
        return columns | compute(mols, rest)


def _seed(text: str, clean: bool) -> str:
    return write(standardize(parse(text))) if clean else canonical(text)


def _latents(generator: Generator, smiles: Sequence[str]) -> NDArray[np.float32]:
    """(N, D). Raises `MoleculeError` for what the model cannot read."""
    frame = generator.encode(smiles)
    for error in frame["error"]:
        if error:
            raise MoleculeError(str(error))
    latents: NDArray[np.float32] = frame.filter(regex=r"^z\d+$").to_numpy(np.float32)
    return latents


def _rows(source: Source, column: str | None) -> list[Iterable[Row]]:
    if isinstance(source, str | Path):
        if str(source) == "-":
            return [read_records("-")]
        return [read_records(path, column=column) for path in find_files([source])]
    return [source]


def _files(sources: Sequence[Source]) -> list[Path]:
    files = [source for source in sources if isinstance(source, str | Path)]
    if len(files) < len(sources):
        raise InputError("a cluster reads files, which every machine can open; got rows")
    return [path.resolve() for path in find_files(files)]
