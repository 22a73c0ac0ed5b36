//! Reads into buffers that the kernel picks: the right bytes from any file, buffers that come back whatever
//! happens, and plain memory wherever there is no buffer.
#![cfg(target_os = "linux")]

mod common;
#[path = "provided/refused.rs"]
mod refused;
#[path = "fallback/seccomp.rs"]
mod seccomp;

use std::collections::HashSet;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{kernel, on_each_route, runtime, until_idle};
use futures::stream::FusedStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tidegate::buf::{BufGroup, ProvidedBuf};
use tidegate::fs::{File, OpenOptions, ProvidedStream};
use tidegate::{Error, Handle, LeftBehind, OpExt, Route, Stats};

/// How long a test waits for what should take microseconds, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a read took plain memory.
const NONE_LEFT: &str = "no provided buffer was left";
const NOT_REGISTERED: &str = "no provided buffers could be registered";

/// What is read where pipes and terminals are.
const PEERS: &str = "/dev/zero";

fn group(count: usize, size: usize) -> BufGroup {
    BufGroup::builder().count(count).size(size).build().unwrap()
}

fn stats() -> Stats {
    Handle::current().unwrap().stats()
}

fn fallbacks(reason: &str) -> u64 {
    let stats = stats();
    let mut all = stats.fallbacks();
    all.find(|(other, _)| *other == reason)
        .map_or(0, |(_, count)| count)
}

/// Whether reads go through rings, which have buffers.
fn has_ring(route: Route) -> bool {
    route != Route::Pool && common::has_ring()
}

/// Whether one entry reads again and again.
fn is_many(route: Route) -> bool {
    has_ring(route) && common::kernel::release() >= (6, 7)
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached().await {
        assert!(Instant::now() < end, "{what}: not reached: {:?}", stats());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

fn pipe() -> (File, std::fs::File) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    (File::from_std(reader.into()), writer.into())
}

/// The two ends of a terminal, of which the second is the terminal itself.
fn terminal() -> (std::fs::File, std::fs::File) {
    let (mut master, mut slave) = (0, 0);
    let (name, attributes, size) = (
        std::ptr::null_mut(),
        std::ptr::null_mut(),
        std::ptr::null_mut(),
    );
    // SAFETY: makes two descriptors, which are owned from here on, and is told of nothing else.
    unsafe {
        let result = nix::libc::openpty(&raw mut master, &raw mut slave, name, attributes, size);
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        (
            OwnedFd::from_raw_fd(master).into(),
            OwnedFd::from_raw_fd(slave).into(),
        )
    }
}

fn poll_once<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

async fn next(stream: &mut ProvidedStream) -> ProvidedBuf {
    stream.next().await.expect("there is more").unwrap()
}

/// Everything up to the end, with each buffer dropped before the next read.
async fn all(mut stream: ProvidedStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(buf) = stream.try_next().await.unwrap() {
        assert!(!buf.is_empty());
        bytes.extend_from_slice(&buf);
    }
    assert!(stream.is_terminated());
    assert!(stream.next().await.is_none(), "over for good");
    bytes
}

/// With nothing else in flight, all buffers of the group can be had at a time, and no more, from the ring that
/// reads this file.
async fn all_are_back(route: Route, group: &BufGroup, path: impl AsRef<Path>) {
    until_idle().await;
    let (file, mut held) = (File::open(path).await.unwrap(), Vec::new());
    for _ in 0..group.buffer_count() {
        held.push(file.read_provided_at(group, 0).await.unwrap());
    }
    let plain = held.iter().filter(|buf| buf.is_plain()).count();
    let expected = if has_ring(route) { 0 } else { held.len() };
    assert_eq!(plain, expected, "of {}", held.len());
    let one_more = file.read_provided_at(group, 0).await.unwrap();
    assert!(one_more.is_plain());
}

#[test]
fn any_file_is_read_at_any_offset() {
    on_each_route(|route| async move {
        let content = pattern(10_000);
        let group = group(4, 4096);
        for dir in [tempfile::tempdir(), tempfile::tempdir_in("/dev/shm")] {
            let dir = dir.unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, &content).unwrap();
            let file = File::open(&path).await.unwrap();
            for at in [0, 1, 4096, 9_000, 9_999] {
                let buf = file.read_provided_at(&group, at as u64).await.unwrap();
                assert_eq!(&buf[..], &content[at..(at + 4096).min(10_000)]);
                assert_eq!(buf.is_plain(), !has_ring(route));
            }
            for at in [10_000, 1 << 40, i64::MAX as u64] {
                let expected = file.read_at(vec![0; 8], at).await.map(|(count, _)| count);
                let read = file.read_provided_at(&group, at).await;
                let read = read.map(|buf| buf.len());
                assert_eq!(read.ok(), expected.ok(), "at {at}");
            }
            let whole = all(file.read_provided_stream(&group)).await;
            assert!(whole == content);
            all_are_back(route, &group, &path).await;
        }
        let zeroes = File::open("/dev/zero").await.unwrap();
        let buf = zeroes.read_provided_at(&group, 7).await.unwrap();
        assert_eq!(&buf[..], &[0; 4096]);
        drop(buf);
        let cpu = File::open("/proc/cpuinfo").await.unwrap();
        let text = all(cpu.read_provided_stream(&group)).await;
        assert!(text.starts_with(b"processor") || !text.is_empty());
        all_are_back(route, &group, PEERS).await;
        let selected = stats().submitted("READ+BUFFER_SELECT");
        assert_eq!(selected >= 20, has_ring(route), "{selected}");
        assert_eq!(stats().submitted("READ_MULTISHOT"), 0, "no streams");
    });
}

