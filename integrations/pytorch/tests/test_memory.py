"""Memory: figures against a model, reuse on a stream, keeping across streams, pinned memory, snapshots."""

import random
import threading

import torch
from torch.cuda import _memory_viz

from support import DEVICE, block, eventually, memory_stats, only_millrace

pytestmark = only_millrace

MEBIBYTE = 1 << 20


def test_live_bytes_follow_a_model_exactly():
    sizes = [1, 511, 512, 513, 4096, 100_000, MEBIBYTE - 1, MEBIBYTE, 5 * MEBIBYTE + 3]
    rounded = {}
    for size in sizes:
        before = memory_stats()["live"]
        first = block(size)
        rounded[size] = memory_stats()["live"] - before
        assert size <= rounded[size] <= 2 * size + 512
        del first
        assert memory_stats()["live"] == before
    chance = random.Random(7)
    start = memory_stats()
    held, live, peak, taken, given = [], 0, 0, 0, 0
    torch.millrace.reset_peak_memory_stats()
    for _ in range(500):
        if held and chance.random() < 0.45:
            size = held.pop(chance.randrange(len(held)))[0]
            live -= rounded[size]
            given += 1
        else:
            size = chance.choice(sizes)
            held.append((size, block(size)))
            live += rounded[size]
            taken += 1
        peak = max(peak, live)
        assert torch.millrace.memory_stats()["live"] == start["live"] + live
    now = memory_stats()
    assert now["allocations"] - start["allocations"] == taken
    assert now["frees"] - start["frees"] == given
    assert now["allocated_bytes"] - now["freed_bytes"] == now["live"]
    assert start["live"] + peak <= now["peak_live"] <= start["live"] + peak + now["peak_error"]
    held.clear()
    assert memory_stats()["live"] == start["live"]


def test_queued_operators_leave_nothing_behind():
    start = memory_stats()["live"]
    value = torch.ones(1000, 100, device=DEVICE)
    for _ in range(100):
        value = torch.relu(value @ torch.ones(100, 100, device=DEVICE)) / 100
    (value.sum() * 2).item()
    del value
    assert eventually(lambda: memory_stats()["live"] == start), f"{memory_stats()['live'] - start} bytes are left"


def test_the_three_ways_to_ask_agree():
    held = [block(size) for size in (1000, 3 * MEBIBYTE)]
    ours, general = memory_stats(), torch.accelerator.memory_stats()
    assert general["allocated_bytes.all.current"] == torch.accelerator.memory_allocated() == ours["live"]
    assert general["allocated_bytes.all.peak"] == torch.accelerator.max_memory_allocated() == ours["peak_live"]
    assert general["allocated_bytes.all.allocated"] == ours["allocated_bytes"]
    assert general["allocated_bytes.all.freed"] == ours["freed_bytes"]
    assert general["reserved_bytes.all.current"] == torch.accelerator.memory_reserved() == ours["committed"]
    assert general["reserved_bytes.all.peak"] == torch.accelerator.max_memory_reserved() == ours["peak_committed"]
    assert general["num_ooms"] == ours["out_of_memory"]
    assert torch.millrace.memory_allocated() == ours["live"]
    assert torch.millrace.memory_reserved() == ours["committed"]
    free, total = torch.accelerator.get_memory_info()
    assert 0 < free <= total
    assert len(held) == 2 and ours["committed"] >= ours["live"] >= 3 * MEBIBYTE + 1000


def test_devices_have_figures_of_their_own():
    near, far = memory_stats(0)["live"], memory_stats(1)["live"]
    held = block(MEBIBYTE, "millrace:1")
    assert memory_stats(0)["live"] == near
    assert memory_stats(1)["live"] - far >= held.numel()
    assert torch.accelerator.memory_allocated(1) == memory_stats(1)["live"]


def test_peaks_and_their_reset():
    start = memory_stats()["live"]
    torch.accelerator.reset_peak_memory_stats()
    assert torch.accelerator.max_memory_allocated() == start
    first, second = block(4 * MEBIBYTE), block(2 * MEBIBYTE)
    both = memory_stats()["live"]
    del second
    assert torch.millrace.max_memory_allocated() == both
    torch.millrace.reset_peak_memory_stats()
    assert torch.millrace.max_memory_allocated() == memory_stats()["live"] == both - 2 * MEBIBYTE
    del first
    torch.accelerator.reset_accumulated_memory_stats()
    after = torch.accelerator.memory_stats()
    assert after["allocated_bytes.all.allocated"] == after["allocated_bytes.all.freed"] == 0


def test_memory_is_used_again_on_its_stream_while_work_is_queued(gate):
    gate.put(block(10))
    first = block(3 * MEBIBYTE)
    place = first.data_ptr()
    first.fill_(1)
    del first
    second = block(3 * MEBIBYTE)
    assert second.data_ptr() == place
    committed = torch.millrace.memory_stats()["committed"]
    for _ in range(50):
        second = second + 1
    assert torch.millrace.memory_stats()["committed"] <= committed + 8 * MEBIBYTE


