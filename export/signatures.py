"""The signatures that a `.tflite` file has: their tensors and what these mean."""

from __future__ import annotations

from typing import Any

from keras_transformer.export.flatbuffer import Signature, TensorSpec
from keras_transformer.export.limits import Limits
from keras_transformer.generation import SearchOptions, TextToText
from keras_transformer.generation.search import answers_per_sentence

MEANINGS = {
    "inputs": {
        "text": "UTF-8 bytes of the source; bytes from text_length on have no effect",
        "text_length": "bytes of the source; more than there is room for: the source is cut, see status",
        "seed": "of the random numbers, 0 or more: the same seed gives the same answers",
        "temperature": "divides the logits: below 1 safer, above 1 more varied",
        "ids": "ids of pieces: decode_step takes the last one, detokenize all, the start id left out",
        "index": "position of the id: 0 for the start id",
        "length": "how many of the ids",
        "answer": "UTF-8 bytes of the answer to align, the model's own or another",
        "answer_length": "bytes of the answer",
    },
    "outputs": {
        "text": "UTF-8 bytes of the answer, zeros after it",
        "text_length": "bytes of the answer",
        "score": "natural logarithm of the answer's probability, with the penalties of the search if it has any",
        "status": "0, or the sum of 1 (source cut), 2 (answer without an end: it reached its limit of pieces), "
        "4 (answer cut for want of room), 8 (source of more pieces than the model was trained on), "
        "16 (an id that is no piece, the nearest one was taken), 32 (a length, index, seed or temperature out of its "
        "range, the nearest one in it was taken)",
        "pieces": "pieces of the source",
        "logits": "of every piece that may follow",
        "weights": "a row for each piece of the answer: how much it looks at each piece of the source; rows sum to 1, "
        "zeros where there is no piece",
        "text_pieces": "pieces of the source: columns in use",
        "answer_pieces": "pieces of the answer: rows in use",
        "text_ends": "the byte of the source at which each piece ends and the next one begins",
        "answer_ends": "the byte of the answer at which each piece ends and the next one begins",
    },
}
STATE = {
    "memory": "what the decoder reads of the source: from encode, the same at every step",
    "cache": "what the decoder remembers of the ids before: from the step before, anything at first",
}


def lite_signatures(predictor: TextToText, limits: Limits, name: str, search: SearchOptions) -> dict[str, Signature]:
    """Returns the signatures that every `.tflite` file must have; `name` is that of the first, text to text."""
    one = TensorSpec("int32", (1,))
    text = {"text": TensorSpec("uint8", (1, limits.max_source_bytes)), "text_length": one}

    def answers(count: int) -> dict[str, TensorSpec]:
        counted = TensorSpec("int32", (count,))
        room = TensorSpec("uint8", (count, limits.max_target_bytes))
        return {"text": room, "text_length": counted, "score": TensorSpec("float32", (count,)), "status": counted}

    found = {name: Signature(text, answers(1))}
    count = answers_per_sentence(search)
    if search.samples:
        draw = {"seed": one, "temperature": TensorSpec("float32", (1,))}
        found["sample"] = Signature({**text, **draw}, answers(count))
    elif search.n_best > 1:
        found[f"{name}_n_best"] = Signature(text, answers(count))
    if limits.align_heads is not None:
        answer = {"answer": TensorSpec("uint8", (1, limits.max_target_bytes)), "answer_length": one}
        found["align"] = Signature({**text, **answer}, _alignment(predictor, limits))
    if not limits.with_steps:
        return found
    memory, cache = _state(predictor, limits)
    found["encode"] = Signature(text, {**memory, "pieces": one, "status": one})
    logits = TensorSpec("float32", (1, predictor.model.vocabulary_size))
    found["decode_step"] = Signature(
        {"ids": one, "index": one, **memory, **cache}, {"logits": logits, "status": one, **cache}
    )
    ids, room = TensorSpec("int32", (1, predictor.max_target_length)), TensorSpec("uint8", (1, limits.max_target_bytes))
    found["detokenize"] = Signature({"ids": ids, "length": one}, {"text": room, "text_length": one, "status": one})
    return found


def described(signature: Signature) -> dict[str, Any]:
    """Returns a signature as the manifest holds it."""
    return {
        side: {
            name: {"dtype": spec.dtype, "shape": list(spec.shape), "meaning": _meaning(side, name)}
            for name, spec in getattr(signature, side).items()
        }
        for side in ("inputs", "outputs")
    }


def _meaning(side: str, name: str) -> str:
    return MEANINGS[side].get(name) or STATE[name.partition("_")[0]]


def _alignment(predictor: TextToText, limits: Limits) -> dict[str, TensorSpec]:
    one, source, target = TensorSpec("int32", (1,)), limits.source_places, predictor.max_target_length
    return {
        "weights": TensorSpec("float32", (1, target, source)),
        "text_pieces": one,
        "answer_pieces": one,
        "text_ends": TensorSpec("int32", (1, source)),
        "answer_ends": TensorSpec("int32", (1, target)),
        "status": one,
    }


def _state(predictor: TextToText, limits: Limits) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """Memory and cache of a step."""
    model = predictor.model
    heads, width = model.num_key_value_heads or model.num_heads, model.hidden_dim // model.num_heads
    rooms = {"memory": limits.source_places, "cache": predictor.max_target_length}
    memory, cache = (
        {
            f"{kind}_{part}_{number}": TensorSpec("float32", (1, heads, room, width))
            for number in range(model.num_decoder_layers)
            for part in ("keys", "values")
        }
        for kind, room in rooms.items()
    )
    memory["memory_bias"] = TensorSpec("float32", (1, 1, 1, limits.source_places))
    if model.copy:
        memory["memory_copy_keys"] = TensorSpec("float32", (1, limits.source_places, model.hidden_dim))
        memory["memory_copy_ids"] = TensorSpec("int32", (1, limits.source_places))
    return memory, cache