#[test]
fn direct_reads_go_into_aligned_buffers() {
    on_each_route(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, pattern(8192)).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_DIRECT);
        let Ok(file) = options.open(&path).await else {
            return eprintln!("skip: direct_reads: the filesystem has none");
        };
        let group = group(1, 4096);
        let lent = file.read_provided_at(&group, 4096).await.unwrap();
        let plain = file.read_provided_at(&group, 4096).await.unwrap();
        assert_eq!(lent.is_plain(), !has_ring(route));
        assert!(plain.is_plain());
        for buf in [lent, plain] {
            assert!(buf[..] == pattern(8192)[4096..]);
        }
    });
}

/// What a read at an offset answers, this answers.
#[test]
fn errors_are_those_of_other_reads() {
    on_each_route(|route| async move {
        let group = group(2, 64);
        let dir = tempfile::tempdir().unwrap();
        let for_writing = File::create(dir.path().join("file")).await.unwrap();
        let mut options = OpenOptions::new();
        let directory = options.read(true).open(dir.path()).await.unwrap();
        let memory = File::open("/proc/self/mem").await.unwrap();
        for file in [&for_writing, &directory, &memory] {
            let (error, _) = file.read_at(vec![0; 8], 0).await.unwrap_err().into_parts();
            let number = tidegate::raw_os_error(&error);
            let ours = file.read_provided_at(&group, 0).await.unwrap_err();
            assert_eq!(tidegate::raw_os_error(&ours), number, "{ours}");
            let mut stream = file.read_provided_stream(&group);
            let ours = stream.next().await.unwrap().unwrap_err();
            assert_eq!(tidegate::raw_os_error(&ours), number, "{ours}");
            assert!(stream.next().await.is_none(), "over after an error");
            let far = file.read_provided_at(&group, 1 << 63).await.unwrap_err();
            assert_eq!(far.kind(), ErrorKind::InvalidInput);
        }
        std::fs::write(dir.path().join("file"), "something").unwrap();
        all_are_back(route, &group, dir.path().join("file")).await;
        // What is made as it is read, a thread reads.
        let stat = File::open("/proc/self/stat").await.unwrap();
        assert!(stat.read_provided_at(&group, 0).await.unwrap().is_plain());
    });
}

