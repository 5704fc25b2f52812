"""Every execution of a litmus program, by brute force.

Each read that a thread comes to may read from the initial value or from any store instruction of the program;
a thread whose read's source has not been executed waits for it. Where all threads end, the sources chosen make
one graph, and different choices make different graphs; where they don't, a source is never executed, or program
order and reads-from are cyclic. For each such graph the modification orders are permuted and the axioms
(axioms.py) decide.

What keeps this short of hopeless: a choice is given up as soon as happens-before, which later events do not
change, forces a cycle upon one location's modification order. Only sound conclusions are drawn; that none is
wrong is tested against paper.py, which draws none.
"""

from typing import NamedTuple

from axioms import INIT, Event, Graph, bits
from notation import ACQ, REL, RLX, Add, Cas, Exchange, Fence, If, Store

STORE = -1    # in place of the order of a failed read: nothing is read
NEVER = 1 << 30  # the key of a thread that has ended
NAMES = [[f"{thread}.{index}" for index in range(64)] for thread in range(16)]
BLOCKED = object()  # written: such a value does not let the thread go on


class TooMany(Exception):
    """More executions, or more choices on the way to them, than the caller has patience for."""


class Step(NamedTuple):
    """What a thread does next."""
    key: int           # grows along a thread; names the event as a source
    location: object   # None: a fence
    order: int
    failure: int       # the order if a read writes nothing
    written: object    # of a store its value; of a read what turns the value read into the one written; None: a load


class Litmus:
    """A thread in the notation. Its states are (position, registers)."""

    RELATIONS = {"==": lambda a, b: a == b, "!=": lambda a, b: a != b,
                 ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}
    start = (0, ())

    def __init__(self, operations):
        self.code = []
        self._flatten(operations)

    def _flatten(self, operations):
        for operation in operations:
            if not isinstance(operation, If):
                self.code.append((operation, self._written(operation)))
                continue
            at = len(self.code)
            self.code.append(None)
            self._flatten(operation.body)
            self.code[at] = (operation, len(self.code))  # where it goes on if the condition is false

    @staticmethod
    def _written(operation):
        if isinstance(operation, Add):
            return lambda value: value + operation.operand
        if isinstance(operation, Exchange):
            return lambda value: operation.value
        if isinstance(operation, Cas):
            return lambda value: operation.desired if value == operation.expected else None
        return None

    def writers(self, location) -> list:
        """The keys of the steps that may write it."""
        return [key for key, (operation, _) in enumerate(self.code)
                if isinstance(operation, (Store, Add, Exchange, Cas)) and operation.location == location]

    def step(self, state: tuple):
        """(the next step or None, the state at it)"""
        position, registers = state
        while position < len(self.code):
            operation, rest = self.code[position]
            if isinstance(operation, If):
                value = self._value(registers, operation.register)
                holds = self.RELATIONS[operation.relation](value, operation.constant)
                position = position + 1 if holds else rest
                continue
            at = (position, registers)
            if isinstance(operation, Fence):
                return Step(position, None, operation.order, 0, None), at
            if isinstance(operation, Store):
                value = operation.constant
                if operation.register is not None:
                    value += self._value(registers, operation.register)
                return Step(position, operation.location, operation.order, STORE, value), at
            failure = operation.failure if isinstance(operation, Cas) else operation.order
            return Step(position, operation.location, operation.order, failure, rest), at
        return None, state

    def after(self, state: tuple, value) -> tuple:
        """The state behind the step; value is what it read, or None."""
        position, registers = state
        if value is not None:
            registers += ((self.code[position][0].register, value),)
        return position + 1, registers

    @staticmethod
    def _value(registers: tuple, register: int) -> int:
        for number, value in registers:
            if number == register:
                return value
        return 0


