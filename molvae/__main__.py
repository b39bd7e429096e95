"""`molvae` and `python -m molvae`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    try:
        from molvae.cli.app import app

        app(prog_name="molvae")
    except KeyboardInterrupt:  # while importing the above; from there on the command line answers it
        sys.stderr.write("molvae: interrupted\n")
        sys.exit(130)
    finally:
        # An interrupt that passed through an `exec` of a string (libraries make code that way as they are imported)
        # is remembered by CPython 3.11, which at its end dies of SIGINT whatever the exit code. The next one forgets.
        exec("pass")


if __name__ == "__main__":
    main()
