"""Machine translation: from sentence pairs to a run directory that translates.

Read `main` first: it is the table of contents.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from keras_transformer import data, generation, training
from keras_transformer.config import load_config, save_config
from keras_transformer.errors import UserError, refuse_unless
from keras_transformer.generation.options import GREEDY
from keras_transformer.recipes.translation.generated import generated_pairs
from keras_transformer.scores import translation_scores
from keras_transformer.text import DEFAULT_VOCABULARY_SIZE, BytePieceTokenizer, LongestMatches
from keras_transformer.training.config import ModelConfig, TrainingConfig

Pair = tuple[str, str]
GENERATED = {"train": 60_000, "validation": 500, "test": 1_000}  # pairs of the built-in data
SAMPLES = 8  # sentences shown at every evaluation
LONGEST_NAME = 80  # of the part of an evaluation's file name that tells the search
MAY_CHANGE = (
    "run",
    "resume",
    "steps",
    "minutes",
    "patience",
    "evaluate_every",
    "checkpoint_every",
    "step_back",
    "devices",
    "hosts",
    "host",
    "tensorboard",
)


@dataclass
class Config:
    """Trains a translator on sentence pairs.

    Args:
        data: "generated" (numbers, dates and times, made here), the name of a public set such as multi30k, a file
            (.tsv, .csv, .jsonl, each also .gz), or two aligned text files: "train.en,train.de". Or several of these.
        mixing_weights: how much of an epoch each of several data is to be, in their order; none goes by their size.
        mixing_temperature: with several data and no weights, shares go with size to the power of 1 / temperature:
            1 mixes by size, larger values bring small ones up.
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

    data: str | list[str] = "generated"
    mixing_weights: list[float] | None = None
    mixing_temperature: float = 1.0
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
        if isinstance(self.data, list) and len(self.data) == 1:
            self.data = self.data[0]
        self._check_mixing()
        named = [spec for spec in self.sources if spec in data.named_sets()]
        if all(spec == "generated" or spec in named for spec in self.sources):
            for name in ("validation", "test", "columns"):
                if getattr(self, name) is not None:
                    raise UserError(f"{name} is given, but data is {self.data!r}: {name} belongs to files of your own")
        if self.languages is not None and not named:
            raise UserError(f"languages is {self.languages!r}, but data is no public set: leave languages out")

    @property
    def sources(self) -> list[str]:
        """The data, one by one."""
        return [self.data] if isinstance(self.data, str) else self.data

    def _check_mixing(self) -> None:
        sources, weights, temperature = self.sources, self.mixing_weights, self.mixing_temperature
        refuse_unless(bool(sources), "data", self.data, "one or more files or names")
        for spec in sources:
            refuse_unless(sources.count(spec) == 1, "data", self.data, f"each once: {spec!r} is given twice")
        if weights is not None:
            wanted = f"{len(sources)} of them, one for each data"
            refuse_unless(len(weights) == len(sources), "mixing_weights", weights, wanted)
            refuse_unless(all(weight > 0 for weight in weights), "mixing_weights", weights, "each more than 0")
            refuse_unless(temperature == 1, "mixing_temperature", temperature, "1, for mixing_weights are given")
        refuse_unless(temperature > 0, "mixing_temperature", temperature, "more than 0")


def main(config: Config) -> dict[str, Any] | None:
    """Trains a translator and returns its scores on the test split; nothing on a host that is not the first.

    Raises:
        UserError: the data, the run directory or the config cannot be used.
    """
    config = settle(config)
    with training.together(config.training):
        run = training.first_then_others(lambda: make_run(config), lambda: find_run(config))
        tokenizer = BytePieceTokenizer.load(run.tokenizer)
        batches = make_batches(config, run, tokenizer)
        tell_batches(config, batches)
        with training.on_devices(config.training):
            model = build_model(config, run, tokenizer)
            training_model = training.compile_for_training(model, config.training, tokenizer.pad_id)
            translator = generation.TextToText(model, tokenizer, config.max_source_length, config.max_target_length)
            pairs = run.read_examples("validation")
            training.train(training_model, batches, config.training, run, lambda: validate(translator, pairs, config))
    return evaluate(config.run) if config.training.host == 0 else None


