"""Tagging: from sentences of tagged words to a run directory that finds the entities in others.

Read `main` first: it is the table of contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from keras_transformer import data, predictors, training
from keras_transformer import recipe_kit as kit
from keras_transformer._files import write_json
from keras_transformer.config import load_config
from keras_transformer.data.conll import BETWEEN_TAGS, BETWEEN_WORDS, tags_in, words_of
from keras_transformer.data.encoder_batches import TEXT
from keras_transformer.data.files import check_file
from keras_transformer.errors import refuse_unless
from keras_transformer.recipe_kit import say
from keras_transformer.recipes.tagging.generated import generated_sentences
from keras_transformer.recipes.tagging.labels import Labels
from keras_transformer.tag_scores import MostFrequentTags, tag_scores
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.text.words import NEW_RULES
from keras_transformer.training.config import EncoderConfig

Sentence = tuple[list[str], list[str]]  # words, and their tags
FIELDS = (TEXT, "tags")
GENERATED = {"train": 8_000, "validation": 500, "test": 1_000}  # sentences of the built-in data
BASELINE = "baseline.json"  # in a run: the most frequent tag of each word
SAMPLES = 8  # sentences shown at every evaluation


@dataclass
class Config(kit.RecipeConfig):
    """Trains a tagger on sentences of tagged words.

    Args:
        data: "generated" (appointments and errands, made here), the name of a public set such as wnut17, or a file of
            CoNLL columns (also .gz): a word and its tag on a line, a blank line behind every sentence. Or several.
        validation: file to validate on; none takes a part of the data.
        test: file for the final score; none takes a part of the data.
        columns: of the word and of its tag, numbers from 0; none means the first and the last.
        stray_tags: what becomes of tags that break BIO or BIOES, such as I after O: accept (read as the first word of
            an entity, counted and told) or refuse (told with the line).
        scheme: the tags that the model learns: bio or bioes, whichever the data has.
        crf: let each word's tag depend on the one before, by a linear-chain CRF.
        words: how a text that is given to the trained model is parted into words: space (at white space alone: for
            text parted already) or punctuation (at punctuation marks and symbols too: for text as people write it, and
            the model is trained on sentences put together so).
        max_length: longest sentence in pieces; longer ones are cut there in training, counted and reported.
        model: the model.
    """

    task: Literal["tagging"] = "tagging"
    run: str = "runs/tagging"
    stray_tags: Literal["accept", "refuse"] = "accept"
    scheme: Literal["bio", "bioes"] = "bio"
    crf: bool = False
    words: Literal["space", "punctuation"] = "space"
    max_length: int = 256
    model: EncoderConfig = field(default_factory=EncoderConfig)

    def __post_init__(self) -> None:
        self.check_counts("max_length")
        good = self.columns is None or (
            len(self.columns) == 2 and all(isinstance(one, int) for one in self.picked or ())
        )
        refuse_unless(good, "columns", self.columns, "two numbers from 0, of the word and of its tag")
        super().__post_init__()


def main(config: Config) -> dict[str, Any] | None:
    """Trains a tagger and returns its scores on the test split; nothing on a host that is not the first.

    Raises:
        UserError: the data, the run directory or the config cannot be used.
    """
    config = settle(config)
    with training.together(config.training):
        run = kit.make_run(config, prepare_data)
        tokenizer, labels = BytePieceTokenizer.load(run.tokenizer), Labels.load(run)
        batches = make_batches(config, run, tokenizer)
        tell_batches(config, batches)
        with training.on_devices(config.training):
            model = kit.build_model(config, run, lambda: new_model(config, tokenizer, labels))
            training_model = training.compile_for_training(model, config.training, objective(config))
            tagger = predictors.TextToTags(model, tokenizer, labels.names, labels.words, config.max_length)
            sentences = read_split(run, "validation")
            training.train(training_model, batches, config.training, run, lambda: validate(tagger, sentences))
    return evaluate(config.run) if config.training.host == 0 else None


def tune_learning_rate(config: Config, sweep: training.Sweep) -> training.RangeTest:
    """Trains while the learning rate rises, in a folder that is gone afterwards, and says what rate to try.

    Raises:
        UserError: the data or the config cannot be used; there is nothing to see.
    """
    with kit.trial_run(config) as (trial, run):
        config = settle(trial)
        tokenizer = prepare_data(config, run)
        labels = Labels.load(run)
        batches = make_batches(config, run, tokenizer)
        model = kit.build_model(config, run, lambda: new_model(config, tokenizer, labels))
        return training.find_learning_rate(model, batches, config.training, objective(config), sweep)


def settle(config: Config) -> Config:
    """Returns the config with every number written out: those of the model's preset, and the size of the batches."""
    config = replace(config, model=config.model.resolved())
    model = {**config.model.arguments(), "num_labels": 2}
    return kit.settle_training(config, model, config.max_length, "TextTagger")


