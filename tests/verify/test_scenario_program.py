"""verify_scenarios: what it prints for programs, what it ends with, and that an execution can be repeated."""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
PROGRAM = pathlib.Path(os.environ.get("MILLRACE_BIN_DIR", ROOT / "build/release/bin")) / "verify_scenarios"
REFUTED = "two_word_gate.enter_against_close"
BOUNDED = "out_of_memory.two_at_once"
PROVED = "gate.enter_against_close"


def run(*arguments, status=0):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def objects(*arguments, status=0):
    return [json.loads(line) for line in run(*arguments, "--json", status=status).splitlines()]


class Scenarios(unittest.TestCase):

    def test_a_proof_has_its_count(self):
        (scenario,) = objects(PROVED)
        self.assertEqual((scenario["name"], scenario["invariants"]), (PROVED, ["G1", "G2"]))
        self.assertEqual((scenario["verdict"], scenario["coverage"], scenario["expected"]), ("pass", "complete", "proved"))
        self.assertTrue(scenario["met"] and scenario["executions"] > 1 and not scenario["replay"])

    def test_what_is_to_be_refuted_meets_its_expectation(self):
        (scenario,) = objects(REFUTED)
        self.assertEqual((scenario["verdict"], scenario["expected"]), ("race", "refuted: race"))
        self.assertTrue(scenario["met"])

    def test_an_execution_is_repeated(self):
        (scenario,) = objects(REFUTED)
        (again,) = objects("--replay", REFUTED, scenario["replay"], status=1)
        self.assertEqual((again["verdict"], again["message"]), (scenario["verdict"], scenario["message"]))
        self.assertIn("data race", run("--replay", REFUTED, scenario["replay"], status=1))

    def test_scenarios_are_chosen(self):
        names = [scenario["name"] for scenario in objects("--list")]
        self.assertEqual(names, sorted(names))
        self.assertGreater(len(names), len(objects("--list", "gate.")))
        self.assertTrue(all("G3" in scenario["invariants"] for scenario in objects("--list", "--invariant", "G3")))
        both = objects("--list", "--invariant", "G3", "--invariant", "P1")
        self.assertEqual(len(both), len(objects("--list", "--invariant", "G3")) + len(objects("--list", "--invariant", "P1")))
        self.assertEqual(objects("--list", "--quick"), [one for one in objects("--list") if one["quick"]])

    def test_workers_find_the_same(self):
        counted = [{key: value for key, value in scenario.items() if key != "seconds"}
                   for arguments in ((), ("--workers", "2")) for scenario in objects("gate.", *arguments)]
        half = len(counted) // 2
        self.assertEqual(counted[:half], counted[half:])

    def test_what_runs_to_no_end_shows_nothing(self):
        (scenario,) = objects(BOUNDED, "--max-events", "200", status=1)
        self.assertEqual((scenario["verdict"], scenario["coverage"], scenario["executions"]), ("pass", "bounded", 0))
        self.assertFalse(scenario["met"])
        self.assertIn("nothing was checked", run(BOUNDED, "--max-events", "200", status=1))

    def test_what_does_not_exist_is_refused(self):
        run("no_such", status=2)
        run("--invariant", "Z99", status=2)
        run("--workers", "0", status=2)
        run("--max-events", "0", status=2)
        run("--nonsense", status=2)
        run("--replay", REFUTED, status=2)
        run("--replay", REFUTED, "nonsense", status=2)


class Documentation(unittest.TestCase):

    def test_the_first_example_is_what_is_printed(self):
        printed = run("--replay", REFUTED, objects(REFUTED)[0]["replay"], status=1)
        events = [line.rstrip() for line in printed.splitlines() if re.match(r"\s+(#|>?\s+\d+)\s", line)]
        self.assertGreater(len(events), 4)
        page = (ROOT / "docs/concurrency.md").read_text()
        for line in events:
            self.assertIn(f"    {line.rstrip()}\n", page)


if __name__ == "__main__":
    if not PROGRAM.exists():
        print(f"skipped: {PROGRAM.name} is not built here")
        sys.exit(77)
    unittest.main()
