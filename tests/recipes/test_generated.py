"""The generated English-German data: its words, its sentences, and what keeps its splits apart."""

from __future__ import annotations

import doctest
import hashlib
import re
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from keras_transformer.errors import UserError
from keras_transformer.recipes.translation import english, generated, german, grammar
from keras_transformer.recipes.translation.generated import Example, generated_examples, generated_pairs, split_of

GERMAN_NUMBERS = {
    0: "null",
    1: "eins",
    6: "sechs",
    7: "sieben",
    11: "elf",
    12: "zwölf",
    16: "sechzehn",
    17: "siebzehn",
    20: "zwanzig",
    21: "einundzwanzig",
    30: "dreißig",
    47: "siebenundvierzig",
    66: "sechsundsechzig",
    77: "siebenundsiebzig",
    99: "neunundneunzig",
    100: "einhundert",
    101: "einhunderteins",
    111: "einhundertelf",
    212: "zweihundertzwölf",
    1_000: "eintausend",
    1_001: "eintausendeins",
    1_203: "eintausendzweihundertdrei",
    2_026: "zweitausendsechsundzwanzig",
    10_010: "zehntausendzehn",
    21_021: "einundzwanzigtausendeinundzwanzig",
    48_317: "achtundvierzigtausenddreihundertsiebzehn",
    100_000: "einhunderttausend",
    101_000: "einhunderteintausend",
    131_030: "einhunderteinunddreißigtausenddreißig",
    999_999: "neunhundertneunundneunzigtausendneunhundertneunundneunzig",
    1_000_000: "eine Million",
    1_000_001: "eine Million eins",
    1_200_000: "eine Million zweihunderttausend",
    2_000_000: "zwei Millionen",
    21_000_017: "einundzwanzig Millionen siebzehn",
    101_000_000: "einhunderteine Millionen",
    999_001_100: "neunhundertneunundneunzig Millionen eintausendeinhundert",
}
ENGLISH_NUMBERS = {
    0: "zero",
    1: "one",
    8: "eight",
    13: "thirteen",
    14: "fourteen",
    15: "fifteen",
    18: "eighteen",
    20: "twenty",
    40: "forty",
    80: "eighty",
    90: "ninety",
    99: "ninety-nine",
    100: "one hundred",
    115: "one hundred fifteen",
    342: "three hundred forty-two",
    1_000: "one thousand",
    1_001: "one thousand one",
    48_317: "forty-eight thousand three hundred seventeen",
    100_000: "one hundred thousand",
    700_050: "seven hundred thousand fifty",
    1_000_000: "one million",
    1_200_000: "one million two hundred thousand",
    29_900_000: "twenty-nine million nine hundred thousand",
    305_000_007: "three hundred five million seven",
}
GERMAN_ORDINALS = {
    1: "ersten",
    2: "zweiten",
    3: "dritten",
    6: "sechsten",
    7: "siebten",
    8: "achten",
    12: "zwölften",
    17: "siebzehnten",
    19: "neunzehnten",
    20: "zwanzigsten",
    21: "einundzwanzigsten",
    30: "dreißigsten",
    31: "einunddreißigsten",
    100: "einhundertsten",
    101: "einhundertersten",
    112: "einhundertzwölften",
    1_000: "eintausendsten",
}
ENGLISH_ORDINALS = {
    1: "first",
    2: "second",
    3: "third",
    4: "fourth",
    5: "fifth",
    8: "eighth",
    9: "ninth",
    12: "twelfth",
    13: "thirteenth",
    20: "twentieth",
    21: "twenty-first",
    22: "twenty-second",
    30: "thirtieth",
    31: "thirty-first",
    103: "one hundred third",
}
YEARS = {
    1100: ("eleven hundred", "elfhundert"),
    1516: ("fifteen sixteen", "fünfzehnhundertsechzehn"),
    1800: ("eighteen hundred", "achtzehnhundert"),
    1871: ("eighteen seventy-one", "achtzehnhunderteinundsiebzig"),
    1901: ("nineteen oh one", "neunzehnhunderteins"),
    1984: ("nineteen eighty-four", "neunzehnhundertvierundachtzig"),
    2000: ("two thousand", "zweitausend"),
    2007: ("two thousand seven", "zweitausendsieben"),
    2010: ("twenty ten", "zweitausendzehn"),
    2026: ("twenty twenty-six", "zweitausendsechsundzwanzig"),
    2099: ("twenty ninety-nine", "zweitausendneunundneunzig"),
}
CLOCK = {
    (0, 0): ("12:00 am", "null Uhr"),
    (0, 1): ("12:01 am", "null Uhr eins"),
    (1, 0): ("1:00 am", "ein Uhr"),
    (7, 5): ("7:05 am", "sieben Uhr fünf"),
    (12, 0): ("12:00 pm", "zwölf Uhr"),
    (12, 17): ("12:17 pm", "zwölf Uhr siebzehn"),
    (13, 1): ("1:01 pm", "dreizehn Uhr eins"),
    (18, 47): ("6:47 pm", "achtzehn Uhr siebenundvierzig"),
    (21, 21): ("9:21 pm", "einundzwanzig Uhr einundzwanzig"),
}
CLOCK_WORDS = {
    (1, 0): ("one o'clock", "ein Uhr"),
    (13, 0): ("one o'clock", "ein Uhr"),
    (3, 5): ("five past three", "fünf nach drei"),
    (13, 10): ("ten past one", "zehn nach eins"),
    (15, 15): ("quarter past three", "Viertel nach drei"),
    (16, 20): ("twenty past four", "zwanzig nach vier"),
    (3, 25): ("twenty-five past three", "fünf vor halb vier"),
    (3, 30): ("half past three", "halb vier"),
    (12, 30): ("half past twelve", "halb eins"),
    (18, 30): ("half past six", "halb sieben"),
    (9, 35): ("twenty-five to ten", "fünf nach halb zehn"),
    (7, 40): ("twenty to eight", "zwanzig vor acht"),
    (0, 45): ("quarter to one", "Viertel vor eins"),
    (22, 50): ("ten to eleven", "zehn vor elf"),
    (11, 55): ("five to twelve", "fünf vor zwölf"),
}
UNITS = {"ein": 1, "eins": 1, "eine": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8}
SMALL = UNITS | {"neun": 9, "zehn": 10, "elf": 11, "zwölf": 12, "sechzehn": 16, "siebzehn": 17}
TENS = {"zwanzig": 20, "dreißig": 30, "vierzig": 40, "fünfzig": 50, "sechzig": 60, "siebzig": 70, "achtzig": 80}
TENS |= {"neunzig": 90}
NUMBERS = [*range(1, 10_000), *range(10_000, 1_000_000, 997), *range(1_000_000, 10**9, 999_331)]


