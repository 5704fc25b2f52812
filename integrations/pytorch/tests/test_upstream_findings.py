"""What upstream's tests found on this device, each as the shortest program that shows it."""

import pytest
import torch
import torch.nn.functional as F

from support import DEVICE


def equal(device_result, cpu_result):
    torch.testing.assert_close(device_result.cpu(), cpu_result)


def test_layer_norm_of_what_is_not_contiguous():
    x = torch.arange(12.0).view(3, 4).t()
    equal(F.layer_norm(x.to(DEVICE), (3,)), F.layer_norm(x, (3,)))


def test_batch_norm_of_what_is_not_contiguous():
    x = torch.arange(12.0).view(3, 4).t()
    for here, there in zip(torch.native_batch_norm(x.to(DEVICE), None, None, None, None, True, 0.1, 1e-5),
                           torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)):
        equal(here, there)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_norms_in_half_precision(dtype):
    x = torch.randn(4, 6, 5, dtype=dtype)
    equal(F.batch_norm(x.to(DEVICE), None, None, training=True), F.batch_norm(x, None, None, training=True))
    equal(F.layer_norm(x.to(DEVICE), (5,)), F.layer_norm(x, (5,)))
    equal(F.group_norm(x.to(DEVICE), 2), F.group_norm(x, 2))
    equal(F.instance_norm(x.to(DEVICE)), F.instance_norm(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("of_weights", [None, torch.float32, "the same"], ids=str)
@pytest.mark.parametrize("train", [True, False])
def test_gradients_of_batch_norm_in_half_precision(dtype, of_weights, train):
    weights = dtype if of_weights == "the same" else of_weights
    gradients = []
    for device in ("cpu", DEVICE):
        torch.manual_seed(1)
        x = torch.rand(4, 3, 5).to(device, dtype).requires_grad_()
        weight = None if weights is None else torch.rand(3).to(device, weights).requires_grad_()
        mean, var = (torch.full((3,), value, dtype=weights or dtype, device=device) for value in (0.0, 1.0))
        results = torch.native_batch_norm(x, weight, None, mean, var, train, 0.1, 1e-5)
        results[0].float().square().sum().backward()
        gradients.append([*results, x.grad, *([] if weight is None else [weight.grad])])
    for here, there in zip(gradients[1], gradients[0]):
        equal(here.detach(), there.detach())


def test_gradients_of_batch_norm_that_does_not_train():
    gradients = []
    for device in ("cpu", DEVICE):
        torch.manual_seed(1)
        x = torch.rand(4, 3).to(device).requires_grad_()
        weight = torch.rand(3).to(device).requires_grad_()
        F.batch_norm(x, torch.zeros(3, device=device), torch.ones(3, device=device), weight, None, False).square().sum().backward()
        gradients.append((x.grad, weight.grad))
    for here, there in zip(gradients[1], gradients[0]):
        equal(here, there)


def test_losses_that_reduce():
    a, b = torch.rand(5), torch.rand(5)
    equal(F.huber_loss(a.to(DEVICE), b.to(DEVICE)), F.huber_loss(a, b))
    equal(F.binary_cross_entropy(a.to(DEVICE), b.to(DEVICE)), F.binary_cross_entropy(a, b))


def test_nansum_over_no_dimensions():
    x = torch.ones(2, 3)
    equal(torch.nansum(x.to(DEVICE), dim=[]), torch.nansum(x, dim=[]))


def test_an_output_of_the_cpu_is_refused():
    one, out = torch.ones((), device=DEVICE), torch.tensor(7.0)
    with pytest.raises(RuntimeError, match="same device"):
        torch.add(one, one, out=out)
    assert out.item() == 7


def raised_by(call):
    try:
        call()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda x: x[:1].expand(4).bernoulli_(), id="random"),
        pytest.param(lambda x: x[:1].expand(4).copy_(torch.ones(4)), id="copy_from_the_host"),
        pytest.param(lambda x: x[:1].expand(4).copy_(x[4:8]), id="copy"),
        pytest.param(lambda x: x[:1].expand(4).add_(x[4:8]), id="in_place"),
        pytest.param(lambda x: x[:1].expand(4).masked_scatter_(x[4:8] > 0, x[4:8]), id="masked_scatter"),
        pytest.param(lambda x: x[1:5].add_(x[:4]), id="partly_what_is_read"),
        pytest.param(lambda x: torch.sin(x[:4], out=x[1:5]), id="out_partly_what_is_read"),
        pytest.param(lambda x: x.put_(torch.tensor([2, 1], device=x.device), x[:2]), id="put_partly_what_is_read"),
        pytest.param(lambda x: (y := x.long()).put_(y, y), id="put_what_is_read"),
    ],
)
def test_writing_to_memory_that_overlaps_is_refused_by_the_call(write):
    x = torch.arange(8.0)
    here = x.to(DEVICE)
    torch.add(here[:4], here[4:], out=here[4:])  # of the same shapes, and all right
    torch.sin(here[:4], out=here[4:])
    expected = raised_by(lambda: write(x))
    assert expected is not None and raised_by(lambda: write(here)) == expected


