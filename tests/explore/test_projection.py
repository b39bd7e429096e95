"""Maps of molecules: coordinates and colors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from tiny_vae import SMALL

from molvae.errors import InputError, MissingExtraError
from molvae.explore.projection import column_values, draw_map, latent_map

ROWS = [*SMALL[:12], "C1CC", *SMALL[12:]]


@pytest.fixture(scope="module")
def mapped(tiny):
    return latent_map(tiny, ROWS, color_by="logp")


def test_pca_map_matches_scikit_learn(tiny, mapped):
    assert list(mapped.columns) == ["smiles", "error", "note", "x", "y", "logp"]
    assert list(mapped["smiles"]) == ROWS
    valid = mapped["error"] == ""
    assert list(valid) == [row != "C1CC" for row in ROWS]
    assert mapped.loc[~valid, ["x", "y", "logp"]].isna().all().all()
    pca = PCA(2, svd_solver="full")
    expected = pca.fit_transform(tiny.encode(SMALL).filter(regex=r"^z\d+$").to_numpy(float))
    np.testing.assert_allclose(np.abs(mapped.loc[valid, ["x", "y"]]), np.abs(expected), atol=1e-5)
    statistics = mapped.attrs["statistics"]
    assert (statistics["read"], statistics["mapped"]) == (31, 30)
    np.testing.assert_allclose(statistics["explained_variance_ratio"], pca.explained_variance_ratio_)


def test_color_column_is_named_after_the_series(tiny):
    labels = pd.Series(["ring" if "1" in row else "chain" for row in ROWS], name="kind")
    table = latent_map(tiny, ROWS, color_by=labels)
    assert table.attrs["color_by"] == "kind"
    assert list(table["kind"]) == list(labels)
    assert latent_map(tiny, ROWS, color_by=list(labels)).attrs["color_by"] == "label"
    assert latent_map(tiny, ROWS, color_by=labels.rename("smiles")).attrs["color_by"] == "label"


@pytest.mark.parametrize(
    ("values", "numeric"),
    [
        (["1", "2.5", ""], True),
        (["1", "two"], False),
        (["", ""], False),
        ([1.0, None], True),
        (["1", "NaN", "3"], True),
        ([2.0, pd.NA, np.nan], True),
    ],
)
def test_text_is_numeric_if_every_known_value_is_a_number(values, numeric):
    converted = column_values(values)
    assert isinstance(converted[0], float) == numeric
    assert len(converted) == len(values)


def test_missing_values_are_unified():
    assert column_values(["a", None, "NaN", " ", pd.NA]) == ["a", "", "", "", ""]
    assert np.isnan(column_values(["1", "nan", "", None])[1:]).all()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (["CCO", "CCN"], {}, "at least 3 different molecules are needed, got 2: 2 of 2"),
        (ROWS, {"method": "tsne"}, "pca or umap, got 'tsne'"),
        (ROWS, {"color_by": "qde"}, "did you mean 'qed'"),
        (ROWS, {"color_by": ["a"]}, "1 values for 31 rows"),
    ],
)
def test_invalid_options_are_rejected(tiny, rows, options, message):
    with pytest.raises(InputError, match=message):
        latent_map(tiny, rows, **options)


def test_umap_is_reproducible_or_names_its_extra(tiny):
    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"molvae\[umap\]"):
            latent_map(tiny, ROWS, method="umap")
    else:
        table = latent_map(tiny, ROWS, method="umap")
        pd.testing.assert_frame_equal(table, latent_map(tiny, ROWS, method="umap"))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_image_with_and_without_color(tiny, mapped, tmp_path, suffix):
    assert draw_map(mapped, tmp_path / f"map{suffix}").stat().st_size > 5000
    assert draw_map(latent_map(tiny, SMALL), tmp_path / f"plain{suffix}").stat().st_size > 5000


def test_series_keeps_its_index(tiny):
    column = pd.Series([*SMALL[:6], "C1CC"], index=list("zyxxabc"))
    frame = latent_map(tiny, column, color_by="qed")
    assert frame.index.equals(column.index)
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), latent_map(tiny, list(column), color_by="qed"))
