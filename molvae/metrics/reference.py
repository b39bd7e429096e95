"""A set of molecules to compare with. What is computed of it is kept on disk under the hash of its contents."""

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
from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import MAX_SMILES_LENGTH, canonical_or_none, parse, silence_rdkit
from molvae.data.datasets import MoleculeSource, data_folder
from molvae.data.files import atomic_write, checksum
from molvae.data.hashing import hash_texts
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import read_records
from molvae.data.rows import Record
from molvae.errors import InputError
from molvae.metrics import fcd, guacamol
from molvae.metrics.molecules import describe
from molvae.metrics.structures import Structures, structures
from molvae.similarity.nearest_neighbors import NearestNeighbors

FORMAT = 1
_ISOMERIC = re.compile(r"[@/\\]|\[\d")
PROPERTIES = ("logp", "sa", "qed", "mw")
"""The four whose distributions MOSES compares."""

CHARTED = (*PROPERTIES, "tpsa", "rings", "rotatable_bonds")
GUACAMOL_MOLECULES = 10_000

Arrays = dict[str, NDArray[Any]]
Keys = NDArray[np.uint64]
Tell = Callable[[str], None]


class Reference:
    """The valid ones among SMILES, given or in a file, and their statistics: computed when asked for, or read back.

    `folder`: where they are kept; None for `references` beside the named datasets. Another version of RDKit computes
    anew. Raises `InputError` where not one molecule is valid.
    """

    def __init__(
        self,
        given: Sequence[str] | MoleculeSource,
        name: str = "the reference",
        *,
        folder: Path | None = None,
        workers: int | None = None,
        device: str = "cpu",
        tell: Tell = lambda _: None,
    ) -> None:
        self._given, self.name, self.workers, self.device, self.tell = given, name, workers, device, tell
        key = file_hash(given) if isinstance(given, MoleculeSource) else content_hash(given)
        self.folder = (folder or data_folder() / "references") / key
        self._finders: dict[str, NearestNeighbors] = {}

    @cached_property
    def smiles(self) -> Sequence[str]:
        """As given, "" for a row without any. A file is read once something is to be computed of it, not before."""
        if not isinstance(self._given, MoleculeSource):
            return self._given
        rows = read_records(self._given.path, column=self._given.column)
        return [row.smiles if isinstance(row, Record) else "" for row in rows]

    @cached_property
    def molecules(self) -> list[str]:
        """Canonical isomeric SMILES of the valid ones, repeats included, in order."""
        found = self._part("molecules", self._canonical)["text"].tobytes().decode().split()
        if not found:
            raise InputError(f"{self.name} has no valid molecule among {len(self.smiles):,}: nothing to compare with")
        return found

    @cached_property
    def rejected(self) -> int:
        """Rows given that are no molecules."""
        return int(
            self._part("rejected_rows", lambda: {"rows": np.array(len(self.smiles) - len(self.molecules))})["rows"]
        )

    @cached_property
    def keys(self) -> Keys:
        """Of the distinct molecules, sorted: `hash_texts`."""
        return self._part("keys", lambda: {"keys": np.unique(hash_texts(self.molecules))})["keys"]

    @cached_property
    def flat_keys(self) -> Keys:
        """The same for molecules without their stereo."""
        return self._part("flat", lambda: {"keys": np.unique(hash_texts(self._map(without_stereo)))})["keys"]

    @cached_property
    def scaffold_keys(self) -> Keys:
        """Of the distinct Bemis-Murcko scaffolds, sorted."""
        return self._part("scaffolds", lambda: {"keys": np.unique(hash_texts(self._map(_scaffolds)))})["keys"]

    @cached_property
    def fingerprints(self) -> NDArray[np.uint8]:
        """Packed Morgan fingerprints of `molecules`, (N, 256)."""
        return self._part("fingerprints", lambda: {"bits": np.concatenate(self._chunks(_bits))})["bits"]

    @cached_property
    def structures(self) -> Structures:
        """Fragments, scaffolds and fingerprints as MOSES has them."""
        found = self._part("structures", lambda: _packed(structures(self.molecules, self.workers)))
        return Structures(_counter(found["fragments"]), _counter(found["scaffolds"]), found["fingerprints"])

    def finder(self, device: str) -> NearestNeighbors:
        """Finds neighbors by the fingerprints of `structures`; for who scores again and again it is made once."""
        if device not in self._finders:
            self._finders[device] = NearestNeighbors(self.structures.fingerprints, device=device)
        return self._finders[device]

    @cached_property
    def properties(self) -> pd.DataFrame:
        """`CHARTED` of every molecule."""
        return pd.DataFrame(self._part("properties", lambda: self._properties(self.molecules)))

    @cached_property
    def charted(self) -> pd.DataFrame:
        """The same of `drawn`, which is enough for a chart."""
        return pd.DataFrame(self._part("charted", lambda: self._properties(self.drawn)))

    @cached_property
    def activations(self) -> fcd.Activations:
        """What the Fréchet ChemNet distance compares; of the MOSES test set some minutes of a CPU, once."""
        return _activations(self._part("activations", lambda: self._chemnet(self.molecules)))

    @cached_property
    def guacamol(self) -> Arrays:
        """The columns that GuacaMol's KL divergence compares, of up to 10,000 molecules drawn at random."""
        return self._part("guacamol", lambda: guacamol_columns(self.drawn, self.workers))

    @cached_property
    def guacamol_activations(self) -> fcd.Activations:
        """`activations` of the molecules that `guacamol` describes."""
        return _activations(self._part("guacamol_activations", lambda: self._chemnet(self.drawn)))

    @property
    def drawn(self) -> list[str]:
        """Up to 10,000 of `molecules`, drawn at random, the same ones every time."""
        rows = np.random.default_rng(0).permutation(len(self.molecules))[:GUACAMOL_MOLECULES]
        return [self.molecules[row] for row in rows]

    # --- how each part is made ---

    def _part(self, name: str, build: Callable[[], Arrays]) -> Arrays:
        path = self.folder / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception:  # nothing there, or damaged, which zipfile and NumPy have a dozen names for
            pass
        self.tell(f"{self.name}: computing {name}, kept for the next time")
        arrays = build()
        try:
            with atomic_write(path) as draft, draft.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            self.tell(f"{path} cannot be written ({error.strerror or error}): {name} will be computed again next time")
        return arrays

    def _canonical(self) -> Arrays:
        texts = [text for part in map_chunks(_readable, chunked(self.smiles), self.workers) for text in part]
        return {"text": np.frombuffer("\n".join(texts).encode(), np.uint8)}

    def _chunks(self, function: Callable[[list[str]], Any]) -> list[Any]:
        return list(map_chunks(function, chunked(self.molecules), self.workers))

    def _map(self, function: Callable[[list[str]], list[str]]) -> list[str]:
        return [text for part in self._chunks(function) for text in part]

    def _properties(self, smiles: list[str]) -> Arrays:
        parts = map_chunks(partial(describe, columns=CHARTED), chunked(smiles), self.workers)
        frame = pd.concat(list(parts), ignore_index=True)
        return {name: frame[name].to_numpy(np.float64) for name in CHARTED}

    def _chemnet(self, smiles: list[str]) -> Arrays:
        found = fcd.activations(smiles, device=self.device)
        return {"mean": found.mean, "covariance": found.covariance, "count": np.array([found.count, found.skipped])}


