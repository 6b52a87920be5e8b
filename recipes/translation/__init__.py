"""Machine translation: from sentence pairs to a run directory that translates.

Read `main` first: it is the table of contents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from keras_transformer import data, generation, training
from keras_transformer import recipe_kit as kit
from keras_transformer._warnings import gathered_warnings
from keras_transformer.config import load_config
from keras_transformer.errors import UserError
from keras_transformer.generation.options import GREEDY
from keras_transformer.recipe_kit import say
from keras_transformer.recipes.translation.generated import generated_pairs
from keras_transformer.scores import translation_scores
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training.config import ModelConfig

Pair = tuple[str, str]
GENERATED = {"train": 60_000, "validation": 500, "test": 1_000}  # pairs of the built-in data
SAMPLES = 8  # sentences shown at every evaluation


@dataclass
class Config(kit.RecipeConfig):
    """Trains a translator on sentence pairs.

    Args:
        data: "generated" (numbers, dates and times, made here), the name of a public set such as multi30k, a file
            (.tsv, .csv, .jsonl, each also .gz), or two aligned text files: "train.en,train.de". Or several of these.
        columns: source and target column of a table: names (the file has a header) or numbers from 0; or the names of
            the fields of JSON Lines. None means source and target, or the two that a table without a header has.
        languages: source and target language of a public set; none means en-de.
        tokenized: the text is tokenised already; a public set is taken in its tokenised form, and BLEU is computed on
            the words as they stand.
        max_source_length: longest source in pieces; longer pairs are left out of training, counted and reported.
        max_target_length: longest target in pieces, likewise, and the longest translation.
        model: the model.
    """

    task: Literal["translation"] = "translation"
    run: str = "runs/translation"
    languages: str | None = None
    tokenized: bool = False
    max_source_length: int = 128
    max_target_length: int = 128
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        self.check_counts("max_source_length", "max_target_length")
        super().__post_init__()
        if self.languages is not None and not self.named:
            raise UserError(f"languages is {self.languages!r}, but data is no public set: leave languages out")


def main(config: Config) -> dict[str, Any] | None:
    """Trains a translator and returns its scores on the test split; nothing on a host that is not the first.

    Raises:
        UserError: the data, the run directory or the config cannot be used.
    """
    config = settle(config)
    with training.together(config.training):
        run = kit.make_run(config, prepare_data)
        tokenizer = BytePieceTokenizer.load(run.tokenizer)
        batches = make_batches(config, run, tokenizer)
        tell_batches(config, batches)
        with training.on_devices(config.training):
            model = kit.build_model(config, run, lambda: new_model(config, tokenizer))
            training_model = training.compile_for_training(model, config.training, objective(config, tokenizer))
            translator = generation.TextToText(model, tokenizer, config.max_source_length, config.max_target_length)
            pairs = run.read_examples("validation")
            training.train(training_model, batches, config.training, run, lambda: validate(translator, pairs, config))
    return evaluate(config.run) if config.training.host == 0 else None


def tune_learning_rate(config: Config, sweep: training.Sweep) -> training.RangeTest:
    """Trains while the learning rate rises, in a folder that is gone afterwards, and says what rate to try.

    Raises:
        UserError: the data or the config cannot be used; there is nothing to see.
    """
    with kit.trial_run(config) as (trial, run):
        config = settle(trial)
        tokenizer = prepare_data(config, run)
        batches = make_batches(config, run, tokenizer)
        model = kit.build_model(config, run, lambda: new_model(config, tokenizer))
        return training.find_learning_rate(model, batches, config.training, objective(config, tokenizer), sweep)


def settle(config: Config) -> Config:
    """Returns the config with every number written out: those of the preset, the warm-up, the size of the batches."""
    config = replace(config, model=config.model.resolved())
    longest = max(config.max_source_length, config.max_target_length)
    return kit.settle_training(config, config.model.arguments(), longest)


def prepare_data(config: Config, run: training.RunDirectory) -> BytePieceTokenizer:
    """Makes a new run's directory: config, tokenizer, and the data, tokenised once."""
    splits, parts = load_splits(config)
    texts = (text for row in splits["train"] for text in row.fields)
    tokenizer = BytePieceTokenizer.learn(texts, config.vocabulary_size)
    with kit.new_run(config, run) as new:
        tokenizer.save(new.tokenizer)
        for split in ("validation", "test"):
            new.write_examples(split, (row.fields for row in splits[split]))
        tokenize(config, new, tokenizer, splits["train"], parts)
        # raise here, before there is a run, what would raise later
        make_batches(config, new, tokenizer)
        kit.check_patterns(config, lambda: new_model(config, tokenizer))
    return tokenizer