@pytest.mark.parametrize("module", [english, german, generated])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_german_numbers():
    assert {n: german.german_number(n) for n in GERMAN_NUMBERS} == GERMAN_NUMBERS


def test_english_numbers():
    assert {n: english.english_number(n) for n in ENGLISH_NUMBERS} == ENGLISH_NUMBERS


def test_a_final_one_takes_the_form_asked_for():
    assert german.german_number(1, one="eine") == "eine"
    assert german.german_number(301, one="einen") == "dreihunderteinen"
    assert german.german_number(21, one="eine") == "einundzwanzig"
    assert german.german_number(1_001_011, one="ein") == "eine Million eintausendelf"


@pytest.mark.parametrize("n", [-1, 10**9])
def test_numbers_outside_the_range_are_refused(n):
    with pytest.raises(ValueError, match=f"english_number spells 0 to 999,999,999, received {n}"):
        english.english_number(n)
    with pytest.raises(ValueError, match=f"german_number spells 0 to 999,999,999, received {n}"):
        german.german_number(n)
    with pytest.raises(ValueError, match=f"german_ordinal spells 1 to 999,999, received {n}"):
        german.german_ordinal(n)


def read_german(words: str) -> int:
    """The value of German number words, by splitting them from the outside in: an independent inverse."""
    head, million, rest = words.partition(" Million")
    if million:
        return read_german(head) * 1_000_000 + read_german(rest.removeprefix("en").strip())
    for word, factor in (("tausend", 1_000), ("hundert", 100)):
        head, found, rest = words.partition(word)
        if found:
            return read_german(head) * factor + read_german(rest)
    if words in SMALL or not words:
        return SMALL.get(words, 0)
    if words.endswith("zehn"):
        return SMALL[words.removesuffix("zehn")] + 10
    units, _, tens = words.rpartition("und")
    return SMALL.get(units, 0) + TENS[tens]


def test_german_numbers_read_back():
    assert [n for n in NUMBERS if read_german(german.german_number(n)) != n] == []


