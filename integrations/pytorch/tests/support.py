"""What the tests share: the device under test, gates that hold a stream, comparisons with the CPU, subprocesses."""

import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch

# "cpu" runs what has a meaning there, to try the tests themselves.
DEVICE = os.environ.get("MILLRACE_TEST_DEVICE", "millrace")
ON_CPU = DEVICE == "cpu"
if not ON_CPU:
    import millrace_torch  # noqa: F401: the device is there once it is imported
DEVICES = 2
FIRST_DEVICE = torch.device("cpu" if ON_CPU else f"{DEVICE}:0")
# As much of everything as is claimed, not as much as a quick run needs.
FULL = os.environ.get("MILLRACE_TEST_FULL") == "1"
# A gate that nobody opens ends by itself, and its test fails.
GATE_SECONDS = 20

only_millrace = pytest.mark.skipif(ON_CPU, reason="streams, events, memory and their errors are the device's own")

_library = torch.library.Library("millrace_tests", "DEF")
_library.define("pass_gate(Tensor x, int gate) -> Tensor")
_gates = {}
_numbers = itertools.count()


class Gate:
    """Holds the stream that it is put on until `open` is called.

    Its operator is a Python kernel for the CPU, which the device runs on a worker; a threading.Event waits with the
    interpreter released.
    """

    def __init__(self):
        self.number = next(_numbers)
        self.opened = threading.Event()
        self.reached = threading.Event()
        self.on_thread = None
        self.timed_out = False
        _gates[self.number] = self

    def put(self, tensor):
        """Returns a copy of the tensor that is there once the gate is open."""
        return torch.ops.millrace_tests.pass_gate(tensor, self.number)

    def open(self):
        self.opened.set()

    def hold(self):
        self.on_thread = threading.get_ident()
        self.reached.set()
        self.timed_out = not self.opened.wait(GATE_SECONDS)


def _pass_gate(tensor, number):
    _gates[number].hold()
    return tensor.clone()


_library.impl("pass_gate", _pass_gate, "CPU")
_library.impl("pass_gate", lambda tensor, number: torch.empty_like(tensor), "Meta")


def forget_gate(gate):
    del _gates[gate.number]


def eventually(condition, seconds=10.0):
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def arange(*shape, dtype=torch.float32):
    """0, 1, 2, ... on the device."""
    count = 1
    for size in shape:
        count *= size
    return torch.arange(count, device=DEVICE).reshape(shape).to(dtype)


def block(size, device=DEVICE):
    """Memory of that many bytes, and no work."""
    return torch.empty(size, dtype=torch.uint8, device=device)


def memory_stats(device=0):
    """The figures when nothing is queued."""
    torch.millrace.synchronize(device)
    return torch.millrace.memory_stats(device)


def map_tensors(value, function):
    """The value with every tensor in it, however deep in lists, tuples and dicts, replaced."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        parts = [map_tensors(part, function) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: map_tensors(part, function) for key, part in value.items()}
    return value


def to_device(value, device=DEVICE):
    """A copy with the same strides and aliasing of its own; gradients are asked for again where they were."""

    def move(tensor):
        return tensor.detach().to(device).requires_grad_(tensor.requires_grad)

    return map_tensors(value, move)


def to_cpu(value):
    return map_tensors(value, lambda tensor: tensor.detach().cpu())


def assert_same(actual, expected, **tolerance):
    """Device results equal the CPU's: in shape, dtype, and to torch.testing's rounding unless said otherwise."""
    torch.testing.assert_close(to_cpu(actual), to_cpu(expected), equal_nan=True, **tolerance)


def run_python(program, *, seconds=60, prelude=True, environment=None):
    """Runs the program in an interpreter of its own; returns what subprocess.run does. Fails on a hang."""
    head = "import torch\nimport millrace_torch\n" if prelude else ""
    source = head + textwrap.dedent(program)
    folder = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([folder, *filter(None, sys.path)])
    variables = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **(environment or {})}
    try:
        return subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, timeout=seconds, env=variables
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"did not end in {seconds} s; stdout {late.stdout!r}, stderr {late.stderr!r}")