class State:
    """Where the threads are, and the events so far with what of happens-before and modification order follows."""

    def __init__(self, threads: int):
        self.at = [0] * threads           # the key of the next step
        self.next = [None] * threads      # the next step
        self.local = [None] * threads     # the thread's own state at it
        self.waiting = [None] * threads   # (thread, key) of the write that the thread's read is to take
        self.events = []
        self.executed = {}                # (thread, key) -> event
        self.hb = []                      # event -> what happens before it
        self.carried = []                 # write -> what a read of it synchronises with
        self.thread_hb = [0] * threads    # what happens before the next event
        self.gathered = [0] * threads     # what relaxed reads found, for acquire fences
        self.released = [0] * threads     # what the last release fence published
        self.count = [0] * threads
        self.accesses = {}                # location -> mask of the events at it
        self.order = {}                   # location -> {write: the writes forced to be later}

    def copy(self) -> "State":
        other = State.__new__(State)
        other.at, other.next, other.local, other.waiting = self.at[:], self.next[:], self.local[:], self.waiting[:]
        other.events, other.executed = self.events[:], self.executed.copy()
        other.hb, other.carried = self.hb[:], self.carried[:]
        other.thread_hb, other.gathered, other.released = self.thread_hb[:], self.gathered[:], self.released[:]
        other.count, other.accesses, other.order = self.count[:], self.accesses.copy(), self.order.copy()
        return other

    def waits_in_vain(self, thread: int) -> bool:
        """The thread's source was passed over, or waits, thread by thread, for the thread itself."""
        source = self.waiting[thread]
        for _ in self.waiting:
            if source in self.executed:
                return False
            if source[1] < self.at[source[0]] or source[0] == thread:
                return True
            source = self.waiting[source[0]]
            if source is None:
                return False
        return True


