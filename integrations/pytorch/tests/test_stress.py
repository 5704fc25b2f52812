"""The command: its lines, exit codes and JSON; and that what is wrong is found, counted and repeated."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from millrace_torch.stress import KINDS, Kind, Options, command, reductions, run
from millrace_torch.stress.case import Case, Findings, compare
from support import FIRST_DEVICE, ON_CPU


@pytest.fixture
def ask():
    """The command within this process, with kinds of the test's own; an exit code."""

    def run_command(*words: str, kinds=KINDS) -> int:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser, kinds)
        return command.stress(parser.parse_args([*words, "--device", str(FIRST_DEVICE)]), kinds)

    return run_command


def start(*words: str, **arguments) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "millrace_torch", *words], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **arguments)


class WrongCase(Case):
    """A device that adds one to every result of iteration 5 and of 9."""

    def on_device(self, function, inputs):
        result = super().on_device(function, inputs)
        return result + 1 if self.index in (5, 9) else result


def sum_gone_wrong(case: Case) -> None:
    wrong = WrongCase(case.device, case.seed, case.index, case.findings)
    values = wrong.normal(3, 4)
    wrong.check("sum", lambda values: values.sum(1), values)


def refused(case: Case) -> None:
    if case.index == 3:
        raise RuntimeError("out of\norder")


WRONG = Kind("wrong", "Wrong", 20, (sum_gone_wrong,))
REFUSED = Kind("refused", "Refused", 8, (refused,))


def test_lines_are_those_of_millrace_stress(ask, capsys):
    assert ask("reduce", "--threads", "2", "--iterations", "6", "--seed", "1") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Reduce ops: 6/6 in \d+\.\d\ds, errors=0", first)
    assert second == "Reduce operations stress test: PASS"


def test_iterations_are_over_all_threads(ask, capsys):
    assert ask("pooling", "--threads", "8", "--iterations", "3") == 0
    assert "Pooling ops: 3/3 in" in capsys.readouterr().out


def test_all_is_every_kind(ask, capsys):
    assert ask("--threads", "2", "--iterations", "2", "--seed", "5") == 0
    assert capsys.readouterr().out.count("PASS") == len(KINDS)


def test_a_planted_error_is_found_counted_and_repeated_by_its_seed(ask, capsys):
    words = ("wrong", "--threads", "4", "--iterations", "12", "--seed", "8")
    assert ask(*words, kinds=(WRONG,)) == 1
    once = capsys.readouterr().out
    assert "Wrong ops: 12/12 in" in once and "errors=2" in once
    assert "iteration 5 of seed 8, thread 1: sum: Tensor-likes are not close!" in once
    assert "iteration 9 of seed 8, thread 1: sum" in once
    assert (f"to repeat: python -m millrace_torch stress wrong --threads 4 --iterations 12 --seed 8 --device "
            in once)
    assert once.endswith("Wrong operations stress test: FAIL\n")

    assert ask(*words, kinds=(WRONG,)) == 1
    again = capsys.readouterr().out
    differences = [sorted(line for line in out.splitlines() if line.startswith("  ")) for out in (once, again)]
    assert differences[0] == differences[1]


def test_an_exception_is_an_error_and_no_done_iteration():
    report = run(REFUSED, Options(2, 8, 0, FIRST_DEVICE), threading.Event())
    assert (report.done, report.expected, report.errors, report.passed) == (7, 8, 1, False)
    assert report.differences == ["iteration 3 of seed 0, thread 1: refused: RuntimeError: out of order"]


def test_only_the_first_errors_are_kept():
    findings = Findings()
    for number in range(9):
        findings.error(str(number))
    assert findings.errors == 9
    assert findings.first == ["0", "1", "2", "3", "4"]


def test_a_case_is_what_its_seed_and_number_say():
    def draw(seed: int, index: int):
        case = Case(FIRST_DEVICE, seed, index, Findings())
        model = case.module(lambda: torch.nn.Linear(3, 2))
        return [case.random.random(), *case.normal(4).tolist(), *model.weight.flatten().tolist()]

    assert draw(1, 2) == draw(1, 2)
    assert draw(1, 2) != draw(1, 3)
    assert draw(1, 2) != draw(2, 2)


def test_a_result_that_is_elsewhere_is_a_difference():
    problem = compare(torch.ones(2), torch.ones(2), torch.device("meta"))
    assert problem == "a result is on cpu, and should be on meta"


def test_whole_numbers_are_compared_exactly():
    large = torch.tensor([2**40])
    assert "are not equal" in compare(large + 1, large, torch.device("cpu"))


def test_neither_side_sees_what_the_other_writes():
    case = Case(FIRST_DEVICE, 0, 0, Findings())
    given = torch.zeros(3)
    case.check("add_", lambda values: values.add_(1), given)
    assert case.findings.errors == 0
    assert given.tolist() == [0, 0, 0]


