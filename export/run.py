"""From a run directory to an artifact folder. Read `export_run` first: it is the table of contents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_transformer._files import write_json
from keras_transformer._quiet import filtered_stderr
from keras_transformer.errors import UserError, close_matches
from keras_transformer.export import checks, verify_folder
from keras_transformer.export.artifact import Artifact
from keras_transformer.export.associated import add_associated
from keras_transformer.export.benchmark_text import text_table
from keras_transformer.export.convert import convert
from keras_transformer.export.gate import REFERENCE, Gate, forced, mends, refusals
from keras_transformer.export.golden import make_golden
from keras_transformer.export.manifest import make_manifest, whole_manifest
from keras_transformer.export.observing import TEXTS as OBSERVED_TEXTS
from keras_transformer.export.observing import observe
from keras_transformer.export.precisions import DEFAULT, FILES, PRECISIONS, STATIC
from keras_transformer.export.progress import Steps
from keras_transformer.export.readme import make_readme
from keras_transformer.export.report import make_report
from keras_transformer.export.saved_model import save_functions
from keras_transformer.export.sentences import Sentence, verification_sentences
from keras_transformer.export.static import write_static
from keras_transformer.export.target import check_target, new_folder
from keras_transformer.export.task import TaskExport
from keras_transformer.export.tasks import read_task
from keras_transformer.export.verify import file_answers
from keras_transformer.export.verify_folder import MANIFEST
from keras_transformer.export.web_page import write_page_if_possible
from keras_transformer.training.run_directory import RunDirectory

TEST_LIMIT = 1000


def export_run(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    precisions: Sequence[str] = DEFAULT,
    force: bool = False,
    test_limit: int = TEST_LIMIT,
    max_loss: float = Gate.max_loss,
    force_precision: bool = Gate.force_precision,
    web: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Makes an artifact folder of a run, with every file checked and measured, and returns its report.

    The folder appears when all is done and well; an interruption or a failed check leaves nothing under its name. A
    precision that loses too much of the score is left out of it, which the report tells under `gate`.

    Args:
        run: the run's directory.
        output: folder to make.
        precisions: which `.tflite` files; see `precisions`.
        force: whether to replace an artifact folder that stands at `output`.
        test_limit: score and time on so many examples of the test split.
        max_loss, force_precision: see `Gate`.
        web: whether to add a web page that runs the files. Where LiteRT.js, which it needs, is neither in the cache nor
            to be had from npm, there is none, and that is said.
        **options: what else can be chosen for the run's task: see `TextOptions`.

    Raises:
        UserError: the run cannot be used, `output` exists, or an argument is wrong.
        ExportError: the files would not be right, see `checks`; or the gate refuses every precision asked for.

    Example:
        ```python
        export_run("runs/mine", "dist/mine")["results"]["int8"]["bleu"]
        ```
    """
    output, steps = Path(output), Steps()
    _check_precisions(precisions)
    gate = Gate(max_loss, force_precision)
    directory = RunDirectory(run)
    directory.check_trained()
    task, config = read_task(directory)
    chosen = task.options(options)
    check_target(output, force)
    export = task.export(directory, config, chosen, test_limit)
    origin = _origin(directory, chosen, test_limit)
    validation = _validation(directory, export.text_field) if STATIC in precisions else []
    with new_folder(output, force) as folder:
        saved_model = save_model(export, folder, steps)
        files = make_files(export, folder, output, precisions, validation, steps)
        sentences = verification_sentences(export.texts, export.max_source_bytes)
        answers = verify(export, files, sentences, steps)
        report = make_report(export, files, directory.path, steps, gate, precisions, origin)
        files = _keep(files, report, os.fspath(run))
        names = {precision: artifact.path.name for precision, artifact in files.items()}
        manifest = make_manifest(export, saved_model, names)
        golden = make_golden(export.task.page.golden, sentences, answers, list(files))
        write_papers(folder, manifest, golden, report, export)
        if web:
            write_page_if_possible(folder, output, steps)
        write_json(folder / MANIFEST, whole_manifest(manifest, folder))
    _say_results(report, output, steps)
    return report


def save_model(export: TaskExport, folder: Path, steps: Steps) -> dict[str, Any]:
    """Writes saved_model/ and returns its signatures, described."""
    with steps.step("SavedModel"):
        module, functions, described = export.saved_model()
        save_functions(module, functions, folder / "saved_model")
        checks.check_saved_model(folder / "saved_model", export.weights)
    return described


