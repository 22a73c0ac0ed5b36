//! The ids of buffer groups against a plain list of those that are free. The input chooses how many there are,
//! who comes and goes, and how time passes.

use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};

#[path = "../../src/mem/bgid.rs"]
#[allow(dead_code, reason = "the library uses the rest")]
mod bgid;
#[path = "../../src/limits.rs"]
#[allow(dead_code, reason = "most are of what is not here")]
mod limits;

use bgid::{Bgid, Bgids, Warning};

/// What the ids synchronise with.
mod sync {
    pub(super) use std::sync::Mutex;
    use std::sync::{MutexGuard, PoisonError};

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Steps of one sequence; what comes after is left out.
const STEPS_MAX: usize = 400;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    /// So many ask for an id.
    Acquire { count: u16 },
    /// One lets go.
    Release { which: u16 },
    /// The last so many let go, the latest first.
    ReleaseMany { count: u16 },
    /// Time passes.
    Wait { seconds: u8 },
}

struct Model {
    ids: Arc<Bgids>,
    cap: u32,
    /// In the order in which they are handed out, the next one last.
    free: Vec<u16>,
    held: Vec<Bgid>,
    exhausted: u64,
    peak: u32,
    now_ms: u64,
    /// Whether half was reached since somebody was told of it, or since it was less.
    half_is_news: bool,
    half_told_ms: Option<u64>,
    exhaustion_told_ms: Option<u64>,
}

impl Model {
    fn new(cap: u32) -> Model {
        Model {
            ids: Arc::new(Bgids::new(cap)),
            cap,
            free: (0..cap).rev().map(|id| id as u16).collect(),
            held: Vec::new(),
            exhausted: 0,
            peak: 0,
            now_ms: 0,
            half_is_news: false,
            half_told_ms: None,
            exhaustion_told_ms: None,
        }
    }

    fn acquire(&mut self) {
        match (self.ids.acquire(self.now_ms), self.free.pop()) {
            (Ok(mut id), Some(expected)) => {
                assert_eq!(id.id(), expected);
                let warning = id.take_warning();
                self.held.push(id);
                self.peak = self.peak.max(self.held.len() as u32);
                self.half_is_news |= self.held.len() as u32 == self.cap.div_ceil(2);
                let told = self.half_is_news && self.is_due(self.half_told_ms, 30);
                if told {
                    self.half_is_news = false;
                    self.half_told_ms = Some(self.now_ms);
                }
                assert_eq!(matches!(warning, Some(Warning::HalfUsed(_))), told);
            }
            (Err(refused), None) => {
                self.exhausted += 1;
                assert_eq!((refused.fresh_used, refused.free_list_len), (self.cap, 0));
                let told = self.is_due(self.exhaustion_told_ms, 60);
                if told {
                    self.exhaustion_told_ms = Some(self.now_ms);
                }
                assert_eq!(matches!(refused.warning, Some(Warning::Exhausted(_))), told);
            }
            (got, expected) => panic!("{got:?} and not {expected:?}"),
        }
    }

    fn is_due(&self, last_ms: Option<u64>, seconds: u64) -> bool {
        last_ms.is_none_or(|last| self.now_ms - last >= seconds * 1000)
    }

    fn release(&mut self, index: usize) {
        let id = self.held.swap_remove(index);
        self.free.push(id.id());
        drop(id);
        self.half_is_news &= self.held.len() as u32 >= self.cap.div_ceil(2);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Acquire { count } => (0..=count % 700).for_each(|_| self.acquire()),
            Step::Release { which } if !self.held.is_empty() => {
                self.release(usize::from(which) % self.held.len());
            }
            Step::Release { .. } => {}
            Step::ReleaseMany { count } => {
                for _ in 0..self.held.len().min(usize::from(count)) {
                    self.release(self.held.len() - 1);
                }
            }
            Step::Wait { seconds } => self.now_ms += u64::from(seconds) * 1000,
        }
    }

    fn check(&self) {
        let now = self.ids.snapshot();
        assert_eq!(now.exhausted, self.exhausted);
        assert_eq!(now.in_flight as usize, self.held.len());
        assert_eq!(now.peak, self.peak);
        assert_eq!(now.remaining as usize, self.free.len());
    }
}

/// Runs an input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // Mostly few, so that they run out; now and then all of them.
    let cap = match input.int_in_range(0..=9).unwrap_or(0) {
        0 => limits::BUFFER_GROUPS_MAX,
        1..=4 => input.int_in_range(1..=8).unwrap_or(1),
        _ => input.int_in_range(1..=4000).unwrap_or(1),
    };
    let mut model = Model::new(cap);
    for _ in 0..STEPS_MAX {
        let Ok(step) = Step::arbitrary(&mut input) else {
            break;
        };
        model.take(step);
        model.check();
        if input.is_empty() {
            break;
        }
    }
}
