"""Maps: coordinates, colors, and the page that shows what the pointer is on."""

from __future__ import annotations

import base64
import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from tiny_vae import SMALL

from molvae.errors import InputError, MissingExtraError
from molvae.explore.projection import as_values, draw_map, latent_map
from molvae.viz.molecules import svg
from molvae.viz.scatter import MOST_CLASSES, OTHERS, _figure, _parts

ROWS = [*SMALL[:12], "C1CC", *SMALL[12:]]


@pytest.fixture(scope="module")
def mapped(tiny):
    return latent_map(tiny, ROWS, color="logp")


def test_a_row_out_per_row_in_and_the_principal_components(tiny, mapped):
    assert list(mapped.columns) == ["smiles", "error", "x", "y", "logp"]
    assert list(mapped["smiles"]) == ROWS
    good = mapped["error"] == ""
    assert list(good) == [row != "C1CC" for row in ROWS]
    assert mapped.loc[~good, ["x", "y", "logp"]].isna().all().all()
    z = tiny.encode(SMALL).iloc[:, 2:].to_numpy(float)
    expected = PCA(2, svd_solver="full").fit_transform(z)
    np.testing.assert_allclose(np.abs(mapped.loc[good, ["x", "y"]]), np.abs(expected), atol=1e-5)
    assert "30 of 31 molecules" in mapped.attrs["summary"][0]


def test_colors_of_ones_own(tiny):
    labels = pd.Series(["ring" if "1" in row else "chain" for row in ROWS], name="kind")
    table = latent_map(tiny, ROWS, color=labels)
    assert table.attrs["color"] == "kind"
    assert list(table["kind"]) == list(labels)
    assert latent_map(tiny, ROWS, color=list(labels)).attrs["color"] == "label"
    assert latent_map(tiny, ROWS, color=labels.rename("smiles")).attrs["color"] == "label"


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "2.5", ""], True),
        (["1", "two"], False),
        (["", ""], False),
        ([1.0, None], True),
        (["1", "NaN", "3"], True),
        ([2.0, pd.NA, np.nan], True),
    ],
)
def test_text_of_a_file_is_numbers_where_all_is(texts, numbers):
    values = as_values(texts)
    assert isinstance(values[0], float) == numbers
    assert len(values) == len(texts)


def test_what_is_missing_is_one_thing_however_it_is_written():
    assert as_values(["a", None, "NaN", " ", pd.NA]) == ["a", "", "", "", ""]
    assert np.isnan(as_values(["1", "nan", "", None])[1:]).all()


def test_a_molecule_without_a_number_is_in_the_picture(tiny):
    table = latent_map(tiny, SMALL, color=pd.Series([np.nan, *map(float, range(1, len(SMALL)))], name="value"))
    dots = _figure({"": table}, "value").axes[0].collections
    assert [np.ma.count(part.get_offsets()[:, 0]) for part in dots] == [1, len(SMALL) - 1]
    assert dots[0].get_label() == "missing (1)"


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (["CCO", "CCN"], {}, "3 different molecules or more are needed, and there are 2: 2 of 2"),
        (ROWS, {"method": "tsne"}, "pca or umap, got 'tsne'"),
        (ROWS, {"color": "qde"}, "did you mean 'qed'"),
        (ROWS, {"color": ["a"]}, "31 rows, 1 colors"),
    ],
)
def test_what_is_no_map(tiny, rows, options, message):
    with pytest.raises(InputError, match=message):
        latent_map(tiny, rows, **options)


def test_umap_is_an_extra_that_is_named(tiny):
    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"molvae\[umap\]"):
            latent_map(tiny, ROWS, method="umap")
    else:
        table = latent_map(tiny, ROWS, method="umap")
        pd.testing.assert_frame_equal(table, latent_map(tiny, ROWS, method="umap"))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_still_map(mapped, tmp_path, suffix):
    assert draw_map(mapped, tmp_path / f"map{suffix}").stat().st_size > 5000
    plain = mapped.drop(columns="logp")
    plain.attrs = {}
    assert draw_map(plain, tmp_path / f"plain{suffix}").stat().st_size > 5000


def test_the_page_holds_every_drawing_and_needs_nothing_else(mapped, tmp_path):
    text = draw_map(mapped, tmp_path / "map.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{', text, flags=re.S)[1])
    (trace,) = data
    drawings = [zlib.decompress(base64.b64decode(packed)).decode() for packed in trace["customdata"]]
    assert drawings == [svg(smiles) for smiles in SMALL]
    assert [label.split("<br>")[0] for label in trace["text"]] == list(SMALL)
    assert "plotly_hover" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)
    assert text.count("Plotly.newPlot") == 1


def test_each_class_is_a_trace_and_the_rarest_share_one():
    names = [f"c{i}" for i in range(MOST_CLASSES + 5) for _ in range(MOST_CLASSES + 10 - i)]
    frame = pd.DataFrame({"smiles": "C", "x": 0.0, "y": 0.0, "kind": names})
    parts = _parts(frame, "kind")
    assert len(parts) == MOST_CLASSES
    assert len(parts[OTHERS]) == sum(sorted(frame["kind"].value_counts())[:6])
    assert sum(map(len, parts.values())) == len(frame)


def test_another_format_and_nothing_to_draw(mapped, tmp_path):
    with pytest.raises(InputError, match=r"drawn to \.png, \.svg, \.html, got"):
        draw_map(mapped, tmp_path / "map.gif")
    with pytest.raises(InputError, match="no molecules to draw"):
        draw_map(mapped.iloc[:0], tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_a_column_is_answered_under_its_own_index(tiny):
    column = pd.Series([*SMALL[:6], "C1CC"], index=list("zyxxabc"))
    frame = latent_map(tiny, column, color="qed")
    assert frame.index.equals(column.index)
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), latent_map(tiny, list(column), color="qed"))
