"""The paper's numbers as data, and the list of its figures and tables.

Han et al. 2020, Sci. Adv. 6, eabb7973. The supplement was not available: what is said of it is what
the main text says. "Figure read" marks values that were read off a figure of the authors' released
material, to about 0.005; those of Fig 5 are printed in a released notebook.
"""

import dataclasses
from collections.abc import Collection

TITLE = (
    "Han et al., Breaking medical data sharing boundaries by using synthesized radiographs, "
    "Science Advances 2020, 6, eabb7973"
)


@dataclasses.dataclass(frozen=True)
class Number:
    """A number of the paper.

    Attributes:
        topic: What it stands beside.
        where: Figure, table or section.
        what: What was measured, and on how much.
        value: As printed.
    """

    topic: str
    where: str
    what: str
    value: str


NUMBERS = (
    Number("data", "Methods", "ChestX-ray14: images, patients", "112,120, 30,805"),
    Number("data", "Methods", "ChestX-ray14, train: images, patients", "78,468, 21,528"),
    Number("data", "Methods", "ChestX-ray14, val: images, patients", "11,219, 3,090"),
    Number("data", "Methods", "ChestX-ray14, test: images, patients", "22,433, 6,187"),
    Number("data", "Methods", "CheXpert: frontal images used", "191,027"),
    Number("data", "Results", "ChestX-ray14 with pneumonia, without", "1,431, 110,689"),
    Number("data", "Results", "CheXpert with pneumonia", "20,656"),
    Number("training", "Methods", "Largest images, from 4 px in 9 stages", "1024 px"),
    Number("training", "Methods", "Real images shown in all; per stage, per fade-in",
           "12 million; 600,000, 600,000"),
    Number("training", "Results", "Hours on one P100 at 256, 512, 1024 px", "60, 114, 272"),
    Number("training", "Results", "Images per hour drawn at 256, 512, 1024 px",
           "67,925, 41,379, 4,511"),
    Number("distance", "fig S1D", "FID of 10,000 against 10,000 images, about 700 of each of 14 "
           "findings, while training", "a curve that falls nearly monotonically"),
    Number("pairs", "fig S2", "MS-SSIM of 1000 pairs of each finding, real and synthetic",
           "comparable"),
    Number("audit", "fig S4B", "Duplicates among 1000 synthetic images with 3 nearest real "
           "neighbours each, looked at by a radiologist", "0"),
    Number("audit", "Results", "Twins among 100,000 synthetic images, by SSIM", "0"),
    Number("audit", "Results", "Identifying content in 1000 synthetic images", "none"),
    Number("fig2", "Fig 2B", "AUC of pneumonia: 950 + 50 local images; 6000 test images", "0.74"),
    Number("fig2", "Fig 2B", "the same: 450 + 50 local and 400 + 100 synthetic images", "0.81"),
    Number("fig2", "Fig 2A", "MS-SSIM of 2450 pairs of pneumonia, local images", "0.24 ± 0.12"),
    Number("fig2", "Fig 2A", "the same, augmented images", "0.18 ± 0.09"),
    Number("fig2", "Fig 2C", "Sensitivity, specificity, accuracy, PPV, NPV, F1",
           "all better with augmentation (bars)"),
    Number("fig3", "Results", "AUC, accuracy, sensitivity, specificity, mean over 7 findings, "
           "22,433 test images", "all significantly better from two generators than from one"),
    Number("fig3", "Methods", "p value below which a difference is significant, 1000 permutations",
           "0.001"),
    Number("oversampling", "Discussion", "Rare findings oversampled with synthetic images",
           "said to be feasible; no number in the main text"),
    Number("adversarial", "fig S3", "A classifier trained adversarially under attack",
           "more robust (figure of the supplement)"),
    Number("federation", "Fig 4", "Clients, images each, share in a round",
           "20, 1000, 10 %"),
    Number("federation", "Methods", "Generator iterations a round, critic steps, batch, penalty",
           "10, 5, 32, 10"),
    Number("federation", "Fig 4B", "Negative critic loss of 20 clients of 1000, against 20,000 and "
           "1000 images in one place", "near that of 20,000, smoother (curves)"),
    Number("federation", "Fig 4C", "FID of the same",
           "near that of 20,000, far better than 1000 (curves)"),
    Number("visualisation", "Fig 5B", "Difference of a finding fully present and absent",
           "plausible for large, frequent findings; poor for nodules and pneumonia"),
    Number("correlation", "Fig 5C", "r of label and classifier: cardiomegaly with cardiomegaly, "
           "with fibrosis", "0.80, \N{MINUS SIGN}0.07 (0.09 in the released matrix)"),
    Number("correlation", "Results", "Matching pairs: cardiomegaly, effusion, infiltration, "
           "emphysema, pneumonia; 5000 images of each of 14 findings", "0.8, 0.7, 0.5, 0.5, 0.5"),
    Number("readers", "Table 1", "Accuracy of 3 computer vision experts at 256, 512, 1024 px",
           "60 ± 5 %, 67 ± 17 %, 82 ± 4 %"),
    Number("readers", "Table 1", "Accuracy of 3 radiologists at 256, 512, 1024 px",
           "51 ± 5 %, 65 ± 5 %, 77 ± 13 %"),
    Number("readers", "Table 1", "Agreement of readers (Fleiss' kappa)",
           "none at 256 px; higher at 512 and 1024 px"),
    Number("readers", "Results", "Accuracy of an expert without limit of time at 256 px", "86 %"),
    Number("deposit", "Fig 1", "Sites whose generators were pooled", "2 (ChestX-ray14, CheXpert)"),
    Number("deposit", "Discussion", "A generator is admitted if its FID passes",
           "proposed; no number"),
)  # fmt: skip

