"""Size against quality of voices: adapters of k modules adapted, spoken and scored.

  python -m benchmarks.voice_quality --workdir=runs/speech --work=runs/voice_quality \
    --recordings=RECORDINGS --share=0.25 --steps=200 --out=docs/results/speech

For each held-out speaker and each number of modules, those of the largest sigma^2: adapts on
--share of the training utterances by an exported backbone, as launch.enroll does; seals the adapter
in each encoding and loads it again; scores all validation pieces in bits per sample; and speaks
--sentences validation sentences by the features of their recordings. Those are heard by the
functions of launch.score_speech: our verifier, trained once on the training speakers; distillmos
where it is installed; and the alignment, where --recordings has the texts. Beside them: phi itself
(0 modules), the adapter of 12 modules of the next speaker, the real sentences, and other speakers'
means. A line of WORK/state.jsonl per voice: the same command goes on where it ended, and one that
has ended writes table and picture. Exported backbones, adapters and sound stay in WORK.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import voice_quality_measure as measure
from benchmarks.commit import present_commit
from benchmarks.voice_quality_measure import Hearing, Size, Voice
from benchmarks.voice_quality_output import ANOTHER, OTHERS, REAL, SELECTED, write
from meta_shrink.adapters.manifest import ENCODINGS, TaskFacts
from meta_shrink.adapters.reading import Adapter
from meta_shrink.enrolment.task_files import Examples
from meta_shrink.experiments.export_source import Exported, source_from_workdir
from meta_shrink.training.distribution import set_cpu_threads

Row = dict[str, Any]


def main() -> None:
    """Measure what is missing, then write."""
    given = arguments()
    set_cpu_threads(cpu_threads=1)
    os.makedirs(given.work, exist_ok=True)
    state = State(Path(given.work) / "state.jsonl", given)
    exported = source_from_workdir(given.workdir, rule="top_k", value=1)
    study(exported, given, state)
    if given.out:
        rows = [row for row in state.rows if row["share"] == given.share]
        write([row for row in rows if row["steps"] == given.steps], Path(given.out))


def arguments() -> argparse.Namespace:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", required=True, help="a run of configs/speech.py with sigma^2")
    parser.add_argument("--work", required=True, help="folder of what was measured and made")
    parser.add_argument("--recordings", default="", help="with their texts; else none is told")
    parser.add_argument("--verifier", default="", help="its file; by default in --work")
    parser.add_argument("--share", type=float, default=1.0, help="of the training utterances")
    parser.add_argument("--steps", type=int, default=200, help="of adaptation")
    parser.add_argument("--ks", type=numbers, default=[1, 3, 6, 12, 24], help="beside all modules")
    parser.add_argument("--encodings", type=known, default=["f32", "int8_delta"])
    parser.add_argument("--speakers", type=numbers, default=list(range(10)), help="their numbers")
    parser.add_argument("--sentences", type=int, default=2, help="spoken of each")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the draws")
    parser.add_argument("--out", default="", help="folder of table and picture; else none")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """Of a list with commas."""
    return [int(part) for part in text.split(",")]


def known(text: str) -> list[str]:
    """Encodings of a list with commas."""
    if unknown := set(text.split(",")) - set(ENCODINGS):
        raise argparse.ArgumentTypeError(f"{unknown.pop()!r} is none of {', '.join(ENCODINGS)}")
    return text.split(",")


class State:
    """The lines of what was measured, one per voice, with the settings that it was measured by."""

    def __init__(self, path: Path, given: argparse.Namespace) -> None:
        self._path = path
        self._settings = {"share": given.share, "steps": given.steps, "commit": present_commit()}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows: list[Row] = [json.loads(line) for line in lines]

    def has(self, speaker: str, modules: int | str, encoding: str = "") -> bool:
        """Whether it was measured by these settings, whatever the commit."""
        key = (speaker, modules, encoding, self._settings["share"], self._settings["steps"])
        names = ("speaker", "modules", "encoding", "share", "steps")
        return any(tuple(row[name] for name in names) == key for row in self.rows)

    def add(self, speaker: str, modules: int | str, encoding: str = "", **found: Any) -> None:
        """Append a line."""
        row = {"speaker": speaker, "modules": modules, "encoding": encoding, **self._settings}
        self.rows.append({**row, **found})
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")
        print(f"{speaker}, {modules} {encoding}: {found}", flush=True)


def study(exported: Exported, given: argparse.Namespace, state: State) -> None:
    """All that is missing, speaker by speaker."""
    experiment, work = exported.experiment, given.work
    found = measure.voices(experiment, given.speakers, given.sentences, given.recordings)
    corpus = experiment.config["task"]["data_dir"]
    verifier = given.verifier or os.path.join(work, "verifier.safetensors")
    hearing = Hearing(found, corpus, verifier, given.recordings)
    total = experiment.registry.num_modules
    counts = sorted({min(count, total) for count in given.ks} | {total})
    sizes = {
        count: Size(exported.source, count, os.path.join(work, "backbones")) for count in counts
    }
    heldouts: dict[str, Examples] = {}
    for voice, train, heldout in measure.tasks_of(experiment, given.share, found):
        heldouts[voice.name] = heldout
        if not state.has(voice.name, REAL):
            real = measure.real_sentences(voice)
            measure.keep(os.path.join(work, "sound", voice.name, REAL), real)
            state.add(voice.name, REAL, scores=hearing.scores(voice, real))
            if len(found) > 1:
                state.add(voice.name, OTHERS, scores=hearing.others(voice))
        speaking = Speaking(voice, heldout, hearing, given, state)
        if not state.has(voice.name, 0):
            phi = sizes[counts[0]]
            speaking(phi, phi.backbone.default, 0, "", {"bytes": 0})
        for size in sizes.values():
            speaking.sized(size, train)
    if SELECTED in sizes:
        swapped(sizes[SELECTED], found, heldouts, hearing, given, state)


class Speaking:
    """Speaks by the adapters of one voice, and adds what is heard to the state."""

    def __init__(
        self,
        voice: Voice,
        heldout: Examples,
        hearing: Hearing,
        given: argparse.Namespace,
        state: State,
    ) -> None:
        self._voice, self._heldout, self._hearing = voice, heldout, hearing
        self._given, self._state = given, state

    def sized(self, size: Size, train: Examples) -> None:
        """Adapt once, then every encoding that is missing."""
        voice, given = self._voice, self._given
        encodings = [e for e in given.encodings if not self._state.has(voice.name, size.count, e)]
        if not encodings:
            return
        tensors, seconds = measure.adapted(size, train, voice.number, given.steps)
        task = TaskFacts(f"voice_{voice.number}", train.count, given.steps, voice.number)
        for encoding in encodings:
            folder = adapter_folder(given, size.count, encoding, voice)
            adapter = measure.sealed(size, tensors, task, encoding, folder)
            about = {"bytes": adapter.num_bytes, "step_seconds": round(seconds, 4)}
            self(size, adapter, size.count, encoding, about)

    def __call__(
        self, size: Size, adapter: Adapter, modules: int | str, encoding: str, about: Row
    ) -> None:
        """Speak, hear, and tell."""
        voice, given = self._voice, self._given
        sounds = measure.said(size, adapter, voice, given.temperature)
        folder = os.path.join(given.work, "sound", voice.name, f"{modules}{encoding}")
        measure.keep(folder, sounds)
        bits = round(measure.bits(size, adapter, self._heldout), 5)
        scores = self._hearing.scores(voice, sounds)
        self._state.add(voice.name, modules, encoding, **about, bits=bits, scores=scores)


def adapter_folder(given: argparse.Namespace, count: int, encoding: str, voice: Voice) -> str:
    """Of the one adapter of a voice of some modules in an encoding."""
    what = f"share_{given.share:g}_steps_{given.steps}"
    return os.path.join(given.work, "adapters", what, f"{count}{encoding}", voice.name)


def swapped(
    size: Size,
    found: list[Voice],
    heldouts: Mapping[str, Examples],
    hearing: Hearing,
    given: argparse.Namespace,
    state: State,
) -> None:
    """Each voice's sentences by the adapter of the next one: what is not the adapter's doing."""
    for voice, adapter in followers(size, found, given):
        if not state.has(voice.name, ANOTHER):
            speaking = Speaking(voice, heldouts[voice.name], hearing, given, state)
            speaking(size, adapter, ANOTHER, "", {})


def followers(
    size: Size, found: list[Voice], given: argparse.Namespace
) -> Iterator[tuple[Voice, Adapter]]:
    """(voice, the adapter of the voice after it) wherever that was adapted."""
    for voice, after in zip(found, [*found[1:], found[0]], strict=True):
        folder = Path(adapter_folder(given, size.count, given.encodings[0], after))
        for path in sorted(folder.glob("*.safetensors"))[:1]:
            if after.name != voice.name:
                yield voice, size.backbone.load_adapter(str(path))


if __name__ == "__main__":
    main()