#[test]
fn a_pipe_gives_what_comes_until_its_end() {
    on_each_route(|route| async move {
        let group = group(4, 16);
        let (file, mut writer) = pipe();
        let mut read = Box::pin(file.read_provided_at(&group, 99));
        assert!(futures::poll!(&mut read).is_pending());
        writer.write_all(b"first").unwrap();
        assert_eq!(&read.await.unwrap()[..], b"first");
        let mut stream = file.read_provided_stream(&group);
        assert!(poll_once(&mut stream).is_pending());
        for round in 0..100 {
            let text = format!("number {round}");
            writer.write_all(text.as_bytes()).unwrap();
            let buf = next(&mut stream).await;
            assert_eq!(&buf[..], text.as_bytes());
            assert_eq!(buf.is_plain(), !has_ring(route));
        }
        writer.write_all(&pattern(1000)).unwrap();
        drop(writer);
        assert!(all(stream).await == pattern(1000));
        assert_eq!(file.read_provided_at(&group, 0).await.unwrap().len(), 0);
        all_are_back(route, &group, PEERS).await;
        let many = stats().submitted("READ_MULTISHOT");
        assert_eq!(many > 0, is_many(route));
        assert!(many < 60, "one entry reads often: {many}");
    });
}

#[test]
fn terminals_and_sockets_are_read_as_they_come() {
    on_each_route(|route| async move {
        let group = group(2, 64);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let socket = File::from_std(OwnedFd::from(ours).into());
        let mut stream = socket.read_provided_stream(&group);
        theirs.write_all(b"hello").unwrap();
        assert_eq!(&next(&mut stream).await[..], b"hello");
        drop(theirs);
        assert!(stream.next().await.is_none());

        let (mut master, slave) = terminal();
        let file = File::from_std(slave);
        let mut stream = file.read_provided_stream(&group);
        assert!(poll_once(&mut stream).is_pending());
        for line in ["one\n", "two\n", "three\n"] {
            master.write_all(line.as_bytes()).unwrap();
            assert_eq!(&next(&mut stream).await[..], line.as_bytes());
        }
        drop(stream);
        until_idle().await;
        master.write_all(b"four\n").unwrap();
        let buf = file.read_provided_at(&group, 1 << 20).await.unwrap();
        assert_eq!(&buf[..], b"four\n", "whatever the offset");
        drop(buf);

        // The other side says with an error that the terminal is gone.
        let mut rest = File::from_std(master).read_provided_stream(&group);
        let echo = next(&mut rest).await;
        assert!(echo.starts_with(b"one"));
        drop((echo, file));
        let end = rest.try_for_each(|_| async { Ok(()) }).await;
        assert_eq!(end.unwrap_err().raw_os_error(), Some(libc::EIO));
        all_are_back(route, &group, PEERS).await;
    });
}

/// Requirement R46: nothing hangs, each read alone does without, and then it is as before.
#[test]
fn reads_that_find_no_buffer_take_memory_of_their_own() {
    on_each_route(|route| async move {
        let group = group(2, 4096);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, pattern(4096)).unwrap();
        let file = File::open(&path).await.unwrap();
        for round in 1..=3 {
            let read = || file.read_provided_at(&group, 0);
            let held = [read().await.unwrap(), read().await.unwrap()];
            for buf in &held {
                assert_eq!(buf.is_plain(), !has_ring(route));
            }
            let others: Vec<_> = (0..8).map(|_| read()).collect();
            for other in futures::future::join_all(others).await {
                let other = other.unwrap();
                assert!(other.is_plain() && other[..] == pattern(4096));
            }
            let expected = if has_ring(route) { round * 8 } else { 0 };
            assert_eq!(fallbacks(NONE_LEFT), expected);
            drop(held);
        }
    });
}

#[test]
fn a_stream_without_buffers_goes_on_and_back_to_them() {
    on_each_route(|route| async move {
        let group = group(2, 8);
        let (file, mut writer) = pipe();
        let mut stream = file.read_provided_stream(&group);
        let mut held = Vec::new();
        for round in 0..6u8 {
            writer.write_all(&[round; 8]).unwrap();
            let buf = next(&mut stream).await;
            assert_eq!(&buf[..], &[round; 8]);
            assert_eq!(buf.is_plain(), !has_ring(route) || round >= 2, "{round}");
            held.push(buf);
        }
        for (round, buf) in held.drain(..).enumerate() {
            assert_eq!(&buf[..], &[round as u8; 8], "none is written over");
        }
        // One plain read may be on its way already.
        let mut plain = 0;
        for round in 0..50u8 {
            writer.write_all(&[round; 8]).unwrap();
            plain += u8::from(next(&mut stream).await.is_plain());
        }
        let most = if has_ring(route) { 1 } else { 50 };
        assert!(plain <= most, "{plain}");
        // More than there are buffers for, at once: each comes as those before it go.
        writer.write_all(&pattern(800)).unwrap();
        drop(writer);
        assert!(all(stream).await == pattern(800));
        all_are_back(route, &group, PEERS).await;
    });
}

