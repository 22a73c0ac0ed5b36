//! The engine over a simulated kernel: whatever the kernel does, every operation ends once, and no memory
//! is freed that the kernel may touch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[path = "cells_sim_tests.rs"]
mod cells;

use super::{Engine, Start, Token};
use crate::base::errno;
use crate::base::lock::lock;
use crate::driver::job::Job;
use crate::driver::job::Outcome;
use crate::driver::job::load::OnWorker;
use crate::driver::job::mock::Mock;
use crate::mounts::Mount;
use crate::observe::SharedCounters;
use crate::sys::linux::sim::{Faults, Kernel, Random, SimRing, chain};
use crate::sys::linux::sqe::{Link, Sqe};
use crate::sys::request::Part;

/// What became of one operation.
#[derive(Clone, Debug, Default)]
struct Record {
    ended: Vec<String>,
    dropped: bool,
}

type Records = Arc<Mutex<Vec<Record>>>;

/// An operation whose memory is watched.
struct Watched {
    id: usize,
    records: Records,
    abandoned: AtomicBool,
    mount: Arc<Mount>,
    /// How entries after the first are linked to it.
    links: Vec<Link>,
    /// Members that it was told of.
    told: Mutex<Vec<usize>>,
}

impl Watched {
    fn job(records: &Records, links: Vec<Link>, given_up: bool) -> (usize, Arc<dyn Job>) {
        let mut all = lock(records);
        all.push(Record::default());
        let id = all.len() - 1;
        let watched = Watched {
            id,
            records: records.clone(),
            abandoned: AtomicBool::new(given_up),
            mount: Mount::unknown(),
            links,
            told: Mutex::default(),
        };
        (id, Arc::new(watched))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&self.records)[self.id].dropped = true;
    }
}

impl Mock for Watched {
    fn began_ms(&self) -> u64 {
        1 + self.id as u64
    }

    fn is_unwanted(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }

    fn for_rings(&self) -> Option<(Sqe, &Arc<Mount>)> {
        let links = self.links.iter();
        let entry = links.fold(Sqe::nop(), |all, link| all.then(*link, Sqe::nop()));
        Some((entry, &self.mount))
    }

    /// Each member tells of itself once, before the end.
    fn completes(&self, part: Part) {
        assert!(lock(&self.records)[self.id].ended.is_empty());
        let mut told = lock(&self.told);
        assert!(part.member <= self.links.len() && !told.contains(&part.member));
        told.push(part.member);
    }

    fn ends(self: Arc<Self>, outcome: Outcome) {
        let what = match &outcome {
            Outcome::Lost(_) => "lost".into(),
            Outcome::Result(number) => {
                let told = lock(&self.told).len();
                let is_sent = *number != -errno::ECANCELED || told > 0;
                let all = self.links.len() + 1;
                assert!(self.links.is_empty() || !is_sent || told == all);
                format!("result {number}")
            }
            other => format!("{other:?}"),
        };
        lock(&self.records)[self.id].ended.push(what);
        if matches!(outcome, Outcome::Lost(_)) {
            // As the cell does with its operation.
            std::mem::forget(self);
        }
    }
}

/// An engine, its kernel, and what the test expects of them.
struct World {
    random: Random,
    kernel: Arc<Mutex<Kernel>>,
    engine: Engine<SimRing>,
    records: Records,
    /// The operation of each user data that was ever given out.
    ids: HashMap<u64, usize>,
    /// User data of the entries that a cancel in flight is for.
    cancelled: Vec<u64>,
    capacity: usize,
    foreign: usize,
    broken: bool,
    /// How many entries an operation has at most.
    members_max: usize,
    /// Completions of operations that were reaped after the ring broke.
    late: usize,
    /// Whether nobody waits for the operations.
    given_up: bool,
}

