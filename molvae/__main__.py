"""`molvae` and `python -m molvae`.

Nothing but `sys` and `os`, which every Python process has loaded, is imported before the working directory has left the
import path: `python -m molvae` puts it first, and a file such as `signal.py` there would be executed.
"""

import os
import sys


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    leave_working_directory()
    try:
        from molvae.cli.signals import handle_termination

        handle_termination()

        from molvae.cli.app import app

        app(prog_name="molvae")
    except KeyboardInterrupt:  # while importing the above; from there on the command line answers it
        sys.stderr.write("molvae: interrupted\n")
        sys.exit(130)
    finally:
        # An interrupt that passed through an `exec` of a string (libraries make code that way as they are imported)
        # is remembered by CPython 3.11, which at its end dies of SIGINT whatever the exit code. The next one forgets.
        exec("pass")


def leave_working_directory() -> None:
    """Remove the working directory from the import path of this process and of those that it will start.

    Files in it, which may come with somebody's data, are then never executed. A source checkout of molvae is kept.
    """
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was deleted
        return
    if os.path.dirname(os.path.dirname(os.path.realpath(__file__))) == here:
        return
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here]
    python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in python_path if os.path.realpath(entry) != here)
    os.environ["PYTHONSAFEPATH"] = "1"


if __name__ == "__main__":
    main()
