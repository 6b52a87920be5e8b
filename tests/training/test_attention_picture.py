"""The pictures of attention: where each weight is, in which colour, and how pieces are written."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from keras_transformer.training import attention_picture
from keras_transformer.training.attention_picture import CELL, GAP, MAX_HEADS, legible


def drawn(maps: np.ndarray, rows: list[str], columns: list[str]) -> tuple[np.ndarray, int, int]:
    """Returns the indexed pixels of a picture, and where its first map begins."""
    png, size = attention_picture.attention_picture(maps, rows, columns)
    picture = Image.open(io.BytesIO(png))
    assert picture.size == size
    pixels = np.asarray(picture)
    left = size[0] - (1 + min(maps.shape[1], MAX_HEADS)) * (len(columns) * CELL + GAP)
    top = size[1] // len(maps) - len(rows) * CELL - GAP
    return pixels, left, top


def test_every_weight_has_its_cell() -> None:
    maps = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 2, 4)).astype(np.float32)
    pixels, left, top = drawn(maps, ["a", "b", "c", "d"], ["x", "y", "z"])
    shown = np.concatenate([maps.mean(axis=1, keepdims=True), maps], axis=1)
    for block in range(2):
        for column in range(3):
            y, x = block * (top + 4 * CELL + GAP) + top, left + column * (3 * CELL + GAP)
            cells = pixels[y : y + 4 * CELL, x : x + 3 * CELL].reshape(4, CELL, 3, CELL)
            assert (cells == cells[:, :1, :, :1]).all()
            np.testing.assert_array_equal(cells[:, 0, :, 0], np.floor(np.sqrt(shown[block, column]) * 127))


def test_dark_is_nothing_and_light_is_all() -> None:
    png, _ = attention_picture.attention_picture(np.eye(2, dtype=np.float32)[None, None], ["a", "b"], ["a", "b"])
    colors = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)
    found = {tuple(color) for color in colors.tolist()}
    assert {(68, 1, 84), (253, 231, 37), (255, 255, 255)} <= found


def test_names_stand_left_and_above() -> None:
    maps = np.zeros((1, 1, 3, 3), np.float32)
    for i in range(3):
        rows, columns = [" "] * 3, [" "] * 3
        rows[i] = columns[i] = "M"
        named, new_left, new_top = drawn(maps, rows, columns)
        widths = [(named[new_top + j * CELL : new_top + (j + 1) * CELL, : new_left - 1] != 255).sum() for j in range(3)]
        assert np.argmax(widths) == i
        heights = [
            (named[CELL:new_top, new_left + j * CELL : new_left + (j + 1) * CELL] != 255).sum() for j in range(3)
        ]
        assert np.argmax(heights) == i


def test_eight_heads_at_most() -> None:
    wide = attention_picture.attention_picture(np.zeros((1, 16, 2, 2)), ["a", "b"], ["a", "b"])[1]
    assert wide == attention_picture.attention_picture(np.zeros((1, 8, 2, 2)), ["a", "b"], ["a", "b"])[1]


@pytest.mark.parametrize(
    ("piece", "shown"),
    [(" man", "·man"), ("\n", "\\n"), ("\t", "\\t"), ("\\xc3", "\\xc3"), ("漢", "漢"), ("\u200b", "\\u200b")],
)
def test_legible(piece: str, shown: str) -> None:
    assert legible(piece) == shown


def test_without_a_font_of_the_machine_letters_become_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_picture, "FONTS", ("no such font.ttf",))
    attention_picture._font.cache_clear()
    try:
        font = attention_picture._font()
        assert attention_picture._fitting("über man", font) == "\\u00fcber·man"
        assert attention_picture._fitting("x" * 40, font) == "x" * 14 + ".."
    finally:
        attention_picture._font.cache_clear()
