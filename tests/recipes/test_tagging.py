"""The tagging recipe, from a small CoNLL file to entities, and everything that can be wrong on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import keras_transformer
from keras_transformer.cli import main
from keras_transformer.data.conll import tags_in, words_of
from keras_transformer.errors import UserError
from keras_transformer.predictors import Tagged
from keras_transformer.recipes.tagging.generated import SPLITS, generated_sentences
from keras_transformer.tags import spans, strays

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has [0-9]+ pieces:UserWarning"),
]

MICRO = [
    *("--model.num_encoder_layers", "1", "--model.hidden_dim", "8", "--model.intermediate_dim", "8"),
    *("--model.num_heads", "2", "--training.steps", "4", "--training.warmup_steps", "2"),
    *("--training.evaluate_every", "2", "--training.batch_tokens", "256", "--max_length", "64"),
]


def conll(path: Path, count: int = 60, seed: int = 0, extra: str = "") -> str:
    sentences = generated_sentences("train", count, seed)
    blocks = ["".join(f"{word}\t{tag}\n" for word, tag in zip(*one, strict=True)) for one in sentences]
    path.write_text("\n".join(blocks) + extra, encoding="utf-8")
    return str(path)


def train(run: Path, *flags: str) -> int:
    return main(["train", "tagging", "--run", str(run), *MICRO, *flags])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that the command line made of 60 sentences."""
    folder = tmp_path_factory.mktemp("tagging")
    flags = ["--crf", "--scheme", "bioes", "--words", "punctuation", "--training.piece_dropout", "0.1"]
    assert train(folder / "mine", "--data", conll(folder / "notes.conll"), *flags) == 0
    return folder / "mine"


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Trains on a file of the given content, which must fail, and returns what is said."""

    def say(content: str, *flags: str) -> str:
        path = tmp_path / "notes.conll"
        path.write_text(content, encoding="utf-8")
        capsys.readouterr()
        assert train(tmp_path / "run", "--data", str(path), *flags) == 2
        assert not (tmp_path / "run").exists(), "a refused training leaves nothing"
        return capsys.readouterr().err

    return say


def test_the_run(trained: Path) -> None:
    labels = json.loads((trained / "labels.json").read_text())
    assert labels["labels"][0] == "O"
    assert {"B-PERSON", "E-PERSON", "S-DATE"} <= set(labels["labels"])
    assert (labels["scheme"], labels["words"]) == ("bioes", "punctuation_unicode14")
    assert yaml.safe_load((trained / "config.yaml").read_text())["task"] == "tagging"
    scores = json.loads((trained / "evaluations" / "test.json").read_text())
    rows = [json.loads(line) for line in (trained / "evaluations" / "test.jsonl").read_text().splitlines()]
    assert scores["sentences"] == len(rows) == 3
    assert set(scores["most_frequent_tags"]) == {"f1", "precision", "recall", "accuracy"}
    assert scores["most_frequent_tags"]["accuracy"] > 50
    assert all(len(row["words"]) == len(row["reference"]) == len(row["output"]) for row in rows)
    assert keras_transformer.load(trained).tag([row["words"] for row in rows]) == [row["output"] for row in rows]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert [entry["step"] for entry in metrics["evaluations"]] == [2, 4]
    assert {"f1", "precision", "recall", "accuracy"} <= set(metrics["evaluations"][0])


def test_labels_stand_where_words_begin(trained: Path) -> None:
    from keras_transformer.data import EncoderBatches, TokenStore
    from keras_transformer.text import BytePieceTokenizer

    tokenizer = BytePieceTokenizer.load(trained / "tokenizer")
    names = json.loads((trained / "labels.json").read_text())["labels"]
    sizes = [len(piece) for piece in tokenizer.pieces]
    batches = EncoderBatches(TokenStore(trained / "data" / "train"), 256, 0, piece_sizes=sizes)
    known = {" ".join(words): tags for words, tags in generated_sentences("train", 60)}
    seen = 0
    for inputs, labels in batches.one_epoch():
        for ids, own in zip(inputs["ids"], labels, strict=True):
            text = tokenizer.decode([one for one in ids if one])
            found = [names[label] for label in own if label >= 0]
            (tags,) = [tags for words, tags in known.items() if words.replace(" ", "") == text.replace(" ", "")]
            assert spans(found) == spans(tags)
            seen += 1
    assert seen == 54


def test_predict(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["Call Zoë Müller (Keller AG) at 4:30, please.", "", "  "]
    assert main(["predict", str(trained), "--json", "--", *texts]) == 0
    answer, *blank = map(json.loads, capsys.readouterr().out.splitlines())
    assert blank == [{"text": text, "entities": [], "words": []} for text in texts[1:]], "each text has its JSON"
    data = texts[0].encode()
    words = [word["text"] for word in answer["words"]]
    assert words == [data[word["start"] : word["end"]].decode() for word in answer["words"]]
    assert words == ["Call", "Zoë", "Müller", "(", "Keller", "AG", ")", "at", "4:30", ",", "please", "."]
    for entity in answer["entities"]:
        assert data[entity["start"] : entity["end"]].decode() == entity["text"]
    assert keras_transformer.load(trained).answers(["", " "]) == [
        {"text": text, "entities": [], "words": []} for text in ("", " ")
    ]
    assert main(["predict", str(trained), "--", *texts]) == 0
    marked = capsys.readouterr().out.split("\n")
    assert marked == [*keras_transformer.load(trained).predict(texts[:1]), "", "", ""]


def test_marked_text() -> None:
    from keras_transformer.predictors.tags import _tagged

    data = "Zoë Müller slept (in Graz).".encode()
    words = [(0, 4), (5, 12), (13, 18), (19, 20), (20, 22), (23, 27), (27, 28), (28, 29)]
    found: Tagged = _tagged(data, words, ["B-PER", "E-PER", "O", "O", "O", "I-LOC", "O", "O"])
    assert found.marked == "[Zoë Müller]{PER} slept (in [Graz]{LOC})."
    assert [tuple(entity) for entity in found.entities] == [("PER", "Zoë Müller", 0, 12), ("LOC", "Graz", 23, 27)]


def test_words_agree_with_entities(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An I that follows no word of its entity begins one, for the words too."""
    tagger = keras_transformer.load(trained)
    monkeypatch.setattr(tagger, "tags_of", lambda *_: [["O", "I-PERSON", "I-PERSON", "I-PLACE"]])
    (found,) = tagger.answers(["in Zoë Müller Graz"])
    assert [word["tag"] for word in found["words"]] == ["O", "B-PERSON", "E-PERSON", "S-PLACE"]
    assert [entity["label"] for entity in found["entities"]] == ["PERSON", "PLACE"]


