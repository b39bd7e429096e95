"""A short run of the fuzz targets of folders; `make fuzz` runs them for long."""

from __future__ import annotations

from random import Random

import pytest

from fuzz import folders


@pytest.mark.parametrize("target", [folders.models, folders.property_models, folders.libraries])
def test_mutated_folders(target, set_threads):
    set_threads(1)
    report = target(Random(7), 8)
    assert report.n_inputs == 8
    assert not report.failures, report.failures
