"""fs_date: against the standard library."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = 253402300799


def http(seconds):
    return format_datetime(EPOCH + timedelta(seconds=seconds), usegmt=True).encode()


def log(seconds):
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S").encode()


def test_every_day_from_1970_to_2110(leaves):
    for day in range(365 * 140):
        seconds = day * 86400 + day % 86400
        assert leaves.date_http(seconds) == http(seconds)


def test_month_and_year_ends_up_to_9999(leaves):
    for year in [*range(1970, 2420), *range(2420, 9999, 37), 9996, 9999]:
        for month, day in ((1, 1), (2, 28), (3, 1), (12, 31)):
            begin = int((datetime(year, month, day, tzinfo=UTC) - EPOCH).total_seconds())
            for seconds in (begin, begin + 86399):
                assert leaves.date_http(seconds) == http(seconds)
                assert leaves.date_log(seconds, 0) == log(seconds)
        leap = int((datetime(year, 2, 28, tzinfo=UTC) - EPOCH).total_seconds()) + 86400
        assert leaves.date_http(leap) == http(leap)


def test_every_second_of_a_day(leaves):
    for seconds in range(1_700_000_000, 1_700_000_000 + 86400, 7):
        assert leaves.date_http(seconds) == http(seconds)


def test_the_example_of_rfc_9110(leaves):
    assert leaves.date_http(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert leaves.date_log(784111777, 0) == b"1994-11-06 08:49:37"


def test_times_outside_the_years_are_moved_inside(leaves):
    for early in (-1, -(2**63), -86400):
        assert leaves.date_http(early) == b"Thu, 01 Jan 1970 00:00:00 GMT"
        assert leaves.date_log(early, 0) == b"1970-01-01 00:00:00"
    for late in (LAST, LAST + 1, 2**63 - 1):
        assert leaves.date_http(late) == b"Fri, 31 Dec 9999 23:59:59 GMT"
        assert leaves.date_log(late, 3600) == b"9999-12-31 23:59:59"
    assert leaves.date_log(0, -1) == b"1970-01-01 00:00:00"
    assert leaves.date_log(0, -(2**31)) == b"1970-01-01 00:00:00"
    assert leaves.date_log(2**31, -(2**31)) == b"1970-01-01 00:00:00"


@given(st.integers(0, LAST))
def test_any_second(libraries, seconds):
    for build in libraries.values():
        assert build.date_http(seconds) == http(seconds)


@given(st.integers(86400, LAST - 86400), st.integers(-86400, 86400))
def test_log_time_is_shifted_by_the_offset(libraries, seconds, offset):
    assert libraries["simd"].date_log(seconds, offset) == log(seconds + offset)


def test_decimal(leaves):
    values = {0, 9, 10, 99, 100, 2**64 - 1, 2**63}
    values |= {10**power + step for power in range(1, 20) for step in (-1, 0, 1)}
    values |= {random.Random(1).getrandbits(bits) for bits in range(1, 65)}
    for value in values:
        assert leaves.decimal(value) == b"%d" % value


def test_the_time_of_the_common_log_format(leaves):
    # The example of Apache's documentation.
    assert leaves.date_common(971211336, -7 * 3600) == b"10/Oct/2000:13:55:36 -0700"
    assert leaves.date_common(0, 0) == b"01/Jan/1970:00:00:00 +0000"
    assert leaves.date_common(0, 20700) == b"01/Jan/1970:05:45:00 +0545"
    assert leaves.date_common(86400, -1) == b"01/Jan/1970:23:59:59 +0000"
    assert leaves.date_common(86400, 2**31 - 1)[20:] == b" +0000"
    for month in range(12):
        seconds = int((datetime(2024, month + 1, 3, tzinfo=UTC) - EPOCH).total_seconds())
        told = datetime.fromtimestamp(seconds, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        assert leaves.date_common(seconds, 0) == told.encode()
