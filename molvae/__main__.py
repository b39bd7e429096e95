"""`molvae` and `python -m molvae`."""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    from molvae.cli.app import app

    app(prog_name="molvae")


if __name__ == "__main__":
    main()
