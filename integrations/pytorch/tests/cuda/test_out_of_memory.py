"""Limits, and what is said when they are reached."""

import pytest
import torch


@pytest.fixture
def a_gibibyte():
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (1 << 30)) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_the_error_is_torchs_and_says_what_there_is(a_gibibyte):
    ooms = torch.cuda.memory_stats()["num_ooms"]
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
    text = str(caught.value)
    assert "CUDA out of memory. Tried to allocate 2.00 GiB" in text
    assert "allowed" in text and "limit" in text
    assert torch.cuda.memory_stats()["num_ooms"] == ooms + 1


def test_work_goes_on_after_it(a_gibibyte):
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
    assert torch.full((1000,), 3.0, device="cuda").sum().item() == 3000


def test_what_is_cached_is_given_up_first(a_gibibyte):
    for size in (10 << 20, 300 << 20, 700 << 20, 900 << 20):
        torch.empty(size, dtype=torch.uint8, device="cuda")


def test_absurd_sizes():
    with pytest.raises(torch.OutOfMemoryError, match="800000000.00 GiB"):
        torch.empty(1024**3 * 800_000_000, dtype=torch.int8, device="cuda")
    with pytest.raises(torch.OutOfMemoryError, match="more than 1EB"):
        torch.empty(1024**3 * 8_000_000_000, dtype=torch.int8, device="cuda")


def test_the_fraction_is_what_was_set():
    torch.cuda.set_per_process_memory_fraction(0.5)
    try:
        assert torch.cuda.get_per_process_memory_fraction() == 0.5
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_empty_cache_gives_back():
    torch.empty(512 << 20, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    before = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before - (512 << 20)
