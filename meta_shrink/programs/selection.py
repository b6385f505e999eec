"""The flags by which every export selects the task-specific modules."""

from typing import Any

from absl import flags

from meta_shrink.programs.cli import IMPORTS

RULE = flags.DEFINE_enum(
    "rule",
    None,
    ["gap", "threshold", "relative", "top_k", "max_bytes"],
    "How modules are selected by sigma^2; by default as the run's config says.",
)
VALUE = flags.DEFINE_float("value", None, "Of --rule: a ratio, variance, share, number or bytes.")
MODULES = flags.DEFINE_list("modules", None, "The task-specific modules by name, without a rule.")


def selected() -> dict[str, Any]:
    """The keyword arguments of export_source.source_from_workdir, which checks them."""
    # Late, so that --help is quick.
    from meta_shrink.experiments.components import installed_components

    return {
        "rule": RULE.value,
        "value": VALUE.value,
        "modules": MODULES.value,
        "components": installed_components(IMPORTS.value),
    }
