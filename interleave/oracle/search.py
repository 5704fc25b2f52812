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
from notation import ACQ, REL, RLX, Add, Cas, Exchange, Fence, If, Load, Store


class TooMany(Exception):
    """More executions, or more choices on the way to them, than the caller has patience for."""


class Branch(NamedTuple):
    register: int
    relation: str
    constant: int
    otherwise: int  # the thread's instruction behind the body


RELATIONS = {"==": lambda a, b: a == b, "!=": lambda a, b: a != b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}


def flatten(operations, code: list):
    for operation in operations:
        if not isinstance(operation, If):
            code.append(operation)
            continue
        at = len(code)
        code.append(None)
        flatten(operation.body, code)
        code[at] = Branch(operation.register, operation.relation, operation.constant, len(code))


class State:
    """Where the threads are, and the events so far with what of happens-before and modification order follows."""

    def __init__(self, threads: int):
        self.at = [0] * threads
        self.registers = [()] * threads
        self.waiting = [None] * threads   # the store instruction whose event the thread's read is to take
        self.events = []
        self.executed = {}                # store instruction -> event
        self.hb = []                      # event -> what happens before it
        self.carried = []                 # write -> what a read of it synchronises with
        self.thread_hb = [0] * threads    # what happens before the next event
        self.gathered = [0] * threads     # what relaxed reads found, for acquire fences
        self.released = [0] * threads     # what the last release fence published
        self.count = [0] * threads
        self.order = {}                   # location -> {write: the writes forced to be later}

    def copy(self) -> "State":
        other = State.__new__(State)
        other.at, other.registers, other.waiting = self.at[:], self.registers[:], self.waiting[:]
        other.events, other.executed = self.events[:], self.executed.copy()
        other.hb, other.carried = self.hb[:], self.carried[:]
        other.thread_hb, other.gathered, other.released = self.thread_hb[:], self.gathered[:], self.released[:]
        other.count, other.order = self.count[:], self.order.copy()
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
    def __init__(self, program: list, model: str = "rc11", limit: int = 0):
        self.code = []
        for thread in program:
            code = []
            flatten(thread, code)
            self.code.append(code)
        self.model = model
        self.limit = limit
        self.stores = {}  # location -> the instructions that may write it, as (thread, position)
        for thread, code in enumerate(self.code):
            for position, operation in enumerate(code):
                if isinstance(operation, (Store, Add, Exchange, Cas)):
                    self.stores.setdefault(operation.location, []).append((thread, position))
        self.choices = 0
        self.graphs = []
        self.race = False

    def run(self) -> list:
        """The canonical lines of all consistent executions (see README.md); sets race."""
        self._explore(State(len(self.code)))
        return self.graphs

    def _explore(self, state: State):
        while True:
            for thread, code in enumerate(self.code):
                if state.waiting[thread] is not None:
                    if state.waiting[thread] in state.executed:
                        break
                    if state.waits_in_vain(thread):
                        return
                elif state.at[thread] < len(code):
                    break
            else:
                if all(source is None for source in state.waiting):
                    self._complete(state)
                return
            if state.waiting[thread] is not None:
                source = state.waiting[thread]
                state.waiting[thread] = None
                if not self._read(state, thread, state.executed[source]):
                    return
                continue
            operation = code[state.at[thread]]
            if isinstance(operation, Branch):
                self._branch(state, thread, operation)
            elif isinstance(operation, Store):
                value = operation.constant
                if operation.register is not None:
                    value += self._register(state, thread, operation.register)
                if not self._event(state, thread, operation.location, operation.order, None, 0, value):
                    return
            elif isinstance(operation, Fence):
                self._fence(state, thread, operation.order)
            else:
                self._choose(state, thread, operation)
                return

    def _register(self, state: State, thread: int, register: int) -> int:
        for number, value in state.registers[thread]:
            if number == register:
                return value
        return 0

    def _branch(self, state: State, thread: int, branch: Branch):
        value = self._register(state, thread, branch.register)
        if RELATIONS[branch.relation](value, branch.constant):
            state.at[thread] += 1
        else:
            state.at[thread] = branch.otherwise

    def _choose(self, state: State, thread: int, operation):
        self.choices += 1
        if self.limit and self.choices > 10 * self.limit:
            raise TooMany()
        other = state.copy()
        if self._read(other, thread, INIT):
            self._explore(other)
        for source in self.stores.get(operation.location, ()):
            if source in state.executed:
                other = state.copy()
                if self._read(other, thread, state.executed[source]):
                    self._explore(other)
            elif source[0] != thread and source[1] >= state.at[source[0]]:
                if source in state.waiting and self._modifies(operation) and any(
                        waits == source and self._modifies(self.code[other][state.at[other]])
                        for other, waits in enumerate(state.waiting)):
                    continue  # two read-modify-writes of one write
                state.waiting[thread] = source
                if not state.waits_in_vain(thread):
                    self._explore(state.copy())
                state.waiting[thread] = None

    @staticmethod
    def _modifies(operation) -> bool:
        return isinstance(operation, (Add, Exchange))

    def _read(self, state: State, thread: int, source: int) -> bool:
        operation = self.code[thread][state.at[thread]]
        value = 0 if source == INIT else state.events[source].written
        order, written = operation.order, None
        if isinstance(operation, Add):
            written = value + operation.operand
        elif isinstance(operation, Exchange):
            written = operation.value
        elif isinstance(operation, Cas):
            if value == operation.expected:
                written = operation.desired
            else:
                order = operation.failure
        state.registers[thread] += ((operation.register, value),)
        return self._event(state, thread, operation.location, order, source, value, written)

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
        state.at[thread] += 1

    def _event(self, state: State, thread: int, location: str, order: int, source, read: int, written) -> bool:
        """Adds an access; false if no modification order can be right any more."""
        events = state.events
        number = len(events)
        reads, writes = source is not None, written is not None
        found = state.carried[source] if reads and source != INIT and order & RLX else 0
        state.gathered[thread] |= found
        if order & ACQ:
            state.thread_hb[thread] |= found
        before = state.thread_hb[thread]
        events.append(Event(thread, state.count[thread], location, order, reads, writes,
                            source if reads else INIT, read, written if writes else 0))
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
        if writes:
            state.executed[(thread, state.at[thread])] = number
        state.at[thread] += 1
        return self._force(state, number, before)

    def _force(self, state: State, number: int, before: int) -> bool:
        """The order that the new event forces upon its location's writes; false if it is cyclic."""
        events = state.events
        event = events[number]
        order = dict(state.order.get(event.location, ()))
        state.order[event.location] = order
        floor = set()
        for earlier in bits(before):
            if events[earlier].location != event.location:
                continue
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
        names = [f"{event.thread}.{event.index}" for event in state.events]
        reads = []
        for number in by_place:
            event = state.events[number]
            if event.reads:
                reads.append(f"{names[number]}={'init' if event.source == INIT else names[event.source]}")
        prefix = " ".join(["graph"] + reads)
        locations = sorted(graph.writes)
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
    search = Search(program, model, limit)
    return search.run(), search.race
