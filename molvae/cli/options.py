"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[str],
    typer.Argument(
        show_default=False, help="SMILES, or files (.smi .csv .tsv .sdf .parquet, .gz), or - for standard input."
    ),
]
Library = Annotated[
    list[str],
    typer.Argument(show_default=False, help="Files (.smi .csv .tsv .sdf .parquet, .gz), folders of them, or -."),
]
Keep = Annotated[
    list[str],
    typer.Option(
        help="A window, such as mw<500 or 'logp 1:4', of a property or of what is scored; repeatable.",
        show_default=False,
    ),
]
Contains = Annotated[list[str], typer.Option(help="SMARTS that must occur; repeatable.", show_default=False)]
Core = Annotated[
    str | None,
    typer.Option(help="What stays as it is: a SMILES with * at each place for a group.", show_default=False),
]
Without = Annotated[list[str], typer.Option(help="SMARTS that may not occur; repeatable.", show_default=False)]
Scores = Annotated[
    list[str],
    typer.Option(
        help="A figure more: a folder that `molvae fit` wrote, or FILE.py:FUNCTION, which is called with an RDKit "
        "Mol and returns a number; repeatable.",
        show_default=False,
    ),
]
Model = Annotated[str, typer.Option("--model", "-m", help="A shipped model's name, or a model directory.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ..., or auto.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Same seed, same molecules.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes. Default: one per core.", show_default=False)]
Column = Annotated[
    str | None, typer.Option(help="The column with SMILES, where it is not called smiles.", show_default=False)
]
Standardize = Annotated[bool, typer.Option("--standardize", help="First normalize groups and strip salts.")]
Refine = Annotated[
    bool, typer.Option("--refine", help="Mend latents that the decoder would not write the molecule from.")
]
Corrections = Annotated[
    int,
    typer.Option(
        min=0, help="Encode what was written and correct the latent by what it missed, up to so many times; 32 do."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", show_default=False, help="Write to this file: .csv .smi .sdf .parquet .html .png .svg."
    ),
]
Picture = Annotated[
    Path | None, typer.Option(show_default=False, help="Also draw a grid to this .png or .svg, the seed first.")
]
Count = Annotated[int, typer.Option("-n", "--count", min=1, help="How many distinct valid molecules.")]
Temperature = Annotated[
    float | None,
    typer.Option(min=0.0, show_default=False, help="Below 1 favors likely symbols. Default: the model's own."),
]
TopK = Annotated[int, typer.Option(min=0, help="Draw from this many likeliest symbols only; 0: all.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest symbols with this total probability.")]
Grammar = Annotated[
    bool, typer.Option("--grammar/--no-grammar", help="Draw only symbols that the grammar of SMILES allows: slower.")
]
Greedy = Annotated[bool, typer.Option("--greedy", help="Always the likeliest symbol: temperature 0.")]
Budget = Annotated[
    int,
    typer.Option(
        min=0, help="Strings to spend at most; 0: 20 for each molecule asked for, with --similarity 50; 1,000 at least."
    ),
]
