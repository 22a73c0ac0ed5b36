//! Registered memory, on rings of the kernel's.
#![allow(unsafe_code, reason = "pushes entries that name memory of a pool")]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

use super::{FixedTable, register};
use crate::buf::{BufPool, FixedBuf, Registration};
use crate::limits::FIXED_SEGMENTS_MAX;
use crate::mem::{IoBuf, IoBufMut};

/// A ring as a lane has it, with its table.
struct Ring {
    ring: IoUring,
    table: FixedTable,
}

impl Ring {
    fn new() -> Ring {
        Ring {
            ring: IoUring::new(8).unwrap(),
            table: FixedTable::default(),
        }
    }

    fn place(&mut self, buf: &FixedBuf) -> Option<u16> {
        let segment = buf.registered().expect("the memory is registered");
        self.table.place(&self.ring.submitter(), segment)
    }

    fn sweep(&mut self) {
        self.table.sweep(&self.ring.submitter());
    }

    /// Begins to read into a buffer, in a kernel worker that looks up the place by itself.
    fn push(&mut self, file: RawFd, buf: &mut FixedBuf, place: u16) {
        let (start, length) = (buf.stable_mut_ptr(), buf.capacity() as u32);
        let entry = opcode::ReadFixed::new(Fd(file), start, length, place).offset(u64::MAX);
        let entry = entry.build().flags(Flags::ASYNC);
        // SAFETY: the buffer outlives its completion in each of these tests (INV-1).
        unsafe { self.ring.submission().push(&entry).unwrap() };
        self.ring.submit().unwrap();
    }

    fn wait(&mut self) -> i32 {
        self.ring.submit_and_wait(1).unwrap();
        self.ring.completion().next().unwrap().result()
    }

    /// Reads what is sent through a pipe.
    fn reads(&mut self, buf: &mut FixedBuf, text: &str) {
        let place = self.place(buf).expect("there is room for it");
        self.reads_at(buf, place, text);
    }

    fn reads_at(&mut self, buf: &mut FixedBuf, place: u16, text: &str) {
        let (from, mut to) = pipe();
        to.write_all(text.as_bytes()).unwrap();
        buf.clear();
        self.push(from.as_raw_fd(), buf, place);
        let read = self.wait();
        assert_eq!(read, text.len() as i32, "at place {place}");
        // SAFETY: so many bytes were read.
        unsafe { buf.set_init(text.len()) };
        assert_eq!(&buf[..], text.as_bytes());
    }
}

fn pipe() -> (File, File) {
    let (from, to) = nix::unistd::pipe().unwrap();
    (File::from(from), File::from(to))
}

/// A pool with registered memory; none where there is no such.
fn pool(test: &str) -> Option<BufPool> {
    let pool = BufPool::builder().count(2).size(1).build().unwrap();
    match pool.registration() {
        Registration::Enabled { .. } => Some(pool),
        other => {
            eprintln!("skip: {test}: {other}");
            None
        }
    }
}

/// What the kernel says that a ring has registered: where each piece begins, and how long it is.
fn registered_of(ring: &Ring) -> Vec<String> {
    let path = format!("/proc/self/fdinfo/{}", ring.ring.as_raw_fd());
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines();
    let bufs = lines.skip_while(|line| !line.starts_with("UserBufs:"));
    let bufs = bufs.skip(1).take_while(|line| line.starts_with(' '));
    bufs.filter(|line| !line.contains("<none>"))
        .map(|line| line.split_whitespace().last().unwrap().to_owned())
        .collect()
}

/// One registration serves all rings, each buffer of it, and is made once per ring.
#[test]
fn memory_is_registered_once_per_ring() {
    let Some(pool) = pool("memory_is_registered_once_per_ring") else {
        return;
    };
    let mut bufs = [pool.get(), pool.get()];
    for _ in 0..3 {
        let mut ring = Ring::new();
        for text in ["first", "second"] {
            for buf in &mut bufs {
                assert_eq!(ring.place(buf), Some(0));
                ring.reads(buf, text);
            }
        }
        let (start, bytes) = bufs[0].registered().unwrap().pinned();
        let expected = format!("{:#x}/{bytes}", start.addr());
        assert_eq!(registered_of(&ring), [expected]);
    }
}