def prepare_data(config: Config, run: training.RunDirectory) -> BytePieceTokenizer:
    """Makes a new run's directory: config, tokenizer, labels, baseline, and the data, tokenised once."""
    splits, parts = load_splits(config)
    labels = Labels.learn(splits["train"], config.scheme, NEW_RULES[config.words])
    labels.tell(splits)
    texts = (labels.text(words_of(row.fields[0])) for row in splits["train"])
    tokenizer = BytePieceTokenizer.learn(texts, config.vocabulary_size)
    with kit.new_run(config, run) as new:
        tokenizer.save(new.tokenizer)
        labels.save(new)
        for split in ("validation", "test"):
            new.write_examples(split, (row.fields for row in splits[split]), FIELDS)
        write_json(new.path / BASELINE, vars(MostFrequentTags.learn(map(sentence_of, splits["train"]))))
        tokenize(config, new, tokenizer, labels, splits["train"], parts)
        # raise here, before there is a run, what would raise later
        make_batches(config, new, tokenizer)
        kit.check_patterns(config, lambda: new_model(config, tokenizer, labels))
    return tokenizer


def load_splits(config: Config) -> tuple[dict[str, list[data.Row]], list[int]]:
    """Returns the training, validation and test sentences that a config asks for, and how many of those to train on
    are of each source: they stand one behind the other."""

    def generated(split: str) -> list[data.Row]:
        found = generated_sentences(split, GENERATED[split])
        rows = [(BETWEEN_WORDS.join(words), BETWEEN_TAGS.join(tags)) for words, tags in found]
        return kit.numbered(rows, f"generated {split} sentences")

    def named(name: str, split: str, report: data.Report) -> Iterator[data.Row]:
        return data.named_rows(name, split, report=report, stray_tags=config.stray_tags)

    def read(spec: str, report: data.Report) -> Iterator[data.Row]:
        return data.read_tagged(spec, config.picked, config.stray_tags, report)

    return kit.load_splits(config, kit.DataSources(generated, named, read, check_file, data.TagReport, "sentences"))


def tokenize(
    config: Config,
    run: training.RunDirectory,
    tokenizer: BytePieceTokenizer,
    labels: Labels,
    rows: list[data.Row],
    parts: list[int] | None = None,
) -> None:
    """Writes the training sentences as ids with the labels of their words, and tells how many were cut."""
    texts, limits = ((labels.text(words_of(row.fields[0])),) for row in rows), (config.max_length,)
    options = kit.store_options(config, tokenizer, parts)
    options["labels"] = (labels.of_bytes(*sentence_of(row)) for row in rows)
    report = data.TokenStore.write(run.train_store, texts, (TEXT,), tokenizer, limits, cuts_long_rows=True, **options)
    kit.tell_cut(report, rows, config.max_length, "sentences")
    say(f"{report.rows:,} training sentences, {tokenizer.vocabulary_size:,} pieces, {len(labels.names)} tags")


