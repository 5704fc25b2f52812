"""One side of a comparison: a process with one of the allocators, which prints lines of JSON."""

import argparse
import json
import os
import pathlib
import sys
import threading

ALLOCATORS = ("stock", "expandable", "millrace")


def parse(description: str, **defaults) -> argparse.Namespace:
    """The command line; sets the allocator up. Each default is an option of its type."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--allocator", choices=ALLOCATORS, default="stock")
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    request = parser.parse_args()
    if request.allocator == "expandable":
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    import torch  # noqa: F401: after the environment is set
    if request.allocator == "millrace":
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
        import millrace_torch_cuda
        millrace_torch_cuda.install()
    return request


def tell(request: argparse.Namespace, **figures) -> None:
    """A line of JSON with the figures and what was asked for."""
    print(json.dumps({**vars(request), **figures}), flush=True)


def in_threads(threads: int, act) -> None:
    """act(number) in a thread each, at once. Raises the first error of any, once all have ended."""
    errors = []

    def run(number):
        try:
            act(number)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]


def memory() -> dict:
    """How much memory there was at most, in bytes."""
    import torch
    return {"peak_reserved": torch.cuda.max_memory_reserved(), "peak_allocated": torch.cuda.max_memory_allocated()}
