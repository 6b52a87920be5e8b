"""Strings in, strings out: a trained encoder-decoder with its tokenizer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np

from keras_transformer.errors import UserError
from keras_transformer.generation.decoder import GreedyDecoder
from keras_transformer.text.byte_pieces import BytePieceTokenizer

BATCH_TOKENS = 4096
LENGTH_MULTIPLE = 8


class Generated(NamedTuple):
    """What a model answers to one text.

    Attributes:
        text: the answer.
        score: sum of the natural logarithms of its pieces' probabilities, the end included.
        pieces: number of its pieces.
    """

    text: str
    score: float
    pieces: int


class TextToText:
    """A trained encoder-decoder that takes and gives strings.

    Args:
        model: a `Seq2SeqTransformer`.
        tokenizer: the tokenizer it was trained with.
        max_source_length: the most pieces of a source in training; longer texts are answered with a warning.
        max_target_length: the most pieces of an answer.
        batch_tokens: the most source pieces, padding included, that are encoded at once.

    Attributes:
        model: an ordinary `keras.Model`.

    Example:
        ```python
        translator = keras_transformer.load("runs/mine")
        translator.predict(["A man rides a bike."])  # ["Ein Mann fährt Fahrrad."]
        ```
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: BytePieceTokenizer,
        max_source_length: int = 128,
        max_target_length: int = 128,
        batch_tokens: int = BATCH_TOKENS,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.max_source_length = max_source_length
        self.max_target_length = max_target_length
        self.batch_tokens = batch_tokens
        self.decoder = GreedyDecoder(
            model,
            max_target_length,
            start_id=tokenizer.start_id,
            end_id=tokenizer.end_id,
            pad_id=tokenizer.pad_id,
        )

    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns an answer to each text; see `generate`."""
        return [generated.text for generated in self.generate(texts, cut=cut)]

    def generate(self, texts: Sequence[str], cut: bool = False) -> list[Generated]:
        """Returns an answer with its score to each text, in order. An empty text has an empty answer.

        Args:
            texts: strings.
            cut: whether a text of more than `max_source_length` pieces is cut there. Otherwise it is answered whole,
                with a `UserWarning`, since the model was not trained on texts so long.
        """
        if isinstance(texts, str):
            raise TypeError("predict and generate take a list of strings; received one string")
        sources = self.tokenizer.encode_batch(texts)
        for i, ids in enumerate(sources):
            if len(ids) > self.max_source_length:
                sources[i] = ids[: self.max_source_length] if cut else ids
                done = "it was cut there" if cut else "the answer may be poor; cut=True (--cut) cuts it there"
                warnings.warn(
                    f"text {i + 1} has {len(ids)} pieces, more than the {self.max_source_length} this model was "
                    f"trained on: {done}",
                    UserWarning,
                    stacklevel=2,
                )
        answers = [Generated("", 0.0, 0)] * len(sources)
        for rows in self._batches(sources):
            found = self.decoder.predict_on_batch(self._padded([sources[row] for row in rows]))
            for row, ids, length, score in zip(rows, found["ids"], found["lengths"], found["scores"], strict=False):
                answers[row] = Generated(self.tokenizer.decode(ids[:length]), float(score), int(length))
        return answers

    def _batches(self, sources: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """Yields the rows with text in batches of like length, the longest first, so that memory fails early."""
        rows = sorted((i for i, ids in enumerate(sources) if len(ids)), key=lambda i: -len(sources[i]))
        while rows:
            count = max(1, self.batch_tokens // _rounded(len(sources[rows[0]])))
            yield rows[:count]
            rows = rows[count:]

    def _padded(self, sources: Sequence[np.ndarray]) -> np.ndarray:
        width = _rounded(max(map(len, sources)))
        padded = np.full((len(sources), width), self.tokenizer.pad_id, dtype=np.int32)
        for row, ids in zip(padded, sources, strict=True):
            row[: len(ids)] = ids
        return padded


def _rounded(length: int) -> int:
    return -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE


def load(run: str | os.PathLike[str]) -> TextToText:
    """Loads the model of a run directory, in float32, with its best weights. No code from the run is executed.

    Raises:
        UserError: there is no such run, it has no weights yet, or a file of it is damaged.

    Example:
        ```python
        translator = keras_transformer.load("runs/mine")
        print(translator.predict(["A man rides a bike."]))
        ```
    """
    import yaml

    from keras_transformer import models
    from keras_transformer.training.run_directory import RunDirectory

    directory = RunDirectory(run)
    directory.check_trained()
    saved = directory.read_json(directory.model)
    try:
        config = yaml.safe_load(directory.config.read_text(encoding="utf-8"))
        limits = {name: int(config[name]) for name in ("max_source_length", "max_target_length")}
        if saved["class"] != "Seq2SeqTransformer":
            raise ValueError(f"model.json names the class {saved['class']!r}")
        model = models.Seq2SeqTransformer(**saved["config"], dtype="float32")
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{directory.path} is damaged: {type(error).__name__}: {_first_line(error)}") from None
    tokenizer = BytePieceTokenizer.load(directory.tokenizer)
    if tokenizer.vocabulary_size != model.vocabulary_size:
        raise UserError(
            f"{directory.path} is damaged: the tokenizer has {tokenizer.vocabulary_size} pieces, "
            f"the model {model.vocabulary_size}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns of weights that it does not find, and goes on
            model.load_weights(directory.weights)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise UserError(f"{directory.weights} is damaged or of another model: {_first_line(error)}") from None
    return TextToText(model, tokenizer, **limits)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
