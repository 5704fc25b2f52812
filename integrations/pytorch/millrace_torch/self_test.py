"""python -m millrace_torch: versions, devices, memory, and whether the device does its work."""

import importlib.metadata
import platform

import torch

from .stress.case import compare
from .stress.device_side import in_a_line


def report(device: torch.device) -> int:
    """Prints it all; 0 if every check held, else 1."""
    _print_versions()
    _print_devices()
    failures = [name for name, check in _CHECKS.items() if not _holds(name, check, device)]
    if failures:
        print(f"self-test of {device}: FAIL, {len(failures)} of {len(_CHECKS)} checks: {', '.join(failures)}")
        return 1
    print(f"self-test of {device}: PASS, {len(_CHECKS)} checks")
    return 0


def _print_versions() -> None:
    try:
        version = importlib.metadata.version("millrace-torch")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed, run from its folder"
    print(f"millrace_torch {version}")
    print(f"torch          {torch.__version__}")
    print(f"Python         {platform.python_version()} on {platform.system()} {platform.machine()}")


def _print_devices() -> None:
    millrace = torch.millrace
    for index in range(millrace.device_count()):
        stats = millrace.memory_stats(index)
        print(f"millrace:{index}     {_in_mib(stats['live'])} in tensors, {_in_mib(stats['cached'])} cached, "
              f"{_in_mib(stats['committed'])} taken of {_in_mib(stats['limit'])}")


def _in_mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _holds(name: str, check, device: torch.device) -> bool:
    try:
        problem = check(device)
    except Exception as error:
        problem = in_a_line(error)
    print(f"  {name}: {problem or 'ok'}")
    return problem is None


def _copies(device):
    values = torch.arange(1000).reshape(10, 100)
    return compare(values.to(device).t().contiguous(), values.t().contiguous(), device)


def _operators(device):
    left, right = torch.arange(12.0).reshape(3, 4), torch.arange(20.0).reshape(4, 5)
    result = (left.to(device) @ right.to(device)).relu().sum(1)
    return compare(result, (left @ right).relu().sum(1), device)


def _gradients(device):
    values = torch.arange(6.0, device=device).requires_grad_()
    values.square().sum().backward()
    return compare(values.grad, torch.arange(6.0) * 2, device)


def _streams(device):
    if device.type == "cpu":
        return None  # has none
    module = torch.get_device_module(device)
    written = torch.Event(device)
    with module.thread_stream(device) as first:
        values = torch.full((100_000,), 3.0, device=device)
        written.record(first)
    with module.thread_stream(device) as second:
        second.wait_event(written)
        values.record_stream(second)
        doubled = values * 2
    module.synchronize(device)
    if not written.query():
        return "an event is not done after the device is"
    return compare(doubled, torch.full((100_000,), 6.0), device)


def _errors(device):
    """An operator that fails does so by the next synchronisation, and work goes on."""
    try:
        torch.zeros(4, device=device).index_select(0, torch.tensor([9], device=device)).cpu()
    except (RuntimeError, IndexError):
        return compare(torch.ones(3, device=device) + 1, torch.full((3,), 2.0), device)
    return "an index that is out of range was taken"


_CHECKS = {"copies": _copies, "operators": _operators, "gradients": _gradients, "streams and events": _streams,
           "errors of operators": _errors}