/// Requirement R35: each ring may have one group, and a second one does without.
#[test]
fn groups_past_the_last_id_do_without_and_are_counted() {
    for route in common::routes() {
        runtime(true).block_on(async {
            let handle = Handle::builder().route(route).buffer_groups_max(1);
            let handle = handle.install().unwrap();
            let zeroes = File::open("/dev/zero").await.unwrap();
            let (first, second) = (group(4, 64), group(4, 64));
            let held = zeroes.read_provided_at(&first, 0).await.unwrap();
            assert_eq!(held.is_plain(), !has_ring(route));
            for _ in 0..10 {
                let plain = zeroes.read_provided_at(&second, 0).await.unwrap();
                assert!(plain.is_plain() && plain[..] == [0; 64]);
            }
            let now = handle.stats().buffer_groups;
            if !has_ring(route) {
                return assert_eq!((now.exhausted, now.in_flight), (0, 0));
            }
            assert_eq!((now.exhausted, now.in_flight, now.remaining), (10, 1, 0));
            assert_eq!(fallbacks(NOT_REGISTERED), 10);
            // The id is free only once nobody has its memory any more.
            drop(first);
            let plain = zeroes.read_provided_at(&second, 0).await.unwrap();
            assert!(plain.is_plain());
            drop(held);
            until("the second has buffers", async || {
                !zeroes
                    .read_provided_at(&second, 0)
                    .await
                    .unwrap()
                    .is_plain()
            })
            .await;
            drop(second);
            let none = || handle.stats().buffer_groups.in_flight == 0;
            until("all ids are back", async || none()).await;
        });
    }
}

/// R40: groups that come and go leave nothing behind, and are not many at a time.
#[test]
fn groups_that_come_and_go_leave_no_ids_behind() {
    on_each_route(|route| async move {
        let zeroes = File::open("/dev/zero").await.unwrap();
        let before = stats();
        for _ in 0..1000 {
            let group = group(2, 16);
            let buf = zeroes.read_provided_at(&group, 0).await.unwrap();
            assert_eq!((buf.len(), buf.is_plain()), (16, !has_ring(route)));
        }
        until_idle().await;
        let delta = || stats().since(&before).buffer_groups.in_flight_delta;
        until("all ids are back", async || delta() == 0).await;
        let groups = stats().buffer_groups;
        assert!(groups.peak <= 16, "{groups:?}");
        assert_eq!(groups.peak > 0, has_ring(route), "{groups:?}");
    });
}

#[test]
fn many_threads_read_and_drop() {
    on_each_route(|route| async move {
        let group = group(8, 1024);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, pattern(64 << 10)).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<(u64, Bytes)>();
        let checking = std::thread::spawn(move || {
            let content = pattern(64 << 10);
            for (at, bytes) in receiver {
                assert!(bytes[..] == content[at as usize..][..1024]);
            }
        });
        let reading = |task: u64| {
            let (path, group, sender) = (path.clone(), group.clone(), sender.clone());
            tokio::spawn(async move {
                let file = File::open(&path).await.unwrap();
                for round in 0..200 {
                    let at = (task * 7919 + round * 104_729) % (63 << 10);
                    let buf = file.read_provided_at(&group, at).await.unwrap();
                    sender.send((at, buf.freeze())).unwrap();
                }
            })
        };
        let tasks: Vec<_> = (0..16).map(reading).collect();
        for task in tasks {
            task.await.unwrap();
        }
        drop(sender);
        checking.join().unwrap();
        all_are_back(route, &group, &path).await;
    });
}

