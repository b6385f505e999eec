"""The tables that the names of a config are looked up in: ours, and those of users' own packages.

A config holds names only; what a name means comes from here. So a config.json can never import
code: whoever starts a program says which modules may add names (`--imports`), or has installed a
package that declares the entry point `meta_shrink.components`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import keras

from meta_shrink.errors import UsageError
from meta_shrink.losses import LOSSES, METRICS, ExampleLoss, MetricFacts
from meta_shrink.meta_gradients import META_GRADIENTS, Method
from meta_shrink.models import MODELS
from meta_shrink.proximal import TASK_OPTIMIZERS
from meta_shrink.tasks import TASKS
from meta_shrink.types import TaskOptimizer, TaskSource

ENTRY_POINTS = "meta_shrink.components"
ATTRIBUTE = "COMPONENTS"  # of a module of --imports
OWN = "own"  # The model and the tasks of meta_shrink.fit, which only the user's program has.


class Loss(NamedTuple):
    """A loss and the held-out metric that goes with it.

    factory: (**options of the section `loss`) -> (targets, outputs) -> one loss an example [N].
    metric: its name, whether lower is better, and how it comes from the loss.
    """

    factory: Callable[..., ExampleLoss]
    metric: MetricFacts


class Components(NamedTuple):
    """Name -> what a config may ask for by it. Leave out the tables that you add nothing to.

    models: (*, seed, **section model) -> a built keras.Model.
    tasks: (*, seed, **section task) -> TaskSource.
    losses: Loss.
    meta_gradients: Method, a factory (nll, registry, **section algorithm) -> MetaGradient and
        what it learns.
    task_optimizers: (**options of the section adapt) -> TaskOptimizer.
    imports: modules that they are from (installed_components); config.json records them.
    """

    models: Mapping[str, Callable[..., keras.Model]] = {}
    tasks: Mapping[str, Callable[..., TaskSource]] = {}
    losses: Mapping[str, Loss] = {}
    meta_gradients: Mapping[str, Method] = {}
    task_optimizers: Mapping[str, Callable[..., TaskOptimizer]] = {}
    imports: Sequence[str] = ()


def default_components() -> Components:
    """The tables of this package."""
    losses = {name: Loss(factory, METRICS[name]) for name, factory in LOSSES.items()}
    return Components(MODELS, TASKS, losses, META_GRADIENTS, TASK_OPTIMIZERS)


def installed_components(imports: Sequence[str] = ()) -> Components:
    """Our tables, those of installed packages' entry points, and those of the modules named.

    Args:
      imports: dotted names of modules with a value COMPONENTS; importing one executes it.

    Raises:
      UsageError: a module that cannot be imported or has no COMPONENTS, a name that two have.
    """
    found = {"meta_shrink": default_components()}
    for entry in entry_points(group=ENTRY_POINTS):
        found[f"the installed {entry.value}"] = _checked(entry.value, _loaded(entry.load, entry))
    for name in dict.fromkeys(imports):
        found[f"--imports={name}"] = _checked(name, _imported(name))
    *tables, _ = Components._fields
    return Components(
        *(_merged(found, table) for table in tables), imports=tuple(dict.fromkeys(imports))
    )


def recorded(config: Mapping[str, Any], components: Components, data: str) -> Mapping[str, Any]:
    """The config together with the modules that its components came from and a hash of its data.

    Raises:
      UsageError: the config is one that was recorded with other data.
    """
    if config.get("data", data) != data:
        raise UsageError(
            f"The data of task {config['task']['name']!r} are not those that this run was made "
            f"with ({_place(config['task'])}): what is held out now may have been trained on. Put "
            "the former data back, or train a new run on these; if you know them to be alike "
            '(resized by another version of Pillow), remove "data" from the run\'s config.json.'
        )
    own = {"imports": [*components.imports]} if components.imports else {}
    return {**config, **own, **({"data": data} if data else {})}


def name_of(config: Mapping[str, Any]) -> str:
    """What an experiment is called; that of its algorithm, where its config has no name."""
    return str(config.get("name", config["algorithm"]["name"]))


def _place(task: Mapping[str, Any]) -> str:
    return f"data_dir={task['data_dir']}" if "data_dir" in task else "its options"


def require_components(config: Mapping[str, Any], components: Components, workdir: str) -> None:
    """A run that was made with modules of the user's own is read with them.

    Raises:
      UsageError: one was not given; the sentence has the flags to add.
    """
    missing = [name for name in config.get("imports", ()) if name not in components.imports]
    if missing:
        flags = " ".join(f"--imports={name}" for name in missing)
        raise UsageError(f"{workdir} was made with {flags}; add it to this command.")
    if config["model"].get("name") == OWN and OWN not in components.models:
        raise UsageError(
            f"{workdir} was made by meta_shrink.fit from a model that only that Python program "
            "has. Call fit there again, with the same arguments: it returns the run, whose "
            "evaluate() and export() do what this program does."
        )


def _imported(name: str) -> Any:
    module = _loaded(lambda: importlib.import_module(name), f"--imports={name}")
    if not hasattr(module, ATTRIBUTE):
        raise UsageError(
            f"--imports={name}: the module has no {ATTRIBUTE}; give it one, for instance "
            f"{ATTRIBUTE} = meta_shrink.Components(models={{'mine': build_model}})."
        )
    return getattr(module, ATTRIBUTE)


def _loaded(load: Callable[[], Any], what: Any) -> Any:
    try:
        return load()
    except Exception as error:  # Whatever a module of somebody else's raises.
        raise UsageError(f"{what} cannot be imported: {type(error).__name__}: {error}.") from error


def _checked(name: str, value: Any) -> Components:
    if not isinstance(value, Components):
        raise UsageError(
            f"{name}: {ATTRIBUTE} is a {type(value).__name__}; expected meta_shrink.Components."
        )
    return value


def _merged(found: Mapping[str, Components], table: str) -> dict[str, Any]:
    merged, owner = {}, {}
    for origin, components in found.items():
        for name, component in getattr(components, table).items():
            if name in merged:
                raise UsageError(
                    f"{table} has {name!r} twice, by {owner[name]} and by {origin}; rename one."
                )
            merged[name], owner[name] = component, origin
    return merged
