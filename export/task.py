"""What export asks of a task.

`export_run` and all that reads artifact folders know tasks by these two classes alone: a `Task`, which is light and has
no run, and a `TaskExport`, a run of that task on its way out. A task is a module of the folder `tasks`, found there by
the name that a run's config.yaml has under `task`. Tasks that are alike share their classes: see `text_task`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import keras_transformer
from keras_transformer.errors import UserError, close_matches
from keras_transformer.training.run_directory import RunDirectory

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from keras_transformer.export.artifact import Artifact
    from keras_transformer.export.associated import About
    from keras_transformer.export.flatbuffer import Signature
    from keras_transformer.export.progress import Steps
    from keras_transformer.export.saved_model import Function
    from keras_transformer.export.sentences import Sentence


@dataclass(frozen=True)
class Page:
    """What the README of an artifact folder says of a task; `$name` stands for what `readme.make_readme` fills in.

    Attributes:
        about: what the model does, and what its files take and give.
        golden: how the answers in golden.json are to be compared.
        agreement: what it means that a file agrees with Keras.
        signature: what the main signature does, in a line.
        cases: what happens with empty, long and malformed texts.
        snippets: for each language the marker of its code block, the code, and what to know of it.
        saved_model: how to call the SavedModel.
        more: gives sections about other signatures, from the manifest and what is filled in.
    """

    about: str
    golden: str
    agreement: str
    signature: str
    cases: str
    snippets: Mapping[str, tuple[str, str, str]]
    saved_model: str
    more: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[str]] = lambda manifest, names: iter(())


@dataclass(frozen=True)
class Task(ABC):
    """A task. Importing one imports neither Keras nor TensorFlow.

    Attributes:
        name: as in config.yaml.
        signature: the main one of the `.tflite` files.
        does: what the model does, for the README.
        actor: what the model is called in examples of code.
        headline: the score that stands for the others in a table.
        shown: the scores in the README's table, with their headings.
        defaults: of options, where they are others than those of `Options`.
        Options: dataclass of what else can be chosen for an export.
        File: the class that runs a file.
        page: see `Page`.
    """

    name: str
    signature: str
    does: str
    actor: str
    headline: str
    shown: Mapping[str, str]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    Options: ClassVar[type]
    File: ClassVar[type[Artifact]]
    page: ClassVar[Page]

    def names(self, manifest: Mapping[str, Any]) -> dict[str, str]:
        """Returns what its page has `$name` for, besides what all have."""
        return {}

    def options(self, given: Mapping[str, Any]) -> Any:
        """Returns the options of an export, those that are not given at their defaults.

        Raises:
            UserError: an option that this task does not have, or a value that is wrong.
        """
        known = [item.name for item in fields(self.Options)]
        for name in given:
            if name not in known:
                raise UserError(
                    f"{name} is no option of an export for {self.name}.{close_matches(name, known)} "
                    f"There are: {', '.join(known)}."
                )
        return self.Options(**{**self.defaults, **given})

    @abstractmethod
    def export(self, run: RunDirectory, config: Mapping[str, Any], options: Any, limit: int) -> TaskExport:
        """Loads a run and the first `limit` examples of its test split. Imports Keras and TensorFlow.

        Raises:
            UserError: the run is damaged, or the options do not fit its model.
        """

    @abstractmethod
    def answerer(self, run: RunDirectory, settings: Mapping[str, Any]) -> Callable[[list[str]], object]:
        """Returns what answers texts in Keras, to be timed; `settings` are those of a `TaskExport`."""

    @abstractmethod
    def read(self, spec: str, artifact: Any, columns: Sequence[str | int] | None = None) -> list[Any]:
        """Reads examples of a file of the user, of these columns of it: tuples whose first member is the text.

        Raises:
            UserError: the file cannot be used.
        """

    @abstractmethod
    def file_scores(
        self, artifact: Any, answers: Sequence[Any], examples: Sequence[Any], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the scores of a file's answers to examples; `report` is what its folder reports, if there is one."""


