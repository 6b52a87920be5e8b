"""What every recipe can set about its data, its run and its training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from keras_transformer.data.files import picked
from keras_transformer.data.named import named_sets
from keras_transformer.errors import UserError, refuse_unless
from keras_transformer.training.config import TrainingConfig

GENERATED = "generated"  # the name of the built-in data
OF_OWN_FILES = ("validation", "test", "columns")


@dataclass
class RecipeConfig:
    """What every recipe can set; a recipe's `Config` adds what is its own.

    Args:
        data: "generated" (made here), the name of a public set, or a file. Or several of these.
        train_only: files or public sets to train on besides, such as what a model made of your texts; none of it is
            validated or tested on, and what has a text of those parts is left out.
        train_only_steps: after so many updates train_only is left out: the training ends on the data alone; none trains
            on both to the end.
        mixing_weights: how much of an epoch each of several data is to be, in their order, those of train_only behind;
            none goes by their size.
        mixing_temperature: with several data and no weights, shares go with size to the power of 1 / temperature:
            1 mixes by size, larger values bring small ones up.
        validation: file or files to validate on; none takes a part of the data.
        test: file or files for the final score; none takes a part of the data.
        fold: K/N, such as 3/10: the test part is the K-th of N equal parts of the data. N runs, one for each K, test on
            all of it, each on what it was not trained on.
        columns: the columns of a table that hold the data: names (the file has a header) or numbers from 0; or the
            names of the fields of JSON Lines.
        run: folder to write to.
        resume: take up the training in that folder.
        vocabulary_size: pieces of the vocabulary; none means up to 8,000, as the text allows.
        task: names the recipe in a run's config.
        training: the training.

    Example:
        ```python
        @dataclass
        class Config(RecipeConfig):
            \"\"\"Trains a parser.

            Args:
                max_length: longest text in pieces.
            \"\"\"

            task: Literal["parsing"] = "parsing"
            run: str = "runs/parsing"
            max_length: int = 128
        ```
    """

    data: str | list[str] = GENERATED
    train_only: list[str] | None = None
    train_only_steps: int | None = None
    mixing_weights: list[float] | None = None
    mixing_temperature: float = 1.0
    validation: str | None = None
    test: str | None = None
    fold: str | None = None
    columns: list[str] | None = None
    run: str = "runs/mine"
    resume: bool = False
    vocabulary_size: int | None = None
    task: str = ""
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if isinstance(self.data, list) and len(self.data) == 1:
            self.data = self.data[0]
        picked(self.columns)  # raises if they cannot be
        self._check_mixing()
        self._check_fold()
        for spec in self.named:
            self._check_named(spec)
        if all(spec == GENERATED or spec in self.named for spec in self.sources):
            for name in OF_OWN_FILES:
                if getattr(self, name) is not None:
                    raise UserError(f"{name} is given, but data is {self.data!r}: {name} belongs to files of your own")
        if self.training.r_drop and getattr(getattr(self, "model", None), "copy", False):
            raise UserError("r_drop is given, but the model copies: give model.copy false, or leave r_drop out")

    @property
    def parted(self) -> list[str]:
        """The data that training, validation and test are parts of, one by one."""
        return [self.data] if isinstance(self.data, str) else self.data

    @property
    def sources(self) -> list[str]:
        """All that is trained on, one by one: the data, and what is trained on besides."""
        return [*self.parted, *(self.train_only or ())]

    @property
    def named(self) -> list[str]:
        """Those of the sources that are public sets."""
        return [spec for spec in self.sources if spec in named_sets()]

    @property
    def picked(self) -> list[str | int] | None:
        """The columns, those that are digits as numbers."""
        return self.picked_of(None)

    def picked_of(self, columns: list[str] | None) -> list[str | int] | None:
        """Returns these columns as `picked` does; those of the config if they are none."""
        return picked(self.columns if columns is None else columns)

    @property
    def fold_number(self) -> tuple[int, int] | None:
        """The fold's number, from 1, and how many there are."""
        if self.fold is None:
            return None
        number, _, count = self.fold.partition("/")
        return int(number), int(count)

    def check_counts(self, *names: str) -> None:
        """Raises a `UserError` unless each of these fields is 1 or more."""
        for name in names:
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 1 or more")

    def _field_of(self, spec: str) -> str:
        return "train_only" if spec in (self.train_only or ()) else "data"

    def _check_named(self, spec: str) -> None:
        task = named_sets()[spec].task
        if task != self.task:
            known = [name for name, entry in named_sets().items() if entry.task == self.task]
            raise UserError(
                f"{self._field_of(spec)} is {spec!r}, a public set for {task}, not {self.task}; train {task} with it, "
                f"or give one of {', '.join([GENERATED, *known])} or a file of your own"
            )

    def _check_fold(self) -> None:
        if self.fold is None:
            return
        wanted = "K/N with 1 <= K <= N and N from 3 to 100, such as 3/10"
        refuse_unless(bool(re.fullmatch("[0-9]{1,3}/[0-9]{1,3}", self.fold)), "fold", self.fold, wanted)
        number, count = self.fold_number or (0, 0)
        refuse_unless(1 <= number <= count and 3 <= count <= 100, "fold", self.fold, wanted)
        refuse_unless(self.test is None, "fold", self.fold, f"none: the test part is {self.test}")
        refuse_unless(self.data != GENERATED, "fold", self.fold, "none: the built-in data has a test part")

    def _check_mixing(self) -> None:
        if self.train_only_steps is not None:
            given, wanted = self.train_only_steps, "1 or more, with train_only given"
            refuse_unless(given > 0 and bool(self.train_only), "train_only_steps", given, wanted)
        sources, weights, temperature = self.sources, self.mixing_weights, self.mixing_temperature
        refuse_unless(bool(self.parted), "data", self.data, "one or more files or names")
        for spec in sources:
            name = self._field_of(spec)
            refuse_unless(sources.count(spec) == 1, name, getattr(self, name), f"each once: {spec!r} is given twice")
        if weights is not None:
            wanted = f"{len(sources)} of them, one for each data"
            refuse_unless(len(weights) == len(sources), "mixing_weights", weights, wanted)
            refuse_unless(all(weight > 0 for weight in weights), "mixing_weights", weights, "each more than 0")
            refuse_unless(temperature == 1, "mixing_temperature", temperature, "1, for mixing_weights are given")
        refuse_unless(temperature > 0, "mixing_temperature", temperature, "more than 0")
