"""Every argument of the image configs gives a whole config, and every comparison set is sound."""

from __future__ import annotations

import importlib

import pytest

from configs import (
    image_folder_few_shot,
    images,
    omniglot_alphabets,
    omniglot_few_shot,
    sinusoid,
)
from meta_shrink import UsageError
from meta_shrink.experiments.config import check_learned
from meta_shrink.experiments.ranges import check_sections
from meta_shrink.meta_gradients import META_GRADIENTS
from meta_shrink.programs.comparison.declared import read_set

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


# Of the paper's iMAML columns: argument, d of Eq. 47, lambda. quick_ takes d from its table.
IMAML_OF_TABLES = [
    (omniglot_alphabets, "large_imaml", 0.1, 1.3e-4),  # Table 4
    (omniglot_alphabets, "quick_large_imaml", 0.1, 1.3e-4),
    (omniglot_alphabets, "small_a15_k1_imaml", 0.5, 1e-3),  # Table 5
    (omniglot_alphabets, "quick_small_a15_k1_imaml", 0.5, 1e-3),
    (omniglot_few_shot, "5w1s_imaml", 1.0, 0.025),  # Table 8
    (omniglot_few_shot, "quick_5w1s_imaml", 1.0, 0.025),
    (image_folder_few_shot, "mini_5w1s_imaml", 0.065, 0.14),  # Table 9
    (image_folder_few_shot, "quick_grocery84_5w1s_imaml", 0.065, 0.14),
]


@pytest.mark.parametrize(("module", "argument", "damping", "lam"), IMAML_OF_TABLES)
def test_imaml_solves_equation_47_as_its_table_says(module, argument, damping, lam):
    assert effective(module.get_config(argument)) == pytest.approx((damping * lam, lam))


@pytest.mark.parametrize(
    ("module", "argument", "damping"),
    [
        (omniglot_alphabets, "large_sigma_reptile", 0.16),
        (omniglot_alphabets, "large_sigma_imaml", 0.09),
        (omniglot_alphabets, "small_a15_k1_sigma_reptile", 1e-3),
        (omniglot_alphabets, "small_a15_k1_sigma_imaml", 2e-3),
        (omniglot_few_shot, "5w1s_sigma_reptile", 6e-3),
        (omniglot_few_shot, "5w1s_sigma_imaml", 0.18),
        (image_folder_few_shot, "mini_5w1s_sigma_reptile", 1e-2),
        (image_folder_few_shot, "mini_5w1s_sigma_imaml", 2e-3),
    ],
)
def test_shrinkage_methods_solve_equation_48_as_their_tables_say(module, argument, damping):
    assert effective(module.get_config(argument)) == pytest.approx((damping, 1.0))


def test_searched_dampings_are_what_was_searched():
    scratch = omniglot_alphabets.get_config("scratch_small_a15_k1_imaml")
    assert effective(scratch) == pytest.approx((1.0, 1e-3))
    assert effective(sinusoid.get_config("imaml")) == pytest.approx((25.0, 1 / 0.038))


def effective(config) -> tuple[float, float]:
    """(d~ of Eq. 48, 1/sigma^2 at the start)."""
    options, precision = config.algorithm, 1 / config.prior.sigma2
    unit = {"nll": 1.0, "precision": precision}[options.get("damping_unit", "nll")]
    return options.damping * unit, precision
