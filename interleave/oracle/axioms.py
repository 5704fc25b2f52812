"""The axioms of RC11 (Lahav et al., PLDI'17), with C++20's release sequences, on one complete execution graph.

Relations are lists of bit masks: relation[a] has bit b if a is related to b. Events come in an order in which
each stands behind those that it follows in program order and the write it reads from, so that (po U rf) is
acyclic by construction. A read-modify-write is one event; the initial values are no events: a read of one
has the source INIT, and everything is ordered behind them. paper.py has neither liberty and is compared.
"""

from typing import NamedTuple

from notation import ACQ, REL, RLX, SC

INIT = -1


class Event(NamedTuple):
    thread: int
    index: int       # among the thread's executed events
    location: object  # None: a fence
    order: int       # the notation's set of bits; of a failed compare-exchange the failure order
    reads: bool
    writes: bool
    source: int      # the event read from, or INIT
    read: int        # the values
    written: int


def bits(mask: int):
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def image(mask: int, relation: list) -> int:
    """What the events in mask are related to."""
    reached = 0
    while mask:
        low = mask & -mask
        reached |= relation[low.bit_length() - 1]
        mask ^= low
    return reached


def acyclic(relation: list) -> bool:
    left = (1 << len(relation)) - 1
    while left:
        ends = 0
        for event in bits(left):
            if not relation[event] & left:
                ends |= 1 << event
        if not ends:
            return False
        left ^= ends
    return True


