"""Random litmus programs: 2 to 4 threads, 4 to 14 events, everything that the notation has.

A program's flavour is drawn first (how many locations, which orders, how many plain accesses and
read-modify-writes), so that there are programs of nearly nothing but SC fences as well as ones of nearly
nothing but relaxed loads; drawing each operation by itself would make them all alike.
"""

import random

from notation import (FAILURE_ORDERS, FENCE_ORDERS, ORDERS, READ_ORDERS, RMW_ORDERS, WRITE_ORDERS, Add, Cas,
                      Exchange, Fence, If, Load, Store)

FLAVOURS = (
    # weights of na, rlx, acq/rel/ar, sc
    ("relaxed", (0, 8, 1, 1)),
    ("release-acquire", (0, 2, 8, 1)),
    ("sequential", (0, 2, 1, 8)),
    ("mixed", (0, 1, 1, 1)),
    ("plain", (4, 2, 4, 1)),
    ("guarded", (0, 1, 8, 2)),  # and one location that is only accessed plainly
)


class Generator:
    """The same programs for the same seed, which may be a number or a string."""

    def __init__(self, seed, events: tuple = (4, 14)):
        self.random = random.Random(seed)
        self.events = events

    def program(self) -> list:
        draw = self.random
        self.flavour, self.weights = draw.choice(FLAVOURS)
        self.locations = ["x", "y", "z"][:draw.choice((1, 2, 2, 2, 3, 3))]
        # stores, loads, additions, exchanges, compare-exchanges, fences
        self.operations = draw.choice(((4, 4, 0, 0, 0, 0), (4, 4, 0, 0, 0, 2), (3, 3, 1, 1, 1, 1), (1, 1, 2, 2, 4, 1),
                                       (2, 5, 1, 0, 0, 1), (5, 3, 0, 1, 1, 1), (2, 2, 0, 0, 0, 3)))
        self.conditionals = draw.choice((0, 0, 0.1, 0.3))
        threads = draw.randint(2, 4)
        smallest = max(self.events[0], threads)
        # The larger of three: most small programs have a handful of executions.
        total = max(draw.randint(smallest, self.events[1]) for _ in range(3))
        sizes = [1] * threads
        for _ in range(total - threads):
            sizes[draw.randrange(threads)] += 1
        return [self._thread(size) for size in sizes]

    def _thread(self, size: int) -> list:
        self.loads = 0
        return self._block(size)

    def _block(self, size: int) -> list:
        draw, operations = self.random, []
        while size:
            if self.loads and draw.random() < self.conditionals:
                register = draw.randrange(self.loads)
                inner = draw.randint(1, min(size, 3))
                relation = draw.choice(("==", "==", "!=", ">", ">="))
                constant = draw.choice((0, 1, 1, 2))
                operations.append(If(register, relation, constant, tuple(self._block(inner))))
                size -= inner
            else:
                operations.append(self._operation())
                size -= 1
        return operations

    def _order(self, allowed: tuple) -> int:
        groups = [[name for name in allowed if name in group]
                  for group in (("na",), ("rlx",), ("acq", "rel", "ar"), ("sc",))]
        usable = [(group, weight) for group, weight in zip(groups, self.weights) if group and weight]
        group = self.random.choices([group for group, _ in usable], [weight for _, weight in usable])[0]
        return ORDERS[self.random.choice(group)]

    def _register(self) -> int:
        self.loads += 1
        return self.loads - 1

    def _operation(self):
        draw = self.random
        kind = draw.choices(range(6), self.operations)[0]
        if self.flavour == "guarded" and kind < 2 and draw.random() < 0.3:
            if kind == 0:
                return Store("d", None, draw.randint(1, 2), ORDERS["na"])
            return Load("d", self._register(), ORDERS["na"])
        location = draw.choice(self.locations)
        if kind == 0:
            register, constant = None, draw.randint(0 if draw.random() < 0.1 else 1, 3)
            if self.loads and draw.random() < 0.25:
                register, constant = draw.randrange(self.loads), draw.choice((0, 1))
            return Store(location, register, constant, self._order(WRITE_ORDERS))
        if kind == 1:
            return Load(location, self._register(), self._order(READ_ORDERS))
        if kind == 2:
            return Add(location, self._register(), draw.choice((1, 1, 2, -1)), self._order(RMW_ORDERS))
        if kind == 3:
            return Exchange(location, self._register(), draw.randint(1, 3), self._order(RMW_ORDERS))
        if kind == 4:
            return Cas(location, self._register(), draw.choice((0, 0, 1, 2)), draw.randint(1, 3), self._order(RMW_ORDERS),
                       self._order(FAILURE_ORDERS))
        return Fence(self._order(FENCE_ORDERS))
