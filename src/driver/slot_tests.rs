//! Tokens and slots, without a kernel.

use std::sync::Arc;

use super::{Slots, Tag, Token};
use crate::driver::cell::{Job, Outcome};
use crate::driver::op::{Load, OnWorker};
use crate::driver::route::Way;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::linux::sqe::Sqe;

struct Nothing {
    mount: Arc<Mount>,
}

impl Job for Nothing {
    fn kind(&self) -> Kind {
        Kind::Read
    }

    fn load(&self) -> Load {
        Load::Buffered
    }

    fn is_kept(&self) -> bool {
        false
    }

    fn on_worker(&self) -> OnWorker {
        OnWorker::Async
    }

    fn started_ms(&self) -> u64 {
        1
    }

    fn is_given_up(&self) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        false
    }

    fn back(&self) -> bool {
        true
    }

    fn due_us(&self) -> u64 {
        u64::MAX
    }

    fn expire(&self, _now_us: u64) {}

    fn cancel_on(&self, _fd: std::os::fd::BorrowedFd<'_>) -> bool {
        false
    }

    fn refuse(&self, _error: std::io::Error) {}

    fn path(&self) -> Option<std::path::PathBuf> {
        None
    }

    fn seen(&self) -> Option<crate::observe::OpInFlight> {
        None
    }

    fn sqe(&self) -> Option<Sqe> {
        None
    }

    fn set_user_data(&self, _user_data: u64) {}

    fn set_way(&self, _way: Way) {}

    fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    fn ask_back(&self) -> bool {
        true
    }

    fn run(&self) {}

    fn end(self: Arc<Self>, _outcome: Outcome) {}
}

fn job() -> Arc<dyn Job> {
    Arc::new(Nothing {
        mount: Mount::unknown(),
    })
}

/// Index and generation come back from the user data, up to their bounds, and it is never zero.
#[test]
fn a_token_survives_the_way_through_the_kernel() {
    for index in [0, 1, 255, (1 << 24) - 1] {
        for generation in [0, 1, u32::MAX] {
            let token = Token::new(index, generation);
            assert_ne!(token.user_data(), 0);
            assert_eq!(Token::decode(token.user_data()), Some((Tag::Op, token)));
            assert_eq!((token.index(), token.generation()), (index, generation));
        }
    }
}

/// Only the driver's own tags mean anything.
#[test]
fn foreign_user_data_is_not_decoded() {
    for tag in [Tag::Cancel, Tag::Event] {
        let decoded = Token::decode(Token::own(tag));
        assert!(decoded.is_some_and(|(found, _)| found == tag));
    }
    for foreign in [0, 1, 7, u64::MAX, 4 << 56] {
        assert_eq!(Token::decode(foreign), None);
    }
}

/// A slot is reclaimed once, and its next use has another token (INV-2).
#[test]
fn a_late_completion_finds_no_slot() {
    let mut slots = Slots::new(2);
    let first = slots.insert(job());
    assert!(slots.complete(first).is_some());
    assert!(slots.complete(first).is_none());
    let second = slots.insert(job());
    assert_eq!(first.index(), second.index());
    assert!(!slots.is_live(first) && slots.complete(first).is_none());
    assert!(slots.is_live(second));
    assert!(
        slots.complete(Token::new(9, 0)).is_none(),
        "beyond the slots"
    );
}

/// Generations wrap without a panic; what is told apart is the last four thousand million uses.
#[test]
fn a_generation_wraps() {
    let mut slots = Slots::new(1);
    let token = slots.insert(job());
    slots.complete(token);
    slots.slots[0].generation = u32::MAX;
    let last = slots.insert(job());
    assert_eq!(last.generation(), u32::MAX);
    slots.complete(last);
    assert_eq!(slots.insert(job()).generation(), 0);
}

/// There is room exactly up to the capacity (INV-4), and draining gives each operation back once.
#[test]
fn slots_balance() {
    let mut slots = Slots::new(3);
    let tokens: Vec<Token> = (0..3).map(|_| slots.insert(job())).collect();
    assert!(!slots.has_room());
    assert_eq!(slots.tokens(), tokens);
    slots.took(tokens[1]);
    let taken: Vec<bool> = slots.drain().into_iter().map(|(_, taken)| taken).collect();
    assert_eq!(taken, [false, true, false]);
    assert_eq!((slots.in_flight(), slots.jobs().count()), (0, 0));
    assert!(slots.has_room() && slots.drain().is_empty());
}
