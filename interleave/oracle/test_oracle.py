"""The oracle itself: the litmus table, and the pruned search against the axioms as the paper writes them."""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import axioms
import generator
import notation
import paper
import search

TABLE = pathlib.Path(__file__).parents[1] / "tests/litmus/table.tsv"


def table():
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, sc, rc11, race, program = line.split("\t")
            yield name, int(sc), int(rc11), race == "yes", program


class Oracle(unittest.TestCase):
    def test_every_row_of_the_table(self):
        rows = list(table())
        self.assertGreaterEqual(len(rows), 45)
        for name, sc, rc11, race, program in rows:
            with self.subTest(name):
                threads = notation.parse(program)
                graphs, racy = search.executions(threads)
                self.assertEqual((len(graphs), racy), (rc11, race))
                self.assertEqual(len(search.executions(threads, "sc")[0]), sc)

    def test_pruning_loses_nothing(self):
        """Small programs under both models, against relations composed as in the paper and nothing pruned."""
        seed = int(os.environ.get("INTERLEAVE_SEED", int.from_bytes(os.urandom(4), "little")))
        print(f"seed {seed}", flush=True)
        programs = generator.Generator(f"paper:{seed}", (2, 5))
        for _ in range(60 if "INTERLEAVE_FULL" not in os.environ else 3000):
            threads = programs.program()
            for model in ("rc11", "sc"):
                expected = paper.executions(threads, model)
                graphs, race = search.executions(threads, model)
                self.assertEqual(sorted(graphs), sorted(expected), f"{model}: {notation.text(threads)}")
                self.assertEqual(race, any(line.endswith(" race") for line in expected))

    def test_no_graph_twice(self):
        programs = generator.Generator("twice", (4, 10))
        for _ in range(100):
            graphs, _ = search.executions(programs.program())
            self.assertEqual(len(graphs), len(set(graphs)))

    def test_the_generator_covers_the_notation(self):
        programs = generator.Generator("cover")
        seen = set()
        for _ in range(300):
            threads = programs.program()
            self.assertEqual(notation.parse(notation.text(threads)), threads)
            self.assertTrue(2 <= len(threads) <= 4)
            pending = [operation for thread in threads for operation in thread]
            events = 0
            while pending:
                operation = pending.pop()
                seen.add(type(operation).__name__)
                if isinstance(operation, notation.If):
                    pending += operation.body
                    seen.add(operation.relation)
                else:
                    events += 1
                    seen.add((type(operation).__name__, operation.order))
            self.assertTrue(4 <= events <= 14)
        orders = {"Load": notation.READ_ORDERS, "Store": notation.WRITE_ORDERS, "Add": notation.RMW_ORDERS,
                  "Exchange": notation.RMW_ORDERS, "Cas": notation.RMW_ORDERS, "Fence": notation.FENCE_ORDERS}
        wanted = {(kind, notation.ORDERS[order]) for kind, names in orders.items() for order in names}
        self.assertEqual(wanted | {"If", "==", "!=", ">", ">="}, (seen & wanted) | (seen & {"If", "==", "!=", ">", ">="}))

    def test_what_is_malformed_is_refused_by_column(self):
        for line, column in (("x=1.acq", 5), ("R x.rel", 5), ("x+=1.na", 6), ("x=r0.rlx", 3), ("", 1), ("x=1.rlx;", 9),
                             ("x=1.rlx || ", 11), ("if r0==1{}", 4), ("cas(x,0->1).rlx", 16), ("F.rlx", 3)):
            with self.subTest(line):
                with self.assertRaises(notation.Malformed) as raised:
                    notation.parse(line)
                self.assertIn(f"column {column}:", str(raised.exception))

    def test_psc_is_needed(self):
        """Without the axiom the rows of the table that it decides come out wrong."""
        threads = notation.parse("x=1.sc; R y.sc || y=1.sc; R x.sc")
        original = axioms.Graph._psc
        axioms.Graph._psc = lambda graph, mo_rb, eco: [0] * len(graph.events)
        self.addCleanup(setattr, axioms.Graph, "_psc", original)
        self.assertEqual(len(search.executions(threads)[0]), 4)


if __name__ == "__main__":
    unittest.main()
