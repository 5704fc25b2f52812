"""Breaks the checker in each of the ways of mutants.py and runs its tests: one must fail, each time.

    mutate.py [--only NAME ...] [--jobs N] [--work FOLDER] [--list]

Builds in a copy of the sources under FOLDER, with the engine for short runs only: it is the same code as the others.
A mutant is caught by the first of: 300 random programs against the oracle, 300 with mutexes, the litmus table, the
programs that pass, the programs that fail; a test that takes five times what it took before counts as failed. The
last line says how many of how many were caught; the exit status is 1 if one was not and is not argued harmless, was
caught though it is, or does not compile.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import mutants

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "oracle"))

import differential
import locks
import locks_differential
import notation
import search

SEED = 20220116
LONG_RUNS = "--gtest_filter=-Correct.LastZero15"
PROGRAMS = 300


NO_ENGINE = """#include "runtime/exploration.h"
namespace interleave {{
template <>
bool explore_with<{words}>(const Options&, const std::function<void()>&, Observer*, const std::string&, Result& result,
                     bool&) {{
  result.verdict = Verdict::limit;
  return true;
}}
}}
"""


class Expected:
    """What the oracle says of the random programs; drawn once."""

    def __init__(self):
        drawn = [differential.draw(SEED, number, 500) for number in range(PROGRAMS)]
        self.lines = [notation.text(threads) for threads, _, _ in drawn]
        self.outcomes = {"rc11": [outcome for _, outcome, _ in drawn],
                         "sc": [search.executions(threads, "sc") for threads, _, _ in drawn]}

    def met(self, program: pathlib.Path, timeout: float) -> bool:
        for model, outcomes in self.outcomes.items():
            answers = differential.engine(program, self.lines, model, timeout)
            for (graphs, race), answer in zip(outcomes, answers):
                if differential.difference(graphs, race, answer):
                    return False
        return True


class ExpectedOfLocks:
    """The same of random programs with mutexes."""

    def __init__(self):
        self.drawn = [locks_differential.draw(SEED, number, 200)[0] for number in range(PROGRAMS)]
        self.lines = [locks.text(expected.threads) for expected in self.drawn]

    def met(self, program: pathlib.Path, timeout: float) -> bool:
        answers = locks_differential.engine(program, self.lines, "rc11", timeout)
        return not any(map(locks_differential.difference, self.drawn, answers))


class Checker:
    """A copy of the sources, and a build of it."""

    def __init__(self, work: pathlib.Path, jobs: int):
        self.source, self.build, self.jobs = work / "interleave", work / "build", jobs
        if self.source.exists():
            shutil.rmtree(self.source)
        shutil.copytree(ROOT, self.source, ignore=shutil.ignore_patterns("build", "__pycache__"))
        for words in (2, 4, 8, 16):
            (self.source / f"src/runtime/engine_{64 * words}.cc").write_text(NO_ENGINE.format(words=words))
        self.limits = {}

    def configure(self):
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        subprocess.run(["cmake", "-S", self.source, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                        "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -g1", "-DINTERLEAVE_EXAMPLES=OFF", "-DINTERLEAVE_WERROR=OFF",
                        *launcher],
                       check=True, stdout=subprocess.DEVNULL)

    def make(self, target: str) -> bool:
        done = subprocess.run(["cmake", "--build", self.build, "-j", str(self.jobs), "--target", target],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0

    def passes(self, name: str, test) -> bool:
        """Whether it passes, and in time: five times what it took the first time."""
        begin = time.monotonic()
        try:
            passed = test(self.limits.get(name))
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        self.limits.setdefault(name, 30 + 5 * (time.monotonic() - begin))
        return passed

    def command(self, *arguments):
        environment = {**os.environ, "INTERLEAVE_PROGRAM": str(self.build / "bin/interleave"),
                       "INTERLEAVE_SOURCE_DIR": str(self.source), "PYTHONDONTWRITEBYTECODE": "1"}
        return lambda limit: subprocess.run(arguments, env=environment, stdout=subprocess.DEVNULL, timeout=limit,
                                            stderr=subprocess.DEVNULL, check=False).returncode == 0

    def first_failure(self, expected: Expected, of_locks: ExpectedOfLocks):
        """The test that fails, the quickest first; "build" if it does not compile; None if all pass."""
        program, locks_program = self.build / "bin/interleave", self.build / "bin/interleave_locks"
        tests = [
            ("the oracle", "interleave_program", lambda limit: expected.met(program, limit)),
            ("the locks", "interleave_locks", lambda limit: of_locks.met(locks_program, limit)),
            ("the litmus table", "interleave_program", self.command(sys.executable, self.source / "tests/test_litmus.py")),
            ("correct", "interleave_correct", self.command(self.build / "bin/interleave_correct", "--gtest_fail_fast", LONG_RUNS)),
            ("wrong", "interleave_wrong", self.command(self.build / "bin/interleave_wrong", "--gtest_fail_fast")),
        ]
        for name, target, test in tests:
            if not self.make(target):
                return "build"
            if not self.passes(name, test):
                return name
        return None


def apply(source: pathlib.Path, mutant: mutants.Mutant) -> str:
    """Changes the file and returns what was in it."""
    path = source / "src" / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its text occurs {text.count(mutant.old)} times in src/{mutant.file}; "
                         "bring mutants.py up to date")
    path.write_text(text.replace(mutant.old, mutant.new))
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=pathlib.Path, default=None)
    parser.add_argument("--list", action="store_true", help="only see that each mutant still applies")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in mutants.MUTANTS if arguments.only is None or mutant.name in arguments.only]
    if arguments.list:
        for mutant in chosen:
            text = (ROOT / "src" / mutant.file).read_text()
            print(f"{'ok  ' if text.count(mutant.old) == 1 else 'GONE'} {mutant.name}: {mutant.what}")
        return 0 if all((ROOT / "src" / m.file).read_text().count(m.old) == 1 for m in chosen) else 1

    work = arguments.work or pathlib.Path(tempfile.mkdtemp(prefix="interleave-mutants-"))
    work.mkdir(parents=True, exist_ok=True)
    checker = Checker(work, arguments.jobs)
    checker.configure()
    expected, of_locks = Expected(), ExpectedOfLocks()
    failure = checker.first_failure(expected, of_locks)
    if failure is not None:
        print(f"the checker as it is fails: {failure}")
        return 1
    wrong, caught = 0, 0
    for mutant in chosen:
        text = apply(checker.source, mutant)
        failure = checker.first_failure(expected, of_locks)
        (checker.source / "src" / mutant.file).write_text(text)
        if failure == "build":
            verdict = "DOES NOT COMPILE"
            wrong += 1
        elif failure is not None:
            verdict = f"caught by {failure}" + (", though it is argued harmless" if mutant.harmless else "")
            wrong += bool(mutant.harmless)
            caught += 1
        else:
            verdict = f"harmless: {mutant.harmless}" if mutant.harmless else "SURVIVES"
            wrong += not mutant.harmless
        print(f"{mutant.name}: {mutant.what}: {verdict}", flush=True)
    print(f"{caught} of {len(chosen)} mutants caught, {wrong} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
