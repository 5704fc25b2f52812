"""The counts in tests/correct/ of programs with loops: the same programs here, enumerated by the oracle."""

import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from scenario import LONGEST, add, await_value, cas, count, exchange, fence, load, lock, store, unlock

ROOT = pathlib.Path(os.environ.get("INTERLEAVE_SOURCE_DIR", pathlib.Path(__file__).parents[1]))

NULL = 0  # pointers are numbers


def treiber_push(node):
    def run():
        head = yield load("head", "rlx")
        while True:
            yield store(("next", node), head, "na")
            seen = yield cas("head", head, node, "rel", "rlx")
            if seen == head:
                return
            head = seen
    return run


def treiber_pop():
    head = yield load("head", "acq")
    while head != NULL:
        following = yield load(("next", head), "na")
        seen = yield cas("head", head, following, "acq", "acq")
        if seen == head:
            return
        head = seen


def treiber_filled(*poppers):
    """Two nodes are on the stack before the poppers start: their stores come first, as the main thread's do."""
    def fill():
        yield store(("next", 1), NULL, "na")
        yield store("head", 1, "rlx")
        yield store(("next", 2), 1, "na")
        yield store("head", 2, "rlx")
        yield store("started", 1, "rel")

    def after(body):
        def run():
            yield await_value("started", lambda value: value == 1, "acq")
            yield from body()
        return run

    return [fill] + [after(popper) for popper in poppers]


DUMMY = 0
NONE = -1  # a null next; 0 is the dummy, so that head and tail start at it


def next_of(value):
    """Memory starts at 0, which is no node but means null."""
    return NONE if value == 0 else value


def enqueue(*nodes):
    def one(node):
        while True:
            tail = yield load("tail", "acq")
            following = next_of((yield load(("next", tail), "acq")))
            if following == NONE:
                if (yield cas(("next", tail), 0, node, "rel", "rlx")) != 0:
                    continue
                yield cas("tail", tail, node, "rel", "rlx")
                return
            yield cas("tail", tail, following, "rel", "rlx")

    def run():
        for node in nodes:
            yield from one(node)
    return run


def dequeue(times):
    def one():
        while True:
            head = yield load("head", "acq")
            tail = yield load("tail", "acq")
            following = next_of((yield load(("next", head), "acq")))
            if head == tail:
                if following == NONE:
                    return
                yield cas("tail", tail, following, "rel", "rlx")
                continue
            if (yield cas("head", head, following, "ar", "rlx")) == head:
                return

    def run():
        for _ in range(times):
            yield from one()
    return run


def owner(pushes, takes):
    def run():
        for value in range(1, pushes + 1):
            bottom = yield load("bottom", "rlx")
            yield load("top", "acq")
            yield store(("buffer", bottom), value, "rlx")
            yield fence("rel")
            yield store("bottom", bottom + 1, "rlx")
        for _ in range(takes):
            bottom = (yield load("bottom", "rlx")) - 1
            yield store("bottom", bottom, "rlx")
            yield fence("sc")
            top = yield load("top", "rlx")
            if top > bottom:
                yield store("bottom", bottom + 1, "rlx")
                continue
            yield load(("buffer", bottom), "rlx")
            if top == bottom:
                yield cas("top", top, top + 1, "sc", "rlx")
                yield store("bottom", bottom + 1, "rlx")
    return run


def thief():
    top = yield load("top", "acq")
    yield fence("sc")
    bottom = yield load("bottom", "acq")
    if top >= bottom:
        return
    yield load(("buffer", top), "rlx")
    yield cas("top", top, top + 1, "sc", "rlx")


def spin_lock():
    while (yield exchange("held", 1, "acq")) != 0:
        yield await_value("held", lambda value: value == 0, "rlx")
    yield store("held", 0, "rel")


def ticket_lock():
    ticket = yield add("next", 1, "rlx")
    yield await_value("serving", lambda value: value == ticket, "acq")
    serving = yield load("serving", "rlx")
    yield store("serving", serving + 1, "rel")


