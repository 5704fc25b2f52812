"""Many threads at once: reductions, models, and tensors handed from one thread to another."""

import contextlib
import copy
import queue
import threading

import pytest
import torch
import torch.nn.functional as F

from gradient_cases import MODULES
from support import DEVICE, FULL, ON_CPU, assert_same, only_millrace, to_device

ROUNDS = 100 if FULL else 10

REDUCTIONS = {
    "sum": lambda x: x.sum(),
    "sum_of_a_dim": lambda x: x.sum(1),
    "sum_of_dims": lambda x: x.sum((0, 2)),
    "mean": lambda x: x.mean(),
    "mean_of_a_dim": lambda x: x.mean(-1, keepdim=True),
    "max": lambda x: x.max(),
    "max_of_a_dim": lambda x: x.max(0),
    "min": lambda x: x.min(),
    "prod": lambda x: (x / 4 + 1).prod(2),
    "argmax": lambda x: x.argmax(1),
    "var": lambda x: x.var((1, 2)),
    "any": lambda x: (x > 2.9).any(0),
}


def in_threads(count, work, own_streams):
    """Runs work(index) in so many threads; returns the failures."""
    failures = []

    def run(index):
        try:
            own = own_streams and not ON_CPU
            with torch.millrace.thread_stream() if own else contextlib.nullcontext():
                work(index)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive()
    return failures


@pytest.mark.parametrize("count, own_streams", [(4, False), (4, True), (8, True)])
def test_reductions(count, own_streams):
    torch.manual_seed(0)
    values = torch.randn(8, 30, 40)
    expected = {name: reduce(values) for name, reduce in REDUCTIONS.items()}

    def work(index):
        mine = values.to(DEVICE)
        for _ in range(ROUNDS):
            results = {name: reduce(mine) for name, reduce in REDUCTIONS.items()}
            for name, result in results.items():
                assert_same(result, expected[name], msg=lambda text: f"{name}: {text}")  # noqa: B023

    assert in_threads(count, work, own_streams) == []


def pool(x):
    return F.max_pool2d(F.avg_pool2d(x, 2, 1), 2), F.adaptive_max_pool2d(x, 3)


def scatter(x):
    places = (torch.arange(36, device=x.device) * 7 % 5).view(1, 1, 6, 6).expand(2, 4, 6, 6)
    return x.gather(2, places), torch.zeros_like(x).scatter_add(2, places, x)


def depthwise(x):
    kernel = torch.linspace(-1, 1, 36, device=x.device).view(4, 1, 3, 3)
    return F.group_norm(F.conv2d(x, kernel, padding=1, groups=4), 2)


def mixed(x):
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return F.linear(x, torch.eye(6, device=x.device)).float()


@pytest.mark.parametrize("own_streams", [False, True])
@pytest.mark.parametrize("function", [pool, scatter, depthwise, mixed])
def test_functions(function, own_streams):
    torch.manual_seed(1)
    values = torch.randn(2, 4, 6, 6)
    expected = function(values)

    def work(index):
        for _ in range(ROUNDS):
            assert_same(function(values.to(DEVICE)), expected)

    assert in_threads(8, work, own_streams) == []


@pytest.mark.parametrize("name", MODULES)
def test_models(name):
    make, make_inputs = MODULES[name]
    torch.manual_seed(2)
    model, inputs = make().eval(), make_inputs()
    shared = copy.deepcopy(model).to(DEVICE)
    if not ON_CPU:
        torch.millrace.synchronize()
    with torch.no_grad():
        expected = model(*inputs)

    def work(index):
        with torch.no_grad():
            mine = to_device(inputs)
            for _ in range(ROUNDS):
                assert_same(shared(*mine), expected)

    assert in_threads(8, work, own_streams=True) == []


@only_millrace
def test_tensors_go_from_thread_to_thread_with_an_event():
    handed, results = queue.Queue(), []

    def produce():
        with torch.millrace.thread_stream() as stream:
            for step in range(100):
                value = torch.full((1000,), float(step), device=DEVICE) * 2
                handed.put((value, stream.record_event()))
                value.record_stream(stream)
            handed.put(None)

    def consume():
        with torch.millrace.thread_stream() as stream:
            while (item := handed.get()) is not None:
                value, event = item
                stream.wait_event(event)
                value.record_stream(stream)
                results.append(value.sum())
            stream.synchronize()

    assert in_threads(2, lambda index: (produce, consume)[index](), own_streams=False) == []
    assert [result.item() for result in results] == [2000.0 * step for step in range(100)]


@only_millrace
def test_threads_of_both_devices_do_not_disturb_each_other():
    def work(index):
        device = f"millrace:{index % 2}"
        with torch.millrace.device(index % 2):
            for step in range(50):
                value = torch.full((100,), float(step), device=DEVICE) + index
                assert value.device == torch.device(device)
                assert value.sum().item() == 100 * (step + index)

    assert in_threads(8, work, own_streams=True) == []


@only_millrace
def test_a_result_that_is_brought_from_the_host_overwrites_nothing_that_is_queued():
    """While an operator runs on its caller's thread, another thread queues a read of memory and frees it."""
    library = torch.library.Library("millrace_threads", "DEF")
    library.define("brings(Tensor x) -> Tensor")
    running, freed, count = threading.Event(), threading.Event(), 10**6

    def kernel(x):
        running.set()
        freed.wait()
        return torch.full((count,), 3.0)

    library.impl("brings", kernel, "CPU")
    read = {"from": torch.full((count,), 7.0, device=DEVICE)}
    factor = torch.rand(700, 700, device=DEVICE)
    torch.millrace.synchronize()

    def other():
        running.wait()
        slow = factor @ factor
        for _ in range(3):
            slow = slow @ factor
        read["copy"] = read.pop("from") + 0
        freed.set()

    thread = threading.Thread(target=other)
    thread.start()
    brought = torch.ops.millrace_threads.brings(factor)
    thread.join()
    assert bool((read["copy"] == 7).all())
    assert bool((brought == 3).all())
