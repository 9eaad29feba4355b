"""One process against two on the CPU at equal global batch: seconds of an epoch, and how far the weights part.

    python benchmarks/ddp.py [--cells 1500] [--peaks 60000] [--genes 8000] [--epochs 2] [--write]

One thread each, so that an idle machine of two cores is used by half and whole. Only the steps are timed, not what is
prepared before: preparation is done by every process, and takes twice the cores for the same time. The script starts
itself anew for each case, and Lightning starts it once more for the second process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def one(args) -> None:
    """Train with so many processes; the first says how long the epochs took."""
    import lightning.pytorch as pl
    import torch
    from dense_model import simulated

    import tilegrn as grn
    from tilegrn.model.config import default_config

    torch.set_num_threads(1)
    seconds: list[float] = []

    class Clock(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            self.start = time.perf_counter()

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx + 1 == len(trainer.train_dataloader):
                seconds.append(time.perf_counter() - self.start)

    mdata = simulated((args.cells, args.peaks, args.genes))
    config = default_config(n_cells=args.cells, n_open=5000.0, depth=4500.0)
    several = {"devices": args.one, "strategy": "ddp"} if args.one > 1 else {}
    # On all cells: validation might keep the weights that training starts from, and they tell nothing.
    model = grn.tl.train(
        mdata,
        split=None,
        config=config,
        max_epochs=args.epochs,
        callbacks=[Clock()],
        progress=False,
        accelerator="cpu",
        **several,
    )
    model.save(args.folder / str(args.one))
    if not int(os.environ.get("LOCAL_RANK", "0")):
        losses = model.record["history"][0]["train_loss"]
        print(json.dumps({"s": min(seconds), "all": seconds, "loss": losses, "batch": config.batch_size}))


def main() -> None:
    """Run both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1500)
    parser.add_argument("--peaks", type=int, default=60_000)
    parser.add_argument("--genes", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--one", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    if args.one:
        one(args)
        return
    import torch

    import tilegrn as grn

    sizes = [f"--{k}={getattr(args, k)}" for k in ("cells", "peaks", "genes", "epochs")]
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for n in (1, 2):
            command = [sys.executable, __file__, *sizes, "--one", str(n), "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            if done.returncode:
                raise SystemExit(done.stderr)
            found[n] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
        states = [grn.io.load_model(Path(folder) / str(n)).networks[0].state_dict() for n in (1, 2)]
        parted = max(
            float((states[1][k] - v).abs().max() / v.abs().max().clamp_min(1e-12))
            for k, v in states[0].items()
            if isinstance(v, torch.Tensor) and v.numel()
        )
    one_, two = found[1], found[2]
    load = os.getloadavg()[0]
    lines = [
        f"{args.cells:,} cells x {args.peaks:,} peaks x {args.genes:,} genes, {one_['batch']} cells a step, one thread "
        f"a process; load of the machine at the end {load:.1f} on {os.cpu_count()} cores.",
        "",
        "| processes | s an epoch | times as fast | last training loss | largest difference of weights |",
        "|---|---|---|---|---|",
        f"| 1 | {one_['s']:.1f} | | {one_['loss'][-1]:.6f} | |",
        f"| 2 | {two['s']:.1f} | {one_['s'] / two['s']:.2f} | {two['loss'][-1]:.6f} | {parted:.1e} |",
    ]
    print("\n".join(lines))
    if args.write:
        from _cortex import between_markers

        between_markers(PAGE, {"ddp": lines})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
