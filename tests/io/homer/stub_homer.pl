#!/usr/bin/env perl
# Stands in for HOMER's annotatePeaks.pl and findMotifsGenome.pl: same arguments, same output, same habits with file
# names (back-ticks, two-argument open) and errors (exit 0). Scores words as HOMER does.
use strict; use warnings; use File::Basename;
my $mode = $ENV{STUB_MODE} || '';
my $find = basename($0) =~ /^findMotifs/;
my ($peaks, $genome) = @ARGV;
my %opt; my $i = $find ? 3 : 2;
while ($i < @ARGV) { my $o = $ARGV[$i++]; $opt{$o} = ($i < @ARGV && $ARGV[$i] !~ /^-/) ? $ARGV[$i++] : 1; }
my $mfile = $opt{'-m'} || $opt{'-find'};
print STDERR "\tPeak file = $peaks\n\n\tGenome = $genome\n";
my $n = `wc -l < "$peaks"`; $n += 0;                       # a shell sees the name
if ($mode eq 'hang') { print STDERR "\tThinking...\n"; `sleep 600`; }
if ($mode eq 'exit3') { print STDERR "!!! something is wrong\n"; exit 3; }
if ($mode eq 'signal') { kill 'KILL', $$; sleep 5; }
if ($mode eq 'silent') { print STDERR "!!!!Genome $genome not found in config.txt\n"; exit; }
if ($mode eq 'nohomer2') { `homer2-is-not-here-homer2 find`; print STDERR "sh: 1: homer2: not found\n"; }
my (%seq, $c);
if (! -e $genome) { print STDERR "!!!!Genome $genome not found in config.txt\n"; exit; }
open IN, $genome or exit;                                   # two-argument open
while (<IN>) { chomp; if (/^>(\S+)/) { $c = $1; } else { $seq{$c} .= $_; } } close IN;
my (@names, %mat, %thr);
open IN, $mfile or exit;
while (<IN>) { chomp; my @f = split /\t/;
  if (/^>/) { push @names, $f[1] unless exists $thr{$f[1]}; push @{$thr{$f[1]}}, $f[2]; push @{$mat{$f[1]}}, []; }
  else { push @{$mat{$names[-1]}[-1]}, [map { log(($_ > 0.001 ? $_ : 0.001) / 0.25) } @f]; } } close IN;
my %col = (A => 0, C => 1, G => 2, T => 3);
sub hits { my ($m, $t, $s) = @_; my $k = 0; my $r = reverse $s; $r =~ tr/ACGT/TGCA/;
  for my $x ($s, $r) { POS: for my $p (0 .. length($x) - @$m) { my $v = 0;
    for my $j (0 .. $#$m) { my $b = $col{substr($x, $p + $j, 1)}; next POS unless defined $b; $v += $m->[$j][$b]; }
    $k++ if $v >= $t; } } return $k; }
my @rows;
open IN, $peaks or exit;
while (<IN>) { chomp; my ($chr, $s, $e, $id) = split /\t/; push @rows, [$id, $chr, $s, $e]; } close IN;
@rows = reverse @rows;                                      # rows come back in another order
pop @rows if $mode eq 'missing';
push @rows, ['stranger', 'chr1', 5, 50] if $mode eq 'extra';
pop @names if $mode eq 'nomotif';
my $out = '';
if ($find) { $out = "PositionID\tOffset\tSequence\tMotif Name\tStrand\tMotifScore\n"; }
else { $out = join("\t", "PeakID (cmd=annotatePeaks.pl @ARGV)", 'Chr', 'Start', 'End', 'Strand', 'Peak Score',
  'Focus Ratio/Region Size', 'CpG%', 'GC%', map { "$_ Distance From Peak(sequence,strand,conservation)" } @names) . "\n"; }
for my $row (@rows) { my ($id, $chr, $s, $e) = @$row;
  if ($opt{'-size'} && $opt{'-size'} ne 'given') { my $h = int($opt{'-size'} / 2); my $mid = int(($s + 1 + $e) / 2); ($s, $e) = ($mid - $h - 1, $mid + $h); }
  my $sq = substr($seq{$chr} // '', $s, $e - $s); $sq =~ tr/acgt/N/ if $opt{'-mask'}; $sq = uc $sq;
  my @n; for my $m (@names) { my $k = 0; $k += hits($mat{$m}[$_], $thr{$m}[$_], $sq) for 0 .. $#{$thr{$m}};
    push @n, $k; if ($find) { $out .= "$id\t0\tACGT\t$m\t+\t1.0\n" x $k; } }
  my $gc = ($mode eq 'nogc' || ($mode eq 'onegc' && $id eq 'p0')) ? 'NA' : '0.5';
  $out .= join("\t", $id, $chr, $s + 1, $e, '+', 0, 'NA', $gc, $gc, @n) . "\n" unless $find; }
$out = substr($out, 0, length($out) - 7) if $mode eq 'cut';
print $out;
`ls found/*.nothing`; # good runs say "No such file" too
