"""Snapshots and history in torch's format."""

import pickle

import pytest
import torch


@pytest.fixture
def history():
    torch.cuda.memory._record_memory_history(max_entries=10_000, stacks="python")
    yield
    torch.cuda.memory._record_memory_history(enabled=None)


def test_blocks_tile_their_segments():
    held = [torch.empty(size, dtype=torch.uint8, device="cuda") for size in (1, 1000, 1 << 20, 30 << 20)]
    for segment in torch.cuda.memory_snapshot():
        at = segment["address"]
        for block in segment["blocks"]:
            assert block["address"] == at
            assert block["state"] in ("active_allocated", "active_pending_free", "inactive")
            at += block["size"]
        assert at == segment["address"] + segment["total_size"]
    del held


def test_history_has_stacks_and_sizes(history):
    tensor = torch.empty(12_345, dtype=torch.uint8, device="cuda")
    address = tensor.data_ptr()
    del tensor
    entries = [entry for entry in torch.cuda.memory._snapshot()["device_traces"][0] if entry["addr"] == address]
    assert [entry["action"] for entry in entries] == ["alloc", "free_requested", "free_completed"]
    assert {entry["size"] for entry in entries} == {12_345}
    assert any(frame["name"] == "test_history_has_stacks_and_sizes" for frame in entries[0]["frames"])


def test_live_blocks_have_their_stacks(history):
    tensor = torch.empty(54_321, dtype=torch.uint8, device="cuda")
    blocks = [block for segment in torch.cuda.memory._snapshot()["segments"] for block in segment["blocks"]
              if block["address"] == tensor.data_ptr()]
    assert blocks[0]["requested_size"] == 54_321
    assert any(frame["name"] == "test_live_blocks_have_their_stacks" for frame in blocks[0]["frames"])


def test_a_snapshots_own_entry_is_in_the_next_one(history):
    held = torch.empty(1000, device="cuda")
    first, second = (torch.cuda.memory._snapshot()["device_traces"][0] for _ in range(2))
    assert first[-1]["action"] == "alloc" and first[-1]["addr"] == held.data_ptr()
    assert second[-1]["action"] == "snapshot" and second[-1]["size"] >= 4000


def test_what_compiled_code_allocates_is_told_apart(history):
    torch.cuda.memory._record_memory_history(max_entries=10_000, stacks="python", compile_context=True)

    @torch.compile(backend="eager")
    def doubled(values):
        return values * 2

    torch.compiler.reset()  # the regions are numbered from 0 then
    held = [torch.ones(1000, device="cuda")]
    held.append(doubled(held[0]))
    contexts = {entry["addr"]: entry["compile_context"] for entry in torch.cuda.memory._snapshot()["device_traces"][0]
                if entry["action"] == "alloc"}
    assert contexts[held[0].data_ptr()] == "N/A"
    assert contexts[held[1].data_ptr()] == "Torch-Compiled Region: 0/0"


def test_only_so_many_entries():
    torch.cuda.memory._record_memory_history(max_entries=7)
    for _ in range(20):
        torch.empty(1000, device="cuda")
    assert len(torch.cuda.memory._snapshot()["device_traces"][0]) == 7
    torch.cuda.memory._record_memory_history(enabled=None)


def test_dump_is_a_pickle_of_plain_things(history, tmp_path):
    held = torch.empty(1000, device="cuda")
    torch.cuda.memory._dump_snapshot(str(tmp_path / "snapshot.pickle"))
    with open(tmp_path / "snapshot.pickle", "rb") as file:
        snapshot = pickle.load(file)
    assert {"segments", "device_traces"} <= set(snapshot)
    assert sum(segment["allocated_size"] for segment in snapshot["segments"]) >= held.numel() * 4


def test_growth_is_traced(history):
    torch.cuda.empty_cache()
    torch.empty(700 << 20, dtype=torch.uint8, device="cuda")
    torch.cuda.empty_cache()
    actions = {entry["action"] for entry in torch.cuda.memory._snapshot()["device_traces"][0]}
    assert {"segment_map", "segment_unmap"} <= actions
