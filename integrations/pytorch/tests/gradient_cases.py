"""The operators and modules whose gradients test_autograd.py compares: a function, and what makes its inputs."""

import torch
import torch.nn.functional as F


def _inputs(*shapes, positive=False):
    def make():
        values = [torch.rand(shape) + 0.1 if positive else torch.randn(shape) for shape in shapes]
        return [value.requires_grad_() for value in values]

    return make


_square, _two, _image = _inputs((4, 4)), _inputs((3, 4), (3, 4)), _inputs((2, 4, 6, 6))
_positive = _inputs((3, 4), positive=True)
_places = torch.tensor([[0, 2, 1, 0], [1, 0, 0, 2], [2, 2, 1, 1]])


def _at(x, values):
    return values.to(x.device)


FUNCTIONS = {
    "add": (lambda a, b: a + 2 * b, _two),
    "multiply": (lambda a, b: a * b, _two),
    "divide": (lambda a, b: a / (b.abs() + 1), _two),
    "broadcast": (lambda a, b: a * b, _inputs((3, 1), (1, 4))),
    "power": (lambda a, b: a**b, _inputs((3, 4), (3, 4), positive=True)),
    "exp": (lambda a: a.exp(), _square),
    "log": (lambda a: a.log(), _positive),
    "sqrt": (lambda a: a.sqrt(), _positive),
    "sin": (lambda a: a.sin(), _square),
    "atan2": (torch.atan2, _two),
    "sigmoid": (torch.sigmoid, _square),
    "tanh": (torch.tanh, _square),
    "relu": (F.relu, _square),
    "gelu": (F.gelu, _square),
    "silu": (F.silu, _square),
    "softplus": (F.softplus, _square),
    "leaky_relu": (F.leaky_relu, _square),
    "clamp": (lambda a: a.clamp(-0.5, 0.5), _square),
    "abs": (torch.abs, _square),
    "where": (lambda a, b: torch.where(a > 0, a, b), _two),
    "maximum": (torch.maximum, _two),
    "sum": (lambda a: a.sum(), _square),
    "sum_of_a_dim": (lambda a: a.sum(1), _square),
    "mean": (lambda a: a.mean((0, 1)), _square),
    "prod": (lambda a: a.prod(1), _square),
    "max": (lambda a: a.max(1).values, _square),
    "amin": (lambda a: a.amin(0), _square),
    "var": (lambda a: a.var(0), _square),
    "norm": (lambda a: a.norm(), _square),
    "logsumexp": (lambda a: a.logsumexp(1), _square),
    "cumsum": (lambda a: a.cumsum(0), _square),
    "cumprod": (lambda a: a.cumprod(0), _square),
    "matmul": (torch.matmul, _inputs((3, 4), (4, 2))),
    "bmm": (torch.bmm, _inputs((2, 3, 4), (2, 4, 2))),
    "baddbmm": (torch.baddbmm, _inputs((2, 3, 2), (2, 3, 4), (2, 4, 2))),
    "einsum": (lambda a, b: torch.einsum("ij,kj->ik", a, b), _two),
    "linear": (F.linear, _inputs((3, 4), (5, 4), (5,))),
    "cat": (lambda a, b: torch.cat([a, b], 1), _two),
    "stack": (lambda a, b: torch.stack([a, b]), _two),
    "split": (lambda a: [part * 2 for part in a.split(3, 1)], _square),
    "permute": (lambda a: a.permute(3, 1, 0, 2).contiguous() * 2, _image),
    "slice": (lambda a: a[1:, ::2] * 3, _square),
    "gather": (lambda a: a.gather(1, _at(a, _places)), _inputs((3, 4))),
    "scatter_add": (lambda a, b: a.scatter_add(1, _at(a, _places), b), _two),
    "index_select": (lambda a: a.index_select(0, _at(a, _places[0])), _square),
    "index": (lambda a: a[_at(a, _places[0]), _at(a, _places[1])], _square),
    "index_put": (lambda a, b: a.index_put((_at(a, _places[0][:3]),), b), _inputs((4, 4), (3, 4))),
    "masked_fill": (lambda a: a.masked_fill(a > 0, 7.0), _square),
    "sort": (lambda a: a.sort(1).values, _square),
    "topk": (lambda a: a.topk(2).values, _square),
    "pad": (lambda a: F.pad(a, (1, 2), value=3.0), _square),
    "roll": (lambda a: a.roll(1, 0), _square),
    "tril": (torch.tril, _square),
    "softmax": (lambda a: F.softmax(a, 1), _square),
    "log_softmax": (lambda a: F.log_softmax(a, 0), _square),
    "cross_entropy": (lambda a: F.cross_entropy(a, _at(a, _places[:, 0])), _inputs((3, 4))),
    "mse": (F.mse_loss, _two),
    "smooth_l1": (F.smooth_l1_loss, _two),
    "binary_cross_entropy": (lambda a: F.binary_cross_entropy_with_logits(a, a.detach().sigmoid()), _square),
    "conv1d": (F.conv1d, _inputs((2, 3, 8), (4, 3, 3))),
    "conv2d": (lambda a, b, c: F.conv2d(a, b, c, stride=2, padding=1), _inputs((2, 4, 6, 6), (5, 4, 3, 3), (5,))),
    "depthwise": (lambda a, b: F.conv2d(a, b, groups=4), _inputs((2, 4, 6, 6), (4, 1, 3, 3))),
    "conv_transpose2d": (F.conv_transpose2d, _inputs((2, 4, 3, 3), (4, 2, 3, 3))),
    "max_pool2d": (lambda a: F.max_pool2d(a, 2), _image),
    "avg_pool2d": (lambda a: F.avg_pool2d(a, 2), _image),
    "adaptive_avg_pool2d": (lambda a: F.adaptive_avg_pool2d(a, 3), _image),
    "interpolate": (lambda a: F.interpolate(a, scale_factor=2, mode="bilinear"), _image),
    "batch_norm": (lambda a: F.batch_norm(a, None, None, training=True), _image),
    "layer_norm": (lambda a, b, c: F.layer_norm(a, (4,), b, c), _inputs((3, 4), (4,), (4,))),
    "group_norm": (lambda a: F.group_norm(a, 2), _image),
    "embedding": (lambda a: F.embedding(_at(a, _places), a), _inputs((3, 5))),
    "attention": (F.scaled_dot_product_attention, _inputs((2, 2, 5, 4), (2, 2, 5, 4), (2, 2, 5, 4))),
    "cholesky": (lambda a: torch.linalg.cholesky(a @ a.mT + torch.eye(4, device=a.device)), _square),
    "solve": (lambda a, b: torch.linalg.solve(a + 5 * torch.eye(4, device=a.device), b), _inputs((4, 4), (4, 2))),
    "svdvals": (torch.linalg.svdvals, _square),
    "det": (torch.linalg.det, _square),
    "complex": (lambda a, b: torch.complex(a, b).abs(), _two),
    "fft": (lambda a: torch.fft.rfft(a).abs(), _square),
}


class _Residual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.Conv2d(4, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)

    def forward(self, x):
        return F.relu(x + self.second(F.relu(self.norm(self.first(x)))))


def _perceptron():
    return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.GELU(), torch.nn.Linear(16, 2))


MODULES = {
    "perceptron": (_perceptron, _inputs((3, 4))),
    "residual": (_Residual, _image),
    "lstm": (lambda: torch.nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True), _inputs((2, 6, 4))),
    "gru": (lambda: torch.nn.GRU(4, 5, batch_first=True), _inputs((2, 6, 4))),
    "encoder": (lambda: torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), _inputs((2, 5, 8))),
    "attention": (lambda: torch.nn.MultiheadAttention(8, 2), _inputs((5, 2, 8), (5, 2, 8), (5, 2, 8))),
    "flattened": (
        lambda: torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Flatten(), torch.nn.LayerNorm(12)),
        _inputs((2, 3, 4)),
    ),
}
