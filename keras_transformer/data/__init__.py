"""Data: readers, public sets, the token store, and batches."""

from keras_transformer._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Report": "readers",
        "Row": "readers",
        "Seq2SeqBatches": "batching",
        "TokenStore": "store",
        "check_data": "readers",
        "default_split_sizes": "splits",
        "feed": "feed",
        "named_pairs": "named",
        "named_sets": "named",
        "read_pairs": "readers",
        "split_pairs": "splits",
    },
)
