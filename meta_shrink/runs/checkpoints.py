"""Checkpoints that survive kills, power loss, full disks and bit rot: CheckpointManager, guarded.

TensorFlow writes, numbers and prunes. The guard adds what it lacks: the files are on the disk, with
their SHA-256, before the pointer moves; a damaged checkpoint or pointer falls back to the newest
intact checkpoint and never to a silent fresh start; a failed save does not end the run.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from meta_shrink.durable_files import real_directory
from meta_shrink.errors import ArtefactError, UsageError, unwritable
from meta_shrink.runs import checkpoint_files as files

MAX_FAILED_SAVES = 3
# Of one who reads while a trainer writes.
LOOKS, SECONDS_BETWEEN_LOOKS = 40, 0.05
_OP_NAMES = re.compile(r"\{\{.*?\}\} | \[Op:\w+\].*")


class Checkpoints:
    """The checkpoints of a run in one directory: `restore()` first, then `save(step)`.

    objects: what a checkpoint holds, by name; all their variables exist already.
    max_to_keep: checkpoints that remain after a save.
    is_chief: False for the other processes of a job and for programs that only read; they never
      write into the directory, which must be the chief's (shared) one. Their `save` takes part in
      the chief's save, by writing to a temporary directory that is removed.

    Raises:
      UsageError: the directory cannot be made or written, or max_to_keep is not positive.
    """

    def __init__(
        self,
        directory: str,
        objects: Mapping[str, Any],
        *,
        max_to_keep: int = 3,
        log: Callable[[str], object] = print,
        is_chief: bool = True,
    ) -> None:
        if max_to_keep < 1:
            raise UsageError(f"max_to_keep is {max_to_keep}: keep at least 1 checkpoint.")
        self._directory = os.path.abspath(directory)
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._max_to_keep, self._log, self._is_chief = max_to_keep, log, is_chief
        self._manager: Any = None
        self._broken: set[int] = set()
        self._newest: int | None = None  # Step of the checkpoint that was restored or saved last.
        self._failed_saves = 0
        if is_chief:
            try:
                real_directory(self._directory)
                files.remove_cut_off_saves(self._directory)
            except OSError as error:
                raise unwritable(directory, error) from error

    def restore(self) -> int | None:
        """Read the newest intact checkpoint into the objects: its step, None if none was ever made.

        Newer ones that are damaged are passed over with a message, and go at the next save.

        Raises:
          ArtefactError: there are checkpoints, but none is intact; or one is intact and does not
            fit the objects (another variable, name or shape). The objects may hold a mixture then.
        """
        step, damages = self._look_again()
        for number, damage in damages.items():
            self._log(f"Checkpoint ckpt-{number} in {self._directory} is not used: {damage}.")
        if step is not None:
            self._tell_about_pointer()
            self._broken, self._newest = set(damages), step
            if damages:
                self._log(f"Restored the older checkpoint ckpt-{step} instead.")
            if self._is_chief:  # What a kill within the pruning has left.
                self._prune_until(step)
            return step
        if damages or os.path.exists(self._path(files.POINTER)):
            raise ArtefactError(
                f"{self._directory} holds no intact checkpoint: {_listing(damages)}. Put an intact "
                "one back, or start afresh in another workdir."
            )
        return None

    def _newest_intact(self) -> tuple[int | None, dict[int, str]]:
        """The newest checkpoint that could be read, and what is wrong with each newer one."""
        damages: dict[int, str] = {}
        for step in files.known_steps(self._directory):
            damage = files.damage(self._directory, step) or self._read(step)
            if damage is None:
                return step, damages
            damages[step] = damage
        return None, damages

    def _look_again(self) -> tuple[int | None, dict[int, str]]:
        """A trainer beside one who reads may have replaced what it looked at."""
        step, damages, looked_at = None, {}, None
        for _ in range(LOOKS):
            names = files.names(self._directory)
            if names != looked_at:
                looked_at = names
                step, damages = self._newest_intact()
            if step is not None or self._is_chief:
                break
            if files.names(self._directory) == looked_at:
                time.sleep(SECONDS_BETWEEN_LOOKS)
        there = files.known_steps(self._directory)
        return step, {number: why for number, why in damages.items() if number in there}

    def save(self, step: int) -> bool:
        """Write the objects as the checkpoint of this step and drop the oldest; False if it failed.

        A failure (full disk, I/O error) leaves the older checkpoints as they are. The step that was
        restored or saved last is not written again: the state is a function of the step.

        Raises:
          ArtefactError: it failed 3 times in a row.
          UsageError: the step is older than the last one, or `restore` was not called on a
            directory that holds checkpoints.
        """
        self._refuse_wrong_order(step)
        if step == self._newest and files.damage(self._directory, step) is None:
            return True
        try:
            self._write(step) if self._is_chief else self._take_part_in_write()
        except (tf.errors.OpError, OSError, IndexError) as error:  # IndexError: TensorFlow's EFBIG.
            if not self._tidy_up(step):
                self._count_failure(step, error)
                return False
            self._log(f"ckpt-{step} is saved, but not all is tidy after it: {first_line(error)}.")
        self._newest, self._failed_saves = step, 0
        return True

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _read(self, step: int) -> str | None:
        """Read a checkpoint into the objects; what keeps it from being read, None when it was."""
        prefix = self._path(f"ckpt-{step}")
        try:
            status = self._checkpoint.read(prefix)
            status.assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise ArtefactError(
                f"The checkpoint {prefix} is intact but was made by another model, method or "
                f"version ({first_line(error)}). Use the config it was made with, or another "
                "workdir."
            ) from error
        except (tf.errors.OpError, OSError, IndexError) as error:
            return first_line(error)
        status.expect_partial()  # Silences TensorFlow: the save counter need not be restored.
        return None

    def _tell_about_pointer(self) -> None:
        found = files.steps_with_files(self._directory)
        if self._is_chief and files.pointed_steps(self._directory) != found:
            self._log(f"{self._path(files.POINTER)} is missing, damaged or stale; not needed.")

    def _refuse_wrong_order(self, step: int) -> None:
        if self._newest is not None and step < self._newest:
            raise UsageError(f"Step {step} cannot be saved after step {self._newest}.")
        if self._newest is None and files.known_steps(self._directory) and self._is_chief:
            raise UsageError(f"{self._directory} holds checkpoints: call restore() before save().")

    def _write(self, step: int) -> None:
        """Save through the manager, whose pointer moves only when the files are on the disk."""
        manager = self._manager_of(sorted(self._intact() - {step}))
        files.begin(self._directory, step)
        self._broken.discard(step)
        options = tf.train.CheckpointOptions(
            experimental_write_callbacks=[lambda _: files.commit(self._directory, step)]
        )
        manager.save(checkpoint_number=step, options=options)
        self._prune()

    def _intact(self) -> set[int]:
        return files.complete_steps(self._directory) - self._broken

    def _manager_of(self, steps: list[int]) -> Any:
        """A manager that knows just these checkpoints, whatever the pointer says."""
        prefixes = [self._path(f"ckpt-{step}") for step in steps]
        if self._manager is None or self._manager.checkpoints != prefixes:
            files.write_pointer(self._directory, steps)
            self._manager = tf.train.CheckpointManager(
                self._checkpoint, self._directory, self._max_to_keep
            )
        return self._manager

    def _take_part_in_write(self) -> None:
        """The share of a process that is not the chief; only the chief's files count."""
        try:
            with tempfile.TemporaryDirectory(prefix="meta_shrink_") as scratch:
                self._checkpoint.write(os.path.join(scratch, "ckpt"))
        except (tf.errors.OpError, OSError) as error:
            self._log(f"This process could not write its scratch checkpoint: {first_line(error)}.")

    def _prune(self) -> None:
        """Remove what is not one of the newest intact checkpoints."""
        self._prune_until(max(files.steps_with_files(self._directory), default=0))
        self._broken = set()

    def _prune_until(self, last: int) -> None:
        kept = sorted(step for step in self._intact() if step <= last)[-self._max_to_keep :]
        for step in files.steps_with_files(self._directory) - set(kept):
            if step <= last:
                files.remove(self._directory, step)

    def _tidy_up(self, step: int) -> bool:
        """After an error while saving: whether the checkpoint was complete by then."""
        try:
            files.remove_cut_off_saves(self._directory)
            if step in files.complete_steps(self._directory):
                self._prune()
        except OSError as error:
            self._log(f"{self._directory} cannot be tidied up: {error.strerror}.")
        return step in files.complete_steps(self._directory)

    def _count_failure(self, step: int, error: Exception) -> None:
        self._failed_saves += 1
        last_good = "none" if self._newest is None else f"ckpt-{self._newest}"
        message = (
            f"Checkpoint ckpt-{step} could not be saved in {self._directory} "
            f"({first_line(error)}); failure {self._failed_saves} of {MAX_FAILED_SAVES} in a row; "
            f"the last good one is {last_good}"
        )
        if self._failed_saves >= MAX_FAILED_SAVES:
            raise ArtefactError(f"{message}. Free some space and start again.") from error
        self._log(f"{message}.")


def first_line(error: Exception) -> str:
    """First line of an error message, without TensorFlow's names of operations."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return _OP_NAMES.sub("", text.strip().splitlines()[0])[:300].rstrip(" .")


def _listing(damages: Mapping[int, str]) -> str:
    texts = [f"ckpt-{step} ({damage})" for step, damage in damages.items()]
    return "; ".join(texts) or "only a pointer file"
