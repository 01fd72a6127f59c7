//! `alluvium-bench` against the broker alone, with so little work that only the results count.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::{BENCH, BROKER};

/// What is measured.
const ALONE: [&str; 4] = ["--servers", "alluvium", "--alluvium", BROKER];

/// Every kind of work, and every parameter.
const CASES: [&str; 14] = [
    "xadd:clients=3",
    "xadd:pipeline=4:keys=50:clients=3",
    "xadd:maxlen=100:size=16:clients=3:backlog=200",
    "xadd:clients=3:rate=500",
    "xadd:clients=2:threads=2",
    "xadd:clients=2:backlog=100:rate=500:background=asked",
    "xadd:pipeline=16:mode=moonshot",
    "group:count=10:clients=3:backlog=500",
    "fanout:clients=4",
    "delivery:clients=4:rate=500",
    "range:count=10:clients=3:backlog=500",
    "scan:count=100:clients=3:backlog=500",
    "mixed:count=10:clients=5:backlog=500",
    "claim:count=100:clients=3:backlog=500",
];

fn bench(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BENCH);
    command
        .args(arguments)
        .args(["--dir"])
        .arg(dir)
        .current_dir(dir);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_kind_of_work_is_measured_and_found_again_in_the_results() {
    let home = tempfile::tempdir().unwrap();
    let mut arguments = ALONE.to_vec();
    arguments.extend([
        "--modes",
        "everysec",
        "--rounds",
        "1",
        "--seconds",
        "0.2",
        "--warmup",
        "0",
    ]);
    arguments.extend(["--json", "out.json", "--html", "out.html"]);
    arguments.extend(CASES.iter().flat_map(|case| ["--case", case]));
    let output = bench(home.path(), &arguments);
    assert!(output.status.success(), "{}", said(&output));

    let results = json(&home.path().join("out.json"));
    let rows = results["results"].as_array().unwrap();
    let cases: Vec<_> = rows
        .iter()
        .map(|row| row["case"].as_str().unwrap())
        .collect();
    assert_eq!(cases, CASES);
    for row in rows {
        assert!(row["per_second"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["anonymous_mib"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["disk_mib"].as_f64().unwrap() > 0.0, "{row}");
        for latency in row["latencies"].as_array().unwrap() {
            let ns = |name: &str| latency[format!("{name}_ns")].as_u64().unwrap();
            assert!(ns("p50") > 0, "{row}");
            assert!(ns("p50") <= ns("p99") && ns("p99") <= ns("p99.9"), "{row}");
            assert!(ns("p99.9") <= ns("max"), "{row}");
        }
    }
    let page = fs::read_to_string(home.path().join("out.html")).unwrap();
    for case in CASES {
        assert!(page.contains(case), "{case} is not on the page");
    }
    assert!(page.contains("<svg"));
    let table = String::from_utf8(output.stdout).unwrap();
    for case in CASES {
        assert!(table.contains(&format!("| {case} | alluvium |")), "{table}");
    }
}

#[test]
fn a_restart_is_timed_until_all_entries_are_there() {
    let home = tempfile::tempdir().unwrap();
    let mut arguments = ALONE.to_vec();
    arguments.extend(["--modes", "always", "--rounds", "2"]);
    arguments.extend(["--case", "restart:backlog=500", "--json", "out.json"]);
    let output = bench(home.path(), &arguments);
    assert!(output.status.success(), "{}", said(&output));
    let row = &json(&home.path().join("out.json"))["results"][0];
    assert_eq!(row["rounds"], 2);
    assert_eq!(row["latencies"][0]["latency_of"], "start");
}

#[test]
fn the_backlog_is_measured_and_put_into_a_document() {
    let home = tempfile::tempdir().unwrap();
    let document = home.path().join("page.md");
    fs::write(
        &document,
        "# Page\n<!-- figures: backlog -->\nstale\n<!-- end of figures -->\n",
    )
    .unwrap();
    let mut arguments = vec!["backlog", "--scale", "0.00005"];
    arguments.extend(ALONE);
    arguments.extend(["--rows", "stream,streams,pending,trimmed"]);
    arguments.extend(["--json", "out.json", "--markdown", "page.md"]);
    let output = bench(home.path(), &arguments);
    assert!(output.status.success(), "{}", said(&output));

    let results = json(&home.path().join("out.json"));
    let rows = results["results"].as_array().unwrap();
    let of = |figure: &str| -> Vec<&Json> {
        rows.iter().filter(|row| row["figure"] == figure).collect()
    };
    let sizes: Vec<_> = of("stream.killed")
        .iter()
        .map(|row| row["at"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [50, 250, 1000]);
    for figure in [
        "stream.scan_cold",
        "streams.killed",
        "pending.xautoclaim",
        "trimmed.disk",
    ] {
        let value = of(figure)[0]["values"]["alluvium"].as_f64().unwrap();
        assert!(value > 0.0, "{figure}");
    }
    assert_eq!(of("pending.memory")[0]["met"], true);
    // There is nobody to compare with.
    assert_eq!(of("stream.disk")[0]["met"], Json::Null);
    let page = fs::read_to_string(&document).unwrap();
    assert!(
        page.contains("pending entries: anonymous memory") && !page.contains("stale"),
        "{page}"
    );
}

#[test]
fn a_server_that_does_not_start_fails_the_run_and_is_named_with_its_last_words() {
    let home = tempfile::tempdir().unwrap();
    let mut arguments = ALONE.to_vec();
    arguments.extend(["--alluvium-arg", "--nonsense"]);
    arguments.extend(["--case", "xadd", "--rounds", "1"]);
    let output = bench(home.path(), &arguments);
    assert!(!output.status.success());
    let said = said(&output);
    assert!(
        said.contains("xadd alluvium always round 1: FAILED"),
        "{said}"
    );
    assert!(said.contains("nonsense"), "{said}");
}

#[test]
fn help_and_the_list_name_what_there_is() {
    let home = tempfile::tempdir().unwrap();
    let shown = |arguments: &[&str]| {
        let output = Command::new(BENCH)
            .args(arguments)
            .current_dir(home.path())
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(shown(&["--help"]).contains("--suite NAME"));
    assert!(shown(&["backlog", "--help"]).contains("--rows LIST"));
    let list = shown(&["--list"]);
    assert!(list.contains("xadd:pipeline=16:mode=moonshot"), "{list}");
    assert!(
        list.contains("pending: 5 million pending entries"),
        "{list}"
    );
}
