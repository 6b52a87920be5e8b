"""Strings in, tagged words out: a trained tagger with its tokenizer.

Shapes: b batch, n length in pieces, k labels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_transformer.label_names import checked_labels
from keras_transformer.predictors.loading import load_model, unless_damaged
from keras_transformer.tags import OUTSIDE, converted, scheme_of, spans
from keras_transformer.text.byte_pieces import BytePieceTokenizer
from keras_transformer.text.words import RULES, Rule, join_words, word_spans

BATCH_TOKENS = 4096
LENGTH_MULTIPLE = 8


class Entity(NamedTuple):
    """What a tagger found.

    Attributes:
        label: of what kind.
        text: as it stands in the text.
        start, end: its first byte in the UTF-8 text and the one behind its last.
    """

    label: str
    text: str
    start: int
    end: int


class Tagged(NamedTuple):
    """What a tagger says of a text.

    Attributes:
        text: the text.
        entities: in order.
        words: the first byte of each word and the one behind its last.
        tags: of each word, as the model gives them.
    """

    text: str
    entities: tuple[Entity, ...]
    words: tuple[tuple[int, int], ...]
    tags: tuple[str, ...]

    @property
    def marked(self) -> str:
        """The text with its entities marked: `[Anna May]{PER} slept.`"""
        data, parts, last = self.text.encode("utf-8", "replace"), [], 0
        for entity in self.entities:
            parts += [data[last : entity.start].decode(), f"[{entity.text}]{{{entity.label}}}"]
            last = entity.end
        return "".join([*parts, data[last:].decode()])


class TextToTags:
    """A trained tagger that takes strings and gives their entities, or sentences in words and gives their tags.

    Args:
        model: a `TextTagger`.
        tokenizer: the tokenizer it was trained with.
        labels: the tags that its outputs stand for.
        words: how a text is parted into words, see `keras_transformer.text.words`.
        max_length: the most pieces of a text in training; longer texts are answered whole, with a warning.
        batch_tokens: the most pieces, padding included, that go through the model at once.

    Example:
        ```python
        tagger = keras_transformer.load("runs/mine")
        tagger.predict(["Anna May slept."])  # ["[Anna May]{PER} slept."]
        tagger.annotate(["Anna May slept."])[0].entities  # (Entity("PER", "Anna May", 0, 8),)
        tagger.tag([["Anna", "May", "slept"]])  # [["B-PER", "I-PER", "O"]]
        ```
    """

    def __init__(
        self,
        model: Any,
        tokenizer: BytePieceTokenizer,
        labels: Sequence[str],
        words: Rule = "space",
        max_length: int = 256,
        batch_tokens: int = BATCH_TOKENS,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.labels = tuple(labels)
        self.words = words
        self.max_length = max_length
        self.batch_tokens = batch_tokens
        self._sizes = np.array([len(piece) for piece in tokenizer.pieces])

    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns each text with its entities marked: `[Anna May]{PER} slept.`"""
        return [one.marked for one in self.annotate(texts, cut)]

    def answers(self, texts: Sequence[str], cut: bool = False) -> list[dict[str, Any]]:
        """Returns `{"text", "entities", "words"}` of each text; places are of bytes in UTF-8."""
        return [
            {"text": one.text, "entities": [entity._asdict() for entity in one.entities], "words": _listed(one)}
            for one in self.annotate(texts, cut)
        ]

    def annotate(self, texts: Sequence[str], cut: bool = False) -> list[Tagged]:
        """Returns what there is to say of each text, in order.

        Args:
            texts: strings; half surrogate pairs become `?`.
            cut: whether words behind `max_length` pieces are left without a tag (`O`). Otherwise a longer text is
                answered whole, with a `UserWarning`, since the model was not trained on texts so long.
        """
        if isinstance(texts, str):
            raise TypeError("predict and annotate take a list of strings; received one string")
        data = [text.encode("utf-8", "replace") for text in texts]
        places = [word_spans(one, self.words) for one in data]
        tags = self.tags_of(data, [[start for start, _ in words] for words in places], cut)
        scheme = scheme_of(self.labels)
        mended = [converted(own, scheme) for own in tags]  # what breaks the scheme, as `spans` reads it
        return [_tagged(*one) for one in zip(data, places, mended, strict=True)]

    def tag(self, sentences: Sequence[Sequence[str]], cut: bool = True) -> list[list[str]]:
        """Returns the tags of sentences that are parted into words already; see `annotate` for `cut`."""
        joined = [join_words(words, self.words) for words in sentences]
        return self.tags_of([text for text, _ in joined], [starts for _, starts in joined], cut)

    def tags_of(self, data: Sequence[bytes], starts: Sequence[Sequence[int]], cut: bool) -> list[list[str]]:
        """Returns the tags of words of texts, given the first byte of each word; see `annotate` for `cut`."""
        encoded = self.tokenizer.encode_batch(data)
        for number, ids in enumerate(encoded, 1):
            if len(ids) > self.max_length:
                encoded[number - 1] = ids[: self.max_length] if cut else ids
                if not cut:
                    warnings.warn(
                        f"text {number} has {len(ids)} pieces, more than the {self.max_length} this model was trained "
                        "on: the answer may be poor; cut=True (--cut) leaves what is behind without tags",
                        UserWarning,
                        stacklevel=3,
                    )
        # of each word, the piece in which it begins
        pieces = [
            np.searchsorted(self._sizes[ids].cumsum(), own, side="right")
            for ids, own in zip(encoded, starts, strict=True)
        ]
        found: list[list[str]] = [[] for _ in data]
        for rows in self._batches([len(ids) for ids in encoded]):
            for row, labels in zip(rows, self._labels([encoded[row] for row in rows], pieces, rows), strict=True):
                known = [int(labels[piece]) for piece in pieces[row] if piece < len(encoded[row])]
                rest = [OUTSIDE] * (len(pieces[row]) - len(known))
                found[row] = [*(self.labels[label] for label in known), *rest]
        return found

    def _labels(self, encoded: Sequence[np.ndarray], pieces: Sequence[np.ndarray], rows: Sequence[int]) -> np.ndarray:
        """Returns the labels `[b, n]` of a batch."""
        width = -(-max(max(map(len, encoded)), 1) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        ids = np.full((len(encoded), width), self.tokenizer.pad_id, np.int32)
        counted = np.zeros(ids.shape, bool)
        for place, own in enumerate(encoded):
            ids[place, : len(own)] = own
            starts = pieces[rows[place]]
            counted[place, starts[starts < len(own)]] = True
        logits = self.model.predict_on_batch({"ids": ids})
        return np.asarray(ops.convert_to_numpy(self.model.decode(logits, counted)))

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yields the rows in batches of like length, the longest first, so that memory fails early."""
        rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        while rows:
            count = max(1, self.batch_tokens // (lengths[rows[0]] + LENGTH_MULTIPLE))
            yield rows[:count]
            rows = rows[count:]


def _listed(found: Tagged) -> list[dict[str, Any]]:
    """Returns the words of a text with their places and tags."""
    data = found.text.encode()
    return [
        {"text": data[start:end].decode("utf-8", "replace"), "start": start, "end": end, "tag": tag}
        for (start, end), tag in zip(found.words, found.tags, strict=True)
    ]


def _tagged(data: bytes, words: list[tuple[int, int]], tags: list[str]) -> Tagged:
    entities = []
    for label, first, last in spans(tags):
        start, end = words[first][0], words[last - 1][1]
        entities.append(Entity(label, data[start:end].decode(), start, end))
    return Tagged(data.decode(), tuple(entities), tuple(words), tuple(tags))


def load(run: str | os.PathLike[str]) -> TextToTags:
    """Loads the tagger of a run directory, in float32, with its best weights. No code from the run is executed.

    Raises:
        UserError: there is no such run, it has no weights yet, or a file of it is damaged.
    """
    loaded = load_model(run, "TextTagger")
    saved = loaded.directory.read_json(loaded.directory.labels)

    def make() -> TextToTags:
        labels, words = checked_labels(saved["labels"]), saved["words"]
        if words not in RULES or len(labels) != loaded.model.num_labels:
            raise ValueError(f"{loaded.directory.labels.name} does not fit the model")
        return TextToTags(loaded.model, loaded.tokenizer, labels, words, int(loaded.config["max_length"]))

    return unless_damaged(loaded.directory, make)
