#!/usr/bin/env python3
"""Sharded checkpoints: what their index says, and every way in which index and shards can disagree."""

import json
import os
import struct
import sys

import cli

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
WEIGHTS = {"a": FIRST, "c": SECOND, "b": FIRST}


def f32(*values):
    return "F32", [len(values)], struct.pack(f"<{len(values)}f", *values)


def checkpoint(path, weights=None, text=None):
    """A right one, but for what is given: its weight_map, or its text."""
    path.mkdir(parents=True, exist_ok=True)
    cli.write_safetensors(path / FIRST, {"b": f32(1, 2), "a": f32(3)})
    cli.write_safetensors(path / SECOND, {"c": f32(4, 5, 6)})
    index = {"metadata": {"total_size": 24}, "weight_map": WEIGHTS if weights is None else weights}
    (path / INDEX).write_bytes(json.dumps(index).encode() if text is None else text)
    return path / INDEX


def rows_of(*paths):
    return [(row["file"].rsplit("/", 1)[-1], row["name"], row["sum"]) for row in cli.run_json(*paths)["tensors"]]


ALL = [(FIRST, "b", 3), (FIRST, "a", 3), (SECOND, "c", 15)]


def test_an_index_stands_for_its_shards():
    folder, path = cli.temporary_folder()
    with folder:
        index = checkpoint(path)
        assert rows_of(index) == ALL
        os.chdir(path)
        assert rows_of(INDEX) == ALL, "by its bare name"
        os.chdir("/")


def test_folders():
    folder, path = cli.temporary_folder()
    with folder:
        checkpoint(path / "m")
        assert rows_of(path / "m") == ALL, "not once more without the index"
        assert rows_of(str(path / "m") + "/") == ALL
        assert rows_of(path) == ALL, "found below"
        cli.write_safetensors(path / "m" / "adapter.safetensors", {"z": f32(7)})
        assert rows_of(path) == [("adapter.safetensors", "z", 7)] + ALL
        checkpoint(path / "n")
        assert rows_of(path) == [("adapter.safetensors", "z", 7)] + ALL + ALL, "two checkpoints"


def test_two_indexes_in_a_folder():
    folder, path = cli.temporary_folder()
    with folder:
        checkpoint(path)
        cli.write_safetensors(path / "half-1.safetensors", {"h": f32(8)})
        (path / "model.safetensors.index.fp16.json").write_text(json.dumps({"weight_map": {"h": "half-1.safetensors"}}))
        assert rows_of(path) == [("half-1.safetensors", "h", 8)] + ALL


def test_a_cache_of_links():
    folder, path = cli.temporary_folder()
    with folder:
        snapshot = path / "snapshots" / "main"
        snapshot.mkdir(parents=True)
        checkpoint(path / "blobs")
        for number, name in enumerate((INDEX, FIRST, SECOND)):
            (path / "blobs" / name).rename(path / "blobs" / f"{number}")
            (snapshot / name).symlink_to(f"../../blobs/{number}")
        assert rows_of(snapshot / INDEX) == ALL
        assert rows_of(snapshot) == ALL


# what is wrong -> (weight_map or text, whose name the line must say, what else)
BAD = {
    "absolute": ({**WEIGHTS, "c": "/etc/x.safetensors"}, INDEX, "within the index's folder"),
    "dots": ({**WEIGHTS, "c": "../x.safetensors"}, INDEX, "\"../x.safetensors\""),
    "zero": ({**WEIGHTS, "c": "x\0.safetensors"}, INDEX, "without a zero byte"),
    "format": ({**WEIGHTS, "c": "pytorch_model.bin"}, INDEX, "a pickle, which is refused"),
    "missing": ({**WEIGHTS, "c": "model-3.safetensors"}, INDEX, "\"model-3.safetensors\""),
    "not_in_its_shard": ({**WEIGHTS, "d": SECOND}, INDEX, "tensor \"d\" in shard"),
    "not_listed": ({"a": FIRST, "c": SECOND}, FIRST, "\"b\", which it does not list"),
    "listed_elsewhere": ({**WEIGHTS, "a": SECOND}, FIRST, "\"a\", which it lists for"),
    "tensor_twice": (b'{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}', INDEX, "a second \"a\""),
    "key_twice": (b'{"weight_map":{"a":"x.safetensors"},"weight_map":{}}', INDEX, "a second \"weight_map\""),
    "not_json": (b"weights", INDEX, "text that is not"),
    "cut_off": (b'{"weight_map":{"a":"x.safe', INDEX, "text that is not"),
    "nested_arrays": (b'{"x":' + b"[" * 1_000_000, INDEX, "nested at most 64 deep"),
    "nested_objects": (b'{"metadata":' + b'{"a":' * 300_000, INDEX, "nested at most 64 deep"),
    "no_object": (b"[]", INDEX, "a JSON object"),
    "no_weights": (b'{"metadata":{}}', INDEX, "a weight_map, found none"),
    "no_tensors": (b'{"weight_map":{}}', INDEX, "tensors in weight_map, found none"),
    "weights_of_the_wrong_kind": (b'{"weight_map":["a"]}', INDEX, "an object as weight_map"),
    "shard_of_the_wrong_kind": (b'{"weight_map":{"a":1}}', INDEX, "found 1"),
    "metadata_of_the_wrong_kind": (b'{"metadata":"x","weight_map":{}}', INDEX, "an object as metadata"),
    "empty": (b"", INDEX, "an empty file"),
    "control": ({"\x1b[2J\n": "../x"}, INDEX, "\\x1b[2J\\x0a"),
}


def test_bad_indexes():
    folder, path = cli.temporary_folder()
    with folder:
        for what, (content, name, says) in BAD.items():
            weights, text = (None, content) if isinstance(content, bytes) else (content, None)
            index = checkpoint(path / what, weights, text)
            cli.check_refused(index, says, name=name)
            cli.check_refused(path / what, says, "--json", "-", name=name)


def test_a_huge_index():
    folder, path = cli.temporary_folder()
    with folder:
        index = checkpoint(path)
        os.truncate(index, 100_000_001)
        cli.check_refused(index, "at most 100000000 bytes")


def test_a_link_out_of_the_folder():
    folder, path = cli.temporary_folder()
    with folder:
        index = checkpoint(path / "m")
        (path / "m" / SECOND).rename(path / "elsewhere.safetensors")
        (path / "m" / SECOND).symlink_to("../elsewhere.safetensors")
        cli.check_refused(index, "a link out of it")


def test_a_damaged_shard():
    folder, path = cli.temporary_folder()
    with folder:
        index = checkpoint(path)
        os.truncate(path / SECOND, 20)
        cli.check_refused(index, "header", name=SECOND)


if __name__ == "__main__":
    cli.main(sys.modules[__name__])
