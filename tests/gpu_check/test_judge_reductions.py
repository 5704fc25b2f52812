"""scripts/judge-reductions: each figure is held against its own goal, and what is missing is said."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
CEILING = 4500.0
LARGE = ("sum all", "sum (16384,16384) over 0", "sum (16384,16384) over 1", "sum (1048576,256) over 1",
         "sum (256,1048576) over 0", "sum (16777216,16) over 1", "sum (16,16777216) over 0",
         "sum (64,1024,64,64) over (0,2)", "sum (64,1024,64,64) over (1,3)", "sum (64,1024,64,64) over (0,2,3)",
         "max all", "min (16384,16384) over 1", "prod all", "max with index (16384,16384) over 1", "argmax all")


def row(case, impl, value, dtype="f32", threads=1, unit="GB/s"):
    return {"bench": "any", "case": case, "dtype": dtype, "impl": impl, "threads": threads, "value": value, "unit": unit}


def reductions(case, dtype, share, torch=0.8):
    return [row(case, impl, part * CEILING, dtype)
            for impl, part in (("millrace", share), ("floor", 1.0), ("torch", torch))]


class JudgeReductions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def phase(self, name, rows, **more):
        (self.folder / f"{name}.json").write_text(
            json.dumps({"phase": name, "passed": True, "figures": {"rows": rows, **more}}))

    def all_that_is_wanted(self):
        """Figures that reach every goal."""
        self.phase("bench_reduce", [each for case in (*LARGE, "statistics all") for each in reductions(case, "f32", 0.94)],
                   bytes=1 << 30)
        self.phase("bench_reduce_halves",
                   [each for dtype in ("bf16", "f16") for case in LARGE for each in reductions(case, dtype, 0.935)])
        self.phase("bench_reduce_statistics", reductions("statistics all", "bf16", 0.86), bytes=1 << 30)
        self.phase("bench_reduce_latency",
                   [row(f"latency sum {elements}", "millrace", us, unit="us")
                    for elements, us in ((1024, 4.4), (65536, 5.5), (1 << 20, 6.9), (1 << 24, 19.0))])
        self.phase("bench_reduce_random",
                   [each for i in range(200) for each in reductions(f"random {i} (1,2)", "f32", 0.91)], seed=2026)
        self.phase("bench_small", [row("checked", "millrace", 1.1e6, unit="ops/s"),
                                   row("latency", "millrace", 9.0, threads=16, unit="us"),
                                   row("checked", "millrace", 7.1e6, threads=16, unit="ops/s"),
                                   row("rarely", "millrace", 8.1e6, threads=16, unit="ops/s")], elements=4096)
        self.phase("bench_small_wide", [row("checked", "millrace", 0.81e6, threads=16, unit="ops/s"),
                                        row("rarely", "millrace", 0.7e6, threads=16, unit="ops/s")], elements=1 << 20)
        self.stats(46.0)

    def stats(self, speed, committed=64, **more):
        self.phase("bench_stats", [row("16.0 GiB", "millrace", 40.0, threads=8), row("16.0 GiB", "torch", 5.5),
                                   row("16.0 GiB", "millrace", speed, threads=12)],
                   device_memory=[{"threads": 12, "peak_committed_bytes": committed, "memory_limit": 100}], **more)

    def judge(self):
        """The exit status and what is not ok, by what was measured."""
        done = subprocess.run([sys.executable, ROOT / "scripts/judge-reductions", "--json", self.folder],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.stderr, "")
        lines = json.loads(done.stdout)
        return done.returncode, {line["what"]: line["verdict"] for line in lines if line["verdict"] != "ok"}, len(lines)

    def test_all_is_reached(self):
        self.all_that_is_wanted()
        self.assertEqual(self.judge(), (0, {}, 3 * len(LARGE) + 15))

    def test_a_large_row_misses_by_its_share_and_beside_pytorch(self):
        self.all_that_is_wanted()
        rows = [each for dtype in ("bf16", "f16") for case in LARGE for each in reductions(case, dtype, 0.935)]
        rows = [each for each in rows if each["case"] not in ("argmax all", "prod all")]
        rows += reductions("argmax all", "bf16", 0.929) + reductions("argmax all", "f16", 0.94, torch=0.945)
        rows += reductions("prod all", "bf16", 0.94)[:2]
        self.phase("bench_reduce_halves", rows)
        self.assertEqual(self.judge()[:2], (1, {"argmax all, bf16": "MISS", "argmax all, f16": "MISS",
                                                "prod all, bf16": "MISS", "prod all, f16": "absent"}))

    def test_random_shapes_by_their_median_the_slowest_and_pytorch(self):
        self.all_that_is_wanted()
        def shapes(slow, torch=0.5):
            return [each for i in range(200)
                    for each in reductions(f"random {i} x", "f32", 0.5 if i < slow else 0.95, 0.96 if i < torch else 0.1)]
        self.phase("bench_reduce_random", shapes(slow=1, torch=0), seed=1)
        self.assertEqual(self.judge()[1], {"the slowest of them": "MISS"})
        self.phase("bench_reduce_random", shapes(slow=120, torch=0), seed=1)
        self.assertEqual(self.judge()[1], {"median of 200 random shapes": "MISS", "the slowest of them": "MISS"})
        self.phase("bench_reduce_random", shapes(slow=0, torch=1), seed=1)
        self.assertEqual(self.judge()[1], {"those slower than PyTorch": "MISS"})
        self.phase("bench_reduce_random", shapes(slow=0, torch=0)[3:], seed=1)
        self.assertEqual(set(self.judge()[1].values()), {"absent"}, "199 are not 200")

    def test_latencies_and_small_ones_each_have_their_goal(self):
        self.all_that_is_wanted()
        self.phase("bench_reduce_latency", [row("latency sum 1024", "millrace", 4.6, unit="us"),
                                            row("latency sum 65536", "millrace", 5.4, unit="us")])
        self.phase("bench_small", [row("checked", "millrace", 0.99e6, unit="ops/s"),
                                   row("rarely", "millrace", 0.98e6, unit="ops/s"),
                                   row("checked", "millrace", 8.1e6, threads=16, unit="ops/s")], elements=4096)
        self.assertEqual(self.judge()[1], {"full sum of 1024 f32": "MISS", "full sum of 1048576 f32": "absent",
                                           "full sum of 16777216 f32": "absent", "reductions of 4096 from 1 thread": "MISS"})

    def test_statistics_count_at_one_gibibyte_only(self):
        self.all_that_is_wanted()
        self.phase("bench_reduce_statistics", reductions("statistics all", "bf16", 0.9), bytes=1 << 29)
        self.assertEqual(self.judge()[1], {"statistics in one pass, 1 GiB of bf16": "absent"})
        self.phase("bench_reduce_statistics", reductions("statistics all", "bf16", 0.84), bytes=1 << 30)
        self.assertEqual(self.judge()[1], {"statistics in one pass, 1 GiB of bf16": "MISS"})

    def test_the_checkpoint_by_speed_and_memory(self):
        self.all_that_is_wanted()
        self.stats(42.6)
        self.assertEqual(self.judge()[1], {"stats of 16 GiB": "MISS"})
        self.stats(46.0, committed=101)
        self.assertEqual(self.judge()[1], {"memory of it": "MISS"})

    def test_what_is_wrong_is_not_fast(self):
        self.all_that_is_wanted()
        self.phase("bench_small_wide", [row("checked", "millrace", 0.9e6, threads=16, unit="ops/s")], elements=1 << 20,
                   differences=["3 results are wrong"])
        self.stats(46.0, differences=["tensor 1: the counts"])
        self.assertEqual(self.judge()[1], {"reductions of 1048576 from 16 threads": "MISS", "stats of 16 GiB": "MISS"})

    def test_a_table_for_people(self):
        self.phase("bench_small", [row("checked", "millrace", 0.711e6, unit="ops/s"),
                                   row("rarely", "millrace", 0.811e6, unit="ops/s"),
                                   row("checked", "torch", 0.1e6, unit="ops/s")], elements=4096)
        done = subprocess.run([ROOT / "scripts/judge-reductions", self.folder], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"reductions of 4096 from 1 thread +>= 1.0 M/s +0.811 M/s, 256 a commit \(8.1 x PyTorch\) +MISS")
        self.assertRegex(done.stdout, r"reductions of 4096 from 16 threads +>= 8.0 M/s +- +absent")
        self.assertRegex(done.stdout, r"\n0 of \d+ ok\n$")

    def test_a_folder_that_is_none_is_named(self):
        for folder in (self.folder, self.folder / "nowhere"):
            done = subprocess.run([ROOT / "scripts/judge-reductions", folder], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(str(folder), done.stderr)


if __name__ == "__main__":
    unittest.main()
