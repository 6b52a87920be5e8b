"""Who takes part in `decode.py`: files made once and kept by content, what runs them, and how they take turns."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import keras_transformer
from keras_transformer.export.ctranslate2_model import BATCH, CTranslate2Model, spelled_vocabulary
from keras_transformer.export.precisions import FILES
from keras_transformer.export.progress import Steps

MAKE = Path(__file__).with_name("decode_make.py")
PARTS = ("export", "generation", "layers", "models", "text")  # of the package, what a file's content depends on
LEAST_SECONDS = 0.25  # of a turn: what is quicker runs several times in it


class Workshop:
    """Makes files when they are first asked for; they stay valid as long as the request and the code are the same.

    Args:
        folder: where they are kept.
        steps: told of the progress.
    """

    def __init__(self, folder: Path, steps: Steps) -> None:
        self.folder, self.steps = folder, steps
        self._code = _digest_of_code()

    def make(self, name: str, **request: Any) -> Path:
        """Returns the folder of what `decode_make.py` makes of a request."""
        given = json.dumps(request, sort_keys=True)
        weights = Path(request["model"]["run"], "model.weights.h5").read_bytes() if "run" in request["model"] else b""
        key = hashlib.sha256(self._code + given.encode() + weights).hexdigest()[:12]
        folder = self.folder / f"{name}-{key}"
        if not folder.is_dir():
            begun = folder.with_name(f"{folder.name}.begun")
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir(parents=True)
            with self.steps.step(f"making {name}"):
                _run_make(begun, given)
            begun.rename(folder)
        return folder

    def lite(self, name: str, model: Mapping[str, Any], searches: Sequence[Mapping[str, Any]], **request: Any) -> Path:
        """Returns the folder of the `.tflite` files of a model; see `decode_make.make_lite`."""
        request = {"limits": (256, 512), "precisions": ("int8",), **request}
        return self.make(name, kind="lite", model=model, searches=searches, **request)

    def peer(self, name: str, model: Mapping[str, Any], compute_type: str, threads: int = 1) -> Peer:
        """Returns CTranslate2 with a model's weights."""
        folder = self.make(f"{name}-ctranslate2", kind="ctranslate2", model=model)
        return Peer(CTranslate2Model(folder, compute_type=compute_type, threads=threads))


def _digest_of_code() -> bytes:
    """Kept files are of no use when the code that makes them has changed."""
    package = Path(keras_transformer.__file__).parent
    digest = hashlib.sha256(MAKE.read_bytes())
    for part in PARTS:
        for path in sorted((package / part).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


def _run_make(folder: Path, given: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(keras_transformer.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(MAKE), str(folder)], input=given, text=True, capture_output=True, env=environment
    )
    if done.returncode:
        sys.exit(f"{MAKE.name} failed on {given}:\n{done.stderr}")


class Lite:
    """A signature of a `.tflite` file, on one thread: bytes in, the steps of its search out.

    Args:
        interpreter: of the file.
        signature: its name.
    """

    def __init__(self, interpreter: Any, signature: str) -> None:
        self._runner = interpreter.get_signature_runner(signature)
        self._room = int(self._runner.get_input_details()["text"]["shape"][1])

    def __call__(self, source: bytes) -> int:
        text = np.zeros((1, self._room), np.uint8)
        text[0, : len(source)] = np.frombuffer(source, np.uint8)
        found = self._runner(text=text, text_length=np.array([len(source)], np.int32))
        found["text"][0, : found["text_length"][0]].tobytes()
        return int(found["steps"][0])


def open_lite(folder: Path, precision: str) -> Any:
    """Returns an interpreter of a file, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(folder / FILES[precision]), num_threads=1)


class Peer:
    """CTranslate2, on pieces that are ready or on bytes with our tokenizer in its NumPy form around it.

    Args:
        model: a model folder, loaded.
    """

    def __init__(self, model: CTranslate2Model) -> None:
        self.model = model
        self._spelled = spelled_vocabulary(model.tokenizer)

    def pieces(self, source: str | bytes) -> list[str]:
        """Returns what `translate` takes."""
        return [self._spelled[id] for id in self.model.tokenizer.encode(source)]

    def answer(self, source: bytes, beam: int) -> int:
        """Answers a text in bytes; returns the bytes of the answer."""
        return len(self.model.run([source], beam)[0][0].text)

    def translate(self, sources: Sequence[Sequence[str]], beam: int, length: int | None = None) -> int:
        """Searches, as `CTranslate2Model.run` does, and returns the steps of all answers together.

        Args:
            sources: pieces of each sentence.
            beam: 1 is greedy search.
            length: makes all answers so long; none means that they end by themselves.
        """
        results = self.model.translator.translate_batch(
            sources,
            max_batch_size=BATCH,
            beam_size=beam,
            length_penalty=0,
            max_input_length=0,
            max_decoding_length=length or self.model.max_target_pieces,
            min_decoding_length=length or 0,
            return_scores=True,  # as our files do
            return_end_token=True,
        )
        return sum(len(result.hypotheses[0]) for result in results)


def take_turns(
    contenders: Mapping[str, Callable[[], object]], repetitions: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Times contenders in turns, so that a drift of the machine's speed hits all alike.

    Returns the seconds of a call for each contender, one figure for each repetition. Who begins changes with it.
    """
    calls = {}
    for name, run in contenders.items():
        run()  # the first call allocates
        start = clock()
        run()
        calls[name] = max(1, math.ceil(LEAST_SECONDS / max(clock() - start, 1e-6)))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for _ in range(repetitions):
        for name in names:
            seconds[name].append(_seconds(contenders[name], calls[name], clock))
        names = [*names[1:], names[0]]
    return seconds


def _seconds(run: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    gc.collect()
    gc.disable()  # no contender pays for another's rubbish
    try:
        start = clock()
        for _ in range(calls):
            run()
        return (clock() - start) / calls
    finally:
        gc.enable()
