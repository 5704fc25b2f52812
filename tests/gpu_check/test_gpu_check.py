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

    def with_gpu(self, count=1):
        self.program("nvidia-smi", "echo NVIDIA H200; " * count)

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
        self.assertEqual(sorted({words[1] for words in runs}), ["alloc", "reduce", "small", "stats"])
        modes = [mode for words in runs if words[1] == "alloc" for mode in words[words.index("--mode") + 1].split(",")]
        self.assertEqual(sorted(modes), sorted(["pair", "handoff", "large", "shared", "crossstream", "growth", "lease",
                                                "event", "query", "random", "multistream"]))
        results = [json.loads(path.read_text()) for path in (self.out / "h200").glob("bench*.json")]
        self.assertEqual(len(results), len(runs))
        for result in results:
            self.assertEqual([line.split(":")[0] for line in result["peers_built"]],
                             [f"skipped  {name}.so" for name in ("cuda_malloc_async", "cub", "torch", "rmm")])

    def test_a_replay_records_its_logs_and_then_replays_them_with_the_peers(self):
        self.with_gpu()
        self.program("millrace", f"""echo "$*" >>{self.runs}; echo '{{"replay": []}}'""")
        self.assertEqual(self.check("replay_random").returncode, 0)
        *recorded, replayed = [line.split() for line in self.runs.read_text().splitlines()]
        logs = [words[words.index("--output") + 1] for words in recorded]
        self.assertEqual(replayed[-len(logs):], logs)
        self.assertTrue(all(words[0] == "record" for words in recorded))
        self.assertEqual(replayed[:5], ["replay", "--device", "cuda:0", "--peers", str(self.folder / "peers")])
        result = json.loads((self.out / "h200/replay_random.json").read_text())
        self.assertEqual((result["passed"], result["figures"]), (True, {"replay": []}))
        self.assertEqual(len(result["peers_built"]), 4)

    def test_a_replay_fails_where_its_logs_could_not_be_recorded(self):
        self.with_gpu()
        self.program("millrace", f"""echo "$1" >>{self.runs}; echo no room; test "$1" != record""")
        self.assertEqual(self.check("replay_random").returncode, 1)
        self.assertEqual(self.runs.read_text(), "record\n")
        self.assertEqual(json.loads((self.out / "h200/replay_random.json").read_text())["output"], ["no room"])

    def test_what_the_machine_has_not_is_not_run(self):
        self.with_gpu()
        self.program("gpu", f"echo run >>{self.runs}")
        self.program("python3", "echo PyTorch finds no GPU >&2; exit 77")  # that of scripts/record-pytorch
        done = self.check("two_gpus", "replay_pytorch")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"two_gpus +not run: there is one GPU")
        self.assertRegex(done.stdout, r"replay_pytorch +not run: PyTorch finds no GPU")
        self.assertFalse(self.runs.exists())
        self.assertEqual(list((self.out / "h200").iterdir()), [])

    def test_two_gpus_are_named(self):
        self.with_gpu(2)
        self.program("gpu", f'echo "$*" >>{self.runs}')
        self.assertEqual(self.check("two_gpus").returncode, 0)
        self.assertEqual(self.runs.read_text(), "--gtest_filter=TwoGpus.*\n")
        self.assertEqual(json.loads((self.out / "h200/two_gpus.json").read_text())["gpus"], ["NVIDIA H200"] * 2)


if __name__ == "__main__":
    unittest.main()
