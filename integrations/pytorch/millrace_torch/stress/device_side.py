"""What a stress asks of the device besides operators; of the CPU there is nothing to ask."""

import contextlib
import gc
import textwrap

import torch

from .case import Findings


def in_a_line(error: Exception) -> str:
    """As much of it as a line takes: torch's dispatcher says a page."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 400, placeholder=" ...")


def stream_of_thread(device: torch.device):
    if device.type == "cpu":
        return contextlib.nullcontext()
    return torch.get_device_module(device).thread_stream(device)


def live_bytes(device: torch.device) -> int:
    return 0 if device.type == "cpu" else torch.get_device_module(device).memory_allocated(device)


@contextlib.contextmanager
def modes(chaos, protect: bool, findings: Findings):
    """chaos is a seed or None. Devices are opened again for the modes and to leave them, so no tensor may be alive."""
    if chaos is None and not protect:
        yield
        return
    import millrace_torch

    millrace_torch.debug(protect=protect, chaos=chaos)
    try:
        yield
    finally:
        try:
            millrace_torch.debug()
        except RuntimeError as error:
            findings.error(f"after the work: {in_a_line(error)}")


def check_at_rest(device: torch.device, live_before: int, findings: Findings) -> None:
    """After the work: it ends without an error, no dependency was missing, all memory came back and the accounts add up.
    No other thread may use the device."""
    if device.type == "cpu":
        return
    import millrace_torch

    try:
        torch.accelerator.synchronize(device)
        for missing in millrace_torch.missing_dependencies(device):
            earlier, later = (
                f"{use['operator']} {'writes' if use['writes'] else 'reads'} on stream {use['stream']}, called at "
                f"{' '.join(use['stack'].split())}" for use in (missing["earlier"], missing["later"]))
            findings.error(f"missing dependency: {earlier}; and {later}; {missing['bytes']} bytes at "
                           f"{missing['address']:#x}")
        gc.collect()  # modules and their gradients are in cycles
        left = live_bytes(device) - live_before
        if left > 0:  # less where garbage of before was collected meanwhile
            findings.error(f"after the work: {left} bytes more are live than before it")
        millrace_torch._C.check_accounting(device.index)
    except Exception as error:
        findings.error(f"after the work: {in_a_line(error)}")