def test_record_stream_keeps_memory_for_the_other_stream_s_reads(gate):
    other = torch.Stream(device=DEVICE)
    value = torch.full((MEBIBYTE,), 3.0, device=DEVICE)
    other.wait_stream(torch.millrace.current_stream())
    with other:
        gate.put(block(10))
        result = value + 1
    value.record_stream(other)
    del value
    writers = [torch.full((MEBIBYTE,), -1.0, device=DEVICE) for _ in range(4)]
    # A writer may have the same memory, if its stream waits for the other; so the gate opens before anyone waits.
    gate.open()
    torch.millrace.synchronize()
    assert bool((result.cpu() == 4).all())
    assert all(bool((writer.cpu() == -1).all()) for writer in writers)


def test_recorded_memory_is_given_back_once_the_other_stream_is_done(gate):
    other = torch.Stream(device=DEVICE)
    with other:
        gate.put(block(10))
    torch.millrace.empty_cache()
    value = block(3 * MEBIBYTE)
    value.record_stream(other)
    del value
    assert torch.millrace.memory_stats()["pending"] >= 3 * MEBIBYTE
    gate.open()
    other.synchronize()
    torch.millrace.empty_cache()
    assert memory_stats()["pending"] == 0


def test_pinned_memory_is_counted_apart():
    device, pinned = memory_stats()["live"], torch.millrace.pinned_memory_stats()["live"]
    held = torch.ones(MEBIBYTE, dtype=torch.uint8).pin_memory()
    assert held.is_pinned() and not torch.ones(1).is_pinned()
    assert torch.millrace.pinned_memory_stats()["live"] >= pinned + MEBIBYTE
    assert memory_stats()["live"] == device
    assert torch.empty(10, pin_memory=True).is_pinned()
    del held
    assert eventually(lambda: torch.millrace.pinned_memory_stats()["live"] < pinned + MEBIBYTE)


def test_a_snapshot_is_in_pytorch_s_format():
    held = [block(size) for size in (1000, 3 * MEBIBYTE)]
    segments = torch.millrace.memory_snapshot()
    active = 0
    for segment in segments:
        assert segment["total_size"] == sum(part["size"] for part in segment["blocks"])
        assert {"device", "address", "stream", "allocated_size", "segment_type"} <= segment.keys()
        address = segment["address"]
        for part in segment["blocks"]:
            assert part["address"] == address
            assert part["state"] in ("active_allocated", "active_pending_free", "inactive")
            address += part["size"]
            if segment["device"] == 0 and part["state"] == "active_allocated":
                active += part["size"]
    assert active == memory_stats()["live"]
    places = {part["address"] for segment in segments for part in segment["blocks"]}
    assert {tensor.data_ptr() for tensor in held} <= places


def place_in_snapshot(address):
    """The segment and the block of the memory that begins there."""
    for segment in torch.millrace.memory_snapshot():
        for part in segment["blocks"]:
            if part["address"] == address:
                return segment, part
    raise AssertionError(f"no block begins at {address:#x}")


def test_a_snapshot_says_whose_memory_it_is(gate):
    owner, other = torch.Stream(device=DEVICE), torch.Stream(device=DEVICE)
    with owner:
        held = block(3 * MEBIBYTE)
        small = block(1000)
    place = held.data_ptr()
    segment, part = place_in_snapshot(place)
    assert (segment["stream"], segment["segment_type"]) == (owner.stream_id, "large")
    assert part["state"] == "active_allocated" and part["size"] >= 3 * MEBIBYTE
    assert place_in_snapshot(small.data_ptr())[0]["segment_type"] == "small"
    with other:
        gate.put(block(10))
    held.record_stream(other)
    del held
    segment, part = place_in_snapshot(place)
    assert part["state"] == "active_pending_free"
    assert segment["active_size"] >= segment["allocated_size"] + 3 * MEBIBYTE
    gate.open()
    torch.millrace.synchronize()


def test_snapshots_sum_to_the_figures_and_torch_s_own_reader_takes_them():
    held = [block(size, device) for size in (1000, 3 * MEBIBYTE) for device in (DEVICE, f"{DEVICE}:1")]
    held.pop()
    for device in (0, 1):
        stats = memory_stats(device)
        mine = [segment for segment in torch.millrace.memory_snapshot() if segment["device"] == device]
        assert sum(segment["total_size"] for segment in mine) == stats["committed"]
        assert sum(segment["allocated_size"] for segment in mine) == stats["live"]
        assert sum(segment["active_size"] for segment in mine) == stats["live"] + stats["pending"]
    text = _memory_viz.segsum({"segments": torch.millrace.memory_snapshot(), "device_traces": []})
    assert "total_reserved" in text and len(held) == 3


def test_snapshots_beside_threads_that_allocate():
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            kept = [block(size) for size in (100, 5000, 2 * MEBIBYTE)]
            del kept

    threads = [threading.Thread(target=churn) for _ in range(3)]
    held = block(MEBIBYTE)
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            assert place_in_snapshot(held.data_ptr())[1]["state"] == "active_allocated"
            for segment in torch.millrace.memory_snapshot():
                assert segment["total_size"] == sum(part["size"] for part in segment["blocks"])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
