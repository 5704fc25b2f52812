"""Breaks the core in each of the ways of mutants.py and runs the scenarios that have to notice.

    mutate.py [--build FOLDER] [--only NAME ...] [--third [DIGEST]] [--within SECONDS] [--jobs N] [--json FILE|-]
              [--list]

FOLDER is a build of the project with the target verify_scenarios (default: build/release); what is built here goes to
its folder `mutants`. The tree is left as it is: a mutant's file stands in a folder of its own that is searched first,
and only those sources are compiled anew that the scenarios need and that include it. With the unchanged sources, built the
same way, the scenarios have to show what they are to show: that they are proved, or within which bounds they pass.

--third: a third of the mutants, which one is chosen by the digest (of the sources under test, where none is given), as
is the one that it begins with.
--within: none is begun after so many seconds; how many were not is said.
With MILLRACE_TEST_FULL in the environment all of them.

A mutant is killed when one of its scenarios fails in one of its ways. It is an error if it does not apply exactly
once, does not compile, or its scenarios fail without it, or fail otherwise, or take longer than two minutes.
One that is argued harmless has to survive, and is not part of the score. Nor is one of the CUDA backend where CUDA is
not found and none of its sources is part of the build: it is said to be left out. Exit status: 0 if all is as it
should be, 1 if not, 2 for wrong arguments.
"""

import argparse
import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time

import mutants

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "verify/scenarios"
CUDA = ROOT / "src/backends/cuda"
LIMIT = 120  # seconds, of one run of a mutant's scenarios
DIGESTED = ("src", "include", "verify", "interleave/src", "interleave/include", "cmake", "CMakeLists.txt")

# What most sources include and no mutant changes, compiled once: it is most of what compiling takes.
PRELUDE = """#include <interleave/detail/instrumented.h>
#include <interleave/interleave.h>
#include <algorithm>
#include <array>
#include <boost/intrusive/set.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>
"""
INSTRUMENTED = ["-include", "interleave/detail/instrumented.h"]


class Failed(Exception):
    """A mutant that can't be judged, and why."""


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)


def digest_of_sources() -> str:
    found = hashlib.sha256()
    for part in DIGESTED:
        path = ROOT / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


class Symbols:
    """What an object defines and what it needs."""

    def __init__(self, file: pathlib.Path):
        self.defined, self.needed = set(), set()
        for line in run(["nm", "-P", str(file)]).stdout.splitlines():
            name, kind = line.split()[:2]
            if kind == "U":
                self.needed.add(name)
            elif kind.isupper() and kind != "N":
                self.defined.add(name)


class Unit:
    """A source of verify_scenarios, and how it is compiled."""

    def __init__(self, entry: dict, work: pathlib.Path):
        self.source = pathlib.Path(entry["file"])
        self.folder = entry["directory"]
        self.name = str(self.source.relative_to(ROOT)).replace("/", "-")
        words = shlex.split(entry["command"])
        compiler = next(i for i, word in enumerate(words) if not pathlib.Path(word).name.startswith("ccache"))
        words = words[compiler:]
        for option in ("-o", "-c"):
            at = words.index(option)
            del words[at:at + 2]
        at = words.index("interleave/detail/instrumented.h")
        del words[at - 1:at + 1]
        self.compiler = words[0]
        # What one round has compiled, the next one need not. Precompiled headers want the sloppiness.
        self.launcher = [which] if (which := shutil.which("ccache")) else []
        # -O1: twice as fast to compile as -O2, and the runs are short.
        self.options = [word for word in words[1:] if not re.match(r"-O\w*$", word)] + ["-O1"]
        self.object = work / (self.name + ".o")
        self.depends = set()
        self.symbols = None

    def compile(self, work: pathlib.Path, target: pathlib.Path, overlay=None, source=None):
        options = [f"-I{overlay / 'src'}"] if overlay else []
        command = [*self.launcher, self.compiler, *options, "-include", str(work / "prelude.h"), *self.options, "-MD", "-MF",
                   str(target.with_suffix(".d")), "-o", str(target), "-c", str(source or self.source)]
        done = run(command, cwd=self.folder,
                   env={**os.environ, "CCACHE_DEPEND": "1", "CCACHE_SLOPPINESS": "pch_defines,time_macros"})
        if done.returncode != 0:
            raise Failed("does not compile: " + "\n".join(done.stdout.splitlines()[:20]))


