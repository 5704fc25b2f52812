"""Random programs with mutexes (locks.py), and the steps by which one is made smaller.

2 to 4 threads, one or two mutexes, 3 to 10 locks, try_locks and atomic accesses. A mutex is unlocked where it was
locked or tried, but anywhere there: sections nest, overlap, and go on behind an unlock. As in generator.py, a program's
flavour is drawn first.
"""

import random
from typing import Iterator

from locks import Lock, Try, Unlock
from notation import ORDERS, RLX, Add, Load, Store

ORDERINGS = (("rlx",), ("rlx", "acq", "rel", "ar"), ("acq", "rel", "ar"), ("sc",), ("rlx", "acq", "rel", "ar", "sc"))
KINDS = ("lock", "try", "store", "load", "add")
WEIGHTS = (  # of the kinds
    (2, 2, 0, 0, 0), (3, 1, 0, 0, 0), (0, 1, 0, 0, 0), (1, 3, 1, 1, 0), (2, 2, 1, 2, 0), (2, 1, 2, 2, 1), (3, 0, 2, 2, 0),
    (0, 3, 1, 1, 1),
)


class Generator:
    """The same programs for the same seed, which may be a number or a string."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def program(self) -> list:
        draw = self.random
        self.mutexes = ["m", "n"][:draw.choice((1, 2, 2))]
        self.locations = ["x", "y"][:draw.choice((1, 1, 2))]
        self.weights = draw.choice(WEIGHTS)
        self.orders = draw.choice(ORDERINGS)
        sizes = [1] * draw.randint(2, 4)
        for _ in range(draw.randint(max(3, len(sizes)), 10) - len(sizes)):
            sizes[draw.randrange(len(sizes))] += 1
        return [self._block(size, ()) for size in sizes]

    def _block(self, size: int, held: tuple) -> list:
        draw, operations = self.random, []
        free = [mutex for mutex in self.mutexes if mutex not in held]
        weights = [weight if free or kind not in ("lock", "try") else 0 for kind, weight in zip(KINDS, self.weights)]
        while size and any(weights):
            size -= 1
            kind = draw.choices(KINDS, weights)[0]
            if kind in ("lock", "try"):
                inner = min(size, draw.choice((0, 0, 1, 1, 1, 2, 3)))
                operations += self._section(kind, draw.choice(free), inner, held)
                size -= inner
            else:
                operations.append(self._access(kind))
        return operations

    def _section(self, kind: str, mutex: str, size: int, held: tuple) -> list:
        body = self._block(size, held + (mutex,))
        body.insert(len(body) if self.random.random() < 0.7 else self.random.randint(0, len(body)), Unlock(mutex))
        return [Lock(mutex)] + body if kind == "lock" else [Try(mutex, tuple(body))]

    def _order(self, *allowed: str) -> int:
        return ORDERS[self.random.choice([order for order in self.orders if order in allowed] or ["rlx"])]

    def _access(self, kind: str):
        location = self.random.choice(self.locations)
        if kind == "store":
            return Store(location, None, self.random.randint(1, 2), self._order("rlx", "rel", "sc"))
        if kind == "load":
            return Load(location, 0, self._order("rlx", "acq", "sc"))
        return Add(location, 0, 1, self._order("rlx", "acq", "rel", "ar", "sc"))


def variants(operations) -> Iterator[list]:
    """The operations with an access or a critical section less, a section opened, or an order weaker."""
    operations = list(operations)
    for at, operation in enumerate(operations):
        before, after = operations[:at], operations[at + 1:]
        if isinstance(operation, Lock):
            unlock = after.index(Unlock(operation.mutex))
            yield before + after[:unlock] + after[unlock + 1:]
        elif isinstance(operation, Try):
            yield before + after
            yield before + [inner for inner in operation.body if inner != Unlock(operation.mutex)] + after
            for body in variants(operation.body):
                yield before + [Try(operation.mutex, tuple(body))] + after
        elif not isinstance(operation, Unlock):
            yield before + after
            if isinstance(operation, Add):
                yield before + [Load(operation.location, 0, RLX)] + after
            if operation.order != RLX:
                yield before + [operation._replace(order=RLX)] + after


def tidy(threads: list) -> list:
    return [thread for thread in threads if thread]