/// Trap 10, R26: what is in flight and what is lent keep the group; then its id is free.
#[test]
fn a_group_may_be_dropped_at_any_time() {
    for route in common::routes() {
        let lent = runtime(true).block_on(async {
            let handle = Handle::builder().route(route).install().unwrap();
            let users = group(4, 64);
            let (file, mut writer) = pipe();
            let mut stream = file.read_provided_stream(&users);
            writer.write_all(b"lent").unwrap();
            let lent = next(&mut stream).await;
            let (other, mut late) = pipe();
            let mut read = Box::pin(other.read_provided_at(&users, 0));
            assert!(futures::poll!(&mut read).is_pending());
            drop(users);
            // Another group gets another id, and neither reads into the other's buffers.
            let newer = group(4, 64);
            let zeroes = File::open("/dev/zero").await.unwrap();
            let zero = zeroes.read_provided_at(&newer, 0).await.unwrap();
            late.write_all(b"late").unwrap();
            let late = read.await.unwrap();
            writer.write_all(b"more").unwrap();
            assert_eq!(&next(&mut stream).await[..], b"more");
            assert_eq!((&late[..], &lent[..]), (&b"late"[..], &b"lent"[..]));
            assert_eq!(&zero[..], &[0; 64]);
            drop((stream, late, zero, newer, writer));
            if has_ring(route) {
                let one = || handle.stats().buffer_groups.in_flight == 1;
                until("only what is lent has an id", async || one()).await;
            }
            lent
        });
        // Ring, runtime and file are gone.
        assert_eq!(lent.freeze(), &b"lent"[..]);
    }
}

#[test]
fn a_dropped_stream_gives_its_buffers_back() {
    on_each_route(|route| async move {
        let group = group(4, 8);
        for round in 0..50usize {
            let (file, mut writer) = pipe();
            let mut stream = file.read_provided_stream(&group);
            assert!(poll_once(&mut stream).is_pending());
            writer.write_all(&pattern(round)).unwrap();
            if round % 3 == 1 {
                assert_eq!(&next(&mut stream).await[..], &pattern(round.min(8))[..]);
            }
            drop(stream);
        }
        all_are_back(route, &group, PEERS).await;
    });
}

/// A limit ends the wait and not the stream, where nothing can be lost.
#[test]
fn limits_hold_and_a_stream_goes_on_after_them() {
    on_each_route(|route| async move {
        let group = group(4, 64);
        let (file, mut writer) = pipe();
        let read = file.read_provided_at(&group, 0);
        let error = read.timeout(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        if route == Route::Pool {
            // A thread has the read, and takes what comes next.
            writer.write_all(b"lost").unwrap();
        }
        until_idle().await;
        let mut stream = file.read_provided_stream(&group);
        for round in 0..3u8 {
            let limited = stream.try_next().timeout(Duration::from_millis(20));
            let error = limited.await.unwrap_err();
            let Some(Error::TimedOut { left, .. }) = Error::from_io(&error) else {
                panic!("{error}");
            };
            if *left != LeftBehind::NothingHappened {
                return is_over_at_last(route, &mut writer).await;
            }
            writer.write_all(&[round]).unwrap();
            let limited = stream.try_next().timeout(PATIENCE);
            assert_eq!(&limited.await.unwrap().unwrap()[..], &[round]);
        }
        // The limit of a wait that is over does not reach what nobody limits.
        let limited = stream.try_next().timeout(Duration::from_millis(40));
        writer.write_all(b"in time").unwrap();
        assert_eq!(&limited.await.unwrap().unwrap()[..], b"in time");
        let late = async {
            tokio::time::sleep(Duration::from_millis(80)).await;
            writer.write_all(b"late").unwrap();
        };
        let (buf, ()) = tokio::join!(next(&mut stream), late);
        assert_eq!(&buf[..], b"late");
        drop((stream, buf));
        all_are_back(route, &group, PEERS).await;
    });
}

/// A wait that was given up takes its limit along, also where single reads read a file.
#[test]
fn a_limit_ends_with_its_wait() {
    on_each_route(|route| async move {
        let group = group(4, 64);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), pattern(640)).unwrap();
        let limit = Duration::from_millis(1);
        // One that was opened by name is read by single reads.
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let mut writer = std::fs::File::from(writer);
        let name = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let late_pipe = File::open(name).await.unwrap();
        let file = File::open(dir.path().join("file")).await.unwrap();
        let mut whole = file.read_provided_stream(&group);
        let mut stream = late_pipe.read_provided_stream(&group);
        for round in 0..4u8 {
            // Each begins under a limit, and another wait takes the place of that.
            assert!(poll_limited(&mut stream, limit).is_pending());
            let begun = poll_limited(&mut whole, limit);
            let end = Instant::now() + 3 * limit;
            until("the limit is over", async || Instant::now() > end).await;
            let late = async { writer.write_all(&[round]).unwrap() };
            match tokio::join!(stream.try_next(), late).0 {
                Ok(buf) => assert_eq!(&buf.unwrap()[..], &[round]),
                Err(error) => {
                    let error = Error::from_io(&error).unwrap();
                    let Error::TimedOut { left, .. } = error else {
                        panic!("{error}");
                    };
                    assert_ne!(*left, LeftBehind::NothingHappened, "{error}");
                    return is_over_at_last(route, &mut writer).await;
                }
            }
            let at = usize::from(round) * 128;
            let first = match begun {
                Poll::Ready(read) => read.unwrap().unwrap(),
                Poll::Pending => next(&mut whole).await,
            };
            assert_eq!(first[..], pattern(640)[at..at + 64]);
            let second = next(&mut whole).await;
            assert_eq!(second[..], pattern(640)[at + 64..at + 128]);
        }
    });
}

