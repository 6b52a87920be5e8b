"""Dropout with cheap random numbers.

A generator of good random numbers takes longer than everything else that dropout does. So a model draws two short
sequences of random numbers once for a training step, and every dropout in it combines them anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

DRAWS = 2**17  # words in each of the two sequences
SHIFT = 4099  # words between the beginnings of one dropout's numbers and the next one's
LEAST, WORDS = -(2**15), 2**16  # the least word, and how many there are: the range of int16


class Noise:
    """Random 16-bit words for all dropouts of one step.

    Word i of dropout k is `A[(i + k * SHIFT) mod len(A)] xor B[i mod len(B)]`, where A and B are random and their
    lengths have no common factor. Two words of different dropouts, or of one dropout less than `len(A) * len(B)`
    apart, have at most one of their two parts in common: any two are independent.

    Args:
        seed: a `keras.random.SeedGenerator`.

    Attributes:
        count: dropouts served so far. Set it back to have the same words again, for a part of a model that is
            computed a second time.
    """

    def __init__(self, seed: Any):
        draws = ops.cast(keras.random.randint((2 * DRAWS - 1,), LEAST, LEAST + WORDS, seed=seed), "int16")
        self.first, self.second = draws[:DRAWS], draws[DRAWS:]
        self.count = 0

    def words(self, shape: Any) -> Any:
        """Returns random words, int16, of a shape."""
        size = math.prod(shape) if all(isinstance(n, int) for n in shape) else ops.prod(ops.stack(list(shape)))
        start = self.count * SHIFT % DRAWS
        self.count += 1
        first = ops.slice(_repeated(self.first, start + size), (start,), (size,))
        second = ops.slice(_repeated(self.second, size), (0,), (size,))
        return ops.reshape(ops.bitwise_xor(first, second), shape)


def _repeated(words: Any, size: Any) -> Any:
    """Returns words one after the other, again and again, until there are `size` of them or more."""
    return ops.tile(words, ((size - 1) // words.shape[0] + 1,))


_noise: list[Noise] = []


@contextmanager
def shared_noise(seed: Any) -> Iterator[Noise]:
    """Inside the block all dropouts take their random numbers from one `Noise`, drawn with a `SeedGenerator`."""
    noise = Noise(seed)
    _noise.append(noise)
    try:
        yield noise
    finally:
        _noise.pop()


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dropout(keras.layers.Layer):
    """Sets a random part of its input to zero while training, and scales up the rest (https://jmlr.org/papers/v15/srivastava14a.html).

    Args:
        rate: the part, at least 0 and less than 1; used to the nearest 1/65,536.
        seed: of the random numbers where the layer does not stand inside `shared_noise`.

    Call arguments:
        inputs: of any shape.
        training: whether dropout is active.

    Example:
        ```python
        Dropout(0.1)(keras.ops.ones((2, 3)), training=True)
        ```
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and less than 1; received {rate}")
        self.rate = rate
        self.seed = seed
        self.supports_masking = True
        self.threshold = min(round(rate * WORDS), WORDS - 1)
        self.seed_generator = keras.random.SeedGenerator(seed) if self.threshold else None
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not self.threshold:
            return inputs
        noise = _noise[-1] if _noise else Noise(self.seed_generator)
        threshold = ops.cast(LEAST + self.threshold, "int16")
        kept = ops.cast(ops.greater_equal(noise.words(ops.shape(inputs)), threshold), inputs.dtype)
        return inputs * (kept * ops.cast(WORDS / (WORDS - self.threshold), inputs.dtype))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
