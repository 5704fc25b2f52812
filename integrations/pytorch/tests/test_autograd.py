"""Gradients equal the CPU's; hooks, modes, functions of one's own and transforms work as they do elsewhere."""

import copy

import pytest
import torch
import torch.nn.functional as F

from gradient_cases import FUNCTIONS, MODULES
from support import DEVICE, assert_same, only_millrace, to_device


def gradients(function, inputs):
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    outputs = [output for output in outputs if output.requires_grad]
    # Not all ones: a gradient that is symmetric hides mistakes.
    weights = [torch.linspace(0.5, 1.5, o.numel(), dtype=o.dtype).reshape(o.shape).to(o.device) for o in outputs]
    torch.autograd.backward(outputs, weights)
    return [output.detach() for output in outputs], [value.grad for value in inputs if value.requires_grad]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_equal_the_cpu_s(name):
    function, make = FUNCTIONS[name]
    torch.manual_seed(0)
    inputs = make()
    device_inputs = to_device(inputs)
    assert_same(gradients(function, device_inputs), gradients(function, inputs))


@pytest.mark.parametrize("name", MODULES)
def test_gradients_of_modules_equal_the_cpu_s(name):
    make, make_inputs = MODULES[name]
    torch.manual_seed(0)
    module, inputs = make(), make_inputs()
    device_module, device_inputs = copy.deepcopy(module).to(DEVICE), to_device(inputs)
    outputs = gradients(lambda *values: first_of(module(*values)), inputs)
    assert_same(gradients(lambda *values: first_of(device_module(*values)), device_inputs), outputs)
    for (name, parameter), other in zip(module.named_parameters(), device_module.parameters()):
        assert_same(other.grad, parameter.grad, msg=lambda text: f"{name}: {text}", rtol=1e-4, atol=1e-5)
    assert_same(dict(device_module.named_buffers()), dict(module.named_buffers()))


def first_of(outputs):
    return outputs[0] if isinstance(outputs, tuple) else outputs


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: (x**3).sum(), id="power"),
        pytest.param(lambda x: torch.tanh(x @ x.t()).sum(), id="matmul_tanh"),
        pytest.param(lambda x: F.log_softmax(x, 1)[:, 0].sum(), id="log_softmax"),
        pytest.param(lambda x: F.conv2d(x.view(1, 1, 4, 4), x.view(1, 1, 4, 4), padding=1).pow(2).sum(), id="conv"),
        pytest.param(lambda x: F.layer_norm(x, (4,)).pow(3).sum(), id="layer_norm"),
        pytest.param(lambda x: torch.linalg.inv(x + 5 * torch.eye(4, device=x.device)).sum(), id="inv"),
    ],
)
def test_double_backward(function):
    torch.manual_seed(0)
    cpu = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    results = []
    for value in (to_device(cpu), cpu):
        (first,) = torch.autograd.grad(function(value), value, create_graph=True)
        (second,) = torch.autograd.grad(first.sin().sum(), value)
        results.append((first.detach(), second))
    assert_same(*results)


def test_gradcheck_on_the_device():
    value = torch.rand(3, 4, dtype=torch.float64, device=DEVICE, requires_grad=True)
    other = torch.rand(4, 2, dtype=torch.float64, device=DEVICE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: torch.sigmoid(a @ b), (value, other))


def test_hooks_see_device_gradients_and_may_change_them():
    value = torch.ones(3, device=DEVICE, requires_grad=True)
    seen = []
    value.register_hook(lambda grad: grad * 10)
    value.register_post_accumulate_grad_hook(lambda tensor: seen.append(tensor.grad.tolist()))
    module = torch.nn.Linear(3, 1, device=DEVICE)
    module.register_forward_hook(lambda _, inputs, output: output * 2)
    module.register_full_backward_hook(lambda _, into, out: seen.append(out[0].device.type))
    module(value * 1).sum().backward()
    assert seen[0] == DEVICE and len(seen) == 2
    assert_same(value.grad, 20 * module.weight.detach().cpu()[0])
    assert seen[1] == value.grad.tolist()


def test_no_grad_and_inference_mode():
    value = torch.ones(3, device=DEVICE, requires_grad=True)
    with torch.no_grad():
        assert not (value * 2).requires_grad
        value.add_(1)
    with torch.inference_mode():
        inferred = value * 2
        inferred.add_(1)
    assert inferred.is_inference() and inferred.tolist() == [5, 5, 5]
    with pytest.raises(RuntimeError, match="(?i)inference"):
        inferred * value
    (value * value).sum().backward()
    assert value.grad.tolist() == [4, 4, 4]


def test_a_value_changed_in_place_after_it_was_saved_is_noticed():
    value = torch.ones(3, device=DEVICE, requires_grad=True)
    middle = value * 2
    result = middle * middle
    middle.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


def test_in_place_and_views_in_a_graph():
    results = []
    for device in (DEVICE, "cpu"):
        value = torch.arange(12.0, device=device).view(3, 4).requires_grad_()
        work = value * 2
        work[1].mul_(3)
        work.t()[0].add_(work[2, :3])
        work.relu_()
        (work * work).sum().backward()
        results.append(value.grad)
    assert_same(*results)


def test_autograd_function_and_saved_tensor_hooks():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            return 3 * ctx.saved_tensors[0] ** 2 * grad

    value = torch.arange(3.0, device=DEVICE, requires_grad=True)
    with torch.autograd.graph.save_on_cpu():
        Cube.apply(value).sum().backward()
    assert value.grad.tolist() == [0, 3, 12]


def test_vmap_and_functional_gradients():
    values = torch.arange(6.0).view(3, 2)
    for transform in (
        lambda x: torch.func.vmap(lambda row: row.dot(row))(x),
        lambda x: torch.func.grad(lambda y: (y**2).sum())(x),
        lambda x: torch.func.jacrev(torch.sin)(x[0]),
        lambda x: torch.func.jvp(torch.exp, (x,), (torch.ones_like(x),))[1],
    ):
        assert_same(transform(values.to(DEVICE)), transform(values))


@only_millrace
def test_backward_runs_on_the_stream_of_its_forward(gate):
    stream = torch.Stream(device=DEVICE)
    value = torch.ones(3, device=DEVICE, requires_grad=True)
    torch.millrace.synchronize()
    with stream:
        result = gate.put(torch.ones(3, device=DEVICE)) * value
        result.sum().backward()
    assert stream.query() is False
    gate.open()
    stream.synchronize()
    assert value.grad.tolist() == [1, 1, 1]
