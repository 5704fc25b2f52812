"""Mixed precision: autocast to bfloat16, and models that are in it altogether."""

import torch
from torch import nn

from .case import inference, with_gradients


class _Autocast(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return self.model(inputs)


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 8))


def _picture() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 8, 6))


def linear(case) -> None:
    model = case.module(lambda: _Autocast(_perceptron()))
    case.check("autocast perceptron", inference, model, case.normal(12, 24))


def linear_gradients(case) -> None:
    model = case.module(lambda: _Autocast(_perceptron()))
    case.check("autocast perceptron with gradients", with_gradients, model, case.normal(12, 24).requires_grad_(),
               rtol=1.6e-2, atol=1e-2)


def convolution(case) -> None:
    model = case.module(lambda: _Autocast(_picture()))
    case.check("autocast convolution", inference, model, case.normal(2, 3, 8, 8))


def whole(case) -> None:
    dtype = case.random.choice((torch.bfloat16, torch.float16))
    model = case.module(_perceptron).to(dtype)
    case.check(f"perceptron in {dtype}", inference, model, case.normal(12, 24).to(dtype))


def conversions(case) -> None:
    case.check("conversions", lambda values: [
        values.to(dtype).mul(2).to(torch.float32) for dtype in (torch.bfloat16, torch.float16, torch.float64)],
        case.normal(7, 33))


VARIANTS = (linear, linear_gradients, convolution, whole, conversions)
