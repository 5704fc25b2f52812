"""Set up before torch is imported: two devices, four workers each, so that two held streams leave some for others."""

import os

os.environ.setdefault("MILLRACE_TORCH_DEVICES", "2")
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

import pytest
import torch

import support

if not support.ON_CPU:
    import millrace_torch

    millrace_torch.configure(workers=4)

torch.set_num_threads(1)

# Those have a process of their own, in which torch's CUDA allocator is replaced.
collect_ignore = ["cuda"]


def _gate():
    made = support.Gate()
    yield made
    made.open()
    _synchronize_all()
    support.forget_gate(made)
    assert not made.timed_out, "the gate was passed by time and not by open(): did its operator run on the caller?"


# A gate to put on a stream; whatever happens in the test, it is open afterwards.
gate = pytest.fixture(_gate, name="gate")
second_gate = pytest.fixture(_gate, name="second_gate")


def _synchronize_all():
    if not support.ON_CPU:
        for index in range(support.DEVICES):
            torch.millrace.synchronize(index)


@pytest.fixture(autouse=True)
def clean_state():
    """Each test begins on device 0 and its default stream, with nothing queued and no failure left over."""
    yield
    if support.ON_CPU:
        return
    for index in range(support.DEVICES):
        torch.millrace.set_stream(torch.millrace.default_stream(index))
    torch.millrace.set_device(0)
    try:
        _synchronize_all()
    except RuntimeError:
        # A failure that the test left must not reach the next one; the test itself has looked at what it wanted.
        _synchronize_all()


def pytest_terminal_summary(terminalreporter):
    counts = {
        outcome: sum("test_operators.py" in report.nodeid for report in terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "skipped")
    }
    if sum(counts.values()):
        terminalreporter.write_line(
            f"operators: {counts['passed']} equal to the CPU's, {counts['failed']} not, {counts['skipped']} left out"
        )
