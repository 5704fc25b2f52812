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
    torch.cuda.init()  # before it there are no figures to compare with


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
    before = _allocated()
    yield
    request.node.funcargs.clear()  # pytest keeps what fixtures gave until after this
    after = _allocated()
    assert after <= before, f"{after - before} bytes of the test are still allocated"


def _allocated() -> int:
    """Without the workspace that cuBLAS keeps for each of its handles and streams, and so for each thread that used it."""
    if not torch.cuda.is_initialized():
        return 0
    gc.collect()
    torch.cuda.synchronize()
    torch._C._cuda_clearCublasWorkspaces()
    return torch.cuda.memory_allocated()
