"""What verify_scenarios says of each scenario."""

import json
import pathlib
import re
import subprocess
import tempfile
from typing import NamedTuple


CUDA = "cuda_"  # how the names of scenarios over the CUDA backend's sources begin


class Wrong(Exception):
    """Why there is nothing to write a page from, and what to do."""


class Shown(NamedTuple):
    name: str
    invariants: tuple
    slow: bool
    kind: str        # complete, bounded, sampled or refuted
    why: str         # why it is bounded or sampled; of one that is refuted: as what
    executions: int  # 0 of one that is refuted: how many came before depends on who shares the work

    def verdict(self) -> str:
        return f"{self.kind}: {self.why}" if self.why else self.kind


def shown(said: dict) -> Shown:
    """Of a line of verify_scenarios --results."""
    if not said["met"]:
        raise Wrong(f"{said['name']} does not show what it is to show ({said['expected']}): "
                    f"{said['message'] or said['coverage']}")
    identity = (said["name"], tuple(said["invariants"]), not said["quick"])
    if said["verdict"] != "pass":
        return Shown(*identity, "refuted", said["verdict"], 0)
    why = "" if said["coverage"] == "complete" else said["expected"].partition(": ")[2]
    return Shown(*identity, said["coverage"], why, said["executions"])


def written(page: str) -> dict:
    """The scenarios as the page has them from the last run of all, by name."""
    found = {}
    for number, text in re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL):
        for name, slow, kind, why, executions in re.findall(
                r"^\| `([^`]*)`( \(slow\))? \| (\w+)(?:: (.*))? \| ([\d,]*) \|$", text, re.MULTILINE):
            numbers = found[name].invariants if name in found else ()
            found[name] = Shown(name, (*numbers, number), bool(slow), kind, why, int((executions or "0").replace(",", "")))
    return found


def remembered(listed: dict, not_run, page: str) -> list:
    """What was not run now, as the page has it: those names, and the CUDA backend's where that was not built."""
    known = written(page)
    found = []
    for name in not_run:
        if name not in known:
            raise Wrong(f"the page does not have the slow scenario {name} yet: with MILLRACE_UPDATE=1 it is run")
        invariants, expected = tuple(listed[name]["invariants"]), listed[name]["expected"].partition(": ")[2]
        bounded = known[name].kind in ("bounded", "sampled")
        found.append(known[name]._replace(invariants=invariants, slow=True, why=expected if bounded else known[name].why))
    if not any(name.startswith(CUDA) for name in listed):
        found += [each for name, each in known.items() if name.startswith(CUDA)]
    return found


def lines(text: str) -> dict:
    """The objects of a text of one a line, by name."""
    objects = [json.loads(line) for line in text.splitlines()]
    return {each["name"]: each for each in objects}


class Program:
    """verify_scenarios, and the file with the results of its last run, which counts as long as the program is older."""

    def __init__(self, program: pathlib.Path, results: pathlib.Path):
        self.program, self.results = program, results

    def all_shown(self, page: str, slow: bool) -> list:
        """By name. Runs what the results lack, slow scenarios only if that is asked for."""
        listed = lines(self.run("--list", "--json"))
        said = self.last_results()
        lacking = [name for name, each in listed.items() if name not in said and (each["quick"] or slow)]
        if lacking:
            with tempfile.NamedTemporaryFile("r") as file:
                self.run("--results", file.name, *lacking)
                said |= lines(file.read())
        found = [shown(said[name]) for name in listed if name in said]
        found += remembered(listed, [name for name in listed if name not in said], page)
        return sorted(found, key=lambda scenario: scenario.name)

    def last_results(self) -> dict:
        if not self.results.exists() or self.results.stat().st_mtime_ns < self.program.stat().st_mtime_ns:
            return {}
        return lines(self.results.read_text())

    def run(self, *arguments) -> str:
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):  # 1: a scenario failed, which shown() says
            raise Wrong(f"{self.program.name} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout
