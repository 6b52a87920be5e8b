"""The classifier: padding changes nothing, its parts add up to the whole, and it is made again from its config."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer.layers.pooling import POOLINGS
from keras_transformer.models import TextClassifier

NUMBERS: dict[str, Any] = {
    "num_encoder_layers": 2,
    "hidden_dim": 8,
    "intermediate_dim": 12,
    "num_heads": 2,
    "normalize_first": True,
}
IDS = np.array([[5, 6, 7, 0], [8, 9, 0, 0]], "int32")


def classifier(**options: Any) -> TextClassifier:
    keras.utils.set_random_seed(0)
    return TextClassifier(12, num_labels=3, **{**NUMBERS, "dropout": 0.2, **options})


@pytest.mark.parametrize("convolution", [0, 3])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_padding_and_neighbours_change_nothing(pooling: str, policy: str, convolution: int) -> None:
    model = classifier(pooling=pooling, dtype=policy, convolution=convolution)
    found = np.asarray(model({"ids": IDS}))
    assert found.dtype == np.float32
    assert found.shape == (2, 3)
    longer = np.asarray(model({"ids": np.pad(IDS[1:], ((0, 0), (0, 5)))}))
    np.testing.assert_allclose(longer, found[1:], atol=1e-5 if policy == "float32" else 0.03)
    assert np.isfinite(np.asarray(model({"ids": np.zeros((1, 3), "int32")}))).all()


def test_the_whole_is_its_parts() -> None:
    model = classifier(pooling="first", scale=[1.0, 2.0, 3.0], offset=[0.0, 5.0, 0.0])
    expected = np.asarray(model({"ids": IDS}))
    ids = model.read_ids(IDS)
    assert np.asarray(ids)[:, 0].tolist() == [1, 1]
    parts = model.outputs_of(model.pooled(*model.encode(ids)))
    np.testing.assert_allclose(np.asarray(parts), expected, atol=1e-6)
    embedded = model.answer({"ids": IDS}, embedded=model.embedded(IDS))
    np.testing.assert_allclose(np.asarray(embedded), expected, atol=1e-6)
    plain = classifier(pooling="first")
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(np.asarray(plain({"ids": IDS})) * [1, 2, 3] + [0, 5, 0], expected, atol=1e-5)


def test_made_again_from_its_config() -> None:
    options = {
        "pooling": "max",
        "word_dropout": 0.1,
        "embedding_dropout": 0.2,
        "stochastic_depth": 0.3,
        "convolution": 3,
    }
    model = classifier(**options, scale=[2.0] * 3, offset=[1.0] * 3, positions="learned", max_length=9)
    config = model.get_config()
    assert {name: config[name] for name in options} == options
    again = TextClassifier.from_config(config)
    again.set_weights(model.get_weights())
    assert again.get_config() == config
    np.testing.assert_array_equal(np.asarray(again({"ids": IDS})), np.asarray(model({"ids": IDS})))


@pytest.mark.parametrize("name", ["word_dropout", "embedding_dropout"])
def test_dropout_of_words_is_of_training_alone(name: str) -> None:
    model = classifier(dropout=0.0, **{name: 0.5})
    first = np.asarray(model({"ids": IDS}))
    np.testing.assert_array_equal(np.asarray(model.answer({"ids": IDS}, training=False)), first)
    answers = [np.asarray(model.answer({"ids": IDS}, training=True)) for _ in range(4)]
    assert any((answer != answers[0]).any() for answer in answers)


def test_embedding_dropout_takes_a_piece_everywhere() -> None:
    model = classifier(dropout=0.0, embedding_dropout=0.5)
    ids = np.tile(np.arange(3, 12, dtype="int32"), (2, 3))
    x = np.ones((2, 27, 8), "float32")
    found = np.asarray(model.embedding_dropout_layer(x, ids=ids, training=True))
    assert set(np.unique(found)) == {0.0, 2.0}
    for piece in range(3, 12):
        assert len(np.unique(found[ids == piece])) == 1


def test_attention_maps() -> None:
    maps = np.asarray(classifier().attention_maps(IDS)["encoder"])
    assert maps.shape == (2, 2, 2, 4, 4)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)
    assert (maps[1, :, :, :, 2:] == 0).all()


def test_from_preset() -> None:
    assert TextClassifier.from_preset("tiny", 300, num_labels=2).encoder_config["num_encoder_layers"] == 4
