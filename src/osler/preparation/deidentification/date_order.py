"""Tell for each file of an export whether 3/4/2021 is in April or in March.

A wrong guess changes the time between two dates, so nothing is guessed: the dates that can be read in one way only
(21/12/2022) decide for their file, and a file in which none can, or whose dates disagree, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from osler.errors import InputError
from osler.preparation.deidentification.identifiers import RULES
from osler.preparation.deidentification.surrogates import is_date, is_day_first
from osler.preparation.readers.record import Notice, Record, RejectedRow, file_of

_WITH_YEAR, _WITHOUT_YEAR = (
    next(rule for rule in RULES if rule.name == name) for name in ("date numeric", "date without year")
)


class DateOrders:
    """Reads the dates of rows on their way, and then tells the order of day and month in each file."""

    def __init__(self) -> None:
        # File → the first row that has such a date: the day first (True), the month first (False), or either (None).
        self._rows: dict[str, dict[bool | None, str]] = {}

    def watch(
        self, rows: Iterable[tuple[str | None, Record | RejectedRow | Notice]]
    ) -> Iterator[tuple[str | None, Record | RejectedRow | Notice]]:
        """The same rows."""
        for split, row in rows:
            if not isinstance(row, (RejectedRow, Notice)):
                self._read(row["source"], row["text"] or "")
            yield split, row

    def _read(self, source: str, text: str) -> None:
        seen = self._rows.setdefault(file_of(source), {})
        for start, end in _WITH_YEAR.spans(text):
            if is_date(text[start:end]):
                seen.setdefault(is_day_first(text[start:end]), source)
        # 12/15 can be a score, so without a year a date decides nothing.
        for start, end in _WITHOUT_YEAR.spans(text):
            if is_date(text[start:end]) and is_day_first(text[start:end]) is None:
                seen.setdefault(None, source)

    def decide(self, otherwise: bool | None) -> dict[str, bool | None]:
        """File → whether the day comes first; None for a file without a date that depends on it.

        Args:
            otherwise: the order in files that do not tell; None if unknown.

        Raises:
            InputError: a file does not tell, and ``otherwise`` is None.
        """
        orders: dict[str, bool | None] = {}
        unclear = []
        for file, rows in self._rows.items():
            told = rows.keys() - {None}
            if len(told) == 1:
                orders[file] = next(iter(told))
            elif None not in rows:
                orders[file] = None
            elif otherwise is not None:
                orders[file] = otherwise
            else:
                unclear.append(file)
        if unclear:
            self._refuse(unclear)
        return orders

    def _refuse(self, unclear: list[str]) -> None:
        rows = self._rows[unclear[0]]
        what = (
            f"the day comes first in {rows[True]}, the month in {rows[False]}"
            if True in rows
            else f"no date tells whether the day or the month comes first in {rows[None]}"
        )
        more = f" (and {len(unclear) - 1} more such files)" if len(unclear) > 1 else ""
        raise InputError(
            f"{unclear[0]}: {what}{more}; a guess would change the time between dates: add --day-first (3/4/2021 is in"
            " April) or --month-first (in March) for dates that fit both"
        )
