"""What the oracle says of many random programs, kept in a file: the oracle takes an hour for what the checker does
in minutes, and the checker is the one that changes.

    recorded.py write FILE [--programs N] [--seed S] [--jobs J] [--limit G]
    recorded.py compare PROGRAM FILE [--jobs J]

`write` appends, so that it can be stopped and gone on with. A line of the file is a program with the number of its
graphs, whether one has a race, and a digest of them, under one model; each fourth program is there under SC too. On a
difference `compare` asks the oracle again, and reports as differential.py does; its exit status is 1 then.
"""

import argparse
import functools
import hashlib
import multiprocessing
import os
import pathlib
import sys
import time
from typing import NamedTuple

import differential
import notation
import search


class Row(NamedTuple):
    model: str
    graphs: int
    race: bool
    digest: str
    line: str

    def __str__(self):
        return "\t".join((self.model, str(self.graphs), "race" if self.race else "-", self.digest, self.line))

    @classmethod
    def parse(cls, text: str) -> "Row":
        model, graphs, race, digest, line = text.rstrip("\n").split("\t")
        return cls(model, int(graphs), race == "race", digest, line)


def digest(graphs: list) -> str:
    return hashlib.sha256("\n".join(sorted(line.rstrip() for line in graphs)).encode()).hexdigest()[:24]


def rows(seed: int, limit: int, numbers: range) -> list:
    found = []
    for number in numbers:
        threads, (graphs, race), _ = differential.draw(seed, number, limit)
        line = notation.text(threads)
        found.append(Row("rc11", len(graphs), race, digest(graphs), line))
        if number % 4 == 0:
            graphs, race = search.executions(threads, "sc")
            found.append(Row("sc", len(graphs), race, digest(graphs), line))
    return found


def write(file: pathlib.Path, programs: int, seed: int, jobs: int, limit: int):
    work = [range(i, min(i + differential.BATCH, programs)) for i in range(0, programs, differential.BATCH)]
    with multiprocessing.Pool(jobs) as pool, file.open("a", encoding="ascii") as output:
        for part in pool.imap_unordered(functools.partial(rows, seed, limit), work):
            output.write("".join(f"{row}\n" for row in part))
            output.flush()


def complaints(program: str, part: list) -> list:
    """What differs, of rows of one model: (model, threads, complaint)."""
    outcomes = differential.engine(program, [row.line for row in part], part[0].model)
    found = []
    for row, outcome in zip(part, outcomes):
        answer = f"executions={row.graphs} race={'yes' if row.race else 'no'} "
        if digest(outcome.lines) == row.digest and outcome.answer.startswith(answer):
            continue
        threads = notation.parse(row.line)
        graphs, race = search.executions(threads, row.model)
        found.append((row.model, threads, differential.difference(graphs, race, outcome) or "the file and the oracle differ"))
    return found


def compare(program: str, file: pathlib.Path, jobs: int) -> int:
    begin = time.monotonic()
    with file.open(encoding="ascii") as lines:
        every = [Row.parse(line) for line in lines]
    work = []
    for model in ("rc11", "sc"):
        mine = [row for row in every if row.model == model]
        work += [mine[i:i + differential.BATCH] for i in range(0, len(mine), differential.BATCH)]
    differences = 0
    with multiprocessing.Pool(jobs) as pool:
        for part in pool.imap_unordered(functools.partial(complaints, program), work):
            for model, threads, complaint in part:
                differences += 1
                if differences <= 10:
                    differential.report(program, model, threads, complaint, 0)
    plain = [row for row in every if row.model == "rc11"]
    large = sum(row.graphs >= 100 for row in plain)
    print(f"{len(plain)} programs ({len({row.line for row in plain})} of them different), {sum(row.graphs for row in plain)} "
          f"graphs, {large} programs of 100 graphs or more, {sum(row.race for row in plain)} with a race, and "
          f"{len(every) - len(plain)} of them under SC; {differences} differ; {time.monotonic() - begin:.0f} s")
    return 1 if differences else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("file", type=pathlib.Path)
    writing.add_argument("--programs", type=int, default=1000)
    writing.add_argument("--seed", type=int, default=None, help="a fresh one if not given")
    writing.add_argument("--limit", type=int, default=800)
    comparing = commands.add_parser("compare")
    comparing.add_argument("program")
    comparing.add_argument("file", type=pathlib.Path)
    for command in (writing, comparing):
        command.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    if arguments.command == "compare":
        return compare(arguments.program, arguments.file, arguments.jobs)
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}", flush=True)
    write(arguments.file, arguments.programs, seed, arguments.jobs, arguments.limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
