"""Text classification: from labelled texts to a run directory that labels others.

Read `main` first: it is the table of contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from keras_transformer import data, predictors, training
from keras_transformer import recipe_kit as kit
from keras_transformer._warnings import gathered_warnings
from keras_transformer.config import load_config
from keras_transformer.data.encoder_batches import TEXT
from keras_transformer.data.rows import EMPTY_ROWS
from keras_transformer.errors import refuse_unless
from keras_transformer.label_names import check_label
from keras_transformer.label_references import checked_rows, warning_of_unknown
from keras_transformer.label_scores import SEPARATOR, fitted_temperature, label_scores, probabilities_of
from keras_transformer.recipe_kit import say
from keras_transformer.recipes.classification import labels as labelling
from keras_transformer.recipes.classification.generated import generated_messages, labels_of
from keras_transformer.recipes.classification.labels import Labels
from keras_transformer.recipes.classification.warm_up import warm_up
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training.config import EncoderConfig

Example = tuple[str, ...]  # a text, and what it is labelled with
GENERATED = {"train": 8_000, "validation": 500, "test": 1_000}  # messages of the built-in data
SAMPLES = 8  # texts shown at every evaluation
SHOWN = 200  # characters of each
BEST_BY = {"single": "accuracy", "multi": "micro_f1", "regression": "r2"}  # the score that the best weights have


@dataclass
class Config(kit.RecipeConfig):
    """Trains a classifier on labelled texts.

    Args:
        data: "generated" (support messages, made here), the name of a public set such as trec, or a file (.tsv, .csv,
            .jsonl, each also .gz) with a column for the text and one for its label. Or several of these.
        validation: file to validate on; none takes a part of the data.
        test: file for the final score; none takes a part of the data.
        columns: text and label column of a table, or of a regression text and number columns: names (the file has a
            header) or numbers from 0; or the names of the fields of JSON Lines. None means text and label.
        kind: single (one label a text), multi (any number, separated by label_separator) or regression (numbers).
        label_separator: what parts the labels of a text, with multi; a text without any has it alone.
        max_length: longest text in pieces; longer ones are cut there in training, counted and reported.
        balance: labels count by how rare they are, their frequency to the power of minus this: 0 all the same, 1 each
            label as much as any other.
        focal: gamma of the focal loss: what is predicted well already counts less; 0 is off, 2 usual.
        mixup: alpha by which the vectors of two texts are mixed in training; 0 is off, 0.2 usual.
        adversarial: how far embeddings are moved to where the loss rises fastest, for a second loss there (FGM); 0 is
            off, 1 does something, and a step takes three times as long.
        swap_words: probability that a word of a training text changes places with another.
        delete_words: probability that a word of a training text is left out.
        warm_up_steps: steps of masked language modelling on the training texts before the training; 0 for none.
        model: the model.
        pooling: how a text becomes one vector: mean, max, first or attention.
    """

    task: Literal["classification"] = "classification"
    run: str = "runs/classification"
    kind: Literal["single", "multi", "regression"] = "single"
    label_separator: str = SEPARATOR
    max_length: int = 256
    pooling: Literal["mean", "max", "first", "attention"] = "mean"
    balance: float = 0.0
    focal: float = 0.0
    mixup: float = 0.0
    adversarial: float = 0.0
    swap_words: float = 0.0
    delete_words: float = 0.0
    warm_up_steps: int = 0
    model: EncoderConfig = field(default_factory=EncoderConfig)

    def __post_init__(self) -> None:
        self.check_counts("max_length")
        for name in ("balance", "focal", "mixup", "adversarial", "warm_up_steps"):
            refuse_unless(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("swap_words", "delete_words"):
            refuse_unless(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0 and less than 1")
        refuse_unless(bool(self.label_separator), "label_separator", self.label_separator, "one character or more")
        alone = not (self.warm_up_steps and self.training.hosts)
        refuse_unless(alone, "warm_up_steps", self.warm_up_steps, "0 with several hosts")
        both = self.mixup > 0 and self.training.r_drop > 0
        refuse_unless(not both, "mixup", self.mixup, "0 with training.r_drop: what is mixed cannot be drawn together")
        if self.kind == "regression":
            for name in ("balance", "focal"):
                refuse_unless(getattr(self, name) == 0, name, getattr(self, name), "0 with kind regression")
        wanted = "the columns of the text and of one number or more" if self.kind == "regression" else "text and label"
        good = self.columns is None or len(self.columns) == 2 or (self.kind == "regression" and len(self.columns) > 2)
        refuse_unless(good, "columns", self.columns, wanted)
        wanted = (
            f"no number column called {TEXT!r}, as the text is: give its number from 0, or another name in the file"
        )
        refuse_unless(self.names.count(TEXT) == 1, "columns", self.columns, wanted)
        for name in self.names[1:]:
            check_label(name, "columns", "name")
        super().__post_init__()

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of an example: the text, and its label or numbers."""
        if self.kind != "regression":
            return (TEXT, "label")
        return (TEXT, *(["value"] if self.columns is None else [str(name) for name in self.columns[1:]]))


