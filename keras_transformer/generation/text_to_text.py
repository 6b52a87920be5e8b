"""Strings in, strings out: a trained encoder-decoder with its tokenizer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_transformer._threads import operations_at_once
from keras_transformer.errors import UserError
from keras_transformer.generation.alignment import Alignment, align_words
from keras_transformer.generation.constraints import NEVER
from keras_transformer.generation.decoder import Decoder
from keras_transformer.generation.interface import Hypotheses, SpecialIds
from keras_transformer.generation.options import GREEDY, SearchOptions, saved_search
from keras_transformer.generation.search import rows_per_sentence
from keras_transformer.predictors.loading import load_model, unless_damaged
from keras_transformer.text.byte_pieces import BytePieceTokenizer

BATCH_TOKENS = 4096
LENGTH_MULTIPLE = 8
TRY_LENGTHS = (32, 64)  # ids of an answer to make room for first; each takes a trace of its own


class Generated(NamedTuple):
    """An answer of a model.

    Attributes:
        text: the answer.
        score: what answers are ordered by: the log-probability, with the penalties of the search if there are any.
        pieces: number of its pieces.
        log_probability: sum of the natural logarithms of its pieces' probabilities, the end included.
        is_complete: whether it ended; otherwise it reached the limit of length.
        piece_log_probabilities: of each piece, and of the end if it was reached.
    """

    text: str
    score: float
    pieces: int
    log_probability: float = 0.0
    is_complete: bool = True
    piece_log_probabilities: tuple[float, ...] = ()


class Found(NamedTuple):
    """An answer in ids, without the end; see `Generated`."""

    ids: np.ndarray
    score: float
    log_probability: float
    is_complete: bool
    piece_log_probabilities: tuple[float, ...]


class TextToText:
    """A trained encoder-decoder that takes and gives strings.

    Args:
        model: a `Seq2SeqTransformer`.
        tokenizer: the tokenizer it was trained with.
        max_source_length: the most pieces of a source in training; longer texts are answered with a warning.
        max_target_length: the most ids of an answer, the end included.
        batch_tokens: the most source pieces, padding included, that are encoded at once.
        search: how to search where nothing else is said.
        cut: whether texts of more than `max_source_length` pieces are cut there, where nothing else is said.

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
        search: SearchOptions = GREEDY,
        cut: bool = False,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.max_source_length = max_source_length
        self.max_target_length = max_target_length
        self.batch_tokens = batch_tokens
        self.default_search = search
        self.cut = cut
        self._making = Lock()
        self._decoders: dict[tuple[SearchOptions, bool, int | None], Decoder] = {}

    def predict(self, texts: Sequence[str], cut: bool | None = None, search: SearchOptions | None = None) -> list[str]:
        """Returns the best answer to each text; see `generate`."""
        return [generated.text for generated in self.generate(texts, cut, search)]

    def generate(
        self, texts: Sequence[str], cut: bool | None = None, search: SearchOptions | None = None
    ) -> list[Generated]:
        """Returns the best answer to each text, in order; see `generate_n_best`."""
        return [answers[0] for answers in self.generate_n_best(texts, cut, search)]

    def generate_n_best(
        self, texts: Sequence[str], cut: bool | None = None, search: SearchOptions | None = None
    ) -> list[list[Generated]]:
        """Returns the answers to each text, in order, those to one text the best first.

        There are `search.n_best` of them, or fewer where the search found no more, or `search.samples`. An empty text
        has one empty answer.

        Args:
            texts: strings.
            cut: whether a text of more than `max_source_length` pieces is cut there. Otherwise it is answered whole,
                with a `UserWarning`, since the model was not trained on texts so long. Default: `self.cut`.
            search: how to search; default `self.default_search`.

        Raises:
            UserError: the search's options do not fit the model.

        Example:
            ```python
            translator.generate_n_best(["A man rides a bike."], search=SearchOptions(beam=5, n_best=3))
            ```
        """
        if isinstance(texts, str):
            raise TypeError("predict and generate take a list of strings; received one string")
        cut = self.cut if cut is None else cut
        search = self.default_search if search is None else search
        sources = self.tokenizer.encode_batch(texts)
        for number, ids in enumerate(sources, 1):
            if len(ids) > self.max_source_length:
                sources[number - 1] = ids[: self.max_source_length] if cut else ids
                done = "it was cut there" if cut else "the answer may be poor; cut=True (--cut) cuts it there"
                _warn(
                    f"text {number} has {len(ids)} pieces, more than the {self.max_source_length} this model was "
                    f"trained on: {done}"
                )
        found = self.search(sources, search)
        for number, answers in enumerate(found, 1):
            if not answers[0].is_complete and search.max_length is None and search.max_ratio is None:
                _warn(f"text {number} has an answer that reached its limit of pieces without an end")
        return [[self._generated(answer) for answer in answers] for answers in found]

    def search(
        self,
        sources: Sequence[np.ndarray],
        search: SearchOptions = GREEDY,
        track: Callable[[Sequence[list[int]]], Iterable[list[int]]] = iter,
    ) -> list[list[Found]]:
        """Returns the answers to sources in ids.

        Args:
            sources: ids of each source.
            search: how to search.
            track: goes through the batches, such as one that shows progress.
        """
        answers = [[Found(np.zeros(0, np.int32), 0.0, 0.0, True, ())]] * len(sources)
        batches = list(self._batches(sources, rows_per_sentence(search)))

        def answer(rows: list[int]) -> None:
            found = self._search_batch(self._padded([sources[row] for row in rows]), search)
            for place, row in enumerate(rows):
                answers[row] = self._answers(found, place)

        with _side_by_side() as each:
            for _ in zip(track(batches), each(answer, batches), strict=True):
                pass
        return answers

    def _search_batch(self, source_ids: np.ndarray, search: SearchOptions) -> Hypotheses:
        """Searches with little room for the answers first, and with all of it if that is not enough for one of them."""
        room = 2 * source_ids.shape[1]
        for length in (*(length for length in TRY_LENGTHS if room <= length < self.max_target_length), None):
            with self._making:  # one at a time is made; Keras traces it at its first batch
                decoder = self.decoder(search, True, length)
                decoder.make_predict_function()
            found = Hypotheses(**decoder.predict_on_batch(source_ids))
            if length is None or found.steps[0] < length:
                return found
        raise AssertionError("the whole length is tried last")

    def decoder(
        self, search: SearchOptions = GREEDY, token_scores: bool = False, try_length: int | None = None
    ) -> Decoder:
        """Returns the decoder for a way to search, with the log-probability of every piece or without; made once."""
        key = (search, token_scores, try_length)
        if key not in self._decoders:
            tokenizer = self.tokenizer
            forbidden = [word.encode() for word in search.forbidden]
            self._decoders[key] = Decoder(
                self.model,
                self.max_target_length,
                SpecialIds(tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id),
                search,
                tuple(i for i, piece in enumerate(tokenizer.pieces) if any(word in piece for word in forbidden)),
                tuple(int(i) for i in tokenizer.encode(search.prefix)),
                token_scores,
                try_length,
            )
        return self._decoders[key]

    def align(self, text: str, answer: str, heads: Sequence[tuple[int, int]] | None = None) -> Alignment:
        """Returns where the model looks in a text for each word of an answer.

        Args:
            text, answer: strings.
            heads: (block, head) of the cross-attention that is averaged, see `chosen_heads`; none means all heads of
                the last block.

        Raises:
            UserError: a text is empty, or there is no such head.
        """
        source, target = self.tokenizer.encode(text), self.tokenizer.encode(answer)
        if not len(source) or not len(target):
            raise UserError("an empty text has no alignment")
        inputs = np.concatenate([[self.tokenizer.start_id], target]).astype(np.int32)
        try:
            weights = np.asarray(self.model.alignment(source[None], inputs[None], heads))[0, : len(target)]
        except ValueError as error:
            raise UserError(str(error)) from None
        pieces = self.tokenizer.pieces
        return align_words(weights, [pieces[i] for i in source], [pieces[i] for i in target])

    def _answers(self, found: Hypotheses, place: int) -> list[Found]:
        """The hypotheses of one sentence; those that do not exist have a score that no other has."""
        answers = []
        for rank, score in enumerate(found.scores[place]):
            if rank == 0 or score > NEVER / 2:
                length = int(found.lengths[place, rank])
                ids, gains = found.ids[place, rank], found.token_log_probabilities[place, rank]
                is_complete = length < len(ids) and ids[length] == self.tokenizer.end_id
                taken = tuple(float(gain) for gain in gains[: length + is_complete])
                total = float(found.log_probabilities[place, rank])
                answers.append(Found(ids[:length], float(score), total, bool(is_complete), taken))
        return answers

    def _generated(self, found: Found) -> Generated:
        return Generated(self.tokenizer.decode(found.ids), found.score, len(found.ids), *found[2:])

    def _batches(self, sources: Sequence[np.ndarray], hypotheses: int = 1) -> Iterator[list[int]]:
        """Yields the rows with text in batches of like length, the longest first, so that memory fails early."""
        rows = sorted((i for i, ids in enumerate(sources) if len(ids)), key=lambda i: -len(sources[i]))
        while rows:
            count = max(1, self.batch_tokens // (_rounded(len(sources[rows[0]])) * hypotheses))
            yield rows[:count]
            rows = rows[count:]

    def _padded(self, sources: Sequence[np.ndarray]) -> np.ndarray:
        width = _rounded(max(map(len, sources)))
        padded = np.full((len(sources), width), self.tokenizer.pad_id, dtype=np.int32)
        for row, ids in zip(padded, sources, strict=True):
            row[: len(ids)] = ids
        return padded


@contextmanager
def _side_by_side() -> Iterator[Callable[..., Iterator[Any]]]:
    """Gives a `map` that works on several batches at once where TensorFlow's operations have one thread each."""
    workers = operations_at_once()
    if workers == 1:
        yield map
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool.map
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, what has not begun does not


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)


def _rounded(length: int) -> int:
    return -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE


def load(run: str | os.PathLike[str]) -> TextToText:
    """Loads the encoder-decoder of a run, in float32, with its best weights. No code from the run is executed.

    Raises:
        UserError: there is no such run, it has no weights yet, or a file of it is damaged.

    Example:
        ```python
        translator = keras_transformer.load("runs/mine")
        print(translator.predict(["A man rides a bike."]))
        ```
    """
    loaded = load_model(run, "Seq2SeqTransformer")

    def make() -> TextToText:
        limits = {name: int(loaded.config[name]) for name in ("max_source_length", "max_target_length")}
        search, cut = saved_search(loaded.config), loaded.config.get("cut") is True
        return TextToText(loaded.model, loaded.tokenizer, **limits, search=search, cut=cut)

    return unless_damaged(loaded.directory, make)
