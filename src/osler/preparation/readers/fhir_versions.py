"""Of all versions of a FHIR resource in a source, the newest one counts; a deletion is a version, too."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

KINDS = ("Patient", "Observation", "Condition")  # whose versions are kept


class Versions:
    """Versions of resources in a table of ``db``.

    The newest of a type and id is the one with the highest ``meta.versionId``, if those are numbers; else the last
    updated; else that which a history Bundle has first. All versions must say so: otherwise one that is deleted or
    entered in error counts, or else the last of the source. Without a version, Patients of one id are no versions of
    each other: they can be different people.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._in_history = 0
        db.execute(
            """CREATE TABLE version (source TEXT, full_url TEXT, kind TEXT, id TEXT, number INTEGER, updated REAL,
                place INTEGER, withdrawn INTEGER, content TEXT)"""
        )

    def add(self, source: str, resource: Mapping[str, Any], entry: Mapping[str, Any], in_history: bool = False) -> None:
        """Add a resource of one of ``KINDS``; ``entry`` is that of its Bundle, empty outside of one."""
        withdrawn = '"entered-in-error"' in json.dumps([resource.get("status"), resource.get("verificationStatus")])
        name = (resource["resourceType"], resource.get("id"))
        content = json.dumps(resource)
        if "\\ud" in content:  # SQLite refuses half of a character, and in a running query with a misleading error
            json.dumps(resource, ensure_ascii=False).encode()
        self._insert(source, name, resource.get("meta") or {}, entry, in_history, withdrawn, content)

    def add_deletion(self, source: str, entry: Mapping[str, Any], in_history: bool = False) -> bool:
        """Whether an entry of a Bundle, which has no resource, deletes one of ``KINDS``; if so, it is added."""
        request = entry.get("request") or {}
        url = re.search(rf"(?:^|/)({'|'.join(KINDS)})/([^/?#\s]+)", str(request.get("url")))
        if request.get("method") != "DELETE" or url is None:
            return False
        self._insert(source, (url[1], url[2]), {}, entry, in_history, True, None)
        return True

    def _insert(
        self,
        source: str,
        name: tuple[str, str | None],
        meta: Mapping[str, Any],
        entry: Mapping[str, Any],
        in_history: bool,
        withdrawn: bool,
        content: str | None,
    ) -> None:
        response = entry.get("response") or {}
        number = re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', str(meta.get("versionId") or response.get("etag")), re.ASCII)
        self._in_history += in_history
        self._db.execute(
            "INSERT INTO version VALUES (?, ?, ?, ?, ?, julianday(?), ?, ?, ?)",
            (
                source,
                entry.get("fullUrl"),
                *name,
                int(number[1]) if number else None,
                meta.get("lastUpdated") or response.get("lastModified"),
                -self._in_history if in_history else None,
                withdrawn,
                content,
            ),
        )

    def newest(self, notices: Counter[str]) -> Iterator[tuple[str, dict[str, Any], str | None]]:
        """Source, resource and fullUrl of what counts, in the order of the source; ``notices`` count the rest."""
        versions = self._db.execute(
            """
            WITH known AS (
                SELECT *, rowid AS nth, CASE WHEN id IS NULL THEN rowid END AS own,
                    count(number) OVER same = count(*) OVER same AS numbered,
                    count(updated) OVER same = count(*) OVER same AS dated,
                    count(place) OVER same = count(*) OVER same AS placed
                FROM version WINDOW same AS (PARTITION BY kind, id, CASE WHEN id IS NULL THEN rowid END)
            ), ranked AS (
                SELECT *, row_number() OVER newest AS rank, first_value(number) OVER newest AS newest_number,
                    first_value(content IS NULL) OVER newest AS deleted
                FROM known WINDOW newest AS (
                    PARTITION BY kind, id, own
                    ORDER BY CASE WHEN numbered THEN number END DESC, CASE WHEN dated THEN updated END DESC,
                        CASE WHEN placed THEN place END DESC, withdrawn DESC, nth DESC
                )
            )
            SELECT source, full_url, kind, content, deleted,
                rank > 1 AND (kind <> 'Patient' OR deleted OR placed OR (numbered AND number < newest_number))
            FROM ranked WHERE content NOT NULL ORDER BY nth
            """
        )
        for source, full_url, kind, content, deleted, older in versions:
            if deleted:
                notices[f"{kind}s that were deleted were set aside"] += 1
            elif older:
                notices[f"older versions of {kind}s were set aside"] += 1
            else:
                yield source, json.loads(content), full_url
