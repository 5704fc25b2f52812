"""Tensors: creation, views and aliasing, values, storage, printing, indexing, data-dependent shapes."""

import numpy
import pytest
import torch

from support import DEVICE, ON_CPU, arange, assert_same, only_millrace


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda **d: torch.zeros(2, 3, **d), id="zeros"),
        pytest.param(lambda **d: torch.ones(2, 3, **d), id="ones"),
        pytest.param(lambda **d: torch.full((2,), 7, **d), id="full"),
        pytest.param(lambda **d: torch.arange(5, **d), id="arange"),
        pytest.param(lambda **d: torch.linspace(0, 1, 5, **d), id="linspace"),
        pytest.param(lambda **d: torch.eye(3, **d), id="eye"),
        pytest.param(lambda **d: torch.tensor([[1, 2], [3, 4]], **d), id="tensor"),
        pytest.param(lambda **d: torch.tensor(3.5, **d), id="scalar"),
        pytest.param(lambda **d: torch.empty(0, 3, **d), id="empty"),
        pytest.param(lambda **d: torch.tril_indices(3, 3, **d), id="tril_indices"),
        pytest.param(lambda **d: torch.as_tensor(numpy.arange(4), **d), id="numpy"),
    ],
)
def test_creation(make):
    made = make(device=DEVICE)
    assert made.device.type == DEVICE
    if not ON_CPU:
        assert made.is_millrace and made.device.index == 0
    assert_same(made, make(device="cpu"), rtol=0, atol=0)


def test_creation_like_another():
    source = arange(2, 3).t()
    assert torch.empty_like(source).stride() == source.stride()
    assert_same(source.new_full((2,), 4), torch.full((2,), 4.0))
    assert_same(torch.zeros_like(source, dtype=torch.int8), torch.zeros(3, 2, dtype=torch.int8))
    assert torch.empty_strided((2, 2), (1, 4), device=DEVICE).stride() == (1, 4)


def test_a_view_changed_in_place_is_seen_through_its_base():
    base = arange(4, 5)
    expected = base.cpu().clone()
    for tensor in (base, expected):
        tensor[1].fill_(-1)
        tensor[:, 2].add_(100)
        tensor.t()[3:].mul_(2)
        tensor.view(-1)[::7] = 50
        tensor.diagonal().zero_()
        tensor.unfold(1, 2, 3)[0].sub_(1)
        tensor[::2, 1:4].copy_(torch.full((2, 3), 9.0))
        tensor.as_strided((2, 2), (5, 2), 3).add_(0.5)
        tensor.split(2)[1].neg_()
        tensor.unsqueeze(0).expand(1, 4, 5)[0, 3].add_(1)
    assert_same(base, expected, rtol=0, atol=0)


def test_views_share_storage_and_know_their_base():
    base = arange(6)
    view = base.view(2, 3)[1]
    assert view._base is base and view.storage_offset() == 3
    assert view.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
    version = base._version
    view.add_(1)
    assert base._version == version + 1
    assert torch.view_as_real(torch.view_as_complex(arange(2, 2))).tolist() == [[0, 1], [2, 3]]
    assert arange(4).view(torch.int32).view(torch.float32).tolist() == [0, 1, 2, 3]


def test_an_output_may_be_a_view_or_be_resized():
    target = torch.zeros(3, 4, device=DEVICE)
    torch.add(arange(4), 1, out=target[1])
    assert target.sum().item() == 10 and target[0].sum().item() == 0
    grown = torch.empty(0, device=DEVICE)
    torch.mul(arange(2, 2), 2, out=grown)
    assert grown.tolist() == [[0, 2], [4, 6]]
    values, places = torch.empty(0, device=DEVICE), torch.empty(0, dtype=torch.long, device=DEVICE)
    torch.sort(arange(3), descending=True, out=(values, places))
    assert values.tolist() == [2, 1, 0] and places.tolist() == [2, 1, 0]


def test_values_to_python():
    values = arange(2, 2)
    assert values.tolist() == [[0, 1], [2, 3]] and values[1, 1].item() == 3
    assert float(values.sum()) == 6 and int(values[1, 0]) == 2 and bool(values.any())
    assert list(range(5))[torch.tensor(2, device=DEVICE)] == 2
    assert [row.tolist() for row in values] == values.tolist() and len(values) == 2
    assert values.cpu().numpy().tolist() == values.tolist()
    assert values.equal(values.clone()) and torch.allclose(values, values.clone())


@only_millrace
def test_numpy_of_a_device_tensor_is_refused():
    with pytest.raises(TypeError, match="millrace"):
        arange(2).numpy()


