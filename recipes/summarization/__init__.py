"""Summarization: from documents and their summaries to a run directory that sums up.

Read `main` first: it is the table of contents.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from keras_transformer import data, generation, training
from keras_transformer import recipe_kit as kit
from keras_transformer._warnings import gathered_warnings
from keras_transformer.config import load_config
from keras_transformer.errors import UserError, refuse_unless
from keras_transformer.generation.options import GREEDY
from keras_transformer.recipe_kit import say
from keras_transformer.recipes.summarization.generated import generated_reports
from keras_transformer.summaries import ROUGE, SummaryScorer
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training.config import ModelConfig

Example = tuple[str, list[str]]  # a document and its summaries
GENERATED = {"train": 30_000, "validation": 300, "test": 1_000}  # reports of the built-in data
NAMES = ("document", "summary")  # fields of the user's files, unless columns are given
SAMPLES = 8  # summaries shown at every evaluation
SEARCH = generation.SearchOptions(beam=4, length_penalty=1.0, coverage_penalty=0.01, no_repeat_ngram=6)


@dataclass
class Config(kit.RecipeConfig):
    """Trains a model that sums up documents.

    Args:
        data: "generated" (reports of a day at a plant, made here), the name of a public set such as dialogsum, a file
            (.csv, .tsv, .jsonl, each also .gz), or two aligned text files: "documents.txt,summaries.txt". Or several.
        columns: the column of the document and that of its summary, or of several summaries: all are trained on, and
            the best one counts in scores. Names (the file has a header, or is JSON Lines) or numbers from 0; none means
            document and summary.
        max_source_length: longest document in pieces.
        max_target_length: longest summary in pieces; longer ones are left out of training, counted and reported.
        cut: documents longer than max_source_length are cut there, in training and whenever the model is used;
            otherwise they are left out of training, and used whole.
        rouge_words: what a word is to ROUGE: latin (a to z and digits, stemmed: what published scores are) or unicode
            (letters of every script, not stemmed).
        model: the model.
        search: how to search unless told otherwise, here and whenever the model is used.
    """

    task: Literal["summarization"] = "summarization"
    run: str = "runs/summarization"
    max_source_length: int = 512
    max_target_length: int = 128
    cut: bool = True
    rouge_words: Literal["latin", "unicode"] = "latin"
    model: ModelConfig = field(default_factory=lambda: ModelConfig(copy=True))
    search: generation.SearchOptions = SEARCH

    def __post_init__(self) -> None:
        self.check_counts("max_source_length", "max_target_length")
        super().__post_init__()
        columns = self.columns
        refuse_unless(columns is None or len(columns) > 1, "columns", columns, "that of the document and its summary")
        search = self.search
        if search.samples or search.n_best > 1:
            raise UserError("search: a run has one answer to a document: leave samples and n_best to predict")

    @property
    def fields(self) -> tuple[str, ...]:
        """What the texts of an example are called in a run's files: of the document, and of its summaries."""
        count = 1 if self.columns is None else len(self.columns) - 1
        return ("source", "target", *(f"target_{number}" for number in range(2, count + 1)))


def main(config: Config) -> dict[str, Any] | None:
    """Trains a summarizer and returns its scores on the test split; nothing on a host that is not the first.

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
            summarizer = generation.TextToText(
                model, tokenizer, config.max_source_length, config.max_target_length, cut=config.cut
            )
            examples = read_examples(config, run, "validation")
            scorer = SummaryScorer([texts for _, texts in examples], [text for text, _ in examples], config.rouge_words)
            training.train(
                training_model, batches, config.training, run, lambda: validate(summarizer, examples, scorer)
            )
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
    """Returns the config with every number written out: those of the model's preset, and the size of the batches."""
    config = replace(config, model=config.model.resolved())
    longest = max(config.max_source_length, config.max_target_length)
    return kit.settle_training(config, config.model.arguments(), longest)


