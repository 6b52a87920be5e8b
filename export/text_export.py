"""A run from text to text on its way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_transformer.export import checks, saved_model
from keras_transformer.export.flatbuffer import Signature
from keras_transformer.export.folding import lean
from keras_transformer.export.limits import SOURCE_CUT, TARGET_CUT
from keras_transformer.export.lite_module import LiteModule
from keras_transformer.export.progress import Steps
from keras_transformer.export.saved_model import Function, TextModule
from keras_transformer.export.sentences import Sentence
from keras_transformer.export.signatures import described, lite_signatures
from keras_transformer.export.task import TaskExport
from keras_transformer.export.text_artifact import RawAnswer, TextArtifact
from keras_transformer.export.verify import KerasAnswer, best_of, differences, keras_answers
from keras_transformer.generation import TextToText, chosen_heads
from keras_transformer.generation.options import GREEDY

if TYPE_CHECKING:
    from keras_transformer.export.text_task import TextOptions, TextTask

ALIGNED = 32  # sentences whose alignments are compared


class TextExport(TaskExport):
    """A loaded run and how it is to be exported; see `TaskExport`.

    Raises:
        UserError: the options do not fit the model.
    """

    task: TextTask
    predictor: TextToText
    text_field = "source"

    def __init__(
        self,
        task: TextTask,
        predictor: TextToText,
        config: Mapping[str, Any],
        examples: Sequence[tuple[str, str]],
        options: TextOptions,
    ):
        super().__init__(task, predictor, config, examples)
        self.search = options.search or GREEDY
        predictor.decoder(self.search)  # raises if the options do not fit the model
        heads = chosen_heads(predictor.model, options.align_layer, options.align_heads) if options.align else None
        self.places = predictor.max_source_length if options.cut else None
        self.room = options.limits(heads, self.places)
        self.max_source_bytes = self.room.max_source_bytes
        self.limits = {
            "max_source_bytes": self.room.max_source_bytes,
            "max_target_bytes": self.room.max_target_bytes,
            "max_source_pieces": self.room.source_places,
            "max_target_pieces": predictor.max_target_length,
            "trained_source_pieces": predictor.max_source_length,
        }
        pairs = None if heads is None else [list(pair) for pair in heads]
        self.settings = {"search": asdict(self.search), "align_heads": pairs}
        self.measured = {"tokenized": bool(config.get("tokenized", False))}
        self.signatures = lite_signatures(predictor, self.room, task.signature, self.search)
        self._lean = lean(predictor)

    def saved_model(self) -> tuple[tf.Module, dict[str, Function], dict[str, Any]]:
        module = TextModule(self._lean, self.search, self.room.align_heads)
        functions = module.functions(self.task.signature)
        return module, functions, saved_model.described(functions)

    def lite(self) -> tuple[tf.Module, dict[str, Function]]:
        module = LiteModule(self._lean, self.room, self.search)
        return module, module.functions(self.task.signature)

    def described(self, signature: Signature) -> dict[str, Any]:
        return described(signature)

    @property
    def exported_model(self) -> keras.Model:
        return self._lean.model

    def model_inputs(self, texts: Sequence[str], steps: Steps) -> Iterator[dict[str, np.ndarray]]:
        tokenizer, places = self.predictor.tokenizer, self.predictor.max_source_length
        sources = [text.encode("utf-8", "surrogatepass") for text in texts if text]
        answers = self.expected(sources, steps, "Keras on validation texts")
        for source, answer in zip(sources, answers, strict=True):
            target = np.concatenate([[tokenizer.start_id], answer.ids]).astype(np.int32)
            ids = tokenizer.encode(source)[:places].astype(np.int32)
            yield {"source_ids": ids[None], "target_ids": target[None]}

    def expected(self, sources: Sequence[bytes], steps: Steps, text: str) -> list[KerasAnswer]:
        return keras_answers(self.predictor, sources, best_of(self.search), steps, text, self.places)

    def differences(
        self, sources: Sequence[bytes], expected: Sequence[KerasAnswer], found: Sequence[RawAnswer]
    ) -> list[dict[str, Any]]:
        return differences(
            self.predictor, sources, expected, found, self.room.max_target_bytes, self.places, self.search
        )

    def agree(self, one: RawAnswer, other: RawAnswer) -> bool:
        return one.text == other.text

    def scores(self, answers: Sequence[KerasAnswer | RawAnswer]) -> dict[str, Any]:
        outputs = [answer.text.decode("utf-8", "replace") for answer in answers]
        return self.task.score(outputs, [reference for _, reference in self.examples], self.measured["tokenized"])

    def counts(self, answers: Sequence[RawAnswer]) -> dict[str, int]:
        return {
            "sources_cut": sum(bool(answer.status & SOURCE_CUT) for answer in answers),
            "answers_cut": sum(bool(answer.status & TARGET_CUT) for answer in answers),
        }

    def verify_precision(self, artifact: TextArtifact, found: Sequence[RawAnswer], whole: Sequence[RawAnswer]) -> None:
        """Checks that the answers still depend on the sources."""
        texts = ([answer.text for answer in answers] for answers in (found, whole))
        checks.check_depends_on_source(artifact.path.name, *texts)

    def verify_more(
        self,
        artifact: TextArtifact,
        sentences: Sequence[Sentence],
        expected: Sequence[KerasAnswer],
        found: Sequence[RawAnswer],
        steps: Steps,
    ) -> None:
        """Compares a float32 file's alignments of its own answers with Keras's, if it has any."""
        predictor, heads = self.predictor, self.room.align_heads
        if heads is None:
            return
        texts = [sentence.source.decode("utf-8", "ignore") for sentence in sentences]
        texts = [text for text in texts if 0 < len(text.encode()) <= self.max_source_bytes][:ALIGNED]
        pairs = [(text, artifact.run(text.encode()).text.decode("utf-8", "ignore")) for text in texts]
        pairs = [
            (text, answer)
            for text, answer in pairs
            if 0 < len(predictor.tokenizer.encode(answer)) < predictor.max_target_length
            and len(predictor.tokenizer.encode(text)) <= self.room.source_places
        ]
        for text, answer in steps.track(pairs, "verification of alignments"):
            weights = predictor.align(text, answer, heads).weights
            checks.check_alignment(artifact.path.name, text, artifact.align(text, answer).weights, weights)
