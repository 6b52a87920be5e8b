"""What every recipe shares: its config, how its data is parted, its run directory, its evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.recipe_kit.batches import batch_options as batch_options
    from keras_transformer.recipe_kit.batches import staged as staged
    from keras_transformer.recipe_kit.batches import store_options as store_options
    from keras_transformer.recipe_kit.batches import tell_cut as tell_cut
    from keras_transformer.recipe_kit.batches import tell_mixture as tell_mixture
    from keras_transformer.recipe_kit.batches import tell_store as tell_store
    from keras_transformer.recipe_kit.config import RecipeConfig as RecipeConfig
    from keras_transformer.recipe_kit.evaluation import evaluation_name as evaluation_name
    from keras_transformer.recipe_kit.evaluation import shorten as shorten
    from keras_transformer.recipe_kit.run import build_model as build_model
    from keras_transformer.recipe_kit.run import check_patterns as check_patterns
    from keras_transformer.recipe_kit.run import make_run as make_run
    from keras_transformer.recipe_kit.run import new_run as new_run
    from keras_transformer.recipe_kit.run import settle_training as settle_training
    from keras_transformer.recipe_kit.run import trial_run as trial_run
    from keras_transformer.recipe_kit.splits import DataSources as DataSources
    from keras_transformer.recipe_kit.splits import load_splits as load_splits
    from keras_transformer.recipe_kit.splits import numbered as numbered
    from keras_transformer.recipe_kit.splits import read_rows as read_rows
    from keras_transformer.recipe_kit.telling import say as say

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "DataSources": "splits",
        "RecipeConfig": "config",
        "batch_options": "batches",
        "build_model": "run",
        "check_patterns": "run",
        "evaluation_name": "evaluation",
        "load_splits": "splits",
        "make_run": "run",
        "new_run": "run",
        "numbered": "splits",
        "read_rows": "splits",
        "say": "telling",
        "settle_training": "run",
        "shorten": "evaluation",
        "staged": "batches",
        "store_options": "batches",
        "tell_cut": "batches",
        "tell_mixture": "batches",
        "tell_store": "batches",
        "trial_run": "run",
    },
)
