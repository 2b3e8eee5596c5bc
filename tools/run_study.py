"""Runs the classifier experiments on phantom sites, from drawn patients to tables.

    python tools/run_study.py --output=studies/phantom
    python tools/run_study.py --output=studies/tiny --size=tiny

Three hospitals are drawn, whose pictures differ as ChestX-ray14's, CheXpert's and RSNA's do. Two
train a GAN each and share the generators; the third, with few cases, uses their images. Then fig2,
fig3, oversampling, adversarial and real_vs_synthetic of tools/run_experiment.py. The same command
again continues. Logs are in <output>/logs.
"""

import dataclasses
import pathlib

from absl import flags

import tool_main

_OUTPUT = flags.DEFINE_string("output", None, "Folder of everything.", required=True)
_SIZE = flags.DEFINE_enum("size", "small", ["small", "tiny"], "How large; tiny only shows it runs.")
_JOBS = flags.DEFINE_integer("jobs", 2, "Steps at a time, each on its share of the cores.", 1)
_ONLY = flags.DEFINE_list("only", [], "Experiments to run; all by default.")


@dataclasses.dataclass(frozen=True)
class _Size:
    """Numbers of a study; images by site are chosen so that quotas can be filled."""

    resolution: int
    drawn: int  # size of the sites' pictures
    images: dict[str, int]
    local: tuple[str, ...]  # quotas of the hospital with few cases
    gan: tuple[str, ...]
    common: tuple[str, ...]
    experiments: dict[str, tuple[str, ...]]


# Test images from the power calculation of tools/run_experiment.py --dry_run: 600 and 400 show a
# difference of the AUC of 0.05 at 0.75.
_SIZES = {
    "small": _Size(
        resolution=64,
        drawn=128,
        images={"rsna": 4500, "nih": 20_300, "chexpert": 8000},
        local=(
            "test: 1000 of healthy:Pneumonia 2:3",
            "train: 950 healthy + 50 Pneumonia",
            "val: 190 healthy + 10 Pneumonia",
        ),
        gan=(
            "--latent_size=128", "--fmap_base=1024", "--fmap_max=64", "--batch_sizes=16",
            "--stage_kimg=4:5,8:5,16:10,32:20,64:40", "--fade_kimg=8:5,16:10,32:20,64:25",
            "--total_kimg=140", "--ema_decay=0.995", "--metric_every_kimg=10", "--tick_kimg=5",
            "--precision=mixed_bfloat16",
        ),
        common=(
            "--resolution=64", "--weights=random", "--preset=adam", "--patience=5",
            "--max_epochs=30", "--precision=mixed_bfloat16",
        ),
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
    ),
    "tiny": _Size(
        resolution=32,
        drawn=64,
        images={"rsna": 400, "nih": 1900, "chexpert": 300},
        local=(
            "test: 40 of healthy:Pneumonia 2:3",
            "train: 28 healthy + 4 Pneumonia",
            "val: 8 healthy + 4 Pneumonia",
        ),
        gan=(
            "--latent_size=8", "--fmap_base=64", "--fmap_max=8", "--batch_sizes=16",
            "--initial_resolution=16", "--stage_kimg=1", "--fade_kimg=1", "--total_kimg=3",
        ),
        common=(
            "--resolution=32", "--weights=random", "--preset=adam", "--max_epochs=1",
            "--batch_size=8", "--seeds=1", "--redraws=200", "--permutations=99",
        ),
        experiments={
            "fig2": ("--images=32", "--rare=4", "--test_images=40"),
            "fig3": ("--images=32", "--more_images=32"),
            "oversampling": ("--finding=Effusion", "--images=24", "--rare=6"),
            "adversarial": (
                "--finding=Effusion", "--images=16", "--rare=16", "--test_images=20",
                "--attack_steps=1", "--strengths=2,8",
            ),
            "real_vs_synthetic": ("--finding=Effusion", "--images=16", "--rare=16"),
        },
    ),
}  # fmt: skip
_GANS = ("nih", "chexpert")