def read_depends(rule: pathlib.Path, folder: str) -> set:
    words = rule.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    return {os.path.realpath(os.path.join(folder, word)) for word in words}


def is_up_to_date(target: pathlib.Path, rule: pathlib.Path, folder: str, *also: pathlib.Path) -> bool:
    if not target.exists() or not rule.exists():
        return False
    built = target.stat().st_mtime_ns
    files = [pathlib.Path(folder, name) for name in read_depends(rule, folder)] + list(also)
    return all(file.exists() and file.stat().st_mtime_ns < built for file in files)


class Core:
    """The sources as they are, built; and what of them a scenario needs."""

    def __init__(self, build: pathlib.Path, jobs: int):
        self.build, self.jobs, self.work = build, jobs, build / "mutants"
        self.library = build / "lib/libinterleave.a"
        commands = build / "compile_commands.json"
        if not commands.exists() or not self.library.exists():
            raise SystemExit(f"mutate.py: {build} is no build of verify_scenarios; name one with --build")
        (self.work / "core").mkdir(parents=True, exist_ok=True)
        self.units = [Unit(entry, self.work / "core") for entry in json.loads(commands.read_text())
                      if "verify_scenarios.dir" in entry["command"]]
        self.compile_prelude()
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(self.bring_up_to_date, self.units))

    def has_cuda(self) -> bool:
        return any(unit.source.is_relative_to(CUDA) for unit in self.units)

    def compile_prelude(self):
        header, rule = self.work / "prelude.h", self.work / "prelude.d"
        compiled = self.work / "prelude.h.gch"
        unit = self.units[0]
        # What it says depends on the compiler and its options, too.
        text = PRELUDE + f"// {unit.compiler} {' '.join(unit.options)}\n"
        if header.exists() and header.read_text() == text and is_up_to_date(compiled, rule, unit.folder):
            return
        header.write_text(text)
        done = run([unit.compiler, *unit.options, "-MD", "-MF", str(rule), "-x", "c++-header", str(header), "-o",
                    str(compiled)], cwd=unit.folder)
        if done.returncode != 0:
            raise SystemExit(f"mutate.py: the common headers do not compile:\n{done.stdout}")

    def bring_up_to_date(self, unit: Unit):
        rule = unit.object.with_suffix(".d")
        if not is_up_to_date(unit.object, rule, unit.folder, self.work / "prelude.h.gch"):
            try:
                unit.compile(self.work, unit.object)
            except Failed as failure:
                raise SystemExit(f"mutate.py: {unit.source} {failure}") from failure
        unit.depends = read_depends(rule, unit.folder)
        unit.symbols = Symbols(unit.object)

    def scenario_units(self, prefixes) -> list:
        """The sources of the scenarios with these names, and the one with main."""
        roots = [unit for unit in self.units if "main" in unit.symbols.defined]
        for prefix in prefixes:
            files = [unit for unit in self.units
                     if unit.source.parent == SCENARIOS and f'"{prefix}' in unit.source.read_text()]
            if not files:
                raise Failed(f"no scenario is called {prefix}")
            roots += files
        return roots

    def closure(self, roots, symbols) -> list:
        """What has to be linked for the roots. symbols(unit): its own or those of what takes its place."""
        definer = {}
        for unit in self.units:
            for name in unit.symbols.defined:
                definer.setdefault(name, unit)
        found, waiting = [], list(roots)
        while waiting:
            unit = waiting.pop()
            if unit in found:
                continue
            found.append(unit)
            waiting += [definer[name] for name in symbols(unit).needed if name in definer]
        return found

    def link(self, objects, program: pathlib.Path, compiler: str):
        done = run([compiler, *map(str, objects), "-o", str(program), str(self.library), "-ldl", "-pthread"])
        if done.returncode != 0:
            raise Failed("does not link: " + "\n".join(done.stdout.splitlines()[-5:]))

    def plain_program(self, prefixes) -> pathlib.Path:
        roots = self.scenario_units(prefixes)
        units = self.closure(roots, lambda unit: unit.symbols)
        name = hashlib.sha256(" ".join(sorted(unit.name for unit in units)).encode()).hexdigest()[:16]
        program = self.work / f"core/{name}"
        if not program.exists() or any(unit.object.stat().st_mtime_ns > program.stat().st_mtime_ns for unit in units):
            self.link([unit.object for unit in units], program, units[0].compiler)
        return program


