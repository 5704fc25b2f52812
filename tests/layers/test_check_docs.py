"""The checker of the public headers, checked: what is undocumented is found, what is documented passes."""

import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, os.fspath(ROOT / "scripts"))

import check_docs  # noqa: E402  (found by the line above)


def lines_found(text: str) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.h"
        path.write_text(text)
        return [int(breach.split(":")[1]) for breach in check_docs.check(path, "a.h")]


class CheckDocs(unittest.TestCase):
    def body(self, code: str) -> list[int]:
        """The lines found, counted from the first of code."""
        return [line - 3 for line in lines_found(f"// A header.\n#pragma once\nnamespace a {{\n{code}\n}}\n")]

    def test_the_header_itself(self):
        self.assertEqual(lines_found("#pragma once\n"), [1])
        self.assertEqual(lines_found("// A header.\n#pragma once\n"), [])

    def test_undocumented_declarations(self):
        for code in ("int f();", "struct S { int x; };", "enum class E : int { a };", "template <typename T>\nT f(T x);",
                     "inline int f() {\n  return 1;\n}", "using T = int;", "API const char* f(E e) noexcept;"):
            self.assertEqual(self.body(code), [1], code)
            self.assertEqual(self.body(f"\n/// Said.\n{code}"), [], code)
        self.assertEqual(self.body("/// Said.\nint f();\n\nint g();"), [4])
        self.assertEqual(self.body("/// Said.\nint f() {\n  return 1;\n}\n\nint g();"), [6])

    def test_assertions_need_none(self):
        self.assertEqual(self.body("static_assert(sizeof(int) == 4);"), [])

    def test_groups_share_a_comment(self):
        self.assertEqual(self.body("/// Said.\nint f();\nint g();"), [])

    def test_trailing_comment(self):
        self.assertEqual(self.body("int f();  ///< said"), [])

    def test_forward_declarations_constants_and_detail(self):
        self.assertEqual(self.body("class A;\nstruct B;\nconstexpr int kX = 1;\nconstexpr int kY[] = {1};"), [])
        self.assertEqual(self.body("namespace detail {\nint f();\n}\n\nint g();"), [5])

    def test_classes_say_what_is_thread_safe(self):
        self.assertEqual(self.body("/// Said.\nclass A {\n int x_;\n};"), [2])
        self.assertEqual(self.body("/// Said.\n///\n/// Thread safety: none.\nclass A {\n int x_;\n};"), [])

    def test_c_headers(self):
        header = '/* A header. */\nextern "C" {\n/* Said,\n * at length. */\nint f(void);\n\nint g(void);\n}\n'
        self.assertEqual(lines_found(header), [7])


if __name__ == "__main__":
    unittest.main()
