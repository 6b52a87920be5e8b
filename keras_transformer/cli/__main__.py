"""`python -m keras_transformer.cli` is `keras-transformer`."""

from __future__ import annotations

import sys

from keras_transformer.cli import main

if __name__ == "__main__":
    sys.exit(main())
