"""The oracle for programs with loops: threads as generators that yield operations and are sent what they read.

    def incrementer():
        while True:
            seen = yield load("x", "rlx")
            if (yield cas("x", seen, seen + 1, "rlx", "rlx")) == seen:
                return

    count(incrementer, incrementer)

is the number of executions. A thread must be a function of what it reads. `await_value` is a read that only some
values end, `lock` a compare-exchange that only succeeds: executions in which a thread stays blocked do not count.
test_scenarios.py has the programs of tests/correct/, and holds the counts that stand there against this.
"""

from typing import Callable

from notation import ORDERS
from search import BLOCKED, STORE, Search, Step

LONGEST = 24  # steps of a thread


def load(location, order):
    return (location, ORDERS[order], ORDERS[order], None)


def store(location, value, order):
    return (location, ORDERS[order], STORE, value)


def add(location, operand, order):
    return (location, ORDERS[order], 0, lambda value: value + operand)


def exchange(location, value, order):
    return (location, ORDERS[order], 0, lambda old: value)


def cas(location, expected, desired, order, failure):
    return (location, ORDERS[order], ORDERS[failure], lambda value: desired if value == expected else None)


def fence(order):
    return (None, ORDERS[order], 0, None)


def await_value(location, condition: Callable, order):
    return (location, ORDERS[order], ORDERS[order], lambda value: None if condition(value) else BLOCKED)


def lock(location):
    return (location, ORDERS["acq"], 0, lambda value: 1 if value == 0 else BLOCKED)


def unlock(location):
    return store(location, 0, "rel")


class Code:
    """A generator as search.Search wants a thread; its state is what it has read."""

    start = ()

    def __init__(self, function: Callable, longest: int):
        self.function = function
        self.longest = longest
        self.steps = {}

    def writers(self, location) -> range:
        return range(self.longest)

    def step(self, history: tuple):
        if history not in self.steps:
            self.steps[history] = self._run(history)
        return self.steps[history], history

    def after(self, history: tuple, value) -> tuple:
        return history + (value,)

    def _run(self, history: tuple):
        running = self.function()
        try:
            operation = next(running)
            for value in history:
                operation = running.send(value)
        except StopIteration:
            return None
        if len(history) >= self.longest:
            raise ValueError(f"{self.function.__name__} takes more than {self.longest} steps")
        return Step(len(history), *operation)


def executions(*threads: Callable, longest: int = LONGEST):
    """(canonical lines, race)"""
    search = Search([Code(thread, longest) for thread in threads])
    return search.run(), search.race


def count(*threads: Callable, longest: int = LONGEST) -> int:
    graphs, race = executions(*threads, longest=longest)
    if race:
        raise ValueError("the program races")
    return len(graphs)