# Fig 3B, figure read: {metric: {finding: (one generator, two generators)}}.
FIG_3B = {
    "auc": {
        "Cardiomegaly": (0.845, 0.860), "Effusion": (0.843, 0.847), "Pneumothorax": (0.791, 0.816),
        "Atelectasis": (0.750, 0.762), "Edema": (0.729, 0.841), "Consolidation": (0.651, 0.727),
        "Pneumonia": (0.626, 0.687),
    },
    "sensitivity": {
        "Cardiomegaly": (0.763, 0.750), "Effusion": (0.760, 0.778), "Pneumothorax": (0.727, 0.730),
        "Atelectasis": (0.685, 0.700), "Edema": (0.688, 0.766), "Consolidation": (0.603, 0.713),
        "Pneumonia": (0.475, 0.645),
    },
    "specificity": {
        "Cardiomegaly": (0.764, 0.804), "Effusion": (0.787, 0.781), "Pneumothorax": (0.718, 0.767),
        "Atelectasis": (0.687, 0.691), "Edema": (0.642, 0.755), "Consolidation": (0.627, 0.650),
        "Pneumonia": (0.722, 0.643),
    },
}  # fmt: skip

# Figure read: (real, synthetic) of ChestX-ray14, MS-SSIM with an error of the exponents.
FIG_S2 = {
    "Cardiomegaly": (0.25, 0.27), "Emphysema": (0.21, 0.22), "Effusion": (0.22, 0.23),
    "Hernia": (0.26, 0.33), "Infiltration": (0.23, 0.21), "Mass": (0.22, 0.24),
    "Nodule": (0.25, 0.25), "Atelectasis": (0.24, 0.29), "Pneumothorax": (0.20, 0.21),
    "Pleural Thickening": (0.26, 0.26), "Pneumonia": (0.22, 0.27), "Fibrosis": (0.24, 0.32),
    "Edema": (0.27, 0.30), "Consolidation": (0.21, 0.21),
}  # fmt: skip

