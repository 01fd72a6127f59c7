//! Small workloads, cut at every single storage call: most mistakes in a protocol show in a few
//! steps, if all ways to cut them are tried.
//!
//! The workloads hold every kind of operation after every other (with `ALLUVIUM_THOROUGH=1` every
//! three in a row), at most [`OPS`] of them each. For each call of a workload the world ends there;
//! what the disk keeps is decided by several seeds; the recovery is cut as well, each time at
//! another call; and what is found then must be the state after all that was acknowledged, or after
//! one operation more. Writes go on afterwards, and survive the next crash.

use super::damage::is_thorough;
use super::*;
use crate::Retention;

/// Operations of a workload, those that make something to work on included.
const OPS: usize = 20;

/// A kind of operation; what it works on depends on its number in the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Add,
    /// So much that the segment has no room for another.
    AddLarge,
    /// Several changes as one, more than a segment holds.
    Transaction,
    Deliver,
    /// One of three messages, which may have been sent before.
    AddOnce,
    Ack,
    AckAndDelete,
    GiveBack,
    Claim,
    CreateGroup,
    RemoveGroup,
    Trim,
    Delete,
    Copy,
    Rename,
    Remove,
    Expire,
    SetRetention,
    Retain,
    Flush,
    Sort,
    Checkpoint,
    Reopen,
}

const KINDS: [Kind; 23] = [
    Kind::Add,
    Kind::AddLarge,
    Kind::Transaction,
    Kind::Deliver,
    Kind::AddOnce,
    Kind::Ack,
    Kind::AckAndDelete,
    Kind::GiveBack,
    Kind::Claim,
    Kind::CreateGroup,
    Kind::RemoveGroup,
    Kind::Trim,
    Kind::Delete,
    Kind::Copy,
    Kind::Rename,
    Kind::Remove,
    Kind::Expire,
    Kind::SetRetention,
    Kind::Retain,
    Kind::Flush,
    Kind::Sort,
    Kind::Checkpoint,
    Kind::Reopen,
];

/// What every workload begins with.
const SETUP: [Kind; 4] = [Kind::Add, Kind::CreateGroup, Kind::Add, Kind::Deliver];

/// A sequence in which every `order` kinds stand side by side once (de Bruijn; built by the rule
/// "prefer the largest", Martin 1934).
fn sequence(order: usize) -> Vec<Kind> {
    let mut seen = std::collections::HashSet::new();
    let mut numbers = vec![0; order - 1];
    loop {
        let tail = numbers[numbers.len() + 1 - order..].to_vec();
        let next = (0..KINDS.len()).rev().find(|&next| {
            let window = [&tail[..], &[next]].concat();
            seen.insert(window)
        });
        match next {
            Some(next) => numbers.push(next),
            None => break,
        }
    }
    numbers.into_iter().map(|number| KINDS[number]).collect()
}

/// Workloads in which every `order` kinds follow one another somewhere.
fn workloads(order: usize) -> Vec<Vec<Kind>> {
    let sequence = sequence(order);
    let step = OPS - SETUP.len() - (order - 1);
    let starts = (0..sequence.len()).step_by(step);
    let piece = |start: usize| {
        let end = sequence.len().min(start + step + order - 1);
        [&SETUP, &sequence[start..end]].concat()
    };
    starts.map(piece).collect()
}

#[test]
fn every_kind_of_operation_follows_every_other() {
    let workloads = workloads(2);
    assert!(workloads.iter().all(|workload| workload.len() <= OPS));
    for first in KINDS {
        for second in KINDS {
            let is_there =
                |workload: &Vec<Kind>| workload.windows(2).any(|it| it == [first, second]);
            assert!(workloads.iter().any(is_there), "{first:?} {second:?}");
        }
    }
}

/// An engine that a workload may close and open again.
struct Runner<'a> {
    storage: &'a SimulatedStorage,
    policy: SyncPolicy,
    engine: Option<Engine>,
}

impl<'a> Runner<'a> {
    fn open(storage: &'a SimulatedStorage, policy: SyncPolicy) -> Result<Self> {
        let mut runner = Self {
            storage,
            policy,
            engine: None,
        };
        runner.reopen()?;
        Ok(runner)
    }

    fn reopen(&mut self) -> Result<()> {
        if let Some(engine) = self.engine.take() {
            engine.close()?;
        }
        let options = Options {
            sync_policy: self.policy,
            checkpoint_on_close: true,
            ..options()
        };
        self.engine = Some(open_with(self.storage, options)?);
        Ok(())
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("open between operations")
    }

