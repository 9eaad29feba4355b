"""Training on a GPU: a step beside the floor of what it has to read, cells a second, memory, and bf16 beside fp32.

    python benchmarks/gpu.py [--cells 4000] [--peaks 60000] [--genes 8000] [--write]

Where there is no GPU it says so and ends. The floor is that of ``model_cost.py``, by bandwidth and arithmetic measured
on the GPU in the same run. Training is by ``grn.tl.train`` with each precision on the same simulated cells; a first,
short training has warmed the GPU up. The score is the mean r per gene of held-out cells, predicted in fp32.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _cortex import between_markers
from dense_model import rows_of, simulated
from model_cost import peers

import tilegrn as grn
from tilegrn._stats.metrics import pearson

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def trained(mdata, precision: str, epochs: int | None):
    """Train; cells a second in the steps of the last epoch, GB at most, and the score."""
    import lightning.pytorch as pl

    took: list[tuple[int, float]] = []

    class Clock(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            torch.cuda.synchronize()
            self.start, self.cells = time.perf_counter(), 0

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.cells += len(batch.cells)
            if batch_idx + 1 == len(trainer.train_dataloader):
                torch.cuda.synchronize()
                took.append((self.cells, time.perf_counter() - self.start))

    torch.cuda.reset_peak_memory_stats()
    model = grn.tl.train(
        mdata, max_epochs=epochs, callbacks=[Clock()], progress=False, accelerator="gpu", precision=precision
    )
    peak = torch.cuda.max_memory_allocated() / 1e9
    grn.tl.predict(mdata, model)
    rna, train, test = mdata["rna"], rows_of(mdata, "train"), rows_of(mdata, "test")
    depth = np.maximum(np.asarray(rna.X.sum(axis=1)).ravel(), 1.0)
    counts = rna.X[test].toarray()
    genes = np.flatnonzero(((counts > 0).sum(axis=0) >= 5) & ~rna.var["is_tf"].to_numpy())
    observed = np.log1p(counts[:, genes] / (depth / np.median(depth[train]))[test, None])
    score = pearson(observed, rna.layers["predicted"][test][:, genes].astype(np.float64)).mean()
    cells, seconds = took[-1]
    return cells / seconds, peak, float(score)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=4_000)
    parser.add_argument("--peaks", type=int, default=60_000)
    parser.add_argument("--genes", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"skipped: no GPU that torch {torch.__version__} can use")
        return
    mdata = simulated((args.cells, args.peaks, args.genes))
    trained(mdata, "32-true", 1)
    lines = [
        f"{torch.cuda.get_device_name()}; {args.cells:,} cells x {args.peaks:,} peaks x {args.genes:,} genes.",
        "",
        "| precision | cells a second | memory, GB | held-out r |",
        "|---|---|---|---|",
    ]
    for precision in ("32-true", "bf16-mixed"):
        speed, peak, score = trained(mdata, precision, args.epochs)
        lines.append(f"| {precision} | {speed:,.0f} | {peak:.2f} | {score:.4f} |")
    lines += ["", *peers("cuda", n_cells=128)]
    print("\n".join(lines))
    if args.write:
        between_markers(PAGE, {"gpu": lines})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