def main(config: Config) -> dict[str, Any] | None:
    """Trains a classifier and returns its scores on the test split; nothing on a host that is not the first.

    Raises:
        UserError: the data, the run directory or the config cannot be used.
    """
    config = settle(config)
    with training.together(config.training):
        run = kit.make_run(config, prepare_data)
        tokenizer, labels = BytePieceTokenizer.load(run.tokenizer), Labels.load(run)
        batches = make_batches(config, run, tokenizer, labels)
        tell_batches(config, batches)
        with training.on_devices(config.training):
            model = kit.build_model(config, run, lambda: new_model(config, tokenizer, labels))
            warm_up(config, run, tokenizer, model)
            training_model = training.compile_for_training(model, config.training, objective(config, labels))
            classifier = predictors.TextToLabels(
                model, tokenizer, labels.names, config.kind, max_length=config.max_length
            )
            examples = run.read_rows("validation", config.names)
            training.train(
                training_model, batches, config.training, run, lambda: validate(classifier, examples, labels)
            )
    if config.training.host:
        return None
    calibrate(config)
    return evaluate(config.run)


def tune_learning_rate(config: Config, sweep: training.Sweep) -> training.RangeTest:
    """Trains while the learning rate rises, in a folder that is gone afterwards, and says what rate to try.

    Raises:
        UserError: the data or the config cannot be used; there is nothing to see.
    """
    with kit.trial_run(config) as (trial, run):
        config = settle(trial)
        tokenizer = prepare_data(config, run)
        labels = Labels.load(run)
        batches = make_batches(config, run, tokenizer, labels)
        model = kit.build_model(config, run, lambda: new_model(config, tokenizer, labels))
        return training.find_learning_rate(model, batches, config.training, objective(config, labels), sweep)


def settle(config: Config) -> Config:
    """Returns the config with every number written out: those of the model's preset, and the size of the batches."""
    config = replace(config, model=config.model.resolved())
    model = {**config.model.arguments(), "num_labels": 2, "pooling": config.pooling}
    return kit.settle_training(config, model, config.max_length, "TextClassifier", config.adversarial)


def prepare_data(config: Config, run: training.RunDirectory) -> BytePieceTokenizer:
    """Makes a new run's directory: config, tokenizer, labels, and the data, tokenised once."""
    splits, parts = load_splits(config)
    labels = labelling.learn(splits["train"], config.kind, config.label_separator, config.names[1:])
    labelling.tell(splits, labels)
    tokenizer = BytePieceTokenizer.learn((row.fields[0] for row in splits["train"]), config.vocabulary_size)
    with kit.new_run(config, run) as new:
        tokenizer.save(new.tokenizer)
        labels.save(new)
        for split in ("validation", "test"):
            new.write_examples(split, (row.fields for row in splits[split]), config.names)
        tokenize(config, new, tokenizer, labels, splits["train"], parts)
        # raise here, before there is a run, what would raise later
        make_batches(config, new, tokenizer, labels)
        kit.check_patterns(config, lambda: new_model(config, tokenizer, labels))
    return tokenizer


