//! Real operations over the simulated kernel, in simulated time: deadlines, cancels, drops, late completions,
//! a ring that breaks and a handle that is closed, in random order.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::faults;
use crate::base::clock::NEVER;
use crate::base::clock::simulated::NOW_US;
use crate::base::errno;
use crate::base::lock::lock;
use crate::driver::core::Driver;
use crate::driver::job::load::{OnWorker, Share};
use crate::driver::job::{Job, Outcome};
use crate::driver::mount::group::Group;
use crate::driver::ring::engine::{Engine, Start};
use crate::driver::runtimes::Home;
use crate::driver::task::cell::Cell;
use crate::driver::task::in_flight::InFlight;
use crate::driver::task::op::Op;
use crate::driver::task::scope::Why;
use crate::limits;
use crate::mounts::Mount;
use crate::observe::SharedCounters;
use crate::opcode::Kind;
use crate::settings::{Route, Settings, Submit};
use crate::sys::linux::sim::{Faults, Kernel, Random, SimRing};
use crate::sys::request::{self, FdRef, Request};

const GRACE_US: u64 = limits::CANCEL_GRACE.as_micros() as u64;
/// Far beyond the time of the process, whose own watchdog has no part in this.
const BEGIN_US: u64 = 1 << 50;

/// A read into a buffer whose end is counted.
struct Watched {
    kind: Kind,
    read: request::Read<Vec<u8>>,
    drops: Arc<AtomicUsize>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

impl Op for Watched {
    type Output = io::Result<i32>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.read
    }

    fn is_kept(&self) -> bool {
        self.kind == Kind::Close
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<i32> {
        result
    }

    fn lost(error: io::Error) -> io::Result<i32> {
        Err(error)
    }
}

/// One operation, from both sides.
struct Watching {
    cell: Arc<Cell<Watched>>,
    future: Option<InFlight<Watched>>,
    drops: Arc<AtomicUsize>,
    due_us: u64,
    /// When it was given up, by a deadline or a cancel.
    given_up_us: Option<u64>,
    /// Whether the ring was told of that.
    is_cancelled: bool,
    user_data: Option<u64>,
    is_lost: bool,
}

struct World {
    random: Random,
    now_us: u64,
    kernel: Arc<Mutex<Kernel>>,
    engine: Engine<SimRing>,
    driver: Arc<Driver>,
    group: Arc<Group>,
    zeros: FdRef,
    all: Vec<Watching>,
    /// What found no room in the ring.
    inbox: VecDeque<usize>,
    broken: bool,
}

impl World {
    fn new(seed: u64, capacity: usize, faults: Faults, zeros: FdRef) -> World {
        let kernel = Kernel::new(seed ^ 0x5eed, capacity, faults);
        let settings = Settings::default();
        let driver = Driver::new(Home::Outside, Route::Pool, Submit::Auto, 0, settings).unwrap();
        NOW_US.set(Some(BEGIN_US));
        World {
            random: Random(seed),
            now_us: BEGIN_US,
            engine: Engine::new(SimRing(kernel.clone()), SharedCounters::default(), 64),
            kernel,
            group: driver.group(&Mount::unknown()),
            driver,
            zeros,
            all: Vec::new(),
            inbox: VecDeque::new(),
            broken: false,
        }
    }

    fn begin(&mut self) {
        let kind = self
            .random
            .pick(&[Kind::Read, Kind::Read, Kind::SyncData, Kind::Close]);
        let due_us = match self.random.below(4) {
            0 => NEVER,
            _ => self.now_us + self.random.below(40_000) as u64,
        };
        let drops = Arc::<AtomicUsize>::default();
        let read = request::Read::new(self.zeros.clone(), vec![0; 64], request::Place::Stream);
        let op = Watched {
            kind,
            read,
            drops: drops.clone(),
        };
        let (driver, group) = (self.driver.clone(), self.group.clone());
        let cell = Cell::new(
            op,
            driver,
            group,
            true,
            Some(due_us),
            std::time::Instant::now(),
        );
        self.all.push(Watching {
            future: Some(InFlight::new(cell.clone())),
            cell,
            drops,
            due_us,
            given_up_us: None,
            is_cancelled: false,
            user_data: None,
            is_lost: false,
        });
        self.inbox.push_back(self.all.len() - 1);
        self.submit();
    }

    /// As a lane does it.
    fn submit(&mut self) {
        while let Some(index) = self.inbox.pop_front() {
            let job: Arc<dyn Job> = self.all[index].cell.clone();
            if job.is_over() {
                continue;
            }
            if self.broken || self.driver.is_closed() {
                job.end(Outcome::Result(-errno::ECANCELED));
                continue;
            }
            match self.engine.start(job.clone(), Some(OnWorker::Plain)) {
                Start::Queued(token) => {
                    job.set_user_data(token.user_data());
                    self.all[index].user_data = Some(token.user_data());
                }
                Start::Full(_) => return self.inbox.push_front(index),
                Start::Over(job, outcome) => job.end(outcome),
            }
        }
    }

    /// The time has come for some of them, as the watchdog sees it.
    fn tick(&mut self, by_ms: u64) {
        lock(&self.kernel).advance(by_ms);
        self.now_us += by_ms * 1000;
        NOW_US.set(Some(self.now_us));
        for job in self.driver.registry.take_due(self.now_us) {
            job.expire(self.now_us);
        }
        let now_us = self.now_us;
        for one in &mut self.all {
            if one.due_us <= now_us {
                one.given_up_us.get_or_insert(now_us);
            }
        }
    }

