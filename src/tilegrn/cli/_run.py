"""The whole walk from an h5mu file to predictions, scorecard and figures: ``tilegrn run`` and ``tilegrn demo``."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tilegrn import __version__
from tilegrn._core import check
from tilegrn.cli._outputs import RECORD, file_record, peak_memory_mb, write_record
from tilegrn.errors import InputError
from tilegrn.io.h5mu._writable import check_writable
from tilegrn.io.h5mu._zarr import is_zarr, read_any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["Run", "Steps", "check_inputs", "check_result", "finish", "walk"]

logger = logging.getLogger(__name__)

_CONTENTS = {
    "report.html": "all of it on one page, to open in a browser; needs no network",
    "annotated.h5mu": "the data with all matrices; read with grn.io.read_h5mu. Predictions: rna.layers['predicted']",
    "model": "the trained model; read with grn.io.load_model",
    "scorecard.csv": "how well genes are predicted in held-out cells, beside baselines",
    "scorecard_genes.csv": "the same for each gene",
    "scorecard.png": "the scorecard as a figure",
    "reliability.png": "whether the spread over several networks tells the size of their errors",
    "training.png": "the loss while training",
    "predicted_vs_observed.png": "some of the best predicted genes, in held-out cells",
    "data": "the simulated data, its genome, motifs, TSSs and true network (truth.tsv, truth_edges.tsv)",
    "options.yaml": "the options, for --config: does the same again",
    "run.json": "parameters, seed, versions, hashes of the inputs, time and memory",
}
_BYTES_PREDICTED = 4  # float32
_README = """Results of tilegrn {version}

{summary}

{contents}

Predictions are expected log1p(counts / size factor), a gene's own counts unseen. Genes that cannot be predicted are
NaN, and False in rna.var['predictable']. mdata.obs['split'] says which cells were held out ('test').
"""


class Modalities(TypedDict):
    """Names of the two modalities, as every step takes them."""

    rna: str
    atac: str


@dataclass(frozen=True)
class Run:
    """What to run on.

    Parameters
    ----------
    h5mu
        The multiome data; only read.
    chrom_sizes, tss
        A shipped assembly's name (``"mm10"``) or a path.
    binding, homer, fasta, motifs
        Where TF binding comes from: a table, an ``annotatePeaks.pl`` output, or a genome FASTA with a motif file.
    tfs
        A list of further TFs, one symbol a line.
    split_by
        Column of ``obs`` whose groups are held out whole; None holds out cells.
    layer
        Layer of the RNA counts; None is X.
    groupby
        Column of ``obs`` (cell type) within whose groups the scorecard correlates as well, if they have at least
        ``min_group_cells`` held-out cells.
    checkpoint
        Folder in which the training survives; None for none.
    """

    h5mu: Path
    chrom_sizes: str
    tss: str
    binding: Path | None = None
    homer: Path | None = None
    fasta: Path | None = None
    motifs: Path | None = None
    tfs: Path | None = None
    split_by: str | None = None
    test_groups: tuple[str, ...] = ()
    window_size: int = 1000
    max_distance: int = 1_000_000
    decay: float = 25_000
    rna: str = "rna"
    atac: str = "atac"
    layer: str | None = None
    groupby: str | None = None
    min_group_cells: int = 200
    max_epochs: int | None = None
    n_models: int = 1
    seed: int = 0
    accelerator: str = "auto"
    progress: bool = True
    checkpoint: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The input files by their role."""
        named = {
            "h5mu": self.h5mu,
            "binding": self.binding,
            "homer": self.homer,
            "fasta": self.fasta,
            "motifs": self.motifs,
            "tfs": self.tfs,
        }
        files = {role: path for role, path in named.items() if path is not None}
        for role, source in (("chrom_sizes", self.chrom_sizes), ("tss", self.tss)):
            if Path(source).is_file():
                files[role] = Path(source)
        return files


@dataclass
class Steps:
    """Names and times the steps, so that a user sees what takes how long, and keeps what they warn of.

    ``interrupted`` says whether Ctrl-C ended the training.
    """

    command: list[str] = field(default_factory=list)
    options: str = ""
    warned: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    interrupted: bool = False

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say when a step is done; on a terminal, where someone waits, also that it begins."""
        logger.log(logging.INFO if sys.stderr.isatty() else logging.DEBUG, "%s ...", text)
        start = time.perf_counter()
        yield
        self.seconds[text] = round(time.perf_counter() - start, 2)
        logger.info("%s: %.1f s", text, self.seconds[text])

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep what the package warns of, for the report; the command line sends all warnings to the log."""
        package = logging.getLogger("tilegrn")
        handler = _Kept(self.warned)
        package.addHandler(handler)
        try:
            yield
        finally:
            package.removeHandler(handler)