def load_splits(config: Config) -> tuple[dict[str, list[data.Row]], list[int]]:
    """Returns the training, validation and test texts that a config asks for, and how many of those to train on are of
    each source: they stand one behind the other."""

    def generated(split: str) -> list[data.Row]:
        found = generated_messages(split, GENERATED[split])
        examples = [(message.text, labels_of(message, config.kind)) for message in found]
        return kit.numbered(examples, f"generated {split} messages")

    def read(spec: str, report: data.Report) -> Iterator[data.Row]:
        return read_labelled(config, spec, config.picked, report)

    def named(name: str, split: str, report: data.Report) -> Iterator[data.Row]:
        return checked_rows(data.named_rows(name, split, report=report), config.kind, config.label_separator)

    sources = kit.DataSources(generated, named, read, data.check_table, new_report, "texts")
    return kit.load_splits(config, sources)


def new_report() -> data.Report:
    """Returns the counters of a reader, which calls what it leaves out rows."""
    return data.Report(what=EMPTY_ROWS)


def tokenize(
    config: Config,
    run: training.RunDirectory,
    tokenizer: BytePieceTokenizer,
    labels: Labels,
    rows: list[data.Row],
    parts: list[int] | None = None,
) -> None:
    """Writes the training texts as ids with their labels, and tells how many were cut."""
    texts, limits = (row.fields[:1] for row in rows), (config.max_length,)
    options = kit.store_options(config, tokenizer, parts)
    options["labels"] = (labels.of(row) for row in rows)
    report = data.TokenStore.write(run.train_store, texts, (TEXT,), tokenizer, limits, cuts_long_rows=True, **options)
    kit.tell_cut(report, rows, config.max_length, "texts")
    say(f"{report.rows:,} training texts, {tokenizer.vocabulary_size:,} pieces, {labels.told}")


def make_batches(
    config: Config, run: training.RunDirectory, tokenizer: BytePieceTokenizer, labels: Labels
) -> data.EncoderBatches:
    """Returns the training batches."""
    options, augmentation = config.training, None
    if config.swap_words or config.delete_words:
        augmentation = data.Augmentation(tokenizer.pieces, config.swap_words, config.delete_words)

    def batches_of(store: data.TokenStore) -> data.EncoderBatches:
        return data.EncoderBatches(
            store,
            int(options.batch_tokens),
            options.seed,
            tokenizer.pad_id,
            label_dtype=labels.dtype,
            pad_label=objective(config, labels).pad_label,
            augmentation=augmentation,
            **kit.batch_options(config, store, tokenizer),
        )

    return kit.staged(config, data.TokenStore(run.train_store), batches_of)


def tell_batches(config: Config, batches: data.EncoderBatches) -> None:
    """Says what an epoch is made of."""
    say(f"{batches.batches_per_epoch:,} batches an epoch, {batches.padding_share:.1%} of them padding")
    kit.tell_mixture(config, batches, "texts")


def new_model(config: Config, tokenizer: BytePieceTokenizer, labels: Labels) -> Any:
    """Returns a new, untrained model."""
    from keras_transformer.models import TextClassifier

    return TextClassifier(
        tokenizer.vocabulary_size,
        len(labels.names),
        config.pooling,
        **labels.units,
        **config.model.arguments(),
        dtype=config.training.dtype_policy,
        name="classifier",
    )


def objective(config: Config, labels: Labels) -> training.Objective:
    """Returns what the model is trained for."""
    return training.LabelObjective(
        config.kind,
        config.training.label_smoothing,
        labels.weights(config.balance),
        config.focal,
        config.mixup,
        config.adversarial,
    )


def validate(classifier: predictors.TextToLabels, examples: Sequence[Example], labels: Labels) -> training.Evaluation:
    """Labels the validation texts and scores that; the best weights are those with the highest `BEST_BY`."""
    with gathered_warnings():
        found = classifier.classify_ids(classifier.shortened([text for text, *_ in examples]))
    scores = scored(found, examples, labels)
    shown = {name: value for name, value in scores.items() if isinstance(value, float)}
    samples = [
        (example[0][:SHOWN], " ".join(example[1:]), shown_answer(one))
        for example, one in zip(examples, found, strict=True)
    ]
    pictures = {}
    if labels.kind == "single":
        pictures["confusion"] = labelling.confusion_picture(scores["confusion"], labels.names)
    return training.Evaluation(shown[BEST_BY[labels.kind]], shown, samples[:SAMPLES], pictures)


