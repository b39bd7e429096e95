"""`molvae encode`: `Generator.encode`."""

from __future__ import annotations

import sys
from functools import partial

from molvae.cli import options
from molvae.cli.loading import load
from molvae.cli.outputs import destination
from molvae.cli.row_commands import end, rowwise
from molvae.errors import InputError


def encode(
    molecules: options.Inputs,
    standardize: options.Standardize = False,
    refine: options.Refine = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
) -> None:
    """Latents of molecules, one row out per row in: smiles, error, z0, z1 ...

    In Python: `Generator.encode`.
    """
    from molvae.cli.inputs import read

    if output is None and sys.stdout.isatty():
        raise InputError("latents are too wide for a terminal: give -o FILE (.csv or .parquet), or pipe them on")
    if output is not None and output.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"latents are written to .csv or .parquet, got {output}")
    count = usable = 0
    with destination(output, molecules) as write:
        generator = load(model, device)
        latents = partial(generator.encode, standardize=standardize, optimize_latents=refine)
        for frame in rowwise(read(molecules, column), latents):
            count, usable = count + len(frame), usable + int((frame["error"] == "").sum())
            write(frame)
    end(count, usable, f"{count:,} rows: {usable:,} encoded, {count - usable:,} rejected")
