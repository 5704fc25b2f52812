"""Workers as processes that may die, and the tests that are known not to pass."""

import json
import pathlib
import subprocess

from results import read

FAILED = ("failed", "crashed")
AGAIN = 3  # a worker's exit code: nothing more can be tested in its process


def run_until_done(command: list, environment: dict, log: pathlib.Path) -> dict:
    """The last state and the reason of each test. A process that dies takes one test with it."""
    while True:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        states = read(log)
        if ended.returncode == 0:
            return states
        if ended.returncode == AGAIN:
            continue
        begun = [test for test, (state, _) in states.items() if state == "begun"]
        if not begun:
            return {**states, "the file": ("crashed", ended.stderr)}
        with log.open("a") as file:
            line = {"test": begun[0], "state": "crashed", "why": f"exit code {ended.returncode}: {ended.stderr[-3000:]}"}
            file.write(json.dumps(line) + "\n")


def expected(path: pathlib.Path) -> list:
    """(file, pattern of tests, reason): the lines of a list of what does not pass."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    entries = [line.split(": ", 1) for line in lines if line and not line.startswith("#")]
    return [(*what.split(" ", 1), why) for what, why in entries]
