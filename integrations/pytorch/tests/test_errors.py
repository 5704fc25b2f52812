"""What is refused at once, and what a queued operator's failure says when it arrives."""

import inspect

import pytest
import torch

from support import DEVICE, only_millrace


def line_of_caller():
    return inspect.currentframe().f_back.f_lineno


def test_shapes_that_do_not_fit_are_refused_at_once():
    with pytest.raises(RuntimeError, match="size of tensor a"):
        torch.ones(2, device=DEVICE) + torch.ones(3, device=DEVICE)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        torch.ones(2, 3, device=DEVICE) @ torch.ones(2, 3, device=DEVICE)
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        torch.ones(6, device=DEVICE).view(4)
    with pytest.raises(IndexError):
        torch.ones(2, device=DEVICE).sum(3)
    with pytest.raises(IndexError):
        torch.ones(2, device=DEVICE)[5]
    with pytest.raises(RuntimeError):
        torch.ones(2, device=DEVICE).expand(3)


def test_dtypes_that_do_not_fit_are_refused():
    # By the call or by the kernel: what only the kernel looks at arrives with the wait.
    with pytest.raises(RuntimeError):
        (torch.ones(2, 2, device=DEVICE) @ torch.ones(2, 2, dtype=torch.int64, device=DEVICE)).tolist()
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.ones(2, dtype=torch.int64, device=DEVICE).add_(0.5)
    with pytest.raises((RuntimeError, IndexError)):
        torch.ones(2, device=DEVICE)[torch.ones(2, device=DEVICE)].tolist()


@only_millrace
def test_an_index_out_of_range_arrives_at_the_next_synchronisation_with_its_operator_and_line():
    table = torch.ones(3, 2, device=DEVICE)
    places = torch.tensor([0, 7], device=DEVICE)
    torch.millrace.synchronize()
    table.index_select(0, places); line = line_of_caller()  # fmt: skip # noqa: E702
    with pytest.raises(RuntimeError) as caught:
        torch.millrace.synchronize()
    text = str(caught.value)
    assert "index_select" in text and "out of range" in text.lower()
    assert f'{__file__}", line {line}' in text or f"{__file__}:{line}" in text, text


@only_millrace
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda bad: bad.sum().item(), id="item"),
        pytest.param(lambda bad: bad.cpu(), id="cpu"),
        pytest.param(lambda bad: torch.accelerator.synchronize(), id="accelerator_synchronize"),
        pytest.param(lambda bad: torch.accelerator.current_stream().synchronize(), id="stream_synchronize"),
        pytest.param(lambda bad: bad.nonzero(), id="nonzero"),
    ],
)
def test_every_synchronisation_brings_a_failure_once(ask):
    table, places = torch.ones(3, 2, device=DEVICE), torch.tensor([9], device=DEVICE)
    torch.millrace.synchronize()
    bad = torch.nn.functional.embedding(places, table)
    with pytest.raises(RuntimeError, match="embedding|index_select"):
        ask(bad)
    torch.millrace.synchronize()
    assert (table + 1).sum().item() == 12, "work after a failure that was told must go on"


@only_millrace
def test_an_event_brings_the_failure_of_what_it_was_recorded_after():
    table, places = torch.ones(3, device=DEVICE), torch.tensor([9], device=DEVICE)
    torch.millrace.synchronize()
    table.index_select(0, places)
    event = torch.accelerator.current_stream().record_event()
    with pytest.raises(RuntimeError, match="index_select"):
        event.synchronize()


@only_millrace
def test_a_failure_on_one_stream_is_not_another_s():
    other = torch.Stream(device=DEVICE)
    table, places = torch.ones(3, device=DEVICE), torch.tensor([9], device=DEVICE)
    torch.millrace.synchronize()
    with other:
        table.index_select(0, places)
    assert (table + 1).tolist() == [2, 2, 2]
    torch.millrace.current_stream().synchronize()
    with pytest.raises(RuntimeError, match="index_select"):
        other.synchronize()


@only_millrace
@pytest.mark.parametrize(
    "mix",
    [
        pytest.param(lambda near, far: near + far, id="add"),
        pytest.param(lambda near, far: near.add_(far), id="add_in_place"),
        pytest.param(lambda near, far: near.view(1, -1) @ far.view(-1, 1), id="matmul"),
        pytest.param(lambda near, far: torch.cat([near, far]), id="cat"),
        pytest.param(lambda near, far: torch.where(near > 0, near, far), id="where"),
        pytest.param(lambda near, far: near.index_select(0, far.long()), id="index_select"),
        pytest.param(lambda near, far: torch.add(near, 1, out=far), id="out"),
        pytest.param(lambda near, far: torch.nn.functional.linear(near, far.view(1, -1)), id="linear"),
    ],
)
def test_another_device_s_tensor_is_refused_with_both_devices_named(mix):
    near = torch.ones(3, device="millrace:0")
    for far, name in ((torch.ones(3, device="millrace:1"), "millrace:1"), (torch.ones(3), "cpu")):
        with pytest.raises(RuntimeError) as caught:
            mix(near, far)
        text = str(caught.value)
        assert "millrace:0" in text and name in text, text
    torch.millrace.synchronize()


@only_millrace
def test_a_device_that_is_not_there():
    with pytest.raises(RuntimeError, match="2"):
        torch.ones(1, device="millrace:2")
    with pytest.raises(RuntimeError):
        torch.accelerator.synchronize(5)


def test_what_the_cpu_cannot_do_is_refused():
    whole, complex_ones = (torch.ones(2, 2, dtype=dtype, device=DEVICE) for dtype in (torch.int64, torch.complex64))
    for refused in (lambda: torch.linalg.inv(whole), lambda: complex_ones < complex_ones):
        with pytest.raises((RuntimeError, NotImplementedError)):
            refused().tolist()
