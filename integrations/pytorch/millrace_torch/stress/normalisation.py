"""Layer, batch, group and root mean square normalisation."""

import torch
from torch import nn

from .case import inference, with_gradients


def layer(case) -> None:
    width = case.random.choice((16, 33, 64))
    model = case.module(lambda: nn.LayerNorm(width))
    inputs = case.normal(case.random.randint(1, 8), 12, width)
    case.check(f"layer norm of {list(inputs.shape)}", inference, model, inputs)
    case.check(f"layer norm of {list(inputs.shape)} with gradients", with_gradients, model, inputs.requires_grad_())


def batch_eval(case) -> None:
    channels = case.random.choice((3, 8, 16))
    model = case.module(lambda: nn.BatchNorm2d(channels)).eval()
    inputs = case.normal(4, channels, 9, 11)
    case.check(f"batch norm of {list(inputs.shape)}, eval", inference, model, inputs)


def batch_train(case) -> None:
    channels = case.random.choice((3, 8, 16))
    model = case.module(lambda: nn.BatchNorm2d(channels))
    inputs = case.normal(4, channels, 9, 11).requires_grad_()

    def train(model, inputs):
        return {**with_gradients(model, inputs), "mean": model.running_mean, "var": model.running_var,
                "batches": model.num_batches_tracked}

    case.check(f"batch norm of {list(inputs.shape)}, train", train, model, inputs)


def depthwise_group(case) -> None:
    channels = case.random.choice((8, 16))
    model = case.module(lambda: nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.GroupNorm(4, channels), nn.SiLU(),
        nn.Conv2d(channels, 8, 1)))
    inputs = case.normal(2, channels, 12, 12)
    case.check(f"depthwise convolution and group norm of {list(inputs.shape)}", inference, model, inputs)
    case.check(f"depthwise convolution and group norm of {list(inputs.shape)} with gradients", with_gradients, model,
               inputs.requires_grad_(), rtol=1e-4, atol=1e-4)


def root_mean_square(case) -> None:
    width = case.random.choice((16, 33, 64))
    model = case.module(lambda: nn.RMSNorm(width))
    inputs = case.normal(6, 10, width)
    case.check(f"rms norm of {list(inputs.shape)}", inference, model, inputs)
    case.check(f"rms norm of {list(inputs.shape)} with gradients", with_gradients, model, inputs.requires_grad_())


VARIANTS = (layer, batch_eval, batch_train, depthwise_group, root_mean_square)
