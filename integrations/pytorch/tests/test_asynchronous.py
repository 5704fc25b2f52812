"""Operators are queued and return; the device runs them in stream order, later."""

import threading
import time

import pytest
import torch

from support import DEVICE, assert_same, eventually, only_millrace

pytestmark = only_millrace


def test_a_hundred_operators_return_while_the_stream_is_held(gate):
    start = torch.arange(1000, dtype=torch.float32)
    values = gate.put(start.to(DEVICE))
    stream = torch.accelerator.current_stream()
    results = []
    for step in range(100):
        values = values * 1.01 + step
        results.append(values)
    event = stream.record_event()
    assert gate.reached.wait(10)
    assert not gate.opened.is_set()
    assert gate.on_thread != threading.get_ident()
    assert stream.query() is False
    assert event.query() is False
    gate.open()
    event.synchronize()
    assert event.query() is True
    assert eventually(stream.query)
    expected = start
    for step, result in enumerate(results):
        expected = expected * 1.01 + step
        assert_same(result, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "queue",
    [
        pytest.param(lambda x: x + 1, id="pointwise"),
        pytest.param(lambda x: x.add_(1), id="in_place"),
        pytest.param(lambda x: x[10:20].zero_(), id="view_in_place"),
        pytest.param(lambda x: x.sum(), id="reduction"),
        pytest.param(lambda x: x.view(10, 100).mean(1), id="reduction_of_a_dim"),
        pytest.param(lambda x: x.view(10, 100) @ x.view(100, 10), id="matmul"),
        pytest.param(lambda x: torch.cat([x, x]), id="cat"),
        pytest.param(lambda x: x.sort(), id="sort"),
        pytest.param(lambda x: torch.softmax(x, 0), id="softmax"),
        pytest.param(lambda x: torch.nn.functional.layer_norm(x, (1000,)), id="layer_norm"),
        pytest.param(lambda x: torch.rand_like(x), id="random"),
        pytest.param(lambda x: torch.zeros(5, device=DEVICE), id="creation"),
        pytest.param(lambda x: x.double(), id="cast"),
        pytest.param(lambda x: x.clone(), id="copy"),
        pytest.param(lambda x: x.clone().fill_(3), id="fill"),
        pytest.param(lambda x: torch.where(x > 3, x, 0.0), id="where"),
        pytest.param(lambda x: x.gather(0, torch.zeros(3, dtype=torch.long, device=DEVICE)), id="gather"),
        pytest.param(lambda x: torch._foreach_add([x, x], 1.0), id="foreach"),
        pytest.param(lambda x: x.view(1, 1, 1000).expand(1, 2, 1000).contiguous(), id="contiguous"),
        pytest.param(lambda x: torch.nn.functional.conv1d(x.view(1, 1, 1000), x.view(1, 1, 1000)), id="convolution"),
    ],
)
def test_operator_returns_while_the_stream_is_held(gate, queue):
    held = gate.put(torch.ones(1000, device=DEVICE))
    queue(held)
    assert not gate.opened.is_set() and not gate.timed_out
    assert torch.accelerator.current_stream().query() is False


def test_item_waits_for_what_is_queued_before_it(gate):
    held = gate.put(torch.full((3,), 2.0, device=DEVICE))
    total = (held * 3).sum()
    waiting = threading.Event()
    seen = []

    def ask():
        waiting.set()
        seen.append((total.item(), gate.opened.is_set()))

    thread = threading.Thread(target=ask)
    thread.start()
    waiting.wait()
    time.sleep(0.05)
    assert seen == []
    gate.open()
    thread.join(10)
    assert seen == [(18.0, True)]


def test_the_interpreter_runs_on_while_a_thread_waits_for_the_device(gate):
    gate.put(torch.ones(3, device=DEVICE))
    thread = threading.Thread(target=torch.millrace.synchronize)
    thread.start()
    count = sum(1 for _ in range(10000))
    assert count == 10000 and thread.is_alive()
    gate.open()
    thread.join(10)
    assert not thread.is_alive()


def test_inputs_that_python_drops_live_until_their_operator_has_run(gate):
    held = gate.put(torch.ones(100000, device=DEVICE))
    result = None
    for step in range(20):
        part = torch.full((100000,), float(step), device=DEVICE)
        result = part + held if result is None else result + part
        del part
    del held
    gate.open()
    assert_same(result, torch.full((100000,), sum(range(20)) + 1.0), rtol=0, atol=0)


def test_a_copy_to_the_host_that_does_not_block_is_done_at_the_event(gate):
    held = gate.put(torch.arange(100, device=DEVICE))
    target = torch.full((100,), -1, dtype=torch.int64).pin_memory()
    target.copy_(held * 2, non_blocking=True)
    event = torch.accelerator.current_stream().record_event()
    assert (target == -1).all()
    gate.open()
    event.synchronize()
    assert target.tolist() == [2 * i for i in range(100)]


def test_a_copy_to_the_device_that_does_not_block_returns(gate):
    held = gate.put(torch.zeros(100, dtype=torch.int64, device=DEVICE))
    source = torch.arange(100).pin_memory()
    held.copy_(source, non_blocking=True)
    assert torch.accelerator.current_stream().query() is False
    gate.open()
    assert held.tolist() == list(range(100))


def test_a_blocking_copy_to_the_device_leaves_the_source_free_to_change(gate):
    gate.put(torch.ones(3, device=DEVICE))
    opener = threading.Timer(0.05, gate.open)
    opener.start()
    source = torch.arange(100)
    moved = source.to(DEVICE)
    source.fill_(-1)
    opener.join()
    assert moved.tolist() == list(range(100))
