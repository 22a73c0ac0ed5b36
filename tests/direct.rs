//! Small files through a ring's own table of files: the entries are really issued where they can be, the bytes
//! and errors are std's, and no descriptor and no slot is left behind (R22, R77).
#![cfg(target_os = "linux")]

mod common;
#[path = "fallback/seccomp.rs"]
mod seccomp;
#[path = "common/slots.rs"]
mod slots;

use std::io::Write;
use std::path::{Path, PathBuf};

use common::child::in_child;
use common::{has_ring, kernel, on_each_route, on_every_backend, until_idle};
use nix::sys::resource::{Resource, setrlimit};
use seccomp::{Filter, REGISTER};
use slots::slots;
use tidegate::fs;
use tidegate::probe;
use tidegate::{Handle, OpExt, Route, Stats};

/// What is read in the submission that opens the file.
const SMALL: usize = 64 << 10;

/// What a chain is made of.
const CHAIN: [(&str, u64); 4] = [
    ("OPENAT+DIRECT", 1),
    ("FADVISE+DIRECT", 1),
    ("READ+DIRECT", 2),
    ("CLOSE+DIRECT", 1),
];

/// Whether this kernel has what a chain takes, where there is a ring.
fn has_chains(route: Route) -> bool {
    route == Route::Ring && has_ring() && kernel::release() >= (6, 8)
}

fn stats() -> Stats {
    Handle::current().unwrap().stats()
}

/// Waits until no ring has a file in its table.
async fn until_no_slot_is_used() {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !slots().0.is_empty() {
        assert!(std::time::Instant::now() < end, "{:?}", slots());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// What the descriptors of this process lead to, without rings and what wakes their threads, which are made
/// when they are needed.
fn descriptors() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let anonymous = |link: &PathBuf| link.starts_with("anon_inode:[io_uring]");
    links
        .filter(|link| !anonymous(link) && !link.starts_with("anon_inode:[eventfd]"))
        .collect()
}

/// Bytes that differ from each other near and far.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at % 251 + at / 65_536) as u8)
        .collect()
}

/// As std reads it, with the same error.
async fn is_as_std(path: &Path) {
    let told = |error: std::io::Error| (error.kind(), tidegate::raw_os_error(&error));
    let ours = fs::read(path).await.map_err(told);
    let theirs = std::fs::read(path).map_err(told);
    assert!(
        ours == theirs,
        "{}: {ours:?}, std: {theirs:?}",
        path.display()
    );
}

/// One submission for each file, of entries that go to the table, and nothing else; plain ways elsewhere.
#[test]
fn the_entries_of_a_chain_are_issued() {
    on_every_backend(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let before = stats();
        for _ in 0..10 {
            assert_eq!(fs::read(&path).await.unwrap(), b"content");
        }
        until_idle().await;
        let since = stats().since(&before);
        for (name, each) in CHAIN {
            let expected = if has_chains(route) { 10 * each } else { 0 };
            assert_eq!(since.submitted(name), expected, "{name}");
        }
        for plain in ["OPENAT", "READ", "STATX", "CLOSE"] {
            let is_only = has_chains(route) || route != Route::Ring;
            // A lane reads its event by such an entry.
            assert!(!is_only || plain == "READ" || since.submitted(plain) == 0);
        }
        assert_eq!(since.submitted("FIXED_FD_INSTALL"), 0);
        assert_eq!(since.fallbacks().count(), 0);
    });
}

/// Files around the size of the buffer, without a size, and larger than any buffer.
#[test]
fn files_of_any_size_are_read_to_their_end() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        for length in [
            0,
            1,
            4096,
            SMALL - 1,
            SMALL,
            SMALL + 1,
            2 * SMALL,
            3_000_000,
        ] {
            let path = dir.path().join(length.to_string());
            let bytes = pattern(length);
            std::fs::write(&path, &bytes).unwrap();
            assert!(fs::read(&path).await.unwrap() == bytes, "{length} bytes");
        }
        for path in ["/proc/version", "/proc/self/mountinfo", "/proc/filesystems"] {
            is_as_std(Path::new(path)).await;
        }
        is_as_std(Path::new("/dev/null")).await;
        // Longer than what procfs gives at a time.
        let symbols = fs::read("/proc/kallsyms").await.unwrap();
        assert!(symbols.ends_with(b"\n") && symbols.len() > SMALL);
    });
}

/// Many small files that are not in memory are read as chains on a handle that is not pinned, too.
#[test]
fn many_cold_files_are_chains() {
    on_each_route(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let filesystem = probe::filesystem(dir.path()).unwrap();
        let is_disk = filesystem.answers_at_poll && filesystem.fs_type != "tmpfs";
        let paths: Vec<_> = (0..200).map(|n| dir.path().join(n.to_string())).collect();
        for (n, path) in paths.iter().enumerate() {
            std::fs::write(path, pattern(n * 300)).unwrap();
        }
        // The first operation there learns what the mount is.
        fs::read(&paths[0]).await.unwrap();
        until_idle().await;
        for path in &paths {
            tidegate_rig::files::drop_cached(path).unwrap();
        }
        let before = stats();
        let reads = futures::future::join_all(paths.iter().map(fs::read)).await;
        for (n, read) in reads.into_iter().enumerate() {
            assert!(read.unwrap() == pattern(n * 300), "file {n}");
        }
        let chains = stats().since(&before).submitted("OPENAT+DIRECT");
        if route == Route::Auto && is_disk && has_chains(Route::Ring) {
            assert!(chains > 0, "{:?}", stats());
        }
    });
}