def prepare_data(config: Config, run: training.RunDirectory) -> BytePieceTokenizer:
    """Makes a new run's directory: config, tokenizer, and the data, tokenised once."""
    splits, parts = load_splits(config)
    check_lengths(splits["train"])
    texts = (text for row in splits["train"] for text in row.fields)
    tokenizer = BytePieceTokenizer.learn(texts, config.vocabulary_size)
    with kit.new_run(config, run) as new:
        tokenizer.save(new.tokenizer)
        for split in ("validation", "test"):
            new.write_examples(split, (padded(row.fields, len(config.fields)) for row in splits[split]), config.fields)
        tokenize(config, new, tokenizer, splits["train"], parts)
        # raise here, before there is a run, what would raise later
        make_batches(config, new, tokenizer)
        kit.check_patterns(config, lambda: new_model(config, tokenizer))
    return tokenizer


def load_splits(config: Config) -> tuple[dict[str, list[data.Row]], list[int]]:
    """Returns the training, validation and test rows that a config asks for, and how many of those to train on are of
    each source: they stand one behind the other. A row is a document and one summary or more."""

    def generated(split: str) -> list[data.Row]:
        return kit.numbered(generated_reports(split, GENERATED[split]), f"generated {split} reports")

    def read(spec: str, report: data.Report) -> Iterator[data.Row]:
        return read_documents(spec, config.picked, report)

    return kit.load_splits(config, kit.DataSources(generated, data.named_rows, read, unit="documents", texts=None))


def read_documents(spec: str, columns: Sequence[str | int] | None, report: data.Report) -> Iterator[data.Row]:
    """Yields the documents of the user's file or files, each with its summaries; those without are counted."""
    paths = data.check_data(spec)
    if len(paths) > 1:
        return data.read_pairs(spec, columns, report)
    count = len(NAMES) if columns is None else len(columns)
    rows = data.read_columns(spec, columns, count, NAMES, count - len(NAMES), skips=True, report=report)
    given = (row._replace(fields=(row.fields[0], *summaries_of(row.fields))) for row in rows)
    return data.usable_pairs(given, spec, report)


def summaries_of(fields: Sequence[str]) -> list[str]:
    """Returns the summaries of a row: those that are not empty, or an empty one."""
    return [text for text in fields[1:] if text.strip()] or [""]


