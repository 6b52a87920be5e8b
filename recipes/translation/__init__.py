"""Machine translation: from sentence pairs to a run directory that translates.

Read `main` first: it is the table of contents.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from keras_transformer import data, generation, training
from keras_transformer.config import load_config, save_config
from keras_transformer.errors import UserError
from keras_transformer.generation.options import GREEDY
from keras_transformer.recipes.translation.generated import generated_pairs
from keras_transformer.scores import translation_scores
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training.config import ModelConfig, TrainingConfig

Pair = tuple[str, str]
GENERATED = {"train": 60_000, "validation": 500, "test": 1_000}  # pairs of the built-in data
SAMPLES = 8  # sentences shown at every evaluation
MAY_CHANGE = ("run", "resume", "steps", "minutes", "patience", "evaluate_every", "checkpoint_every", "tensorboard")


@dataclass
class Config:
    """Trains a translator on sentence pairs.

    Args:
        data: "generated" (numbers, dates and times, made here), the name of a public set such as multi30k, a file
            (.tsv, .csv, .jsonl, each also .gz), or two aligned text files: "train.en,train.de".
        validation: file or files to validate on; none takes a part of the data.
        test: file or files for the final score; none takes a part of the data.
        columns: source and target column of a table: names (the file has a header) or numbers from 0; or the names of
            the fields of JSON Lines.
        languages: source and target language of a public set; none means en-de.
        tokenized: the text is tokenised already; a public set is taken in its tokenised form, and BLEU is computed on
            the words as they stand.
        run: folder to write to.
        resume: take up the training in that folder.
        vocabulary_size: pieces of the vocabulary; none means up to 8,000, as the text allows.
        max_source_length: longest source in pieces; longer pairs are left out of training, counted and reported.
        max_target_length: longest target in pieces, likewise, and the longest translation.
        model: the model.
        training: the training.
        task: names the recipe in a run's config.
    """

    data: str = "generated"
    validation: str | None = None
    test: str | None = None
    columns: list[str] | None = None
    languages: str | None = None
    tokenized: bool = False
    run: str = "runs/translation"
    resume: bool = False
    vocabulary_size: int | None = None
    max_source_length: int = 128
    max_target_length: int = 128
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    task: Literal["translation"] = "translation"

    def __post_init__(self) -> None:
        for name in ("max_source_length", "max_target_length"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 1 or more")
        named = self.data in data.named_sets()
        if self.data == "generated" or named:
            for name in ("validation", "test", "columns"):
                if getattr(self, name) is not None:
                    raise UserError(f"{name} is given, but data is {self.data!r}: {name} belongs to files of your own")
        if self.languages is not None and not named:
            raise UserError(f"languages is {self.languages!r}, but data is no public set: leave languages out")


def main(config: Config) -> dict[str, Any]:
    """Trains a translator and returns its scores on the test split.

    Raises:
        UserError: the data, the run directory or the config cannot be used.
    """
    config = replace(config, model=config.model.resolved())
    run = open_run(config)
    tokenizer = prepare_data(config, run)
    batches = make_batches(config, run, tokenizer)
    say(f"{batches.batches_per_epoch:,} batches an epoch, {batches.padding_share:.1%} of their targets padding")
    model = build_model(config, run, tokenizer)
    training_model = training.compile_for_training(model, config.training, tokenizer.pad_id)
    translator = generation.TextToText(model, tokenizer, config.max_source_length, config.max_target_length)
    validation = run.read_examples("validation")
    training.train(training_model, batches, config.training, run, lambda: validate(translator, validation, config))
    return evaluate(config.run)


def open_run(config: Config) -> training.RunDirectory:
    """Returns the run's directory: one to resume, whose config agrees, or one that does not exist yet."""
    run = training.RunDirectory(config.run)
    if not config.resume:
        run.check_free()
        return run
    run.check_exists()
    saved = load_config(Config, run.config)
    changed = [name for name, *_ in _differences(saved, config) if not set(name.split(".")) & set(MAY_CHANGE)]
    if changed:
        raise UserError(
            f"{run.path} was trained with another {' and '.join(changed)}; to resume, leave them as they were "
            f"({', '.join(MAY_CHANGE[1:])} may change)"
        )
    return run


