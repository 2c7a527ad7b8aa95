"""The loop: a trial, what its evaluations say, the next trial; until the minutes are over."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from osler.errors import FailedError, InputError
from osler.recipe import Recipe, SearchSection, judged_by, load_recipe, overlap
from osler.rendering import aligned
from osler.runs import LOCK, Run
from osler.search import winner
from osler.search.study import Study
from osler.search.study_file import StudiedTrial
from osler.search.training import Training
from osler.storage import SigtermNoted, check_folder

if TYPE_CHECKING:
    from optuna.trial import Trial

POLL = 0.2  # seconds
FAILURES = 3  # trials in a row that come to nothing, after which something else is wrong than their values
SHOWN = 10  # trials in the summary


def search(recipe: Recipe, folder: Path) -> None:
    """Try values of ``recipe.search.space`` in ``folder`` until ``search.minutes`` are over, those of earlier calls
    counted, and write the best as the next version of the recipe, with its study beside it.

    No case of another split than ``validation`` is answered or scored. A trial that was interrupted goes on from its
    last checkpoint.

    Raises:
        InputError: the recipe has no ``search:``, or the folder holds something else.
        FailedError: SIGTERM came, trials fail one after the other, or none came to its end.
    """
    section = recipe.search
    if section is None:
        raise InputError(f"{recipe.path}: search: missing; docs/how-to/search-settings.md shows one")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("scripts/search.py starts its trainings itself: start it with python, not accelerate launch")
    given = _overrides(recipe, section)
    check_folder(folder)
    path = folder / "study.db"
    if folder.is_dir() and not path.is_file() and any(there.name != LOCK for there in folder.iterdir()):
        raise InputError(f"{folder}: is not empty and holds no study.db; name another folder with --output")
    judged = judged_by(recipe, section)
    settled = {f"train.{key}": value for key, value in judged.items() if recipe.train.get(key) != value}
    fixed = [*given, *(f"{key}={json.dumps(value)}" for key, value in settled.items()), "search=null"]
    load_recipe(recipe.path, fixed)
    with Run(folder).locked("searching in"), SigtermNoted() as terminated:
        study = Study(path, recipe, section, judged["eval_steps"])
        _Search(recipe, section, folder, study, fixed, terminated).run()
        best = study.best
        if best is None:
            why = (
                f"came to its end within {section.minutes:g} minutes; with more search.minutes the same command goes on"
            )
            if study.exhausted:
                why = f"came to its end, of all there are; what each printed is in {folder / 'trials'}"
            raise FailedError(f"{folder}: no trial {why}")
        trials = study.trials()
        print("\n".join(_summary(trials, section)))
        if trials[0].values == study.own and trials[0].value is not None:
            print(f"the recipe's own values, trial 0: {section.metric} {trials[0].value:.4f}")
        print(winner.write(recipe, section, study, best, given, settled))


def _overrides(recipe: Recipe, section: SearchSection) -> list[str]:
    """The command's overrides of what is trained. Raises :class:`InputError` for those of a key that is searched."""
    given = []
    for override in recipe.overridden:
        name = override.partition("=")[0]
        if key := next((key for key in section.space if overlap(key, name)), None):
            raise InputError(
                f"{recipe.path}: {name} (override): {key} is searched; change search.space, or leave it out"
            )
        if not overlap(name, "search"):
            given.append(override)
    return given