#[test]
fn errors_are_those_of_std() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let long = at(&"n".repeat(300));
        let none = PathBuf::from("");
        let mut paths = vec![long, none, "a\0b".into(), "/proc/self/mem".into()];
        for name in ["", "file", "file/x", "link", "loop", "missing", "socket"] {
            paths.push(at(name));
        }
        for path in paths {
            is_as_std(&path).await;
        }
        until_idle().await;
        until_no_slot_is_used().await;
    });
}

#[test]
fn no_permission_is_told() {
    common::child::in_child_without_privileges("no_permission_is_told", || {
        on_each_route(|_| async {
            for path in ["/proc/1/environ", "/etc/shadow"] {
                is_as_std(Path::new(path)).await;
            }
        });
    });
}

/// What cannot be read twice is read once: the reader waits for a writer, and has all that it writes.
#[test]
fn a_pipe_loses_nothing() {
    on_each_route(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, file) = (dir.path().join("fifo"), dir.path().join("file"));
        fs::make_fifo(&fifo, 0o600).await.unwrap();
        std::fs::write(&file, "content").unwrap();
        let before = stats();
        let reading = tokio::spawn(fs::read(fifo.clone()));
        // Others go on while it waits.
        for _ in 0..100 {
            assert_eq!(fs::read(&file).await.unwrap(), b"content");
        }
        let bytes = pattern(300_000);
        let written = bytes.clone();
        let writer = std::thread::spawn(move || {
            let mut to = std::fs::File::options().write(true).open(fifo).unwrap();
            for part in written.chunks(7777) {
                to.write_all(part).unwrap();
            }
        });
        assert!(reading.await.unwrap().unwrap() == bytes);
        writer.join().unwrap();
        let installed = stats().since(&before).submitted("FIXED_FD_INSTALL");
        assert_eq!(installed, u64::from(has_chains(route)));
        until_idle().await;
        until_no_slot_is_used().await;
    });
}

/// What was written to a file that is dropped meanwhile is there for who reads it next.
#[test]
fn a_write_that_goes_on_is_seen() {
    use tokio::io::AsyncWriteExt;
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..200 {
            let path = dir.path().join(round.to_string());
            let bytes = pattern(40_000 + round);
            let mut file = fs::File::create(&path).await.unwrap();
            file.write_all(&bytes).await.unwrap();
            drop(file);
            assert!(fs::read(&path).await.unwrap() == bytes, "round {round}");
        }
    });
}

/// A file that is replaced again and again: what is read is one of them, never parts of two.
#[test]
fn a_replaced_file_is_not_mixed() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let length = |byte: u8| usize::from(byte) * 700;
        let replace = move |path: &Path, byte: u8| {
            let other = path.with_extension("new");
            std::fs::write(&other, vec![byte; length(byte)]).unwrap();
            std::fs::rename(other, path).unwrap();
        };
        replace(&path, 1);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let place = path.clone();
        let writer = std::thread::spawn(move || {
            let mut byte = 1u8;
            while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
                byte = byte.wrapping_mul(31).wrapping_add(17);
                replace(&place, byte);
            }
        });
        for _ in 0..1000 {
            let bytes = fs::read(&path).await.unwrap();
            let first = bytes.first().copied().unwrap_or(0);
            assert_eq!(bytes.len(), length(first));
            assert!(bytes.iter().all(|&byte| byte == first));
        }
        drop(stop);
        writer.join().unwrap();
    });
}

/// A file that shrinks and grows meanwhile is read to some end that it had.
#[test]
fn a_file_that_changes_its_size_is_read() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, []).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let writer = std::thread::spawn(move || {
            let sizes = [0, 10, SMALL, 3 * SMALL, 100, SMALL + 1];
            let mut next = sizes.iter().cycle();
            while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
                file.set_len(*next.next().unwrap() as u64).unwrap();
            }
        });
        for _ in 0..1000 {
            let bytes = fs::read(&path).await.unwrap();
            assert!(bytes.len() <= 3 * SMALL && bytes.iter().all(|&byte| byte == 0));
        }
        drop(stop);
        writer.join().unwrap();
    });
}

/// Many at a time, some of them dropped at any moment: no descriptor and no slot is left.
#[test]
fn nothing_is_left_open() {
    // Descriptors are counted, so that nobody else may open any.
    let body = || on_each_route(drops_and_reads);
    in_child("nothing_is_left_open", |_| {}, body);
}

