"""Dropout with cheap random numbers.

A generator of good random numbers takes longer than everything else that dropout does. So a model draws two short
sequences of random numbers once for a training step, and every dropout in it combines them anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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
        size = _size(shape)
        start = self.count * SHIFT % DRAWS
        self.count += 1
        first = ops.slice(_repeated(self.first, start + size), (start,), (size,))
        second = ops.slice(_repeated(self.second, size), (0,), (size,))
        return ops.reshape(ops.bitwise_xor(first, second), shape)

    def parts(self) -> Callable[[Any, Any], Any]:
        """Returns the words of one dropout for whoever wants them in parts of equal shape, and wants them twice.

        The function takes the number of a part, which may be a tensor, and the shape of a part.
        """
        begin = self.count * SHIFT % DRAWS
        self.count += 1

        def words(part: Any, shape: Any) -> Any:
            size = _size(shape)
            starts = ((begin + part * (size % DRAWS)) % DRAWS, part * (size % (DRAWS - 1)) % (DRAWS - 1))
            first, second = (
                ops.slice(_repeated(draws, draws.shape[0] + size), (start,), (size,))
                for draws, start in zip((self.first, self.second), starts, strict=True)
            )
            return ops.reshape(ops.bitwise_xor(first, second), shape)

        return words


def _size(shape: Any) -> Any:
    """Returns the number of elements, a tensor if a dimension is one."""
    return math.prod(shape) if all(isinstance(n, int) for n in shape) else ops.prod(ops.stack(list(shape)))


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


def current_noise() -> Noise | None:
    """Returns the `Noise` of the `shared_noise` around the call, if there is one."""
    return _noise[-1] if _noise else None


@contextmanager
def noise_again(noise: Noise, count: int) -> Iterator[None]:
    """Inside the block all dropouts take the random numbers that `noise` had when its count was `count`."""
    before, noise.count = noise.count, count
    _noise.append(noise)
    try:
        yield
    finally:
        _noise.pop()
        noise.count = max(before, noise.count)  # whatever comes next has numbers of its own


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
        return inputs * self._factors(self._noise().words(self._noise_shape(inputs)), inputs.dtype)

    def factors_in_parts(self, dtype: str) -> Callable[[Any, Any], Any] | None:
        """Returns what gives the factors, 0 or above 1, for one part of an input after the other; None at a rate of 0.

        The function takes the number of a part and its shape, and gives the same factors whenever it is called: for
        a gradient that computes the parts again.
        """
        if not self.threshold:
            return None
        words = self._noise().parts()
        return lambda part, shape: self._factors(words(part, shape), dtype)

    def _noise(self) -> Noise:
        return current_noise() or Noise(self.seed_generator)

    def _noise_shape(self, inputs: Any) -> Any:
        return ops.shape(inputs)

    def _factors(self, words: Any, dtype: Any) -> Any:
        kept = ops.cast(ops.greater_equal(words, ops.cast(LEAST + self.threshold, "int16")), dtype)
        return kept * ops.cast(WORDS / (WORDS - self.threshold), dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_transformer")
class StochasticDepth(Dropout):
    """Sets random rows of a batch to zero while training, and scales up the others (https://arxiv.org/abs/1603.09382).

    On what a sublayer adds to the residual stream: a row that is dropped passes the sublayer by. No time is saved, the
    rows beside it need the sublayer. LayerDrop (https://arxiv.org/abs/1909.11556) drops for the whole batch.

    Args:
        rate: the probability that a row is dropped, at least 0 and less than 1; used to the nearest 1/65,536.
        seed: of the random numbers where the layer does not stand inside `shared_noise`.

    Call arguments:
        inputs: `[b, ...]`.
        training: whether rows are dropped.

    Example:
        ```python
        StochasticDepth(0.1)(keras.ops.ones((64, 5, 8)), training=True)  # about 6 of the 64 rows are 0
        ```
    """

    def _noise_shape(self, inputs: Any) -> Any:
        return (ops.shape(inputs)[0], *(1 for _ in inputs.shape[1:]))


@keras.saving.register_keras_serializable(package="keras_transformer")
class WordDropout(Dropout):
    """Sets random positions of a sequence to zero while training, and scales up the others.

    On embeddings it takes whole pieces out of a text, and leaves their places (Iyyer et al., "Deep Unordered
    Composition Rivals Syntactic Methods" (2015), https://aclanthology.org/P15-1162).

    Args:
        rate: the probability that a position is dropped, at least 0 and less than 1; used to the nearest 1/65,536.
        seed: of the random numbers where the layer does not stand inside `shared_noise`.

    Call arguments:
        inputs: `[b, n, ...]`.
        training: whether positions are dropped.

    Example:
        ```python
        WordDropout(0.1)(keras.ops.ones((2, 50, 8)), training=True)  # about 10 of the 100 positions are 0
        ```
    """

    def _noise_shape(self, inputs: Any) -> Any:
        return (*ops.shape(inputs)[:2], *(1 for _ in inputs.shape[2:]))


@keras.saving.register_keras_serializable(package="keras_transformer")
class EmbeddingDropout(Dropout):
    """Sets the embeddings of random pieces of the vocabulary to zero while training, wherever in a batch they stand.

    Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks" (2016),
    https://arxiv.org/abs/1512.05287; the others are scaled up.

    Args:
        rate: the probability that a piece is dropped, at least 0 and less than 1; used to the nearest 1/65,536.
        vocabulary_size: pieces there are.
        seed: of the random numbers where the layer does not stand inside `shared_noise`.

    Call arguments:
        inputs: embeddings `[b, n, w]`.
        training: whether pieces are dropped.
        ids: int32 `[b, n]`, of which pieces they are.

    Example:
        ```python
        EmbeddingDropout(0.1, vocabulary_size=100)(embedding(ids), ids=ids, training=True)
        ```
    """

    def __init__(self, rate: float, vocabulary_size: int, seed: int | None = None, **kwargs: Any):
        super().__init__(rate, seed, **kwargs)
        self.vocabulary_size = vocabulary_size

    def call(self, inputs: Any, training: bool | None = None, ids: Any = None) -> Any:
        if not training or not self.threshold:
            return inputs
        factors = self._factors(self._noise().words((self.vocabulary_size,)), inputs.dtype)
        return inputs * ops.expand_dims(ops.take(factors, ids, axis=0), -1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}
