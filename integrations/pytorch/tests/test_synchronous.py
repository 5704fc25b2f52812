"""millrace_torch.debug(synchronous=True): operators that have run when their call returns."""

import threading
import warnings

import pytest
import torch

from support import DEVICE, ON_CPU, only_millrace, run_python

if not ON_CPU:
    import millrace_torch

pytestmark = only_millrace


@pytest.fixture
def synchronous():
    millrace_torch.debug(synchronous=True)
    yield
    millrace_torch.debug()


def out_of_range(device):
    return torch.ones(3, 2, device=device).index_select(0, torch.tensor([7], device=device))


def no_kernel(device):
    return torch.lgamma(torch.ones(2, dtype=torch.complex64, device=device))


@pytest.mark.parametrize("wrong", [out_of_range, no_kernel])
def test_what_the_kernel_raises_the_call_raises_as_on_the_cpu(synchronous, wrong):
    with pytest.raises(Exception) as on_cpu:
        wrong("cpu")
    with pytest.raises(type(on_cpu.value)) as here:
        wrong(DEVICE)
    assert str(here.value).splitlines()[0] == str(on_cpu.value).splitlines()[0]
    torch.millrace.synchronize()
    assert torch.ones(3, device=DEVICE).sum().item() == 3, "work after a failure goes on"


def test_an_operator_has_run_when_its_call_returns(synchronous, gate):
    gate.open()
    wide = torch.ones(600, 600, device=DEVICE)
    for _ in range(5):
        wide = wide @ wide
    passed = gate.put(wide)
    assert gate.reached.is_set()
    assert torch.millrace.current_stream().query()
    assert passed.shape == wide.shape


def test_it_is_turned_on_and_off_while_tensors_are_alive():
    alive = torch.arange(4.0, device=DEVICE)
    for _ in range(2):
        millrace_torch.debug(synchronous=True)
        millrace_torch.debug(synchronous=True)
        with pytest.raises(IndexError):
            out_of_range(DEVICE)
        millrace_torch.debug()
        out_of_range(DEVICE)
        with pytest.raises(RuntimeError, match="index_select"):
            torch.millrace.synchronize()
    assert alive.tolist() == [0, 1, 2, 3]


def test_protect_with_it_opens_devices_again_and_refuses_tensors():
    alive = torch.ones(3, device=DEVICE)
    with pytest.raises(RuntimeError, match="bytes in tensors"):
        millrace_torch.debug(protect=True, synchronous=True)
    with pytest.raises(RuntimeError, match="index_select"):
        out_of_range(DEVICE)
        torch.millrace.synchronize()
    assert alive.tolist() == [1, 1, 1]


def test_warnings_are_given_where_the_operator_was_called(synchronous):
    values, edges = torch.arange(6.0, device=DEVICE), torch.arange(0.0, 6, 2, device=DEVICE)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        torch.searchsorted(edges, values.view(2, 3).t())
    assert any("non-contiguous" in str(warning.message) for warning in heard)


def test_the_environment_turns_it_on():
    program = """
    try:
        torch.ones(3, device="millrace").index_select(0, torch.tensor([7], device="millrace"))
        print("queued")
    except IndexError:
        print("refused")
    """
    for value, said in (("1", "refused"), ("0", "queued"), ("", "queued")):
        ended = run_python(program, environment={"MILLRACE_TORCH_SYNCHRONOUS": value})
        assert ended.stdout.split() == [said], ended.stderr
    ended = run_python("torch.ones(3, device='millrace')", environment={"MILLRACE_TORCH_SYNCHRONOUS": "yes"})
    assert ended.returncode != 0 and 'MILLRACE_TORCH_SYNCHRONOUS is "yes"' in ended.stderr, ended.stderr


def overlapping():
    return torch.ones(1, device=DEVICE).expand(3).copy_(torch.ones(3, device=DEVICE))


def test_an_earlier_failure_is_told_where_a_call_waits():
    out_of_range(DEVICE)
    with pytest.raises(RuntimeError, match="index_select"):
        overlapping()
    with pytest.raises(RuntimeError, match="memory location"):
        overlapping()
    torch.millrace.synchronize()


def test_another_threads_failure_is_that_threads_alone(synchronous):
    stop, caught = threading.Event(), []

    def fails():
        while not stop.is_set():
            with pytest.raises(IndexError):
                out_of_range(DEVICE)
            caught.append(1)

    thread = threading.Thread(target=fails)
    thread.start()
    for number in range(300):
        values = torch.full((64,), float(number)).to(DEVICE)
        assert (values + 1).sum().item() == 64 * (number + 1)
    stop.set()
    thread.join()
    assert caught


def test_debug_leaves_what_the_environment_says():
    program = """
        import millrace_torch
        millrace_torch.debug()
        try: torch.ones(3, 2, device="millrace").index_select(0, torch.tensor([7], device="millrace"))
        except IndexError: print("at the call")
        millrace_torch.debug(synchronous=False)
        torch.ones(3, 2, device="millrace").index_select(0, torch.tensor([7], device="millrace"))
        print("later")
    """
    ended = run_python(program, environment={"MILLRACE_TORCH_SYNCHRONOUS": "1"})
    assert ended.stdout == "at the call\nlater\n", ended.stderr


def test_a_wrong_setting_is_told_by_name_where_a_device_is_asked_for():
    program = """
        print(torch.accelerator.device_count())
        for ask in (lambda: torch.ones(1, device="millrace"), lambda: torch.manual_seed(1)):
            try: ask()
            except RuntimeError as error: print(str(error).splitlines()[0])
    """
    ended = run_python(program, environment={"MILLRACE_TORCH_SYNCHRONOUS": "yes"})
    assert ended.returncode == 0, ended.stderr
    assert 'MILLRACE_TORCH_SYNCHRONOUS is "yes"' in ended.stdout
