"""How large a study of tools/run_study.py is: numbers and flags, by the name of the size.

They were written down before any result of the study, but for the federation's step size: with the
default a pilot of 30 rounds had shown that it learns next to nothing. They are not to be tuned
until results look like the paper's.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """Numbers of a study; images by site are chosen so that quotas can be filled and audited.

    Attributes:
        resolution: px of generators and classifiers.
        drawn: px of the sites' pictures.
        images: Pictures of each site; an audit takes 40 of 20 patients to test on.
        local: Quotas of the folds of the hospital with few cases.
        gan: Flags of tools/train_pgan.py.
        classifiers: Flags of tools/run_experiment.py for all experiments.
        experiments: Flags of each experiment.
        more: Whether the study goes beyond the experiments; the following is for that.
        audit: Flags of tools/audit_privacy.py.
        deposit: Flags of tools/pool_generators.py --action=admit.
        shown: Flags of tools/visualize_findings.py.
        correlation: Flags of tools/correlate_findings.py.
        federation: Flags of tools/simulate_federated.py, for every arm.
        federation_seeds: Seeds of its arms.
        readers: Images of each kind and size that simulated readers judge.
    """

    resolution: int
    drawn: int
    images: dict[str, int]
    local: tuple[str, ...]
    gan: tuple[str, ...]
    classifiers: tuple[str, ...]
    experiments: dict[str, tuple[str, ...]]
    more: bool = True
    audit: tuple[str, ...] = ()
    deposit: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    correlation: tuple[str, ...] = ()
    federation: tuple[str, ...] = ()
    federation_seeds: str = "1"
    readers: int = 50


_GAN = ("--latent_size=128", "--fmap_base=1024", "--fmap_max=64", "--ema_decay=0.995")
_SETTINGS = ("--weights=random", "--preset=adam", "--patience=5", "--max_epochs=30")

# By tools/run_experiment.py --dry_run the test images of fig2 and adversarial show differences from
# an AUC of 0.75 of 0.04 and 0.08 (small), 0.04 and 0.07 (large).
SIZES = {
    "small": Size(
        resolution=32,
        drawn=64,
        images={"rsna": 4500, "nih": 14_000, "chexpert": 6000},
        local=(
            "test: 1000 of healthy:Pneumonia 2:3",
            "train: 950 healthy + 50 Pneumonia",
            "val: 190 healthy + 10 Pneumonia",
        ),
        gan=(
            *_GAN, "--batch_sizes=16", "--stage_kimg=4:5,8:5,16:10,32:50",
            "--fade_kimg=8:5,16:10,32:15", "--total_kimg=100", "--metric_every_kimg=10",
            "--tick_kimg=5",
        ),
        classifiers=_SETTINGS,
        experiments={
            "fig2": ("--test_images=1000", "--seeds=1,2,3,4,5"),
            "fig3": ("--images=1000", "--more_images=1000"),
            "real_only": ("--images=4000", "--seeds=1"),
            "oversampling": ("--finding=Effusion", "--images=500", "--rare=20"),
            "real_vs_synthetic": ("--finding=Cardiomegaly", "--images=250", "--rare=250"),
            "adversarial": (
                "--finding=Effusion", "--images=250", "--rare=250", "--test_images=300",
                "--attack_epsilon=4", "--attack_steps=5", "--seeds=1,2",
            ),
        },
        audit=("--nocontrol_generator",),
        federation=(
            "--resolution=32", "--fmap_base=256", "--fmap_max=16", "--rounds=100",
            "--num_clients=20", "--images_per_client=400", "--learning_rate=1e-3",
            "--metric_every_rounds=10", "--metric_images=500",
        ),
    ),
    # The experiments alone; ten hours by an estimate.
    "large": Size(
        resolution=64,
        drawn=128,
        images={"rsna": 4500, "nih": 20_300, "chexpert": 8000},
        local=(
            "test: 1000 of healthy:Pneumonia 2:3",
            "train: 950 healthy + 50 Pneumonia",
            "val: 190 healthy + 10 Pneumonia",
        ),
        gan=(
            *_GAN, "--batch_sizes=16", "--stage_kimg=4:5,8:5,16:10,32:20,64:40",
            "--fade_kimg=8:5,16:10,32:20,64:25", "--total_kimg=140", "--metric_every_kimg=10",
            "--tick_kimg=5",
        ),
        classifiers=_SETTINGS,
        experiments={
            "fig2": ("--test_images=1000", "--seeds=1,2,3,4,5"),
            "fig3": ("--images=2000", "--more_images=4000"),
            "oversampling": ("--finding=Hernia", "--images=1000", "--rare=20"),
            "adversarial": (
                "--finding=Effusion", "--images=500", "--rare=500", "--test_images=400",
                "--attack_epsilon=4", "--attack_steps=5",
            ),
            "real_vs_synthetic": ("--finding=Cardiomegaly", "--images=500", "--rare=500"),
        },
        more=False,
    ),
    # Only shows that everything runs.
    "tiny": Size(
        resolution=32,
        drawn=64,
        images={"rsna": 400, "nih": 900, "chexpert": 700},
        local=(
            "test: 40 of healthy:Pneumonia 2:3",
            "train: 28 healthy + 4 Pneumonia",
            "val: 8 healthy + 4 Pneumonia",
        ),
        gan=(
            "--latent_size=8", "--fmap_base=64", "--fmap_max=8", "--batch_sizes=16",
            "--initial_resolution=16", "--stage_kimg=1", "--fade_kimg=1", "--total_kimg=3",
        ),
        classifiers=(
            "--weights=random", "--preset=adam", "--max_epochs=1", "--batch_size=8",
            "--redraws=200", "--permutations=99",
        ),
        experiments={
            "fig2": ("--images=32", "--rare=4", "--test_images=40", "--seeds=1"),
            "fig3": ("--images=32", "--more_images=32", "--seeds=1"),
            "oversampling": ("--finding=Effusion", "--images=24", "--rare=6", "--seeds=1"),
            "adversarial": (
                "--finding=Effusion", "--images=16", "--rare=16", "--test_images=20",
                "--attack_steps=1", "--strengths=8", "--seeds=1",
            ),
            "real_vs_synthetic": (
                "--finding=Effusion", "--images=16", "--rare=16", "--seeds=1",
            ),
            "real_only": ("--images=64", "--seeds=1"),
        },
        audit=("--count=16", "--nocontrol_generator"),
        deposit=("--min_images=16", "--min_audit_images=16"),
        shown=("--findings=Cardiomegaly", "--frames=3", "--mean_count=8", "--phantoms=2"),
        correlation=("--images=8", "--dose_images=2"),
        federation=(
            "--resolution=32", "--fmap_base=64", "--fmap_max=4", "--latent_size=8", "--rounds=2",
            "--num_clients=4", "--images_per_client=32", "--generator_steps=2",
            "--critic_steps=1", "--batch_size=8", "--metric_every_rounds=1",
            "--metric_images=32", "--critic_images=32",
        ),
        readers=4,
    ),
}  # fmt: skip
