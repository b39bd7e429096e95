"""Mutations: analogs of a molecule with one branch or one atom of its SMILES replaced, added or removed.

New branches are sampled from those that molecules of a training set have on the same kind of atom. A mutant must be
valid and not much harder to synthesize than its parent. Mutants of a single atom with a new BRENK alert are rejected,
as are branches that are an alert by themselves; PAINS are not checked, because that would take longer than all other
steps together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.filters import BRENK, alerts
from molvae.chem.grammar import TokenClass, token_class
from molvae.chem.properties import sa_score
from molvae.chem.smiles import parse_or_none, write
from molvae.chem.tokenizer import END, tokenize

ATOM_REPLACEMENTS: dict[str, Sequence[str]] = {
    "c": "n",
    "n": "c",
    "C": "NO",
    "N": "CO",
    "O": "CNS",
    "S": "O",
    "F": ["Cl"],
    "Cl": ["F", "Br"],
    "Br": ["Cl"],
}
"""For each atom token, the tokens that can replace it."""

MAX_BRANCH_TOKENS = 7
"""Maximum number of tokens in a branch, without its parentheses."""

MAX_SA_INCREASE = 0.2
"""Maximum difference between the SA scores of a mutant and of its parent."""

_MAX_BRANCHES = 60  # branches kept per kind of atom: the most frequent ones
_MIN_COUNT = 3  # occurrences of a branch that is kept
_ATOM_PROB = 0.2  # probability that an atom is replaced; otherwise a branch is changed
_ADD_PROB = 0.3  # of changes to branches, the probability that one is added; otherwise one is replaced
_REMOVE_PROB = 0.2  # of replaced branches, the probability that it is only removed

_CARRIERS = {"c": "c1ccccc1", "n": "c1cccn1", "N": "C1CCCCN1", "O": "CO", "S": "CS(=O)(=O)"}
_OTHER_CARRIER = "C1CCCCC1"
"""Molecules whose last atom carries a branch while it is checked for alerts, by the kind of that atom."""

# atoms without brackets, whose hydrogens follow from their bonds
_ORGANIC_SUBSET = frozenset("BCNOPSFIbcnops") | {"Cl", "Br"}
Tokens = list[str]


@dataclass(frozen=True)
class Substituents:
    """Branches by the token of the atom that carries them: their tokens, and their cumulative probabilities."""

    by_atom: Mapping[str, tuple[list[Tokens], NDArray[np.float64]]]

    @classmethod
    def from_smiles(cls, molecules: Iterable[str]) -> Substituents:
        """Collect the frequent branches of canonical SMILES, without those that are an alert.

        The probability of a branch is proportional to the square root of its count, so that rare ones occur too.
        """
        counts = defaultdict[str, Counter[tuple[str, ...]]](Counter)
        for smiles in molecules:
            tokens = tokenize(smiles)
            for branch in _branches(tokens):
                counts[branch.atom][tuple(tokens[branch.start : branch.stop])] += 1
        by_atom = {}
        for atom, counter in sorted(counts.items()):
            frequent = [(list(branch), n) for branch, n in counter.most_common(_MAX_BRANCHES) if n >= _MIN_COUNT]
            kept = [(branch, n) for branch, n in frequent if not _is_alert(branch, atom)]
            if kept:
                weights = np.sqrt([n for _, n in kept])
                by_atom[atom] = [branch for branch, _ in kept], np.cumsum(weights / weights.sum())
        return cls(by_atom)

    def sample(self, atom: str, random: np.random.Generator) -> Tokens | None:
        """A random branch for an atom token, with its parentheses; None if none is known."""
        if atom not in self.by_atom:
            return None
        branches, cumulative = self.by_atom[atom]
        index = int(np.searchsorted(cumulative, random.random(), side="right"))
        return branches[min(index, len(branches) - 1)]


class Mutant(NamedTuple):
    """A molecule and its canonical SMILES."""

    mol: Chem.Mol
    smiles: str


def mutate(
    mol: Chem.Mol,
    smiles: str,
    substituents: Substituents,
    random: np.random.Generator,
    *,
    tries: int,
    accept: Callable[[str], bool] = lambda _: True,
) -> Iterator[Mutant]:
    """Yield distinct mutants of a molecule. Call it inside a `silence_rdkit` block.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        The parent.
    smiles : str
        Its canonical SMILES.
    substituents : Substituents
        Branches to add.
    random : numpy.random.Generator
    tries : int
        Number of random mutations; most of them give no mutant.
    accept : callable
        Called with a mutant's canonical SMILES before its SA score and alerts are computed; False rejects it.

    Yields
    ------
    Mutant
        The molecule and its canonical SMILES.
    """
    tokens, known = tokenize(smiles), {smiles}
    max_sa: float | None = None
    for _ in range(tries):
        replace_atom = random.random() < _ATOM_PROB
        changed = _replace_atom(tokens, random) if replace_atom else _change_branch(tokens, substituents, random)
        mutant = parse_or_none("".join(changed)) if changed else None
        if mutant is None or (text := write(mutant)) in known or not accept(text):
            continue
        known.add(text)
        max_sa = sa_score(mol) + MAX_SA_INCREASE if max_sa is None else max_sa
        if sa_score(mutant) <= max_sa and not (replace_atom and _has_new_alert(mutant, mol)):
            yield Mutant(mutant, text)


def shared_ends(a: Sequence[str], b: Sequence[str]) -> float:
    """Length of the common prefix plus the common suffix of two sequences, relative to the longer one: 0 to 1.

    >>> shared_ends("CCOC", "CCNC")
    0.75
    """
    common = sum(
        sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(x, y, strict=False)))
        for x, y in ((a, b), (reversed(a), reversed(b)))
    )
    return min(common, len(a), len(b)) / max(len(a), len(b), 1)


def _is_alert(branch: Tokens, atom: str) -> bool:
    """Whether a branch is an alert by itself, on an atom with this token."""
    carrier = parse_or_none(_CARRIERS.get(atom, _OTHER_CARRIER) + "".join(branch))
    return carrier is None or bool(alerts(carrier, BRENK))


def _has_new_alert(mutant: Chem.Mol, parent: Chem.Mol) -> bool:
    found = alerts(mutant, BRENK)
    return bool(found) and not set(found) <= set(alerts(parent, BRENK))


def _change_branch(tokens: Tokens, substituents: Substituents, random: np.random.Generator) -> Tokens | None:
    """The tokens with one branch changed, not necessarily a valid SMILES; None if no branch can be changed."""
    change = _add_branch if random.random() < _ADD_PROB else _replace_branch
    return change(tokens, substituents, random)


def _replace_branch(tokens: Tokens, substituents: Substituents, random: np.random.Generator) -> Tokens | None:
    branches = _branches(tokens)
    if not branches:
        return None
    start, stop, atom = branches[random.integers(len(branches))]
    # a bracket atom states its hydrogens, so its branch cannot just be removed
    remove = random.random() < _REMOVE_PROB and atom in _ORGANIC_SUBSET
    branch = [] if remove else substituents.sample(atom, random)
    return None if branch is None else tokens[:start] + branch + tokens[stop:]


def _add_branch(tokens: Tokens, substituents: Substituents, random: np.random.Generator) -> Tokens | None:
    following = map(token_class, [*tokens[1:], END])
    positions = [
        position for position, (token, after) in enumerate(zip(tokens, following, strict=True))
        if token in _ORGANIC_SUBSET and after not in (TokenClass.OPEN, TokenClass.RING)
    ]  # fmt: skip
    position = positions[random.integers(len(positions))] if positions else 0
    branch = substituents.sample(tokens[position], random) if positions else None
    if branch is None:
        return None
    last = position + 1 == len(tokens)
    return tokens[: position + 1] + (branch[1:-1] if last else branch) + tokens[position + 1 :]


def _replace_atom(tokens: Tokens, random: np.random.Generator) -> Tokens | None:
    positions = [i for i, token in enumerate(tokens) if token in ATOM_REPLACEMENTS]
    if not positions:
        return None
    position = positions[random.integers(len(positions))]
    others = ATOM_REPLACEMENTS[tokens[position]]
    return [*tokens[:position], others[int(random.integers(len(others)))], *tokens[position + 1 :]]


class _Branch(NamedTuple):
    """The positions of a branch, parentheses included, and the token of the atom that carries it."""

    start: int
    stop: int
    atom: str


def _branches(tokens: Tokens) -> list[_Branch]:
    """The branches of up to `MAX_BRANCH_TOKENS` tokens on a single bond, without rings and stereo."""
    found, opened = list[_Branch](), list[tuple[int, str]]()
    atom = ""
    for position, token in enumerate(tokens):
        if token == "(":
            opened.append((position, atom))
        elif token == ")":
            start, atom = opened.pop()
            inner = tokens[start + 1 : position]
            if (
                len(inner) <= MAX_BRANCH_TOKENS
                and token_class(inner[0]) == TokenClass.ATOM
                and not any(map(_is_ring_or_stereo, inner))
            ):
                found.append(_Branch(start, position + 1, atom))
        elif token_class(token) == TokenClass.ATOM:
            atom = token
    return found


def _is_ring_or_stereo(token: str) -> bool:
    return token_class(token) == TokenClass.RING or token in "/\\" or "@" in token
