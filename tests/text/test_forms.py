"""The three forms of the tokenizer give the same ids and the same bytes, in Python, in a SavedModel and in TFLite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.text import BytePieceTokenizer, LitePieces, TensorFlowPieces
from keras_transformer.text.byte_pieces import CHUNK_BYTES

S = 48  # bytes of text that the graphs below take
T = 20  # ids that they take
B = 32  # bytes that they give

CONVERT = """
import sys
import tensorflow as tf
converter = tf.lite.TFLiteConverter.from_saved_model(sys.argv[1], signature_keys=["encode", "decode", "decode_whole"])
open(sys.argv[2], "wb").write(converter.convert())
"""

Encode = Callable[[bytes, int], tuple[np.ndarray, int]]
Decode = Callable[[list[int], int, bool], tuple[bytes, int]]


@pytest.fixture(scope="module")
def fast(tokenizer: BytePieceTokenizer) -> TensorFlowPieces:
    return TensorFlowPieces(tokenizer)


@pytest.fixture(scope="module")
def signatures(tokenizer: BytePieceTokenizer) -> dict[str, Any]:
    """The TFLite form as the functions that the file is made from."""
    lite = LitePieces(tokenizer)

    @tf.function(input_signature=[tf.TensorSpec([S], tf.uint8, "text"), tf.TensorSpec([], tf.int32, "length")])
    def encode(text: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        ids, count = lite.encode(text, length)
        return {"ids": ids, "count": count}

    def decoder(whole_pieces: bool) -> Any:
        @tf.function(input_signature=[tf.TensorSpec([T], tf.int32, "ids"), tf.TensorSpec([], tf.int32, "count")])
        def decode(ids: tf.Tensor, count: tf.Tensor) -> dict[str, tf.Tensor]:
            text, length = lite.decode(ids, count, B, whole_pieces)
            return {"text": text, "length": length, "byte_count": lite.byte_count(ids, count)}

        return decode

    return {"encode": encode, "decode": decoder(False), "decode_whole": decoder(True)}


@pytest.fixture(scope="module")
def flatbuffer(signatures: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same functions in one `.tflite` file; converted once, in a process of its own because `convert` leaks."""
    folder = tmp_path_factory.mktemp("lite")
    module = tf.Module()
    module.functions = signatures
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures)
    command = [sys.executable, "-c", CONVERT, str(folder / "saved_model"), str(folder / "model.tflite")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return (folder / "model.tflite").read_bytes()


@pytest.fixture(scope="module", params=["function", "tflite"])
def lite(request: pytest.FixtureRequest) -> dict[str, Callable[..., dict[str, np.ndarray]]]:
    """The three signatures, once as TensorFlow functions and once as LiteRT runs them from the file."""
    if request.param == "function":
        functions = request.getfixturevalue("signatures")
        return {
            name: lambda function=function, **inputs: {k: v.numpy() for k, v in function(**inputs).items()}
            for name, function in functions.items()
        }
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=request.getfixturevalue("flatbuffer"), num_threads=1)
    return {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}


def filled(data: bytes, filler: int) -> np.ndarray:
    """A text in a buffer of S bytes whose rest is not text."""
    return np.frombuffer(data[:S].ljust(S, bytes([filler])), np.uint8)


def texts(tokenizer: BytePieceTokenizer) -> st.SearchStrategy[bytes]:
    """Random bytes, random text, and pieces of the vocabulary strung together with either."""
    anything = st.binary(max_size=4) | st.text(max_size=2).map(str.encode)
    pieces = st.sampled_from(tokenizer.pieces[259:])
    mixed = st.lists(pieces | pieces.map(lambda piece: piece[:-1]) | anything, max_size=16).map(b"".join)
    return mixed | st.binary(max_size=2 * S) | st.text(max_size=S).map(str.encode)


EDGES = [b"", b"\x00", b"\x00" * S, b" ", b"\xff" * S, b"##", b"#" * S, "ȀȁȂȃ".encode(), b"<unk>", b"\r\n\t\x7f\x80"]


def test_real_text_in_every_form(
    tokenizer: BytePieceTokenizer, fast: TensorFlowPieces, lite: dict[str, Any], sentences: list[str]
) -> None:
    # Each sentence whole, and cut anywhere: at the limit, one beyond it, inside a character.
    data = [
        *EDGES,
        *(line.encode()[start:end] for line in sentences for start in (0, 7) for end in (20, S, S + 1, 999)),
    ]
    rows = fast.encode(tf.constant(data))
    for text, row in zip(data, rows, strict=True):
        np.testing.assert_array_equal(row.numpy(), tokenizer.encode(text))
        check_lite(tokenizer, lite, text)
    assert rows.dtype == tf.int32
    assert fast.decode(rows.to_tensor()).numpy().tolist() == data  # padding gives nothing


