"""scripts/gpu-check: its phases, what it refuses, and that it keeps to results of the same sources."""

import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))


class GpuCheck(unittest.TestCase):
    """With stand-ins for the programs, in a PATH of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "out"
        self.runs = self.folder / "runs"

    def program(self, name: str, script: str):
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def check(self, *arguments: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PATH": f"{self.folder}:/usr/bin:/bin", "MILLRACE_PEER_CUDA_DIR": "/nowhere"}
        return subprocess.run([sys.executable, ROOT / "scripts/gpu-check", "--bin", self.folder, "--out", self.out,
                               *arguments], capture_output=True, text=True, env=environment, check=False)

    def with_gpu(self):
        self.program("nvidia-smi", "echo NVIDIA H200")

    def test_without_a_gpu_nothing_is_run(self):
        self.program("nvidia-smi", "exit 9")
        done = self.check()
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn("no GPU", done.stderr)
        self.assertFalse(self.out.exists())

    def test_a_phase_that_is_none_is_named(self):
        done = self.check("conformity")
        self.assertEqual(done.returncode, 2)
        self.assertIn("'conformity'", done.stderr)

    def test_what_passed_on_these_sources_is_not_run_again(self):
        self.with_gpu()
        self.program("conformance", f'echo "$MILLRACE_TEST_DEVICE" >>{self.runs}')
        for expected in ("passed", "passed before"):
            done = self.check("conformance")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn(expected, done.stdout)
        self.assertEqual(self.runs.read_text(), "cuda:0\n")
        self.assertEqual(self.check("conformance", "--again").returncode, 0)
        self.assertEqual(self.runs.read_text(), "cuda:0\n" * 2)
        result = json.loads((self.out / "h200/conformance.json").read_text())
        self.assertTrue(result["passed"])
        self.assertEqual(result["gpu"], "NVIDIA H200")
        self.assertEqual(len(result["digest"]), 64)

    def test_a_failure_is_kept_and_tried_again(self):
        self.with_gpu()
        self.program("unit_backend_cuda", "echo it broke; exit 3")
        self.program("conformance", "exit 0")
        done = self.check("unit", "conformance")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"unit +FAILED")
        self.assertRegex(done.stdout, r"conformance +passed")
        result = json.loads((self.out / "h200/unit.json").read_text())
        self.assertEqual((result["passed"], result["status"], result["output"]), (False, 3, ["it broke"]))
        self.program("unit_backend_cuda", "exit 0")
        self.assertEqual(self.check("unit").returncode, 0)

    def test_figures_are_kept_as_they_are(self):
        self.with_gpu()
        self.program("millrace", """echo '{"rows": [1, 2]}'""")
        self.assertEqual(self.check("bench").returncode, 0)
        self.assertEqual(json.loads((self.out / "h200/bench.json").read_text())["figures"], {"rows": [1, 2]})

    def test_bench_is_all_modes_with_what_became_of_the_peers(self):
        self.with_gpu()
        self.program("millrace", f"""echo "$*" >>{self.runs}; echo '{{}}'""")
        self.assertEqual(self.check("bench").returncode, 0)
        runs = [line.split() for line in self.runs.read_text().splitlines()]
        modes = [mode for words in runs for mode in words[words.index("--mode") + 1].split(",")]
        self.assertEqual(sorted(modes), sorted(["pair", "handoff", "large", "shared", "crossstream", "growth", "lease",
                                                "event", "query"]))
        results = [json.loads(path.read_text()) for path in (self.out / "h200").glob("bench*.json")]
        self.assertEqual(len(results), len(runs))
        for result in results:
            self.assertEqual([line.split(":")[0] for line in result["peers_built"]],
                             [f"skipped  {name}.so" for name in ("cuda_malloc_async", "cub", "torch", "rmm")])


if __name__ == "__main__":
    unittest.main()
