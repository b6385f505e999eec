"""Task adaptation of the 20-way convnet in plain eager PyTorch: functional parameters, a loop."""

import contextlib

import torch
import torch.nn.functional as F

from benchmarks.peers import adaptation_workload as workload


def build(num_tasks, num_steps, *, num_threads=1, channels_last=False, bfloat16=False):
    """Returns `step()`: adaptation of `num_tasks` tasks; the last one's parameters as numpy."""
    torch.set_num_threads(num_threads)
    phi = workload.initial_params()
    images, labels = workload.sample_tasks(num_tasks)

    def step():
        for task in range(num_tasks):
            theta = run(*data[task], phi=start, num_steps=num_steps, bfloat16=bfloat16)
        return [value.numpy() for value in theta]

    start = _parameters(phi, channels_last)
    data = [_batches(*task, channels_last) for task in zip(images, labels, strict=True)]
    return step


def adapt(phi, images, labels, *, num_steps, channels_last=False, bfloat16=False, sigma2=None):
    """Adapted parameters from numpy to numpy, in the workload's order and layout.

    images [batches, N, 28, 28, 1], labels [batches, N].
    """
    batches = _batches(images, labels, channels_last)
    start = _parameters(phi, channels_last)
    theta = run(*batches, phi=start, num_steps=num_steps, bfloat16=bfloat16, sigma2=sigma2)
    return [_to_workload(value).numpy() for value in theta]


def run(images, labels, *, phi, num_steps, bfloat16=False, sigma2=None):
    """Proximal gradient descent (Alg. 2) from phi."""
    rate = workload.LEARNING_RATE
    shrink = 1.0 / (1.0 + rate / (sigma2 or workload.SIGMA2))
    theta = [value.clone().requires_grad_() for value in phi]
    for number in range(num_steps):
        batch = number % len(images)
        with _autocast(bfloat16):
            loss = F.cross_entropy(_forward(theta, images[batch]), labels[batch])
        gradient = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta = [
                torch.lerp(p, torch.sub(t, g, alpha=rate), shrink)
                for t, g, p in zip(theta, gradient, phi, strict=True)
            ]
        theta = [value.requires_grad_() for value in theta]
    return [value.detach() for value in theta]


def matmul(size, *, bfloat16=False):
    """A function that multiplies two [size, size] matrices."""
    matrix = torch.randn(size, size, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    return lambda: matrix @ matrix


def _forward(theta, x):
    for block in range(workload.BLOCKS):
        kernel, bias, gamma, beta = theta[4 * block : 4 * block + 4]
        x = F.conv2d(x, kernel, bias, padding=1)
        x = F.batch_norm(x, None, None, gamma, beta, training=True, eps=workload.BATCH_NORM_EPSILON)
        x = F.max_pool2d(F.relu(x), 2)
    return F.linear(x.flatten(1), theta[-2], theta[-1])


def _autocast(bfloat16):
    if not bfloat16:
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _parameters(phi, channels_last):
    """Of the workload's layout in PyTorch's: kernels [out, in, 3, 3], linear layer [20, 64]."""
    return [_from_workload(torch.from_numpy(array), channels_last) for array in phi]


def _from_workload(value, channels_last):
    if value.ndim == 4:
        kernel = value.permute(3, 2, 0, 1)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return kernel.contiguous(memory_format=layout)
    return value.T.contiguous() if value.ndim == 2 else value


def _to_workload(value):
    if value.ndim == 4:
        return value.permute(2, 3, 1, 0)
    return value.T if value.ndim == 2 else value


def _batches(images, labels, channels_last):
    """Mini-batches as lists of images [N, 1, 28, 28] and labels [N]."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    batches = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in images]
    batches = [x.contiguous(memory_format=layout) for x in batches]
    return batches, [torch.from_numpy(y).long() for y in labels]
