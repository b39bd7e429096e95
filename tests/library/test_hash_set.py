"""What has been seen is what a set has seen."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from molvae.library.hash_set import SeenDigests, digests_of


@given(st.lists(st.lists(st.integers(0, 60), max_size=40), max_size=12))
def test_it_is_a_set(batches):
    seen, plain = SeenDigests(), set()
    for batch in batches:
        new = []
        for value in batch:
            new.append(value not in plain)
            plain.add(value)
        assert seen.accept(np.array(batch, np.uint64)).tolist() == new
    assert len(seen) == len(plain)


def test_digests_tell_molecules_apart():
    digests = digests_of(["C" * n for n in range(1, 1000)] + ["C"])
    assert len(np.unique(digests)) == 999
    assert digests[0] == digests[-1]
    assert len(digests_of([])) == 0
