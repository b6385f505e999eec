"""Every argument of the image configs gives a whole config, and every comparison set is sound."""

from __future__ import annotations

import importlib

import pytest

from configs import image_folder_few_shot, images, omniglot_alphabets, omniglot_few_shot
from launch.comparison.declared import read_set
from meta_shrink.errors import UsageError
from meta_shrink.experiments.config import check_learned, check_sections
from meta_shrink.meta_gradients import META_GRADIENTS

SETTINGS = {
    omniglot_few_shot: tuple(omniglot_few_shot.WAYS_SHOTS),
    image_folder_few_shot: ("mini_5w1s", "grocery84_5w5s"),
    omniglot_alphabets: ("large", "small_a5_k1", "small_a20_k15"),
}
SETS = ("omniglot_few_shot", "omniglot_large", "omniglot_small", "omniglot_small_scratch")
SETS += ("grocery84", "sinusoid")


@pytest.mark.parametrize("module", SETTINGS, ids=lambda module: module.__name__)
def test_every_argument_gives_a_whole_config(module):
    for setting in SETTINGS[module]:
        for algorithm in images.ALGORITHMS:
            for quick in ("", "quick_"):
                config = checked(module.get_config(f"{quick}{setting}_{algorithm}"))
                assert (config["warm_start"]["steps"] > 0) == bool(quick)


def checked(config) -> dict:
    """The config as a dictionary, with all sections and what its algorithm needs."""
    config = config.to_dict()
    check_sections(config)
    check_learned(META_GRADIENTS[config["algorithm"]["name"]], config)
    return config


@pytest.mark.parametrize("algorithm", images.ALGORITHMS)
def test_few_images_from_random_parameters(algorithm):
    config = checked(omniglot_alphabets.get_config(f"scratch_small_a5_k3_{algorithm}"))
    assert config["warm_start"]["steps"] == 0
    assert config["adapt"]["data"] == "train"
    for start in ("scratch_large", "scratch_quick_small_a5_k3", "quick_scratch_small_a5_k3"):
        with pytest.raises(UsageError, match="expected one of"):
            omniglot_alphabets.get_config(f"{start}_{algorithm}")


def test_an_unknown_argument_is_refused():
    with pytest.raises(UsageError, match="expected one of"):
        omniglot_few_shot.get_config("5w2s_maml")


@pytest.mark.parametrize("name", SETS)
def test_every_comparison_set_is_sound(name):
    module = importlib.import_module(f"configs.comparisons.{name}")
    assert read_set(module.get_config()).runs
