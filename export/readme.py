"""The README of an artifact folder: for the person who builds the app. What a task says in it is its `Page`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from string import Template
from typing import Any

from keras_transformer.export.gate import forced, refusals
from keras_transformer.export.precisions import BY_NAME
from keras_transformer.export.task import Task

TEXT = Template("""\
# $file_title

$about

## Files

$files

$ship

## Score, size and speed

On $sentences sentences of the test split. $timing; $processor. Memory: $memory.

$results

$gate$agreement

## The signature `$signature`

$signature_text

$tensors

$cases

`golden.json` has inputs with the answers they must give, to test a port with: ordinary sentences, an
empty text, texts that do not fit, many scripts, emoji, control characters, bytes that are no UTF-8. `python verify.py`
checks the SHA-256 of every file here and replays them; exit status 0 means that all is well.

## How to call it

$snippets
$more
## The SavedModel

$saved_model
""")

FILES = {
    **{precision.file: precision.weights for precision in BY_NAME.values()},
    "saved_model/": "for TensorFlow and TensorFlow Serving",
    "manifest.json": "signatures, limits, versions, and the SHA-256 of every file",
    "golden.json": "inputs with the answers each file must give, and how exactly",
    "verify.py": "checks this folder: `python verify.py`, with NumPy and ai-edge-litert alone",
    "report.json": "the measurements below, with the differences from Keras",
    "web/": "a page that runs the files in a browser, from any server of static files; added by `keras-transformer "
    "web`, shown by `keras-transformer serve`",
}
EXAMPLE = "Hello."
SHORT = 80  # bytes of an example
AGREEMENTS = ("agreement_with_keras", "agreement_with_float32")


def make_readme(
    manifest: Mapping[str, Any], report: Mapping[str, Any], task: Task, examples: Iterable[str] = ()
) -> str:
    """Returns the README of a folder, from its manifest and report.

    Args:
        manifest, report: as their files hold them.
        task: of the run.
        examples: texts of which one stands in the examples of code, if any can.
    """
    page = task.page
    files = {entry["file"] for entry in manifest["precisions"].values()}
    file = "model.tflite" if "model.tflite" in files else sorted(files)[0]
    room = min(SHORT, manifest["limits"]["max_source_bytes"])
    names = {
        **manifest["limits"],
        **task.names(manifest),
        "signature": task.signature,
        "does": task.does,
        "actor": task.actor,
        "file": file,
        "example": next((text for text in examples if _is_plain(text, room)), EXAMPLE),
    }
    shown = [(name, what) for name, what in FILES.items() if not name.endswith(".tflite") or name in files]

    def filled(text: str) -> str:
        return Template(text).substitute(names).strip()

    return TEXT.substitute(
        names,
        file_title=f"{task.name.capitalize()}, exported by keras-transformer",
        about=filled(page.about),
        files=markdown_table(["file", "what it is"], [[f"`{name}`", what] for name, what in shown]),
        ship=_ship(manifest, report),
        sentences=f"{report['sentences']:,}",
        timing=report["timing"][0].upper() + report["timing"][1:],
        memory=report["memory"],
        processor=report["machine"]["processor"],
        results=_results(report, task),
        gate="".join(f"{line}\n\n" for line in _gate(report)),
        agreement=filled(page.agreement),
        signature_text=filled(page.signature),
        tensors=tensors(manifest["signatures"][task.signature]),
        cases=filled(page.cases),
        snippets="\n".join(_snippets(page.snippets, names)),
        more="\n".join(page.more(manifest, names)),
        saved_model=filled(page.saved_model),
    )


def _ship(manifest: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Says which file an app needs: any one, the smallest if its score below will do."""
    results = report["results"]
    sizes = {entry["file"]: results[name]["file_bytes"] for name, entry in manifest["precisions"].items()}
    smallest = min(sizes, key=lambda name: sizes[name])
    which = f"`{smallest}`, the smallest ({sizes[smallest] / 1e6:.2f} MB)" if len(sizes) > 1 else f"`{smallest}`"
    if len(sizes) > 1:
        which += ", if its score below will do, else one with a better score"
    return f"An app needs **one `.tflite` file** and nothing else of this folder: {which}."


def _is_plain(text: str, room: int) -> bool:
    """Returns whether a text can stand between quotation marks in any language, and shows something."""
    return text.isascii() and text.isprintable() and " " in text and not set("\"'\\$") & set(text) and len(text) <= room


def tensors(signature: Mapping[str, Any]) -> str:
    """Returns a table of the tensors of a signature, from the manifest."""
    rows = [
        [side.removesuffix("s"), f"`{name}`", spec["dtype"], str(spec["shape"]), spec["meaning"]]
        for side in ("inputs", "outputs")
        for name, spec in signature[side].items()
    ]
    return markdown_table(["", "name", "type", "shape", "meaning"], rows)


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """Returns a table whose cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _results(report: Mapping[str, Any], task: Task) -> str:
    scores = [name for name in task.shown if name in report["results"]["keras"]]
    head = [
        "",
        *(task.shown[name] for name in scores),
        "as Keras, %",
        "as float32, %",
        "ms a sentence",
        "MB",
        "memory, MB",
    ]
    rows = [
        [
            "Keras" if name == "keras" else name,
            *(f"{found[score]:.2f}" for score in scores),
            *(f"{found[one]:.2f}" if one in found else "" for one in AGREEMENTS),
            "not measured" if found["ms_per_sentence"] is None else f"{found['ms_per_sentence']:.2f}",
            f"{found['file_bytes'] / 1e6:.2f}",
            f"{found['peak_memory_bytes'] / 1e6:.1f}" if found.get("peak_memory_bytes") else "",
        ]
        for name, found in report["results"].items()
    ]
    return markdown_table(head, rows)


def _gate(report: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is to be said of losses, and of precisions that lose more than is allowed."""
    if origin := report["gate"].get("origin"):
        headline = report["headline"]
        yield (
            f"The model was trained for few bits. Before that Keras had {origin[headline]:.2f} {headline} in float32, "
            "which is what every file is compared with."
        )
    for line in refusals(report):
        yield f"**Left out**: {line}."
    for line in forced(report):
        yield f"**Kept by force**: {line}."


def _snippets(snippets: Mapping[str, tuple[str, str, str]], names: Mapping[str, Any]) -> Iterator[str]:
    for language, (marker, code, note) in snippets.items():
        yield f"### {language}\n\n{note}\n\n```{marker}\n{Template(code).substitute(names).strip()}\n```\n"
