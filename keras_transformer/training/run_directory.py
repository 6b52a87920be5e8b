"""A run directory: all that a training leaves on disk, enough to resume, evaluate, predict and export.

- `config.yaml`: the complete config, every default written out
- `model.json`: the model's class and arguments
- `tokenizer/`: the vocabulary
- `labels.json`: what a classifier's outputs stand for
- `data/`: train/ (token store), validation.jsonl, test.jsonl
- `checkpoints/`: step-00001000.npz: weights, optimizer and random seeds
- `model.weights.h5`: weights of the best evaluation
- `metrics.json`: the evaluations
- `curve.jsonl`: the curves of training, a point a line
- `logs/`: TensorBoard
- `samples.txt`: sample sentences at the last evaluation
- `evaluations/`: scores and corpora of `evaluate`
- `training.lock`: held by the process that trains
- `origin/`: of a run trained for few bits, what it takes to answer as the run that it came from
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from keras_transformer._files import in_the_way, replacing, replacing_folder, write_json
from keras_transformer._locks import is_locked, locked
from keras_transformer.errors import UserError, close_paths

PAIR = ("source", "target")  # what the texts of an example are called, unless the recipe says otherwise
LARGEST = 2.0**63  # of the numbers in a run's files: what is not damaged has far smaller ones


def numbered_files(folder: Path, kind: str) -> list[Path]:
    """Returns the files <kind>-<step>.npz of a folder, the smallest step first."""
    if not folder.is_dir():
        return []
    names = sorted(name for name in os.listdir(folder) if re.fullmatch(rf"{kind}-[0-9]{{8,18}}\.npz", name))
    return [folder / name for name in names]


def step_of(path: Path) -> int:
    """Returns the step in the name of a file <kind>-<step>.npz."""
    return int(path.stem.rpartition("-")[2])


def is_number(value: Any) -> bool:
    """Returns whether a value read from a file is a number of a usual size; NaN and the infinite are usual."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST)


def is_count(value: Any) -> bool:
    """Returns whether a value read from a file is a whole number, such as that of a step."""
    return isinstance(value, int) and 0 <= value < LARGEST


