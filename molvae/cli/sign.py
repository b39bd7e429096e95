"""`molvae sign`: accepts a model whose files were edited on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.errors import InputError


def sign(
    folder: Annotated[Path, typer.Argument(show_default=False, help="Folder of a model or of a property model.")],
) -> None:
    """Accept the files of a model as they are, after editing one of them on purpose.

    A model or property model is loaded only if its files have the digests that it was saved with. This command checks
    everything but the digests, and then writes the digests of the present files.
    """
    from molvae import checkpoint
    from molvae.qsar import fitted_model

    if (folder / fitted_model.SETTINGS).is_file():
        fitted_model.sign(folder)
    elif (folder / checkpoint.CONFIG_FILE).is_file():
        checkpoint.sign(folder)
    else:
        raise InputError(
            f"{folder} is not a folder of a model: it has neither {checkpoint.CONFIG_FILE} nor {fitted_model.SETTINGS}"
        )
    typer.echo(f"{folder}: the files are accepted as they are", err=True)
