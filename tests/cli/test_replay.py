#!/usr/bin/env python3
"""replay and record: what Python pickles is read as Python means it, and what record writes as it was written."""

import json
import os
import pathlib
import pickle
import random
import shutil
import sys
import unittest.mock

import cli

PEERS = pathlib.Path(os.environ.get("MILLRACE_TEST_PEERS", "build/release/test_peers"))
HEADER = "Thread,Time,Action,Pointer,Size,Stream\n"


def replay(*arguments, code=0):
    """replay with --json -, which must end with this code; returns the logs' objects."""
    result = cli.run("replay", *arguments, "--json", "-")
    assert result.returncode == code, (result.returncode, result.stderr)
    return json.loads(result.stdout)["replay"]


def rounded(size):
    return (size + 511) // 512 * 512


def random_trace(rng, entries):
    """A trace as PyTorch records one, and what it holds: (entries, allocations, frees, unknown frees, streams, peak)."""
    trace, live, used = [], {}, set()
    streams = [0, 94012345678912, 7]
    next_address = 0x7F0000000000
    counts = {"allocations": 0, "frees": 0, "unknown_frees": 0}
    seen_streams, now, peak = set(), 0, 0

    def entry(action, addr, size, stream):
        trace.append({"action": action, "addr": addr, "size": size, "stream": stream,
                      "time_us": 1700000000000000 + len(trace), "compile_context": "N/A",
                      "frames": [{"filename": "model.py", "name": "forward", "line": 12}]})

    while len(trace) < entries:
        kind = rng.random()
        stream = rng.choice(streams)
        if kind < 0.02:
            entry("free_requested", next_address, 512, stream)  # from before the trace began
            next_address += 512
            counts["unknown_frees"] += 1
            seen_streams.add(stream)
        elif kind < 0.08:
            entry(rng.choice(["segment_alloc", "segment_free", "segment_map", "segment_unmap", "snapshot"]),
                  next_address, 2 << 20, stream)
        elif kind < 0.55 or not live:
            size = rng.choice([rng.randrange(1, 5000), rng.randrange(1, 1 << 20)])
            free = [address for address in used if address not in live]
            address = rng.choice(free) if free and rng.random() < 0.5 else next_address
            next_address += rounded(size) if address == next_address else 0
            live[address] = size
            used.add(address)
            entry("alloc", address, size, stream)
            counts["allocations"] += 1
            seen_streams.add(stream)
            now += rounded(size)
            peak = max(peak, now)
        else:
            address = rng.choice(sorted(live))
            size = live.pop(address)
            now -= rounded(size)
            entry("free_requested", address, size, stream)
            entry("free_completed", address, size, stream)
            counts["frees"] += 1
            seen_streams.add(stream)
    return trace, {**counts, "events": len(trace), "streams": len(seen_streams), "peak_live_bytes": peak,
                   "live_at_end": len(live)}


def snapshot(*traces):
    return {"segments": [{"device": 0, "address": 1 << 47, "is_expandable": False, "segment_pool_id": (0, 1),
                          "blocks": [], "frames": []}],
            "device_traces": list(traces), "allocator_settings": {"garbage_collection_threshold": 0.8, "x": -1},
            "external_annotations": [None, True, 1 << 70]}


def check(report, expected):
    for key, value in expected.items():
        assert report[key] == value, (key, report[key], value)


