"""Runs a model folder of CTranslate2 (https://github.com/OpenNMT/CTranslate2): strings in, strings out.

Needs neither TensorFlow nor Keras: CTranslate2 searches, `BytePieceTokenizer` in its NumPy form does the text.

**How pieces are spelled.** CTranslate2 names the ids of a vocabulary by strings; our pieces are bytes. The special ids
are spelled by name (`<pad>`, `<start>`, `<end>`). A piece is spelled as GPT-2 spells bytes: one printable character for
each, ASCII for itself, `Ġ` for the space: `b" man"` is `Ġman`, `b"\\xc3\\xa4"` is `Ã¤`. A piece that would look like a
special id gets a `▁` before it, which no byte is spelled with. So no two ids have one spelling, and each can be undone.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_transformer.errors import UserError, close_matches
from keras_transformer.export.limits import SOURCE_CUT, TARGET_UNFINISHED
from keras_transformer.export.text_artifact import Answer, RawAnswer
from keras_transformer.text.byte_pieces import FIRST_BYTE_ID, SPECIAL_PIECES, BytePieceTokenizer, text_bytes
from keras_transformer.text.learn import _byte_characters

CONFIG, VOCABULARY = "config.json", "shared_vocabulary.json"
BATCH = 32

_CHARACTERS = _byte_characters()
_BYTES = {character: byte for byte, character in enumerate(_CHARACTERS)}
_ESCAPE = "▁"


def spell(piece: bytes) -> str:
    """Returns the string that stands for a piece in CTranslate2; see the module.

    Example:
        ```python
        spell(b" man")  # "Ġman"
        ```
    """
    spelled = "".join(_CHARACTERS[byte] for byte in piece)
    return _ESCAPE + spelled if spelled in SPECIAL_PIECES else spelled


def unspell(spelled: str) -> bytes:
    """Returns the piece that a string stands for; a special id's name stands for no bytes.

    Raises:
        ValueError: it has a character that no byte is spelled with.
    """
    if spelled in SPECIAL_PIECES:
        return b""
    try:
        return bytes(_BYTES[character] for character in spelled.removeprefix(_ESCAPE))
    except KeyError as error:
        raise ValueError(f"{spelled!r} spells no piece: no byte is spelled {error.args[0]!r}") from None


def spelled_vocabulary(tokenizer: BytePieceTokenizer) -> list[str]:
    """Returns the spelling of every id of a tokenizer."""
    return [*SPECIAL_PIECES, *map(spell, tokenizer.pieces[FIRST_BYTE_ID:])]


def import_ctranslate2() -> Any:
    """Returns the library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import ctranslate2
    except ImportError:
        raise UserError(
            "CTranslate2 is not installed; install it in the project's folder with: pip install '.[ctranslate2]'"
        ) from None
    return ctranslate2


