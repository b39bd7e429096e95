"""Hashes of texts and weights, which must not change because stored files contain them, and the set of hashes."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from molvae.data.hashing import HashSet, hash_text, hash_texts, weights_digest


def test_hash_values_are_fixed():
    assert hash_text("CCO").hex() == hashlib.blake2b(b"CCO", digest_size=8).hexdigest()
    assert int(hash_texts(["CCO"])[0]) == int.from_bytes(hash_text("CCO"), "little")
    assert hash_texts(["CCO", "CCN"], 16)[1].tobytes() == hash_text("CCN", 16)


def test_hashes_of_different_molecules_differ():
    hashes = hash_texts(["C" * n for n in range(1, 1000)] + ["C"])
    assert len(np.unique(hashes)) == 999
    assert hashes[0] == hashes[-1]
    assert hash_texts([]).shape == (0,)
    assert hash_texts([], 16).shape == (0, 2)


def test_weights_digest_ignores_rounding_below_half_precision():
    model = torch.nn.Linear(3, 2)
    digest = weights_digest(model)
    saved = torch.nn.Linear(3, 2)
    saved.load_state_dict({name: tensor.half().float() for name, tensor in model.state_dict().items()})
    assert weights_digest(saved) == digest
    saved.bias.data += 1
    assert weights_digest(saved) != digest


@given(st.lists(st.lists(st.integers(0, 60), max_size=40), max_size=12))
def test_hash_set_equals_a_python_set(batches):
    hashes, expected = HashSet(), set()
    for batch in batches:
        is_new = []
        for value in batch:
            is_new.append(value not in expected)
            expected.add(value)
        assert hashes.add(np.array(batch, np.uint64)).tolist() == is_new
    assert len(hashes) == len(expected)
