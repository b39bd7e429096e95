"""`molvae reconstruct`: `Generator.reconstruct`."""

from __future__ import annotations

from functools import partial

from molvae.cli import options
from molvae.cli.loading import load
from molvae.cli.outputs import destination
from molvae.cli.row_commands import end, rowwise


def reconstruct(
    molecules: options.Inputs,
    standardize: options.Standardize = False,
    refine: options.Refine = False,
    inversion_steps: options.Corrections = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
) -> None:
    """Encode and decode, one row out per row in: smiles, reconstruction, exact, error.

    In Python: `Generator.reconstruct`.
    """
    from molvae.cli.inputs import read

    count = rejected = exact = without = 0
    with destination(output, molecules) as write:
        generator = load(model, device)
        written = partial(
            generator.reconstruct, standardize=standardize, optimize_latents=refine, inversion_steps=inversion_steps
        )
        for frame in rowwise(read(molecules, column), written):
            count, rejected = count + len(frame), rejected + frame.attrs["n_invalid"]
            exact, without = exact + int(frame["exact"].sum()), without + int((frame["error"] != "").sum())
            write(frame)
    others = f"{count - exact - without:,} another molecule, {without - rejected:,} none, {rejected:,} rejected"
    end(count, count - rejected, f"{count:,} rows: {exact:,} exact, {others}")
