"""The built-in reports: their headlines are right by a reading of its own, and what is tested was never seen."""

from __future__ import annotations

import re

import pytest

from keras_transformer.errors import UserError
from keras_transformer.recipes.summarization.generated import (
    DAYS,
    FAULTS,
    FIXED,
    MACHINES,
    ROUTINE,
    SITES,
    SPLITS,
    generated_reports,
    headline_of,
    split_of,
)

REPORTS = {split: generated_reports(split, 1500 if split == "train" else 400) for split in SPLITS}
QUIET = "Report of Old Foundry for Sunday, 3 May. Rain set in at 06:10. At 07:00 fan 10 was oiled."
BUSY = (
    "Report of North Mill for Tuesday, 4 May. Pump 24 began to leak at 08:32. At 15:05 it ran again. A crew looked at "
    "fan 38 at 09:00 and found nothing wrong. At 10:11 valve 18 got stuck."
)


@pytest.mark.parametrize("split", SPLITS)
def test_every_headline_is_that_of_its_report(split: str) -> None:
    for report, headline in REPORTS[split]:
        assert headline_of(report) == headline


def test_headlines_read_by_hand() -> None:
    assert headline_of(QUIET) == "Old Foundry: a quiet Sunday"
    assert headline_of(BUSY) == "North Mill: pump 24 leaks, fixed at 15:05; valve 18 jams, still open"


def test_a_wrong_headline_is_told_from_a_right_one() -> None:
    assert headline_of(BUSY.replace("15:05", "15:06")) != headline_of(BUSY)
    assert headline_of(BUSY.replace("got stuck", "was oiled")) != headline_of(BUSY)
    with pytest.raises(ValueError, match=r"^'Once upon a time\.' does not open a report$"):
        headline_of("Once upon a time.")
    with pytest.raises(ValueError, match=r"^'It was repaired at 08:00\.' ends no fault$"):
        headline_of("Report of North Mill for Tuesday, 4 May. It was repaired at 08:00.")


def test_all_that_can_happen_happens() -> None:
    text = " ".join(report for report, _ in REPORTS["train"])
    headlines = " ".join(headline for _, headline in REPORTS["train"])
    for phrase in (*(phrase for phrases in FAULTS.values() for phrase in phrases), *SITES, *DAYS, *MACHINES):
        assert phrase in text
    for verb in (*FAULTS, "still open", "fixed at", "a quiet"):
        assert verb in headlines
    for template in (*ROUTINE, *FIXED):
        assert re.search(re.sub(r"\\{\w+\\}", ".+?", re.escape(template)), text)
    counts = [headline.count(";") + (": a quiet" not in headline) for _, headline in REPORTS["train"]]
    assert {counts.count(n) > 200 for n in (0, 1, 2)} == {True}


def test_what_is_tested_was_never_seen() -> None:
    seen = " ".join(report for report, _ in REPORTS["train"])
    for split in ("validation", "test"):
        for report, headline in REPORTS[split]:
            opening = re.match(r"Report of (.+) for (\w+), (\d+ \w+)\.", report)
            machines = re.findall(rf"(?:{'|'.join(MACHINES)}) \d+", headline)
            if machines:
                new = [machine for machine in machines if machine not in seen.lower()]
                assert [machine for machine in new if split_of(machine) == split]
            else:
                assert opening is not None
                assert split_of(*opening.groups()) == split
                assert opening[0] not in seen


def test_the_same_for_ever() -> None:
    assert generated_reports("test", 20) == REPORTS["test"][:20]
    assert generated_reports("test", 20, seed=1) != REPORTS["test"][:20]
    assert len({report for report, _ in REPORTS["train"]}) == 1500


def test_what_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^generated data: no split 'tset'; there are train, validation, test. Did you"
    ):
        generated_reports("tset", 1)
    with pytest.raises(UserError, match=r"^generated data: count must be at least 1, received 0$"):
        generated_reports("train", 0)
