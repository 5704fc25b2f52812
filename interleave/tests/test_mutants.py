"""The list of mutants in docs/mutants.md is that of mutation/mutants.py, and each still applies to the sources.

That a test fails for each is for mutation/mutate.py, which takes an hour. INTERLEAVE_UPDATE=1 rewrites the list.
"""

import os
import pathlib
import sys
import textwrap
import unittest

ROOT = pathlib.Path(os.environ.get("INTERLEAVE_SOURCE_DIR", pathlib.Path(__file__).parents[1]))
LIST = ROOT / "docs/mutants.md"
sys.path.insert(0, str(ROOT / "tests/mutation"))

import mutants

HEAD = """# What holds the checker up, and the test that falls with it

Each line is a rule of the checker and the mutant that takes it away: then what the second column says is so.
`tests/mutation/mutate.py` applies each in turn and sees a test fail: random programs against the oracle, without and
with mutexes, the litmus table, `tests/correct` or `tests/wrong`. For those in the last section none can fail, and why is
said there.

Made from `tests/mutation/mutants.py` by `INTERLEAVE_UPDATE=1 tests/test_mutants.py`.
"""

SECTIONS = {
    "Axioms": mutants.AXIOMS,
    "Revisiting": mutants.REVISITS,
    "Waiting and blocking": mutants.WAITING,
    "What is reported": mutants.DETECTION,
}


def written() -> str:
    text = HEAD
    for title, rules in SECTIONS.items():
        text += f"\n## {title}\n\n| mutant | with it | in `src/` |\n|---|---|---|\n"
        text += "".join(f"| {m.name} | {m.what} | {m.file} |\n" for m in rules if not m.harmless)
    text += "\n## Rules whose absence changes nothing\n"
    for mutant in mutants.MUTANTS:
        if mutant.harmless:
            argued = f"**{mutant.name}** ({mutant.what}, {mutant.file}). {mutant.harmless}"
            text += "\n" + textwrap.fill(argued, 120, break_on_hyphens=False) + "\n"
    return text


class Mutants(unittest.TestCase):
    maxDiff = None

    def test_the_list_is_as_in_the_docs(self):
        if os.environ.get("INTERLEAVE_UPDATE"):
            LIST.write_text(written())
        self.assertEqual(LIST.read_text(), written())

    def test_each_is_in_the_list_once(self):
        names = [mutant.name for mutant in mutants.MUTANTS]
        self.assertEqual(sorted(names), sorted(set(names)))
        self.assertEqual(mutants.MUTANTS, sum(SECTIONS.values(), []))

    def test_each_applies(self):
        for mutant in mutants.MUTANTS:
            with self.subTest(mutant.name):
                self.assertNotEqual(mutant.old, mutant.new)
                self.assertEqual((ROOT / "src" / mutant.file).read_text().count(mutant.old), 1)


if __name__ == "__main__":
    unittest.main()
