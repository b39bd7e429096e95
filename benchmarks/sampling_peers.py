"""Other methods that generate analogs of a seed, compared with molvae on one core: STONED-style mutation, and CReM.

Each method works on a seed until it has `N_ANALOGS` unique valid molecules at a Tanimoto similarity of 0.4 or more, has
no more candidates, or `MAX_SECONDS` have passed. The time includes parsing, canonical SMILES, fingerprints and
similarities, but neither other properties nor the classification as usable.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import generate_analogs
from sampling_decoding import torch_threads

from molvae import Generator
from molvae.chem.filters import alerts
from molvae.chem.fingerprints import morgan_bits, tanimoto_to
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.properties import compute_properties
from molvae.chem.sample_parsing import parse_samples
from molvae.chem.smiles import canonical, parse
from molvae.data.bloom_filter import BloomFilter
from molvae.metrics.analogs import AnalogMetrics

N_ANALOGS, MIN_SIMILARITY, MAX_SECONDS = 100, 0.4, 20.0
BLOCK_SIZE = 50  # candidates that are parsed at once
MUTATION_COUNTS = (1, 2, 3, 4, 5)
"""Successive numbers of mutations of each randomized SMILES, as in STONED."""

CandidateSource = Callable[[str, random.Random], Iterator[str]]
"""Generates SMILES, not necessarily valid, for a seed."""


def measure(generator: Generator, seeds: list[str], fragments: Path | None) -> list[dict[str, Any]]:
    """A row per method. All methods process a seed before the next one, so that other load affects all of them."""
    methods: dict[str, Callable[[str], list[str]]] = {
        'molvae, similarity "0.4:1"': lambda seed: _molvae(generator, seed, similarity="0.4:1"),
        "molvae, default": lambda seed: _similar(seed, _molvae(generator, seed)),
        "STONED-style mutation": lambda seed: collect(seed, stoned()),
    }
    if fragments is not None:
        methods["CReM"] = lambda seed: collect(seed, crem(fragments))
    seconds = dict.fromkeys(methods, 0.0)
    found: dict[str, dict[str, list[str]]] = {name: {} for name in methods}
    with torch_threads(1):
        for method in methods.values():
            method("CC(=O)Oc1ccccc1C(=O)O")  # warm-up
        for seed in map(canonical, seeds):
            for name, method in methods.items():
                start = time.perf_counter()
                found[name][seed] = method(seed)
                seconds[name] += time.perf_counter() - start
    training_filter = generator.checkpoint.training_filter
    assert training_filter is not None
    return [
        {
            "name": name,
            "seconds": seconds[name],
            "seeds": len(seeds),
            "complete": sum(len(analogs) == N_ANALOGS for analogs in molecules.values()),
            "similar": sum(map(len, molecules.values())),
            "usable": count_usable(molecules, training_filter),
            "replacements": _replacement_count(fragments),
        }
        for name, molecules in found.items()
    ]


def count_usable(molecules: dict[str, list[str]], training_filter: BloomFilter) -> int:
    """Number of usable analogs as in `molvae score`: new, similar, not harder to make, plausible, no new alerts."""
    metrics = AnalogMetrics()
    for seed, analogs in molecules.items():
        mols = [parse(text) for text in analogs]
        checker = PlausibilityChecker.for_seed(parse(seed))
        frame = {
            "seed": seed,
            "canonical": analogs,
            "not_in_training": ~training_filter.contains(analogs),
            "sa": compute_properties(mols, ["sa"])["sa"],
            "alerts": [alerts(mol) for mol in mols],
            "plausible": [not checker.first_flaw(mol) for mol in mols],
        }
        metrics.add(pd.DataFrame(frame))
    count = metrics.overall()["usable_count"]
    assert count is not None
    return int(count)


def _replacement_count(fragments: Path | None) -> int:
    """Number of fragments with their environments in CReM's database."""
    if fragments is None:
        return 0
    with contextlib.closing(sqlite3.connect(fragments)) as database:
        return int(database.execute("SELECT count(*) FROM radius3").fetchone()[0])