def make_files(
    export: TaskExport, folder: Path, output: Path, precisions: Sequence[str], validation: Sequence[str], steps: Steps
) -> dict[str, Artifact]:
    """Converts to a `.tflite` file of every precision, checks what is in them, and opens them.

    float32 whatever was asked for: it tells whether the graph is right, and what the others lose. `validation` are
    texts on which scales of activations are set, where they are.
    """
    paths = {name: folder / file for name, file in FILES.items() if name in (REFERENCE, *precisions)}
    with steps.step("conversion to TFLite"):
        graph = folder / ".lite"
        save_functions(*export.lite(), graph)
        converted = {name: path for name, path in paths.items() if name != STATIC}
        convert(graph, list(export.signatures), converted, output.with_name(f"{output.name}.conversion.log"))
        shutil.rmtree(graph)
    if STATIC in paths:
        observed = observe(export.exported_model, export.model_inputs(validation, steps))
        write_static(paths[REFERENCE], paths[STATIC], observed)
    for precision, path in paths.items():
        checks.check_file(path, precision, export.signatures, export.weights)
        add_associated(path, export.about)
    files = {precision: export.task.File(path) for precision, path in paths.items()}
    with filtered_stderr():  # LiteRT greets on standard error at its first run
        for artifact in files.values():
            artifact.run(b"")
    return files


def verify(
    export: TaskExport, files: Mapping[str, Artifact], sentences: Sequence[Sentence], steps: Steps
) -> dict[str, list[Any]]:
    """Runs the verification sentences and returns each file's answers.

    Raises:
        ExportError: a number in them is none, or float32 answers are not Keras's.
    """
    sources = [sentence.source for sentence in sentences]
    answers = {
        precision: [answer for answer, _ in file_answers(artifact, sources, steps, f"verification of {precision}")]
        for precision, artifact in files.items()
    }
    for precision, artifact in files.items():
        for sentence, answer in zip(sentences, answers[precision], strict=True):
            checks.check_finite(artifact.path.name, sentence.kind, answer.numbers)
    for precision, artifact in files.items():
        if precision != REFERENCE:
            export.verify_precision(artifact, answers[precision], answers[REFERENCE])
    artifact = files[REFERENCE]
    cut = [source[: artifact.max_source_bytes] for source in sources]
    expected = export.expected(cut, steps, "verification by Keras")
    unlike = export.differences(cut, expected, answers[REFERENCE])
    checks.check_same(artifact.path.name, unlike)
    export.verify_more(artifact, sentences, expected, answers[REFERENCE], steps)
    steps.say(f"float32 gives Keras's answers on {len(cut) - len(unlike)} of {len(cut)} texts, {len(unlike)} ties")
    return answers


def write_papers(
    folder: Path, manifest: Mapping[str, Any], golden: Mapping[str, Any], report: Mapping[str, Any], export: TaskExport
) -> None:
    """Writes what goes with the files: golden.json and verify.py that replays it, report.json, README.md."""
    write_json(folder / "golden.json", golden)
    shutil.copyfile(verify_folder.__file__, folder / "verify.py")
    write_json(folder / "report.json", report)
    readme = make_readme(manifest, report, export.task, export.texts)
    (folder / "README.md").write_text(readme, encoding="utf-8")


def _validation(run: RunDirectory, field: str) -> list[str]:
    """Returns the texts of the validation split that activations are observed on."""
    return [text for (text,) in run.read_rows("validation", [field])[:OBSERVED_TEXTS]]


def _origin(run: RunDirectory, options: Any, limit: int) -> TaskExport | None:
    """Returns the export of the run that this one was trained for few bits from, if it was."""
    if not run.origin.is_dir():
        return None
    origin = RunDirectory(run.origin)
    origin.check_trained()
    task, config = read_task(origin)
    return task.export(origin, config, options, limit)


def _keep(files: Mapping[str, Artifact], report: Mapping[str, Any], run: str) -> dict[str, Artifact]:
    """Deletes the files that were not asked for or were refused, and returns the others.

    Raises:
        ExportError: there are none.
    """
    kept = {precision: artifact for precision, artifact in files.items() if precision in report["results"]}
    if not kept:
        raise checks.ExportError("\n".join([*refusals(report), mends(report, run)]))
    for precision, artifact in files.items():
        if precision not in kept:
            artifact.path.unlink()
    return kept


def _check_precisions(precisions: Sequence[str]) -> None:
    if isinstance(precisions, str) or not precisions:
        raise UserError(f"precisions is {precisions!r}, expected a list of {', '.join(PRECISIONS)}")
    for name in precisions:
        if name not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise UserError(f"no precision {name!r}.{close_matches(str(name), PRECISIONS)} There are: {known}.")


def _say_results(report: Mapping[str, Any], output: Path, steps: Steps) -> None:
    head = ["", report["headline"], "as float32, %", "ms a text", "MB", "memory, MB"]
    steps.say(text_table(head, [_row(name, found, report["headline"]) for name, found in report["results"].items()]))
    for line in forced(report):
        steps.say(f"forced: {line}")
    steps.say(f"{output} is ready")


def _row(name: str, found: Mapping[str, Any], headline: str) -> list[str]:
    same, speed, memory = (found.get(key) for key in ("agreement_with_float32", "ms_per_sentence", "peak_memory_bytes"))
    return [
        name,
        f"{found[headline]:.2f}",
        "" if same is None else f"{same:.1f}",
        "" if speed is None else f"{speed:.2f}",
        f"{found['file_bytes'] / 1e6:.2f}",
        "" if memory is None else f"{memory / 1e6:.1f}",
    ]
