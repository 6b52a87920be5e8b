"""int8 products with fixed scales, in a model made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer.export import checks
from keras_transformer.export.flatbuffer import operators, read_model, write_model
from keras_transformer.export.observing import Observed, observe
from keras_transformer.export.quantizing import matrices
from keras_transformer.export.static import asymmetric, range_of, write_static
from keras_transformer.layers.projection import Projection
from tests.export.tiny_lite import IDS, INSIDE, PIECES, WIDTH, run, tiny_model


def observed(model: Any, without: tuple[int, int] | None = None) -> list[Observed]:
    """What would be seen at the two products inside of the hand-made model, generously."""
    found = []
    for matrix in matrices(model):
        if matrix.values.shape not in ((PIECES, WIDTH), without):
            ends = np.tile(np.array([[-8.0], [8.0]], np.float32), (1, len(matrix.values)))
            low = 0.0 if matrix.values.shape == (WIDTH, INSIDE) else -5.0
            found.append(Observed(matrix.values, np.array([low, 8.0], np.float32), ends))
    return found


def rewritten(tmp_path: Path, seen: list[Observed]) -> Path:
    write_model(tiny_model(), tmp_path / "whole.tflite")
    write_static(tmp_path / "whole.tflite", tmp_path / "static.tflite", seen)
    return tmp_path / "static.tflite"


@pytest.mark.parametrize("signature", ["long", "short"])
def test_the_answers_are_nearly_the_same(tmp_path: Path, signature: str) -> None:
    path = rewritten(tmp_path, observed(tiny_model()))
    whole = run(tiny_model(), tmp_path / "whole.tflite", signature)
    found = run(read_model(path), tmp_path / "x.tflite", signature)
    assert [np.corrcoef(a, b)[0, 1] > 0.98 for a, b in zip(found, whole, strict=True)] == [True] * len(whole)


def test_what_the_file_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SMALLEST_WEIGHT", 4096)
    model = read_model(rewritten(tmp_path, observed(tiny_model())))
    counted = operators(model)["long"]
    # the second product reads what the first gives, in whole numbers
    assert (counted["FULLY_CONNECTED"], counted["QUANTIZE"]) == (3, 1)
    checks.check_rewritten(model, "x", "int8_static")
    checks.check_weights_once(model, "x")
    checks.check_operators(model, "x")


def test_products_that_were_not_seen_have_scales_as_they_come(tmp_path: Path) -> None:
    seen = observed(tiny_model(), without=(INSIDE, WIDTH))
    model = read_model(rewritten(tmp_path, seen))
    assert operators(model)["long"]["QUANTIZE"] == 1
    whole = run(tiny_model(), tmp_path / "whole.tflite")
    found = run(model, tmp_path / "x.tflite")
    assert [np.corrcoef(a, b)[0, 1] > 0.98 for a, b in zip(found, whole, strict=True)] == [True] * len(IDS)


def test_a_matrix_is_found_though_its_rows_were_scaled() -> None:
    """The converter folds attention's 1 / sqrt(d) into the query's matrix."""
    kernel = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    one = Observed(kernel, np.array([-1, 2], np.float32), np.stack([np.full(6, -3.0), np.full(6, 5.0)]))
    factors = np.array([0.5, 0.5, 0.5, 1, 1, -2], np.float32)
    found = range_of(kernel * factors[:, None], [one])
    assert found is not None
    np.testing.assert_allclose(found.inputs, [-1, 2])
    np.testing.assert_allclose(found.outputs, [-10, 6])
    assert range_of(kernel[::-1], [one]) is None
    assert range_of(kernel[:5], [one]) is None


@pytest.mark.parametrize(("ends", "zero"), [((-1, 1), 0), ((0, 5), -128), ((2, 5), -128), ((-3, -1), 127)])
def test_zero_is_among_the_numbers(ends: tuple[float, float], zero: int) -> None:
    found = asymmetric(np.array(ends))
    assert abs(int(found.zeroPoint[0]) - zero) <= 1
    low, high = min(ends[0], 0), max(ends[1], 0)
    assert found.scale[0] == pytest.approx((high - low) / 255)


def test_what_is_seen_in_keras() -> None:
    first, second = Projection(3, activation="relu", name="first"), Projection(2, name="second")
    model = keras.Sequential([keras.Input((4,)), first, second])
    first.kernel.assign(np.eye(4, 3))
    rows = [np.array([[1, -2, 3, 9]], np.float32), np.array([[-4, 5, 6, 0]], np.float32)]
    seen = observe(model, rows)
    assert [one.kernel.shape for one in seen] == [(3, 4), (2, 3)]
    np.testing.assert_allclose(seen[0].inputs, [-4, 9])
    np.testing.assert_allclose(seen[0].outputs, [[0, 0, 3], [1, 5, 6]])
    np.testing.assert_allclose(seen[1].inputs, [0, 6])
    assert "call" not in vars(first), "the layers are as they were"