class Graph:
    """The part of an execution that the modification orders do not change: program order, reads-from, happens-before."""

    def __init__(self, events: list):
        self.events = events
        size = len(events)
        self.po = [0] * size        # successors
        self.locations = {}         # location -> mask of its accesses
        self.readers = [0] * size   # write -> mask of the reads that read it
        self.initial = {}           # location -> mask of the reads of its initial value
        self.writes = {}            # location -> its writes
        self.earlier = [0] * size   # po's predecessors
        self.plain = False
        done, left = {}, {}
        for number in range(size - 1, -1, -1):
            self.po[number] = left.get(events[number].thread, 0)
            left[events[number].thread] = self.po[number] | 1 << number
        for number, event in enumerate(events):
            bit = 1 << number
            self.earlier[number] = done.get(event.thread, 0)
            done[event.thread] = self.earlier[number] | bit
            if event.location is None:
                continue
            self.plain = self.plain or not event.order & RLX
            self.locations[event.location] = self.locations.get(event.location, 0) | bit
            if event.writes:
                self.writes.setdefault(event.location, []).append(number)
            if event.reads and event.source != INIT:
                self.readers[event.source] |= bit
            elif event.reads:
                self.initial[event.location] = self.initial.get(event.location, 0) | bit
        self.before = self._happens_before()  # predecessors
        self.after = [0] * size               # hb's successors, once psc needs them
        self.sc_events = 0
        self.fences = 0
        for number, event in enumerate(events):
            if event.order & SC:
                self.sc_events |= 1 << number
                if event.location is None:
                    self.fences |= 1 << number
        self._psc_prepared = None

    def _synchronizes(self) -> list:
        """sw = [E rel]; ([F]; po)?; rs; rf; [R rlx]; (po; [F])?; [E acq], rs = [W rlx]; (rf; rmw)*; as predecessors."""
        events = self.events
        predecessors = [0] * len(events)
        release_fences = acquire_fences = 0
        for number, event in enumerate(events):
            if event.location is None:
                release_fences |= bool(event.order & REL) << number
                acquire_fences |= bool(event.order & ACQ) << number
        for number, event in enumerate(events):
            if not event.reads or not event.order & RLX or event.source == INIT:
                continue
            releases = 0
            head = event.source
            while events[head].order & RLX:  # from the write read back along its release sequence
                if events[head].order & REL:
                    releases |= 1 << head
                releases |= self.earlier[head] & release_fences
                if not events[head].reads or events[head].source == INIT:
                    break
                head = events[head].source
            if not releases:
                continue
            if event.order & ACQ:
                predecessors[number] |= releases
            for fence in bits(self.po[number] & acquire_fences):
                predecessors[fence] |= releases
        return predecessors

    def _happens_before(self) -> list:
        """hb = (po U sw)+, as predecessors."""
        predecessors = self._synchronizes()
        before = [0] * len(self.events)
        for number in range(len(self.events)):
            direct = predecessors[number] | self.earlier[number]
            before[number] = direct | image(direct, before)
        return before

    def races(self) -> bool:
        """Two accesses of different threads, one of them a write, one of them plain, unordered."""
        events = self.events
        if not self.plain:
            return False
        for number, event in enumerate(events):
            if event.location is None:
                continue
            for other in bits(self.locations[event.location] & ((1 << number) - 1) & ~self.before[number]):
                if events[other].thread == event.thread or self.before[other] >> number & 1:
                    continue
                if (event.writes or events[other].writes) and not (event.order & RLX and events[other].order & RLX):
                    return True
        return False

    def consistent(self, orders: dict, model: str) -> bool:
        """Whether the axioms hold with these modification orders: location -> its writes in order."""
        rest = self._modification(orders)
        if rest is None:
            return False
        mo_rb, eco = rest
        for number, reached in enumerate(eco):
            if reached & self.before[number]:  # coherence: hb; eco is irreflexive
                return False
        if model == "sc":
            return acyclic([self.po[number] | self.readers[number] | mo_rb[number] for number in range(len(eco))])
        if self.sc_events & (self.sc_events - 1) == 0:
            return True  # one SC event at most: a cycle of psc would be one of hb; eco
        return acyclic(self._psc(mo_rb, eco))

    def _modification(self, orders: dict):
        """mo U rb, and eco = (rf U mo U rb)+; None if another write stands inside a read-modify-write."""
        events = self.events
        size = len(events)
        mo_rb = [0] * size
        eco = [0] * size
        for location, order in orders.items():
            later = 0      # writes behind
            reached = 0    # those and what reads them
            for write in reversed(order):
                readers = self.readers[write]
                for reader in bits(readers):
                    mo_rb[reader] |= later & ~(1 << reader)
                    eco[reader] |= reached & ~(1 << reader)
                mo_rb[write] |= later
                eco[write] |= reached | readers
                later |= 1 << write
                reached |= 1 << write | readers
            for reader in bits(self.initial.get(location, 0)):
                mo_rb[reader] |= later & ~(1 << reader)
                eco[reader] |= reached & ~(1 << reader)
            previous = INIT
            for write in order:
                if events[write].reads and events[write].source != previous:
                    return None  # atomicity
                previous = write
        return mo_rb, eco

    def _psc(self, mo_rb: list, eco: list) -> list:
        """psc_base = ([E sc] U [F sc]; hb?); scb; ([E sc] U hb?; [F sc]), psc_F = [F sc]; (hb U hb; eco; hb); [F sc]."""
        events, po, after, fences = self.events, self.po, self.after, self.fences
        if self._psc_prepared is None:
            self._psc_prepared = []
            for number, before in enumerate(self.before):
                for earlier in bits(before):
                    after[earlier] |= 1 << number
            for number, event in enumerate(events):
                same = 0 if event.location is None else self.locations[event.location]
                elsewhere = po[number] & ~same
                detour = 0
                for middle in bits(image(elsewhere, after)):
                    location = events[middle].location
                    same_there = 0 if location is None else self.locations[location]
                    detour |= po[middle] & ~same_there
                self._psc_prepared.append(po[number] | detour | after[number] & same)
        scb = [base | rest for base, rest in zip(self._psc_prepared, mo_rb)]
        psc = [0] * len(events)
        for first in bits(self.sc_events):
            is_fence = fences >> first & 1
            starts = 1 << first | (after[first] if is_fence else 0)
            ends = image(starts, scb)
            reached = ends & self.sc_events | image(ends, after) & fences
            if is_fence:
                reached |= after[first] & fences
                reached |= image(image(after[first], eco), after) & fences
            psc[first] = reached
        return psc
