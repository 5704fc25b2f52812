"""Random programs with mutexes through the checker and the oracle, with a fresh seed each time; and the oracle itself.

INTERLEAVE_SEED repeats a run, INTERLEAVE_PROGRAMS makes it longer.
"""

import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import locks
import locks_differential
import paper
import shrink
from locks import Lock, Try, Unlock
from locks_generator import Generator, tidy, variants
from notation import Add, Load, Store, parse

PROGRAM = os.environ.get("INTERLEAVE_LOCKS")

# Plays a checker that loses an execution of each program with two try_locks of one mutex, and sees no deadlock.
FORGETFUL = """#!{python}
import sys
sys.path.insert(0, {here!r})
import locks
for line in sys.stdin:
    graphs = locks.executions(locks.parse(line))
    if line.count("try m") > 1:
        graphs.pop()
    print("\\n".join(graphs + [f"executions={{len(graphs)}} race=no blocked=0"]))
"""

COUNTS = {
    "lock m; unlock m || lock m; unlock m || lock m; unlock m || lock m; unlock m": 24,  # 4!
    "lock m; unlock m; lock n; unlock n || lock m; unlock m; lock n; unlock n": 4,  # 2! for each
    "lock m; unlock m || try m{unlock m}": 3,  # before, while and after it is held
    "try m{unlock m} || try m{unlock m} || try m{unlock m}": 21,  # 3! all succeed; 3 * 2 * 2 two do; 3 one does
    "lock m; unlock m; lock m; unlock m || try m{unlock m}": 5,  # thrice it succeeds, or either section is met
    "lock m; x=1.rlx; unlock m || lock m; R x.rlx; unlock m": 2,  # what the owner before has stored is seen
    "x=1.rlx; lock m; unlock m || try m{unlock m}; R x.rlx": 5,  # a try_lock that fails learns nothing
    "lock m; x=1.rlx; unlock m; R y.acq || R x.rlx; y=1.rel; try m{unlock m}": 9,
}

DEADLOCKS = {
    "lock m; lock n; unlock n; unlock m || lock n; lock m; unlock m; unlock n": True,
    "lock m; lock n; unlock n; unlock m || lock m; lock n; unlock n; unlock m": False,
    "lock m; lock n; unlock n; unlock m || lock n; try m{unlock m}; unlock n": False,
    "try m{lock n; unlock n; unlock m} || try n{lock m; unlock m; unlock n}": True,
    "try m{unlock m; lock n; unlock n} || try n{lock m; unlock m; unlock n}": False,
    "lock m; lock n; unlock n; unlock m || lock n; lock m; unlock m; unlock n || lock m; unlock m": True,
    "lock m; lock n; unlock m; unlock n; lock m; unlock m || lock m; unlock m || lock n; unlock n": False,
}


def as_litmus(operations, loads: list) -> str:
    """The operations with each try_lock as a compare-exchange; loads counts the registers of the thread so far."""
    parts = []
    for operation in operations:
        if isinstance(operation, Unlock):
            parts.append(f"{operation.mutex}=0.rel")
            continue
        register = len(loads)
        if not isinstance(operation, Store):
            loads.append(operation)
        if isinstance(operation, Try):
            body = as_litmus(operation.body, loads)
            parts.append(f"cas({operation.mutex},0->1).acq/rlx; if r{register}==0{{{body}}}")
        else:
            parts.append(locks.operation_text(operation))
    return "; ".join(parts)


def check_turns(operations, held: set) -> set:
    """Fails where a thread locks or tries what it holds, or unlocks what it does not; what it holds behind them."""
    for operation in operations:
        if isinstance(operation, Unlock):
            held = held - {operation.mutex} if operation.mutex in held else None
        elif isinstance(operation, (Lock, Try)):
            assert operation.mutex not in held, operation
            if isinstance(operation, Lock):
                held = held | {operation.mutex}
            else:
                assert check_turns(operation.body, held | {operation.mutex}) == held, operation
        assert held is not None, operation
    return held

# Programs that the checker and the oracle once did not agree on.
ONCE_DIFFERENT = (
    # An access right behind a lock: that the unlock before happens before the lock was left out of psc.
    "y+=1.sc; R x.sc || x=2.sc; lock m; unlock m || lock m; R y.sc; unlock m",
    "y+=1.sc; R x.sc || x=2.sc; lock m; unlock m || try m{R y.sc; unlock m}",
)