class RunDirectory:
    """Paths and small files of a run.

    Args:
        path: of the folder; nothing is created until `create`.

    Example:
        ```python
        run = RunDirectory("runs/mine")
        run.check_trained()
        run.read_json(run.metrics)["best_score"]
        ```
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.model = self.path / "model.json"
        self.tokenizer = self.path / "tokenizer"
        self.labels = self.path / "labels.json"
        self.train_store = self.path / "data" / "train"
        self.checkpoints = self.path / "checkpoints"
        self.weights = self.path / "model.weights.h5"
        self.next_weights = self.path / "next.weights.h5"  # until the checkpoint names them
        self.metrics = self.path / "metrics.json"
        self.curve = self.path / "curve.jsonl"
        self.logs = self.path / "logs"
        self.samples = self.path / "samples.txt"
        self.lock = self.path / "training.lock"
        self._held: ExitStack | None = None
        self.origin = self.path / "origin"

    def check_free(self, mend: str = "give another --run, or --resume to take up the training in it") -> None:
        """Raises UserError if something stands in the way of a new run, which says what to do about one."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; {mend.partition(',')[0]}")
        if self.path.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path} exists already; {mend}")
        if (file := in_the_way(self.path)) is not None:
            raise UserError(f"{self.path} cannot be made: {file} is a file; {mend.partition(',')[0]}")

    @contextmanager
    def create(self) -> Iterator[RunDirectory]:
        """Gives a run directory beside this one to fill; it takes its place when the block ends without an error.

        An error or a kill inside the block leaves nothing that would be in the way of the next try.

        Raises:
            UserError: it cannot be made.
        """
        try:
            with replacing_folder(self.path) as beside:
                yield RunDirectory(beside)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be made: {error.strerror or error}; give another --run, or make room"
            ) from None

    def hold(self) -> None:
        """Keeps other processes from training this run, until `release` or the end of this one.

        Raises:
            UserError: another process trains it.
        """
        if self._held is not None:
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.lock, wait=False))
            except BlockingIOError:
                raise UserError(
                    f"{self.path} is being trained by another process: wait for its end, or end it"
                ) from None
            except OSError as error:
                raise UserError(f"{self.lock} cannot be written: {error.strerror}") from None
            self._held = stack.pop_all()

    def release(self) -> None:
        """Lets others train this run."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def is_training(self) -> bool | None:
        """Returns whether a process trains this run; None if that cannot be told: nothing has locked it yet."""
        return is_locked(self.lock)

    def last_checkpoint(self) -> int | None:
        """Returns the step of the last checkpoint; None if there is none."""
        saved = numbered_files(self.checkpoints, "step")
        return step_of(saved[-1]) if saved else None

    def is_begun(self) -> bool:
        """Returns whether something is trained: the run, or what it is warmed up by, has a checkpoint."""
        return any(numbered_files(folder, "step") for folder in self.path.glob("**/checkpoints"))

    def check_exists(self) -> None:
        """Raises UserError unless this is the folder of a run."""
        if not self.path.is_dir():
            siblings = [p.name for p in self.path.parent.iterdir() if p.is_dir()] if self.path.parent.is_dir() else []
            raise UserError(f"no run directory {str(self.path)!r}.{close_paths(str(self.path), siblings)}")
        if not self.config.is_file():
            raise UserError(f"{self.path} is no run directory: it has no config.yaml")

    def remove_unfinished(self) -> None:
        """Removes files whose writer was killed before they were whole; nobody else may be writing to the run."""
        for folder in (self.path, self.checkpoints):
            for path in folder.glob("*.tmp") if folder.is_dir() else ():
                if re.search(r"\.\d+\.tmp$", path.name) and path.is_file():
                    path.unlink(missing_ok=True)

    def check_trained(self) -> None:
        """Raises UserError unless this is the folder of a run that has weights."""
        self.check_exists()
        for part in (self.model, self.tokenizer, self.weights):
            if not part.exists():
                raise UserError(
                    f"{self.path}: {part.name} is missing; the training has not reached its first evaluation, or the "
                    "run is damaged: take it up with --resume"
                )

    def write_examples(self, split: str, rows: Iterable[Sequence[str]], names: Sequence[str] = PAIR) -> None:
        """Writes a split's texts as data/<split>.jsonl, one object a line, with a field for each of the `names`.

        Raises:
            UserError: there are none.
        """
        rows = list(rows)
        if not rows:
            raise UserError(f"the {split} set is empty: give more data, or a file of its own with --{split}")
        self.examples(split).parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.examples(split), "w") as file:
            for row in rows:
                file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")

    def examples(self, split: str) -> Path:
        """Returns the path of a split's texts."""
        return self.path / "data" / f"{split}.jsonl"

    def read_examples(self, split: str) -> list[tuple[str, str]]:
        """Returns the (source, target) pairs of a split.

        Raises:
            UserError: the file is missing or damaged.
        """
        return [(source, target) for source, target in self.read_rows(split, PAIR)]

    def read_rows(self, split: str, names: Sequence[str]) -> list[tuple[str, ...]]:
        """Returns the texts of a split, as many of each row as there are `names`.

        Raises:
            UserError: the file is missing or damaged.
        """
        from keras_transformer.data.readers import read_columns

        return [row.fields for row in read_columns(self.examples(split), names, len(names))]

    def write_evaluation(self, name: str, scores: dict[str, Any], rows: Iterable[dict[str, Any]]) -> Path:
        """Writes evaluations/<name>.json (the scores) and <name>.jsonl (the corpus), and returns the latter's path."""
        folder = self.path / "evaluations"
        folder.mkdir(exist_ok=True)
        corpus = folder / f"{name}.jsonl"
        with replacing(corpus, "w") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        write_json(folder / f"{name}.json", scores)
        return corpus

    def write_model(self, model: Any) -> None:
        """Writes the class and the arguments of a model."""
        config = {name: value for name, value in model.get_config().items() if name not in ("dtype", "trainable")}
        write_json(self.model, {"class": type(model).__name__, "config": config})

    def read_json(self, path: Path) -> Any:
        """Returns the value in a JSON file of the run.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged: {error}") from None

    def read_metrics(self) -> dict[str, Any]:
        """Returns what metrics.json holds, see `EvaluationRecord`; no evaluations before the first.

        Raises:
            UserError: the file is damaged.
        """
        if not self.metrics.exists():
            return {"evaluations": []}
        metrics = self.read_json(self.metrics)
        entries = metrics.get("evaluations") if isinstance(metrics, dict) else None
        good = isinstance(entries, list) and all(
            isinstance(entry, dict) and is_count(entry.get("step")) and is_number(entry.get("seconds"))
            for entry in entries
        )
        if good:
            best, step, speed = (metrics.get(name) for name in ("best_score", "best_step", "tokens_per_second"))
            good = all(value is None or is_number(value) for value in (best, speed)) and (
                is_count(step) or (step is None and best is None)
            )
        if not good:
            raise UserError(f"{self.metrics} is damaged: expected evaluations, each with its step and seconds")
        return dict(metrics)
