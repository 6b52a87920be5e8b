from __future__ import annotations

import gzip
import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from keras_transformer.data import named
from keras_transformer.data.named import fetch, load_sets, named_pairs, named_rows, named_sets
from keras_transformer.data.readers import Report
from keras_transformer.errors import UserError

RAW = {
    "raw/train.en.gz": gzip.compress(b"Two dogs.\n\nA man.\n", mtime=0),
    "raw/train.de.gz": gzip.compress(b"Zwei Hunde.\nLeer.\nEin Mann.\n", mtime=0),
    "raw/train.fr.gz": gzip.compress(b"Deux chiens.\nVide.\nUn homme.\n", mtime=0),
    "raw/val.en.gz": gzip.compress(b"A cat.\n", mtime=0),
    "raw/val.de.gz": gzip.compress(b"Eine Katze.\n", mtime=0),
    "raw/val.fr.gz": gzip.compress(b"Un chat.\n", mtime=0),
    "tok/train.tok.en": b"two dogs .\n",
    "tok/train.tok.de": b"zwei hunde .\n",
}
TALKS = b'{"dialogue": "Hello! - Hi.", "summary": "They greet.", "topic": "greeting"}\n'


ABOUT = {"task": "tagging", "about": "words", "licence": "none stated", "citation": "Somebody 2000"}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def captions(base: str) -> dict[str, Any]:
    splits = {"train": "train", "val": "validation"}
    files: list[dict[str, Any]] = []
    for path, data in RAW.items():
        parts = path.removesuffix(".gz").replace("/", ".").split(".")
        entry = {"split": splits[parts[1]], "language": parts[-1], "path": path, "sha256": digest(data)}
        files.append(entry | ({"tokenized": True} if parts[0] == "tok" else {}))
    about = {"task": "translation", "about": "captions", "licence": "none stated", "citation": "Somebody 2016"}
    return {**about, "base": base, "files": files}


