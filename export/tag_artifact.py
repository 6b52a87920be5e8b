"""Runs a file that tags words: strings in, tagged words out, with NumPy and ai-edge-litert alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_transformer.errors import UserError
from keras_transformer.export.artifact import Artifact, warn
from keras_transformer.export.associated import read_associated
from keras_transformer.export.limits import SOURCE_CUT, SOURCE_LONG, TARGET_CUT
from keras_transformer.tags import Scheme, converted, scheme_of, spans

OUTPUTS = {"labels", "starts", "ends", "words"}
WARNINGS = {
    SOURCE_LONG: "has more pieces than the model was trained on: words behind them have no tag",
    TARGET_CUT: "has more words than this file has room for: the last ones are left out",
}


class TaggedWords(NamedTuple):
    """What a file says of one text.

    Attributes:
        tags: of each word.
        words: the first byte of each word and the one behind its last.
        status: 0, or the sum of 1 (the text was cut at `max_source_bytes`), 4 (it has more words than there is room
            for) and 8 (it has more pieces than the model was trained on: the words behind them have no tag).
    """

    tags: tuple[str, ...]
    words: tuple[tuple[int, int], ...]
    status: int

    @property
    def numbers(self) -> list[float]:
        """What must be finite: there is nothing here that could be no number."""
        return []

    def golden(self) -> dict[str, Any]:
        """Returns the answer as `golden.json` holds it."""
        return {"tags": list(self.tags), "words": [list(word) for word in self.words], "status": self.status}

    def is_golden(self, entry: Mapping[str, Any], tolerance: float = 0.0) -> bool:
        """Returns whether an entry of `golden.json` is this answer; tags have no tolerance."""
        return self.golden() == {name: entry[name] for name in ("tags", "words", "status")}


class TagArtifact(Artifact):
    """A `.tflite` file that tags the words of a text. One interpreter serves all calls: use one a thread.

    Attributes:
        labels: the tags.
        settings: what else the file says of itself.

    Raises:
        UserError: as `Artifact`; the file has no labels in it.

    Example:
        ```python
        tagger = open_artifact("dist/mine")
        tagger.predict(["Anna May slept."])  # ["[Anna May]{PER} slept."]
        tagger.tag(["Anna May slept."])[0].tags  # ("B-PER", "I-PER", "O")
        ```
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1, interpreter: Any = None) -> None:
        super().__init__(path, num_threads, interpreter)
        try:
            self.labels, self.settings = read_associated(self.path)
        except ValueError as error:
            raise UserError(f"{self.path} has no labels in it ({error}); export the run again") from None

    @classmethod
    def main_signature(cls, signatures: Mapping[str, Mapping[str, Sequence[str]]]) -> str | None:
        """Returns the signature from a text to labels and offsets."""
        for name, sides in signatures.items():
            if set(sides["inputs"]) == {"text", "text_length"} and set(sides["outputs"]) >= OUTPUTS:
                return name
        return None

    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns each text with its entities marked: `[Anna May]{PER} slept.`"""
        return [marked(_data(text), found) for text, found in zip(texts, self.tag(texts), strict=True)]

    def answers(self, texts: Sequence[str], cut: bool = False) -> list[dict[str, Any]]:
        """Returns `{"text", "entities", "words", "status"}` of each text; places are of bytes in UTF-8.

        Tags that break their scheme are mended as `tags.spans` reads them, so that words and entities agree.
        """
        listed = []
        for text, found in zip(texts, self.tag(texts), strict=True):
            data = _data(text)
            words = [
                {"text": data[start:end].decode("utf-8", "replace"), "start": start, "end": end, "tag": tag}
                for (start, end), tag in zip(found.words, converted(found.tags, self.scheme), strict=True)
            ]
            entities = [
                {"label": label, "text": data[start:end].decode("utf-8", "replace"), "start": start, "end": end}
                for label, start, end in entities_of(found)
            ]
            listed.append({"text": text, "entities": entities, "words": words, "status": found.status})
        return listed

    @property
    def scheme(self) -> Scheme:
        """The scheme of the labels, BIO or BIOES."""
        return scheme_of(self.labels)

    def tag(self, texts: Sequence[str]) -> list[TaggedWords]:
        """Returns the words of each text and their tags, in order.

        What does not fit into the file, see `TaggedWords.status`, is left out, which is a `UserWarning`.
        """
        if isinstance(texts, str):
            raise TypeError("predict and tag take a list of strings; received one string")
        return [self._tag(number, text) for number, text in enumerate(texts, 1)]

    def run(self, source: bytes) -> TaggedWords:
        """Calls the file once: the first `max_source_bytes` of any bytes, with their number before any cut."""
        found = self._runner(self.signature)(**self._source(source))
        count = int(found["words"][0])
        places = zip(found["starts"][0, :count].tolist(), found["ends"][0, :count].tolist(), strict=True)
        tags = tuple(self.labels[label] for label in found["labels"][0, :count])
        return TaggedWords(tags, tuple(places), int(found["status"][0]))

    def _tag(self, number: int, text: str) -> TaggedWords:
        source, is_cut = self._fitting(number, text)
        found = self.run(source)
        for flag, meaning in WARNINGS.items():
            if found.status & flag:
                warn(f"text {number} {meaning}")
        return found._replace(status=found.status | (SOURCE_CUT if is_cut else 0))


def entities_of(found: TaggedWords) -> list[tuple[str, int, int]]:
    """Returns label, first byte and the byte behind the last of each entity that tags mark."""
    return [(label, found.words[first][0], found.words[last - 1][1]) for label, first, last in spans(found.tags)]


def marked(data: bytes, found: TaggedWords) -> str:
    """Returns a text with its entities marked."""
    parts, last = [], 0
    for label, start, end in entities_of(found):
        parts += [data[last:start], b"[", data[start:end], b"]{", label.encode(), b"}"]
        last = end
    return b"".join([*parts, data[last:]]).decode("utf-8", "replace")


def _data(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
