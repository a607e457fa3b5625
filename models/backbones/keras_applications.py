"""The networks of `keras.applications`, with the ImageNet weights that Keras downloads or a local copy of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.backbones.local_weights import load_local_weights
from models.backbones.spec import BackboneSpec
from models.errors import ModelError

if TYPE_CHECKING:  # the table below is read by `--help` and `list`, which must not import TensorFlow
    import keras


def build(application: str, image_size: int, weights: str | None) -> keras.Model:
    """Build a network of `keras.applications` without its classifier.

    Args:
        application: name of the class, such as "MobileNetV2".
        image_size: side of the square input, in pixels.
        weights: "imagenet" (Keras downloads them once), the path of a local weights file, or None for random weights.

    Returns:
        A model named "backbone", from *scaled* pixels (see `BackboneSpec.scaling`), float32
        (batch, image_size, image_size, 3), to the last feature map, float32 (batch, height, width, feature_width).

    Raises:
        ModelError: the weights cannot be downloaded, or are missing, damaged or of another network.

    Examples:
        >>> build("VGG16", image_size=64, weights=None).output_shape
        (None, 2, 2, 512)
        >>> build("VGG16", image_size=64, weights="vgg16.h5")
        Traceback (most recent call last):
        models.errors.ModelError: There is no weights file vgg16.h5: pass one whose name ends in .weights.h5, .h5, .keras.
    """
    import keras

    if weights == "imagenet":
        network = _with_downloaded_weights(application, image_size)
    else:
        network = _network(application, image_size, weights=None)
    # Renamed only here, because Keras makes the address of the download from the name.
    model = keras.Model(network.input, network.output, name="backbone")
    if weights not in ("imagenet", None):
        load_local_weights(model, weights)
        _mend_normalization(model)
    return model


def _network(application: str, image_size: int, weights: str | None) -> keras.Model:
    import keras

    make = getattr(keras.applications, application)
    return make(include_top=False, weights=weights, input_shape=(image_size, image_size, 3))


def _with_downloaded_weights(application: str, image_size: int) -> keras.Model:
    try:
        return _network(application, image_size, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if not _is_failed_download(error):
            raise
        reason = str(error).partition("\n")[0].rstrip(" .")
        raise ModelError(
            f"The ImageNet weights of {application} could not be downloaded ({reason}): connect to the network, pass a "
            "local file with --weights, or take --backbone efficientnet_lite0, whose weights come with pip."
        ) from error


def _is_failed_download(error: Exception) -> bool:
    texts = ("URL fetch failure", "Incomplete or corrupted file")
    return isinstance(error, OSError) or any(text in str(error) for text in texts)


_IMAGENET_STD = (0.229, 0.224, 0.225)


def _mend_normalization(model: keras.Model) -> None:
    """Make EfficientNet B0 to B7 divide by ImageNet's standard deviation when their weights come from a file.

    Keras' files hold the standard deviation where the layer expects the variance. Keras corrects this by a second Rescaling,
    but only in the network that it builds for weights="imagenet"
    (https://github.com/tensorflow/tensorflow/issues/49930). The other networks have no such weights.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, *others = layer.get_weights()
            if np.allclose(variance, _IMAGENET_STD, atol=1e-4):
                layer.set_weights([mean, np.square(variance), *others])
                layer.finalize_state()  # updates the copies of the weights that the layer computes with


# --- The table --------------------------------------------------------------------------------------------------------


class _Family(NamedTuple):
    """Properties that networks of one kind share; see `BackboneSpec` for their meaning."""

    scaling: str
    blocks: str
    origin: str
    licence: str
    paper: str
    min_image_size: int = 32


class _Row(NamedTuple):
    """Properties of one network: side of its native input in pixels, channels and weights without the head."""

    family: _Family
    application: str
    size: int
    width: int
    parameters: int

    def spec(self, name: str) -> BackboneSpec:
        shared: dict[str, Any] = self.family._asdict()
        return BackboneSpec(
            name=name,
            builder=partial(build, self.application),
            image_size=self.size,
            feature_width=self.width,
            parameters=self.parameters,
            weights=("imagenet",),
            weights_source=f"downloaded by Keras; {shared.pop('origin')}",
            **shared,
        )


# Licences: those named by Keras' documentation (keras.io/applications up to Keras 2.3); for later networks those of the
# repositories that the weights were ported from.

_VGG = _Family(
    scaling="caffe",
    blocks=r"^block\d",
    origin="from VGG, Oxford",
    licence="CC-BY-4.0",
    paper="https://arxiv.org/abs/1409.1556",
)
_RESNET = _Family(
    scaling="caffe",
    blocks=r"^conv\d_block\d+",
    origin="from Kaiming He",
    licence="MIT",
    paper="https://arxiv.org/abs/1512.03385",
)
_RESNET_V2 = _Family(
    scaling="tf",
    blocks=r"^conv\d_block\d+",
    origin="from Facebook (fb.resnet.torch)",
    licence="BSD-3-Clause",
    paper="https://arxiv.org/abs/1603.05027",
)
_DENSENET = _Family(
    scaling="torch",
    blocks=r"^conv\d_block\d+",
    origin="from the authors (liuzhuang13/DenseNet)",
    licence="BSD-3-Clause",
    paper="https://arxiv.org/abs/1608.06993",
)
# The layers of Inception's branches have automatic names. So a block starts at the layer that ends the block before it,
# and the last such layer does not match: its block would have no weights.
_INCEPTION_V3 = _Family(
    scaling="tf",
    blocks=r"^mixed\d$",
    origin="from Google (tensorflow/models)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/1512.00567",
    min_image_size=75,
)
_INCEPTION_RESNET_V2 = _Family(
    scaling="tf",
    blocks=r"^(?:mixed_\d[ab]|block\d+_\d+_ac)$",
    origin="from Google (tensorflow/models)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/1602.07261",
    min_image_size=75,
)
_XCEPTION = _Family(
    scaling="tf",
    blocks=r"^block\d+",
    origin="trained by Keras' author",
    licence="MIT",
    paper="https://arxiv.org/abs/1610.02357",
    min_image_size=71,
)
_MOBILENET = _Family(
    scaling="tf",
    blocks=r"(?<=^conv_[dp]w_)\d+",
    origin="from Google (tensorflow/models)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/1704.04861",
)
_MOBILENET_V2 = _Family(
    scaling="tf",
    blocks=r"^(?:expanded_conv|block_\d+)",
    origin="from Google (tensorflow/models)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/1801.04381",
)
_MOBILENET_V3 = _Family(
    scaling="none",
    blocks=r"^expanded_conv(?:_\d+)?",
    origin="from Google (tensorflow/models)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/1905.02244",
)
# The names of a cell's layers end in its identifier. Only its first convolutions match: the layers before them (padding
# and pooling, without weights) are among the layers of the cell before.
_NASNET = _Family(
    scaling="tf",
    blocks=r"(?:(?<=_conv_1_)|(?<=_projection_))(?:stem_|reduce_)?\d+$",
    origin="from Google (tensorflow/models)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/1707.07012",
)
_EFFICIENTNET = _Family(
    scaling="none",
    blocks=r"^block\d+[a-z]",
    origin="from Google (tensorflow/tpu)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/1905.11946",
)
_EFFICIENTNET_V2 = _Family(
    scaling="none",
    blocks=r"^block\d+[a-z]",
    origin="from Google (google/automl)",
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/2104.00298",
)
_CONVNEXT = _Family(
    scaling="none",
    blocks=r"stage_\d_block_\d+",
    origin="from Meta (facebookresearch/ConvNeXt)",
    licence="MIT",
    paper="https://arxiv.org/abs/2201.03545",
)
_CONVNEXT_21K = _CONVNEXT._replace(origin=f"{_CONVNEXT.origin}, trained on ImageNet-21k first")

_ROWS = {
    "convnext_tiny": _Row(_CONVNEXT, "ConvNeXtTiny", size=224, width=768, parameters=27_820_128),
    "convnext_small": _Row(_CONVNEXT, "ConvNeXtSmall", size=224, width=768, parameters=49_454_688),
    "convnext_base": _Row(_CONVNEXT_21K, "ConvNeXtBase", size=224, width=1024, parameters=87_566_464),
    "convnext_large": _Row(_CONVNEXT_21K, "ConvNeXtLarge", size=224, width=1536, parameters=196_230_336),
    "convnext_xlarge": _Row(_CONVNEXT_21K, "ConvNeXtXLarge", size=224, width=2048, parameters=348_147_968),
    "densenet121": _Row(_DENSENET, "DenseNet121", size=224, width=1024, parameters=7_037_504),
    "densenet169": _Row(_DENSENET, "DenseNet169", size=224, width=1664, parameters=12_642_880),
    "densenet201": _Row(_DENSENET, "DenseNet201", size=224, width=1920, parameters=18_321_984),
    "efficientnet_b0": _Row(_EFFICIENTNET, "EfficientNetB0", size=224, width=1280, parameters=4_049_571),
    "efficientnet_b1": _Row(_EFFICIENTNET, "EfficientNetB1", size=240, width=1280, parameters=6_575_239),
    "efficientnet_b2": _Row(_EFFICIENTNET, "EfficientNetB2", size=260, width=1408, parameters=7_768_569),
    "efficientnet_b3": _Row(_EFFICIENTNET, "EfficientNetB3", size=300, width=1536, parameters=10_783_535),
    "efficientnet_b4": _Row(_EFFICIENTNET, "EfficientNetB4", size=380, width=1792, parameters=17_673_823),
    "efficientnet_b5": _Row(_EFFICIENTNET, "EfficientNetB5", size=456, width=2048, parameters=28_513_527),
    "efficientnet_b6": _Row(_EFFICIENTNET, "EfficientNetB6", size=528, width=2304, parameters=40_960_143),
    "efficientnet_b7": _Row(_EFFICIENTNET, "EfficientNetB7", size=600, width=2560, parameters=64_097_687),
    "efficientnet_v2_b0": _Row(_EFFICIENTNET_V2, "EfficientNetV2B0", size=224, width=1280, parameters=5_919_312),
    "efficientnet_v2_b1": _Row(_EFFICIENTNET_V2, "EfficientNetV2B1", size=240, width=1280, parameters=6_931_124),
    "efficientnet_v2_b2": _Row(_EFFICIENTNET_V2, "EfficientNetV2B2", size=260, width=1408, parameters=8_769_374),
    "efficientnet_v2_b3": _Row(_EFFICIENTNET_V2, "EfficientNetV2B3", size=300, width=1536, parameters=12_930_622),
    "efficientnet_v2_s": _Row(_EFFICIENTNET_V2, "EfficientNetV2S", size=384, width=1280, parameters=20_331_360),
    "efficientnet_v2_m": _Row(_EFFICIENTNET_V2, "EfficientNetV2M", size=480, width=1280, parameters=53_150_388),
    "efficientnet_v2_l": _Row(_EFFICIENTNET_V2, "EfficientNetV2L", size=480, width=1280, parameters=117_746_848),
    "inception_resnet_v2": _Row(_INCEPTION_RESNET_V2, "InceptionResNetV2", size=299, width=1536, parameters=54_336_736),
    "inception_v3": _Row(_INCEPTION_V3, "InceptionV3", size=299, width=2048, parameters=21_802_784),
    "mobilenet": _Row(_MOBILENET, "MobileNet", size=224, width=1024, parameters=3_228_864),
    "mobilenet_v2": _Row(_MOBILENET_V2, "MobileNetV2", size=224, width=1280, parameters=2_257_984),
    "mobilenet_v3_small": _Row(_MOBILENET_V3, "MobileNetV3Small", size=224, width=576, parameters=939_120),
    "mobilenet_v3_large": _Row(_MOBILENET_V3, "MobileNetV3Large", size=224, width=960, parameters=2_996_352),
    "nasnet_mobile": _Row(_NASNET, "NASNetMobile", size=224, width=1056, parameters=4_269_716),
    "nasnet_large": _Row(_NASNET, "NASNetLarge", size=331, width=4032, parameters=84_916_818),
    "resnet50": _Row(_RESNET, "ResNet50", size=224, width=2048, parameters=23_587_712),
    "resnet101": _Row(_RESNET, "ResNet101", size=224, width=2048, parameters=42_658_176),
    "resnet152": _Row(_RESNET, "ResNet152", size=224, width=2048, parameters=58_370_944),
    "resnet50_v2": _Row(_RESNET_V2, "ResNet50V2", size=224, width=2048, parameters=23_564_800),
    "resnet101_v2": _Row(_RESNET_V2, "ResNet101V2", size=224, width=2048, parameters=42_626_560),
    "resnet152_v2": _Row(_RESNET_V2, "ResNet152V2", size=224, width=2048, parameters=58_331_648),
    "vgg16": _Row(_VGG, "VGG16", size=224, width=512, parameters=14_714_688),
    "vgg19": _Row(_VGG, "VGG19", size=224, width=512, parameters=20_024_384),
    "xception": _Row(_XCEPTION, "Xception", size=299, width=2048, parameters=20_861_480),
}

KERAS_APPLICATIONS: dict[str, BackboneSpec] = {name: row.spec(name) for name, row in _ROWS.items()}
