"""Scatter and gather, embeddings, joins, and orders of elements."""

import torch
from torch import nn
from torch.nn import functional as F

from .case import with_gradients


def scatter(case) -> None:
    rows, columns = 12, case.random.choice((5, 31))
    unique = torch.stack([case.permutation(rows) for _ in range(columns)], dim=1)
    values = case.normal(rows, columns)
    case.check("scatter", lambda target, index, values: target.scatter(0, index, values),
               torch.zeros(rows, columns), unique, values)
    index = case.integers(0, rows, rows, columns)
    whole = case.integers(-50, 50, rows, columns).float()
    case.check("scatter_add_", lambda target, index, values: target.scatter_add_(0, index, values),
               torch.zeros(rows, columns), index, whole)
    case.check("scatter_reduce amax", lambda target, index, values: target.scatter_reduce(0, index, values, "amax"),
               torch.zeros(rows, columns), index, whole)


def gather(case) -> None:
    values = case.normal(9, 21)
    case.check("gather", lambda values, index: values.gather(1, index), values, case.integers(0, 21, 9, 8))
    case.check("take_along_dim of argsort",
               lambda values: torch.take_along_dim(values, values.argsort(dim=1), dim=1), values)


def select(case) -> None:
    values = case.normal(20, 6)
    index = case.integers(0, 20, 33)
    case.check("index_select", lambda values, index: values.index_select(0, index), values, index)
    case.check("indexing by a tensor and a slice", lambda values, index: values[index, 1:4], values, index)
    case.check("index_add", lambda values, index, added: values.index_add_(0, index, added), torch.zeros(20, 6), index,
               case.integers(-9, 9, 33, 6).float())


def put(case) -> None:
    def write(values, index, written):
        values.index_put_((index,), written, accumulate=True)
        values[values < -1] = 0
        return values

    case.check("index_put_ and a masked write", write, case.integers(-3, 3, 20, 6).float(),
               case.integers(0, 20, 33), case.integers(-9, 9, 33, 6).float())


def by_data(case) -> None:
    """Operators whose shape the data decides."""
    values = case.integers(-2, 3, 17, 8)
    case.check("nonzero", torch.nonzero, values)
    case.check("masked_select", lambda values: values.masked_select(values > 0), values)
    case.check("unique", lambda values: torch.unique(values, return_counts=True), values)


class _Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(40, 12, padding_idx=0)
        self.outward = nn.Linear(12, 5)

    def forward(self, index):
        return self.outward(self.words(index))


def embedding(case) -> None:
    model = case.module(_Words)
    index = case.integers(0, 40, 4, 9)
    case.check("embedding with gradients", with_gradients, model, index)
    case.check("embedding_bag", lambda table, index: F.embedding_bag(index, table, mode="sum"), case.normal(40, 12),
               index)


def joins(case) -> None:
    widths = [case.random.randint(1, 9) for _ in range(4)]
    parts = [case.normal(6, width) for width in widths]
    case.check("cat, split and stack", lambda *parts: [
        torch.cat(parts, 1), *torch.split(torch.cat(parts, 1), widths, 1),
        torch.stack([part.sum(1) for part in parts])], *parts)
    case.check("where, roll and flip", lambda values, other: [
        torch.where(values > 0, values, other), values.roll(3, 0), values.flip(1)],
        case.normal(8, 5), case.normal(8, 5))


def order(case) -> None:
    """Distinct values, for which there is one order."""
    values = case.permutation(300).reshape(6, 50).to(case.random.choice((torch.float32, torch.int64)))
    descending = case.random.random() < 0.5
    case.check("sort", lambda values: torch.sort(values, dim=1, descending=descending), values)
    case.check("topk", lambda values: torch.topk(values, 7, dim=1, largest=descending), values)
    case.check("cumsum and cumprod", lambda values: (values.cumsum(0), values.cumprod(1)),
               case.integers(-1, 2, 7, 12).double())


VARIANTS = (scatter, gather, select, put, by_data, embedding, joins, order)
