"""The checker of the layers, checked: each planted breach is found where it is, right code passes."""

import pathlib
import shutil
import tempfile
import unittest

import check_layers

ROOT = pathlib.Path(__file__).resolve().parents[2]


class CheckLayers(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "src").mkdir()
        shutil.copy(ROOT / "src" / "README.md", self.root / "src" / "README.md")

    def plant(self, path: str, text: str) -> list[tuple[str, int, str]]:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        breaches = check_layers.check(self.root)
        file.unlink()
        return [(breach.file, breach.line, breach.rule) for breach in breaches]

    def found(self, path: str, line: int, rule: str, text: str):
        self.assertEqual(self.plant(path, text), [(path, line, rule)], text)

    def passes(self, path: str, text: str):
        self.assertEqual(self.plant(path, text), [], text)

    def test_upward_includes(self):
        self.found("src/sync/a.h", 2, "include-order", '#pragma once\n#include "device/core.h"\n')
        self.found("src/device/a.h", 1, "include-order", '#include "memory/arena.h"\n')
        self.found("src/stream/a.cc", 1, "include-order", '#include "event/pool.h"\n')
        self.found("src/memory/a.cc", 1, "include-order", '  #  include "api/device.h"\n')

    def test_backends_see_sync_and_device_only(self):
        self.found("src/backends/host/a.cc", 1, "include-order", '#include "stream/timeline.h"\n')
        self.found("src/backends/host/a.cc", 1, "include-order", '#include "backends/other/a.h"\n')
        self.found("src/reduce/a.cc", 1, "include-order", '#include "backends/host/machine.h"\n')
        self.passes("src/backends/host/a.cc", '#include "backends/host/b.h"\n#include "device/backend.h"\n')
        self.found("src/backends/cuda/a.cu", 1, "include-order", '#include "reduce/plan.h"\n')
        self.found("src/backends/cuda/a.cuh", 1, "include-order", '#include "backends/host/machine.h"\n')
        self.passes("src/backends/cuda/a.cu", '#include "backends/cuda/b.cuh"\n#include "device/operation.h"\n')

    def test_relative_includes_and_unknown_layers(self):
        self.found("src/sync/a.cc", 1, "include-order", '#include "gate.h"\n')
        self.found("src/sync/a.cc", 1, "include-order", '#include "../device/core.h"\n')
        self.found("src/utilities/a.cc", 1, "include-order", "\n")

    def test_public_headers_below_the_api(self):
        self.found("src/device/a.cc", 1, "include-order", "#include <millrace/millrace.h>\n")
        self.passes("src/device/a.cc", "#include <millrace/error.h>\n")
        self.passes("src/api/a.cc", "#include <millrace/millrace.h>\n")

    def test_tools_see_public_headers_only(self):
        self.found("tools/millrace/a.cc", 1, "public-only", '#include "sync/gate.h"\n')
        self.found("examples/a.cc", 1, "public-only", '#include "device/core.h"\n')
        self.passes("tools/millrace/a.cc", '#include "formats/npy.h"\n#include <mutex>\nstd::mutex m;\n')

    def test_thread_primitives_outside_sync(self):
        for code in ("std::atomic<int> a;", "std::atomic_flag f;", "std::atomic_thread_fence(order);",
                     "std::mutex m;", "std::shared_mutex m;", "std::lock_guard lock(m);", "std::thread t;",
                     "std::jthread t;", "std::this_thread::yield();", "std::condition_variable c;",
                     "std::condition_variable_any c;", "std::call_once(once, f);", "std::promise<int> p;",
                     "static thread_local int x;", "static __thread int x;", "__atomic_load_n(&x, 0);",
                     "__sync_synchronize();", "pthread_mutex_lock(&m);", "std::latch l(1);"):
            self.found("src/device/a.cc", 3, "sync-only", f"// one\n\n{code}\n")
            self.passes("src/sync/a.cc", f"{code}\n")
        self.found("src/event/a.cc", 1, "sync-only", "#include <atomic>\n")
        self.found("include/millrace/a.h", 1, "sync-only", "std::atomic<int> a;\n")

    def test_thread_primitives_in_comments_and_strings(self):
        self.passes("src/device/a.cc", "// not a std::mutex\n/* thread_local\n std::atomic */\n")
        self.passes("src/device/a.cc", 'const char* text = "std::thread";\nsync::Mutex mutex;\n')
        self.passes("src/device/a.cc", "int million = 1'000'000; word.load(std::memory_order_relaxed);\n")
        self.found("src/device/a.cc", 1, "sync-only", 'f("\\"", std::mutex()); // "\n')

    def test_orders_left_out(self):
        for code in ("word.load();", "word.store(1);", "word->fetch_add(kOne);", "word.exchange(f(1, 2));",
                     "word.compare_exchange_weak(a, b);", "words[i].fetch_sub(g(std::size_t{1}),\n  1);"):
            for layer in ("sync", "memory"):
                self.found(f"src/{layer}/a.cc", 2, "memory-order", f"\n{code}\n")
        self.passes("src/memory/a.cc", "word.load(std::memory_order_acquire); word.store(f(1), order);\n")
        self.passes("src/memory/a.cc", "// word.load()\nloader.reload(); loads(1);\n")
        self.passes("src/memory/a.cc", "word.compare_exchange_weak(a, f(b),\n sync::memory_order_release,\n x);\n")

    def test_length(self):
        self.found("tests/unit/sync/a_test.cc", 601, "length", "\n" * 601)
        self.passes("tests/unit/sync/a_test.cc", "\n" * 600)

    def test_an_order_that_is_no_order_is_refused(self):
        (self.root / "src" / "README.md").write_text("## sync\n\nIncludes: device.\n\n## device\n\nIncludes: nothing.\n")
        with self.assertRaises(SystemExit):
            check_layers.check(self.root)


if __name__ == "__main__":
    unittest.main()
