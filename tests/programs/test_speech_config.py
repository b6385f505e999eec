"""configs/speech.py: whole configs, and subsets of modules of the sizes that they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs import speech
from meta_shrink import ModuleRegistry, UsageError, build
from meta_shrink.experiments.config import check_learned
from meta_shrink.experiments.ranges import check_sections
from meta_shrink.meta_gradients import META_GRADIENTS
from meta_shrink.models import wavenet
from tests.speech.samples import prepared_folder, speaker


@pytest.mark.parametrize("method", speech.METHODS)
@pytest.mark.parametrize("size", ["", "quick_", "quick_pitched_"])
def test_every_argument_gives_a_whole_config(size, method):
    config = speech.get_config(size + method).to_dict()
    check_sections(config)
    check_learned(META_GRADIENTS[config["algorithm"]["name"]], config)
    window = config["task"]["crop_frames"] + config["task"]["context_frames"]
    assert (config["model"]["frames"], config["model"]["samples"]) == (window, 80 * window)
    assert config["model"].get("pitch_blocks", 0) == (10 if "pitched" in size else 0)
    # The context is what three cycles of dilations hear: 3 * 1023 + 1 samples.
    assert config["task"]["context_frames"] * 80 >= 3 * 1023 + 1


def tiny(folder: Path, argument: str = "quick_sigma_reptile", **model) -> dict:
    """A config for four training speakers and one held out, at a frame size of 80 samples."""
    speakers = [speaker(f"s{n}", [9, 9], "train" if n < 4 else "test") for n in range(5)]
    config = speech.get_config(argument)
    task = {"data_dir": prepared_folder(folder, speakers), "crop_frames": 6, "context_frames": 2}
    config.task.update(task)
    config.model.update({"frames": 8, "samples": 640, "channels": 2, "cycles": 1} | model)
    config.warm_start.steps = 0
    config.eval.num_tasks, config.eval.groups = 1, {}
    return config.to_dict()


def test_a_model_of_other_pieces_or_speakers_is_refused(tmp_path):
    """It would be trained, and its backbone take no recordings; or another speaker's embedding."""
    with pytest.raises(UsageError, match=r"80 samples a frame, .* set model\.samples=640\."):
        build(tiny(tmp_path, samples=960))
    with pytest.raises(UsageError, match=r"there are 4 training speakers .* set it to 5 or more"):
        build(tiny(tmp_path, "quick_sea", speakers=4))
    config = tiny(tmp_path)
    config["eval"]["num_tasks"] = 2
    with pytest.raises(UsageError, match="there are 1 test tasks; set it to 1 or less"):
        build(config)
    assert build(tiny(tmp_path, "quick_sea", speakers=5)).source.num_heldout == 1


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="expected one of"):
        speech.get_config("quick_none")


@pytest.mark.parametrize(("method", "modules"), [("sigma_reptile", 123), ("sea", 154)])
def test_groups_are_of_the_network(method, modules):
    config = speech.get_config(f"quick_{method}").to_dict()
    options = {key: value for key, value in config["model"].items() if key != "name"}
    names = ModuleRegistry.by_layer(wavenet(seed=0, **options)).names
    assert len(names) == modules
    groups = config["eval"]["groups"]
    assert {name for group in groups.values() for name in group} <= set(names)
    if method == "sea":
        assert groups == {"embedding": ["speaker"]}
        return
    sizes = sorted((len(group) for group in groups.values()), reverse=True)
    assert sizes == [12] * 7 + [1] * 30
    assert groups["first 12"] == list(names[:12]) and groups["last 12"] == list(names[-12:])
    draws = [tuple(group) for name, group in groups.items() if name.startswith("random")]
    assert len(set(draws)) == 5
