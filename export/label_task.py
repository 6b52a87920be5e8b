"""Tasks that say what a text is: classification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from keras_transformer.export.artifact import Artifact, warn
from keras_transformer.export.label_artifact import LabelArtifact
from keras_transformer.export.label_page import PAGE
from keras_transformer.export.limits import check_room
from keras_transformer.export.task import Page, Task
from keras_transformer.label_references import (
    checked_rows,
    field_names,
    reference_array,
    unknown_labels,
    warning_of_unknown,
)
from keras_transformer.label_scores import SEPARATOR
from keras_transformer.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from keras_transformer.export.label_export import LabelExport


@dataclass(frozen=True)
class LabelOptions:
    """What can be chosen for an export of a model that says what a text is.

    Args:
        max_source_bytes: room for a text in the `.tflite` files; default four for each piece that the model reads.

    Raises:
        UserError: it is too small to be of use.
    """

    max_source_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.max_source_bytes is not None:
            check_room("max_source_bytes", self.max_source_bytes)


class LabelTask(Task):
    """A task from a text to labels; see `Task`."""

    Options: ClassVar[type] = LabelOptions
    File: ClassVar[type[Artifact]] = LabelArtifact
    page: ClassVar[Page] = PAGE

    def names(self, manifest: Mapping[str, Any]) -> dict[str, str]:
        """See `Task.names`."""
        output = "values" if manifest["kind"] == "regression" else "probabilities"
        return {"output": output, "numbers": f"float32 {output}"}

    def export(self, run: RunDirectory, config: Mapping[str, Any], options: LabelOptions, limit: int) -> LabelExport:
        """Loads a run; see `Task.export`."""
        from keras_transformer.export.label_export import LabelExport
        from keras_transformer.predictors import load

        predictor = load(run.path)
        examples = run.read_rows("test", field_names(predictor.labels, predictor.kind))
        return LabelExport(self, predictor, config, examples[:limit], options)

    def answerer(self, run: RunDirectory, settings: Mapping[str, Any]) -> Callable[[list[str]], object]:
        """Returns the classification of texts by a run; see `Task.answerer`."""
        from keras_transformer.predictors import load

        return load(run.path).classify

    def read(self, spec: str, artifact: Any, columns: Sequence[str | int] | None = None) -> list[Any]:
        """Reads texts with their labels, or numbers; see `Task.read`."""
        from keras_transformer.data import read_fields

        names, separator = field_names(artifact.labels, artifact.kind), _separator(artifact)
        several = separator if artifact.kind == "multi" else None
        rows = read_fields(spec, names, columns, labels=len(names) - 1, separator=several)
        return [row.fields for row in checked_rows(rows, artifact.kind, separator)]

    def file_scores(
        self, artifact: Any, answers: Sequence[Any], examples: Sequence[Any], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns accuracy and so on; see `label_scores` and `Task.file_scores`."""
        import numpy as np

        from keras_transformer.label_scores import label_scores

        meant = (examples, artifact.labels, artifact.kind, _separator(artifact))
        if unknown := warning_of_unknown(unknown_labels(*meant)):
            warn(unknown)
        probabilities = np.stack([answer.probabilities for answer in answers])
        return label_scores(probabilities, reference_array(*meant), artifact.labels, artifact.kind)


def _separator(artifact: Any) -> str:
    return str(artifact.settings.get("separator", SEPARATOR))
