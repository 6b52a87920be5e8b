"""The search as a model: what it refuses, lengths it derives from the source, and a first try with less room."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.errors import UserError
from keras_transformer.generation import Decoder, SearchOptions, SpecialIds, TextToText

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SPECIAL = SpecialIds(1, 2, 0)
VOCABULARY = 270
OTHERS = tuple(range(3, VOCABULARY))
REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"beam": 271}, {}, r"beam is 271, more than the 270 pieces of the vocabulary"),
    ({"samples": 2, "top_k": 271}, {}, r"top_k is 271, more than the 270 pieces of the vocabulary"),
    ({"min_length": 8}, {}, r"min_length is 8, but an answer has at most 7 pieces"),
    ({}, {"forbidden": OTHERS}, r"forbidden leaves no piece to make an answer of; forbid less"),
    ({}, {"prefix": (5,) * 8}, r"prefix has 8 pieces, more than the 7 that an answer may have"),
    ({"max_length": 3}, {"prefix": (5,) * 4}, r"prefix has 4 pieces, more than the 3 that an answer may have"),
]


@pytest.fixture(scope="module")
def model(answering: TextToText) -> keras.Model:
    return answering.model


@pytest.mark.parametrize(("options", "more", "message"), REFUSED)
def test_what_does_not_fit_the_model(
    model: keras.Model, options: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        Decoder(model, 8, SPECIAL, SearchOptions(**options), **more)


def test_what_just_fits(model: keras.Model) -> None:
    for options, more in [
        ({"samples": 300}, {}),
        ({"samples": 2, "top_k": 270}, {}),
        ({"min_length": 7}, {}),
        ({}, {"forbidden": OTHERS[1:]}),
        ({"max_length": 3}, {"prefix": (5,) * 3}),
    ]:
        Decoder(model, 8, SPECIAL, SearchOptions(**options), **more)


def test_a_beam_as_wide_as_the_vocabulary(model: keras.Model) -> None:
    """The best pair of pieces of all, each beam having been kept."""
    source = np.array([[30, 40, 50]], np.int32)
    found = Decoder(model, 2, SPECIAL, SearchOptions(beam=VOCABULARY)).search(source)
    inputs = {
        "source_ids": np.repeat(source, VOCABULARY, axis=0),
        "target_ids": np.stack([np.ones(VOCABULARY), np.arange(VOCABULARY)], axis=1).astype("int32"),
    }
    gains = np.asarray(ops.log_softmax(model(inputs), axis=-1))
    totals = gains[0, 0][:, None] + gains[:, 1]  # [first, second]
    totals[SPECIAL.end_id] = gains[0, 0, SPECIAL.end_id]  # and nothing more is paid for
    best = np.unravel_index(totals.argmax(), totals.shape)
    ids = np.asarray(found.ids)[0, 0].tolist()
    assert ids == ([2, 0] if best[0] == SPECIAL.end_id else list(best))
    assert float(found.scores[0, 0]) == pytest.approx(totals.max(), abs=1e-4)


def limits(model: keras.Model, pieces: list[int], prefix: tuple[int, ...] = (), **options: Any) -> list[Any]:
    """The fewest and the most ids of an answer, the end of `force_end` included, for sources of so many pieces."""
    is_source = np.arange(max(pieces)) < np.array(pieces)[:, None]
    found = Decoder(model, 20, SPECIAL, SearchOptions(**options), prefix=prefix)._constraints(is_source)
    return [None if given is None else np.asarray(given).tolist() for given in (found.min_lengths, found.max_lengths)]


@pytest.mark.parametrize(
    ("options", "shortest", "longest"),
    [
        ({}, None, None),
        ({"min_length": 3}, [3, 3, 3], None),
        ({"max_length": 5}, None, [5, 5, 5]),
        ({"max_length": 99}, None, [19, 19, 19]),
        ({"force_end": True}, None, [20, 20, 20]),
        ({"max_length": 5, "force_end": True}, None, [6, 6, 6]),
        ({"max_ratio": 1.5}, None, [2, 6, 19]),  # 1.5, 6 and 45 pieces
        ({"max_ratio": 0.001}, None, [1, 1, 1]),
        ({"max_ratio": 1000.0}, None, [19, 19, 19]),
        ({"max_ratio": 1.5, "force_end": True}, None, [3, 7, 20]),
        ({"max_ratio": 1.5, "max_length": 5}, None, [2, 5, 5]),
        ({"max_ratio": 0.5, "min_length": 4}, [4, 4, 4], [4, 4, 15]),  # the fixed number is above the relative one
        ({"min_ratio": 0.5}, [1, 2, 15], None),
        ({"min_ratio": 1.0}, [1, 4, 19], None),
        ({"min_ratio": 1.0, "max_length": 3}, [1, 3, 3], [3, 3, 3]),
        ({"min_ratio": 1.0, "max_ratio": 1.0}, [1, 4, 19], [1, 4, 19]),
    ],
)
def test_lengths_of_an_answer(
    model: keras.Model, options: dict[str, Any], shortest: list[int] | None, longest: list[int] | None
) -> None:
    assert limits(model, [1, 4, 30], **options) == [shortest, longest]


def test_there_is_room_for_the_prefix(model: keras.Model) -> None:
    assert limits(model, [1, 9], (7, 8, 9), max_ratio=0.5) == [None, [3, 5]]


@pytest.mark.parametrize("options", [{"min_length": 2}, {"beam": 3, "min_length": 2}])
def test_a_first_try_with_less_room(
    model: keras.Model, texts: list[str], answering: TextToText, options: dict[str, Any]
) -> None:
    """What ends in fewer steps than there is room for is what the whole search finds; see test_beam for more."""
    whole, small, ended = 12, 8, 0
    search = SearchOptions(**options)
    full, tried = Decoder(model, whole, SPECIAL, search), Decoder(model, whole, SPECIAL, search, try_length=small)
    for text in texts:
        source = np.zeros((1, 24), np.int32)
        source[0, : len(answering.tokenizer.encode(text))] = answering.tokenizer.encode(text)
        expected, found = full.predict_on_batch(source), tried.predict_on_batch(source)
        assert found["ids"].shape == (1, 1, small)
        if found["steps"][0] < small:
            ended += 1
            np.testing.assert_array_equal(found["ids"], expected["ids"][:, :, :small])
            assert not expected["ids"][:, :, small:].any()
            np.testing.assert_array_equal(found["lengths"], expected["lengths"])
            np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5)
    assert 0 < ended < len(texts), "some end in less room, some do not"


def test_more_room_than_there_is(model: keras.Model) -> None:
    found = Decoder(model, 6, SPECIAL).search(np.array([[30, 40]], np.int32), max_length=99)
    assert np.asarray(found.ids).shape == (1, 1, 6)


def test_seed_and_temperature_in_place_of_the_options(model: keras.Model) -> None:
    source = np.array([[30, 40, 50]], np.int32)
    plain = Decoder(model, 8, SPECIAL, SearchOptions(samples=4))
    own = Decoder(model, 8, SPECIAL, SearchOptions(samples=4, seed=9, temperature=0.5)).search(source)
    given = plain.search(source, ops.convert_to_tensor(9, "int32"), ops.convert_to_tensor(0.5))
    np.testing.assert_array_equal(np.asarray(given.ids), np.asarray(own.ids))
    assert (np.asarray(plain.search(source).ids) != np.asarray(own.ids)).any()


def test_what_was_not_asked_for_is_not_returned(model: keras.Model) -> None:
    source = np.array([[30, 40, 0], [30, 40, 50]], np.int32)
    names = ["ids", "lengths", "scores", "log_probabilities", "steps"]
    found = Decoder(model, 4, SPECIAL)(source)
    assert list(found) == names
    assert np.asarray(found["steps"]).tolist() == [4, 4]
    assert list(Decoder(model, 4, SPECIAL, token_scores=True)(source)) == [*names, "token_log_probabilities"]
