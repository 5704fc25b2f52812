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
