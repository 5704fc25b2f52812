"""The invariants' pages say what the sources, the scenarios and the mutants say now.

MILLRACE_UPDATE=1 rewrites the pages, after running all scenarios. With MILLRACE_TEST_FULL in the environment the slow
ones are run, too.
"""

import os
import pathlib
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD_DIR", ROOT / "build/release"))
sys.path[:0] = [str(ROOT / "verify/mutants"), str(ROOT / "verify/invariants")]

import citations
import invariants
import mutants
import page
import results

PROGRAM = results.Program(BUILD / "bin/verify_scenarios", BUILD / "verify_scenarios.jsonl")
LISTED = {invariant.number: invariant for invariant in invariants.INVARIANTS}
CITED = citations.in_folder(ROOT / "src")


def known() -> page.Known:
    update = bool(os.environ.get("MILLRACE_UPDATE"))
    details = ROOT / page.DETAILS
    scenarios = PROGRAM.all_shown(details.read_text() if details.exists() else "",
                                  slow=update or bool(os.environ.get("MILLRACE_TEST_FULL")))
    return page.Known(CITED, scenarios, mutants.SECTIONS)


class Invariants(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.known = known()

    def test_the_pages_are_what_is_found(self):
        for name, text in page.pages(ROOT, self.known).items():
            if os.environ.get("MILLRACE_UPDATE"):
                (ROOT / name).write_text(text)
            with self.subTest(name):
                self.assertEqual((ROOT / name).read_text(), text, "MILLRACE_UPDATE=1 rewrites it")

    def test_each_scenario_names_invariants_that_there_are(self):
        for scenario in self.known.scenarios:
            self.assertEqual(set(scenario.invariants) - set(LISTED), set(), scenario.name)

    def test_nothing_is_excused_without_need(self):
        for number, invariant in LISTED.items():
            if invariant.unmodelled and self.known.scenarios_of(number) and self.known.mutants_of(number):
                self.fail(f"{number} has scenarios and mutants now: its `unmodelled` says why it has none")


class Rows(unittest.TestCase):
    """What becomes of results that are not there, or not as they should be."""

    SLOW = {"name": "a.slow", "invariants": ["G1"], "expected": "bounded: it is long", "quick": False}
    RUN = {**SLOW, "met": True, "verdict": "pass", "coverage": "bounded", "executions": 12345, "message": ""}

    @staticmethod
    def details(shown) -> str:
        return "".join(f"### {number}\n\n{page.scenario_table([shown])}\nMutants: none.\n\n" for number in shown.invariants)

    def test_a_slow_one_is_remembered_as_it_was_written(self):
        shown = results.shown(self.RUN)
        self.assertEqual(shown.verdict(), "bounded: it is long")
        listed = {"a.slow": self.SLOW, "cuda_other": {}}
        self.assertEqual(results.remembered(listed, ["a.slow"], self.details(shown)), [shown])
        self.assertEqual(results.remembered(listed, [], self.details(shown)), [])

    def test_a_slow_one_that_was_never_run_is_missed(self):
        with self.assertRaisesRegex(results.Wrong, "MILLRACE_UPDATE"):
            results.remembered({"a.slow": self.SLOW}, ["a.slow"], "### G1\n\n" + page.scenario_table([]))

    def test_one_that_is_refuted_has_no_count(self):
        row = page.scenario_table([results.shown({**self.RUN, "verdict": "race"})])
        self.assertIn("| `a.slow` (slow) | refuted: race |  |", row)

    def test_those_of_a_backend_that_was_not_built_stay_as_they_were_written(self):
        cuda = results.shown({**self.RUN, "name": "cuda_completion.asleep", "invariants": ["C1", "C6"], "quick": True})
        self.assertEqual(results.remembered({"gate.enter": {}}, [], self.details(cuda)), [cuda])
        self.assertEqual(results.remembered({"gate.enter": {}, "cuda_other": {}}, [], self.details(cuda)), [])

    def test_nothing_is_written_of_one_that_fails(self):
        with self.assertRaisesRegex(results.Wrong, "a.slow does not show"):
            results.shown({**self.RUN, "met": False})

    def test_a_page_without_its_marks_is_refused(self):
        for text in ("", page.BEGIN, page.END, page.END + page.BEGIN, 2 * (page.BEGIN + page.END)):
            with self.assertRaisesRegex(ValueError, "needs one line"):
                page.with_table(text, [], page.Known([], [], {}), "a page")


class Sources(unittest.TestCase):

    def test_each_number_is_one_invariants(self):
        self.assertEqual(len(LISTED), len(invariants.INVARIANTS))

    def test_what_comments_cite_is_there(self):
        found = CITED + citations.in_folder(ROOT / "verify/scenarios")
        self.assertGreater(len(found), len(LISTED))
        unknown = [f"{each.file}:{each.line} cites {each.number}" for each in found if each.number not in LISTED]
        self.assertEqual(unknown, [])

    def test_each_is_cited_by_code(self):
        self.assertEqual([number for number in LISTED if not citations.files_of(number, CITED)], [])

    def test_what_upholds_one_uncited_is_there_and_cites_it_not(self):
        for number, invariant in LISTED.items():
            for file in invariant.upheld_by:
                self.assertTrue((ROOT / "src" / file).exists(), f"{number} is said to be upheld by {file}")
                self.assertNotIn(file, citations.files_of(number, CITED),
                                 f"{file} cites {number}, and is found without being listed")

    def test_mutants_break_what_there_is(self):
        for mutant in mutants.MUTANTS:
            self.assertEqual(set(mutant.invariants.split()) - set(LISTED), set(), mutant.name)


if __name__ == "__main__":
    if not PROGRAM.program.exists():
        print(f"skipped: {PROGRAM.program.name} is not built here")
        sys.exit(77)
    unittest.main()