impl World {
    fn new(seed: u64, capacity: usize, faults: Faults) -> World {
        let kernel = Kernel::new(seed ^ 0x5eed, capacity, faults);
        World {
            random: Random(seed),
            engine: Engine::new(SimRing(kernel.clone()), SharedCounters::default(), 64),
            kernel,
            records: Records::default(),
            ids: HashMap::new(),
            cancelled: Vec::new(),
            capacity,
            foreign: 0,
            broken: false,
            members_max: 1,
            late: 0,
            given_up: false,
        }
    }

    fn links(&mut self) -> Vec<Link> {
        let count = self.random.below(self.members_max);
        let links = [Link::Soft, Link::Hard];
        (0..count).map(|_| self.random.pick(&links)).collect()
    }

    /// Offers an operation; returns its user data if it was admitted.
    fn start(&mut self) -> Option<u64> {
        let links = self.links();
        let is_linked = !links.is_empty();
        let (id, job) = Watched::job(&self.records, links, self.given_up);
        match self.engine.start(job, Some(OnWorker::Async)) {
            Start::Queued(token) => {
                let user_data = token.user_data();
                assert_ne!(user_data, 0);
                let before = self.ids.insert(user_data, id);
                assert_eq!(before, None, "user data was used twice");
                Some(user_data)
            }
            Start::Over(..) => panic!("nobody gives up here"),
            Start::Full(job) => {
                let full = !self.engine.has_room() || self.engine.has_queued();
                assert!(self.broken || full || is_linked && !self.engine.has_room_for_any());
                lock(&self.records)[id].ended.push("refused".into());
                drop(job);
                None
            }
        }
    }

    fn is_over(&self, user_data: u64) -> bool {
        !lock(&self.records)[self.ids[&user_data]].ended.is_empty()
    }

    fn cancel(&mut self, user_data: u64) {
        if let (false, Some((_, token, _))) = (self.is_over(user_data), Token::decode(user_data)) {
            let members = self.engine.slots.cancellable(token);
            self.cancelled
                .extend(members.map(|member| token.of_member(member)));
        }
        self.engine.cancel(user_data);
    }

    fn enter(&mut self, completions: u32) {
        let Err(error) = self.engine.enter(completions) else {
            return;
        };
        if self.broken {
            return;
        }
        self.broken = true;
        let taken = lock(&self.kernel).taken.clone();
        for job in self.engine.break_up(&error).deliver() {
            job.end(Outcome::Result(-errno::ECANCELED));
        }
        self.check_break_up(&taken);
    }

    /// What the kernel took is lost, what it did not take comes back, and nothing is in between.
    fn check_break_up(&mut self, taken: &[u64]) {
        assert_eq!(self.engine.in_flight(), 0);
        let records = lock(&self.records).clone();
        for (user_data, id) in &self.ids {
            let record = &records[*id];
            match record.ended.as_slice() {
                [one] if one == "lost" => {
                    assert!(taken.contains(user_data) && !record.dropped, "{record:?}");
                }
                [_one] => {}
                other => panic!("{other:?} when the ring broke"),
            }
        }
        let enters = lock(&self.kernel).enters;
        assert!(self.engine.enter(0).is_err());
        assert_eq!(
            lock(&self.kernel).enters,
            enters,
            "a broken ring was entered"
        );
    }

    fn reap(&mut self) {
        let before = lock(&self.kernel).reaped();
        let reaped = self.engine.reap();
        if self.broken {
            self.late += lock(&self.kernel).reaped() - before;
        }
        self.foreign += reaped.foreign;
        reaped.deliver();
    }

    /// What holds at every moment.
    fn check(&mut self) {
        assert!(self.engine.in_flight() <= self.capacity);
        let records = lock(&self.records);
        assert!(
            records.iter().all(|record| record.ended.len() <= 1),
            "ended twice: {records:?}"
        );
        let held = lock(&self.kernel).holds();
        let held: Vec<u64> = held.into_iter().map(chain).collect();
        for id in held.iter().filter_map(|user_data| self.ids.get(user_data)) {
            assert!(!records[*id].dropped, "freed while the kernel had it");
        }
        let ops_held = held
            .iter()
            .filter(|user_data| self.ids.contains_key(user_data))
            .count();
        assert!(ops_held <= self.capacity, "more in flight than slots");
    }

