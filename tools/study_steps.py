"""The steps of tools/run_study.py as commands of the other tools, with what they need and make."""

import functools
import pathlib
from collections.abc import Callable, Sequence

import study_sizes
import tool_main

_GANS = ("nih", "chexpert")  # sites that share a generator
_READERS = {"vision": ("cv1", "cv2", "cv3"), "radiology": ("rad1", "rad2", "rad3")}


class Steps:
    """The steps of a study.

    Attributes:
        jobs: For `pgan.job_queue`, in an order in which they can run.
    """

    def __init__(self, output: pathlib.Path, size: study_sizes.Size, precision: str):
        """Creates no steps yet.

        Args:
            output: Folder of everything, absolute.
            size: Numbers of the study.
            precision: Of generators, classifiers and federations.
        """
        self._output, self._size, self._precision = output, size, f"--precision={precision}"
        self.jobs = []

    def _add(
        self,
        name: str,
        tool: str,
        arguments: Sequence[str],
        result: pathlib.Path | Callable[[], float],
        needs: Sequence[str] = (),
    ):
        from pgan import job_queue

        share_done = result.exists if isinstance(result, pathlib.Path) else result
        log = self._output / "logs" / f"{name}.log"
        command = tool_main.command(tool, *arguments)
        self.jobs.append(job_queue.Job(name, command, share_done, log, needs))

    def _records(self, site):
        return self._output / "records" / site

    def _export(self, site):
        return self._output / "exports" / site / "1"

    def add_data(self) -> None:
        """Patients' pictures, records and splits."""
        output, size = self._output, self._size
        for site, count in size.images.items():
            data = output / "data" / site
            drawn = [f"--site={site}", f"--count={count}", "--seed=1", f"--size={size.drawn}"]
            self._add(
                f"draw_{site}", "write_phantom_site", [*drawn, f"--output={data}"],
                data / "PHANTOM.json",
            )  # fmt: skip
            self._add(
                f"records_{site}", "build_records",
                [
                    f"--source={site}", f"--input={data}", f"--output={self._records(site)}",
                    f"--max_resolution={size.resolution}", "--split_seed=1",
                    f"--key_file={output / 'pseudonym.key'}",
                ],
                self._records(site) / "manifest.json", (f"draw_{site}",),
            )  # fmt: skip
        self._split("rsna", "local", [f"--quota={quota}" for quota in size.local])
        # The images of the hospital with few cases are images of the first site again: what it
        # tests on, no generator may have seen.
        self._split(
            "nih", "gan",
            [
                "--fractions=train:0.7,val:0.1,test:0.2", "--exclude_fold=local/test",
                f"--exclude_records={self._records('rsna')}",
            ],
            ("split_rsna",),
        )  # fmt: skip
        self._split("chexpert", "gan", ["--fractions=train:0.8,val:0.1,test:0.1"])

    def _split(self, site, name, arguments, needs=()):
        records = self._records(site)
        self._add(
            f"split_{site}", "split_records",
            [f"--records={records}", f"--name={name}", "--seed=1", *arguments],
            records / "splits" / name / "split.json", (f"records_{site}", *needs),
        )  # fmt: skip

    def add_generators(self) -> None:
        """A GAN of each of two sites, and its export."""
        from pgan import run_folder

        for site in _GANS:
            run = self._output / "runs" / site
            self._add(
                f"train_{site}", "train_pgan",
                [
                    f"--records={self._records(site)}", f"--run_dir={run}",
                    f"--resolution={self._size.resolution}", "--train_fold=gan/train",
                    "--held_out_fold=gan/val", "--preflight=off", "--seed=1", self._precision,
                    *self._size.gan,
                ],
                run_folder.RunFolder(run).share_trained, (f"split_{site}",),
            )  # fmt: skip
            self._add(
                f"export_{site}", "export_generator",
                [
                    f"--run_dir={run}", f"--output={self._output / 'exports'}", f"--name={site}",
                    "--version=1",
                ],
                self._export(site) / "saved_model.pb", (f"train_{site}",),
            )  # fmt: skip

    def add_experiments(self, wanted: Sequence[str] = ()) -> None:
        """Every experiment; Fig 2 at the hospital with few cases, the others at the first site.

        Args:
            wanted: Their names; empty for all.
        """
        for name, arguments in self._size.experiments.items():
            if wanted and name not in wanted:
                continue
            site, split = ("rsna", "local") if name == "fig2" else ("nih", "gan")
            output = self._output / "experiments" / name
            folds = ",".join(f"{split}/{fold}" for fold in ("train", "val", "test"))
            self._add(
                name, "run_experiment",
                [
                    f"--experiment={name}", f"--local={self._records(site)}",
                    f"--local_folds={folds}", f"--resolution={self._size.resolution}",
                    f"--first={self._export('nih')}", f"--first_records={self._records('nih')}",
                    f"--second={self._export('chexpert')}",
                    f"--second_records={self._records('chexpert')}", f"--output={output}",
                    self._precision, *self._size.classifiers, *arguments,
                ],
                output / "report.md", ("export_nih", "export_chexpert", "split_rsna"),
            )  # fmt: skip

    def add_judgement(self) -> None:
        """Quality and privacy of each generator, and the deposit that both are handed in to."""
        deposit, submissions = self._output / "deposit", []
        for site in _GANS:
            common = [f"--records={self._records(site)}", f"--export={self._export(site)}"]
            evaluation, audit = (self._output / kind / site for kind in ("evaluations", "audits"))
            self._add(
                f"evaluate_{site}", "evaluate_gan",
                [
                    *common, "--train_fold=gan/train", "--fold=gan/test", "--balance_findings",
                    f"--output={evaluation}",
                ],
                evaluation / "report.md", (f"export_{site}",),
            )  # fmt: skip
            self._add(
                f"audit_{site}", "audit_privacy",
                [
                    *common, f"--run_dir={self._output / 'runs' / site}", "--train_fold=gan/train",
                    "--held_out_fold=gan/test", "--fail_on=", f"--output={audit}",
                    *self._size.audit,
                ],
                audit / "report.json", (f"export_{site}",),
            )  # fmt: skip
            self._add(
                f"submit_{site}", "pool_generators",
                [
                    "--action=submit", f"--deposit={deposit}", f"--site={site}",
                    f"--export={self._export(site)}", f"--evaluation={evaluation}",
                    f"--audit={audit}",
                ],
                functools.partial(_is_submitted, deposit, site),
                (f"evaluate_{site}", f"audit_{site}", *submissions),
            )  # fmt: skip
            # Each is measured against images of its own site, which stand for a public collection
            # of the same kind; as many and beside the same floor as the site's own evaluation.
            self._add(
                f"admit_{site}", "pool_generators",
                [
                    "--action=admit", f"--deposit={deposit}", f"--submissions={site}",
                    f"--reference={self._records(site)}", "--reference_fold=gan/test",
                    "--floor_fold=gan/train", *self._size.deposit,
                ],
                functools.partial(_is_decided, deposit, site), (f"submit_{site}",),
            )  # fmt: skip
            submissions = [f"admit_{site}"]
        table = deposit.with_name("deposit.csv")
        self._add(
            "list_deposit", "pool_generators",
            ["--action=list", f"--deposit={deposit}", f"--output={table}"], table, submissions,
        )  # fmt: skip

    def add_findings(self) -> None:
        """What each generator has learned of findings, by pictures and by a classifier."""
        judge = self._output / "experiments/real_only/seed1/real"
        for site in _GANS:
            shown, correlation = (
                self._output / kind / site for kind in ("findings", "correlations")
            )
            # Where findings act is known of square pictures, chexpert's are cut in other ways; and
            # the judge has the findings of nih.
            place, other = [], []
            if site != "nih":
                place, other = ["--phantoms=0"], ["--allow_other_vocabulary"]
            self._add(
                f"visualize_{site}", "visualize_findings",
                [f"--export={self._export(site)}", f"--output={shown}", *self._size.shown, *place],
                shown / "report.md", (f"export_{site}",),
            )  # fmt: skip
            self._add(
                f"correlate_{site}", "correlate_findings",
                [
                    f"--export={self._export(site)}", f"--classifier={judge}",
                    f"--records={self._records(site)}", f"--output={correlation}", *other,
                    *self._size.correlation,
                ],
                correlation / "report.md", (f"export_{site}", "real_only"),
            )  # fmt: skip

    def add_federation(self) -> None:
        """One GAN over many hospitals, beside pooled images and one hospital alone."""
        output = self._output / "federation"
        flag_file = self._output / "federation.flags"
        flag_file.write_text(
            "\n".join((*self._size.federation, self._precision, "--train_fold=gan/train",
                       "--held_out_fold=gan/test")) + "\n"
        )  # fmt: skip
        self._add(
            "federation", "compare_federations",
            [
                f"--train_flags={flag_file}", f"--records={self._records('nih')}",
                f"--seeds={self._size.federation_seeds}", f"--output={output}",
            ],
            output / "comparison.png", ("split_nih",),
        )  # fmt: skip

    def add_readers(self) -> None:
        """A reader study of the first site's images, with simulated readers."""
        drawn, deck = self._output / "records/nih_synthetic", self._output / "readers/deck"
        key, answers = deck.with_name("key.json"), deck.with_name("answers")
        sizes = [self._size.resolution // 2, self._size.resolution]
        codes = [code for group in _READERS.values() for code in group]
        groups = [f"{code}={group}" for group, own in _READERS.items() for code in own]
        self._add(
            "draw_synthetic", "synthesize_images",
            [
                f"--export={self._export('nih')}", f"--output={drawn}", "--format=records",
                f"--label_records={self._records('nih')}", "--fold=gan/test",
                f"--count={4 * self._size.readers}",
            ],
            drawn / "manifest.json", ("export_nih",),
        )  # fmt: skip
        self._add(
            "build_deck", "build_reader_study",
            [
                f"--records={self._records('nih')}", "--fold=gan/test", f"--synthetic={drawn}",
                f"--resolutions={','.join(map(str, sizes))}", f"--count={self._size.readers}",
                f"--readers={','.join(codes)}", f"--groups={','.join(groups)}",
                "--confidence", "--reasons=vessels,bones,waves,other", "--allow_markers",
                "--title=Phantoms, simulated readers",
                f"--output={deck}", f"--key={key}",
            ],
            deck / f"reader_{codes[-1]}.html", ("draw_synthetic",),
        )  # fmt: skip
        self._add(
            "answer_deck", "simulate_readers",
            [f"--deck={deck}", f"--key={key}", f"--output={answers}"],
            lambda: len(list(answers.glob("*.json"))) >= len(codes), ("build_deck",),
        )  # fmt: skip
        scores = deck.with_name("scores")
        self._add(
            "score_readers", "score_reader_study",
            [f"--deck={deck}", f"--key={key}", f"--answers={answers}", f"--output={scores}"],
            scores / "report.md", ("answer_deck",),
        )  # fmt: skip


def _submissions(deposit, site):
    from pgan.deposit import storage

    if not deposit.exists():
        return []
    return [one for one in storage.Deposit(deposit).submissions() if one.site == site]


def _is_submitted(deposit: pathlib.Path, site: str) -> bool:
    return bool(_submissions(deposit, site))


def _is_decided(deposit: pathlib.Path, site: str) -> bool:
    return any(one.decision is not None for one in _submissions(deposit, site))
