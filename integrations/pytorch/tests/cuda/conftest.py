"""Tests of torch's CUDA allocator replaced by Millrace's. All in one process, in which it is installed; where there is no
GPU, or no library (MILLRACE_TORCH_CUDA_LIBRARY), those that need them skip with the reason."""

import gc
import os
import pathlib
import sys

os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "cuda" / "python"))
import millrace_torch_cuda


def _reason():
    try:
        millrace_torch_cuda.built_for()
    except millrace_torch_cuda.LibraryMissing as error:
        return str(error)
    return None if torch.cuda.is_available() else "torch finds no CUDA device"


REASON = _reason()
if REASON is None:
    millrace_torch_cuda.install()


def pytest_collection_modifyitems(items):
    for item in items:
        if REASON is not None and "without_gpu" not in item.keywords:
            item.add_marker(pytest.mark.skip(reason=REASON))


def pytest_configure(config):
    config.addinivalue_line("markers", "without_gpu: runs everywhere")


@pytest.fixture(autouse=True)
def _nothing_left(request):
    """Each test begins and ends with nothing running, and frees what it allocated."""
    if REASON is not None or "without_gpu" in request.keywords:
        yield
        return
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()["allocated_bytes.all.current"] if torch.cuda.is_initialized() else 0
    yield
    gc.collect()
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= max(before, _workspaces()), "memory of the test is still allocated"


def _workspaces() -> int:
    """What cuBLAS keeps for as long as the process lasts."""
    torch._C._cuda_clearCublasWorkspaces()
    return torch.cuda.memory_allocated()
