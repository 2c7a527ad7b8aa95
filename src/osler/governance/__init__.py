"""What was decided about models, in a log that cannot be changed without showing it; and what licences allow."""

from osler.governance import licences
from osler.governance.ledger import LEDGER, Entry, Kind, Ledger, project_ledger
from osler.governance.sheets import render_entries, render_sheets

__all__ = ["LEDGER", "Entry", "Kind", "Ledger", "licences", "project_ledger", "render_entries", "render_sheets"]