def _molvae(generator: Generator, seed: str, **options: Any) -> list[str]:
    return list(generate_analogs(generator, [seed], N_ANALOGS, workers=0, properties=(), **options)[0]["smiles"])


def _similar(seed: str, smiles: list[str]) -> list[str]:
    """The molecules at the required similarity; this takes a negligible part of the measured time."""
    if not smiles:
        return []
    query, *others = morgan_bits([parse(text) for text in (seed, *smiles)])
    similarity = tanimoto_to(query, np.array(others))
    return [text for text, value in zip(smiles, similarity, strict=True) if value >= MIN_SIMILARITY]


def collect(seed: str, source: CandidateSource) -> list[str]:
    """The first unique valid analogs among the candidates, parsed as molvae parses its samples."""
    (query,) = morgan_bits([parse(seed)])
    deadline, analogs, known = time.perf_counter() + MAX_SECONDS, list[str](), {seed}
    for block in _unique_blocks(source(seed, random.Random(seed))):
        new = {
            parsed.smiles: parsed.fingerprint
            for parsed in parse_samples(block)
            if parsed is not None and parsed.smiles not in known
        }
        known |= new.keys()
        if new:
            fingerprints = np.frombuffer(b"".join(new.values()), np.uint8).reshape(len(new), -1)
            similar = tanimoto_to(query, fingerprints) >= MIN_SIMILARITY
            analogs += [text for text, accepted in zip(new, similar, strict=True) if accepted]
        if len(analogs) >= N_ANALOGS or time.perf_counter() > deadline:
            break
    return analogs[:N_ANALOGS]


def _unique_blocks(candidates: Iterator[str]) -> Iterator[list[str]]:
    """Candidates in blocks, each text once."""
    known, block = set[str](), list[str]()
    for text in candidates:
        if text not in known:
            known.add(text)
            block.append(text)
        if len(block) == BLOCK_SIZE:
            yield block
            block = []
    yield block


def stoned() -> CandidateSource:
    """Random mutations of SELFIES of randomized SMILES (Nigam et al. 2021, "Beyond generative models")."""
    selfies = _import_selfies()
    alphabet = sorted(selfies.get_semantic_robust_alphabet())

    def candidates(seed: str, rng: random.Random) -> Iterator[str]:
        from rdkit import Chem

        mol = parse(seed)
        while True:
            smiles = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=rng.randrange(2**31))[0]
            try:
                tokens = list(selfies.split_selfies(selfies.encoder(smiles)))
            except selfies.EncoderError:  # SELFIES does not support a valence of this seed
                return
            for count in MUTATION_COUNTS:
                yield selfies.decoder("".join(_mutate(tokens, count, alphabet, rng)))

    return candidates


def _import_selfies() -> Any:
    try:
        import selfies
    except ImportError:
        raise SystemExit("STONED-style mutation needs the selfies package: pip install selfies") from None
    return selfies


def _mutate(tokens: list[str], count: int, alphabet: list[str], rng: random.Random) -> list[str]:
    """Insert, replace or remove `count` random tokens."""
    mutated = tokens.copy()
    for _ in range(count):
        position, kind = rng.randrange(len(mutated)), rng.choice(("insert", "replace", "remove"))
        if kind == "insert":
            mutated.insert(position, rng.choice(alphabet))
        elif kind == "replace":
            mutated[position] = rng.choice(alphabet)
        elif len(mutated) > 1:
            del mutated[position]
    return mutated


def crem(fragments: Path) -> CandidateSource:
    """All mutations of a seed by CReM with its default options and a context radius of 3."""
    try:
        from crem.crem import mutate_mol
    except ImportError:
        raise SystemExit("--fragments needs the crem package: pip install crem") from None
    return lambda seed, rng: mutate_mol(parse(seed), db_name=str(fragments), seed=rng.randrange(2**31))
