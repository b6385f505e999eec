"""Which trainable variable belongs to which module (Section 3: M disjoint modules)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.types import Params
from meta_shrink.variable_paths import relative_path


@dataclass(frozen=True)
class ModuleRegistry:
    """A partition of a model's trainable variables into named modules, in network order.

    names: M module names, in the order in which the model's variables first meet them; where the
        model has an attribute `module_order` (names of layers), in that order. Keras's own order
        is by depth, which mixes the blocks of a network with branches.
    paths, shapes: path and shape of each of the V variables.
    index: module number of each variable, V numbers in [0, M).
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    index: tuple[int, ...]

    @classmethod
    def by_layer(cls, model: keras.Model) -> ModuleRegistry:
        """One module per layer: weights and bias together, a batch-norm layer is a module."""
        return cls._build(model, lambda path: path.rpartition("/")[0] or path)

    @classmethod
    def by_variable(cls, model: keras.Model) -> ModuleRegistry:
        """One module per variable (the paper's sinusoid network, App. E.3)."""
        return cls._build(model, lambda path: path)

    @classmethod
    def by_pattern(cls, model: keras.Model, patterns: Mapping[str, str]) -> ModuleRegistry:
        """One module per {name: regular expression}; every variable's path must match exactly one.

        Raises:
          UsageError: a variable matches no pattern or several, or a pattern matches nothing or is
            no regular expression.
        """
        compiled = {name: _compiled(name, pattern) for name, pattern in patterns.items()}
        registry = cls._build(model, lambda path: _only_match(path, compiled))
        unused = [name for name in patterns if name not in registry.names]
        if unused:
            raise UsageError(
                f"Module pattern(s) {', '.join(unused)} match no variable; "
                f"the variables are {', '.join(registry.paths)}."
            )
        return registry

    @classmethod
    def _build(cls, model: keras.Model, module_of: Callable[[str], str]) -> ModuleRegistry:
        variables = _trainable_variables(model)
        paths = [relative_path(model, variable) for variable in variables]
        _refuse_duplicates(paths)
        modules = [module_of(path) for path in paths]
        layers: Sequence[str] = getattr(model, "module_order", ())
        places = {layer: n for n, layer in enumerate(layers)}
        order = sorted(
            range(len(paths)), key=lambda v: places.get(paths[v].rpartition("/")[0], len(places))
        )
        numbers = {name: m for m, name in enumerate(dict.fromkeys(modules[v] for v in order))}
        return cls(
            names=tuple(numbers),
            paths=tuple(paths),
            shapes=tuple(tuple(variable.shape) for variable in variables),
            index=tuple(numbers[module] for module in modules),
        )

    @property
    def num_modules(self) -> int:
        """M."""
        return len(self.names)

    @property
    def variable_sizes(self) -> tuple[int, ...]:
        """Number of parameters of each variable, V numbers."""
        return tuple(tf.TensorShape(shape).num_elements() or 0 for shape in self.shapes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of parameters of each module (D_m), M numbers."""
        totals = [0] * self.num_modules
        for module, size in zip(self.index, self.variable_sizes, strict=True):
            totals[module] += size
        return tuple(totals)

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of all parameters that each module holds, M numbers that sum to 1."""
        total = sum(self.sizes)
        return tuple(size / total for size in self.sizes)

    def spread(self, values: tf.Tensor) -> list[tf.Tensor]:
        """[M] -> one scalar per variable: the value of the variable's module."""
        per_module = tf.unstack(values, num=self.num_modules)
        return [per_module[module] for module in self.index]

    def sum(self, per_variable: Params) -> tf.Tensor:
        """One tensor per variable -> [M]: the total over each module's parameters."""
        groups: list[list[tf.Tensor]] = [[] for _ in range(self.num_modules)]
        for tensor, module in zip(per_variable, self.index, strict=True):
            groups[module].append(tf.reduce_sum(tensor))
        return tf.stack([tf.add_n(group) for group in groups])

    def position(self, name: str) -> int:
        """Number of a module.

        Raises:
          UsageError: there is no module of that name.
        """
        if name not in self.names:
            raise UsageError(f"No module {name!r}; the modules are {', '.join(self.names)}.")
        return self.names.index(name)

    def parts(self, modules: Sequence[str]):
        """Functions of V values: those of these modules' variables, the others, and both joined.

        Raises:
          UsageError: an unknown module.
        """
        chosen = {self.position(name) for name in modules}
        own = [v for v, module in enumerate(self.index) if module in chosen]
        others = [v for v, module in enumerate(self.index) if module not in chosen]

        def pick(values: Sequence[Any]) -> list[Any]:
            return [values[v] for v in own]

        def rest(values: Sequence[Any]) -> list[Any]:
            return [values[v] for v in others]

        def whole(picked: Sequence[Any], left: Sequence[Any]) -> list[Any]:
            values = dict(zip([*own, *others], [*picked, *left], strict=True))
            return [values[v] for v in range(len(values))]

        return pick, rest, whole

    def check(self, params: Sequence[tf.Tensor]) -> None:
        """Check that a parameter list fits the registered variables.

        Raises:
          UsageError: the number of tensors or a shape differs.
        """
        got = [tuple(tensor.shape) for tensor in params]
        if got != list(self.shapes):
            raise UsageError(
                f"Parameters have shapes {got}, the registered variables {list(self.shapes)}; "
                "pass one tensor per trainable variable, in model.trainable_variables order."
            )


def _trainable_variables(model: keras.Model) -> list[keras.Variable]:
    if not getattr(model, "built", False):
        raise UsageError(
            f"Model {model.name!r} is not built; call model.build(input_shape) or the model on "
            "one batch before making a ModuleRegistry."
        )
    if not model.trainable_variables:
        raise UsageError(f"Model {model.name!r} has no trainable variables to adapt.")
    return model.trainable_variables


def _refuse_duplicates(paths: Sequence[str]) -> None:
    repeated = sorted(path for path, count in Counter(paths).items() if count > 1)
    if repeated:
        raise UsageError(
            f"Several variables share the path {', '.join(repeated)}; give the layers distinct "
            "names so that modules can be told apart."
        )


def _compiled(name: str, pattern: Any) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"Module pattern {name!r} is {pattern!r}, which is no regular expression: {error}."
        ) from error


def _only_match(path: str, patterns: Mapping[str, re.Pattern[str]]) -> str:
    matching = [name for name, pattern in patterns.items() if pattern.search(path)]
    if len(matching) != 1:
        what = f"modules {', '.join(matching)}" if matching else "no module"
        raise UsageError(
            f"Variable {path!r} matches {what}; each variable must match exactly one pattern."
        )
    return matching[0]
