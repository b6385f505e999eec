"""Task adaptation of the 20-way convnet with learn2learn's MAML.clone and adapt (PyTorch).

First order, which is the least work: no graph is kept over the steps. learn2learn has plain
gradient descent only, no proximal step.
"""

import torch
import torch.nn.functional as F
from learn2learn.algorithms.maml import MAML
from torch import nn

from benchmarks.peers import adaptation_torch
from benchmarks.peers import adaptation_workload as workload

matmul = adaptation_torch.matmul


def build(num_tasks, num_steps, *, num_threads=1, channels_last=False):
    """Returns `step()`: adaptation of `num_tasks` tasks; the last one's parameters as numpy."""
    torch.set_num_threads(num_threads)
    images, labels = workload.sample_tasks(num_tasks)
    maml = _maml(workload.initial_params(), channels_last)
    data = [
        adaptation_torch._batches(*task, channels_last) for task in zip(images, labels, strict=True)
    ]

    def step():
        for task in range(num_tasks):
            learner = _adapted(maml, *data[task], num_steps)
        return [value.detach().numpy() for value in learner.parameters()]

    return step


def adapt(phi, images, labels, *, num_steps):
    """Adapted parameters from numpy to numpy, in the workload's order and layout."""
    batches = adaptation_torch._batches(images, labels, False)
    learner = _adapted(_maml(phi, False), *batches, num_steps)
    return [adaptation_torch._to_workload(v.detach()).numpy() for v in learner.parameters()]


def _adapted(maml, images, labels, num_steps):
    learner = maml.clone()
    for number in range(num_steps):
        batch = number % len(images)
        learner.adapt(F.cross_entropy(learner(images[batch]), labels[batch]))
    return learner


def _maml(phi, channels_last):
    layers, channels = [], 1
    for _ in range(workload.BLOCKS):
        layers += [
            nn.Conv2d(channels, workload.FILTERS, 3, padding=1),
            nn.BatchNorm2d(
                workload.FILTERS, eps=workload.BATCH_NORM_EPSILON, track_running_stats=False
            ),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = workload.FILTERS
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, workload.CLASSES))
    values = adaptation_torch._parameters(phi, channels_last)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.data = value.clone()
    return MAML(model, lr=workload.LEARNING_RATE, first_order=True)
