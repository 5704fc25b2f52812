"""The checker against the oracle on random programs, with a fresh seed each time; and that it would be noticed.

INTERLEAVE_SEED repeats a run, INTERLEAVE_PROGRAMS makes it longer.
"""

import os
import pathlib
import stat
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import differential
import notation
import search
import shrink

# Plays a checker that loses an execution of each program with two additions to one location.
FORGETFUL = """#!{python}
import sys
sys.path.insert(0, {here!r})
import notation, search
for line in sys.stdin:
    threads = notation.parse(line)
    graphs, race = search.executions(threads, sys.argv[sys.argv.index("--model") + 1])
    if line.count("x+=") > 1:
        graphs.pop()
    print("\\n".join(graphs + [f"executions={{len(graphs)}} race={{'yes' if race else 'no'}} blocked=0 seconds=0"]))
"""


class Differential(unittest.TestCase):
    def test_the_checker_agrees_with_the_oracle(self):
        program = os.environ.get("INTERLEAVE_PROGRAM")
        if not program:
            self.skipTest("INTERLEAVE_PROGRAM does not name the program")
        seed = int(os.environ.get("INTERLEAVE_SEED", int.from_bytes(os.urandom(4), "little")))
        programs = int(os.environ.get("INTERLEAVE_PROGRAMS", 1000))
        print(f"seed {seed}", flush=True)
        tally = differential.compare(program, programs, seed, os.cpu_count(), limit=800)
        self.assertEqual(tally.programs, programs)
        self.assertGreaterEqual(tally.large, tally.programs // 5)
        self.assertEqual(len(tally.differences), 0)

    def test_a_lost_execution_is_noticed_and_shrunk(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        fake = pathlib.Path(folder.name) / "forgetful"
        fake.write_text(FORGETFUL.format(python=sys.executable, here=str(HERE)))
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        threads = notation.parse("F.sc; x+=1.sc || R y.acq; if r0==1{x+=2.rlx} || y=1.rel; R x.rlx")
        complaint = differential.differs(str(fake), threads, "rc11", 0)
        self.assertIn("missed    graph", complaint)
        self.assertIn("answered  executions=", complaint)
        small = shrink.shrink(threads, lambda smaller: differential.differs(str(fake), smaller, "rc11", 0) is not None)
        self.assertEqual(notation.text(small), "x+=1.rlx || x+=2.rlx")

    def test_a_repeated_graph_is_noticed(self):
        graphs, race = search.executions(notation.parse("x=1.rlx || R x.rlx"))
        answer = f"executions={len(graphs)} race=no blocked=0 seconds=0"
        self.assertIsNone(differential.difference(graphs, race, differential.Outcome(sorted(graphs), answer)))
        twice = differential.Outcome(sorted(graphs + graphs[:1]), answer)
        self.assertIn("too many  graph", differential.difference(graphs, race, twice))


if __name__ == "__main__":
    unittest.main()