def test_english_numbers_differ_where_numbers_do():
    assert len({english.english_number(n) for n in NUMBERS}) == len(NUMBERS)


def test_ordinals():
    assert {n: german.german_ordinal(n) for n in GERMAN_ORDINALS} == GERMAN_ORDINALS
    assert {n: english.english_ordinal(n) for n in ENGLISH_ORDINALS} == ENGLISH_ORDINALS


def test_years():
    assert {year: (english.english_year(year), german.german_year(year)) for year in YEARS} == YEARS


def test_times():
    assert {time: (english.english_clock(*time), german.german_clock(*time)) for time in CLOCK} == CLOCK
    words = {time: (english.english_clock_words(*time), german.german_clock_words(*time)) for time in CLOCK_WORDS}
    assert words == CLOCK_WORDS


MONTH = f"(?:{'|'.join(german.MONTHS)})"
FIGURES = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
LARGE_NUMBER = re.compile(r"(?:\w+ Million(?:en)?(?: \w+tausend)?|\b\w*tausend\w*)")
DECIMAL = re.compile(r"\w+ Komma(?: (?:null|eins|zwei|drei|vier|fünf|sechs|sieben|acht|neun))+")
PRICE = re.compile(r"(?:\w+ Euro und )?\w+ Cent|\w+ Euro \w+")
DATE = re.compile(rf"\w+ten {MONTH} \w*(?:hundert|tausend)\w*")
APPOINTMENT = re.compile(rf"(\w+ten {MONTH})\b.* um (\w+ Uhr(?: (?!ab|an)\w+)?)")
WEEKDAY_TIME = re.compile(r"[Aa]m (\w+tag\w*|Mittwoch\w*)\b.* um (.+?)(?: abfährt| ankommt)?\.$")
PARTS = re.compile(
    "null|eins?|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|sech|sieb|zwanzig|dreißig|zig|hundert|tausend|und"
)
NUMBER_WORD = re.compile(f"(?:{PARTS.pattern})+")

# One or more of every domain, checked by eye; all of them are in the test split.
PAIRS = [
    ("The library has 87,164 books.", "Die Bibliothek hat siebenundachtzigtausendeinhundertvierundsechzig Bücher."),
    (
        "In February, the company ordered sixteen million three hundred thousand tables.",
        "Im Februar bestellte die Firma sechzehn Millionen dreihunderttausend Tische.",
    ),
    (
        "By Friday, Emma wants to save 90,138 euros.",
        "Bis Freitag will Emma neunzigtausendeinhundertachtunddreißig Euro sparen.",
    ),
    ("Maria must pay 7,508 euros by Friday.", "Maria muss bis Freitag siebentausendfünfhundertacht Euro bezahlen."),
    ("The result is -945,543.", "Das Ergebnis lautet minus neunhundertfünfundvierzigtausendfünfhundertdreiundvierzig."),
    (
        "The result is minus one million four hundred thousand.",
        "Das Ergebnis lautet minus eine Million vierhunderttausend.",
    ),
    ("The result is minus seven point zero four.", "Das Ergebnis lautet minus sieben Komma null vier."),
    ("In Cologne, the temperature is -8.6 degrees.", "In Köln beträgt die Temperatur minus acht Komma sechs Grad."),
    (
        "It is 198.8 kilometers from Vienna to Prague.",
        "Von Wien nach Prag sind es einhundertachtundneunzig Komma acht Kilometer.",
    ),
    ("The shoes cost €89.01.", "Die Schuhe kosten neunundachtzig Euro eins."),
    (
        "Today, the chair costs only one euro and sixty cents.",
        "Heute kostet der Stuhl nur einen Euro und sechzig Cent.",
    ),
    ("Thomas buys one cake for €71.93.", "Thomas kauft einen Kuchen für einundsiebzig Euro dreiundneunzig."),
    ("For €8.53, Felix buys two apples.", "Für acht Euro dreiundfünfzig kauft Felix zwei Äpfel."),
    ("Maria buys one pear for €3.10.", "Maria kauft eine Birne für drei Euro zehn."),
    ("Emma buys two rolls for €0.65.", "Emma kauft zwei Brötchen für fünfundsechzig Cent."),
    ("Emma was born on July 6, 1954.", "Emma wurde am sechsten Juli neunzehnhundertvierundfünfzig geboren."),
    (
        "The street was closed on July 1, 1899.",
        "Die Straße wurde am ersten Juli achtzehnhundertneunundneunzig gesperrt.",
    ),
    (
        "On the twenty-second of October, nineteen oh one, the painting was stolen.",
        "Am zweiundzwanzigsten Oktober neunzehnhunderteins wurde das Gemälde gestohlen.",
    ),
    (
        "The course begins at noon on May 17, 2042.",
        "Der Kurs beginnt am siebzehnten Mai zweitausendzweiundvierzig um zwölf Uhr mittags.",
    ),
    (
        "The offer begins at midnight on July 9, 2027.",
        "Das Angebot beginnt am neunten Juli zweitausendsiebenundzwanzig um Mitternacht.",
    ),
    (
        "On October 7, the ship to Berlin leaves at 3:32 pm.",
        "Am siebten Oktober fährt das Schiff nach Berlin um fünfzehn Uhr zweiunddreißig ab.",
    ),
    (
        "On May 30, the ship from Warsaw arrives at 1:49 pm.",
        "Am dreißigsten Mai kommt das Schiff aus Warschau um dreizehn Uhr neunundvierzig an.",
    ),
    ("The film starts at 12:50 am on Monday.", "Der Film beginnt am Montag um null Uhr fünfzig."),
    ("The lesson starts at half past six on Friday evening.", "Der Unterricht beginnt am Freitagabend um halb sieben."),
    (
        "Laura knows that the ship leaves at twenty-five to two on Monday afternoon.",
        "Laura weiß, dass das Schiff am Montagnachmittag um fünf nach halb zwei abfährt.",
    ),
    (
        "Peter says that the ferry arrives at half past ten on Friday evening.",
        "Peter sagt, dass die Fähre am Freitagabend um halb elf ankommt.",
    ),
]


