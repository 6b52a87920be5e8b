"""The process in which LiteRT's own profiler runs: it is reached through its C interface, which Python's has no way to.

python -m keras_transformer.export._profile FILE SIGNATURE RUNS < TEXTS.json

Prints the profiler's summary of all runs: `RUNS` of each text, base64 in a JSON list. Functions and types are those of
litert/c/*.h (https://github.com/google-ai-edge/LiteRT); a LiteRT without them ends this process with a line.
"""

from __future__ import annotations

import base64
import ctypes
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

CPU = 1  # LiteRtHwAccelerators
READ_OR_WRITE = 2  # LiteRtTensorBufferLockMode
RANKED_TENSOR_TYPE = 256  # bytes; LiteRtRankedTensorType has 72
SIDES = ("Input", "Output")

Pointer = ctypes.c_void_p
Size = ctypes.c_size_t


class Library:
    """LiteRT's C interface: every function returns a status, and what it makes goes where its last argument points."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("ai_edge_litert")
        folder = Path(package.origin or "").parent if package else Path()
        found = [path for path in folder.glob("libLiteRt.*") if path.is_file()]
        if not found:
            raise SystemExit(f"no libLiteRt in {folder}")
        self._library = ctypes.CDLL(str(found[0]))
        self._kept: list[Any] = []

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function; a failure ends the process."""
        function = getattr(self._library, name, None)
        if function is None:
            raise SystemExit(f"this LiteRT has no {name}")
        status = function(*arguments)
        if status != 0:
            raise SystemExit(f"{name} failed with status {status}")

    def make(self, name: str, *arguments: Any) -> Pointer:
        """Calls a function that makes something, and returns that."""
        made = Pointer()
        self.call(name, *arguments, ctypes.byref(made))
        return made

    def number(self, name: str, *arguments: Any) -> int:
        """Calls a function that counts something."""
        counted = Size()
        self.call(name, *arguments, ctypes.byref(counted))
        return counted.value

    def text(self, name: str, *arguments: Any) -> str:
        """Calls a function that gives a string."""
        found = ctypes.c_char_p()
        self.call(name, *arguments, ctypes.byref(found))
        return (found.value or b"").decode()

    def add_option(self, options: Pointer, group: str, line: str) -> None:
        """Adds a line of TOML to a group of options."""
        payload = ctypes.create_string_buffer(f"{line}\n".encode())
        nothing = ctypes.CFUNCTYPE(None, Pointer)(lambda _: None)  # the payload stays ours
        self._kept += [payload, nothing]
        added = self.make("LiteRtCreateOpaqueOptions", group.encode(), payload, nothing)
        self.call("LiteRtAddOpaqueOptions", options, added)


class Profiled:
    """A signature of a file, loaded on the processor with one thread, and its profiler."""

    def __init__(self, path: str, key: str) -> None:
        self.library = lib = Library()
        self.environment = lib.make("LiteRtCreateEnvironment", 0, None)
        self.model = lib.make("LiteRtCreateModelFromFile", self.environment, path.encode())
        options = lib.make("LiteRtCreateOptions")
        lib.call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        lib.add_option(options, "runtime_options_string", "enable_profiling = true")
        lib.add_option(options, "xnnpack", "num_threads = 1")
        self.compiled = lib.make("LiteRtCreateCompiledModel", self.environment, self.model, options)
        self.profiler = lib.make("LiteRtCompiledModelGetProfiler", self.compiled)
        self.number, self.signature = self._find(key)
        self.names: dict[str, int] = {}
        self.buffers = {side: self._buffers(side) for side in SIDES}

    def run(self, source: bytes) -> None:
        """Runs the signature on a text."""
        room = self._size(self.names["text"])
        self._write("text", source[:room].ljust(room, b"\0"))
        self._write("text_length", len(source).to_bytes(4, sys.byteorder))
        given = [part for side in SIDES for part in (Size(len(self.buffers[side])), self.buffers[side])]
        self.library.call("LiteRtRunCompiledModel", self.compiled, Size(self.number), *given)

    def summary(self) -> str:
        """Returns what the profiler has to say."""
        return self.library.text("LiteRtGetProfileSummary", self.profiler, self.compiled)

    def _find(self, key: str) -> tuple[int, Pointer]:
        lib = self.library
        for number in range(lib.number("LiteRtGetNumModelSignatures", self.model)):
            signature = lib.make("LiteRtGetModelSignature", self.model, Size(number))
            if lib.text("LiteRtGetSignatureKey", signature) == key:
                return number, signature
        raise SystemExit(f"no signature {key}")

    def _buffers(self, side: str) -> Any:
        """Returns an array of buffers for the inputs, or for the outputs."""
        lib = self.library
        made = []
        for place in range(lib.number(f"LiteRtGetNumSignature{side}s", self.signature)):
            tensor = lib.make(f"LiteRtGetSignature{side}TensorByIndex", self.signature, Size(place))
            kind = ctypes.create_string_buffer(RANKED_TENSOR_TYPE)
            lib.call("LiteRtGetRankedTensorType", tensor, kind)
            where = (self.compiled, Size(self.number), Size(place))
            needs = lib.make(f"LiteRtGetCompiledModel{side}BufferRequirements", *where)
            made.append(lib.make("LiteRtCreateManagedTensorBufferFromRequirements", self.environment, kind, needs))
            if side == "Input":
                self.names[lib.text("LiteRtGetSignatureInputName", self.signature, Size(place))] = place
        return (Pointer * len(made))(*(buffer.value for buffer in made))

    def _size(self, place: int) -> int:
        return self.library.number("LiteRtGetTensorBufferPackedSize", Pointer(self.buffers["Input"][place]))

    def _write(self, name: str, data: bytes) -> None:
        buffer = Pointer(self.buffers["Input"][self.names[name]])
        address = Pointer()
        self.library.call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), READ_OR_WRITE)
        ctypes.memmove(address, data, len(data))
        self.library.call("LiteRtUnlockTensorBuffer", buffer)


def main(path: str, signature: str, runs: str) -> None:
    texts = [base64.b64decode(text) for text in json.load(sys.stdin)]
    profiled = Profiled(path, signature)
    for text in texts:  # what is done once is none of the profile
        profiled.run(text)
    profiled.library.call("LiteRtStartProfiler", profiled.profiler)
    for text in texts * int(runs):
        profiled.run(text)
    profiled.library.call("LiteRtStopProfiler", profiled.profiler)
    sys.stdout.write(profiled.summary())


if __name__ == "__main__":
    main(*sys.argv[1:])
