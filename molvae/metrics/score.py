"""`molvae.score`: metrics of molecules, per molecule and as a set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rdkit import Chem

from molvae.data.arguments import as_smiles, as_smiles_iterable, with_index_of
from molvae.data.carried_columns import CarriedColumns
from molvae.data.checked_arguments import checked_arguments
from molvae.data.datasets import resolve_source
from molvae.data.readers import looks_like_file, read_records
from molvae.errors import InputError
from molvae.metrics.molecules import InputRow, concat_tables, rows_from_smiles
from molvae.metrics.reference import Reference
from molvae.metrics.scorer import BENCHMARKS, SAMPLE_SIZE, Scorer, Scores
from molvae.metrics.set_metrics import ReferenceSets
from molvae.nn.devices import find_device
from molvae.viz.progress import progress_bar

Molecules = str | Path | Iterable[str] | Reference
"""A file, a named dataset such as "moses:train", SMILES, or a `Reference`."""


@checked_arguments
def score(
    smiles: str | Path | Iterable[Any],
    *,
    train: Molecules | None = None,
    test: Molecules | None = None,
    test_scaffolds: Molecules | None = None,
    seeds: str | Iterable[str] | None = None,
    columns: Collection[str] | None = None,
    nearest: bool = True,
    scores: Mapping[str, Any] | Iterable[Any] | None = None,
    fcd: bool | None = None,
    benchmarks: Collection[str] = BENCHMARKS,
    sample_size: int = SAMPLE_SIZE,
    random_state: int = 0,
    workers: int | None = None,
    device: str = "auto",
    standardize: bool = False,
    keep_salts: bool = False,
) -> Scores:
    """Compute metrics of molecules: properties of each molecule, and the MOSES and GuacaMol metrics of the set.

    Parameters
    ----------
    smiles : str, Mol, Path, DataFrame or iterable
        SMILES, RDKit molecules, a table with a column of SMILES, or the path of a file. The names in a file become the
        column `name`, and its further columns are at the end of the table.
    train : str, Path, iterable of str, or Reference, optional
        Training set of the model, as SMILES, a file or a named dataset such as "moses:train". Molecules that are
        not in it count as novel. Statistics of the set are cached on disk.
    test, test_scaffolds : same types as `train`, optional
        Test sets whose distributions are compared with that of the molecules. MOSES has one with random molecules and
        one with scaffolds that are not in the training set.
    seeds : str or iterable of str, optional
        The seed of each molecule, or one seed for all, to compute the metrics of analogs as well.
    columns : collection of str, optional
        Columns of the table of molecules (see `molvae.metrics.molecules.COLUMNS`); None computes all. Alerts and QED
        take most of the time.
    nearest : bool
        Whether to find the nearest neighbor of each molecule in `train`, or in `test` without a training set.
    scores : mapping or sequence of scoring functions, optional
        Additional columns, named by the keys of a mapping or by the functions. A function takes a list of N canonical
        SMILES and returns N numbers, NaN for a molecule without a value, or it takes one RDKit Mol and returns a
        number. A `PropertyModel` is such a function. "FILE.py:FUNCTION" is a function in a file.
    fcd : bool, optional
        Whether to compute Fréchet ChemNet distances; by default, if the extra `fcd` is installed.
    benchmarks : collection of {"moses", "guacamol"}
        Benchmarks whose metrics are computed. GuacaMol needs a training set.
    sample_size : int
        Maximum number of valid molecules for the metrics of the set, at least 1. Of more molecules, a random sample is
        used.
    random_state : int
        Random number seed of the sample.
    workers : int, optional
        Number of worker processes; None uses all cores, 0 only this process.
    device : str
        Torch device: "auto", "cpu", "cuda", ...
    standardize : bool
        Clean up functional groups and metals with RDKit's MolStandardize first.
    keep_salts : bool
        Keep salts and solvents; otherwise the largest fragment is scored, and the column `note` says so.

    Returns
    -------
    Scores
        The attribute `molecules` has one row per input row, with the index of `smiles` if that is a pandas object.

    Raises
    ------
    InputError
        For an unknown column, a wrong number of seeds, a DataFrame without a column of SMILES, a file that cannot be
        read, or a reference set without a valid molecule.

    Examples
    --------
    >>> scores = score(["CCO", "c1ccccc1O", "C1CC"], columns=["mw", "scaffold"], workers=0)
    >>> scores.counts["valid"], scores.counts["invalid"]
    (2, 1)
    >>> scores.molecules["mw"].round(2).tolist()
    [46.07, 94.11, nan]
    >>> round(scores.metrics["MOSES"]["valid"], 3)
    0.667
    """
    path = _path_or_none(smiles)
    if path is not None and seeds is not None:
        raise InputError(f"seeds cannot be combined with a file: read the column of SMILES from {path} and pass it")
    carried = None if path is None else CarriedColumns(read_records(path, with_columns=True))
    rows = carried or _rows(smiles, seeds)
    device = str(find_device(device))
    references = load_references(train, test, test_scaffolds, workers=workers, device=device)
    scorer = Scorer(
        references,
        columns=[columns] if isinstance(columns, str) else columns,
        nearest=nearest,
        names_are_seeds=seeds is not None,
        with_names=path is not None,
        scores=scores,
        fcd=fcd,
        benchmarks=benchmarks,
        sample_size=sample_size,
        random_state=random_state,
        workers=workers,
        device=device,
        standardize=standardize,
        keep_salts=keep_salts,
    )
    tables = []
    with progress_bar(None, "molecules") as advance:
        for part in scorer.tables(rows):
            tables.append(part if carried is None else carried.add(part)[0])
            if advance:
                advance(scorer.n_read)
    table = with_index_of(concat_tables(tables), None if path is not None else smiles)
    return replace(scorer.scores(), molecules=table)


def load_references(
    train: Molecules | None = None,
    test: Molecules | None = None,
    test_scaffolds: Molecules | None = None,
    *,
    workers: int | None = None,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> ReferenceSets:
    """Prepare reference sets. Their statistics are computed, or read from the cache, when needed.

    Parameters are as in `score`; `progress` is called with a message when a statistic is computed.
    """

    def load(molecules: Molecules | None, role: str, split: str) -> Reference | None:
        if molecules is None or isinstance(molecules, Reference):
            return molecules
        if not isinstance(molecules, str | Path):
            texts = [text if isinstance(text, str) else "" for text in as_smiles_iterable(molecules)]
            return Reference(texts, f"the {role}", workers=workers, device=device, progress=progress)
        source = resolve_source(molecules, split=split)
        return Reference(source, source.label, workers=workers, device=device, progress=progress)

    return ReferenceSets(
        train=load(train, "training set", "train"),
        test=load(test, "test set", "test"),
        test_scaffolds=load(test_scaffolds, "scaffold test set", "test_scaffolds"),
    )


def _path_or_none(smiles: object) -> str | Path | None:
    return smiles if isinstance(smiles, Path) or (isinstance(smiles, str) and looks_like_file(smiles)) else None


def _rows(smiles: Any, seeds: str | Iterable[str] | None) -> Iterable[InputRow]:
    molecules = as_smiles_iterable(smiles)
    if seeds is None:
        return rows_from_smiles(molecules)
    if isinstance(seeds, Chem.Mol) or (isinstance(seeds, str) and not looks_like_file(seeds)):
        molecules = list(molecules)
        return rows_from_smiles(molecules, [as_smiles(seeds)] * len(molecules))
    return rows_from_smiles(molecules, as_smiles_iterable(seeds))
