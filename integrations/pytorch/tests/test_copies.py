"""Copies: between devices, dtypes and strides, to and from pinned memory, saved, loaded and shared."""

import copy
import io
import pickle
import threading

import numpy
import pytest
import torch

from support import DEVICE, ON_CPU, arange, assert_same, only_millrace, run_python

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_copies_there_and_back_keep_every_dtype(dtype):
    source = torch.arange(12).reshape(3, 4).to(dtype)
    moved = source.to(DEVICE)
    assert moved.dtype == dtype
    assert_same(moved, source, rtol=0, atol=0)
    assert_same(moved.clone(), source, rtol=0, atol=0)
    if dtype != torch.complex64:
        for other in DTYPES:
            assert_same(moved.to(other), source.to(other), rtol=0, atol=0)
            assert_same(source.to(device=DEVICE, dtype=other), source.to(other), rtol=0, atol=0)


@pytest.mark.parametrize("way", ["to_device", "from_device", "within"])
def test_copies_between_strides_dtypes_and_broadcasts(way):
    kinds = {"to_device": ("cpu", DEVICE), "from_device": (DEVICE, "cpu"), "within": (DEVICE, DEVICE)}
    source_device, target_device = kinds[way]
    whole = torch.arange(24).reshape(4, 6)
    for cut in (lambda t: t, lambda t: t.t(), lambda t: t[::2, 1::2], lambda t: t[:1].expand(4, 6), lambda t: t[1:1]):
        for dtype in (torch.int64, torch.float32):
            source = cut(whole.to(source_device))
            target = torch.zeros(*source.shape[::-1], dtype=dtype, device=target_device).t()
            target.copy_(source)
            assert_same(target, cut(whole).to(dtype), rtol=0, atol=0)
    row = torch.zeros(3, 4, device=target_device)
    row.copy_(torch.arange(4, device=source_device))
    assert_same(row, torch.arange(4.0).expand(3, 4))


@only_millrace
def test_copies_of_conjugates():
    # In an interpreter of its own, since what it looks for ends the process.
    ended = run_python(
        """
        x = torch.tensor([1 + 2j, 3 - 4j], device="millrace").conj()
        print(x.cpu().tolist(), x.clone().tolist(), x.imag.tolist(), x.to(torch.complex128).tolist())
        """
    )
    values = [1 - 2j, 3 + 4j]
    assert (ended.returncode, ended.stdout) == (0, f"{values} {values} [-2.0, 4.0] {values}\n"), ended.stderr


@only_millrace
def test_copies_between_devices():
    near = arange(3, 4, dtype=torch.int64)
    far = near.to("millrace:1")
    assert far.device == torch.device("millrace:1")
    assert_same(far, near.cpu())
    back = torch.zeros(4, 3, device="millrace:0").t()
    back.copy_(far)
    assert_same(back, near.float())


def test_pinned_memory_and_copies_that_do_not_block():
    source = torch.arange(1000.0).pin_memory() if not ON_CPU else torch.arange(1000.0)
    moved = source.to(DEVICE, non_blocking=True)
    back = torch.empty_like(source)
    back.copy_(moved * 2, non_blocking=True)
    if not ON_CPU:
        torch.millrace.synchronize()
    assert torch.equal(back, torch.arange(1000.0) * 2)
    # From memory that is not pinned, the source may go at once.
    moved = torch.full((1000,), 3.0).to(DEVICE, non_blocking=True)
    assert moved.sum().item() == 3000


def test_pickle_save_and_load():
    tensors = {"a": arange(2, 3).t(), "b": torch.ones(2, dtype=torch.bfloat16, device=DEVICE)}
    tensors["c"] = tensors["a"][1:]
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    for place in (None, "cpu", DEVICE, torch.device(DEVICE)):
        buffer.seek(0)
        loaded = torch.load(buffer, map_location=place)
        wanted = "cpu" if place == "cpu" else DEVICE
        assert {tensor.device.type for tensor in loaded.values()} == {wanted}
        assert_same(loaded, tensors, rtol=0, atol=0)
        assert loaded["a"].untyped_storage().data_ptr() == loaded["c"].untyped_storage().data_ptr()
        assert loaded["a"].stride() == tensors["a"].stride()
    again = pickle.loads(pickle.dumps(tensors["a"]))
    assert again.device.type == DEVICE and again.equal(tensors["a"])


