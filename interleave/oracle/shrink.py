"""Makes a litmus program smaller as long as something about it stays true."""

from typing import Callable, Iterator

from notation import (NA, RLX, SC, Add, Cas, Exchange, If, Load, Store)


def renumber(threads: list) -> list:
    """Registers in textual order again; the use of one whose load is gone becomes a constant, a test of one goes."""

    def visit(operations, known: dict) -> list:
        result = []
        for operation in operations:
            if isinstance(operation, If):
                if operation.register not in known:
                    continue
                register = known[operation.register]
                body = visit(operation.body, known)
                if body:
                    result.append(operation._replace(register=register, body=tuple(body)))
            elif isinstance(operation, Store):
                register = known.get(operation.register)
                result.append(operation._replace(register=register))
            elif isinstance(operation, (Load, Add, Exchange, Cas)):
                known[operation.register] = len(known)
                result.append(operation._replace(register=known[operation.register]))
            else:
                result.append(operation)
        return result

    return [thread for thread in (visit(operations, {}) for operations in threads) if thread]


def variants(operations: tuple) -> Iterator[list]:
    """The operations with one less, one conditional opened, or one order weaker."""
    operations = list(operations)
    for at, operation in enumerate(operations):
        before, after = operations[:at], operations[at + 1:]
        yield before + after
        if isinstance(operation, If):
            yield before + list(operation.body) + after
            for body in variants(operation.body):
                if body:
                    yield before + [operation._replace(body=tuple(body))] + after
        elif isinstance(operation, (Add, Exchange, Cas)):
            yield before + [Load(operation.location, operation.register, RLX)] + after
            if operation.order not in (RLX, SC):
                yield before + [operation._replace(order=RLX)] + after
        elif isinstance(operation, (Load, Store)) and operation.order not in (NA, RLX):
            yield before + [operation._replace(order=RLX)] + after


def shrink(threads: list, holds: Callable[[list], bool], steps: Callable = variants, tidy: Callable = renumber) -> list:
    """A smallest program, in the sense that no single step of `steps` or of leaving out a thread keeps it true."""
    current = threads
    while True:
        smaller = [current[:at] + current[at + 1:] for at in range(len(current)) if len(current) > 1]
        for at, operations in enumerate(current):
            smaller += [current[:at] + [variant] + current[at + 1:] for variant in steps(operations)]
        for candidate in map(tidy, smaller):
            if candidate and candidate != current and holds(candidate):
                current = candidate
                break
        else:
            return current