class Search:
    """Of threads as Litmus has them, or scenario.py."""

    def __init__(self, threads: list, model: str = "rc11", limit: int = 0):
        self.threads = threads
        self.model = model
        self.limit = limit
        self.choices = 0
        self.graphs = []
        self.race = False

    def run(self) -> list:
        """The canonical lines of all consistent executions (see README.md); sets race."""
        state = State(len(self.threads))
        for thread, code in enumerate(self.threads):
            self._advance(state, thread, code.start)
        self._explore(state)
        return self.graphs

    def _advance(self, state: State, thread: int, local):
        step, state.local[thread] = self.threads[thread].step(local)
        state.next[thread] = step
        state.at[thread] = NEVER if step is None else step.key

    def _explore(self, state: State):
        while True:
            for thread, source in enumerate(state.waiting):
                if source is not None:
                    if source in state.executed:
                        break
                    if state.waits_in_vain(thread):
                        return
                elif state.next[thread] is not None:
                    break
            else:
                if all(source is None for source in state.waiting):
                    self._complete(state)
                return
            step = state.next[thread]
            if source is not None:
                state.waiting[thread] = None
                if not self._read(state, thread, state.executed[source]):
                    return
            elif step.location is None:
                self._fence(state, thread, step.order)
            elif step.failure == STORE:
                if not self._event(state, thread, step.order, None, None, step.written):
                    return
            else:
                self._choose(state, thread, step)
                return

    def _choose(self, state: State, thread: int, step: Step):
        self.choices += 1
        if self.limit and self.choices > 10 * self.limit:
            raise TooMany()
        other = state.copy()
        if self._read(other, thread, INIT):
            self._explore(other)
        for writer, code in enumerate(self.threads):
            for key in code.writers(step.location):
                source = (writer, key)
                if source in state.executed:
                    other = state.copy()
                    if self._read(other, thread, state.executed[source]):
                        self._explore(other)
                elif writer != thread and key >= state.at[writer]:
                    state.waiting[thread] = source
                    if not state.waits_in_vain(thread):
                        self._explore(state.copy())
                    state.waiting[thread] = None

    def _read(self, state: State, thread: int, source: int) -> bool:
        step = state.next[thread]
        if source != INIT and (state.events[source].location != step.location or not state.events[source].writes):
            return False
        value = 0 if source == INIT else state.events[source].written
        written = step.written
        if callable(written):
            written = written(value)
            if written is BLOCKED:
                return False
        order = step.failure if written is None else step.order
        return self._event(state, thread, order, source, value, written)

    def _fence(self, state: State, thread: int, order: int):
        if order & ACQ:
            state.thread_hb[thread] |= state.gathered[thread]
        number = len(state.events)
        state.events.append(Event(thread, state.count[thread], None, order, False, False, INIT, 0, 0))
        state.hb.append(state.thread_hb[thread])
        state.carried.append(0)
        state.thread_hb[thread] |= 1 << number
        if order & REL:
            state.released[thread] = state.thread_hb[thread]
        state.count[thread] += 1
        self._advance(state, thread, self.threads[thread].after(state.local[thread], None))

    def _event(self, state: State, thread: int, order: int, source, read, written) -> bool:
        """Adds an access; false if no modification order can be right any more."""
        events = state.events
        number, location = len(events), state.next[thread].location
        reads, writes = source is not None, written is not None
        found = state.carried[source] if reads and source != INIT and order & RLX else 0
        state.gathered[thread] |= found
        if order & ACQ:
            state.thread_hb[thread] |= found
        before = state.thread_hb[thread]
        events.append(Event(thread, state.count[thread], location, order, reads, writes,
                            source if reads else INIT, read if reads else 0, written if writes else 0))
        state.hb.append(before)
        carried = 0
        if writes and order & RLX:
            carried = state.released[thread]
            if order & REL:
                carried |= before | 1 << number
            if reads:
                carried |= found
        state.carried.append(carried)
        state.thread_hb[thread] |= 1 << number
        state.count[thread] += 1
        state.executed[(thread, state.at[thread])] = number
        if not self._force(state, number, before):
            return False
        self._advance(state, thread, self.threads[thread].after(state.local[thread], read))
        return True

    def _force(self, state: State, number: int, before: int) -> bool:
        """The order that the new event forces upon its location's writes; false if it is cyclic."""
        events = state.events
        event = events[number]
        order = dict(state.order.get(event.location, ()))
        state.order[event.location] = order
        accesses = state.accesses.get(event.location, 0)
        state.accesses[event.location] = accesses | 1 << number
        floor = set()
        for earlier in bits(before & accesses):
            if events[earlier].writes:
                floor.add(earlier)
            if events[earlier].reads and events[earlier].source != INIT:
                floor.add(events[earlier].source)
        top = event.source if event.reads else number
        if event.reads:
            if top == INIT:
                if floor:
                    return False
            else:
                floor.discard(top)
                for write in floor:
                    if not self._later(order, write, top):
                        return False
            if event.writes:
                for other in order:
                    if events[other].reads and events[other].source == event.source:
                        return False  # two read-modify-writes of one write
                if top != INIT:
                    floor = {top}
        if event.writes:
            order[number] = 0
            for write in floor:
                if not self._later(order, write, number):
                    return False
        return True

    @staticmethod
    def _later(order: dict, write: int, later: int) -> bool:
        """Forces later behind write, keeping the relation transitive."""
        if write == later or order[later] >> write & 1:
            return False
        if order[write] >> later & 1:
            return True
        gained = order[later] | 1 << later
        for other, mask in order.items():
            if other == write or mask >> write & 1:
                order[other] = mask | gained
        return True

    def _complete(self, state: State):
        by_place = sorted(range(len(state.events)), key=lambda number: state.events[number][:2])
        graph = Graph(state.events)
        race = graph.races()
        names = [NAMES[event.thread][event.index] for event in state.events]
        reads = []
        for number in by_place:
            event = state.events[number]
            if event.reads:
                reads.append(f"{names[number]}={'init' if event.source == INIT else names[event.source]}")
        prefix = " ".join(["graph"] + reads)
        locations = sorted(graph.writes, key=str)
        for orders in self._orders(state, locations):
            if not graph.consistent(orders, self.model):
                continue
            self.race = self.race or race
            places = [f"{location}:{','.join(names[write] for write in orders[location])}" for location in locations]
            self.graphs.append(" ".join([prefix, "/"] + places) + (" race" if race else ""))
            if self.limit and len(self.graphs) > self.limit:
                raise TooMany()

    def _orders(self, state: State, locations: list):
        if not locations:
            yield {}
            return
        for rest in self._orders(state, locations[1:]):
            for order in self._permutations(state, locations[0]):
                yield {**rest, locations[0]: order}

    def _permutations(self, state: State, location: str):
        """The location's writes in each order that is not forced otherwise, read-modify-writes behind their sources."""
        events, later = state.events, state.order[location]
        follows = {}  # write or INIT -> the read-modify-write that reads it
        for write in later:
            if events[write].reads:
                follows[events[write].source] = write

        def extend(done: list, left: int):
            if not left:
                yield list(done)
                return
            last = done[-1] if done else INIT
            for write in [follows[last]] if last in follows else list(bits(left)):
                if not left >> write & 1:
                    continue
                if any(later[other] >> write & 1 for other in bits(left & ~(1 << write))):
                    continue
                done.append(write)
                yield from extend(done, left & ~(1 << write))
                done.pop()

        mask = 0
        for write in later:
            mask |= 1 << write
        yield from extend([], mask)


def executions(program: list, model: str = "rc11", limit: int = 0):
    """(canonical lines, race) of a parsed program; raises TooMany beyond limit, if it is not 0."""
    search = Search([Litmus(operations) for operations in program], model, limit)
    return search.run(), search.race
