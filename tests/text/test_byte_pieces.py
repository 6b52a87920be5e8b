"""The reference: greedy longest match, exact decoding, and the file it is kept in."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.errors import UserError
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.text.byte_pieces import FAST_PATH_BYTES, FILE_NAME, MAX_PIECE_BYTES

FEW_BYTES = st.lists(st.sampled_from(b"ab#\x00\xff"), max_size=30).map(bytes)
VOCABULARIES = st.lists(FEW_BYTES.filter(lambda piece: 2 <= len(piece) <= 6), unique=True, max_size=12)


def test_ids_stand_where_the_contract_puts_them() -> None:
    tokenizer = BytePieceTokenizer([b" man", b"\xc3\xa9"])
    assert (tokenizer.pad_id, tokenizer.start_id, tokenizer.end_id) == (0, 1, 2)
    assert tokenizer.pieces[:3] == [b"", b"", b""]
    assert tokenizer.pieces[3:259] == [bytes([byte]) for byte in range(256)]
    assert tokenizer.pieces[259:] == [b" man", b"\xc3\xa9"]
    assert tokenizer.vocabulary_size == 261
    assert tokenizer.max_piece_bytes == 4
    assert BytePieceTokenizer([]).max_piece_bytes == 1


def test_encode_takes_the_longest_piece() -> None:
    tokenizer = BytePieceTokenizer([b"ab", b"abcd", b"bc", b"cde"])
    ids = tokenizer.encode("abcabcde")
    assert ids.dtype == np.int32
    # "abc" is no piece, so the walk through "abcd" has to fall back to "ab".
    assert [tokenizer.pieces[id] for id in ids] == [b"ab", b"c", b"abcd", b"e"]
    assert tokenizer.encode("").dtype == np.int32
    assert tokenizer.encode("").shape == (0,)


@settings(deadline=None)
@given(FEW_BYTES, VOCABULARIES)
def test_encode_equals_an_ordered_alternation(data: bytes, learned: list[bytes]) -> None:
    tokenizer = BytePieceTokenizer(learned)
    longest_first = sorted(tokenizer.pieces[3:], key=len, reverse=True)
    expected = re.findall(b"|".join(map(re.escape, longest_first)), data)
    assert [tokenizer.pieces[id] for id in tokenizer.encode(data)] == expected


@settings(deadline=None)
@given(st.text() | st.binary())
def test_decoding_gives_back_what_was_encoded(tokenizer: BytePieceTokenizer, data: str | bytes) -> None:
    ids = tokenizer.encode(data)
    assert not np.isin(ids, [0, 1, 2]).any()
    if isinstance(data, str):
        assert tokenizer.decode(ids) == data
    else:
        assert tokenizer.decode_bytes(ids) == data


def test_text_and_its_bytes_are_one(tokenizer: BytePieceTokenizer, sentences: list[str]) -> None:
    for line in sentences:
        np.testing.assert_array_equal(tokenizer.encode(line), tokenizer.encode(line.encode()))


def test_decode_skips_special_ids_and_mends_broken_characters() -> None:
    tokenizer = BytePieceTokenizer([b"\xc3\xa9t", b"\xe3\x81"])
    assert tokenizer.decode([1, 259, 2, 0, 0]) == "ét"
    assert tokenizer.decode([260, 100]) == "\ufffda"
    assert tokenizer.decode_bytes(np.array([260, 100], np.int64)) == b"\xe3\x81a"
    assert tokenizer.decode_bytes([]) == b""


def test_a_lone_surrogate_is_encoded_and_decoded_without_an_error() -> None:
    tokenizer = BytePieceTokenizer([])
    assert tokenizer.decode_bytes(tokenizer.encode("a\ud800b")) == b"a\xed\xa0\x80b"
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffd\ufffd\ufffdb"


def test_pieces_as_text_shows_every_kind_of_piece() -> None:
    tokenizer = BytePieceTokenizer([b" man", "é".encode(), b"\xe3\x81"])
    assert tokenizer.pieces_as_text([1, 259, 260, 261, 2, 0]) == ["<start>", " man", "é", r"\xe3\x81", "<end>", "<pad>"]


@pytest.mark.parametrize("id", [-1, 260, 2**40])
@pytest.mark.parametrize("method", ["decode", "decode_bytes", "pieces_as_text"])
def test_an_id_outside_the_vocabulary_is_named(method: str, id: int) -> None:
    tokenizer = BytePieceTokenizer([b"ab"])
    with pytest.raises(ValueError, match=f"^id {id} is outside the vocabulary, which has ids 0 to 259$"):
        getattr(tokenizer, method)([100, id])


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([b"ab", b"c"], "piece b'c' of id 260 has 1 bytes, learned pieces have 2 to 24"),
        ([b""], "piece b'' of id 259 has 0 bytes, learned pieces have 2 to 24"),
        ([b"x" * 25], f"piece {b'x' * 25!r} of id 259 has 25 bytes, learned pieces have 2 to 24"),
        ([b"ab", b"cd", b"ab"], "piece b'ab' of id 261 stands in the vocabulary twice"),
    ],
)
def test_pieces_that_cannot_be_are_refused(pieces: list[bytes], message: str) -> None:
    assert MAX_PIECE_BYTES == 24
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        BytePieceTokenizer(pieces)


def test_equality_copies_and_pickles(tokenizer: BytePieceTokenizer) -> None:
    assert tokenizer == BytePieceTokenizer(tokenizer.pieces[259:])
    assert hash(tokenizer) == hash(BytePieceTokenizer(tokenizer.pieces[259:]))
    assert tokenizer != BytePieceTokenizer(tokenizer.pieces[260:])
    assert tokenizer != tokenizer.pieces
    assert copy.deepcopy(tokenizer) == tokenizer == pickle.loads(pickle.dumps(tokenizer))


def test_a_small_batch_equals_the_reference(tokenizer: BytePieceTokenizer, sentences: list[str]) -> None:
    for text, ids in zip(sentences, tokenizer.encode_batch(sentences), strict=True):
        np.testing.assert_array_equal(ids, tokenizer.encode(text))
    assert tokenizer.encode_batch([]) == []


def test_a_large_batch_is_encoded_where_there_is_no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_transformer.text.tensorflow_pieces", None)
    tokenizer = BytePieceTokenizer([b"abab"])
    (ids,) = tokenizer.encode_batch([b"ab" * FAST_PATH_BYTES])
    assert ids.tolist() == [259] * (FAST_PATH_BYTES // 2)


def test_neither_tensorflow_nor_tokenizers_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from keras_transformer import text; from keras_transformer.text import learn_pieces\n"
        "assert 'BytePieceTokenizer' in dir(text)\n"
        "tokenizer = text.BytePieceTokenizer([b'ab']); tokenizer.encode_batch(['abc'])\n"
        "assert not {'tensorflow', 'tensorflow_text', 'keras', 'tokenizers'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_save_and_load(tokenizer: BytePieceTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "run" / "tokenizer")
    assert BytePieceTokenizer.load(tmp_path / "run" / "tokenizer") == tokenizer
    assert os.listdir(tmp_path / "run" / "tokenizer") == [FILE_NAME]


def test_the_file_is_plain_data_one_character_a_byte(tmp_path: Path) -> None:
    BytePieceTokenizer([b"ab", b"\x00\xff"]).save(tmp_path)
    content = json.loads((tmp_path / FILE_NAME).read_text())
    assert content["format"] == "keras-transformer byte pieces 1"
    assert content["special_pieces"] == ["<pad>", "<start>", "<end>"]
    assert content["pieces"] == [*map(chr, range(256)), "ab", "\x00\xff"]


def test_a_save_that_fails_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BytePieceTokenizer([b"ab"]).save(tmp_path)

    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(
        UserError, match=f"{FILE_NAME}: the tokenizer cannot be written: No space left on device; make room"
    ):
        BytePieceTokenizer([b"cd"]).save(tmp_path)
    assert os.listdir(tmp_path) == [FILE_NAME]
    assert BytePieceTokenizer.load(tmp_path) == BytePieceTokenizer([b"ab"])


def test_an_interruption_before_the_rename_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BytePieceTokenizer([b"ab"]).save(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        BytePieceTokenizer([b"cd"]).save(tmp_path)
    assert os.listdir(tmp_path) == [FILE_NAME]
    assert BytePieceTokenizer.load(tmp_path) == BytePieceTokenizer([b"ab"])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError,
        match=r"file/byte_pieces.json: the tokenizer cannot be written: (File exists|Not a directory); make room",
    ):
        BytePieceTokenizer([]).save(tmp_path / "file")


def test_load_where_nothing_was_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"byte_pieces.json: no such file; give the folder that a tokenizer was saved"):
        BytePieceTokenizer.load(tmp_path)


def test_load_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(UserError, match=r"byte_pieces.json: the tokenizer cannot be read: Is a directory$"):
        BytePieceTokenizer.load(tmp_path)


FORMAT = "keras-transformer byte pieces 1"
BYTES = [chr(byte) for byte in range(256)]
MEND = "; copy the file again from the run that wrote it"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": "keras', "damaged tokenizer: not valid JSON (Unterminated string"),
        (b"\xff\xfe\x00", "damaged tokenizer: not valid JSON ("),
        (b"[" * 100_000, "damaged tokenizer: not valid JSON ("),
        ([1, 2], f"not a tokenizer's file: expected format '{FORMAT}', found [1, 2]"),
        ({"format": "wordpiece"}, f"not a tokenizer's file: expected format '{FORMAT}', found 'wordpiece'"),
        ({"format": FORMAT}, f"damaged tokenizer: 'pieces' is None, not a list of strings{MEND}"),
        ({"format": FORMAT, "pieces": "ab"}, f"damaged tokenizer: 'pieces' is 'ab', not a list of strings{MEND}"),
        (
            {"format": FORMAT, "pieces": [*BYTES, 7]},
            f"damaged tokenizer: piece 7 of id 259 is not a string of characters U+0000 to U+00FF{MEND}",
        ),
        (
            {"format": FORMAT, "pieces": [*BYTES, "aĀ"]},
            f"damaged tokenizer: piece 'aĀ' of id 259 is not a string of characters U+0000 to U+00FF{MEND}",
        ),
        (
            {"format": FORMAT, "pieces": [*BYTES[:65], *BYTES[66:], "ab"]},
            rf"damaged tokenizer: the single byte b'A' is missing, b'B' stands in its place{MEND}",
        ),
        (
            {"format": FORMAT, "pieces": BYTES[:255]},
            rf"damaged tokenizer: the single byte b'\xff' is missing, nothing stands in its place{MEND}",
        ),
        (
            {"format": FORMAT, "pieces": [*BYTES, "ab", "cd", "ab"]},
            f"damaged tokenizer: piece b'ab' of id 261 stands in the vocabulary twice{MEND}",
        ),
        (
            {"format": FORMAT, "pieces": [*BYTES, "a"]},
            f"damaged tokenizer: piece b'a' of id 259 has 1 bytes, learned pieces have 2 to 24{MEND}",
        ),
    ],
)
def test_load_says_what_is_wrong_with_the_file(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(UserError, match=f"^{re.escape(f'{path}: {message}')}") as raised:
        BytePieceTokenizer.load(tmp_path)
    assert "\n" not in str(raised.value)