class Locks(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def forgetful(self) -> str:
        fake = self.folder / "forgetful"
        fake.write_text(FORGETFUL.format(python=sys.executable, here=str(HERE)))
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        return str(fake)

    @unittest.skipUnless(PROGRAM, "INTERLEAVE_LOCKS does not name the program")
    def test_the_checker_agrees_with_the_oracle(self):
        seed = int(os.environ.get("INTERLEAVE_SEED", int.from_bytes(os.urandom(4), "little")))
        programs = int(os.environ.get("INTERLEAVE_PROGRAMS", 400))
        print(f"seed {seed}", flush=True)
        tally = locks_differential.compare(PROGRAM, programs, seed, os.cpu_count(), limit=200)
        self.assertEqual(tally.programs, programs)
        self.assertGreaterEqual(tally.large, tally.programs // 40)
        self.assertEqual(len(tally.differences), 0)

    @unittest.skipUnless(PROGRAM, "INTERLEAVE_LOCKS does not name the program")
    def test_what_once_differed(self):
        for line in ONCE_DIFFERENT:
            for model in ("rc11", "sc"):
                with self.subTest(line, model=model):
                    self.assertIsNone(locks_differential.differs(PROGRAM, locks.parse(line), 0, model))

    @unittest.skipUnless(PROGRAM, "INTERLEAVE_LOCKS does not name the program")
    def test_what_is_malformed_is_refused_by_column(self):
        lines = ("lock m", "try m{unlock m", "x=1.acquire", "lock m || || lock m", "lock m unlock m", "x=.rlx")
        done = subprocess.run([PROGRAM], input="\n".join(lines), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 3)
        answers = [line for line in done.stdout.splitlines() if not line.startswith("graph")]
        self.assertEqual([answer.partition(": expected ")[0] for answer in answers[1:]],
                         [f"error: line {line}, column {column}" for line, column in ((2, 15), (3, 8), (4, 11), (5, 8), (6, 3))])

    def test_counts_made_by_hand(self):
        for line, count in COUNTS.items():
            with self.subTest(line):
                graphs = locks.executions(locks.parse(line))
                self.assertEqual((len(graphs), len(set(graphs))), (count, count))

    def test_deadlocks_made_by_hand(self):
        for line, dead in DEADLOCKS.items():
            with self.subTest(line):
                self.assertEqual(locks.deadlocks(locks.parse(line)), dead)

    def test_a_try_lock_is_a_compare_exchange(self):
        """Small programs without waiting, against relations composed as in the paper and nothing pruned."""
        programs, compared = Generator("paper"), 0
        while compared < 30:
            threads = programs.program()
            operations = [operation for thread in threads for operation, _ in locks.Code(thread).code]
            tried = [operation.mutex for operation in operations if isinstance(operation, Try)]
            if not tried or max(map(tried.count, tried)) > 2 or len(operations) > 6 or Lock in map(type, operations):
                continue
            line = " || ".join(as_litmus(thread, []) for thread in threads)
            expected = [locks.tickets(graph.rstrip(), locks.mutexes(threads)) for graph in paper.executions(parse(line))]
            self.assertEqual(sorted(locks.executions(threads)), sorted(expected), locks.text(threads))
            compared += 1

    def test_a_lost_execution_is_noticed_and_shrunk(self):
        fake = self.forgetful()
        threads = locks.parse("x=1.rel; try m{R y.sc; unlock m} || try n{try m{unlock m}; unlock n} || lock n; unlock n")
        self.assertIn("missed    graph", locks_differential.differs(fake, threads, 0))
        small = shrink.shrink(threads, lambda smaller: locks_differential.differs(fake, smaller, 0) is not None, variants, tidy)
        self.assertEqual(locks.text(small), "try m{unlock m} || try m{unlock m}")

    def test_a_deadlock_not_seen_is_noticed_and_shrunk(self):
        fake = self.forgetful()
        threads = locks.parse("lock m; R x.sc; lock n; unlock m; unlock n || lock n; lock m; unlock m; unlock n; x=1.sc")
        self.assertIn("not deadlock", locks_differential.differs(fake, threads, 0))
        small = shrink.shrink(threads, lambda smaller: locks_differential.differs(fake, smaller, 0) is not None, variants, tidy)
        self.assertEqual(locks.text(small), "lock m; lock n; unlock m; unlock n || lock n; lock m; unlock m; unlock n")

    def test_the_generator_locks_and_unlocks_in_turn_and_covers_the_notation(self):
        programs, seen = Generator("cover"), set()
        for _ in range(500):
            threads = programs.program()
            self.assertEqual(locks.parse(locks.text(threads))[0][0][0], threads[0][0][0])
            self.assertEqual(locks.text(locks.parse(locks.text(threads))), locks.text(threads))
            self.assertTrue(2 <= len(threads) <= 4)
            for candidate in [threads] + [[smaller] for thread in threads for smaller in variants(thread)]:
                for thread in candidate:
                    self.assertEqual(check_turns(thread, set()), set())
            for thread in threads:
                for operation, _ in locks.Code(thread).code:
                    order = getattr(operation, "order", None)
                    seen.add((type(operation), order))
        self.assertEqual({kind for kind, _ in seen}, {Lock, Unlock, Try, Store, Load, Add})
        self.assertEqual(len([1 for kind, _ in seen if kind in (Store, Load)]), 6)
        self.assertEqual(len([1 for kind, _ in seen if kind is Add]), 5)


if __name__ == "__main__":
    unittest.main()
