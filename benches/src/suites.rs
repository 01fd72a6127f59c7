//! Lists of cases with names, and what the comparison table should show.

use crate::cases::Case;
use crate::servers::Mode;

/// A row of the comparison table: the case, in words, and how many times as fast as Valkey Alluvium
/// should be under `always` and under `everysec`.
struct Goal {
    case: &'static str,
    title: &'static str,
    always: f64,
    everysec: f64,
}

const fn goal(case: &'static str, title: &'static str, always: f64, everysec: f64) -> Goal {
    Goal {
        case,
        title,
        always,
        everysec,
    }
}

/// The comparison table.
const GOALS: &[Goal] = &[
    goal("xadd", "XADD, no pipeline", 2.0, 1.1),
    goal("xadd:pipeline=16", "XADD, pipeline 16", 2.5, 2.0),
    goal(
        "xadd:pipeline=16:keys=100000",
        "XADD, pipeline 16, 100 000 keys",
        3.0,
        2.5,
    ),
    goal("group:count=10", "XREADGROUP COUNT 10 + XACK", 4.0, 2.5),
    goal(
        "group:count=1:backlog=100000",
        "XREADGROUP COUNT 1 + XACK",
        2.5,
        1.8,
    ),
    goal("range:count=10", "XRANGE COUNT 10 at random", 1.5, 1.5),
    goal("scan:count=1000", "scan by XRANGE COUNT 1000", 1.5, 1.5),
];

/// Every acknowledgement on the disk against no persistence.
const MOONSHOT: &[&str] = &["xadd:pipeline=16:mode=moonshot"];

/// The rows of the first table of the results: what people do most.
const FIRST: &[&str] = &["xadd", "xadd:pipeline=16", "group:count=10"];

/// The other workloads, with their names in words.
const MORE: &[(&str, &str)] = &[
    ("group:count=100", "XREADGROUP COUNT 100 + XACK"),
    (
        "xadd:pipeline=16:maxlen=10000",
        "XADD MAXLEN ~ 10000, pipeline 16",
    ),
    ("fanout", "one producer, 49 readers in XREAD BLOCK"),
    ("mixed", "20 producers, 20 workers, 10 range readers"),
    ("claim", "XAUTOCLAIM by 50 consumers"),
    (
        "delivery:clients=2:rate=1000",
        "1 producer, 1 reader in XREAD BLOCK, 1 000/s",
    ),
    (
        "delivery:clients=8:rate=10000",
        "4 producers, 4 readers in XREAD BLOCK, 10 000/s",
    ),
    ("xadd:rate=10000", "XADD at 10 000/s"),
    ("xadd:rate=20000", "XADD at 20 000/s"),
    ("restart", "start after kill -9, 1 000 000 entries"),
];

/// Latency over time while background work runs, and without.
const BACKGROUND: &[(&str, &str)] = &[
    (
        "xadd:backlog=500000:rate=20000:background=off",
        "XADD at 20 000/s, no background work",
    ),
    (
        "xadd:backlog=500000:rate=20000:background=asked",
        "XADD at 20 000/s, background work without pause",
    ),
];

/// One parameter varied, the rest fixed.
const SWEEPS: &[(&str, &str, &[u64])] = &[
    ("xadd", "pipeline", &[1, 2, 4, 8, 16, 32, 64]),
    ("xadd", "clients", &[1, 2, 5, 10, 20, 50, 100, 200]),
    ("xadd", "size", &[16, 100, 1024, 10_240, 102_400, 1_048_576]),
    ("xadd:pipeline=16", "backlog", &[10_000, 100_000, 1_000_000]),
    ("group:count=10", "backlog", &[10_000, 100_000, 1_000_000]),
    ("range:count=10", "backlog", &[10_000, 100_000, 1_000_000]),
    ("restart", "backlog", &[10_000, 100_000, 1_000_000]),
];

/// Server threads varied, on work that costs the server more than the load generator.
const THREADS: &[(&str, &str, &[u64])] = &[
    ("xadd:pipeline=16", "threads", &[1, 2]),
    ("range:count=100", "threads", &[1, 2]),
    ("group:count=10", "threads", &[1, 2]),
];

