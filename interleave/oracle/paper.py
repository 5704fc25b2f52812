"""RC11 as the paper writes it, and generate-and-test: what search.py is held against on small programs.

Relations are sets of pairs, composed as in Lahav et al., "Repairing Sequential Consistency in C/C++11"
(PLDI'17), with C++20's release sequences. The initial values are writes, a read-modify-write is two events,
and nothing is pruned: each thread runs with every value that a read could return, each read takes every write
of its value, each location's writes come in every order. Hopeless beyond eight events or so.
"""

import itertools
from typing import NamedTuple

from notation import ACQ, NA, REL, RLX, SC, Add, Cas, Exchange, Fence, If, Load, Store

RELATIONS = {"==": lambda a, b: a == b, "!=": lambda a, b: a != b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}


class Node(NamedTuple):
    thread: int  # -1: the initial value
    place: int   # among the thread's nodes
    index: int   # among the thread's events, where a read-modify-write is one
    kind: str    # "R", "W" or "F"
    location: object
    order: int
    value: int
    rmw: bool


def runs(operations: list, values: dict):
    """Each way one thread may run if a read of a location may return any of its values: lists of nodes without threads."""

    def go(rest: list, registers: dict, nodes: list, index: int):
        if not rest:
            yield nodes
            return
        operation, rest = rest[0], rest[1:]
        if isinstance(operation, If):
            taken = RELATIONS[operation.relation](registers.get(operation.register, 0), operation.constant)
            yield from go((list(operation.body) if taken else []) + rest, registers, nodes, index)
            return

        def node(kind, order, value, rmw=False, place=0):
            return Node(0, len(nodes) + place, index, kind, getattr(operation, "location", None), order, value, rmw)

        if isinstance(operation, Fence):
            yield from go(rest, registers, nodes + [node("F", operation.order, 0)], index + 1)
        elif isinstance(operation, Store):
            value = operation.constant
            if operation.register is not None:
                value += registers.get(operation.register, 0)
            yield from go(rest, registers, nodes + [node("W", operation.order, value)], index + 1)
        else:
            for value in sorted(values[operation.location]):
                after = {**registers, operation.register: value}
                written = None
                if isinstance(operation, Add):
                    written = value + operation.operand
                elif isinstance(operation, Exchange):
                    written = operation.value
                elif isinstance(operation, Cas) and value == operation.expected:
                    written = operation.desired
                if written is not None:
                    pair = [node("R", operation.order, value, True), node("W", operation.order, written, True, 1)]
                    yield from go(rest, after, nodes + pair, index + 1)
                else:
                    order = operation.failure if isinstance(operation, Cas) else operation.order
                    yield from go(rest, after, nodes + [node("R", order, value)], index + 1)

    yield from go(operations, {}, [], 0)


def possible_values(program: list) -> dict:
    """What a location may hold at all: its initial 0 and what the threads write, until nothing is new.

    Each write of an acyclic execution has a chain of distinct writes behind its value, which bounds the rounds.
    """
    locations, writes = set(), 0

    def visit(operations):
        nonlocal writes
        for operation in operations:
            if isinstance(operation, If):
                visit(operation.body)
            elif not isinstance(operation, Fence):
                locations.add(operation.location)
                writes += not isinstance(operation, Load)

    for thread in program:
        visit(thread)
    values = {location: {0} for location in locations}
    for _ in range(writes):
        found = {location: set(known) for location, known in values.items()}
        for thread in program:
            for nodes in runs(thread, values):
                for node in nodes:
                    if node.kind == "W":
                        found[node.location].add(node.value)
        if found == values:
            break
        values = found
    return values


def compose(*relations: set) -> set:
    result = relations[0]
    for relation in relations[1:]:
        successors = {}
        for a, b in relation:
            successors.setdefault(a, set()).add(b)
        result = {(a, c) for a, b in result for c in successors.get(b, ())}
    return result


def closure(relation: set) -> set:
    result = set(relation)
    while True:
        more = compose(result, relation) - result
        if not more:
            return result
        result |= more


def irreflexive(relation: set) -> bool:
    return all(a != b for a, b in relation)


def identity(nodes) -> set:
    return {(node, node) for node in nodes}


