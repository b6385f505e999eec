"""libtpu's half: HLO compiled for a topology that is not there; what the compiler says of it.

    python -m benchmarks.tpu_proof.compile FILE TOPOLOGY REPLICAS EFFORT

EFFORT is XLA's, from -1 (compiles fastest) to 1; 0 is the usual one. Prints one line of JSON. In a
process of its own, as a crash of the compiler ends it. The functions of JAX that take a finished
module are not public: requirements/tpu.in pins the version.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib.mlir import ir
from jax.experimental import topologies
from jaxlib import _jax

COUNTED = {"all_reduces": "all-reduce(?:-start)?", "loops": "while"}


def main(arguments: list[str]) -> None:
    """Compile a module and print its figures; see the module's docstring."""
    path, topology, replicas, effort = arguments
    module = Path(path).read_bytes()
    compiled = compile_for(topology, int(replicas), module, effort=float(effort))
    memory, cost = compiled.get_compiled_memory_stats(), compiled.cost_analysis()
    text = compiled.hlo_modules()[0].to_string()
    figures = {
        "temporary": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "arguments": memory.argument_size_in_bytes,
        "flops": cost.get("flops"),
        "bytes": cost.get("bytes accessed"),
        "seconds": cost.get("optimal_seconds"),
    }
    for name, operation in COUNTED.items():
        figures[name] = len(re.findall(rf" {operation}\(", text))
    print(json.dumps(figures))


def compile_for(topology: str, replicas: int, module: bytes, *, effort: float):
    """The executable of a serialized HLO module on the first chips of a topology."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[
        :replicas
    ]
    with mlir.make_ir_context():
        parsed = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(module))
    options = _jax.CompileOptions()
    options.num_replicas, options.num_partitions = replicas, 1
    options.device_assignment = _jax.DeviceAssignment.create(
        np.array([[device.id] for device in devices])
    )
    options.executable_build_options.exec_time_optimization_effort = effort
    return devices[0].client.compile(
        parsed, executable_devices=_jax.DeviceList(tuple(devices)), compile_options=options
    )


if __name__ == "__main__":
    main(sys.argv[1:])
