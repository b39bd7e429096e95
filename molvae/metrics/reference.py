"""Reference sets of molecules, such as the training set, with their statistics cached on disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rdkit
from numpy.typing import NDArray

from molvae.chem import smiles as chem_smiles
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.standardization import prepare
from molvae.data.datasets import MoleculeSource, data_folder
from molvae.data.files import atomic_write, checksum
from molvae.data.hashing import hash_texts
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import read_records
from molvae.data.rows import Record
from molvae.errors import InputError, MoleculeError
from molvae.metrics import fcd, guacamol
from molvae.metrics.molecules import describe
from molvae.metrics.moses import WASSERSTEIN_METRICS, Structures, compute_structures
from molvae.metrics.plausibility import SHARES, definitions_hash, plausibility
from molvae.similarity.nearest_neighbors import NearestNeighbors

CACHE_FORMAT = 3
"""Part of the cache key; increase it when a cached statistic changes its meaning."""

_ISOMERIC = re.compile(r"[@/\\]|\[\d")

REFERENCE_PROPERTIES = (*WASSERSTEIN_METRICS, "tpsa", "rings", "rotatable_bonds")
"""Properties of a reference set: those of the Wasserstein distances, and others for histograms."""

SUBSET_SIZE = 10_000
"""Maximum number of molecules of a random subset, as in GuacaMol."""

Arrays = dict[str, NDArray[Any]]
Hashes = NDArray[np.uint64]
Progress = Callable[[str], None]


class Reference:
    """The valid molecules of a set and their statistics. Each is computed on first access and cached on disk.

    Parameters
    ----------
    source : sequence of str or MoleculeSource
        SMILES, or a file.
    name : str
        Name of the set in messages.
    folder : Path, optional
        Folder of the cache; default: `references` in `data_folder()`.
    workers : int, optional
        Number of processes; None uses all cores, 0 only this process.
    device : str
        Torch device of ChemNet.
    progress : callable, optional
        Called with a message when a statistic is computed or cannot be cached.

    Notes
    -----
    The cache key is a hash of the contents and of the RDKit version. Every attribute raises `InputError` if the set
    has no valid molecule.
    """

    def __init__(
        self,
        source: Sequence[str] | MoleculeSource,
        name: str = "the reference",
        *,
        folder: Path | None = None,
        workers: int | None = None,
        device: str = "cpu",
        progress: Progress = lambda _: None,
    ) -> None:
        self._source, self.name, self.workers, self.device, self.progress = source, name, workers, device, progress
        key = file_hash(source) if isinstance(source, MoleculeSource) else content_hash(source)
        self.folder = (folder or data_folder() / "references") / key
        self._finders: dict[str, NearestNeighbors] = {}

    @cached_property
    def smiles(self) -> Sequence[str]:
        """The input SMILES; "" for an invalid row. A file is read only if a statistic has to be computed."""
        if not isinstance(self._source, MoleculeSource):
            return self._source
        rows = read_records(self._source.path, column=self._source.column)
        return [row.smiles if isinstance(row, Record) else "" for row in rows]

    @cached_property
    def molecules(self) -> list[str]:
        """Identities of the valid molecules, salts stripped, repeats included, in input order."""
        canonical = self._cached("molecules", self._canonical_smiles)["text"].tobytes().decode().split()
        if not canonical:
            raise InputError(f"{self.name} has no valid molecule (rows read: {len(self.smiles):,})")
        return canonical

    @cached_property
    def n_invalid(self) -> int:
        """Number of invalid rows."""
        arrays = self._cached("invalid_rows", lambda: {"rows": np.array(len(self.smiles) - len(self.molecules))})
        return int(arrays["rows"])

    @cached_property
    def hashes(self) -> Hashes:
        """Sorted hashes (`hash_texts`) of the distinct molecules."""
        return self._cached("hashes", lambda: {"hashes": np.unique(hash_texts(self.molecules))})["hashes"]

    @cached_property
    def flat_hashes(self) -> Hashes:
        """Sorted hashes of the distinct molecules without stereochemistry and isotopes."""

        def compute() -> Arrays:
            return {"hashes": np.unique(hash_texts(self._map(without_stereo)))}

        return self._cached("flat_hashes", compute)["hashes"]

    @cached_property
    def scaffold_hashes(self) -> Hashes:
        """Sorted hashes of the distinct Bemis-Murcko scaffolds."""

        def compute() -> Arrays:
            return {"hashes": np.unique(hash_texts(self._map(_scaffolds)))}

        return self._cached("scaffold_hashes", compute)["hashes"]

    @cached_property
    def fingerprints(self) -> NDArray[np.uint8]:
        """Packed Morgan fingerprints of `molecules`: (N, 256)."""
        return self._cached("fingerprints", lambda: {"bits": np.concatenate(self._map_chunks(_fingerprints))})["bits"]

    @cached_property
    def structures(self) -> Structures:
        """Fragments, scaffolds and fingerprints as MOSES defines them."""
        arrays = self._cached("structures", lambda: _pack(compute_structures(self.molecules, self.workers)))
        return Structures(_decode(arrays["fragments"]), _decode(arrays["scaffolds"]), arrays["fingerprints"])

    def finder(self, device: str) -> NearestNeighbors:
        """Return the nearest-neighbor search in the fingerprints of `structures`, built once per device."""
        if device not in self._finders:
            self._finders[device] = NearestNeighbors(self.structures.fingerprints, device=device)
        return self._finders[device]

    @cached_property
    def properties(self) -> pd.DataFrame:
        """`REFERENCE_PROPERTIES` of every molecule."""
        return pd.DataFrame(self._cached("properties", lambda: self._properties(self.molecules)))

    @cached_property
    def subset_properties(self) -> pd.DataFrame:
        """`REFERENCE_PROPERTIES` of `subset`, for histograms."""
        return pd.DataFrame(self._cached("subset_properties", lambda: self._properties(self.subset)))

    @cached_property
    def flaw_rates(self) -> dict[str, float]:
        """Shares of `subset` with flaws, as `molvae.metrics.plausibility.plausibility`."""

        def compute() -> Arrays:
            parts = map_chunks(partial(describe, columns=("flaws",)), chunked(self.subset), self.workers)
            shares = plausibility(pd.concat(list(parts), ignore_index=True)["flaws"])
            return {"shares": np.array([shares[name] for name in SHARES], dtype=np.float64)}

        # the shares depend on the table and on the list of groups
        arrays = self._cached(f"flaw_rates-{definitions_hash()}", compute)
        return dict(zip(SHARES, arrays["shares"].tolist(), strict=True))

    @cached_property
    def activations(self) -> fcd.ActivationStatistics:
        """ChemNet statistics for the FCD. The MOSES test set takes several minutes on a CPU."""
        return _unpack_statistics(self._cached("activations", lambda: self._activations(self.molecules)))

    @cached_property
    def guacamol_features(self) -> Arrays:
        """Features of `subset` for the KL divergence of GuacaMol (see `guacamol_features`)."""
        return self._cached("guacamol_features", lambda: guacamol_features(self.subset, self.workers))

    @cached_property
    def subset_activations(self) -> fcd.ActivationStatistics:
        """ChemNet statistics of `subset` for the FCD score of GuacaMol."""
        return _unpack_statistics(self._cached("subset_activations", lambda: self._activations(self.subset)))

    @property
    def subset(self) -> list[str]:
        """Up to 10,000 random molecules, in random order, the same in each run."""
        rows = np.random.default_rng(0).permutation(len(self.molecules))[:SUBSET_SIZE]
        return [self.molecules[row] for row in rows]

    def _cached(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Read arrays from the cache, or compute and write them. A damaged file is replaced."""
        path = self.folder / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception:  # a missing or damaged file; zipfile and NumPy raise many types
            pass
        self.progress(f"{self.name}: computing {name} (cached for the next run)")
        arrays = compute()
        try:
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            reason = error.strerror or error
            self.progress(f"cannot write {path} ({reason}): {name} will be computed again in the next run")
        return arrays

    def _canonical_smiles(self) -> Arrays:
        texts = [text for part in map_chunks(_identities, chunked(self.smiles), self.workers) for text in part]
        return {"text": np.frombuffer("\n".join(texts).encode(), np.uint8)}

    def _map_chunks(self, function: Callable[[list[str]], Any]) -> list[Any]:
        return list(map_chunks(function, chunked(self.molecules), self.workers))

    def _map(self, function: Callable[[list[str]], list[str]]) -> list[str]:
        return [text for part in self._map_chunks(function) for text in part]

    def _properties(self, smiles: list[str]) -> Arrays:
        parts = map_chunks(partial(describe, columns=REFERENCE_PROPERTIES), chunked(smiles), self.workers)
        table = pd.concat(list(parts), ignore_index=True)
        return {name: table[name].to_numpy(np.float64) for name in REFERENCE_PROPERTIES}

    def _activations(self, smiles: list[str]) -> Arrays:
        found = fcd.activation_statistics(smiles, device=self.device)
        return {"mean": found.mean, "covariance": found.covariance, "count": np.array([found.count, found.skipped])}