@only_millrace
def test_loading_onto_another_device():
    buffer = io.BytesIO()
    torch.save(torch.arange(3.0), buffer)
    buffer.seek(0)
    assert torch.load(buffer, map_location="millrace:1").device == torch.device("millrace:1")
    buffer = io.BytesIO()
    torch.save(torch.ones(3, device="millrace:1"), buffer)
    buffer.seek(0)
    assert torch.load(buffer).device == torch.device("millrace:1")
    buffer.seek(0)
    assert torch.load(buffer, map_location={"millrace:1": "millrace:0"}).device == torch.device("millrace:0")


def test_a_model_moves_and_its_state_is_loaded():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    moved = copy.deepcopy(model).to(DEVICE)
    values = torch.rand(5, 3)
    assert_same(moved(values.to(DEVICE)), model(values))
    back = copy.deepcopy(model).cpu()
    back.load_state_dict(moved.state_dict())
    assert_same(dict(back.state_dict()), dict(moved.state_dict()), rtol=0, atol=0)


def test_deepcopy_is_apart():
    source = arange(3).requires_grad_()
    source.grad = torch.ones(3, device=DEVICE)
    other = copy.deepcopy(source)
    with torch.no_grad():
        other.add_(1)
    assert source.tolist() == [0, 1, 2] and other.tolist() == [1, 2, 3]
    assert other.device.type == DEVICE and other.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(torch.from_dlpack, id="protocol"),
        pytest.param(lambda x: torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x)), id="capsule"),
    ],
)
def test_dlpack_shares_memory(share):
    source = arange(2, 3)
    shared = share(source)
    shared.add_(1)
    assert shared.device == source.device and shared.data_ptr() == source.data_ptr()
    assert source.tolist() == [[1, 2, 3], [4, 5, 6]]


@only_millrace
def test_dlpack_names_the_device():
    kind, index = arange(2).__dlpack_device__()
    assert (kind.name, index) == ("kDLExtDev", 0)
    assert torch.ones(1, device="millrace:1").__dlpack_device__()[1] == 1
    assert torch.ones(1).__dlpack_device__()[0].name == "kDLCPU"


@only_millrace
@pytest.mark.parametrize("copied", [False, True])
def test_dlpack_to_the_host_and_back_waits_for_the_work(gate, copied):
    source = gate.put(arange(3))
    threading.Timer(0.1, gate.open).start()
    host = numpy.from_dlpack(source, device="cpu") if copied else torch.from_dlpack(source, device="cpu").numpy()
    assert host.tolist() == [0, 1, 2]
    assert torch.from_dlpack(host, device=DEVICE).tolist() == [0, 1, 2]


@only_millrace
def test_dlpack_without_streams_is_given_once_it_is_there(gate):
    source = gate.put(arange(3))
    threading.Timer(0.1, gate.open).start()
    source.__dlpack__(stream=None)
    assert gate.opened.is_set() and torch.accelerator.current_stream().query()


@only_millrace
def test_dlpack_makes_the_reader_s_stream_wait(gate):
    source = gate.put(arange(3))
    reader = torch.Stream(device=DEVICE)
    shared = torch.from_dlpack(source.__dlpack__(stream=reader.stream_id, max_version=(1, 0)))
    with reader:
        doubled = shared * 2
    assert not reader.query()
    gate.open()
    reader.synchronize()
    assert doubled.tolist() == [0, 2, 4]


@only_millrace
def test_numpy_does_not_take_the_device_s_memory_for_the_host_s():
    with pytest.raises((RuntimeError, BufferError), match="device"):
        numpy.from_dlpack(arange(3))
    with pytest.raises(TypeError, match="millrace"):
        numpy.asarray(arange(3))


@only_millrace
def test_dlpack_refuses_what_it_can_not_say():
    with pytest.raises(BufferError, match="gradient"):
        torch.from_dlpack(arange(3).requires_grad_())
    with pytest.raises(BufferError, match="conjugate"):
        torch.from_dlpack(arange(3, dtype=torch.complex64).conj())