class Execution:
    def __init__(self, nodes: list, rf: set, mo: set):
        self.nodes, self.rf, self.mo = nodes, rf, mo
        self.all = identity(nodes)
        self.po = {(a, b) for a in nodes for b in nodes
                   if a.thread == b.thread >= 0 and a.place < b.place or a.thread < 0 <= b.thread}
        self.rmw = {(a, b) for a, b in self.po
                    if a.rmw and b.rmw and a.thread == b.thread and a.index == b.index}
        self.rb = compose({(b, a) for a, b in rf}, mo)
        self.same = {(a, b) for a in nodes for b in nodes if a.location is not None and a.location == b.location}
        writes = self.of("W", RLX)
        sequence = compose(writes, self.all | closure(compose(rf, self.rmw)), writes)
        fences = self.of("F", NA)
        sw = compose(self.of("RWF", REL), self.all | compose(fences, self.po), sequence, rf, self.of("R", RLX),
                     self.all | compose(self.po, fences), self.of("RWF", ACQ))
        self.hb = closure(self.po | sw)
        self.eco = closure(rf | mo | self.rb)

    def of(self, kinds: str, order: int) -> set:
        return identity(node for node in self.nodes if node.kind in kinds and node.order & order == order)

    def consistent(self, model: str) -> bool:
        hb, eco, po = self.hb, self.eco, self.po
        if not irreflexive(closure(po | self.rf)):
            return False
        if not irreflexive(hb) or not irreflexive(compose(hb, eco)):
            return False
        if self.rmw & compose(self.rb, self.mo):
            return False
        if model == "sc":
            return irreflexive(closure(po | self.rf | self.mo | self.rb))
        events, fences = self.of("RWF", SC), self.of("F", SC)
        elsewhere = po - self.same
        scb = po | compose(elsewhere, hb, elsewhere) | (hb & self.same) | self.mo | self.rb
        maybe = self.all | hb
        psc = compose(events | compose(fences, maybe), scb, events | compose(maybe, fences))
        psc |= compose(fences, hb | compose(hb, eco, hb), fences)
        return irreflexive(closure(psc))

    def races(self) -> bool:
        return any(a.thread >= 0 and b.thread >= 0 and a.thread != b.thread and "W" in (a.kind, b.kind)
                   and NA in (a.order, b.order) and (a, b) not in self.hb and (b, a) not in self.hb
                   for a, b in self.same)

    def line(self) -> str:
        """The canonical form, as README.md gives it."""
        source = {b: a for a, b in self.rf}

        def name(node):
            return "init" if node.thread < 0 else f"{node.thread}.{node.index}"

        words = ["graph"] + [f"{name(node)}={name(source[node])}" for node in self.nodes if node.kind == "R"] + ["/"]
        for location in sorted({node.location for node in self.nodes if node.kind == "W" and node.thread >= 0}):
            writes = [node for node in self.nodes if node.kind == "W" and node.location == location and node.thread >= 0]
            ordered = sorted(writes, key=lambda node: sum((other, node) in self.mo for other in writes))
            words.append(f"{location}:{','.join(map(name, ordered))}")
        return " ".join(words) + (" race" if self.races() else "")


def executions(program: list, model: str = "rc11") -> list:
    """The canonical lines of all consistent executions."""
    values = possible_values(program)
    found = []
    for chosen in itertools.product(*[list(runs(thread, values)) for thread in program]):
        nodes = [Node(-1, 0, 0, "W", location, NA, 0, False) for location in sorted(values)]
        for thread, run in enumerate(chosen):
            nodes += [node._replace(thread=thread) for node in run]
        reads = [node for node in nodes if node.kind == "R"]
        sources = [[w for w in nodes if w.kind == "W" and w.location == r.location and w.value == r.value] for r in reads]
        orders = []
        for location in sorted(values):
            writes = [node for node in nodes if node.kind == "W" and node.location == location]
            orders.append([(writes[0],) + order for order in itertools.permutations(writes[1:])])
        for picked in itertools.product(*sources):
            rf = set(zip(picked, reads))
            for permutations in itertools.product(*orders):
                mo = {pair for order in permutations for pair in itertools.combinations(order, 2)}
                execution = Execution(nodes, rf, mo)
                if execution.consistent(model):
                    found.append(execution.line())
    return found
