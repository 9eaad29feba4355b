"""The command line: ``tilegrn demo``, ``tilegrn run`` and ``tilegrn info``.

Only the standard library is imported until a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn import __version__
from tilegrn.errors import InputError, TileGRNError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ["main"]

OK, FAILED, MISUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
"""Exit codes: done; a bug or the machine's fault; input that cannot be used; Ctrl-C; kill."""

_EPILOG = "Exit codes: 0 done, 1 failed, 2 input that cannot be used, 130 interrupted."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments after the program's name; None takes them from the shell.

    Returns
    -------
    The exit code.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    options.argv = list(sys.argv[1:] if argv is None else argv)
    try:
        with _messages(debug=options.debug, quiet=getattr(options, "quiet", False)), _stops() as stops:
            code = int(options.command(options))
        if code == OK and stops.interrupts:
            return _fail(f"training was interrupted: '{options.out}' holds the best so far.", INTERRUPTED, debug=False)
        return code
    except TileGRNError as err:
        return _fail(str(err), MISUSED, debug=options.debug)
    except (KeyboardInterrupt, _Terminated) as err:
        return _fail(
            _kept(options), INTERRUPTED if isinstance(err, KeyboardInterrupt) else TERMINATED, debug=options.debug
        )
    except MemoryError:
        advice = "Out of memory. Keep fewer cells, genes or peaks, or run on a machine with more memory."
        return _fail(advice, FAILED, debug=options.debug)
    except OSError as err:
        return _fail(
            f"{err.strerror or err}: '{err.filename}'" if err.filename else str(err), FAILED, debug=options.debug
        )
    except Exception as err:  # noqa: BLE001 - the last place that can turn a bug into a message
        text = f"{type(err).__name__}: {err}\nThis is a bug in tilegrn; please report it with the output of --debug."
        return _fail(text, FAILED, debug=options.debug)


def _fail(text: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"tilegrn: {'' if code in {INTERRUPTED, TERMINATED} else 'error: '}{text}\n")
    return code


def _kept(options: argparse.Namespace) -> str:
    out = getattr(options, "out", None)
    if out is None:
        return "interrupted."
    state = "is as it was" if Path(out).exists() else "was not made"
    return f"interrupted. The input was not touched and '{out}' {state}; run the same command to start again."


@contextmanager
def _messages(*, debug: bool, quiet: bool) -> Iterator[None]:
    """Send progress and warnings to stderr; everything is put back afterwards."""
    start = time.perf_counter()

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            kind = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
            return f"[{time.perf_counter() - start:6.1f} s] {kind}{record.getMessage()}"

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        place = f" ({filename}:{lineno}, {category.__name__})" if debug else ""
        logging.getLogger("tilegrn").warning("%s%s", message, place)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    package = logging.getLogger("tilegrn")
    level, propagate = package.level, package.propagate
    package.addHandler(handler)
    package.setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    package.propagate = False
    try:
        with warnings.catch_warnings():
            if not debug:  # what other packages say to developers is no news to a user of the command line
                warnings.simplefilter("ignore")
                warnings.filterwarnings("default", category=UserWarning, module=r"tilegrn(\.|$)")
            warnings.showwarning = show  # type: ignore[assignment]
            yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        package.propagate = propagate


class _Terminated(BaseException):
    """The process was asked to end; no ``except Exception`` on the way may hold it up."""


@dataclass
class _Stops:
    """How often Ctrl-C was pressed. Lightning takes the first during training as the wish to stop training early."""

    interrupts: int = 0

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self.interrupts += 1
        raise KeyboardInterrupt

    def terminate(self, _signal: int, _frame: FrameType | None) -> None:
        raise _Terminated


