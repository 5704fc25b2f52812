"""scripts/performance-page: the page says what the results say, and whose they are."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))


class PerformancePage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.results = pathlib.Path(folder.name) / "results"
        (self.results / "h200").mkdir(parents=True)
        self.page = pathlib.Path(folder.name) / "page.md"

    def phase(self, name: str, digest: str, passed: bool, rows=None, replay=None, **more):
        result = {"phase": name, "passed": passed, "gpu": "NVIDIA H200", "digest": digest, "date": "2026-11-21T00:00:00",
                  "versions": {"driver": "580", "nvcc": "13.0", "cores": "16"}, **more}
        if rows is not None:
            result["figures"] = {"rows": rows}
        if replay is not None:
            result["figures"] = {"replay": replay}
        (self.results / "h200" / f"{name}.json").write_text(json.dumps(result))

    def write(self) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, ROOT / "scripts/performance-page", self.results, self.page],
                              capture_output=True, text=True, check=False)

    def test_figures_failures_and_digests_are_on_it(self):
        rows = [{"case": "4 KiB", "impl": impl, "threads": threads, "value": value, "unit": "ns/pair"}
                for impl, threads, value in (("millrace", 1, 29.04), ("millrace", 16, 41.5), ("torch", 16, 37491.1))]
        self.phase("bench", "a" * 64, True, rows)
        self.phase("stress", "a" * 64, False)
        self.phase("unit", "b" * 64, True)
        self.assertEqual(self.write().returncode, 0)
        page = self.page.read_text()
        self.assertIn("| 4 KiB, ns/pair | 1 thr. | 16 thr. |", page)
        self.assertIn("| millrace | 29.0 | 41.5 |", page)
        self.assertIn("| torch |  | 37,491 |", page)
        self.assertIn("**Failed: stress.**", page)
        self.assertIn("aaaaaaaaaaaa", page)
        self.assertIn("bbbbbbbbbbbb", page)
        self.assertNotIn("peak live, GiB", page, "there was no replay")

    def test_other_benches_are_named_and_each_unit_has_a_table(self):
        rows = [{"bench": "small", "case": "latency", "impl": "millrace", "threads": threads, "value": value, "unit": unit}
                for threads, unit, value in ((1, "ops/s", 120000), (2, "ops/s", 230000), (1, "us", 8.3), (2, "us", 8.7))]
        rows.append({"bench": "stats", "case": "16 GiB", "impl": "millrace", "threads": 8, "value": 47.5, "unit": "GB/s"})
        self.phase("bench_small", "a" * 64, True, rows)
        self.assertEqual(self.write().returncode, 0)
        page = self.page.read_text()
        self.assertIn("| small latency, ops/s | 1 thr. | 2 thr. |\n|---|---|---|\n| millrace | 120,000 | 230,000 |", page)
        self.assertIn("| small latency, us | 1 thr. | 2 thr. |\n|---|---|---|\n| millrace | 8.3 | 8.7 |", page)
        self.assertIn("| stats 16 GiB, GB/s | 8 thr. |\n|---|---|\n| millrace | 47.5 |", page)

    def test_cases_of_one_thread_stand_side_by_side(self):
        rows = [{"case": case, "impl": impl, "threads": 1, "value": value, "unit": "ms"}
                for case, impl, value in (("random 10000/1", "millrace", 4.5), ("random 10000/1", "torch", 15.25),
                                          ("random 1000/4096", "millrace", 1.25))]
        rows.append({"case": "growth 64 GiB", "impl": "millrace", "threads": 1, "value": 103.4, "unit": "ms"})
        self.phase("bench_random", "a" * 64, True, rows)
        self.assertEqual(self.write().returncode, 0)
        page = self.page.read_text()
        self.assertIn("| random, ms | millrace | torch |\n|---|---|---|\n| 10000/1 | 4.5 | 15.2 |\n"
                      "| 1000/4096 | 1.2 |  |\n", page)
        self.assertIn("| growth 64 GiB, ms | 1 thr. |\n|---|---|\n| millrace | 103 |\n", page)

    def test_replays_have_a_column_an_allocator(self):
        def run(ratio, seconds, failures=0):
            return {"runs": [{}], "committed_per_live": ratio, "seconds": seconds, "out_of_memory": failures}

        self.phase("replay_pytorch", "a" * 64, True, replay=[
            {"log": "/somewhere/resnet.pickle", "peak_live_bytes": 3 << 29, **run(1.1417, 0.0123),
             "peers": [{"impl": "torch", **run(2.281, 0.5)}, {"impl": "RMM pool", **run(1.0, 0.1, 3)},
                       {"impl": "CUB", "failure": "no such device"}]}])
        self.assertEqual(self.write().returncode, 0)
        page = self.page.read_text()
        self.assertIn("| peak committed / peak live | peak live, GiB | millrace | torch | RMM pool | CUB |\n"
                      "|---|---|---|---|---|---|\n| resnet.pickle | 1.5 | 1.142 | 2.281 | out of memory |  |\n", page)
        self.assertIn("| replayed, ms | peak live, GiB | millrace | torch | RMM pool | CUB |\n"
                      "|---|---|---|---|---|---|\n| resnet.pickle | 1.5 | 12.3 | 500 | out of memory |  |\n", page)

    def test_the_page_says_which_machine_had_two_gpus(self):
        self.phase("two_gpus", "a" * 64, True, gpus=["NVIDIA H200"] * 2)
        self.phase("unit", "a" * 64, True, gpus=["NVIDIA H200"])
        self.assertEqual(self.write().returncode, 0)
        self.assertIn("Passed: two_gpus (2 NVIDIA H200), unit.", self.page.read_text())

    def test_what_is_no_result_is_refused_by_name(self):
        (self.results / "h200" / "bench.json").write_text("{}")
        done = self.write()
        self.assertEqual(done.returncode, 1)
        self.assertIn("gpu-check", done.stderr)
        self.assertFalse(self.page.exists())


if __name__ == "__main__":
    unittest.main()
