"""What training needs beside gradients: autocast, scaling, optimizers, checkpoints, threads."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from support import DEVICE, assert_same, only_millrace


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_recomputes_the_same_dropout(reentrant):
    value = torch.ones(200, device=DEVICE, requires_grad=True)

    def block(x):
        return F.dropout(x * 3, 0.5)

    torch.manual_seed(3)
    output = checkpoint(block, value, use_reentrant=reentrant)
    output.sum().backward()
    assert torch.equal(value.grad, output.detach())


@only_millrace
def test_autocast_bfloat16():
    left, right = torch.rand(4, 4, device=DEVICE), torch.rand(4, 4, device=DEVICE)
    model = torch.nn.Linear(4, 2, device=DEVICE)
    with torch.autocast("millrace", dtype=torch.bfloat16):
        assert torch.is_autocast_enabled("millrace")
        product = left @ right
        total = product.sum(dtype=torch.float32)
        assert F.mse_loss(product, product).dtype == torch.float32
        output = model(left)
        with torch.autocast("millrace", enabled=False):
            assert (left @ right).dtype == torch.float32
    assert product.dtype == output.dtype == torch.bfloat16 and total.dtype == torch.float32
    assert not torch.is_autocast_enabled("millrace")
    output.float().sum().backward()
    assert model.weight.grad.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = left.cpu() @ right.cpu()
    assert_same(product, expected)


@only_millrace
def test_gradient_scaling():
    model = torch.nn.Linear(4, 2, device=DEVICE)
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("millrace")
    before = model.weight.detach().clone()
    scaler.scale(model(torch.ones(3, 4, device=DEVICE)).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert_same(model.weight, before.cpu() - 0.1 * 3)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_optimizers_step_as_on_the_cpu(optimizer):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    values, losses = torch.rand(16, 4), []
    for module, device in ((copy.deepcopy(model).to(DEVICE), DEVICE), (model, "cpu")):
        stepper = optimizer(module.parameters(), lr=0.01)
        losses.append([])
        for _ in range(10):
            stepper.zero_grad()
            loss = (module(values.to(device)) - 1).pow(2).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            stepper.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_backward_from_four_threads():
    model = torch.nn.Linear(8, 8)
    device_model = copy.deepcopy(model).to(DEVICE)
    grads = {}

    def work(index):
        value = torch.full((2, 8), float(index), device=DEVICE, requires_grad=True)
        for _ in range(20):
            (grads[index],) = torch.autograd.grad(device_model(value).pow(2).sum(), value)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index in range(4):
        value = torch.full((2, 8), float(index), requires_grad=True)
        assert_same(grads[index], torch.autograd.grad(model(value).pow(2).sum(), value)[0])


def image_model(activation, pool):
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), activation(), pool(2)),
        *(torch.nn.Conv2d(4, 8, 3, padding=1), activation(), torch.nn.Flatten(), torch.nn.Linear(128, 3)),
    )


def sequence_model(activation):
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, activation=activation)
    return torch.nn.Sequential(
        *(torch.nn.Embedding(20, 16), torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)),
        *(torch.nn.Flatten(), torch.nn.Linear(6 * 16, 3)),
    )


def images(dtype=torch.float32):
    return torch.rand(8, 1, 8, 8, dtype=dtype)


def words():
    return torch.randint(0, 20, (8, 6))


# Sums are rounded otherwise than the CPU's. Where a ReLU's argument is next to zero, or two next to each other in a
# pool's window, that decides which way the gradient goes, and float32's rounding is large enough to meet such a step
# in two hundred: what has corners is trained in float64.
FLOAT32, FLOAT64 = {"rtol": 1e-4, "atol": 1e-5}, {"rtol": 1e-9, "atol": 1e-10}
TRAININGS = {
    "image": (lambda: image_model(torch.nn.GELU, torch.nn.AvgPool2d), images, FLOAT32),
    "image of float64": (
        lambda: image_model(torch.nn.ReLU, torch.nn.MaxPool2d).double(), lambda: images(torch.float64), FLOAT64
    ),
    "sequence": (lambda: sequence_model("gelu"), words, FLOAT32),
    "sequence of float64": (lambda: sequence_model("relu").double(), words, FLOAT64),
}


@pytest.mark.parametrize("make, values, tolerance", TRAININGS.values(), ids=TRAININGS.keys())
def test_loss_curves_of_two_hundred_steps_equal_the_cpu_s(make, values, tolerance):
    torch.manual_seed(2)
    model, batches = make(), [(values(), torch.randint(0, 3, (8,))) for _ in range(10)]
    curves = []
    for module, device in ((copy.deepcopy(model).to(DEVICE), DEVICE), (model, "cpu")):
        stepper = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
        losses = []
        for step in range(200):
            inputs, classes = (part.to(device) for part in batches[step % len(batches)])
            stepper.zero_grad()
            loss = F.cross_entropy(module(inputs), classes)
            loss.backward()
            stepper.step()
            losses.append(loss.detach())
        curves.append(torch.stack(losses).cpu())
    assert_same(curves[0], curves[1], **tolerance)
    assert curves[0][-10:].mean() < curves[0][:10].mean()
