"""That the memory of a step grows with the length of a text, not with its square, as `train_memory.py` measures it."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of the memory is read on Linux only")
def test_memory_grows_with_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    from train_cases import ORIGINAL, Case
    from train_memory import FEW, in_a_process

    model = {
        **ORIGINAL,
        "num_encoder_layers": 1,
        "num_decoder_layers": 1,
        "attention_chunk": 128,
        "rematerialize": True,
    }
    case = Case("memory", "tiny", 1000, rows=1, length=FEW, model=model)
    short, long = (in_a_process(case, length, threads=2) for length in (1024, 4096))
    assert long < 6 * short, "a square would be 16 times as much"
