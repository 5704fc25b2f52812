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

    def phase(self, name: str, digest: str, passed: bool, rows=None):
        result = {"phase": name, "passed": passed, "gpu": "NVIDIA H200", "digest": digest, "date": "2026-11-21T00:00:00",
                  "versions": {"driver": "580", "nvcc": "13.0", "cores": "16"}}
        if rows is not None:
            result["figures"] = {"rows": rows}
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

    def test_what_is_no_result_is_refused_by_name(self):
        (self.results / "h200" / "bench.json").write_text("{}")
        done = self.write()
        self.assertEqual(done.returncode, 1)
        self.assertIn("gpu-check", done.stderr)
        self.assertFalse(self.page.exists())


if __name__ == "__main__":
    unittest.main()