/// What a thread reads of a pipe cannot be had back, and is told to whoever waited; a ring gives it back, if late
/// where the machine is busy.
async fn is_over_at_last(route: Route, writer: &mut std::fs::File) {
    match route {
        Route::Pool => writer.write_all(b"lost").unwrap(),
        _ => eprintln!("skip: limits_of_streams: the ring gave a read back too late"),
    }
    until_idle().await;
}

fn poll_limited(
    stream: &mut ProvidedStream,
    limit: Duration,
) -> Poll<io::Result<Option<ProvidedBuf>>> {
    let limited = std::pin::pin!(stream.try_next().timeout(limit));
    limited.poll(&mut Context::from_waker(Waker::noop()))
}

/// What its caller hears nothing of has not failed: a file that turns out to be a pipe, and buffers that run out.
#[test]
fn ends_in_the_course_of_things_are_no_failures() {
    on_each_route(|_| async {
        let group = group(2, 8);
        let (file, mut writer) = pipe();
        let stream = file.read_provided_stream(&group);
        writer.write_all(&pattern(800)).unwrap();
        drop(writer);
        assert!(all(stream).await == pattern(800));
        assert_eq!(file.read_provided_at(&group, 5).await.unwrap().len(), 0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let to = path.clone();
        let writing = tokio::task::spawn_blocking(move || std::fs::write(to, "through"));
        assert_eq!(tidegate::fs::read(path).await.unwrap(), b"through");
        writing.await.unwrap().unwrap();
        until_idle().await;
        for op in stats().ops() {
            assert_eq!(op.failed, 0, "{op:?}");
        }
    });
}

/// The ENOBUFS of a file's own is its error, where the read has memory of its own.
#[test]
fn a_socket_that_was_overrun_says_so() {
    on_each_route(|_| async {
        let group = group(1, 4096);
        let zeroes = File::open("/dev/zero").await.unwrap();
        let _held = zeroes.read_provided_at(&group, 0).await.unwrap();
        let file = overrun();
        let error = file.read_provided_at(&group, 0).await.unwrap_err();
        assert_eq!(tidegate::raw_os_error(&error), Some(nix::libc::ENOBUFS));
        let mut stream = overrun().read_provided_stream(&group);
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(tidegate::raw_os_error(&error), Some(nix::libc::ENOBUFS));
        assert!(stream.next().await.is_none());
    });
}

/// A netlink socket to which more was sent than it has room for.
fn overrun() -> File {
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, setsockopt, socket,
        sockopt,
    };
    let (family, flags) = (AddressFamily::Netlink, SockFlag::empty());
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(family, SockType::Raw, flags, protocol).unwrap();
    setsockopt(&socket, sockopt::RcvBuf, &0).unwrap();
    // An empty request of no known type that wants an answer: length, type, flags, and two numbers.
    let mut request = [0u8; 16];
    request[..4].copy_from_slice(&16u32.to_ne_bytes());
    request[4..6].copy_from_slice(&0xffff_u16.to_ne_bytes());
    request[6..8].copy_from_slice(&5u16.to_ne_bytes());
    for _ in 0..1000 {
        send(socket.as_raw_fd(), &request, MsgFlags::empty()).unwrap();
    }
    File::from_std(socket.into())
}

