//! Tokens and slots, without a kernel.

use std::sync::Arc;

use super::{Completed, MEMBERS_MAX, Slots, Tag, Token};
use crate::driver::job::Job;
use crate::driver::job::mock::Mock;
use crate::mounts::Mount;
use crate::sys::linux::sqe::Sqe;

struct Nothing {
    mount: Arc<Mount>,
}

impl Mock for Nothing {
    fn for_rings(&self) -> Option<(Sqe, &Arc<Mount>)> {
        Some((Sqe::nop(), &self.mount))
    }
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
            assert_eq!(Token::decode(token.user_data()), Some((Tag::Op, token, 0)));
            let linked = token.of_member(MEMBERS_MAX - 1);
            assert_eq!(
                Token::decode(linked),
                Some((Tag::Op, token, MEMBERS_MAX - 1))
            );
            assert_eq!((token.index(), token.generation()), (index, generation));
        }
    }
}

/// A cancel's completion says which entry it was for, of linked ones, too.
#[test]
fn a_cancel_names_its_target() {
    for (index, generation, member) in [(0, 0, 0), (5, 9, 2), (1 << 23, u32::MAX, MEMBERS_MAX - 1)]
    {
        let target = Token::new(index, generation).of_member(member);
        let cancel = Token::of_cancel(target);
        assert!(matches!(Token::decode(cancel), Some((Tag::Cancel, ..))));
        assert_eq!(Token::of_target(cancel), target);
    }
}

/// Only the driver's own tags mean anything.
#[test]
fn foreign_user_data_is_not_decoded() {
    for tag in [Tag::Cancel, Tag::Event] {
        let decoded = Token::decode(Token::own(tag));
        assert!(decoded.is_some_and(|(found, ..)| found == tag));
    }
    for foreign in [0, 1, 7, u64::MAX, 4 << 56] {
        assert_eq!(Token::decode(foreign), None);
    }
}

/// The only completion of an operation.
fn end(slots: &mut Slots, token: Token) -> Option<Arc<dyn Job>> {
    match slots.complete(token, 0, 7, false)? {
        Completed::Over {
            job,
            result: 7,
            is_linked: false,
        } => Some(job),
        _ => panic!("one completion is all"),
    }
}

/// A slot is reclaimed once, and its next use has another token (INV-2).
#[test]
fn a_late_completion_finds_no_slot() {
    let mut slots = Slots::new(2);
    let first = slots.insert(job(), 1);
    assert!(end(&mut slots, first).is_some());
    assert!(end(&mut slots, first).is_none());
    let second = slots.insert(job(), 1);
    assert_eq!(first.index(), second.index());
    assert!(!slots.is_live(first) && end(&mut slots, first).is_none());
    assert!(slots.is_live(second));
    assert!(
        end(&mut slots, Token::new(9, 0)).is_none(),
        "beyond the slots"
    );
}

/// Generations wrap without a panic; what is told apart is the last four thousand million uses.
#[test]
fn a_generation_wraps() {
    let mut slots = Slots::new(1);
    let token = slots.insert(job(), 1);
    end(&mut slots, token);
    slots.slots[0].generation = u32::MAX;
    let last = slots.insert(job(), 1);
    assert_eq!(last.generation(), u32::MAX);
    end(&mut slots, last);
    assert_eq!(slots.insert(job(), 1).generation(), 0);
}

/// There is room exactly up to the capacity (INV-4), and draining gives each operation back once.
#[test]
fn slots_balance() {
    let mut slots = Slots::new(3);
    let tokens: Vec<Token> = (0..3).map(|_| slots.insert(job(), 1)).collect();
    assert!(!slots.has_room());
    assert_eq!(slots.tokens(), tokens);
    slots.took(tokens[1]);
    let taken: Vec<bool> = slots.drain().into_iter().map(|(_, taken)| taken).collect();
    assert_eq!(taken, [false, true, false]);
    assert_eq!((slots.in_flight(), slots.jobs().count()), (0, 0));
    assert!(slots.has_room() && slots.drain().is_empty());
}

/// Linked entries are over with the last of their completions, in whatever order those come, and the result is
/// that of the first that failed.
#[test]
fn linked_entries_end_together() {
    let over = |results: [(usize, i32); 3]| {
        let mut slots = Slots::new(4);
        let token = slots.insert(job(), 3);
        assert!(slots.has_room_for(1) && !slots.has_room_for(2));
        assert!(slots.cancellable(token).eq(0..2));
        let mut ends = results.iter().map(|(member, result)| {
            let completed = slots.complete(token, *member, *result, false);
            match completed.expect("the slot is live") {
                Completed::Over {
                    result,
                    is_linked: true,
                    ..
                } => Some(result),
                Completed::Over { .. } => panic!("they are linked"),
                Completed::Part(_) => None,
            }
        });
        assert_eq!((ends.next(), ends.next()), (Some(None), Some(None)));
        let result = ends.next().flatten().expect("all have completed");
        drop(ends);
        assert!(slots.complete(token, 0, 0, false).is_none());
        assert!(slots.has_room_for(4));
        result
    };
    assert_eq!(over([(0, 1), (1, 2), (2, 3)]), 3);
    assert_eq!(over([(2, 3), (0, 1), (1, 2)]), 3);
    assert_eq!(over([(0, -2), (1, -125), (2, -125)]), -2);
    assert_eq!(over([(2, -125), (1, -125), (0, -2)]), -2);
    assert_eq!(over([(0, 0), (1, -5), (2, 0)]), -5);
}

/// An entry that completes more than once keeps its slot until it says that no more will come, and a member that
/// has had its last is not heard again.
#[test]
fn a_slot_outlives_the_parts() {
    let mut slots = Slots::new(2);
    let token = slots.insert(job(), 1);
    for _ in 0..3 {
        let part = slots.complete(token, 0, 1, true);
        assert!(matches!(part, Some(Completed::Part(_))));
    }
    assert!(
        slots.complete(token, 1, 1, true).is_none(),
        "no such member"
    );
    assert!(end(&mut slots, token).is_some());
    let linked = slots.insert(job(), 2);
    assert!(slots.complete(linked, 1, 1, false).is_some());
    assert!(slots.complete(linked, 1, 1, false).is_none());
}
