"""Speed and size of the byte-piece tokenizer's forms, with BPE as the `tokenizers` library applies it beside them.

    python benchmarks/tokenizer.py [TEXT] [--vocabulary-size N] [--bytes N]

TEXT is a UTF-8 file, gzipped or not, one text a line; this repository's README when left out. Every figure is for one
thread. The figures to reach: under 0.5 ms for encoding and decoding 256 bytes in TFLite together, and at least 10 MB/s
for the TensorFlow form.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["RAYON_NUM_THREADS"] = "1"  # the `tokenizers` library; read when it is imported

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_transformer.data.files import read_lines
from keras_transformer.errors import UserError
from keras_transformer.text import BytePieceTokenizer, LitePieces, TensorFlowPieces
from keras_transformer.text.learn import DEFAULT_VOCABULARY_SIZE, train_bpe

README = Path(__file__).resolve().parent.parent / "README.md"
LEAST_BYTES = 2_000_000  # shorter texts are repeated up to this length to be timed
CONVERT = """
import sys
import tensorflow as tf
converter = tf.lite.TFLiteConverter.from_saved_model(sys.argv[1], signature_keys=["encode", "decode"])
open(sys.argv[2], "wb").write(converter.convert())
"""


def main() -> None:
    arguments = parse_arguments()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    lines = [line for line in read_lines(arguments.text) if line]
    tokenizer = BytePieceTokenizer.learn(lines, arguments.vocabulary_size)
    size = sum(len(line.encode()) for line in lines)
    print(f"text                 {arguments.text}: {size / 1e6:.2f} MB in {len(lines):,} lines")
    print(f"vocabulary           {tokenizer.vocabulary_size:,} ids, longest piece {tokenizer.max_piece_bytes} bytes")
    report_pieces_and_speed(tokenizer, lines, size)
    report_lite(tokenizer, "\n".join(lines).encode(), arguments.bytes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", default=README, help="UTF-8 text, one text a line, may be gzipped")
    parser.add_argument("--vocabulary-size", type=int, help=f"default: up to {DEFAULT_VOCABULARY_SIZE}")
    parser.add_argument("--bytes", type=int, default=256, help="bytes of text in TFLite (default: 256)")
    return parser.parse_args()


def report_pieces_and_speed(tokenizer: BytePieceTokenizer, lines: list[str], size: int) -> None:
    """Prints the pieces that greedy matching and BPE's merges give with one vocabulary, and how fast each form is."""
    bpe = train_bpe(lines, tokenizer.vocabulary_size)
    greedy = sum(map(len, tokenizer.encode_batch(lines)))
    merged = sum(len(encoding.ids) for encoding in bpe.encode_batch_fast(lines))
    print(f"pieces               {greedy:,} by greedy longest match, {merged:,} by BPE's merges: {greedy / merged:.4f}")

    repeats = -(-LEAST_BYTES // size)
    strings, megabytes = tf.constant(lines * repeats), size * repeats / 1e6
    pieces = TensorFlowPieces(tokenizer)
    encode = tf.function(pieces.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    fast = megabytes / best(lambda: encode(strings).values.numpy())
    peer = megabytes / best(lambda: bpe.encode_batch_fast(lines * repeats))
    reference = size / 1e6 / best(lambda: [tokenizer.encode(line) for line in lines], runs=2)
    print(f"TensorFlow form      {fast:.1f} MB/s on one core (figure: at least 10)")
    print(f"tokenizers' BPE      {peer:.1f} MB/s on one core; the TensorFlow form is {fast / peer:.1f} times as fast")
    print(f"Python reference     {reference:.1f} MB/s")


def best(run: Callable[[], object], runs: int = 5) -> float:
    """Returns the processor time in seconds of the fastest of some runs, after one that does not count.

    With one thread this is the time on the clock of an idle machine, and nearly the same on a busy one.
    """
    run()
    times = []
    for _ in range(runs):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def report_lite(tokenizer: BytePieceTokenizer, text: bytes, capacity: int) -> None:
    """Prints the median time of one call over different windows of the text, Python's share of the call included."""
    flatbuffer = convert(tokenizer, capacity)
    interpreter = Interpreter(model_content=flatbuffer, num_threads=1)
    encode, decode = (interpreter.get_signature_runner(name) for name in ("encode", "decode"))
    windows = np.frombuffer((text * (capacity * 2 // len(text) + 2))[: capacity * 200], np.uint8)
    times: dict[str, list[float]] = {"encode": [], "decode": []}
    for number in range(2000):
        window = windows[number * 97 % (len(windows) - capacity) :][:capacity]
        started = time.perf_counter()
        encoded = encode(text=window, length=np.int32(capacity))
        middle = time.perf_counter()
        decoded = decode(ids=encoded["ids"], count=encoded["count"])
        times["decode"].append(time.perf_counter() - middle)
        times["encode"].append(middle - started)
        assert decoded["text"].tobytes() == window.tobytes()
    encoding, decoding = (statistics.median(times[name]) * 1e3 for name in ("encode", "decode"))
    both = f"encode {encoding:.3f} + decode {decoding:.3f} = {encoding + decoding:.3f} ms"
    print(f"TFLite               {both} for {capacity} bytes on one thread (figure: under 0.5 for 256)")
    print(f"TFLite file          {len(flatbuffer) / 1e6:.2f} MB, both signatures and the vocabulary")


def convert(tokenizer: BytePieceTokenizer, capacity: int) -> bytes:
    """Returns a `.tflite` file with `encode` and `decode`; converted in a process of its own because it leaks."""
    lite = LitePieces(tokenizer)
    text, ids, scalar = (
        tf.TensorSpec(*spec) for spec in (([capacity], tf.uint8), ([capacity], tf.int32), ([], tf.int32))
    )

    @tf.function(input_signature=[text, scalar])
    def encode(text: tf.Tensor, length: tf.Tensor) -> dict[str, Any]:
        return dict(zip(("ids", "count"), lite.encode(text, length), strict=True))

    @tf.function(input_signature=[ids, scalar])
    def decode(ids: tf.Tensor, count: tf.Tensor) -> dict[str, Any]:
        return dict(zip(("text", "length"), lite.decode(ids, count, capacity), strict=True))

    with tempfile.TemporaryDirectory() as folder:
        saved, path = f"{folder}/saved_model", Path(folder) / "model.tflite"
        tf.saved_model.save(lite, saved, signatures={"encode": encode, "decode": decode})
        subprocess.run([sys.executable, "-c", CONVERT, saved, str(path)], check=True, capture_output=True)
        return path.read_bytes()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