@pytest.fixture(scope="module")
def train() -> list[Example]:
    return generated_examples("train", 60_000)


@pytest.fixture(scope="module")
def validation() -> list[Example]:
    return generated_examples("validation", 2_000)


@pytest.fixture(scope="module")
def test() -> list[Example]:
    return generated_examples("test", 2_000)


def test_whole_sentences(test):
    targets = {example.source: example.target for example in test}
    assert {source: targets.get(source) for source, _ in PAIRS} == dict(PAIRS)


def test_the_grammar_document_shows_test_sentences(test):
    text = Path(generated.__file__).with_name("GRAMMAR.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| [^|]+ \| (.+) → (.+) \|$", text, re.MULTILINE)
    assert [domain for domain, _, _ in rows] == list(grammar.TEMPLATES)
    assert {(source, target) for _, source, target in rows} <= {(example.source, example.target) for example in test}


def test_every_template_is_drawn(test):
    sources = "\n".join(example.source for example in test)
    templates = [template.source for templates in grammar.TEMPLATES.values() for template in templates]
    patterns = {source: r"(?m)^" + re.sub(r"\{[^}]*\}", ".+", source.replace(".", r"\.")) for source in templates}
    assert [source for source, pattern in patterns.items() if not re.search(pattern, sources)] == []


def test_the_same_arguments_give_the_same_pairs_on_every_python():
    lines = [f"{source}\t{target}\n" for split in generated.SPLITS for source, target in generated_pairs(split, 1_000)]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == (
        "46bb6eee0db101aeed2c0f0add275f5e532b7a9bb2e5d884d0fb31801c4f8d73"
    )


def test_a_smaller_count_gives_the_beginning():
    assert generated_pairs("test", 50, seed=3) == generated_pairs("test", 200, seed=3)[:50]


def test_another_seed_gives_other_pairs():
    first, second = (set(generated_pairs("train", 500, seed=seed)) for seed in (0, 1))
    assert len(first & second) < 50


def test_no_source_has_two_targets_and_none_comes_twice(train, validation, test):
    for split in (train, validation, test):
        assert len({example.source for example in split}) == len(split)
    targets = {example.source: example.target for example in train}
    for source, target in generated_pairs("train", 60_000, seed=1):
        assert targets.setdefault(source, target) == target


def test_sentences_and_items_keep_to_their_split(train, validation, test):
    train = train + generated_examples("train", 20_000, seed=1)
    splits = {"train": train, "validation": validation, "test": test}
    for name, examples in splits.items():
        assert {split_of(*example.item) for example in examples} == {name}
    for field in ("source", "target", "item"):
        values = {name: {getattr(example, field) for example in examples} for name, examples in splits.items()}
        assert not values["train"] & values["validation"]
        assert not values["train"] & values["test"]
        assert not values["validation"] & values["test"]
    assert len({example.item for example in test}) > 1_200


