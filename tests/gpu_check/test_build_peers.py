"""scripts/build-peers: what it builds, keeps and skips, with a compiler that only writes its output."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
PEERS = ("cuda_malloc_async", "cub", "torch", "rmm")
NEEDED = ("cuda/include/cuda_runtime_api.h", "cuda/include/cccl/cub/util_allocator.cuh",
          "torch/include/c10/cuda/CUDACachingAllocator.h", "site/librmm/include/rmm/version_config.hpp",
          "site/librmm/lib64/librmm.so", "site/rapids_logger/lib64/librapids_logger.so")


class BuildPeers(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "out"
        for name in NEEDED:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()
        self.compiler("""while [ "$1" != -o ]; do shift; done; echo built >"$2" """)

    def compiler(self, script: str):
        path = self.folder / "c++"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def build(self, status=0, **environment: str) -> list[tuple[str, str]]:
        """The first two words of each line."""
        environment = {**os.environ, "CXX": str(self.folder / "c++"), "MILLRACE_PEER_CUDA_DIR": str(self.folder / "cuda"),
                       "MILLRACE_PEER_TORCH_DIR": str(self.folder / "torch"),
                       "MILLRACE_PEER_RMM_DIR": str(self.folder / "site"), **environment}
        done = subprocess.run([ROOT / "scripts/build-peers", self.out], capture_output=True, text=True, env=environment,
                              check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.output = done.stdout
        return [tuple(line.replace(":", "").split()[:2]) for line in done.stdout.splitlines()]

    def each(self, *words: str) -> list[tuple[str, str]]:
        return [(word, f"{peer}.so") for word, peer in zip(words, PEERS, strict=True)]

    def test_what_is_there_is_built_once(self):
        self.assertEqual(self.build(), self.each("built", "built", "built", "built"))
        for peer in PEERS:
            self.assertEqual((self.out / f"{peer}.so").read_text(), "built\n")
        self.assertTrue((self.out / "lib/librmm.so").exists() and (self.out / "lib/librapids_logger.so").exists())
        self.assertEqual(self.build(), self.each("kept", "kept", "kept", "kept"))

    def test_what_is_not_there_is_skipped_with_the_reason(self):
        words = self.build(MILLRACE_PEER_TORCH_DIR="/nowhere", MILLRACE_PEER_RMM_DIR="/nowhere")
        self.assertEqual(words, self.each("built", "built", "skipped", "skipped"))
        self.assertIn("torch.so: no package torch", self.output)
        self.assertIn("rmm.so: no packages librmm and rapids_logger", self.output)
        self.assertEqual(self.build(MILLRACE_PEER_CUDA_DIR="/none")[2:], self.each(*["skipped"] * 4)[2:])
        self.assertIn("no CUDA toolkit in /none", self.output)

    def test_what_was_built_elsewhere_is_kept(self):
        self.build()
        self.assertEqual(self.build(MILLRACE_PEER_CUDA_DIR="/none"), self.each("kept", "kept", "kept", "kept"))
        (self.out / "torch.built").write_text("of other sources\n")
        self.assertEqual(self.build(MILLRACE_PEER_CUDA_DIR="/none"), self.each("kept", "kept", "skipped", "kept"))
        self.assertFalse((self.out / "torch.so").exists())

    def test_another_package_is_built_again(self):
        self.build()
        (self.folder / "torch").rename(self.folder / "torch2")
        words = self.build(MILLRACE_PEER_TORCH_DIR=str(self.folder / "torch2"))
        self.assertEqual(words, self.each("kept", "kept", "built", "kept"))

    def test_a_failure_is_said_and_stops_nothing(self):
        self.compiler("exit 1")
        self.assertEqual(self.build(status=1), self.each("FAILED", "FAILED", "FAILED", "FAILED"))


if __name__ == "__main__":
    unittest.main()
