"""Power means of similarities equal those of the full similarity matrix."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import substituted_drugs

from molvae.chem.fingerprints import morgan_bits, tanimoto_matrix
from molvae.errors import InputError
from molvae.similarity import nearest_neighbors
from molvae.similarity import power_means as power_means_module
from molvae.similarity.power_means import power_means

PACKED = morgan_bits(substituted_drugs(), bits=1024)


def by_loop(packed, powers):
    matrix = tanimoto_matrix(packed, packed).astype(np.float64)
    return [[np.mean(row**power) ** (1 / power) for row in matrix] for power in powers]


@pytest.mark.parametrize("n", [0, 1, 2, 17, 300])
def test_power_means_equal_the_matrix(n, monkeypatch):
    """Tile sizes that do not divide n, an empty row, and a fractional power."""
    packed = PACKED[:n].copy()
    packed[1:2] = 0
    powers = (1, 2, 0.5, 3)
    means = power_means(packed, powers)
    assert means.shape == (4, n)
    assert means.dtype == np.float64
    np.testing.assert_allclose(means, np.reshape(by_loop(packed, powers), (4, n)), rtol=1e-6)
    for name, value in {"_ROWS": 3, "_TILE": 2, "_TILES_PER_TASK": 2}.items():
        monkeypatch.setattr(power_means_module, name, value)
    np.testing.assert_allclose(power_means(packed, powers), means, rtol=1e-12)


def test_internal_diversity():
    """As MOSES defines it: per molecule 1 - (mean of T ** p over all pairs) ** (1 / p), then the mean."""
    packed = PACKED[::20]
    matrix = tanimoto_matrix(packed, packed).astype(np.float64)
    expected = [1 - np.mean(np.mean(matrix**power, axis=1) ** (1 / power)) for power in (1, 2)]
    np.testing.assert_allclose(1 - power_means(packed).mean(axis=1), expected, rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 2, None])
def test_workers_do_not_change_the_result(workers, monkeypatch):
    monkeypatch.setattr(power_means_module, "_TILE", 2)
    monkeypatch.setattr(nearest_neighbors, "_MIN_PAIRS_FOR_PROCESSES", 1000)
    packed = PACKED[::6]
    np.testing.assert_array_equal(power_means(packed, workers=workers), power_means(packed, workers=3))


def test_invalid_input_is_rejected():
    with pytest.raises(InputError, match="got int64"):
        power_means(PACKED.astype(np.int64))
    with pytest.raises(InputError, match="powers must be above 0"):
        power_means(PACKED[:2], powers=(1, 0))
