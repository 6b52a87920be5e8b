"""The same sentences through Keras and through an exported file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from keras_transformer.export.artifact import Artifact
from keras_transformer.export.limits import cut_at_character
from keras_transformer.export.progress import Steps
from keras_transformer.export.text_artifact import RawAnswer
from keras_transformer.generation import SearchOptions, TextToText
from keras_transformer.generation.options import GREEDY

# Float32 sums in another order differ in the last digits; logits closer than this are one and the same.
TIE = 1e-4
NUDGE, NUDGES = 1e-6, 8  # what weights are changed by, relatively, to see whether a beam changes with it, and how often


class KerasAnswer(NamedTuple):
    """Keras's answer to one text: its ids without the end, their bytes, and the score."""

    ids: np.ndarray
    text: bytes
    score: float


class Timed(NamedTuple):
    """A file's answer to one text, and the seconds it took."""

    answer: Any
    seconds: float


def best_of(search: SearchOptions) -> SearchOptions:
    """Returns how the best answer is searched for: nothing is drawn for it."""
    return GREEDY if search.samples else replace(search, n_best=1)


def keras_answers(
    predictor: TextToText,
    sources: Sequence[bytes],
    search: SearchOptions,
    steps: Steps,
    text: str,
    places: int | None = None,
) -> list[KerasAnswer]:
    """Returns Keras's answers in bytes; sources are cut at so many pieces, or answered whole whatever their length."""
    tokenizer = predictor.tokenizer
    encoded = [ids[:places] for ids in tokenizer.encode_batch(sources)]
    found = predictor.search(encoded, search, track=lambda batches: steps.track(batches, text, "batches"))
    return [KerasAnswer(best.ids, tokenizer.decode_bytes(best.ids), best.score) for best, *_ in found]


def file_answers(artifact: Artifact, sources: Sequence[bytes], steps: Steps, text: str) -> list[Timed]:
    """Returns a file's answers, each with its time."""
    artifact.run(b"warm up")
    answers = []
    for source in steps.track(sources, text):
        start = time.perf_counter()
        answer = artifact.run(source)
        answers.append(Timed(answer, time.perf_counter() - start))
    return answers


def differences(
    predictor: TextToText,
    sources: Sequence[bytes],
    expected: Sequence[KerasAnswer],
    found: Sequence[RawAnswer],
    max_target_bytes: int,
    places: int | None = None,
    search: SearchOptions = GREEDY,
) -> list[dict[str, Any]]:
    """Returns where a file's answers are not Keras's, byte for byte.

    Args:
        predictor: to look for ties with.
        sources: the texts.
        expected, found: the answers of Keras and of the file to them.
        max_target_bytes: Keras's answers are cut there, as the file does.
        places: the file reads no more pieces of a source than these.
        search: how they were searched for.

    Returns: for each difference `index`, `source`, `keras`, `file` (texts) and `tie`: whether Keras itself is
        undecided, by less than `TIE`, between its own piece and the one the file takes; in a beam, whether Keras gives
        the file's answer when its weights are changed in their last digits.
    """
    listed = []
    search = best_of(search)
    for index, (source, keras_answer, answer) in enumerate(zip(sources, expected, found, strict=True)):
        if cut_at_character(keras_answer.text, max_target_bytes) != answer.text:
            texts = {"source": source, "keras": keras_answer.text, "file": answer.text}
            shown: dict[str, Any] = {name: text.decode("utf-8", "replace") for name, text in texts.items()}
            is_tie = _is_tie(predictor, source, keras_answer.ids, answer.text, places)
            if not is_tie and search.beam > 1:
                is_tie = answer.text in _nudged_answers(predictor, source, search, max_target_bytes, places)
            listed.append({"index": index, **shown, "tie": is_tie})
    return listed


def _is_tie(predictor: TextToText, source: bytes, ids: np.ndarray, other: bytes, places: int | None) -> bool:
    """Returns whether Keras, on its way to `ids`, stood between two pieces of which `other` goes on with the second."""
    tokenizer = predictor.tokenizer
    source_ids = tokenizer.encode(source)[None, :places]
    target_ids = np.concatenate([[tokenizer.start_id], ids]).astype(np.int32)[None]
    logits = np.asarray(predictor.model({"source_ids": source_ids, "target_ids": target_ids}, training=False))[0]
    for step, row in enumerate(logits):
        before = tokenizer.decode_bytes(ids[:step])
        if not other.startswith(before):
            return False
        second, first = np.argsort(row)[-2:]
        taken = ids[step] if step < len(ids) else tokenizer.end_id
        rival = second if taken == first else first
        if row[first] - row[second] < TIE and other.startswith(before + tokenizer.pieces[rival]):
            return True
    return False


def _nudged_answers(
    predictor: TextToText, source: bytes, search: SearchOptions, room: int, places: int | None
) -> Iterator[bytes]:
    """Yields what Keras answers with its weights changed in their last digits, each time otherwise.

    Which hypotheses a beam keeps can hang on these digits at every step, far from where the answers differ.
    """
    kept = [(variable, np.asarray(variable)) for variable in predictor.model.trainable_variables]
    ids = predictor.tokenizer.encode(source)[:places]
    try:
        for seed in range(NUDGES):
            draw = np.random.default_rng(seed)
            for variable, values in kept:
                variable.assign(values * (1 + NUDGE * draw.standard_normal(values.shape, np.float32)))
            best, *_ = predictor.search([ids], search)[0]
            yield cut_at_character(predictor.tokenizer.decode_bytes(best.ids), room)
    finally:
        for variable, values in kept:
            variable.assign(values)
