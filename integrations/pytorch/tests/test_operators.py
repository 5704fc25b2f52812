"""Every operator of torch's own op_db: the device's results and failures are the CPU's.

A third of them, the same one each time, unless MILLRACE_TEST_FULL=1. Those that fail stand in operators_left_out.txt,
with the reason.
"""

import copy
import itertools
import pathlib
import zlib

import pytest
import torch

from support import DEVICE, FULL, ON_CPU, assert_same, map_tensors, to_device

pytest.importorskip("expecttest", reason="torch.testing._internal needs it")
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

SAMPLES = 3
# Their tensors beside the first are for the host to read.
HOST_ARGUMENTS = {"tensor_split"}
# What they return is whatever was in memory.
UNINITIALISED = {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"}


def left_out():
    lines = pathlib.Path(__file__).with_name("operators_left_out.txt").read_text().splitlines()
    entries = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return {name: reason for name, reason in entries}


LEFT_OUT = left_out()


def cases():
    for op in op_db:
        for dtype in (torch.float32, torch.int64):
            if dtype not in op.supported_dtypes("cpu"):
                continue
            name = f"{op.full_name}[{str(dtype).removeprefix('torch.')}]"
            if FULL or zlib.crc32(name.encode()) % 3 == 0:
                yield pytest.param(op, dtype, name, id=name)


def with_its_storage(tensor):
    """A copy on the device with the same strides and offset, in a storage of the same size."""
    if tensor.layout != torch.strided or tensor.is_conj() or tensor.is_neg():
        return to_device(tensor)
    whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
    return whole.to(DEVICE).as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())


def moved(value):
    """The CPU's argument, for the device: tensors go there, and so does what is made there."""
    if isinstance(value, dict) and "device" in value:
        value = {**value, "device": DEVICE}
    return map_tensors(value, with_its_storage)


def outcome(function, *arguments, **keywords):
    torch.manual_seed(1)
    try:
        result = function(*arguments, **keywords)
        # Failures of queued operators are part of the outcome, and copies that do not block need the wait.
        if not ON_CPU:
            torch.millrace.synchronize()
        return map_tensors(result, lambda tensor: tensor.detach().cpu().resolve_conj().resolve_neg()), None
    except Exception as failure:  # any kind: the CPU's is compared with the device's
        return None, failure


def compare(name, function, sample):
    # Operators that write into their arguments get copies.
    cpu = copy.deepcopy((sample.input, sample.args, sample.kwargs))
    arguments = (sample.args, sample.kwargs)
    device = (moved(sample.input), *(arguments if name in HOST_ARGUMENTS else map(moved, arguments)))
    expected, expected_failure = outcome(function, cpu[0], *cpu[1], **cpu[2])
    actual, failure = outcome(function, device[0], *device[1], **device[2])
    if expected_failure is not None:
        assert failure is not None, f"the CPU refuses it: {expected_failure}"
        return False
    if failure is not None:
        raise failure
    if name in UNINITIALISED:
        shapes = [map_tensors(result, lambda tensor: (tensor.shape, tensor.dtype)) for result in (actual, expected)]
        assert shapes[0] == shapes[1]
    elif isinstance(expected, (torch.Tensor, tuple, list, dict)):
        assert_same(actual, expected)
        assert_same(device[0], cpu[0])
    else:
        assert actual == expected
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op, dtype, name", list(cases()))
def test_operator_equals_the_cpu_s(op, dtype, name):
    try:
        compared = run(op, dtype)
    except Exception:
        if name in LEFT_OUT:
            pytest.skip(LEFT_OUT[name])
        raise
    assert name not in LEFT_OUT, "it works: take its line out of operators_left_out.txt"
    if compared == 0:
        pytest.skip("the CPU refuses every sample")


def run(op, dtype):
    torch.manual_seed(0)
    samples = list(itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=False), SAMPLES))
    compared = sum(compare(op.name, op.op, sample) for sample in samples)
    if samples and op.inplace_variant is not None and op.name not in UNINITIALISED:
        compared += compare(op.name, op.inplace_variant, samples[0])
    return compared


def test_every_line_of_the_list_names_an_operator_and_a_reason():
    names = {f"{op.full_name}[{dtype}]" for op in op_db for dtype in ("float32", "int64")}
    assert LEFT_OUT.keys() <= names
    assert all(len(reason) > 10 for reason in LEFT_OUT.values())