def test_writing_to_memory_beside_what_is_read_is_queued():
    x = torch.arange(8.0, device=DEVICE)
    x[4:].add_(x[:4])
    x[0:2].copy_(x[2:4])
    assert x.tolist() == [2, 3, 2, 3, 4, 6, 8, 10]


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_new_memory_is_filled_where_algorithms_are_to_be_deterministic(deterministic):
    for dtype in (torch.float32, torch.float16, torch.complex64):
        assert torch.empty(5, dtype=dtype, device=DEVICE).isnan().all()
        assert torch.empty_strided((2, 2), (3, 1), dtype=dtype, device=DEVICE).isnan().all()
    for dtype in (torch.int64, torch.uint8):
        assert torch.empty(5, dtype=dtype, device=DEVICE).tolist() == [torch.iinfo(dtype).max] * 5
    assert torch.empty(3, dtype=torch.bool, device=DEVICE).all()
    x = torch.zeros(2, device=DEVICE).resize_(4)
    assert x[:2].tolist() == [0, 0] and x[2:].isnan().all()
    # Results that are made while the caller waits are written at once, and not filled afterwards.
    assert torch.tensor([0, 1, 1], device=DEVICE).nonzero().tolist() == [[1], [2]]
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        assert torch.zeros(2, device=DEVICE).resize_(4)[:2].tolist() == [0, 0]
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = True


def test_what_is_deterministic_on_the_cpu_is_here(deterministic):
    x = torch.tensor([[3.0, 1, 2], [5, 4, 6]])
    equal(x.to(DEVICE).histc(4), x.histc(4))
    for operator in (torch.median, torch.nanmedian, torch.mode):
        equal(operator(x.to(DEVICE), 1).values, operator(x, 1).values)


def test_abs_keeps_strides():
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    for value in (x, torch.complex(x, x)):
        result = value.to(DEVICE).abs()
        assert result.stride() == value.abs().stride()
        equal(result, value.abs())


def test_out_that_is_resized_has_the_strides_of_a_new_result():
    x = torch.randn(2, 3, 4).permute(1, 0, 2)
    for operator, dtype in ((torch.exp, x.dtype), (lambda x, out: torch.add(x, x, out=out), x.dtype),
                            (lambda x, out: torch.eq(x, x, out=out), torch.bool)):
        here, there = (operator(x.to(device), out=torch.empty(0, dtype=dtype, device=device)) for device in (DEVICE, "cpu"))
        assert here.stride() == there.stride()
        equal(here, there)


def test_index_add_of_nothing():
    x, nothing, none = torch.ones(3, 4), torch.empty(3, 0), torch.empty(0, dtype=torch.int64)
    for device in ("cpu", DEVICE):
        a, b, index = (tensor.to(device) for tensor in (x, nothing, none))
        equal(a.index_add(1, index, b), x)
        equal(a.clone().index_add_(1, index, b), x)
        equal(torch.index_add(a, 1, index, b, out=torch.empty(0, device=device)), x)
        equal(a.index_reduce(1, index, b, "amax"), x)


@pytest.mark.parametrize("operator", [torch.all, torch.any])
@pytest.mark.parametrize("over", [(), (0,), ((0, 1),)], ids=["all_of_it", "a_dimension", "dimensions"])
def test_truths_are_written_to_bool_and_uint8_alone(operator, over):
    for read in (torch.float32, torch.uint8, torch.bool):
        x = torch.tensor([[0, 1, 1], [0, 1, 0]], dtype=read)
        for written in (torch.bool, torch.uint8):
            out = torch.empty(0, dtype=written, device=DEVICE)
            operator(x.to(DEVICE), *over, out=out)
            equal(out, operator(x, *over, out=torch.empty(0, dtype=written)))
        for written in (torch.float32, torch.int8):
            with pytest.raises(RuntimeError, match="only supports bool tensor for result, got: "):
                operator(x.to(DEVICE), *over, out=torch.empty(0, dtype=written, device=DEVICE))


@pytest.mark.parametrize("operator", [torch.all, torch.any])
@pytest.mark.parametrize("keepdim", [False, True])
def test_truths_over_no_dimensions(operator, keepdim):
    for read in (torch.float32, torch.uint8, torch.bool):
        x = torch.tensor([[0, 1, 1], [0, 1, 0]], dtype=read)
        equal(operator(x.to(DEVICE), dim=(), keepdim=keepdim), operator(x, dim=(), keepdim=keepdim))
        equal(operator(x.to(DEVICE), None, keepdim), operator(x, None, keepdim))
