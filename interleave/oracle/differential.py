"""Random programs through `interleave litmus --graphs` and through the oracle: the same sets of graphs?

    differential.py PROGRAM [--programs N] [--seed S] [--jobs J] [--only I] [--limit G]

Program I of seed S is the same on every machine; --only runs it alone. A program that the oracle finds too
large (more than G executions) is replaced by the next one drawn, and counted. What differs is shrunk and
printed; the exit status is 1. The last line says how much was compared.
"""

import argparse
import collections
import multiprocessing
import os
import subprocess
import sys
import time
from typing import NamedTuple, Union

import notation
import search
import shrink
from generator import Generator

BATCH = 50


class Outcome(NamedTuple):
    lines: list  # of graphs, sorted
    answer: str


class Tally(NamedTuple):
    programs: int = 0
    graphs: int = 0
    large: int = 0     # programs of 100 graphs or more
    racy: int = 0
    replaced: int = 0
    differences: tuple = ()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(mine + theirs for mine, theirs in zip(self, other)))


def ask(command: list, lines: list, timeout: Union[float, None] = None) -> list:
    """What the command answers to each program; raises RuntimeError when it does not answer them all."""
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False,
                          timeout=timeout)
    outcomes, graphs = [], []
    for line in done.stdout.splitlines():
        if line.startswith("graph"):
            graphs.append(line.rstrip())
        else:
            outcomes.append(Outcome(sorted(graphs), line))
            graphs = []
    if len(outcomes) != len(lines) or done.returncode not in (0, 3):
        raise RuntimeError(f"{' '.join(command)} answered {len(outcomes)} of {len(lines)} programs and ended with "
                           f"{done.returncode}: {done.stderr[-2000:]}")
    return outcomes


def engine(program: str, lines: list, model: str, timeout: Union[float, None] = None) -> list:
    """What the checker answers to each litmus program, an error if it meets a graph twice."""
    return ask([str(program), "litmus", "--graphs", "--check", "--model", model, "-"], lines, timeout)


def difference(expected: list, race: bool, outcome: Outcome) -> Union[str, None]:
    """What the checker got wrong, if anything; it may repeat no graph, nor miscount."""
    wanted, found = collections.Counter(line.rstrip() for line in expected), collections.Counter(outcome.lines)
    complaints = [f"missed    {line}" for line in sorted((wanted - found).elements())]
    complaints += [f"too many  {line}" for line in sorted((found - wanted).elements())]
    fields = dict(field.split("=", 1) for field in outcome.answer.split() if "=" in field)
    if fields.get("executions") != str(len(expected)) or fields.get("race") != ("yes" if race else "no"):
        complaints.append(f"answered  {outcome.answer}, not executions={len(expected)} race={'yes' if race else 'no'}")
    return "\n".join(complaints) if complaints else None


def differs(program: str, threads: list, model: str, limit: int) -> Union[str, None]:
    line = notation.text(threads)
    try:
        expected, race = search.executions(threads, model, limit)
    except search.TooMany:
        return None
    return difference(expected, race, engine(program, [line], model)[0])


def draw(seed: int, number: int, limit: int):
    """Program `number` of the seed with its executions, and how many drawn before it were too large."""
    generator = Generator(f"{seed}:{number}")
    replaced = 0
    while True:
        threads = generator.program()
        try:
            return threads, search.executions(threads, "rc11", limit), replaced
        except search.TooMany:
            replaced += 1


def batch(arguments: tuple) -> Tally:
    program, seed, numbers, limit = arguments
    drawn = [draw(seed, number, limit) for number in numbers]
    lines = [notation.text(threads) for threads, _, _ in drawn]
    tally = Tally()
    for (threads, (expected, race), replaced), outcome in zip(drawn, engine(program, lines, "rc11")):
        tally += Tally(1, len(expected), len(expected) >= 100, race, replaced)
        complaint = difference(expected, race, outcome)
        if complaint:
            tally += Tally(differences=(("rc11", threads, complaint),))
    quarter = [(threads, line) for (threads, _, _), line, number in zip(drawn, lines, numbers) if number % 4 == 0]
    if quarter:
        for (threads, _), outcome in zip(quarter, engine(program, [line for _, line in quarter], "sc")):
            expected, race = search.executions(threads, "sc")
            complaint = difference(expected, race, outcome)
            if complaint:
                tally += Tally(differences=(("sc", threads, complaint),))
    return tally


def report(program: str, model: str, threads: list, complaint: str, limit: int):
    print(f"differs under {model}: {notation.text(threads)}")
    small = shrink.shrink(threads, lambda smaller: differs(program, smaller, model, limit) is not None)
    print(f"shrunk: {notation.text(small)}")
    print(differs(program, small, model, limit) or complaint, flush=True)


def compare(program: str, programs: int, seed: int, jobs: int, limit: int, only: Union[int, None] = None) -> Tally:
    """Prints what differs, the first ten of it shrunk, and the last line."""
    numbers = range(programs) if only is None else [only]
    work = [(program, seed, numbers[i:i + BATCH], limit) for i in range(0, len(numbers), BATCH)]
    begin, tally, shown = time.monotonic(), Tally(), 0
    with multiprocessing.Pool(jobs) as pool:
        for part in pool.imap_unordered(batch, work):
            tally += part
            for model, threads, complaint in part.differences:
                if shown < 10:
                    report(program, model, threads, complaint, limit)
                shown += 1
            if tally.programs % 1000 < BATCH:
                print(f"{tally.programs} programs, {len(tally.differences)} differ", file=sys.stderr, flush=True)
    print(f"seed {seed}: {tally.programs} programs, {tally.graphs} graphs, {tally.large} programs of 100 graphs or more, "
          f"{tally.racy} with a race, {tally.replaced} too large and replaced; {len(tally.differences)} differ; "
          f"{time.monotonic() - begin:.0f} s")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="a fresh one if not given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--limit", type=int, default=800)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}", flush=True)
    tally = compare(arguments.program, arguments.programs, seed, arguments.jobs, arguments.limit, arguments.only)
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
