"""The work that every row of `benchmarks.adaptation` does: the network and its mini-batches.

20-way Omniglot as in App. E.4: four blocks of [3x3 convolution (stride 1, same), batch norm by
batch statistics, ReLU, 2x2 max-pooling], 64 filters, and a linear layer. Parameters are a list of
18 arrays: kernel [3, 3, in, out], bias, gamma, beta of each block, then kernel [64, 20] and bias.
"""

import numpy as np

IMAGE_SIZE = 28
CLASSES = 20
FILTERS = 64
BLOCKS = 4
BATCH_NORM_EPSILON = 1e-3
BATCH_SIZE = 20
NUM_BATCHES = 100  # of a task; step t takes mini-batch t modulo their number
LEARNING_RATE = 0.1
SIGMA2 = 10.0


def initial_params(seed=0):
    """Starting point (phi) of all rows: Glorot uniform kernels, gammas near 1, small biases."""
    rng = np.random.default_rng(seed)
    params, channels = [], 1
    for _ in range(BLOCKS):
        params += [
            _glorot(rng, (3, 3, channels, FILTERS), 9 * (channels + FILTERS)),
            rng.normal(0, 0.1, FILTERS),
            rng.uniform(0.8, 1.2, FILTERS),
            rng.normal(0, 0.1, FILTERS),
        ]
        channels = FILTERS
    params += [_glorot(rng, (FILTERS, CLASSES), FILTERS + CLASSES), np.zeros(CLASSES)]
    return [array.astype(np.float32) for array in params]


def sample_tasks(num_tasks, num_batches=NUM_BATCHES, batch_size=BATCH_SIZE, seed=0):
    """Images [tasks, batches, images, 28, 28, 1] in 0..1 and labels [tasks, batches, images].

    Strokes of a class under noise: learnable, so that training neither stalls nor overflows.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.random((num_tasks, CLASSES, 7, 7)) > 0.6
    classes = coarse.repeat(4, axis=2).repeat(4, axis=3)[..., np.newaxis]
    labels = rng.integers(0, CLASSES, (num_tasks, num_batches, batch_size), dtype=np.int32)
    strokes = classes[np.arange(num_tasks)[:, np.newaxis, np.newaxis], labels]
    noise = rng.random(strokes.shape, dtype=np.float32)
    return 0.7 * strokes.astype(np.float32) + 0.3 * noise, labels


def step_flops(batch_size=BATCH_SIZE):
    """Floating-point operations of one adaptation step: convolutions and linear layer only.

    A multiply-add counts as two. Forward, gradient of the weights and gradient of the inputs cost
    the same; the first layer needs no gradient of its inputs. Batch norm, ReLU, pooling and the
    update (about 1 % of it) are not counted.
    """
    total, size, channels = 0, IMAGE_SIZE, 1
    for block in range(BLOCKS):
        forward = 2 * batch_size * size * size * 9 * channels * FILTERS
        total += forward * (3 if block else 2)
        size, channels = size // 2, FILTERS
    return total + 3 * 2 * batch_size * size * size * FILTERS * CLASSES


def _glorot(rng, shape, fans):
    limit = np.sqrt(6.0 / fans)
    return rng.uniform(-limit, limit, shape)
