"""Greedy search against a plain loop."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.generation import Decoder, SpecialIds, StepOutput, generate_ids
from keras_transformer.models import Seq2SeqTransformer

PAD, START, END = 0, 1, 2
SPECIAL = SpecialIds(START, END, PAD)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype("float64") - logits.max()
    return logits - np.log(np.exp(logits).sum())


def table(chains: list[list[int]], vocabulary: int = 10) -> np.ndarray:
    """Returns logits `[rows, vocabulary, vocabulary]`: in each row an id is followed by the next one of its chain."""
    logits = np.random.default_rng(0).normal(size=(len(chains), vocabulary, vocabulary)).astype("float32")
    for row, chain in enumerate(chains):
        for last, following in zip([START, *chain], chain, strict=False):
            logits[row, last, following] = 9.0
    return logits


def search_chains(chains: list[list[int]], max_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Searches among chains, and counts the steps in the cache."""
    logits, steps = ops.convert_to_tensor(table(chains)), []

    def step(ids: Any, index: Any, cache: Any) -> StepOutput:
        steps.append(int(index))
        rows = ops.arange(len(chains))
        flat = ops.reshape(logits, (-1, logits.shape[-1]))
        return StepOutput(ops.take(flat, rows * logits.shape[1] + ids, axis=0), cache)

    found = generate_ids(step, (), len(chains), max_length, SPECIAL)
    assert steps == list(range(len(steps)))
    return np.asarray(found.ids)[:, 0], np.asarray(found.lengths)[:, 0], np.asarray(found.scores)[:, 0], len(steps)


def test_every_row_ends_where_it_ends() -> None:
    chains = [[3, 4, END], [5, 6, 7, 8, END], [END]]
    ids, lengths, scores, steps = search_chains(chains, max_length=8)
    assert ids.tolist() == [[3, 4, 2, 0, 0, 0, 0, 0], [5, 6, 7, 8, 2, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]]
    assert lengths.tolist() == [2, 4, 0]
    assert steps == 5  # as many as the longest row has, the end included
    for row, chain in enumerate(chains):
        logits = table(chains)[row]
        pairs = zip([START, *chain], chain, strict=False)
        assert scores[row] == pytest.approx(sum(log_softmax(logits[last])[next_] for last, next_ in pairs), abs=1e-5)


def test_the_limit_of_length() -> None:
    ids, lengths, _, steps = search_chains([[3, 4, 5, 6, 7, END], [5, 6, END]], max_length=4)
    assert ids.tolist() == [[3, 4, 5, 6], [5, 6, 2, 0]]
    assert lengths.tolist() == [4, 2]
    assert steps == 4


def test_padding_that_the_model_chose_does_not_shorten_the_answer() -> None:
    ids, lengths, _, _ = search_chains([[3, PAD, 5, END], [4, 5, 6, 7]], max_length=4)
    assert ids.tolist() == [[3, 0, 5, 2], [4, 5, 6, 7]]
    assert lengths.tolist() == [3, 4]


@pytest.fixture(scope="module")
def model() -> Seq2SeqTransformer:
    made = Seq2SeqTransformer(
        11, num_encoder_layers=1, num_decoder_layers=2, hidden_dim=8, intermediate_dim=12, num_heads=2
    )
    random = np.random.default_rng(23)  # a seed whose answers differ in ids and lengths
    for weight in made.trainable_weights:
        scale = {"kernel": 1.0, "embeddings": 0.3}.get(weight.name)
        if scale is not None:
            weight.assign(random.normal(size=weight.shape) * scale)
    return made


SOURCES = np.random.default_rng(1).integers(3, 11, size=(6, 6)).astype("int32")
SOURCES[:, 4:] *= np.random.default_rng(2).integers(0, 2, size=(6, 1))  # some are shorter: padding at their end


@pytest.fixture(scope="module")
def one_shot(model: Seq2SeqTransformer) -> list[tuple[list[int], float]]:
    """What a plain loop finds that computes all logits anew for every id: ids with the end, and log-probability."""
    found: list[tuple[list[int], float]] = []
    for source in SOURCES:
        ids, score = [START], 0.0
        while len(ids) < 9 and ids[-1] != END:
            logits = np.asarray(model({"source_ids": source[None], "target_ids": np.array([ids], "int32")}))[0, -1]
            ids.append(int(logits.argmax()))
            score += log_softmax(logits)[ids[-1]]
        found.append((ids[1:], float(score)))
    return found


@pytest.fixture(scope="module")
def decoded(model: Seq2SeqTransformer) -> dict[str, np.ndarray]:
    found = Decoder(model, 8, SPECIAL).predict_on_batch(SOURCES)
    return {name: found[name][:, 0] for name in ("ids", "lengths", "scores")}


def test_equals_a_plain_loop_over_one_shot_logits(
    decoded: dict[str, np.ndarray], one_shot: list[tuple[list[int], float]]
) -> None:
    assert len({len(ids) for ids, _ in one_shot}) > 2, "sentences of one length prove little"
    assert any(ids[-1] == END for ids, _ in one_shot)
    for row, (ids, score) in enumerate(one_shot):
        assert decoded["ids"][row].tolist() == ids + [PAD] * (8 - len(ids))
        assert decoded["lengths"][row] == len(ids) - (ids[-1] == END)
        assert decoded["scores"][row] == pytest.approx(score, abs=1e-4)


def test_a_batch_equals_its_sentences(model: Seq2SeqTransformer, decoded: dict[str, np.ndarray]) -> None:
    decoder = Decoder(model, 8, SPECIAL)
    for row in range(0, 6, 2):
        source = SOURCES[row][SOURCES[row] != PAD]
        alone = decoder.search(ops.convert_to_tensor(source[None]))
        np.testing.assert_array_equal(np.asarray(alone.ids)[0, 0], decoded["ids"][row])
        np.testing.assert_allclose(np.asarray(alone.scores)[0, 0], decoded["scores"][row], atol=1e-5)


def test_the_decoder_has_the_weights_of_its_model(model: Seq2SeqTransformer) -> None:
    decoder = Decoder(model, 4, SPECIAL)
    before = decoder.predict_on_batch(SOURCES[:2])["scores"]
    weights = model.get_weights()
    try:
        model.set_weights([weight * 0.5 for weight in weights])
        assert (decoder.predict_on_batch(SOURCES[:2])["scores"] != before).any()
    finally:
        model.set_weights(weights)
    assert isinstance(decoder, keras.Model)
