"""The SavedModel: strings in, strings out, any batch size. Loading one needs `import tensorflow_text`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_transformer.generation import SearchOptions, TextToText
from keras_transformer.generation.options import GREEDY, RANGES
from keras_transformer.generation.search import answers_per_sentence
from keras_transformer.text import TensorFlowPieces

DEFAULT = "serving_default"
OUTPUTS = {"text": "string", "score": "float32", "length": "int32"}
ALIGN_OUTPUTS: dict[str, tuple[str, list[Any]]] = {
    "weights": ("float32", [None, "answer pieces", "text pieces"]),
    "text_pieces": ("int32", [None]),
    "answer_pieces": ("int32", [None]),
    "text_ends": ("int32", [None, "text pieces"]),
    "answer_ends": ("int32", [None, "answer pieces"]),
}


class Function(NamedTuple):
    """A function of tensors and the specs of its arguments by name."""

    call: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]


class Found(NamedTuple):
    """Answers: ids `[b, N, T]`, lengths and scores `[b, N]`."""

    ids: tf.Tensor
    lengths: tf.Tensor
    scores: tf.Tensor


class TextModule(tf.Module):
    """A `TextToText` as functions from strings to strings.

    Args:
        predictor: a loaded run.
        search: how to search.
        align_heads: see `Limits`.

    Example:
        ```python
        module = TextModule(keras_transformer.load("runs/mine"))
        save_functions(module, module.functions("translate"), "saved_model")
        ```
    """

    def __init__(
        self,
        predictor: TextToText,
        search: SearchOptions = GREEDY,
        align_heads: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(name="text_module")
        self.weights = weights_of(predictor)
        self._pieces = TensorFlowPieces(predictor.tokenizer)
        self._predictor = predictor
        self._search = search
        self._align_heads = align_heads

    def functions(self, signature: str) -> dict[str, Function]:
        """Returns the functions to save, by the names of their signatures.

        `signature` and "serving_default" give the best answer `[b]`; `<signature>_n_best` and `sample`, if the search
        has several, give them all, `[b, N]`. `align`, if it was asked for, says where the model looks.
        """
        text = {"text": tf.TensorSpec([None], tf.string)}
        best = Function(self.answer, text)
        found = {DEFAULT: best, signature: best}
        if self._search.samples:
            draw = {"seed": tf.TensorSpec([], tf.int32), "temperature": tf.TensorSpec([], tf.float32)}
            found["sample"] = Function(self.sample, {**text, **draw})
        elif self._search.n_best > 1:
            found[f"{signature}_n_best"] = Function(self.n_best, text)
        if self._align_heads is not None:
            found["align"] = Function(self.align, {**text, "answer": text["text"]})
        return found

    def answer(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the best answer to each text; an empty text has an empty answer of score 0.

        Args:
            text: string `[b]`.

        Returns:
            text: string `[b]`.
            score: float32 `[b]`, what answers are ordered by.
            length: int32 `[b]`, its pieces.
        """
        options = GREEDY if self._search.samples else replace(self._search, n_best=1)
        return {name: value[:, 0] for name, value in self._answers(text, options).items()}

    def n_best(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the N best answers to each text, `[b, N]`; the score of one that does not exist is below -1e29."""
        return self._answers(text, self._search)

    def sample(self, text: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns N answers to each text, drawn at random: `[b, N]`."""
        draw = {"seed": tf.maximum(seed, 0), "temperature": tf.clip_by_value(temperature, *RANGES["temperature"])}
        return self._answers(text, self._search, **draw)

    def align(self, text: tf.Tensor, answer: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns where the model looks in each text for each piece of an answer to it, its own or another.

        Args:
            text, answer: string `[b]`.

        Returns:
            weights: float32 `[b, t, s]`: how much each source piece is looked at for each piece of the answer. Rows in
                use sum to 1; what is not in use is 0.
            text_pieces, answer_pieces: int32 `[b]`, how many columns and rows are in use.
            text_ends, answer_ends: int32 `[b, s]` and `[b, t]`, the byte at which each piece ends.
        """
        tokenizer = self._predictor.tokenizer
        sides = [self._pieces.encode(strings) for strings in (text, answer)]
        # One place more than the longest: a batch of empty texts then has something to attend to.
        source, target = (tf.pad(ids.to_tensor(tokenizer.pad_id), [[0, 0], [0, 1]]) for ids in sides)
        inputs = tf.pad(target[:, :-1], [[0, 0], [1, 0]], constant_values=tokenizer.start_id)
        weights = self._predictor.model.alignment(source, inputs, self._align_heads)
        in_use = tf.logical_and((target != tokenizer.pad_id)[..., None], (source != tokenizer.pad_id)[:, None])
        weights = tf.where(in_use, weights, 0.0)[:, :-1, :-1]
        lengths = np.array([len(piece) for piece in tokenizer.pieces], np.int32)
        found = {"weights": weights}
        for name, ids, padded in zip(("text", "answer"), sides, (source, target), strict=True):
            found[f"{name}_pieces"] = tf.cast(ids.row_lengths(), tf.int32)
            found[f"{name}_ends"] = tf.cumsum(tf.gather(lengths, padded[:, :-1]), axis=1)
        return found

    def _answers(self, text: tf.Tensor, options: SearchOptions, **draw: tf.Tensor) -> dict[str, tf.Tensor]:
        pad_id = self._predictor.tokenizer.pad_id
        ids = self._pieces.encode(text)
        is_text = (ids.row_lengths() > 0)[:, None]
        # One place more than the longest: a batch of empty texts then has something to attend to.
        ids = tf.pad(ids.to_tensor(pad_id), [[0, 0], [0, 1]], constant_values=pad_id)
        found = self._find(ids, options, draw)
        length = tf.where(is_text, found.lengths, 0)
        in_use = tf.range(tf.shape(found.ids)[2]) < length[..., None]
        shape = tf.shape(found.ids)
        kept = tf.reshape(tf.where(in_use, found.ids, pad_id), (-1, shape[2]))
        return {
            "text": tf.reshape(self._pieces.decode(kept), shape[:2]),
            "score": tf.where(is_text, found.scores, 0.0),
            "length": length,
        }

    def _find(self, ids: tf.Tensor, options: SearchOptions, draw: Mapping[str, tf.Tensor]) -> Found:
        """Searches with room for answers of twice the longest source first, and with all of it if that is not enough:
        every step costs what the room costs."""
        decoder = self._predictor.decoder(options)
        full, count = tf.constant(decoder.max_length), answers_per_sentence(options)

        def search(room: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found = decoder.search(ids, max_length=room, **draw)
            whole = tf.logical_or(room >= full, found.steps < room)
            padding = [[0, 0], [0, 0], [0, full - room]]
            padded = tf.pad(found.ids, padding, constant_values=decoder.special.pad_id)
            return full, whole, tf.reshape(padded, (-1, count, decoder.max_length)), found.lengths, found.scores

        shape = (tf.shape(ids)[0], count)
        nothing = (tf.zeros((*shape, decoder.max_length), tf.int32), tf.zeros(shape, tf.int32), tf.zeros(shape))
        room = tf.minimum(full, 2 * tf.shape(ids)[1])
        _, _, *found = tf.while_loop(
            lambda room, whole, *_: tf.logical_not(whole), search, (room, tf.constant(False), *nothing)
        )
        return Found(*found)


def described(functions: Mapping[str, Function]) -> dict[str, Any]:
    """Returns the signatures of a SavedModel as the manifest holds them."""
    found = {}
    for name, function in functions.items():
        shape = [None, "answers"] if name.endswith(("_n_best", "sample")) else [None]
        inputs = {
            key: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()} for key, spec in function.inputs.items()
        }
        outputs = ALIGN_OUTPUTS if name == "align" else {key: (dtype, shape) for key, dtype in OUTPUTS.items()}
        shown = {key: {"dtype": dtype, "shape": list(shape)} for key, (dtype, shape) in outputs.items()}
        found[name] = {"inputs": inputs, "outputs": shown}
    return found


def weights_of(predictor: TextToText) -> list[tf.Variable]:
    """Returns the model's variables in the form that a `tf.Module` tracks; a Keras model alone is not tracked."""
    return [variable.value for variable in predictor.model.variables]


def save_functions(module: tf.Module, functions: Mapping[str, Function], path: str | os.PathLike[str]) -> None:
    """Writes a SavedModel with a signature for each function. Each variable of the module is stored once."""
    # A function that is an attribute of the module would be stored a second time, beside the signature's.
    traced: dict[int, Any] = {}
    for function in functions.values():
        if id(function) not in traced:
            specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in function.inputs.items()}
            traced[id(function)] = tf.function(function.call).get_concrete_function(**specs)
    signatures = {name: traced[id(function)] for name, function in functions.items()}
    tf.saved_model.save(module, str(path), signatures=signatures)