def check_lite(tokenizer: BytePieceTokenizer, lite: dict[str, Any], text: bytes) -> None:
    """An over-long text is its first S bytes; its first T pieces then come back as far as B bytes allow."""
    given = text[:S]
    expected = tokenizer.encode(given)
    for filler in (0, 0x61, 0xFF):
        encoded = lite["encode"](text=filled(text, filler), length=np.int32(len(given)))
        assert encoded["count"] == len(expected)
        np.testing.assert_array_equal(encoded["ids"], np.pad(expected, (0, S - len(expected))))
    count = min(len(expected), T)
    check_decode(tokenizer, lite, encoded["ids"][:T].tolist(), count)


def check_decode(tokenizer: BytePieceTokenizer, lite: dict[str, Any], ids: list[int], count: int) -> None:
    pieces = [tokenizer.pieces[id] for id in ids[:count]]
    whole = b""
    for piece in pieces:
        if len(whole + piece) > B:
            break
        whole += piece
    for name, expected in (("decode", b"".join(pieces)[:B]), ("decode_whole", whole)):
        decoded = lite[name](ids=np.array(ids, np.int32), count=np.int32(count))
        assert decoded["text"].dtype == np.uint8
        assert decoded["text"].tobytes() == expected.ljust(B, b"\x00")
        assert decoded["length"] == len(expected)
        assert decoded["byte_count"] == sum(map(len, pieces))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_text_in_every_form(
    tokenizer: BytePieceTokenizer, fast: TensorFlowPieces, lite: dict[str, Any], data: st.DataObject
) -> None:
    batch = data.draw(st.lists(texts(tokenizer), max_size=4))
    rows = fast.encode(tf.constant(batch, tf.string))
    assert rows.nrows() == len(batch)
    for text, row in zip(batch, rows, strict=True):
        np.testing.assert_array_equal(row.numpy(), tokenizer.encode(text))
        check_lite(tokenizer, lite, text)
    assert fast.decode(rows.to_tensor()).numpy().tolist() == batch


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_ids_are_decoded_alike(
    tokenizer: BytePieceTokenizer, fast: TensorFlowPieces, lite: dict[str, Any], data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, 2) | st.integers(0, tokenizer.vocabulary_size - 1), min_size=T, max_size=T))
    check_decode(tokenizer, lite, ids, data.draw(st.integers(0, T)))
    assert fast.decode(tf.constant([ids])).numpy().tolist() == [tokenizer.decode_bytes(ids)]


def test_lengths_and_ids_outside_their_range_are_moved_into_it(
    tokenizer: BytePieceTokenizer, lite: dict[str, Any]
) -> None:
    text = filled(b"Two young, White males", 0x20)
    for length, used in ((-1, 0), (-(2**31), 0), (S + 1, S), (2**31 - 1, S)):
        expected = tokenizer.encode(text.tobytes()[:used])
        encoded = lite["encode"](text=text, length=np.int32(length))
        assert encoded["count"] == len(expected)
        np.testing.assert_array_equal(encoded["ids"][: len(expected)], expected)

    last = tokenizer.pieces[-1]
    ids = np.array([-1, -(2**31), 2**31 - 1, tokenizer.vocabulary_size, 68] + [0] * (T - 5), np.int32)
    for count, expected in ((-3, b""), (3, last), (2**31 - 1, last + last + b"A")):
        decoded = lite["decode"](ids=ids, count=np.int32(count))
        assert decoded["text"].tobytes() == expected[:B].ljust(B, b"\x00")
        assert decoded["byte_count"] == len(expected)


FEW_BYTES = st.lists(st.sampled_from(b"ab#\x00\xff"), max_size=24).map(bytes)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(FEW_BYTES.filter(lambda piece: 2 <= len(piece) <= 7), unique=True, max_size=12),
    st.lists(FEW_BYTES, min_size=1, max_size=3),
)
def test_the_forms_agree_for_any_vocabulary(learned: list[bytes], batch: list[bytes]) -> None:
    tokenizer = BytePieceTokenizer(learned)
    rows, lite = TensorFlowPieces(tokenizer).encode(tf.constant(batch)), LitePieces(tokenizer)
    for text, row in zip(batch, rows, strict=True):
        expected = tokenizer.encode(text)
        np.testing.assert_array_equal(row.numpy(), expected)
        ids, count = lite.encode(tf.constant(np.frombuffer(text.ljust(24, b"a"), np.uint8)), tf.constant(len(text)))
        np.testing.assert_array_equal(ids.numpy()[: int(count)], expected)
        assert lite.decode(ids, count, 24)[0].numpy().tobytes() == text.ljust(24, b"\x00")


