"""What a `.tflite` file says of itself, where LiteRT's metadata has a place for it: tensors, labels, settings.

A `.tflite` file with metadata (https://ai.google.dev/edge/litert/conversion/tensorflow/metadata) is also a ZIP archive:
its files stand behind the model, and a buffer of the model, `TFLITE_METADATA`, says what they describe. So the labels
are read by MediaPipe, by Android's `MetadataExtractor`, by any ZIP library, and by `unzip`; and who has the file alone
learns from it what its tensors mean.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from keras_transformer.label_names import checked_labels

LABELS, SETTINGS = "labels.txt", "settings.json"
METADATA = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"  # the oldest reader of metadata that understands all that is said
DESCRIPTIONS, AXIS_LABELS = 1, 2  # AssociatedFileType: of the model; names for the entries of a tensor's last axis
DATE = (1980, 1, 1, 0, 0, 0)  # the same file for the same model


@dataclass(frozen=True)
class About:
    """What a file is to say of itself.

    Attributes:
        name: of the model.
        description: what it does, in a line.
        version: of what made it.
        signatures: as the manifest holds them.
        settings: JSON, for whoever has the file alone.
        labels: in order, each a line; of a model whose answers have names.
        labelled: the output whose last axis has the labels.
    """

    name: str
    description: str
    version: str
    signatures: Mapping[str, Any]
    settings: Mapping[str, Any]
    labels: Sequence[str] | None = None
    labelled: str = ""

    @property
    def files(self) -> dict[str, str]:
        """The content of the files behind the model."""
        labels = {} if self.labels is None else {LABELS: "".join(f"{label}\n" for label in self.labels)}
        return {**labels, SETTINGS: json.dumps(self.settings, ensure_ascii=False) + "\n"}


def add_associated(path: Path, about: About) -> None:
    """Puts metadata, labels and settings into a `.tflite` file, which is written anew."""
    from ai_edge_litert import schema_py_generated as schema  # not needed to read a file

    from keras_transformer.export.flatbuffer import read_model, write_model

    model = read_model(path)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata(model, about), np.uint8)
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(one for one in model.metadata or [] if one.name != METADATA), entry]
    write_model(model, path)
    with zipfile.ZipFile(path, "a") as archive:
        for file, content in about.files.items():
            archive.writestr(zipfile.ZipInfo(file, DATE), content.encode())


def read_associated(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Returns the labels and the settings in a `.tflite` file.

    Raises:
        ValueError: it has none, or labels that cannot be; see `checked_labels`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            labels = archive.read(LABELS).decode("utf-8").removesuffix("\n").split("\n")
            return checked_labels(labels), json.loads(archive.read(SETTINGS))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def metadata(model: Any, about: About) -> bytes:
    """Returns a `ModelMetadata` of the schema metadata_schema.fbs: a part for each graph of a `ModelT`, in order, of
    which those that are signatures have names and tensors."""
    writer = Writer()
    graphs = [writer.table(8, {}) for _ in model.subgraphs]
    for definition in model.signatureDefs:
        graph = model.subgraphs[definition.subgraphIndex]
        name = definition.signatureKey.decode()
        sides = [
            [item.name.decode() for number in numbers for item in items if item.tensorIndex == number]
            for numbers, items in ((graph.inputs, definition.inputs), (graph.outputs, definition.outputs))
        ]
        graphs[definition.subgraphIndex] = writer.graph(name, about, *sides)
    texts = [writer.text(text) for text in (about.name, about.description, about.version, PARSER)]
    files = writer.vector([writer.file(SETTINGS, DESCRIPTIONS)])
    return writer.finish({**dict(enumerate(texts[:3])), 3: writer.vector(graphs), 6: files, 7: texts[3]})


class Writer:
    """Writes tables of metadata_schema.fbs; the numbers of their fields are in the schema's order.

    ModelMetadata: 0 name, 1 description, 2 version, 3 subgraph_metadata, 6 associated_files, 7 min_parser_version.
    SubGraphMetadata: 0 name, 2 input_tensor_metadata, 3 output_tensor_metadata. TensorMetadata: 0 name, 1 description,
    6 associated_files. AssociatedFile: 0 name, 2 type.
    """

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def graph(self, name: str, about: About, inputs: Sequence[str], outputs: Sequence[str]) -> int:
        """Writes a `SubGraphMetadata` for a signature, with its tensors in the order of the graph."""
        described = about.signatures[name]
        sides = [
            self.vector([self.tensor(tensor, described[side][tensor]["meaning"], about) for tensor in tensors])
            for side, tensors in (("inputs", inputs), ("outputs", outputs))
        ]
        return self.table(8, {0: self.text(name), 2: sides[0], 3: sides[1]})

    def tensor(self, name: str, meaning: str, about: About) -> int:
        """Writes a `TensorMetadata`."""
        fields = {0: self.text(name), 1: self.text(meaning)}
        if about.labels is not None and name == about.labelled:
            fields[6] = self.vector([self.file(LABELS, AXIS_LABELS)])
        return self.table(7, fields)

    def file(self, name: str, kind: int) -> int:
        """Writes an `AssociatedFile`."""
        return self.table(5, {0: self.text(name)}, {2: kind})

    def text(self, text: str) -> int:
        return int(self._builder.CreateString(text))

    def table(self, size: int, fields: Mapping[int, int], enums: Mapping[int, int] | None = None) -> int:
        self._builder.StartObject(size)
        for place, offset in fields.items():
            self._builder.PrependUOffsetTRelativeSlot(place, offset, 0)
        for place, value in (enums or {}).items():
            self._builder.PrependInt8Slot(place, value, 0)
        return int(self._builder.EndObject())

    def vector(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def finish(self, model: Mapping[int, int]) -> bytes:
        """Writes the `ModelMetadata`, and returns all."""
        self._builder.Finish(self.table(8, model), file_identifier=IDENTIFIER)
        return bytes(self._builder.Output())
