"""CUDA graphs, MemPools, and the state of pools that torch.compile's trees of graphs restore."""

import ctypes
import gc
import shutil
import subprocess
import threading

import pytest
import torch


def inside(segments, tensor):
    return any(segment["address"] <= tensor.data_ptr() < segment["address"] + segment["total_size"] for segment in segments)


def capture(call, pool=None, stream=None, mode="thread_local"):
    graph, stream = torch.cuda.CUDAGraph(), stream or torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode=mode):
        result = call()
    return graph, result


def without_owner(tensor):
    """The same memory as a tensor that does not free it, as torch.compile makes them of a graph's results."""
    storage = torch._C._construct_storage_from_data_pointer(tensor.data_ptr(), tensor.device,
                                                            tensor.untyped_storage().nbytes())
    return torch.empty([0], dtype=tensor.dtype, device=tensor.device).set_(storage, 0, tensor.size(), tensor.stride())


def test_a_graph_runs_again_and_again():
    values = torch.zeros(1000, device="cuda")
    graph, result = capture(lambda: (values + 1) * (values + 2))
    for turn in range(5):
        values.fill_(turn)
        filler = [torch.full((1000,), -1.0, device="cuda") for _ in range(10)]
        graph.replay()
        assert result.unique().tolist() == [(turn + 1) * (turn + 2)]
        del filler


def test_a_graphs_memory_goes_back_with_it():
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    values = torch.zeros(100 << 20, dtype=torch.uint8, device="cuda")
    graph, result = capture(lambda: values + 1)
    graph.replay()
    del graph, result, values
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before


def test_two_graphs_share_a_pool():
    pool = torch.cuda.graph_pool_handle()
    values = torch.ones(1000, device="cuda")
    first, doubled = capture(lambda: values * 2, pool)
    second, more = capture(lambda: doubled + 1, pool)
    first.replay()
    second.replay()
    assert more.unique().tolist() == [3.0]


def test_streams_that_a_capture_is_the_first_to_use():
    values = torch.ones(1000, device="cuda")
    sides = [torch.cuda.Stream(priority=-1) for _ in range(3)]

    def work():
        mine, results = torch.cuda.current_stream(), []
        for number, side in enumerate(sides):
            side.wait_stream(mine)
            with torch.cuda.stream(side):
                results.append((values + number) * 2)
        for side in sides:
            mine.wait_stream(side)
        return torch.stack(results)

    graph, result = capture(work, mode="global")
    for turn in range(3):
        values.fill_(turn)
        graph.replay()
        assert result[:, 0].tolist() == [2.0 * turn, 2.0 * turn + 2, 2.0 * turn + 4]
    # They are as other streams afterwards.
    for side in sides:
        with torch.cuda.stream(side):
            assert torch.full((1000,), 3.0, device="cuda").unique().tolist() == [3.0]
    del graph, result
    gc.collect()
    torch.cuda.empty_cache()


def test_mempool_has_memory_of_its_own():
    pool = torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(pool):
        mine = torch.zeros(1000, device="cuda")
    other = torch.zeros(1000, device="cuda")
    assert inside(pool.snapshot(), mine) and not inside(pool.snapshot(), other)


def test_mempool_goes_by_thread():
    pool, found = torch.cuda.MemPool(), []
    with torch.cuda.use_mem_pool(pool):
        thread = threading.Thread(target=lambda: found.append(torch.zeros(1000, device="cuda")))
        thread.start()
        thread.join()
    assert not inside(pool.snapshot(), found[0])


def test_nested_mempools():
    outer, inner = torch.cuda.MemPool(), torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(outer):
        first = torch.zeros(1000, device="cuda")
        with torch.cuda.use_mem_pool(inner):
            second = torch.zeros(1000, device="cuda")
        third = torch.zeros(1000, device="cuda")
    assert inside(outer.snapshot(), first) and inside(inner.snapshot(), second) and inside(outer.snapshot(), third)


def test_mempool_use_count():
    pool = torch.cuda.MemPool()
    assert pool.use_count() == 1
    with torch.cuda.use_mem_pool(pool):
        assert pool.use_count() == 2
    assert pool.use_count() == 1


def test_mempool_gives_its_memory_back():
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    pool = torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(pool):
        tensor = torch.zeros(100 << 20, dtype=torch.uint8, device="cuda")
    del tensor, pool
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before


