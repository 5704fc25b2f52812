"""The reports in docs/reports are what the examples print, and each one's replay string reproduces it.

INTERLEAVE_UPDATE=1 rewrites the files.
"""

import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("INTERLEAVE_SOURCE_DIR", pathlib.Path(__file__).parents[1]))
PROGRAM = os.environ.get("INTERLEAVE_PROGRAM", "")  # the examples lie beside it

REPORTS = {  # file: example, version, the kind
    "race.txt": ("rundown_gate", "two-words", "race"),
    "lost_wakeup.txt": ("condition_queue", "when-empty", "lost wake-up"),
    "aba.txt": ("treiber_stack", "untagged", "assertion"),
}


def printed(example: str, version: str, replay: str = "") -> str:
    environment = {key: value for key, value in os.environ.items() if key != "INTERLEAVE_REPLAY"}
    if replay:
        environment["INTERLEAVE_REPLAY"] = replay
    done = subprocess.run([pathlib.Path(PROGRAM).parent / f"interleave_example_{example}", version],
                          capture_output=True, text=True, check=True, env=environment)
    return re.sub(r"[^ \n]*examples/", "examples/", done.stdout).rstrip("\n") + "\n"  # however the compiler was called


class Reports(unittest.TestCase):
    maxDiff = None

    def test_reports_are_as_in_the_docs(self):
        for name, (example, version, _) in REPORTS.items():
            with self.subTest(name):
                path = ROOT / "docs/reports" / name
                found = printed(example, version)
                if os.environ.get("INTERLEAVE_UPDATE"):
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(found)
                self.assertEqual(path.read_text(), found)

    def test_replay_reproduces_them(self):
        for name, (example, version, kind) in REPORTS.items():
            with self.subTest(name):
                first = printed(example, version)
                self.assertTrue(first.startswith(f"{version}: {kind}\n"), first)
                replay = re.search(r"^Replay: (\S+)$", first, re.MULTILINE)
                self.assertIsNotNone(replay, first)
                self.assertEqual(printed(example, version, replay[1]), first)

    def test_reports_are_for_people(self):
        """Each names lines of the example, what was read from where, and fits a screen."""
        for name, (example, version, _) in REPORTS.items():
            with self.subTest(name):
                found = printed(example, version)
                self.assertRegex(found, rf"{example}\.cc:\d+")
                events = [line for line in found.splitlines() if re.match(r" +(> )?\d+ ", line)]
                self.assertGreater(len(events), 5)
                self.assertLess(max(map(len, events)), 160)
                self.assertLess(len(found.splitlines()), 60)


if __name__ == "__main__":
    if not (pathlib.Path(PROGRAM).parent / "interleave_example_rundown_gate").exists():
        print("the examples are not beside the program that INTERLEAVE_PROGRAM names")
        sys.exit(77)
    unittest.main()
