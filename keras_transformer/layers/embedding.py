"""Token embeddings that serve as the output matrix too, and position encodings.

Shapes: b batch, n sequence length, w width of the model, v vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_transformer.layers.rounding import rounded
from keras_transformer.quantization import Grid


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenEmbedding(keras.layers.Layer):
    """Embeds token ids, and with `reverse=True` projects vectors onto the same matrix: tied input and output.

    Tying: https://arxiv.org/abs/1608.05859; the factor sqrt(w) on embeddings: "Attention Is All You Need", 3.4. Share
    the layer between encoder and decoder for three-way tying.

    Args:
        vocabulary_size: v.
        embedding_dim: w.
        scale: whether embeddings are multiplied by sqrt(w).
        mask_zero: whether id 0 is padding, and the layer gives a Keras mask that says so.

    Call arguments:
        inputs: int32 `[b, n]`, or with `reverse=True` vectors `[..., w]`.
        reverse: whether to give logits rather than embeddings.

    Returns: embeddings `[b, n, w]`, or logits `[..., v]` in the compute dtype.

    Attributes:
        grid: what the matrix is rounded to while training, in `table` and `one_table`; none leaves it as it is.

    Example:
        ```python
        embedding = TokenEmbedding(vocabulary_size=1000, embedding_dim=128)
        x = embedding(ids)  # [b, n, 128]
        logits = embedding(x, reverse=True)  # [b, n, 1000]
        ```
    """

    grid: Grid | None = None

    def __init__(
        self, vocabulary_size: int, embedding_dim: int, scale: bool = True, mask_zero: bool = False, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.scale = scale
        self.mask_zero = mask_zero
        self.supports_masking = True
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(vocabulary_size, embedding_dim),
            initializer=keras.initializers.RandomNormal(stddev=embedding_dim**-0.5),
        )
        self.built = True
        self._table: Any = None

    def table(self, training: bool | None = None) -> Any:
        """Returns the matrix `[v, w]` as it is used; rounded to `grid`, if there is one, while training."""
        table = ops.convert_to_tensor(self.embeddings)
        return rounded(table, self.grid) if training and self.grid is not None else table

    @contextmanager
    def one_table(self, training: bool | None = None) -> Iterator[None]:
        """Has all lookups inside the block share one gradient, rather than have an array `[v, w]` each to be added up.

        Example:
            ```python
            with embedding.one_table():
                source, target = embedding(source_ids), embedding(target_ids)
            ```
        """
        self._table = self.table(training)
        try:
            yield
        finally:
            self._table = None

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if reverse:
            embeddings = ops.cast(ops.convert_to_tensor(self.embeddings), self.compute_dtype)
            return ops.matmul(inputs, ops.transpose(embeddings))
        table = self.embeddings if self._table is None else self._table
        x = ops.cast(ops.take(table, inputs, axis=0), self.compute_dtype)
        return x * ops.cast(math.sqrt(self.embedding_dim), x.dtype) if self.scale else x

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        is_ids = "int" in keras.backend.standardize_dtype(inputs.dtype)  # with reverse=True they are vectors
        return ops.not_equal(inputs, 0) if self.mask_zero and is_ids and mask is None else mask

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> Any:
        shape = (*inputs.shape[:-1], self.vocabulary_size) if reverse else (*inputs.shape, self.embedding_dim)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "scale": self.scale,
            "mask_zero": self.mask_zero,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class SinePositionEncoding(keras.layers.Layer):
    """Sinusoidal positions, to be added to embeddings ("Attention Is All You Need", 3.5).

    The first half of the width holds sines and the second cosines, a fixed permutation of the paper's interleaving.

    Where padding comes as a Keras mask (`TokenEmbedding(mask_zero=True)`), add them with `keras.layers.Add`, as below:
    `+` between the tensors of a functional model loses the mask. Or give `padding_mask` to the blocks.

    Args:
        max_wavelength: the longest wavelength divided by 2 pi.

    Call arguments:
        inputs: `[b, n, w]`; only its shape is used.
        start_index: int32 scalar, the position of the first element.
        max_length: number that all positions are below. A single position is then looked up in a table rather than
            computed, if the number is no tensor: quicker where a decoder asks for one at every step.

    Returns: `[1, n, w]`.

    Example:
        ```python
        x = keras.layers.Add()([x, SinePositionEncoding()(x)])
        ```
    """

    def __init__(self, max_wavelength: float = 10_000.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.max_wavelength = max_wavelength
        self.supports_masking = True

    def call(self, inputs: Any, start_index: Any = 0, max_length: int | None = None) -> Any:
        length, width = ops.shape(inputs)[1:]
        half = (width + 1) // 2
        frequency = np.exp(np.arange(half) * (-math.log(self.max_wavelength) / max(half - 1, 1)))
        if isinstance(max_length, int) and length == 1:
            angle = np.arange(max_length)[:, None] * frequency
            table = np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)[:, :width].astype("float32")
            encoding = ops.reshape(ops.take(ops.convert_to_tensor(table), start_index, axis=0), (1, 1, width))
        else:
            position = ops.cast(ops.arange(length, dtype="int32") + start_index, "float32")
            angle = position[:, None] * ops.convert_to_tensor(frequency[None].astype("float32"))
            encoding = ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=-1)[None, :, :width]
        return ops.cast(encoding, self.compute_dtype)

    def compute_output_spec(self, inputs: Any, start_index: Any = 0, max_length: int | None = None) -> Any:
        return keras.KerasTensor((1, *inputs.shape[1:]), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_wavelength": self.max_wavelength}


@keras.saving.register_keras_serializable(package="keras_transformer")
class PositionEmbedding(keras.layers.Layer):
    """Learned positions up to a length, to be added to embeddings; see `SinePositionEncoding` on masks.

    Args:
        max_length: number of positions that have an embedding.

    Call arguments and result: as for `SinePositionEncoding`; positions past the last one use the last one's.

    Example:
        ```python
        x = keras.layers.Add()([x, PositionEmbedding(max_length=512)(x)])
        ```
    """

    def __init__(self, max_length: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.max_length = max_length
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_length, width),
            initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
        )
        self.built = True

    def call(self, inputs: Any, start_index: Any = 0, max_length: int | None = None) -> Any:
        positions = ops.arange(ops.shape(inputs)[1], dtype="int32") + start_index
        positions = ops.minimum(positions, self.max_length - 1)
        return ops.cast(ops.take(self.embeddings, positions, axis=0), self.compute_dtype)[None]

    def compute_output_spec(self, inputs: Any, start_index: Any = 0, max_length: int | None = None) -> Any:
        return keras.KerasTensor((1, *inputs.shape[1:]), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_length": self.max_length}
