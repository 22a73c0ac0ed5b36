//! The breaker over simulated time, and against a model that only remembers what happened.

use std::panic::catch_unwind;

use super::*;

const PATIENCE: u64 = 1000;
const EVERY: u64 = 5000;

fn machine() -> Machine {
    Machine::new(Breaker::default())
}

/// A machine that has just asked, at the time zero.
fn suspicious() -> Machine {
    let mut machine = machine();
    for _ in 1..3 {
        assert_eq!(machine.timed_out(0), Step::Nothing);
    }
    assert_eq!(machine.timed_out(0), Step::Ask);
    machine
}

fn open() -> Machine {
    let mut machine = suspicious();
    assert_eq!(machine.tick(PATIENCE), Step::Opened);
    machine
}

/// Timeouts alone refuse nothing: only a question that got no answer does.
#[test]
fn only_a_mount_that_does_not_answer_is_refused() {
    let mut machine = suspicious();
    assert!(!machine.refuses());
    assert_eq!(machine.tick(PATIENCE - 1), Step::Nothing);
    assert_eq!(machine.timed_out(PATIENCE - 1), Step::Nothing);
    assert!(!machine.refuses());
    assert_eq!(machine.tick(PATIENCE), Step::Opened);
    assert_eq!(machine.state(), BreakerState::Open);
}

/// A mount on which only some files hang is asked, answers, and is asked again much later.
#[test]
fn a_mount_that_answers_stays_in_use() {
    let mut machine = suspicious();
    assert_eq!(machine.answered(), Step::Nothing);
    assert!(machine.is_calm());
    assert_eq!(machine.tick(10 * PATIENCE), Step::Nothing);
    assert_eq!(machine.timed_out(10 * PATIENCE), Step::Nothing);
    assert_eq!(machine.state(), BreakerState::Closed);
}

/// A success between two timeouts begins the count anew.
#[test]
fn only_timeouts_in_a_row_count() {
    let mut machine = machine();
    for round in 0..100 {
        assert_eq!(machine.timed_out(round), Step::Nothing);
        assert_eq!(machine.timed_out(round), Step::Nothing);
        assert_eq!(machine.answered(), Step::Nothing);
    }
}

/// The answer closes it, however late; until then time changes nothing and no second question is put.
#[test]
fn an_answer_closes_it_at_once_and_nothing_else_does() {
    let mut machine = open();
    for now in [PATIENCE, PATIENCE + EVERY, u64::MAX] {
        assert_eq!(machine.tick(now), Step::Nothing);
        assert_eq!(machine.timed_out(now), Step::Nothing);
        assert!(machine.refuses());
    }
    assert_eq!(machine.answered(), Step::Closed);
    assert!(machine.is_calm());
}

/// A question that could not be put while the mount is in use does not refuse it: the next timeout asks.
#[test]
fn without_a_question_nothing_is_refused() {
    let mut machine = suspicious();
    machine.came_to_nothing(0);
    assert_eq!(machine.tick(10 * PATIENCE), Step::Nothing);
    assert!(!machine.refuses());
    assert_eq!(machine.timed_out(10 * PATIENCE), Step::Ask);
}

/// A question that came to nothing while the mount is refused is put again after a while, and half-open is
/// what the mount is until that has got no answer either.
#[test]
fn a_question_that_came_to_nothing_is_put_again() {
    let mut machine = open();
    machine.came_to_nothing(PATIENCE);
    assert_eq!(machine.tick(PATIENCE + EVERY - 1), Step::Nothing);
    assert_eq!(machine.state(), BreakerState::Open);
    assert_eq!(machine.tick(PATIENCE + EVERY), Step::Ask);
    assert_eq!(machine.state(), BreakerState::HalfOpen);
    assert_eq!(machine.tick(PATIENCE + EVERY + PATIENCE), Step::Nothing);
    assert_eq!(machine.state(), BreakerState::Open);
    assert_eq!(machine.answered(), Step::Closed);
}

/// Settings out of all reason overflow nothing.
#[test]
fn endless_patience_never_opens() {
    let mut machine = Machine::new(Breaker {
        timeouts: 1,
        probe_patience: Duration::MAX,
        probe_every: Duration::MAX,
    });
    assert_eq!(machine.timed_out(1), Step::Ask);
    assert_eq!(machine.tick(u64::MAX - 1), Step::Nothing);
    assert!(!machine.refuses());
}

/// What happened, from which the model says what has to be.
#[derive(Default)]
struct Model {
    /// Since the last answer.
    timeouts: u32,
    /// Since when a question is with the mount.
    asked: Option<u64>,
    /// When the mount was first found not to answer, since its last answer.
    refused: bool,
}

impl Model {
    fn look(&mut self, now: u64) {
        self.refused |= self.asked.is_some_and(|asked| now >= asked + PATIENCE);
    }

    fn state_fits(&self, machine: &Machine) -> bool {
        let settled = self.asked.is_none() || self.refused;
        machine.refuses() == self.refused
            && (machine.state() != BreakerState::HalfOpen || self.asked.is_some())
            && (machine.is_calm() == (self.timeouts == 0 && settled && !self.refused))
    }
}

/// Plays one random sequence against the model.
fn play(seed: u64) {
    let mut random = crate::sys::linux::sim::Random(seed);
    let (mut machine, mut model) = (machine(), Model::default());
    let mut now = 0;
    for _ in 0..200 {
        now += random.pick(&[0, 1, 30, 500, PATIENCE, EVERY]);
        let step = match random.below(10) {
            0..=3 => {
                let step = machine.timed_out(now);
                if model.asked.is_none() && !model.refused {
                    model.timeouts += 1;
                }
                step
            }
            4..=7 => {
                model.look(now);
                machine.tick(now)
            }
            8 => {
                let was = std::mem::take(&mut model);
                let step = machine.answered();
                assert_eq!(step == Step::Closed, was.refused);
                step
            }
            _ => {
                if model.asked.take().is_some() {
                    machine.came_to_nothing(now);
                    if !model.refused {
                        model.timeouts = 2;
                    }
                }
                Step::Nothing
            }
        };
        if step == Step::Ask {
            assert!(model.asked.is_none(), "two questions at a time");
            assert!(model.timeouts >= 3, "asked without a reason");
            model.asked = Some(now);
        }
        assert!(step != Step::Opened || model.refused, "refused too early");
        assert!(model.state_fits(&machine), "{machine:?} at {now}");
    }
}

/// Whatever happens in whatever order: one question at a time, none without a reason, refused if and only
/// if a question got no answer in time, and used again after every answer. `TIDEGATE_SEED` plays one again.
#[test]
fn the_machine_does_as_the_model_says() {
    let one = std::env::var("TIDEGATE_SEED").ok();
    if let Some(seed) = one.and_then(|seed| seed.parse().ok()) {
        return play(seed);
    }
    for seed in 0..5_000 {
        if let Err(panic) = catch_unwind(|| play(seed)) {
            eprintln!("failed with TIDEGATE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