def what_is_said(examples: list[Example]) -> set[object]:
    """Numbers, dates and times as the sentences hold them, read without trusting the items that the generator notes."""
    found: set[object] = {Decimal(n.replace(",", "")) for e in examples for n in FIGURES.findall(e.source)}
    for pattern in (LARGE_NUMBER, DECIMAL, PRICE, DATE, APPOINTMENT, WEEKDAY_TIME):
        found.update(said for example in examples for said in pattern.findall(example.target))
    return found


def ways_to_say(kind: str, *values: int) -> list[object]:
    """An item as `what_is_said` would find it."""
    if kind == "number":
        return [Decimal(values[0]), german.german_number(values[0])]
    if kind == "decimal":
        whole, hundredths = divmod(values[0], 100)
        euros, cents = german.german_number(whole, one="einen"), german.german_number(hundredths, one="einen")
        return [
            Decimal(values[0]) / 100,
            german.german_decimal(whole, f"{hundredths:02d}".rstrip("0")),
            f"{euros} Euro und {cents} Cent" if whole else f"{cents} Cent",
            f"{euros} Euro {german.german_number(hundredths)}",
        ]
    if kind == "date":
        year, month, day = values
        return [f"{german.german_ordinal(day)} {german.MONTHS[month - 1]} {german.german_year(year)}"]
    if kind == "appointment":
        month, day, hour, minute = values
        return [(f"{german.german_ordinal(day)} {german.MONTHS[month - 1]}", german.german_clock(hour, minute))]
    weekday, hour, minute = values
    name = german.WEEKDAYS[weekday]
    part = "morgen" if hour < 12 else "nachmittag" if hour < 18 else "abend"
    words = [(name + part, german.german_clock_words(hour, minute))] if minute % 5 == 0 else []
    return [(name, german.german_clock(hour, minute)), *words]


@pytest.fixture(scope="module")
def said_in_training(train) -> set[object]:
    return what_is_said(train)


@pytest.mark.parametrize("kind", ["number", "decimal", "date", "appointment", "weekday time"])
def test_what_is_held_out_is_nowhere_in_training(kind, said_in_training, test):
    said_in_test = what_is_said(test)
    ways = {example.item: ways_to_say(*example.item) for example in test if example.item[0] == kind}
    assert len(ways) > 50
    assert [item for item in ways if not said_in_test.intersection(ways[item])] == []
    assert [item for item in ways if said_in_training.intersection(ways[item])] == []


def words_of(text: str) -> set[str]:
    """Words, figures one by one, and German number words as the parts they are made of."""
    words = re.findall(r"\d|[^\W\d]+|[^\w\s]", text)
    return {part for word in words for part in (PARTS.findall(word) if NUMBER_WORD.fullmatch(word) else [word])}


def test_every_word_of_the_held_out_splits_is_common_in_training(train, validation, test):
    shown = Counter(word for example in train for text in example[:2] for word in words_of(text))
    needed = {word for example in validation + test for text in example[:2] for word in words_of(text)}
    assert {word for word in needed if shown[word] < 50} == set()


def test_german_is_spelled_out(train):
    wrong = re.compile(r"\d|[€,-]\d|  |\beins (Uhr|Euro|Cent|Million)|\bein (Euro|Million)|[^.]$|^[^A-ZÄÖÜ]")
    assert [example.target for example in train if wrong.search(example.target)] == []


def test_sentences_are_short(train):
    assert max(len(example.source.encode()) for example in train) <= 110
    assert max(len(example.target.encode()) for example in train) <= 110


def test_sixty_thousand_pairs_take_seconds():
    start = time.process_time()
    generated_pairs("train", 60_000, seed=2)
    assert time.process_time() - start < 4


def test_an_unknown_split_is_refused():
    message = r"^generated data: no split 'tset'; there are train, validation, test\. Did you mean 'test'\?$"
    with pytest.raises(UserError, match=message):
        generated_pairs("tset", 10)


def test_a_count_below_one_is_refused():
    with pytest.raises(UserError, match=r"^generated data: count must be at least 1, received 0$"):
        generated_pairs("train", 0)
