"""The kinds of stress, by the names that they have on the command line."""

from typing import Callable, NamedTuple

from . import convolutions, indexing, mixed, models, normalisation, reductions
from .case import Case


class Kind(NamedTuple):
    name: str  # on the command line
    noun: str  # in what is printed
    iterations: int  # when nobody says how many
    variants: tuple[Callable[[Case], None], ...]
    at_once: int = 1  # so many of the variants are drawn in an iteration


KINDS = (
    Kind("reduce", "Reduce", 100, reductions.VARIANTS, at_once=6),
    Kind("norm", "Norm", 100, normalisation.VARIANTS),
    Kind("conv", "Conv", 100, convolutions.CONVOLUTIONS),
    Kind("attention", "Attention", 100, models.ATTENTION),
    Kind("lstm", "LSTM", 100, models.RECURRENT),
    Kind("resnet", "ResNet", 100, models.RESNET),
    Kind("encoder", "Encoder", 100, models.ENCODER),
    Kind("mlp", "MLP", 100, models.PERCEPTRON),
    Kind("pooling", "Pooling", 100, convolutions.POOLING, at_once=3),
    Kind("scatter", "Scatter", 100, indexing.VARIANTS, at_once=3),
    Kind("mixed", "Mixed", 100, mixed.VARIANTS),
)
