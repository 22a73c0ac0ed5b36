//! What the pages of the guide claim to those who come from tokio: each sentence is in a list here, with the test that
//! shows it, or why none does. What no other test shows is shown below, on every backend, and on tokio where the
//! sentence speaks of tokio.
#![cfg(target_os = "linux")]

mod common;
#[path = "guide_claims/lists.rs"]
mod lists;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate::fs::{self, CopyFile, File};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Error, Handle, OpExt, Route, Timeouts};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use common::child::in_child;
use common::{on_each_route, on_every_backend, routes, runtime};
use lists::{CANCELLATION, Claim, DROPPED_FUTURES, FROM_TOKIO_FS, Shown};

const PAGES: [(&str, &str, &[Claim]); 3] = [
    (
        "from_tokio_fs",
        include_str!("../src/guide/from_tokio_fs.rs"),
        FROM_TOKIO_FS,
    ),
    (
        "dropped_futures",
        include_str!("../src/guide/dropped_futures.rs"),
        DROPPED_FUTURES,
    ),
    (
        "cancellation",
        include_str!("../src/guide/cancellation.rs"),
        CANCELLATION,
    ),
];

/// The sentences of a page, in plain words: without code, headings, and what only leads elsewhere in a link.
fn sentences(page: &str) -> Vec<String> {
    let (mut blocks, mut is_code) = (vec![String::new()], false);
    for line in page
        .lines()
        .map(|line| line.trim_start_matches("//!").trim())
    {
        is_code ^= line.starts_with("```");
        let begins = ["- ", "| ", "#"].iter().any(|mark| line.starts_with(mark));
        if begins || line.is_empty() || is_code {
            blocks.push(String::new());
        }
        let is_text = !is_code
            && !["```", "#", "|--"]
                .iter()
                .any(|mark| line.starts_with(mark));
        if is_text {
            let block = blocks.last_mut().unwrap();
            block.push_str(line.trim_start_matches("- "));
            block.push(' ');
        }
    }
    let mut found = Vec::new();
    for block in blocks {
        let plain = without_links(&block);
        let ends = plain
            .replace(".** ", ". ")
            .replace("? ", ". ")
            .replace("**", "");
        found.extend(ends.split(". ").map(|sentence| sentence.trim().to_owned()));
    }
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// `[this](that)` as `this`.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        plain.push_str(&before.replace('[', ""));
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[test]
fn every_sentence_has_its_test_or_its_reason() {
    let mut wrong = Vec::new();
    for (page, text, claims) in PAGES {
        let mut left: BTreeMap<&str, u32> = claims.iter().map(|claim| (claim.0, 0)).collect();
        for sentence in sentences(text) {
            let found = claims.iter().filter(|claim| sentence.starts_with(claim.0));
            match found.max_by_key(|claim| claim.0.len()) {
                Some(claim) => *left.get_mut(claim.0).unwrap() += 1,
                None => wrong.push(format!("{page}: nothing shows: {sentence}")),
            }
        }
        let gone = left.iter().filter(|(_, count)| **count == 0);
        wrong.extend(gone.map(|(claim, _)| format!("{page}: no sentence begins so: {claim}")));
        let tests = claims.iter().flat_map(|claim| match claim.1 {
            Shown::By(tests) => tests,
            Shown::NotAs(reason) => {
                assert!(!reason.is_empty());
                &[]
            }
        });
        wrong.extend(
            tests
                .filter(|test| !is_there(test))
                .map(|test| format!("{page}: no test {test}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether there is such a test, by its file and its function.
fn is_there(test: &str) -> bool {
    let (file, function) = test.split_once("::").unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
    text.contains(&format!("fn {function}("))
        || text.contains(&format!("{function}:"))
        || text.contains(&format!("\"{function}\""))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_line_of_the_page_switches_the_limits_off() {
    let test = "the_line_of_the_page_switches_the_limits_off";
    let page = PAGES[0].1;
    let (_, after) = page.split_once("`TIDEGATE_TIMEOUTS=").unwrap();
    let value = after.split_once('`').unwrap().0;
    let prepare = |command: &mut Command| {
        command.env("TIDEGATE_TIMEOUTS", value);
    };
    in_child(test, prepare, || {
        on_each_route(|_| async {
            let off = Handle::current().unwrap().settings().timeouts;
            assert_eq!((off.metadata, off.data, off.sync), (None, None, None));
        });
    });
    let seconds = |limit: Option<Duration>| limit.unwrap().as_secs();
    let limits = Timeouts::default();
    let [metadata, data, sync] = [limits.metadata, limits.data, limits.sync].map(seconds);
    assert_eq!((metadata, data, sync), (30, 60, 60));
}

/// A limit ends what was begun later, and what goes through a tree is not over.
#[test]
fn what_goes_through_a_tree_has_no_limit() {
    for route in routes() {
        runtime(true).block_on(async {
            let mut limits = Timeouts::default();
            limits.metadata = Some(Duration::from_millis(300));
            let faults = Faults::new();
            let builder = Handle::builder().route(route).timeouts(limits);
            let handle = builder.faults(faults.clone()).install().unwrap();
            let dir = folder();
            std::fs::create_dir_all(dir.path().join("tree/a")).unwrap();
            let stuck = faults.on(Kind::RemoveDirAll).never();
            let other = faults.on(Kind::RemoveFile).never();
            let removal = tokio::spawn(fs::remove_dir_all(dir.path().join("tree")));
            stuck.wait_hit(1).await;
            let error = fs::remove_file(dir.path().join("file")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{route:?}");
            assert!(!removal.is_finished(), "{route:?}");
            drop((stuck, other));
            removal.await.unwrap().unwrap();
            drop(handle);
        });
    }
}

/// Kind and number, and whether it is this crate's own.
fn seen(error: &std::io::Error) -> (ErrorKind, Option<i32>, bool) {
    (
        error.kind(),
        error.raw_os_error(),
        Error::from_io(error).is_some(),
    )
}

async fn pipe(dir: &std::path::Path, name: &str) -> File {
    let path = dir.join(name);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut options = File::options();
    options.read(true).write(true).open(&path).await.unwrap()
}

#[test]
fn what_the_system_did_not_refuse_has_no_number() {
    on_every_backend(|route| async move {
        let dir = folder();
        let late = pipe(dir.path(), "late").await;
        let read = late
            .read_at(Vec::with_capacity(8), 0)
            .timeout(Duration::from_millis(20));
        let error = read.await.unwrap_err().into();
        assert_eq!(seen(&error), (ErrorKind::TimedOut, None, true), "{route:?}");
        // Lets a thread go that may still read.
        late.write_at("x", 0).await.unwrap();
        let token = CancellationToken::new();
        token.cancel();
        let cancelled = fs::metadata(dir.path().join("x")).cancel_on(&token).await;
        let error = cancelled.unwrap_err();
        assert_eq!(seen(&error), (ErrorKind::Other, None, true), "{route:?}");
        if route == Route::Pool {
            // A thread in a call goes on to its end, and its caller has what comes of it.
            return;
        }
        common::until_idle().await;
        let over = Arc::new(pipe(dir.path(), "over").await);
        let reader = over.clone();
        let waiting = tokio::spawn(async move { reader.read_at(Vec::with_capacity(8), 0).await });
        let handle = Handle::current().unwrap();
        let is_it =
            |path: Option<std::path::PathBuf>| path.is_some_and(|path| path.ends_with("over"));
        while !handle.in_flight().into_iter().any(|op| is_it(op.path)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        handle.shutdown(Duration::from_millis(100)).await;
        let error = waiting.await.unwrap().unwrap_err().into();
        let (_, number, is_ours) = seen(&error);
        assert_eq!((number, is_ours), (None, true), "{route:?}: {error}");
        over.write_at("x", 0).await.unwrap();
    });
}

#[test]
fn a_clone_s_sync_tells_of_the_cursor_s_write() {
    on_every_backend(|route| async move {
        let mut file = File::options().write(true).open("/dev/full").await.unwrap();
        let clone = file.try_clone().await.unwrap();
        file.write_all(b"x").await.unwrap();
        let first = file.flush().await.unwrap_err();
        assert_eq!(first.raw_os_error(), Some(28), "{route:?}");
        for _ in 0..2 {
            let told = [
                clone.sync_all().await,
                clone.sync_data().await,
                file.flush().await,
            ];
            for error in told.map(Result::unwrap_err) {
                assert_eq!(
                    seen(&error),
                    (ErrorKind::StorageFull, None, true),
                    "{route:?}"
                );
                assert!(matches!(
                    Error::from_io(&error),
                    Some(Error::Poisoned { .. })
                ));
                assert_eq!(tidegate::raw_os_error(&error), Some(28), "{route:?}");
            }
        }
        clone.acknowledge().unwrap();
        file.flush().await.unwrap();
    });
}

/// Also by another name of it.
#[test]
fn a_copy_onto_itself_is_refused_by_any_name() {
    let make = |dir: &std::path::Path| {
        std::fs::write(dir.join("file"), "text").unwrap();
        std::fs::hard_link(dir.join("file"), dir.join("hard")).unwrap();
        std::os::unix::fs::symlink("file", dir.join("link")).unwrap();
    };
    for name in ["file", "hard", "link"] {
        let dir = folder();
        make(dir.path());
        let at = |name: &str| dir.path().join(name);
        let copied = runtime(true).block_on(tokio::fs::copy(at("file"), at(name)));
        assert_eq!(
            (copied.unwrap(), std::fs::read(at("file")).unwrap()),
            (0, Vec::new())
        );
    }
    on_every_backend(|route| async move {
        let dir = folder();
        make(dir.path());
        let at = |name: &str| dir.path().join(name);
        for (from, to) in [
            ("file", "file"),
            ("file", "hard"),
            ("hard", "file"),
            ("link", "hard"),
            ("file", "link"),
        ] {
            let error = fs::copy(at(from), at(to)).await.unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidInput,
                "{route:?} {from} {to}"
            );
            assert_eq!(std::fs::read(at("file")).unwrap(), b"text");
        }
    });
}

/// What a program's end is when it writes past the limit, with the signal as every program has it.
#[test]
fn past_the_largest_size_is_an_error_of_threads() {
    let test = "past_the_largest_size_is_an_error_of_threads";
    if !common::child::is_child(test) {
        let ends = |by: &str| {
            let mut command = common::child::command(test);
            command.env("WRITES_BY", by).status().unwrap()
        };
        assert_eq!(ends("tokio").signal(), Some(nix::libc::SIGXFSZ));
        assert!(ends("threads").success());
        return;
    }
    use nix::sys::resource::{Resource, setrlimit};
    let dir = folder();
    let path = dir.path().join("file");
    setrlimit(Resource::RLIMIT_FSIZE, 10_000, 10_000).unwrap();
    setrlimit(Resource::RLIMIT_CORE, 0, 0).unwrap();
    // SAFETY: no handler is involved.
    unsafe { nix::libc::signal(nix::libc::SIGXFSZ, nix::libc::SIG_DFL) };
    if std::env::var("WRITES_BY").unwrap() == "tokio" {
        let _ = runtime(false).block_on(tokio::fs::write(&path, vec![1; 20_000]));
        return;
    }
    runtime(false).block_on(async {
        Handle::builder().route(Route::Pool).install().unwrap();
        let error = fs::write(&path, vec![1; 20_000]).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EFBIG));
        let mut file = File::create(&path).await.unwrap();
        file.seek(std::io::SeekFrom::Start(10_000)).await.unwrap();
        file.write_all(b"x").await.unwrap();
        assert_eq!(
            file.flush().await.unwrap_err().raw_os_error(),
            Some(nix::libc::EFBIG)
        );
    });
}

#[test]
fn what_is_in_memory_is_ready_at_once_and_loops_yield() {
    let test = "what_is_in_memory_is_ready_at_once_and_loops_yield";
    runtime(false).block_on(async {
        Handle::builder().install().unwrap();
        let dir = folder();
        let path = dir.path().join("file");
        std::fs::write(&path, "text").unwrap();
        let _ = (fs::metadata(&path).await, fs::read(&path).await);
        // Its mount is known after some.
        let mut tries = 0;
        while pin!(fs::metadata(&path))
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            tries += 1;
            if tries > 3000 {
                return eprintln!("skip: {test}: polls do not answer here");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // On one thread: another task has its turn only if this one gives it up.
        let had_a_turn = Arc::new(AtomicBool::new(false));
        let seen = had_a_turn.clone();
        let other = tokio::spawn(async move { seen.store(true, Ordering::Relaxed) });
        let mut rounds = 0;
        while !had_a_turn.load(Ordering::Relaxed) {
            fs::metadata(&path).await.unwrap();
            rounds += 1;
            assert!(rounds < 100_000, "nobody else has a turn");
        }
        other.await.unwrap();
    });
}

#[test]
fn the_threads_of_spawn_blocking_have_no_say() {
    for route in routes() {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(2)
            .max_blocking_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        let (release, is_released) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            Handle::builder().route(route).install().unwrap();
            let (began, has_begun) = tokio::sync::oneshot::channel();
            let blocker = tokio::task::spawn_blocking(move || {
                began.send(()).unwrap();
                let _ = is_released.recv();
            });
            has_begun.await.unwrap();
            let dir = folder();
            let mut of_tokio = pin!(tokio::fs::write(dir.path().join("theirs"), "text"));
            let mut poll = || {
                of_tokio
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
            };
            assert!(poll().is_pending());
            fs::write(dir.path().join("ours"), "text").await.unwrap();
            fs::copy(dir.path().join("ours"), dir.path().join("copy"))
                .await
                .unwrap();
            assert!(matches!(poll(), Poll::Pending), "it needed no thread");
            drop(release);
            blocker.await.unwrap();
            of_tokio.await.unwrap();
        });
    }
}

#[test]
fn owned_buffers_are_not_copied() {
    on_every_backend(|route| async move {
        let dir = folder();
        let path = dir.path().join("file");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .open(&path)
            .await
            .unwrap();
        let bytes = vec![7_u8; 100_000];
        let at = bytes.as_ptr();
        let bytes = file.write_all_at(bytes, 0).await.unwrap();
        assert_eq!(bytes.as_ptr(), at, "{route:?}");
        let (count, bytes) = file.read_at(bytes, 0).await.unwrap();
        assert_eq!((count, bytes.as_ptr()), (100_000, at), "{route:?}");
    });
}

/// Pages of the file in memory, if the kernel tells.
fn cached(file: &std::fs::File) -> Option<u64> {
    use std::os::fd::AsRawFd;
    let (range, mut found) = ([0_u64, 0], [0_u64; 5]);
    // SAFETY: cachestat reads two numbers and writes five, which are there.
    let done =
        unsafe { nix::libc::syscall(451, file.as_raw_fd(), range.as_ptr(), found.as_mut_ptr(), 0) };
    (done == 0).then_some(found[0])
}

/// How many pages are in memory once one was read, of a file of which none was.
fn pages_after_a_read(file: &std::fs::File) -> Option<u64> {
    use std::os::fd::AsRawFd;
    // What is being read stays until it is there.
    for _ in 0..10_000 {
        // SAFETY: it takes a number that is open, and no memory.
        unsafe { nix::libc::posix_fadvise(file.as_raw_fd(), 0, 0, nix::libc::POSIX_FADV_DONTNEED) };
        if cached(file)? == 0 {
            file.read_at(&mut [0; 4096], 0).unwrap();
            return cached(file);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

#[test]
fn readahead_is_off_and_on_again() {
    let test = "readahead_is_off_and_on_again";
    runtime(true).block_on(async move {
        Handle::builder().install().unwrap();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![1; 4 << 20]).unwrap();
        let std = std::fs::File::open(&path).unwrap();
        std.sync_all().unwrap();
        let Some(2..) = pages_after_a_read(&std) else {
            return eprintln!(
                "skip: {test}: the kernel does not read ahead here, or does not tell"
            );
        };
        let beside = std.try_clone().unwrap();
        let mut file = File::from_std(std);
        let read = |at: u64| file.read_at(Vec::with_capacity(4096), at);
        // Its mount is known after some.
        let (mut tries, mut pages) = (0, pages_after_a_read(&beside).unwrap());
        while pages > 1 && tries < 3000 {
            read(1 << 20).await.unwrap();
            pages = pages_after_a_read(&beside).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            tries += 1;
        }
        if pages > 1 {
            return eprintln!("skip: {test}: no read is answered at the poll here");
        }
        // The cursor reads.
        file.read_exact(&mut [0; 4096]).await.unwrap();
        assert!(pages_after_a_read(&beside).unwrap() > 1, "the cursor reads");
        let std = File::from_std(file.into_std().await).into_std().await;
        assert!(pages_after_a_read(&beside).unwrap() > 1, "it went back");
        drop(std);
    });
}

/// What was there is as it was, whenever the copy is dropped.
#[test]
fn a_dropped_copy_leaves_what_was_there() {
    on_every_backend(|route| async move {
        let dir = folder();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("from"), vec![9; 3 << 20]).unwrap();
        for polls in [0, 1, 2, 5] {
            std::fs::write(at("to"), "as it was").unwrap();
            let copy = CopyFile::new(at("from"), at("to"))
                .rename_into_place(true)
                .run();
            let mut copy = Box::pin(copy);
            let mut is_over = false;
            for _ in 0..polls {
                let poll = copy.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                is_over = poll.is_ready();
                if is_over {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(copy);
            common::until_idle().await;
            let found = std::fs::read(at("to")).unwrap();
            let is_whole = found == vec![9; 3 << 20];
            assert!(
                is_whole || found == b"as it was" && !is_over,
                "{route:?} {polls}"
            );
        }
    });
}
