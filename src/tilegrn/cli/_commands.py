"""What each command does; the standard library alone until it is called."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tilegrn._core.torch_there import needs_torch
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import argparse

__all__ = ["demo", "info", "run", "set_up"]


def demo(options: argparse.Namespace) -> None:
    """Simulate cells and run the whole walk on them."""
    from tilegrn._core.atomic import new_folder
    from tilegrn.cli._outputs import check_target
    from tilegrn.cli._run import Run, Steps, check_inputs, finish, walk

    if options.folder and options.out and options.folder != options.out:
        msg = f"Two folders were given, '{options.folder}' and '{options.out}'; give one."
        raise InputError(msg)
    needs_torch("tilegrn demo")
    options.out = options.folder or options.out or "tilegrn-demo"
    target = Path(options.out)
    check_target(target, force=options.force)
    set_up(options.threads)
    steps = Steps(options.argv, options.again())
    with new_folder(target) as folder, redirect_stdout(sys.stderr):  # progress bars belong to stderr, too
        data = folder / "data"
        with steps.step("Simulating cells with a known network"):
            from tilegrn.datasets import simulate

            simulate(options.cells, options.genes, options.peaks, n_tfs=options.n_tfs, seed=options.seed, folder=data)
        asked = Run(
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
            progress=_bars(options),
        )
        check_inputs(asked)
        summary = walk(asked, folder, steps)
        finish(asked, folder, steps, summary)
    options.interrupted = steps.interrupted
    _report(target, summary)


def run(options: argparse.Namespace) -> None:
    """Run the whole walk on a file."""
    from tilegrn._core.atomic import new_folder
    from tilegrn.cli._outputs import check_target
    from tilegrn.cli._run import Run, Steps, check_inputs, finish, walk
    from tilegrn.tl.training._resume import remove_checkpoint

    needs_torch("tilegrn run")
    sizes, tss = options.chrom_sizes or options.genome, options.tss or options.genome
    if not sizes or not tss:
        msg = "Which assembly? Give --genome (mm10, hg38), or both --chrom-sizes and --tss."
        raise InputError(msg)
    if options.out is None:
        options.out = str(options.h5mu.with_name(f"{options.h5mu.stem}-tilegrn"))
    target = Path(options.out)
    options.checkpoint = Path(options.checkpoint or target.with_name(f"{target.name}.checkpoint"))
    asked = Run(
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
        progress=_bars(options),
        checkpoint=options.checkpoint,
    )
    check_inputs(asked)
    if options.checkpoint.absolute().is_relative_to(target.absolute()):
        msg = f"--checkpoint '{options.checkpoint}' lies in the results '{target}'; name a folder beside it."
        raise InputError(msg)
    check_target(target, force=options.force, inputs=tuple(asked.files.values()))
    set_up(options.threads)
    steps = Steps(options.argv, options.again())
    with new_folder(target) as folder, redirect_stdout(sys.stderr):  # progress bars belong to stderr, too
        summary = walk(asked, folder, steps)
        finish(asked, folder, steps, summary)
    options.interrupted = steps.interrupted
    if not options.interrupted:  # the model is among the results
        remove_checkpoint(options.checkpoint)
    _report(target, summary)


def _bars(options: argparse.Namespace) -> bool:
    """Whether to draw progress bars: a log file is no place for them."""
    return not options.quiet and sys.stderr.isatty()


def _report(target: Path, summary: str) -> None:
    sys.stdout.write(f"{summary}\nResults: {target} (report.html there shows them, README.txt says what is what)\n")


def info(options: argparse.Namespace) -> None:
    """Say what a file or folder holds."""
    from tilegrn.cli._info import describe

    sys.stdout.write(describe(options.path) + "\n")


def set_up(n: int | None) -> None:
    """Draw without a display, and bound the threads; a process of the command line has no other users of either."""
    import matplotlib as mpl

    mpl.use("Agg")
    if n is None:
        return
    import numba

    if find_spec("torch") is not None:  # links and scans need none
        import torch

        torch.set_num_threads(n)
    numba.set_num_threads(min(n, numba.get_num_threads()))
