//! Slots on rings of the kernel: used again without growth, cleared, and given out as far as there are any.
#![allow(unsafe_code, reason = "pushes entries")]
#![allow(clippy::disallowed_methods, reason = "reads procfs, which is memory")]

use std::os::fd::AsRawFd;

use super::DirectSlot;
use crate::limits;
use crate::mem::Bgids;
use crate::sys::linux::sqe::{Link, Sqe};
use crate::sys::linux::tables::Tables;
use crate::sys::linux::uring::{Issuer, Uring};
use crate::sys::path::c_path;
use crate::sys::request::At;

/// A ring with a table of files, where there can be one.
fn ring(test: &str) -> Option<Uring> {
    let mut ring = Uring::new(Issuer::Lane, Bgids::new(1).into())
        .inspect_err(|error| eprintln!("skip: {test}: no ring: {error}"))
        .ok()?;
    if ring.direct().is_none() {
        eprintln!("skip: {test}: the kernel has no sparse table of files");
        return None;
    }
    Some(ring)
}

/// The files in the ring's table, and how many slots it has.
fn files(ring: &Uring) -> (Vec<String>, usize) {
    let number = ring.fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("UserFiles:"));
    let count = lines.next().and_then(|line| line.split_whitespace().last());
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let is_slot = |line: &&str| {
        let slot = line.split_once(':').map(|(slot, _)| slot.trim());
        slot.is_some_and(|slot| slot.parse::<u32>().is_ok())
    };
    let open = lines
        .take_while(is_slot)
        .filter(|line| !line.contains("<none>"));
    (open.map(str::to_owned).collect(), count)
}

fn run(ring: &mut Uring, sqe: &Sqe) -> Vec<i32> {
    // SAFETY: what the entry points to is the caller's, who waits for its completions here.
    assert!(unsafe { ring.push(sqe, 0) });
    let (mut done, mut batch) = (vec![0; sqe.members()], Vec::new());
    let mut left = sqe.members();
    while left > 0 {
        ring.enter(1).unwrap();
        ring.reap(&mut batch);
        left -= batch.len();
        for completion in batch.drain(..) {
            done[(completion.user_data >> crate::sys::linux::sqe::MEMBER_SHIFT) as usize] =
                completion.result;
        }
    }
    done
}

fn at(path: &str) -> At {
    At {
        dir: None,
        path: c_path(path.as_ref()).unwrap(),
    }
}

fn open_into(ring: &mut Uring, at: &At, slot: &mut DirectSlot) -> Vec<i32> {
    slot.note_used();
    run(ring, &Sqe::openat_direct(at, 0, 0, slot.number()))
}

/// R22: what opens and closes a file for each of many operations needs no more slots than are in use at a time.
#[test]
fn slots_are_used_again() {
    let Some(mut ring) = ring("slots_are_used_again") else {
        return;
    };
    let at = at("/proc/self/exe");
    let before = files(&ring);
    for _ in 0..100_000 {
        let mut slot = ring.direct().unwrap();
        assert_eq!(slot.number(), 0);
        slot.note_used();
        let open = Sqe::openat_direct(&at, 0, 0, slot.number());
        let chain = open.then(Link::Soft, Sqe::close_direct(slot.number()));
        assert_eq!(run(&mut ring, &chain), [0, 0]);
        slot.note_empty();
    }
    assert_eq!((files(&ring), before.0.len()), (before, 0));
}

/// A file that was left in a slot is closed when the ring comes by, and not before nobody holds the slot.
#[test]
fn a_slot_with_a_file_is_cleared() {
    let Some(mut ring) = ring("a_slot_with_a_file_is_cleared") else {
        return;
    };
    let at = at("/proc/self/exe");
    let mut slot = ring.direct().unwrap();
    assert_eq!(open_into(&mut ring, &at, &mut slot), [0]);
    ring.sweep();
    assert_eq!(files(&ring).0.len(), 1);
    let noted = crate::base::released::count();
    drop(slot);
    assert!(crate::base::released::count() > noted);
    let other = ring.direct().unwrap();
    assert_eq!(other.number(), 1, "a slot with a file was given out");
    ring.sweep();
    assert_eq!(files(&ring).0, Vec::<String>::new());
    assert_eq!(ring.direct().unwrap().number(), 0);
}

/// With all slots taken there is none; one that comes back is there again.
#[test]
fn a_full_table_has_no_slot() {
    let Some(mut ring) = ring("a_full_table_has_no_slot") else {
        return;
    };
    let mut slots: Vec<_> = std::iter::from_fn(|| ring.direct()).collect();
    assert!(!slots.is_empty() && slots.len() as u64 <= limits::DIRECT_FILES_MAX);
    assert_eq!(slots.len(), files(&ring).1);
    assert!(ring.direct().is_none());
    let back = slots.pop().unwrap().number();
    assert_eq!(ring.direct().map(|slot| slot.number()), Some(back));
}

/// Slots are told apart by their rings.
#[test]
fn a_slot_is_of_one_ring() {
    let test = "a_slot_is_of_one_ring";
    let (Some(mut one), Some(mut other)) = (ring(test), ring(test)) else {
        return;
    };
    let slot = one.direct().unwrap();
    assert!(one.has_direct(&slot) && !other.has_direct(&slot));
    assert!(other.direct().is_some_and(|slot| other.has_direct(&slot)));
}

/// Each member of a chain does as the one before it went: a failed or short one cancels what is linked softly.
#[test]
fn chains_end_as_they_are_linked() {
    let Some(mut ring) = ring("chains_end_as_they_are_linked") else {
        return;
    };
    let slot = ring.direct().unwrap();
    let number = slot.number();
    let mut buf = vec![0u8; 100];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "content").unwrap();
    let path = path.to_str().unwrap();
    let ends = [(Link::Soft, -libc::ECANCELED), (Link::Hard, 0)];
    for (link, closed) in ends {
        let read = Sqe::read_direct(number, buf.as_mut_ptr(), 100, u64::MAX);
        let here = at(path);
        let chain = Sqe::openat_direct(&here, 0, 0, number)
            .then(Link::Soft, read.clone())
            .then(link, Sqe::close_direct(number));
        assert_eq!(run(&mut ring, &chain), [0, 7, closed]);
        assert_eq!(&buf[..7], b"content");
        if closed < 0 {
            assert_eq!(run(&mut ring, &Sqe::close_direct(number)), [0]);
        }
        let nowhere = at("/nowhere");
        let chain = Sqe::openat_direct(&nowhere, 0, 0, number)
            .then(Link::Soft, read)
            .then(link, Sqe::close_direct(number));
        let cancelled = -libc::ECANCELED;
        let results = run(&mut ring, &chain);
        assert_eq!(results, [-libc::ENOENT, cancelled, cancelled]);
    }
}
