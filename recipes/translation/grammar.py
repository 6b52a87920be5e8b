"""The grammar of the generated sentence pairs: words, phrases that fill the slots of templates, and the templates.

A phrase is made in both languages at once from one draw, so that the German is a function of the English.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from keras_transformer.recipes.translation import english, german

if TYPE_CHECKING:
    from keras_transformer.recipes.translation.generated import Draw

T = TypeVar("T")
Phrase = tuple[str, str]  # English, German
Phrases = tuple[tuple[str, ...], tuple[str, ...]]  # English, German: parts that stand apart in a sentence


class Noun(NamedTuple):
    """A noun that is counted; `one` and `german` are accusative singular, all that the templates need."""

    english: str
    english_plural: str
    one: str
    german: str
    german_plural: str


# Words: English and German, things with their articles.
# fmt: off
PARTS_OF_DAY = ((5, "morning", "morgen"), (13, "afternoon", "nachmittag"), (18, "evening", "abend"))
NAMES = ("Anna", "Paul", "Maria", "Peter", "Laura", "Thomas", "Emma", "Felix")
CITIES = (
    ("Berlin", "Berlin"), ("Hamburg", "Hamburg"), ("Copenhagen", "Kopenhagen"), ("Cologne", "Köln"), ("Vienna", "Wien"),
    ("Zurich", "Zürich"), ("Prague", "Prag"), ("Warsaw", "Warschau"), ("Brussels", "Brüssel"), ("Moscow", "Moskau"),
)
VEHICLES = (("the train", "der Zug"), ("the bus", "der Bus"), ("the ferry", "die Fähre"), ("the ship", "das Schiff"))
MEETINGS = (
    ("the meeting", "die Sitzung"), ("the concert", "das Konzert"), ("the film", "der Film"),
    ("the lesson", "der Unterricht"), ("the party", "die Feier"), ("the game", "das Spiel"),
)
CONTRACTS = (
    ("the contract", "der Vertrag"), ("the exhibition", "die Ausstellung"), ("the course", "der Kurs"),
    ("the offer", "das Angebot"),
)
EVENTS = (
    (("the bridge", "built"), ("die Brücke", "gebaut")),
    (("the church", "destroyed"), ("die Kirche", "zerstört")),
    (("the street", "closed"), ("die Straße", "gesperrt")),
    (("the letter", "written"), ("der Brief", "geschrieben")),
    (("the treaty", "signed"), ("der Vertrag", "unterschrieben")),
    (("the treasure", "found"), ("der Schatz", "gefunden")),
    (("the painting", "stolen"), ("das Gemälde", "gestohlen")),
    (("the castle", "sold"), ("das Schloss", "verkauft")),
)
GOODS = (
    (("the book", "costs"), ("das Buch", "kostet")), (("the lamp", "costs"), ("die Lampe", "kostet")),
    (("the chair", "costs"), ("der Stuhl", "kostet")), (("the coat", "costs"), ("der Mantel", "kostet")),
    (("the shirt", "costs"), ("das Hemd", "kostet")), (("the bag", "costs"), ("die Tasche", "kostet")),
    (("the shoes", "cost"), ("die Schuhe", "kosten")), (("the flowers", "cost"), ("die Blumen", "kosten")),
)
SELLERS = (("the shop", "der Laden"), ("the factory", "die Fabrik"), ("the company", "die Firma"))
SOLD = (("bottles", "Flaschen"), ("tables", "Tische"), ("bicycles", "Fahrräder"), ("clocks", "Uhren"))
OWNERS = (
    (("the library", "books"), ("die Bibliothek", "Bücher")), (("the city", "inhabitants"), ("die Stadt", "Einwohner")),
    (("the forest", "trees"), ("der Wald", "Bäume")), (("the newspaper", "readers"), ("die Zeitung", "Leser")),
    (("the museum", "paintings"), ("das Museum", "Gemälde")), (("the stadium", "seats"), ("das Stadion", "Plätze")),
    (("the archive", "letters"), ("das Archiv", "Briefe")), (("the island", "cows"), ("die Insel", "Kühe")),
)
FOOD = (
    Noun("apple", "apples", "einen", "Apfel", "Äpfel"), Noun("pear", "pears", "eine", "Birne", "Birnen"),
    Noun("egg", "eggs", "ein", "Ei", "Eier"), Noun("cake", "cakes", "einen", "Kuchen", "Kuchen"),
    Noun("tomato", "tomatoes", "eine", "Tomate", "Tomaten"), Noun("roll", "rolls", "ein", "Brötchen", "Brötchen"),
)
# fmt: on


# Numbers.
def _number(draw: Draw) -> tuple[int]:
    """A whole number: most have four or five digits, some six; a few are small, a few are round, a few are millions."""
    kind = draw.below(20)
    if kind < 3:
        return (draw.below((20, 100, 3_000)[kind]),)
    if kind < 17:
        digits = draw.pick((4, 4, 4, 5, 5, 5, 6))
        return (draw.between(max(10 ** (digits - 1), 3_000), 10**digits - 1),)
    if kind < 19:
        return (draw.between(1, 99) * 10 ** draw.between(2, 4),)
    return (draw.pick((1, draw.between(1, 29))) * 1_000_000 + draw.below(10) * 100_000,)


def _several(draw: Draw) -> tuple[int]:
    """A whole number that takes a plural: not 101 and the like, whose form before a German noun is disputed."""
    while True:
        (number,) = _number(draw)
        if number and number % 100 != 1:
            return (number,)


def _figures(number: int) -> str:
    return f"{number:,}"


STYLES = (_figures, english.english_number)  # of English; German follows the number either way


def _count(draw: Draw) -> Phrase:
    (number,) = draw.held("number", _several)
    return draw.pick(STYLES)(number), german.german_number(number)


def _food(draw: Draw) -> Phrase:
    number, noun, spell = draw.pick((1, draw.between(1, 12))), draw.pick(FOOD), draw.pick(STYLES)
    if number == 1:
        return f"{spell(1)} {noun.english}", f"{noun.one} {noun.german}"
    return f"{spell(number)} {noun.english_plural}", f"{german.german_number(number)} {noun.german_plural}"


def _route(draw: Draw) -> Phrases:
    start = draw.below(len(CITIES))
    end = (start + draw.between(1, len(CITIES) - 1)) % len(CITIES)
    return (CITIES[start][0], CITIES[end][0]), (CITIES[start][1], CITIES[end][1])


def _decimal_phrase(draw: Draw, hundredths: int) -> Phrase:
    whole, fraction = hundredths // 100, f"{hundredths % 100:02d}".rstrip("0")
    words = draw.pick((f"{whole}.{fraction}", english.english_decimal(whole, fraction)))
    return words, german.german_decimal(whole, fraction)


def _signed(draw: Draw, phrase: Phrase) -> Phrase:
    if draw.below(3):
        return phrase
    return f"{'-' if phrase[0][0].isdigit() else 'minus '}{phrase[0]}", f"minus {phrase[1]}"


def _value(draw: Draw) -> Phrase:
    if draw.below(2):
        (number,) = draw.held("number", _number)
        phrase = draw.pick(STYLES)(number), german.german_number(number)
        return _signed(draw, phrase) if number else phrase
    (hundredths,) = draw.held("decimal", lambda draw: (draw.below(100) * 100 + draw.between(1, 99),))
    return _signed(draw, _decimal_phrase(draw, hundredths))


def _degrees(draw: Draw) -> Phrase:
    (hundredths,) = draw.held("decimal", lambda draw: (draw.between(0, 39) * 100 + draw.between(1, 9) * 10,))
    return _signed(draw, _decimal_phrase(draw, hundredths))


def _kilometers(draw: Draw) -> Phrase:
    (hundredths,) = draw.held("decimal", lambda draw: (draw.between(1, 999) * 100 + draw.between(1, 9) * 10,))
    return _decimal_phrase(draw, hundredths)


# Prices.
CENTS = (0, 1, *range(100))  # whole euros, and the one cent that German inflects, more often than others


def _price(draw: Draw) -> Phrase:
    """Up to 999.99 euros, and mostly below 100."""
    return _money(draw, lambda draw: draw.between(1, 999) if draw.below(5) == 0 else draw.below(draw.pick((10, 100))))


def _small_price(draw: Draw) -> Phrase:
    return _money(draw, lambda draw: draw.below(draw.pick((10, 100))))


def _money(draw: Draw, draw_euros: Callable[[Draw], int]) -> Phrase:
    def propose(draw: Draw) -> tuple[int]:
        while True:
            euros, cents = draw_euros(draw), draw.pick(CENTS)
            if euros + cents and (euros == 1 or euros % 100 != 1):
                return (euros * 100 + cents,)

    (hundredths,) = draw.held("decimal", propose)
    euros, cents = divmod(hundredths, 100)
    return draw.pick((_price_in_figures, _price_in_words))(euros, cents)


def _price_in_figures(euros: int, cents: int) -> Phrase:
    if euros == 0:
        return f"€0.{cents:02d}", _german_count(cents, "Cent")
    if cents == 0:
        return f"€{euros}", _german_count(euros, "Euro")
    return f"€{euros}.{cents:02d}", f"{_german_count(euros, 'Euro')} {german.german_number(cents)}"


def _price_in_words(euros: int, cents: int) -> Phrase:
    parts = [(number, unit) for number, unit in ((euros, "euro"), (cents, "cent")) if number]
    en = [f"{english.english_number(number)} {unit}{'s' if number > 1 else ''}" for number, unit in parts]
    return " and ".join(en), " und ".join(_german_count(number, unit.capitalize()) for number, unit in parts)


def _german_count(number: int, unit: str) -> str:
    return f"{german.german_number(number, one='einen')} {unit}"


# Dates and times.
def _date_between(first_year: int, last_year: int) -> Callable[[Draw], Phrase]:
    def propose(draw: Draw) -> tuple[int, int, int]:
        year, month = draw.between(first_year, last_year), draw.between(1, 12)
        return year, month, draw.between(1, calendar.monthrange(year, month)[1])

    def date(draw: Draw) -> Phrase:
        year, month, day = draw.held("date", propose)
        de = f"{_german_day(month, day)} {german.german_year(year)}"
        if draw.below(2):
            return f"{english.MONTHS[month - 1]} {day}, {year}", de
        return f"{_english_day(month, day)}, {english.english_year(year)}", de

    return date


def _english_day(month: int, day: int) -> str:
    return f"the {english.english_ordinal(day)} of {english.MONTHS[month - 1]}"


def _german_day(month: int, day: int) -> str:
    return f"{german.german_ordinal(day)} {german.MONTHS[month - 1]}"


def _appointment(draw: Draw) -> Phrases:
    """A day of the year and a time in figures, which German reads on the 24-hour clock."""

    def propose(draw: Draw) -> tuple[int, int, int, int]:
        month = draw.between(1, 12)
        return month, draw.between(1, calendar.monthrange(2000, month)[1]), draw.below(24), draw.below(60)

    month, day, hour, minute = draw.held("appointment", propose)
    en_day = draw.pick((f"{english.MONTHS[month - 1]} {day}", _english_day(month, day)))
    return (en_day, english.english_clock(hour, minute)), (_german_day(month, day), german.german_clock(hour, minute))


def _weekday_time(draw: Draw) -> Phrases:
    """A weekday and a time, in figures (any minute) or as people say it (a multiple of five, and a part of the day)."""
    if draw.below(3) == 0:
        weekday, hour, minute = draw.held("weekday time", lambda draw: (draw.below(7), draw.below(24), draw.below(60)))
        en, de = english.WEEKDAYS[weekday], german.WEEKDAYS[weekday]
        return (en, english.english_clock(hour, minute)), (de, german.german_clock(hour, minute))
    first_hour, en_part, de_part = draw.pick(PARTS_OF_DAY)
    weekday, hour, minute = draw.held(
        "weekday time", lambda draw: (draw.below(7), first_hour + draw.below(5), draw.below(12) * 5)
    )
    en, de = f"{english.WEEKDAYS[weekday]} {en_part}", f"{german.WEEKDAYS[weekday]}{de_part}"
    return (en, english.english_clock_words(hour, minute)), (de, german.german_clock_words(hour, minute))


def _one_of(phrases: Sequence[T]) -> Callable[[Draw], T]:
    return lambda draw: draw.pick(phrases)


def _name(draw: Draw) -> Phrase:
    name = draw.pick(NAMES)
    return name, name


SLOTS: dict[str, Callable[[Draw], Phrase | Phrases]] = {
    "appointment": _appointment,
    "city": _one_of(CITIES),
    "count": _count,
    "contract": _one_of(CONTRACTS),
    "degrees": _degrees,
    "event": _one_of(EVENTS),
    "food": _food,
    "future_date": _date_between(2026, 2099),
    "goods": _one_of(GOODS),
    "kilometers": _kilometers,
    "meeting": _one_of(MEETINGS),
    "month": _one_of(tuple(zip(english.MONTHS, german.MONTHS, strict=True))),
    "name": _name,
    "noon": _one_of((("noon", "zwölf Uhr mittags"), ("midnight", "Mitternacht"))),
    "past_date": _date_between(1800, 2025),
    "owner": _one_of(OWNERS),
    "price": _price,
    "route": _route,
    "seller": _one_of(SELLERS),
    "small_price": _small_price,
    "sold": _one_of(SOLD),
    "value": _value,
    "vehicle": _one_of(VEHICLES),
    "weekday": _one_of(tuple(zip(english.WEEKDAYS, german.WEEKDAYS, strict=True))),
    "weekday_time": _weekday_time,
}


class Template(NamedTuple):
    """One sentence in both languages; `slots` are the names in braces."""

    source: str
    target: str
    slots: tuple[str, ...]


def _template(source: str, target: str) -> Template:
    names = (field.partition("[")[0] for _, field, _, _ in Formatter().parse(source) if field)
    return Template(source, target, tuple(dict.fromkeys(names)))


# Domain -> its templates. A domain is drawn first, then one of its templates; each has exactly one held-out item.
# fmt: off
TEMPLATES: dict[str, tuple[Template, ...]] = {
    "stock": (
        _template("{owner[0]} has {count} {owner[1]}.", "{owner[0]} hat {count} {owner[1]}."),
    ),
    "sale": (
        _template("{seller} sold {count} {sold} in {month}.", "{seller} verkaufte im {month} {count} {sold}."),
        _template("In {month}, {seller} ordered {count} {sold}.", "Im {month} bestellte {seller} {count} {sold}."),
    ),
    "payment": (
        _template("{name} must pay {count} euros by {weekday}.", "{name} muss bis {weekday} {count} Euro bezahlen."),
        _template("By {weekday}, {name} wants to save {count} euros.",
                  "Bis {weekday} will {name} {count} Euro sparen."),
    ),
    "result": (
        _template("The result is {value}.", "Das Ergebnis lautet {value}."),
    ),
    "temperature": (
        _template("The temperature in {city} is {degrees} degrees.",
                  "Die Temperatur in {city} beträgt {degrees} Grad."),
        _template("In {city}, the temperature is {degrees} degrees.",
                  "In {city} beträgt die Temperatur {degrees} Grad."),
    ),
    "distance": (
        _template("It is {kilometers} kilometers from {route[0]} to {route[1]}.",
                  "Von {route[0]} nach {route[1]} sind es {kilometers} Kilometer."),
    ),
    "price": (
        _template("{goods[0]} {goods[1]} {price}.", "{goods[0]} {goods[1]} {price}."),
        _template("Today, {goods[0]} {goods[1]} only {price}.", "Heute {goods[1]} {goods[0]} nur {price}."),
    ),
    "shopping": (
        _template("{name} buys {food} for {small_price}.", "{name} kauft {food} für {small_price}."),
        _template("For {small_price}, {name} buys {food}.", "Für {small_price} kauft {name} {food}."),
    ),
    "birth": (
        _template("{name} was born on {past_date}.", "{name} wurde am {past_date} geboren."),
    ),
    "event": (
        _template("{event[0]} was {event[1]} on {past_date}.", "{event[0]} wurde am {past_date} {event[1]}."),
        _template("On {past_date}, {event[0]} was {event[1]}.", "Am {past_date} wurde {event[0]} {event[1]}."),
    ),
    "contract": (
        _template("{contract} ends on {future_date}.", "{contract} endet am {future_date}."),
        _template("{contract} begins at {noon} on {future_date}.", "{contract} beginnt am {future_date} um {noon}."),
        _template("On {future_date}, {contract} ends at {noon}.", "Am {future_date} endet {contract} um {noon}."),
    ),
    "departure": (
        _template("{vehicle} to {city} leaves at {appointment[1]} on {appointment[0]}.",
                  "{vehicle} nach {city} fährt am {appointment[0]} um {appointment[1]} ab."),
        _template("On {appointment[0]}, {vehicle} to {city} leaves at {appointment[1]}.",
                  "Am {appointment[0]} fährt {vehicle} nach {city} um {appointment[1]} ab."),
        _template("On {appointment[0]}, {vehicle} from {city} arrives at {appointment[1]}.",
                  "Am {appointment[0]} kommt {vehicle} aus {city} um {appointment[1]} an."),
    ),
    "meeting": (
        _template("{meeting} starts at {weekday_time[1]} on {weekday_time[0]}.",
                  "{meeting} beginnt am {weekday_time[0]} um {weekday_time[1]}."),
        _template("On {weekday_time[0]}, {meeting} ends at {weekday_time[1]}.",
                  "Am {weekday_time[0]} endet {meeting} um {weekday_time[1]}."),
    ),
    "clause": (
        _template("{name} knows that {vehicle} leaves at {weekday_time[1]} on {weekday_time[0]}.",
                  "{name} weiß, dass {vehicle} am {weekday_time[0]} um {weekday_time[1]} abfährt."),
        _template("{name} says that {vehicle} arrives at {weekday_time[1]} on {weekday_time[0]}.",
                  "{name} sagt, dass {vehicle} am {weekday_time[0]} um {weekday_time[1]} ankommt."),
    ),
}
# fmt: on