def file_hash(source: MoleculeSource) -> str:
    """Return the cache key of a file: a hash of its bytes, which is faster than reading its rows."""
    contents = checksum(source.path)
    return hashlib.sha256(f"{CACHE_FORMAT} {rdkit.__version__} {source.column} {contents}".encode()).hexdigest()[:24]


def content_hash(smiles: Iterable[str]) -> str:
    """Return the cache key of a sequence of SMILES; it depends on their order."""
    digest = hashlib.sha256(f"{CACHE_FORMAT} {rdkit.__version__}\n".encode())
    for text in smiles:
        digest.update(text.encode("utf-8", "surrogatepass").replace(b"\n", b"\0") + b"\n")
    return digest.hexdigest()[:24]


def isin_sorted(values: Hashes, sorted_values: Hashes) -> NDArray[np.bool_]:
    """Return whether each value is in a sorted array, as `numpy.isin`, by binary search.

    >>> isin_sorted(np.array([5, 1], np.uint64), np.array([1, 2, 3], np.uint64)).tolist()
    [False, True]
    """
    if not len(sorted_values):
        return np.zeros(len(values), bool)
    positions = np.minimum(np.searchsorted(sorted_values, values), len(sorted_values) - 1)
    found: NDArray[np.bool_] = sorted_values[positions] == values
    return found


