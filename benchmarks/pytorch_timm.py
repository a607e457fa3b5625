"""Method (b): the recipe of `benchmarks.keras_guide`, repaired, in plain PyTorch with timm's EfficientNet-Lite0.

`python -m benchmarks.pytorch_timm JOB RESULT`. Weights, preprocessing, batch, rates and epochs are those of (a′), and the
BatchNormalization layers are frozen as there. Images are resized by Pillow, as PyTorch's users do, which averages when it
shrinks; Keras takes the nearest four pixels.
"""

from __future__ import annotations

import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.job import Epoch, Job, Stopwatch, write_result
from models.backbones.efficientnet_lite import FEATURE_WIDTH, IMAGENET_WEIGHTS

try:
    import torchvision  # noqa: F401 - timm imports it
except RuntimeError:
    # PyPI's torchvision is made for CUDA and does not find its operators beside a PyTorch for the CPU alone. Nothing calls them
    # here: that they are declared is enough for the import.
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm

SIZE, BATCH, EPOCHS = 224, 32, 10
ROTATION = 0.1 * 2 * math.pi  # at most, either way: what Keras' RandomRotation(0.1) does


def main(job: Job, result: str) -> None:
    """Train with the guide's recipe: 10 epochs of the head, then 10 of everything."""
    watch = Stopwatch()
    torch.manual_seed(job.seed)
    backbone = pretrained_backbone().eval()  # for good: nothing in it but BatchNormalization minds the mode
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(FEATURE_WIDTH, len(job.class_names)))
    # The order of pixels that is the fastest on a CPU, by far.
    model = nn.Sequential(backbone, head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    train = DataLoader(_Images(job, "train", keep=True), BATCH, shuffle=True)
    validation = DataLoader(_Images(job, "validation", keep=True), BATCH)
    test = DataLoader(_Images(job, "test", keep=False), BATCH)

    epochs: list[Epoch] = []
    for phase, rate in (("head", 1e-3), ("fine_tune", 1e-5)):
        _set_trainable(backbone, phase == "fine_tune")
        optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], rate)
        for _ in range(EPOCHS):
            head.train()
            for images, labels in train:
                loss = functional.cross_entropy(model(_scaled(augment(images))), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            head.eval()
            accuracy = _accuracy(model, validation)
            seconds = watch.seconds()
            epochs.append(Epoch(phase, seconds, accuracy, watch.unclocked(_accuracy, model, test)))
            print(epochs[-1], flush=True)
    best = max(epochs, key=lambda epoch: epoch.validation)
    assert best.test is not None
    write_result(result, seconds=watch.seconds(), epochs=epochs, test=best.test)


def pretrained_backbone() -> nn.Module:
    """timm's EfficientNet-Lite0 with the weights that Graft has, from scaled pixels to pooled features.

    Raises:
        ValueError: a tensor of the file does not fit the network.
    """
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    wanted = backbone.state_dict()
    tensors = {name: tensor for name, tensor in _packaged_tensors().items() if not name.startswith("_fc.")}
    named = {}
    # timm has other names for the same tensors in the same order.
    for (name, place), (found, tensor) in zip(wanted.items(), tensors.items(), strict=True):
        if place.shape != tensor.shape or name.rpartition(".")[2] != found.rpartition(".")[2]:
            raise ValueError(f"{name} has shape {tuple(place.shape)}, but {found} has {tuple(tensor.shape)}")
        named[name] = tensor
    backbone.load_state_dict(named)
    return backbone


def _packaged_tensors() -> dict[str, torch.Tensor]:
    weights = IMAGENET_WEIGHTS["efficientnet_lite0"]
    package = find_spec(weights.module)
    assert package is not None and package.submodule_search_locations, weights.requirement
    return torch.load(Path(package.submodule_search_locations[0], weights.file), weights_only=True)


def _set_trainable(backbone: nn.Module, trainable: bool) -> None:
    for layer in backbone.modules():
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad = trainable and not isinstance(layer, nn.BatchNorm2d)


class _Images(Dataset[tuple[torch.Tensor, int]]):
    """Images, uint8 (3, 224, 224), and their labels: decoded once and kept in memory, or whenever one is asked for."""

    def __init__(self, job: Job, split: str, *, keep: bool) -> None:
        self.paths, self.labels = job.paths[split], job.labels[split]
        self.kept: list[torch.Tensor] = []
        if keep:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                self.kept = list(pool.map(_load, self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.kept[index] if self.kept else _load(self.paths[index]), self.labels[index]


def _load(path: str) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


def augment(images: torch.Tensor) -> torch.Tensor:
    """Mirror each image or not, and turn it about its centre, with reflections of itself in the corners.

    Args:
        images: uint8 (batch, 3, height, width).

    Returns:
        float32 (batch, 3, height, width), in [0, 255].
    """
    angles = torch.empty(len(images)).uniform_(-ROTATION, ROTATION)
    mirror = torch.where(torch.rand(len(images)) < 0.5, -1.0, 1.0)
    cosines, sines, zeros = angles.cos(), angles.sin(), torch.zeros(len(images))
    rows = [torch.stack([mirror * cosines, -mirror * sines, zeros], 1), torch.stack([sines, cosines, zeros], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def _scaled(images: torch.Tensor) -> torch.Tensor:
    return ((images - 127) / 128).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _accuracy(model: nn.Module, batches: DataLoader) -> float:
    right = total = 0
    for images, labels in batches:
        right += int((model(_scaled(images.float())).argmax(1) == labels).sum())
        total += len(labels)
    return right / total


if __name__ == "__main__":
    main(Job.read(sys.argv[1]), sys.argv[2])
