"""`molvae explain`: unprecedented ring systems and atom environments, and unstable groups (`molvae.explain`)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.outputs import GRID_FORMATS, check_image, check_outputs, image_output, table_output
from molvae.cli.row_commands import finish, map_rows

if TYPE_CHECKING:
    import pandas as pd


def explain(
    molecules: options.Molecules,
    seed: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="SMILES of a molecule: its ring systems, environments and groups are not listed."
        ),
    ] = None,
    max_count: Annotated[
        int,
        typer.Option(
            min=0, help="List ring systems and environments that at most this many real molecules have; 0: none has."
        ),
    ] = 0,
    precedence: options.Precedence = None,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    output: options.Output = None,
    image: options.Image = None,
) -> None:
    """Name the unprecedented ring systems and atom environments and the unstable groups of molecules.

    One row per finding; a molecule without findings has one row. Columns: smiles, name (for files), plausible, kind,
    fragment, n_molecules (real molecules with the fragment), level, reason, reference, atoms, canonical, error, note,
    and the input's further columns. Drawings mark the fragments. In Python: `molvae.explain`.
    """
    from molvae.cli.inputs import InputRows, changed_summary

    check_image(image, GRID_FORMATS)
    check_outputs(output, image, inputs=molecules)
    checks.check_precedence(precedence)
    checks.check_inputs(molecules, column, name_column)
    from molvae.metrics.explanation import Explainer, expand

    explainer = Explainer(seed, max_count, precedence, standardize=standardize, keep_salts=keep_salts)
    counts: Counter[str] = Counter()
    with image_output(image) as draw, table_output(output, molecules) as write:
        for frame in map_rows(InputRows(molecules, column, name_column), explainer):
            counts.update(_counts(frame))
            table = expand(frame)
            draw(table)
            write(table)
    n_valid = counts["rows"] - counts["invalid"]
    kinds = ", ".join(f"{counts[kind]:,} with {text}" for kind, text in _KINDS.items() if counts[kind])
    summary = (
        f"{counts['rows']:,} rows: {counts['plausible']:,} plausible, {n_valid - counts['plausible']:,} implausible"
    )
    summary += (f" ({kinds})" if kinds else "") + f", {counts['invalid']:,} invalid{changed_summary(counts['changed'])}"
    finish(counts["rows"], n_valid, summary)


_KINDS = {
    "ring system": "an unprecedented ring system",
    "environment of radius 1": "an unprecedented atom environment",
    "unstable group": "an unstable group",
}


def _counts(frame: pd.DataFrame) -> Counter[str]:
    """Rows of a table of molecules: all, invalid, changed and plausible ones, and those with each kind of flaw."""
    flaws = [{finding.kind for finding in found or () if finding.is_flaw} for found in frame["findings"]]
    valid = frame["error"] == ""
    return Counter(
        rows=len(frame),
        invalid=int((~valid).sum()),
        changed=int((frame["note"] != "").sum()),
        plausible=sum(not kinds for kinds, ok in zip(flaws, valid, strict=True) if ok),
        **Counter(kind for kinds in flaws for kind in kinds),
    )