async fn drops_and_reads(route: Route) {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..50).map(|n| dir.path().join(n.to_string())).collect();
    for (n, path) in paths.iter().enumerate() {
        std::fs::write(path, pattern(n * 2000)).unwrap();
    }
    let fifo = dir.path().join("fifo");
    fs::make_fifo(&fifo, 0o600).await.unwrap();
    fs::read(&paths[1]).await.unwrap();
    until_idle().await;
    let before = descriptors();
    for round in 0..20u32 {
        let reads = paths
            .iter()
            .map(|path| tokio::spawn(fs::read(path.clone())));
        let reads: Vec<_> = reads.collect();
        let stuck = tokio::spawn(fs::read(fifo.clone()));
        for (n, read) in reads.into_iter().enumerate() {
            if (n as u32 + round) % 3 == 0 {
                read.abort();
                let _ = read.await;
            } else {
                assert!(read.await.unwrap().unwrap() == pattern(n * 2000));
            }
        }
        stuck.abort();
        let _ = stuck.await;
        if route != Route::Ring {
            // A thread that opens it does not hear.
            let _writer = std::fs::File::options().read(true).write(true).open(&fifo);
            until_idle().await;
        }
    }
    until_idle().await;
    until_no_slot_is_used().await;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while descriptors().len() > before.len() {
        assert!(
            std::time::Instant::now() < end,
            "{before:?}, {:?}",
            descriptors()
        );
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// A FIFO that nobody writes to: the limit ends the wait, and its slot comes back.
#[test]
fn a_limit_ends_the_wait_for_a_writer() {
    on_each_route(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        fs::make_fifo(&fifo, 0o600).await.unwrap();
        let limit = std::time::Duration::from_millis(50);
        let error = fs::read(&fifo).timeout(limit).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        if route != Route::Ring {
            let _writer = std::fs::File::options().read(true).write(true).open(&fifo);
            until_idle().await;
        }
        until_idle().await;
        until_no_slot_is_used().await;
    });
}

/// The table is no larger than the limit on open files, and its slots serve many more reads than there are.
#[test]
fn few_descriptors_are_enough() {
    in_child(
        "few_descriptors_are_enough",
        |_| {},
        || {
            const OPEN: usize = 48;
            setrlimit(Resource::RLIMIT_NOFILE, OPEN as u64, OPEN as u64).unwrap();
            on_each_route(|route| async move {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("file");
                std::fs::write(&path, "content").unwrap();
                let reads = (0..1000).map(|_| fs::read(&path));
                // Each may need a descriptor: a blocking thread, or one that finds no slot free.
                let at_a_time = if has_chains(route) { 12 } else { 4 };
                let reads = futures::stream::iter(reads);
                let reads = futures::StreamExt::buffer_unordered(reads, at_a_time);
                let all: Vec<_> = futures::StreamExt::collect(reads).await;
                for read in all {
                    assert_eq!(read.unwrap(), b"content");
                }
                let (open, most) = slots();
                assert!(open.is_empty() && most <= OPEN, "{open:?}, {most} slots");
                assert_eq!(most > 0, has_chains(route));
            });
        },
    );
}

/// Before Linux 6.8 a pipe could not be read on: no chain is begun, and the bytes are the same.
#[test]
fn without_an_opcode_no_chain_is_begun() {
    in_child(
        "without_an_opcode_no_chain_is_begun",
        |command| {
            command.env("TIDEGATE_WITHOUT_OPCODES", "54");
        },
        || {
            on_each_route(|route| async move {
                let dir = tempfile::tempdir().unwrap();
                let before = stats();
                for length in [0, 7, SMALL, SMALL + 1] {
                    let path = dir.path().join(length.to_string());
                    std::fs::write(&path, pattern(length)).unwrap();
                    assert!(fs::read(&path).await.unwrap() == pattern(length));
                }
                let since = stats().since(&before);
                for (name, _) in CHAIN {
                    assert_eq!(since.submitted(name), 0, "{name}");
                }
                let opened = since.submitted("OPENAT");
                assert_eq!(opened, if route == Route::Ring { 4 } else { 0 });
            });
        },
    );
}

/// Where nothing can be registered, a blocking thread does it, which is counted.
#[test]
fn without_a_table_threads_do_it() {
    let test = "without_a_table_threads_do_it";
    in_child(
        test,
        |_| {},
        || {
            if !has_chains(Route::Ring) {
                return eprintln!("skip: {test}: there are no chains");
            }
            Filter::refuse(&[REGISTER], libc::EPERM).install();
            on_each_route(|route| async move {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("file");
                std::fs::write(&path, pattern(SMALL + 1)).unwrap();
                for _ in 0..3 {
                    assert!(fs::read(&path).await.unwrap() == pattern(SMALL + 1));
                }
                let stats = stats();
                assert_eq!(stats.submitted("OPENAT+DIRECT"), 0);
                let counted = stats.fallbacks().map(|(_, count)| count).sum::<u64>();
                assert_eq!(counted, if route == Route::Ring { 3 } else { 0 });
            });
        },
    );
}
