"""Streams and devices: current ones, leased ones, waits across them."""

import threading

import pytest
import torch

from support import DEVICE, only_millrace

pytestmark = only_millrace


def test_the_default_stream_is_current_and_the_same_from_everywhere():
    default = torch.millrace.default_stream()
    assert torch.millrace.current_stream() == default
    assert torch.accelerator.current_stream() == default
    assert default.device == torch.device("millrace", 0)
    assert torch.millrace.default_stream(1) != default
    assert torch.millrace.default_stream(1).device.index == 1


def test_new_streams_are_of_the_device_and_differ():
    first, second = torch.Stream(device=DEVICE), torch.Stream("millrace:1")
    assert first.device == torch.device("millrace", 0) and second.device == torch.device("millrace", 1)
    assert torch.Stream(device=DEVICE) != torch.millrace.default_stream()
    assert len({torch.Stream(device=DEVICE).stream_id for _ in range(4)}) == 4
    assert isinstance(torch.millrace.Stream(), torch.Stream)
    assert torch.millrace.Stream(device="millrace:1").device.index == 1


def test_with_blocks_restore_the_stream_also_after_an_exception():
    outer, inner = torch.Stream(device=DEVICE), torch.millrace.Stream()
    default = torch.millrace.current_stream()
    with outer:
        assert torch.millrace.current_stream() == outer
        with pytest.raises(KeyError), torch.millrace.stream(inner):
            assert torch.accelerator.current_stream() == inner
            raise KeyError
        assert torch.millrace.current_stream() == outer
    assert torch.millrace.current_stream() == default


def test_a_stream_of_none_changes_nothing():
    mine = torch.Stream(device=DEVICE)
    with mine, torch.millrace.stream(None):
        assert torch.millrace.current_stream() == mine


def test_with_blocks_restore_the_device_and_its_stream():
    far = torch.Stream("millrace:1")
    near = torch.millrace.current_stream()
    with torch.millrace.stream(far):
        assert torch.millrace.current_device() == 1
        assert torch.ones(2, device=DEVICE).device.index == 1
    assert torch.millrace.current_device() == 0
    assert torch.millrace.current_stream(0) == near
    assert torch.millrace.current_stream(1) == torch.millrace.default_stream(1)


def test_device_blocks():
    with torch.millrace.device(1):
        assert torch.accelerator.current_device_index() == 1
        with torch.millrace.device("millrace:0"):
            assert torch.ones(1, device=DEVICE).device.index == 0
        with torch.millrace.device(None):
            assert torch.millrace.current_device() == 1
        assert torch.millrace.current_device() == 1
    assert torch.millrace.current_device() == 0
    with torch.device("millrace:1"):
        assert torch.ones(1).device == torch.device("millrace:1")
    assert torch.millrace.device_count() == torch.accelerator.device_count() == 2
    torch.accelerator.set_device_index(1)
    assert torch.millrace.current_device() == 1
    with pytest.raises(RuntimeError, match="2"):
        torch.millrace.set_device(2)
    with pytest.raises(ValueError):
        torch.millrace.set_device("cpu")


def test_device_and_stream_are_a_thread_s_own():
    torch.millrace.set_device(1)
    mine = torch.Stream("millrace:1")
    torch.millrace.set_stream(mine)
    seen = []
    thread = threading.Thread(
        target=lambda: seen.append((torch.millrace.current_device(), torch.millrace.current_stream(1)))
    )
    thread.start()
    thread.join()
    assert seen == [(0, torch.millrace.default_stream(1))]
    assert torch.millrace.current_stream() == mine


def test_thread_streams_are_one_s_own_while_there_are_enough():
    inside = threading.Barrier(8)
    numbers, values = {}, {}

    def work(index):
        with torch.millrace.thread_stream() as stream:
            numbers[index] = stream.stream_id
            inside.wait(20)
            assert torch.millrace.current_stream() == stream
            values[index] = (torch.full((100,), float(index), device=DEVICE) * 2).sum().item()
        assert torch.millrace.current_stream() == torch.millrace.default_stream()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(numbers.values())) == 8
    assert torch.millrace.default_stream().stream_id not in numbers.values()
    assert values == {index: 200.0 * index for index in range(8)}


def test_more_threads_than_streams_work_all_the_same():
    done = []

    def work(index):
        with torch.millrace.thread_stream():
            done.append((torch.ones(10, device=DEVICE) * index).sum().item() == 10 * index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [True] * 64


def test_a_held_stream_does_not_hold_another(gate):
    held = gate.put(torch.ones(3, device=DEVICE))
    other = torch.Stream(device=DEVICE)
    with other:
        assert (torch.ones(3, device=DEVICE) + 1).tolist() == [2, 2, 2]
    assert other.query() is True
    assert torch.millrace.current_stream().query() is False
    with torch.millrace.device(1):
        assert torch.ones(3, device=DEVICE).sum().item() == 3
    torch.millrace.synchronize(1)
    gate.open()
    assert held.tolist() == [1, 1, 1]


def test_a_stream_waits_for_an_event_and_for_a_stream(gate):
    producer, consumer, third = (torch.Stream(device=DEVICE) for _ in range(3))
    with producer:
        value = gate.put(torch.full((3,), 5.0, device=DEVICE)) + 1
    event = producer.record_event()
    consumer.wait_event(event)
    with consumer:
        doubled = value * 2
    third.wait_stream(consumer)
    with third:
        last = doubled + 1
    assert consumer.query() is False and third.query() is False
    gate.open()
    third.synchronize()
    assert event.query() and last.tolist() == [13, 13, 13]


# What crosses devices waits on the host for now, and a gate would hold up its own test.
crosses_devices = pytest.mark.skip(reason="a wait across devices holds up its caller")


@crosses_devices
def test_a_stream_waits_across_devices(gate):
    value = gate.put(torch.ones(3, device="millrace:0"))
    event = torch.accelerator.current_stream().record_event()
    far = torch.millrace.current_stream(1)
    far.wait_event(event)
    with torch.millrace.device(1):
        torch.zeros(3, device=DEVICE)
    assert far.query() is False
    gate.open()
    far.synchronize()
    assert value.tolist() == [1, 1, 1]


@crosses_devices
def test_a_copy_between_devices_is_in_the_order_of_both(gate):
    value = gate.put(torch.arange(4.0, device="millrace:0"))
    moved = value.to("millrace:1") + 1
    value.zero_()
    gate.open()
    assert moved.device.index == 1 and moved.tolist() == [1, 2, 3, 4]
    assert value.tolist() == [0, 0, 0, 0]
