"""`molvae data`: `data.catalog`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.errors import InputError

app = typer.Typer(
    no_args_is_help=True, help="Named public datasets: what there is, under which license, and how to get it."
)

Name = Annotated[str, typer.Argument(show_default=False, help="A dataset's name, as `molvae data list` shows it.")]


@app.command("list")
def list_() -> None:
    """The names of the datasets, with a line on each."""
    from molvae.data import datasets as catalog

    for name in catalog.list_datasets():
        typer.echo(f"{name}\t{catalog.load_recipe(name).description}")


@app.command()
def info(name: Name) -> None:
    """What a dataset is, its license, whom to cite, and its splits."""
    from molvae.data import datasets as catalog

    recipe = catalog.load_recipe(name)
    typer.echo(f"{recipe.name}: {recipe.description}")
    typer.echo(f"license: {recipe.license}\ncite: {recipe.citation}\nsplits: {', '.join(recipe.splits)}")
    for part in recipe.parts:
        typer.echo(f"{part.split}: " + ", or ".join(source.address for source in part.sources))
    for step in recipe.cleaning:
        typer.echo(f"cleaning: {step}")


@app.command()
def fetch(
    name: Name,
    folder: Annotated[
        Path | None, typer.Option(show_default=False, help="Where to. Default: MOLVAE_DATA, or ~/.cache/molvae.")
    ] = None,
) -> None:
    """Download a dataset; prints its files. What is there and has its checksum is not fetched again."""
    from molvae.data import datasets as catalog

    recipe = catalog.load_recipe(name)
    try:
        files = catalog.fetch_dataset(recipe, folder, progress=lambda text: typer.echo(text, err=True))
    except InputError as error:  # not the command's fault, as the name is known
        typer.echo(f"molvae: {error}", err=True)
        raise typer.Exit(1) from None
    for file in files:
        typer.echo(file)
