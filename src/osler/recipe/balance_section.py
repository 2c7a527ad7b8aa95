"""``balance:`` of a recipe: groups of training rows that count alike, however few rows one of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osler.recipe.type_check import Problem

if TYPE_CHECKING:
    from osler.recipe.recipe import Recipe


@dataclass(frozen=True)
class BalanceSection:
    """Groups of training rows are made to count alike.

    Attributes:
        by: ``label``, or what a task's cases tell of themselves beside their text, such as ``sex``; rows that do not
            tell it count as before.
        method: ``reweight`` multiplies the loss of each row, ``sample`` draws each pass anew, with replacement, rows of
            small groups more often.
    """

    by: str
    method: Literal["reweight", "sample"]


def check_balance(recipe: Recipe, balance: BalanceSection) -> None:
    """Refuse ``balance:`` where it cannot do what it says. Which attributes cases have, only their data says."""
    if recipe.stage is not None:
        raise Problem("balance", "not with stage: pretrain: documents have neither labels nor subgroups; leave it out")
    if recipe.mixture is not None:
        raise Problem("balance", "not with mixture:, whose weights say how often what is learnt; leave one of them out")
    if recipe.preferences is not None:
        raise Problem("balance", "not with preferences:, which learns from pairs of answers; leave it out")
    if recipe.train.get("packing"):
        raise Problem("balance", "not with train.packing: true, where rows of several groups are one; leave that out")
    if balance.method == "reweight" and recipe.head is None and recipe.loss.name != "label_trie":
        text = "needs a loss of each row: head: classifier, head: reranker or loss.name: label_trie"
        raise Problem("balance.method", f"reweight {text}; with loss.name: {recipe.loss.name} write sample")
