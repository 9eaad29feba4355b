"""Text outputs of the MEME suite with two motifs of 3 and 2 positions, in the layout of each program."""

RULE, STARS = "-" * 80, "*" * 80
MATRIX = " 0.7 0.1 0.1 0.1\n 0.1 0.7 0.1 0.1\n 0.1 0.1 0.799 0.001\n"
SECOND = " 0.1 0.1 0.1 0.7\n 0 0 0 1\n"
SCORES = "    80  -1000  -1000  -1000 \n -1000     80  -1000  -1000 \n -1000  -1000     80  -1000 \n"
BITS = """         bits    2.1
                 1.9 *
Relative         1.0 **
Entropy
(8.1 bits)       0.0 ---

Multilevel           ACG
consensus             T
sequence
"""
DESCRIPTION = """Simplified        A  7:1
pos.-specific     C  17:
probability       G  ::8
matrix            T  :11

"""
SITES = """Sequence name             Start   P-value               Site
-------------             ----- ---------            --------
12                           15  1.95e-06 TTATTTAGCA ACG TAAACCAG
"""
DIAGRAM = """SEQUENCE NAME            POSITION P-VALUE  MOTIF DIAGRAM
-------------            ----------------  -------------
12                                  2e-06  14_[1]_30
"""
TRAINING = """PRIMARY SEQUENCES= x.fa
CONTROL SEQUENCES= --none--
ALPHABET= ACGT
Sequence name            Weight Length  Sequence name            Weight Length
-------------            ------ ------  -------------            ------ ------
"""
SUMMARY = """SEQUENCE NAME            COMBINED P-VALUE  MOTIF DIAGRAM
-------------            ----------------  -------------
12                               3.48e-02  26
MOTIF 9                          3.48e-02  26
"""


def _title(text):
    return f"{STARS}\n{text}\n{STARS}\n"


def _part(text, content):
    return f"{RULE}\n\t{text}\n{RULE}\n{content}{RULE}\n\n"


def _motif(header, width, rows, scores):
    name = "Motif " + " ".join(header.split("width")[0].split()[1:])
    numbers = f"alength= 4 w= {width} nsites= 20 E= 1.3e-019 \n"
    return "".join(
        [
            _title(header),
            _part(f"{name} Description", DESCRIPTION + BITS),
            _part(f"{name} sites sorted by position p-value", SITES),
            _part(f"{name} block diagrams", DIAGRAM),
            _part(f"{name} in BLOCKS format", f"BL   MOTIF {name} width={width} seqs=1\n12 (   15) ACG  1 \n//\n"),
            _part(f"{name} position-specific scoring matrix", f"log-odds matrix: {numbers}{scores}"),
            _part(f"{name} position-specific probability matrix", f"letter-probability matrix: {numbers}{rows}"),
            _part(f"{name} regular expression", "A[CT]G\n"),
            "\n\nTime  1.23 secs.\n\n",
        ]
    )


def full_meme(header_1, header_2, *, version, n_lines=300):
    """MEME's own text output, section by section; as many lines of training sequences."""
    names = "".join(f"{i}                        1.0000    100  {i}b        1.0000    100\n" for i in range(n_lines))
    return "".join(
        [
            _title("MEME - Motif discovery tool"),
            f"MEME version {version} (Release date: Sun Oct 1 2023)\n\nFor further information see there.\n",
            _title("REFERENCE"),
            "If you use this program in your research, please cite:\n\n",
            _title("TRAINING SET"),
            TRAINING + names,
            _title("COMMAND LINE SUMMARY"),
            "command: meme x.fa -dna -nmotifs 2\n\nmodel:  mod= zoops  nmotifs= 2\nstrands: + -\n",
            "Background letter frequencies (from file dataset):\nA 0.25 C 0.25 G 0.25 T 0.25 \n",
            _motif(header_1, 3, MATRIX, SCORES),
            _motif(header_2, 2, SECOND, " -50 -50 -50 80 \n -1000 -1000 -1000 120 \n"),
            _title("SUMMARY OF MOTIFS"),
            _part("Combined block diagrams: non-overlapping sites with p-value < 0.0001", SUMMARY),
            f"{STARS}\nCPU: x\n",
        ]
    )


STREME = f"""{STARS}
STREME - Sensitive, Thorough, Rapid, Enriched Motif Elicitation
{STARS}
MEME version 5.5.5 (Release date: Sun Oct 1 2023)

ALPHABET= ACGT
strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF 1-ACG STREME-1
letter-probability matrix: alength= 4 w= 3 nsites= 523 E= 2.3e-009
{MATRIX}
MOTIF 2-TT STREME-2
letter-probability matrix: alength= 4 w= 2 nsites= 99 P= 2.3e-002
 0.1 0.1 0.1 0.7
 0 0 0 1

{STARS}
COMMAND:\tstreme --p x.fa
{STARS}
FINALTIME:\t1.2
"""
DREME = f"""# DREME 5.0.5
# command:   dreme -p x.fa
# positives: 20 from x.fa
# 2 motifs
MEME version 5.0.5

ALPHABET "DNA" DNA-LIKE
A "Adenine" CC0000 ~ T "Thymine" 008000
C "Cytosine" 0000CC ~ G "Guanine" FFB300
N "Any base" = ACGT
U = T
END ALPHABET

strands: + -

Background letter frequencies (from dataset):
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF ACG DREME-1

#             Word    RC Word        Pos        Neg    P-value    E-value
# BEST        ACG     CGT            10          0    1.1e-3     3.9e1
letter-probability matrix: alength= 4 w= 3 nsites= 10 E= 3.9e1
{MATRIX}

MOTIF TT DREME-2

# BEST        TT      AA             10          0    1.1e-3     3.9e1
letter-probability matrix: alength= 4 w= 2 nsites= 10 E= 3.9e1
0.1 0.1 0.1 0.7
0 0 0 1


Time 1.07 secs
"""
