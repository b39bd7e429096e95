"""`molvae reconstruct`: `Generator.reconstruct`."""

from __future__ import annotations

from functools import partial

from molvae.cli import options
from molvae.cli.loading import load
from molvae.cli.outputs import destination
from molvae.cli.row_commands import end, rowwise


def reconstruct(
    molecules: options.Inputs,
    standardise: options.Standardise = False,
    refine: options.Refine = False,
    corrections: options.Corrections = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
) -> None:
    """Encode and decode, one row out per row in: smiles, reconstruction, exact, error.

    In Python: `Generator.reconstruct`.
    """
    from molvae.cli.inputs import read

    count = refused = exact = without = 0
    with destination(output, molecules) as write:
        generator = load(model, device)
        written = partial(generator.reconstruct, standardise=standardise, refine=refine, corrections=corrections)
        for frame in rowwise(read(molecules, column), written):
            count, refused = count + len(frame), refused + frame.attrs["refused"]
            exact, without = exact + int(frame["exact"].sum()), without + int((frame["error"] != "").sum())
            write(frame)
    others = f"{count - exact - without:,} another molecule, {without - refused:,} none, {refused:,} refused"
    end(count, count - refused, f"{count:,} rows: {exact:,} exact, {others}")
