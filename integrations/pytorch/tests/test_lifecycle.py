"""Ends and beginnings: exits with work in flight, threads of every kind, forks, failures nobody asked for."""

import pytest

from support import only_millrace, run_python

pytestmark = only_millrace


def ends_well(program, *, output="", **options):
    ended = run_python(program, **options)
    assert ended.returncode == 0, f"exit code {ended.returncode}, stderr {ended.stderr}"
    assert ended.stderr == ""
    assert ended.stdout == output


QUEUE = """
import sys, threading, time
def queue(count=100, size=200):
    x = torch.ones(size, size, device="millrace")
    for _ in range(count):
        x = x @ torch.ones(size, size, device="millrace") / size
    return x
"""


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param("x = queue()", id="end"),
        pytest.param("queue(); del torch", id="nothing_kept"),
        pytest.param("x = queue(); sys.exit(0)", id="sys_exit"),
        pytest.param(
            """
for index in range(8):
    with torch.Stream(device=f"millrace:{index % 2}"):
        queue(20)
""",
            id="many_streams",
        ),
        pytest.param("threading.Thread(target=lambda: (queue(), sys.exit(3))).start()", id="sys_exit_in_a_thread"),
        pytest.param("[threading.Thread(target=queue).start() for _ in range(4)]", id="threads_still_run"),
        pytest.param("import os; queue(); sys.stdout.flush(); os._exit(0)", id="os_exit"),
    ],
)
def test_exit_with_work_in_flight(ending):
    ends_well(QUEUE + ending)


def test_exit_with_daemon_threads_that_go_on_recording():
    ends_well(
        QUEUE
        + """
def record(own):
    if own:
        with torch.millrace.thread_stream():
            while True: queue(5, 50)
    while True: queue(5, 50).sum().item()
for index in range(4):
    threading.Thread(target=record, args=(index % 2,), daemon=True).start()
time.sleep(0.3)
"""
    )


def test_objects_that_use_the_device_in_their_last_breath():
    ends_well(
        QUEUE
        + """
import atexit
class Last:
    def __init__(self):
        self.x, self.event, self.stream = queue(5), torch.Event(device="millrace"), torch.Stream("millrace")
    def __del__(self): self.x.add_(1); self.event.record(); self.stream.query()
kept, sys.modules["somewhere"] = Last(), Last()
cycle = [Last()]; cycle.append(cycle); del cycle
local = threading.local(); local.kept = queue(5)
atexit.register(lambda: queue(5).sum().item())
"""
    )


def test_an_exception_that_ends_the_program_is_the_only_thing_said():
    ended = run_python(QUEUE + "queue()\nraise KeyError('mine')")
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1] == "KeyError: 'mine'"
    assert ended.stderr.count("Error") == 1, ended.stderr


def test_a_failure_that_nobody_asked_for_does_not_break_the_exit():
    ended = run_python(
        """
        x = torch.ones(3, device="millrace")
        torch.millrace.synchronize()
        y = x.index_select(0, torch.tensor([9], device="millrace"))
        """
    )
    assert ended.returncode in (0, 1), ended.stderr
    assert ended.stderr == "" or "index_select" in ended.stderr
    assert "terminate" not in ended.stderr


def test_a_thousand_threads_in_turn():
    ends_well(
        """
        import threading
        wrong = []
        def work(index):
            with torch.millrace.thread_stream():
                if (torch.full((100,), float(index), device="millrace") + 1).sum().item() != 100 * (index + 1):
                    wrong.append(index)
        for index in range(1000):
            thread = threading.Thread(target=work, args=(index,))
            thread.start(); thread.join()
        torch.millrace.synchronize()
        print(len(wrong), torch.millrace.memory_stats()["live"])
        """,
        output="0 0\n",
    )


def test_a_forked_child_is_told_so_and_the_parent_goes_on():
    ends_well(
        QUEUE
        + """
import os
kept = queue(300)
for ending in ("exit", "_exit"):
    child = os.fork()
    if child == 0:
        told = []
        for use in (lambda: torch.ones(3, device="millrace"), lambda: kept + 1, lambda: kept.cpu(),
                    lambda: torch.millrace.synchronize(), lambda: torch.Stream(device="millrace").synchronize()):
            try: use()
            except RuntimeError as failure: told.append("fork" in str(failure).lower())
        assert told == [True] * 5, told
        assert torch.ones(3).sum().item() == 3
        torch.manual_seed(1)
        del kept
        os._exit(0) if ending == "_exit" else sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
assert abs(kept.sum().item() - 40000) < 1
print("parent goes on")
""",
        output="parent goes on\n",
    )


def test_a_child_forked_before_the_first_use_has_a_device_of_its_own():
    ends_well(
        """
        import os
        child = os.fork()
        if child == 0:
            assert (torch.ones(3, device="millrace") + 1).sum().item() == 6
            raise SystemExit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert (torch.ones(3, device="millrace") + 1).sum().item() == 6
        """
    )


