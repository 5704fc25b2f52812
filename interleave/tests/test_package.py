"""What is installed is enough for a project of one's own: find_package, a ten-line program, one with plain data."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("INTERLEAVE_SOURCE_DIR", pathlib.Path(__file__).parents[1]))
BUILD = os.environ.get("INTERLEAVE_BUILD_DIR")


def run(*command, folder=None) -> str:
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, cwd=folder)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


class Package(unittest.TestCase):
    def test_a_consumer_builds_and_checks(self):
        with tempfile.TemporaryDirectory() as folder:
            prefix, build = pathlib.Path(folder) / "prefix", pathlib.Path(folder) / "build"
            run("cmake", "--install", BUILD, "--prefix", prefix, "--component", "interleave")
            run("cmake", "-S", ROOT / "tests/package", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
            run("cmake", "--build", build)
            self.assertTrue(run(build / "ten_lines").startswith("FAIL assertion"))
            self.assertTrue(run(build / "plain").startswith("FAIL race"))

    def test_the_sample_of_the_readme_prints_what_is_said_there(self):
        readme = (ROOT / "README.md").read_text()
        program, said = re.search(r"```cpp\n(.*?)```\n\nprints\n\n```\n(.*?)```", readme, re.DOTALL).groups()
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "ready.cc").write_text(program)
            run("cmake", "--install", BUILD, "--prefix", folder, "--component", "interleave")
            library = next(pathlib.Path(folder).rglob("libinterleave.a"))
            run(os.environ.get("CXX", "c++"), "-std=c++20", "-g1", f"-I{ROOT / 'include'}", "ready.cc", library, "-ldl",
                "-o", "ready", folder=folder)
            self.assertEqual(run("./ready", folder=folder).split(), said.split())  # the lines are folded there


if __name__ == "__main__":
    if not BUILD:
        print("INTERLEAVE_BUILD_DIR does not name a build")
        sys.exit(77)
    unittest.main()
