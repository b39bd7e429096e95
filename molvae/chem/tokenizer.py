"""SMILES tokens and the frozen vocabulary that a model is trained with.

One token is one symbol of OpenSMILES: an organic-subset atom, a whole bracket atom, a bond, a ring closure, a
branch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molvae.chem.smiles import shortened
from molvae.errors import InputError, MoleculeError

PAD, START, END = "<pad>", "<start>", "<end>"
SPECIAL = (PAD, START, END)
PAD_ID, START_ID, END_ID = 0, 1, 2

_SYMBOL = re.compile(r"\[[^\[\]]+\]|%\([0-9]{1,5}\)|%[0-9]{2}|Br|Cl|[BCNOPSFIbcnops*]|[0-9]|[()=#$:/\\.~-]")


def tokenize(smiles: str) -> list[str]:
    """Split a SMILES into OpenSMILES symbols; joining them gives the string back.

    Raises `MoleculeError` naming the first character that starts no symbol.
    """
    tokens = _SYMBOL.findall(smiles)
    if "".join(tokens) != smiles:
        position = 0
        for match in _SYMBOL.finditer(smiles):
            if match.start() != position:
                break
            position = match.end()
        raise MoleculeError(
            f"cannot tokenize SMILES {shortened(smiles)!r}: unexpected {smiles[position]!r} at position {position + 1}"
        )
    return tokens


def unsupported_reason(symbols: Sequence[str], max_length: int | None, known: Container[str] | None) -> str:
    """Why a model that writes up to `max_length` of the `known` symbols cannot write these, or nothing."""
    if max_length is not None and len(symbols) > max_length:
        return f"{len(symbols)} symbols, more than the {max_length} that the model writes"
    strange = next((symbol for symbol in symbols if symbol not in known), None) if known is not None else None
    return f"it has the symbol {strange!r}, which the model has never seen" if strange else ""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a model knows, in the order of their ids; the first three are padding, start and end."""

    tokens: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tokens[:3] != SPECIAL:
            raise InputError(f"a vocabulary starts with {SPECIAL}, got {self.tokens[:3]}")
        if len(set(self.tokens)) != len(self.tokens):
            raise InputError("a vocabulary lists each token once")
        object.__setattr__(self, "_ids", {token: i for i, token in enumerate(self.tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    @classmethod
    def from_tokens(cls, tokens: Iterable[str]) -> Vocabulary:
        """The vocabulary of a training set: its distinct symbols, sorted: data order does not matter."""
        return cls((*SPECIAL, *sorted(set(tokens) - set(SPECIAL))))

    def contains_all(self, tokens: Iterable[str]) -> bool:
        """Whether all of these are in it."""
        return all(token in self for token in tokens)

    def encode(self, smiles: str) -> NDArray[np.uint16]:
        """The ids of a SMILES followed by the end token; shape (symbols + 1,).

        Raises `MoleculeError` naming the first symbol that is not in the vocabulary.
        """
        tokens = tokenize(smiles)
        try:
            ids = [self._ids[token] for token in tokens]
        except KeyError as missing:
            raise MoleculeError(
                f"SMILES {shortened(smiles)!r} has the symbol {missing.args[0]!r}, which the model has never seen"
            ) from None
        return np.array([*ids, END_ID], dtype=np.uint16)

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """The string of some ids, up to the first end token."""
        tokens = []
        for i in ids:
            if i == END_ID:
                break
            if i > END_ID:
                tokens.append(self.tokens[i])
        return "".join(tokens)

    def to_json(self) -> str:
        return json.dumps(list(self.tokens))

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        return cls(tuple(json.loads(text)))
