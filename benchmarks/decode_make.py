"""Makes what `decode.py` measures, in a process of its own: Keras and the converter leave gigabytes behind.

    python benchmarks/decode_make.py FOLDER < request.json

A request names a kind ("lite", "saved_model" or "ctranslate2"), a model (`{"run": DIR}` or `{"preset": NAME,
"vocabulary_size": V, "normalize_first": true, false or null for the preset's own}`) and what the kind asks for below.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from keras_transformer import predictors
from keras_transformer.export.convert import convert
from keras_transformer.export.ctranslate2_format import save_ctranslate2
from keras_transformer.export.folding import lean
from keras_transformer.export.limits import Limits
from keras_transformer.export.lite_module import LiteModule, sizes
from keras_transformer.export.precisions import FILES
from keras_transformer.export.saved_model import TextModule, save_functions
from keras_transformer.generation import SearchOptions, TextToText
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.text.byte_pieces import END_ID, FIRST_LEARNED_ID, PAD_ID

LETTERS = bytes(range(ord("a"), ord("z") + 1))


def main(folder: str) -> None:
    request = json.load(sys.stdin)
    kinds: dict[str, Callable[..., None]] = {
        "lite": make_lite,
        "saved_model": make_saved_model,
        "ctranslate2": make_ctranslate2,
    }
    kinds[request["kind"]](load_model(request["model"]), request, Path(folder))


def load_model(model: Mapping[str, Any]) -> TextToText:
    """Returns a run's model, or one of a preset's size with random weights, whose answers never end."""
    if "run" in model:
        return predictors.load(model["run"])
    keras.utils.set_random_seed(0)
    first = model["normalize_first"]
    overrides = {} if first is None else {"normalize_first": first}
    transformer = Seq2SeqTransformer.from_preset(
        model["preset"], model["vocabulary_size"], dtype="float32", **overrides
    )
    _never_end(transformer)
    return TextToText(transformer, _random_tokenizer(model["vocabulary_size"]), max_source_length=1024)


def make_lite(predictor: TextToText, request: dict[str, Any], folder: Path) -> None:
    """Writes `.tflite` files of the `precisions` that a request names, with one signature for each of its `searches`.

    A search has a `name`, a `beam`, and if it is not as a person would export it, the `room` of an answer in pieces, a
    `length` at which answers are cut, and `source_pieces` that it is to have room for without a second attempt. All
    searches share one set of weights. What a signature gives has one output more than usual: `steps`.
    """
    small, limits, functions = lean(predictor), Limits(*request["limits"]), {}
    for search in request["searches"]:
        room = search.get("room", predictor.max_target_length)
        if "source_pieces" in search:
            _check_one_attempt(limits, room, search)
        part = TextToText(small.model, small.tokenizer, small.max_source_length, room)
        options = SearchOptions(beam=search["beam"], max_length=search.get("length"))
        module = _CountingModule(part, limits, options)
        functions[search["name"]] = module.functions("answer")["answer"]
    graph = folder / "saved_model"
    save_functions(module, functions, graph)  # any of the modules: they have the same variables
    files = {name: folder / FILES[name] for name in request["precisions"]}
    convert(graph, list(functions), files, folder / "conversion.log")
    shutil.rmtree(graph)


def make_saved_model(predictor: TextToText, request: dict[str, Any], folder: Path) -> None:
    """Writes a SavedModel that searches with `beam` hypotheses, for answers of `room` pieces if that is given."""
    predictor.max_target_length = request.get("room", predictor.max_target_length)
    module = TextModule(predictor, SearchOptions(beam=request["beam"]))
    save_functions(module, module.functions("answer"), folder / "saved_model")


def make_ctranslate2(predictor: TextToText, request: dict[str, Any], folder: Path) -> None:
    """Writes the peer's model folder, with the tokenizer."""
    save_ctranslate2(predictor, folder)
    predictor.tokenizer.save(folder)


class _CountingModule(LiteModule):
    """Gives the steps that a search made as well: no other id than the padding follows an answer."""

    def _search(self, *arguments: Any) -> Any:
        self._found = super()._search(*arguments)
        return self._found

    def answer(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
        named = super().answer(text, text_length)
        in_use = tf.cast(self._found.ids != PAD_ID, tf.int32)
        return {**named, "steps": tf.reduce_sum(in_use, axis=1)}


def _check_one_attempt(limits: Limits, room: int, search: dict[str, Any]) -> None:
    """A file searches first in a size that mostly has room for the answer; a forced length must not be too much for it:
    the first attempt would be work for nothing, which real sentences seldom cost."""
    first = next(size for size in sizes(limits.max_source_bytes, room) if size.source >= search["source_pieces"])
    if not (first.target == room or search.get("length", room) < first.target):
        raise ValueError(f"{search} would be tried in {first} first")


def _never_end(model: Seq2SeqTransformer) -> None:
    """Makes the end the least likely piece, and the padding with it.

    A layer normalisation without offset gives vectors whose sum is zero. With an offset of one the sum of the decoder's
    output is its width, and so is its product with a row of equal numbers always the same.
    """
    width = model.hidden_dim
    norm = model.decoder_norm or model.decoder_blocks[-1].feed_forward_norm  # pre-norm, post-norm
    norm.beta.assign(np.ones(width, np.float32))
    embeddings = keras.ops.convert_to_numpy(model.token_embedding.embeddings).copy()
    embeddings[[PAD_ID, END_ID]] = -(width**-0.5)  # a logit of -sqrt(width); others are within a few of 0
    model.token_embedding.embeddings.assign(embeddings)


def _random_tokenizer(vocabulary_size: int) -> BytePieceTokenizer:
    """Returns a tokenizer of made-up words with a space before them; a digit is a piece of its own."""
    generator = random.Random(0)
    words: set[bytes] = set()
    while len(words) < vocabulary_size - FIRST_LEARNED_ID:
        words.add(b" " + bytes(generator.choices(LETTERS, k=generator.randint(2, 11))))
    return BytePieceTokenizer(sorted(words))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # Keras 3.15 under NumPy 2
    main(*sys.argv[1:])
