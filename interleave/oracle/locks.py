"""Programs with mutexes: their notation, and every execution of one by the axioms.

    lock m; x=1.rlx; unlock m || try m{R x.acq; unlock m}

is the notation of litmus programs (notation.py), of which it has loads, stores and additions, with mutexes. What a
thread does when its try_lock succeeds is the body, which unlocks.

A mutex is a location that is 0 while it is free. A lock is an acquire read-modify-write that makes 1 of 0 and waits for
it, an unlock a release store of 0, a try_lock a compare-exchange whose failure is relaxed: it fails iff what it reads
is 1. The axioms make of this what docs/model.md says of mutexes. With fences they would say more than C++, to which a
mutex is no atomic object; so there are none.

In a graph's line (README.md) the writes of a mutex are the locks and the try_locks that succeeded; those read from the
one before, and a try_lock that failed from the one that it met. An unlock is an event, but no write.
"""

import itertools
from typing import Iterator, NamedTuple, Union

import notation
from notation import ORDERS, Add, Load, Store
from search import BLOCKED, STORE, Search, Step


class Lock(NamedTuple):
    mutex: str


class Unlock(NamedTuple):
    mutex: str


class Try(NamedTuple):
    mutex: str
    body: tuple  # has the unlock, at its top level


Operation = Union[Lock, Unlock, Try, Store, Load, Add]


class Parser(notation.Parser):
    def operation(self) -> Operation:
        if self.accept("lock"):
            return Lock(self.location())
        if self.accept("unlock"):
            return Unlock(self.location())
        if self.accept("try"):
            mutex = self.location()
            self.take("{")
            body = self.operations()
            self.take("}")
            return Try(mutex, tuple(body))
        return super().operation()


def parse(line: str) -> list:
    """The threads of a program; raises Malformed. That it locks and unlocks in turn is for the caller."""
    return Parser(line).program()


def operation_text(operation: Operation) -> str:
    if isinstance(operation, Lock):
        return f"lock {operation.mutex}"
    if isinstance(operation, Unlock):
        return f"unlock {operation.mutex}"
    if isinstance(operation, Try):
        return f"try {operation.mutex}{{{'; '.join(map(operation_text, operation.body))}}}"
    return notation.operation_text(operation)


def text(threads: list) -> str:
    return " || ".join("; ".join(map(operation_text, thread)) for thread in threads)


class Code:
    """A thread as search.Search wants it: its states are positions. It goes no further than the lock at `stop`."""

    start = 0

    def __init__(self, operations, stop: Union[int, None] = None):
        self.code = []   # (operation, where a try_lock that fails goes on)
        self.stop = stop
        self._flatten(operations)

    def _flatten(self, operations):
        for operation in operations:
            at = len(self.code)
            self.code.append((operation, at + 1))
            if isinstance(operation, Try):
                self._flatten(operation.body)
                self.code[at] = (operation, len(self.code))

    def writers(self, location) -> list:
        """The keys of the steps that may write it."""
        return [key for key, (operation, _) in enumerate(self.code)
                if not isinstance(operation, Load) and operation[0] == location]

    def step(self, at: int):
        if at == len(self.code) or at == self.stop:
            return None, at
        operation, _ = self.code[at]
        if isinstance(operation, Lock):
            return Step(at, operation.mutex, ORDERS["acq"], 0, lambda value: 1 if value == 0 else BLOCKED), at
        if isinstance(operation, Try):
            return Step(at, operation.mutex, ORDERS["acq"], ORDERS["rlx"], lambda value: 1 if value == 0 else None), at
        if isinstance(operation, Unlock):
            return Step(at, operation.mutex, ORDERS["rel"], STORE, 0), at
        if isinstance(operation, Store):
            return Step(at, operation.location, operation.order, STORE, operation.constant), at
        written = (lambda value: value + operation.operand) if isinstance(operation, Add) else None
        return Step(at, operation.location, operation.order, operation.order, written), at

    def after(self, at: int, value) -> int:
        operation, rest = self.code[at]
        return rest if isinstance(operation, Try) and value != 0 else at + 1

    def waits(self) -> Iterator[tuple]:
        """(position, whether the thread holds another mutex there) of each lock."""
        held = []
        ends = {}  # where a body ends -> what is held if its try_lock has failed
        for at, (operation, rest) in enumerate(self.code):
            held = ends.pop(at, held)
            if isinstance(operation, Lock):
                yield at, bool(held)
                held = held + [operation.mutex]
            elif isinstance(operation, Try):
                ends[rest] = held
                held = held + [operation.mutex]
            elif isinstance(operation, Unlock):
                held = [mutex for mutex in held if mutex != operation.mutex]


def mutexes(threads: list) -> set:
    return {operation.mutex for thread in threads for operation, _ in Code(thread).code
            if isinstance(operation, (Lock, Try))}


def tickets(line: str, named: set) -> str:
    """The line without the writes of unlocks: who reads from one reads from the lock before it."""
    reads, _, places = line.partition(" /")
    unlocked, orders = {}, []
    for place in places.split():
        location, _, writes = place.partition(":")
        writes = writes.split(",")
        if location in named:  # a lock, its unlock, the next lock, ...
            unlocked.update(zip(writes[1::2], writes[0::2]))
            writes = writes[0::2]
        orders.append(f" {location}:{','.join(writes)}")
    found = ["graph"]
    for read in reads.split()[1:]:
        name, _, source = read.partition("=")
        found.append(f"{name}={unlocked.get(source, source)}")
    return " ".join(found) + " /" + "".join(orders)


def held_at_the_end(line: str, mutex: str) -> bool:
    """Whether the last write of the mutex is a lock, which reads, and not an unlock."""
    reads, _, places = line.partition(" /")
    for place in places.split():
        location, _, writes = place.partition(":")
        if location == mutex:
            return f" {writes.split(',')[-1]}=" in reads
    return False


def deadlocks(threads: list, model: str = "rc11", limit: int = 0) -> bool:
    """Whether there is an execution that ends with threads each of which waits for a mutex that is held."""
    waits = [list(Code(thread).waits()) for thread in threads]
    for stops in itertools.product(*([None] + waiting for waiting in waits)):
        if sum(stop is not None and stop[1] for stop in stops) < 2:
            continue  # a cycle has two threads that hold one and wait for another
        codes = [Code(thread, None if stop is None else stop[0]) for thread, stop in zip(threads, stops)]
        wanted = {code.code[code.stop][0].mutex for code in codes if code.stop is not None}
        for line in Search(codes, model, limit).run():
            if all(held_at_the_end(line, mutex) for mutex in wanted):
                return True
    return False


def executions(threads: list, model: str = "rc11", limit: int = 0) -> list:
    """The lines of the complete ones; raises search.TooMany beyond the limit, if it is not 0."""
    named = mutexes(threads)
    return [tickets(line, named) for line in Search([Code(thread) for thread in threads], model, limit).run()]
