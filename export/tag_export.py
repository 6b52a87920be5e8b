"""A run that tags words, on its way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_transformer.export.encoder_export import EncoderExport, default_room, text_inputs
from keras_transformer.export.encoder_module import FEW_PIECES
from keras_transformer.export.flatbuffer import Signature, TensorSpec
from keras_transformer.export.limits import SOURCE_CUT, SOURCE_LONG, TARGET_CUT
from keras_transformer.export.progress import Steps
from keras_transformer.export.saved_model import Function
from keras_transformer.export.sentences import Sentence
from keras_transformer.export.tag_artifact import TagArtifact, TaggedWords, marked
from keras_transformer.export.tag_module import TagLiteModule, TagModule
from keras_transformer.export.tag_task import TagTask, scores_of
from keras_transformer.tags import OUTSIDE
from keras_transformer.text.words import word_spans

TIE = 1e-3  # chains of labels whose scores are closer than this are one and the same
MEANINGS = {
    "labels": "of each word the number of its label, in the order of labels; zeros behind the last word",
    "starts": "of each word its first byte; zeros behind the last word",
    "ends": "of each word the byte behind its last; zeros behind the last word",
    "words": "how many words there are",
    "status": "0, or the sum of 1 (text cut for want of room), 4 (more words than there is room for, the last ones "
    "left out), 8 (text of more pieces than the model was trained on: words behind them have the label O), 32 (a "
    "negative length, taken as 0)",
}


class TagExport(EncoderExport):
    """A loaded run and how it is to be exported; see `TaskExport`."""

    task: TagTask
    meanings = MEANINGS

    def __init__(
        self,
        task: TagTask,
        predictor: Any,
        config: Mapping[str, Any],
        examples: Sequence[tuple[Any, ...]],
        options: Any,
    ):
        super().__init__(task, predictor, config, examples)
        self.labels = list(predictor.labels)
        self.labelled = "labels"
        self.max_source_bytes = options.max_source_bytes or default_room(predictor.max_length)
        places = min(predictor.max_length, self.max_source_bytes)
        self.limits = {
            "max_source_bytes": self.max_source_bytes,
            "max_source_pieces": places,
            "max_words": places,
        }
        self.settings = {"words": predictor.words, "crf": predictor.model.crf is not None}
        one, row = TensorSpec("int32", (1,)), TensorSpec("int32", (1, places))
        outputs = {"labels": row, "starts": row, "ends": row, "words": one, "status": one}
        self.signatures = {task.signature: Signature(text_inputs(self.max_source_bytes), outputs)}

    def saved_model(self) -> tuple[tf.Module, dict[str, Function], dict[str, Any]]:
        module = TagModule(TagLiteModule(self.predictor, self.max_source_bytes))
        functions = module.functions(self.task.signature)
        outputs = {
            name: {"dtype": spec.dtype, "shape": [None, *spec.shape[1:]]}
            for name, spec in self.signatures[self.task.signature].outputs.items()
        }
        described = {"inputs": {"text": {"dtype": "string", "shape": [None]}}, "outputs": outputs}
        return module, functions, dict.fromkeys(functions, described)

    def lite_module(self) -> TagLiteModule:
        return TagLiteModule(self.predictor, self.max_source_bytes)

    def expected(self, sources: Sequence[bytes], steps: Steps, text: str) -> list[TaggedWords]:
        """Returns what Keras says of texts, of no more pieces than the model was trained on."""
        words = [word_spans(source, self.predictor.words) for source in sources]
        starts = [[start for start, _ in own] for own in words]
        with steps.step(f"{text}: {len(sources):,} texts"):
            tags = self.predictor.tags_of(sources, starts, cut=True)
        labels = self.predictor.labels
        outside = OUTSIDE if OUTSIDE in labels else labels[0]  # a file has no tag but these
        known = [tuple(tag if tag in labels else outside for tag in own) for own in tags]
        return [TaggedWords(own, tuple(places), 0) for own, places in zip(known, words, strict=True)]

    def differences(
        self, sources: Sequence[bytes], expected: Sequence[TaggedWords], found: Sequence[TaggedWords]
    ) -> list[dict[str, Any]]:
        """Returns where words or tags are others; words that a file has no room for are left out of account."""
        listed = []
        for index, (source, ours, theirs) in enumerate(zip(sources, expected, found, strict=True)):
            count = len(theirs.words) if theirs.status & (SOURCE_CUT | TARGET_CUT) else len(ours.words)
            if (ours.tags[:count], ours.words[:count]) != (theirs.tags, theirs.words):
                texts = {"source": source.decode("utf-8", "replace")}
                texts.update({"keras": marked(source, ours), "file": marked(source, theirs)})
                listed.append({"index": index, **texts, "tie": self._is_tie(source, ours, theirs)})
        return listed

    def agree(self, one: TaggedWords, other: TaggedWords) -> bool:
        return (one.tags, one.words) == (other.tags, other.words)

    def verify_more(
        self,
        artifact: TagArtifact,
        sentences: Sequence[Sentence],
        expected: Sequence[TaggedWords],
        found: Sequence[TaggedWords],
        steps: Steps,
    ) -> None:
        """There is no more: tags and places are all that a file says."""
        return None

    def scores(self, answers: Sequence[TaggedWords]) -> dict[str, Any]:
        return scores_of(answers, self.examples)

    def counts(self, answers: Sequence[TaggedWords]) -> dict[str, int]:
        cut = SOURCE_CUT | SOURCE_LONG | TARGET_CUT
        return {"texts_cut": sum(bool(answer.status & cut) for answer in answers)}

    def _logits(self, source: bytes, words: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Returns Keras's logits, and the piece in which each word begins; past the last for those that are cut."""
        predictor = self.predictor
        ids = predictor.tokenizer.encode(source)
        ends = np.cumsum([len(predictor.tokenizer.pieces[i]) for i in ids])
        pieces = np.searchsorted(ends, [start for start, _ in words], side="right")
        ids = ids[: self.limits["max_source_pieces"]]
        padded = np.zeros(-(-max(len(ids), 1) // FEW_PIECES) * FEW_PIECES, np.int32)
        padded[: len(ids)] = ids
        logits = ops.convert_to_numpy(predictor.model.predict_on_batch({"ids": padded[None]}))[0]
        return logits, np.where(pieces < len(ids), pieces, len(padded))

    def _is_tie(self, source: bytes, ours: TaggedWords, theirs: TaggedWords) -> bool:
        """Returns whether the file's tags are, to Keras, as good as its own."""
        if ours.words != theirs.words:
            return False
        logits, pieces = self._logits(source, ours.words)
        chains = []
        for tags in (ours.tags, theirs.tags):
            labels = zip(pieces.tolist(), map(self.predictor.labels.index, tags), strict=True)
            chains.append(self._score(logits, {piece: label for piece, label in labels if piece < len(logits)}))
        return abs(chains[0] - chains[1]) < TIE

    def _score(self, logits: np.ndarray, chain: Mapping[int, int]) -> float:
        """Returns the score of a chain of labels, by their pieces in order."""
        score = float(sum(logits[piece, label] for piece, label in chain.items()))
        crf, labels = self.predictor.model.crf, list(chain.values())
        if crf is None or not labels:
            return score
        transitions, start, end = (ops.convert_to_numpy(part) for part in (crf.transitions, crf.start, crf.end))
        pairs = pairwise(labels)
        return score + float(start[labels[0]] + end[labels[-1]] + sum(transitions[pair] for pair in pairs))
