"""What ships and what is checked are the same files and differ in src/sync alone; the two can't be linked together.

Skipped where the checked flavour is not part of the build, or not built yet.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD_DIR", ROOT / "build/release"))
LAYERS = ("sync", "device", "stream", "event", "memory")


class Unit:
    """A source, and how it is compiled."""

    def __init__(self, entry: dict):
        words = shlex.split(entry["command"])
        self.source = pathlib.Path(entry["file"]).relative_to(ROOT)
        self.object = pathlib.Path(entry["directory"], words[words.index("-o") + 1])
        self.macros = {word[2:].split("=")[0] for word in words if word.startswith("-D")}
        self.folders = [word[2:] for word in words if word.startswith("-I")]
        self.included_first = [words[at + 1] for at, word in enumerate(words) if word == "-include"]
        self.is_checked = "MILLRACE_CHECKED" in self.macros


ENTRIES = json.loads((BUILD / "compile_commands.json").read_text())


def units() -> list:
    """Of the core, in whatever targets."""
    folders = tuple(f"{ROOT}/src/{layer}/" for layer in LAYERS)
    found = [Unit(entry) for entry in ENTRIES if entry["file"].startswith(folders)]
    return sorted(found, key=lambda unit: unit.source)


SHIPPED = [unit for unit in units() if not unit.is_checked]
CHECKED = [unit for unit in units() if unit.is_checked]


def core_files() -> list:
    return sorted(path for layer in LAYERS for path in (ROOT / "src" / layer).rglob("*") if path.suffix in (".h", ".cc"))


def names_in(path: pathlib.Path, pattern: str) -> list:
    return [f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for number, line in enumerate(path.read_text().splitlines(), 1) if re.search(pattern, line)]


class Symbols:
    """What objects define and need of the core, in words."""

    def __init__(self, units: list):
        self.defined, self.needed, self.functions = set(), set(), set()
        objects = [str(unit.object) for unit in units]
        text = subprocess.run(["nm", "-P", "-C", *objects], capture_output=True, text=True, check=True).stdout
        for line in text.splitlines():
            match = re.match(r"(.+?) ([A-Za-z])(?: [0-9a-f]+){0,2}\s*$", line)
            if not match or "millrace" not in match[1]:
                continue
            if match[2] == "U":
                self.needed.add(match[1])
            elif match[2].isupper() or match[2] in "vw":
                self.defined.add(match[1])
            if match[2] == "T":
                self.functions.add(match[1].split("(")[0].replace("millrace_checked::", "millrace::"))


class Sources(unittest.TestCase):

    def test_both_are_made_of_the_same_files(self):
        expected = [path.relative_to(ROOT) for path in core_files() if path.suffix == ".cc"]
        self.assertEqual(sorted(unit.source for unit in SHIPPED), sorted(expected))
        self.assertEqual(sorted(unit.source for unit in CHECKED), sorted(expected))

    def test_includes_are_found_in_the_same_folders(self):
        ours = {str(ROOT / "src"), str(ROOT / "include")}
        for unit in SHIPPED:
            self.assertEqual([folder for folder in unit.folders if folder in ours], [str(ROOT / "src"), str(ROOT / "include")])
        others = {str(ROOT / "verify/scenarios"), str(ROOT / "interleave/include")}
        for unit in CHECKED:
            self.assertEqual([folder for folder in unit.folders if folder in ours], [str(ROOT / "src"), str(ROOT / "include")])
            self.assertEqual(set(unit.folders) - ours - others, set())
        # Nothing there takes the place of a header of the core.
        headers = {path.relative_to(ROOT / "src") for path in core_files() if path.suffix == ".h"}
        self.assertIn(pathlib.Path("sync/base.h"), headers)
        for folder in others:
            self.assertEqual([header for header in headers if (pathlib.Path(folder) / header).exists()], [])
        # Nor is anything put in front of the sources but the checker's names for what the compiler adds.
        self.assertEqual([unit.source for unit in SHIPPED if unit.included_first], [])
        self.assertEqual({tuple(unit.included_first) for unit in CHECKED}, {("interleave/detail/instrumented.h",)})

    def test_sync_alone_knows_of_the_checker(self):
        names = r"MILLRACE_CHECKED|interleave|__SANITIZE_THREAD__"
        knowing = [place for path in core_files() for place in names_in(path, names)]
        self.assertTrue(knowing)
        self.assertEqual([place for place in knowing if not place.startswith("src/sync/")], [])

    def test_no_other_source_has_two_forms(self):
        conditional = [place for path in core_files() for place in names_in(path, r"^\s*#\s*(if|ifdef|ifndef|elif)\b")]
        self.assertTrue(conditional)
        self.assertEqual([place for place in conditional if not place.startswith("src/sync/")], [])

    def test_no_macro_of_the_build_makes_a_difference(self):
        macros = set().union(*(unit.macros for unit in SHIPPED + CHECKED)) - {"millrace", "NDEBUG"}
        self.assertIn("MILLRACE_CHECKED", macros)
        named = [place for path in core_files() for place in names_in(path, rf"\b({'|'.join(macros)})\b")]
        self.assertEqual([place for place in named if not place.startswith("src/sync/")], [])
        # Assertions are on in both or in neither.
        self.assertEqual({"NDEBUG" in unit.macros for unit in SHIPPED}, {"NDEBUG" in unit.macros for unit in CHECKED})


class Linking(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        for unit in SHIPPED + CHECKED:
            if not unit.object.exists():
                raise unittest.SkipTest(f"{unit.object} is not built: ninja -C {BUILD} verify_scenarios millrace")
        cls.shipped, cls.checked = Symbols(SHIPPED), Symbols(CHECKED)

    def test_no_symbol_of_the_core_is_in_both(self):
        self.assertGreater(len(self.shipped.defined), 100)
        self.assertGreater(len(self.checked.defined), 100)
        self.assertEqual(self.shipped.defined & self.checked.defined, set())

    def test_each_has_a_namespace_of_its_own(self):
        self.assertEqual([name for name in self.shipped.defined | self.shipped.needed if "millrace_checked" in name], [])
        self.assertEqual([name for name in self.checked.defined | self.checked.needed if re.search(r"\bmillrace::", name)], [])

    def test_what_one_needs_the_other_does_not_have(self):
        self.assertTrue(self.shipped.needed)
        self.assertTrue(self.checked.needed)
        self.assertEqual(self.shipped.needed & self.checked.defined, set())
        self.assertEqual(self.checked.needed & self.shipped.defined, set())

    def test_both_define_the_same_functions(self):
        for wanted in ("millrace::sync::BiasedLock::retire", "millrace::detail::Core::close", "millrace::StreamPool::lease",
                       "millrace::EventPool::fill", "millrace::Allocator::allocate_slow"):
            self.assertIn(wanted, self.shipped.functions)
        self.assertEqual(self.shipped.functions, self.checked.functions)


if __name__ == "__main__":
    if not any("CMakeFiles/verify_scenarios.dir/" in entry["command"] for entry in ENTRIES):
        print(f"skipped: there is no verify_scenarios in {BUILD}")
        sys.exit(77)
    outcome = unittest.main(exit=False).result
    for _, reason in outcome.skipped:
        print(f"skipped: {reason}")
    sys.exit(1 if not outcome.wasSuccessful() else 77 if outcome.skipped else 0)