def make_batches(config: Config, run: training.RunDirectory, tokenizer: BytePieceTokenizer) -> data.EncoderBatches:
    """Returns the training batches."""
    options, sizes = config.training, [len(piece) for piece in tokenizer.pieces]

    def batches_of(store: data.TokenStore) -> data.EncoderBatches:
        more, tokens = kit.batch_options(config, store, tokenizer), int(options.batch_tokens)
        return data.EncoderBatches(store, tokens, options.seed, tokenizer.pad_id, piece_sizes=sizes, **more)

    return kit.staged(config, data.TokenStore(run.train_store), batches_of)


def tell_batches(config: Config, batches: data.EncoderBatches) -> None:
    """Says what an epoch is made of."""
    say(f"{batches.batches_per_epoch:,} batches an epoch, {batches.padding_share:.1%} of them padding")
    kit.tell_mixture(config, batches, "sentences")


def new_model(config: Config, tokenizer: BytePieceTokenizer, labels: Labels) -> Any:
    """Returns a new, untrained model."""
    from keras_transformer.models import TextTagger

    return TextTagger(
        tokenizer.vocabulary_size,
        len(labels.names),
        config.crf,
        **config.model.arguments(),
        dtype=config.training.dtype_policy,
        name="tagger",
    )


def objective(config: Config) -> training.Objective:
    """Returns what the model is trained for."""
    return training.TagObjective(config.training.label_smoothing, config.crf)


def validate(tagger: predictors.TextToTags, sentences: Sequence[Sentence]) -> training.Evaluation:
    """Tags the validation sentences and scores that; the best weights are those with the highest entity F1."""
    outputs = tagger.tag([words for words, _ in sentences])
    scores = tag_scores(outputs, [tags for _, tags in sentences])
    shown = {name: scores[name] for name in ("f1", "precision", "recall", "accuracy")}
    samples = [
        (" ".join(words), " ".join(tags), " ".join(found))
        for (words, tags), found in zip(sentences[:SAMPLES], outputs, strict=False)
    ]
    return training.Evaluation(score=scores["f1"], metrics=shown, samples=samples)


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
        data: a file of CoNLL columns; none means the test split.
        limit: score only so many sentences.
        batch_tokens: pieces tagged at once.
        columns: of the file, as in the config; none means those of the training data.

    Returns: the scores, those of the baseline (the most frequent tag of each word), and the path of the corpus (words,
        reference, output a line).
    """
    directory = training.RunDirectory(run)
    directory.check_trained()
    config = load_config(Config, directory.config)
    sentences = read_split(directory, "test") if data is None else read_own(config, data, columns)
    name = kit.evaluation_name(data, sentences, limit)
    sentences = sentences[:limit]
    tagger = predictors.load(run)
    tagger.batch_tokens = batch_tokens
    references = [tags for _, tags in sentences]
    outputs = tagger.tag([words for words, _ in sentences])
    scores = tag_scores(outputs, references)
    baseline = MostFrequentTags(**directory.read_json(directory.path / BASELINE))
    of_baseline = tag_scores([baseline.tag(words) for words, _ in sentences], references)
    scores["most_frequent_tags"] = {name: of_baseline[name] for name in ("f1", "precision", "recall", "accuracy")}
    corpus = directory.write_evaluation(name, scores, map(corpus_row, sentences, outputs))
    return {**scores, "corpus": str(corpus)}


def read_split(run: training.RunDirectory, split: str) -> list[Sentence]:
    """Returns the sentences of a run's validation or test split."""
    return [(words_of(text), tags_in(tags)) for text, tags in run.read_rows(split, FIELDS)]


def read_own(config: Config, spec: str, columns: list[str] | None) -> list[Sentence]:
    """Returns the sentences of the user's file."""
    rows = kit.read_rows(data.read_tagged, spec, config.picked_of(columns), config.stray_tags, make=data.TagReport)
    return [sentence_of(row) for row in rows]


def sentence_of(row: data.Row) -> Sentence:
    """Returns the words and the tags of a row."""
    return words_of(row.fields[0]), tags_in(row.fields[1])


def corpus_row(sentence: Sentence, found: list[str]) -> dict[str, Any]:
    """Returns a line of an evaluation's corpus."""
    return {"words": sentence[0], "reference": sentence[1], "output": found}
