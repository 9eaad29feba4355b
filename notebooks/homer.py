# %% [markdown]
# # Binding: HOMER, with and without HOMER
#
# Where a TF may bind is read off the sequence: HOMER's rule scores each position of a peak by a motif, and every score that reaches the motif's threshold is a
# hit. tilegrn has this rule built in, to the last hit ([benchmark](../docs/benchmarks/motif_scan.md)), and reads the output of a real HOMER.
# This page needs neither HOMER nor a download: `simulate` writes a genome and motifs.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tilegrn as grn

folder = Path(tempfile.mkdtemp())
mdata = grn.datasets.simulate(n_cells=400, n_genes=200, n_peaks=800, n_tfs=20, n_chroms=2, seed=0, folder=folder)
genome, motif_file = folder / "genome.fa", folder / "motifs.motif"
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Motifs
#
# HOMER's format: a consensus, a name, a threshold in natural logarithms, and a row of probabilities of A, C, G and T per position.

# %%
motifs = grn.io.read_motifs(motif_file)
print("\n".join(motif_file.read_text().splitlines()[:5]))
fig, axes = plt.subplots(1, 3, figsize=(11, 2), layout="constrained")
for motif, ax in zip(motifs, axes, strict=False):
    grn.pl.motif_logo(motif, ax)
plt.show()

# %% [markdown]
# ## Scanning
#
# `homer_binding` counts the hits of all motifs in all peaks, on both strands, sums motifs of one TF, and averages over the peaks of a window. The binding score is
# hits in the peak / hits of the TF over all peaks. Motif names are resolved to genes by a table; what is not resolved is told.

# %%
grn.pp.bin_peaks(mdata, folder / "genome.chrom.sizes")
grn.pp.tss_distance(mdata, folder / "tss.bed")
grn.pp.homer_binding(mdata, genome, motif_file)

# %%
scanned = grn.get.binding(mdata)
scanned.sort_values("homer_binding_score", ascending=False).head()

# %% [markdown]
# The hits one by one, and as a picture of a gene's surroundings: TSSs, windows, peaks, and hits by strand.

# %%
peaks = mdata["atac"].var_names.str.extract(r"(?P<chrom>.+):(?P<start>\d+)-(?P<end>\d+)")
peaks = peaks.astype({"start": int, "end": int}).assign(name=mdata["atac"].var_names)
hits = pd.concat(grn.motifs.find_hits(genome, peaks, motifs), ignore_index=True)
print(f"{len(hits):,} hits of {hits['motif'].nunique()} motifs in {hits['interval'].nunique()} peaks")
hits.head()

# %%
at_tss = grn.get.peak_tg(mdata).query("TSS_dist == 0").set_index("peak_id")["target_id"]
gene = at_tss[hits["interval"][hits["interval"].isin(at_tss.index)].value_counts().index[0]]
grn.pl.motif_hits(mdata, gene=gene, hits=hits, flank=6_000, max_motifs=8)
plt.show()

# %% [markdown]
# The rule by hand, for one peak and one motif: the sum of ln(max(p, 0.001) / 0.25) over the positions, on either strand, against the threshold.

# %%
first = hits.iloc[0]
motif = next(m for m in motifs if m.name == first["motif"])
strand = (
    first["sequence"] if first["strand"] == "+" else first["sequence"][::-1].translate(str.maketrans("ACGT", "TGCA"))
)
by_hand = sum(
    np.log(max(row["ACGT".index(base)], 0.001) / 0.25) for row, base in zip(motif.probabilities, strand, strict=True)
)
print(
    f"{first['sequence']} ({first['strand']}): by hand {by_hand:.6f}, tilegrn {first['score']:.6f}, threshold {motif.threshold:.6f}"
)

# %% [markdown]
# ## With a HOMER that runs elsewhere
#
# Write the peaks, run HOMER on a cluster, and read what comes back. `grn.io.run_homer` does all three where HOMER is installed.

# %%
grn.io.write_homer_peaks(mdata, folder / "peaks.bed")
print("\n".join((folder / "peaks.bed").read_text().splitlines()[:3]))

# %% [markdown]
# ```console
# annotatePeaks.pl peaks.bed genome.fa -m motifs.motif -nmotifs -noann -nogene > annotated.txt
# ```
#
# HOMER is not installed here, so this cell writes a table of that form itself, of the counts found above: peaks in another order, starts counted
# from 1, nine columns before the counts, and a header for each motif.

# %%
counts = hits.groupby(["interval", "motif"], observed=True).size().unstack(fill_value=0)
counts = counts.reindex(index=mdata["atac"].var_names, columns=[m.name for m in motifs], fill_value=0)
table = peaks[["chrom", "start", "end"]].set_axis(["Chr", "Start", "End"], axis=1)
table = table.assign(Start=table["Start"] + 1, Strand="+")
table.insert(
    0, "PeakID (cmd=annotatePeaks.pl peaks.bed genome.fa -m motifs.motif -nmotifs -noann -nogene)", counts.index
)
table["Peak Score"], table["Focus Ratio/Region Size"], table["CpG%"], table["GC%"] = 0, "NA", 0.02, 0.5
for name in counts:
    table[f"{name} Distance From Peak(sequence,strand,conservation)"] = counts[name].to_numpy()
table.sample(frac=1, random_state=0).to_csv(folder / "annotated.txt", sep="\t", index=False)
table.iloc[:3, 1:11]

# %% [markdown]
# `read_homer` makes the long table of it, with the peaks' names as they are in the data, and `add_binding` takes it.

# %%
annotated = grn.io.read_homer(folder / "annotated.txt", peaks=mdata)
annotated.head()

# %%
read = grn.pp.add_binding(mdata, annotated, copy=True)
difference = abs(read["atac"].varm["homer_binding_score"] - mdata["atac"].varm["homer_binding_score"]).max()
print(f"largest difference between the two ways: {difference:.1e}")

# %% [markdown]
# ## Your own genome and motifs
#
# ```python
# grn.pp.homer_binding(mdata, "mm10.fa", "known.motifs")            # FASTA or 2bit; HOMER's motif file
# grn.io.read_motifs("JASPAR2024.jaspar", pvalue=1e-4)             # other formats: thresholds from a p-value
# grn.pp.homer_binding(mdata, "mm10.2bit", grn.io.jaspar_motifs())  # JASPAR's collection, with pyjaspar
# ```
