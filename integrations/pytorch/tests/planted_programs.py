"""Small programs for protect mode: some lack a wait or a record_stream, and some lack nothing.

The wrong ones say which two operators meet, and mark their lines with `# earlier` and `# later`. Run as a program, it
prints what the device said of each, as JSON.
"""

import inspect
import json
import threading

import torch

DEVICE = "millrace"
WRONG, RIGHT = {}, {}


def wrong(*operators):
    def add(function):
        lines, first = inspect.getsourcelines(function)
        marked = [first + at for at, line in enumerate(lines) if line.rstrip().endswith(("# earlier", "# later"))]
        WRONG[function.__name__] = {"run": function, "operators": operators, "lines": marked}
        return function

    return add


def right(function):
    RIGHT[function.__name__] = {"run": function}
    return function


def streams(count):
    return [torch.Stream(device=DEVICE) for _ in range(count)]


def tensor(value=1.0, size=4096):
    """There, and seen by every stream."""
    made = torch.full((size,), value, device=DEVICE)
    torch.millrace.synchronize()
    return made


@wrong("fill_", "add")
def a_read_does_not_wait_for_the_write(x, a, b, c):
    with a:
        x.fill_(2)  # earlier
    with b:
        return x.add(1)  # later


@wrong("mul", "zero_")
def a_write_does_not_wait_for_the_read(x, a, b, c):
    with a:
        y = x.mul(3)  # earlier
    with b:
        x.zero_()  # later
    return y


@wrong("fill_", "mul_")
def two_writes_are_not_in_order(x, a, b, c):
    with a:
        x.fill_(4)  # earlier
    with b:
        x.mul_(5)  # later


@wrong("add_", "sum")
def the_event_was_recorded_too_early(x, a, b, c):
    with a:
        event = a.record_event()
        x.add_(1)  # earlier
    b.wait_event(event)
    with b:
        return x.sum()  # later


@wrong("exp_", "sqrt")
def the_wait_goes_the_wrong_way(x, a, b, c):
    with a:
        x.exp_()  # earlier
    a.wait_stream(b)
    with b:
        return x.sqrt()  # later


@wrong("neg_", "relu")
def a_view_is_changed_and_its_base_is_read(x, a, b, c):
    with a:
        x.view(64, 64)[3].neg_()  # earlier
    with b:
        return torch.relu(x)  # later


@wrong("copy_", "mean")
def a_copy_that_does_not_block_is_not_waited_for(x, a, b, c):
    source = torch.arange(4096.0).pin_memory()
    with a:
        x.copy_(source, non_blocking=True)  # earlier
    with b:
        y = x.mean()  # later
    torch.millrace.synchronize()
    return y, source


@wrong("fill_", "sin")
def only_one_of_two_readers_waits(x, a, b, c):
    with a:
        x.fill_(7)  # earlier
    b.wait_stream(a)
    with b:
        y = x.cos()
    with c:
        return y, x.sin()  # later


@wrong("mul_", "abs")
def the_event_was_recorded_again_elsewhere(x, a, b, c):
    event = torch.Event(device=DEVICE)
    with a:
        x.mul_(2)  # earlier
    event.record(a)
    event.record(c)
    b.wait_event(event)
    with b:
        return x.abs()  # later


@wrong("tanh", "fill_")
def memory_goes_back_without_record_stream(x, a, b, c):
    with a:
        y = torch.empty(100_000, device=DEVICE)
    b.wait_stream(a)
    with b:
        z = y.tanh()  # earlier
    del y
    with a:
        other = torch.empty(100_000, device=DEVICE)
        other.fill_(9)  # later
    return z, other


@wrong("cos", "_local_scalar_dense")
def a_value_is_asked_for_on_another_stream(x, a, b, c):
    with a:
        y = x[:1].cos()  # earlier
    with b:
        return y.item()  # later


@right
def a_read_waits_for_the_write(x, a, b, c):
    with a:
        x.fill_(2)
    b.wait_stream(a)
    with b:
        return x.add(1)


@right
def a_write_waits_for_the_read(x, a, b, c):
    with a:
        y = x.mul(3)
        event = a.record_event()
    event.wait(b)
    with b:
        x.zero_()
    return y


@right
def two_reads_need_no_order(x, a, b, c):
    with a:
        y = x + 1
    with b:
        return y, x * 2


@right
def apart_in_the_same_memory(x, a, b, c):
    with a:
        x[:1024].fill_(1)
    with b:
        x[2048:].fill_(2)


@right
def the_host_waits_in_between(x, a, b, c):
    with a:
        x.fill_(3)
    a.synchronize()
    with b:
        y = x + 1
    b.record_event().synchronize()
    with c:
        x.zero_()
    return y


@right
def a_value_that_was_asked_for_is_an_order(x, a, b, c):
    with a:
        x.fill_(3)
        x.sum().item()
    with b:
        return x + 1


@right
def record_stream_keeps_the_memory(x, a, b, c):
    with a:
        y = torch.ones(100_000, device=DEVICE)
    b.wait_stream(a)
    with b:
        z = y.tanh()
    y.record_stream(b)
    del y
    with a:
        return z, torch.full((100_000,), 9.0, device=DEVICE)


@right
def a_chain_of_waits_is_a_wait(x, a, b, c):
    with a:
        x.fill_(5)
    b.wait_stream(a)
    c.wait_stream(b)
    with c:
        x.mul_(2)


@right
def a_thread_with_a_stream_of_its_own_waits(x, a, b, c):
    with a:
        x.fill_(6)
    event = a.record_event()
    results = []

    def work():
        with torch.millrace.thread_stream() as mine:
            mine.wait_event(event)
            results.append((x + 1).sum().item())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [7 * 4096]


@right
def memory_is_used_again_on_its_own_stream(x, a, b, c):
    with a:
        for value in range(20):
            y = torch.full((100_000,), float(value), device=DEVICE)
            y = y * 2 + 1
    b.wait_stream(a)
    with b:
        result = y + 1
    a.wait_stream(b)
    return result


def said_of(program):
    x = tensor()
    try:
        kept = program["run"](x, *streams(3))
        torch.millrace.synchronize()
        del kept
    except RuntimeError as failure:
        return str(failure)
    finally:
        del x
        # Of the same program: work that came after what was refused, and tensors that ended with it.
        for _ in range(3):
            try:
                torch.millrace.synchronize()
            except RuntimeError:
                continue
    return ""


def main():
    import millrace_torch

    millrace_torch.debug(protect=True)
    print(json.dumps({name: said_of(program) for name, program in {**WRONG, **RIGHT}.items()}))


if __name__ == "__main__":
    main()
