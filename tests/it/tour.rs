//! Replays `docs/tour.md`: every command behind the prompt is sent, and the broker must answer what
//! the page shows. An ID of the page stands for the ID that was given here in the same place; idle
//! times are compared as numbers of any size.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use alluvium_tests::{Broker, Connection, printed, words};

use crate::BROKER;

const PAGE: &str = include_str!("../../docs/tour.md");
const PROMPT: &str = "127.0.0.1:6379> ";

/// A command of the page and the lines under it.
struct Exchange {
    command: String,
    shown: Vec<String>,
}

fn exchanges() -> Vec<Exchange> {
    let mut out: Vec<Exchange> = Vec::new();
    let mut is_inside = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if let Some(command) = line.strip_prefix(PROMPT) {
            out.push(Exchange {
                command: command.to_owned(),
                shown: Vec::new(),
            });
        } else if is_inside && !is_duration(line) {
            out.last_mut()
                .expect("output follows a command")
                .shown
                .push(line.to_owned());
        }
    }
    out
}

/// `(2.31s)`, which redis-cli prints under what took long.
fn is_duration(line: &str) -> bool {
    line.strip_prefix('(')
        .and_then(|rest| rest.strip_suffix("s)"))
        .is_some_and(|number| number.parse::<f64>().is_ok())
}

/// What stands between the quotes of a line, if it is an ID made by the clock.
fn clock_id(word: &str) -> Option<&str> {
    let word = word.trim_matches('"');
    let (ms, seq) = word.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (ms.len() == 13 && is_number(ms) && is_number(seq)).then_some(word)
}

/// The IDs of the page and those that they stand for.
#[derive(Default)]
struct Ids(HashMap<String, String>);

impl Ids {
    fn translated(&self, command: &str) -> Vec<String> {
        let known = |word: String| self.0.get(&word).cloned().unwrap_or(word);
        words(command).into_iter().map(known).collect()
    }

    fn assert_same(&mut self, exchange: &Exchange, found: &str) {
        let found: Vec<&str> = found.lines().collect();
        let command = &exchange.command;
        assert_eq!(exchange.shown.len(), found.len(), "{command}: {found:#?}");
        let mut is_idle = false;
        for (at, (shown, found)) in exchange.shown.iter().zip(found).enumerate() {
            let is_time = is_idle || is_pending_idle(command, at);
            is_idle = shown.ends_with("\"idle\"") || shown.ends_with("\"inactive\"");
            let (left, right) = (last_word(shown), last_word(found));
            assert_eq!(start_of(shown), start_of(found), "{command}");
            match (clock_id(left), clock_id(right)) {
                (Some(left), Some(right)) => {
                    let bound = self
                        .0
                        .entry(left.to_owned())
                        .or_insert_with(|| right.to_owned());
                    assert_eq!(bound, right, "{command}: {left} was another entry before");
                }
                _ if is_time => assert!(right.parse::<u64>().is_ok(), "{command}: {found}"),
                _ => assert_eq!(left, right, "{command}"),
            }
        }
    }
}

/// The third of the four lines of each entry that XPENDING lists.
fn is_pending_idle(command: &str, line: usize) -> bool {
    command.starts_with("XPENDING") && words(command).len() > 3 && line % 4 == 2
}

fn last_word(line: &str) -> &str {
    line.rsplit(' ').next().unwrap_or(line)
}

fn start_of(line: &str) -> &str {
    &line[..line.len() - last_word(line).len()]
}

fn wait_until_blocked(connection: &mut Connection) {
    let start = Instant::now();
    while !connection
        .ok("INFO clients")
        .text()
        .contains("\r\nblocked_clients:1\r\n")
    {
        assert!(start.elapsed() < Duration::from_secs(10), "nobody waits");
    }
}

#[test]
fn the_tour_shows_what_the_broker_answers() {
    let broker = Broker::start(BROKER, &[]);
    let mut terminal = broker.connect();
    let mut ids = Ids::default();
    let mut waiting: Option<(Connection, Exchange)> = None;
    let exchanges = exchanges();
    assert!(exchanges.len() > 20, "the page lost its commands");
    for exchange in exchanges {
        let args = ids.translated(&exchange.command);
        if exchange.command.contains(" BLOCK ") {
            let mut other = broker.connect();
            other.send(&args).unwrap();
            wait_until_blocked(&mut terminal);
            waiting = Some((other, exchange));
            continue;
        }
        // The tour claims of Josef what he has held for a second.
        if exchange.command.starts_with("XCLAIM") {
            std::thread::sleep(Duration::from_millis(1100));
        }
        let reply = terminal.call(&args).unwrap();
        ids.assert_same(&exchange, &printed(&reply));
        if let Some((mut other, exchange)) = waiting.take() {
            ids.assert_same(&exchange, &printed(&other.read().unwrap()));
        }
    }
}
