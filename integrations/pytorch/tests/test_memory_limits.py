"""Memory: limits, running out, what is cached, and how near the peak is to what is live."""

import pytest
import torch

from support import DEVICE, block, memory_stats, only_millrace

pytestmark = only_millrace

MEBIBYTE = 1 << 20


@pytest.fixture
def limit_restored():
    limit = memory_stats()["limit"]
    yield
    torch.millrace.empty_cache()
    torch.millrace.set_memory_limit(limit)


def test_empty_cache_gives_back_what_is_free():
    held = block(1000)
    big = [block(32 * MEBIBYTE) for _ in range(4)]
    full = memory_stats()["committed"]
    assert full >= 128 * MEBIBYTE
    del big
    torch.accelerator.empty_cache()
    after = memory_stats()
    assert after["cached"] == 0
    assert after["live"] <= after["committed"] <= full - 120 * MEBIBYTE
    assert held.fill_(1).sum().item() == 1000


def test_out_of_memory_at_the_limit_and_work_goes_on(limit_restored):
    torch.millrace.empty_cache()
    ooms = memory_stats()["out_of_memory"]
    limit = memory_stats()["committed"] + 32 * MEBIBYTE
    torch.millrace.set_memory_limit(limit)
    torch.millrace.reset_peak_memory_stats()
    held = block(16 * MEBIBYTE)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        block(64 * MEBIBYTE)
    report = str(caught.value)
    for word in ("asked", "live", "cached", "committed", "limit", "largest free"):
        assert word in report, f"the report does not say {word!r}: {report}"
    assert memory_stats()["out_of_memory"] == ooms + 1
    assert memory_stats()["committed"] <= limit and memory_stats()["peak_committed"] <= limit
    assert held.fill_(2).sum(dtype=torch.int64).item() == 32 * MEBIBYTE
    del held
    assert block(24 * MEBIBYTE).fill_(1).sum(dtype=torch.int64).item() == 24 * MEBIBYTE


def test_an_operator_that_runs_out_of_memory_says_so_at_once(limit_restored):
    torch.millrace.empty_cache()
    held = torch.ones(MEBIBYTE, device=DEVICE)
    # What is asked of the host for small tensors comes in pieces of 2 MiB.
    torch.millrace.set_memory_limit(memory_stats()["committed"] + 8 * MEBIBYTE)
    with pytest.raises(torch.OutOfMemoryError):
        held.view(-1, 1) + held[:16].view(1, -1)
    assert (held + 1).sum().item() == 2 * MEBIBYTE


def test_memory_that_was_cached_is_given_up_before_an_error(limit_restored):
    torch.millrace.empty_cache()
    torch.millrace.set_memory_limit(memory_stats()["committed"] + 64 * MEBIBYTE)
    small = [block(MEBIBYTE) for _ in range(40)]
    del small
    assert block(48 * MEBIBYTE).numel() == 48 * MEBIBYTE


def test_the_fraction_is_a_limit(limit_restored):
    limit = memory_stats()["limit"]
    torch.millrace.set_per_process_memory_fraction(0.25)
    lowered = memory_stats()["limit"]
    assert 0 < lowered < limit
    with pytest.raises(torch.OutOfMemoryError):
        block(lowered + MEBIBYTE)
    for wrong in (-0.1, 1.5):
        with pytest.raises((ValueError, RuntimeError)):
            torch.millrace.set_per_process_memory_fraction(wrong)


def test_the_peak_of_an_inference_is_near_what_is_live():
    layers = [torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, *layers).to(DEVICE).eval()
    torch.millrace.empty_cache()
    memory_stats()
    torch.millrace.reset_peak_memory_stats()
    with torch.no_grad():
        model(torch.ones(16, 16, 64, 64, device=DEVICE))
    now = memory_stats()
    assert now["peak_committed"] <= 1.1 * now["peak_live"] + 2 * MEBIBYTE
    # The input, an output that is kept, and one that is being made.
    assert now["peak_live"] <= 4 * 16 * 16 * 64 * 64 * 4 + memory_stats()["live"]


def test_where_there_is_no_memory_to_grow_nothing_changes(limit_restored):
    other = torch.device(f"{DEVICE}:1")
    tensor = torch.ones(4, device=other)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            tensor.resize_(1 << 50)
        assert torch.accelerator.current_device_index() == 0
        assert tensor.tolist() == [1.0] * 4
