"""torch.cuda.memory_stats against what was allocated."""

import random
import threading

import pytest
import torch

SIZES = [1, 512, 513, 4096, 100_000, 1 << 20, (1 << 20) + 1, 3 << 20, 50 << 20]


def change(before, key):
    return torch.cuda.memory_stats()[key] - before[key]


def byte_tensor(size):
    return torch.empty(size, dtype=torch.uint8, device="cuda")


@pytest.mark.parametrize("size", SIZES)
def test_one_block(size):
    before = torch.cuda.memory_stats()
    tensor = byte_tensor(size)
    pool = "small_pool" if size <= 1 << 20 else "large_pool"
    assert change(before, "allocation.all.current") == 1
    assert change(before, f"allocation.{pool}.current") == 1
    assert change(before, "requested_bytes.all.current") == size
    assert size <= change(before, "allocated_bytes.all.current") <= max(512, 1.125 * size, size + (2 << 20))
    assert change(before, "active_bytes.all.current") == change(before, "allocated_bytes.all.current")
    del tensor
    assert change(before, "allocation.all.current") == 0
    assert change(before, "requested_bytes.all.current") == 0
    assert change(before, "allocation.all.freed") == 1


def test_peaks_are_exact_for_one_thread():
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    held = [byte_tensor(1 << 20) for _ in range(7)]
    most = torch.cuda.memory_allocated()
    del held
    assert torch.cuda.max_memory_allocated() == most
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() == torch.cuda.memory_allocated() == before


def test_accumulated_begin_anew():
    byte_tensor(1000)
    torch.cuda.reset_accumulated_memory_stats()
    stats = torch.cuda.memory_stats()
    assert stats["allocation.all.allocated"] == stats["allocation.all.freed"] == 0
    byte_tensor(1000)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == 1


@pytest.mark.parametrize("settings, size, rounded", [
    ("4", 21 << 22, 96 << 20), ("4", 3_000_000, 3 << 20), ("4", 1 << 22, 1 << 22), ("4", 4200, 5120), ("2", 9000, 12_288), ("4", 1000, 1024),
    ("[64:8,128:2,256:2,512:2,1024:1,>:1]", 21 << 22, 88 << 20), ("[64:1,256:2,>:1]", 3_000_000, 3_000_320)])
def test_sizes_are_rounded_as_the_setting_says(settings, size, rounded):
    byte_tensor(size)
    before = torch.cuda.memory_stats()
    torch._C._accelerator_setAllocatorSettings(f"roundup_power2_divisions:{settings}")
    try:
        tensor = byte_tensor(size)
        allocated = change(before, "allocated_bytes.all.current")
        assert rounded <= allocated <= max(1.125 * rounded, rounded + (64 << 10))
        assert change(before, "requested_bytes.all.current") == size
        del tensor
        assert change(before, "allocated_bytes.all.current") == change(before, "requested_bytes.all.current") == 0
        # Of what is rounded up further, to a class, only the rounding of the setting is known to have been added.
        assert size <= change(before, "requested_bytes.all.allocated") <= size + allocated - rounded + 512
    finally:
        torch._C._accelerator_setAllocatorSettings("")


def test_what_the_switch_takes_past_the_cache_is_not_counted():
    stream = torch.cuda.current_stream().cuda_stream
    before = torch.cuda.memory_stats()
    torch.cuda.caching_allocator_enable(False)
    try:
        uncached = torch.cuda.caching_allocator_alloc(1 << 20, stream=stream)
    finally:
        torch.cuda.caching_allocator_enable(True)
    assert change(before, "allocated_bytes.all.current") == 0
    cached = torch.cuda.caching_allocator_alloc(1 << 20, stream=stream)
    assert change(before, "allocated_bytes.all.current") == 1 << 20
    torch.cuda.caching_allocator_delete(uncached)
    assert change(before, "allocated_bytes.all.current") == 1 << 20
    torch.cuda.caching_allocator_delete(cached)
    assert change(before, "allocated_bytes.all.current") == 0


def test_sums_of_the_snapshot_are_the_stats():
    held = [byte_tensor(size) for size in SIZES]
    stats = torch.cuda.memory_stats()
    segments = torch.cuda.memory_snapshot()
    for key in ("allocated", "active", "requested"):
        assert sum(segment[f"{key}_size"] for segment in segments) == stats[f"{key}_bytes.all.current"]
    assert sum(segment["total_size"] for segment in segments) == stats["reserved_bytes.all.current"]
    del held


def test_every_key_of_the_stock_allocator():
    stats = torch.cuda.memory_stats()
    for figure in ("allocation", "segment", "active", "inactive_split", "allocated_bytes", "reserved_bytes", "active_bytes",
                   "inactive_split_bytes", "requested_bytes"):
        for pool in ("all", "small_pool", "large_pool"):
            for kind in ("current", "peak", "allocated", "freed"):
                assert stats[f"{figure}.{pool}.{kind}"] >= 0
            assert stats[f"{figure}.{pool}.peak"] >= stats[f"{figure}.{pool}.current"]
            assert (stats[f"{figure}.all.current"] ==
                    stats[f"{figure}.small_pool.current"] + stats[f"{figure}.large_pool.current"])
    for key in ("num_alloc_retries", "num_ooms", "num_device_alloc", "num_device_free"):
        assert key in stats


def test_accelerator_says_the_same():
    tensor = byte_tensor(12345)
    assert torch.accelerator.memory_allocated() == torch.cuda.memory_allocated()
    assert torch.accelerator.memory_reserved() == torch.cuda.memory_reserved()
    del tensor


def test_a_model_of_bytes_over_threads():
    """What 8 threads hold at a barrier is what the stats say, over and over."""
    threads, rounds, steps = 8, 25, 500
    barrier, looked = threading.Barrier(threads + 1), threading.Barrier(threads + 1)
    asked, blocks, errors = [0] * threads, [0] * threads, []
    before = torch.cuda.memory_stats()

    def work(number):
        draw, held = random.Random(number), []
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                for _ in range(rounds):
                    for _ in range(steps):
                        if held and draw.random() < 0.5:
                            asked[number] -= held.pop(draw.randrange(len(held))).numel()
                        else:
                            held.append(byte_tensor(int(2 ** draw.uniform(0, 22))))
                            asked[number] += held[-1].numel()
                    blocks[number] = len(held)
                    barrier.wait()
                    looked.wait()
        except BaseException as error:
            errors.append(error)
            barrier.abort()
            looked.abort()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for _ in range(rounds):
        barrier.wait()
        assert change(before, "requested_bytes.all.current") == sum(asked)
        assert change(before, "allocation.all.current") == sum(blocks)
        looked.wait()
    for worker in workers:
        worker.join()
    assert not errors
