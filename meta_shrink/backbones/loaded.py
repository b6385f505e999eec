"""A backbone that has been loaded: predictions and adaptation as functions of (inputs, adapter).

Nothing here is ever assigned: adapters are arguments, so that one request never sees half of
another one's adapter, and no function is traced again.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import (
    BackboneInfo,
    argument_name,
    read_backbone_info,
    version_directory,
    weights_sha256,
)
from meta_shrink.adapters.canonical_json import sha256 as sha256_of
from meta_shrink.adapters.checks import check_probe
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.probe import probe_inputs, probe_outputs
from meta_shrink.adapters.reading import Adapter, load_adapter, load_default
from meta_shrink.adapters.regular_file import read_regular_file
from meta_shrink.adapters.writing import encode_adapter, quantised
from meta_shrink.backbones.adapter_index import check_index, one_after_another
from meta_shrink.backbones.looked_up import looked_up
from meta_shrink.backbones.operations import check_operations
from meta_shrink.backbones.stacking import Stacks, lent
from meta_shrink.errors import ArtefactError, MetaShrinkError, UsageError
from meta_shrink.tasks.example_arrays import fitted_inputs
from meta_shrink.tasks.user_tasks import named_inputs

MAX_PROGRAM_BYTES = 2**31
Arrays = Mapping[str, np.ndarray]


class Backbone:
    """One exported network and the functions of its signatures; made by `Backbone.load`.

    info: what it says about itself. default: the adapter of phi itself. path: of its version.
    signatures: those of the SavedModel, by name. allow_operations: of `load`. Safe to use from
    many threads.
    """

    def __init__(self, path: str, info: BackboneInfo, default: Adapter, loaded: Any) -> None:
        self.path, self.info, self.default = path, info, default
        self._loaded = loaded  # Its variables live as long as it does.
        self.signatures: Mapping[str, Any] = loaded.signatures
        self.allow_operations: tuple[str, ...] = ()
        self._stacks = Stacks(info.tensors)

    @classmethod
    def load(
        cls, directory: str | os.PathLike[str], *, allow_operations: Collection[str] = ()
    ) -> Backbone:
        """Load the newest version in a folder, or the version in it.

        Args:
          allow_operations: TensorFlow operations that it may hold beside `operations.ALLOWED`.

        Raises:
          ArtefactError: it is none, is damaged, is not what its fingerprint says, or holds an
            operation that is not allowed.
        """
        path = version_directory(os.fspath(directory))  # Once: another version may come meanwhile.
        info = read_backbone_info(path)
        check_operations(path, allow_operations)
        _check_program(path, info)
        try:
            loaded = tf.saved_model.load(path)
            weights = weights_sha256([value.numpy() for value in [*loaded.phi, *loaded.state]])
        except Exception as error:  # Of a damaged program TensorFlow raises anything.
            raise _unloadable(path, error) from error
        if weights != info.weights_sha256:
            raise ArtefactError(
                f"The weights in {path} are not those of its backbone.json: restore the folder, or "
                "export it again."
            )
        default = load_default(path, info)
        try:
            backbone = cls(path, info, default, loaded)
            backbone.allow_operations = tuple(allow_operations)
            backbone.check(default)
        except MetaShrinkError:
            raise
        except Exception as error:  # Its signatures are not what its backbone.json says.
            raise _unloadable(path, error) from error
        return backbone

    def load_adapter(self, path: str, *, sha256: str | None = None) -> Adapter:
        """An adapter file with all its checks, the probe on this machine included.

        Args:
          sha256: refuse any other file.

        Raises:
          AdapterError: it must not be used.
        """
        adapter = load_adapter(path, self.info, sha256=sha256, default=self.default.tensors)
        self.check(adapter)
        return adapter

    def check(self, adapter: Adapter) -> None:
        """Compare what the adapter answers to the probe with what it says that it answers.

        Raises:
          AdapterError: they differ by more than the tolerance.
        """
        check_probe(adapter, self.info, self.probe(adapter.tensors))

    def seal(
        self,
        tensors: Arrays,
        task: TaskFacts,
        *,
        encoding: str = "f32",
        consent: str = "",
        licence: str = "",
    ) -> bytes:
        """The content of an adapter file for these tensors, its probe answered by this machine.

        Args:
          encoding: f32, f16, bf16 or int8_delta.

        Raises:
          UsageError: an unknown encoding.
          AdapterError: tensors that no adapter of this backbone may have.
        """
        default = self.default.tensors
        stored = quantised(tensors, self.info, encoding=encoding, default=default)
        return encode_adapter(
            tensors,
            self.info,
            encoding=encoding,
            task=task,
            probe=self.probe(stored),
            default=default,
            consent=consent,
            licence=licence,
        )

    def probe(self, tensors: Arrays) -> tuple[float, ...]:
        """The answer to the probe with these adapter tensors."""
        return probe_outputs(self.info, self.serve(probe_inputs(self.info), tensors))

    def predict(self, inputs: Any, adapter: Adapter | None = None) -> dict[str, np.ndarray]:
        """Outputs {name: [B, ...]} by one adapter (phi without one).

        Args:
          inputs: {name: [B, ...]}, a tuple in the order of the inputs, or one array.

        Raises:
          UsageError: not the inputs of this backbone. DataError: they do not fit.
        """
        return self.serve(self._named(inputs), (adapter or self.default).tensors)

    def _named(self, inputs: Any) -> Arrays:
        """The inputs of a caller by name, in the types of the backbone."""
        names = [spec.name for spec in self.info.inputs]
        given = named_inputs(inputs, names, "predict")
        if set(given) != set(names):
            raise UsageError(f"predict got inputs {', '.join(given)}; expected {', '.join(names)}.")
        return fitted_inputs(given, self.info.inputs, "predict")

    def predict_mixed(
        self, inputs: Any, adapters: Sequence[Adapter], index: Any
    ) -> dict[str, np.ndarray]:
        """Outputs of a batch of which each row has its own adapter.

        Where the network cannot run mixed (info.mixed), the rows of each adapter are served
        together, one adapter after another.

        Args:
          inputs: as of predict.
          adapters: A different ones.
          index: [B] the adapter of each row, numbers in [0, A).

        Raises:
          UsageError: not one whole number for each row, or one out of range.
        """
        inputs, index = self._named(inputs), np.asarray(index)
        check_index(index, len(next(iter(inputs.values()))), len(adapters))
        if not len(index):
            return self.serve(inputs, self.default.tensors)
        if not self.info.mixed:
            return one_after_another(self.serve, inputs, adapters, index)
        own = {name: lent(value) for name, value in self.stacked(adapters).items()}
        own["adapter_index"] = tf.constant(index, tf.int32)
        return self._call("serve_mixed", inputs, own)

    def stacked(self, adapters: Sequence[Adapter]) -> dict[str, np.ndarray]:
        """The tensors of A adapters as arguments [A, ...], in memory that the next call reuses."""
        return self._stacks(adapters)

    def serve(self, inputs: Arrays, tensors: Arrays) -> dict[str, np.ndarray]:
        """Outputs {name: [B, ...]} by adapter tensors that need not be of a file."""
        return self._call(
            "serve", inputs, {argument_name(name): value for name, value in tensors.items()}
        )

    def mask(self, inputs: Arrays, tensors: Arrays) -> np.ndarray:
        """Which steps of the output count, [B] or [B, T, ...], of a network that masks them."""
        own = {argument_name(name): value for name, value in tensors.items()}
        return self._call("mask", inputs, own)["mask"]

    def _call(
        self, signature: str, inputs: Arrays, others: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        arguments = {
            argument_name(spec.name): tf.constant(inputs[spec.name], spec.dtype)
            for spec in self.info.inputs
        }
        arguments |= {name: tf.convert_to_tensor(value) for name, value in others.items()}
        with looked_up("predict", UsageError):
            outputs = self.signatures[signature](**arguments)
        return {name: value.numpy() for name, value in outputs.items()}


def _check_program(path: str, info: BackboneInfo) -> None:
    """The graph is the exported one: a flipped bit in it need not be an error, it may compute."""
    file = os.path.join(path, "saved_model.pb")
    content = read_regular_file(file, MAX_PROGRAM_BYTES)
    if info.program_sha256 and sha256_of(content) != info.program_sha256:
        raise ArtefactError(
            f"{file} is not what was exported (its SHA-256 differs): restore the folder, or "
            "export it again."
        )


def _unloadable(path: str, error: Exception) -> ArtefactError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return ArtefactError(f"The SavedModel in {path} cannot be loaded ({reason}): export it again.")
