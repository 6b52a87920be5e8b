"""Values of options: read, and refused with a reason."""

from __future__ import annotations

import argparse
import re

from keras_transformer.cli.discovery import listed
from keras_transformer.errors import close_matches
from keras_transformer.export.precisions import PRECISIONS, TRAINED


def count(text: str) -> int:
    if re.fullmatch("[0-9]{1,18}", text) is None or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return rate


def trained(text: str) -> str:
    if text not in TRAINED:
        known = listed(list(TRAINED))
        matches = close_matches(text, TRAINED)
        raise argparse.ArgumentTypeError(f"no training is for {text!r}.{matches} There are: {known}.")
    return text


def points(text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of points, 0 or more, got {text!r}")
    return points


def port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text) is None or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 65535, got {text!r}")
    return int(text)


def precision(text: str) -> str:
    if text not in PRECISIONS:
        known = listed(PRECISIONS)
        raise argparse.ArgumentTypeError(f"no precision {text!r}.{close_matches(text, PRECISIONS)} There are: {known}.")
    return text
