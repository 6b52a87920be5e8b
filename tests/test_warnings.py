"""Many warnings of one kind, as one."""

from __future__ import annotations

import warnings

import pytest

from keras_transformer._warnings import gathered_warnings


def warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=1)


def test_warnings_that_differ_in_numbers_are_one() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with gathered_warnings():
            for number in (1, 2, 5):
                warn(f"text {number} has no end")
            warn("text 7 is cut")
        warn("text 9 has no end")
    assert [str(warning.message) for warning in shown] == [
        "text 1 has no end; 2 more of this kind",
        "text 7 is cut",
        "text 9 has no end",
    ]


def test_they_are_shown_after_an_error_too(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *place: print(message)
        with pytest.raises(ZeroDivisionError), gathered_warnings():
            print(warn("text 1 has no end"), 1 / 0)
        assert capsys.readouterr().out == "text 1 has no end\n"


def test_warnings_as_errors_stay_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="no end"), gathered_warnings():
            warn("text 1 has no end")
