"""Every option that a message of the library names exists, and in the command that gives the message."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer

import molvae.cli
from molvae.cli.app import app

PACKAGE = Path(molvae.cli.__file__).parents[1]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
RAY = {"--head"}


def commands(group, prefix=""):
    """The options of every command, by its name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            options = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
            yield f"{prefix}{name}", command.callback.__module__, options | {"--help", "--version"}


COMMANDS = list(commands(typer.main.get_command(app)))


def texts(path):
    """The texts of a module except docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_options_in_messages_exist(path):
    own = [options for _, module, options in COMMANDS if module == f"molvae.cli.{path.stem}"]
    known = set().union(*(own if path.parent.name == "cli" and own else [options for *_, options in COMMANDS]))
    for line, text in texts(path):
        mentioned = set(OPTION.findall(text)) - RAY if " " in text else set()  # one word is an argument, not a message
        assert mentioned <= known, f"{path.name}, line {line}: {sorted(mentioned - known)}"
