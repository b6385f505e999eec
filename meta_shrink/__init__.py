"""Modular meta-learning with shrinkage: learn which modules of a network are task-specific.

`import meta_shrink as ms` hands out the public names; each is imported when it is first used, so
that reading and checking adapters needs no TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from meta_shrink.adaptation import make_adapt as make_adapt
    from meta_shrink.adapters.reading import Adapter as Adapter
    from meta_shrink.adapters.reading import load_adapter as load_adapter
    from meta_shrink.adapters.recipe import ArraySpec as ArraySpec
    from meta_shrink.adapters.recipe import Recipe as Recipe
    from meta_shrink.backbones.litert.writing import save_litert as save_litert
    from meta_shrink.backbones.loaded import Backbone as Backbone
    from meta_shrink.backbones.source import ExportSource as ExportSource
    from meta_shrink.backbones.writing import save_backbone as save_backbone
    from meta_shrink.enrolment.adapt_tasks import adapt_tasks as adapt_tasks
    from meta_shrink.enrolment.one_task import AdaptOptions as AdaptOptions
    from meta_shrink.errors import AdapterError as AdapterError
    from meta_shrink.errors import ArtefactError as ArtefactError
    from meta_shrink.errors import DataError as DataError
    from meta_shrink.errors import DivergedError as DivergedError
    from meta_shrink.errors import MetaShrinkError as MetaShrinkError
    from meta_shrink.errors import Preempted as Preempted
    from meta_shrink.errors import UsageError as UsageError
    from meta_shrink.experiments.build import build as build
    from meta_shrink.experiments.components import Components as Components
    from meta_shrink.experiments.components import Loss as Loss
    from meta_shrink.experiments.components import default_components as default_components
    from meta_shrink.experiments.components import installed_components as installed_components
    from meta_shrink.experiments.defaults import default_config as default_config
    from meta_shrink.experiments.evaluate import evaluate as evaluate
    from meta_shrink.experiments.own_model import Fitted as Fitted
    from meta_shrink.experiments.own_model import fit as fit
    from meta_shrink.experiments.restore import restore as restore
    from meta_shrink.experiments.train import train as train
    from meta_shrink.linear_solve import damped_solve as damped_solve
    from meta_shrink.losses import MetricFacts as MetricFacts
    from meta_shrink.losses import cross_entropy as cross_entropy
    from meta_shrink.losses import gaussian as gaussian
    from meta_shrink.losses import mean_metric as mean_metric
    from meta_shrink.losses import negative_log_likelihood as negative_log_likelihood
    from meta_shrink.losses import squared_error as squared_error
    from meta_shrink.meta_gradients import Method as Method
    from meta_shrink.meta_gradients import fomaml as fomaml
    from meta_shrink.meta_gradients import hessian_of as hessian_of
    from meta_shrink.meta_gradients import imaml as imaml
    from meta_shrink.meta_gradients import maml as maml
    from meta_shrink.meta_gradients import reptile as reptile
    from meta_shrink.meta_gradients import sigma_reptile as sigma_reptile
    from meta_shrink.prior import Selection as Selection
    from meta_shrink.prior import freeze_others as freeze_others
    from meta_shrink.prior import task_specific as task_specific
    from meta_shrink.proximal import proximal_adam as proximal_adam
    from meta_shrink.proximal import proximal_gd as proximal_gd
    from meta_shrink.registry import ModuleRegistry as ModuleRegistry
    from meta_shrink.runs.workdir import open_workdir as open_workdir
    from meta_shrink.serving.bank import AdapterBank as AdapterBank
    from meta_shrink.tasks.arrays import Shares as Shares
    from meta_shrink.tasks.user_tasks import tasks_from_table as tasks_from_table
    from meta_shrink.types import MetaParams as MetaParams
    from meta_shrink.types import Pictures as Pictures
    from meta_shrink.types import Task as Task
    from meta_shrink.types import TaskOptimizer as TaskOptimizer
    from meta_shrink.types import TaskSource as TaskSource

# Module of the package -> the names that it gives, the same as above.
_PUBLIC = {
    "adaptation": "make_adapt",
    "adapters.reading": "Adapter load_adapter",
    "adapters.recipe": "ArraySpec Recipe",
    "backbones.litert.writing": "save_litert",
    "backbones.loaded": "Backbone",
    "backbones.source": "ExportSource",
    "backbones.writing": "save_backbone",
    "enrolment.adapt_tasks": "adapt_tasks",
    "enrolment.one_task": "AdaptOptions",
    "errors": "AdapterError ArtefactError DataError DivergedError MetaShrinkError Preempted "
    "UsageError",
    "experiments.build": "build",
    "experiments.components": "Components Loss default_components installed_components",
    "experiments.defaults": "default_config",
    "experiments.evaluate": "evaluate",
    "experiments.own_model": "Fitted fit",
    "experiments.restore": "restore",
    "experiments.train": "train",
    "linear_solve": "damped_solve",
    "losses": "MetricFacts cross_entropy gaussian mean_metric negative_log_likelihood "
    "squared_error",
    "meta_gradients": "Method fomaml hessian_of imaml maml reptile sigma_reptile",
    "prior": "Selection freeze_others task_specific",
    "proximal": "proximal_adam proximal_gd",
    "registry": "ModuleRegistry",
    "runs.workdir": "open_workdir",
    "serving.bank": "AdapterBank",
    "tasks.arrays": "Shares",
    "tasks.user_tasks": "tasks_from_table",
    "types": "MetaParams Pictures Task TaskOptimizer TaskSource",
}
_PLACES = {name: module for module, names in _PUBLIC.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """The public name, imported now."""
    if name not in _PLACES:
        raise AttributeError(f"meta_shrink has no {name!r}; dir(meta_shrink) lists what it has.")
    try:
        module = import_module(f"meta_shrink.{_PLACES[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tensorflow"):  # Says which one to install.
            import_module("meta_shrink._require_tensorflow")
        raise
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    """The public names."""
    return ["__version__", *sorted(_PLACES)]
