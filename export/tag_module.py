"""A tagger as graphs: texts in, words with their labels out. One for `.tflite` files, one for the SavedModel.

Legend: S bytes of text, P places for its pieces, W places for words (as many as P), K labels, b batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops

from keras_transformer.export.encoder_module import EncoderLiteModule
from keras_transformer.export.limits import TARGET_CUT
from keras_transformer.export.lite_module import flag
from keras_transformer.export.saved_model import DEFAULT, Function
from keras_transformer.tags import OUTSIDE
from keras_transformer.text.lite_pieces import last_at_most
from keras_transformer.text.word_kinds import BLOCK, CODE_POINTS, GLUE, INNER, JOINS, PLAIN, SPACE, kind_blocks
from keras_transformer.text.words import PUNCTUATION, SPACES


class Words(NamedTuple):
    """Where words are: the first byte of each and the one behind its last, int32 `[W]`, zeros where there is no word;
    how many there are, `[]`; and how many begin before each byte, int32 `[S + 1]`."""

    starts: tf.Tensor
    ends: tf.Tensor
    count: tf.Tensor
    before: tf.Tensor


class TagLiteModule(EncoderLiteModule):
    """A `TextToTags` as a function that TFLite's built-in operators can express.

    Args:
        predictor: a loaded run.
        max_source_bytes: S.
    """

    def __init__(self, predictor: Any, max_source_bytes: int) -> None:
        super().__init__(predictor, max_source_bytes)
        marks = PUNCTUATION if predictor.words == "punctuation" else np.zeros_like(PUNCTUATION)
        self._kinds = np.where(SPACES, SPACE, np.where(marks, INNER, PLAIN)).astype(np.int32)  # of bytes
        self._piece_lengths = np.array([len(piece) for piece in predictor.tokenizer.pieces], np.int32)
        self._outside = predictor.labels.index(OUTSIDE) if OUTSIDE in predictor.labels else 0

    def functions(self, signature: str) -> dict[str, Function]:
        """Returns the function to save, by the name of its signature."""
        return {signature: Function(self.tag, self.inputs)}

    def tag(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the words of a text and their labels.

        Args:
            text: uint8 `[1, S]`; bytes from `text_length` on have no effect.
            text_length: int32 `[1]`, held to 0 to S.

        Returns:
            labels: int32 `[1, W]`, of each word; behind the last word zeros.
            starts, ends: int32 `[1, W]`, the first byte of each word and the one behind its last.
            words: int32 `[1]`, how many there are.
            status: int32 `[1]`, the sum of the flags in `limits`; `TARGET_CUT`: there are more than W words.
        """
        ids, count = self.encode(text[0], text_length[0])
        words = self._words(text[0], text_length[0])
        ends = tf.cumsum(tf.gather(self._piece_lengths, ids))  # of the pieces, [S]
        starts = tf.concat([[0], ends[:-1]], axis=0)
        begun = tf.gather(words.before, ends[: self.places]) > tf.gather(words.before, starts[: self.places])

        def padded(logits: tf.Tensor) -> tf.Tensor:
            return tf.pad(logits[0], [[0, self.places - logits.shape[1]], [0, 0]])

        labels = self._labels(self.outputs(ids, count, padded), begun, tf.minimum(count, self.places))  # [P]
        piece = last_at_most(starts, words.starts)  # [W]
        is_read = piece < self.places
        found = tf.where(is_read, tf.gather(labels, tf.minimum(piece, self.places - 1)), self._outside)
        in_use = tf.range(self.places) < words.count
        status = self.status(text_length, count) + flag(words.before[-1:] > self.places, TARGET_CUT)
        return {
            "labels": tf.where(in_use, found, 0)[None],
            "starts": words.starts[None],
            "ends": words.ends[None],
            "words": words.count[None],
            "status": status,
        }

    def _words(self, text: tf.Tensor, length: tf.Tensor) -> Words:
        """Returns the words among the first `length` bytes of `text [S]`, as `text.words.word_spans` finds them."""
        data = tf.where(tf.range(self.room) < length, tf.cast(text, tf.int32), ord(" "))
        if self.predictor.words == "punctuation_unicode14":
            begins, finishes = _bounds_of_units(*_units(data))
        else:
            begins, finishes = _bounds(tf.gather(self._kinds, data))
        before = _counted(begins)
        count = tf.minimum(before[-1], self.places)
        number = tf.range(self.places)
        in_use = number < count
        starts, ends = (last_at_most(counts, number) for counts in (before, _counted(finishes)))
        return Words(tf.where(in_use, starts, 0), tf.where(in_use, ends + 1, 0), count, before)

    def _labels(self, logits: tf.Tensor, begun: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Returns a label for each piece, int32 `[P]`, of `logits [P, K]` and whether a word begins in it."""
        crf = self.predictor.model.crf
        if crf is None:
            return tf.argmax(logits, axis=-1, output_type=tf.int32)
        weights = (tf.convert_to_tensor(weight.value) for weight in (crf.transitions, crf.start, crf.end))
        return viterbi(logits, begun, count, *weights)


def viterbi(
    logits: tf.Tensor, counted: tf.Tensor, count: tf.Tensor, transitions: tf.Tensor, start: tf.Tensor, end: tf.Tensor
) -> tf.Tensor:
    """Returns the most probable labels of one chain, int32 `[P]`, as `LinearChainCRF.decode` does, with static shapes.

    Args:
        logits: `[P, K]`.
        counted: bool `[P]`, which places count.
        count: int32 `[]`, how many places there are; the rest is not looked at.
        transitions, start, end: `[K, K]`, `[K]`, `[K]`.
    """
    places, labels = logits.shape
    same = tf.range(labels)

    def forward(place: tf.Tensor, best: tf.Tensor, begun: tf.Tensor, origins: tf.Tensor) -> tuple[tf.Tensor, ...]:
        counts = tf.gather(counted, place)
        paths = best[:, None] + transitions  # [from, to]
        here = tf.where(begun, tf.reduce_max(paths, axis=0), start) + tf.gather(logits, place)
        origin = tf.where(tf.logical_and(begun, counts), tf.argmax(paths, axis=0, output_type=tf.int32), same)
        origins = ops.slice_update(origins, [place, 0], origin[None])
        return place + 1, tf.where(counts, here, best), tf.logical_or(begun, counts), origins

    first = (tf.constant(0), tf.zeros((labels,)), tf.constant(False), tf.zeros((places, labels), tf.int32))
    _, best, _, origins = tf.while_loop(lambda place, *_: place < count, forward, first)

    def back(place: tf.Tensor, label: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, ...]:
        found = ops.slice_update(found, [place], label[None])
        return place - 1, tf.gather(tf.gather(origins, place), label), found

    last = tf.argmax(best + end, output_type=tf.int32)
    found = tf.while_loop(lambda place, *_: place >= 0, back, (count - 1, last, tf.zeros((places,), tf.int32)))
    return found[2]


def _bounds(kinds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns whether a word begins, and whether one ends, with each unit: of these kinds, int32 `[S]`."""
    inside, plain = tf.not_equal(kinds, SPACE), _padded(tf.equal(kinds, PLAIN), 1, 1)
    whole = tf.logical_or(plain[1:-1], tf.logical_and(tf.equal(kinds, INNER), tf.logical_and(plain[:-2], plain[2:])))
    joined = tf.logical_and(whole[:-1], whole[1:])  # of each unit and the next: one word
    begins = tf.logical_and(inside, tf.logical_not(_padded(joined, 1, 0)))
    return begins, tf.logical_and(inside, tf.logical_not(_padded(joined, 0, 1)))


def _bounds_of_units(begun: tf.Tensor, kinds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns whether a word begins, and whether one ends, with each byte, of what `_units` returns."""
    before = _counted(begun)
    unit = before[1:] - 1  # of each byte
    first = last_at_most(before, tf.range(begun.shape[0]))  # of each unit; behind the last one S
    begins, finishes = _bounds(tf.gather(tf.pad(kinds, [[0, 1]]), first))
    is_last = tf.concat([begun[1:], [True]], axis=0)
    return tf.logical_and(begun, tf.gather(begins, unit)), tf.logical_and(is_last, tf.gather(finishes, unit))


def _units(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns whether a unit begins at each byte, and of what kind it is there, int32 `[S]`; see `text.words.units_of`.

    Where none begins, the kind is that of the code point that the byte is of.
    """
    numbers, blocks = kind_blocks()
    points, sizes = _code_points(data)
    block = tf.cast(tf.gather(numbers, points // BLOCK), tf.int32)
    kinds = tf.cast(tf.gather(blocks, block * BLOCK + points % BLOCK), tf.int32)
    covered = tf.zeros_like(data, tf.bool)
    for shift in (3, 2, 1):  # a byte is covered by one lead at most
        here = _shifted(sizes, shift) > shift
        covered, kinds = tf.logical_or(covered, here), tf.where(here, _shifted(kinds, shift), kinds)
    before = _shifted(kinds, 1)  # at first a space, 0
    joining = tf.logical_or(tf.equal(kinds, JOINS), tf.equal(kinds, GLUE))
    is_between = tf.logical_and(tf.not_equal(kinds, SPACE), tf.not_equal(before, SPACE))
    joins = tf.logical_and(is_between, tf.logical_or(joining, tf.equal(before, GLUE)))
    return tf.logical_not(tf.logical_or(covered, joins)), tf.where(joining, PLAIN, kinds)


def _code_points(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the code point that begins at each byte and how many bytes it has, int32 `[S]`; see `text.words`."""
    ahead = tf.pad(data, [[0, 3]])
    places = data.shape[0]
    points, sizes = tf.where(data < 0x80, data, ord("a")), tf.ones_like(data)
    tail, fits = tf.zeros_like(data), tf.ones_like(data, tf.bool)
    for size, (lead, lowest, end) in enumerate(((0xC0, 0xC2, 0xE0), (0xE0, 0xE0, 0xF0), (0xF0, 0xF0, 0xF5)), 2):
        more = ahead[size - 1 : places + size - 1]
        fits = tf.logical_and(fits, tf.logical_and(more >= 0x80, more < 0xC0))
        tail = tail * 64 + more - 0x80
        here = tf.logical_and(fits, tf.logical_and(data >= lowest, data < end))
        points = tf.where(here, (data - lead) * 64 ** (size - 1) + tail, points)
        sizes = tf.where(here, size, sizes)
    return tf.clip_by_value(points, 0, CODE_POINTS - 1), sizes


def _shifted(values: tf.Tensor, shift: int) -> tf.Tensor:
    """Returns what stands `shift` places before each of `values [S]`, 0 at the beginning."""
    return tf.pad(values, [[shift, 0]])[: values.shape[0]]


def _counted(flags: tf.Tensor) -> tf.Tensor:
    """Returns how many of `flags [S]` stand before each place, int32 `[S + 1]`."""
    return tf.pad(tf.cumsum(tf.cast(flags, tf.int32)), [[1, 0]])


def _padded(flags: tf.Tensor, before: int, after: int) -> tf.Tensor:
    """Returns flags with others that are false before and after them; TFLite pads numbers alone."""
    return tf.cast(tf.pad(tf.cast(flags, tf.int32), [[before, after]]), tf.bool)


class TagModule(tf.Module):
    """A `TextToTags` as a function from strings, of any batch size, for the SavedModel.

    It runs the graph of the `.tflite` files on one text after another, so that it takes as many bytes as they do.

    Args:
        lite: that graph.
    """

    def __init__(self, lite: TagLiteModule) -> None:
        super().__init__(name="tag_module")
        self.weights = lite.weights
        self._lite = lite

    def functions(self, signature: str) -> dict[str, Function]:
        """Returns the function to save, under `signature` and "serving_default"."""
        function = Function(self.tag, {"text": tf.TensorSpec([None], tf.string)})
        return {DEFAULT: function, signature: function}

    def tag(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the words of each text `[b]` and their labels: as `TagLiteModule.tag`, with b in the place of 1."""
        places = self._lite.places
        vector = tf.TensorSpec([places], tf.int32)
        number = tf.TensorSpec([], tf.int32)
        specs = {"labels": vector, "starts": vector, "ends": vector, "words": number, "status": number}
        return tf.map_fn(self._one, text, fn_output_signature=specs)

    def _one(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        data = tf.io.decode_raw(text, tf.uint8)[: self._lite.room]
        data = tf.pad(data, [[0, self._lite.room - tf.shape(data)[0]]])
        found = self._lite.tag(tf.reshape(data, [1, self._lite.room]), tf.strings.length(text)[None])
        return {name: value[0] for name, value in found.items()}
