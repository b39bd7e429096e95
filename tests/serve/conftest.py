"""A server with the tiny model on a socket of its own, and a client for it."""

from __future__ import annotations

import httpx
import pytest
from libraries import build_library
from local_server import running

from molvae.generator import Generator
from molvae.library.indexed_library import open_library
from molvae.serve.limits import Limits
from molvae.serve.service import Service


@pytest.fixture(scope="session")
def library_folder(tiny_checkpoint, tmp_path_factory):
    """An indexed library of the thirty molecules, whose model is the tiny one."""
    from tiny_vae import SMALL

    folder = tmp_path_factory.mktemp("library")
    (folder / "small.smi").write_text("".join(f"{smiles} m{row}\n" for row, smiles in enumerate(SMALL)))
    build_library(tiny_checkpoint, folder / "small.smi", folder / "small.molvae")
    return folder / "small.molvae"


@pytest.fixture(scope="module")
def service(tiny_model, library_folder):
    libraries = {"small": open_library(library_folder, model=tiny_model, device="cpu")}
    return Service(Generator.load(tiny_model, "cpu"), libraries, Limits(max_rows=50, max_molecules=5000))


@pytest.fixture(scope="module")
def address(service):
    with running(service) as url:
        yield url


@pytest.fixture
def http(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture
def start(tiny_model):
    """A function that starts another server, with other limits or options."""
    stack = []

    def start_server(limits=None, **options):
        context = running(Service(Generator.load(tiny_model, "cpu"), {}, limits or Limits()), **options)
        stack.append(context)
        return httpx.Client(base_url=context.__enter__(), timeout=60)

    yield start_server
    for context in stack:
        context.__exit__(None, None, None)
