"""Frozen configuration of a classifier's training; every field is also a flag."""

import dataclasses

from pgan import config

WEIGHTS_RANDOM, WEIGHTS_IMAGENET = "random", "imagenet"
OPTIMIZERS = ("sgd", "adam")
LOSSES = ("bce", "focal")
CLASS_WEIGHTS = ("none", "balanced")
AUGMENTATIONS = ("rotation", "translation", "zoom", "contrast", "flip")
ATTACKS = ("none", "fgsm", "pgd")


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(config.Config):
    """How a DenseNet-121 is trained. The defaults are the paper's recipe <Methods>.

    Left out of the recipe as released: flips (they turn hearts to the other side), a new optimizer
    at every drop of the step size (which forgets its momentum), and thresholds fitted on test
    images.
    """

    resolution: int = config.option(
        224,
        "Image size in px, at least 32; if no power of two, images of the next larger one, which "
        "record sets have, are scaled down.",
    )
    weights: str = config.option(
        WEIGHTS_IMAGENET,
        "Initial weights: imagenet (Keras downloads them), random, or a Keras weight file of "
        "DenseNet-121 without its top.",
    )
    weights_sha256: str = config.option("", "Checksum that the weight file must have; '' for any.")
    optimizer: str = config.option("sgd", "Optimizer.", OPTIMIZERS)
    learning_rate: float = config.option(0.01, "Initial step size.")
    momentum: float = config.option(0.9, "Momentum of sgd.")
    weight_decay: float = config.option(
        1e-4, "Weight lambda of lambda / 2 times the squared weights in the loss."
    )
    batch_size: int = config.option(16, "Images per step over all devices.")
    max_epochs: int = config.option(100, "Passes over the training images at most.")
    patience: int = config.option(
        3, "Epochs without a better validation loss after which training ends."
    )
    drop: float = config.option(
        0.1, "Factor of the step size after an epoch without a better validation loss; 1: none."
    )
    loss: str = config.option(
        "bce", "bce, or focal (Lin et al. 2017) where positives are rare.", LOSSES
    )
    class_weights: str = config.option(
        "none", "balanced: positives and negatives of a finding weigh the same.", CLASS_WEIGHTS
    )
    augment: tuple[str, ...] = config.option(
        ("rotation", "translation", "zoom", "contrast"),
        "Random changes of training images, any of rotation (7 degrees), translation (5 %), zoom "
        "(10 %), contrast, flip (left-right; turns hearts to the other side).",
        AUGMENTATIONS,
    )
    attack: str = config.option(
        "none", "Adversarial training: images are changed by fgsm or pgd first.", ATTACKS
    )
    attack_epsilon: float = config.option(
        4.0, "Largest change of a pixel by the attack, in grey levels of 0 to 255."
    )
    attack_steps: int = config.option(5, "Steps of pgd.")
    precision: str = config.option("float32", "Computation type of the layers.", config.PRECISIONS)
    strategy: str = config.option(
        "one_device", "tf.distribute strategy.", config.STRATEGIES, resume=True
    )
    seed: int = config.option(1, "Seed of weights, order and augmentation.")

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        self._check_choices()
        if self.resolution < 32:
            raise ValueError(
                f"DenseNet-121 takes images of at least 32 px, got --resolution={self.resolution}"
            )
        for name in ("batch_size", "max_epochs", "patience", "attack_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "drop"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be above 0, got {getattr(self, name)}")
        for name in ("momentum", "weight_decay", "attack_epsilon"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must not be negative, got {getattr(self, name)}")


# Beside the paper's recipe, one that needs no schedule.
PRESETS = {
    "paper": {},
    "adam": {"optimizer": "adam", "learning_rate": 1e-4, "drop": 1.0, "weight_decay": 0.0},
}
