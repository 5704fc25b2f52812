"""Convolutions of one and two dimensions, with groups, strides, dilation and both memory formats, and pooling."""

import torch
from torch import nn
from torch.nn import functional as F

from .case import inference, with_gradients


def one_dimension(case) -> None:
    model = case.module(lambda: nn.Conv1d(6, 12, case.random.choice((1, 3, 5)), stride=case.random.choice((1, 2))))
    case.check("conv1d with gradients", with_gradients, model, case.normal(3, 6, 40).requires_grad_())


def two_dimensions(case) -> None:
    groups, stride, dilation = (case.random.choice((1, 2)) for _ in range(3))
    model = case.module(lambda: nn.Conv2d(8, 16, 3, stride=stride, padding=1, dilation=dilation, groups=groups))
    inputs = case.normal(2, 8, 14, 15)
    if case.random.random() < 0.3:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    what = f"conv2d, {groups} groups, stride {stride}, dilation {dilation}, strides {inputs.stride()}"
    case.check(what, inference, model, inputs)
    case.check(what + ", with gradients", with_gradients, model, inputs.requires_grad_())


def transposed(case) -> None:
    model = case.module(lambda: nn.ConvTranspose2d(6, 4, 3, stride=2, output_padding=1))
    case.check("transposed conv2d", inference, model, case.normal(2, 6, 8, 9))


def chain(case) -> None:
    """Each layer takes what the one before has still to write."""
    model = case.module(lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 5 * 5, 10), nn.LogSoftmax(dim=1)))
    case.check("a chain of convolutions", inference, model, case.normal(2, 3, 14, 14))


def max_pool(case) -> None:
    inputs = case.permutation(2 * 4 * 15 * 16).float().reshape(2, 4, 15, 16)
    size, stride = case.random.choice(((2, 2), (3, 2), (3, 1)))
    case.check(f"max_pool2d of {size}, stride {stride}, with indices",
               lambda values: F.max_pool2d(values, size, stride, return_indices=True), inputs)
    case.check("max_pool1d", lambda values: F.max_pool1d(values, 3), inputs[0].reshape(4, 1, 240))


def average_pool(case) -> None:
    model = nn.Sequential(nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=case.random.random() < 0.5))
    case.check("avg_pool2d with gradients", with_gradients, model, case.normal(2, 5, 16, 13).requires_grad_())


def adaptive_pool(case) -> None:
    target = case.random.choice((1, 3, (2, 5)))
    model = nn.Sequential(nn.AdaptiveAvgPool2d(target))
    case.check(f"adaptive_avg_pool2d to {target} with gradients", with_gradients, model,
               case.normal(2, 5, 16, 13).requires_grad_())
    case.check(f"adaptive_max_pool2d to {target}", lambda values: F.adaptive_max_pool2d(values, target),
               case.normal(2, 5, 16, 13))


def unpool(case) -> None:
    def both_ways(values):
        pooled, indices = F.max_pool2d(values, 2, return_indices=True)
        return F.max_unpool2d(pooled, indices, 2), F.interpolate(pooled, scale_factor=2, mode="nearest")

    case.check("max_unpool2d and interpolate", both_ways, case.normal(2, 4, 12, 12))


CONVOLUTIONS = (one_dimension, two_dimensions, transposed, chain)
POOLING = (max_pool, average_pool, adaptive_pool, unpool)
