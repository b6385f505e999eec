"""One who reads checkpoints while a trainer replaces them, and what a kill leaves of a pruning."""

from __future__ import annotations

from pathlib import Path

import pytest

from meta_shrink import ArtefactError
from meta_shrink.runs import checkpoint_files, checkpoints
from tests.runs.test_checkpoints import DATA, HASHES, INDEX, Run, files_of, names, saved


@pytest.mark.parametrize("moment", range(4))
@pytest.mark.parametrize("replaced", [1, 3, 7])
def test_a_reader_follows_a_trainer_that_keeps_one(tmp_path, monkeypatch, moment, replaced):
    """The trainer saves between any two looks of the reader at the folder."""
    saved(tmp_path, 1)
    trainer, reader = Run(tmp_path, max_to_keep=1), Run(tmp_path, is_chief=False)
    assert trainer.restore() == 1
    steps, looks = iter(range(2, 2 + replaced)), iter(range(10_000))
    damage, read = checkpoint_files.damage, reader.checkpoints._read

    def save_one() -> None:
        if next(looks) % 4 == moment and (step := next(steps, None)) is not None:
            assert trainer.save(step)

    def damage_after_a_save(directory: str, step: int) -> str | None:
        save_one()
        found = damage(directory, step)
        save_one()
        return found

    def read_after_a_save(step: int) -> str | None:
        save_one()
        return read(step)

    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(reader.checkpoints, "_read", read_after_a_save)
    monkeypatch.setattr(checkpoints.files, "damage", damage_after_a_save)
    assert reader.restore() in range(1, 2 + replaced)
    assert reader.messages == []


def test_a_reader_of_broken_checkpoints_says_so(tmp_path, monkeypatch):
    saved(tmp_path, 1, 2)
    for step in (1, 2):
        (tmp_path / f"ckpt-{step}{INDEX}").write_bytes(b"")
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_LOOKS", 0.0)
    with pytest.raises(ArtefactError, match="no intact checkpoint"):
        Run(tmp_path, is_chief=False).restore()


def remove(folder: Path, step: int, *endings: str) -> None:
    for ending in endings:
        (folder / f"ckpt-{step}{ending}").unlink()


@pytest.mark.parametrize("gone", [[INDEX], [DATA], [INDEX, DATA], [HASHES], [HASHES, INDEX]])
@pytest.mark.parametrize("step", [5, 10])
def test_half_a_pruned_checkpoint_goes_when_the_run_starts_again(tmp_path, gone, step):
    saved(tmp_path, 5, 10, 15)
    remove(tmp_path, step, *gone)
    reader = Run(tmp_path, is_chief=False)
    assert reader.restore() == 15
    assert len(names(tmp_path)) == 10 - len(gone)  # A reader removes nothing.
    assert Run(tmp_path).restore() == 15
    assert names(tmp_path) == files_of(*{5, 10, 15} - {step})


def test_more_checkpoints_than_are_kept_go_when_the_run_starts_again(tmp_path):
    saved(tmp_path, 5, 10, 15)
    assert Run(tmp_path, max_to_keep=1).restore() == 15
    assert names(tmp_path) == files_of(15)


def test_a_damaged_newer_one_stays_until_the_next_save(tmp_path):
    saved(tmp_path, 5, 10)
    (tmp_path / f"ckpt-10{INDEX}").write_bytes(b"damaged")
    run = Run(tmp_path)
    assert run.restore() == 5
    assert names(tmp_path) == files_of(5, 10)
    assert run.save(10) and names(tmp_path) == files_of(5, 10)
