"""Calls of RDKit on molecules of users: errors, messages and the log."""

from __future__ import annotations

import os
import pickle
import threading

import pytest
from rdkit import Chem

from molvae.chem.rdkit_guard import RDKIT_ERRORS, molecule_error, rdkit_guard, rdkit_reason, silence_rdkit
from molvae.errors import InputError, MoleculeError


def unsanitized(smiles):
    return Chem.MolFromSmiles(smiles, sanitize=False)


CALLS = {
    "ValueError": (lambda: Chem.SanitizeMol(unsanitized("CF(C)C")), "Explicit valence for atom # 1 F, 3"),
    "RuntimeError": (lambda: unsanitized("C").GetAtomWithIdx(0).GetTotalNumHs(), "Pre-condition Violation: "),
    "ArgumentError": (lambda: Chem.MolToSmiles(None), "RDKit does not accept this argument"),
    "UnicodeEncodeError": (lambda: Chem.MolFromSmiles("C\udcff"), "text that is not Unicode"),
    "KeyError": (lambda: Chem.MolFromSmiles("C").GetProp("absent"), "absent"),
    "OverflowError": (lambda: (_ for _ in ()).throw(OverflowError("math range error")), "math range error"),
}


@pytest.mark.parametrize("name", CALLS)
def test_error_of_rdkit_becomes_a_molecule_error(name, capfd):
    call, reason = CALLS[name]
    with pytest.raises(RDKIT_ERRORS), silence_rdkit():
        call()
    with pytest.raises(MoleculeError) as caught, rdkit_guard("cannot do it"):
        call()
    message = str(caught.value)
    assert message.startswith("cannot do it: ")
    assert reason in message
    assert message.isprintable()
    assert "Code/GraphMol" not in message
    assert isinstance(caught.value.__cause__, RDKIT_ERRORS)
    assert capfd.readouterr().err == ""


def test_guard_is_a_decorator():
    @rdkit_guard("cannot kekulize")
    def kekulize(mol):
        Chem.Kekulize(mol)
        return mol

    assert kekulize(Chem.MolFromSmiles("c1ccccc1")).GetNumAtoms() == 6
    with pytest.raises(MoleculeError, match="cannot kekulize: Can't kekulize mol"):
        kekulize(unsanitized("c1cccc1"))


def test_other_errors_pass():
    with pytest.raises(InputError, match=r"^no such set$"), rdkit_guard("cannot search"):
        raise InputError("no such set")
    for kind in (KeyboardInterrupt, MemoryError, OSError, TypeError, AttributeError):
        with pytest.raises(kind), rdkit_guard("cannot search"):
            raise kind


def test_messages_are_one_short_line():
    error = molecule_error(ValueError("a\n\tb\x1b[31m\udcff" + "x" * 5000), "cannot\nread")
    assert str(error).isprintable()
    assert str(error).startswith(r"cannot\nread: a: b\x1b[31m\udcffx")
    assert len(str(error)) == 400
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert rdkit_reason(RuntimeError("")) == "RuntimeError"


def test_log_is_silent_until_the_last_thread_has_left(capfd):
    """RDKit's log is global: the end of one thread's block must not enable it for the others."""
    entered, leave = threading.Event(), threading.Event()

    def first():
        with silence_rdkit():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    with silence_rdkit():
        leave.set()
        thread.join(10)
        Chem.MolFromSmiles("C1CC")
        assert capfd.readouterr().err == ""
    Chem.MolFromSmiles("C1CC")
    assert "unclosed ring" in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_child_is_not_blocked():
    """The lock of another thread must not be copied into a child in its locked state."""
    from molvae.chem import rdkit_guard as module

    with module._log.lock:
        child = os.fork()
        if not child:
            with silence_rdkit():
                os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
