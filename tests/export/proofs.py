"""What must hold of every artifact folder, whatever its task."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flatbuffers.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from keras_transformer.export.limits import NUMBER_HELD, SOURCE_CUT
from keras_transformer.export.verify_folder import MANIFEST, manifest_digest

SCHEMA = Path(__file__).resolve().parents[2] / "export" / "manifest.schema.json"
FEW, MANY = 200, 10_000  # inputs of a fuzz test
INT32 = 2**31
BROKEN = [
    b"\x80",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x9a",
    b"\xff",
    b"\xfe\xff",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf8\x88",
]

Check = Callable[[dict[str, np.ndarray]], None]


def faults_of(manifest: Any) -> list[str]:
    """Returns in what a manifest is not as its schema says."""
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return [error.message for error in validator.iter_errors(manifest)]


def run_verify(folder: Path) -> tuple[int, list[str]]:
    """Runs a folder's verify.py as who has NumPy and ai-edge-litert alone; returns exit status and lines."""
    code = (
        "import runpy, sys\n"
        "for name in ('keras_transformer', 'tensorflow', 'keras', 'yaml', 'rich'): sys.modules[name] = None\n"
        "runpy.run_path('verify.py', run_name='__main__')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def reseal(folder: Path, **files: Any) -> None:
    """Writes JSON files anew and makes the manifest true to them, as if they had been so from the start."""
    from keras_transformer.export.manifest import list_files

    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"] = list_files(folder)
    (folder / MANIFEST).write_text(json.dumps({**manifest, "sha256": manifest_digest(manifest)}), encoding="utf-8")


# Fuzzing


def given_texts(room: int) -> st.SearchStrategy[tuple[bytes, int]]:
    """Draws what fills the whole of a file's text, and any text_length to go with it."""
    whole = [
        st.binary(min_size=room, max_size=room),
        st.sampled_from([b"\0" * room, b"\xff" * room, b" " * room, b"\xf0\x9f\x9a\xb2" * room]),
        st.integers(0, 2**32).map(
            lambda seed: random.Random(seed).randbytes(room)
        ),  # bytes as they come, not the simplest
        st.lists(st.sampled_from(BROKEN) | st.text(max_size=4).map(str.encode), max_size=room).map(b"".join),
        st.text(min_size=1).map(lambda text: text.encode() * room),
    ]
    lengths = st.integers(0, room) | st.integers(-INT32, INT32 - 1) | st.sampled_from([room + 1, -1, -INT32, INT32 - 1])
    return st.tuples(st.one_of(whole).map(lambda text: text[:room].ljust(room, b"\xaa")), lengths)


def fuzz(runner: Any, check: Check, examples: int) -> None:
    """Runs a signature from a text on inputs of all kinds.

    Whatever comes, there is an answer, its numbers are finite, its status says what was held to its range, and what
    stands behind the text has no effect; `check` knows the rest.
    """
    room = int(runner.get_input_details()["text"]["shape"][1])

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(given_texts(room))
    def one(drawn: tuple[bytes, int]) -> None:
        text, length = drawn
        found = call(runner, text, length)
        for name, values in found.items():
            assert np.isfinite(values).all(), name
        status, held = int(found["status"][0]), min(max(length, 0), room)
        assert bool(status & SOURCE_CUT) == (length > room)
        assert bool(status & NUMBER_HELD) == (length < 0)
        check(found)
        again = call(runner, text[:held].ljust(room, b"\x55"), length)
        assert all(np.array_equal(values, again[name]) for name, values in found.items())

    one()


def call(runner: Any, text: bytes, length: int) -> dict[str, np.ndarray]:
    """Calls a signature with just these tensors; what it gives is copied, as it lies in the file's own memory."""
    found = runner(text=np.frombuffer(text, np.uint8)[None], text_length=np.array([length], np.int32))
    return {name: np.array(values) for name, values in found.items()}


def fuzz_every_signature(interpreter: Any, examples: int) -> None:
    """Runs every signature on tensors of any content: an answer each time, numbers that are finite, lengths that fit.

    Numbers that stand for something are any there are; those of a state that only another signature gives are random.
    """
    runners = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(runners)), st.integers(0, 2**32 - 1))
    def one(name: str, seed: int) -> None:
        draw = np.random.default_rng(seed)
        inputs = runners[name].get_input_details()
        found = runners[name](**{key: any_tensor(key, spec, draw) for key, spec in inputs.items()})
        for key, values in found.items():
            assert np.isfinite(values).all(), (name, key)
        for key, room in (("text_length", "text"), ("text_pieces", "text_ends"), ("answer_pieces", "answer_ends")):
            if key in found and room in found:
                assert 0 <= found[key].min() <= found[key].max() <= found[room].shape[1], (name, key)

    one()


def any_tensor(name: str, spec: Any, draw: np.random.Generator) -> np.ndarray:
    """Draws a tensor for an input."""
    shape, dtype = tuple(spec["shape"]), spec["dtype"]
    if dtype == np.uint8:
        return draw.integers(0, 256, shape, np.uint8)
    if dtype == np.int32:
        special = np.array([0, 1, -1, 7, 40, 200, 5000, INT32 - 1, -INT32], np.int64)
        return draw.choice(special, shape).astype(np.int32)
    if name == "temperature":
        return draw.choice(np.array([0, -1, 1, 1e-30, 1e30, np.nan, np.inf, -np.inf], np.float32), shape)
    return draw.normal(0, 2, shape).astype(np.float32)


# Metadata


class Metadata:
    """A table of a `.tflite` file's metadata, read by the numbers of its fields; see `associated.Writer`."""

    def __init__(self, data: bytes, place: int) -> None:
        self._table = Table(data, place)

    @classmethod
    def of(cls, model: Any) -> Metadata:
        """Returns the root of the metadata of a `ModelT`."""
        (entry,) = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
        data = model.buffers[entry.buffer].data.tobytes()
        assert data[4:8] == b"M001"
        return cls(data, int.from_bytes(data[:4], "little"))

    def text(self, field: int) -> str | None:
        place = self._table.Offset(4 + 2 * field)
        return self._table.String(place + self._table.Pos).decode() if place else None

    def tables(self, field: int) -> list[Metadata]:
        place = self._table.Offset(4 + 2 * field)
        if not place:
            return []
        first, count = self._table.Vector(place), self._table.VectorLen(place)
        return [Metadata(self._table.Bytes, self._table.Indirect(first + 4 * number)) for number in range(count)]


def check_metadata(model: Any, manifest: dict[str, Any]) -> Metadata:
    """A file describes every tensor of every signature, in the order of its graphs; returns the root."""
    root = Metadata.of(model)
    assert (root.text(0), root.text(7)) == (manifest["task"], "1.0.0")
    assert [file.text(0) for file in root.tables(6)] == ["settings.json"]
    graphs = root.tables(3)
    assert len(graphs) == len(model.subgraphs)
    for definition in model.signatureDefs:
        name, graph = definition.signatureKey.decode(), graphs[definition.subgraphIndex]
        assert graph.text(0) == name
        for side, field in (("inputs", 2), ("outputs", 3)):
            described = {tensor.text(0): tensor.text(1) for tensor in graph.tables(field)}
            wanted = manifest["signatures"][name][side]
            assert described == {tensor: spec["meaning"] for tensor, spec in wanted.items()}
            places = {item.tensorIndex: item.name.decode() for item in getattr(definition, side)}
            numbers = getattr(model.subgraphs[definition.subgraphIndex], side)
            assert list(described) == [places[number] for number in numbers]
    return root
