"""Small libraries in every format, with bad rows and duplicates among them, for the tests of the index."""

from __future__ import annotations

import gzip

import pandas as pd
from molecules import DRUGS
from tiny_vae import SMALL

from molvae.chem.smiles import canonical
from molvae.library.build import build_index
from molvae.library.manifest import ModelId

SMILES = [*DRUGS.values(), *SMALL]
BAD = ["C1CC", "not-a-molecule", "[13CH4]", "C" * 100]


def write_library(folder):
    """Three files in a folder; of all rows the first half twice. The number of rows."""
    (folder / "deeper").mkdir(parents=True)
    with gzip.open(folder / "a.smi.gz", "wt") as file:
        file.writelines(f"{smiles} drug-{row}\n" for row, smiles in enumerate(SMILES))
        file.writelines(f"{bad}\n" for bad in BAD)
    half = SMILES[: len(SMILES) // 2]
    pd.DataFrame({"smiles": [*half, "", *BAD]}).to_csv(folder / "b.csv", index=False)
    pd.DataFrame({"smiles": [*SMILES[::-1], None]}).to_parquet(folder / "deeper" / "c.parquet")
    (folder / "notes.md").write_text("no molecules")
    return len(SMILES) + len(BAD) + len(half) + 1 + len(BAD) + len(SMILES) + 1


def distinct():
    return list(dict.fromkeys(map(canonical, SMILES)))


def indexed(checkpoint, library, folder, **options):
    given = {"workers": 0, "shard_rows": 256, **options}
    return build_index(
        library if isinstance(library, list) else [library], folder, checkpoint.model, checkpoint.vocabulary,
        model_id=ModelId.of("tiny", checkpoint.model, checkpoint.config.latent_dim),
        max_length=checkpoint.config.max_length, **given,
    )  # fmt: skip


def contents(folder):
    """Every file of a folder by name: its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
