//! A runtime that ends while its operations hang.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use tidegate::Route;
use tidegate::Submit;
use tidegate::fs::{self, File, OpenOptions};
use tidegate_rig::FsKind;
use tokio::runtime::Builder;

use crate::disk_files::{self, Files, SEVERAL, WRITTEN};
use crate::stage::{Outcome, WAIT, Way, ensure};
use crate::traces;

/// How long a thread that nothing holds may take to end.
const END_MAX: Duration = Duration::from_secs(2);

/// Where the runtime's thread has come to.
#[derive(Debug, Eq, PartialEq)]
enum Step {
    Opened(u32),
    Started,
    Dropped,
}

pub(crate) fn run(way: Way) -> Outcome {
    for multi in [false, true] {
        end(way, multi)?;
    }
    Ok(())
}

fn end(way: Way, multi: bool) -> Outcome {
    let disk = disk_files::disk(FsKind::Ext4)?;
    let files = Files::make(&disk)?;
    let (tell, hear) = channel();
    let (held, is_held) = channel::<()>();
    let body = {
        let files = files.clone();
        move || -> Result<(), String> {
            let mut builder = if multi {
                Builder::new_multi_thread()
            } else {
                Builder::new_current_thread()
            };
            let runtime = builder.worker_threads(2).enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let task = start(way, files, tell.clone(), is_held);
            let started = if multi {
                // On a worker, so that it is the worker's thread that submits.
                let task = runtime.spawn(task);
                runtime.block_on(task).map_err(|error| error.to_string())?
            } else {
                runtime.block_on(task)
            };
            started?;
            drop(runtime);
            tell.send(Step::Dropped).map_err(|error| error.to_string())
        }
    };
    let thread = std::thread::Builder::new()
        .name("runtime".into())
        .spawn(body)?;
    let Step::Opened(id) = hear.recv_timeout(WAIT)? else {
        return Err("the runtime's thread did something else".into());
    };
    let guard = disk_files::hold(&disk)?;
    held.send(())?;
    ensure(hear.recv_timeout(WAIT)? == Step::Started, "not started")?;
    disk.wait_held(1, WAIT)?;
    let dropped = hear.recv_timeout(END_MAX);
    let ended = dropped.is_ok() && ends(id);
    println!(
        "    {}, {}: the runtime was dropped while the disk was dead: {}; its thread ended: {ended}",
        way.name(),
        if multi {
            "multi-thread"
        } else {
            "current-thread"
        },
        dropped.is_ok(),
    );
    guard.release()?;
    thread
        .join()
        .map_err(|_| "the runtime's thread panicked")??;
    traces::wait_gone()?;
    disk_files::remount(&disk)?;
    // Where the thread that polls submits, the kernel keeps it until its last operation is over, and a
    // multi-thread runtime waits for its threads. Everywhere else nothing may wait.
    let isolated = way.submit == Submit::Isolated || way.route == Route::Pool;
    if isolated || !multi {
        ensure(dropped.is_ok(), "the runtime could not be dropped")?;
    }
    Ok(ensure(
        ended || !isolated,
        "the runtime's thread could not end",
    )?)
}

/// Whether the thread is gone within the bound.
fn ends(id: u32) -> bool {
    let end = Instant::now() + END_MAX;
    while traces::has_thread(id) {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Starts operations that hang, and leaves them.
async fn start(
    way: Way,
    files: Files,
    tell: Sender<Step>,
    is_held: std::sync::mpsc::Receiver<()>,
) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let _handle = way.install()?;
    let cold = File::open(files.cold.path()).await.map_err(said)?;
    let mut write = OpenOptions::new();
    let write = write
        .write(true)
        .open(files.path("write-dir", 0))
        .await
        .map_err(said)?;
    tell.send(Step::Opened(thread_id()))
        .map_err(|error| error.to_string())?;
    is_held.recv().map_err(|error| error.to_string())?;
    let read = cold.read_at(vec![0; 4096], files.cold.offset_of(700));
    tokio::spawn(async move { read.await.map(drop).map_err(drop) });
    tokio::spawn(async move { write.write_at(WRITTEN, 100).await.map(drop).map_err(drop) });
    for index in 0..SEVERAL {
        let path = files.path("cold-dir", index);
        tokio::spawn(async move { fs::metadata(path).await.map(drop) });
    }
    // Until all of them were polled, and so were started.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tell.send(Step::Started).map_err(|error| error.to_string())
}

/// The kernel's number of the calling thread.
fn thread_id() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let name = link
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok());
    name.unwrap_or(0)
}
