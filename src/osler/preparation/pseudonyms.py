"""What a row says besides its text, without naming a person: ids, groups, files, labels and subgroups.

Record numbers are identifiers, and so are names of files and what people write into a column of clinicians. With a
key, ids and groups are keyed hashes (the same key gives the same ones, so that no row changes its split) and files are
numbered. Labels and subgroups go through the recognizers of the texts: ages over 89 are grouped, and a row that names
somebody there is set aside, because of so few words a recognizer can miss some.
"""

from __future__ import annotations

import hmac
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from osler.preparation.deidentification.identifiers import Identifier
from osler.preparation.readers.record import Record, Rejected, excerpt
from osler.recipe import CorpusSource, read_task
from osler.storage import checkout, wheels

if TYPE_CHECKING:
    from osler.preparation.deidentification.deidentifier import Deidentifier

# Reasons quote ids and dates.
WITHHELD = "the reason is not kept with --deidentify: it may hold an identifier"
LABEL, SUBGROUP = "label", "subgroup "  # fields of the audit
LONG_NUMBER = re.compile(r"\d{5,}")  # names one of many, and no group of them


def pseudonym(name: str, key: str) -> str:
    """16 hex digits of HMAC-SHA256."""
    return hmac.new(key.encode(), name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:16]


@cache
def deidentifier(key: str) -> Deidentifier:
    """What finds identifiers and leaves the names of diseases alone, those of the task ``hpo`` among others.

    Loaded once; processes that are forked later share it.
    """
    from osler.preparation.deidentification import deidentifier as deidentification
    from osler.preparation.deidentification import protected_terms

    source = read_task(checkout.ROOT / "tasks" / "hpo").source
    assert isinstance(source, CorpusSource)
    files = wheels.fetch_many([source.ontology, source.annotations])
    return deidentification.Deidentifier(key, protected_terms.load(*files))


class Pseudonyms:
    """Rows as they are kept. ``key``: None where nothing is replaced."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._files: dict[str, int] = {}
        self._found: dict[tuple[str, str], list[Identifier]] = {}
        self._reasons: set[str] = set()

    def checked(self, row: Record) -> Record | Rejected:
        """``row``, or why it is set aside: its label or a subgroup identifies somebody."""
        for field, value in self._fields(row).items():
            kinds = sorted({identifier.type for identifier in self._identifiers(field, value)})
            if kinds and (kinds != ["AGE"] or field == LABEL):
                reason = f"the {field} identifies somebody ({', '.join(kinds)}): leave it out, or group its values"
                self._reasons.add(reason)
                return Rejected(row["source"], reason, excerpt(value))
        return row

    def rejected(self, row: Rejected) -> Rejected:
        """``row`` as it is kept."""
        if self._key is None:
            return row
        return Rejected(self._place(row.source), row.reason if row.reason in self._reasons else WITHHELD, "")

    def row(self, row: Record) -> dict[str, Any]:
        """A checked row as it is kept; ``identifiers`` are rows of the audit, of the ages over 89 among its subgroups.

        A row without an id of its own is called after its text, so that it has the same name when rows are added above.
        """
        unnamed = row["case_id"] == row["source"]
        case_id = (row["text"] or "") if unnamed else row["case_id"]
        if unnamed or self._key is not None:
            case_id = pseudonym(case_id, self._key or "")
        subgroups, audit = dict(row["subgroups"]), []
        for field, value in self._fields(row).items():
            for age in self._identifiers(field, value):
                subgroups[field.removeprefix(SUBGROUP)] = "90+"
                place = {"case_id": case_id, "field": field, "start": age.start, "end": age.end}
                audit.append({**place, "type": age.type, "rule": age.by})
        kept: dict[str, Any] = {"case_id": case_id, "identifiers": json.dumps(audit)}
        kept["subgroups"] = json.dumps(subgroups, ensure_ascii=False)
        if self._key is not None:
            kept["group"] = None if row["group"] is None else pseudonym(row["group"], self._key)
            kept["source"] = self._place(row["source"])
        return {**row, **kept}

    def _fields(self, row: Record) -> dict[str, str]:
        """What is searched."""
        if self._key is None:
            return {}
        subgroups = {f"{SUBGROUP}{name}": value for name, value in row["subgroups"].items()}
        return {LABEL: row["label"] or "", **subgroups}

    def _identifiers(self, field: str, value: str) -> list[Identifier]:
        """What identifies somebody in ``value``."""
        assert self._key is not None
        if (field, value) not in self._found:
            # What a column is called says what a number in it is: a record number, an age over 89.
            name = "diagnosis" if field == LABEL else field.removeprefix(SUBGROUP).replace("_", " ")
            before = len(name) + 2
            found = [i for i in deidentifier(self._key).find(f"{name.capitalize()}: {value}") if i.end > before]
            found = [Identifier(max(0, i.start - before), i.end - before, i.type, i.by) for i in found]
            if field != LABEL and not found and (number := LONG_NUMBER.search(value)):
                found = [Identifier(*number.span(), "RECORD", "long number")]
            self._found[field, value] = found
        return self._found[field, value]

    def _place(self, source: str) -> str:
        """``file-1:17`` for the 17th row of the file that was read first."""
        file, place = re.fullmatch(r"(.*?)((?::\d+)*)", source, re.DOTALL).groups()  # type: ignore[union-attr]
        return f"file-{self._files.setdefault(file, len(self._files) + 1)}{place}"
