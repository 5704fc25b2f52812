"""The notation of litmus programs: one program a line, threads separated by ||, operations by ;.

    x=1.rlx   x=r0+1.rel   R y.acq   x+=1.ar   xchg(x,1).sc   cas(x,0->1).acq/rlx   F.sc   if r0==1{...; ...}

parse() gives the threads as lists of operations, text() writes them back. A load, addition, exchange or
compare-exchange puts what it read into its thread's next register, counted in textual order.
"""

import re
from typing import NamedTuple, Union

NA, RLX, ACQ, REL, SC = 0, 1, 2, 4, 8  # an order is the set of what it gives
ORDERS = {"na": NA, "rlx": RLX, "acq": RLX | ACQ, "rel": RLX | REL, "ar": RLX | ACQ | REL, "sc": RLX | ACQ | REL | SC}
NAMES = {order: name for name, order in ORDERS.items()}

READ_ORDERS = ("na", "rlx", "acq", "sc")
WRITE_ORDERS = ("na", "rlx", "rel", "sc")
RMW_ORDERS = ("rlx", "acq", "rel", "ar", "sc")
FAILURE_ORDERS = ("rlx", "acq", "sc")
FENCE_ORDERS = ("acq", "rel", "ar", "sc")


class Store(NamedTuple):
    location: str
    register: Union[int, None]  # added to the constant
    constant: int
    order: int


class Load(NamedTuple):
    location: str
    register: int
    order: int


class Add(NamedTuple):
    location: str
    register: int
    operand: int
    order: int


class Exchange(NamedTuple):
    location: str
    register: int
    value: int
    order: int


class Cas(NamedTuple):
    location: str
    register: int
    expected: int
    desired: int
    order: int
    failure: int


class Fence(NamedTuple):
    order: int


class If(NamedTuple):
    register: int
    relation: str
    constant: int
    body: tuple


Operation = Union[Store, Load, Add, Exchange, Cas, Fence, If]


class Malformed(ValueError):
    """What is wrong with a line, and at which column, counted from 1."""


TOKEN = re.compile(r"\s*(?:(\|\||->|\+=|==|!=|>=|[-+]?\d+|[A-Za-z_][A-Za-z0-9_]*)|(\S))")


class Parser:
    def __init__(self, line: str):
        self.tokens = []
        for match in TOKEN.finditer(line.rstrip()):
            group = 1 if match.group(1) else 2
            self.tokens.append((match.group(group), match.start(group) + 1))
        self.tokens.append(("", len(line.rstrip()) + 1))
        self.at = 0
        self.registers = 0

    def fail(self, expected: str):
        token, column = self.tokens[self.at]
        found = f"'{token}'" if token else "the end of the line"
        raise Malformed(f"column {column}: expected {expected}, found {found}")

    def peek(self) -> str:
        return self.tokens[self.at][0]

    def take(self, expected: str):
        if self.peek() != expected:
            self.fail(f"'{expected}'")
        self.at += 1

    def accept(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.at += 1
        return True

    def match(self, pattern: str, expected: str) -> str:
        token = self.peek()
        if not re.fullmatch(pattern, token):
            self.fail(expected)
        self.at += 1
        return token

    def constant(self) -> int:
        return int(self.match(r"[-+]?\d+", "a number"))

    def location(self) -> str:
        return self.match(r"(?!r\d+$|if$|cas$|xchg$)[a-z][a-z0-9_]*", "a location")

    def old_register(self) -> int:
        register = int(self.match(r"r\d+", "a register")[1:])
        if register >= self.registers:
            self.at -= 1
            self.fail("a register that an earlier operation loads into")
        return register

    def new_register(self) -> int:
        self.registers += 1
        return self.registers - 1

    def order(self, allowed: tuple) -> int:
        return ORDERS[self.match("|".join(allowed), "one of the orders " + " ".join(allowed))]

    def program(self) -> list:
        threads = []
        while True:
            self.registers = 0
            threads.append(self.operations())
            if not self.accept("||"):
                break
        if self.peek():
            self.fail("';' or '||'")
        return threads

    def operations(self) -> list:
        found = [self.operation()]
        while self.accept(";"):
            found.append(self.operation())
        return found

    def operation(self) -> Operation:
        if self.accept("R"):
            location = self.location()
            self.take(".")
            return Load(location, self.new_register(), self.order(READ_ORDERS))
        if self.accept("F"):
            self.take(".")
            return Fence(self.order(FENCE_ORDERS))
        if self.accept("if"):
            return self.conditional()
        if self.accept("cas"):
            return self.compare_exchange()
        if self.accept("xchg"):
            self.take("(")
            location = self.location()
            self.take(",")
            value = self.constant()
            self.take(")")
            self.take(".")
            return Exchange(location, self.new_register(), value, self.order(RMW_ORDERS))
        location = self.location()
        if self.accept("+="):
            operand = self.constant()
            self.take(".")
            return Add(location, self.new_register(), operand, self.order(RMW_ORDERS))
        self.take("=")
        return self.store(location)

    def store(self, location: str) -> Store:
        register, constant = None, 0
        if self.peek().startswith("r"):
            register = self.old_register()
            if self.accept("+"):
                constant = self.constant()
            elif re.fullmatch(r"[-+]\d+", self.peek()):
                constant = self.constant()
        else:
            constant = self.constant()
        self.take(".")
        return Store(location, register, constant, self.order(WRITE_ORDERS))

    def compare_exchange(self) -> Cas:
        self.take("(")
        location = self.location()
        self.take(",")
        expected = self.constant()
        self.take("->")
        desired = self.constant()
        self.take(")")
        self.take(".")
        success = self.order(RMW_ORDERS)
        self.take("/")
        return Cas(location, self.new_register(), expected, desired, success, self.order(FAILURE_ORDERS))

    def conditional(self) -> If:
        register = self.old_register()
        relation = self.match(r"==|!=|>=|>", "'==', '!=', '>' or '>='")
        constant = self.constant()
        self.take("{")
        body = self.operations()
        self.take("}")
        return If(register, relation, constant, tuple(body))


def parse(line: str) -> list:
    """The threads of a program; raises Malformed."""
    return Parser(line).program()


def operation_text(operation: Operation) -> str:
    kind = type(operation)
    if kind is Store:
        value = str(operation.constant)
        if operation.register is not None:
            value = f"r{operation.register}" + (f"{operation.constant:+d}" if operation.constant else "")
        return f"{operation.location}={value}.{NAMES[operation.order]}"
    if kind is Load:
        return f"R {operation.location}.{NAMES[operation.order]}"
    if kind is Add:
        return f"{operation.location}+={operation.operand}.{NAMES[operation.order]}"
    if kind is Exchange:
        return f"xchg({operation.location},{operation.value}).{NAMES[operation.order]}"
    if kind is Cas:
        orders = f"{NAMES[operation.order]}/{NAMES[operation.failure]}"
        return f"cas({operation.location},{operation.expected}->{operation.desired}).{orders}"
    if kind is Fence:
        return f"F.{NAMES[operation.order]}"
    body = "; ".join(operation_text(inner) for inner in operation.body)
    return f"if r{operation.register}{operation.relation}{operation.constant}{{{body}}}"


def text(threads: list) -> str:
    """The program in the notation; parse(text(p)) == p if its registers are in textual order."""
    return " || ".join("; ".join(operation_text(operation) for operation in thread) for thread in threads)
