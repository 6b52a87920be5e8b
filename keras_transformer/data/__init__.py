"""Data: readers, public sets, the token store, and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.data.augmentation import Augmentation as Augmentation
    from keras_transformer.data.batching import Seq2SeqBatches as Seq2SeqBatches
    from keras_transformer.data.batching import TokenBatches as TokenBatches
    from keras_transformer.data.conll import TagReport as TagReport
    from keras_transformer.data.conll import read_tagged as read_tagged
    from keras_transformer.data.encoder_batches import EncoderBatches as EncoderBatches
    from keras_transformer.data.encoder_batches import MaskedBatches as MaskedBatches
    from keras_transformer.data.feed import default_length_multiple as default_length_multiple
    from keras_transformer.data.feed import feed as feed
    from keras_transformer.data.mixing import mixing_shares as mixing_shares
    from keras_transformer.data.named import named_pairs as named_pairs
    from keras_transformer.data.named import named_rows as named_rows
    from keras_transformer.data.named import named_sets as named_sets
    from keras_transformer.data.piece_dropout import PieceDropout as PieceDropout
    from keras_transformer.data.readers import check_data as check_data
    from keras_transformer.data.readers import check_table as check_table
    from keras_transformer.data.readers import read_columns as read_columns
    from keras_transformer.data.readers import read_fields as read_fields
    from keras_transformer.data.readers import read_pairs as read_pairs
    from keras_transformer.data.rows import Report as Report
    from keras_transformer.data.rows import Row as Row
    from keras_transformer.data.rows import usable_pairs as usable_pairs
    from keras_transformer.data.splits import default_split_sizes as default_split_sizes
    from keras_transformer.data.splits import split_pairs as split_pairs
    from keras_transformer.data.stages import Stages as Stages
    from keras_transformer.data.store import TokenStore as TokenStore

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Augmentation": "augmentation",
        "EncoderBatches": "encoder_batches",
        "MaskedBatches": "encoder_batches",
        "PieceDropout": "piece_dropout",
        "Report": "rows",
        "Row": "rows",
        "Seq2SeqBatches": "batching",
        "Stages": "stages",
        "TokenBatches": "batching",
        "TagReport": "conll",
        "TokenStore": "store",
        "check_data": "readers",
        "check_table": "readers",
        "default_length_multiple": "feed",
        "default_split_sizes": "splits",
        "mixing_shares": "mixing",
        "named_pairs": "named",
        "named_rows": "named",
        "named_sets": "named",
        "read_columns": "readers",
        "read_fields": "readers",
        "read_pairs": "readers",
        "read_tagged": "conll",
        "split_pairs": "splits",
        "usable_pairs": "rows",
    },
)
