"""The whole translator as graphs of static shapes: UTF-8 bytes in, UTF-8 bytes out, batch 1.

Legend: S bytes of source and places for its pieces, T pieces of target, B bytes of target, N answers, G key-value
heads, D width per head, V vocabulary size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from keras_transformer.export.limits import (
    ID_HELD,
    NUMBER_HELD,
    SOURCE_CUT,
    SOURCE_LONG,
    TARGET_CUT,
    TARGET_UNFINISHED,
    Limits,
)
from keras_transformer.export.saved_model import Function, weights_of
from keras_transformer.generation import SearchOptions, TextToText
from keras_transformer.generation.options import GREEDY, RANGES
from keras_transformer.generation.search import answers_per_sentence
from keras_transformer.layers.attention import KeyValues
from keras_transformer.models.copying import CopyMemory
from keras_transformer.models.seq2seq import DecoderMemory
from keras_transformer.text import LitePieces

Room = TypeVar("Room")

SMALLEST_SIZE = 16  # pieces; below it a size of its own saves nothing


class Size(NamedTuple):
    """Room for pieces: of the source, and of the answer with its end."""

    source: int
    target: int


class Found(NamedTuple):
    """A search's answers to one text: ids `[N, T]`, lengths and scores `[N]`, and whether it had enough room."""

    ids: tf.Tensor
    lengths: tf.Tensor
    scores: tf.Tensor
    is_whole: tf.Tensor


