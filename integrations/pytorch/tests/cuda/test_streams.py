"""Memory and streams: reuse on one, care between several."""

import concurrent.futures
import threading

import torch

import millrace_torch_cuda

SPIN = 50_000_000  # clocks: some 30 ms


def test_reused_at_once_on_its_stream():
    first = torch.empty(1000, device="cuda")
    address = first.data_ptr()
    del first
    assert torch.empty(1000, device="cuda").data_ptr() == address


def test_record_stream_keeps_memory_until_the_other_stream_is_done():
    side = torch.cuda.Stream()
    values = torch.full((1 << 20,), 7.0, device="cuda")
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.cuda._sleep(SPIN)
        copy = values + 0
    values.record_stream(side)
    del values
    overwritten = torch.full((1 << 20,), -1.0, device="cuda")
    torch.cuda.synchronize()
    assert bool((copy == 7).all()) and bool((overwritten == -1).all())


def test_recorded_memory_comes_back():
    side = torch.cuda.Stream()
    torch.cuda.empty_cache()
    for _ in range(200):
        values = torch.zeros(1 << 22, device="cuda")
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            values.add_(1)
        values.record_stream(side)
        del values
    torch.cuda.synchronize()
    assert torch.cuda.memory_reserved() < 200 * (1 << 24)


def test_freed_by_another_thread():
    handed_over = [torch.full((1000,), float(i), device="cuda") for i in range(100)]
    freeing = threading.Thread(target=handed_over.clear)
    freeing.start()
    freeing.join()
    torch.cuda.synchronize()


def test_external_stream():
    made = torch.cuda.Stream()
    external = torch.cuda.ExternalStream(made.cuda_stream)
    with torch.cuda.stream(external):
        values = torch.full((1000,), 2.0, device="cuda") * 2
        external.synchronize()
        assert bool((values == 4).all())
    values.record_stream(torch.cuda.current_stream())
    del values
    torch.cuda.synchronize()
    millrace_torch_cuda.forget_stream(external)


def test_thread_stream_is_the_threads_own_and_ends_with_the_block():
    before = torch.cuda.current_stream()
    found, barrier = [], threading.Barrier(4)

    def work():
        with millrace_torch_cuda.thread_stream() as outer:
            with millrace_torch_cuda.thread_stream() as inner:
                found.append((outer.cuda_stream, inner.cuda_stream))
            barrier.wait()
        assert torch.cuda.current_stream() == torch.cuda.default_stream()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(outer == inner for outer, inner in found)
    assert len({outer for outer, _ in found}) == 4
    assert torch.cuda.current_stream() == before


def test_executor_initializer():
    barrier = threading.Barrier(3)

    def current(_):
        barrier.wait()
        return torch.cuda.current_stream().cuda_stream

    with concurrent.futures.ThreadPoolExecutor(3, initializer=millrace_torch_cuda.use_thread_stream) as executor:
        streams = set(executor.map(current, range(3)))
    assert len(streams) == 3 and 0 not in streams