def test_data_loaders_with_forked_workers_feed_the_device():
    ends_well(
        """
        import warnings; warnings.simplefilter("ignore")
        from torch.utils.data import DataLoader, Dataset
        class Numbers(Dataset):
            def __len__(self): return 32
            def __getitem__(self, index): return torch.full((8,), float(index)), torch.rand(1)
        class OnDevice(Numbers):
            def __getitem__(self, index): return torch.full((8,), float(index), device="millrace")
        weights = torch.ones(8, 2, device="millrace")
        for options in ({}, {"pin_memory": True}, {"persistent_workers": True}):
            loader = DataLoader(Numbers(), batch_size=4, num_workers=2, multiprocessing_context="fork", **options)
            total = sum((batch.to("millrace", non_blocking=True) @ weights).sum() for batch, _ in loader)
            print(total.item(), all(batch.is_pinned() == ("pin_memory" in options) for batch, _ in loader))
        try: next(iter(DataLoader(OnDevice(), num_workers=1, multiprocessing_context="fork")))
        except RuntimeError as failure: print("fork" in str(failure).lower())
        """,
        output="7936.0 True\n" * 3 + "True\n",
    )


def test_a_spawned_child_uses_the_device():
    ends_well(
        """
        import subprocess, sys
        torch.ones(3, device="millrace")
        child = "import torch, millrace_torch; print(torch.ones(3, device='millrace').sum().item())"
        ended = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
        print(ended.stdout.strip(), repr(ended.stderr))
        """,
        output="3.0 ''\n",
    )


def test_an_interrupt_arrives_after_a_wait():
    ends_well(
        """
        import _thread, signal, support, threading, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
        gate = support.Gate()
        gate.put(torch.ones(3, device="millrace"))
        try:
            interrupts = threading.Timer(0.2, _thread.interrupt_main)
            interrupts.start()
            threading.Timer(1.0, gate.open).start()
            torch.millrace.synchronize()
            interrupts.join()
            time.sleep(0.1)
        except KeyboardInterrupt:
            print("interrupted")
        """,
        output="interrupted\n",
    )


def test_streams_that_were_given_back_leave_nothing():
    ends_well(
        """
        def leases(count):
            for _ in range(count):
                with torch.millrace.thread_stream():
                    pass
        def bytes_in_use():
            import ctypes
            class Use(ctypes.Structure):
                _fields_ = [(name, ctypes.c_size_t) for name in (
                    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
            ask = ctypes.CDLL(None).mallinfo2
            ask.restype = Use
            return ask().uordblks
        leases(2000)
        before = bytes_in_use()
        leases(4000)
        grown = bytes_in_use() - before
        print("grown" if grown > 20 * 4000 else "not grown", "" if grown <= 20 * 4000 else grown)
        """,
        output="not grown \n",
    )


def test_a_stream_that_was_given_back_is_refused_and_its_number_not_given_again():
    ends_well(
        """
        with torch.millrace.thread_stream() as first: pass
        with torch.millrace.thread_stream() as second:
            assert first.stream_id != second.stream_id
            for use in (first.query, first.synchronize, lambda: torch.millrace.set_stream(first)):
                try: use()
                except RuntimeError as failure: print("given back" in str(failure))
        """,
        output="True\n" * 3,
    )


def test_devices_that_are_opened_again_under_load():
    ends_well(
        """
        import threading, time
        stop, told, done = threading.Event(), set(), [0] * 8
        def work(index):
            while not stop.is_set():
                try:
                    x = torch.full((50, 50), float(index), device="millrace")
                    y = ((x @ x).sum() / 2500).item()
                    if y == 50.0 * index * index: done[index] += 1
                except RuntimeError as failure:
                    told.add(any(word in str(failure) for word in ("closed", "belongs to another device")))
                x = y = None
                time.sleep(0.01)
        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads: thread.start()
        opened = 0
        end = time.monotonic() + 60
        while (opened < 10 or min(done) < 3) and time.monotonic() < end:
            time.sleep(0.003)
            try: millrace_torch.debug(chaos=7); opened += 1
            except RuntimeError as failure: assert "bytes in tensors" in str(failure), failure
        stop.set()
        for thread in threads: thread.join()
        torch.millrace.synchronize()
        assert min(done) > 0 and opened > 0, (done, opened)
        print(told <= {True}, (torch.ones(3, device="millrace") + 1).sum().item())
        """,
        output="True 6.0\n",
        seconds=150,
    )


def test_a_child_of_a_fork_waits_for_no_thread_that_it_has_not():
    ends_well(
        """
        import os, sys, threading, time
        mask, stop = torch.ones(4_000_000, device="millrace"), threading.Event()
        def busy():
            while not stop.is_set(): torch.nonzero(mask)
        def child_ends_after():
            begin, child = time.monotonic(), os.fork()
            if child == 0: sys.exit(0)
            os.waitpid(child, 0)
            return time.monotonic() - begin
        alone = max(child_ends_after() for _ in range(2))
        thread = threading.Thread(target=busy); thread.start()
        time.sleep(0.2)
        beside = min(child_ends_after() for _ in range(2))
        if beside > 2 * alone + 4: print("a child waited", beside, "s, and without other threads", alone)
        stop.set(); thread.join()
        """,
        seconds=180,
    )
