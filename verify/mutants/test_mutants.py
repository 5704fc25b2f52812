"""docs/concurrency/mutants.md is made from mutants.py, each mutant still applies, and names what there is.

That a scenario fails for each is for mutate.py. MILLRACE_UPDATE=1 rewrites the page.
"""

import os
import pathlib
import sys
import textwrap
import unittest

ROOT = pathlib.Path(os.environ.get("MILLRACE_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
PAGE = ROOT / "docs/concurrency/mutants.md"
sys.path[:0] = [str(ROOT / "verify/mutants"), str(ROOT / "verify/invariants")]

import invariants
import mutants

HEAD = """# What is broken in the core to see a scenario fail

Each line takes one thing away from the sources as they ship: then the third column is so, the invariant does not hold,
and `verify/mutants/mutate.py` sees the model checker refute one of the scenarios, in one of the ways of the last column.
It compiles the core anew with each, in the flavour `checked` ([two-flavours](../decisions/two-flavours.md)). A mutant
that does not apply exactly once, does not compile, or whose scenarios do not show what they are to show without it is an
error; one that survives says that a scenario is missing, or that the core has a line that it does not need.

    python3 verify/mutants/mutate.py [--third [DIGEST]] [--within SECONDS] [--only NAME...] [--json FILE|-] [--list]

`./test` takes a third of them, chosen by the digest of the sources, and begins none after 300 s; `./test --full` takes
all. Where CUDA is not found, those of the CUDA backend are left out, and named.

Made from `verify/mutants/mutants.py` by `MILLRACE_UPDATE=1 python3 verify/mutants/test_mutants.py`.
"""


def written() -> str:
    text = HEAD
    for title, those in mutants.SECTIONS.items():
        text += f"\n## {title}\n\n| mutant | breaks | with it | in | refuted | as |\n|---|---|---|---|---|---|\n"
        text += "".join(f"| {m.name} | {m.invariants} | {m.what} | `{m.file.removeprefix('src/')}` | "
                        f"{', '.join(f'`{name}`' for name in m.scenarios)} | {', '.join(m.verdicts)} |\n"
                        for m in those if not m.harmless)
    text += "\n## What may be taken away\n\nEach of these is seen to survive, for the reason given.\n"
    for m in mutants.MUTANTS:
        if m.harmless:
            text += "\n" + textwrap.fill(f"**{m.name}** ({m.what}, `{m.file.removeprefix('src/')}`). {m.harmless}", 120,
                                         break_on_hyphens=False, break_long_words=False) + "\n"
    return text


class Mutants(unittest.TestCase):
    maxDiff = None

    def test_the_page_is_the_list(self):
        if os.environ.get("MILLRACE_UPDATE"):
            PAGE.write_text(written())
        self.assertEqual(PAGE.read_text(), written())

    def test_each_name_is_one_mutants(self):
        names = [mutant.name for mutant in mutants.MUTANTS]
        self.assertEqual(sorted(names), sorted(set(names)))

    def test_each_applies(self):
        for mutant in mutants.MUTANTS:
            text = (ROOT / mutant.file).read_text()
            for before, after in mutant.changes:
                with self.subTest(mutant.name):
                    self.assertNotEqual(before, after)
                    self.assertEqual(text.count(before), 1, before)

    def test_each_breaks_an_invariant(self):
        known = {invariant.number for invariant in invariants.INVARIANTS}
        for mutant in mutants.MUTANTS:
            with self.subTest(mutant.name):
                self.assertTrue(mutant.invariants)
                self.assertEqual(set(mutant.invariants.split()) - known, set())

    def test_each_has_its_scenarios(self):
        sources = "".join(file.read_text() for file in (ROOT / "verify/scenarios").glob("*.cc"))
        for mutant in mutants.MUTANTS:
            for prefix in mutant.scenarios:
                with self.subTest(mutant.name):
                    self.assertIn(f'"{prefix}', sources)


if __name__ == "__main__":
    unittest.main()
