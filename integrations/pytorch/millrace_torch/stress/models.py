"""Whole models: attention, recurrent networks, a small ResNet, a transformer's encoder, a perceptron."""

import torch
from torch import nn
from torch.nn import functional as F

from .case import inference, with_gradients


def dot_product(case) -> None:
    shape = (2, 4, case.random.choice((7, 16, 32)), 16)
    query, key, value = (case.normal(*shape) for _ in range(3))
    mask = case.flags(shape[2], shape[2]) | torch.eye(shape[2], dtype=torch.bool)
    how, arguments = case.random.choice((("no mask", {}), ("causal", {"is_causal": True}), ("masked", None)))
    if arguments is None:
        case.check(f"attention of {list(shape)}, masked",
                   lambda query, key, value, mask: F.scaled_dot_product_attention(query, key, value, attn_mask=mask),
                   query, key, value, mask)
    else:
        case.check(f"attention of {list(shape)}, {how}",
                   lambda query, key, value: F.scaled_dot_product_attention(query, key, value, **arguments),
                   query, key, value)


def dot_product_gradients(case) -> None:
    class Attention(nn.Module):
        def forward(self, query, key, value):
            return F.scaled_dot_product_attention(query, key, value)

    case.check("attention with gradients", with_gradients, Attention(),
               *(case.normal(2, 2, 12, 8).requires_grad_() for _ in range(3)))


def multihead(case) -> None:
    model = case.module(lambda: nn.MultiheadAttention(32, 4, batch_first=True)).eval()
    inputs = case.normal(2, 14, 32)
    padding = torch.arange(14) >= case.integers(1, 15, 2, 1)
    case.check("multi-head attention", inference, model, inputs, inputs, inputs)
    case.check("multi-head attention with padding",
               lambda model, inputs, padding: inference(
                   lambda *given: model(*given, key_padding_mask=padding, need_weights=True), inputs, inputs, inputs),
               model, inputs, padding)


def bidirectional_lstm(case) -> None:
    model = case.module(lambda: nn.LSTM(12, 20, num_layers=2, bidirectional=True, batch_first=True))
    inputs = case.normal(3, case.random.choice((1, 9)), 12)

    def with_states(model, inputs):
        output, (hidden, cell) = inference(model, inputs)
        return output, hidden, cell

    case.check(f"two-layer BiLSTM of {list(inputs.shape)}", with_states, model, inputs)


class _OutputOf(nn.Module):
    def __init__(self, recurrent: nn.Module):
        super().__init__()
        self.recurrent = recurrent

    def forward(self, inputs):
        return self.recurrent(inputs)[0]


def lstm_gradients(case) -> None:
    model = case.module(lambda: _OutputOf(nn.LSTM(8, 12, bidirectional=True)))
    case.check("BiLSTM with gradients", with_gradients, model, case.normal(6, 2, 8).requires_grad_())


def gated_unit(case) -> None:
    model = case.module(lambda: _OutputOf(nn.GRU(10, 16, num_layers=2)))
    case.check("two-layer GRU", inference, model, case.normal(7, 3, 10))


class _Residual(nn.Module):
    def __init__(self, given: int, made: int, stride: int):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made))
        self.second = nn.Sequential(nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made))
        self.shortcut = nn.Sequential()
        if stride != 1 or given != made:
            self.shortcut = nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))

    def forward(self, inputs):
        inner = F.relu(self.first(inputs), inplace=True)
        return F.relu(self.second(inner).add_(self.shortcut(inputs)), inplace=True)


class MiniResNet(nn.Module):
    """A stem, three residual blocks, a mean over the picture and a classifier."""

    def __init__(self, classes: int = 10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(_Residual(8, 8, 1), _Residual(8, 16, 2), _Residual(16, 32, 2))
        self.classifier = nn.Linear(32, classes)

    def forward(self, inputs):
        return self.classifier(self.blocks(self.stem(inputs)).mean((2, 3)))


def resnet_eval(case) -> None:
    model = case.module(MiniResNet).eval()
    case.check("MiniResNet, eval", inference, model, case.normal(case.random.randint(1, 3), 3, 16, 16))


def resnet_train(case) -> None:
    model = case.module(MiniResNet)
    # Three blocks deep, the order of sums shows in more digits than in one operator.
    case.check("MiniResNet with gradients", with_gradients, model, case.normal(3, 3, 12, 12), rtol=1e-4, atol=1e-4)


def _encoder(batch_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, dim_feedforward=64, dropout=0.0, batch_first=batch_first)
    return nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)


def encoder_eval(case) -> None:
    """Without gradients torch has one operator for a whole layer."""
    model = case.module(lambda: _encoder(True)).eval()
    inputs = case.normal(2, case.random.choice((6, 13)), 32)
    case.check(f"encoder of {list(inputs.shape)}, eval", inference, model, inputs)


def encoder_masked(case) -> None:
    model = case.module(lambda: _encoder(True)).eval()
    mask = nn.Transformer.generate_square_subsequent_mask(9)
    case.check("encoder with a mask, eval", inference, model, case.normal(2, 9, 32), mask)


def encoder_gradients(case) -> None:
    model = case.module(lambda: _encoder(False))
    case.check("encoder with gradients", with_gradients, model, case.normal(6, 2, 32).requires_grad_(), rtol=1e-4,
               atol=1e-4)


def perceptron(case) -> None:
    """Forward, backward and a step of the optimiser."""
    model = case.module(lambda: nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 48), nn.Tanh(),
                                              nn.Linear(48, 10)))

    def step(model, inputs, labels):
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for _ in range(2):
            optimiser.zero_grad()
            losses.append(F.cross_entropy(model(inputs), labels))
            losses[-1].backward()
            optimiser.step()
        return {**{f"loss {number}": loss for number, loss in enumerate(losses)}, **model.state_dict()}

    case.check("two steps of a perceptron", step, model, case.normal(16, 24), case.integers(0, 10, 16))


def perceptron_gradients(case) -> None:
    model = case.module(lambda: nn.Sequential(nn.Linear(24, 48), nn.LeakyReLU(), nn.Linear(48, 10), nn.Softplus()))
    case.check("a perceptron with gradients", with_gradients, model, case.normal(16, 24).requires_grad_())


ATTENTION = (dot_product, dot_product_gradients, multihead)
RECURRENT = (bidirectional_lstm, lstm_gradients, gated_unit)
RESNET = (resnet_eval, resnet_train)
ENCODER = (encoder_eval, encoder_masked, encoder_gradients)
PERCEPTRON = (perceptron, perceptron_gradients)