/// Trap 17: many short reads share a buffer, and files with positions are refused.
#[test]
fn incremental_groups_serve_streams_alone() {
    on_each_route(|route| async move {
        let group = BufGroup::builder().count(1).size(4096).incremental(true);
        let group = group.build().unwrap();
        let file = File::open("/proc/cpuinfo").await.unwrap();
        let refused = file.read_provided_at(&group, 0).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        let mut stream = file.read_provided_stream(&group);
        let refused = stream.next().await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(matches!(
            Error::from_io(&refused),
            Some(Error::IncrementalGroup { .. })
        ));
        assert!(stream.next().await.is_none());

        let (file, mut writer) = pipe();
        let mut stream = file.read_provided_stream(&group);
        let mut held = Vec::new();
        for round in 0..64u8 {
            writer.write_all(&[round; 32]).unwrap();
            held.push(next(&mut stream).await);
            assert_eq!(&held[usize::from(round)][..], &[round; 32]);
        }
        let is_shared = is_many(route) && kernel::has((6, 12), fallbacks(NOT_REGISTERED) == 0);
        let mut addresses: HashSet<_> = held.iter().map(|buf| buf.as_ptr() as usize).collect();
        assert_eq!(addresses.len(), 64);
        if is_shared {
            let first = held[0].as_ptr() as usize;
            let expected: HashSet<_> = (0..64).map(|n| first + n * 32).collect();
            addresses.retain(|address| !expected.contains(address));
            assert!(addresses.is_empty(), "one behind the other");
        } else if route == Route::Ring {
            eprintln!("skip: incremental_buffers: this kernel has none");
        }
        for (round, buf) in held.iter().enumerate() {
            assert_eq!(&buf[..], &[round as u8; 32], "none is written over");
        }
        // The buffer fills up while much of it is held, and is used again once it is not.
        writer.write_all(&pattern(10_000)).unwrap();
        drop(held);
        drop(writer);
        assert!(all(stream).await == pattern(10_000));
    });
}

#[test]
fn what_was_read_can_be_written_from_there() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, pattern(100_000)).unwrap();
        copy(&from, &to).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == pattern(100_000));
    });
}

async fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (File::open(from).await?, File::create(to).await?);
    let mut stream = from.read_provided_stream(&group(2, 4096));
    let mut at = 0;
    while let Some(buf) = stream.try_next().await? {
        at += to.write_all_at(buf, at).await?.len() as u64;
    }
    Ok(())
}

/// Their reads end though nobody is left who could wake them.
#[test]
fn pipes_that_were_opened_by_name_and_have_ended_are_read_to_their_end() {
    on_each_route(|_| async {
        for round in 0..200usize {
            let (output, input) = nix::unistd::pipe().unwrap();
            nix::unistd::write(&input, b"piped").unwrap();
            let path = format!("/proc/self/fd/{}", output.as_raw_fd());
            let file = File::open(path).await.unwrap();
            let stream = file.read_provided_stream(&group(2, [1, 3, 5, 100][round % 4]));
            drop(input);
            let whole = tokio::time::timeout(PATIENCE, all(stream)).await;
            assert_eq!(whole.ok().as_deref(), Some(&b"piped"[..]), "{round}");
        }
    });
}

#[test]
fn what_is_handed_out_goes_to_any_thread() {
    fn goes_anywhere<T: Send + Sync + Unpin + 'static>() {}
    goes_anywhere::<BufGroup>();
    goes_anywhere::<ProvidedBuf>();
    goes_anywhere::<ProvidedStream>();
}