def scored(found: Sequence[predictors.Classified], examples: Sequence[Example], labels: Labels) -> dict[str, Any]:
    """Returns the scores of what was found for examples."""
    probabilities = np.array([list(one.probabilities.values()) for one in found])
    return label_scores(probabilities, labels.references(examples), labels.names, labels.kind)


def shown_answer(one: predictors.Classified) -> str:
    """Returns what was found for a text, for people to read."""
    numbers = " ".join(f"{number:.4g}" for number in one.probabilities.values())
    return ", ".join(f"{label} {one.probabilities[label]:.2f}" for label in one.labels) if one.labels else numbers


def calibrate(config: Config) -> None:
    """Fits the temperature of a run on its validation texts and keeps it in `labels.json`, for whoever loads it."""
    if config.kind == "regression":
        return
    run = training.RunDirectory(config.run)
    labels, classifier = Labels.load(run), predictors.load(config.run)
    examples = run.read_rows("validation", config.names)
    logits = classifier.logits(classifier.shortened([text for text, *_ in examples]))
    references = labels.references(examples)
    temperature = fitted_temperature(logits, references, config.kind)
    replace(labels, temperature=temperature).save(run)
    before, after = (
        label_scores(probabilities_of(logits, config.kind, t), references, labels.names, config.kind)
        for t in (1.0, temperature)
    )
    say(
        f"temperature {temperature:.3f}: calibration error on the validation texts {before['calibration_error']:.2f} % "
        f"before, {after['calibration_error']:.2f} % after"
    )


def evaluate(
    run: str,
    data: str | None = None,
    limit: int | None = None,
    batch_tokens: int = 4096,
    columns: list[str] | None = None,
) -> dict[str, Any]:
    """Scores a run's best weights, on its own test split or on a file, and writes the corpus beside the score.

    Args:
        run: the run's directory.
        data: a file; none means the test split.
        limit: score only so many texts.
        batch_tokens: pieces classified at once.
        columns: of the file, as in the config; none means those of the training data.

    Returns: the scores, and the path of the corpus (text, reference, labels, probabilities a line).
    """
    directory = training.RunDirectory(run)
    directory.check_trained()
    config = load_config(Config, directory.config)
    labels = Labels.load(directory)
    examples = directory.read_rows("test", config.names) if data is None else read_own(config, data, columns)
    name = kit.evaluation_name(data, examples, limit)
    examples = examples[:limit]
    classifier = predictors.load(run)
    classifier.batch_tokens = batch_tokens
    with gathered_warnings():
        found = classifier.classify_ids(classifier.shortened([text for text, *_ in examples]))
    scores = scored(found, examples, labels)
    if unknown := warning_of_unknown(labels.unknown(examples)):
        say(f"warning: {unknown}")
    corpus = directory.write_evaluation(name, scores, map(corpus_row, examples, found))
    return {**scores, "corpus": str(corpus)}


def read_own(config: Config, spec: str, columns: list[str] | None) -> list[Example]:
    """Returns the labelled texts of the user's file."""
    rows = kit.read_rows(read_labelled, config, spec, config.picked_of(columns), make=new_report)
    return [row.fields for row in rows]


def read_labelled(
    config: Config, spec: str, columns: Sequence[str | int] | None, report: data.Report
) -> Iterator[data.Row]:
    """Yields the texts of a file with their labels or numbers, each checked."""
    several = config.label_separator if config.kind == "multi" else None
    rows = data.read_fields(spec, config.names, columns, report, len(config.names) - 1, several)
    return checked_rows(rows, config.kind, config.label_separator)


def corpus_row(example: Example, found: predictors.Classified) -> dict[str, Any]:
    """Returns a line of an evaluation's corpus."""
    numbers = {name: round(number, 6) for name, number in found.probabilities.items()}
    return {"text": example[0], "reference": list(example[1:]), "labels": list(found.labels), "probabilities": numbers}