@dataclass
class _Search:
    """``fixed``: the overrides that every trial has."""

    recipe: Recipe
    section: SearchSection
    folder: Path
    study: Study
    fixed: Sequence[str]
    terminated: SigtermNoted

    @property
    def budget(self) -> float:
        """In seconds."""
        return self.section.minutes * 60

    @property
    def spent(self) -> float:
        """Seconds of all trials so far, those of earlier calls counted."""
        return sum(trial.seconds for trial in self.study.trials())

    def run(self) -> None:
        """One trial after the other."""
        failures = 0
        with self._bar() as bar:
            while self.spent < self.budget and not self.study.exhausted and failures < FAILURES:
                trial = self.study.ask()
                self._try(trial, bar)
                done = self.study.trials()[trial.user_attrs["n"]]
                best = self.study.best
                with tqdm.external_write_mode():
                    minutes = f"{self.spent / 60:.1f} of {self.section.minutes:g} min"
                    print(f"{_line(done, best, self.section)}; {minutes}", flush=True)
                if self.terminated.asked:
                    raise FailedError(f"{self.folder}: stopped by SIGTERM; the same command goes on from there")
                self._tidy(best)
                if done.state == "unfinished":
                    break
                failures = failures + 1 if done.state == "failed" else 0
        if failures == FAILURES:
            raise FailedError(
                f"{self.folder}: {FAILURES} trials in a row came to nothing, the last because: {done.reason}; what"
                f" each printed is in {self.folder / 'trials'}"
            )

    @contextmanager
    def _bar(self) -> Iterator[tqdm[Any]]:
        form = "{desc}: {percentage:3.0f}% |{bar}| {postfix}"
        with tqdm(total=max(1, round(self.budget)), bar_format=form, disable=None, leave=False) as bar:
            yield bar

    def _try(self, trial: Trial, bar: tqdm[Any]) -> None:
        """Train with the values of ``trial``, and note what came of it; where the time is over, nothing is noted, and
        the trial comes first when the search goes on."""
        n, values = trial.user_attrs["n"], trial.user_attrs["values"]
        overrides = [*self.fixed, *(f"{key}={json.dumps(value)}" for key, value in values.items())]
        try:
            load_recipe(self.recipe.path, overrides)
        except InputError as error:  # values that are each allowed, and not together
            self.study.fail(trial, str(error).splitlines()[0])
            return
        others = self.spent - trial.user_attrs.get("seconds", 0.0)
        started = time.monotonic() - trial.user_attrs.get("seconds", 0.0)
        stopped = pruned = False
        reported: set[int] = set()
        bar.set_description(f"trial {n}", refresh=False)
        with Training(self.recipe.path, overrides, self.folder / "trials" / f"{n:03}") as training:
            ended = False
            while not ended:
                ended = training.wait(POLL)
                seconds = time.monotonic() - started
                if ended or seconds >= trial.user_attrs.get("seconds", 0.0) + 1:  # each time it goes to disk
                    trial.set_user_attr("seconds", round(seconds, 1))
                for step, value in training.evaluations(self.section.metric).items():
                    if step in reported or pruned:
                        continue
                    reported.add(step)
                    pruned = self.study.report(trial, step, value)
                    bar.set_postfix_str(f"step {step:,}: {self.section.metric} {value:.4f}", refresh=False)
                bar.n = min(round(others + seconds), bar.total)
                bar.refresh()
                if not stopped and (pruned or self.terminated.asked or others + seconds >= self.budget):
                    training.stop()
                    stopped = True
            failure = training.failure()
            if pruned:
                self.study.prune(trial)
            elif failure is None:
                selected = training.run.read_manifest().selected
                if selected is None or selected.step == 0:
                    self.study.fail(trial, "validation was never answered: train.eval_steps is more than its steps")
                else:
                    self.study.complete(trial, selected.step, selected.value)
            elif not stopped:
                self.study.fail(trial, failure)

    def _tidy(self, best: StudiedTrial | None) -> None:
        """Delete what weighs most of the trials that ended: checkpoints, and all adapters but the best."""
        for trial in self.study.trials():
            run = Run(self.folder / "trials" / f"{trial.trial:03}")
            if trial.state == "unfinished" or not run.folder.is_dir():
                continue
            shutil.rmtree(run.checkpoints_path, ignore_errors=True)
            if best is None or trial.trial != best.trial:
                shutil.rmtree(run.folder / "adapter", ignore_errors=True)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _shown(values: dict[str, Any]) -> str:
    return " ".join(f"{key}={_text(value)}" for key, value in values.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _outcome(trial: StudiedTrial, metric: str) -> str:
    last = list(trial.evaluations.items())[-1:]
    if trial.state == "complete":
        return f"{metric} {trial.value:.4f} at step {trial.step:,}"
    after = f" after step {int(last[0][0]):,}, {metric} {last[0][1]:.4f}" if last else ""
    return {
        "pruned": f"pruned{after}",
        "unfinished": f"unfinished{after}",
        "failed": f"failed: {trial.reason}",
    }[trial.state]


def _line(trial: StudiedTrial, best: StudiedTrial | None, section: SearchSection) -> str:
    so_far = f"; best {best.value:.4f} (trial {best.trial})" if best else ""
    return (
        f"trial {trial.trial}: {_shown(trial.values)}: {_outcome(trial, section.metric)}, {trial.seconds:.0f} s{so_far}"
    )


def _summary(trials: Sequence[StudiedTrial], section: SearchSection) -> list[str]:
    """A table of the best trials, and how many there were."""
    sign = 1 if section.metric == "log_loss" else -1
    done = sorted((t for t in trials if t.value is not None), key=lambda t: (sign * (t.value or 0), t.trial))
    rows = [["trial", f"{section.metric} on validation", "step", "seconds", *section.space]]
    for trial in done[:SHOWN]:
        values = [_text(trial.values[key]) for key in section.space]
        rows.append([str(trial.trial), f"{trial.value:.4f}", f"{trial.step:,}", f"{trial.seconds:.0f}", *values])
    counts = {state: sum(t.state == state for t in trials) for state in ("complete", "pruned", "failed", "unfinished")}
    seconds = sum(trial.seconds for trial in trials)
    told = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    return ["", *aligned(rows), f"{len(trials)} trials in {seconds / 60:.1f} minutes: {told}"]