    fn run(&mut self, kind: Kind, number: u64) -> Result<()> {
        match kind {
            Kind::Reopen => self.reopen(),
            Kind::Sort => super::sorting::sort(self.engine()),
            Kind::Checkpoint => self.engine().checkpoint().map(drop),
            _ => {
                let mut batch = self.engine().lock();
                batch.set_now(5_000 + number);
                let ran = command(&mut batch, kind, number);
                let lsn = batch.end_command();
                drop(batch);
                ran?;
                self.engine().submit();
                self.engine().wait_settled(lsn)
            }
        }
    }
}

/// Runs one command. That there is nothing to work on is no failure.
fn command(batch: &mut Batch<'_>, kind: Kind, number: u64) -> Result<()> {
    let add = |batch: &mut Batch<'_>, len: usize| {
        let value = vec![b'a' + u8::try_from(number % 26).unwrap(); len];
        batch.add(0, KEY, NewId::Auto, &[b"f", &value]).map(drop)
    };
    let id = |back: u64| EntryId::new(5_000 + number.saturating_sub(back), 0);
    let done = match kind {
        Kind::Add => add(batch, 100),
        Kind::AddLarge => add(batch, 3000),
        Kind::Transaction => {
            add(batch, 2500)?;
            add(batch, 2500)?;
            batch.ack(0, KEY, GROUP, &[id(3), id(4), id(5)]).map(drop)
        }
        Kind::AddOnce => {
            let message = crate::Message {
                producer: b"till",
                iid: &[u8::try_from(number % 3).unwrap()],
            };
            batch.add_once(0, KEY, message, &[b"f", b"v"]).map(drop)
        }
        Kind::Trim => {
            let trim = Trim {
                strategy: TrimStrategy::MaxLen(2),
                approximate: false,
                limit: None,
                references: crate::RefPolicy::Keep,
            };
            batch.trim(0, KEY, trim).map(drop)
        }
        Kind::Delete => batch.delete_entries(0, KEY, &[id(1), id(4)]).map(drop),
        Kind::Copy => batch.copy(0, KEY, 0, b"copy"),
        Kind::Rename => batch.rename(0, b"copy", 0, KEY),
        Kind::Remove => batch.remove(0, KEY).map(drop),
        Kind::Expire => batch.set_expiry(0, KEY, Some(5_000 + number + 3)).map(drop),
        Kind::SetRetention => {
            let retention = Retention {
                length: Some(1 + number % 3),
                acked: Some(number.is_multiple_of(2)),
                ..Retention::default()
            };
            batch.set_retention(0, KEY, retention)
        }
        Kind::Retain => batch.retain_due(8).map(drop),
        Kind::Flush => batch.flush(Some(0)),
        _ => group_command(batch, kind, number),
    };
    match done {
        Err(Error::NoSuchKey | Error::NoSuchGroup | Error::GroupExists | Error::KeyExists) => {
            Ok(())
        }
        done => done,
    }
}

/// Runs one command of a group.
fn group_command(batch: &mut Batch<'_>, kind: Kind, number: u64) -> Result<()> {
    let id = |back: u64| EntryId::new(5_000 + number.saturating_sub(back), 0);
    match kind {
        Kind::Deliver => {
            let deliver = Deliver {
                count: Some(2),
                noack: number.is_multiple_of(5),
                ..Deliver::default()
            };
            batch.deliver(0, KEY, member(b"alice"), deliver).map(drop)
        }
        Kind::Ack => batch.ack(0, KEY, GROUP, &[id(2), id(3), id(6)]).map(drop),
        Kind::AckAndDelete => {
            let delete = crate::Delete {
                ids: &[id(1), id(2), id(5)],
                references: crate::RefPolicy::Drop,
            };
            batch.ack_and_delete(0, KEY, GROUP, delete).map(drop)
        }
        Kind::GiveBack => {
            let ids: Vec<_> = (1..4).map(id).collect();
            let give_back = crate::GiveBack {
                ids: &ids,
                fault: crate::Fault::Entry,
                delivery_count: None,
                force: number.is_multiple_of(2),
            };
            batch.give_back(0, KEY, GROUP, &give_back).map(drop)
        }
        Kind::Claim => {
            let ids: Vec<_> = (1..8).map(id).collect();
            let claim = crate::Claim {
                ids: &ids,
                force: number.is_multiple_of(2),
                ..crate::Claim::default()
            };
            batch.claim(0, KEY, member(b"bob"), &claim).map(drop)
        }
        Kind::CreateGroup => {
            let (id, entries_read) = (EntryId::MIN, Some(0));
            batch.create_group(0, KEY, GROUP, Cursor { id, entries_read })
        }
        Kind::RemoveGroup => batch.remove_group(0, KEY, GROUP).map(drop),
        _ => unreachable!("not a command of a group"),
    }
}