    fn step(&mut self) {
        match self.random.below(8) {
            0..=2 => drop(self.start()),
            3 if !self.ids.is_empty() => {
                let all: Vec<u64> = self.ids.keys().copied().collect();
                let newest = all
                    .iter()
                    .copied()
                    .max_by_key(|user_data| self.ids[user_data]);
                let user_data = match self.random.percent(50) {
                    true => newest.expect("there is one"),
                    false => {
                        let mut all = all;
                        all.sort_unstable();
                        self.random.pick(&all)
                    }
                };
                self.cancel(user_data);
            }
            3 | 4 => self.enter(0),
            5 => self.enter(1),
            6 => self.reap(),
            _ => {
                let by_ms = self.random.below(30) as u64;
                lock(&self.kernel).advance(by_ms);
            }
        }
        self.check();
    }

    /// Without further faults, everything ends that should.
    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.enter(0);
            self.reap();
        }
    }

    fn settle(&mut self) {
        lock(&self.kernel).faults = Faults::default();
        for round in 0.. {
            self.enter(0);
            lock(&self.kernel).advance(10);
            self.reap();
            self.check();
            if round == 50 {
                self.check_cancels();
                lock(&self.kernel).release();
            }
            if round > 50 && self.engine.in_flight() == 0 && lock(&self.kernel).holds().is_empty() {
                break;
            }
            assert!(round < 500, "something never ends");
        }
    }

    /// INV-11: the kernel got each cancel, unless the operation was over first.
    fn check_cancels(&self) {
        let delivered = lock(&self.kernel).cancels.clone();
        for user_data in &self.cancelled {
            assert!(
                delivered.contains(user_data) || self.is_over(chain(*user_data)),
                "a cancel was lost"
            );
        }
    }

    /// What holds when all is over.
    fn check_end(&mut self) {
        assert_eq!(self.engine.in_flight(), 0);
        assert_eq!(
            self.foreign_expected(),
            self.foreign,
            "late completions were not counted"
        );
        for (id, record) in lock(&self.records).iter().enumerate() {
            assert_eq!(
                record.ended.len(),
                1,
                "operation {id} ended {:?}",
                record.ended
            );
            assert_eq!(
                record.dropped,
                record.ended[0] != "lost",
                "operation {id}: {record:?}"
            );
        }
    }

    /// Replayed completions, and those that came after the ring broke.
    fn foreign_expected(&self) -> usize {
        lock(&self.kernel).replayed + self.late
    }
}

fn faults(random: &mut Random) -> Faults {
    let mut chance = |most: usize| {
        if random.percent(50) {
            random.below(most)
        } else {
            0
        }
    };
    Faults {
        never: chance(40),
        delayed: chance(80),
        failing: chance(50),
        temporary: chance(60),
        partial: chance(80),
        fatal: if chance(2) == 1 { 3 } else { 0 },
        replayed: chance(30),
    }
}

fn simulate(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let capacity = random.pick(&[1, 2, 3, 8, 32]);
    let faults = faults(&mut random);
    let mut world = World::new(random.below(usize::MAX) as u64, capacity, faults);
    world.members_max = random.pick(&[1, 2, 5]).min(capacity);
    (0..40 + random.below(80)).for_each(|_| world.step());
    world.settle();
    world.check_end();
}

