"""Protect mode names both sides of a missing wait or record_stream, and is silent about programs that lack none."""

import json

import pytest

import planted_programs
from support import only_millrace, run_python

pytestmark = only_millrace


@pytest.fixture(scope="module")
def said():
    """What was said of each program; one interpreter runs them all, since protect mode is for a whole process."""
    ended = run_python("import runpy; runpy.run_path(%r, run_name='__main__')" % planted_programs.__file__)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", planted_programs.WRONG)
def test_a_missing_dependency_is_named_with_both_operators_and_places(said, name):
    program, text = planted_programs.WRONG[name], said[name]
    assert text, "nothing was said"
    assert "missing-dependency" in text, text
    for operator in program["operators"]:
        # Without the underscore: torch itself runs mul_ as mul.out.
        assert operator.rstrip("_") in text, f"{operator} is not named in: {text}"
    for line in program["lines"]:
        assert f"planted_programs.py:{line}" in text or f'planted_programs.py", line {line}' in text, (
            f"line {line} is not named in: {text}"
        )


@pytest.mark.parametrize("name", planted_programs.RIGHT)
def test_a_right_program_is_silent(said, name):
    assert said[name] == ""


def test_there_are_at_least_ten_of_each():
    assert len(planted_programs.WRONG) >= 10 and len(planted_programs.RIGHT) >= 10
    assert all(len(program["lines"]) == 2 for program in planted_programs.WRONG.values())


PROGRAM = """
import planted_programs
millrace_torch.debug(protect=True, chaos=%d)
kept = values = planted_programs.tensor()
a, b = planted_programs.streams(2)
with a:
    for _ in range(50):
        values = values * 1.0 + 1.0
b.wait_stream(a)
with b:
    total = values.sum().item()
assert total == 51.0 * 4096, total
c = torch.Stream(device="millrace")
with a:
    values.fill_(2)
with c:
    total = values.sum()
values.record_stream(b), values.record_stream(c)
try:
    torch.millrace.synchronize()
except RuntimeError as failure:
    assert "missing-dependency" in str(failure), failure
    print("named")
"""


def test_chaos_and_protect_together():
    for seed in (1, 2):
        ended = run_python(PROGRAM % seed)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "named\n", "")