def mcs(node):
    def run():
        before = yield exchange("tail", node, "ar")
        if before != NULL:
            yield store(("locked", node), 1, "rlx")
            yield store(("next", before), node, "rel")
            yield await_value(("locked", node), lambda value: value == 0, "acq")
        following = yield load(("next", node), "acq")
        if following == NULL:
            if (yield cas("tail", node, NULL, "rel", "rlx")) == node:
                return
            following = yield await_value(("next", node), lambda value: value != NULL, "acq")
        yield store(("locked", following), 0, "rel")
    return run


def rw_reader():
    if (yield add("word", 2, "acq")) % 2 == 0:
        yield add("word", -2, "rel")
    else:
        yield add("word", -2, "rlx")


def rw_writer():
    if (yield cas("word", 0, 1, "acq", "rlx")) == 0:
        yield add("word", -1, "rel")


def peterson(me):
    def run():
        yield store(("flag", me), 1, "sc")
        yield store("turn", 1 - me, "sc")
        if (yield load(("flag", 1 - me), "sc")) == 0 or (yield load("turn", "sc")) == me:
            yield store(("flag", me), 0, "sc")
    return run


def dekker(me):
    def run():
        yield store(("flag", me), 1, "rlx")
        yield fence("sc")
        if (yield load(("flag", 1 - me), "rlx")) == 0:
            yield store("data", me, "na")
    return run


def seqlock_writer(*values):
    def run():
        for value in values:
            sequence = yield load("sequence", "rlx")
            yield store("sequence", sequence + 1, "rlx")
            yield fence("rel")
            yield store("first", value, "rlx")
            yield store("second", value, "rlx")
            yield store("sequence", sequence + 2, "rel")
    return run


def seqlock_reader():
    if (yield load("sequence", "acq")) % 2 != 0:
        return
    yield load("first", "rlx")
    yield load("second", "rlx")
    yield fence("acq")
    yield load("sequence", "rlx")


def message_sender():
    yield store("data", 42, "na")
    yield store("ready", 1, "rel")


def message_receiver():
    if (yield load("ready", "acq")) == 1:
        yield load("data", "na")


def chain_middle():
    yield cas("ready", 1, 2, "rlx", "rlx")


def chain_receiver():
    if (yield load("ready", "acq")) == 2:
        yield load("data", "na")


def double_checked():
    if (yield load("instance", "acq")) == NULL:
        yield lock("lock")
        if (yield load("instance", "rlx")) == NULL:
            yield store("object", 7, "na")
            yield store("instance", 1, "rel")
        yield unlock("lock")
    yield load("object", "na")


def producer():
    for item in (1, 2, 3):
        at = yield load("written", "rlx")
        if at - (yield load("read", "acq")) == 2:
            return
        yield store(("slot", at % 2), item, "na")
        yield store("written", at + 1, "rel")


def consumer():
    for _ in range(2):
        at = yield load("read", "rlx")
        if (yield load("written", "acq")) == at:
            return
        yield load(("slot", at % 2), "na")
        yield store("read", at + 1, "rel")


def barrier():
    if (yield add("missing", -1, "ar")) == -2:  # it starts at 0, three of -1 each
        yield store("open", 1, "rel")
    else:
        yield await_value("open", lambda value: value == 1, "acq")


def rcu_reader():
    yield add("readers", 1, "sc")
    yield load("current", "sc")
    yield add("readers", -1, "rel")


def rcu_writer():
    yield exchange("current", 2, "sc")
    yield await_value("readers", lambda value: value == 0, "sc")


def hazard_reader():
    found = yield load("shared", "rlx")
    yield store("hazard", found + 1, "rlx")
    yield fence("sc")
    yield load("shared", "acq")
    yield store("hazard", 0, "rel")


def hazard_reclaimer():
    yield exchange("shared", 1, "ar")
    yield fence("sc")
    yield load("hazard", "acq")


def decrement():
    yield add("references", -1, "ar")


def try_lock():
    if (yield cas("lock", 0, 1, "acq", "rlx")) == 0:
        yield unlock("lock")


def lock_once():
    yield lock("lock")
    yield unlock("lock")


def lock_and_load():
    yield lock("lock")
    yield load("x", "rlx")
    yield unlock("lock")


def store_one():
    yield store("x", 1, "rlx")


def semaphore(initial):
    """It starts at 0 here, and `initial` is added where it is looked at."""
    def run():
        from search import BLOCKED
        from notation import ORDERS
        yield ("count", ORDERS["ar"], 0, lambda value: value - 1 if value + initial > 0 else BLOCKED)
        yield add("count", 1, "ar")
    return run