def test_storage_resize_and_set():
    values = arange(4)
    values.resize_(2, 3)
    assert values.shape == (2, 3) and values.view(-1)[:4].tolist() == [0, 1, 2, 3]
    values.resize_(2)
    assert values.tolist() == [0, 1]
    storage = values.untyped_storage()
    assert storage.device.type == DEVICE and storage.nbytes() >= 24
    other = torch.empty(0, device=DEVICE).set_(storage, 1, (3,), (1,))
    other.fill_(9)
    assert values.tolist() == [0, 9]
    assert storage.cpu().device.type == "cpu"
    storage.resize_(400)
    assert storage.nbytes() == 400 and values.tolist() == [0, 9]
    values.data = arange(3)
    assert values.tolist() == [0, 1, 2]


def test_printing():
    suffix = "" if ON_CPU else f", device='{DEVICE}:0'"
    assert repr(arange(3)) == f"tensor([0., 1., 2.]{suffix})"
    assert repr(arange(3, dtype=torch.bool)) == f"tensor([False,  True,  True]{suffix})"
    assert "size=(0, 2)" in repr(torch.empty(0, 2, device=DEVICE))
    assert "e-05" in repr(torch.tensor([1e-5, 1.0], device=DEVICE))
    assert repr(arange(2000)).startswith("tensor([0.0000e+00")
    assert f"{arange(3)[1]:.2f}" == "1.00"


def test_indexing():
    values, cpu = arange(4, 5), arange(4, 5).cpu()
    rows, mask = torch.tensor([3, 0, 3]), torch.arange(20).reshape(4, 5) % 3 == 0
    for chosen in (rows, rows.to(DEVICE)):
        assert_same(values[chosen], cpu[rows])
        assert_same(values[:, chosen], cpu[:, rows])
        assert_same(values[chosen, chosen], cpu[rows, rows])
    assert_same(values[mask.to(DEVICE)], cpu[mask])
    assert_same(values[None, ..., -1], cpu[None, ..., -1])
    assert_same(values[[0, 2], [1, 3]], cpu[[0, 2], [1, 3]])
    for tensor, place, where in ((values, rows.to(DEVICE), mask.to(DEVICE)), (cpu, rows, mask)):
        tensor[where] = -1
        tensor[place] = 7
        tensor[1, 2:4] = torch.tensor([5.0, 6.0])
        tensor.index_add_(0, place, torch.ones(3, 5, device=tensor.device))
        tensor.index_put_((place,), tensor.new_tensor(1.0), accumulate=True)
        tensor.masked_fill_(where, 0.5)
        tensor.scatter_(1, torch.zeros(4, 1, dtype=torch.long, device=tensor.device), 2.0)
    assert_same(values, cpu)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda x: x.nonzero(), id="nonzero"),
        pytest.param(lambda x: torch.nonzero(x, as_tuple=True), id="nonzero_tuple"),
        pytest.param(lambda x: x.masked_select(x > 2), id="masked_select"),
        pytest.param(lambda x: x.unique(), id="unique"),
        pytest.param(lambda x: x.unique(return_inverse=True, return_counts=True), id="unique_all"),
        pytest.param(lambda x: x.unique(dim=1), id="unique_dim"),
        pytest.param(lambda x: torch.unique_consecutive(x), id="unique_consecutive"),
        pytest.param(lambda x: torch.bincount(x.view(-1).long()), id="bincount"),
        pytest.param(lambda x: torch.repeat_interleave(torch.tensor([1, 0, 3], device=x.device)), id="repeat"),
        pytest.param(lambda x: torch.where(x > 1), id="where"),
        pytest.param(lambda x: torch.combinations(x[0]), id="combinations"),
        pytest.param(lambda x: torch.argwhere(x), id="argwhere"),
    ],
)
def test_shapes_that_depend_on_data(ask):
    cpu = torch.tensor([[3.0, 0, 1, 3], [0, 0, 2, 2], [5, 0, 1, 3]])
    # Queued just before, so that asking too early would see something else.
    device = torch.zeros(3, 4, device=DEVICE).add_(cpu.to(DEVICE))
    assert_same(ask(device), ask(cpu))


def test_cpu_scalars_mix_in():
    values = arange(3)
    assert (values + torch.tensor(2.0)).tolist() == [2, 3, 4]
    assert (torch.tensor(2.0) * values).tolist() == [0, 2, 4]
    assert (values.add_(torch.tensor(1))).tolist() == [1, 2, 3]
    assert torch.where(values > 1, values, torch.tensor(-1.0)).tolist() == [-1, 2, 3]
    assert (values + torch.tensor(2.0, dtype=torch.float64)).dtype == torch.float32
    number = torch.tensor(5.0)
    total = values + number
    number.fill_(0)
    assert total.tolist() == [6, 7, 8], "a CPU scalar was read after the call had returned"