def test_a_batch_of_nothing(fast: TensorFlowPieces) -> None:
    rows = fast.encode(tf.constant([], tf.string))
    assert (rows.nrows(), rows.dtype) == (0, tf.int32)
    assert fast.decode(tf.zeros([0, 5], tf.int32)).shape == [0]
    assert fast.decode(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


def test_an_id_outside_the_vocabulary_is_an_error_in_tensorflow(
    tokenizer: BytePieceTokenizer, fast: TensorFlowPieces
) -> None:
    with tf.device("CPU"), pytest.raises(tf.errors.InvalidArgumentError, match=rf"{tokenizer.vocabulary_size} is not"):
        fast.decode(tf.constant([[tokenizer.vocabulary_size]]))


def test_a_corpus_takes_the_fast_form_in_chunks(
    tokenizer: BytePieceTokenizer, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = []
    encode_to_numpy = TensorFlowPieces.encode_to_numpy
    monkeypatch.setattr(
        TensorFlowPieces,
        "encode_to_numpy",
        lambda self, texts: chunks.append(len(texts)) or encode_to_numpy(self, texts),
    )
    long = ("\n".join(sentences) * (CHUNK_BYTES // 1000))[: CHUNK_BYTES // 2]
    texts = ["", long, *sentences, b"\x00\xff", long, "last"]
    encoded = tokenizer.encode_batch(texts)
    assert len(chunks) >= 2
    assert sum(chunks) == len(encoded) == len(texts)
    expected = [tokenizer.encode(text) for text in texts[:-2]]
    for ids, reference in zip(encoded, [*expected, expected[1], tokenizer.encode("last")], strict=True):
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, reference)


def test_a_saved_model_holds_the_tensorflow_form_once(
    tokenizer: BytePieceTokenizer, sentences: list[str], tmp_path: Path
) -> None:
    module = tf.Module()
    module.pieces = TensorFlowPieces(tokenizer)
    module.encode = tf.function(
        lambda texts: module.pieces.encode(texts).to_tensor(), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    module.round_trip = tf.function(
        lambda texts: module.pieces.decode(module.encode(texts)), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.round_trip})

    loaded = tf.saved_model.load(str(tmp_path))
    data = [line.encode() for line in sentences] + EDGES
    assert loaded.round_trip(tf.constant(data)).numpy().tolist() == data
    assert loaded.signatures["serving_default"](texts=tf.constant(data))["output_0"].numpy().tolist() == data
    np.testing.assert_array_equal(loaded.encode(tf.constant(data)), module.encode(tf.constant(data)))
    constants = module.pieces._matcher._model.shape[0] + sum(len(piece) + 2 for piece in tokenizer.pieces)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < constants + 30_000


def test_the_file_has_built_in_operators_only_and_its_vocabulary_once(
    tokenizer: BytePieceTokenizer, flatbuffer: bytes
) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    refused = {schema.BuiltinOperator.CUSTOM, schema.BuiltinOperator.WHILE, schema.BuiltinOperator.VAR_HANDLE}
    assert not refused & set(codes)
    operators = {graph.name.decode(): len(graph.operators) for graph in model.subgraphs}
    # A step of the walk is two operators, a doubling of the chain three, one of the search four.
    assert operators["encode"] <= 2 * tokenizer.max_piece_bytes + 3 * (S - 1).bit_length() + 30
    assert operators["decode"] <= 4 * (T - 1).bit_length() + 25
    trie = LitePieces(tokenizer)._trie
    constants = 9 * len(trie.base) + 5 * tokenizer.vocabulary_size + sum(map(len, tokenizer.pieces))
    assert len(flatbuffer) < constants + 40_000


def test_a_size_that_is_not_static_is_refused(tokenizer: BytePieceTokenizer) -> None:
    lite = LitePieces(tokenizer)
    encode = tf.function(lite.encode, autograph=False)
    with pytest.raises(ValueError, match=r"^text must be a vector of static size, received shape \(None,\)$"):
        encode.get_concrete_function(tf.TensorSpec([None], tf.uint8), tf.TensorSpec([], tf.int32))
    with pytest.raises(ValueError, match=r"^text must be a vector of static size, received shape \(1, 48\)$"):
        encode.get_concrete_function(tf.TensorSpec([1, S], tf.uint8), tf.TensorSpec([], tf.int32))
    with pytest.raises(ValueError, match=r"^ids must be a vector of static size, received shape \(1, 4\)$"):
        lite.decode(tf.zeros([1, 4], tf.int32), tf.constant(4), B)
