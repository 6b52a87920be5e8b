"""The byte-piece tokenizer: any bytes to piece ids and back, by greedy longest match. NumPy and the standard library.

The vocabulary is the whole tokenizer: 3 special ids, the 256 single bytes, and learned pieces of two bytes or more.
Because every byte is a piece there is no unknown token, and decoding gives back exactly the bytes that were encoded.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_transformer.errors import UserError

if TYPE_CHECKING:
    from keras_transformer.text.tensorflow_pieces import TensorFlowPieces

PAD_ID, START_ID, END_ID = 0, 1, 2
SPECIAL_PIECES = ("<pad>", "<start>", "<end>")
FIRST_BYTE_ID = len(SPECIAL_PIECES)
FIRST_LEARNED_ID = FIRST_BYTE_ID + 256
MAX_PIECE_BYTES = 24
FILE_NAME = "byte_pieces.json"
FILE_FORMAT = "keras-transformer byte pieces 1"

# Below this many bytes in a batch the reference is done before TensorFlow would be imported.
FAST_PATH_BYTES = 64 * 1024
# The fast path encodes about this many bytes at a time, which bounds its memory whatever the size of the corpus.
CHUNK_BYTES = 4 * 1024 * 1024


def text_bytes(text: str | bytes) -> bytes:
    """Returns the UTF-8 bytes of a text; bytes pass unchanged. A lone surrogate gives three bytes, not an error."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


class BytePieceTokenizer:
    """Encodes text by taking, again and again, the longest piece that the rest of its bytes begins with (MaxMatch).

    Ids: 0 is padding, 1 the start and 2 the end of a text (they stand for no bytes, and `encode` never gives them);
    3 to 258 are the 256 single bytes in order; 259 and up are the learned pieces.

    Args:
        pieces: the learned pieces, each of 2 to `MAX_PIECE_BYTES` (24) bytes, none twice. May be empty.

    Attributes:
        pieces: `list[bytes]`, the bytes of every id; `b""` for the three special ids.
        vocabulary_size: the number of ids.
        max_piece_bytes: the bytes of the longest piece.

    Raises:
        ValueError: a piece is too short, too long, or given twice.

    Example:
        ```python
        tokenizer = BytePieceTokenizer([b" a", b"man", b" man"])
        tokenizer.pieces_as_text(tokenizer.encode("A man"))  # ["A", " man"]
        ```

    Reference: Song et al., "Fast WordPiece Tokenization" (2021), https://arxiv.org/abs/2012.15524, on MaxMatch.
    """

    pad_id = PAD_ID
    start_id = START_ID
    end_id = END_ID

    def __init__(self, pieces: Sequence[bytes]) -> None:
        fault = _first_fault(pieces)
        if fault:
            raise ValueError(fault)
        self.pieces: list[bytes] = [b""] * FIRST_BYTE_ID + [bytes([byte]) for byte in range(256)] + list(pieces)
        self.vocabulary_size = len(self.pieces)
        self.max_piece_bytes = max(map(len, self.pieces))
        self._ids = {piece: id for id, piece in enumerate(self.pieces) if piece}

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary_size: int | None = None) -> BytePieceTokenizer:
        """Learns the pieces from texts; see `keras_transformer.text.learn_pieces`."""
        from keras_transformer.text.learn import learn_pieces

        return learn_pieces(texts, vocabulary_size)

    def encode(self, text: str | bytes) -> np.ndarray:
        """Returns the ids of a text, int32 `[pieces]`; no start or end id is added.

        This is the reference that `encode_batch`, `TensorFlowPieces` and `LitePieces` are held equal to.
        """
        data, ids, start = text_bytes(text), [], 0
        while start < len(data):
            end = min(start + self.max_piece_bytes, len(data))
            while data[start:end] not in self._ids:  # ends at one byte: every byte is a piece
                end -= 1
            ids.append(self._ids[data[start:end]])
            start = end
        return np.array(ids, np.int32)

    def encode_batch(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Returns `[encode(text) for text in texts]`, about ten times as fast for a corpus.

        From 64 KiB of text on it imports TensorFlow for the fast form; without TensorFlow it uses the reference.
        """
        data = [text_bytes(text) for text in texts]
        fast = self._tensorflow_form if sum(map(len, data)) >= FAST_PATH_BYTES else None
        if fast is None:
            return [self.encode(text) for text in data]
        return [ids for chunk in _chunks(data) for ids in fast.encode_to_numpy(chunk)]

    def decode_bytes(self, ids: Iterable[int] | np.ndarray) -> bytes:
        """Returns the exact bytes of a sequence of ids; special ids give nothing.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        return b"".join([self.pieces[id] for id in self._checked(ids)])

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Returns the text of a sequence of ids; bytes that are not UTF-8 become U+FFFD. Raises as `decode_bytes`."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def pieces_as_text(self, ids: Iterable[int] | np.ndarray) -> list[str]:
        r"""Returns each id's piece for people to read: `" man"`, `"<end>"`, `"\xe3\x81"`. Raises as `decode_bytes`."""
        return [
            SPECIAL_PIECES[id] if id < FIRST_BYTE_ID else self.pieces[id].decode("utf-8", "backslashreplace")
            for id in self._checked(ids)
        ]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `byte_pieces.json` into a folder, which is made if it is missing.

        The file is written beside and renamed: an interruption leaves an earlier file as it was. Its pieces are JSON
        strings of one character a byte (U+0000 to U+00FF), one to a line, in the order of their ids.

        Raises:
            UserError: the file cannot be written.
        """
        content = {
            "format": FILE_FORMAT,
            "special_pieces": SPECIAL_PIECES,
            "pieces": [piece.decode("latin-1") for piece in self.pieces[FIRST_BYTE_ID:]],
        }
        path = Path(folder) / FILE_NAME
        try:
            _replace_file(path, json.dumps(content, indent=0) + "\n")
        except OSError as error:
            raise UserError(
                f"{path}: the tokenizer cannot be written: {error.strerror}; make room there or give another folder"
            ) from error

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> BytePieceTokenizer:
        """Reads what `save` wrote.

        Raises:
            UserError: the file is missing, damaged, or not a tokenizer's.
        """
        path = Path(folder) / FILE_NAME
        pieces = _read_pieces(path)
        for byte in range(256):
            single = bytes([byte])
            if pieces[byte : byte + 1] != [single]:
                found = repr(pieces[byte]) if byte < len(pieces) else "nothing"
                raise _damaged(path, f"the single byte {single!r} is missing, {found} stands in its place")
        try:
            return cls(pieces[256:])
        except ValueError as error:
            raise _damaged(path, str(error)) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BytePieceTokenizer) and self.pieces == other.pieces

    def __hash__(self) -> int:
        return hash(tuple(self.pieces))

    def __repr__(self) -> str:
        return f"<BytePieceTokenizer: {self.vocabulary_size} ids, pieces of up to {self.max_piece_bytes} bytes>"

    def __reduce__(self) -> tuple[type[BytePieceTokenizer], tuple[list[bytes]]]:
        return type(self), (self.pieces[FIRST_LEARNED_ID:],)  # copies and pickles leave the TensorFlow form behind

    def _checked(self, ids: Iterable[int] | np.ndarray) -> list[int]:
        checked = [int(id) for id in ids]
        for id in checked:
            if not 0 <= id < self.vocabulary_size:
                raise ValueError(f"id {id} is outside the vocabulary, which has ids 0 to {self.vocabulary_size - 1}")
        return checked

    @functools.cached_property
    def _tensorflow_form(self) -> TensorFlowPieces | None:
        try:
            from keras_transformer.text.tensorflow_pieces import TensorFlowPieces
        except ImportError:
            return None
        return TensorFlowPieces(self)


def _replace_file(path: Path, text: str) -> None:
    """Writes a file beside and renames it, so that the path never holds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)  # gone already unless the writing failed


