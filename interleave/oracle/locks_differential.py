"""Random programs with mutexes through the checker and through the oracle: the same sets of graphs, the same deadlocks?

    locks_differential.py PROGRAM [--programs N] [--seed S] [--jobs J] [--only I] [--limit G] [--model M]

PROGRAM is interleave_locks, of tests/locks/. Seeds, what is too large, and what is printed are as in differential.py.
The checker stops at a deadlock, so that of a program that has one only that is compared.
"""

import argparse
import multiprocessing
import os
import sys
import time
from typing import NamedTuple, Union

import differential
import locks
import search
import shrink
from locks_generator import Generator, tidy, variants

BATCH = 50


class Expected(NamedTuple):
    threads: list
    graphs: Union[list, None]  # None: a deadlock


class Tally(NamedTuple):
    programs: int = 0
    graphs: int = 0
    large: int = 0      # programs of 100 graphs or more
    deadlocks: int = 0
    replaced: int = 0
    differences: tuple = ()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(mine + theirs for mine, theirs in zip(self, other)))


def engine(program: str, lines: list, model: str = "rc11", timeout: Union[float, None] = None) -> list:
    return differential.ask([str(program), "--model", model], lines, timeout)


def expect(threads: list, limit: int, model: str = "rc11") -> Expected:
    dead = locks.deadlocks(threads, model, limit)
    return Expected(threads, None if dead else locks.executions(threads, model, limit))


def difference(expected: Expected, outcome: differential.Outcome) -> Union[str, None]:
    """What the checker got wrong, if anything."""
    if expected.graphs is not None:
        return differential.difference(expected.graphs, False, outcome)
    return None if outcome.answer == "deadlock" else f"answered  {outcome.answer}, not deadlock"


def differs(program: str, threads: list, limit: int, model: str = "rc11") -> Union[str, None]:
    try:
        expected = expect(threads, limit, model)
    except search.TooMany:
        return None
    return difference(expected, engine(program, [locks.text(threads)], model)[0])


def draw(seed: int, number: int, limit: int, model: str = "rc11"):
    """Program `number` of the seed, and how many drawn before it were too large."""
    generator = Generator(f"{seed}:{number}")
    replaced = 0
    while True:
        try:
            return expect(generator.program(), limit, model), replaced
        except search.TooMany:
            replaced += 1


def batch(arguments: tuple) -> Tally:
    program, seed, numbers, limit, model = arguments
    drawn = [draw(seed, number, limit, model) for number in numbers]
    lines = [locks.text(expected.threads) for expected, _ in drawn]
    tally = Tally()
    for (expected, replaced), outcome in zip(drawn, engine(program, lines, model)):
        graphs = len(expected.graphs or ())
        tally += Tally(1, graphs, graphs >= 100, expected.graphs is None, replaced)
        complaint = difference(expected, outcome)
        if complaint:
            tally += Tally(differences=((expected.threads, complaint),))
    return tally


def report(program: str, threads: list, complaint: str, limit: int, model: str):
    print(f"differs under {model}: {locks.text(threads)}")
    small = shrink.shrink(threads, lambda smaller: differs(program, smaller, limit, model) is not None, variants, tidy)
    print(f"shrunk: {locks.text(small)}")
    print(differs(program, small, limit, model) or complaint, flush=True)


def compare(program: str, programs: int, seed: int, jobs: int, limit: int, only: Union[int, None] = None,
            model: str = "rc11") -> Tally:
    """Prints what differs, the smallest ten of it shrunk, and the last line."""
    numbers = range(programs) if only is None else [only]
    work = [(program, seed, numbers[i:i + BATCH], limit, model) for i in range(0, len(numbers), BATCH)]
    begin, tally = time.monotonic(), Tally()
    with multiprocessing.Pool(jobs) as pool:
        for part in pool.imap_unordered(batch, work):
            tally += part
    for threads, complaint in sorted(tally.differences, key=lambda found: len(locks.text(found[0])))[:10]:
        report(program, threads, complaint, limit, model)
    print(f"seed {seed}: {tally.programs} programs with mutexes, {tally.graphs} graphs, {tally.large} programs of 100 graphs "
          f"or more, {tally.deadlocks} with a deadlock, {tally.replaced} too large and replaced; "
          f"{len(tally.differences)} differ; {time.monotonic() - begin:.0f} s")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="a fresh one if not given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--model", choices=("rc11", "sc"), default="rc11")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}", flush=True)
    tally = compare(arguments.program, arguments.programs, seed, arguments.jobs, arguments.limit, arguments.only,
                    arguments.model)
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
