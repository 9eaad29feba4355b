"""Train on a prepared h5mu with the devices of one or more nodes; every process reads the file, the first one saves."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import tilegrn as grn


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "h5mu", type=Path, help="after pp.bin_peaks, pp.tss_distance, pp.add_binding and pp.split_cells"
    )
    parser.add_argument("model", type=Path, help="folder to leave the model in")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--num-nodes", type=int, default=1)
    parser.add_argument("--accelerator", default="gpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int)
    options = parser.parse_args()
    mdata = grn.io.read_h5mu(options.h5mu, backed=True)
    model = grn.tl.train(
        mdata,
        seed=options.seed,
        max_epochs=options.max_epochs,
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy="ddp" if options.devices * options.num_nodes > 1 else "auto",
        progress=False,
        checkpoint=options.model.with_name(options.model.name + ".checkpoint"),
    )
    if int(os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0"))) == 0:
        model.save(options.model)


if __name__ == "__main__":
    main()
