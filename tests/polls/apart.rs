//! What needs no held disk to take long: memory that is given back, a log that does not go on, and contents that are
//! a file themselves.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use tidegate::Handle;
use tidegate::buf::BufPool;
use tidegate::fs::File;
use tidegate_rig::{FsKind, HeldDisk, Request, Requirements, files};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

use crate::common::log::Log;
use crate::watch::{Doing, Inside, LOOK_EVERY, Observer, Watched};

/// Everything here ends long before this, or not at all.
const WAIT: Duration = Duration::from_secs(20);
const POOL_BUFFERS: usize = 1024;
const POOL_BUFFER_BYTES: usize = 1 << 20;
/// What a drop may take of a processor. Giving back so much memory takes a multiple of it.
const DROP_CPU_MAX: Duration = Duration::from_millis(20);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("drop of a registered pool", pool),
        // What is known to fail is named as skipped, so that it is not forgotten.
        Trial::ignorable_test("fs::write of a file mapping", || {
            Ok(skip(
                "fs::write of a file mapping",
                "contents are copied at the poll, as tokio does",
            ))
        }),
        Trial::ignorable_test("drop of a file whose write has failed", failed_write),
    ]
}

fn skip(name: &str, reason: &str) -> Completion {
    println!("skip: {name}: {reason}");
    Completion::ignored_with(reason.to_owned())
}

fn host() -> Result<(Runtime, Handle), Failed> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    let handle = runtime.block_on(async { Handle::builder().install() })?;
    Ok((runtime, handle))
}

fn start(runtime: &Runtime, doing: Doing) -> Arc<Inside> {
    let (watched, inside) = Watched::new(doing);
    runtime.spawn(watched);
    inside
}

/// Looks at it until it has returned; how it sleeps, if it does.
fn observe(inside: &Arc<Inside>) -> Result<(), String> {
    let mut observer = Observer::new(inside.clone());
    while !inside.has_returned() {
        if let Some(how) = observer.look() {
            return Err(how);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn until(what: &str, mut reached: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + WAIT;
    while !reached() {
        if Instant::now() > end {
            return Err(format!("never: {what}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A number of procfs, in KiB.
fn kib(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// The time that the calling thread has had of a processor.
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Unpinning and unmapping so much memory takes a processor for a quarter of a second.
fn pool() -> Result<Completion, Failed> {
    let name = "drop of a registered pool";
    if let Some(reason) = tidegate::probe::report().ring_reason() {
        return Ok(skip(name, &reason.to_string()));
    }
    let needed = (2 * POOL_BUFFERS * POOL_BUFFER_BYTES / 1024) as u64;
    if kib("/proc/meminfo", "MemAvailable:") < needed {
        return Ok(skip(name, "too little memory"));
    }
    let (runtime, _handle) = host()?;
    let (tell, hear) = std::sync::mpsc::channel();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("file");
    fs::write(&path, [7; 4096])?;
    let task = async move {
        let builder = BufPool::builder()
            .count(POOL_BUFFERS)
            .size(POOL_BUFFER_BYTES);
        let pool = builder
            .registered_bytes_max(POOL_BUFFERS * POOL_BUFFER_BYTES)
            .build()?;
        let file = File::open(path).await?;
        let read = file.read_fixed_at(pool.get(), 0).await;
        read.map_err(|error| error.error)?;
        let pinned = kib("/proc/self/status", "VmPin:");
        let before = cpu();
        drop(pool);
        let taken = cpu().saturating_sub(before);
        let _ = tell.send((pinned, taken));
        Ok::<_, std::io::Error>(())
    };
    runtime.block_on(async { runtime.spawn(task).await })??;
    let (pinned, taken) = hear.recv()?;
    println!("    {name}: {pinned} KiB were pinned, the drop took {taken:?} of a processor");
    if pinned < needed / 2 {
        return Err(format!("{pinned} KiB were pinned, so this shows nothing").into());
    }
    until("the memory is given back", || {
        kib("/proc/self/status", "VmPin:") < pinned / 2
    })?;
    if taken > DROP_CPU_MAX {
        return Err(
            format!("the drop gave the memory back itself: {taken:?} of a processor").into(),
        );
    }
    Ok(Completion::Completed)
}

/// Memory that is a file's.
struct Mapping {
    at: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: nothing writes to it, and it is unmapped by its only owner.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: &fs::File, bytes: usize) -> std::io::Result<Mapping> {
        let (null, flags) = (std::ptr::null_mut(), libc::MAP_SHARED);
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let at = unsafe { libc::mmap(null, bytes, libc::PROT_READ, flags, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Mapping { at, bytes })
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is readable for its length, and lives as long as this does.
        unsafe { std::slice::from_raw_parts(self.at.cast(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is ours, and no slice of it is left.
        unsafe { libc::munmap(self.at, self.bytes) };
    }
}

/// Contents that are read from a dead disk when they are touched.
#[expect(dead_code, reason = "skipped")]
fn mapping() -> Result<Completion, Failed> {
    let missing = Requirements::disk(FsKind::Ext4).missing();
    if !missing.is_empty() {
        return Ok(skip("fs::write of a file mapping", &missing.join(", ")));
    }
    let disk = HeldDisk::new(FsKind::Ext4, 256 << 20)?;
    let cold = disk.path().join("cold");
    files::create(&cold, 1 << 20)?;
    disk.remount()?;
    let file = fs::File::open(&cold)?;
    let contents = Mapping::new(&file, 1 << 20)?;
    let directory = tempfile::tempdir()?;
    let to = directory.path().join("to");
    let (runtime, _handle) = host()?;
    let guard = disk.hold(&[Request::Read])?;
    let written = to.clone();
    let inside = start(
        &runtime,
        Box::pin(async move {
            let result = tidegate::fs::write(written, contents).await;
            Ok(Box::new(result) as crate::watch::Kept)
        }),
    );
    let seen = observe(&inside);
    drop(guard);
    until("the end of the write", || inside.is_over())?;
    drop((inside.take(), file));
    let length = fs::metadata(&to)?.len();
    if length != 1 << 20 {
        return Err(format!("{length} bytes were written").into());
    }
    seen?;
    Ok(Completion::Completed)
}

/// What is told of a write that nobody hears of goes to a log that does not go on.
fn failed_write() -> Result<Completion, Failed> {
    let (runtime, handle) = host()?;
    let log = Log::start();
    let mut file = runtime.block_on(async {
        let mut options = tidegate::fs::OpenOptions::new();
        options.write(true).open("/dev/full").await
    })?;
    // It is accepted, and fails once its caller has gone on.
    runtime.block_on(async { file.write(&[7; 100]).await })?;
    // This is told of it as well, and the drop still has it to tell.
    let synced = runtime.block_on(async { file.sync_all().await });
    if synced.is_ok() {
        return Err("the write did not fail".into());
    }
    until("nothing is in flight", || handle.stats().in_flight == 0)?;
    log.hold();
    let inside = start(
        &runtime,
        Box::pin(async move {
            drop(file);
            Ok(Box::new(()) as crate::watch::Kept)
        }),
    );
    let seen = observe(&inside);
    let held = until("the log is told", || log.held() > 0);
    log.let_go();
    until("the end of the drop", || inside.is_over())?;
    println!("    lines of the log: {:?}", log.take());
    held?;
    seen?;
    Ok(Completion::Completed)
}