class _Steps:
    """The steps of a study, as commands of the other tools."""

    def __init__(self, output: pathlib.Path, size: _Size):
        self._output, self._size = output, size
        self.jobs = []

    def _add(self, name, tool, arguments, result, needs=()):
        from pgan import job_queue

        self.jobs.append(
            job_queue.Job(
                name,
                tool_main.command(tool, *arguments),
                result,
                self._output / "logs" / f"{name}.log",
                needs,
            )
        )

    def add_data(self) -> None:
        """Patients' pictures, records and splits."""
        output, size = self._output, self._size
        for site, count in size.images.items():
            data, records = output / "data" / site, output / "records" / site
            drawn = [f"--site={site}", f"--count={count}", "--seed=1", f"--size={size.drawn}"]
            self._add(
                f"draw_{site}", "write_phantom_site", [*drawn, f"--output={data}"],
                (data / "PHANTOM.json").exists,
            )  # fmt: skip
            self._add(
                f"records_{site}", "build_records",
                [
                    f"--source={site}", f"--input={data}", f"--output={records}",
                    f"--max_resolution={size.resolution}", "--split_seed=1",
                    f"--key_file={output / 'pseudonym.key'}",
                ],
                (records / "manifest.json").exists, (f"draw_{site}",),
            )  # fmt: skip
        self._split("rsna", "local", [f"--quota={quota}" for quota in size.local])
        # The images of the hospital with few cases are images of the first site again: what it
        # tests on, no generator may have seen.
        self._split(
            "nih", "gan",
            [
                "--fractions=train:0.7,val:0.1,test:0.2", "--exclude_fold=local/test",
                f"--exclude_records={output / 'records/rsna'}",
            ],
            ("split_rsna",),
        )  # fmt: skip
        self._split("chexpert", "gan", ["--fractions=train:0.8,val:0.1,test:0.1"])

    def _split(self, site, name, arguments, needs=()):
        records = self._output / "records" / site
        self._add(
            f"split_{site}", "split_records",
            [f"--records={records}", f"--name={name}", "--seed=1", *arguments],
            (records / "splits" / name / "split.json").exists, (f"records_{site}", *needs),
        )  # fmt: skip

    def add_generators(self) -> None:
        """A GAN of each of two sites, and its export."""
        for site in _GANS:
            run, exports = self._output / "runs" / site, self._output / "exports"
            self._add(
                f"train_{site}", "train_pgan",
                [
                    f"--records={self._output / 'records' / site}", f"--run_dir={run}",
                    f"--resolution={self._size.resolution}", "--train_fold=gan/train",
                    "--held_out_fold=gan/val", "--preflight=off", "--seed=1", *self._size.gan,
                ],
                lambda run=run: _share_trained(run), (f"split_{site}",),
            )  # fmt: skip
            self._add(
                f"export_{site}", "export_generator",
                [f"--run_dir={run}", f"--output={exports}", f"--name={site}", "--version=1"],
                (exports / site / "1/saved_model.pb").exists, (f"train_{site}",),
            )  # fmt: skip

    def add_experiments(self, wanted) -> None:
        """Every experiment; Fig 2 at the hospital with few cases, the others at the first site."""
        records, exports = self._output / "records", self._output / "exports"
        for name, arguments in self._size.experiments.items():
            if wanted and name not in wanted:
                continue
            site, split = ("rsna", "local") if name == "fig2" else ("nih", "gan")
            output = self._output / "experiments" / name
            folds = ",".join(f"{split}/{fold}" for fold in ("train", "val", "test"))
            self._add(
                name, "run_experiment",
                [
                    f"--experiment={name}", f"--local={records / site}", f"--local_folds={folds}",
                    f"--first={exports / 'nih/1'}", f"--first_records={records / 'nih'}",
                    f"--second={exports / 'chexpert/1'}",
                    f"--second_records={records / 'chexpert'}", f"--output={output}",
                    *self._size.common, *arguments,
                ],
                (output / "report.md").exists, ("export_nih", "export_chexpert", "split_rsna"),
            )  # fmt: skip


def _share_trained(run_dir: pathlib.Path) -> float:
    from pgan import run_folder

    folder = run_folder.RunFolder(run_dir)
    if not folder.exists:
        return 0.0
    settings, _ = folder.read()
    rows = folder.read_stats()
    total = round(1000 * settings.schedule.total_kimg)
    return min(rows[-1]["images_shown"] / total, 1.0) if rows else 0.0


def main() -> None:
    """Runs the tool; see the module's docstring."""
    from pgan import job_queue
    from pgan.data import record_folder

    size = _SIZES[_SIZE.value]
    unknown = sorted(set(_ONLY.value) - size.experiments.keys())
    if unknown:
        raise ValueError(
            f"--only names experiments, of {', '.join(size.experiments)}; got {', '.join(unknown)}"
        )
    output = pathlib.Path(_OUTPUT.value).absolute()
    steps = _Steps(output, size)
    steps.add_data()
    steps.add_generators()
    steps.add_experiments(_ONLY.value)
    with record_folder.claimed(output, "running a study in"):
        job_queue.run_with_bar(steps.jobs, _JOBS.value, f"study of size {_SIZE.value}")
    for path in sorted((output / "experiments").glob("*/report.md")):
        print(path)


if __name__ == "__main__":
    tool_main.run(main, continues=True)