PROGRAMS = {  # the test's name: its threads
    "TreiberTwoPushes": ([treiber_push(1), treiber_push(2)], 6),
    "TreiberTwoPushesAndAPop": ([treiber_push(1), treiber_push(2), treiber_pop], 7),
    "TreiberTwoPopsOfTwo": (treiber_filled(treiber_pop, treiber_pop), 7),
    "MichaelScottTwoEnqueues": ([enqueue(1), enqueue(2)], 14),
    "MichaelScottOrderOfOneProducer": ([enqueue(1, 2), dequeue(2)], 18),
    "MichaelScottEnqueueAgainstTwoDequeues": ([enqueue(1), dequeue(1), dequeue(1)], 12),
    "ChaseLevLastElement": ([owner(1, 1), thief], 12),
    "ChaseLevTwoElements": ([owner(2, 2), thief], 24),
    "ChaseLevTwoThieves": ([owner(1, 1), thief, thief], 12),
    "SpinLock": ([spin_lock, spin_lock], 8),
    "TicketLock": ([ticket_lock] * 3, 4),
    "McsLockTwoThreads": ([mcs(1), mcs(2)], 8),
    "McsLockThreeThreads": ([mcs(1), mcs(2), mcs(3)], 8),
    "ReadersWriterLock": ([rw_reader, rw_reader, rw_writer], 2),
    "PetersonSequentiallyConsistent": ([peterson(0), peterson(1)], 5),
    "DekkerWithFences": ([dekker(0), dekker(1)], 4),
    "SeqLock": ([seqlock_writer(1), seqlock_reader], 7),
    "SeqLockTwoWrites": ([seqlock_writer(1, 2), seqlock_reader], 14),
    "MessagePassing": ([message_sender, message_receiver], 3),
    "MessagePassingThroughAChainOfExchanges": ([message_sender, chain_middle, chain_receiver], 3),
    "DoubleCheckedLocking": ([double_checked, double_checked], 8),
    "SingleProducerRing": ([producer, consumer], 14),
    "SenseBarrier": ([barrier] * 3, 3),
    "RcuLikeReadersAreWaitedFor": ([rcu_reader, rcu_writer], 4),
    "HazardPointer": ([hazard_reader, hazard_reclaimer], 6),
    "ReferenceCount": ([decrement] * 3, 2),
    "MutexTwoThreads": ([lock_once] * 2, 3),
    "MutexFourThreads": ([lock_once] * 4, 3),
    "TryLockAgainstLock": ([lock_once, try_lock], 3),
    "TwoTryLocksBeforeAnUnlockThatComesLate": ([try_lock, try_lock, lock_and_load, store_one], 3),
    "TryLockTwice": ([try_lock] * 2, 3),
    "TryLockThreeTimes": ([try_lock] * 3, 3),
    "SemaphoreOfOne": ([semaphore(1)] * 3, 3),
    "SemaphoreOfTwo": ([semaphore(2)] * 3, 3),
}


def written_counts() -> dict:
    """The count in each TEST(Correct, NAME) of tests/correct/."""
    pattern = re.compile(r"TEST\(Correct, (\w+)\) \{(?:(?!\nTEST\().)*?expect_executions\(\s*(\d+),", re.DOTALL)
    found = {}
    for file in sorted((ROOT / "tests/correct").glob("*.cc")):
        found.update((name, int(number)) for name, number in pattern.findall(file.read_text()))
    return found


class Scenarios(unittest.TestCase):
    def test_the_counts_of_the_tests(self):
        written = written_counts()
        for name, (threads, longest) in PROGRAMS.items():
            with self.subTest(name):
                self.assertIn(name, written)
                self.assertEqual(written[name], count(*threads, longest=longest))

    def test_a_thread_longer_than_said_is_refused(self):
        with self.assertRaises(ValueError):
            count(message_sender, longest=1)

    def test_races_are_refused(self):
        def plain():
            yield store("data", 1, "na")
        with self.assertRaises(ValueError):
            count(plain, plain, longest=LONGEST)


if __name__ == "__main__":
    unittest.main()
