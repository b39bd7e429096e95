"""Command-line options that several commands share, grouped by the panel of `--help` in which they appear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import checks

SAMPLING = "Sampling"
CONSTRAINTS = "Constraints"
RANKING = "Ranking"
SYNTHESIS = "Synthesis"
MODEL = "Model and device"
INPUT = "Input"
OUTPUT = "Output"

FILES = ".smi .txt .csv .tsv .sdf .mol .xlsx .parquet, and .gz .bz2 .xz .zst of the text formats"

Molecule = Annotated[str, typer.Argument(show_default=False, help="A SMILES.")]
Molecules = Annotated[
    list[str],
    typer.Argument(show_default=False, help=f"SMILES, files of molecules ({FILES}), or - for standard input."),
]
LibraryFiles = Annotated[
    list[str],
    typer.Argument(show_default=False, help=f"Files of molecules ({FILES}), folders of them, or - for standard input."),
]

Count = Annotated[int, typer.Option("-n", "--count", min=1, help="Number of distinct valid molecules.")]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        show_default=False,
        rich_help_panel=SAMPLING,
        help="Softmax temperature of the decoder; values below 1 favor likely tokens. Default: the model's own; "
        "0 (greedy) for decode.",
    ),
]
TopK = Annotated[
    int,
    typer.Option(min=0, rich_help_panel=SAMPLING, help="Sample from the k most likely tokens only; 0 uses all tokens."),
]
TopP = Annotated[
    float,
    typer.Option(
        rich_help_panel=SAMPLING,
        callback=checks.positive_fraction,
        help="Nucleus sampling: use the most likely tokens with this total probability.",
    ),
]
Grammar = Annotated[
    bool,
    typer.Option(
        "--grammar/--no-grammar",
        rich_help_panel=SAMPLING,
        help="Mask tokens that violate SMILES syntax or valence. Raises validity by a few percent; slower.",
    ),
]
Greedy = Annotated[
    bool, typer.Option("--greedy", rich_help_panel=SAMPLING, help="Greedy decoding: the same as --temperature 0.")
]
MaxSamples = Annotated[
    int,
    typer.Option(
        min=0,
        rich_help_panel=SAMPLING,
        help="Maximum number of samples. 0: 50 per requested molecule, at least 1,000.",
    ),
]
InversionSteps = Annotated[
    int,
    typer.Option(
        min=0,
        rich_help_panel=SAMPLING,
        help="Latent inversion: encode each decoded molecule and correct the latent, up to this many times (try 32).",
    ),
]
OptimizeLatents = Annotated[
    bool,
    typer.Option("--optimize-latents", help="Optimize each latent until the decoder reconstructs its molecule."),
]
RandomSeed = Annotated[
    int,
    typer.Option(
        "--random-seed", min=0, max=2**63 - 1, rich_help_panel=SAMPLING, help="The same value gives the same result."
    ),
]

Filters = Annotated[
    list[str],
    typer.Option(
        "--filter",
        rich_help_panel=CONSTRAINTS,
        show_default=False,
        help="Range of a property or score, such as 'mw<500' or 'logp 1:4'; repeatable.",
    ),
]
IncludeSmarts = Annotated[
    list[str],
    typer.Option(
        rich_help_panel=CONSTRAINTS, show_default=False, help="SMARTS that a molecule must contain; repeatable."
    ),
]
ExcludeSmarts = Annotated[
    list[str],
    typer.Option(
        rich_help_panel=CONSTRAINTS, show_default=False, help="SMARTS that a molecule must not contain; repeatable."
    ),
]
Core = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=CONSTRAINTS,
        show_default=False,
        help="Constant part: a SMILES with * at each position where substituents are allowed.",
    ),
]
AllowUnprecedented = Annotated[
    bool,
    typer.Option(
        "--allow-unprecedented",
        rich_help_panel=CONSTRAINTS,
        help="Also ring systems, atom environments and unstable groups that neither real molecules nor the seed have.",
    ),
]
Precedence = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=CONSTRAINTS,
        show_default=False,
        help="Precedence table of your own molecules, written by `molvae precedence build`.",
    ),
]

Makeable = Annotated[
    bool,
    typer.Option(
        "--makeable",
        rich_help_panel=SYNTHESIS,
        help="Only molecules with a route of synthesis from building blocks (`molvae routes`).",
    ),
]
StockFile = Annotated[
    str | None,
    typer.Option(
        "--stock",
        rich_help_panel=SYNTHESIS,
        show_default=False,
        help="Building blocks: a .stock file (`molvae stock build`), or zinc (extra stock): a filter of ZINC's "
        "in-stock molecules, which accepts 7 % of others, too. Default: an estimate from how many real molecules "
        "contain them.",
    ),
]
ReactionFile = Annotated[
    Path | None,
    typer.Option(
        "--reactions",
        rich_help_panel=SYNTHESIS,
        show_default=False,
        help="Your own .toml file of reactions, instead of those of the package.",
    ),
]
MaxSteps = Annotated[
    int,
    typer.Option(min=1, max=10, rich_help_panel=SYNTHESIS, help="Reactions of a route, those of all branches."),
]

Scores = Annotated[
    list[str],
    typer.Option(
        "--score",
        rich_help_panel=RANKING,
        show_default=False,
        help="Additional score: a folder written by `molvae fit`, FILE.py:FUNCTION (of a list of SMILES or an RDKit "
        "Mol), or n_steps (steps of a route of synthesis; n_steps:FILE.stock for a stock); repeatable. Its name can be "
        "used in --filter and --rank-by.",
    ),
]

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        rich_help_panel=MODEL,
        callback=checks.model_name,
        help="Name of a shipped model, or a model directory.",
    ),
]
Device = Annotated[
    str, typer.Option(rich_help_panel=MODEL, callback=checks.device_name, help="cpu, cuda, cuda:1 ..., or auto.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1024,
        rich_help_panel=MODEL,
        show_default=False,
        help="Number of worker processes. Default: one per core.",
    ),
]

Column = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=INPUT,
        show_default=False,
        help="Column with the SMILES, or its number in a file without a header. Default: smiles, canonical_smiles, "
        "structure or another usual name, or the column whose first values are molecules.",
    ),
]
NameColumn = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=INPUT,
        show_default=False,
        help="Column or .sdf property with the names. Default: name, id, title, or another usual name such as "
        "Compound_ID or 'ChEMBL ID'.",
    ),
]
Standardize = Annotated[
    bool,
    typer.Option(
        "--standardize",
        rich_help_panel=INPUT,
        help="Clean up functional groups and metals with RDKit's MolStandardize.",
    ),
]
KeepSalts = Annotated[
    bool,
    typer.Option(
        "--keep-salts", rich_help_panel=INPUT, help="Keep salts and solvents. Default: the largest fragment is used."
    ),
]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        rich_help_panel=OUTPUT,
        show_default=False,
        help="Write the table to this file; the suffix sets the format: .csv .tsv .smi .sdf (each also .gz) .xlsx "
        ".parquet .html .png .svg.",
    ),
]
Image = Annotated[
    Path | None,
    typer.Option(rich_help_panel=OUTPUT, show_default=False, help="Draw the molecules to this .png or .svg file."),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--image",
        rich_help_panel=OUTPUT,
        show_default=False,
        help="Draw the map to this .png, .svg or .html file (.html shows the structure under the pointer).",
    ),
]
