"""English words for numbers, ordinals, years, dates and times of day (American: no "and" inside a number)."""

from __future__ import annotations

UNITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MINUTES = {5: "five", 10: "ten", 15: "quarter", 20: "twenty", 25: "twenty-five", 30: "half"}


def english_number(n: int) -> str:
    """Returns the words for a whole number from 0 to 999,999,999.

    Raises:
        ValueError: `n` is outside this range.

    Examples:
        >>> english_number(48_317)
        'forty-eight thousand three hundred seventeen'
        >>> english_number(1_200_000)
        'one million two hundred thousand'
    """
    if not 0 <= n < 10**9:
        raise ValueError(f"english_number spells 0 to 999,999,999, received {n}")
    if n == 0:
        return UNITS[0]
    millions, thousands, rest = n // 10**6, n // 1000 % 1000, n % 1000
    parts = [f"{_below_thousand(millions)} million"] if millions else []
    parts += [f"{_below_thousand(thousands)} thousand"] if thousands else []
    return " ".join([*parts, _below_thousand(rest)] if rest else parts)


def _below_thousand(n: int) -> str:
    hundreds, rest = divmod(n, 100)
    parts = [f"{UNITS[hundreds]} hundred"] if hundreds else []
    if rest:
        parts.append(UNITS[rest] if rest < 20 else TENS[rest // 10] + (f"-{UNITS[rest % 10]}" if rest % 10 else ""))
    return " ".join(parts)


def english_decimal(whole: int, fraction: str) -> str:
    """Returns the words for a decimal number, the digits after the point one by one.

    Example:
        >>> english_decimal(3, "14")
        'three point one four'
    """
    return f"{english_number(whole)} point {' '.join(UNITS[int(digit)] for digit in fraction)}"


def english_ordinal(n: int) -> str:
    """Returns the ordinal in words, from 1 to 999,999,999.

    Examples:
        >>> english_ordinal(3), english_ordinal(12), english_ordinal(21), english_ordinal(30)
        ('third', 'twelfth', 'twenty-first', 'thirtieth')
    """
    words = english_number(n)
    start = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[start:]
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return words[:start] + ORDINALS.get(last, regular)


def english_year(year: int) -> str:
    """Returns the year as it is read aloud, from 1000 to 2999.

    Examples:
        >>> english_year(1984), english_year(1905), english_year(1900)
        ('nineteen eighty-four', 'nineteen oh five', 'nineteen hundred')
        >>> english_year(2007), english_year(2026)
        ('two thousand seven', 'twenty twenty-six')
    """
    century, rest = divmod(year, 100)
    if century % 10 == 0 and rest < 10:
        return english_number(year)
    if rest == 0:
        return f"{english_number(century)} hundred"
    return f"{english_number(century)} {'oh ' if rest < 10 else ''}{english_number(rest)}"


def english_clock(hour: int, minute: int) -> str:
    """Returns the time in figures, from an hour of 0 to 23.

    Examples:
        >>> english_clock(18, 47), english_clock(0, 5), english_clock(12, 0)
        ('6:47 pm', '12:05 am', '12:00 pm')
    """
    return f"{hour % 12 or 12}:{minute:02d} {'am' if hour < 12 else 'pm'}"


def english_clock_words(hour: int, minute: int) -> str:
    """Returns the time as people say it, on the twelve-hour clock; `minute` is a multiple of five.

    Examples:
        >>> english_clock_words(18, 30), english_clock_words(19, 40), english_clock_words(1, 0)
        ('half past six', 'twenty to eight', "one o'clock")
    """
    name, following = (english_number(h % 12 or 12) for h in (hour, hour + 1))
    if minute == 0:
        return f"{name} o'clock"
    return f"{MINUTES[minute]} past {name}" if minute <= 30 else f"{MINUTES[60 - minute]} to {following}"
