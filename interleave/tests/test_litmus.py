"""`interleave litmus`: the counts of the table, larger programs, permuted threads, and lines that are no programs."""

import itertools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("INTERLEAVE_SOURCE_DIR", pathlib.Path(__file__).parents[1]))
PROGRAM = os.environ.get("INTERLEAVE_PROGRAM")

ANSWER = re.compile(r"executions=(\d+) race=(yes|no) blocked=(\d+) seconds=(\d+(?:\.\d+)?(?:e-\d+)?)")


def rows(name: str) -> list:
    lines = (ROOT / "tests/litmus" / name).read_text().splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def litmus(text: str, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, "litmus", *options, "-"], input=text, capture_output=True, text=True, check=False)


def answers(programs: list, *options: str) -> list:
    """(executions, race, blocked) of each."""
    done = litmus("".join(program + "\n" for program in programs), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    matches = [ANSWER.fullmatch(line) for line in done.stdout.splitlines()]
    assert all(matches) and len(matches) == len(programs), done.stdout
    return [(int(match[1]), match[2] == "yes", int(match[3])) for match in matches]


class Counts(unittest.TestCase):
    def test_the_table(self):
        table = rows("table.tsv")
        self.assertGreaterEqual(len(table), 45)
        found = answers([row[4] for row in table])
        for (name, _, rc11, race, _), (executions, racy, _) in zip(table, found):
            with self.subTest(name):
                self.assertEqual((executions, racy), (int(rc11), race == "yes"))

    def test_the_table_under_sequential_consistency(self):
        table = rows("table.tsv")
        for row, (executions, _, _) in zip(table, answers([row[4] for row in table], "--model", "sc")):
            with self.subTest(row[0]):
                self.assertEqual(executions, int(row[1]))

    def test_larger_programs(self):
        larger = rows("larger.tsv")
        for (name, expected, _), (executions, racy, _) in zip(larger, answers([row[2] for row in larger])):
            with self.subTest(name):
                self.assertEqual((executions, racy), (int(expected), False))

    def test_permuting_the_threads_changes_nothing(self):
        table = rows("table.tsv")
        programs, expected = [], []
        for row in table:
            threads = row[4].split(" || ")
            for order in itertools.permutations(threads):
                programs.append(" || ".join(order))
                expected.append((int(row[2]), row[3] == "yes"))
        for program, wanted, (executions, racy, _) in zip(programs, expected, answers(programs)):
            with self.subTest(program):
                self.assertEqual((executions, racy), wanted)

    def test_graphs_are_printed_once_each(self):
        for row in rows("table.tsv"):
            with self.subTest(row[0]):
                lines = litmus(row[4] + "\n", "--graphs").stdout.splitlines()
                graphs = lines[:-1]
                self.assertTrue(all(line.startswith("graph") for line in graphs))
                self.assertEqual(len(graphs), len(set(graphs)))
                self.assertEqual(len(graphs), int(row[2]))


class Limits(unittest.TestCase):
    def test_eight_threads_and_many_locations(self):
        threads = [f"a{t}=1.rlx; b{t}=1.rlx; R a{t}.rlx" for t in range(8)]
        self.assertEqual(answers([" || ".join(threads)]), [(1, False, 0)])

    def test_many_registers(self):
        thread = "; ".join(["R x.rlx"] * 20) + "; if r19==1{y=r19+5.rlx}"
        self.assertEqual(answers([f"{thread} || x=1.rlx"]), [(21, False, 0)])

    def test_conditionals_and_values(self):
        cases = (
            ("x=2.rlx || R x.rlx; if r0>1{y=1.rlx; y=2.rlx}; R y.rlx", 2),
            ("x=2.rlx || R x.rlx; if r0>=2{y=1.rlx} || R y.rlx", 3),
            ("x=2.rlx || R x.rlx; if r0!=2{y=1.rlx} || R y.rlx", 3),
            ("x=-1.rlx || R x.rlx; if r0==-1{y=r0+3.rlx} || R y.rlx; if r0==2{R x.rlx}", 4),
            ("x=1.rlx || R x.rlx; if r0==1{R x.rlx; if r1==1{z=1.rlx}} || R z.rlx", 3),
            ("  x = 1 . rlx  ||  R x . rlx  ", 2),
        )
        found = answers([program for program, _ in cases])
        for (program, expected), (executions, _, _) in zip(cases, found):
            with self.subTest(program):
                self.assertEqual(executions, expected)


class Input(unittest.TestCase):
    def test_from_a_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".litmus") as file:
            file.write("# a comment\n\nx=1.rlx || R x.rlx\nx=1.rlx || x=2.rlx\n")
            file.flush()
            done = subprocess.run([PROGRAM, "litmus", file.name], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertEqual([ANSWER.fullmatch(line)[1] for line in done.stdout.splitlines()], ["2", "2"])

    def test_a_file_that_is_not_there_is_named(self):
        done = subprocess.run([PROGRAM, "litmus", "/nowhere/programs"], capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/nowhere/programs", done.stderr)

    def test_malformed_lines_are_answered_by_line_and_column(self):
        cases = (  # the column where the first thing stands that cannot be
            ("x=1.acq", 5),
            ("R x.rel", 5),
            ("R x.ar", 5),
            ("x+=1.na", 6),
            ("xchg(x,1).na", 11),
            ("cas(x,0->1).rlx", 16),
            ("cas(x,0->1).rlx/rel", 17),
            ("cas(x,0,1).rlx/rlx", 8),
            ("F.rlx", 3),
            ("F.na", 3),
            ("x=1", 4),
            ("x=.rlx", 3),
            ("x=r0.rlx", 3),
            ("R x.rlx; x=r1.rlx", 12),
            ("R x.rlx || x=r0.rlx", 14),
            ("if r0==1{x=1.rlx}", 4),
            ("R x.rlx; if r0<1{x=1.rlx}", 15),
            ("R x.rlx; if r0==1{x=1.rlx", 26),
            ("R x.rlx; if r0==1{}", 19),
            ("x=1.rlx;", 9),
            ("x=1.rlx;; x=2.rlx", 9),
            ("x=1.rlx ||", 11),
            ("|| x=1.rlx", 1),
            ("x=1.rlx | x=2.rlx", 9),
            ("x=1.rlx R x.rlx", 9),
            ("R", 2),
            ("R r0.rlx", 3),
            ("fence.sc", 6),
            ("X=1.rlx", 1),
            ("x=99999999999999999999.rlx", 3),
        )
        good = "x=1.rlx || R x.rlx"
        done = litmus("".join(f"{good}\n{line}\n" for line, _ in cases) + good + "\n")
        self.assertEqual(done.returncode, 3)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2 * len(cases) + 1)
        for number, (line, column) in enumerate(cases):
            with self.subTest(line):
                self.assertRegex(lines[2 * number], ANSWER)
                answer = lines[2 * number + 1]
                self.assertTrue(answer.startswith("error: "), answer)
                self.assertIn(f"line {2 * number + 2},", answer)
                self.assertIn(f"column {column}:", answer)
                self.assertGreater(len(answer.split(":", 2)[2].strip()), 10, answer)

    def test_too_many_threads_are_refused(self):
        done = litmus(" || ".join(["x=1.rlx"] * 9) + "\n")
        self.assertEqual(done.returncode, 3)
        self.assertIn("error: line 1,", done.stdout)
        self.assertIn("8", done.stdout)

    def test_bytes_that_are_no_text(self):
        done = subprocess.run([PROGRAM, "litmus", "-"], input=b"x=1.rlx || R \xff\x00.rlx\n", capture_output=True, check=False)
        self.assertEqual(done.returncode, 3)
        self.assertTrue(done.stdout.startswith(b"error: line 1, column 14:"), done.stdout)

    def test_what_cannot_be_read_is_said(self):
        folder = tempfile.gettempdir()
        for arguments in (f"'{folder}'", f"<'{folder}'", "<&-"):
            with self.subTest(arguments):
                done = subprocess.run(["sh", "-c", f"'{PROGRAM}' litmus {arguments}"], capture_output=True, text=True,
                                      check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("can't read", done.stderr)

    def test_answers_that_cannot_be_written_are_said(self):
        for redirection in (">/dev/full", ">&-"):
            with self.subTest(redirection):
                done = subprocess.run(["sh", "-c", f"'{PROGRAM}' litmus {redirection}"], input="x=1.rlx\n",
                                      stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual(done.returncode, 4)
                self.assertIn("can't write", done.stderr)

    def test_two_files_are_refused(self):
        done = subprocess.run([PROGRAM, "litmus", "one", "two"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("one file, not one and two", done.stderr)

    def test_the_replay_of_another_program_changes_nothing(self):
        for text in ("0!0", "junk"):
            done = subprocess.run([PROGRAM, "litmus", "-"], input="x=1.rlx || R x.rlx\n", capture_output=True, text=True,
                                  check=False, env={**os.environ, "INTERLEAVE_REPLAY": text})
            self.assertRegex(done.stdout, "^executions=2 race=no blocked=0 seconds=[0-9.]*\n$")

    def test_options_of_bench(self):
        for arguments, status in ((["--help"], 0), (["--workers", "100", "ainc7"], 2), (["--workers", "abc"], 2),
                                  (["--workers"], 2), (["--worker"], 2), (["nosuch"], 2)):
            with self.subTest(arguments):
                done = subprocess.run([PROGRAM, "bench", *arguments], capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertTrue(done.stderr or status == 0)
        self.assertEqual(subprocess.run([PROGRAM, "litmus", "--help"], capture_output=True, check=False).returncode, 0)

    def test_an_unknown_model_is_refused(self):
        done = litmus("x=1.rlx\n", "--model", "tso")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("tso", done.stderr)


if __name__ == "__main__":
    if not PROGRAM:
        print("INTERLEAVE_PROGRAM does not name the program")
        sys.exit(77)
    unittest.main()