class _Kept(logging.Handler):
    """Appends warnings to a list."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.into = into

    def emit(self, record: logging.LogRecord) -> None:
        self.into.append(record.getMessage())


def check_inputs(run: Run) -> None:
    """Find what is wrong with the arguments before anything is read.

    Raises
    ------
    InputError
        If a file is absent, an assembly is unknown, or the source of binding is missing or stated twice.
    """
    from tilegrn.io.annotation._genome import read_chrom_sizes
    from tilegrn.io.annotation._tss import TSS_TABLES

    for role, path in run.files.items():
        if not (path.is_file() or (role == "h5mu" and is_zarr(path))):
            msg = f"The {role} file '{path}' does not exist."
            raise InputError(msg)
    sources = [name for name in ("binding", "homer", "fasta") if getattr(run, name) is not None]
    if len(sources) != 1 and (sources or run.tfs is None):
        have = f"{' and '.join('--' + s for s in sources)} were given" if sources else "none was given"
        msg = (
            f"TF binding comes from one of --binding TABLE, --homer FILE, or --fasta FASTA with --motifs FILE (or "
            f"name the "
            f"TFs alone with --tfs FILE, to train without binding); {have}."
        )
        raise InputError(msg)
    if (run.fasta is None) != (run.motifs is None):
        msg = "--fasta and --motifs go together: the bases to scan, and the motifs to scan for."
        raise InputError(msg)
    read_chrom_sizes(run.chrom_sizes)
    if not Path(run.tss).is_file() and run.tss not in TSS_TABLES:
        shipped = ", ".join(TSS_TABLES)
        msg = f"No TSS table of '{run.tss}' is shipped (only of {shipped}): give a BED or GTF file with --tss."
        raise InputError(msg)


def walk(run: Run, folder: Path, steps: Steps) -> str:
    """Run the main job, leaving everything in ``folder``.

    Returns
    -------
    The scorecard in words and figures.
    """
    with steps.watched():
        return _walk(run, folder, steps)


def _walk(run: Run, folder: Path, steps: Steps) -> str:
    import tilegrn as grn

    names = Modalities(rna=run.rna, atac=run.atac)

    with steps.step("Reading the data"):
        mdata = read_any(run.h5mu)
        grn.pp.intersect_cells(mdata, **names)
        check_result(mdata, run, folder)

    with steps.step("Placing peaks in windows, windows around genes"):
        grn.pp.bin_peaks(mdata, run.chrom_sizes, window_size=run.window_size, **names)
        grn.pp.tss_distance(mdata, run.tss, max_distance=run.max_distance, decay=run.decay, **names)

    with steps.step("Finding which TFs bind where"):
        if run.binding is not None:
            grn.pp.add_binding(mdata, run.binding, **names)
        elif run.homer is not None:
            grn.pp.add_binding(mdata, grn.io.read_homer(run.homer), **names)
        elif run.fasta is not None and run.motifs is not None:
            grn.pp.homer_binding(mdata, run.fasta, run.motifs, **names)
        bound = run.tfs is None or run.binding is not None or run.homer is not None or run.fasta is not None
        if run.tfs is not None:
            grn.pp.mark_tfs(mdata, run.tfs, rna=run.rna)

    with steps.step("Holding out cells and scaling on the others"):
        groups = list(run.test_groups) or None
        grn.pp.split_cells(mdata, run.split_by, test_groups=groups, seed=run.seed, **names)
        grn.pp.scale(mdata, layer=run.layer, **names)

    with steps.step("Training the transformer"):
        model = grn.tl.train(
            mdata,
            layer=run.layer,
            max_epochs=run.max_epochs,
            n_models=run.n_models,
            seed=run.seed,
            accelerator=run.accelerator,
            progress=run.progress,
            checkpoint=run.checkpoint,
            **names,
        )
        steps.interrupted = bool(model.record.get("interrupted"))
        model.save(folder / "model")

    with steps.step("Predicting every gene in every cell"):
        grn.tl.predict(mdata, model, layer=run.layer, **names)

    with steps.step("Comparing with baselines on held-out cells"):
        card = grn.tl.scorecard(
            mdata,
            layer=run.layer,
            groupby=run.groupby,
            min_group_cells=run.min_group_cells,
            seed=run.seed,
            **names,
        )
        card.to_csv(folder / "scorecard.csv")
        card.per_gene.to_csv(folder / "scorecard_genes.csv")
        summary = str(card)

    if bound:
        with steps.step("Reading the network off the model"):
            try:
                grn.tl.edges(mdata, model, layer=run.layer, seed=run.seed, **names)
            except InputError as err:  # data without a bound TF; predictions and scorecard stand without a network
                logger.warning("No network was read off the model. %s", err)

    with steps.step("Drawing"):
        draw(mdata, model, folder, run)

    with steps.step("Writing the annotated data"):
        grn.io.write_h5mu(folder / "annotated.h5mu", mdata)

    with steps.step("Writing the report"):
        names_there = [n for n in _CONTENTS if (folder / n).exists() or n in {RECORD, "options.yaml"}]
        facts = {
            "Command": shlex.join(["tilegrn", *steps.command]),
            "Started": _utc(steps.started),
            "Time so far": f"{sum(steps.seconds.values()):,.0f} s",
        }
        grn.pl.report(
            mdata,
            model,
            folder / "report.html",
            title=f"tilegrn: {run.h5mu.name}",
            run=facts,
            warned=steps.warned,
            files={n: _CONTENTS[n] for n in names_there},
            layer=run.layer,
            **names,
        )
    return summary


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")


def check_result(mdata: MuData, run: Run, folder: Path) -> None:
    """Find what would stop a run at its end, before its work: what cannot be written, is absent, or has no room.

    Raises
    ------
    InputError
        If the data hold what no h5mu can hold (naming slot and column), the column of ``groupby`` is absent, or the
        disk is too full for the annotated data.
    """
    needed = check_writable(mdata)
    rna = check.modality(mdata, run.rna)
    if run.groupby is not None and run.groupby not in mdata.obs and run.groupby not in rna.obs:
        have = sorted({*map(str, mdata.obs.columns), *map(str, rna.obs.columns)})
        msg = f"No column '{run.groupby}' in obs of the data or its RNA; there are {have}. Name one with --groupby."
        raise InputError(msg)
    layers = 2 if run.n_models > 1 else 1  # the predictions, and their spread over several networks
    needed += layers * _BYTES_PREDICTED * rna.n_obs * rna.n_vars
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = (
            f"'{folder.parent}' has {free:,} bytes free, but the results need {needed:,} or more. Make room, or name a "
            "folder on another disk."
        )
        raise InputError(msg)


def draw(mdata: MuData, model: Any, folder: Path, run: Run) -> None:
    """Draw the figures of a run as PNG files."""
    import tilegrn as grn

    _save(grn.pl.scorecard(mdata), folder / "scorecard.png")
    _save(grn.pl.training(model), folder / "training.png")
    _save(grn.pl.predicted_vs_observed(mdata, rna=run.rna, layer=run.layer), folder / "predicted_vs_observed.png")
    if run.n_models > 1:
        _save(grn.pl.reliability(mdata, rna=run.rna, layer=run.layer), folder / "reliability.png")


def _save(drawn: Axes | NDArray[np.object_], path: Path) -> None:
    """Write the figure of one or several Axes, and let it go."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure = np.ravel(np.asarray(drawn, dtype=object))[0].figure
    figure.savefig(path, dpi=150)
    plt.close(figure)


def finish(run: Run, folder: Path, steps: Steps, summary: str) -> None:
    """Record what the results were made from, and say what each file is."""
    parameters = {f.name: getattr(run, f.name) for f in fields(run)}
    for name, value in parameters.items():  # what lies in the folder itself is known by its place there
        if isinstance(value, str | Path) and Path(value).is_relative_to(folder):
            parameters[name] = str(Path(value).relative_to(folder))
    write_record(
        folder,
        {
            "command": ["tilegrn", *steps.command],
            "started": _utc(steps.started),
            "parameters": parameters,
            "inputs": {role: file_record(path) for role, path in run.files.items()},
            "seconds": steps.seconds,
            "peak_memory_mb": peak_memory_mb(),
        },
    )
    (folder / "options.yaml").write_text(steps.options, encoding="utf-8")
    width = max(map(len, _CONTENTS)) + 2
    contents = "\n".join(f"{name:<{width}}{what}" for name, what in _CONTENTS.items() if (folder / name).exists())
    text = _README.format(version=__version__, summary=summary, contents=contents)
    (folder / "README.txt").write_text(text, encoding="utf-8")
