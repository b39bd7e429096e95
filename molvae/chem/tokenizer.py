"""SMILES tokens and the vocabulary of a model.

A token is a symbol of OpenSMILES: an organic-subset atom, a bracket atom, a bond, a ring closure, or a parenthesis.
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

_TOKEN = re.compile(r"\[[^\[\]]+\]|%\([0-9]{1,5}\)|%[0-9]{2}|Br|Cl|[BCNOPSFIbcnops*]|[0-9]|[()=#$:/\\.~-]")


def tokenize(smiles: str) -> list[str]:
    """Split a SMILES into tokens; joined, they are the SMILES again.

    Raises `MoleculeError` with the position of the first character that is not part of a token.

    >>> tokenize("C[NH3+]Cl")
    ['C', '[NH3+]', 'Cl']
    """
    tokens = _TOKEN.findall(smiles)
    if "".join(tokens) != smiles:
        position = 0
        for match in _TOKEN.finditer(smiles):
            if match.start() != position:
                break
            position = match.end()
        raise MoleculeError(
            f"cannot tokenize SMILES {shortened(smiles)!r}: unexpected {smiles[position]!r} at position {position + 1}"
        )
    return tokens


def unsupported_reason(tokens: Sequence[str], max_length: int | None, known: Container[str] | None) -> str:
    """Why a model with `max_length` and the `known` tokens cannot decode these tokens; "" if it can."""
    if max_length is not None and len(tokens) > max_length:
        return f"{len(tokens)} tokens, more than the {max_length} that the model decodes"
    unknown = next((token for token in tokens if token not in known), None) if known is not None else None
    if unknown == ".":
        return "This is a salt or mixture; the model knows single molecules only: leave out keep_salts (--keep-salts)"
    if unknown is not None and "@" in unknown:
        return (
            f"the stereocenter {unknown!r} is not in the model's vocabulary, and without its stereo this would be "
            "another molecule: remove the @ if that is meant"
        )
    return f"the token {unknown!r} is not in the model's vocabulary" if unknown else ""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model in the order of their ids; the first three are padding, start and end."""

    tokens: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tokens[:3] != SPECIAL:
            raise InputError(f"a vocabulary must start with {SPECIAL}, got {self.tokens[:3]}")
        if len(set(self.tokens)) != len(self.tokens):
            raise InputError("a vocabulary must not repeat a token")
        for token in self.tokens[3:]:
            if not isinstance(token, str) or not _TOKEN.fullmatch(token):
                raise InputError(f"a vocabulary must consist of tokens of SMILES, got {str(token)[:60]!r}")
        object.__setattr__(self, "_ids", {token: i for i, token in enumerate(self.tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    @classmethod
    def from_tokens(cls, tokens: Iterable[str]) -> Vocabulary:
        """The vocabulary of a training set: its distinct tokens, sorted."""
        return cls((*SPECIAL, *sorted(set(tokens) - set(SPECIAL))))

    def contains_all(self, tokens: Iterable[str]) -> bool:
        """Whether all tokens are in the vocabulary."""
        return all(token in self for token in tokens)

    def encode(self, smiles: str) -> NDArray[np.uint16]:
        """The token ids of a SMILES, and the end token: (tokens + 1,).

        Raises `MoleculeError` for the first token that is not in the vocabulary.
        """
        tokens = tokenize(smiles)
        try:
            ids = [self._ids[token] for token in tokens]
        except KeyError as missing:
            raise MoleculeError(
                f"SMILES {shortened(smiles)!r}: the token {missing.args[0]!r} is not in the model's vocabulary"
            ) from None
        return np.array([*ids, END_ID], dtype=np.uint16)

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """The SMILES of token ids, up to the first end token."""
        tokens = []
        for i in ids:
            if i == END_ID:
                break
            if i > END_ID:
                tokens.append(self.tokens[i])
        return "".join(tokens)

    def to_json(self) -> str:
        """The tokens as a JSON list."""
        return json.dumps(list(self.tokens))

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Restore a vocabulary from the text of `to_json`."""
        return cls(tuple(json.loads(text)))