@contextmanager
def _stops() -> Iterator[_Stops]:
    """Count Ctrl-C, and let ``kill`` unwind the run, so that no unfinished folder stays behind."""
    stops = _Stops()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield stops
        return
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, stops.interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, stops.terminate),
    }
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tilegrn",
        description="Gene-regulatory networks from single-cell multiome data: windows, TF binding, a transformer that "
        "predicts target genes, and a scorecard on held-out cells.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"tilegrn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo",
        help="the whole walk on simulated data, in a few minutes",
        description="Simulate multiome cells with a known network, write them as h5mu, and run the whole walk on them.",
        epilog=_EPILOG,
    )
    demo.add_argument("folder", nargs="?", metavar="FOLDER", help="where to leave the results (default: tilegrn-demo)")
    demo.add_argument("--out", metavar="FOLDER", help="the same as FOLDER")
    size = demo.add_argument_group("size of the simulation")
    size.add_argument("--cells", type=_positive, default=2000, metavar="N", help="cells (default: %(default)s)")
    size.add_argument(
        "--genes", type=_positive, default=600, metavar="N", help="genes, TFs included (default: %(default)s)"
    )
    size.add_argument("--peaks", type=_positive, default=3000, metavar="N", help="peaks (default: %(default)s)")
    size.add_argument("--n-tfs", type=_positive, default=60, metavar="N", help="TFs (default: %(default)s)")
    _add_training(demo, epochs=20)
    demo.set_defaults(command=_demo)

    run = commands.add_parser(
        "run",
        help="the whole walk on a multiome h5mu",
        description="From raw counts in an h5mu file to window matrices, a trained model, predictions, a scorecard on "
        "held-out cells, and figures. The input file is only read.",
        epilog=_EPILOG,
    )
    run.add_argument("h5mu", type=Path, metavar="H5MU", help="multiome data with raw counts of RNA and ATAC")
    run.add_argument("--out", metavar="FOLDER", help="where to leave the results (default: H5MU's name with -tilegrn)")
    genome = run.add_argument_group("genome")
    genome.add_argument("--genome", metavar="NAME", help="assembly: mm10 or hg38; also mm9, mm39, hg19 with --tss")
    genome.add_argument("--tss", metavar="FILE", help="TSSs as BED or GTF (default: RefSeq of --genome)")
    genome.add_argument("--chrom-sizes", metavar="FILE", help="chromosome sizes (default: those of --genome)")
    genome.add_argument("--window-size", type=_positive, default=1000, metavar="BP", help="default: %(default)s")
    genome.add_argument("--max-distance", type=_positive, default=1_000_000, metavar="BP", help="default: %(default)s")
    genome.add_argument("--decay", type=float, default=25_000, metavar="BP", help="decay length (default: %(default)s)")
    binding = run.add_argument_group("TF binding, one of")
    binding.add_argument(
        "--binding", type=Path, metavar="TABLE", help="parquet, TSV or CSV with source_id, peak_id, tf_motifs_in_peak"
    )
    binding.add_argument("--homer", type=Path, metavar="FILE", help="an output of HOMER's annotatePeaks.pl -m")
    binding.add_argument("--fasta", type=Path, metavar="FASTA", help="genome to scan, together with --motifs")
    binding.add_argument("--motifs", type=Path, metavar="FILE", help="motifs in HOMER's format")
    cells = run.add_argument_group("data")
    cells.add_argument("--tfs", type=Path, metavar="FILE", help="TF symbols, one a line; alone: train without binding")
    cells.add_argument("--split-by", metavar="COLUMN", help="hold out whole groups of this obs column, e.g. sample")
    cells.add_argument("--test-groups", nargs="+", default=[], metavar="GROUP", help="which groups to hold out")
    cells.add_argument("--groupby", metavar="COLUMN", help="judge within the groups of this obs column, too: cell_type")
    cells.add_argument("--rna", default="rna", metavar="NAME", help="modality of the RNA (default: %(default)s)")
    cells.add_argument("--atac", default="atac", metavar="NAME", help="modality of the ATAC (default: %(default)s)")
    cells.add_argument("--layer", metavar="NAME", help="layer of the RNA counts (default: X)")
    _add_training(run, epochs=None)
    run.set_defaults(command=_run)

    info = commands.add_parser("info", help="what an h5mu, a model or a result folder holds", epilog=_EPILOG)
    info.add_argument("path", type=Path, metavar="H5MU|MODEL|FOLDER")
    info.add_argument("--debug", action="store_true", help="show the traceback of an error")
    info.set_defaults(command=_info)
    return parser


