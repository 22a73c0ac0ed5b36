//! What a kernel lacks or refuses: everything is read without it, and it is told.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tidegate::fs::File;
use tidegate::{Handle, Route};

use super::common::child::{in_child, is_root};
use super::common::{on_each_route, runtime};
use super::seccomp::Filter;
use super::{
    NOT_REGISTERED, PATIENCE, all, fallbacks, group, has_ring, next, pattern, pipe, stats,
};

/// The number by which `io_uring_register` is asked for provided buffers.
const PBUF_RING: u32 = 22;

/// Streams that wait, of pipes that are read without waiting and of others; whether the buffers are the ring's.
async fn streams_work(is_plain: impl Fn() -> bool) {
    let group = group(4, 64);
    let (file, mut writer) = pipe();
    let mut stream = file.read_provided_stream(&group);
    for round in 0..20u8 {
        let late = async { writer.write_all(&[round; 40]).unwrap() };
        let (buf, ()) = tokio::join!(next(&mut stream), late);
        assert_eq!((&buf[..], buf.is_plain()), (&[round; 40][..], is_plain()));
    }
    writer.write_all(&pattern(3000)).unwrap();
    drop(writer);
    assert!(all(stream).await == pattern(3000));
}

/// Kernels before 6.7 have no entry that reads again and again.
#[test]
fn without_multishot_reads_streams_are_read_one_by_one() {
    let test = "refused::without_multishot_reads_streams_are_read_one_by_one";
    in_child(
        test,
        |command| {
            command.env("TIDEGATE_WITHOUT_OPCODES", "49");
        },
        || {
            on_each_route(|route| async move {
                streams_work(|| !has_ring(route)).await;
                assert_eq!(stats().submitted("READ_MULTISHOT"), 0);
                let selected = stats().submitted("READ+BUFFER_SELECT");
                assert_eq!(selected >= 20, has_ring(route), "{selected}");
            });
        },
    );
}

/// R27: kernels before 5.19, and filters, refuse to register the buffers: no id is kept, and each read does without.
#[test]
fn without_registration_each_read_has_memory_of_its_own() {
    let test = "refused::without_registration_each_read_has_memory_of_its_own";
    in_child(
        test,
        |_| {},
        || {
            let had_ring = has_ring(Route::Ring);
            Filter::refuse_register(PBUF_RING, libc::EINVAL).install();
            on_each_route(|route| async move {
                let group = group(4, 64);
                let zeroes = File::open("/dev/zero").await.unwrap();
                for _ in 0..10 {
                    let buf = zeroes.read_provided_at(&group, 3).await.unwrap();
                    assert!(buf.is_plain() && buf[..] == [0; 64]);
                }
                let is_ring = had_ring && route != Route::Pool;
                assert_eq!(fallbacks(NOT_REGISTERED), if is_ring { 10 } else { 0 });
                streams_work(|| true).await;
                let selected = ["READ+BUFFER_SELECT", "READ_MULTISHOT"];
                assert_eq!(selected.map(|name| stats().submitted(name)), [0, 0]);
                let groups = stats().buffer_groups;
                assert_eq!((groups.in_flight, groups.exhausted), (0, 0));
            });
        },
    );
}

/// Memory that may not be locked now may be later: the kernel is asked again.
#[test]
fn a_refusal_is_not_for_ever() {
    const USER: u32 = 64_011;
    const TOO_LITTLE: u64 = 448 << 10;
    const ENOUGH: u64 = 4 << 20;
    let test = "refused::a_refusal_is_not_for_ever";
    let prepare = |command: &mut std::process::Command| {
        if is_root() {
            command.uid(USER).gid(USER);
        }
    };
    in_child(test, prepare, || {
        let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
        if hard < ENOUGH || tidegate::probe::report().ring_reason().is_some() {
            return eprintln!("skip: a_refusal_is_not_for_ever: no ring, or no memory to lock");
        }
        setrlimit(Resource::RLIMIT_MEMLOCK, TOO_LITTLE, hard).unwrap();
        runtime(true).block_on(async {
            Handle::builder().route(Route::Ring).install().unwrap();
            // The entries alone take half a megabyte.
            let group = group(32_768, 16);
            let zeroes = File::open("/dev/zero").await.unwrap();
            let read = async || zeroes.read_provided_at(&group, 0).await.unwrap();
            if !read().await.is_plain() {
                return eprintln!("skip: a_refusal_is_not_for_ever: entries are not counted");
            }
            assert!(read().await.is_plain());
            assert_eq!(fallbacks(NOT_REGISTERED), 2);
            assert_eq!(stats().buffer_groups.in_flight, 0);
            setrlimit(Resource::RLIMIT_MEMLOCK, ENOUGH, hard).unwrap();
            let end = Instant::now() + PATIENCE;
            while read().await.is_plain() {
                assert!(Instant::now() < end, "never asked again: {:?}", stats());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(stats().buffer_groups.in_flight, 1);
        });
    });
}