def tune_learning_rate(config: Config, sweep: training.Sweep) -> training.RangeTest:
    """Trains while the learning rate rises, in a folder that is gone afterwards, and says what rate to try.

    Raises:
        UserError: the data or the config cannot be used; there is nothing to see.
    """
    with TemporaryDirectory(prefix="keras-transformer-") as folder:
        options = replace(config.training, curriculum_steps=0)
        run = training.RunDirectory(Path(folder) / "run")
        config = settle(replace(config, run=str(run.path), resume=False, training=options))
        tokenizer = prepare_data(config, run)
        batches = make_batches(config, run, tokenizer)
        model = build_model(config, run, tokenizer)
        return training.find_learning_rate(model, batches, config.training, tokenizer.pad_id, sweep)


def settle(config: Config) -> Config:
    """Returns the config with every number written out: those of the model's preset, and the size of the batches."""
    config = replace(config, model=config.model.resolved())
    if config.training.batch_tokens != "auto":
        return config
    run = training.RunDirectory(config.run)
    if config.resume:
        run.check_exists()
        tokens = load_config(Config, run.config).training.batch_tokens
    else:
        run.check_free()  # before anything is tried
        model = {"vocabulary_size": config.vocabulary_size or DEFAULT_VOCABULARY_SIZE, **config.model.arguments()}
        longest = max(config.max_source_length, config.max_target_length)
        tokens = training.fitting_batch_tokens(model, config.training, longest, say)
    return replace(config, training=replace(config.training, batch_tokens=tokens))


def make_run(config: Config) -> training.RunDirectory:
    """Returns the run's directory with all that a training needs: a new one, or one to resume."""
    run = open_run(config)
    prepare_data(config, run)
    return run


def find_run(config: Config) -> training.RunDirectory:
    """Returns the run's directory, which the first of several hosts has made."""
    run = training.RunDirectory(config.run)
    if not run.config.is_file():
        raise UserError(
            f"host {config.training.host} does not find {run.path}, which host 0 has made; give a --run on a file "
            "system that all hosts share"
        )
    return run


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
            f"({', '.join(MAY_CHANGE[2:])} may change)"
        )
    return run


def prepare_data(config: Config, run: training.RunDirectory) -> BytePieceTokenizer:
    """Makes a new run's directory: config, tokenizer, and the data, tokenised once. A resumed one has them already."""
    if config.resume:
        save_config(config, run.config)
        return BytePieceTokenizer.load(run.tokenizer)
    splits, parts = load_splits(config)
    texts = (text for row in splits["train"] for text in row.fields)
    tokenizer = BytePieceTokenizer.learn(texts, config.vocabulary_size)
    with run.create() as new:
        save_config(config, new.config)
        tokenizer.save(new.tokenizer)
        for split in ("validation", "test"):
            new.write_examples(split, _texts(splits[split]))
        tokenize(config, new, tokenizer, splits["train"], parts)
        # raise here, before there is a run, what would raise later
        make_batches(config, new, tokenizer)
        if config.training.freeze:
            training.freeze(new_model(config, tokenizer), config.training.freeze)
    return tokenizer


def tokenize(
    config: Config,
    run: training.RunDirectory,
    tokenizer: BytePieceTokenizer,
    rows: list[data.Row],
    parts: Sequence[int] | None = None,
) -> None:
    """Writes the training pairs as ids, and tells how many were too long; `parts` are how many are of each source."""
    limits = (config.max_source_length, config.max_target_length - 1)  # the end id takes a place
    matcher = LongestMatches(tokenizer) if config.training.piece_dropout else None
    parts = parts if len(config.sources) > 1 else None
    columns = ("source", "target")
    report = data.TokenStore.write(run.train_store, _texts(rows), columns, tokenizer, limits, matcher, parts)
    for spec, kept in zip(config.sources, report.parts, strict=True):
        if not kept:
            raise UserError(f"{spec}: no training pair of it is within the limits of length {limits}; raise them")
    if report.too_long:
        say(
            f"left out {report.too_long:,} of {len(rows):,} training pairs longer than {limits[0]} source or "
            f"{limits[1]} target pieces, the first at {rows[report.first_too_long].place}"
        )
    say(f"{report.rows:,} training pairs, {tokenizer.vocabulary_size:,} pieces")


def load_splits(config: Config) -> tuple[dict[str, list[data.Row]], list[int]]:
    """Returns the training, validation and test pairs that a config asks for, and how many of those to train on are of
    each source: they stand one behind the other."""
    given = _given_splits(config)
    by_source = {spec: _own_splits(config, spec) for spec in config.sources if _is_named(spec)}
    files = [spec for spec in config.sources if spec not in by_source]
    by_source.update(_split_files(config, files, given) if files else {})
    in_order = [by_source[spec] for spec in config.sources]
    splits = {split: [row for part in in_order for row in part[split]] for split in GENERATED}
    splits.update(given)
    if files:
        _tell_overlap(splits)
    return splits, [len(part["train"]) for part in in_order]


