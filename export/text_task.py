"""Tasks from text to text, by searching: translation and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from keras_transformer.errors import UserError
from keras_transformer.export.artifact import Artifact
from keras_transformer.export.limits import Limits
from keras_transformer.export.task import Page, Task
from keras_transformer.export.text_artifact import TextArtifact
from keras_transformer.export.text_page import PAGE
from keras_transformer.generation.options import GREEDY, SearchOptions, saved_search
from keras_transformer.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from keras_transformer.export.text_export import TextExport


@dataclass(frozen=True)
class TextOptions:
    """What can be chosen for an export from text to text.

    Args:
        max_source_bytes, max_target_bytes: room for source and answer in the `.tflite` files.
        search: how the files search: a beam, constraints. With `n_best` above 1 or `samples` they have a signature
            for these too. None means as the run's config says.
        cut: whether a source of more pieces than the model was trained on is cut there: files with room for many bytes
            then take much less memory. None means as the run's config says.
        one_size, with_steps: what else goes into the `.tflite` files; see `Limits`.
        align: whether all files can say which words of a source each word of an answer looks at.
        align_layer, align_heads: whose attention that is; see `generation.chosen_heads`.

    Raises:
        UserError: a value is wrong, or two contradict each other.
    """

    max_source_bytes: int = 256
    max_target_bytes: int = 512
    search: SearchOptions | None = None
    cut: bool | None = None
    one_size: bool = False
    with_steps: bool = True
    align: bool = False
    align_layer: int | None = None
    align_heads: Sequence[int] | None = None

    def __post_init__(self) -> None:
        self.limits()  # raises if one is too small
        if not self.align and (self.align_layer is not None or self.align_heads is not None):
            raise UserError("align_layer or align_heads is given, but align is not: the files would have no alignments")
        if self.search is not None:
            self._check_draws(self.search)
            self._check_prefix(self.search)

    def limits(
        self, align_heads: Sequence[tuple[int, int]] | None = None, max_source_pieces: int | None = None
    ) -> Limits:
        """Returns the limits of the files, which align by (layer, head) pairs of the model, if any."""
        heads = None if align_heads is None else tuple(align_heads)
        room = (self.max_source_bytes, self.max_target_bytes)
        return Limits(*room, self.one_size, self.with_steps, max_source_pieces, heads)

    def _check_draws(self, search: SearchOptions) -> None:
        for name in ("seed", "temperature"):
            value = getattr(search, name)
            if value != getattr(GREEDY, name):
                raise UserError(f"{name} is {value}, but an exported file is given it with every text: leave it out")

    def _check_prefix(self, search: SearchOptions) -> None:
        size = len(search.prefix.encode("utf-8", "surrogatepass"))
        if size > self.max_target_bytes:
            raise UserError(f"prefix has {size} bytes, more than the {self.max_target_bytes} of max_target_bytes")


@dataclass(frozen=True, kw_only=True)
class TextTask(Task):
    """A task from text to text; see `Task`.

    Attributes:
        score: gives the scores of outputs, from their references and whether the texts are tokenised already.
        long_source: what to do with a text longer than the model was trained on, for the README.
    """

    score: Callable[[Sequence[str], Sequence[str], bool], dict[str, Any]]
    long_source: str

    Options: ClassVar[type] = TextOptions
    File: ClassVar[type[Artifact]] = TextArtifact
    page: ClassVar[Page] = PAGE

    def names(self, manifest: Mapping[str, Any]) -> dict[str, str]:
        """See `Task.names`."""
        limits = manifest["limits"]
        is_cut = limits["max_source_pieces"] < limits["max_source_bytes"]
        return {"long_source": self.long_source, "more_pieces": "cut there too" if is_cut else "answered too"}

    def export(self, run: RunDirectory, config: Mapping[str, Any], options: TextOptions, limit: int) -> TextExport:
        """Loads a run; see `Task.export`."""
        from keras_transformer.export.text_export import TextExport
        from keras_transformer.generation import load

        search = saved_search(config) if options.search is None else options.search
        cut = config.get("cut") is True if options.cut is None else options.cut
        chosen = replace(options, search=search, cut=cut)
        return TextExport(self, load(run.path), config, run.read_examples("test")[:limit], chosen)

    def answerer(self, run: RunDirectory, settings: Mapping[str, Any]) -> Callable[[list[str]], object]:
        """Returns the search of a run; see `Task.answerer`."""
        from keras_transformer.export.verify import best_of
        from keras_transformer.generation import load

        predictor, search = load(run.path), best_of(SearchOptions(**settings["search"]))
        return lambda texts: predictor.predict(texts, search=search)

    def read(self, spec: str, artifact: Any, columns: Sequence[str | int] | None = None) -> list[Any]:
        """Reads sources with their references; see `Task.read`."""
        from keras_transformer.data import read_pairs

        return [row.fields for row in read_pairs(spec, columns)]

    def file_scores(
        self, artifact: Any, answers: Sequence[Any], examples: Sequence[Any], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the scores of translations and the like; see `Task.file_scores`."""
        outputs = [answer.text.decode("utf-8", "replace") for answer in answers]
        return self.score(outputs, [reference for _, reference in examples], bool(report.get("tokenized", False)))