def load_splits(config: Config) -> tuple[dict[str, list[data.Row]], list[int]]:
    """Returns the training, validation and test pairs that a config asks for, and how many of those to train on are of
    each source: they stand one behind the other."""

    def generated(split: str) -> list[data.Row]:
        return kit.numbered(generated_pairs(split, GENERATED[split]), f"generated {split} pairs")

    def named(name: str, split: str, report: data.Report) -> Iterator[data.Row]:
        return data.named_pairs(name, split, config.languages or "en-de", config.tokenized, report)

    def read(spec: str, report: data.Report) -> Iterator[data.Row]:
        return data.read_pairs(spec, config.picked, report)

    return kit.load_splits(config, kit.DataSources(generated, named, read, texts=None))


def tokenize(
    config: Config,
    run: training.RunDirectory,
    tokenizer: BytePieceTokenizer,
    rows: list[data.Row],
    parts: list[int] | None = None,
) -> None:
    """Writes the training pairs as ids, and tells how many were too long; `parts` are how many are of each source."""
    limits = (config.max_source_length, config.max_target_length - 1)  # the end id takes a place
    texts, columns = (row.fields for row in rows), ("source", "target")
    options = kit.store_options(config, tokenizer, parts)
    report = data.TokenStore.write(run.train_store, texts, columns, tokenizer, limits, **options)
    longer = f"{limits[0]} source pieces, or {config.max_target_length} target pieces with the end"
    kit.tell_store(config, report, rows, limits, longer, "pair")
    say(f"{report.rows:,} training pairs, {tokenizer.vocabulary_size:,} pieces")


def make_batches(config: Config, run: training.RunDirectory, tokenizer: BytePieceTokenizer) -> data.Seq2SeqBatches:
    """Returns the training batches."""
    options, ids = config.training, (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id)

    def batches_of(store: data.TokenStore) -> data.Seq2SeqBatches:
        more = kit.batch_options(config, store, tokenizer)
        return data.Seq2SeqBatches(store, int(options.batch_tokens), options.seed, *ids, **more)

    return kit.staged(config, data.TokenStore(run.train_store), batches_of)


def tell_batches(config: Config, batches: data.Seq2SeqBatches) -> None:
    """Says what an epoch is made of."""
    say(
        f"{batches.batches_per_epoch:,} batches an epoch, {batches.source_padding_share:.1%} of their sources and "
        f"{batches.padding_share:.1%} of their targets padding"
    )
    kit.tell_mixture(config, batches, "pairs")


def new_model(config: Config, tokenizer: BytePieceTokenizer) -> Any:
    """Returns a new, untrained model."""
    from keras_transformer.models import Seq2SeqTransformer

    return Seq2SeqTransformer(
        tokenizer.vocabulary_size, **config.model.arguments(), dtype=config.training.dtype_policy, name="translator"
    )


def objective(config: Config, tokenizer: BytePieceTokenizer) -> training.Objective:
    """Returns what the model is trained for."""
    return training.TokenObjective(config.training.label_smoothing, tokenizer.pad_id)


def validate(translator: generation.TextToText, pairs: list[Pair], config: Config) -> training.Evaluation:
    """Translates the validation pairs and scores them; the best weights are those with the highest BLEU."""
    with gathered_warnings():
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
    columns: list[str] | None = None,
) -> dict[str, Any]:
    """Scores a run's best weights, on its own test split or on a file, and writes the corpus beside the score.

    Args:
        run: the run's directory.
        data: a file or two aligned files; none means the test split.
        limit: score only so many pairs.
        batch_tokens: source pieces translated at once.
        search: how to search; default greedily.
        columns: of the file, as in the config; none means those of the training data.

    Returns: the scores, and the path of the corpus (source, reference, output, log-probability a line).
    """
    directory = training.RunDirectory(run)
    directory.check_trained()
    config = load_config(Config, directory.config)
    pairs = directory.read_examples("test") if data is None else read_own(config, data, columns)
    search = search or generation.SearchOptions()
    asked = {name: value for name, value in asdict(search).items() if value != getattr(GREEDY, name)}
    name = kit.evaluation_name(data, pairs, limit, asked)
    pairs = pairs[:limit]
    translator = generation.load(run)
    translator.batch_tokens = batch_tokens
    with gathered_warnings():
        generated = translator.generate([source for source, _ in pairs], search=search)
    scores = translation_scores([found.text for found in generated], [target for _, target in pairs], config.tokenized)
    scores["search"] = asked
    corpus = directory.write_evaluation(name, scores, map(corpus_row, pairs, generated))
    return {**scores, "corpus": str(corpus)}


def read_own(config: Config, spec: str, columns: list[str] | None) -> list[Pair]:
    """Returns the pairs of the user's file or files."""
    rows = kit.read_rows(data.read_pairs, spec, config.picked_of(columns))
    return [(row.fields[0], row.fields[1]) for row in rows]


def corpus_row(pair: Pair, found: generation.Generated) -> dict[str, Any]:
    """Returns a line of an evaluation's corpus."""
    return {"source": pair[0], "reference": pair[1], "output": found.text, "score": round(found.score, 4)}
