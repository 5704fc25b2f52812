"""The examples' proofs say in how many executions; the same programs here, enumerated by the oracle."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from notation import ORDERS
from scenario import add, await_value, cas, count, load, store

PROGRAM = os.environ.get("INTERLEAVE_PROGRAM", "")  # the examples lie beside it

NONE = -1


def gate_user():
    yield add("word", 2, "rlx")
    yield add("word", -2, "rel")


def gate_closer():
    yield ("word", ORDERS["rlx"], 0, lambda word: word | 1)
    yield await_value("word", lambda word: word == 1, "acq")


def head_of(value):
    """(slot, changes); memory starts at 0, the list with slot 0 on top."""
    return (0, 0) if value == 0 else value


def replace_head(expected, desired, order, failure):
    return ("head", ORDERS[order], ORDERS[failure], lambda value: desired if head_of(value) == expected else None)


def take():
    head = head_of((yield load("head", "acq")))
    while head[0] != NONE:
        below = yield load(("below", head[0]), "rlx")
        if below == 0:
            slot = 1 if head[0] == 0 else NONE
        else:
            slot = below[0]
        seen = head_of((yield replace_head(head, (slot, head[1] + 1), "acq", "acq")))
        if seen == head:
            break
        head = seen
    return head[0]


def give(slot):
    head = head_of((yield load("head", "rlx")))
    while True:
        yield store(("below", slot), (head[0],), "rlx")
        seen = head_of((yield replace_head(head, (slot, head[1] + 1), "rel", "rlx")))
        if seen == head:
            return
        head = seen


def taker():
    yield from take()


def taker_and_giver():
    first = yield from take()
    yield from take()
    if first != NONE:
        yield from give(first)


CELLS = 2


def turn_of(at):
    turn = yield load(("turn", at % CELLS), "acq")
    return at % CELLS if turn == 0 else turn[0]


def push(value):
    def run():
        at = yield load("tail", "rlx")
        while True:
            turn = yield from turn_of(at)
            if turn < at:
                return
            if turn > at:
                at = yield load("tail", "rlx")
                continue
            seen = yield cas("tail", at, at + 1, "rlx", "rlx")
            if seen == at:
                yield store(("value", at % CELLS), value, "na")
                yield store(("turn", at % CELLS), (at + 1,), "rel")
                return
            at = seen
    return run


def pop():
    at = yield load("head", "rlx")
    while True:
        turn = yield from turn_of(at)
        if turn < at + 1:
            return
        if turn > at + 1:
            at = yield load("head", "rlx")
            continue
        seen = yield cas("head", at, at + 1, "rlx", "rlx")
        if seen == at:
            yield load(("value", at % CELLS), "na")
            yield store(("turn", at % CELLS), (at + CELLS,), "rel")
            return
        at = seen


def popper():
    yield from pop()
    yield from pop()


PROGRAMS = {  # example, version: threads, steps of the longest
    ("rundown_gate", "one-word"): ([gate_user, gate_user, gate_closer], 2),
    ("treiber_stack", "tagged"): ([taker, taker_and_giver], 14),
    ("mpmc_queue", "released"): ([push(1), push(2), popper], 12),
}


class Examples(unittest.TestCase):
    def test_counts(self):
        for (example, version), (threads, longest) in PROGRAMS.items():
            with self.subTest(example):
                program = pathlib.Path(PROGRAM).parent / f"interleave_example_{example}"
                printed = subprocess.run([program, version], capture_output=True, text=True, check=True).stdout
                executions = re.fullmatch(rf"{version}: pass, complete, (\d+) executions\n", printed)
                self.assertIsNotNone(executions, printed)
                self.assertEqual(int(executions[1]), count(*threads, longest=longest))


if __name__ == "__main__":
    if not (pathlib.Path(PROGRAM).parent / "interleave_example_rundown_gate").exists():
        print("the examples are not beside the program that INTERLEAVE_PROGRAM names")
        sys.exit(77)
    unittest.main()
