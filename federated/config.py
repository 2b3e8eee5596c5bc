"""Frozen configuration of federated training; every field is also a flag.

The defaults are the paper's text <Methods, "Federated averaging GAN">, and `PRESETS` has what the
released code did instead. Where the paper is silent they follow WGAN-GP (Gulrajani et al. 2017,
https://arxiv.org/abs/1704.00028), which it cites.
"""

import dataclasses
import math

from pgan import config

FEDERATED, CENTRALIZED, SINGLE = "federated", "centralized", "single"
ARMS = (FEDERATED, CENTRALIZED, SINGLE)
SIZES = ("equal", "random")
OPTIMIZERS = ("adam", "sgd")
MEMORIES = ("auto", "fresh", "kept")
AGGREGATIONS = ("weighted_mean", "mean", "median", "trimmed_mean")
SERVER_OPTIMIZERS = ("average", "adam")
IN_PROCESS, TFF = "in_process", "tff"
ENGINES = (IN_PROCESS, TFF)
FIXED, ADAPTIVE = CLIPPINGS = ("fixed", "adaptive")
PRECISIONS = ("float32", "mixed_bfloat16")  # float16 would need a scale of the loss
UPDATE_ATTACKS = ("sign_flip", "scale", "noise")
DATA_ATTACKS = ("label_flip", "garbage")
NO_ATTACK = "none"
ATTACKS = (NO_ATTACK, *UPDATE_ATTACKS, *DATA_ATTACKS)
WARN, REVERT = "warn", "revert"


