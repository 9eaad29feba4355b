"""Sequences by place: FASTA, block-gzipped FASTA and 2bit files."""