def prepare_data(config: Config, run: training.RunDirectory) -> BytePieceTokenizer:
    """Makes a new run's directory: config, tokenizer, and the data, tokenised once. A resumed one has them already."""
    if config.resume:
        save_config(config, run.config)
        return BytePieceTokenizer.load(run.tokenizer)
    splits = load_splits(config)
    texts = (text for row in splits["train"] for text in row.fields)
    tokenizer = BytePieceTokenizer.learn(texts, config.vocabulary_size)
    with run.create() as new:
        save_config(config, new.config)
        tokenizer.save(new.tokenizer)
        for split in ("validation", "test"):
            new.write_examples(split, _texts(splits[split]))
        tokenize(config, new, tokenizer, splits["train"])
        make_batches(config, new, tokenizer)  # raises here, before there is a run, what would raise later
    return tokenizer


def tokenize(config: Config, run: training.RunDirectory, tokenizer: BytePieceTokenizer, rows: list[data.Row]) -> None:
    """Writes the training pairs as ids, and tells how many were too long."""
    limits = (config.max_source_length, config.max_target_length - 1)  # the end id takes a place
    report = data.TokenStore.write(run.train_store, _texts(rows), ("source", "target"), tokenizer, limits)
    if report.too_long:
        say(
            f"left out {report.too_long:,} of {len(rows):,} training pairs longer than {limits[0]} source or "
            f"{limits[1]} target pieces, the first at {rows[report.first_too_long].place}"
        )
    say(f"{report.rows:,} training pairs, {tokenizer.vocabulary_size:,} pieces")


def load_splits(config: Config) -> dict[str, list[data.Row]]:
    """Returns the training, validation and test pairs that a config asks for."""
    if config.data == "generated":
        return {split: generated_rows(split, count) for split, count in GENERATED.items()}
    if config.data in data.named_sets():
        options = (config.languages or "en-de", config.tokenized)
        return {split: _read(data.named_pairs, config.data, split, *options) for split in GENERATED}
    data.check_data(config.data, known_names=["generated", *data.named_sets()])
    splits = {
        split: _read(read_file, spec, config.columns)
        for split, spec in (("validation", config.validation), ("test", config.test))
        if spec is not None
    }
    report = data.Report()
    rows = list(read_file(config.data, config.columns, report=report))
    _tell(report)
    sizes = dict(zip(("validation", "test"), data.default_split_sizes(len(rows)), strict=True))
    sizes.update(dict.fromkeys(splits, 0))
    train, validation, test = data.split_pairs(rows, sizes["validation"], sizes["test"], seed=0)
    splits = {"train": train, "validation": validation, "test": test, **splits}
    _tell_overlap(splits)
    return splits


def generated_rows(split: str, count: int) -> list[data.Row]:
    """Returns the built-in pairs as rows."""
    name = f"generated {split} pairs"
    return [data.Row(pair, name, number) for number, pair in enumerate(generated_pairs(split, count), 1)]


def read_file(spec: str, columns: list[str] | None, report: data.Report | None = None) -> Iterator[data.Row]:
    """Reads pairs from the user's file or files; columns that are digits are numbers."""
    chosen = None if columns is None else [int(name) if name.isdigit() else name for name in columns]
    return data.read_pairs(spec, chosen, report)


def make_batches(config: Config, run: training.RunDirectory, tokenizer: BytePieceTokenizer) -> data.Seq2SeqBatches:
    """Returns the training batches."""
    ids = {"start_id": tokenizer.start_id, "end_id": tokenizer.end_id, "pad_id": tokenizer.pad_id}
    store = data.TokenStore(run.train_store)
    return data.Seq2SeqBatches(store, config.training.batch_tokens, config.training.seed, **ids)


