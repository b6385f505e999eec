"""Task sources: TASKS[name](*, seed, ...) -> TaskSource; a task's data lives on the device."""

from meta_shrink.tasks.alphabets import omniglot_alphabets
from meta_shrink.tasks.arrays import arrays
from meta_shrink.tasks.few_shot import image_folder_few_shot, omniglot_few_shot
from meta_shrink.tasks.gaussian import gaussian
from meta_shrink.tasks.prosody import prosody
from meta_shrink.tasks.sinusoid import sinusoid
from meta_shrink.tasks.speech import speech

TASKS = {
    "arrays": arrays,
    "gaussian": gaussian,
    "image_folder_few_shot": image_folder_few_shot,
    "omniglot_alphabets": omniglot_alphabets,
    "omniglot_few_shot": omniglot_few_shot,
    "prosody": prosody,
    "sinusoid": sinusoid,
    "speech": speech,
}

__all__ = [
    "TASKS",
    "arrays",
    "gaussian",
    "image_folder_few_shot",
    "omniglot_alphabets",
    "omniglot_few_shot",
    "prosody",
    "sinusoid",
    "speech",
]