/// How a run ends, and how much of it has to be there again.
#[derive(Clone, Copy, Debug)]
enum End {
    /// A power cut under `always`: all that was acknowledged.
    PowerCut,
    /// The end of the process under `everysec`: all that was acknowledged.
    Kill,
    /// A power cut under `everysec`: all up to some point, in order.
    PowerCutUnsynced,
}

impl End {
    fn policy(self) -> SyncPolicy {
        match self {
            End::PowerCut => SyncPolicy::Always,
            End::Kill | End::PowerCutUnsynced => SyncPolicy::EverySecond,
        }
    }
}

/// What is to be seen before a workload and after each operation; and the number of calls.
fn pictures_of(workload: &[Kind], policy: SyncPolicy) -> (Vec<String>, u64) {
    let storage = SimulatedStorage::new();
    let mut runner = Runner::open(&storage, policy).unwrap();
    let mut pictures = vec![sight(runner.engine())];
    for (number, &kind) in workload.iter().enumerate() {
        runner.run(kind, number as u64).unwrap();
        pictures.push(sight(runner.engine()));
    }
    (pictures, storage.calls())
}

/// What is to be seen, but for when consumers were last seen: if nothing came of that, no reply
/// waits for it.
fn sight(engine: &Engine) -> String {
    let picture = picture(engine);
    let mut parts = picture.split("seen_ms: ");
    let first = parts.next().unwrap_or_default().to_owned();
    let after_number = |part: &str| {
        part.trim_start_matches(|c: char| c.is_ascii_digit())
            .to_owned()
    };
    parts.fold(first, |sight, part| sight + &after_number(part))
}

/// Cuts a workload at call `at`, recovers with a cut in between, and looks.
fn cut(workload: &[Kind], pictures: &[String], end: End, (at, seed): (u64, u64)) {
    let storage = SimulatedStorage::new();
    storage.crash_at(at);
    let mut acked = 0;
    if let Ok(mut runner) = Runner::open(&storage, end.policy()) {
        let numbered = workload.iter().zip(0..);
        acked = numbered
            .take_while(|&(&kind, number)| runner.run(kind, number).is_ok())
            .count();
    }
    let after = |storage: &SimulatedStorage, seed| match end {
        End::Kill => storage.kill(),
        End::PowerCut | End::PowerCutUnsynced => storage.crash(seed),
    };
    let storage = after(&storage, at * 7 + seed);
    // Another call each time: over a workload, every call of a recovery is met.
    storage.crash_at((at * 3 + seed) % 13);
    drop(open(&storage));
    let storage = after(&storage, seed);
    let engine = open(&storage).unwrap();
    let found = sight(&engine);
    let from = match end {
        End::PowerCut | End::Kill => acked,
        End::PowerCutUnsynced => 0,
    };
    let expected = &pictures[from..pictures.len().min(acked + 2)];
    assert!(
        expected.contains(&found),
        "{workload:?} {end:?}, call {at}, seed {seed}, {acked} acknowledged: found\n{found}\n\
         not one of\n{expected:?}"
    );
    assert!(engine.recovery().losses.is_empty());
    commit(&engine, |batch| add(batch, 9_000, 10).map(drop)).unwrap();
    let found = picture(&engine);
    drop(engine);
    let engine = open(&storage.crash(seed)).unwrap();
    assert_eq!(picture(&engine), found, "{workload:?} {end:?} {at} {seed}");
}

/// Cuts all of the workloads at each call; how many cuts that were.
fn cut_everywhere(end: End) -> u64 {
    let (order, seeds) = if is_thorough() { (3, 6) } else { (2, 2) };
    let mut cuts = 0;
    for workload in workloads(order) {
        let (pictures, calls) = pictures_of(&workload, end.policy());
        for at in 0..calls {
            for seed in 0..seeds {
                cut(&workload, &pictures, end, (at, seed));
                cuts += 1;
            }
        }
    }
    println!(
        "{end:?}: {cuts} cuts of {} workloads",
        workloads(order).len()
    );
    cuts
}

/// Durability: P1, P4, P6, P7, C1, C2, C3, C4, C5, C6, C7, C8, C9.
#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_call() {
    assert!(cut_everywhere(End::PowerCut) > 1500);
}

/// Durability: P2, P4, P6, P7.
#[test]
fn what_was_written_survives_a_kill_at_every_call() {
    assert!(cut_everywhere(End::Kill) > 1500);
}

/// Durability: P3, P4.
#[test]
fn a_power_cut_without_syncs_takes_the_end_and_nothing_from_the_middle() {
    assert!(cut_everywhere(End::PowerCutUnsynced) > 1500);
}
