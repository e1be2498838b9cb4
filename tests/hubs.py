"""What timm, torchvision and transformers give to those who ask for weights, without a download.

Small networks of theirs with random weights, of the same kind. ReLUs are GELUs and maxima means, so
that rounding is all that differs between a gradient in float32 and one in float64.
"""

import torch
from frameworks import timm, torchvision, transformers
from torch import nn

NAMES = timm.data.ImageNetInfo().label_descriptions()
SIZE = 64
TIMM = {
    "resnet50": ("test_resnet", {}),
    "efficientnet_b0": ("test_efficientnet", {}),
    "vit_base_patch16_224": ("vit_tiny_patch16_224", {"depth": 2, "img_size": SIZE}),
}
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIZE,
    "id2label": dict(enumerate(NAMES)),
}


def give_networks(monkeypatch):
    """Have the libraries' own functions make small networks."""
    create = timm.create_model

    def create_small(name, pretrained=False, **options):
        small, own = TIMM[name]
        overlay = {"input_size": (options.get("in_chans", 3), SIZE, SIZE)}
        return prepare(lambda: create(small, pretrained_cfg_overlay=overlay, **own, **options))

    def create_resnet(weights):
        models = torchvision.models
        layers = models.resnet.Bottleneck, [1, 1, 1, 1]
        return prepare(lambda: models.ResNet(*layers, width_per_group=8))

    segment = torchvision.models.segmentation.lraspp_mobilenet_v3_large

    def create_segmentation(weights):
        return prepare(lambda: segment(weights=None, weights_backbone=None))

    def create_transformer(name):
        config = transformers.ViTConfig(**VIT)
        return prepare(lambda: transformers.ViTForImageClassification(config))

    def create_processor(name):
        return transformers.ViTImageProcessorPil(size={"height": SIZE, "width": SIZE})

    for place, name, give in (
        (timm, "create_model", create_small),
        (torchvision.models, "resnet50", create_resnet),
        (torchvision.models.segmentation, "lraspp_mobilenet_v3_large", create_segmentation),
        (transformers.AutoModelForImageClassification, "from_pretrained", create_transformer),
        (transformers.AutoImageProcessor, "from_pretrained", create_processor),
    ):
        monkeypatch.setattr(place, name, give)


def prepare(make):
    """Return a network that is as if it had been trained: no statistics of 0 and 1."""
    torch.manual_seed(0)
    network = make()
    for part in network.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.ReLU):
                setattr(part, name, nn.GELU())
            if isinstance(child, nn.MaxPool2d):
                setattr(part, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
    return network
