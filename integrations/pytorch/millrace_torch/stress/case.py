"""One iteration of a stress: its inputs, what runs on both sides, and how the sides are compared."""

import copy
import math
import random
import threading

import torch


class Findings:
    """What went wrong, from any thread: all counted, the first few kept. Thread safety: any thread."""

    KEPT = 5

    def __init__(self):
        self._lock = threading.Lock()  # protects what follows
        self._errors = 0
        self._first = []

    def error(self, text: str) -> None:
        with self._lock:
            self._errors += 1
            if len(self._first) < self.KEPT:
                self._first.append(text)

    @property
    def errors(self) -> int:
        with self._lock:
            return self._errors

    @property
    def first(self) -> list:
        with self._lock:
            return list(self._first)


class Case:
    """An iteration: its inputs follow from the seed and its number alone, whichever thread runs it.

    Thread safety: one thread.
    """

    def __init__(self, device: torch.device, seed: int, index: int, findings: Findings):
        self.device = device
        self.seed = seed
        self.index = index
        self.findings = findings
        self.random = random.Random(f"{seed}/{index}")
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(63))

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator).to(dtype)

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """From low to below high."""
        return torch.randint(low, high, shape, generator=self.generator)

    def permutation(self, count: int) -> torch.Tensor:
        return torch.randperm(count, generator=self.generator)

    def flags(self, *shape: int) -> torch.Tensor:
        return self.integers(0, 2, *shape).bool()

    def module(self, make) -> torch.nn.Module:
        """What make returns, on the CPU, with parameters of this case's. They are not the modules' own, since those
        are drawn from the one generator that all threads have."""
        with torch.device("meta"):
            module = make()
        module.to_empty(device="cpu")
        with torch.no_grad():
            for name, values in module.named_parameters():
                values.copy_(self.normal(*values.shape))
                values.mul_(1 / math.sqrt(values[0].numel()) if values.dim() > 1 else 0.1)
                if values.dim() == 1 and name.endswith("weight"):
                    values.add_(1)  # of a normalisation
            for name, values in module.named_buffers():
                if name.endswith("running_mean"):
                    values.copy_(self.normal(*values.shape).mul_(0.1))
                elif name.endswith("running_var"):
                    values.copy_(torch.rand(values.shape, generator=self.generator).add_(0.5))
                else:
                    values.zero_()
        return module

    def check(self, what: str, function, *inputs, **tolerances) -> None:
        """function(*inputs) on the device must be what it is on the CPU. Each side has copies of the inputs, which
        may be tensors, modules and anything that is no tensor's."""
        actual = self.on_device(function, [own_copy(value, self.device) for value in inputs])
        # The CPU's turn comes while the device works.
        expected = function(*[own_copy(value, torch.device("cpu")) for value in inputs])
        difference = compare(actual, expected, self.device, **tolerances)
        if difference:
            self.findings.error(f"{self.name()}: {what}: {difference}")

    def on_device(self, function, inputs: list):
        return function(*inputs)

    def name(self) -> str:
        return f"iteration {self.index} of seed {self.seed}, {threading.current_thread().name}"


def own_copy(value, device: torch.device):
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).to(device)
    if isinstance(value, torch.Tensor):
        return value.detach().to(device, copy=True).requires_grad_(value.requires_grad)
    return value


def compare(actual, expected, device: torch.device, **tolerances):
    """None, or how they differ, in a line."""
    elsewhere = [leaf for leaf in _leaves(actual) if leaf.device != device]
    if elsewhere:
        return f"a result is on {elsewhere[0].device}, and should be on {device}"
    try:
        torch.testing.assert_close(_on_cpu(actual), _on_cpu(expected), equal_nan=True, check_stride=False,
                                   **tolerances)
    except AssertionError as error:
        return " ".join(str(error).split())
    return None


def _leaves(value) -> list:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [leaf for part in value for leaf in _leaves(part)]


def _on_cpu(value):
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(part) for name, part in value.items()}
    return [_on_cpu(part) for part in value]


def inference(model, *inputs):
    with torch.no_grad():
        return model(*inputs)


def with_gradients(model, *inputs) -> dict:
    """The output, and what half the sum of its squares has for gradients by all inputs and parameters that want one."""
    output = model(*inputs)
    (output.float().square().sum() / 2).backward()
    results = {"output": output}
    for number, value in enumerate(inputs):
        if value.requires_grad:
            results[f"gradient by input {number}"] = value.grad
    for name, value in model.named_parameters():
        results[f"gradient by {name}"] = value.grad
    return results
