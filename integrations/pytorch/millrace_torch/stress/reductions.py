"""Reductions: any shape, strides, dimensions and type."""

import torch

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# Those that have a place for each of the values of a permutation, so that the index of the largest is one index.
INDEXED = (torch.float32, torch.float64, torch.int64)


def _shape(case, low: int = 1) -> list:
    shape = []
    room = case.random.choice((64, 1_000, 20_000))
    for _ in range(case.random.randint(0, 4)):
        shape.append(min(case.random.choice((1, 2, 3, 5, 8, 17, 33, 64, 100, 1_000)), room))
        room = max(room // shape[-1], 1)
    if low == 0 and shape and case.random.random() < 0.05:
        shape[case.random.randrange(len(shape))] = 0
    return shape


def _view(case, base: torch.Tensor):
    """What makes a view of the tensor, with other strides: the same on both sides."""
    way = case.random.choice(("whole", "permuted", "stepped", "expanded", "part"))
    if base.dim() == 0 or base.numel() == 0 or way == "whole":
        return "contiguous", lambda values: values
    if way == "permuted":
        order = case.random.sample(range(base.dim()), base.dim())
        return f"permuted {order}", lambda values: values.permute(order)
    dim = case.random.randrange(base.dim())
    if way == "stepped":
        return f"each second of dim {dim}", lambda values: values.unfold(dim, 1, 2).squeeze(-1)
    if way == "expanded":
        return f"expanded at dim {dim}", lambda values: values.unsqueeze(dim).expand(
            *values.shape[:dim], 3, *values.shape[dim:])
    return f"all but the first of dim {dim}", lambda values: (
        values.narrow(dim, 1, values.shape[dim] - 1) if values.shape[dim] > 1 else values)


def _dims(case, rank: int):
    """All, one or several."""
    if rank == 0 or case.random.random() < 0.3:
        return None
    return case.random.sample(range(rank), case.random.randint(1, rank))


def _dim(case, rank: int):
    """All or one, for operators that take no more."""
    return None if rank == 0 or case.random.random() < 0.3 else case.random.randrange(rank)


def _sums(case, shape, dtype) -> torch.Tensor:
    """Values whose sums are the same to rounding in any order: small whole numbers, or all of one sign."""
    if dtype == torch.bool:
        return case.flags(*shape)
    if not dtype.is_floating_point or case.random.random() < 0.5:
        return case.integers(-8, 9, *shape).to(dtype)
    return (torch.rand(shape, generator=case.generator) + 0.5).to(dtype)


def _factors(case, shape, dtype) -> torch.Tensor:
    """Ones, and so few halves and twos that their product has a place in each type, in any order."""
    if dtype == torch.bool:
        return case.flags(*shape)
    values = (1 - 2 * case.integers(0, 2, *shape)).to(dtype)
    for _ in range(min(values.numel(), 4)):
        values.view(-1)[case.random.randrange(values.numel())] *= case.random.choice((0.5, 2)) \
            if dtype.is_floating_point else 2
    return values


def _special(case, values: torch.Tensor) -> torch.Tensor:
    """Sometimes one of them is no number or none that ends."""
    if values.is_floating_point() and values.numel() > 0 and case.random.random() < 0.1:
        values.view(-1)[case.random.randrange(values.numel())] = case.random.choice(
            (float("nan"), float("inf"), -float("inf")))
    return values


def _check(case, name: str, base: torch.Tensor, choose, reduce) -> None:
    """reduce(values, dims, keepdim) of a view of the base, with the dims that choose says."""
    described, view = _view(case, base)
    dims = choose(case, view(base).dim())
    keep = case.random.random() < 0.5
    what = f"{name} of {base.dtype} {list(base.shape)} {described}, dims {dims}, keepdim {keep}"
    case.check(what.replace("torch.", ""), lambda values: reduce(view(values), dims, keep), base)


def _over(case, name: str, base: torch.Tensor, operator, **arguments) -> None:
    """An operator that takes dims as sum does."""
    _check(case, name, base, _dims,
           lambda values, dims, keep: operator(values, **arguments) if dims is None
           else operator(values, dim=dims, keepdim=keep, **arguments))


def _sum_like(operator):
    """The operator, on the CPU in float64 where it is one of float32: the CPU adds those up in float32, in an order that
    for 60,000 of them is off by 4e-6, and the runtime does not."""
    def wide_on_cpu(values, **arguments):
        if values.dtype != torch.float32 or values.device.type != "cpu":
            return operator(values, **arguments)
        return operator(values.double(), **arguments).to(arguments.get("dtype", values.dtype))
    return wide_on_cpu


def sum_(case) -> None:
    dtype = case.random.choice((*FLOATS, torch.int64, torch.bool))
    wider = {"dtype": torch.float64} if case.random.random() < 0.2 else {}
    _over(case, "sum", _special(case, _sums(case, _shape(case, 0), dtype)), _sum_like(torch.sum), **wider)


def mean(case) -> None:
    _over(case, "mean", _special(case, _sums(case, _shape(case), case.random.choice(FLOATS))), _sum_like(torch.mean))


def extremes(case) -> None:
    """amax and amin, and max and min of all."""
    dtype = case.random.choice((*FLOATS, torch.int64, torch.bool))
    shape = _shape(case)
    base = case.flags(*shape) if dtype == torch.bool else (case.normal(*shape) * 100).to(dtype)
    name = case.random.choice(("amax", "amin"))
    base = _special(case, base)
    _over(case, name, base, getattr(torch, name))
    whole = getattr(torch, name[1:])
    case.check(f"{name[1:]} of all of {dtype} {shape}", whole, base)


def indices(case) -> None:
    """max, min and argmax, argmin: which one it is."""
    dtype = case.random.choice(INDEXED)
    shape = _shape(case)
    base = case.permutation(torch.Size(shape).numel()).reshape(shape).to(dtype)
    name = case.random.choice(("max", "min", "argmax", "argmin"))
    if name.startswith("arg"):
        # An expanded tensor has each value more than once: its values are compared, not where they are.
        _check(case, name, base, _dim,
               lambda values, dim, keep: _found(values, getattr(torch, name)(values, dim=dim, keepdim=keep), dim))
    else:
        _check(case, name, base, _dim,
               lambda values, dim, keep: getattr(torch, name)(values) if dim is None
               else getattr(torch, name)(values, dim=dim, keepdim=keep).values)


def _found(values, index, dim):
    if dim is None:
        return values.reshape(-1)[index.reshape(-1)]
    return values.gather(dim, index if index.dim() == values.dim() else index.unsqueeze(dim))


def prod(case) -> None:
    dtype = case.random.choice((*FLOATS, torch.int64, torch.bool))
    base = _factors(case, _shape(case, 0), dtype)
    _check(case, "prod", base, _dim,
           lambda values, dim, keep: values.prod() if dim is None else values.prod(dim, keep))


def spread(case) -> None:
    """var and std."""
    base = _sums(case, _shape(case), case.random.choice((torch.float32, torch.float64)))
    name = case.random.choice(("var", "std"))
    # Of one value alone torch warns that it has no spread.
    correction = case.random.choice((0, 1)) if min(base.shape, default=1) > 4 else 0
    _over(case, name, base, _sum_like(getattr(torch, name)), correction=correction)


def norm(case) -> None:
    base = _sums(case, _shape(case), case.random.choice((torch.float32, torch.float64)))
    order = case.random.choice((1, 2, float("inf")))
    # The runtime has the 2-norm; the others are the CPU's kernel on the device, too.
    operator = _sum_like(torch.linalg.vector_norm) if order == 2 else torch.linalg.vector_norm
    _check(case, f"{order}-norm", base, _dims,
           lambda values, dims, keep: operator(values, ord=order, dim=dims, keepdim=keep))


def truth(case) -> None:
    dtype = case.random.choice((torch.float32, torch.int64, torch.bool))
    name = case.random.choice(("any", "all"))
    few = case.integers(0, case.random.choice((2, 20)), *_shape(case, 0))
    base = (few == 0 if name == "any" else few != 0).to(dtype)
    _over(case, name, base, getattr(torch, name))


VARIANTS = (sum_, mean, extremes, indices, prod, spread, norm, truth)