class CTranslate2Model:
    """A model folder that `save_ctranslate2` or `export_ctranslate2` made.

    Args:
        folder: with `model.bin`, `config.json` and `shared_vocabulary.json`.
        tokenizer: the tokenizer it was trained with; default the one in the folder.
        compute_type: "float32", "int8" (weights are quantised as they are loaded) or another that CTranslate2 has.
        threads: threads that share one batch.

    Attributes:
        translator: the `ctranslate2.Translator`, for what is not offered here.
        max_source_pieces: longer sources are cut there: the model has no positions for more.
        max_target_pieces: the most pieces of an answer, the end included.

    Raises:
        UserError: CTranslate2 is not installed, the folder is not such a folder or of another tokenizer, or an
            argument is wrong.

    Example:
        ```python
        model = CTranslate2Model("dist/mine", compute_type="int8")
        model.predict(["A man rides a bike."])  # ["Ein Mann fährt Fahrrad."]
        ```
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        tokenizer: BytePieceTokenizer | None = None,
        compute_type: str = "float32",
        threads: int = 1,
    ) -> None:
        ctranslate2 = import_ctranslate2()
        folder = Path(folder)
        if threads < 1:
            raise UserError(f"threads is {threads}, expected 1 or more")
        known = ["auto", "default", *sorted(ctranslate2.get_supported_compute_types("cpu"))]
        if compute_type not in known:
            raise UserError(
                f"no compute type {compute_type!r} on this processor.{close_matches(compute_type, known)} "
                f"There are: {', '.join(known)}."
            )
        config, vocabulary = _read_json(folder / CONFIG), _read_json(folder / VOCABULARY)
        try:
            self.max_source_pieces = int(config["max_source_pieces"])
            self.max_target_pieces = int(config["max_target_pieces"])
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{folder / CONFIG} names no limits: export the run again") from None
        self.tokenizer = BytePieceTokenizer.load(folder) if tokenizer is None else tokenizer
        self._spelled = spelled_vocabulary(self.tokenizer)
        self._ids = {spelled: id for id, spelled in enumerate(self._spelled)}
        if vocabulary != self._spelled:
            raise UserError(
                f"{folder / VOCABULARY} is not of this tokenizer; give the one that the run was trained with"
            )
        try:
            self.translator = ctranslate2.Translator(
                str(folder), device="cpu", compute_type=compute_type, inter_threads=1, intra_threads=threads
            )
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{folder} is damaged or no model folder: {str(error).strip().partition(chr(10))[0]}"
            ) from None

    def predict(self, texts: Sequence[str], beam: int = 1, length_penalty: float = 0.0) -> list[str]:
        """Returns the best answer to each text; see `generate`."""
        return [answers[0].text for answers in self.generate(texts, beam, 1, length_penalty)]

    def generate(
        self, texts: Sequence[str], beam: int = 1, n_best: int = 1, length_penalty: float = 0.0
    ) -> list[list[Answer]]:
        """Returns the `n_best` answers to each text, the best first. An empty text has one empty answer.

        A text of more than `max_source_pieces` is cut there, with a `UserWarning`.

        Args:
            texts: strings.
            beam: hypotheses that are followed at once; 1 is greedy search.
            n_best: answers to each text, at most `beam`.
            length_penalty: a. CTranslate2 divides a score by the number of pieces (the end included) to the power of
                a; that is not the GNMT formula, nor are its searches with a other than 0 exact: they end when `beam`
                hypotheses have ended.

        Raises:
            UserError: `beam` or `n_best` is out of range.
        """
        if isinstance(texts, str):
            raise TypeError("predict and generate take a list of strings; received one string")
        found = self.run([text_bytes(text) for text in texts], beam, n_best, length_penalty)
        for number, answers in enumerate(found, 1):
            if answers[0].status & SOURCE_CUT:
                warnings.warn(
                    f"text {number} has more than the {self.max_source_pieces} pieces that this model takes: it was "
                    "cut there",
                    UserWarning,
                    stacklevel=2,
                )
        return [[Answer(raw.text.decode("utf-8", "replace"), *raw[1:]) for raw in answers] for answers in found]

    def run(
        self, sources: Sequence[bytes], beam: int = 1, n_best: int = 1, length_penalty: float = 0.0
    ) -> list[list[RawAnswer]]:
        """The same in bytes, without a warning."""
        if not 1 <= n_best <= beam:
            raise UserError(f"n_best is {n_best} and beam {beam}, expected n_best from 1 to beam")
        ids = [self.tokenizer.encode(source) for source in sources]
        rows = [row for row in range(len(ids)) if len(ids[row])]
        results = self.translator.translate_batch(
            [[self._spelled[id] for id in ids[row][: self.max_source_pieces]] for row in rows],
            max_batch_size=BATCH,
            beam_size=beam,
            num_hypotheses=n_best,
            length_penalty=length_penalty,
            max_input_length=0,
            max_decoding_length=self.max_target_pieces,
            min_decoding_length=0,
            return_scores=True,
            return_end_token=True,
        )
        answers = [[RawAnswer(b"", 0.0, 0)] for _ in sources]
        for row, result in zip(rows, results, strict=True):
            cut = SOURCE_CUT if len(ids[row]) > self.max_source_pieces else 0
            answers[row] = [self._answer(*found, cut) for found in zip(result.hypotheses, result.scores, strict=True)]
        return answers

    def _answer(self, spelled: Sequence[str], score: float, status: int) -> RawAnswer:
        ids = [self._ids[name] for name in spelled]
        unfinished = 0 if ids[-1] == self.tokenizer.end_id else TARGET_UNFINISHED
        return RawAnswer(self.tokenizer.decode_bytes(ids), float(score), status | unfinished)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path.parent} is no model folder of CTranslate2: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}; export the run again") from None