def test_a_long_text(trained: Path) -> None:
    tagger = keras_transformer.load(trained)
    words = ["word"] * 100
    assert len(tagger.tag([words])[0]) == 100
    cut, whole = (tagger.annotate([" ".join(words)], cut=cut)[0] for cut in (True, False))
    assert set(cut.tags[70:]) == {"O"}
    assert len(whole.tags) == 100


def test_evaluate_another_file(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    data = conll(tmp_path / "other.conll", 8, seed=1, extra="\nnew\tI-PERSON\n")
    assert main(["evaluate", str(run), "--data", data, "--limit", "9"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["sentences"] == 9
    assert "1 of " in said.err
    assert "tags do not follow from those before them, such as I after O" in said.err


def test_what_is_told_of_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "".join(map(chr, range(0xC0, 0x100)))  # of 128 bytes, no two of which are a piece
    data = conll(tmp_path / "notes.conll", extra=f"\nx\tO\n\nx\tB-DATE\n\n{long}\tO\n")
    test = tmp_path / "test.conll"
    test.write_text("Åsa\tB-new label\nx\tO\n\nx\tO\n", encoding="utf-8")
    assert train(tmp_path / "run", "--data", data, "--test", str(test), "--validation", str(test)) == 0
    said = capsys.readouterr().err
    assert "warning: words of the test sentences have labels that are not trained on: 'new label' (1)" in said
    assert "training sentences that stand with different tags: 1, the first again at " in said
    assert "training sentences at 64 pieces, the first at " in said
    assert "warning: 1 of 2 test sentences are in the training data too" in said


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        ("a\tO\nb\n", [], "notes.conll:2: 1 column separated by tabs, expected 2 as in the lines before"),
        ("a\tO\nb\tI-X\nc\tB-Y", ["--stray_tags", "refuse"], "notes.conll:2: the tag 'I-X' does not follow from "),
        ("a\tNN\n", [], "notes.conll:1: the tag 'NN' is none of BIO or BIOES"),
        ("a\tO\n", ["--columns", "0", "3"], "notes.conll:1: no column 3: the line has 2"),
        ("a\tO\n", ["--columns", "word", "tag"], "columns is ['word', 'tag'], expected two numbers from 0"),
        ("\n".join(f"w{i}\tO\n" for i in range(40)), [], "together have but one tag, O: there is nothing to learn"),
        ("a\tB-X\n", [], "Too little data: "),
        ("a\tO\n", ["--scheme", "iob"], "--scheme: expected one of 'bio', 'bioes', got 'iob'"),
        ("a\tO\n", ["--data", "trec"], "data is 'trec', a public set for classification, not tagging; train class"),
    ],
)
def test_data_that_cannot_be_used(refused: Any, content: str, flags: list[str], message: str) -> None:
    assert message in refused(content, *flags)


def test_a_run_of_which_a_file_is_damaged(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "labels.json").write_text('{"labels": ["O"], "scheme": "bio", "words": "space"}')
    with pytest.raises(UserError, match=r"run is damaged: ValueError: labels\.json does not fit the model"):
        keras_transformer.load(run)


def test_generated_sentences() -> None:
    found = {split: generated_sentences(split, 150) for split in SPLITS}
    texts = {split: {" ".join(words) for words, _ in part} for split, part in found.items()}
    assert all(len(part) == 150 for part in texts.values())
    assert not texts["train"] & (texts["validation"] | texts["test"])
    assert generated_sentences("test", 20) == found["test"][:20]
    assert generated_sentences("test", 20, seed=1) != found["test"][:20]
    people: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split, part in found.items():
        for words, tags in part:
            assert not strays(tags, "bio")
            assert (words, tags) == (words_of(" ".join(words)), tags_in("\t".join(tags)))
            people[split] |= {" ".join(words[s.start : s.end]) for s in spans(tags) if s.label == "PERSON"}
    full = {split: {name for name in names if " " in name and name[0] not in "MDP"} for split, names in people.items()}
    assert all(full.values())
    assert not full["train"] & full["test"]
    with pytest.raises(UserError, match=r"no split 'tset'; there are train, validation, test\. Did you mean 'test'"):
        generated_sentences("tset", 1)
    with pytest.raises(UserError, match="count must be at least 1, received 0"):
        generated_sentences("test", 0)
