"""How well can a gene of the cortex be predicted at all? From the RNA of all other genes, and accessibility.

    python benchmarks/cortex_ceiling.py [--folds 0 1]

An autoencoder like the teacher's predicts a fifth of the genes at a time from the other four fifths, the accessibility
components (guided ones included) and the depths. It sees what no regulatory model sees, and so marks what is within
reach on data as sparse as these. Prints one line per fold; a fold takes about a minute.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _cortex import FOLDS, cortex, held_out_pearson

from tilegrn._stats.metrics import expected_log1p
from tilegrn.model.config import TeacherConfig, default_config
from tilegrn.model.fit.schedule import one_cycle
from tilegrn.model.fit.teacher import _AutoEncoder, _unit, fit_teacher
from tilegrn.tl.training._inputs import cell_data, fit_preparation
from tilegrn.tl.training._source import read_source

PARTS, EPOCHS, BATCH, RATE = 5, 40, 128, 2e-3


def run(fold: int) -> float:
    """Fit and score on one fold."""
    mdata = cortex(fold)
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=True)
    split = mdata.obs["split"].to_numpy()
    train, test = np.flatnonzero(split != "test"), np.flatnonzero(split == "test")
    genes = np.arange(len(source.genes))
    config = default_config(n_cells=len(train))
    vocabulary, preparation = fit_preparation(source, train, genes, config, seed=0)
    data = cell_data(source, vocabulary, preparation, config, with_counts=True)
    context = np.concatenate([data.components, data.depth], axis=1)
    size = torch.from_numpy(data.size_factor)
    teacher = fit_teacher(data.counts[train], data.size_factor[train], context[train, :50], config.teacher, seed=0)
    part = torch.from_numpy(np.random.default_rng(0).permutation(len(genes)) % PARTS)
    torch.manual_seed(0)
    net = _AutoEncoder(len(genes) + context.shape[1], teacher.offset, TeacherConfig())
    with torch.no_grad():
        net.loadings.copy_(teacher.loadings)
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}])
    batches = -(-len(train) // BATCH)
    schedule = one_cycle(optimiser, RATE, EPOCHS * batches, 0.2)
    rng = np.random.default_rng(0)
    known = torch.from_numpy(context)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(train)), batches):
            cells = train[rows]
            counts = torch.from_numpy(data.counts[cells].toarray())
            hidden = torch.from_numpy(rng.integers(PARTS, size=len(rows)))[:, None] == part
            target = 0.1 * counts + 0.9 * teacher.rates(torch.from_numpy(rows)) * size[cells, None]
            out = net(torch.cat([_unit(counts.masked_fill(hidden, 0)), known[cells]], 1)) + size[cells, None].log()
            loss = ((out.exp() - target * out) * hidden).sum() / len(rows) / len(genes) ** 0.5
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    net.eval()
    layer = np.full(mdata["rna"].shape, np.nan, dtype=np.float32)
    counts = torch.from_numpy(data.counts[test].toarray())
    with torch.no_grad():
        for p in range(PARTS):
            seen = torch.cat([_unit(counts.masked_fill(part == p, 0)), known[test]], 1)
            rate = net(seen).exp()[:, part == p].numpy()
            layer[np.ix_(test, (part == p).numpy())] = expected_log1p(rate, data.size_factor[test])
    mdata["rna"].layers["predicted"] = layer
    mdata.uns["tilegrn"]["predict"] = {"size_factor": data.size_factor}
    return held_out_pearson(mdata)


def main() -> None:
    """Print the score of each fold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1], choices=range(len(FOLDS)))
    for fold in parser.parse_args().folds:
        print(f"{'/'.join(FOLDS[fold])}: {run(fold):.4f}", flush=True)


if __name__ == "__main__":
    main()
