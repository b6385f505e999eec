"""Export a trained workdir for phones and boards: one LiteRT file that takes adapters as inputs.

  meta-shrink export-litert --workdir=runs/omniglot --out=device/omniglot --adapt --examples=5

Writes model.tflite, backbone.json, default.safetensors and a README with a complete example in
plain Python. Modules are selected as in export-backbone; with the same selection, adapters of the
one fit the other. --adapt adds adaptation on the device, of the selected modules only. --speak adds
the sampling of a network of voices, a frame at a time.
"""

from absl import flags

from meta_shrink.errors import UsageError
from meta_shrink.programs import cli
from meta_shrink.programs.selection import selected

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
QUANTISE = flags.DEFINE_enum(
    "quantise", "none", ["none", "float16", "int8"], "How weights are stored."
)
ADAPT = flags.DEFINE_bool("adapt", False, "Add the signature that adapts on the device.")
EXAMPLES = flags.DEFINE_integer("examples", 0, "Of --adapt: number of a task's examples.")
SPEAK = flags.DEFINE_bool("speak", False, "Add the signature that speaks, of voices.")


def main(argv):
    """Export; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.backbones.litert.writing import MODEL_FILE, save_litert
    from meta_shrink.experiments.export_source import source_from_workdir

    cli.no_arguments(argv)
    if ADAPT.value != bool(EXAMPLES.value):
        raise UsageError("--adapt and --examples go together: --adapt --examples=NUMBER.")
    source = source_from_workdir(WORKDIR.value, **selected()).source
    facts = save_litert(
        source,
        OUT.value,
        quantise=QUANTISE.value,
        examples=EXAMPLES.value,
        speak=SPEAK.value,
    )
    print(
        f"{OUT.value}/{MODEL_FILE}: {facts.num_bytes:,} bytes; differs from TensorFlow by at most "
        f"{facts.difference:.2g} on a fixed input, whose largest output is {facts.scale:.2g}."
    )
    held = cli.modules_in_words(source.selection.modules, source.registry.num_modules)
    print(f"Adapters hold {held}; see {OUT.value}/README.md.")
