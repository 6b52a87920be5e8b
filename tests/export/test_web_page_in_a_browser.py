"""The web page in headless Chromium: what it answers against golden.json, by keyboard, with damaged files, offline.

Needs Chromium (`apt-get install chromium`) and LiteRT.js in the cache (`keras-transformer web`); skipped without.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.export import export_run, litertjs, open_artifact, report
from keras_transformer.export.flatbuffer import TYPES, read_model
from keras_transformer.export.folder import check_folder
from keras_transformer.export.golden import golden_source
from keras_transformer.export.litertjs import PACKAGES, NoRuntime, NpmPackage
from keras_transformer.export.precisions import FILES, PRECISIONS
from keras_transformer.export.serving import make_server
from keras_transformer.export.tag_artifact import entities_of
from keras_transformer.export.verify_folder import digest, manifest_digest
from keras_transformer.export.web_page import add_page
from tests.export.conftest import read_json
from tests.export.label_runs import LABELS, write_label_run
from tests.export.tag_runs import write_tag_run

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has:UserWarning"),
]
PATIENCE = 60_000  # milliseconds; a busy machine
BYTES = 64
RAW = """async ([module, precision, folder, sources]) => {
  const {Model, padded} = await import(module);
  const manifest = await (await fetch(new URL('manifest.json', folder))).json();
  const model = await Model.open(manifest, precision, folder);
  const answers = [];
  for (const source of sources) {
    const bytes = Uint8Array.from(atob(source), (letter) => letter.charCodeAt(0));
    const {outputs} = await model.run(manifest.signature, padded('text', bytes, model.room));
    answers.push(Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, Array.from(values)])));
  }
  model.close();
  return answers;
}"""

LOAD = """async ([page, folder]) => {
  const {Model} = await import(page + 'model.js');
  const manifest = await (await fetch(new URL('manifest.json', folder))).json();
  const shares = [];
  const opened = Model.open(manifest, 'float32', folder, (share) => shares.push(share));
  return [shares, await opened.then(() => '', (error) => error.message)];
}"""
ALIGN = """async ([page, folder, text, answer]) => {
  const {Model} = await import(page + 'model.js');
  const {align} = await import(page + 'attention.js');
  const manifest = await (await fetch(new URL('manifest.json', folder))).json();
  const model = await Model.open(manifest, 'float32', folder);
  const found = await align(model, new TextEncoder().encode(text), new TextEncoder().encode(answer));
  model.close();
  return {...found, weights: found.weights.map((row) => Array.from(row))};
}"""


@pytest.fixture(scope="module")
def runtime(find_package: Callable[[NpmPackage], Path]) -> Iterator[None]:
    """Lets exports have LiteRT.js from the cache."""
    try:
        for package in PACKAGES:
            find_package(package)
    except NoRuntime as error:
        pytest.skip(f"LiteRT.js is not in the cache, `keras-transformer web` fetches it: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litertjs, "find_package", find_package)
        yield


@pytest.fixture(scope="module")
def translator(n_best_path: Path, runtime: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a beam, the three best and alignments; the page was added to it."""
    copy = tmp_path_factory.mktemp("translator") / "dist"
    shutil.copytree(n_best_path, copy)
    add_page(copy)
    return copy


def exported(run: Path, path: Path) -> Path:
    """Exports a run in every precision, with the page."""
    shutil.copyfile(run / "data" / "test.jsonl", run / "data" / "validation.jsonl")  # for the scales of int8_static
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_keras_time", lambda *_: {"ms_per_sentence": None, "file_bytes": 1})
        export_run(run, path, list(PRECISIONS), max_source_bytes=BYTES, max_loss=100)
    return path


