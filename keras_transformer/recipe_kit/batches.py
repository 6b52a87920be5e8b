"""What a config's training says about the token store and its batches, whatever the columns are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from keras_transformer import data
from keras_transformer.errors import UserError
from keras_transformer.recipe_kit.config import RecipeConfig
from keras_transformer.recipe_kit.telling import say
from keras_transformer.text import LongestMatches

Batches = TypeVar("Batches", bound="data.TokenBatches")


def store_options(config: RecipeConfig, tokenizer: Any, parts: Sequence[int] | None) -> dict[str, Any]:
    """Returns the options of `TokenStore.write`; `parts` are how many of the rows are of each source."""
    return {
        "matcher": LongestMatches(tokenizer) if config.training.piece_dropout else None,
        "parts": parts if len(config.sources) > 1 else None,
    }


def tell_store(
    config: RecipeConfig, report: Any, rows: Sequence[data.Row], limits: tuple[int, ...], longer: str, unit: str
) -> None:
    """Tells how many rows to train on there are, and how many were too long.

    Args:
        config: whose data it is.
        report: of `TokenStore.write`.
        rows: that were to be written.
        limits: the most pieces a row may have, in each column.
        longer: what the rows left out were longer than.
        unit: what a row is called: "pair".

    Raises:
        UserError: nothing is left of one of the sources.
    """
    for spec, kept in zip(config.sources, report.parts, strict=True):
        if not kept:
            raise UserError(f"{spec}: no training {unit} of it is within the limits of length {limits}; raise them")
    if report.too_long:
        say(
            f"left out {report.too_long:,} of {len(rows):,} training {unit}s longer than {longer}, the first at "
            f"{rows[report.first_too_long].place}"
        )


def tell_cut(report: Any, rows: Sequence[data.Row], limit: int, unit: str) -> None:
    """Tells how many rows to train on were cut at `limit` pieces; `unit` is what rows are called: "texts"."""
    if report.too_long:
        say(
            f"cut {report.too_long:,} of {len(rows):,} training {unit} at {limit} pieces, the first at "
            f"{rows[report.first_too_long].place}"
        )


def batch_options(config: RecipeConfig, store: data.TokenStore, tokenizer: Any) -> dict[str, Any]:
    """Returns the options that all batches have: length_multiple, dropout, shares, curriculum_steps."""
    options = config.training
    dropout, shares = None, None
    if options.piece_dropout:
        dropout = data.PieceDropout(tokenizer.pieces, options.piece_dropout, options.seed)
    if len(store.parts) > 1:
        weights = None if config.mixing_weights is None else config.mixing_weights[: len(store.parts)]
        shares = data.mixing_shares(store.parts, weights, config.mixing_temperature).tolist()
    return {
        "length_multiple": options.length_multiple or data.default_length_multiple(),
        "dropout": dropout,
        "shares": shares,
        "curriculum_steps": options.curriculum_steps * options.accumulate,  # to the data every batch is a step
    }


def staged(config: RecipeConfig, store: data.TokenStore, batches_of: Callable[[data.TokenStore], Batches]) -> Batches:
    """Returns the batches of a store, of which the last are of the data alone where the config says so.

    Args:
        config: whose data it is.
        store: of all sources, those of `train_only` last.
        batches_of: makes batches of a store.
    """
    batches = batches_of(store)
    if config.train_only_steps is None:
        return batches
    own = batches_of(store.first_parts(len(config.parted)))
    step = config.train_only_steps * config.training.accumulate  # to the data every batch is a step
    return cast(Batches, data.Stages(batches, own, step))


def tell_mixture(config: RecipeConfig, batches: Any, unit: str) -> None:
    """Says what an epoch is made of, where there are several sources; `unit` is what rows are called: "pairs"."""
    if len(config.sources) > 1:
        shares = [count / sum(batches.counts) for count in batches.counts]
        parts = zip(config.sources, batches.parts, batches.counts, shares, strict=True)
        told = [f"{count:,} of {spec} ({share:.1%}; it has {size:,})" for spec, size, count, share in parts]
        say(f"{unit} an epoch: {', '.join(told)}")
    if config.train_only_steps is not None:
        say(f"after {config.train_only_steps:,} updates {' and '.join(config.parted)} alone")
