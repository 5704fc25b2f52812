"""source_digest: what it writes down in a build, what it leaves alone, and how it finds what a build overlooks."""

import hashlib
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD_DIR", "build/release"))
PROGRAM = BUILD / "generated/millrace_source_digest"


class SourceDigest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="millrace-digest-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.manifest, self.source = self.root / "out/sources.sha256", self.root / "out/built_from.cc"
        self.write("verify/sources.txt", "src\n", 100)
        self.write("src/a.cc", "int a;", 100)
        self.write("bin/program", "", 200)
        self.run_digest()
        os.utime(self.manifest, (150, 150))

    def write(self, path, text, time=None):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if time is not None:
            os.utime(path, (time, time))

    def run_digest(self):
        """The digest that the source defines, and what was said."""
        done = subprocess.run([PROGRAM, self.root, self.manifest, self.source, self.root / "bin"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return re.search(r'return "(.*)";', self.source.read_text())[1], done.stderr

    def test_the_digest_is_that_of_the_manifest(self):
        digest, said = self.run_digest()
        self.assertEqual(self.manifest.read_text(), f"{hashlib.sha256(b'int a;').hexdigest()}  src/a.cc\n")
        self.assertEqual(digest, hashlib.sha256(self.manifest.read_bytes()).hexdigest())
        self.assertEqual(said, "")

    def test_nothing_is_written_when_nothing_changed(self):
        for path in (self.manifest, self.source):
            os.utime(path, (10, 10))
        self.run_digest()
        self.assertEqual([path.stat().st_mtime for path in (self.manifest, self.source)], [10, 10])

    def test_a_change_is_another_digest(self):
        before, _ = self.run_digest()
        self.write("src/a.cc", "int b;")
        after, said = self.run_digest()
        self.assertNotIn(after, (before, ""))
        self.assertEqual(said, "")

    def test_a_change_that_a_build_overlooks_is_not_vouched_for(self):
        self.write("src/a.cc", "int b;", 100)  # as moved from elsewhere: older than what was built of it
        digest, said = self.run_digest()
        self.assertEqual(digest, "")
        self.assertIn("src/a.cc changed, but its time did not", said)
        self.assertGreater((self.root / "src/a.cc").stat().st_mtime, 200)
        # The next build sees it, and knows what it compiles.
        (self.root / "bin/program").touch()
        digest, said = self.run_digest()
        self.assertEqual(digest, hashlib.sha256(self.manifest.read_bytes()).hexdigest())
        self.assertEqual(said, "")


if __name__ == "__main__":
    unittest.main()
