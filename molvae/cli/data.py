"""`molvae data`: public datasets (`molvae.data.datasets`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import usage
from molvae.errors import InputError

app = typer.Typer(no_args_is_help=True, help="List, describe and download public datasets.")

Name = Annotated[str, typer.Argument(show_default=False, help="A name shown by `molvae data list`.")]


@app.command("list", cls=usage.Command)
def list_() -> None:
    """List the datasets with a one-line description each."""
    from molvae.data import datasets

    for name in datasets.list_datasets():
        typer.echo(f"{name}\t{datasets.load_recipe(name).description}")


@app.command(cls=usage.Command)
def info(name: Name) -> None:
    """Show the description, license, citation, splits and sources of a dataset."""
    from molvae.data import datasets

    recipe = datasets.load_recipe(name)
    typer.echo(f"{recipe.name}: {recipe.description}")
    typer.echo(f"license: {recipe.license}\ncite: {recipe.citation}\nsplits: {', '.join(recipe.splits)}")
    for file in recipe.files:
        addresses = ", or ".join(source.address for source in file.sources)
        typer.echo(f"{file.split}: {addresses or 'part of the package, no download needed'}")
    for step in recipe.cleaning:
        typer.echo(f"cleaning: {step}")


@app.command(cls=usage.Command)
def fetch(
    name: Name,
    folder: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Target folder. Default: $MOLVAE_DATA, or ~/.cache/molvae."),
    ] = None,
) -> None:
    """Download a dataset and print its files; files with the right checksum are not downloaded again."""
    from molvae.data import datasets
    from molvae.data.files import check_writable

    recipe = datasets.load_recipe(name)
    if not recipe.packaged:
        check_writable((folder or datasets.data_folder()) / recipe.name)
    try:
        files = datasets.fetch_dataset(recipe, folder, progress=lambda text: typer.echo(text, err=True))
    except InputError as error:  # a failed download is not a usage error
        typer.echo(f"molvae: {error}", err=True)
        raise typer.Exit(1) from None
    for file in files:
        typer.echo(file)