def talks(base: str) -> dict[str, Any]:
    about = {"task": "summarization", "about": "dialogues", "licence": "CC BY 4.0", "citation": "Somebody 2021"}
    files = [{"split": "train", "path": "train.jsonl", "sha256": digest(TALKS)}]
    return {**about, "base": base, "columns": ["dialogue", "summary"], "files": files}


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_TRANSFORMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def sets(server: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small public sets, published by the server on 127.0.0.1."""
    for path, data in RAW.items():
        server.files[f"/captions/{path}"] = data
    server.files["/talks/train.jsonl"] = TALKS
    table = {"captions": captions(server.url("/captions")), "talks": talks(server.url("/talks"))}
    (tmp_path / "sets.yaml").write_text(yaml.safe_dump(table))
    monkeypatch.setattr(named, "named_sets", lambda: load_sets(tmp_path / "sets.yaml"))
    monkeypatch.delenv("KERAS_TRANSFORMER_DATA", raising=False)


@pytest.fixture
def use(tmp_path: Path) -> Callable[[dict[str, Any]], None]:
    """Puts other public sets in place of those of `sets`."""

    def put(table: dict[str, Any]) -> None:
        (tmp_path / "sets.yaml").write_text(yaml.safe_dump(table))

    return put


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        target = folder / "captions" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def failure(*arguments: Any, **options: Any) -> str:
    with pytest.raises(UserError) as raised:
        fetch(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Where files come from


def test_downloaded_once_to_the_cache(server: Any, cache: Path) -> None:
    paths = fetch("captions", "train", pair="en-de")
    assert paths == (cache / "captions/raw/train.en.gz", cache / "captions/raw/train.de.gz")
    assert [path.read_bytes() for path in paths] == [RAW["raw/train.en.gz"], RAW["raw/train.de.gz"]]
    assert fetch("captions", "train", pair="en-de") == paths
    assert [path for path, _ in server.requests] == ["/captions/raw/train.en.gz", "/captions/raw/train.de.gz"]


def test_default_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KERAS_TRANSFORMER_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert fetch("talks", "train") == (tmp_path / "home/.cache/keras-transformer/talks/train.jsonl",)


def test_mirror_comes_first(server: Any, mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(mirror, RAW)
    fill(cache, RAW)
    monkeypatch.setenv("KERAS_TRANSFORMER_DATA", str(mirror))
    assert fetch("captions", "val", pair="de-fr") == tuple(
        mirror / "captions" / path for path in ("raw/val.de.gz", "raw/val.fr.gz")
    )
    assert server.requests == []


def test_mirror_that_lacks_a_file(server: Any, mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(mirror, {"raw/train.en.gz": RAW["raw/train.en.gz"]})
    monkeypatch.setenv("KERAS_TRANSFORMER_DATA", str(mirror))
    paths = fetch("captions", "train", pair="en-fr")
    assert paths == (mirror / "captions/raw/train.en.gz", cache / "captions/raw/train.fr.gz")
    assert [path for path, _ in server.requests] == ["/captions/raw/train.fr.gz"]


def test_mirror_may_hold_a_plain_file_gzipped(mirror: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(mirror, {f"{path}.gz": gzip.compress(data) for path, data in RAW.items() if path.startswith("tok")})
    monkeypatch.setenv("KERAS_TRANSFORMER_DATA", str(mirror))
    rows = list(named_pairs("captions", "train", tokenized=True))
    assert [row.fields for row in rows] == [("two dogs .", "zwei hunde .")]
    assert rows[0].place == f"{mirror}/captions/tok/train.tok.en.gz:1"
    assert server.requests == []

    packed = mirror / "captions/tok/train.tok.de.gz"
    other = b"drei hunde .\n"
    packed.write_bytes(gzip.compress(other))
    assert failure("captions", "train", tokenized=True) == (
        f"'{packed}' is damaged or of another version: the content has SHA-256 {digest(other)}, "
        f"expected {digest(RAW['tok/train.tok.de'])}; delete it to have it fetched again."
    )
    packed.write_bytes(gzip.compress(b"zwei hunde .\n")[:-9])
    assert failure("captions", "train", tokenized=True).startswith(f"'{packed}' cannot be read (Compressed file ended")


@pytest.mark.parametrize("place", ["mirror", "cache"])
def test_wrong_checksum(place: str, mirror: Path, cache: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.mkdir()
    monkeypatch.setenv("KERAS_TRANSFORMER_DATA", str(mirror))
    folder = {"mirror": mirror, "cache": cache}[place]
    fill(folder, {**RAW, "raw/train.de.gz": b"other"})
    path = folder / "captions/raw/train.de.gz"
    assert failure("captions", "train") == (
        f"'{path}' is damaged or of another version: it has SHA-256 {digest(b'other')}, expected "
        f"{digest(RAW['raw/train.de.gz'])}; delete it to have it fetched again."
    )
    assert server.requests == []
    path.unlink()  # The mend that the message names.
    assert fetch("captions", "train")[1] == cache / "captions/raw/train.de.gz"


def test_mirror_that_is_no_folder(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_TRANSFORMER_DATA", str(mirror))
    assert failure("captions", "train") == (
        f"KERAS_TRANSFORMER_DATA is '{mirror}', which is not a folder; correct it, or unset it to download."
    )


def test_file_that_is_gone_upstream(server: Any) -> None:
    del server.files["/captions/raw/train.de.gz"]
    assert failure("captions", "train") == (
        f"Cannot download {server.url('/captions/raw/train.de.gz')}: the server answered 404 Not Found. Or get it by "
        "hand and set KERAS_TRANSFORMER_DATA to a folder in which it stands as captions/raw/train.de.gz."
    )


# What is asked for


def test_unknown_set() -> None:
    assert failure("caption", "train") == (
        "No public data set 'caption'. Did you mean 'captions'? The sets are captions, talks."
    )


def test_unknown_split() -> None:
    assert failure("captions", "trian") == (
        "captions has no split 'trian'. Did you mean 'train'? Its splits are train, validation."
    )


@pytest.mark.parametrize("pair", ["en-ed", "en-en", "en", "", "en-de-fr"])
def test_unknown_pair(pair: str) -> None:
    message = failure("captions", "train", pair=pair)
    assert message.startswith(f"captions has no pair '{pair}'.")
    assert message.endswith(" Its pairs are de-en, de-fr, en-de, en-fr, fr-de, fr-en.")


def test_pair_that_is_not_tokenized() -> None:
    assert failure("captions", "train", pair="en-fr", tokenized=True).endswith("Its tokenized pairs are de-en, en-de.")


@pytest.mark.parametrize("split", ["validation", "val", "valid", "dev"])
def test_split_aliases(split: str) -> None:
    assert [path.name for path in fetch("captions", split)] == ["val.en.gz", "val.de.gz"]


def test_named_pairs() -> None:
    report = Report()
    rows = list(named_pairs("captions", "train", pair="fr-en", report=report))
    assert [row.fields for row in rows] == [("Deux chiens.", "Two dogs."), ("Un homme.", "A man.")]
    assert (report.pairs, report.empty) == (2, 1)
    assert report.first_empty.endswith("captions/raw/train.fr.gz:2")


def test_set_with_one_file_a_split() -> None:
    assert [row.fields for row in named_pairs("talks", "train")] == [("Hello! - Hi.", "They greet.")]


# The table itself


def test_table() -> None:
    for name, data in named_sets().items():
        assert data.name == name
        assert all((data.task, data.about, data.licence, data.citation))
        assert len({(file.path, file.member) for file in data.files}) == len(data.files)
        assert data.files or (data.upstream.startswith("https://") and data.by_hand)
        for file in data.files:
            assert file.split in ("train", "validation", "test")
            assert file.made_from or file.url.startswith("https://")
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert file.path.startswith(f"{name}/")


def test_multi30k() -> None:
    data = named_sets()["multi30k"]
    assert data.task == "translation"
    assert data.languages == ("de", "en", "fr")
    assert data.splits == ("train", "validation", "test")
    assert len(data.files) == 9 + 6
    base = "https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1"
    assert [file.url for file in data.select("test", "en-fr")] == [
        f"{base}/raw/test_2016_flickr.en.gz",
        f"{base}/raw/test_2016_flickr.fr.gz",
    ]
    assert [file.path for file in data.select("val", "de-en", tokenized=True)] == [
        "multi30k/tok/val.lc.norm.tok.de",
        "multi30k/tok/val.lc.norm.tok.en",
    ]
    for split in data.splits:
        for pair, tokenized in [("en-de", False), ("fr-de", False), ("en-de", True)]:
            source, target = data.select(split, pair, tokenized)
            assert f"{source.language}-{target.language}" == pair
            assert source.tokenized == target.tokenized == tokenized


# Sets with one file a split


def test_rows_of_a_zip_archive(use: Any, tmp_path: Path, server: Any, cache: Path) -> None:
    with zipfile.ZipFile(tmp_path / "words.zip", "w") as packed:
        packed.writestr("words/train.txt", "Anna NN B-PER\nMay NN I-PER\n\n")
        packed.writestr("words/test.txt", "slept VB O\n")
    content = (tmp_path / "words.zip").read_bytes()
    server.files["/words/words.zip"] = content
    files = [
        {"split": split, "path": "words.zip", "member": f"words/{split}.txt", "sha256": digest(content)}
        for split in ("train", "test")
    ]
    use({"words": {**ABOUT, "base": server.url("/words"), "format": "conll", "columns": [0, 2], "files": files}})
    assert [row.fields for row in named_rows("words", "train")] == [("Anna May", "B-PER\tI-PER")]
    assert [row.fields for row in named_rows("words", "test")] == [("slept", "O")]
    assert len(server.requests) == 1
    assert (cache / "words/words/test.txt").read_text() == "slept VB O\n"


def test_rows_of_trec(use: Any, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "LOC:city Where is Zürich ?\n".encode("latin-1")
    files = [{"split": "train", "path": "train.txt", "made_from": "qc.zip of somewhere", "sha256": digest(lines)}]
    columns = ["question", "coarse"]
    use({"trec": {**ABOUT, "format": "trec", "encoding": "latin-1", "columns": columns, "files": files}})
    with pytest.raises(UserError) as caught:
        list(named_rows("trec", "train"))
    assert str(caught.value) == (
        "trec/train.txt was made from qc.zip of somewhere and is not published so: set KERAS_TRANSFORMER_DATA to a "
        "folder in which it stands, or fetch that and use it as data of your own"
    )
    (mirror / "trec").mkdir(parents=True)
    (mirror / "trec" / "train.txt").write_bytes(lines)
    monkeypatch.setenv("KERAS_TRANSFORMER_DATA", str(mirror))
    assert [row.fields for row in named_rows("trec", "train")] == [("Where is Zürich ?", "LOC")]
    assert [row.fields for row in named_rows("trec", "train", ["fine"])] == [("LOC:city",)]
    with pytest.raises(UserError, match=r"trec has no field 'fin'\. Did you mean 'fine'\? Its fields are question, "):
        list(named_rows("trec", "train", ["fin"]))


def test_a_set_without_a_checksum_is_not_downloaded(use: Any) -> None:
    use({"news": {**ABOUT, "upstream": "https://example.org/news", "by_hand": "give train.csv as --data"}})
    with pytest.raises(UserError) as caught:
        list(named_rows("news", "train"))
    assert str(caught.value) == (
        "news is not downloaded by itself, for no checksum of it is known: fetch it from https://example.org/news and "
        "give train.csv as --data"
    )