/// Each piece of memory has a place; none loses it to another, and what is let go of has one again.
#[test]
fn places_are_kept_and_used_again() {
    let Some(first) = pool("places_are_kept_and_used_again") else {
        return;
    };
    let mut ring = Ring::new();
    let mut bufs: Vec<FixedBuf> = vec![first.get()];
    bufs.extend((1..6).map(|_| pool("places_are_kept_and_used_again").unwrap().get()));
    for (index, buf) in bufs.iter().enumerate() {
        assert_eq!(ring.place(buf), Some(index as u16));
    }
    // The pools are gone but for the buffers that are lent.
    let gone =
        [bufs.remove(4), bufs.remove(1)].map(|buf| Arc::downgrade(buf.registered().unwrap()));
    assert!(gone.iter().all(|segment| segment.upgrade().is_none()));
    ring.sweep();
    for buf in &mut bufs {
        ring.reads(buf, "after the sweep");
    }
    for expected in [6, 7] {
        bufs.push(pool("").unwrap().get());
        assert_eq!(ring.place(&bufs[bufs.len() - 1]), Some(expected));
    }
    while bufs.len() < FIXED_SEGMENTS_MAX {
        bufs.push(pool("").unwrap().get());
        assert!(ring.place(&bufs[bufs.len() - 1]).is_some());
    }
    let mut places: Vec<u16> = bufs.iter().map(|buf| ring.place(buf).unwrap()).collect();
    for buf in &mut bufs {
        ring.reads(buf, "with a full table");
    }
    places.sort_unstable();
    assert!(places.iter().copied().eq(0..FIXED_SEGMENTS_MAX as u16));
    // More than there are places for is refused until something is let go of.
    bufs.push(pool("").unwrap().get());
    assert_eq!(ring.place(&bufs[FIXED_SEGMENTS_MAX]), None);
    bufs.swap_remove(3);
    ring.sweep();
    ring.reads(&mut bufs[3], "in place of another");
}

/// What was refused is not tried for each operation, and is some time later.
#[test]
fn what_was_refused_is_tried_again_later() {
    let Some(pool) = pool("what_was_refused_is_tried_again_later") else {
        return;
    };
    let (mut ring, mut buf) = (Ring::new(), pool.get());
    let segment = buf.registered().unwrap().clone();
    // A clock that cannot come to the end of its second during the test.
    ring.table.refused = vec![(Arc::downgrade(&segment), u64::MAX / 2)];
    assert_eq!(ring.place(&buf), None);
    ring.table.refused[0].1 = 0;
    while ring.place(&buf).is_none() {
        std::thread::yield_now();
    }
    ring.reads(&mut buf, "after a refusal");
}

/// INV-1: what is in flight keeps its memory while the table changes around it, however late a kernel worker
/// looks it up.
#[test]
fn a_table_changes_while_reads_are_in_flight() {
    let test = "a_table_changes_while_reads_are_in_flight";
    let Some(kept) = pool(test) else {
        return;
    };
    let mut ring = Ring::new();
    let before = pool(test).unwrap().get();
    assert_eq!(ring.place(&before), Some(0));
    let (mut in_flight, mut after) = (kept.get(), Vec::new());
    let place = ring.place(&in_flight).unwrap();
    let (from, mut to) = pipe();
    ring.push(from.as_raw_fd(), &mut in_flight, place);
    for _ in 0..10 {
        after.push(pool(test).unwrap().get());
        assert!(ring.place(&after[after.len() - 1]).is_some());
    }
    drop(before);
    after.drain(3..7);
    drop(kept);
    ring.sweep();
    to.write_all(b"late").unwrap();
    assert_eq!(ring.wait(), 4);
    // SAFETY: so many bytes were read.
    unsafe { in_flight.set_init(4) };
    assert_eq!(&in_flight[..], b"late");
    ring.reads(&mut in_flight, "and again");
}

/// Without a ring to take it over from, a ring registers memory by itself.
#[test]
fn memory_is_registered_anew_where_it_cannot_be_taken_over() {
    let test = "memory_is_registered_anew_where_it_cannot_be_taken_over";
    let Some(pool) = pool(test) else {
        return;
    };
    let mut buf = pool.get();
    let mut ring = Ring::new();
    ring.table.make(&ring.ring.submitter());
    let (start, bytes) = buf.registered().unwrap().pinned();
    // SAFETY: the pool outlives the ring.
    unsafe { register(&ring.ring.submitter(), 9, start, bytes) }.unwrap();
    ring.reads_at(&mut buf, 9, "by its own registration");
}
