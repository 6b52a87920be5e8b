"""From a run directory to an artifact folder. Read `export_run` first: it is the table of contents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_transformer._files import write_json
from keras_transformer._quiet import filtered_stderr
from keras_transformer.errors import UserError, close_matches
from keras_transformer.export import checks
from keras_transformer.export.artifact import MANIFEST, Artifact
from keras_transformer.export.convert import convert
from keras_transformer.export.flatbuffer import Signature
from keras_transformer.export.folding import lean
from keras_transformer.export.golden import make_golden
from keras_transformer.export.limits import Limits
from keras_transformer.export.lite_module import LiteModule
from keras_transformer.export.manifest import list_files, make_manifest
from keras_transformer.export.precisions import FILES, PRECISIONS
from keras_transformer.export.progress import Steps
from keras_transformer.export.readme import make_readme
from keras_transformer.export.report import make_report
from keras_transformer.export.saved_model import TextModule, described, save_functions
from keras_transformer.export.sentences import Sentence, verification_sentences
from keras_transformer.export.signatures import lite_signatures
from keras_transformer.export.target import check_target, new_folder
from keras_transformer.export.tasks import Task, read_task
from keras_transformer.export.verify import best_of, differences, file_answers, keras_answers
from keras_transformer.generation import SearchOptions, TextToText, chosen_heads, load
from keras_transformer.generation.options import GREEDY
from keras_transformer.training.run_directory import RunDirectory

TEST_LIMIT = 1000
ALIGNED = 32  # sentences whose alignments are compared


def export_run(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    precisions: Sequence[str] = PRECISIONS,
    force: bool = False,
    max_source_bytes: int = 256,
    max_target_bytes: int = 512,
    test_limit: int = TEST_LIMIT,
    search: SearchOptions = GREEDY,
    one_size: bool = False,
    with_steps: bool = True,
    align: bool = False,
    align_layer: int | None = None,
    align_heads: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Makes an artifact folder of a run, with every file checked and measured, and returns its report.

    The folder appears when all is done and well; an interruption or a failed check leaves nothing under its name.

    Args:
        run: the run's directory.
        output: folder to make.
        precisions: which `.tflite` files: "float32", "int8".
        force: whether to replace an artifact folder that stands at `output`.
        max_source_bytes, max_target_bytes: room for source and answer in the `.tflite` files.
        test_limit: score and time on so many sentences of the test split.
        search: how the files search: a beam, constraints. With `n_best` above 1 or `samples` they have a signature
            for these too.
        one_size, with_steps: what else goes into the `.tflite` files; see `Limits`.
        align: whether all files can say which words of a source each word of an answer looks at.
        align_layer, align_heads: whose attention that is; see `generation.chosen_heads`.

    Raises:
        UserError: the run cannot be used, `output` exists, or an argument is wrong.
        ExportError: the files would not be right; see `checks`.

    Example:
        ```python
        export_run("runs/mine", "dist/mine")["results"]["int8"]["bleu"]
        ```
    """
    output, limits, steps = Path(output), Limits(max_source_bytes, max_target_bytes, one_size, with_steps), Steps()
    if not align and (align_layer is not None or align_heads is not None):
        raise UserError("align_layer or align_heads is given, but align is not: the files would have no alignments")
    _check_precisions(precisions)
    _check_draws(search)
    _check_prefix(search, limits)
    check_target(output, force)
    directory = RunDirectory(run)
    directory.check_trained()
    task, config = read_task(directory)
    predictor = load(run)
    predictor.decoder(search)  # raises if the options do not fit the model
    if align:
        limits = replace(limits, align_heads=tuple(chosen_heads(predictor.model, align_layer, align_heads)))
    pairs = directory.read_examples("test")[:test_limit]
    with new_folder(output, force) as folder:
        small = lean(predictor)
        saved_model = save_text_model(small, task, limits, search, folder, steps)
        signatures = lite_signatures(predictor, limits, task.signature, search)
        files = make_files(small, signatures, limits, search, folder, output, steps)
        sentences = verification_sentences([source for source, _ in pairs], limits.max_source_bytes)
        answers = verify(predictor, files, sentences, search, steps)
        verify_alignments(predictor, files["float32"], limits, sentences, steps)
        files = _keep(files, precisions)
        report = make_report(predictor, files, pairs, task, search, config, directory.path, steps)
        write_json(folder / "golden.json", make_golden(sentences, {name: answers[name] for name in files}))
        write_json(folder / "report.json", report)
        names = {precision: artifact.path.name for precision, artifact in files.items()}
        manifest = make_manifest(predictor, task, limits, search, signatures, saved_model, names)
        examples = [sentence.source.decode("utf-8", "replace") for sentence in sentences if sentence.kind == "test"]
        (folder / "README.md").write_text(make_readme(manifest, report, task, *examples[:1]), encoding="utf-8")
        write_json(folder / MANIFEST, {**manifest, "files": list_files(folder)})
    _say_results(report, output, steps)
    return report


def save_text_model(
    predictor: TextToText, task: Task, limits: Limits, search: SearchOptions, folder: Path, steps: Steps
) -> dict[str, Any]:
    """Writes saved_model/ and returns its signatures, described."""
    with steps.step("SavedModel"):
        module = TextModule(predictor, search, limits.align_heads)
        functions = module.functions(task.signature)
        save_functions(module, functions, folder / "saved_model")
        checks.check_saved_model(folder / "saved_model", predictor.model.count_params())
    return described(functions)