def build_model(config: Config, run: training.RunDirectory, tokenizer: BytePieceTokenizer) -> Any:
    """Returns a new, untrained model, its weights drawn by the seed."""
    import keras

    from keras_transformer.models import Seq2SeqTransformer

    keras.utils.set_random_seed(config.training.seed)
    model = Seq2SeqTransformer(
        tokenizer.vocabulary_size, **config.model.arguments(), dtype=config.training.dtype_policy, name="translator"
    )
    run.write_model(model)
    say(f"{model.count_params():,} weights")
    return model


def validate(translator: generation.TextToText, pairs: list[Pair], config: Config) -> training.Evaluation:
    """Translates the validation pairs and scores them; the best weights are those with the highest BLEU."""
    outputs = translator.predict([source for source, _ in pairs])
    scores = translation_scores(outputs, [target for _, target in pairs], config.tokenized)
    samples = [(*pair, output) for pair, output in zip(pairs, outputs, strict=True)][:SAMPLES]
    shown = {name: scores[name] for name in ("bleu", "chrf", "exact_match")}
    return training.Evaluation(score=scores["bleu"], metrics=shown, samples=samples)


def evaluate(
    run: str,
    data: str | None = None,
    limit: int | None = None,
    batch_tokens: int = 4096,
    search: generation.SearchOptions | None = None,
) -> dict[str, Any]:
    """Scores a run's best weights, on its own test split or on a file, and writes the corpus beside the score.

    Args:
        run: the run's directory.
        data: a file or two aligned files; none means the test split.
        limit: score only so many pairs.
        batch_tokens: source pieces translated at once.
        search: how to search; default greedily.

    Returns: the scores, and the path of the corpus (source, reference, output, log-probability a line).
    """
    directory = training.RunDirectory(run)
    directory.check_trained()
    config = load_config(Config, directory.config)
    pairs = directory.read_examples("test") if data is None else _texts(_read(read_file, data, config.columns))
    name = "test" if data is None else Path(data.partition(",")[0]).name
    if limit is not None and limit < len(pairs):
        pairs, name = pairs[:limit], f"{name}.first-{limit}"
    translator = generation.load(run)
    translator.batch_tokens = batch_tokens
    search = search or generation.SearchOptions()
    generated = translator.generate([source for source, _ in pairs], search=search)
    outputs = [found.text for found in generated]
    scores = translation_scores(outputs, [target for _, target in pairs], config.tokenized)
    scores["search"] = {name: value for name, value in asdict(search).items() if value != getattr(GREEDY, name)}
    name = name if search == GREEDY else f"{name}.{_short(scores['search'])}"
    corpus = directory.write_evaluation(name, scores, pairs, generated)
    return {**scores, "corpus": str(corpus)}


def _short(options: dict[str, Any]) -> str:
    """Returns options as a part of a file's name."""
    return re.sub(r"[^\w.=,-]+", "_", ",".join(f"{name}={value}" for name, value in options.items()))[:80]


def say(line: str) -> None:
    """Tells the user something on standard error."""
    print(line, file=sys.stderr)


def _read(reader: Callable[..., Iterator[data.Row]], *arguments: Any) -> list[data.Row]:
    report = data.Report()
    rows = list(reader(*arguments, report=report))
    _tell(report)
    return rows


def _texts(rows: Iterable[data.Row]) -> list[Pair]:
    return [(row.fields[0], row.fields[1]) for row in rows]


def _tell(report: data.Report) -> None:
    if report.message():
        say(report.message())


def _tell_overlap(splits: dict[str, list[data.Row]]) -> None:
    """Says how many sources of the other parts are among those trained on: their scores say less."""
    trained_on = {row.fields[0] for row in splits["train"]}
    for split in ("validation", "test"):
        known = sum(row.fields[0] in trained_on for row in splits[split])
        if known:
            say(f"warning: {known:,} of {len(splits[split]):,} {split} sources are in the training data too")


def _differences(saved: Any, now: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for item in fields(saved):
        before, after = getattr(saved, item.name), getattr(now, item.name)
        if is_dataclass(before):
            yield from _differences(before, after, f"{prefix}{item.name}.")
        elif before != after:
            yield f"{prefix}{item.name}", before, after
