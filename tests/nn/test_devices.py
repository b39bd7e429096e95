"""The device asked for, or one line about why it cannot be had; threads, and how many."""

from __future__ import annotations

import threading
from threading import Event, Thread

import pytest
import torch

from molvae.errors import InputError
from molvae.nn.devices import MOST_LANES, Lanes, find_device, one_thread


def test_cpu_and_auto(monkeypatch):
    assert find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["abacus", "", "cuda:99", "cuda:x", "CPU ", "meta", "xla", "vulkan", "hpu", "mtia"])
def test_a_device_that_is_not_there(name):
    """`meta` is there, but nothing can be read from it."""
    with pytest.raises(InputError, match=f"cannot use the device {name!r}: .*; auto takes what there is") as caught:
        find_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [RuntimeError(""), AssertionError(), NotImplementedError("\n\nno\nmore"), ImportError()]
)
def test_an_error_of_any_kind_and_length(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(InputError, match=r"cannot use the device 'cpu': [A-Za-z]"):
        find_device("cpu")


# --- threads ---


def test_one_thread_and_then_as_many_as_before():
    before = torch.get_num_threads()
    with one_thread(), one_thread():
        assert torch.get_num_threads() == 1
    with pytest.raises(ValueError, match="within"), one_thread():
        raise ValueError("within")
    assert torch.get_num_threads() == before


def test_a_thread_that_comes_while_another_has_one_gets_its_own_back():
    """Of a new thread torch takes the number from the process, and there it is one for a while."""
    before, inside, done, found = torch.get_num_threads(), Event(), Event(), list[int]()

    def first():
        with one_thread():
            inside.set()
            done.wait(0.5)

    def second():
        inside.wait()
        with one_thread():
            found.append(torch.get_num_threads())
        found.append(torch.get_num_threads())

    threads = [Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, before]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_lanes_give_results_in_order_and_have_one_thread_each(set_threads, count):
    """And the caller keeps what it has."""
    set_threads(count)
    with Lanes(torch.device("cpu"), 5) as lanes:
        assert lanes.count == count
        assert lanes.map(lambda n: (n, torch.get_num_threads()), range(20)) == [(n, 1) for n in range(20)]
        assert torch.get_num_threads() == count
        with pytest.raises(ZeroDivisionError):
            lanes.map(lambda n: 1 // n, [1, 0])
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("device", "most", "threads", "count"),
    [("cpu", 1, 3, 1), ("cpu", 0, 3, 1), ("cpu", 10**6, 3, 3), ("cpu", 10**6, 99, MOST_LANES), ("meta", 9, 3, 1)],
)
def test_no_more_lanes_than_work(monkeypatch, device, most, threads, count):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    with Lanes(torch.device(device), most) as lanes:
        assert lanes.count == count


def test_on_a_gpu_the_callers_thread_does_the_work():
    with Lanes(torch.device("meta"), 4) as lanes:
        assert set(lanes.map(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}
