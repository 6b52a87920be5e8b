"""German words for numbers, ordinals, years and times of day."""

from __future__ import annotations

UNITS = (
    "null",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
)
TENS = ("", "zehn", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
IRREGULAR_ORDINALS = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}
MONTHS = (
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
)
WEEKDAYS = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")
CLOCK = {
    5: "fünf nach {hour}",
    10: "zehn nach {hour}",
    15: "Viertel nach {hour}",
    20: "zwanzig nach {hour}",
    25: "fünf vor halb {following}",
    30: "halb {following}",
    35: "fünf nach halb {following}",
    40: "zwanzig vor {following}",
    45: "Viertel vor {following}",
    50: "zehn vor {following}",
    55: "fünf vor {following}",
}


def german_number(n: int, one: str = "eins") -> str:
    """Returns the words for a whole number from 0 to 999,999,999.

    Up to 999,999 it is one word; millions are nouns and stand apart. One hundred and one thousand are written out
    (`einhundert`, `eintausend`), and what multiplies a million is feminine (`einhunderteine Millionen`), as in the
    spell-out rules of Unicode CLDR.

    Args:
        n: the number.
        one: the form of a final one: `"eins"` when counting, `"ein"`, `"eine"`, `"einen"`, ... before a noun.

    Raises:
        ValueError: `n` is outside this range.

    Examples:
        >>> german_number(48_317)
        'achtundvierzigtausenddreihundertsiebzehn'
        >>> german_number(1_200_000)
        'eine Million zweihunderttausend'
        >>> german_number(1), german_number(1, one="einen"), german_number(21)
        ('eins', 'einen', 'einundzwanzig')
    """
    if not 0 <= n < 10**9:
        raise ValueError(f"german_number spells 0 to 999,999,999, received {n}")
    if n == 0:
        return UNITS[0]
    millions, thousands, rest = n // 10**6, n // 1000 % 1000, n % 1000
    parts = [f"{_below_thousand(millions, 'eine')} Million{'en' if millions > 1 else ''}"] if millions else []
    word = f"{_below_thousand(thousands, 'ein')}tausend" if thousands else ""
    word += _below_thousand(rest, one)
    return " ".join([*parts, word] if word else parts)


def _below_thousand(n: int, one: str) -> str:
    hundreds, rest = divmod(n, 100)
    return (f"{UNITS[hundreds]}hundert" if hundreds else "") + _below_hundred(rest, one)


def _below_hundred(n: int, one: str) -> str:
    if n < 20:
        return {0: "", 1: one}.get(n, UNITS[n])
    tens, units = divmod(n, 10)
    return (f"{UNITS[units]}und" if units else "") + TENS[tens]


def german_decimal(whole: int, fraction: str) -> str:
    """Returns the words for a decimal number, the digits after the comma one by one.

    Example:
        >>> german_decimal(3, "14")
        'drei Komma eins vier'
    """
    return f"{german_number(whole)} Komma {' '.join(german_number(int(digit)) for digit in fraction)}"


def german_ordinal(n: int, ending: str = "en") -> str:
    """Returns the ordinal in words, from 1 to 999,999, with its ending of declension.

    Examples:
        >>> german_ordinal(1), german_ordinal(3), german_ordinal(7), german_ordinal(30)
        ('ersten', 'dritten', 'siebten', 'dreißigsten')
        >>> german_ordinal(21, ending="er")
        'einundzwanzigster'
    """
    if not 0 < n < 10**6:
        raise ValueError(f"german_ordinal spells 1 to 999,999, received {n}")
    last = n % 100
    if not 0 < last < 20:
        return f"{german_number(n)}st{ending}"
    head = german_number(n - last) if n > last else ""
    return head + IRREGULAR_ORDINALS.get(last, f"{UNITS[last]}t") + ending


def german_year(year: int) -> str:
    """Returns the year as it is read aloud: in hundreds from 1100 to 1999, else as a number.

    Examples:
        >>> german_year(1984), german_year(1901), german_year(2026)
        ('neunzehnhundertvierundachtzig', 'neunzehnhunderteins', 'zweitausendsechsundzwanzig')
    """
    if not 1100 <= year <= 1999:
        return german_number(year)
    return f"{UNITS[year // 100]}hundert{_below_hundred(year % 100, 'eins')}"


def german_clock(hour: int, minute: int) -> str:
    """Returns the exact time on the 24-hour clock.

    Examples:
        >>> german_clock(18, 47), german_clock(1, 0), german_clock(0, 1)
        ('achtzehn Uhr siebenundvierzig', 'ein Uhr', 'null Uhr eins')
    """
    return f"{german_number(hour, one='ein')} Uhr" + (f" {german_number(minute)}" if minute else "")


def german_clock_words(hour: int, minute: int) -> str:
    """Returns the time as people say it, on the twelve-hour clock; `minute` is a multiple of five.

    Examples:
        >>> german_clock_words(18, 30), german_clock_words(15, 15), german_clock_words(13, 0)
        ('halb sieben', 'Viertel nach drei', 'ein Uhr')
    """
    if minute == 0:
        return german_clock(hour % 12 or 12, 0)
    name, following = (german_number(h % 12 or 12) for h in (hour, hour + 1))
    return CLOCK[minute].format(hour=name, following=following)
