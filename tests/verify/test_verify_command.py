"""millrace verify on a small source tree whose programs are scripts: what it writes, and what shows when it was cut short
or its ledger was touched. The program was not built from that tree, so it is STALE there."""

import contextlib
import json
import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.environ.get("MILLRACE_PROGRAM", "build/release/bin/millrace")
SCENARIO = {"name": "gate.enter", "invariants": ["G1"], "expected": "proved", "quick": True, "met": True, "verdict": "pass",
            "coverage": "complete", "executions": 7, "blocked": 0, "bounded": 0, "seconds": 0.1, "message": "",
            "report": "", "replay": ""}
MUTANTS = {"mutants": [{"name": "m", "killed": True, "by": "gate.enter", "verdict": "race"}], "killed": 1, "of": 1}


class Verify(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="millrace-verify-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.ledger = self.root / "verify/ledger"
        self.write("verify/sources.txt", "src\nverify\n!verify/ledger\n")
        self.write("src/a.cc", "int a;")
        self.write("scripts/setup.sh", "build() { :; }\n")
        self.write("verify/rules.txt", "# nothing here\nscripts/rule a  # and this\n\n")
        self.write("scripts/rule", "#!/bin/sh\n")
        self.scenarios(SCENARIO)
        self.write("verify/mutants/mutate.py",
                   f"import sys\nopen(sys.argv[2], 'w').write({json.dumps(MUTANTS)!r})\n")

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def scenarios(self, result, before=""):
        self.write("build/release/bin/verify_scenarios",
                   f"#!/bin/sh\n[ $1 = --list ] || {{ {before or ':'}; }}\necho '{json.dumps(result)}'\n")

    def command(self, *arguments):
        return [PROGRAM, "verify", "--source", str(self.root), *map(str, arguments)]

    def verify(self, *arguments, status):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.errors = done.stderr
        return done.stdout

    def standing(self, status=0):
        return json.loads(self.verify("--status", "--json", "-", status=status))

    def lines(self):
        return [json.loads(line) for line in (self.ledger / "ledger.jsonl").read_text().splitlines()]

    def start(self, *arguments):
        """With scenarios that never end."""
        self.scenarios(SCENARIO, before=f"touch {self.root}/exploring; sleep 100")
        process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 60
        while not (self.root / "exploring").exists():
            self.assertTrue(process.poll() is None and time.monotonic() < deadline)
            time.sleep(0.02)
        return process

    def test_a_stale_program_is_said_and_counts_for_the_source_streak_alone(self):
        text = self.verify(status=1)
        self.assertTrue(text.startswith("Verification Round N=1 - 3 Rigorous Attempts\n"), text)
        for part in ("result    INCOMPLETE", "STALE", "./run --version", "gate.enter: pass complete, 7 executions",
                     "1 of 1 mutants were killed", "Action required"):
            self.assertIn(part, text)
        self.assertEqual(self.errors, "")
        self.assertEqual((self.ledger / "round-1.txt").read_text(), text)
        (line,) = self.lines()
        self.assertEqual(line["attempts"], {"source and model": "clean", "mutants": "clean", "runtime": "not run"})
        self.assertTrue(line["binary"]["stale"])
        self.assertEqual(set(line["host"]), {"cpu", "cores"})
        standing = self.standing()
        self.assertEqual((standing["source_streak"], standing["complete_streak"], standing["rule_met"]), (1, 0, False))

    def test_rounds_are_counted_and_a_change_begins_again(self):
        for _ in range(2):
            self.verify("--attempts", "1,2", status=0)
        self.assertEqual(self.standing()["source_streak"], 2)
        self.assertIn("kept since 20", (self.ledger / "round-2.txt").read_text())
        self.write("src/a.cc", "int changed;")
        self.assertEqual(self.standing()["source_streak"], 0)
        self.verify("--attempts", "1", status=0)
        standing = self.standing()
        self.assertEqual((standing["source_streak"], standing["rounds"]), (1, 3))

    def test_json_is_the_report(self):
        document = json.loads(self.verify("--attempts", "1", "--json", "-", status=0))
        self.assertEqual(document, json.loads((self.ledger / "round-1.json").read_text()))
        self.assertEqual(document["attempts"][0]["figures"]["executions"], 7)

    def test_a_finding_is_repeated_from_the_report_alone(self):
        self.scenarios({**SCENARIO, "met": False, "verdict": "race", "message": "two accesses", "replay": "0.0:i*2",
                        "report": "the execution"})
        text = self.verify("--attempts", "1", status=1)
        self.assertIn("result    FAILED", text)
        (line,) = [line for line in text.splitlines() if "to repeat: " in line]
        repeat = line.split("to repeat: ")[1]
        again = subprocess.run(["sh", "-c", repeat], cwd=self.root, capture_output=True, text=True, check=False)
        self.assertIn("the execution", again.stdout)
        self.assertEqual(repeat.split()[:3], ["build/release/bin/verify_scenarios", "--replay", "gate.enter"])

    def test_a_broken_rule_is_a_finding(self):
        self.write("scripts/rule", "#!/bin/sh\necho $1 is wrong; exit 1\n")
        text = self.verify("--attempts", "1", status=1)
        self.assertIn("result    FAILED", text)
        self.assertIn("the sources break a rule", text)
        self.assertIn("to repeat: scripts/rule a", text)
        self.assertIn("a is wrong", text)
        self.write("scripts/rule", "#!/bin/sh\necho not here >&2; exit 77\n")
        self.assertIn("scripts/rule a: skipped: not here", self.verify("--attempts", "1", status=0))

    def test_a_touched_ledger_is_refused(self):
        for _ in range(3):
            self.verify("--attempts", "1", status=0)
        file = self.ledger / "ledger.jsonl"
        whole = file.read_text().splitlines(keepends=True)
        for text, line in (("".join(whole).replace('"interrupted":false', '"interrupted":true', 1), "line 1"),
                           ("".join(whole[1:]), "line 1"), (whole[0] + whole[2], "line 2"),
                           (whole[1] + whole[0] + whole[2], "line 1"), ("".join(whole)[:-1], "line 3: it is cut off"),
                           ("".join(whole[:2]) + whole[2].replace("INCOMPLETE", "CLEAN"), "line 3")):
            file.write_text(text)
            self.verify("--status", status=3)
            self.assertIn(line, self.errors)
            self.verify("--attempts", "1", status=3)
            self.assertIn(line, self.errors)
            self.assertEqual(file.read_text(), text)
        file.write_text("".join(whole))
        self.assertEqual(self.standing()["source_streak"], 3)

    def test_ctrl_c_makes_the_round_incomplete(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start("--attempts", "1,2")
            process.send_signal(number)
            out, _ = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 5, out)
            self.assertIn("result    INCOMPLETE: interrupted", out)
            self.assertTrue(self.lines()[-1]["interrupted"])
            (self.root / "exploring").unlink()
        self.scenarios(SCENARIO)
        self.assertEqual(self.standing()["source_streak"], 0)

    def test_a_killed_round_is_incomplete(self):
        self.verify("--attempts", "1", status=0)
        self.write("src/b.cc", "int b;")  # nothing is kept of these
        process = self.start("--attempts", "2,1")
        self.assertTrue(self.standing()["in_progress"])
        refused = subprocess.run(self.command(), capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("another process has a round in progress", refused.stderr)
        process.kill()
        process.communicate()
        (self.root / "src/b.cc").unlink()
        self.scenarios(SCENARIO)
        standing = self.standing()
        self.assertTrue(standing["cut_off"])
        self.assertEqual(standing["source_streak"], 0)
        self.verify("--attempts", "1", status=0)
        self.assertEqual([line["result"] for line in self.lines()], ["INCOMPLETE"] * 3)
        self.assertEqual([line["interrupted"] for line in self.lines()], [False, True, False])
        standing = self.standing()
        self.assertEqual((standing["cut_off"], standing["source_streak"]), (False, 1))

    def test_a_terminal_sees_what_goes_on(self):
        leader, follower = pty.openpty()
        self.addCleanup(os.close, leader)
        done = subprocess.run(self.command("--attempts", "1"), stdout=subprocess.PIPE, stderr=follower, check=False)
        os.close(follower)
        self.assertEqual(done.returncode, 0)
        shown = b""
        with contextlib.suppress(OSError):  # the end, of a terminal
            while part := os.read(leader, 65536):
                shown += part
        shown = shown.decode()
        self.assertIn("attempt 1: scenario 1 of 1", shown)
        self.assertTrue(shown.endswith("\r\033[K"))

    def test_what_does_not_exist_is_a_usage_error(self):
        self.verify("--attempts", "4", status=2)
        subprocess.run(self.command("--source", "/none"), capture_output=True, check=False)
        done = subprocess.run([PROGRAM, "verify", "--source", "/"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("has no verify/sources.txt", done.stderr)


if __name__ == "__main__":
    unittest.main()
