"""Device selection, number of threads, and the thread pool."""

from __future__ import annotations

import threading
from threading import Event, Thread

import pytest
import torch

from molvae.errors import InputError
from molvae.nn.devices import MAX_THREADS, TorchThreadPool, deterministic, find_device, single_threaded


def test_auto_selects_a_gpu_if_available(monkeypatch):
    assert find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["abacus", "", "cuda:99", "cuda:x", "CPU ", "meta", "xla", "vulkan", "hpu", "mtia"])
def test_unusable_device_is_an_error(name):
    """ "meta" exists, but its tensors have no data."""
    with pytest.raises(InputError, match=f"cannot use the device {name!r}: ") as caught:
        find_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [RuntimeError(""), AssertionError(), NotImplementedError("\n\nno\nmore"), ImportError()]
)
def test_errors_of_torch_are_reported_in_one_line(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(InputError, match=r"cannot use the device 'cpu': [A-Za-z]"):
        find_device("cpu")


# --- threads ---


def test_single_threaded_restores_the_number_of_threads():
    before = torch.get_num_threads()
    with single_threaded(), single_threaded():
        assert torch.get_num_threads() == 1
    with pytest.raises(ValueError, match="within"), single_threaded():
        raise ValueError("within")
    assert torch.get_num_threads() == before


def test_concurrent_contexts_restore_the_original_number():
    """A thread that starts while another one is single-threaded must not restore the number 1."""
    before, inside, done, found = torch.get_num_threads(), Event(), Event(), list[int]()

    def first():
        with single_threaded():
            inside.set()
            done.wait(0.5)

    def second():
        inside.wait()
        with single_threaded():
            found.append(torch.get_num_threads())
        found.append(torch.get_num_threads())

    threads = [Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, before]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pool_results_are_in_order_and_single_threaded(set_threads, count):
    """The caller's number of threads does not change."""
    set_threads(count)
    with TorchThreadPool(torch.device("cpu"), 5) as pool:
        assert pool.n_threads == count
        assert pool.map(lambda n: (n, torch.get_num_threads()), range(20)) == [(n, 1) for n in range(20)]
        assert torch.get_num_threads() == count
        with pytest.raises(ZeroDivisionError):
            pool.map(lambda n: 1 // n, [1, 0])
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("device", "n_tasks", "threads", "expected"),
    [("cpu", 1, 3, 1), ("cpu", 0, 3, 1), ("cpu", 10**6, 3, 3), ("cpu", 10**6, 99, MAX_THREADS), ("meta", 9, 3, 1)],
)
def test_number_of_threads_is_bounded(monkeypatch, device, n_tasks, threads, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    with TorchThreadPool(torch.device(device), n_tasks) as pool:
        assert pool.n_threads == expected


def test_pool_on_a_gpu_is_the_calling_thread():
    with TorchThreadPool(torch.device("meta"), 4) as pool:
        assert set(pool.map(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_gpu_in_a_forked_process(name, monkeypatch):
    """An error at once that says what to do, instead of one from within CUDA."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(InputError, match=r"forked .*get_context\('spawn'\), or .*device='cpu'"):
        find_device(name)
    with pytest.raises(InputError, match="forked"), deterministic(torch.device("cuda")):
        pass
