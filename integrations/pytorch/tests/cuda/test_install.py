"""Installing: when, and what is said where it can't be."""

import os
import pathlib
import subprocess
import sys

import pytest

PYTHON = pathlib.Path(__file__).resolve().parents[2] / "cuda" / "python"


def run(program, **environment):
    known = {**os.environ, "PYTHONPATH": str(PYTHON), **environment}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, env=known, check=False)


def test_after_the_first_use_of_cuda_it_says_what_to_do():
    done = run("import torch, millrace_torch_cuda\n"
               "torch.zeros(1, device='cuda')\n"
               "millrace_torch_cuda.install()")
    assert done.returncode != 0
    assert "before the first tensor on a GPU" in done.stderr


def test_twice_is_once():
    done = run("import torch, millrace_torch_cuda\n"
               "millrace_torch_cuda.install(); millrace_torch_cuda.install()\n"
               "print(torch.cuda.get_allocator_backend(), torch.zeros(3, device='cuda').sum().item())")
    assert done.stdout.split() == ["millrace", "0.0"], done.stderr


def test_options_after_install_are_refused():
    done = run("import millrace_torch_cuda\n"
               "millrace_torch_cuda.install(); millrace_torch_cuda.config(streams=3)")
    assert "before millrace_torch.install()" in done.stderr


def test_a_limit():
    done = run("import torch, millrace_torch_cuda\n"
               "millrace_torch_cuda.config(memory_limit=1 << 28); millrace_torch_cuda.install()\n"
               "torch.empty(1 << 29, dtype=torch.uint8, device='cuda')")
    assert "OutOfMemoryError" in done.stderr


@pytest.mark.parametrize("fraction", ["0.0", "0.5"])
def test_the_fraction_that_is_configured(fraction):
    done = run("import torch, millrace_torch_cuda; millrace_torch_cuda.install()\n"
               "print(torch.cuda.get_per_process_memory_fraction())\n"
               "torch.zeros(1, device='cuda')", PYTORCH_CUDA_ALLOC_CONF=f"per_process_memory_fraction:{fraction}")
    assert done.stdout.split() == [fraction], done.stderr
    assert ("OutOfMemoryError" in done.stderr) == (fraction == "0.0")


@pytest.mark.without_gpu
def test_a_fraction_that_is_none_is_refused():
    done = run("from millrace_torch_cuda.settings import _honour; _honour('per_process_memory_fraction:1.1')")
    assert "per_process_memory_fraction is invalid" in done.stderr


def test_keys_without_meaning_are_named():
    done = run("import millrace_torch_cuda; millrace_torch_cuda.install()",
               PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb:200,expandable_segments:True")
    assert "max_split_size_mb" in done.stderr and "expandable_segments" not in done.stderr


def test_threads_at_exit():
    """Daemon threads that allocate while the process ends do no harm."""
    done = run("import torch, threading, time, millrace_torch_cuda\n"
               "millrace_torch_cuda.install()\n"
               "def work():\n"
               "    while True: torch.zeros(1000, device='cuda')\n"
               "for _ in range(4): threading.Thread(target=work, daemon=True).start()\n"
               "keep = torch.zeros(1000, device='cuda'); time.sleep(1)")
    assert done.returncode in (0, -6), done.stderr  # -6: torch's own bindings, which the stock allocator meets, too


@pytest.mark.without_gpu
def test_a_missing_library_is_named():
    done = run("import millrace_torch_cuda; millrace_torch_cuda.install()", MILLRACE_TORCH_CUDA_LIBRARY="/nowhere/library.so")
    assert "LibraryMissing" in done.stderr and "/nowhere/library.so" in done.stderr


@pytest.mark.without_gpu
def test_settings_are_split_at_commas_outside_of_lists():
    done = run("from millrace_torch_cuda.settings import _pairs\n"
               "print(dict(_pairs('a:1, roundup_power2_divisions:[64:8,256:4],b:x')))")
    assert done.stdout.strip() == "{'a': '1', 'roundup_power2_divisions': '[64:8,256:4]', 'b': 'x'}", done.stderr