class TaskExport(ABC):
    """A run on its way out: what its files are to hold, and what they must answer.

    Args:
        task: of the run.
        predictor: the loaded run.
        config: of the run.
        examples: of the test split: tuples whose first member is the text.

    Attributes:
        signatures: of the `.tflite` files, the main one first.
        max_source_bytes: room for a text.
        limits: for the manifest, what fits into a file.
        settings: for the manifest, other things that were chosen. JSON.
        measured: for the report, how the scores were taken.
        labels: for the manifest and the files, names of the answers, if they have a fixed set.
        labelled: the output whose last axis has the labels.
        text_field: what the text of an example is called in the run's splits.
    """

    text_field: str = "text"
    signatures: dict[str, Signature]
    max_source_bytes: int
    limits: dict[str, Any]
    labels: list[str] | None = None
    labelled: str = ""

    def __init__(self, task: Task, predictor: Any, config: Mapping[str, Any], examples: Sequence[tuple[Any, ...]]):
        self.task = task
        self.predictor = predictor
        self.config = config
        self.examples = examples
        self.settings: dict[str, Any] = {}
        self.measured: dict[str, Any] = {}

    @property
    def texts(self) -> list[str]:
        """Texts of the test split."""
        return [example[0] for example in self.examples]

    @property
    def headline(self) -> str:
        """The score that stands for the others."""
        return self.task.headline

    @property
    def about(self) -> About:
        """What the `.tflite` files say of themselves."""
        from keras_transformer.export.associated import About

        return About(
            name=self.task.name,
            description=f"A model that {self.task.does}: UTF-8 bytes in; made by keras-transformer.",
            version=keras_transformer.__version__,
            signatures={name: self.described(signature) for name, signature in self.signatures.items()},
            settings={"task": self.task.name, **self.settings},
            labels=self.labels,
            labelled=self.labelled,
        )

    @property
    def weights(self) -> int:
        """How many weights the files hold: fewer than the model has where normalisations are folded."""
        return int(self.exported_model.count_params())

    # What goes into the folder

    @abstractmethod
    def saved_model(self) -> tuple[tf.Module, dict[str, Function], dict[str, Any]]:
        """Returns the SavedModel's module, its functions by signature, and these as the manifest describes them."""

    @abstractmethod
    def lite(self) -> tuple[tf.Module, dict[str, Function]]:
        """Returns the module of the `.tflite` files, and its functions by signature."""

    @abstractmethod
    def described(self, signature: Signature) -> dict[str, Any]:
        """Returns a signature of the `.tflite` files as the manifest holds it."""

    @property
    @abstractmethod
    def exported_model(self) -> keras.Model:
        """The model in the `.tflite` files; not the run's own where that was folded."""

    @abstractmethod
    def model_inputs(self, texts: Sequence[str], steps: Steps) -> Iterator[Any]:
        """Yields what `exported_model` is called with for each text: one row without padding, not for an empty text.

        For a decoder that is its own answer too.
        """

    # What must be answered. An answer of Keras is of a type of the task; one of a file is what `Artifact.run` returns.

    @abstractmethod
    def expected(self, sources: Sequence[bytes], steps: Steps, text: str) -> list[Any]:
        """Returns Keras's answers; `text` says what for, to `steps`."""

    @abstractmethod
    def differences(
        self, sources: Sequence[bytes], expected: Sequence[Any], found: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """Returns where the answers of a file, `found`, are not Keras's: `index`, `source`, `keras`, `file` (as text)
        and `tie`, which is whether Keras itself is undecided between the two."""

    @abstractmethod
    def agree(self, one: Any, other: Any) -> bool:
        """Returns whether two files give the same answer, as people see it."""

    def verify_precision(self, artifact: Any, found: Sequence[Any], whole: Sequence[Any]) -> None:
        """Verifies a file of another precision than float32, whose score may yet be refused.

        Args:
            artifact: the file.
            found: its answers to the verification sentences.
            whole: those of the float32 file.

        Raises:
            ExportError: it is not right.
        """
        return None

    @abstractmethod
    def verify_more(
        self,
        artifact: Any,
        sentences: Sequence[Sentence],
        expected: Sequence[Any],
        found: Sequence[Any],
        steps: Steps,
    ) -> None:
        """Verifies on a float32 file what `differences` does not show.

        Args:
            artifact: the file.
            sentences: what it was run on.
            expected, found: the answers of Keras and of the file to them, cut as the file cuts them.
            steps: told of the progress.

        Raises:
            ExportError: it is not right.
        """

    @abstractmethod
    def scores(self, answers: Sequence[Any]) -> dict[str, Any]:
        """Returns the scores of answers to the test split, whether Keras's or a file's."""

    @abstractmethod
    def counts(self, answers: Sequence[Any]) -> dict[str, int]:
        """Returns how many of a file's answers were cut, for the report."""


def with_meanings(signature: Signature, meanings: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Returns a signature as the manifest holds it, given what its `inputs` and `outputs` mean by name."""
    return {
        side: {
            name: {"dtype": spec.dtype, "shape": list(spec.shape), "meaning": meanings[side][name]}
            for name, spec in getattr(signature, side).items()
        }
        for side in ("inputs", "outputs")
    }