def sizes(source: int, target: int, parts: Sequence[int] = (8, 4)) -> list[Size]:
    """Returns the sizes in which a file can search, the full one last: an eighth, a quarter, and all of the source.

    Ordinary text has four bytes or so to a piece, so that what fits into the file in bytes mostly fits into a quarter
    of it in pieces; where there are fewer places than bytes, other `parts` of them are of use. Answers get a quarter
    more, rounded up to a multiple of 8: room is paid for at every step, in a beam above all, whose caches are put in
    order again; and few answers need more, which are then searched in full.
    """
    rooms = [source // part for part in parts if source // part >= SMALLEST_SIZE]
    return [*(Size(room, min(target, -(-room * 5 // 32) * 8)) for room in rooms), Size(source, target)]


class LiteModule(tf.Module):
    """A `TextToText` as functions that TFLite's built-in operators can express.

    The tokenizer is `LitePieces`, the search the predictor's own. There is a place for as many source pieces as there
    are source bytes, unless the limits say otherwise: every byte is a piece at worst, so no text is cut then.

    Args:
        predictor: a loaded run.
        limits: bytes of source and target.
        search: how to search.

    Example:
        ```python
        module = LiteModule(keras_transformer.load("runs/mine"), Limits(256, 512))
        answer = module.answer(text, text_length)  # uint8 [1, 256], int32 [1]
        ```
    """

    def __init__(self, predictor: TextToText, limits: Limits, search: SearchOptions = GREEDY) -> None:
        super().__init__(name="lite_module")
        self.weights = weights_of(predictor)
        self._pieces = LitePieces(predictor.tokenizer)
        self._piece_lengths = np.array([len(piece) for piece in predictor.tokenizer.pieces], np.int32)
        self._predictor = predictor
        self._limits = limits
        self._search_options = search

    def functions(self, signature: str) -> dict[str, Function]:
        """Returns the functions to save, by the names of their signatures; `signature` is that of `answer`."""
        text = {
            "text": tf.TensorSpec([1, self._limits.max_source_bytes], tf.uint8),
            "text_length": tf.TensorSpec([1], tf.int32),
        }
        found = {signature: Function(self.answer, text)}
        if self._search_options.samples:
            draw = {"seed": tf.TensorSpec([1], tf.int32), "temperature": tf.TensorSpec([1], tf.float32)}
            found["sample"] = Function(self.sample, {**text, **draw})
        elif self._search_options.n_best > 1:
            found[f"{signature}_n_best"] = Function(self.n_best, text)
        if self._limits.align_heads is not None:
            room = tf.TensorSpec([1, self._limits.max_target_bytes], tf.uint8)
            found["align"] = Function(self.align, {**text, "answer": room, "answer_length": text["text_length"]})
        if not self._limits.with_steps:
            return found
        found["encode"] = Function(self.encode, text)
        found["decode_step"] = Function(self.decode_step, self._step_specs())
        ids = tf.TensorSpec([1, self._predictor.max_target_length], tf.int32)
        found["detokenize"] = Function(self.detokenize, {"ids": ids, "length": tf.TensorSpec([1], tf.int32)})
        return found

    # Text to text

    def answer(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the best answer to one text.

        Args:
            text: uint8 `[1, S]`; bytes from `text_length` on have no effect.
            text_length: int32 `[1]`, held to 0 to S.

        Returns:
            text: uint8 `[1, B]`, zeros after the answer.
            text_length: int32 `[1]`, bytes of the answer; 0 for an empty source.
            score: float32 `[1]`, what answers are ordered by; 0 for an empty source.
            status: int32 `[1]`, the sum of the flags in `limits`.
        """
        options = self._search_options
        return self._answers(text, text_length, GREEDY if options.samples else replace(options, n_best=1))

    def n_best(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the N best answers: as `answer`, with N in the place of 1; the score of one that does not exist is
        below -1e29, its text empty."""
        return self._answers(text, text_length, self._search_options)

    def sample(
        self, text: tf.Tensor, text_length: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns N answers drawn at random: as `n_best`, with a seed int32 `[1]` and a temperature float32 `[1]`."""
        least, most = RANGES["temperature"]
        held = tf.where(temperature[0] >= least, tf.minimum(temperature[0], most), least)  # what is no number too
        draw = {"seed": tf.maximum(seed[0], 0), "temperature": held}
        found = self._answers(text, text_length, self._search_options, **draw)
        is_held = tf.logical_or(seed[0] < 0, held != temperature[0])
        new = tf.logical_and(is_held, text_length[0] >= 0)  # else the flag is there already
        return {**found, "status": found["status"] + flag(new, NUMBER_HELD)}

    def align(
        self, text: tf.Tensor, text_length: tf.Tensor, answer: tf.Tensor, answer_length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns where the model looks in a text for each piece of an answer, its own or another.

        Args:
            text: uint8 `[1, S]`; bytes from `text_length` on have no effect.
            text_length: int32 `[1]`, held to 0 to S.
            answer: uint8 `[1, B]`, likewise.
            answer_length: int32 `[1]`, held to 0 to B.

        Returns:
            weights: float32 `[1, T, S]`: row t is how much each source piece is looked at for piece t of the answer.
                Rows in use sum to 1; what is not in use is 0.
            text_pieces, answer_pieces: int32 `[1]`, how many columns and rows are in use.
            text_ends, answer_ends: int32 `[1, S]` and `[1, T]`: the byte at which each piece ends, where the next one
                begins; after the last piece the same number again.
            status: int32 `[1]`, the sum of the flags in `limits`; `TARGET_CUT`: pieces from T on are left out.
        """
        room = self._predictor.max_target_length
        source, source_count, status = self._encoded(text, text_length)
        target, pieces = self._pieces.encode(answer[0], answer_length[0])
        target, count = tf.pad(target, [[0, room]])[:room], tf.minimum(pieces, room)
        weights = self._align(source, source_count, target, count)
        is_source, is_target = (tf.range(n) < c for n, c in ((source.shape[0], source_count), (room, count)))
        in_use = tf.logical_and(is_target[:, None], is_source)
        is_cut = tf.logical_or(pieces > room, answer_length[0] > self._limits.max_target_bytes)
        is_held = tf.logical_and(answer_length[0] < 0, text_length[0] >= 0)  # else the flag is there already
        status += flag(is_cut, TARGET_CUT)
        return {
            "weights": tf.where(in_use, weights, 0.0)[None],
            "text_pieces": source_count[None],
            "answer_pieces": count[None],
            "text_ends": self._ends(source)[None],
            "answer_ends": self._ends(target)[None],
            "status": (status + flag(is_held, NUMBER_HELD))[None],
        }

    # Step by step, for an app with a loop of its own

    def encode(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what the decoder reads of a text: keys and values of each block and the bias, for `decode_step`;
        `pieces`, int32 `[1]`: how many the text has; and `status`, as `answer` gives it."""
        ids, count, status = self._encoded(text, text_length)
        memory = self._predictor.model.memory(ids[None])
        named = {"memory_bias": memory.bias, "pieces": count[None], "status": status[None]}
        for number, (keys, values) in enumerate(memory.key_values):
            named.update({f"memory_keys_{number}": keys, f"memory_values_{number}": values})
        if memory.copy is not None:
            named.update({"memory_copy_keys": memory.copy.keys, "memory_copy_ids": memory.copy.ids})
        return named

    def decode_step(self, ids: tf.Tensor, index: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the logits `[1, V]` of what follows `ids [1]` at position `index [1]`, and the caches after it.

        The first id is the start id at position 0, with caches of any content. Ids and index are held to their range,
        which `status` then says.
        """
        model = self._predictor.model
        given, place = ids, index
        ids = tf.clip_by_value(ids, 0, model.vocabulary_size - 1)
        index = tf.clip_by_value(index[0], 0, self._predictor.max_target_length - 1)
        status = flag(ids != given, ID_HELD) + flag(index != place, NUMBER_HELD)
        blocks = range(model.num_decoder_layers)
        memory = DecoderMemory(
            tuple(KeyValues(state[f"memory_keys_{i}"], state[f"memory_values_{i}"]) for i in blocks),
            state["memory_bias"],
            self._copy_memory(state) if model.copy else None,
        )
        cache = tuple(KeyValues(state[f"cache_keys_{i}"], state[f"cache_values_{i}"]) for i in blocks)
        found = model.step(ids, index, cache, memory)
        named = {"logits": found.logits, "status": status}
        for number, (keys, values) in enumerate(found.cache):
            named.update({f"cache_keys_{number}": keys, f"cache_values_{number}": values})
        return named

    def _copy_memory(self, state: Mapping[str, tf.Tensor]) -> CopyMemory:
        highest = self._predictor.model.vocabulary_size - 1
        return CopyMemory(state["memory_copy_keys"], tf.clip_by_value(state["memory_copy_ids"], 0, highest))

    def detokenize(self, ids: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the text, uint8 `[1, B]`, its `text_length` and a `status` of the first `length` ids of `[1, T]`."""
        held = tf.clip_by_value(ids[0], 0, self._predictor.model.vocabulary_size - 1)
        count = tf.clip_by_value(length[0], 0, self._predictor.max_target_length)
        text, text_length, is_cut = self._decode(held, count)
        is_strange = tf.logical_and(held != ids[0], tf.range(self._predictor.max_target_length) < count)
        status = (
            flag(is_cut, TARGET_CUT) + flag(tf.reduce_any(is_strange), ID_HELD) + flag(count != length[0], NUMBER_HELD)
        )
        return {"text": text[None], "text_length": text_length[None], "status": status[None]}

    def _step_specs(self) -> dict[str, tf.TensorSpec]:
        model, one = self._predictor.model, tf.TensorSpec([1], tf.int32)
        heads = model.num_key_value_heads or model.num_heads
        width = model.hidden_dim // model.num_heads
        specs = {"ids": one, "index": one, "memory_bias": tf.TensorSpec([1, 1, 1, self._limits.source_places])}
        rooms = {"memory": self._limits.source_places, "cache": self._predictor.max_target_length}
        for number in range(model.num_decoder_layers):
            for kind, room in rooms.items():
                for part in ("keys", "values"):
                    specs[f"{kind}_{part}_{number}"] = tf.TensorSpec([1, heads, room, width])
        if model.copy:
            specs["memory_copy_keys"] = tf.TensorSpec([1, self._limits.source_places, model.hidden_dim])
            specs["memory_copy_ids"] = tf.TensorSpec([1, self._limits.source_places], tf.int32)
        return specs

    # What they are made of

    def _answers(
        self, text: tf.Tensor, text_length: tf.Tensor, options: SearchOptions, **draw: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        ids, count, source_status = self._encoded(text, text_length)
        found = self._search(ids, count, options, draw)
        is_text = count > 0
        end_id = self._predictor.tokenizer.end_id
        lengths = tf.where(is_text, found.lengths, 0)
        decoded = [self._decode(found.ids[rank], lengths[rank]) for rank in range(answers_per_sentence(options))]
        texts, text_lengths, cuts = (tf.stack(parts) for parts in zip(*decoded, strict=True))
        is_ended = tf.reduce_any(found.ids == end_id, axis=1)
        status = (
            source_status
            + flag(tf.logical_and(is_text, tf.logical_not(is_ended)), TARGET_UNFINISHED)
            + flag(cuts, TARGET_CUT)
        )
        return {
            "text": texts,
            "text_length": text_lengths,
            "score": tf.where(is_text, found.scores, 0.0),
            "status": status,
        }

    def _encoded(self, text: tf.Tensor, text_length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the ids of a source that are read, `[P]` for P places, how many they are, and the flags for it."""
        ids, count = self._pieces.encode(text[0], text_length[0])
        status, places = self._source_status(text_length[0], count), self._limits.source_places
        if places < self._limits.max_source_bytes:
            ids, count = ids[:places], tf.minimum(count, places)
        return ids, count, status

    def _source_status(self, text_length: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        return (
            flag(text_length > self._limits.max_source_bytes, SOURCE_CUT)
            + flag(text_length < 0, NUMBER_HELD)
            + flag(count > self._predictor.max_source_length, SOURCE_LONG)
        )

    def _search(self, ids: tf.Tensor, count: tf.Tensor, options: SearchOptions, draw: Mapping[str, tf.Tensor]) -> Found:
        """Searches in the smallest of the sizes that has room for the source, and in the full one if that is short.

        Encoder, caches and every step then cost what a sentence of that size costs, not the longest that fits.
        """
        decoder = self._predictor.decoder(options)
        full_length = decoder.max_length

        def at(size: Size) -> Found:
            found = decoder.search(ids[None, : size.source], max_length=size.target, **draw)
            room = full_length - found.ids.shape[2]
            padded = tf.pad(found.ids[0], [[0, 0], [0, room]], constant_values=decoder.special.pad_id)
            is_whole = tf.logical_or(room == 0, found.steps < found.ids.shape[2])
            return Found(padded, found.lengths[0], found.scores[0], is_whole)

        def nothing() -> Found:
            count = answers_per_sentence(options)
            padding = tf.zeros((count, full_length), tf.int32)
            return Found(padding, tf.zeros((count,), tf.int32), tf.zeros((count,)), tf.constant(False))

        *small, full = self._sizes()
        if not small:
            return at(full)
        found = in_smallest(small, lambda size: count <= size.source, at, nothing)
        return tf.cond(found.is_whole, lambda: found, lambda: at(full))

    def _align(self, source: tf.Tensor, source_count: tf.Tensor, target: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Returns `[T, S]` for ids `[S]` and `[T]`, zeros or anything where there are no pieces."""
        inputs = tf.concat([[self._predictor.tokenizer.start_id], target[:-1]], axis=0)
        *small, full = self._sizes()

        def at(size: Size) -> tf.Tensor:
            given = source[None, : size.source], inputs[None, : size.target]
            weights = self._predictor.model.alignment(*given, self._limits.align_heads)[0]
            return tf.pad(weights, [[0, full.target - size.target], [0, full.source - size.source]])

        def fits(size: Size) -> tf.Tensor:
            return tf.logical_and(source_count <= size.source, count <= size.target)

        return in_smallest(small, fits, at, lambda: at(full))

    def _sizes(self) -> list[Size]:
        is_cut = self._limits.source_places < self._limits.max_source_bytes
        found = sizes(self._limits.source_places, self._predictor.max_target_length, (4, 2) if is_cut else (8, 4))
        return found[-1:] if self._limits.one_size else found

    def _ends(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the byte at which each piece ends; padding has no bytes."""
        return tf.cumsum(tf.gather(self._piece_lengths, ids))

    def _decode(self, ids: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns uint8 `[B]`, its length and whether it was cut, which is done where a character begins."""
        room = self._limits.max_target_bytes
        text, length = self._pieces.decode(ids, count, room + 1)
        text = tf.cast(text, tf.int32)  # TFLite has no choice between uint8 values
        is_cut = length > room
        # A UTF-8 character has at most 4 bytes, all but the first of the form 10xxxxxx.
        last = text[room - 3 :]
        begins = tf.logical_or(last < 0x80, last >= 0xC0)
        boundary = tf.reduce_max(tf.where(begins, tf.range(room - 3, room + 1), 0))
        boundary = tf.where(boundary > 0, boundary, room)
        length = tf.where(is_cut, boundary, length)
        return tf.cast(tf.where(tf.range(room) < length, text[:room], 0), tf.uint8), length, is_cut


def in_smallest(
    small: Sequence[Room], fits: Callable[[Room], tf.Tensor], at: Callable[[Room], Any], otherwise: Callable[[], Any]
) -> Any:
    """Returns what `at` gives for the first size that `fits`, or what `otherwise` gives; nothing else is computed."""
    for size in reversed(small):
        otherwise = functools.partial(tf.cond, fits(size), functools.partial(at, size), otherwise)
    return otherwise()


def flag(condition: tf.Tensor, flag: int) -> tf.Tensor:
    """Returns a flag of the status, int32, where a condition holds, and 0 elsewhere."""
    return tf.cast(condition, tf.int32) * flag
