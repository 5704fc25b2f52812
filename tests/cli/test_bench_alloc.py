#!/usr/bin/env python3
"""bench alloc: its modes, and what it asks of the peers that it opens; not how fast anything is."""

import json
import os
import pathlib
import shutil
import sys
import unittest.mock

import cli
from test_bench import bench, expect_keys

PEERS = pathlib.Path(os.environ.get("MILLRACE_TEST_PEERS", "build/release/test_peers"))
SHORT = ("--repetitions", 2, "--milliseconds", 3)
HOST_IMPLS = {"millrace", "glibc", "mimalloc"}
# mode: its cases, its unit, whether glibc and mimalloc take part, whether peers that are opened do
MODES = {
    "pair": (("4 KiB", "512 B - 1 MiB"), "ns/pair", True, True),
    "handoff": (("handoff 4 KiB",), "ns/block", True, True),
    "large": (("large 2 - 64 MiB",), "ns/pair", True, True),
    "shared": (("shared 4 KiB",), "ns/pair", True, True),
    "crossstream": (("crossstream 4 KiB",), "ns/block", False, True),
    "lease": (("lease",), "ns/lease", False, False),
    "event": (("event",), "ns/event", False, False),
    "query": (("query",), "ns/query", False, False),
}
# Modes in which each allocator is made for a case, and that have one thread.
RANDOM = [f"random 1000/{largest}" for largest in (1, 4, 64, 256, 1024, 4096)]
MULTISTREAM = [f"multistream {streams}/4 {state}" for streams in (4, 2, 1) for state in ("cold", "warm")]


def alloc(*args):
    document, keys = bench("alloc", *args)
    for mode, definition in document["modes"].items():
        assert definition.startswith(("ns", "us", "ms")), (mode, definition)
    return document, keys


def folder_of(*names):
    """A folder with these test peers alone."""
    folder, path = cli.temporary_folder()
    for name in names:
        shutil.copy(PEERS / name, path / name)
    return folder, path


