"""A run that says what a text is, on its way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_transformer.export.checks import ExportError
from keras_transformer.export.encoder_export import EncoderExport, default_room, text_inputs
from keras_transformer.export.encoder_module import FEW_PIECES
from keras_transformer.export.flatbuffer import Signature, TensorSpec
from keras_transformer.export.label_artifact import LabelArtifact, Labelled, chosen, shown
from keras_transformer.export.label_module import LabelLiteModule, LabelModule
from keras_transformer.export.limits import SOURCE_CUT, SOURCE_LONG
from keras_transformer.export.progress import Steps
from keras_transformer.export.saved_model import Function
from keras_transformer.export.sentences import Sentence
from keras_transformer.label_references import reference_array
from keras_transformer.label_scores import SEPARATOR, label_scores

if TYPE_CHECKING:
    from keras_transformer.export.label_task import LabelOptions, LabelTask

TIE = 1e-4  # probabilities closer than this are one and the same
TOLERANCE = 1e-3  # of float32 files' probabilities, and relatively of their values
MEANINGS = {
    "probabilities": "of each label, in the order of labels",
    "values": "of each target, in the order of labels",
    "status": "0, or the sum of 1 (text cut for want of room), 8 (text of more pieces than the model was trained "
    "on, cut there), 32 (a negative length, taken as 0)",
}


class LabelExport(EncoderExport):
    """A loaded run and how it is to be exported; see `TaskExport`."""

    task: LabelTask
    meanings = MEANINGS

    def __init__(
        self,
        task: LabelTask,
        predictor: Any,
        config: Mapping[str, Any],
        examples: Sequence[tuple[str, ...]],
        options: LabelOptions,
    ):
        super().__init__(task, predictor, config, examples)
        self.labels = names = list(predictor.labels)
        self.max_source_bytes = options.max_source_bytes or default_room(predictor.max_length)
        pieces = min(predictor.max_length, self.max_source_bytes)
        self.limits = {"max_source_bytes": self.max_source_bytes, "max_source_pieces": pieces}
        self.settings = {
            "kind": predictor.kind,
            "temperature": round(float(predictor.temperature), 6),
            "separator": str(config.get("label_separator", SEPARATOR)),
        }
        self.labelled = "values" if predictor.kind == "regression" else "probabilities"
        found = {
            self.labelled: TensorSpec("float32", (1, len(names))),
            "status": TensorSpec("int32", (1,)),
        }
        self.signatures = {task.signature: Signature(text_inputs(self.max_source_bytes), found)}

    def saved_model(self) -> tuple[tf.Module, dict[str, Function], dict[str, Any]]:
        module = LabelModule(self.predictor)
        functions = module.functions(self.task.signature)
        outputs = {self.labelled: {"dtype": "float32", "shape": [None, len(self.predictor.labels)]}}
        if self.predictor.kind == "single":
            outputs["label"] = {"dtype": "string", "shape": [None]}
        described = {"inputs": {"text": {"dtype": "string", "shape": [None]}}, "outputs": outputs}
        return module, functions, dict.fromkeys(functions, described)

    def lite_module(self) -> LabelLiteModule:
        return LabelLiteModule(self.predictor, self.max_source_bytes)

    def expected(self, sources: Sequence[bytes], steps: Steps, text: str) -> list[Labelled]:
        predictor, names = self.predictor, list(self.predictor.labels)
        # An empty text is padding alone, and here as much of it as in the smallest size of a file.
        nothing = np.zeros(min(FEW_PIECES, self.limits["max_source_pieces"]), np.int32)
        encoded = [ids[: predictor.max_length] for ids in predictor.tokenizer.encode_batch(sources)]
        with steps.step(f"{text}: {len(sources):,} texts"):
            logits = predictor.logits([ids if len(ids) else nothing for ids in encoded])
        found = predictor.probabilities_of(logits).astype(np.float32)
        return [Labelled(chosen(names, numbers, predictor.kind), numbers, 0) for numbers in found]

    def differences(
        self, sources: Sequence[bytes], expected: Sequence[Labelled], found: Sequence[Labelled]
    ) -> list[dict[str, Any]]:
        """Returns where the labels are others, or a value of a model of numbers is far off."""
        listed = []
        for index, (source, ours, theirs) in enumerate(zip(sources, expected, found, strict=True)):
            is_near = self.predictor.kind != "regression" or _near(ours.probabilities, theirs.probabilities)
            if set(ours.labels) != set(theirs.labels) or not is_near:
                kind = self.predictor.kind
                texts = {"keras": shown(*ours[:2], kind), "file": shown(*theirs[:2], kind)}
                tie = self._is_tie(ours.probabilities, set(ours.labels) ^ set(theirs.labels))
                shown_source = source.decode("utf-8", "replace")
                listed.append({"index": index, "source": shown_source, **texts, "tie": tie})
        return listed

    def agree(self, one: Labelled, other: Labelled) -> bool:
        """Returns whether the labels are the same, or the numbers of a model of numbers nearly so."""
        if self.predictor.kind == "regression":
            return _near(one.probabilities, other.probabilities)
        return set(one.labels) == set(other.labels)

    def verify_more(
        self,
        artifact: LabelArtifact,
        sentences: Sequence[Sentence],
        expected: Sequence[Labelled],
        found: Sequence[Labelled],
        steps: Steps,
    ) -> None:
        """Compares the probabilities of a float32 file with Keras's."""
        for sentence, ours, theirs in zip(sentences, expected, found, strict=True):
            if not _near(ours.probabilities, theirs.probabilities):
                raise ExportError(
                    f"{artifact.path.name}: other probabilities than Keras's for {sentence.kind!r:.80}: "
                    f"{theirs.numbers} where Keras has {ours.numbers}"
                )

    @property
    def headline(self) -> str:
        """R2 is what numbers have in place of accuracy."""
        return "r2" if self.predictor.kind == "regression" else self.task.headline

    def scores(self, answers: Sequence[Labelled]) -> dict[str, Any]:
        predictor = self.predictor
        probabilities = np.stack([answer.probabilities for answer in answers])
        references = reference_array(self.examples, predictor.labels, predictor.kind, self.settings["separator"])
        return label_scores(probabilities, references, predictor.labels, predictor.kind)

    def counts(self, answers: Sequence[Labelled]) -> dict[str, int]:
        return {"texts_cut": sum(bool(answer.status & (SOURCE_CUT | SOURCE_LONG)) for answer in answers)}

    def _is_tie(self, numbers: np.ndarray, labels: set[str]) -> bool:
        """Returns whether Keras is undecided about the labels that differ."""
        places = [list(self.predictor.labels).index(label) for label in labels]
        if self.predictor.kind == "single":
            return bool(np.ptp(numbers[places]) < TIE)
        return bool(places) and all(abs(numbers[place] - 0.5) < TIE for place in places)


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))
