"""Public names that are imported on first use, so that `--help` never waits for Keras or TensorFlow."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable


def lazy_exports(
    package: str, homes: dict[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Returns `__getattr__`, `__dir__` and `__all__` for a package whose names live in modules not yet imported.

    Args:
        package: `__name__` of the package.
        homes: public name -> module below the package that defines it.

    Example:
        ```python
        __getattr__, __dir__, __all__ = lazy_exports(__name__, {"MultiHeadAttention": "attention"})
        ```
    """

    def __getattr__(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return __getattr__, __dir__, sorted(homes)
