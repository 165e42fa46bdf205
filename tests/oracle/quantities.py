"""Quantities and instants as Kubernetes writes them, in whole numbers."""

import calendar
import re
from datetime import datetime, timezone
from fractions import Fraction

NANO = 1_000_000_000
MICRO = 1_000_000

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(r"(\d+\.?\d*|\.\d+)(.*)\Z", re.S)
_EXPONENT = re.compile(r"[eE]([+-]?\d+)\Z")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z")


def nanos(text):
    """Billionths of a quantity, rounded up: the finest part that Kubernetes keeps."""
    found = _QUANTITY.match(str(text))
    if not found:
        raise ValueError(f"{text!r} is no quantity")
    number, suffix = found.groups()
    value = Fraction(number.rstrip(".") if number.endswith(".") else number)
    if suffix in _BINARY:
        value *= 1 << _BINARY[suffix]
    elif suffix in _DECIMAL:
        value *= Fraction(10) ** _DECIMAL[suffix]
    else:
        exponent = _EXPONENT.match(suffix)
        if not exponent:
            raise ValueError(f"{text!r} has the unknown suffix {suffix!r}")
        value *= Fraction(10) ** int(exponent.group(1))
    return -(-value * NANO // 1)


def base_units(resource, amount):
    """Billionths as the unit that is billed: thousandths of a core for cpu, else ones. Rounded up, as the scheduler does."""
    unit = NANO // 1000 if resource == "cpu" else NANO
    return int(-(-amount // unit))


def micros(text):
    """Microseconds since 1970 of a time of the API server or of etcd's objects; none of none."""
    if not text:
        return None
    found = _INSTANT.match(text)
    if not found:
        raise ValueError(f"{text!r} is no instant in UTC")
    whole = datetime.strptime(found.group(1), "%Y-%m-%dT%H:%M:%S")
    fraction = (found.group(2) or "").ljust(6, "0")[:6]
    return calendar.timegm(whole.timetuple()) * MICRO + int(fraction)


def second(text):
    """The second of a time; none of none."""
    at = micros(text)
    return None if at is None else at // MICRO


def written(at):
    """A second as people read it."""
    if at is None:
        return "-"
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
