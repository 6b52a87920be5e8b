"""Draws attention maps: every block and head of a sentence in one picture, with the pieces along both sides.

Shapes: h heads, q query length, k key length.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 14  # pixels of a side of one weight
GAP = 16  # pixels between maps
MAX_HEADS = 8
MAX_LABEL = 16  # characters
# Of the 256 colours the lower half are weights, dark to light with even steps to the eye (five points of "viridis");
# the upper half are grey, from ink to paper, for letters with smooth edges.
WEIGHT_COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
INK, PAPER = 128, 255
# Pillow's own font has no letter beyond ASCII: one that the machine has is better.
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")


def attention_picture(maps: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> tuple[bytes, tuple[int, int]]:
    """Draws a line of maps for each block: the mean of its heads, then its first eight heads.

    Args:
        maps: `[blocks, h, q, k]`, weights from 0 (dark) to 1 (light); their square root is what is shown, so that
            what is spread over many pieces can still be seen.
        rows: q pieces, of the queries.
        columns: k pieces, of the keys.

    Returns: a PNG, and its width and height in pixels.

    Example:
        ```python
        png, size = attention_picture(maps, ["<start>", "ein", " mann"], ["a", " man"])
        ```
    """
    font = _font()
    rows, columns = [_fitting(text, font) for text in rows], [_fitting(text, font) for text in columns]
    left = 8 + int(max(font.getlength(text) for text in [*rows, f"block {len(maps)}"]))
    names = _upright(columns, font)
    top = names.height + CELL
    height, width = len(rows) * CELL, len(columns) * CELL
    shown = np.concatenate([maps.mean(axis=1, keepdims=True), maps[:, :MAX_HEADS]], axis=1)
    levels = np.sqrt(shown.clip(0, 1)) * (INK - 1)
    titles = ["mean", *(f"head {head}" for head in range(1, shown.shape[1]))]
    canvas = Image.new("L", (left + len(titles) * (width + GAP), len(maps) * (top + height + GAP)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for block, of_heads in enumerate(levels):
        y = block * (top + height + GAP)
        draw.text((0, y), f"block {block + 1}", INK, font)
        for i, text in enumerate(rows):
            draw.text((left - 4, y + top + i * CELL + CELL // 2), text, INK, font, anchor="rm")
        for i, title in enumerate(titles):
            x = left + i * (width + GAP)
            draw.text((x, y), title, INK, font)
            canvas.paste(names, (x, y + CELL))
            cells = np.repeat(np.repeat(of_heads[i].astype(np.uint8), CELL, axis=0), CELL, axis=1)
            canvas.paste(Image.fromarray(cells), (x, y + top))
    return _encoded(canvas), canvas.size


def legible(text: str, is_known: Callable[[str], bool] = str.isprintable) -> str:
    r"""Returns a piece for people to read: `"·man"` for `" man"`, `"\n"` for a line's end, codes for others."""
    shown = ("·" if letter == " " else letter if is_known(letter) else _code(letter) for letter in text)
    return "".join(shown)


def _code(letter: str) -> str:
    # `\xe4` is what a piece has that is a single byte
    return letter.encode("unicode_escape").decode() if letter < "\x80" else f"\\u{ord(letter):04x}"


def _fitting(text: str, font: ImageFont.FreeTypeFont) -> str:
    text = legible(text, lambda letter: letter.isprintable() and _is_in(letter, font))
    return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 2]}.."


def _upright(texts: Sequence[str], font: ImageFont.FreeTypeFont) -> Image.Image:
    """Texts side by side, a cell apart, each read from the bottom up."""
    length = 4 + int(max(font.getlength(text) for text in texts))
    lying = Image.new("L", (length, len(texts) * CELL), PAPER)
    for i, text in enumerate(texts):
        ImageDraw.Draw(lying).text((3, i * CELL + CELL // 2), text, INK, font, anchor="lm")
    return lying.transpose(Image.Transpose.ROTATE_90)


def _encoded(canvas: Image.Image) -> bytes:
    points = np.linspace(0, INK - 1, len(WEIGHT_COLORS))
    weights = [np.interp(np.arange(INK), points, channel) for channel in zip(*WEIGHT_COLORS, strict=True)]
    greys = [np.linspace(40, 255, 256 - INK)] * 3
    palette = np.concatenate([np.stack(weights, axis=1), np.stack(greys, axis=1)]).astype(np.uint8)
    picture = Image.frombytes("P", canvas.size, canvas.tobytes())
    picture.putpalette(palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, CELL - 3)
        except OSError:
            continue
    font = ImageFont.load_default(CELL - 3)
    assert isinstance(font, ImageFont.FreeTypeFont)  # every wheel of Pillow has FreeType
    return font


@functools.cache
def _is_in(letter: str, font: ImageFont.FreeTypeFont) -> bool:
    """Whether a font has a letter: others look like one that no font can have."""
    found, missing = font.getmask(letter), font.getmask("\uffff")
    return found.size != missing.size or bytes(found) != bytes(missing)
