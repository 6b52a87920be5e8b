"""The tagger, and its CRF against every chain of labels there is."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.models import TextTagger
from keras_transformer.models.crf import LinearChainCRF
from keras_transformer.training import TagObjective, TrainingModel

K, B, N = 3, 5, 6
SIZES = {"num_encoder_layers": 1, "hidden_dim": 8, "intermediate_dim": 8, "num_heads": 2, "dropout": 0.0}


class Chains:
    """A CRF and a batch drawn at random, with every chain of labels of a row enumerated."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.crf = LinearChainCRF(K)
        self.weights = [random.normal(size=shape).astype(np.float32) for shape in ((K, K), (K,), (K,))]
        self.crf.set_weights(self.weights)
        self.logits = random.normal(size=(B, N, K)).astype(np.float32)
        self.labels = random.integers(0, K, (B, N), np.int32)
        self.counted = random.random((B, N)) < 0.7
        self.counted[0] = True
        self.counted[1] = False
        self.counted[2, :] = [False, False, True, False, False, False]

    def score(self, row: int, chain: tuple[int, ...]) -> float:
        transitions, start, end = self.weights
        if not chain:
            return 0.0
        own = sum(self.logits[row, place, label] for place, label in zip(self.places(row), chain, strict=True))
        steps = sum(transitions[before, label] for before, label in itertools.pairwise(chain))
        return float(own + steps + start[chain[0]] + end[chain[-1]])

    def places(self, row: int) -> np.ndarray:
        return np.flatnonzero(self.counted[row])

    def all_chains(self, row: int) -> list[tuple[int, ...]]:
        return list(itertools.product(range(K), repeat=len(self.places(row))))


@pytest.fixture(scope="module")
def chains() -> Chains:
    return Chains()


def test_the_likelihood_is_that_of_all_chains(chains: Chains) -> None:
    found = ops.convert_to_numpy(chains.crf.log_likelihood(chains.logits, chains.labels, chains.counted))
    for row in range(B):
        total = np.log(sum(np.exp(chains.score(row, chain)) for chain in chains.all_chains(row)))
        wanted = chains.score(row, tuple(chains.labels[row, chains.places(row)]))
        np.testing.assert_allclose(found[row], wanted - total, rtol=1e-5, atol=1e-5)


def test_viterbi_finds_the_best_of_all_chains(chains: Chains) -> None:
    found = ops.convert_to_numpy(chains.crf.decode(chains.logits, chains.counted))
    assert found.dtype == np.int32
    for row in range(B):
        best = max(chains.all_chains(row), key=lambda chain: chains.score(row, chain))
        assert tuple(found[row, chains.places(row)]) == best


def test_padding_changes_nothing(chains: Chains) -> None:
    more = ((0, 0), (0, 3))
    logits = np.pad(chains.logits, (*more, (0, 0)), constant_values=9.0)
    labels, counted = np.pad(chains.labels, more, constant_values=-1), np.pad(chains.counted, more)
    for method, arguments in (("log_likelihood", (labels, counted)), ("decode", (counted,))):
        short = (chains.labels, chains.counted) if method == "log_likelihood" else (chains.counted,)
        padded = ops.convert_to_numpy(getattr(chains.crf, method)(logits, *arguments))
        plain = ops.convert_to_numpy(getattr(chains.crf, method)(chains.logits, *short))
        if method == "decode":
            padded, plain = padded[:, :N] * chains.counted, plain * chains.counted
        np.testing.assert_allclose(padded, plain, rtol=1e-6)


def batch() -> tuple[dict[str, np.ndarray], np.ndarray]:
    ids = np.array([[5, 6, 7, 8], [9, 5, 0, 0]], np.int32)
    labels = np.array([[0, 2, -1, 1], [-1, 1, -1, -1]], np.int32)
    return {"ids": ids}, labels


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("consistency", [0.0, 1.0])
def test_it_learns(crf: bool, consistency: float) -> None:
    keras.utils.set_random_seed(0)
    model = TextTagger(12, K, crf, **SIZES)
    training = TrainingModel(model, TagObjective(0.0, crf), consistency=consistency)
    training.compile(optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    inputs, labels = batch()
    first = training.train_on_batch(inputs, labels, return_dict=True)
    for _ in range(30):
        last = training.train_on_batch(inputs, labels, return_dict=True)
    assert last["nll"] < first["nll"] / 3
    counted = labels >= 0
    found = ops.convert_to_numpy(model.decode(model(inputs), counted))
    np.testing.assert_array_equal(found[counted], labels[counted])
    if crf:
        assert any(np.abs(weight).max() > 0.01 for weight in model.crf.get_weights())


def objective_sums(objective: TagObjective, logits: np.ndarray, labels: np.ndarray, **options: Any) -> Any:
    options = {"consistency": 0.0, "training": True, **options}
    return objective.sums(None, {}, ops.convert_to_tensor(logits), ops.convert_to_tensor(labels), **options)


def test_sums_of_words() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(2, 4, K)).astype(np.float32)
    labels = batch()[1]
    found = objective_sums(TagObjective(0.1), logits, labels)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    own = [log_probabilities[place][label] for place, label in np.ndenumerate(labels) if label >= 0]
    spread = [log_probabilities[place].mean() for place, label in np.ndenumerate(labels) if label >= 0]
    right = [logits[place].argmax() == label for place, label in np.ndenumerate(labels) if label >= 0]
    assert float(found.weight) == 4
    np.testing.assert_allclose(found.metrics["nll"], -sum(own), rtol=1e-5)
    np.testing.assert_allclose(found.loss, -0.9 * sum(own) - 0.1 * sum(spread), rtol=1e-5)
    assert float(found.metrics["accuracy"]) == sum(right)


def test_sums_of_rows_computed_twice() -> None:
    random = np.random.default_rng(2)
    logits, labels = random.normal(size=(4, 4, K)).astype(np.float32), batch()[1]
    once = [objective_sums(TagObjective(), half, labels) for half in (logits[:2], logits[2:])]
    twice = objective_sums(TagObjective(), logits, labels, consistency=2.0)
    p, q = (np.exp(half) / np.exp(half).sum(axis=-1, keepdims=True) for half in (logits[:2], logits[2:]))
    divergence = (((p - q) * np.log(p / q)).sum(axis=-1) * (labels >= 0)).sum()
    wanted = (float(once[0].loss) + float(once[1].loss)) / 2 + 2.0 / 4 * divergence
    np.testing.assert_allclose(twice.loss, wanted, rtol=1e-5)
    assert float(twice.weight) == 4


def test_padding_is_masked_and_the_config_is_complete() -> None:
    model = TextTagger(12, K, crf=True, **SIZES)
    inputs, _ = batch()
    wider = {"ids": np.pad(inputs["ids"], ((0, 0), (0, 3)))}
    np.testing.assert_allclose(model(wider)[:, :4], model(inputs), rtol=1e-4, atol=1e-5)
    again = TextTagger.from_config(model.get_config())
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in model.weights]
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(inputs), model(inputs))
    assert {"transitions", "start", "end"} <= {weight.name for weight in model.weights}
