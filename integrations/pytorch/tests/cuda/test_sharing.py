"""Memory in other processes, and between devices."""

import os
import pathlib
import subprocess
import sys

import pytest
import torch

PYTHON = pathlib.Path(__file__).resolve().parents[2] / "cuda" / "python"
PROGRAM = """
import torch, torch.multiprocessing as multiprocessing, millrace_torch_cuda
millrace_torch_cuda.install()

def child(queue, answers):
    millrace_torch_cuda.install()
    for _ in range(3):
        tensor = queue.get()
        answers.put((tensor.sum().item(), tensor.numel()))
        tensor.fill_(9)
        torch.cuda.synchronize()
        answers.put("written")
        del tensor

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue, answers = context.Queue(), context.Queue()
    process = context.Process(target=child, args=(queue, answers))
    process.start()
    for size in (100, 1 << 20, 40 << 20):
        padding = torch.zeros(777, device="cuda")
        tensor = torch.full((size,), 2.0, device="cuda")
        torch.cuda.synchronize()
        queue.put(tensor)
        assert answers.get(timeout=100) == (2.0 * size, size)
        assert answers.get(timeout=100) == "written"
        assert bool((tensor == 9).all())
    process.join(100)
    print("shared", process.exitcode)
"""


def test_tensors_of_another_process(tmp_path):
    program = tmp_path / "share.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "PYTHONPATH": str(PYTHON)})
    assert done.stdout.split() == ["shared", "0"], done.stdout + done.stderr


def test_copies_between_devices():
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    values = torch.arange(1 << 20, device="cuda:0", dtype=torch.float32)
    there = values.to("cuda:1")
    assert torch.equal(there.cpu(), values.cpu())
    assert torch.equal((there + 1).to("cuda:0"), values + 1)
    del there
    assert torch.cuda.memory_allocated(1) >= 0
