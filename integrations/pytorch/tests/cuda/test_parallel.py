"""ParallelInference."""

import threading

import pytest
import torch

import millrace_torch_cuda


@pytest.fixture
def model():
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.Linear(64, 8)).cuda().eval()


def test_results_are_those_of_one_thread_in_order(model):
    batches = [torch.randn(4, 64, device="cuda") for _ in range(100)]
    with torch.inference_mode():
        expected = [model(batch) for batch in batches]
    with millrace_torch_cuda.ParallelInference(model, threads=4) as inference:
        found = list(inference.map(batches))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_errors_come_back_to_the_caller(model):
    with millrace_torch_cuda.ParallelInference(model, threads=2) as inference:
        bad = inference.submit(torch.zeros(4, 3, device="cuda"))
        good = inference.submit(torch.zeros(4, 64, device="cuda"))
        with pytest.raises(RuntimeError):
            bad.result()
        assert good.result().shape == (4, 8)


def test_submit_blocks_when_enough_wait():
    opened, running = threading.Event(), threading.Semaphore(0)

    def hold(x):
        running.release()
        opened.wait(20)
        return x

    with millrace_torch_cuda.ParallelInference(hold, threads=1, waiting=1) as inference:
        x = torch.zeros(1, device="cuda")
        inference.submit(x)
        running.acquire()
        inference.submit(x)  # waits for the thread
        third = threading.Thread(target=inference.submit, args=(x,))
        third.start()
        third.join(0.3)
        assert third.is_alive()
        opened.set()
        third.join(20)
        assert not third.is_alive()


def test_closed_says_so(model):
    inference = millrace_torch_cuda.ParallelInference(model, threads=1)
    inference.close()
    with pytest.raises(RuntimeError, match="closed"):
        inference.submit(torch.zeros(1, 64, device="cuda"))
