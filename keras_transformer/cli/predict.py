"""What `predict` asks of a model, and how it prints the answers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from keras_transformer.cli.discovery import is_artifact
from keras_transformer.cli.outputs import check_output
from keras_transformer.cli.search_flags import AlignFlags, named_as_given
from keras_transformer.errors import UserError
from keras_transformer.generation.options import GREEDY, SearchOptions
from keras_transformer.predictors.interface import Predictor

PAGE_MARK = "<!-- keras-transformer explanations -->"  # a file that holds it may be written again
Lines = Callable[[list[str]], list[list[str]]]  # texts -> for each the lines to print
OF_A_FILE = ("n_best", "samples", "seed", "temperature")  # what can be asked of a file; the rest was set at export


def lines_of_run(model: Any, search: SearchOptions | None, cut: bool, as_json: bool, align: AlignFlags | None) -> Lines:
    """Returns what to do with texts for the model of a run directory.

    Raises:
        UserError: the search does not fit the model, or there is no such layer or head to align by.
    """
    if hasattr(model, "answers"):  # a `Predictor` of another kind
        return lines_of_predictor(model, search, cut, as_json, align)
    if search is not None:
        with named_as_given():
            model.decoder(search)  # raises now, not when the first line has come
    heads = None if align is None else align.heads_of(model.model)
    options = {**({"cut": True} if cut else {}), **({} if search is None else {"search": search})}
    if not as_json and _count(search) == 1:
        return lambda texts: [[text] for text in model.predict(texts, **options)]

    def lines(texts: list[str]) -> list[list[str]]:
        found = model.generate_n_best(texts, **options)
        if not as_json:
            return [ranked(answers) for answers in found]
        return [
            [shown(text, answers, model.align(text, answers[0].text, heads) if heads and answers[0].text else None)]
            for text, answers in zip(texts, found, strict=True)
        ]

    return lines


def lines_of_predictor(
    model: Predictor, search: SearchOptions | None, cut: bool, as_json: bool, align: AlignFlags | None
) -> Lines:
    """Returns what to do with texts for a model that does not write text; see `keras_transformer.predictors`.

    Raises:
        UserError: an option that belongs to models which write text.
    """
    refuse_search(search)
    if align is not None:
        raise UserError("--align is for models that write text; this one does not")
    if not as_json:
        return lambda texts: [[answer] for answer in model.predict(texts, cut=cut)]
    return lambda texts: [[json.dumps(found, ensure_ascii=False)] for found in model.answers(texts, cut=cut)]


def check_explain(arguments: argparse.Namespace) -> None:
    """Raises a `UserError` for options of explanations that make no sense together."""
    if arguments.html is not None:
        if arguments.explain is None:
            raise UserError("--html is what --explain writes: give --explain gradient or --explain attention too")
        check_output("--html", arguments.html, PAGE_MARK)
    if arguments.explain is not None and is_artifact(arguments.path):
        raise UserError(f"--explain: {arguments.path} is an exported model; explanations need the run it was made of")


def explained_lines(model: Any, method: str, as_json: bool, kept: list[Any] | None) -> Lines:
    """Returns what explains texts: coloured on a terminal, else the heaviest words. `kept` collects them for a page.

    Raises:
        UserError: the model is no classifier.
    """
    from keras_transformer import explanations

    if not hasattr(model, "classify"):
        raise UserError("--explain is for models that classify; this one does not")
    show = explanations.colored if sys.stdout.isatty() else explanations.plain

    def lines(texts: list[str]) -> list[list[str]]:
        found = [explanations.explain(model, text, method) for text in texts]
        shown = [[show(one)] for one in found]
        if as_json:
            whole = zip(model.answers(texts), found, strict=True)
            shown = [
                [json.dumps({**answer, "explanation": explanations.as_json(one)}, ensure_ascii=False)]
                for answer, one in whole
            ]
        if kept is not None:  # last, for whoever has too little memory is asked again
            kept.extend(found)
        return shown

    return lines


def write_explanations(path: str, found: list[Any]) -> None:
    """Writes the page of explanations."""
    from keras_transformer import explanations

    explanations.write_page(path, found, PAGE_MARK)


def refuse_search(search: SearchOptions | None, why: str = " is for models that write text; this one does not") -> None:
    """Raises a `UserError` that names an option of search, for a model that does not search, or not as asked."""
    for field in fields(SearchOptions) if search is not None else ():
        if getattr(search, field.name) != field.default:
            raise UserError(f"--{field.name.replace('_', '-')}{why}")


def lines_of_file(model: Any, search: SearchOptions | None, as_json: bool, align: AlignFlags | None) -> Lines:
    """Returns what to do with texts for an exported file.

    Raises:
        UserError: an option that only the export can set, or that an exported file does not have.
    """
    if not hasattr(model, "generate_n_best"):
        return lines_of_predictor(model, search, False, as_json, align)
    search = search or GREEDY
    askable = (*OF_A_FILE, "beam") if search.n_best > 1 else OF_A_FILE  # n_best needs a beam as large
    for field in fields(SearchOptions):
        if field.name not in askable and getattr(search, field.name) != field.default:
            raise UserError(
                f"--{field.name.replace('_', '-')}: a file searches as it was exported; export the run with this option"
            )
    if align is not None:
        align.check_file(model)
    count = _count(search)
    if search.samples or count > 1:
        flag, name = ("samples", "sample") if search.samples else ("n-best", f"{model.signature}_n_best")
        if count > model.count(name):
            raise UserError(
                f"--{flag} is {count}, more than the {model.count(name)} that this file gives; export the run with more"
            )
    if search.samples:

        def ask(texts: list[str]) -> Any:
            return model.sample(texts, search.seed, search.temperature)
    elif count > 1:
        ask = model.generate_n_best
    elif not as_json:
        return lambda texts: [[text] for text in model.predict(texts)]
    else:

        def ask(texts: list[str]) -> Any:
            return [[answer] for answer in model.generate(texts)]

    def lines(texts: list[str]) -> list[list[str]]:
        found = [answers[:count] for answers in ask(texts)]
        if as_json:
            return [
                [shown(text, answers, model.align(text, answers[0].text) if align and answers[0].text else None)]
                for text, answers in zip(texts, found, strict=True)
            ]
        return [ranked(answers) for answers in found]

    return lines


def ranked(answers: Sequence[Any]) -> list[str]:
    """Returns a line for each answer: rank, score and text, separated by tabs."""
    return [f"{rank}\t{answer.score:.4f}\t{answer.text}" for rank, answer in enumerate(answers, 1)]


def shown(text: str, answers: Sequence[Any], alignment: Any = None) -> str:
    """Returns one line of JSON: the text and all that is known of its answers."""
    found: dict[str, Any] = {"text": text, "answers": [_rounded(answer._asdict()) for answer in answers]}
    if alignment is not None:
        source, target, weights = alignment
        found["alignment"] = {
            "text": source,
            "answer": target,
            "weights": [[round(float(one), 4) for one in row] for row in weights],
        }
    return json.dumps(found, ensure_ascii=False)


def _rounded(answer: dict[str, Any]) -> dict[str, Any]:
    for name, value in answer.items():
        if isinstance(value, float):
            answer[name] = round(value, 4)
        elif isinstance(value, tuple):
            answer[name] = [round(one, 4) for one in value]
    return answer


def _count(search: SearchOptions | None) -> int:
    return 1 if search is None else search.samples or search.n_best