# Diagonal of Fig 5D for the generator of ChestX-ray14.
FIG_5D_DIAGONAL = {
    "Cardiomegaly": 0.80, "Atelectasis": 0.57, "Emphysema": 0.50, "Pneumothorax": 0.67,
    "Hernia": 0.60, "Fibrosis": 0.61, "Pleural Thickening": 0.64, "Mass": 0.60, "Nodule": 0.54,
    "Edema": 0.55, "Infiltration": 0.54, "Pneumonia": 0.54, "Consolidation": 0.54,
    "Effusion": 0.69,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Item:
    """A figure or table of the paper.

    Attributes:
        place: Its name in the paper; sections say which they show.
        what: What it shows.
        command: What makes it; empty if nothing does.
        reason: Why it is not reproduced, where no command makes it.
    """

    place: str
    what: str
    command: str = ""
    reason: str = ""


_EXPERIMENT = "tools/run_experiment.py --experiment="
INDEX = (
    Item("Fig 1", "Sharing of generators between sites", "",
         "a drawing of the idea; README.md describes it"),
    Item("Fig 2A", "Diversity of pneumonia images", _EXPERIMENT + "fig2"),
    Item("Fig 2B", "ROC, local and augmented", _EXPERIMENT + "fig2"),
    Item("Fig 2C", "Sensitivity, specificity, PPV, NPV, F1", _EXPERIMENT + "fig2"),
    Item("Fig 3A", "Which images train the classifiers", _EXPERIMENT + "fig3"),
    Item("Fig 3B", "One generator, two generators, real images", _EXPERIMENT + "fig3"),
    Item("Fig 4A", "Federated averaging of generator and discriminator", "",
         "a drawing of the method; federated/ is its code"),
    Item("Fig 4B", "Negative critic loss while training", "tools/compare_federations.py"),
    Item("Fig 4C", "FID while training", "tools/compare_federations.py"),
    Item("Fig 5A", "Healthy to diseased", "tools/visualize_findings.py"),
    Item("Fig 5B", "Difference maps of 14 findings", "tools/visualize_findings.py"),
    Item("Fig 5C", "Label against classifier", "tools/correlate_findings.py"),
    Item("Fig 5D", "Correlation matrix and its clusters", "tools/correlate_findings.py"),
    Item("Table 1", "Readers' accuracy and agreement",
         "tools/build_reader_study.py, then tools/score_reader_study.py"),
    Item("fig S1A", "Not described in the main text", "", "the supplement was not available"),
    Item("fig S1B", "Not described in the main text", "", "the supplement was not available"),
    Item("fig S1C", "The generator's conditional input", "",
         "a drawing of the network; pgan/networks.py is its code"),
    Item("fig S1D", "Distance while training", "tools/train_pgan.py --metric_every_kimg=..."),
    Item("fig S2", "MS-SSIM of pairs, real and synthetic", "tools/evaluate_gan.py"),
    Item("fig S3", "Robustness under attack", _EXPERIMENT + "adversarial"),
    Item("fig S4A", "Samples at three resolutions", "tools/train_pgan.py"),
    Item("fig S4B", "Nearest real neighbours", "tools/audit_privacy.py"),
    Item("fig S4C", "Transitions of a finding", "tools/visualize_findings.py"),
    Item("fig S4D", "Not described in the main text", "", "the supplement was not available"),
    Item("fig S4E", "Artefacts that give images away", "tools/score_reader_study.py"),
    Item("fig S5", "Samples of the generator of CheXpert",
         "tools/train_pgan.py --flagfile=chexpert.flags"),
    Item("table S1", "Not described in the main text", "", "the supplement was not available"),
    Item("table S2", "Readers' sensitivity and specificity", "tools/score_reader_study.py"),
    Item("table S3", "Images by finding", "tools/build_records.py"),
    Item("table S4", "Differences and p values", _EXPERIMENT + "fig3"),
    Item("table S5", "Layers of both networks", "",
         "the supplement was not available; tests/test_pgan_networks.py compares the counts of "
         "parameters with the released code's"),
    Item("algorithm S1", "Federated averaging", "", "federated/ is its code"),
    Item("movies", "Animated transitions", "tools/visualize_findings.py"),
)  # fmt: skip


def numbers(*topics: str) -> list[Number]:
    """The paper's numbers on some topics, in its order."""
    return [one for one in NUMBERS if one.topic in topics]


def missing(shown: Collection[str]) -> list[Item]:
    """Figures and tables that are not among the shown."""
    return [item for item in INDEX if item.place not in shown]