@dataclasses.dataclass(frozen=True)
class FederatedConfig(config.Config):
    """Everything that decides the course of a federated training, beside the records."""

    network: config.NetworkConfig = dataclasses.field(
        default_factory=lambda: config.NetworkConfig(resolution=128)
    )
    arm: str = config.option(
        FEDERATED,
        "federated: all clients; centralized: their images in one place; single: the images of "
        "the first client only.",
        ARMS,
    )
    # Clients.
    num_clients: int = config.option(20, "Clients K.")
    images_per_client: int = config.option(
        1000, "Images of each client, their mean where sizes are random; 0: all there are."
    )
    client_sizes: str = config.option(
        "equal", "equal, or random: any sizes with the same sum are as likely.", SIZES
    )
    dirichlet: float = config.option(
        0.0, "Skew of the clients' labels: 100 is nearly alike, 1 skewed, 0.1 extreme; 0: alike."
    )
    client_split: str = config.option(
        "", "Split of tools/split_records.py whose folds are the clients, instead of a draw."
    )
    train_fold: str = config.option("train", "Fold of the records that clients are drawn from.")
    held_out_fold: str = config.option("val", "Fold to measure on that no client has; '': none.")
    client_share: float = config.option(
        0.1, "Share C of the clients that take part in a round, at least one."
    )
    rounds: int = config.option(300, "Rounds.", resume=True)
    seed: int = config.option(1888, "Seed of weights, clients, sampling, noise and order.")
    # Local training.
    generator_steps: int = config.option(10, "Generator iterations E of a client in a round.")
    critic_steps: int = config.option(5, "Critic steps before each generator step.")
    batch_size: int = config.option(32, "Images per step; small clients draw with replacement.")
    optimizer: str = config.option("adam", "Optimizer at the clients.", OPTIMIZERS)
    learning_rate: float = config.option(1e-4, "Its step size for both networks.")
    adam_beta1: float = config.option(0.0, "Adam's decay of the first moment.")
    adam_beta2: float = config.option(0.9, "Adam's decay of the second moment.")
    adam_epsilon: float = config.option(1e-8, "Adam's epsilon.")
    momentum: float = config.option(0.5, "Momentum of sgd.")
    optimizer_memory: str = config.option(
        "auto",
        "fresh: a client's optimizer starts anew each round; kept: it goes on, which only an arm "
        "with one training set can; auto: fresh if federated, else kept.",
        MEMORIES,
    )
    penalty_weight: float = config.option(10.0, "Weight lambda of the gradient penalty.")
    drift_weight: float = config.option(0.0, "Weight of the drift term; 0.001 in pgan's training.")
    label_weight: float = config.option(
        1.0, "Weight of the auxiliary classifier's losses; 0: none."
    )
    precision: str = config.option(
        "float32",
        "Computation type of the networks' layers; weights, optimizer and losses are float32.",
        PRECISIONS,
    )
    # Aggregation.
    aggregation: str = config.option(
        "weighted_mean",
        "weighted_mean (by images), mean, or what withstands some bad clients: median or "
        "trimmed_mean of every weight.",
        AGGREGATIONS,
    )
    trim_share: float = config.option(
        0.1, "Share of the clients that trimmed_mean leaves out at each end, rounded up."
    )
    clip_norm: float = config.option(0.0, "Longer updates are shortened to this norm; 0: never.")
    reject_norm: float = config.option(0.0, "Longer updates are rejected; 0: never.")
    server_optimizer: str = config.option(
        "average",
        "average: server_learning_rate times the mean update; adam: FedAdam (Reddi et al. 2021).",
        SERVER_OPTIMIZERS,
    )
    server_learning_rate: float = config.option(1.0, "Step size of the server; 1: plain averaging.")
    server_beta1: float = config.option(0.9, "FedAdam's decay of the first moment.")
    server_beta2: float = config.option(0.99, "FedAdam's decay of the second moment.")
    server_tau: float = config.option(1e-3, "FedAdam's degree of adaptivity tau.")
    engine: str = config.option(
        IN_PROCESS,
        "What runs the rounds: in_process, plain TensorFlow on its device; tff, TensorFlow "
        "Federated's runtime and aggregators, on the CPU. Results agree up to rounding. The worker "
        "of tff listens on all interfaces without a password: who reaches it runs what they like.",
        ENGINES,
    )
    secure_sum: bool = config.option(
        False, "With engine tff: sum by TFF's secure-sum protocol, as simulated; needs clip_norm."
    )
    # Privacy; federated/privacy.py says what is guaranteed, and what is not.
    dp_clip_norm: float = config.option(
        0.0,
        "Every image's gradient of the critic is shortened to this norm before noise is added "
        "(DP-SGD); 0: no such privacy.",
    )
    dp_noise_multiplier: float = config.option(
        1.0, "Noise on the sum of these gradients, in units of dp_clip_norm; 0: none."
    )
    dp_delta: float = config.option(
        1e-5, "Delta that epsilon is told for; should be well below 1 / images of a client."
    )
    dp_label_prior: str = config.option(
        "0.1",
        "Public shares of the findings, one for all or one for each, by which dp_clip_norm draws "
        "the generator's labels; not to be counted from the clients' labels.",
    )
    dp_test_seed: int = config.option(
        -1, "Seed of secret draws and noise, for tests: it makes them public; -1: a real secret."
    )
    client_dp_noise_multiplier: float = config.option(
        0.0,
        "With engine tff: noise on the sum of the clients' updates, in units of clip_norm; "
        "0: none.",
    )
    client_dp_clipping: str = config.option(
        FIXED,
        "fixed: updates are shortened to clip_norm; adaptive: to their median norm, as estimated "
        "with noise, from clip_norm on.",
        CLIPPINGS,
    )
    client_dp_delta: float = config.option(
        1e-3, "Delta that its epsilon is told for; should be well below 1 / clients."
    )
    # Attack and defence.
    attack: str = config.option(
        NO_ATTACK,
        "What some clients do to the others, see federated/attacks.py: sign_flip, scale or noise "
        "of their updates, label_flip or garbage in their images.",
        ATTACKS,
    )
    attackers: int = config.option(1, "Clients that attack, the first ones.")
    attack_scale: float = config.option(
        1.0, "Factor of sign_flip, scale and noise beside an honest update."
    )
    leave_out: str = config.option(
        "", "List of tools/screen_examples.py, whose records no client trains on; '': none."
    )
    check_images: int = config.option(
        64, "Images by which the generator is checked after every round; 0: never.", resume=True
    )
    check_distance_factor: float = config.option(
        2.0,
        "A measured distance this many times the best so far is an alarm, too; 0: never.",
        resume=True,
    )
    on_alarm: str = config.option(
        WARN,
        "warn: say so in the log; revert: also go back to the weights before the round, or to the "
        "best ones if the distance is what is wrong.",
        (WARN, REVERT),
    )
    # What is watched.
    metric_every_rounds: int = config.option(
        10,
        "Rounds between two distances and checks for the best checkpoint; 0: never, nor the "
        "critic's loss on held-out images, which is measured every round.",
        resume=True,
    )
    grid_every_rounds: int = config.option(
        1,
        "Rounds between grids of synthetic images, for a person to look at, about a megabyte each "
        "at 128 px; 0: only with an alarm.",
        resume=True,
    )
    metric_images: int = config.option(
        2000, "Images of each set in a Frechet distance, at most; 0: no distances.", resume=True
    )
    metric_features: str = config.option(
        "fixed",
        "Network of these distances: fixed, inception:FILE, keras_inception[:FILE] or "
        "saved_model:FOLDER.",
        resume=True,
    )
    critic_images: int = config.option(
        512, "Images per fold for the critic's loss on them, at most.", resume=True
    )
    grid_columns: int = config.option(8, "Columns of the image grids.", resume=True)
    keep_checkpoints: int = config.option(3, "Checkpoints kept.", resume=True)

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        self._check_choices()
        for name in (
            "num_clients", "rounds", "generator_steps", "critic_steps", "batch_size",
            "critic_images", "grid_columns", "keep_checkpoints",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "adam_epsilon", "server_learning_rate", "server_tau"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"--{name} must be above 0, got {getattr(self, name)}")
        for name in (
            "images_per_client", "dirichlet", "penalty_weight", "drift_weight", "label_weight",
            "clip_norm", "reject_norm", "metric_every_rounds", "grid_every_rounds", "metric_images",
            "dp_clip_norm", "dp_noise_multiplier", "client_dp_noise_multiplier", "attack_scale",
            "check_images", "check_distance_factor",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"--{name} must not be negative, got {getattr(self, name)}")
        for name in ("adam_beta1", "adam_beta2", "momentum", "server_beta1", "server_beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"--{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 < self.client_share <= 1:
            raise ValueError(f"--client_share must be in (0, 1], got {self.client_share}")
        if not 0 <= self.trim_share < 0.5:
            raise ValueError(f"--trim_share must be in [0, 0.5), got {self.trim_share}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed must be from 0 to 2^31 - 1, got {self.seed}")
        if self.batch_size % min(self.network.stddev_group, self.batch_size):
            raise ValueError(
                f"--batch_size={self.batch_size} is no multiple of "
                f"--stddev_group={self.network.stddev_group}"
            )
        if self.arm == FEDERATED and self.optimizer_memory == "kept":
            raise ValueError(
                "--optimizer_memory=kept needs one training set; a federation's clients start "
                "every round anew. Use fresh, or --arm=centralized or single"
            )

        self._check_engine()
        self._check_privacy()
        self._check_attack()

    def _check_engine(self):
        if self.engine == TFF and self.aggregation in ("median", "trimmed_mean"):
            raise ValueError(
                f"--aggregation={self.aggregation} is not among TFF's aggregators; give "
                "--engine=in_process"
            )
        if self.engine == TFF and self.keeps_optimizer:
            raise ValueError(
                "--engine=tff starts optimizers anew every round; give --optimizer_memory=fresh"
            )
        if self.secure_sum and not (self.engine == TFF and self.clip_norm):
            raise ValueError(
                "--secure_sum needs --engine=tff, and --clip_norm as the range that it sums in"
            )

    def _check_privacy(self):
        for name in ("dp_delta", "client_dp_delta"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"--{name} must be in (0, 1), got {getattr(self, name)}")
        if not -1 <= self.dp_test_seed < 2**31:
            raise ValueError(f"--dp_test_seed must be from -1 to 2^31 - 1, got {self.dp_test_seed}")
        if self.dp_clip_norm and self.network.stddev_group != 1:
            raise ValueError(
                "--dp_clip_norm needs gradients of one image that no other image has a part in, "
                "but the minibatch standard deviation mixes them; give --stddev_group=1"
            )
        self.label_prior  # noqa: B018, refuses what is no list of shares
        if self.client_dp_noise_multiplier and not (
            self.engine == TFF and self.clip_norm and self.aggregation == "mean"
        ):
            raise ValueError(
                "--client_dp_noise_multiplier needs --engine=tff, --clip_norm and "
                "--aggregation=mean, since weights by images would tell of the clients"
            )
        if self.client_dp_clipping != FIXED and not self.client_dp_noise_multiplier:
            raise ValueError("--client_dp_clipping needs --client_dp_noise_multiplier above 0")
        if self.client_dp_noise_multiplier and (self.secure_sum or self.reject_norm):
            raise ValueError(
                "--client_dp_noise_multiplier goes with neither --secure_sum nor --reject_norm; "
                "give it alone"
            )

    @property
    def is_private(self) -> bool:
        """Whether images or clients have differential privacy."""
        return bool(self.dp_clip_norm or self.client_dp_noise_multiplier)

    @property
    def label_prior(self) -> tuple[float, ...]:
        """Public share of every finding, from `dp_label_prior`."""
        count = self.network.num_labels
        try:
            shares = tuple(float(share) for share in self.dp_label_prior.split(","))
        except ValueError:
            shares = ()
        if len(shares) not in (1, count) or not all(0 <= share <= 1 for share in shares):
            raise ValueError(
                f"--dp_label_prior wants a share in [0, 1] for all findings or {count} of them "
                f"with commas, such as 0.1, got {self.dp_label_prior!r}"
            )
        return shares * count if len(shares) == 1 else shares

    def _check_attack(self):
        if self.arm != FEDERATED and (self.attack != NO_ATTACK or self.on_alarm == REVERT):
            raise ValueError(
                f"--attack and --on_alarm=revert are of federations; --arm={self.arm} has one "
                "training set. Leave them out"
            )
        if self.attack != NO_ATTACK and not (
            self.attackers >= 1 and (self.client_split or self.attackers < self.num_clients)
        ):
            raise ValueError(
                f"--attackers must be at least 1 and below --num_clients={self.num_clients}, got "
                f"{self.attackers}"
            )
        if (
            self.on_alarm == REVERT
            and self.is_private
            and self.check_distance_factor
            and self.metric_every_rounds
        ):
            raise ValueError(
                "--on_alarm=revert would go back by distances to real images, of which epsilon "
                "does not know; give --check_distance_factor=0 with it, or leave it out"
            )
        if self.attack != NO_ATTACK and self.dp_clip_norm:
            raise ValueError("--attack does not go with --dp_clip_norm; leave one of them out")
        if self.engine == TFF and self.attack in UPDATE_ATTACKS:
            raise ValueError(
                f"--attack={self.attack} changes what clients return, which --engine=tff keeps to "
                "itself; give --engine=in_process"
            )
        if 0 < self.check_distance_factor <= 1:
            raise ValueError(
                "--check_distance_factor must be above 1, or 0 for never, got "
                f"{self.check_distance_factor}"
            )

    @property
    def keeps_optimizer(self) -> bool:
        """Whether the optimizer goes on from round to round."""
        if self.optimizer_memory == "auto":
            return self.arm != FEDERATED
        return self.optimizer_memory == "kept"

    @property
    def images_per_round(self) -> int:
        """Real images that the critic of one client is shown in a round."""
        return self.generator_steps * self.critic_steps * self.batch_size

    def train_config(self) -> config.TrainConfig:
        """The same as the configuration of a run at one resolution.

        A run folder holds it, so that whatever reads those of tools/train_pgan.py can read this.
        The clock, images shown, counts those that one client's critic is shown one after another.
        """
        size = self.network.resolution
        return config.TrainConfig(
            network=self.network,
            schedule=config.ScheduleConfig(
                initial_resolution=size,
                total_kimg=self.rounds * self.images_per_round / 1000,
                batch_sizes=str(self.batch_size),
            ),
            train_fold=self.train_fold,
            held_out_fold=self.held_out_fold,
            seed=self.seed,
            precision=self.precision,
            learning_rate=str(self.learning_rate),
            adam_beta1=self.adam_beta1,
            adam_beta2=self.adam_beta2,
            adam_epsilon=self.adam_epsilon,
            penalty_weight=self.penalty_weight,
            drift_weight=self.drift_weight,
            label_weight=self.label_weight,
            keep_checkpoints=self.keep_checkpoints,
            grid_columns=self.grid_columns,
            critic_images=self.critic_images,
            metric_images=max(self.metric_images, 1),
            metric_features=self.metric_features,
        )


# Names are fields of FederatedConfig or of its network.
PRESETS = {
    "paper": {"resolution": 128},
    "paper_code": {
        "resolution": 128,
        "client_sizes": "random",
        "critic_steps": 10,
        "optimizer": "sgd",
        "optimizer_memory": "fresh",
        "aggregation": "mean",
        "rounds": 10_000,
        "grid_every_rounds": 100,  # a megabyte each
    },
}
