//! Against the kernel: what section 5.9 of the kernel notes measured, on a ring and on our own table.
#![allow(
    unsafe_code,
    reason = "drives a ring, and asks the kernel for its head"
)]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::sync::Arc;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

use super::flags::{buffer_id, buffer_more, has_more};
use super::ledger::{Entries, Ledger};
use super::memory::Memory;
use super::*;
use crate::base::errno;
use crate::mem::{Bgids, BufGroup, ProvidedBuf};
use crate::sys::linux::sqe::Sqe;
use crate::sys::linux::tables::NamedFd;

#[path = "mix_tests.rs"]
mod mix;

/// What the kernel is asked with `IORING_REGISTER_PBUF_STATUS` (Linux 6.8).
#[repr(C)]
#[derive(Default)]
struct Status {
    group: u32,
    head: u32,
    reserved: [u32; 8],
}

/// A completion.
#[derive(Clone, Copy, Debug)]
struct Done {
    user_data: u64,
    result: i32,
    flags: u32,
}

/// A ring with a table of groups.
struct Rig {
    table: ProvidedTable,
    ring: IoUring,
}

impl Rig {
    fn new() -> Option<Rig> {
        if let Some(reason) = crate::probe::report().ring_reason() {
            eprintln!("skip: provided_buffers: {reason}");
            return None;
        }
        Some(Rig {
            table: ProvidedTable::new(Arc::new(Bgids::new(u32::MAX))),
            ring: IoUring::new(64).unwrap(),
        })
    }

    fn provided(&mut self, group: &BufGroup) -> Option<Arc<ProvidedRing>> {
        self.table.ring(&self.ring.submitter(), group.inner())
    }

    fn sweep(&mut self) {
        self.table.sweep(&self.ring.submitter());
    }

    fn submit(&mut self, entry: &Entry) {
        // SAFETY: the tests keep what their entries name until the completion.
        unsafe { self.ring.submission().push(entry) }.unwrap();
        self.ring.submit().unwrap();
    }

    fn wait(&mut self) -> Done {
        self.ring.submit_and_wait(1).unwrap();
        let done = self.ring.completion().next().unwrap();
        Done {
            user_data: done.user_data(),
            result: done.result(),
            flags: done.flags(),
        }
    }

    /// The kernel's head of a group; `None` before Linux 6.8, or if it has no such group.
    fn head(&self, id: u16) -> Result<u16, i32> {
        let mut status = Status {
            group: id.into(),
            ..Status::default()
        };
        // SAFETY: the kernel fills the structure, which is as it has it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.ring.as_raw_fd(),
                26,
                &raw mut status,
                1,
            )
        };
        assert_eq!(status.reserved, [0; 8]);
        match result {
            0 => Ok(status.head as u16),
            _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
        }
    }

    /// With nothing in flight, what the ledger says the kernel has is what the kernel says it has.
    fn check(&self, ring: &ProvidedRing) {
        match self.head(ring.id()) {
            Ok(head) => {
                let with_kernel = usize::from(ring.tail().wrapping_sub(head));
                assert_eq!(with_kernel, ring.with_kernel(), "head {head}");
            }
            Err(errno::EINVAL) => eprintln!("skip: pbuf_status: before Linux 6.8"),
            Err(number) => panic!("no status: {number}"),
        }
    }

    /// Reads once, and takes the buffer.
    fn read(&mut self, ring: &Arc<ProvidedRing>, entry: &Entry) -> (Done, Option<ProvidedBuf>) {
        self.submit(entry);
        let done = self.wait();
        let taken = ring.take(done.result, done.flags);
        self.check(ring);
        (done, taken.unwrap())
    }
}

fn read(file: &impl AsRawFd, ring: &ProvidedRing, offset: u64) -> Entry {
    read_of(file, ring.id(), offset, 0)
}

fn read_of(file: &impl AsRawFd, id: u16, offset: u64, length: u32) -> Entry {
    let fd = Fd(file.as_raw_fd());
    opcode::Read::new(fd, std::ptr::null_mut(), length)
        .offset(offset)
        .buf_group(id)
        .build()
        .flags(Flags::BUFFER_SELECT)
        .user_data(1)
}

