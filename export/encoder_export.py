"""What runs of an encoder with a head share on their way out, whatever the head says of a text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.export.encoder_module import EncoderLiteModule
from keras_transformer.export.flatbuffer import Signature, TensorSpec
from keras_transformer.export.progress import Steps
from keras_transformer.export.saved_model import Function
from keras_transformer.export.task import TaskExport, with_meanings

BYTES_PER_PIECE = 4  # of ordinary text
INPUT_MEANINGS = {
    "text": "UTF-8 bytes of the text; bytes from text_length on have no effect",
    "text_length": "bytes of the text; more than there is room for: the text is cut, see status",
}


class EncoderExport(TaskExport):
    """A loaded run of an encoder; see `TaskExport`. Its `limits` have `max_source_pieces`.

    Attributes:
        meanings: for the manifest, what each output is.
    """

    meanings: ClassVar[Mapping[str, str]]

    @abstractmethod
    def lite_module(self) -> EncoderLiteModule:
        """Returns the module of the `.tflite` files, which has `functions(signature)`."""

    def lite(self) -> tuple[tf.Module, dict[str, Function]]:
        module: Any = self.lite_module()
        return module, module.functions(self.task.signature)

    def described(self, signature: Signature) -> dict[str, Any]:
        return with_meanings(signature, {"inputs": INPUT_MEANINGS, "outputs": self.meanings})

    @property
    def exported_model(self) -> keras.Model:
        return self.predictor.model

    def model_inputs(self, texts: Sequence[str], steps: Steps) -> Iterator[dict[str, np.ndarray]]:
        """Yields what the encoder is called with for each text that is not empty: as many pieces as a file reads."""
        for text in texts:
            if text:
                ids = self.predictor.tokenizer.encode(text.encode("utf-8", "surrogatepass"))
                yield {"ids": ids[None, : self.limits["max_source_pieces"]].astype(np.int32)}


def text_inputs(max_source_bytes: int) -> dict[str, TensorSpec]:
    """Returns what the main signature takes."""
    return {"text": TensorSpec("uint8", (1, max_source_bytes)), "text_length": TensorSpec("int32", (1,))}


def default_room(max_length: int) -> int:
    """Returns the bytes that ordinary text of so many pieces has, a multiple of 64."""
    return -(-max_length * BYTES_PER_PIECE // 64) * 64
