"""Formats of output files by suffix, checked without pandas, so that a wrong suffix is reported at once."""

from __future__ import annotations

from pathlib import Path

from molvae.errors import InputError, did_you_mean, import_extra

OUTPUT_SUFFIXES = (
    ".csv",
    ".tsv",
    ".smi",
    ".sdf",
    ".csv.gz",
    ".tsv.gz",
    ".smi.gz",
    ".sdf.gz",
    ".xlsx",
    ".parquet",
    ".html",
    ".png",
    ".svg",
)


def output_format(path: str | Path) -> str:
    """Return the suffix of an output file by which its format is selected, such as ".csv" or ".csv.gz".

    >>> output_format("hits.SMI.gz"), output_format("hits.v2.xlsx")
    ('.smi.gz', '.xlsx')
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes[-2:]]
    return "".join(suffixes) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def check_format(path: str | Path) -> None:
    """Raise `InputError` if the suffix is not a known format, its extra is missing, or the path is a directory."""
    suffix = output_format(path)
    if suffix not in OUTPUT_SUFFIXES:
        hint = did_you_mean(suffix, OUTPUT_SUFFIXES) if suffix else ""
        hint = "; a .mol holds one molecule: use .sdf" if suffix == ".mol" else hint
        raise InputError(f"cannot write {path}: its suffix must be one of {', '.join(OUTPUT_SUFFIXES)}{hint}")
    if Path(path).is_dir():
        raise InputError(f"cannot write {path}: it is a directory")
    if suffix == ".xlsx":
        import_extra("openpyxl", "formats")