def verdicts(program: pathlib.Path, prefixes, enough=()) -> dict:
    """What was found of each scenario, and whether that is what it is to show; up to the first that is not, in one of the
    ways that are enough."""
    found, late = {}, threading.Event()
    with subprocess.Popen([str(program), "--json", *prefixes], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as process:

        def stop():
            late.set()
            process.kill()

        timer = threading.Timer(LIMIT, stop)
        timer.start()
        for line in process.stdout:
            if not (line.startswith("{") and line.endswith("\n")):
                continue
            said = json.loads(line)
            verdict = said["coverage"] if said["verdict"] == "pass" else said["verdict"]
            found[said["name"]] = (said["met"], verdict)
            if not said["met"] and verdict in enough:
                process.kill()
                break
        timer.cancel()
        process.wait()
    if late.is_set():
        raise Failed(f"the scenarios take longer than {LIMIT} s")
    if not found:
        raise Failed(f"no scenario has said anything; exit status {process.returncode}")
    return found


class Proved:
    """Sees to it, once for each set of scenarios, that they show without a mutant what they are to show. Different sets are
    explored at the same time."""

    def __init__(self, core: Core):
        self.core, self.known = core, {}
        self.lock = threading.Lock()  # protects known, and the programs that sets have in common while they are linked

    def require(self, prefixes):
        with self.lock:
            found = self.known.get(prefixes)
            program = None
            if found is None:
                found = self.known[prefixes] = concurrent.futures.Future()
                try:
                    program = self.core.plain_program(prefixes)
                except BaseException as error:
                    found.set_exception(error)
        if program is not None:
            try:
                found.set_result(verdicts(program, prefixes))
            except BaseException as error:
                found.set_exception(error)
        for name, (met, verdict) in found.result().items():
            if not met:
                raise Failed(f"{name} does not show without the mutant what it is to show: {verdict}")


def changed(mutant: mutants.Mutant) -> str:
    text = (ROOT / mutant.file).read_text()
    for before, after in mutant.changes:
        if text.count(before) != 1:
            raise Failed(f"its text occurs {text.count(before)} times in {mutant.file}: {before.splitlines()[0]}")
        text = text.replace(before, after)
    return text


def build_mutant(core: Core, mutant: mutants.Mutant) -> pathlib.Path:
    folder = core.work / mutant.name
    shutil.rmtree(folder, ignore_errors=True)
    file = folder / mutant.file
    file.parent.mkdir(parents=True)
    file.write_text(changed(mutant))
    original = os.path.realpath(ROOT / mutant.file)
    own = {}  # the units compiled anew

    def take(unit):
        target = folder / (unit.name + ".o")
        unit.compile(core.work, target, folder, file if str(unit.source) == original else None)
        own[unit] = (target, Symbols(target))

    roots = core.scenario_units(mutant.scenarios)
    while True:
        units = core.closure(roots, lambda unit: own[unit][1] if unit in own else unit.symbols)
        left = [unit for unit in units if original in unit.depends and unit not in own]
        if not left:
            break
        for unit in left:
            take(unit)
    if not own:
        raise Failed(f"its scenarios use nothing of {mutant.file}")
    program = folder / "scenarios"
    core.link([own[unit][0] if unit in own else unit.object for unit in units], program, units[0].compiler)
    return program


def judge(core: Core, proved: Proved, mutant: mutants.Mutant) -> dict:
    begin = time.monotonic()
    outcome = {"name": mutant.name, "invariants": mutant.invariants.split(), "scenario": " ".join(mutant.scenarios),
               "killed": False, "by": "", "verdict": "", "seconds": 0, "error": ""}
    try:
        program = build_mutant(core, mutant)
        proved.require(mutant.scenarios)
        said = verdicts(program, mutant.scenarios, mutant.verdicts)
        found = {name: verdict for name, (met, verdict) in said.items() if not met}
        for name, verdict in found.items():
            if verdict in mutant.verdicts:
                outcome.update(killed=True, by=name, verdict=verdict)
                break
        else:
            if found:
                others = ", ".join(f"{name}: {verdict}" for name, verdict in found.items())
                raise Failed(f"fails otherwise than expected: {others}")
        if outcome["killed"] and mutant.harmless:
            outcome["killed"] = False
            raise Failed("is killed, though it is argued harmless")
    except Failed as failure:
        outcome["error"] = str(failure)
    shutil.rmtree(core.work / mutant.name, ignore_errors=True)
    outcome["seconds"] = round(time.monotonic() - begin, 2)
    return outcome


def is_well(mutant: mutants.Mutant, outcome: dict) -> bool:
    return not outcome["error"] and outcome["killed"] != bool(mutant.harmless)


def in_words(mutant: mutants.Mutant, outcome: dict) -> str:
    if outcome["error"]:
        return "ERROR: " + outcome["error"]
    if outcome["killed"]:
        return f"killed by {outcome['by']}: {outcome['verdict']}"
    return "harmless" if mutant.harmless else "SURVIVES"


def choose(parser: argparse.ArgumentParser, only, third) -> list:
    chosen = mutants.MUTANTS
    if only is not None:
        unknown = set(only) - {mutant.name for mutant in chosen}
        if unknown:
            parser.error(f"there is no mutant {', '.join(sorted(unknown))}; --list shows them")
        chosen = [mutant for mutant in chosen if mutant.name in only]
    if third is not None:
        draw = int(hashlib.sha256(third.encode()).hexdigest(), 16)
        chosen = chosen[draw % 3::3]
        first = draw // 3 % len(chosen)
        chosen = chosen[first:] + chosen[:first]
    return chosen


def possible(core: Core, chosen: list, log) -> list:
    """Those that this build can be broken by; says of the others why not."""
    if core.has_cuda():
        return chosen
    kept = []
    for mutant in chosen:
        if (ROOT / mutant.file).is_relative_to(CUDA):
            print(f"{mutant.name}: left out: without CUDA verify_scenarios has no source of src/backends/cuda", file=log)
        else:
            kept.append(mutant)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--third", nargs="?", const="", metavar="DIGEST")
    parser.add_argument("--within", type=float, default=math.inf, metavar="SECONDS")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--list", action="store_true", help="only see that each mutant still applies")
    arguments = parser.parse_args()
    third = digest_of_sources() if arguments.third == "" else arguments.third
    within = arguments.within
    if os.environ.get("MILLRACE_TEST_FULL"):
        third, within = None, math.inf
    chosen = choose(parser, arguments.only, third)
    if arguments.list:
        gone = 0
        for mutant in chosen:
            try:
                changed(mutant)
                print(f"{mutant.name}: {mutant.what}")
            except Failed as failure:
                gone += 1
                print(f"{mutant.name}: {failure}")
        return 1 if gone else 0

    log = sys.stderr if arguments.json == "-" else sys.stdout
    core = Core(arguments.build.resolve(), arguments.jobs)
    chosen = possible(core, chosen, log)
    proved = Proved(core)
    end = time.monotonic() + within
    judged, outcomes = [], []

    def judge_in_time(mutant):
        return judge(core, proved, mutant) if time.monotonic() < end else None

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, outcome in zip(chosen, pool.map(judge_in_time, chosen)):
            if outcome is None:
                continue
            judged.append(mutant)
            outcomes.append(outcome)
            words = in_words(mutant, outcome)
            print(f"{mutant.name}: {mutant.what}: {words} ({outcome['seconds']} s)", file=log, flush=True)
    if len(judged) < len(chosen):
        print(f"{len(chosen) - len(judged)} mutants were not begun within {within:g} s", file=log)
    chosen = judged
    to_kill = [mutant for mutant in chosen if not mutant.harmless]
    killed = sum(outcome["killed"] for mutant, outcome in zip(chosen, outcomes) if not mutant.harmless)
    wrong = sum(not is_well(mutant, outcome) for mutant, outcome in zip(chosen, outcomes))
    print(f"{killed} of {len(to_kill)} mutants killed, {wrong} not as they should be", file=log)
    if arguments.json:
        harmless = [mutant.name for mutant, outcome in zip(chosen, outcomes)
                    if mutant.harmless and is_well(mutant, outcome)]
        shown = [outcome for outcome in outcomes if outcome["name"] not in harmless]
        text = json.dumps({"mutants": shown, "killed": killed, "of": len(to_kill), "harmless": harmless}, indent=2) + "\n"
        if arguments.json == "-":
            print(text, end="")
        else:
            pathlib.Path(arguments.json).write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
