//! Registered memory: used wherever it can be, with the same results as without (R47 to R59).
#![cfg(target_os = "linux")]

mod common;
#[path = "fixed/locked.rs"]
mod locked;
#[path = "fixed/refused.rs"]
mod refused;
#[path = "fallback/seccomp.rs"]
mod seccomp;

use std::io::Write;
use std::path::PathBuf;

use common::{has_ring, kernel};
use nix::sys::resource::{Resource, setrlimit};
use tidegate::buf::{BufPool, FixedBuf, IoBuf, Registration};
use tidegate::fs::{File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{Handle, Route, Stats, Submit, Way};

const BLOCK: usize = 4096;
const BLOCKS: usize = 64;

/// A byte that says where it is.
fn byte(at: usize) -> u8 {
    (at / 7 + at % 251) as u8
}

fn bytes(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(byte).collect()
}

/// A file of `BLOCKS` blocks on a local disk, where direct I/O works.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(dir.path().join("file"), bytes(0..BLOCKS * BLOCK)).unwrap();
        Scene { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("file")
    }

    /// Open for reading and writing; none where the filesystem has no direct I/O.
    async fn open(&self, direct: bool) -> Option<File> {
        let mut options = OpenOptions::new();
        let opened = options
            .read(true)
            .write(true)
            .direct(direct)
            .open(self.path());
        match opened.await {
            Ok(file) => Some(file),
            Err(error) if direct => {
                eprintln!("skip: direct_io: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn pool(count: usize) -> BufPool {
    BufPool::builder().count(count).size(BLOCK).build().unwrap()
}

/// Whether rings have the pool's memory; says why, if not, and fails where nothing forbids it.
fn is_registered(pool: &BufPool) -> bool {
    match pool.registration() {
        Registration::Enabled { .. } => true,
        other => {
            eprintln!("skip: registered_memory: {other}");
            assert!(!kernel::must_register(), "{other}");
            false
        }
    }
}

/// Whether this kernel has READV_FIXED and WRITEV_FIXED.
fn has_vectored() -> bool {
    kernel::release() >= (6, 15)
}

/// What was submitted, without the reads by which lanes are woken.
fn submitted(stats: &Stats) -> [u64; 8] {
    let woken = stats.submitted("READ").saturating_sub(reads(stats));
    let mut counts = [
        "READ_FIXED",
        "READ",
        "WRITE_FIXED",
        "WRITE",
        "READV_FIXED",
        "READV",
        "WRITEV_FIXED",
        "WRITEV",
    ]
    .map(|name| stats.submitted(name));
    counts[1] -= woken;
    counts
}

/// Single reads that went through a ring with plain memory.
fn reads(stats: &Stats) -> u64 {
    let ways = [Way::WorkerRing, Way::LaneRing].map(|way| stats.count(Kind::Read, way));
    (ways[0] + ways[1]).saturating_sub(stats.submitted("READ_FIXED"))
}

/// On a worker thread of the runtime, so that its ring is used.
fn on_worker<F>(workers: usize, test: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::spawn(test).await.unwrap() })
}

/// One of each: write, read, vectored write, vectored read, and what they did.
async fn one_of_each(file: &File, pool: &BufPool) {
    let size = pool.buffer_size();
    let mut buf = pool.get();
    buf.extend_from_slice(&vec![7; size]);
    let (count, mut buf) = file.write_fixed_at(buf, BLOCK as u64).await.unwrap();
    assert_eq!(count, size);
    buf.clear();
    let (count, buf) = file.read_fixed_at(buf, BLOCK as u64).await.unwrap();
    assert_eq!((count, &buf[..]), (size, &vec![7; size][..]));
    drop(buf);

    let mut bufs = vec![pool.get(), pool.get(), pool.get()];
    for (index, buf) in bufs.iter_mut().enumerate() {
        buf.resize(size, index as u8);
    }
    let (count, mut bufs) = file.write_vectored_fixed_at(bufs, 0).await.unwrap();
    assert_eq!(count, 3 * size);
    bufs.iter_mut().for_each(FixedBuf::clear);
    let (count, bufs) = file.read_vectored_fixed_at(bufs, 0).await.unwrap();
    assert_eq!(count, 3 * size);
    for (index, buf) in bufs.iter().enumerate() {
        assert_eq!(&buf[..], vec![index as u8; size]);
    }
}

/// R51: with memory that is registered, fixed entries are issued, by worker rings and by lanes, for direct and
/// for buffered files; and none but those.
#[test]
fn fixed_entries_are_issued() {
    if !has_ring() {
        return;
    }
    let vectored = u64::from(has_vectored());
    for (submit, direct) in [
        (Submit::Auto, true),
        (Submit::Isolated, true),
        (Submit::Auto, false),
        (Submit::Isolated, false),
    ] {
        eprintln!("{submit:?}, direct {direct}");
        on_worker(1, async move {
            let builder = Handle::builder().route(Route::Ring).submit(submit);
            let handle = builder.install().unwrap();
            let (scene, pool) = (Scene::new(), pool(4));
            let Some(file) = scene.open(direct).await else {
                return;
            };
            if !is_registered(&pool) {
                return;
            }
            let before = handle.stats();
            one_of_each(&file, &pool).await;
            let stats = handle.stats().since(&before);
            let [plain, fixed] = [1 - vectored, vectored];
            let expected = [1, 0, 1, 0, fixed, plain, fixed, plain];
            assert_eq!(submitted(&stats), expected);
            let way = match submit {
                Submit::Auto => Way::WorkerRing,
                _ => Way::LaneRing,
            };
            assert_eq!(stats.count(Kind::Read, way), 1);
            if direct {
                assert_eq!(stats.count(Kind::Write, way), 1);
            }
            assert_eq!(pool.stats().in_use, 0);
            file.close().await.unwrap();
        });
    }
}

/// Buffers of a pool are used as they are by the plain operations, too, and slices of them.
#[test]
fn plain_operations_use_registered_memory_by_themselves() {
    if !has_ring() {
        return;
    }
    on_worker(1, async {
        let handle = Handle::builder().route(Route::Ring).install().unwrap();
        let (scene, pool) = (Scene::new(), pool(2));
        let Some(file) = scene.open(true).await else {
            return;
        };
        if !is_registered(&pool) {
            return;
        }
        let before = handle.stats();
        let buf = file.read_exact_at(pool.get(), 0).await.unwrap();
        assert_eq!(&buf[..], bytes(0..BLOCK));
        let buf = file.write_all_at(buf, BLOCK as u64).await.unwrap();
        let part = file
            .read_exact_at(buf.slice(512..1024), 2048)
            .await
            .unwrap();
        assert_eq!(&part[..], bytes(2048..2560));
        let stats = handle.stats().since(&before);
        assert_eq!(submitted(&stats)[..4], [2, 0, 1, 0]);
        drop(part);
        let written = std::fs::read(scene.path()).unwrap();
        assert_eq!(written[BLOCK..2 * BLOCK], bytes(0..BLOCK));
        file.close().await.unwrap();
    });
}

/// R49, R51: without registration, from a dry pool, and of several pools, the same with plain entries.
#[test]
fn plain_entries_are_issued_for_what_is_not_registered() {
    if !has_ring() {
        return;
    }
    on_worker(1, async {
        let handle = Handle::builder().route(Route::Ring).install().unwrap();
        let scene = Scene::new();
        let file = scene.open(false).await.unwrap();
        let builder = BufPool::builder().count(4).size(BLOCK);
        let disabled = builder.register(false).build().unwrap();
        assert_eq!(disabled.registration(), Registration::Disabled);
        let dry = pool(1);
        let _lent = dry.get();
        for pool in [&disabled, &dry] {
            let before = handle.stats();
            one_of_each(&file, pool).await;
            let stats = handle.stats().since(&before);
            assert_eq!(submitted(&stats), [0, 1, 0, 1, 0, 1, 0, 1]);
        }
        assert_eq!((dry.stats().acquires, dry.stats().misses), (5, 4));
        let before = handle.stats();
        let bufs = vec![pool(1).get(), pool(1).get()];
        let (count, bufs) = file
            .read_vectored_fixed_at(bufs, 8 * BLOCK as u64)
            .await
            .unwrap();
        assert_eq!(count, 2 * BLOCK);
        assert_eq!(&bufs[1][..], bytes(9 * BLOCK..10 * BLOCK));
        let stats = handle.stats().since(&before);
        assert_eq!(submitted(&stats)[4..6], [0, 1]);
        if is_registered(&dry) {
            assert!(stats.fallbacks().any(|(_, count)| count == 1));
        }
        file.close().await.unwrap();
    });
}

/// INV-9: the same bytes on each backend, whatever the file is.
#[test]
fn every_kind_of_file_is_read_the_same() {
    common::on_each_route(|_| async {
        let pool = BufPool::builder().build().unwrap();
        for path in [
            "/proc/self/mounts",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/etc/passwd",
        ] {
            let Ok(expected) = std::fs::read(path) else {
                continue;
            };
            let file = File::open(path).await.unwrap();
            let (count, buf) = file.read_fixed_at(pool.get(), 0).await.unwrap();
            assert_eq!(buf[..], expected[..count], "{path}");
            let bufs = vec![pool.get(), pool.get()];
            let (again, bufs) = file.read_vectored_fixed_at(bufs, 0).await.unwrap();
            assert!(again >= count.min(1), "{path}");
            assert_eq!(
                bufs[0][..count.min(again)],
                expected[..count.min(again)],
                "{path}"
            );
        }
        let zero = File::open("/dev/zero").await.unwrap();
        let (count, buf) = zero.read_fixed_at(pool.get(), 0).await.unwrap();
        // A device may give less.
        assert!(count > 0 && count == buf.len());
        assert!(buf.iter().all(|&byte| byte == 0));
        let null = OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .await
            .unwrap();
        assert_eq!(null.write_fixed_at(buf, 0).await.unwrap().0, count);
        let random = File::open("/dev/urandom").await.unwrap();
        let (count, buf) = random
            .read_fixed_at(pool.get().slice(..100), 0)
            .await
            .unwrap();
        assert_eq!((count, buf.len()), (100, 100));
        // The error gives the buffer back.
        let error = null.read_fixed_at(pool.get(), 0).await.unwrap_err();
        let (error, buf) = error.into_parts();
        assert_eq!(tidegate::raw_os_error(&error), Some(libc::EBADF));
        assert!(buf.is_some_and(|buf| !buf.is_plain()));
        let error = zero.read_fixed_at(pool.get(), u64::MAX).await.unwrap_err();
        assert_eq!(tidegate::raw_os_error(&error.error), Some(libc::EINVAL));
    });
}

/// R52, R53: a read that the end of the file cuts short fills a prefix and no more, in whole and in parts.
#[test]
fn short_reads_fill_a_prefix() {
    common::on_each_route(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("short");
        let length = 2 * BLOCK + 904;
        std::fs::write(&path, bytes(0..length)).unwrap();
        for direct in [false, true] {
            let mut options = OpenOptions::new();
            let Ok(file) = options.read(true).direct(direct).open(&path).await else {
                continue;
            };
            let pool = pool(5);
            let dirty: Vec<FixedBuf> = std::iter::from_fn(|| pool.try_acquire()).collect();
            for mut buf in dirty {
                buf.resize(BLOCK, 0xee);
            }
            let bufs = (0..5).map(|_| pool.get()).collect();
            let (count, bufs) = file.read_vectored_fixed_at(bufs, 0).await.unwrap();
            assert_eq!(count, length);
            let lengths: Vec<usize> = bufs.iter().map(|buf| buf.len()).collect();
            assert_eq!(lengths, [BLOCK, BLOCK, 904, 0, 0]);
            assert_eq!(
                bufs.iter().map(|buf| &buf[..]).collect::<Vec<_>>().concat(),
                bytes(0..length)
            );
            drop(bufs);
            let (count, buf) = file
                .read_fixed_at(pool.get(), 2 * BLOCK as u64)
                .await
                .unwrap();
            assert_eq!((count, &buf[..]), (904, &bytes(2 * BLOCK..length)[..]));
            let (count, buf) = file
                .read_fixed_at(pool.get(), 4 * BLOCK as u64)
                .await
                .unwrap();
            assert_eq!((count, buf.len()), (0, 0));
            file.close().await.unwrap();
        }
    });
}

/// R53: a vectored write that the system cuts short has written a prefix and no more, and says so; what goes on
/// until all is written fails where it cannot.
#[test]
fn short_writes_leave_a_prefix() {
    const LIMIT: usize = 2 * BLOCK + 904;
    let body = || {
        // SAFETY: ignores a signal, as a server does; no handler is involved.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        setrlimit(Resource::RLIMIT_FSIZE, LIMIT as u64, LIMIT as u64).unwrap();
        common::on_each_route(|route| async move {
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let path = dir.path().join("short");
            let file = File::create(&path).await.unwrap();
            let pool = pool(3);
            let mut bufs = vec![pool.get(), pool.get(), pool.get()];
            for (index, buf) in bufs.iter_mut().enumerate() {
                buf.extend_from_slice(&bytes(index * BLOCK..(index + 1) * BLOCK));
            }
            let before = Handle::current().unwrap().stats();
            let (count, mut bufs) = file.write_vectored_fixed_at(bufs, 0).await.unwrap();
            assert_eq!(count, LIMIT);
            let back: Vec<&[u8]> = bufs.iter().map(|buf| &buf[..]).collect();
            assert!(back.concat() == bytes(0..3 * BLOCK));
            assert!(std::fs::read(&path).unwrap() == bytes(0..LIMIT));
            if route == Route::Ring && has_vectored() && is_registered(&pool) {
                let since = Handle::current().unwrap().stats().since(&before);
                assert_eq!(since.submitted("WRITEV_FIXED"), 1);
            }
            let error = file
                .write_all_at(bufs.remove(2), 2 * BLOCK as u64)
                .await
                .unwrap_err();
            assert_eq!(tidegate::raw_os_error(&error.error), Some(libc::EFBIG));
            let (_, buf) = error.into_parts();
            assert!(buf.unwrap()[..] == bytes(2 * BLOCK..3 * BLOCK));
            assert!(std::fs::read(&path).unwrap() == bytes(0..LIMIT));
            file.close().await.unwrap();
        });
    };
    common::child::in_child("short_writes_leave_a_prefix", |_| {}, body);
}

/// Reads every block, several at a time, and looks at each.
async fn reads_all(file: &File, pool: &BufPool, rounds: usize) {
    for round in 0..rounds {
        let reads = (0..BLOCKS).map(|block| async move {
            let buf = match block % 3 {
                0 => pool.get(),
                _ => pool.acquire().await.unwrap(),
            };
            let at = (block + round) % BLOCKS * BLOCK;
            let (count, buf) = file.read_fixed_at(buf, at as u64).await.unwrap();
            assert!(count <= buf.capacity());
            assert!(buf.freeze()[..] == bytes(at..at + BLOCK), "block {block}");
        });
        futures::future::join_all(reads).await;
    }
}

/// R47, R56: one pool for the rings of several workers and lanes, resized all the while.
#[test]
fn one_pool_serves_many_rings_and_is_resized_meanwhile() {
    for route in common::routes() {
        on_worker(4, async move {
            let handle = Handle::builder().route(route).install().unwrap();
            let (scene, pool) = (std::sync::Arc::new(Scene::new()), pool(8));
            let tasks: Vec<_> = (0..8)
                .map(|task| {
                    let (scene, pool) = (scene.clone(), pool.clone());
                    tokio::spawn(async move {
                        let direct = task % 2 == 0;
                        if let Some(file) = scene.open(direct).await {
                            reads_all(&file, &pool, 6).await;
                            file.close().await.unwrap();
                        }
                    })
                })
                .collect();
            for count in [1, 40, 3, 200, 8, 16].into_iter().cycle().take(60) {
                pool.resize(count).unwrap();
                tokio::task::yield_now().await;
            }
            for task in tasks {
                task.await.unwrap();
            }
            common::until_idle().await;
            let stats = handle.stats();
            if route == Route::Ring && is_registered(&pool) {
                assert!(stats.submitted("READ_FIXED") > 0, "{stats:?}");
            }
            assert_eq!(stats.foreign_completions, 0);
            assert_eq!((pool.stats().in_use, pool.stats().waiting), (0, 0));
        });
    }
}

fn pipe() -> (File, std::fs::File) {
    let (from, to) = nix::unistd::pipe().unwrap();
    let from = File::from_std(std::fs::File::from(from));
    (from, std::fs::File::from(to))
}

/// INV-1: a pool that is dropped, or shrunk, while the kernel reads into its buffers, keeps them until then, also
/// when nobody waits for the read any more.
#[test]
fn a_pool_is_dropped_while_reads_are_in_flight() {
    common::on_each_route(|_| async {
        let handle = Handle::current().unwrap();
        for drops_the_read in [false, true] {
            let pool = pool(3);
            let (from, mut to) = pipe();
            let mut read = Box::pin(from.read_fixed_at(pool.get(), 0));
            assert!(futures::poll!(read.as_mut()).is_pending());
            while handle.stats().in_flight == 0 {
                tokio::task::yield_now().await;
            }
            pool.resize(1).unwrap();
            let other = pool.get();
            drop((pool, other));
            if drops_the_read {
                drop(read);
                to.write_all(b"for nobody").unwrap();
            } else {
                to.write_all(b"still read").unwrap();
                let (count, buf) = read.await.unwrap();
                assert_eq!((count, &buf[..]), (10, &b"still read"[..]));
            }
            drop(to);
            common::until_idle().await;
            from.close().await.unwrap();
        }
    });
}

/// R58: bytes of a pool without a copy; the buffer is used again when the last of them is gone.
#[test]
fn frozen_bytes_outlive_the_read() {
    common::on_each_route(|_| async {
        let (scene, pool) = (Scene::new(), pool(1));
        let file = scene.open(false).await.unwrap();
        let buf = file
            .read_exact_at(pool.acquire().await.unwrap(), 0)
            .await
            .unwrap();
        let address = buf.as_ptr();
        let whole = buf.freeze();
        let part = bytes::Bytes::slice(&whole, 100..200);
        assert_eq!((whole.as_ptr(), pool.stats().in_use), (address, 1));
        drop(whole);
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.acquire().await.unwrap().stable_ptr() as usize }
        });
        while pool.stats().waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(part[..], bytes(100..200));
        drop(part);
        assert_eq!(waiting.await.unwrap(), address as usize);
        file.close().await.unwrap();
    });
}
