"""Other ways to analogs of a seed, beside molvae, on one core each: STONED-style mutation, and crem.

Every contestant works on a seed until it has WANTED distinct valid molecules at a Tanimoto similarity of 0.4 or more to
it, or has nothing more to propose, or SECONDS are over. Parsing, canonical SMILES, fingerprints and similarities count;
the properties that molvae's table has besides do not, nor does saying what is usable.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sampling_decoding import threads_of

from molvae.chem.filters import alerts
from molvae.chem.fingerprints import morgan_bits, tanimoto_to
from molvae.chem.properties import compute_properties
from molvae.chem.sample_parsing import parse_samples
from molvae.chem.smiles import canonical, parse
from molvae.data.bloom_filter import BloomFilter
from molvae.generator import Generator
from molvae.metrics.analogs import AnalogMetrics

WANTED, SIMILARITY, SECONDS = 100, 0.4, 20.0
BLOCK = 50  # proposals that are read at once
MUTATIONS = (1, 2, 3, 4, 5)
"""Of each randomly written string, one after the other, as in STONED."""

Proposals = Callable[[str, random.Random], Iterator[str]]
"""SMILES, valid or not, that might be analogs of a seed."""


def peers(generator: Generator, seeds: list[str], fragments: Path | None) -> list[dict[str, Any]]:
    """A row per contestant; seeds in turns, so that all see the machine in the same moods."""
    contestants: dict[str, Callable[[str], list[str]]] = {
        'molvae, similarity "0.4:1"': lambda seed: _ours(generator, seed, similarity="0.4:1"),
        "molvae, default": lambda seed: _near(seed, _ours(generator, seed)),
        "STONED-style mutation": lambda seed: _collected(seed, _stoned()),
    }
    if fragments is not None:
        contestants["crem"] = lambda seed: _collected(seed, _crem(fragments))
    seconds = dict.fromkeys(contestants, 0.0)
    found: dict[str, dict[str, list[str]]] = {name: {} for name in contestants}
    with threads_of(1):
        for work in contestants.values():
            work("CC(=O)Oc1ccccc1C(=O)O")  # whatever is done once is done now
        for seed in map(canonical, seeds):
            for name, work in contestants.items():
                start = time.perf_counter()
                found[name][seed] = work(seed)
                seconds[name] += time.perf_counter() - start
    seen = generator.checkpoint.training_filter
    assert seen is not None
    return [
        {
            "name": name,
            "seconds": seconds[name],
            "seeds": len(seeds),
            "full": sum(len(some) == WANTED for some in molecules.values()),
            "near": sum(map(len, molecules.values())),
            "usable": usable(molecules, seen),
            "replacements": _replacements(fragments),
        }
        for name, molecules in found.items()
    ]


def usable(molecules: dict[str, list[str]], seen: BloomFilter) -> int:
    """How many are, by the scorer: new, at 0.4 or more, no harder to make than their seed, with no alert it lacks."""
    scores = AnalogMetrics()
    for seed, some in molecules.items():
        mols = [parse(text) for text in some]
        columns = {
            "canonical": some,
            "not_in_training": ~seen.contains(some),
            "sa": compute_properties(mols, ["sa"])["sa"],
        }
        scores.add(pd.DataFrame({"seed": seed, **columns, "alerts": [alerts(mol) for mol in mols]}))
    count = scores.overall()["usable_count"]
    assert count is not None
    return int(count)


def _replacements(fragments: Path | None) -> int:
    """How many crem may choose from: pairs of a fragment and its surroundings."""
    if fragments is None:
        return 0
    with contextlib.closing(sqlite3.connect(fragments)) as base:
        return int(base.execute("SELECT count(*) FROM radius3").fetchone()[0])


def _ours(generator: Generator, seed: str, **options: Any) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there are fewer than wanted
        return list(generator.analogs(seed, WANTED, workers=0, properties=(), **options)["smiles"])


def _near(seed: str, smiles: list[str]) -> list[str]:
    """Only those at SIMILARITY or more; the clock is running, but this takes no time beside the rest."""
    return [text for text, value in zip(smiles, _similarities(seed, smiles), strict=True) if value >= SIMILARITY]


def _similarities(seed: str, smiles: list[str]) -> list[float]:
    if not smiles:
        return []
    query, *others = morgan_bits([parse(text) for text in (seed, *smiles)])
    values: list[float] = tanimoto_to(query, np.array(others)).tolist()
    return values


def _collected(seed: str, proposals: Proposals) -> list[str]:
    """The first WANTED distinct valid analogs among a peer's proposals, read as molvae reads its own strings."""
    (query,) = morgan_bits([parse(seed)])
    end, found, known = time.perf_counter() + SECONDS, list[str](), {seed}
    for block in _blocks(proposals(seed, random.Random(seed))):
        fresh = {
            one.smiles: one.fingerprint for one in parse_samples(block) if one is not None and one.smiles not in known
        }
        known |= fresh.keys()
        if fresh:
            others = np.frombuffer(b"".join(fresh.values()), np.uint8).reshape(len(fresh), -1)
            near = tanimoto_to(query, others) >= SIMILARITY
            found += [text for text, good in zip(fresh, near, strict=True) if good]
        if len(found) >= WANTED or time.perf_counter() > end:
            break
    return found[:WANTED]


def _blocks(proposals: Iterator[str]) -> Iterator[list[str]]:
    """What is proposed, in blocks, each text once."""
    known, block = set[str](), list[str]()
    for text in proposals:
        if text not in known:
            known.add(text)
            block.append(text)
        if len(block) == BLOCK:
            yield block
            block = []
    yield block


def _stoned() -> Proposals:
    """Random changes of SELFIES of randomly ordered SMILES (Nigam et al. 2021, "Beyond generative models")."""
    selfies = _selfies()
    alphabet = sorted(selfies.get_semantic_robust_alphabet())

    def propose(seed: str, chance: random.Random) -> Iterator[str]:
        from rdkit import Chem

        mol = parse(seed)
        while True:
            text = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=chance.randrange(2**31))[0]
            try:
                symbols = list(selfies.split_selfies(selfies.encoder(text)))
            except selfies.EncoderError:  # a valence that SELFIES does not know: of this seed, no string will do
                return
            for count in MUTATIONS:
                yield selfies.decoder("".join(_mutated(symbols, count, alphabet, chance)))

    return propose


def _selfies() -> Any:
    try:
        import selfies
    except ImportError:
        raise SystemExit("STONED-style mutation needs the selfies package: pip install selfies") from None
    return selfies


def _mutated(symbols: list[str], count: int, alphabet: list[str], chance: random.Random) -> list[str]:
    """`count` symbols inserted, replaced or removed, at random."""
    changed = symbols.copy()
    for _ in range(count):
        place, kind = chance.randrange(len(changed)), chance.choice(("insert", "replace", "remove"))
        if kind == "insert":
            changed.insert(place, chance.choice(alphabet))
        elif kind == "replace":
            changed[place] = chance.choice(alphabet)
        elif len(changed) > 1:
            del changed[place]
    return changed


def _crem(fragments: Path) -> Proposals:
    """All that crem makes of a seed with its default settings, fragments and their surroundings of noise level 3."""
    try:
        from crem.crem import mutate_mol
    except ImportError:
        raise SystemExit("this needs the crem package: pip install crem") from None
    return lambda seed, chance: mutate_mol(parse(seed), db_name=str(fragments), seed=chance.randrange(2**31))