def file_hash(source: MoleculeSource) -> str:
    """Under which the statistics of a file are kept: that of its bytes, which are quicker to read than its rows."""
    contents = checksum(source.path)
    return hashlib.sha256(f"{FORMAT} {rdkit.__version__} {source.column} {contents}".encode()).hexdigest()[:24]


def content_hash(smiles: Iterable[str]) -> str:
    """Under which the statistics of these strings, in this order, are kept."""
    digest = hashlib.sha256(f"{FORMAT} {rdkit.__version__}\n".encode())
    for text in smiles:
        digest.update(text.encode("utf-8", "surrogatepass").replace(b"\n", b"\0") + b"\n")
    return digest.hexdigest()[:24]


def among(keys: Keys, known: Keys) -> NDArray[np.bool_]:
    """Which of `keys` are among `known`, which is sorted."""
    if not len(known):
        return np.zeros(len(keys), bool)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return found


def guacamol_columns(smiles: Iterable[str], workers: int | None = None) -> Arrays:
    """`guacamol.COLUMNS` of the distinct ones of valid molecules, their stereo taken off first."""
    flat = dict.fromkeys(text for part in map_chunks(without_stereo, chunked(smiles), workers) for text in part)
    parts = list(map_chunks(_guacamol, chunked(flat), workers))
    columns = {name: np.array([row[name] for rows, _ in parts for row in rows]) for name in guacamol.DESCRIPTORS}
    bits = np.concatenate([bits for _, bits in parts])
    return {**columns, guacamol.INTERNAL_SIMILARITY: guacamol.internal_nearest(bits)}


def _guacamol(smiles: list[str]) -> tuple[list[dict[str, float]], NDArray[np.uint8]]:
    with silence_rdkit():
        mols = [parse(text) for text in smiles]
        return [guacamol.describe(mol) for mol in mols], guacamol.fingerprints(mols)


def _readable(smiles: list[str]) -> list[str]:
    """Those that can be read again are of use: a canonical SMILES may be longer than what it was read from."""
    return [text for text in map(canonical_or_none, smiles) if text and len(text) <= MAX_SMILES_LENGTH]


def without_stereo(smiles: list[str]) -> list[str]:
    """Canonical SMILES without stereo and isotopes, of canonical ones; most have none and stay as they are."""
    with silence_rdkit():
        return [_bare(text) if _ISOMERIC.search(text) else text for text in smiles]


def _bare(smiles: str) -> str:
    return str(Chem.MolToSmiles(parse(smiles), isomericSmiles=False))


def _scaffolds(smiles: list[str]) -> list[str]:
    with silence_rdkit():
        return [murcko_smiles(parse(text)) for text in smiles]


def _bits(smiles: list[str]) -> NDArray[np.uint8]:
    with silence_rdkit():
        return morgan_bits([parse(text) for text in smiles])


def _packed(found: Structures) -> Arrays:
    return {
        "fragments": _text(found.fragments),
        "scaffolds": _text(found.scaffolds),
        "fingerprints": found.fingerprints,
    }


def _text(counter: Counter[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(counter).encode(), np.uint8)


def _counter(text: NDArray[np.uint8]) -> Counter[str]:
    return Counter(json.loads(text.tobytes()))


def _activations(arrays: Arrays) -> fcd.Activations:
    count, skipped = (int(number) for number in arrays["count"])
    return fcd.Activations(arrays["mean"], arrays["covariance"], count, skipped)