/// INV-1 to INV-6 and INV-11 over many kernels, with `enter_faults` of each sort. `TIDEGATE_SEED` runs one again.
#[test]
fn every_operation_ends_once_whatever_the_kernel_does() {
    const SEEDS: u64 = 10_000;
    if let Some(seed) = std::env::var("TIDEGATE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        return simulate(seed);
    }
    for seed in 0..SEEDS {
        if let Err(panic) = std::panic::catch_unwind(|| simulate(seed)) {
            eprintln!("failed with TIDEGATE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The queue is full and the kernel has no room for a while: all of a thousand cancels arrive (INV-11).
#[test]
fn cancels_are_delivered_though_the_queue_is_full() {
    let faults = Faults {
        never: 100,
        temporary: 100,
        ..Faults::default()
    };
    let mut world = World::new(1, 1000, faults);
    let started: Vec<u64> = std::iter::from_fn(|| world.start()).collect();
    assert_eq!(started.len(), 1000);
    for &user_data in &started {
        world.cancel(user_data);
        world.enter(0);
    }
    assert_eq!(lock(&world.kernel).cancels, [0; 0]);
    lock(&world.kernel).faults.temporary = 0;
    world.enter(0);
    assert_eq!(lock(&world.kernel).cancels, started);
    world.settle();
    world.check_end();
}

/// A worker hands its operation over to a poll while the cancel comes: the next cancel reaches it (INV-11).
#[test]
fn what_a_cancel_missed_is_cancelled_again() {
    let faults = Faults {
        never: 100,
        ..Faults::default()
    };
    let mut world = World::new(7, 100, faults);
    let started: Vec<u64> = std::iter::from_fn(|| world.start()).collect();
    world.enter(0);
    for user_data in started {
        world.cancel(user_data);
    }
    world.turns(20);
    let missed = lock(&world.kernel).wakeable();
    assert!(!missed.is_empty() && world.engine.has_missed());
    world.engine.cancel_missed();
    world.turns(20);
    assert_eq!(lock(&world.kernel).wakeable(), [0; 0]);
    assert!(missed.into_iter().all(|user_data| world.is_over(user_data)));
    world.settle();
    world.check_end();
}

/// A cancel ends one entry, and the next begins: that is cancelled, too, up to the last, which tidies up (INV-11).
#[test]
fn what_begins_after_its_cancel_is_cancelled() {
    let mut begun_late = 0;
    for seed in 0..100 {
        let faults = Faults {
            never: 100,
            // Of every other kernel: it has no room just now, or a signal came.
            temporary: seed as usize % 2 * 60,
            ..Faults::default()
        };
        let mut world = World::new(seed, 32, faults);
        (world.members_max, world.given_up) = (5, true);
        let started: Vec<u64> = std::iter::from_fn(|| world.start()).collect();
        world.enter(0);
        for user_data in started {
            world.cancel(user_data);
        }
        world.turns(60);
        let held = lock(&world.kernel).running();
        for user_data in held {
            let (_, token, member) = Token::decode(user_data).unwrap();
            let is_cancellable = world.engine.slots.cancellable(token).any(|at| at == member);
            begun_late += usize::from(member > 0);
            let reached = &lock(&world.kernel).reached;
            assert!(!is_cancellable || reached.contains(&user_data), "{member}");
        }
        world.settle();
        world.check_end();
    }
    assert!(begun_late > 100, "{begun_late} began late");
}

/// Completions whose futures are not polled hold no room: the slots are free once they are reaped.
#[test]
fn reaped_operations_hold_no_capacity() {
    let mut world = World::new(2, 4, Faults::default());
    let mut waiting = Vec::new();
    for _ in 0..5 {
        assert_eq!(std::iter::from_fn(|| world.start()).count(), 4);
        world.enter(0);
        while world.engine.in_flight() > 0 {
            waiting.push(world.engine.reap());
        }
    }
    waiting.into_iter().for_each(super::Reaped::deliver);
    world.settle();
    world.check_end();
}

/// A panic that unwinds a lane drops its engine; what the kernel has stays allocated (INV-6).
#[test]
fn an_engine_dropped_in_flight_frees_nothing_the_kernel_has() {
    let faults = Faults {
        never: 100,
        ..Faults::default()
    };
    let mut world = World::new(3, 4, faults);
    let taken = world
        .start()
        .map(|user_data| world.ids[&user_data])
        .unwrap();
    world.enter(0);
    let queued = world
        .start()
        .map(|user_data| world.ids[&user_data])
        .unwrap();
    drop(world.engine);
    let records = lock(&world.records);
    assert!(!records[taken].dropped);
    assert!(records[queued].dropped, "the kernel never had it");
}