fn group(count: usize, size: usize) -> BufGroup {
    BufGroup::builder().count(count).size(size).build().unwrap()
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn pipes() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: makes two descriptors, which are owned from here on.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

/// Requirement R43: what is registered is served, many times round.
#[test]
fn a_file_is_read_with_buffers_that_the_kernel_picks() {
    let Some(mut rig) = Rig::new() else { return };
    for count in [1, 4, 32_768] {
        let group = group(count, 100);
        let ring = rig.provided(&group).unwrap();
        let bytes: Vec<u8> = (0..250u32).map(|n| n as u8).collect();
        let file = file_of(&bytes);
        for round in 0..1000 {
            let at = [0, 100, 200][round % 3];
            let (done, buf) = rig.read(&ring, &read(&file, &ring, at as u64));
            let expected = &bytes[at..(at + 100).min(250)];
            assert_eq!(&buf.unwrap()[..], expected, "{done:?}");
            let id = buffer_id(done.flags).unwrap();
            assert_eq!(
                usize::from(id),
                round % count,
                "in the order they came back"
            );
        }
        assert_eq!(ring.with_kernel(), count);
    }
}

#[test]
fn a_pipe_is_read_once_something_comes_and_holds_nothing_before() {
    let Some(mut rig) = Rig::new() else { return };
    let group = group(2, 16);
    let ring = rig.provided(&group).unwrap();
    let (reader, mut writer) = pipes();
    rig.submit(&read(&reader, &ring, u64::MAX));
    rig.check(&ring);
    writer.write_all(b"hello").unwrap();
    let done = rig.wait();
    let buf = ring.take(done.result, done.flags).unwrap();
    assert_eq!(&buf.unwrap()[..], b"hello");
    drop(writer);
    let (done, buf) = rig.read(&ring, &read(&reader, &ring, u64::MAX));
    assert_eq!((done.result, buf.is_none()), (0, true), "the end");
    assert_eq!(ring.with_kernel(), 2);
}

/// `pbuf_conservation`: each row of the table, and the buffers are where they were before.
#[test]
fn every_end_of_a_read_gives_its_buffer_back() {
    let Some(mut rig) = Rig::new() else { return };
    let group = group(4, 64);
    let ring = rig.provided(&group).unwrap();
    let file = file_of(b"something");
    let memory = File::open("/proc/self/mem").unwrap();
    let directory = File::open("/").unwrap();
    let (waiting, _writer) = pipes();
    for flags in [Flags::empty(), Flags::ASYNC] {
        let flags = flags | Flags::BUFFER_SELECT;
        let mut ends = |entry: Entry| {
            let (done, buf) = rig.read(&ring, &entry.flags(flags));
            assert_eq!(buf.map_or(0, |buf| buf.len()) as i32, done.result.max(0));
            assert_eq!(ring.with_kernel(), 4);
            done.result
        };
        let whole = read(&file, &ring, 0);
        assert_eq!(ends(whole.clone()), 9);
        assert_eq!(ends(read(&file, &ring, 9)), 0, "the end of the file");
        assert_eq!(ends(read_of(&file, ring.id(), 0, 5)), 5, "shorter");
        assert_eq!(ends(read_of(&file, ring.id(), 0, 1000)), 9, "longer");
        assert_eq!(ends(read(&memory, &ring, 0)), -libc::EIO);
        assert_eq!(ends(read(&directory, &ring, 0)), -libc::EISDIR);
        rig.submit(&read(&waiting, &ring, u64::MAX).flags(flags));
        rig.submit(&opcode::AsyncCancel::new(1).build().user_data(2));
        let both = [rig.wait(), rig.wait()];
        let done = both.iter().find(|done| done.user_data == 1).unwrap();
        let buf = ring.take(done.result, done.flags).unwrap();
        assert!([-libc::ECANCELED, -libc::EINTR].contains(&done.result));
        assert!(buf.is_none());
        rig.check(&ring);
        assert_eq!(ring.with_kernel(), 4);
    }
}

/// The linked entry behind one that failed is cancelled while it is queued.
#[test]
fn what_is_cancelled_while_it_is_queued_takes_no_buffer() {
    let Some(mut rig) = Rig::new() else { return };
    let group = group(2, 64);
    let ring = rig.provided(&group).unwrap();
    let (file, directory) = (file_of(b"something"), File::open("/").unwrap());
    let linked = Flags::BUFFER_SELECT | Flags::IO_LINK;
    let first = read(&directory, &ring, 0).flags(linked);
    let second = read(&file, &ring, 0).user_data(2);
    // SAFETY: as in `submit`.
    unsafe { rig.ring.submission().push_multiple(&[first, second]) }.unwrap();
    rig.ring.submit().unwrap();
    let both = [rig.wait(), rig.wait()];
    for done in both {
        let buf = ring.take(done.result, done.flags).unwrap();
        assert!(buf.is_none() && done.result < 0);
        let is_second = done.user_data == 2;
        assert_eq!(is_second, done.result == -libc::ECANCELED);
        assert!(!is_second || buffer_id(done.flags).is_none());
    }
    rig.check(&ring);
    assert_eq!(ring.with_kernel(), 2);
}

/// Requirement R46, as the ring sees it.
#[test]
fn a_read_without_a_buffer_says_so_until_one_comes_back() {
    let Some(mut rig) = Rig::new() else { return };
    let group = group(2, 64);
    let ring = rig.provided(&group).unwrap();
    let file = file_of(b"something");
    let entry = read(&file, &ring, 0);
    let mut held: Vec<_> = (0..2).map(|_| rig.read(&ring, &entry).1.unwrap()).collect();
    for _ in 0..2 {
        let (done, buf) = rig.read(&ring, &entry);
        assert_eq!((done.result, buf.is_none()), (-libc::ENOBUFS, true));
        assert_eq!(buffer_id(done.flags), None);
    }
    held.pop();
    let (done, buf) = rig.read(&ring, &entry);
    assert_eq!((done.result, &buf.unwrap()[..]), (9, &b"something"[..]));
    assert_eq!(&held[0][..], b"something", "what is held is not touched");
}

/// `pbuf_limits`: counts, ids at both ends, and trap 10: an id that is taken, one that is not, an empty ring.
#[test]
fn the_kernel_takes_what_the_builder_takes_and_every_id() {
    let Some(rig) = Rig::new() else { return };
    let memory = Memory::new(32_768, 1).unwrap();
    let register = |count: u16, id: u16| {
        let address = memory.address();
        let submitter = rig.ring.submitter();
        // SAFETY: the memory outlives the ring's use of it in this test.
        let result = unsafe { submitter.register_buf_ring_with_flags(address, count, id, 0) };
        result.map_err(|error| error.raw_os_error().unwrap())
    };
    let unregister = |id: u16| {
        let result = rig.ring.submitter().unregister_buf_ring(id);
        result.map_err(|error| error.raw_os_error().unwrap())
    };
    for count in [0, 3, 100, 32_767, 32_769, 65_535] {
        assert_eq!(register(count, 0), Err(libc::EINVAL), "{count}");
    }
    for count in [1, 2, 32_768] {
        for id in [0, 1, 32_767, 65_534, 65_535] {
            assert_eq!(register(count, id), Ok(()), "{count} under {id}");
            assert_eq!(register(count, id), Err(libc::EEXIST));
            assert_eq!(unregister(id), Ok(()));
            assert!(unregister(id).is_err(), "it is gone");
        }
    }
}

#[test]
fn a_group_that_is_not_there_or_is_empty_has_no_buffers() {
    let Some(mut rig) = Rig::new() else { return };
    let file = file_of(b"something");
    rig.submit(&read_of(&file, 77, 0, 64));
    assert_eq!(rig.wait().result, -libc::ENOBUFS, "no such group");
    let memory = Memory::new(2, 64).unwrap();
    memory.write(0, 0);
    let address = memory.address();
    // SAFETY: the memory outlives the ring's use of it in this test.
    let registered = unsafe {
        let submitter = rig.ring.submitter();
        submitter.register_buf_ring_with_flags(address, 2, 77, 0)
    };
    registered.unwrap();
    rig.submit(&read_of(&file, 77, 0, 64));
    assert_eq!(rig.wait().result, -libc::ENOBUFS, "its tail was not moved");
    memory.publish(1);
    rig.submit(&read_of(&file, 77, 0, 64));
    assert_eq!(rig.wait().result, 9);
    rig.ring.submitter().unregister_buf_ring(77).unwrap();
}

/// Requirement R27: what cannot be registered leaves no id behind.
#[test]
fn a_refusal_gives_the_id_back() {
    let Some(mut rig) = Rig::new() else { return };
    let ids = Arc::new(Bgids::new(4));
    rig.table = ProvidedTable::new(ids.clone());
    let taken = Memory::new(1, 1).unwrap();
    // SAFETY: the memory outlives the ring's use of it in this test.
    let registered = unsafe {
        let submitter = rig.ring.submitter();
        submitter.register_buf_ring_with_flags(taken.address(), 1, 0, 0)
    };
    registered.unwrap();
    let refused = group(1, 64);
    for _ in 0..2 {
        assert!(
            rig.provided(&refused).is_none(),
            "the id is somebody else's"
        );
        assert_eq!((ids.snapshot().in_flight, ids.snapshot().peak), (0, 1));
    }
    rig.ring.submitter().unregister_buf_ring(0).unwrap();
    assert!(rig.provided(&group(1, 64)).is_some());
}

/// `pbuf_unregister_inflight`: the kernel lets us, so we do not: what is in flight holds the group.
#[test]
fn a_group_is_unregistered_only_once_nothing_in_flight_names_it() {
    let Some(mut rig) = Rig::new() else { return };
    let (users, (reader, mut writer)) = (group(2, 64), pipes());
    let ring = rig.provided(&users).unwrap();
    let id = ring.id();
    // What a request in flight holds.
    let in_flight = users.inner().clone();
    rig.submit(&read(&reader, &ring, u64::MAX));
    drop(users);
    rig.sweep();
    let other = group(2, 64);
    assert_ne!(rig.provided(&other).unwrap().id(), id, "it is taken");
    writer.write_all(b"late").unwrap();
    let done = rig.wait();
    let buf = ring.take(done.result, done.flags).unwrap();
    drop(in_flight);
    rig.sweep();
    assert!(rig.head(id).is_err(), "the kernel has no such group");
    let another = group(2, 64);
    assert_ne!(
        rig.provided(&another).unwrap().id(),
        id,
        "its memory is held"
    );
    assert_eq!(&buf.as_ref().unwrap()[..], b"late");
    drop((buf, ring));
    let last = group(2, 64);
    assert_eq!(rig.provided(&last).unwrap().id(), id, "it came back last");
}

#[test]
fn what_is_lent_outlives_its_group_and_its_ring() {
    let Some(mut rig) = Rig::new() else { return };
    let group = group(2, 64);
    let ring = rig.provided(&group).unwrap();
    let file = file_of(b"something");
    let bufs: Vec<_> = (0..2)
        .map(|_| rig.read(&ring, &read(&file, &ring, 0)).1.unwrap())
        .collect();
    drop((group, ring));
    rig.sweep();
    drop(rig);
    for buf in bufs {
        assert_eq!(buf.freeze(), &b"something"[..]);
    }
}

#[test]
fn a_group_has_one_registration_per_ring() {
    let Some((mut one, mut two)) = Rig::new().zip(Rig::new()) else {
        return;
    };
    let group = group(1, 64);
    let here = one.provided(&group).unwrap();
    assert!(Arc::ptr_eq(&here, &one.provided(&group).unwrap()));
    let there = two.provided(&group.clone()).unwrap();
    assert_eq!(here.id(), there.id(), "each ring counts for itself");
    let file = file_of(b"something");
    let (_, held) = one.read(&here, &read(&file, &here, 0));
    let (done, _) = two.read(&there, &read(&file, &there, 0));
    assert_eq!((held.unwrap().len(), done.result), (9, 9));
}

/// `pbuf_inc`: one read after the other goes into the same buffer, and the flag says when it is done.
#[test]
fn short_reads_share_a_buffer_that_is_filled_bit_by_bit() {
    let Some(mut rig) = Rig::new() else { return };
    let group = BufGroup::builder().count(2).size(10).incremental(true);
    let group = group.build().unwrap();
    let Some(ring) = rig.provided(&group) else {
        eprintln!("skip: incremental_buffers: before Linux 6.12");
        return;
    };
    let (reader, mut writer) = pipes();
    let mut held = Vec::new();
    for (bytes, id, more) in [
        (&b"abc"[..], 0, true),
        (b"defg", 0, true),
        (b"hij", 0, false),
        (b"kl", 1, true),
    ] {
        writer.write_all(bytes).unwrap();
        rig.submit(&read(&reader, &ring, u64::MAX));
        let done = rig.wait();
        assert_eq!(buffer_id(done.flags), Some(id), "{done:?}");
        assert_eq!(buffer_more(done.flags), more, "{done:?}");
        held.push(ring.take(done.result, done.flags).unwrap().unwrap());
        assert_eq!(&held[held.len() - 1][..], bytes);
    }
    let all: Vec<u8> = held.iter().flat_map(|buf| buf.to_vec()).collect();
    assert_eq!(all, b"abcdefghijkl", "none is written over");
    assert_eq!(held[0].as_ptr().wrapping_add(3), held[1].as_ptr());
    assert_eq!(ring.with_kernel(), 1);
    held.drain(..3);
    assert_eq!(ring.with_kernel(), 2, "all that was in the first let go");
    drop(writer);
    rig.submit(&read(&reader, &ring, u64::MAX));
    let done = rig.wait();
    assert!(ring.take(done.result, done.flags).unwrap().is_none());
    assert_eq!((done.result, &held[0][..]), (0, &b"kl"[..]));
    drop(held);
    assert_eq!(ring.with_kernel(), 2, "whoever retired the second");
    rig.check(&ring);
}

#[test]
fn one_entry_reads_a_pipe_until_its_end() {
    let Some(mut rig) = Rig::new() else { return };
    let group = group(2, 4);
    let ring = rig.provided(&group).unwrap();
    let (reader, mut writer) = pipes();
    let fd = Fd(reader.as_fd().as_raw_fd());
    let entry = opcode::ReadMulti::new(fd, 0, ring.id());
    let entry = entry.offset(u64::MAX).build();
    rig.submit(&entry);
    let take = |rig: &mut Rig, bytes: &[u8]| {
        let done = rig.wait();
        if done.result == -libc::EINVAL {
            eprintln!("skip: multishot_reads: before Linux 6.7");
            return None;
        }
        let buf = ring.take(done.result, done.flags).unwrap();
        assert_eq!(buf.as_deref().unwrap_or_default(), bytes, "{done:?}");
        Some((buf, done))
    };
    for bytes in [&b"one"[..], b"two", b"four"] {
        writer.write_all(bytes).unwrap();
        let Some((_, done)) = take(&mut rig, bytes) else {
            return;
        };
        assert!(has_more(done.flags));
    }
    writer.write_all(b"manymanymany").unwrap();
    let held = [take(&mut rig, b"many"), take(&mut rig, b"many")];
    let (_, done) = take(&mut rig, b"").unwrap();
    assert_eq!((done.result, has_more(done.flags)), (-libc::ENOBUFS, false));
    drop(held);
    rig.submit(&entry);
    assert!(has_more(take(&mut rig, b"many").unwrap().1.flags));
    drop(writer);
    let (_, done) = take(&mut rig, b"").unwrap();
    assert_eq!((done.result, has_more(done.flags)), (0, false));
    rig.check(&ring);
    assert_eq!(ring.with_kernel(), 2);
}

/// The entries are the kernel's to read while it is given more: many threads give back what one reads.
#[test]
fn many_threads_give_back_while_the_kernel_takes() {
    let Some(mut rig) = Rig::new() else { return };
    let group = group(64, 8);
    let ring = rig.provided(&group).unwrap();
    let file = file_of(b"12345678");
    let (sender, receiver) = std::sync::mpsc::sync_channel::<ProvidedBuf>(32);
    let receiver = Arc::new(std::sync::Mutex::new(receiver));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let receiver = receiver.clone();
            scope.spawn(move || {
                loop {
                    let next = crate::base::lock::lock(&receiver).recv();
                    let Ok(buf) = next else { return };
                    assert_eq!(&buf[..], b"12345678");
                }
            });
        }
        for _ in 0..70_000 {
            rig.submit(&read(&file, &ring, 0));
            let done = rig.wait();
            let buf = ring.take(done.result, done.flags).unwrap();
            sender.send(buf.unwrap()).unwrap();
        }
        drop(sender);
    });
    rig.check(&ring);
    assert_eq!(ring.with_kernel(), 64);
}

/// The model of the ledger's own tests is as the kernel is: a ring that is full stays so.
#[test]
fn a_ledger_over_real_memory_begins_full() {
    let ledger = Ledger::new(Memory::new(8, 16).unwrap(), 8, 16);
    assert_eq!((ledger.with_kernel(), ledger.tail()), (8, 8));
    assert_eq!(ledger.entries().count(), 8);
}

/// Why a stream asks before it reads with one entry: the kernel tells such an entry of the end only where the file
/// can be read without waiting, as a pipe can that was not opened by its name.
#[test]
fn the_kernel_says_whether_a_file_is_read_without_waiting() {
    let Some(mut rig) = Rig::new() else { return };
    let (reader, writer) = pipes();
    let name = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let by_name = File::open(name).unwrap();
    drop(writer);
    for (file, expected) in [(&reader, 0), (&by_name, -libc::EOPNOTSUPP)] {
        let entry = Sqe::read_nothing(NamedFd::of_ring(file.as_fd()))
            .entries(1)
            .next();
        rig.submit(&entry.unwrap());
        assert_eq!(rig.wait().result, expected);
    }
}