def test_seconds_go_on_with_further_seeds(ask, capsys):
    words = ("wrong", "--threads", "1", "--iterations", "4", "--seed", "3", "--json", "-")
    assert ask(*words, kinds=(WRONG,)) == 0  # the first of all opens the device, which takes its time
    capsys.readouterr()
    assert ask(*words, "--seconds", "3", kinds=(WRONG,)) == 0
    result, = json.loads(capsys.readouterr().out)["stress"]
    assert result["done"] == result["iterations"] > 4
    assert result["seed"] > 3


def test_a_kind_that_found_something_is_not_run_again(ask, capsys):
    assert ask("wrong", "--iterations", "12", "--seconds", "30", "--seed", "3", kinds=(WRONG,)) == 1
    assert "Wrong ops: 12/12" in capsys.readouterr().out


def test_json(ask, capsys, tmp_path):
    file = tmp_path / "stress.json"
    assert ask("wrong", "--threads", "2", "--iterations", "6", "--seed", "4", "--json", str(file), kinds=(WRONG,)) == 1
    assert "FAIL" in capsys.readouterr().out
    result, = json.loads(file.read_text())["stress"]
    assert result.pop("seconds") > 0
    difference, = result.pop("differences")
    assert difference.startswith("iteration 5 of seed 4, thread 1: sum")
    assert result == {"kind": "wrong", "device": str(FIRST_DEVICE), "threads": 2, "iterations": 6, "done": 6, "errors": 1,
                      "seed": 4, "passed": False}


def test_json_that_cannot_be_written_is_told_before_the_work(ask, capsys, tmp_path):
    assert ask("reduce", "--json", str(tmp_path / "none" / "stress.json")) == 2
    out, err = capsys.readouterr()
    assert out == "" and "--json cannot be written" in err


@pytest.mark.parametrize("words, said", [
    (("sums",), "invalid choice: 'sums'"),
    (("--threads", "0"), "expected a number from 1 to 256, and got 0"),
    (("--seconds", "-1"), "expected how many seconds, and got -1"),
    (("--device", "cuda"), "expected millrace:0 or cpu, and got cuda"),
])
def test_what_does_not_exist_is_refused(words, said, capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(list(words))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_modes_of_the_device_are_refused_on_the_cpu(capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.stress(parser.parse_args(["--device", "cpu", "--chaos"])) == 2
    assert "--chaos and --protect are modes of millrace's devices" in capsys.readouterr().err


def test_a_device_that_is_not_there(capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.stress(parser.parse_args(["--device", "millrace:99"])) == 4
    assert "and got millrace:99" in capsys.readouterr().err


@pytest.mark.skipif(ON_CPU, reason="modes of millrace's devices")
@pytest.mark.parametrize("mode", ["--chaos", "--protect"])
def test_modes(mode):
    """In a process of their own, since the device is opened again and no tensor may be alive."""
    process = start("stress", "reduce", mode, "--threads", "4", "--iterations", "12", "--device", str(FIRST_DEVICE))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out
    assert "errors=0" in out


def test_interrupted(tmp_path):
    file = tmp_path / "stress.json"
    process = start("stress", "mlp", "--threads", "2", "--iterations", "1000000", "--device", str(FIRST_DEVICE), "--json",
                    str(file))
    while not file.exists():  # made once it is about to begin
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 5
    assert re.search(r"^MLP ops: \d+/1000000 in \d+\.\d\ds, errors=0\nMLP operations stress test: PARTIAL\n"
                     r"interrupted: the results above are partial\n$", out)
    assert err == ""
    document = json.loads(file.read_text())
    assert document["partial"] is True
    assert document["stress"][0]["done"] < 1000000


def test_without_a_subcommand():
    process = start("--device", str(FIRST_DEVICE))
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert f"torch          {torch.__version__}" in out
    assert out.splitlines()[-1] == f"self-test of {FIRST_DEVICE}: PASS, 5 checks"
    assert process.returncode == 0


def test_a_reader_that_goes_away():
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([sys.executable, "-m", "millrace_torch", "--device", "cpu"], stdout=write,
                             stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert (process.returncode, process.stderr) == (1, "")


def test_reductions_see_every_type_and_stride():
    """What the reductions draw is not all of one sort."""
    seen = []

    class Seen(Case):
        def check(self, what, function, *inputs, **tolerances):
            seen.append(what)

    for index in range(400):
        case = Seen(FIRST_DEVICE, 0, index, Findings())
        case.random.choice(reductions.VARIANTS)(case)
    for word in ("float32", "float64", "float16", "bfloat16", "int64", "bool", "permuted", "each second", "expanded",
                 "all but the first", "contiguous", "dims None", "dims [0, 1]", "keepdim True", "keepdim False"):
        assert any(word in what for what in seen), word