def _add_training(parser: argparse.ArgumentParser, *, epochs: int | None) -> None:
    group = parser.add_argument_group("training and output")
    group.add_argument("--seed", type=int, default=0, help="seed of split, training and judging (default: %(default)s)")
    usual = "by the size of the data" if epochs is None else str(epochs)
    group.add_argument("--max-epochs", type=_positive, default=epochs, metavar="N", help=f"default: {usual}")
    group.add_argument(
        "--n-models", type=_positive, default=1, metavar="N", help="seeds averaged (default: %(default)s)"
    )
    group.add_argument("--threads", type=_positive, metavar="N", help="processor threads (default: all)")
    group.add_argument("--accelerator", default="auto", metavar="NAME", help="cpu, gpu, ... (default: %(default)s)")
    group.add_argument("--force", action="store_true", help="replace the results of an earlier run")
    group.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    group.add_argument("--debug", action="store_true", help="show all warnings, and the traceback of an error")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        msg = f"{value} is not above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _demo(options: argparse.Namespace) -> int:
    from tilegrn._atomic import new_folder
    from tilegrn._outputs import check_target
    from tilegrn._run import Run, Steps, check_inputs, finish, walk

    if options.folder and options.out and options.folder != options.out:
        msg = f"Two folders were given, '{options.folder}' and '{options.out}'; give one."
        raise InputError(msg)
    options.out = options.folder or options.out or "tilegrn-demo"
    target = Path(options.out)
    check_target(target, force=options.force)
    _set_up(options.threads)
    steps = Steps()
    with new_folder(target) as folder, redirect_stdout(sys.stderr):  # progress bars belong to stderr, too
        data = folder / "data"
        with steps.step("Simulating cells with a known network"):
            from tilegrn.datasets import simulate

            simulate(options.cells, options.genes, options.peaks, n_tfs=options.n_tfs, seed=options.seed, folder=data)
        run = Run(
            h5mu=data / "multiome.h5mu",
            chrom_sizes=str(data / "genome.chrom.sizes"),
            tss=str(data / "tss.bed"),
            fasta=data / "genome.fa",
            motifs=data / "motifs.motif",
            split_by="sample",
            groupby="cell_type",
            min_group_cells=50,
            max_epochs=options.max_epochs,
            n_models=options.n_models,
            seed=options.seed,
            accelerator=options.accelerator,
            progress=not options.quiet,
        )
        check_inputs(run)
        summary = walk(run, folder, steps)
        finish(run, folder, steps, summary, command=options.argv)
    return _report(target, summary)


def _run(options: argparse.Namespace) -> int:
    from tilegrn._atomic import new_folder
    from tilegrn._outputs import check_target
    from tilegrn._run import Run, Steps, check_inputs, finish, walk

    sizes, tss = options.chrom_sizes or options.genome, options.tss or options.genome
    if not sizes or not tss:
        msg = "Which assembly? Give --genome (mm10, hg38), or both --chrom-sizes and --tss."
        raise InputError(msg)
    if options.out is None:
        options.out = str(options.h5mu.with_name(f"{options.h5mu.stem}-tilegrn"))
    target = Path(options.out)
    run = Run(
        h5mu=options.h5mu,
        chrom_sizes=sizes,
        tss=tss,
        binding=options.binding,
        homer=options.homer,
        fasta=options.fasta,
        motifs=options.motifs,
        tfs=options.tfs,
        split_by=options.split_by,
        test_groups=tuple(options.test_groups),
        window_size=options.window_size,
        max_distance=options.max_distance,
        decay=options.decay,
        rna=options.rna,
        atac=options.atac,
        layer=options.layer,
        groupby=options.groupby,
        max_epochs=options.max_epochs,
        n_models=options.n_models,
        seed=options.seed,
        accelerator=options.accelerator,
        progress=not options.quiet,
    )
    check_inputs(run)
    check_target(target, force=options.force, inputs=tuple(run.files.values()))
    _set_up(options.threads)
    steps = Steps()
    with new_folder(target) as folder, redirect_stdout(sys.stderr):  # progress bars belong to stderr, too
        summary = walk(run, folder, steps)
        finish(run, folder, steps, summary, command=options.argv)
    return _report(target, summary)


def _report(target: Path, summary: str) -> int:
    sys.stdout.write(f"{summary}\nResults: {target} (README.txt there says what is what)\n")
    return OK


def _info(options: argparse.Namespace) -> int:
    from tilegrn._info import describe

    sys.stdout.write(describe(options.path) + "\n")
    return OK


def _set_up(n: int | None) -> None:
    """Draw without a display, and bound the threads; a process of the command line has no other users of either."""
    import matplotlib as mpl

    mpl.use("Agg")
    if n is None:
        return
    import numba
    import torch

    torch.set_num_threads(n)
    numba.set_num_threads(min(n, numba.get_num_threads()))