# Memory of the driver's, and how many segments there are.
SEGMENTS = """
#include <dlfcn.h>
#include <stddef.h>
typedef unsigned long long address;
int segments = 0;
static void* driver(const char* name) { return dlsym(dlopen("libcuda.so.1", RTLD_NOW), name); }
void* take(size_t bytes, int device, void* stream) {
  address found = 0;
  if (((int (*)(address*, size_t))driver("cuMemAlloc_v2"))(&found, bytes) != 0) return 0;
  ++segments;
  return (void*)found;
}
void give(void* memory, size_t bytes, int device, void* stream) {
  --segments;
  ((int (*)(address))driver("cuMemFree_v2"))((address)memory);
}
"""


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """A library with an allocator, and its count of segments."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    library = tmp_path_factory.mktemp("segments") / "segments.so"
    source = library.with_suffix(".c")
    source.write_text(SEGMENTS)
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    allocator = torch.cuda.memory.CUDAPluggableAllocator(str(library), "take", "give")
    return allocator, ctypes.c_int.in_dll(ctypes.CDLL(str(library)), "segments")


def test_mempool_with_an_allocator(segments):
    allocator, count = segments
    torch.cuda.empty_cache()
    pool = torch.cuda.MemPool(allocator.allocator())
    reserved = torch.cuda.memory_reserved()
    with torch.cuda.use_mem_pool(pool):
        small = [torch.zeros(1 << 20, dtype=torch.uint8, device="cuda") for _ in range(2)]
        assert count.value == 1  # both in 2 MiB
        large = torch.full((30 << 20,), 7, dtype=torch.uint8, device="cuda")
    assert count.value == 2 and len(pool.snapshot()) == 2
    assert all(inside(pool.snapshot(), tensor) for tensor in (*small, large))
    assert torch.cuda.memory_reserved() >= reserved + (32 << 20)
    del small, pool
    gc.collect()
    assert count.value >= 1 and large.unique().tolist() == [7]
    del large
    torch.cuda.empty_cache()
    assert count.value == 0 and torch.cuda.memory_reserved() <= reserved


def test_a_mempool_with_an_allocator_lends(segments):
    allocator, count = segments
    torch.cuda.empty_cache()
    pool = torch.cuda.MemPool(allocator.allocator(), use_on_oom=True)
    fraction = torch.cuda.get_per_process_memory_fraction()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (80 << 20)) / total)
    try:
        with torch.cuda.use_mem_pool(pool):
            held = torch.empty(64 << 20, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(40 << 20, dtype=torch.uint8, device="cuda")
        address = held.data_ptr()
        del held
        lent = torch.empty(40 << 20, dtype=torch.uint8, device="cuda")
        assert lent.data_ptr() == address
        del lent
    finally:
        torch.cuda.set_per_process_memory_fraction(fraction)
    del pool
    gc.collect()
    torch.cuda.empty_cache()
    assert count.value == 0


@pytest.fixture
def reuse_in_captures():
    torch.cuda.memory._set_allocator_settings("graph_capture_record_stream_reuse:True")
    yield
    torch.cuda.memory._set_allocator_settings("graph_capture_record_stream_reuse:False")


def doubled_on(side, used):
    """Twice the values, by a stream that waits for the current one and is not waited for."""
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        doubled = used * 2
        used.record_stream(side)
    return doubled


def test_what_another_stream_of_a_capture_used_is_used_again_once_it_joined(reuse_in_captures):
    side = torch.cuda.Stream()
    seen = []

    def work():
        mine = torch.cuda.current_stream()
        result = torch.zeros(64, device="cuda")
        used = torch.ones(64, device="cuda")
        seen.append(used.data_ptr())
        doubled = doubled_on(side, used)
        del used
        seen.append(torch.empty(64, device="cuda").data_ptr())
        mine.wait_stream(side)
        result += doubled
        again = torch.full((64,), 5.0, device="cuda")
        seen.append(again.data_ptr())
        return result + again

    graph, result = capture(work)
    assert seen[1] != seen[0] and seen[2] == seen[0]
    for _ in range(3):
        graph.replay()
        assert result.unique().tolist() == [7.0]
    del graph, result
    gc.collect()
    torch.cuda.empty_cache()


def test_a_block_freed_after_the_join_adds_nothing_to_a_capture(reuse_in_captures):
    side = torch.cuda.Stream()
    seen = []

    def work():
        mine = torch.cuda.current_stream()
        used = torch.ones(64, device="cuda")
        seen.append(used.data_ptr())
        doubled = doubled_on(side, used)
        mine.wait_stream(side)
        result = doubled + 1
        del used
        again = torch.full((64,), 5.0, device="cuda")
        seen.append(again.data_ptr())
        return result + again

    graph, result = capture(work)
    assert seen[1] == seen[0]
    graph.replay()
    assert result.unique().tolist() == [8.0]
    del graph, result
    gc.collect()
    torch.cuda.empty_cache()


def test_a_mempool_with_an_allocator_inside_of_a_capture(segments):
    allocator, count = segments
    pool = torch.cuda.MemPool(allocator.allocator())
    values = torch.ones(1000, device="cuda")

    def work():
        with torch.cuda.use_mem_pool(pool):
            return values + 1

    graph, result = capture(work, mode="global")  # what the allocator does is not refused there
    graph.replay()
    assert count.value == 1 and result.unique().tolist() == [2.0]
    del graph, result, pool
    gc.collect()
    torch.cuda.empty_cache()
    assert count.value == 0


def test_checkpoint_brings_live_blocks_back():
    device, pool, stream = torch.cuda.current_device(), torch.cuda.graph_pool_handle(), torch.cuda.Stream()
    values = torch.ones(1000, device="cuda")
    graph, kept = capture(lambda: values * 2, pool, stream)
    state = torch._C._cuda_getCheckpointState(device, pool)
    second, more = capture(lambda: kept + 1, pool, stream)
    address, live = more.data_ptr(), without_owner(kept)
    torch._C._cuda_setCheckpointPoolState(device, state, [tensor.untyped_storage()._cdata for tensor in (kept, more)],
                                          [live.untyped_storage()._cdata])
    assert torch._C._cuda_checkPoolLiveAllocations(device, pool, {live.data_ptr()})
    third, again = capture(lambda: live + 3, pool, stream)
    assert again.data_ptr() == address
    graph.replay()
    third.replay()
    assert again.unique().tolist() == [5.0]


@pytest.mark.parametrize("threads", [8])
def test_graphs_captured_and_replayed_by_threads(threads):
    errors, capturing = [], threading.Lock()

    def work(number):
        try:
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream):
                values = torch.full((1000,), float(number), device="cuda")
                stream.synchronize()
                with capturing:
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                        result = values * 3 + 1
                for _ in range(20):
                    graph.replay()
                    if result.unique().tolist() != [3.0 * number + 1]:
                        errors.append(number)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