def guacamol_features(smiles: Iterable[str], workers: int | None = None) -> Arrays:
    """Compute `guacamol.FEATURES` of the distinct molecules among valid SMILES, after removing stereochemistry."""
    distinct = dict.fromkeys(text for part in map_chunks(without_stereo, chunked(smiles), workers) for text in part)
    parts = list(map_chunks(_guacamol_chunk, chunked(distinct), workers))
    columns = {name: np.array([row[name] for rows, _ in parts for row in rows]) for name in guacamol.DESCRIPTORS}
    fingerprints = np.concatenate([bits for _, bits in parts])
    return {**columns, guacamol.INTERNAL_SIMILARITY: guacamol.internal_nearest_similarity(fingerprints)}


def without_stereo(smiles: list[str]) -> list[str]:
    """Remove stereochemistry and isotopes from canonical SMILES."""
    with silence_rdkit():
        return [chem_smiles.without_stereo(parse(text)) if _ISOMERIC.search(text) else text for text in smiles]


def _guacamol_chunk(smiles: list[str]) -> tuple[list[dict[str, float]], NDArray[np.uint8]]:
    with silence_rdkit():
        mols = [parse(text) for text in smiles]
        return [guacamol.compute_descriptors(mol) for mol in mols], guacamol.fingerprints(mols)


def _identities(smiles: list[str]) -> list[str]:
    """Return the identities of valid molecules (see `chem.standardization`)."""
    identities = []
    with silence_rdkit():
        for text in smiles:
            try:
                identities.append(prepare(text).smiles)
            except MoleculeError:
                continue
    return identities


def _scaffolds(smiles: list[str]) -> list[str]:
    with silence_rdkit():
        return [murcko_smiles(parse(text)) for text in smiles]


def _fingerprints(smiles: list[str]) -> NDArray[np.uint8]:
    with silence_rdkit():
        return morgan_bits([parse(text) for text in smiles])


def _pack(structures: Structures) -> Arrays:
    return {
        "fragments": _encode(structures.fragments),
        "scaffolds": _encode(structures.scaffolds),
        "fingerprints": structures.fingerprints,
    }


def _encode(counter: Counter[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(counter).encode(), np.uint8)


def _decode(text: NDArray[np.uint8]) -> Counter[str]:
    return Counter(json.loads(text.tobytes()))


def _unpack_statistics(arrays: Arrays) -> fcd.ActivationStatistics:
    count, skipped = (int(number) for number in arrays["count"])
    return fcd.ActivationStatistics(arrays["mean"], arrays["covariance"], count, skipped)
