"""Parts a data set into training, validation and test pairs by a hash of the source text."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from keras_transformer.data.rows import Row
from keras_transformer.errors import UserError

LARGEST_DEFAULT = 1000
DEFAULT_SHARE = 0.05


def default_split_sizes(count: int) -> tuple[int, int]:
    """Returns how many of `count` pairs go to validation and to test: 1,000 each, at most 5%, at least 1."""
    size = max(1, min(LARGEST_DEFAULT, int(count * DEFAULT_SHARE)))
    return size, size


def split_pairs(
    pairs: Iterable[Row], validation: int | float, test: int | float, seed: int, start: float = 0.0
) -> tuple[list[Row], list[Row], list[Row]]:
    """Parts `pairs` into training, validation and test pairs, each in its first order.

    A hash of `seed` and the source text gives every source a place on a ring, [0, 1). The first places from `start` on
    are test, the next validation, the rest training. So:

    - The same pairs and seed give the same parts, in whatever order the pairs come.
    - Pairs with the same source are always in the same part: no test source is seen in training.
    - When data is added, no pair moves if the sizes are shares. If they are numbers, pairs may move from test to
      validation and from validation to training, never back: what a model was trained on does not become its test.

    Args:
        pairs: the rows; `fields[0]` is the source.
        validation, test: a share (float, 0 <= share < 1), met on average, or a number of pairs (int), exceeded only
            where the last source taken has several targets. 0 leaves a part empty.
        seed: another seed, another split.
        start: where the test part begins. With a share of 1 / n and starts of 0, 1 / n ... every row is in one of the
            n test parts: the folds of a cross-validation.

    Raises:
        UserError: a size makes no sense, a part asked for would be empty, or the training part would be smaller than
            validation and test together.
    """
    rows = list(pairs)
    sizes = {"test": test, "validation": validation}
    for name, size in sizes.items():
        if size < 0 or (isinstance(size, float) and size >= 1):
            raise UserError(
                f"The {name} part is {size!r}; give a number of pairs (0, 1, ...) or a share (0.0 to 0.99)."
            )
    part = _part_of_source(rows, sizes, seed, start)
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[part.get(row.fields[0], "train")].append(row)
    for name, size in sizes.items():
        if size and not parts[name]:
            raise UserError(
                f"Too little data: none of {len(rows):,} rows falls into the {name} part of {size!r}; "
                f"give it a whole number of rows, or add data.{_few_texts(rows)}"
            )
    held_out = len(parts["validation"]) + len(parts["test"])
    if len(parts["train"]) < max(1, held_out):
        raise UserError(
            f"Too little data: of {len(rows):,} rows, validation ({validation!r}) and test ({test!r}) take "
            f"{held_out:,} and leave {len(parts['train']):,} to train on, less than half; add data, or give files for "
            f"these parts.{_few_texts(rows)}"
        )
    return parts["train"], parts["validation"], parts["test"]


def _few_texts(rows: list[Row]) -> str:
    """What to look at where most rows have the text of another one; an empty string otherwise."""
    different = len({row.fields[0] for row in rows})
    if not rows or 4 * different > len(rows):
        return ""
    return (
        f" The rows have only {different:,} different texts, and all rows of a text stay in one part: are the columns "
        "the other way round?"
    )


def _part_of_source(rows: list[Row], sizes: dict[str, int | float], seed: int, start: float) -> dict[str, str]:
    """Gives every source outside the training part the name of its part, the lowest places first."""
    counts = Counter(row.fields[0] for row in rows)
    ordered = sorted(((_place(source, seed) - start) % 1.0, source) for source in counts)
    part: dict[str, str] = {}
    index, begin = 0, 0.0
    for name, size in sizes.items():
        taken = 0
        while index < len(ordered) and (ordered[index][0] < begin + size if isinstance(size, float) else taken < size):
            source = ordered[index][1]
            part[source] = name
            taken += counts[source]
            index += 1
        # The next share begins where this part ended, not at its last source: appended data then moves nothing.
        begin = begin + size if isinstance(size, float) else _end(ordered, index)
    return part


def _end(ordered: list[tuple[float, str]], index: int) -> float:
    return ordered[index][0] if index < len(ordered) else 1.0


def _place(source: str, seed: int) -> float:
    """Returns the place of a source text in [0, 1), evenly spread and the same on every machine."""
    digest = hashlib.blake2b(source.encode("utf-8"), digest_size=8, salt=_salt(seed)).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _salt(seed: int) -> bytes:
    return (seed % (1 << 128)).to_bytes(16, "big")
