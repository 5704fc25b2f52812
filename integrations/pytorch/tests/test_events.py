"""Events: asking, waiting, timing, recording again."""

import threading
import time

import pytest
import torch

from support import DEVICE, eventually, only_millrace

pytestmark = only_millrace


def test_an_event_not_recorded_is_done():
    event = torch.Event(device=DEVICE)
    assert event.query() is True
    event.synchronize()
    event.wait(torch.millrace.current_stream())


def test_event_methods_agree_with_the_stream_s(gate):
    gate.put(torch.ones(3, device=DEVICE))
    event, same = torch.Event(device=DEVICE), torch.millrace.Event()
    event.record()
    torch.millrace.current_stream().record_event(same)
    other = torch.Stream(device=DEVICE)
    event.wait(other)
    with other:
        torch.ones(1, device=DEVICE)
    assert not event.query() and not same.query() and other.query() is False
    gate.open()
    same.synchronize()
    assert event.query() and eventually(other.query)


def test_re_recording_moves_the_event_on_and_an_old_waiter_stays_with_the_old(gate, second_gate):
    first, second, waiter = (torch.Stream(device=DEVICE) for _ in range(3))
    event = torch.Event(device=DEVICE)
    with first:
        gate.put(torch.ones(1, device=DEVICE))
    event.record(first)
    waiter.wait_event(event)
    woken = threading.Event()
    threading.Thread(target=lambda: (event.synchronize(), woken.set()), daemon=True).start()
    time.sleep(0.05)
    with second:
        second_gate.put(torch.ones(1, device=DEVICE))
    event.record(second)
    assert event.query() is False
    gate.open()
    assert eventually(waiter.query), "a stream that waited for the first recording was kept by the second"
    assert woken.wait(10), "a thread that waited for the first recording was kept by the second"
    assert event.query() is False, "the second recording was taken for done with the first"
    second_gate.open()
    event.synchronize()
    assert event.query()


def test_elapsed_time_is_the_time_between(gate):
    start, end = (torch.Event(device=DEVICE, enable_timing=True) for _ in range(2))
    stream = torch.millrace.current_stream()
    stream.record_event(start)
    gate.put(torch.ones(1, device=DEVICE))
    stream.record_event(end)
    assert gate.reached.wait(10)
    time.sleep(0.05)
    gate.open()
    end.synchronize()
    assert 45 <= start.elapsed_time(end) <= 5000
    assert start.elapsed_time(start) == 0


def test_elapsed_time_needs_timing_and_a_recording():
    with pytest.raises((RuntimeError, ValueError)):
        torch.Event(device=DEVICE).elapsed_time(torch.Event(device=DEVICE))
    with pytest.raises((RuntimeError, ValueError)):
        torch.Event(device=DEVICE, enable_timing=True).elapsed_time(torch.Event(device=DEVICE, enable_timing=True))
    plain = [torch.millrace.current_stream().record_event(torch.Event(device=DEVICE)) for _ in range(2)]
    torch.millrace.synchronize()
    with pytest.raises((RuntimeError, ValueError)):
        plain[0].elapsed_time(plain[1])


def test_an_event_that_goes_away_while_it_is_waited_for_is_kept(gate):
    gate.put(torch.ones(1, device=DEVICE))
    other = torch.Stream(device=DEVICE)
    for _ in range(100):
        event = torch.Event(device=DEVICE)
        event.record()
        other.wait_event(event)
        del event
    with other:
        torch.ones(1, device=DEVICE)
    assert other.query() is False
    gate.open()
    other.synchronize()


def test_a_stream_that_only_waits_is_not_done(gate):
    gate.put(torch.ones(1, device=DEVICE))
    other = torch.Stream(device=DEVICE)
    other.wait_event(torch.millrace.current_stream().record_event())
    assert other.query() is False
    gate.open()
    assert eventually(other.query)
