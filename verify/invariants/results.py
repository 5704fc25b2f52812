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


def remembered(listed: dict, page: str) -> Shown:
    """A slow scenario that was not run now, as the page has it from the last run of all."""
    row = re.search(rf"^\| `{re.escape(listed['name'])}` \(slow\) \| (\w+)(?:: (.*))? \| ([\d,]*) \|$", page,
                    re.MULTILINE)
    if row is None:
        raise Wrong(f"the page does not have the slow scenario {listed['name']} yet: with MILLRACE_UPDATE=1 it is run")
    kind, why, executions = row.groups()
    if kind in ("bounded", "sampled"):
        why = listed["expected"].partition(": ")[2]
    return Shown(listed["name"], tuple(listed["invariants"]), True, kind, why or "",
                 int((executions or "0").replace(",", "")))


def not_built(listed, page: str) -> list:
    """The CUDA backend's, as the page has them, where the program was built without that backend."""
    if any(name.startswith(CUDA) for name in listed):
        return []
    found = {}
    for number, text in re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL):
        for name, kind, why, executions in re.findall(
                rf"^\| `({CUDA}[^`]*)` \| (\w+)(?:: (.*))? \| ([\d,]*) \|$", text, re.MULTILINE):
            numbers = found[name].invariants if name in found else ()
            found[name] = Shown(name, (*numbers, number), False, kind, why, int((executions or "0").replace(",", "")))
    return list(found.values())


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
        found = [shown(said[name]) if name in said else remembered(each, page) for name, each in listed.items()]
        return sorted([*found, *not_built(listed, page)], key=lambda scenario: scenario.name)

    def last_results(self) -> dict:
        if not self.results.exists() or self.results.stat().st_mtime_ns < self.program.stat().st_mtime_ns:
            return {}
        return lines(self.results.read_text())

    def run(self, *arguments) -> str:
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):  # 1: a scenario failed, which shown() says
            raise Wrong(f"{self.program.name} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout
