"""Annotation of genomes: chromosome sizes, GTF files and TSS tables."""
