"""Finds out whether the first row of a table is a header that nobody announced.

A header read as data is a class that does not exist, or a pair of sentences that are none. Two kinds of evidence count:
what the cells say, such as `review` and `sentiment`, and that the row differs from all others: words where they have
numbers, a label that never comes again above a text of one word. The rules are strict, for honest data must pass; what
passes although it is a header is a header in words that are not known here, over a table that is small or odd.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

LOOK_AHEAD = 1000  # rows that a first row is compared with
FEW = 0.05  # the most of the other rows that may be as odd as the first one
ENOUGH, ENOUGH_OF_KNOWN, ENOUGH_PAIRS = 10, 3, 20  # other rows that evidence needs; less where a name is known


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


LABEL_NAMES = _names("""
    label labels class classes category categories sentiment target tag tags intent topic rating score stars polarity
    emotion gold value etikett klasse kategorie bewertung étiquette classe catégorie etiqueta clase categoría
    etichetta categoria abteilung queue department genre type kind emotions domain output is urgency priority spam toxic
    stance language метка класс категория 标签 类别 ラベル 레이블
""")
TEXT_NAMES = _names("""
    text texts sentence sentences review reviews comment comments message messages mail email body content document
    documents doc article articles tweet tweets post posts question questions query utterance utterances input inputs
    title headline subject description abstract passage paragraph prompt phrase snippet dialogue dialog conversation
    sms data satz nachricht texte texto testo текст 文本 テキスト 텍스트
""")
PAIR_NAMES = _names("""
    source sources src target targets tgt trg translation translations original reference text sentence sentences
    summary summaries highlights headline title answer response output outputs completion input inputs question query
    prompt document article body dialogue dialog abstract passage premise hypothesis simplified
""")
SIDES = (_names("source src"), _names("target tgt trg"))
FILLERS = _names("id the of star raw clean original de en no nr name main full user item col column field")
LANGUAGES = {  # codes of ISO 639 and names
    line.split()[0]: _names(line)
    for line in """
    ar ara arabic arabisch arabe العربية
    cs ces czech tschechisch čeština
    da dan danish dänisch dansk
    de deu ger german deutsch allemand alemán tedesco
    el ell greek griechisch ελληνικά
    en eng english englisch anglais inglés inglese
    es spa spanish spanisch espagnol español spagnolo
    fi fin finnish finnisch suomi
    fr fra fre french französisch français francés francese
    he heb hebrew hebräisch עברית
    hi hin hindi हिन्दी
    hu hun hungarian ungarisch magyar
    id ind indonesian indonesisch
    it ita italian italienisch italien italiano
    ja jpn japanese japanisch japonais 日本語
    ko kor korean koreanisch 한국어
    nl nld dutch niederländisch nederlands
    no nor norwegian norwegisch norsk
    pl pol polish polnisch polski
    pt por portuguese portugiesisch português portugués
    ro ron romanian rumänisch română
    ru rus russian russisch russe русский
    sv swe swedish schwedisch svenska
    th tha thai thailändisch ไทย
    tr tur turkish türkisch türkçe
    uk ukr ukrainian ukrainisch українська
    vi vie vietnamese vietnamesisch
    zh zho chinese chinesisch chinois 中文
    """.strip().splitlines()
}

_NAME = re.compile(r"[^\W\d][\w\-.]{0,39}(?<![.\-])")  # one word, as columns are called


def header_evidence(first: Sequence[str], others: Sequence[Sequence[str]], labels: int = 0) -> str:
    """Returns why the first row is a header and no data, in words, or an empty string.

    Args:
        first: its cells, those that are read.
        others: the cells of the rows that follow; the first `LOOK_AHEAD` do.
        labels: how many of the last cells are labels, or numbers; of 0, all are texts that belong together.

    Example:
        ```python
        header_evidence(["review", "sentiment"], [["A fine film", "pos"], ["Dull", "neg"]], 1)
        # "its cells are names of columns"
        ```
    """
    cells = [cell.strip().strip('"').strip() for cell in first]
    others = [row for row in others if list(row) != list(first)]
    if len(cells) < 2 or len({cell.casefold() for cell in cells}) < len(cells):
        return ""
    if labels:
        return _over_labels(cells, others, labels)
    return _over_texts(cells, others)


def swapped(first: Sequence[str], labels: int) -> bool:
    """Returns whether a header of a text and a label names the label first."""
    return labels == 1 and len(first) == 2 and _is_in(first[0], LABEL_NAMES) and not _is_in(first[1], LABEL_NAMES)


def _over_labels(cells: Sequence[str], others: Sequence[Sequence[str]], labels: int) -> str:
    texts = len(cells) - labels
    known = [_is_in(cell, LABEL_NAMES) or _is_in(cell, TEXT_NAMES) for cell in cells]
    comes_again = any(row[-1].strip() == cells[-1] for row in others)
    names = any(_is_in(cell, LABEL_NAMES) for cell in cells) and any(_is_in(cell, TEXT_NAMES) for cell in cells)
    if all(known) and names and not comes_again:
        return "its cells are names of columns"
    like_text = [cell for row in others for cell in row[:texts] if _NAME.fullmatch(cell.strip())]
    is_odd = all(map(_NAME.fullmatch, cells)) and len(like_text) <= FEW * len(others) * texts
    if not is_odd or comes_again or len(others) < (ENOUGH_OF_KNOWN if known[0] else ENOUGH):
        return ""
    for column in range(texts, len(cells)):
        if all(_is_number(row[column]) for row in others):
            return f"its cell {cells[column]!r} stands above numbers"
    counts = Counter(row[-1].strip() for row in others)
    if sum(count == 1 for count in counts.values()) <= FEW * len(others):
        return f"its label {cells[-1]!r} never comes again, and its text is one word"
    return ""


def _over_texts(cells: Sequence[str], others: Sequence[Sequence[str]]) -> str:
    sizes = [[len(cell.split()) for cell in row] for row in others]
    are_texts = 2 * sum(max(row) > 1 for row in sizes) > len(sizes)
    languages = [_language(cell) for cell in cells]
    if all(languages) and len(set(languages)) == len(cells):
        if are_texts or all(len(cell) > 3 for cell in cells):
            return "its cells are names of languages"
    elif {cell.casefold() for cell in cells} & SIDES[0] and {cell.casefold() for cell in cells} & SIDES[1]:
        return "its cells are names of columns"
    if are_texts and all(_is_in(cell, PAIR_NAMES) or language for cell, language in zip(cells, languages, strict=True)):
        return "its cells are names of columns"
    if len(others) < ENOUGH_PAIRS or not all(map(_NAME.fullmatch, cells)) or min(map(min, sizes)) < 3:
        return ""
    return "its cells are single words, and all others have three words or more"


def _is_in(cell: str, names: frozenset[str]) -> bool:
    """Returns whether a cell is a name, or several words with one among them: `airline_sentiment`, `Star Rating`."""
    words = [word for word in re.split(r"[\W_\d]+", cell.casefold()) if word]
    if "_" in cell:  # as no text has it
        return any(word in names for word in words)
    known = names | FILLERS | TEXT_NAMES | LABEL_NAMES if len(words) > 1 else names
    return len(words) <= 3 and any(word in names for word in words) and all(word in known for word in words)


def _language(cell: str) -> str:
    """Returns the code of a language that is named, such as German, deu or de-AT, or an empty string."""
    name = re.split(r"[-_]", cell.casefold())[0] if len(cell) < 7 else cell.casefold()
    return next((code for code, names in LANGUAGES.items() if name in names), "")


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?", cell.strip(), re.IGNORECASE))
