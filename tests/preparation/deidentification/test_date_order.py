"""Each file says itself whether its days or its months come first; where it does not, somebody has to."""

from __future__ import annotations

import pytest

from osler.errors import InputError
from osler.preparation.deidentification.date_order import DateOrders
from osler.preparation.readers.record import Record, RejectedRow


def seen(**texts: str) -> DateOrders:
    """File → its texts, a row each, where | parts them."""
    orders = DateOrders()
    rows = [
        (file, number, text) for file, lines in texts.items() for number, text in enumerate(lines.split("|"), start=2)
    ]
    records: list[tuple[str | None, Record | RejectedRow]] = [
        (
            None,
            Record(
                case_id="",
                text=text,
                label="",
                group=None,
                date=None,
                subgroups={},
                source=f"{file}.csv:{number}",
                code=None,
            ),
        )
        for file, number, text in rows
    ]
    assert list(orders.watch(iter(records))) == records
    return orders


def test_dates_that_fit_one_order_only_decide_for_their_file_and_no_other() -> None:
    orders = seen(
        leeds="Seen 08/07/2021.|Seen 21/12/2022.",
        boston="Seen 08-07-21.|Seen 12-21-22 and 3.30.2020.",
        iso="Seen 2021-07-08, 8 July 2021 and July 8, 2021; BP 120/80 on 3 drugs.",
    )
    assert orders.decide(None) == {"leeds.csv": True, "boston.csv": False, "iso.csv": None}


@pytest.mark.parametrize(
    "text", ["Seen 08/07/2021.", "Seen 05.05.21.", "Well since 3/4.", "Seen 13/13/2021, 3/4/2021."]
)
def test_a_file_whose_dates_fit_both_orders_is_refused_with_its_row_and_the_way_out(text: str) -> None:
    orders = seen(ward="No dates.|" + text, iso="2021-07-08", other=text)
    with pytest.raises(
        InputError, match=r"ward\.csv: no date tells .* ward\.csv:3 \(and 1 more .*--day-first .* --month"
    ) as e:
        orders.decide(None)
    assert not any(part in str(e.value) for part in text.split()[1:]), "a date identifies somebody"
    assert orders.decide(True) == {"ward.csv": True, "iso.csv": None, "other.csv": True}


def test_a_file_whose_dates_disagree_is_refused_if_another_depends_on_it() -> None:
    orders = seen(both="Seen 21/12/2022.|Seen 12/21/2022.|Seen 08/07/2021.")
    with pytest.raises(InputError, match=r"the day comes first in both\.csv:2, the month in both\.csv:3"):
        orders.decide(None)
    assert orders.decide(False) == {"both.csv": False}
    assert seen(both="Seen 21/12/2022 and 12/21/2022.").decide(None) == {"both.csv": None}


def test_what_a_file_says_itself_counts_more_than_the_option() -> None:
    assert seen(leeds="21/12/2022 and 08/07/2021").decide(False) == {"leeds.csv": True}


def test_a_score_is_no_date_that_decides() -> None:
    assert seen(a="Pain went from 3/15 by 12/20. Seen 21/12/2022 and 08/07/2021.").decide(None) == {"a.csv": True}
