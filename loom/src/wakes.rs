//! The watchdog is woken by what begins and by what is due earlier than it would look. A wake-up that is lost
//! leaves it asleep, which ends the model as a deadlock.

use std::sync::Arc;

use loom::thread::spawn;

use super::bell::Bell;
use super::sync::{AtomicU64, Ordering};

const NEVER: u64 = u64::MAX;

/// The bell, and what a registry and the counters of a driver say.
struct World {
    bell: Bell,
    due_us: AtomicU64,
    begun: AtomicU64,
}

fn world() -> Arc<World> {
    Arc::new(World {
        bell: Bell::new(),
        due_us: AtomicU64::new(NEVER),
        begun: AtomicU64::new(0),
    })
}

fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

impl World {
    /// As `Registry::note_due`.
    fn note(&self, due_us: u64) {
        self.due_us.fetch_min(due_us, Ordering::SeqCst);
        self.bell.call_by(due_us);
    }

    /// When the next deadline is. One that is wanted has come: there is no time here that would pass.
    fn next_us(&self, wanted_us: u64) -> u64 {
        match self.due_us.load(Ordering::SeqCst) {
            due_us if due_us <= wanted_us => 0,
            due_us => due_us,
        }
    }

    /// As `Watchdog::wait`, until it has seen that deadline.
    fn see_due(&self, wanted_us: u64) {
        while self.next_us(wanted_us) > 0 {
            self.bell.sleep(NEVER, 0, || self.next_us(wanted_us));
        }
    }
}

/// Deadlines that are noted while the watchdog goes to sleep, or wakes for another, are seen.
#[test]
fn a_deadline_is_seen_however_late_it_is_noted() {
    check(|| {
        let world = world();
        let noting = [20, 10].map(|due_us| {
            let world = world.clone();
            spawn(move || world.note(due_us))
        });
        world.see_due(10);
        noting.into_iter().for_each(|noted| noted.join().unwrap());
    });
}

/// What begins while the watchdog goes to sleep is seen.
#[test]
fn what_begins_is_seen() {
    check(|| {
        let world = world();
        let beginning = spawn({
            let world = world.clone();
            move || {
                world.begun.store(1, Ordering::SeqCst);
                world.bell.call();
            }
        });
        loop {
            world.bell.want_calls(true);
            if world.begun.load(Ordering::SeqCst) > 0 {
                break;
            }
            world.bell.sleep(NEVER, 0, || NEVER);
        }
        beginning.join().unwrap();
    });
}

/// A call is not taken for a deadline, nor the other way round.
#[test]
fn a_call_and_a_deadline_are_both_seen() {
    check(|| {
        let world = world();
        let others = [
            spawn({
                let world = world.clone();
                move || {
                    world.begun.store(1, Ordering::SeqCst);
                    world.bell.call();
                }
            }),
            spawn({
                let world = world.clone();
                move || world.note(10)
            }),
        ];
        loop {
            world.bell.want_calls(true);
            if world.begun.load(Ordering::SeqCst) > 0 {
                break;
            }
            // Woken for a deadline, it sleeps on until it is called.
            world
                .bell
                .sleep(NEVER, 0, || world.due_us.load(Ordering::SeqCst));
        }
        world.see_due(10);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
