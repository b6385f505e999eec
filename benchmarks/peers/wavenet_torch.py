"""A WaveNet of the same sizes in plain PyTorch, adapted by Adam with a proximal step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

DILATIONS = [2**power for power in range(10)]


class WaveNet(nn.Module):
    """codes [N, T], features [N, C, F] -> logits [N, 256, T]."""

    def __init__(self, features: int, channels: int, cycles: int):
        super().__init__()
        self.dilations = DILATIONS * cycles

        def layers(inputs: int, outputs: int, count: int, width: int = 1, dilated: bool = False):
            return nn.ModuleList(
                nn.Conv1d(inputs, outputs, width, dilation=self.dilations[n] if dilated else 1)
                for n in range(count)
            )

        blocks = len(self.dilations)
        self.input = nn.Embedding(256, channels)
        self.input_bias = nn.Parameter(torch.zeros(channels))
        self.input_skip = nn.Conv1d(channels, channels, 1)
        self.dilated = layers(channels, 2 * channels, blocks, 2, dilated=True)
        self.condition = layers(features, 2 * channels, blocks)
        self.skip = layers(channels, channels, blocks)
        self.residual = layers(channels, channels, blocks - 1)
        self.output_1 = nn.Conv1d(channels, channels, 1)
        self.output_2 = nn.Conv1d(channels, 256, 1)

    def forward(self, codes: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Logits of the sample after each code."""
        path = self.input(codes).transpose(1, 2) + self.input_bias[:, None]
        total = self.input_skip(path)
        repeats = codes.shape[1] // features.shape[2]
        for block, dilation in enumerate(self.dilations):
            x = self.dilated[block](F.pad(path, (dilation, 0)))
            x = x + self.condition[block](features).repeat_interleave(repeats, dim=2)
            signal, gate = x.chunk(2, dim=1)
            z = torch.tanh(signal) * torch.sigmoid(gate)
            total = total + self.skip[block](z)
            if block < len(self.residual):
                path = path + self.residual[block](z)
        return self.output_2(torch.relu(self.output_1(torch.relu(total))))


def with_parameters(network: WaveNet, values: Mapping[str, np.ndarray]) -> WaveNet:
    """The network with parameters by the paths of ours."""

    def conv(layer: nn.Conv1d, name: str) -> None:
        kernel = np.atleast_3d(values[f"{name}/kernel"])
        # Ours: [in, out] or [past and now, in, out]; PyTorch's: [out, in, width].
        axes = (2, 1, 0) if values[f"{name}/kernel"].ndim == 3 else (1, 0, 2)
        layer.weight.copy_(torch.tensor(kernel.transpose(axes).copy()))
        if layer.bias is not None:
            layer.bias.copy_(torch.tensor(values[f"{name}/bias"]))

    with torch.no_grad():
        network.input.weight.copy_(torch.tensor(values["input/kernel"]))
        network.input_bias.copy_(torch.tensor(values["input/bias"]))
        for name in ("input_skip", "output_1", "output_2"):
            conv(getattr(network, name), name)
        for kind in ("dilated", "condition", "skip", "residual"):
            for block, layer in enumerate(getattr(network, kind)):
                conv(layer, f"block_{block:02}_{kind}")
    return network


@torch.inference_mode()
def speak(network: WaveNet, features: torch.Tensor, given: torch.Tensor, hop: int):
    """Cached sampling, one network for all rows: a ring of what each dilated layer heard.

    Args:
      features: [N, C, F]. given: codes [N, F hop] that are fed, -1 where one is drawn.

    Returns:
      codes [N, F hop] and the logits [N, F hop, 256] that each was drawn from, after code 128.
    """
    conditions = [layer(features) for layer in network.condition]
    rows, count = given.shape
    rings = [torch.zeros(d, rows, network.input_bias.numel()) for d in network.dilations]
    code, codes, found = torch.full([rows], 128), torch.empty_like(given), []
    for t in range(count):
        path = network.input.weight[code] + network.input_bias
        total = _pointwise(network.input_skip, path)
        for block, dilation in enumerate(network.dilations):
            layer, ring = network.dilated[block], rings[block]
            x = F.linear(torch.cat([ring[t % dilation], path], 1), layer.weight.mT.flatten(1))
            ring[t % dilation] = path
            signal, gate = (x + layer.bias + conditions[block][:, :, t // hop]).chunk(2, dim=1)
            z = torch.tanh(signal) * torch.sigmoid(gate)
            total = total + _pointwise(network.skip[block], z)
            if block < len(network.residual):
                path = path + _pointwise(network.residual[block], z)
        hidden = _pointwise(network.output_1, torch.relu(total))
        logits = _pointwise(network.output_2, torch.relu(hidden))
        drawn = torch.multinomial(torch.softmax(logits, 1), 1)[:, 0]
        code = codes[:, t] = torch.where(given[:, t] < 0, drawn, given[:, t])
        found.append(logits)
    return codes, torch.stack(found, 1)


def _pointwise(layer: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution of one instant: [N, C] -> [N, U]."""
    return F.linear(x, layer.weight[:, :, 0], layer.bias)


def adapt(network: WaveNet, codes, features, targets, weights, *, steps: int, sigma2: float):
    """Adam, each step followed by the proximal one towards the start, in the rate of that step."""
    phi = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        losses = F.cross_entropy(network(codes, features), targets, reduction="none")
        ((losses * weights).sum() / weights.sum()).backward()
        optimizer.step()
        with torch.no_grad():
            for value, start in zip(network.parameters(), phi, strict=True):
                value.lerp_(start, 1 - 1 / (1 + 5e-4 / sigma2))
    return network
