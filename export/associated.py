"""Files inside a `.tflite` file: labels and what else describes it, where LiteRT's metadata has a place for them.

A `.tflite` file with metadata (https://ai.google.dev/edge/litert/conversion/tensorflow/metadata) is also a ZIP archive:
its files stand behind the model, and a buffer of the model, `TFLITE_METADATA`, says which tensor they describe. So the
labels are read by MediaPipe, by Android's `MetadataExtractor`, by any ZIP library, and by `unzip`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

LABELS, SETTINGS = "labels.txt", "settings.json"
METADATA = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
AXIS_LABELS = 2  # the AssociatedFileType of names for the entries of a tensor's last axis
DATE = (1980, 1, 1, 0, 0, 0)  # the same file for the same model


def add_associated(path: Path, name: str, described: str, labels: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Puts labels and settings into a `.tflite` file that has one signature.

    Args:
        path: of the file, which is written anew.
        name: of the model.
        described: the output whose last axis has the labels.
        labels: in order, each a line.
        settings: JSON, for whoever has the file alone.
    """
    from ai_edge_litert import schema_py_generated as schema  # not needed to read a file

    from keras_transformer.export.flatbuffer import read_model, write_model

    model = read_model(path)
    (signature,) = model.signatureDefs
    names = {item.tensorIndex: item.name.decode() for item in signature.outputs}
    outputs = [names[tensor] for tensor in model.subgraphs[signature.subgraphIndex].outputs]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_metadata(name, outputs, described), np.uint8)
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    write_model(model, path)
    with zipfile.ZipFile(path, "a") as archive:
        for file, content in ((LABELS, "\n".join(labels)), (SETTINGS, json.dumps(settings, ensure_ascii=False))):
            archive.writestr(zipfile.ZipInfo(file, DATE), f"{content}\n".encode())


def read_associated(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Returns the labels and the settings in a `.tflite` file.

    Raises:
        ValueError: it has none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            labels = archive.read(LABELS).decode("utf-8").split("\n")[:-1]
            return labels, json.loads(archive.read(SETTINGS))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def _metadata(name: str, outputs: Sequence[str], described: str) -> bytes:
    """Returns a `ModelMetadata` of the schema metadata_schema.fbs: one part with its outputs, one of them with labels.

    Numbers of fields, in the schema's order: ModelMetadata 0 name, 3 subgraph_metadata; SubGraphMetadata 3
    output_tensor_metadata; TensorMetadata 0 name, 6 associated_files; AssociatedFile 0 name, 2 type.
    """
    builder = flatbuffers.Builder(1024)

    def table(size: int, fields: Mapping[int, int], enums: Mapping[int, int] | None = None) -> int:
        builder.StartObject(size)
        for place, offset in fields.items():
            builder.PrependUOffsetTRelativeSlot(place, offset, 0)
        for place, value in (enums or {}).items():
            builder.PrependInt8Slot(place, value, 0)
        return int(builder.EndObject())

    def vector(offsets: Sequence[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    file = table(5, {0: builder.CreateString(LABELS)}, {2: AXIS_LABELS})
    files = vector([file])
    tensors = [
        table(7, {0: builder.CreateString(output), **({6: files} if output == described else {})}) for output in outputs
    ]
    graph = table(8, {3: vector(tensors)})
    model = table(8, {0: builder.CreateString(name), 3: vector([graph])})
    builder.Finish(model, file_identifier=IDENTIFIER)
    return bytes(builder.Output())
