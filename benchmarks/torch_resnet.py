"""The peer's network and loss, in PyTorch."""

import torch
from torch import nn


class _Block(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(channels, filters, 3, stride)
        self.second = _convolution(filters, filters, 3, 1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != filters:
            self.shortcut = _convolution(channels, filters, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.second(torch.relu(self.first(x)))
        return torch.relu(inner + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet-18 with a 3x3 stem: images (N, 3, H, W) to features and logits."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, width, 3, 1), nn.ReLU()]
        channels = width
        for stage in range(4):
            filters = width * 2**stage
            for block in range(2):
                stride = 2 if stage and not block else 1
                layers.append(_Block(channels, filters, stride))
                channels = filters
        self.encoder = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.encoder(x).mean(dim=(2, 3))
        return features, self.classifier(features)


def _convolution(channels: int, filters: int, size: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, filters, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(filters),
    )


def plain_supcon(
    features: torch.Tensor, labels: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Khosla et al. 2020, equation 2, on one N x N matrix."""
    unit = nn.functional.normalize(features, dim=1)
    scaled = unit @ unit.T / temperature
    own = torch.eye(len(labels), dtype=torch.bool)
    same = (labels[:, None] == labels[None, :]) & ~own
    log_sums = scaled.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True)
    log_probabilities = torch.where(same, scaled - log_sums, 0)
    return -(log_probabilities.sum(dim=1) / same.sum(dim=1).clamp(min=1)).mean()