def test_snapshots_of_every_protocol():
    seed = int(os.environ.get("MILLRACE_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}")
    rng = random.Random(seed)
    folder, path = cli.temporary_folder()
    with folder:
        for protocol in (2, 3, 4, 5):
            trace, expected = random_trace(rng, 3000)
            file = path / f"{protocol}.pickle"
            file.write_bytes(pickle.dumps(snapshot([], trace, []), protocol))
            (report,) = replay(file)
            check(report, expected)
            assert report["format"] == "PyTorch pickle" and report["out_of_memory"] == 0, report
            assert report["peak_committed_bytes"] >= report["peak_live_bytes"], report
            as_json = path / f"{protocol}.json"
            as_json.write_text(json.dumps(snapshot([], trace, [])))
            (again,) = replay(as_json, "--serial")
            check(again, expected)
            assert again["format"] == "PyTorch JSON", again


def test_a_snapshot_of_two_devices_is_two_logs():
    rng = random.Random(1)
    folder, path = cli.temporary_folder()
    with folder:
        first, expected_first = random_trace(rng, 100)
        second, expected_second = random_trace(rng, 200)
        file = path / "s.pickle"
        file.write_bytes(pickle.dumps(snapshot(first, [], second)))
        reports = replay(file)
        check(reports[0], {**expected_first, "log": f"{file} device 0"})
        check(reports[1], {**expected_second, "log": f"{file} device 2"})


def test_pickles_that_are_code_are_not_run():
    class Evil:
        def __reduce__(self):
            return print, ("pwned",)

    folder, path = cli.temporary_folder()
    with folder:
        for protocol, opcode in ((2, "GLOBAL"), (3, "GLOBAL"), (4, "STACK_GLOBAL"), (5, "STACK_GLOBAL")):
            file = path / "evil.pickle"
            file.write_bytes(pickle.dumps(snapshot([Evil()]), protocol))
            result = cli.run("replay", file)
            assert result.returncode == 3 and result.stdout == "", result
            assert f"the opcode {opcode}, which names" in result.stderr and "at byte" in result.stderr, result


def test_record_and_replay_close_the_circle():
    folder, path = cli.temporary_folder()
    with folder:
        for workload, threads, streams in (("random", 1, 1), ("multistream", 3, 6), ("training", 3, 2),
                                           ("serving", 3, 3)):
            file = path / f"{workload}.csv"
            result = cli.run("record", "--workload", workload, "--seed", 4, "--threads", 3, "--streams", 2,
                             "--allocations", 3000, "--max-size", "64KiB", "-o", file)
            assert result.returncode == 0 and "seed 4" in result.stdout, result
            to_stdout = cli.run("record", "--workload", workload, "--seed", 4, "--threads", 3, "--streams", 2,
                                "--allocations", 3000, "--max-size", "64KiB", "-o", "-").stdout
            assert to_stdout == file.read_text() and to_stdout.startswith(HEADER)
            live, peak, now = {}, 0, 0
            lines = to_stdout.splitlines()[1:]
            for line in lines:
                _, _, action, address, size, _ = line.split(",")
                if action == "allocate":
                    assert address not in live
                    live[address] = int(size)
                    now += rounded(int(size))
                    peak = max(peak, now)
                else:
                    assert live.pop(address) == int(size)
                    now -= rounded(int(size))
            assert not live
            for flags in ((), ("--serial",), ("--repeat", 3)):
                (report,) = replay(file, *flags)
                check(report, {"format": "RMM CSV", "events": len(lines), "threads": threads, "streams": streams,
                               "peak_live_bytes": peak, "live_at_end": 0, "unknown_frees": 0, "out_of_memory": 0,
                               "first_failure": None})
                assert len(report["runs"]) == (3 if "--repeat" in flags else 1)
                assert all(run["done"] == len(lines) for run in report["runs"]), report
                if "--serial" in flags:
                    assert report["peak_committed_bytes"] >= peak == report["replayed_peak_live_bytes"], report


def test_the_table_has_a_row_a_log():
    folder, path = cli.temporary_folder()
    with folder:
        (path / "a.csv").write_text(HEADER + "1,t,free,0x9,8,0\n1,t,allocate,0x10,4096,0\n")
        (path / "b.csv").write_text(HEADER + "1,t,allocate failure,(nil),8,0\n1,t,allocate,0x10,4096,0\n")
        result = cli.run("replay", path / "a.csv", path / "b.csv")
        assert result.returncode == 0, result
        lines = result.stdout.splitlines()
        assert lines[1].split()[6:10] == ["4", "KiB", "2", "MiB"], lines
        assert lines[0].split()[0] == "log" and lines[1].split()[0].endswith("a.csv"), lines
        assert "a.csv: 1 frees of blocks from before the log began are left out, the first is event 1" in result.stdout
        assert "b.csv: the logged program ran out of memory 1 times" in result.stdout, result.stdout


def test_exit_codes():
    folder, path = cli.temporary_folder()
    with folder:
        good = path / "good.csv"
        good.write_text(HEADER + "".join(f"1,t,allocate,0x{i + 1:x},1048576,0x2\n" for i in range(64)))
        (report,) = replay(good, "--memory-limit", "16MiB", code=4)
        assert 0 < report["out_of_memory"] < 64 and report["peak_committed_bytes"] <= 16 << 20, report
        failure = report["first_failure"]
        assert failure["bytes"] == 1 << 20 and failure["stream"] == 2 and failure["event"] > 8, failure
        text = cli.run("replay", good, "--memory-limit", "16MiB")
        assert text.returncode == 4, text
        assert f"event {failure['event']} (thread 1, stream 0x2) found no memory for 1,048,576 bytes" in text.stdout
        bad = path / "bad.csv"
        bad.write_text(HEADER + "1,t,allocate,0x1,8,0\n1,t,allocate,0x1,8,0\n")
        both = cli.run("replay", good, bad)
        assert both.returncode == 3 and both.stdout == "", both
        assert "bad.csv at byte" in both.stderr and "event 2" in both.stderr, both
        assert cli.run("replay", path / "none.csv").returncode == 3
        for usage in (("replay",), ("replay", good, "--memory-limit", "much"), ("replay", good, "--device", "tpu:0"),
                      ("replay", good, "--repeat", 0), ("record",), ("record", "-o", path / "x", "--workload", "x"),
                      ("record", "-o", path / "x", "--max-size", "0"), ("record", "-o", path / "no" / "x")):
            assert cli.run(*usage).returncode == 2, usage


def test_peers_replay_the_same_log():
    folder, path = cli.temporary_folder()
    log = path / "peers.log"
    with folder, unittest.mock.patch.dict(os.environ, MILLRACE_TEST_PEER_LOG=str(log)):
        file = path / "m.csv"
        assert cli.run("record", "--workload", "multistream", "--seed", 4, "--threads", 3, "--allocations", 9000,
                       "-o", file).returncode == 0
        peers = path / "peers"
        peers.mkdir()
        for name in ("counting_peer.so", "outdated_peer.so"):
            shutil.copy(PEERS / name, peers / name)
        result = cli.run("replay", file, "--peers", peers, "--repeat", 2, "--json", "-")
        assert result.returncode == 0, result
        document = json.loads(result.stdout)
        assert document["peers"]["counting"] == "7.1", document["peers"]
        assert document["peers"]["outdated_peer.so"].startswith("absent: expected interface"), document["peers"]
        (report,) = document["replay"]
        assert report["out_of_memory"] == 0 and len(report["runs"]) == 2, report
        found = {peer["impl"]: peer for peer in report["peers"]}
        assert list(found) == ["counting", "growing", "stingy", "choosy", "setting", "faulty"], found
        for name in ("counting", "growing", "setting"):
            peer = found[name]
            assert len(peer["runs"]) == 2 and peer["out_of_memory"] == 0 and peer["first_failure"] is None, peer
            for run in peer["runs"]:
                assert run["done"] == report["events"] and 0 < run["peak_committed_bytes"], run
            # It counts what is live as it was asked for, and the replay looks at what is live now and then.
            assert 0.9 < peer["committed_per_live"] < 1.2, peer
        # It has 5000 blocks to give, and replays go on without the rest.
        stingy = found["stingy"]
        assert [run["out_of_memory"] for run in stingy["runs"]] == [report["allocations"] - 5000] * 2, stingy
        assert stingy["first_failure"]["message"] == "stingy could not allocate them", stingy
        assert found["choosy"] == {"impl": "choosy", "failure": "device 0 is not to its taste"}, found["choosy"]
        assert found["faulty"] == {"impl": "faulty", "failure": "it lost a block"}, found["faulty"]
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            assert line["faults"] == 0 and line["live"] == 0 and line["allocations"] == line["releases"], line
        # Who has failed once takes no more turns.
        assert sorted(line["name"] for line in lines) == ["counting", "counting", "faulty", "growing", "growing",
                                                          "setting", "setting", "stingy", "stingy"], lines

        table = cli.run("replay", file, "--serial", "--peers", peers).stdout
        rows = [line.split() for line in table.splitlines()]
        assert [row[1] for row in rows[:5]] == ["allocator", "millrace", "counting", "growing", "stingy"], table
        assert "choosy did not replay it: device 0 is not to its taste" in table, table
        assert "found no memory for" in table and "outdated_peer.so: absent: expected interface" in table, table


def test_peers_get_no_requests_of_no_bytes():
    folder, path = cli.temporary_folder()
    log = path / "peers.log"
    with folder, unittest.mock.patch.dict(os.environ, MILLRACE_TEST_PEER_LOG=str(log)):
        file = path / "empty.csv"
        file.write_text(HEADER + "1,t,allocate,0x10,0,0\n1,t,free,0x10,0,0\n")
        peers = path / "peers"
        peers.mkdir()
        shutil.copy(PEERS / "counting_peer.so", peers)
        assert cli.run("replay", file, "--peers", peers).returncode == 0
        for line in map(json.loads, log.read_text().splitlines()):
            assert line["faults"] == 0 and line["allocations"] == line["releases"] == 1, line


def test_what_peers_can_not_have_is_refused():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "a.csv"
        file.write_text(HEADER + "1,t,allocate,0x10,4096,0\n")
        for arguments, said in ((("--peers", path / "none"), "--peers: expected a folder of peers, found"),
                                (("--peers", path, "--memory-limit", "1GiB"), "excludes")):
            result = cli.run("replay", file, *arguments)
            assert result.returncode == 2 and said in result.stderr, result
        document = json.loads(cli.run("replay", file, "--peers", path, "--json", "-").stdout)
        assert document["replay"][0]["peers"] == [] and document["peers"] == {}, document


def test_ctrl_c_ends_a_replay():
    folder, path = cli.temporary_folder()
    with folder:
        file = path / "long.csv"
        assert cli.run("record", "--workload", "multistream", "--seed", 1, "-o", file).returncode == 0
        document = cli.interrupted("replay", file, "--repeat", 1000)
        assert document["partial"] is True and len(document["replay"][0]["runs"]) < 1000, document


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