def _is_named(spec: str) -> bool:
    return spec == "generated" or spec in data.named_sets()


def _own_splits(config: Config, spec: str) -> dict[str, list[data.Row]]:
    """Returns the splits that the built-in data or a public set come with."""
    if spec == "generated":
        return {split: generated_rows(split, count) for split, count in GENERATED.items()}
    options = (config.languages or "en-de", config.tokenized)
    return {split: _read(data.named_pairs, spec, split, *options) for split in GENERATED}


def _given_splits(config: Config) -> dict[str, list[data.Row]]:
    """Reads the files that are given for validation and test, having seen that those to train on are there."""
    for spec in config.sources:
        if not _is_named(spec):
            data.check_data(spec, known_names=["generated", *data.named_sets()])
    return {
        split: _read(read_file, spec, config.columns)
        for split, spec in (("validation", config.validation), ("test", config.test))
        if spec is not None
    }


def _split_files(config: Config, files: list[str], given: Iterable[str]) -> dict[str, dict[str, list[data.Row]]]:
    """Reads the user's files and parts their pairs, all together: no source text stands in two parts."""
    rows = {spec: _read(read_file, spec, config.columns) for spec in files}
    pooled = [row for part in rows.values() for row in part]
    sizes = dict(zip(("validation", "test"), data.default_split_sizes(len(pooled)), strict=True))
    sizes.update(dict.fromkeys(given, 0))
    parts = data.split_pairs(pooled, sizes["validation"], sizes["test"], seed=0)
    origin = {id(row): spec for spec, part in rows.items() for row in part}
    splits: dict[str, dict[str, list[data.Row]]] = {spec: {split: [] for split in GENERATED} for spec in files}
    for split, found in zip(GENERATED, parts, strict=True):
        for row in found:
            splits[origin[id(row)]][split].append(row)
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
    options, store = config.training, data.TokenStore(run.train_store)
    dropout, shares = None, None
    if options.piece_dropout:
        dropout = data.PieceDropout(tokenizer.pieces, options.piece_dropout, options.seed)
    if len(config.sources) > 1:
        shares = data.mixing_shares(store.parts, config.mixing_weights, config.mixing_temperature).tolist()
    return data.Seq2SeqBatches(
        store,
        int(options.batch_tokens),
        options.seed,
        tokenizer.start_id,
        tokenizer.end_id,
        tokenizer.pad_id,
        length_multiple=options.length_multiple or data.default_length_multiple(),
        dropout=dropout,
        shares=shares,
        curriculum_steps=options.curriculum_steps,
    )


def tell_batches(config: Config, batches: data.Seq2SeqBatches) -> None:
    """Says what an epoch is made of."""
    say(
        f"{batches.batches_per_epoch:,} batches an epoch, {batches.source_padding_share:.1%} of their sources and "
        f"{batches.padding_share:.1%} of their targets padding"
    )
    if len(config.sources) > 1:
        shares = [count / sum(batches.counts) for count in batches.counts]
        parts = zip(config.sources, batches.parts, batches.counts, shares, strict=True)
        told = [f"{count:,} of {spec} ({share:.1%}; it has {size:,})" for spec, size, count, share in parts]
        say(f"pairs an epoch: {', '.join(told)}")


def build_model(config: Config, run: training.RunDirectory, tokenizer: BytePieceTokenizer) -> Any:
    """Returns a new, untrained model, having written down what it is."""
    model = new_model(config, tokenizer)
    if config.training.host == 0:
        run.write_model(model)
    say(f"{model.count_params():,} weights")
    return model


def new_model(config: Config, tokenizer: BytePieceTokenizer) -> Any:
    """Returns a new, untrained model, its weights drawn by the seed."""
    import keras

    from keras_transformer.models import Seq2SeqTransformer

    keras.utils.set_random_seed(config.training.seed)
    return Seq2SeqTransformer(
        tokenizer.vocabulary_size, **config.model.arguments(), dtype=config.training.dtype_policy, name="translator"
    )


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
    name = "test" if data is None else f"{Path(data.partition(',')[0]).name}.{_digest(pairs)}"
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
    """Returns options as a part of a file's name, that of no other options."""
    plain = ",".join(f"{name}={value}" for name, value in options.items())
    shown = re.sub(r"[^\w.=,-]+", "_", plain)
    return shown if shown == plain and len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}.{_digest(plain)}"


def _digest(value: Any) -> str:
    """Tells apart files of one name, and their versions: an evaluation does not overwrite that of another."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]


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