def make_files(
    predictor: TextToText,
    signatures: Mapping[str, Signature],
    limits: Limits,
    search: SearchOptions,
    folder: Path,
    output: Path,
    steps: Steps,
) -> dict[str, Artifact]:
    """Converts to a `.tflite` file of every precision, checks what is in them, and opens them.

    All of them whatever was asked for: float32 is what tells whether the graph is right.
    """
    paths = {precision: folder / name for precision, name in FILES.items()}
    with steps.step("conversion to TFLite"):
        graph = folder / ".lite"
        module = LiteModule(predictor, limits, search)
        save_functions(module, module.functions(next(iter(signatures))), graph)
        convert(graph, list(signatures), paths, output.with_name(f"{output.name}.conversion.log"))
        shutil.rmtree(graph)
    for precision, path in paths.items():
        checks.check_file(path, precision, signatures, predictor.model.count_params())
    files = {precision: Artifact(path) for precision, path in paths.items()}
    with filtered_stderr():  # LiteRT greets on standard error at its first run
        for artifact in files.values():
            artifact.run(b"")
    return files


def verify(
    predictor: TextToText,
    files: Mapping[str, Artifact],
    sentences: Sequence[Sentence],
    search: SearchOptions,
    steps: Steps,
) -> dict[str, list[Any]]:
    """Runs the verification sentences and returns each file's answers.

    Raises:
        ExportError: a score is no number, or float32 answers are not Keras's.
    """
    sources = [sentence.source for sentence in sentences]
    answers = {
        precision: [answer for answer, _ in file_answers(artifact, sources, steps, f"verification of {precision}")]
        for precision, artifact in files.items()
    }
    for precision, artifact in files.items():
        for sentence, answer in zip(sentences, answers[precision], strict=True):
            checks.check_finite(artifact.path.name, sentence.kind, answer.score)
    artifact = files["float32"]
    cut = [source[: artifact.max_source_bytes] for source in sources]
    expected = keras_answers(predictor, cut, best_of(search), steps, "verification by Keras")
    unlike = differences(predictor, cut, expected, answers["float32"], artifact.max_target_bytes)
    checks.check_same(artifact.path.name, unlike)
    steps.say(f"float32 gives Keras's bytes on {len(cut) - len(unlike)} of {len(cut)} sentences, {len(unlike)} ties")
    return answers


def verify_alignments(
    predictor: TextToText, artifact: Artifact, limits: Limits, sentences: Sequence[Sentence], steps: Steps
) -> None:
    """Compares a float32 file's alignments of its own answers with Keras's, if it has any.

    Raises:
        ExportError: they are not the same.
    """
    if limits.align_heads is None:
        return
    texts = [sentence.source.decode("utf-8", "ignore") for sentence in sentences]
    texts = [text for text in texts if 0 < len(text.encode()) <= limits.max_source_bytes][:ALIGNED]
    pairs = [(text, artifact.run(text.encode()).text.decode("utf-8", "ignore")) for text in texts]
    pairs = [
        (text, answer)
        for text, answer in pairs
        if 0 < len(predictor.tokenizer.encode(answer)) < predictor.max_target_length
    ]
    for text, answer in steps.track(pairs, "verification of alignments"):
        expected = predictor.align(text, answer, limits.align_heads)
        checks.check_alignment(artifact.path.name, text, artifact.align(text, answer).weights, expected.weights)


def _keep(files: Mapping[str, Artifact], precisions: Sequence[str]) -> dict[str, Artifact]:
    """Deletes the files that were not asked for, and returns the others."""
    for precision, artifact in files.items():
        if precision not in precisions:
            artifact.path.unlink()
    return {precision: artifact for precision, artifact in files.items() if precision in precisions}


def _check_precisions(precisions: Sequence[str]) -> None:
    if isinstance(precisions, str) or not precisions:
        raise UserError(f"precisions is {precisions!r}, expected a list of {', '.join(PRECISIONS)}")
    for name in precisions:
        if name not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise UserError(f"no precision {name!r}.{close_matches(str(name), PRECISIONS)} There are: {known}.")


def _check_draws(search: SearchOptions) -> None:
    for name in ("seed", "temperature"):
        if getattr(search, name) != getattr(GREEDY, name):
            raise UserError(
                f"{name} is {getattr(search, name)}, but an exported file is given it with every text: leave it out"
            )


def _check_prefix(search: SearchOptions, limits: Limits) -> None:
    size = len(search.prefix.encode("utf-8", "surrogatepass"))
    if size > limits.max_target_bytes:
        raise UserError(f"prefix has {size} bytes, more than the {limits.max_target_bytes} of max_target_bytes")


def _say_results(report: Mapping[str, Any], output: Path, steps: Steps) -> None:
    for name, found in report["results"].items():
        speed = "" if found["ms_per_sentence"] is None else f", {found['ms_per_sentence']:.2f} ms a sentence"
        score = f"{report['headline']} {found[report['headline']]:.2f}"
        steps.say(f"{name}: {score}{speed}, {found['file_bytes'] / 1e6:.2f} MB")
    steps.say(f"{output} is ready")