@pytest.fixture(scope="module")
def classifier(runtime: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for matrices that are worth their scales."""
    folder = tmp_path_factory.mktemp("labels")
    return exported(write_label_run(folder / "run", hidden_dim=64, intermediate_dim=128), folder / "dist")


@pytest.fixture(scope="module")
def tagger(runtime: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    return exported(write_tag_run(folder / "run", "punctuation", crf=True), folder / "dist")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # No name is looked up, so that nothing but an address of this machine can be reached.
        offline = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[offline], timeout=PATIENCE)
        yield browser
        browser.close()


class Visit:
    """An artifact folder's page, opened; leaving it fails if the page asked for anything outside of this machine or,
    but for what is in `expected`, complained.

    Attributes:
        page: of Playwright.
        address: of the page.
        expected: a pattern of what the browser may complain of.
    """

    def __init__(self, page: Any, address: str, expected: str) -> None:
        self.page = page
        self.address = address
        self.folder = address.removesuffix("web/")
        self.expected = expected
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def open(self, state: str = "ready") -> None:
        self.page.goto(self.address)
        self.page.wait_for_selector("body[data-state=ready], body[data-state=failed]")
        assert self.page.get_attribute("body", "data-state") == state, self.page.inner_text("body")

    def answer(self, text: str) -> None:
        """Types a text, runs the model and waits for its answer."""
        self.page.evaluate("document.getElementById('answer').replaceChildren()")
        self.page.get_by_label("Text").fill(text)
        self.page.get_by_role("button", name="Run").click()
        self.page.locator("body[data-state=ready] #answer > *").first.wait_for()

    def failure(self) -> str:
        alert = self.page.get_by_role("alert")
        alert.wait_for()
        return str(alert.inner_text())

    def check(self) -> None:
        hosts = {urlsplit(url).hostname for url in self.asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        assert [said for said in self.complaints if not (self.expected and re.search(self.expected, said))] == []


@contextmanager
def visit(browser: Any, folder: Path, expected: str = "", **options: Any) -> Iterator[Visit]:
    """Serves a folder and gives its page; options are those of a browser context."""
    with make_server(folder, port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            context = browser.new_context(**options)
            made = Visit(context.new_page(), server.address, expected)
            yield made
            made.check()
            context.close()
        finally:
            server.shutdown()
            thread.join()


def golden(folder: Path) -> list[Any]:
    return list(read_json(folder / "golden.json")["inputs"])


def raw_answers(browser: Any, folder: Path, precision: str = "float32") -> list[dict[str, Any]]:
    """What a file gives in the browser for every input of golden.json, byte for byte as they are."""
    sources = [entry["base64"] for entry in golden(folder)]
    with visit(browser, folder) as found:
        found.open()
        found.page.set_default_timeout(2 * PATIENCE)
        given = [found.address + "model.js", precision, found.folder, sources]
        return list(found.page.evaluate(RAW, given))


def test_an_export_has_the_page(classifier: Path) -> None:
    files = check_folder(classifier)["files"]
    written = {path.relative_to(classifier).as_posix() for path in classifier.rglob("*") if path.is_file()}
    assert set(files) == written - {"manifest.json"}
    assert {"web/index.html", "web/vendor/litertjs-core/wasm/litert_wasm_internal.wasm"} <= set(files)


# What the files answer


def test_translations_are_those_of_golden_json(browser: Any, translator: Path) -> None:
    for entry, found in zip(golden(translator), raw_answers(browser, translator), strict=True):
        expected = entry["answers"]["float32"]
        assert bytes(found["text"][: found["text_length"][0]]) == golden_source(expected), entry["kind"]
        assert found["status"] == [expected["status"]]
        assert found["score"][0] == pytest.approx(expected["score"], abs=1e-3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_probabilities_are_those_of_golden_json(browser: Any, classifier: Path, precision: str) -> None:
    for entry, found in zip(golden(classifier), raw_answers(browser, classifier, precision), strict=True):
        expected = entry["answers"][precision]
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-4)
        assert found["status"] == [expected["status"]]


def test_weights_are_of_so_many_bits(classifier: Path) -> None:
    """Of the files that the browser runs above."""
    expected = {"float32": "float32", "float16": "float16", "int8": "int8", "int8_static": "int8", "int4": "int4"}
    for precision, kind in expected.items():
        tensors = [tensor for graph in read_model(classifier / FILES[precision]).subgraphs for tensor in graph.tensors]
        matrices = [TYPES[tensor.type] for tensor in tensors if tuple(tensor.shape) == (128, 64)]
        assert kind in matrices, precision


def test_tags_are_those_of_golden_json(browser: Any, tagger: Path) -> None:
    labels = read_json(tagger / "manifest.json")["labels"]
    for entry, found in zip(golden(tagger), raw_answers(browser, tagger), strict=True):
        expected, count = entry["answers"]["float32"], found["words"][0]
        assert [labels[label] for label in found["labels"][:count]] == expected["tags"], entry["kind"]
        words = [list(word) for word in zip(found["starts"][:count], found["ends"][:count], strict=True)]
        assert words == expected["words"]
        assert found["status"] == [expected["status"]]


# What the page shows


def test_translations_are_shown(browser: Any, translator: Path, tmp_path: Path) -> None:
    entries = [entry for entry in golden(translator) if entry["kind"] == "test"][:5]
    with visit(browser, translator) as found:
        found.open()
        assert found.page.title() == "Translation: keras-transformer"
        for entry in entries:
            found.answer(entry["text"])
            text = found.page.locator("#answer .output").text_content()
            assert text == entry["answers"]["float32"]["text"]
        assert re.fullmatch(r"[0-9]+\.[0-9] ms", found.page.inner_text("#took"))
        image = found.page.screenshot(path=tmp_path / "page.png")
        assert image.startswith(b"\x89PNG")
        assert len(image) > 10_000


def test_another_precision_can_be_chosen(browser: Any, translator: Path) -> None:
    manifest = read_json(translator / "manifest.json")
    names = list(manifest["precisions"])
    with visit(browser, translator) as found:
        found.open()
        select = found.page.get_by_label("Precision")
        assert select.locator("option").evaluate_all("all => all.map((one) => one.value)") == names
        select.select_option(names[1])
        file = manifest["precisions"][names[1]]["file"]
        found.page.locator("#about").get_by_text(f"{file}, ").wait_for()
        assert [worker.url for worker in found.page.workers] == [found.address + "worker.js"]  # the other one is gone
        assert any(url.endswith(f"/{file}") for url in found.asked)
        found.answer("the man rides")
        assert found.page.locator("#answer").inner_text()


def test_the_best_answers_are_listed(browser: Any, translator: Path) -> None:
    text = golden(translator)[0]["text"]
    expected = open_artifact(translator).generate_n_best([text])[0]  # type: ignore[attr-defined]
    with visit(browser, translator) as found:
        found.open()
        found.page.get_by_label("Answers").select_option(label="the 3 best")
        found.answer(text)
        items = found.page.locator("#answer ol li")
        assert items.count() == len(expected) > 1
        for place, answer in enumerate(expected):
            assert answer.text in items.nth(place).text_content()
            assert f"score {answer.score:.2f}" in items.nth(place).text_content()


def test_attention_is_drawn(browser: Any, translator: Path) -> None:
    entry = next(entry for entry in golden(translator) if entry["text"].count(" ") == 3)
    with visit(browser, translator) as found:
        found.open()
        assert not found.page.locator("#attention").is_visible()
        found.answer(entry["text"])
        found.page.get_by_text("Where the model looked").click()
        table = found.page.locator("#picture table")
        table.wait_for()
        assert table.locator("thead th").all_text_contents() == entry["text"].split()
        shown = [int(cell.removesuffix(" %")) for cell in table.locator("tbody td").all_text_contents()]
        rows = np.reshape(shown, (table.locator("tbody tr").count(), 4))
        np.testing.assert_allclose(rows.sum(axis=1), 100, atol=2)


def test_attention_is_that_of_the_file(browser: Any, translator: Path) -> None:
    text, answer = "the man rides a bike", "Käse und a red bike"
    expected = open_artifact(translator).align(text, answer)  # type: ignore[attr-defined]
    with visit(browser, translator) as found:
        found.open()
        given = [found.address, found.folder, text, answer]
        aligned = found.page.evaluate(ALIGN, given)
    assert aligned["text"] == expected.text
    assert aligned["answer"] == expected.answer
    np.testing.assert_allclose(aligned["weights"], expected.weights, atol=1e-4)


def test_labels_are_shown_as_bars(browser: Any, classifier: Path) -> None:
    entries = [entry for entry in golden(classifier) if entry["kind"] == "test"][:3]
    with visit(browser, classifier) as found:
        found.open()
        for entry in entries:
            expected = entry["answers"]["float32"]
            found.answer(entry["text"])
            assert found.page.inner_text("#answer .output") == expected["labels"][0]
            rows = found.page.locator("#answer .bars li").evaluate_all(
                "all => all.map((row) => [row.children[0].textContent, row.children[2].textContent, "
                "row.querySelector('.bar > span').getBoundingClientRect().width / row.children[1].clientWidth])"
            )
            likely = sorted(zip(expected["probabilities"], LABELS, strict=True), reverse=True)
            assert [name for name, _, _ in rows] == [label for _, label in likely]
            for (_, percent, share), (probability, _) in zip(rows, likely, strict=True):
                assert float(percent.removesuffix(" %")) == pytest.approx(100 * probability, abs=0.11)
                assert share == pytest.approx(probability, abs=0.02)


def test_entities_are_marked(browser: Any, tagger: Path) -> None:
    artifact = open_artifact(tagger)
    texts = [entry["text"] for entry in golden(tagger) if entry["kind"] == "test"][:3]
    seen = 0
    with visit(browser, tagger) as found:
        found.open()
        for text in [*texts, "ä (🚲) über <b>a</b> &amp;"]:
            expected = entities_of(artifact.run(text.encode()))
            found.answer(text)
            marks = found.page.locator("#answer mark").evaluate_all(
                "all => all.map((mark) => [mark.querySelector('.kind').textContent, mark.firstChild.textContent])"
            )
            data = text.encode()
            assert marks == [[label, data[start:end].decode()] for label, start, end in expected]
            whole = found.page.locator("#answer .output").evaluate(
                "one => { for (const kind of one.querySelectorAll('.kind')) kind.remove(); return one.textContent; }"
            )
            assert whole == text
            assert found.page.locator("#answer b").count() == 0
            seen += len(marks)
    assert seen


def test_text_is_shown_as_text(browser: Any, translator: Path) -> None:
    """Labels and answers are whatever a file says: here names that would be HTML."""
    with visit(browser, translator) as found:
        found.open()
        module = found.address + "tasks/labels.js"
        evil = "<img src=x onerror=document.title='gone'>"
        shown = found.page.evaluate(
            """async ([module, evil]) => {
              const {show} = await import(module);
              const answer = {kind: 'single', found: [{label: evil, number: 1, isChosen: true}], status: 0};
              document.body.replaceChildren(...show(answer));
              return document.querySelector('.output').textContent;
            }""",
            [module, evil],
        )
        assert shown == evil
        assert found.page.locator("img").count() == 0
        assert found.page.title() == "Translation: keras-transformer"


def test_what_does_not_fit_is_said(browser: Any, translator: Path) -> None:
    room = read_json(translator / "manifest.json")["limits"]["max_source_bytes"]
    with visit(browser, translator) as found:
        found.open()
        found.answer("ä" * room)
        assert found.page.inner_text("#room") == f"{2 * room} of {room} bytes. The rest will be cut."
        assert "The text was cut: the model has no room for more." in found.page.inner_text("#answer")
        found.answer("")
        assert found.page.inner_text("#answer") == "The answer is empty."


def test_an_example_is_a_click_away(browser: Any, classifier: Path) -> None:
    with visit(browser, classifier) as found:
        found.open()
        example = found.page.locator("#examples button").first
        example.wait_for()
        example.click()
        found.page.locator("#answer .bars").wait_for()
        assert found.page.get_by_label("Text").input_value() == example.text_content()


# Keyboard, screen reader, colours, narrow screens


def test_the_keyboard_is_enough(browser: Any, translator: Path) -> None:
    entry = golden(translator)[0]
    with visit(browser, translator) as found:
        found.open()
        keys = found.page.keyboard
        keys.press("Tab")
        assert found.page.evaluate("document.activeElement.id") == "text"
        keys.insert_text(entry["text"])
        stops = []
        for _ in range(3):
            keys.press("Tab")
            stops.append(found.page.evaluate("document.activeElement.id"))
        assert stops == ["precision", "mode", "run"]
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert found.page.evaluate(outline) == "solid"  # one sees where one is
        keys.press("Enter")
        found.page.locator("#answer .output").wait_for()
        assert found.page.text_content("#answer .output") == entry["answers"]["float32"]["text"]
        found.page.get_by_label("Text").fill("")
        found.page.get_by_label("Text").press("Control+Enter")
        found.page.get_by_text("The answer is empty.").wait_for()
        assert found.page.evaluate("document.activeElement.id") == "text"  # the focus stays


def test_a_screen_reader_has_names_and_news(browser: Any, translator: Path) -> None:
    with visit(browser, translator) as found:
        found.open()
        assert found.page.locator("html").get_attribute("lang") == "en"
        for control in found.page.locator("textarea, select, input, button, progress, summary, [tabindex]").all():
            if control.is_visible():
                name = control.evaluate(
                    "one => one.ariaLabel || one.labels?.[0]?.textContent || one.textContent || "
                    "document.getElementById(one.getAttribute('aria-labelledby'))?.textContent"
                )
                assert name.strip()
        statuses = found.page.locator("[role=status]").evaluate_all("all => all.map((one) => one.id)")
        assert statuses == ["state", "answer"]
        assert found.page.locator("#failure").get_attribute("role") == "alert"
        found.answer("a man")
        assert found.page.get_by_role("region", name="Answer").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(browser: Any, translator: Path, scheme: str) -> None:
    """Contrast of at least 4.5 to 1, as WCAG 2.1 asks of text (https://www.w3.org/TR/WCAG21/#contrast-minimum)."""
    with visit(browser, translator, color_scheme=scheme) as found:
        found.open()
        found.answer("a man")
        found.page.evaluate("failure.hidden = false; failure.textContent = 'wrong'")
        pairs = found.page.evaluate(
            """() => ['h1', '#room', '#text', '#run', '#answer', '#took', '#failure', 'footer'].map((name) => {
              const one = document.querySelector(name);
              let ground = one;
              while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
              return [name, getComputedStyle(one).color, getComputedStyle(ground).backgroundColor];
            })"""
        )
        for name, ink, ground in pairs:
            assert contrast(ink, ground) >= 4.5, (name, ink, ground)
        lightness = luminance(found.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (lightness > 0.5) == (scheme == "light")


def luminance(color: str) -> float:
    """Relative luminance, as WCAG 2.1 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_a_narrow_screen_does_not_scroll_sideways(browser: Any, translator: Path) -> None:
    with visit(browser, translator, viewport={"width": 320, "height": 640}) as found:
        found.open()
        found.answer("0123456789" * 5)
        found.page.get_by_text("Where the model looked").click()
        found.page.locator("#picture table").wait_for()
        assert found.page.evaluate("document.scrollingElement.scrollWidth") <= 320


# What goes wrong


@pytest.fixture
def damaged(translator: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(translator, tmp_path / "dist")


def enter(folder: Path, content: bytes) -> None:
    """Puts another model file into a folder and its manifest."""
    (folder / "model.tflite").write_bytes(content)
    manifest = read_json(folder / "manifest.json")
    entry = {"bytes": len(content), "sha256": digest(folder / "model.tflite")}
    manifest["files"]["model.tflite"] = entry
    manifest["sha256"] = manifest_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_a_missing_model_is_said(browser: Any, damaged: Path) -> None:
    with visit(browser, damaged, "404") as found:
        (damaged / "model.tflite").unlink()
        found.open("failed")
        assert found.failure() == "model.tflite is missing: the server answered 404."
        found.page.get_by_label("Precision").select_option(index=1)  # another one may be there
        found.page.wait_for_selector("body[data-state=ready]")
        assert not found.page.get_by_role("alert").is_visible()


def test_a_wrong_model_is_said(browser: Any, damaged: Path) -> None:
    with visit(browser, damaged) as found:
        path = damaged / "model.tflite"
        content = bytearray(path.read_bytes())
        path.write_bytes(content[:-5])
        found.open("failed")
        wrong = "model.tflite is not the file that manifest.json describes: "
        sizes = f"it has {len(content) - 5} bytes, not {len(content)}. Export the run again."
        assert found.failure() == wrong + sizes
        content[1000] ^= 1
        path.write_bytes(content)
        found.open("failed")
        assert found.failure() == f"{wrong}its SHA-256 is another. Export the run again."


def test_a_file_that_is_no_model_is_said(browser: Any, damaged: Path) -> None:
    enter(damaged, b"no model at all " * 100)
    with visit(browser, damaged) as found:
        found.open("failed")
        assert found.failure().startswith("model.tflite cannot be opened: ")


def test_loading_tells_how_far_it_is(browser: Any, damaged: Path) -> None:
    enter(damaged, b"no model at all " * 500_000)  # large enough to come in parts
    with visit(browser, damaged) as found:
        found.open("failed")
        shares, said = found.page.evaluate(LOAD, [found.address, found.folder])
    assert said.startswith("model.tflite cannot be opened: ")
    assert len(shares) > 1
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


def test_a_missing_manifest_is_said(browser: Any, damaged: Path) -> None:
    with visit(browser, damaged, "404") as found:
        (damaged / "manifest.json").rename(damaged / "kept.json")
        found.open("failed")
        assert found.failure() == "manifest.json is missing: the server answered 404."
        (damaged / "manifest.json").write_text('{"format": ')
        found.open("failed")
        assert found.failure().startswith("manifest.json is damaged: ")
        (damaged / "manifest.json").write_text("{}")
        found.open("failed")
        assert found.failure().startswith("manifest.json is not of an artifact folder that this page knows.")


def test_a_missing_runtime_is_said(browser: Any, damaged: Path) -> None:
    with visit(browser, damaged, "404|Failed to load") as found:
        shutil.rmtree(damaged / "web" / "vendor")
        found.open("failed")
        assert found.failure().startswith("LiteRT.js cannot be loaded (")


def failing_model(room: int) -> bytes:
    """A file with the signature `translate` whose gather fails when it runs: it reaches beyond its table."""
    table = tf.constant(np.arange(12, dtype=np.uint8).reshape(3, 4))
    specs = {
        "text": tf.TensorSpec([1, room], tf.uint8, name="text"),
        "text_length": tf.TensorSpec([1], tf.int32, name="text_length"),
    }

    class Failing(tf.Module):
        @tf.function(input_signature=[specs["text"], specs["text_length"]])
        def translate(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
            length = text_length + tf.cast(text[:, 0], tf.int32)
            return {
                "text": tf.gather(table, length + 100),
                "text_length": length,
                "score": tf.cast(length, tf.float32),
                "status": length * 0,
            }

    module = Failing()
    concrete = module.translate.get_concrete_function()
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"translate": concrete})
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["translate"]).convert())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_that_fails_is_said(browser: Any, damaged: Path) -> None:
    """LiteRT.js resolves with zeros where an operator fails; the page says that it did."""
    room = read_json(damaged / "manifest.json")["limits"]["max_source_bytes"]
    enter(damaged, failing_model(room))
    with visit(browser, damaged) as found:
        found.open()
        found.page.get_by_label("Text").fill("a man")
        found.page.get_by_role("button", name="Run").click()
        assert re.match(r"The model failed: .*\bERROR\b.*gather", found.failure(), re.IGNORECASE)
        assert not found.page.locator("#result").is_visible()
