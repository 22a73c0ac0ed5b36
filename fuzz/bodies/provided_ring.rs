//! A ring of provided buffers against a reference that only knows who has each buffer. The input chooses what
//! the kernel and the holders do, and how the kernel fills its buffers.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use arbitrary::{Arbitrary, Unstructured};

#[path = "../../src/sys/linux/provided/ledger.rs"]
#[allow(dead_code, reason = "the library uses the rest")]
mod ledger;

use ledger::{Entries, Ledger};

/// What the ledger synchronises with.
mod sync {
    pub(super) use std::sync::Mutex;
    use std::sync::{MutexGuard, PoisonError};

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Steps of one sequence; what comes after is left out.
const STEPS_MAX: usize = 400;

/// The size of each buffer.
const SIZE: u32 = 1000;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    /// The kernel says something that it cannot mean.
    Absurd { id: u16, length: u16, more: bool },
    /// The kernel fills the buffer at its head; `whole` says that it is done with it then.
    Fill { length: u16, whole: bool },
    /// One holder lets go.
    LetGo { which: u8 },
    /// Somebody lets go of what nobody holds.
    LetGoOfNothing { id: u16 },
    /// Many rounds of fill and let go, so that the tail wraps.
    Spin { rounds: u16 },
}

/// The memory of the ring, and the kernel's place in it.
struct Memory {
    ids: RefCell<Vec<u16>>,
    tail: Cell<u16>,
    head: Cell<u16>,
}

impl Entries for Memory {
    fn write(&self, place: u16, id: u16) {
        let mut ids = self.ids.borrow_mut();
        let (count, place) = (ids.len() as u16, usize::from(place));
        let from_head = (place as u16).wrapping_sub(self.head.get()) & (count - 1);
        let ahead = self.tail.get().wrapping_sub(self.head.get());
        assert!(
            from_head >= ahead || ahead == 0,
            "an entry was written that the kernel may read"
        );
        ids[place] = id;
    }

    fn publish(&self, tail: u16) {
        let (before, count) = (self.tail.get(), self.ids.borrow().len() as u16);
        assert!(tail.wrapping_sub(before) <= count, "the tail went back");
        assert!(tail.wrapping_sub(self.head.get()) <= count, "overfull");
        self.tail.set(tail);
    }
}

/// The ring, and what is expected of it.
struct Model {
    ledger: Ledger<Memory>,
    /// The buffers in the ring, in order, and how much of the first is used.
    in_ring: VecDeque<u16>,
    used: HashMap<u16, u32>,
    /// Who holds what, in order.
    held: Vec<u16>,
}

impl Model {
    fn new(count: u16) -> Model {
        let memory = Memory {
            ids: RefCell::new(vec![u16::MAX; usize::from(count)]),
            tail: Cell::new(0),
            head: Cell::new(0),
        };
        Model {
            ledger: Ledger::new(memory, count, SIZE),
            in_ring: (0..count).collect(),
            used: HashMap::new(),
            held: Vec::new(),
        }
    }

    fn fill(&mut self, length: u32, whole: bool) {
        let memory = self.ledger.entries();
        let (head, tail) = (memory.head.get(), memory.tail.get());
        let Some(&id) = self.in_ring.front() else {
            assert_eq!(head, tail, "there is an entry too many");
            return;
        };
        let count = memory.ids.borrow().len();
        let entry = memory.ids.borrow()[usize::from(head) & (count - 1)];
        assert_eq!(entry, id, "the kernel gets the buffer that is next");
        let used = self.used.entry(id).or_default();
        let length = length.min(SIZE - *used);
        if whole {
            memory.head.set(head.wrapping_add(1));
            self.in_ring.pop_front();
        }
        assert_eq!(self.ledger.take(id, length, !whole), Some(*used));
        *used += length;
        self.held.push(id);
    }

    fn let_go(&mut self, which: usize) {
        if self.held.is_empty() {
            return;
        }
        let id = self.held.swap_remove(which % self.held.len());
        if !self.held.contains(&id) && !self.in_ring.contains(&id) {
            self.in_ring.push_back(id);
            self.used.remove(&id);
        }
        self.ledger.give_back(id);
    }

    /// What is refused unless the buffer is the kernel's and has so much room.
    fn absurd(&mut self, id: u16, length: u32, more: bool) {
        let is_its = self.in_ring.contains(&id);
        let room = SIZE - self.used.get(&id).copied().unwrap_or(0);
        if !is_its || length > room {
            assert_eq!(self.ledger.take(id, length, more), None);
        }
    }

    fn check(&self) {
        let memory = self.ledger.entries();
        let ahead = memory.tail.get().wrapping_sub(memory.head.get());
        assert_eq!(usize::from(ahead), self.in_ring.len(), "entries");
        assert_eq!(self.ledger.with_kernel(), self.in_ring.len(), "its buffers");
    }
}

/// Runs an input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let bits = input.int_in_range(0..=6).unwrap_or(0);
    let mut model = Model::new(1 << bits);
    for _ in 0..STEPS_MAX {
        let Ok(step) = Step::arbitrary(&mut input) else {
            break;
        };
        match step {
            Step::Absurd { id, length, more } => model.absurd(id, u32::from(length), more),
            Step::Fill { length, whole } => model.fill(u32::from(length), whole),
            Step::LetGo { which } => model.let_go(usize::from(which)),
            Step::LetGoOfNothing { id } if !model.held.contains(&id) => model.ledger.give_back(id),
            Step::LetGoOfNothing { .. } => {}
            Step::Spin { rounds } => {
                for _ in 0..rounds % 2048 {
                    model.fill(SIZE, true);
                    model.let_go(model.held.len().saturating_sub(1));
                }
            }
        }
        model.check();
        if input.is_empty() {
            break;
        }
    }
}
