"""Every synchronisation call site of the core is come by by two threads of one scenario, or is listed with a reason.

A call site is a line of src/{sync,device,stream,event,memory} that calls an operation of the façade: an atomic's, a fence,
a lock taken or given up by name, a wait, a notification, a yield, the join of a thread. A lock that ends with its scope
belongs to the line that took it. What src/sync makes of those (Gate, MpscList, Ref, BiasedLock, Thread) has call sites of
its own, and who uses it there has none. Two calls on one line are one call site.

Which lines that are is found twice: in the machine code of verify_scenarios (program.py), which may miss a function that
nothing in that program calls, and a call that the compiler merged with another; and in the text of the sources (text.py),
which knows the operations' names and may miss a spelling. Either is enough, and what a scenario came by must be
one of them. Who came by tells `verify_scenarios --sites`: over all executions of one scenario, the body counts as a thread.

    python3 verify/sites/sites.py [--build FOLDER] [--sites FILE] [--list]

--sites: what an earlier run wrote, instead of running the quick scenarios. --list: each call site, with its scenario.
Exit status 0 if all is so, 1 if not.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD_DIR", ROOT / "build/release"))
LAYERS = ("sync", "device", "stream", "event", "memory")
ENOUGH = 2
LEAST_SHARE = 0.9  # below it one of the two searches does not work here at all
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import exceptions
import program
import text


@dataclass
class Site:
    file: str
    line: int
    function: str
    code: str  # of its line
    threads: int = 0
    scenario: str = ""
    found_in: set = field(default_factory=set)  # "program", "text"

    @property
    def key(self) -> tuple:
        return self.file, self.function, self.code

    def __str__(self) -> str:
        by = f"{self.threads} in {self.scenario}" if self.threads else "none"
        return f"{self.file}:{self.line}: {self.function}: {self.code}  [threads: {by}]"


class Sources:
    """The core's files, without what is not code."""

    def __init__(self):
        paths = [path for layer in LAYERS for path in (ROOT / "src" / layer).rglob("*") if path.suffix in (".h", ".cc")]
        self.code = {str(path.relative_to(ROOT)): text.code_of(path) for path in paths}
        self.lines = {file: code.split("\n") for file, code in self.code.items()}
        self.functions = {file: text.functions(code) for file, code in self.code.items()}
        names = text.declared_names(list(self.code.values()))
        self.calls = {file: text.calls(code, names) for file, code in self.code.items()}

    def site(self, file: str, line: int) -> Site:
        return Site(file, line, self.functions[file][line], " ".join(self.lines[file][line - 1].split()))


def came_by(sites_file: pathlib.Path) -> dict:
    """(file, line): (threads, scenario)."""
    found = {}
    for entry in map(json.loads, sites_file.read_text().splitlines()):
        # Files of one program may be known by several names: a cache of the compiler's keeps those of whoever filled it.
        place = program.in_project(entry["file"], ROOT) or entry["file"], entry["line"]
        found[place] = max(found.get(place, (0, "")), (entry["threads"], entry["scenario"]))
    return found


def call_sites(sources: Sources, binary: pathlib.Path, seen: dict) -> list:
    """Of the program and of the text; by line. The program's lines are those that scenarios tell, but that a call over
    several lines may be told by another of them."""
    found = {}

    def add(file: str, line: int, found_in: str):
        site = found.setdefault((file, line), sources.site(file, line))
        site.found_in.add(found_in)
        return site

    for file, line in program.lines_called_from(binary, ROOT):
        if file in sources.code:
            add(file, line, "program")
    in_program = set(found)
    for file, calls in sources.calls.items():
        for call in calls:
            lines = [(file, line) for line in range(call.first, call.last + 1)]
            # Of a call that the program has on another of its lines, or has not, whoever was told came by.
            told = max((seen[place] for place in lines if place in seen and place not in in_program), default=(0, ""))
            known = [place for place in lines if place in in_program]
            for place in known or lines[:1]:
                site = add(*place, "text")
                site.threads, site.scenario = max((site.threads, site.scenario), told)
    for place in found.keys() & seen.keys():
        found[place].threads, found[place].scenario = seen[place]
    return [found[place] for place in sorted(found)]


def unknown_places(sites: list, sources: Sources, seen: dict) -> list:
    """Where a scenario came by, and which is no call site."""
    lines = {(site.file, site.line) for site in sites}
    for file, calls in sources.calls.items():
        lines |= {(file, line) for call in calls for line in range(call.first, call.last + 1)}
    return [sources.site(*place) for place in sorted(seen.keys() - lines) if place[0] in sources.code]


def findings(sites: list, sources: Sources, seen: dict) -> list:
    found = [f"{site}\n    a scenario came by; neither the program nor the text has a call there: mend program.py or text.py"
             for site in unknown_places(sites, sources, seen)]
    for where in ("program", "text"):
        share = sum(where in site.found_in for site in sites) / max(len(sites), 1)
        if share < LEAST_SHARE:
            found.append(f"only {share:.0%} of the call sites are found in the {where}: mend {where}.py")
    excepted = Counter(exceptions.places())
    found += [f"{': '.join(key)}\n    listed twice in exceptions.py" for key, count in excepted.items() if count > 1]
    lacking = [site for site in sites if site.threads < ENOUGH]
    found += [f"{site}\n    two threads must come by in one scenario, or exceptions.py says why not" for site in lacking
              if site.key not in excepted]
    for key in sorted(excepted.keys() - {site.key for site in lacking}):
        covered = [site for site in sites if site.key == key]
        why = f"is no exception any more: {covered[0]}" if covered else "there is no such call site any more"
        found.append(f"{': '.join(key)}\n    {why}; remove it from exceptions.py")
    return found


def run_scenarios(binary: pathlib.Path, sites_file: pathlib.Path) -> None:
    done = subprocess.run([binary, "--quick", "--workers", "2", "--sites", sites_file], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{binary} --quick ended with {done.returncode}; run it to see what failed\n{done.stderr}")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--build", type=pathlib.Path, default=BUILD)
    options.add_argument("--sites", type=pathlib.Path)
    options.add_argument("--list", action="store_true")
    options = options.parse_args()
    binary = options.build / "bin/verify_scenarios"
    with tempfile.TemporaryDirectory() as folder:
        sites_file = options.sites or pathlib.Path(folder, "sites.jsonl")
        if not options.sites:
            run_scenarios(binary, sites_file)
        seen = came_by(sites_file)
    sources = Sources()
    sites = call_sites(sources, binary, seen)
    found = findings(sites, sources, seen)
    if options.list:
        print(*sites, sep="\n")
    if found:
        print(*found, sep="\n")
    both = sum(len(site.found_in) == 2 for site in sites)
    by_two = sum(site.threads >= ENOUGH for site in sites)
    excepted = sum(site.threads < ENOUGH and site.key in exceptions.places() for site in sites)
    print(f"{len(sites)} call sites ({both} found in the program and in the text, {len(sites) - both} in one of them): "
          f"two threads come by {by_two}, {excepted} are exceptions; {len(found)} finding{'' if len(found) == 1 else 's'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
