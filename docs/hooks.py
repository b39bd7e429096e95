"""Hooks of the documentation build: pages that are generated from the code, so that they cannot become outdated.

In a page, `<!-- options: COMMAND -->` becomes the tables of the options of a command, `<!-- layers -->` the layers of
the package, and `<!-- include: FILE -->` the contents of a file at the top of the repository.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_MARKER = re.compile(r"<!-- (options|layers|include):? ?([\w./ -]*?) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page."""
    generators = {"options": options_tables, "layers": layers_table, "include": included_file}
    return _MARKER.sub(lambda match: generators[match[1]](match[2]), markdown)


def options_tables(command: str) -> str:
    """The arguments and options of a command, a table for each panel of its `--help`."""
    import typer

    from molvae.cli.app import app

    found: Any = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    panels: dict[str, list[str]] = {}
    for parameter in found.params:
        if parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        names = names if is_option else f"`{parameter.name.upper()}`"
        default = parameter.default if is_option and getattr(parameter, "show_default", False) else None
        shown = "" if default is None or default == "" or default == () or default == [] else f"`{default}`"
        panel = getattr(parameter, "rich_help_panel", None) or ("Options" if is_option else "Arguments")
        text = (parameter.help or "").replace("|", "\\|").replace("\n", " ")
        panels.setdefault(panel, []).append(f"| {names} | {text} | {shown} |")
    head = "| option | meaning | default |\n|---|---|---|\n"
    return "\n\n".join(f"**{panel}**\n\n{head}" + "\n".join(rows) for panel, rows in panels.items())


def layers_table(_: str) -> str:
    """The layers of the package, from the table that the architecture test asserts."""
    found = runpy.run_path(str(ROOT / "tests" / "test_architecture.py"))
    rows = []
    for level, names in enumerate(found["LAYERS"]):
        for name in sorted(names):
            rows.append(f"| {level} | `{name}` | {found['DESCRIPTIONS'][name]} |")
    return "| layer | part | subject |\n|---|---|---|\n" + "\n".join(rows)


def included_file(name: str) -> str:
    """The contents of a file at the top of the repository; its links to pages become relative to the folder docs."""
    return (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