    /// What was given up is cancelled in the ring, as `Way::cancel` does it.
    fn deliver_cancels(&mut self) {
        for one in &mut self.all {
            if let (Some(user_data), false) = (one.user_data, one.is_cancelled) {
                if one.cell.is_given_up() && !one.cell.is_kept() {
                    one.is_cancelled = true;
                    self.engine.cancel(user_data);
                }
            }
        }
    }

    fn enter(&mut self, completions: u32) {
        let Err(error) = self.engine.enter(completions) else {
            return;
        };
        if self.broken {
            return;
        }
        self.broken = true;
        let (taken, live) = (lock(&self.kernel).taken.clone(), self.engine.live());
        for one in &mut self.all {
            let is_lost = |data| taken.contains(&data) && live.contains(&data);
            one.is_lost = one.user_data.is_some_and(is_lost);
        }
        for job in self.engine.break_up(&error).deliver() {
            job.end(Outcome::Result(-errno::ECANCELED));
        }
    }

    /// Polls what is waited for. What was given up long enough ago is ready.
    fn poll(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for (index, one) in self.all.iter_mut().enumerate() {
            let Some(future) = &mut one.future else {
                continue;
            };
            match Pin::new(future).poll(&mut cx) {
                Poll::Ready(_) => one.future = None,
                Poll::Pending => {
                    let is_late = |at_us| at_us + GRACE_US <= self.now_us;
                    let is_late = one.given_up_us.is_some_and(is_late);
                    assert!(!is_late, "operation {index} is not answered in time");
                }
            }
        }
    }

    fn check(&self) {
        let held = lock(&self.kernel).holds();
        for (index, one) in self.all.iter().enumerate() {
            let drops = one.drops.load(Ordering::SeqCst);
            assert!(drops <= 1, "operation {index} was freed {drops} times");
            let is_held = one.user_data.is_some_and(|data| held.contains(&data));
            // A ring that gave it back does not have it any more.
            let is_free = drops == 0 || !is_held;
            assert!(
                is_free,
                "operation {index} was freed while the kernel had it"
            );
        }
    }

    fn step(&mut self) {
        let some = match self.all.len() {
            0 => None,
            count => Some(self.random.below(count)),
        };
        match (self.random.below(40), some) {
            (0..=11, _) => self.begin(),
            (12..=17, _) => {
                // In steps of the grace at most, as a deadline is kept that exactly.
                let by_ms = 1 + self.random.below(3) as u64;
                self.tick(by_ms);
            }
            (18..=20, Some(index)) => {
                self.all[index].cell.give_up(Why::Cancelled);
                self.all[index].given_up_us.get_or_insert(self.now_us);
            }
            (21..=23, Some(index)) => self.all[index].future = None,
            (24..=29, _) => self.enter(0),
            (30 | 31, _) => self.enter(1),
            (32..=37, _) => self.engine.reap().deliver(),
            (38, _) if self.random.percent(4) => {
                self.driver.close();
                self.engine.cancel_all();
            }
            _ => self.submit(),
        }
        self.deliver_cancels();
        if self.random.percent(70) {
            self.poll();
        }
        self.check();
    }

    /// The kernel ends what it has, and everything is as if nothing had been.
    fn settle(&mut self) {
        lock(&self.kernel).faults = Faults::default();
        for round in 0.. {
            self.submit();
            self.deliver_cancels();
            self.enter(0);
            self.tick(2);
            self.engine.reap().deliver();
            self.poll();
            self.check();
            if round == 30 {
                lock(&self.kernel).release();
            }
            if self.all.iter().all(|one| one.cell.is_over()) && round > 30 {
                break;
            }
            assert!(round < 100_000, "something never ends");
            // Those that went elsewhere have real threads.
            std::thread::yield_now();
        }
        self.poll();
        while self.driver.counters.in_flight() > 0 || !self.driver.registry.jobs().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(self.driver.stats().orphans, 0);
        assert_eq!(self.group.stuck_count(Share::Thread), 0);
        self.driver.close();
        for (index, one) in self.all.iter_mut().enumerate() {
            assert!(one.future.is_none(), "operation {index} was never answered");
            let (drops, expected) = (one.drops.clone(), usize::from(!one.is_lost));
            while drops.load(Ordering::SeqCst) < expected {
                std::thread::yield_now();
            }
            assert_eq!(drops.load(Ordering::SeqCst), expected, "operation {index}");
        }
    }
}

fn simulate(seed: u64, zeros: &FdRef) {
    let mut random = Random(seed.wrapping_mul(0x9e6c_63d0_876a_4b91));
    let capacity = random.pick(&[1, 2, 8, 32]);
    let faults = faults(&mut random);
    let seed = random.below(usize::MAX) as u64;
    let mut world = World::new(seed, capacity, faults, zeros.clone());
    (0..60 + random.below(120)).for_each(|_| world.step());
    world.settle();
}

/// INV-1, INV-5, INV-7, INV-11 and the bound of every wait. `TIDEGATE_SEED` runs one again.
#[test]
fn every_future_is_answered_once_and_in_time() {
    const SEEDS: u64 = 600;
    let zeros: FdRef = Arc::new(std::fs::File::open("/dev/zero").unwrap());
    let seed = std::env::var("TIDEGATE_SEED").ok();
    if let Some(seed) = seed.and_then(|seed| seed.parse().ok()) {
        return simulate(seed, &zeros);
    }
    for seed in 0..SEEDS {
        let run = std::panic::AssertUnwindSafe(|| simulate(seed, &zeros));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("failed with TIDEGATE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