def padded(fields: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Returns a row of as many fields as all have: not every document has as many summaries."""
    return (*fields, *[""] * (count - len(fields)))


def check_lengths(rows: Sequence[data.Row]) -> None:
    """Tells how many summaries are longer than their documents.

    Raises:
        UserError: more than half of them: the columns stand the other way round.
    """
    longer = [row for row in rows if len(row.fields[1]) > len(row.fields[0])]
    if 2 * len(longer) > len(rows):
        raise UserError(
            f"{longer[0].place}: the summary is longer than its document, and so in {len(longer):,} of {len(rows):,} "
            "rows: give the document's column first, with --columns or in the order of the files"
        )
    if longer:
        say(
            f"warning: {len(longer):,} of {len(rows):,} summaries are longer than their documents, the first at "
            f"{longer[0].place}"
        )


def tokenize(
    config: Config,
    run: training.RunDirectory,
    tokenizer: BytePieceTokenizer,
    rows: Sequence[data.Row],
    parts: Sequence[int],
) -> None:
    """Writes documents and summaries as ids, a pair for each summary, and tells what was cut and left out."""
    pairs, ends, begin = [], [], 0
    for count in parts:
        pairs += [
            row._replace(fields=(row.fields[0], text)) for row in rows[begin : begin + count] for text in row.fields[1:]
        ]
        ends.append(len(pairs))
        begin += count
    counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if config.cut:
        pairs = cut_documents(pairs, tokenizer, config.max_source_length)
    limits = (config.max_source_length, config.max_target_length - 1)  # the end id takes a place
    texts, columns = (row.fields for row in pairs), ("source", "target")
    options = kit.store_options(config, tokenizer, counts)
    report = data.TokenStore.write(run.train_store, texts, columns, tokenizer, limits, **options)
    of_documents = "" if config.cut else f"{limits[0]} pieces, or "
    longer = f"{of_documents}{config.max_target_length} pieces of summary with its end"
    kit.tell_store(config, report, pairs, limits, longer, "pair")
    say(f"{report.rows:,} training pairs, {tokenizer.vocabulary_size:,} pieces")


def cut_documents(rows: list[data.Row], tokenizer: BytePieceTokenizer, longest: int) -> list[data.Row]:
    """Returns rows whose documents have at most so many pieces, and tells how many were cut."""
    documents = list(dict.fromkeys(row.fields[0] for row in rows))
    shorter = {}
    for document, ids in zip(documents, tokenizer.encode_batch(documents), strict=True):
        if len(ids) > longest:
            shorter[document] = tokenizer.decode_bytes(ids[:longest]).decode("utf-8", "ignore")
    if shorter:
        say(f"cut {len(shorter):,} of {len(documents):,} training documents at {longest} pieces")
    return [row._replace(fields=(shorter.get(row.fields[0], row.fields[0]), *row.fields[1:])) for row in rows]


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
        f"{batches.batches_per_epoch:,} batches an epoch, {batches.source_padding_share:.1%} of their documents and "
        f"{batches.padding_share:.1%} of their summaries padding"
    )
    kit.tell_mixture(config, batches, "pairs")


def new_model(config: Config, tokenizer: BytePieceTokenizer) -> Any:
    """Returns a new, untrained model."""
    from keras_transformer.models import Seq2SeqTransformer

    return Seq2SeqTransformer(
        tokenizer.vocabulary_size, **config.model.arguments(), dtype=config.training.dtype_policy, name="summarizer"
    )


def objective(config: Config, tokenizer: BytePieceTokenizer) -> training.Objective:
    """Returns what the model is trained for."""
    return training.TokenObjective(config.training.label_smoothing, tokenizer.pad_id)


def read_examples(config: Config, run: training.RunDirectory, split: str) -> list[Example]:
    """Returns the examples of a split."""
    return examples_of(run.read_rows(split, config.fields))


def examples_of(rows: Iterable[Sequence[str]]) -> list[Example]:
    """Returns rows of fields as examples."""
    return [(fields[0], summaries_of(fields)) for fields in rows]


def validate(
    summarizer: generation.TextToText, examples: Sequence[Example], scorer: SummaryScorer
) -> training.Evaluation:
    """Sums up the validation documents greedily; the best weights are those with the highest ROUGE-L."""
    with gathered_warnings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="text .* it was cut there")  # known, and no news at every evaluation
        outputs = summarizer.predict([document for document, _ in examples])
    scores = scorer.scores(outputs)
    samples = [(document, texts[0], output) for (document, texts), output in zip(examples, outputs, strict=True)]
    shown = {name: scores[name] for name in (*ROUGE, "exact_match")}
    shown["lead3_rougeL"] = scores["lead3"]["rougeL"]
    return training.Evaluation(score=scores["rougeL"], metrics=shown, samples=samples[:SAMPLES])


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
        limit: score only so many documents.
        batch_tokens: source pieces summed up at once.
        search: how to search; default as the run's config says.
        columns: of the file, as in the config; none means those of the training data.

    Returns: the scores, those of Lead-3 beside them, and the path of the corpus (source, references, output,
        log-probability a line).
    """
    directory = training.RunDirectory(run)
    directory.check_trained()
    config = load_config(Config, directory.config)
    examples = read_examples(config, directory, "test") if data is None else read_own(config, data, columns)
    search = config.search if search is None else search
    asked = {name: value for name, value in asdict(search).items() if value != getattr(config.search, name)}
    name = kit.evaluation_name(data, examples, limit, asked)
    examples = examples[:limit]
    summarizer = generation.load(run)
    summarizer.batch_tokens = batch_tokens
    with gathered_warnings():
        generated = summarizer.generate([document for document, _ in examples], search=search)
    scorer = SummaryScorer([texts for _, texts in examples], [text for text, _ in examples], config.rouge_words)
    scores = scorer.scores([found.text for found in generated])
    scores["search"] = {name: value for name, value in asdict(search).items() if value != getattr(GREEDY, name)}
    corpus = directory.write_evaluation(name, scores, map(corpus_row, examples, generated))
    return {**scores, "corpus": str(corpus)}


def read_own(config: Config, spec: str, columns: list[str] | None) -> list[Example]:
    """Returns the examples of the user's file or files."""
    return examples_of(row.fields for row in kit.read_rows(read_documents, spec, config.picked_of(columns)))


def corpus_row(example: Example, found: generation.Generated) -> dict[str, Any]:
    """Returns a line of an evaluation's corpus."""
    document, summaries = example
    return {"source": document, "references": summaries, "output": found.text, "score": round(found.score, 4)}