/// The names of the suites, with what they are.
pub(crate) const SUITES: &[(&str, &str)] = &[
    (
        "first",
        "XADD without pipeline and with 16, XREADGROUP COUNT 10 + XACK",
    ),
    ("table", "the comparison table with targets"),
    (
        "moonshot",
        "Alluvium with every acknowledgement on the disk, the others without persistence",
    ),
    (
        "more",
        "maxlen, fan-out, mixed, claims, delivery latency, fixed rates, restart",
    ),
    (
        "background",
        "latency over time beside checkpoints, sorting, snapshots and rewriting, and without",
    ),
    ("sweeps", "pipeline depth, connections, entry size, backlog"),
    ("threads", "one serving thread and two"),
    ("full", "all of the above"),
];

/// The cases of a suite.
pub(crate) fn suite(name: &str) -> Result<Vec<Case>, String> {
    let first_of = |list: &[(&'static str, &str)]| list.iter().map(|(case, _)| *case).collect();
    let texts: Vec<&str> = match name {
        "first" => FIRST.to_vec(),
        "table" => GOALS.iter().map(|goal| goal.case).collect(),
        "moonshot" => MOONSHOT.to_vec(),
        "more" => first_of(MORE),
        "background" => first_of(BACKGROUND),
        "sweeps" => return sweeps(SWEEPS),
        "threads" => return sweeps(THREADS),
        "full" => {
            let names = SUITES.iter().map(|(name, _)| *name);
            // `first` is a part of `table`.
            let parts = names.filter(|name| !matches!(*name, "first" | "full"));
            let cases: Result<Vec<_>, _> = parts.map(suite).collect();
            return Ok(cases?.concat());
        }
        _ => return Err(format!("unknown suite {name}")),
    };
    texts.into_iter().map(Case::parse).collect()
}

fn sweeps(of: &[(&str, &'static str, &[u64])]) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for &(base, parameter, values) in of {
        for value in values {
            let mut case = Case::parse(&format!("{base}:{parameter}={value}"))?;
            case.sweep = Some(parameter);
            cases.push(case);
        }
    }
    Ok(cases)
}

fn goal_of(label: &str) -> Option<&'static Goal> {
    GOALS.iter().find(|goal| goal.case == label)
}

/// A case in words, if there are any; else as it is written.
pub(crate) fn title(case: &Case) -> String {
    let label = case.label();
    let named = |list: &[(&str, &'static str)]| {
        list.iter()
            .find(|(known, _)| *known == label)
            .map(|(_, title)| *title)
    };
    let goal = goal_of(&label).map(|goal| goal.title);
    let title = goal.or_else(|| named(MORE)).or_else(|| named(BACKGROUND));
    let moonshot = MOONSHOT
        .contains(&label.as_str())
        .then_some("XADD, pipeline 16");
    title.or(moonshot).map_or(label, str::to_owned)
}

/// How many times as fast as Valkey Alluvium should be.
pub(crate) fn target(case: &Case, mode: Mode) -> Option<f64> {
    let label = case.label();
    if mode == Mode::Moonshot {
        return MOONSHOT.contains(&label.as_str()).then_some(1.0);
    }
    let goal = goal_of(&label)?;
    match mode {
        Mode::Always => Some(goal.always),
        Mode::EverySecond => Some(goal.everysec),
        Mode::None | Mode::Moonshot => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_names_cases_that_are_written_as_they_are_read() {
        for (name, _) in SUITES {
            for case in suite(name).unwrap() {
                let mut again = Case::parse(&case.label()).unwrap();
                again.sweep = case.sweep;
                assert_eq!(again, case);
            }
        }
        for case in GOALS
            .iter()
            .map(|goal| goal.case)
            .chain(MORE.iter().map(|(case, _)| *case))
        {
            assert_ne!(
                title(&Case::parse(case).unwrap()),
                case,
                "{case} has a title"
            );
        }
    }

    #[test]
    fn the_table_and_the_moonshot_have_targets() {
        for case in suite("table").unwrap() {
            assert!(target(&case, Mode::Always).is_some_and(|t| t >= 1.0));
            assert_eq!(target(&case, Mode::None), None);
        }
        let moonshot = &suite("moonshot").unwrap()[0];
        assert_eq!(target(moonshot, Mode::Moonshot), Some(1.0));
        assert_eq!(moonshot.modes(&[Mode::Always]), [Mode::Moonshot]);
    }
}