def _first_fault(pieces: Sequence[bytes]) -> str | None:
    """Says what is wrong with the first learned piece that cannot be one."""
    seen = set()
    for id, piece in enumerate(pieces, FIRST_LEARNED_ID):
        if not 2 <= len(piece) <= MAX_PIECE_BYTES:
            return f"piece {piece!r:.100} of id {id} has {len(piece)} bytes, learned pieces have 2 to {MAX_PIECE_BYTES}"
        if piece in seen:
            return f"piece {piece!r} of id {id} stands in the vocabulary twice"
        seen.add(piece)
    return None


def _read_pieces(path: Path) -> list[bytes]:
    """Returns the pieces in a tokenizer's file, the single bytes included, as yet unchecked."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; give the folder that a tokenizer was saved in") from error
    except OSError as error:
        raise UserError(f"{path}: the tokenizer cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"not valid JSON ({error})") from error
    found = content.get("format") if isinstance(content, dict) else content
    if found != FILE_FORMAT:
        raise UserError(f"{path}: not a tokenizer's file: expected format {FILE_FORMAT!r}, found {found!r:.60}")
    pieces = content.get("pieces")
    if not isinstance(pieces, list):
        raise _damaged(path, f"'pieces' is {pieces!r:.60}, not a list of strings")
    for id, piece in enumerate(pieces, FIRST_BYTE_ID):
        if not isinstance(piece, str) or any(character > "\xff" for character in piece):
            raise _damaged(path, f"piece {piece!r:.60} of id {id} is not a string of characters U+0000 to U+00FF")
    return [piece.encode("latin-1") for piece in pieces]


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path}: damaged tokenizer: {fault}; copy the file again from the run that wrote it")


def _chunks(data: list[bytes]) -> Iterator[list[bytes]]:
    """Cuts a list of texts into runs of about `CHUNK_BYTES`."""
    chunk: list[bytes] = []
    size = 0
    for text in data:
        chunk.append(text)
        size += len(text)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