def log_of(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines, "no allocator of the peer came to its end"
    for line in lines:
        assert line["faults"] == 0 and line["live"] == 0, line
        assert line["allocations"] == line["releases"] > 0, line
    return lines


def test_pair_is_what_is_measured_by_default():
    document, keys = alloc("--threads", "1,2", *SHORT)
    impls = {impl for _, _, impl, _, _ in keys}
    assert {"millrace", "glibc"} <= impls <= HOST_IMPLS, impls
    expect_keys(keys, {(case, None, impl, threads, "ns/pair") for case in ("4 KiB", "512 B - 1 MiB")
                       for impl in impls for threads in (1, 2)})
    assert list(document["modes"]) == ["pair"]
    assert ("mimalloc" in impls) == (not document["peers"]["mimalloc"].startswith("absent: ")), document["peers"]
    assert "ns that one core spends" in cli.run("bench", "alloc", "--threads", "1", *SHORT).stdout


def test_each_mode():
    for mode, (cases, unit, host_impls, _) in MODES.items():
        document, keys = alloc("--mode", mode, "--threads", "1,3", *SHORT)
        impls = {impl for _, _, impl, _, _ in keys}
        assert impls <= HOST_IMPLS and ("glibc" in impls) == host_impls, (mode, impls)
        expect_keys(keys, {(case, None, impl, threads, unit) for case in cases for impl in impls for threads in (1, 3)})
        assert list(document["modes"]) == [mode]


def test_growth_is_one_thread():
    document, keys = alloc("--mode", "growth", "--threads", "1,2", *SHORT)
    (key,) = keys
    assert key[0].startswith("growth ") and key[1:] == (None, "millrace", 1, "ms"), key


def test_modes_come_with_commas_and_again():
    document, _ = alloc("--mode", "query,event", "--mode", "lease", "--mode", "event", "--threads", 1, *SHORT)
    assert list(document["modes"]) == ["lease", "event", "query"]
    document, _ = alloc("--mode", "all", "--case", "KiB,large,growth", "--case", "lease,event,query,random 1000/64,4/4 cold",
                        "--threads", 1, *SHORT)
    assert set(document["modes"]) == {*MODES, "growth", "random", "multistream"}


def test_threads_by_default():
    _, keys = alloc("--mode", "query", "--repetitions", 1, "--milliseconds", 1)
    assert {threads for _, _, _, threads, _ in keys} == {1, 2, 4, 8}


def test_a_peer_gets_back_what_it_gave():
    folder, path = folder_of("counting_peer.so")
    log = path / "log"
    with folder, unittest.mock.patch.dict(os.environ, MILLRACE_TEST_PEER_LOG=str(log)):
        for mode, (cases, unit, _, takes_peers) in MODES.items():
            log.write_text("")
            document, keys = alloc("--mode", mode, "--threads", "1,3", "--peers", path, *SHORT)
            expect_keys({key for key in keys if key[2] == "counting"},
                        {(case, None, "counting", threads, unit) for case in cases for threads in (1, 3)}
                        if takes_peers else set())
            assert document["peers"]["counting"] == document["peers"]["growing"] == "7.1", document["peers"]
            assert not any(impl == "growing" for _, _, impl, _, _ in keys), keys
            if takes_peers:
                assert {line["name"] for line in log_of(log)} == {"counting", "stingy"}, log.read_text()
                (counting,) = [line for line in log_of(log) if line["name"] == "counting"]
                used = counting["allocations"] if mode == "crossstream" else 0
                assert counting["uses"] == counting["fills"] == used, counting
            else:
                assert log.read_text() == "", log.read_text()

        log.write_text("")
        _, keys = alloc("--mode", "growth", "--peers", path, *SHORT)
        assert {impl for _, _, impl, _, _ in keys} == {"millrace", "growing"}, keys
        assert [line["name"] for line in log_of(log)] == ["growing"]


def test_random_is_the_same_steps_for_all():
    folder, path = folder_of("counting_peer.so")
    log = path / "log"
    with folder, unittest.mock.patch.dict(os.environ, MILLRACE_TEST_PEER_LOG=str(log)):
        document, keys = alloc("--mode", "random", "--case", "random 1000/", "--threads", 2, "--peers", path, *SHORT)
        impls = {impl for _, _, impl, _, _ in keys} - {"mimalloc"}
        assert impls == {"millrace", "glibc", "counting", "growing", "stingy", "setting"}, impls
        expect_keys({key for key in keys if key[2] in impls},
                    {(case, None, impl, 1, "ms") for case in RANDOM for impl in impls})
        assert document["peers"]["choosy"] == "7.1; failed in random: device 0 is not to its taste", document["peers"]
        assert "; failed in random: random 1000/64: it lost a block" in document["peers"]["faulty"], document["peers"]
        for line in log_of(log):  # once to have the memory and once with the clock, in each of two repetitions
            assert line["allocations"] == 2000, line
        assert len(log_of(log)) == 4 * len(RANDOM) * 2 + len(RANDOM), "a case that fails is not tried again"


def test_a_case_that_fails_is_named_and_the_others_are_measured():
    folder, path = folder_of("counting_peer.so")
    with folder:
        document, keys = alloc("--mode", "random", "--case", "random 10000/64,random 1000/64", "--peers", path, *SHORT)
        assert "7.1; failed in random: random 10000/64: could not allocate" in document["peers"]["stingy"], document["peers"]
        measured = {(case, impl) for case, _, impl, _, _ in keys}
        assert ("random 1000/64", "stingy") in measured and ("random 10000/64", "stingy") not in measured, measured
        assert ("random 10000/64", "counting") in measured, measured


def test_multistream_waits_for_its_kernels():
    document, keys = alloc("--mode", "multistream", *SHORT)
    expect_keys(keys, {(case, None, impl, 1, "us") for case in MULTISTREAM for impl in ("millrace", "floor")})
    for row in document["rows"]:
        # Half a millisecond each, and on one stream one after the other.
        assert row["value"] > (2000 if "1/4" in row["case"] else 500), row


def test_a_peer_that_fails_is_named_and_left_out():
    folder, path = folder_of("counting_peer.so")
    with folder:
        arguments = ("--mode", "shared,handoff", "--threads", 2, "--peers", path, *SHORT)
        document, keys = alloc(*arguments)
        peers = document["peers"]
        assert peers["choosy"] == ("7.1; failed in handoff: device 0 is not to its taste"
                                   "; failed in shared: device 0 is not to its taste"), peers
        assert "; failed in shared: could not allocate 4096 bytes" in peers["stingy"], peers
        assert not any(impl == "choosy" for _, _, impl, _, _ in keys), keys
        table = cli.run("bench", "alloc", *arguments).stdout
        assert "counting" in table and "choosy: 7.1; failed in handoff: device 0" in table, table


def test_a_library_that_is_no_peer_is_named_with_the_reason():
    folder, path = folder_of("outdated_peer.so")
    with folder:
        (path / "broken.so").write_text("not a library")
        arguments = ("--mode", "query", "--threads", 1, "--peers", path, *SHORT)
        document, _ = alloc(*arguments)
        assert document["peers"]["outdated_peer.so"] == \
            "absent: expected interface 2, found 100; build it again with scripts/build-peers", document["peers"]
        assert document["peers"]["broken.so"].startswith("absent: "), document["peers"]
        table = cli.run("bench", "alloc", *arguments).stdout
        assert "outdated_peer.so: absent: expected interface 2, found 100" in table, table


def test_what_is_refused():
    for arguments, said in ((("--mode", "pairs"), "expected one or several of pair, handoff"),
                            (("--mode", "pair,pairs"), "expected one or several of pair, handoff"),
                            (("--case", "5 KiB"), "--case: expected parts of the cases' names, as 4 KiB, found 5 KiB"),
                            (("--threads", "1,x"), "expected numbers from 1 to 256"),
                            (("--peers", "/proc/nowhere"), "--peers: expected a folder of peers, found /proc/nowhere"),
                            (("--device", "tpu"), "--device tpu")):
        result = cli.run("bench", "alloc", *arguments)
        assert result.returncode == 2 and said in result.stderr and result.stdout == "", (arguments, result)


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
