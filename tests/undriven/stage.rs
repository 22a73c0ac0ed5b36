//! A guard that lets nothing hang, runtimes whose rings are in use, and one of every operation.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::common::{compounds, on_worker_rings};
use std::sync::Arc;
use tidegate::fs::{self, File, OpenOptions};

use tidegate::{Handle, Route, Submit};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::runtime::Runtime;

/// Shorter than any default limit, so that what ends at its limit has failed here, too.
const BOUND: Duration = Duration::from_secs(20);

/// What goes on, and the number of the step.
static STEP: Mutex<(String, u64)> = Mutex::new((String::new(), 0));

/// What goes on, for the guard's report.
pub(crate) fn step(what: impl Into<String>) {
    let mut step = STEP.lock().unwrap();
    *step = (what.into(), step.1 + 1);
}

/// Runs it on a thread of its own, and fails if a step of it does not end. The thread is left behind then.
pub(crate) fn guarded(what: &str, f: impl FnOnce() + Send + 'static) {
    eprintln!("{what}");
    let (done, finished) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let _done = done;
        f();
    });
    let (mut seen, mut since) = (0, Instant::now());
    while finished.recv_timeout(BOUND / 20) == Err(RecvTimeoutError::Timeout) {
        let (step, number) = STEP.lock().unwrap().clone();
        if number != seen {
            (seen, since) = (number, Instant::now());
        }
        assert!(since.elapsed() < BOUND, "{what}: nobody ended {step}");
    }
    thread.join().unwrap();
}

pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A runtime with a handle of that route; `workers` of zero is a current-thread one.
pub(crate) fn runtime(route: Route, submit: Submit, workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(workers.max(1))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let builder = Handle::builder().route(route).submit(submit);
        builder.install().unwrap();
    });
    runtime
}

/// Has the runtime work until its own rings are in use, where it has any.
pub(crate) fn warm(runtime: &Runtime) {
    let dir = directory();
    let path = dir.path().join("warm");
    let used = async move {
        let handle = Handle::current().unwrap();
        let (file, folder) = (
            File::create(&path).await.unwrap(),
            path.with_extension("folder"),
        );
        // On threads there is nothing to wait for.
        let rounds = if handle.route() == Route::Pool {
            50
        } else {
            5000
        };
        for round in 0..rounds {
            step(format!("round {round} of the warming up"));
            file.write_all_at("x", 0).await.unwrap();
            file.sync_data().await.unwrap();
            // A ring takes names, whichever way is quicker for syncs.
            fs::create_dir(&folder).await.unwrap();
            fs::remove_dir(&folder).await.unwrap();
            if on_worker_rings(&handle) > 0 {
                return true;
            }
        }
        false
    };
    let (route, used) = runtime.block_on(async {
        let route = Handle::current().unwrap().route();
        (route, tokio::spawn(used).await.unwrap())
    });
    assert_eq!(used, route != Route::Pool, "{route:?}");
}

/// Every way a runtime can be, warm.
pub(crate) fn everywhere(what: &str, f: impl Fn(Runtime) + Copy + Send + 'static) {
    for route in super::common::routes() {
        for submit in [Submit::Auto, Submit::Inline] {
            if submit == Submit::Inline && route != Route::Ring {
                continue;
            }
            for workers in [0, 1] {
                let what = format!("{what}: {route:?}, {submit:?}, {workers} workers");
                guarded(&what, move || {
                    step("the warming up");
                    let runtime = runtime(route, submit, workers);
                    warm(&runtime);
                    f(runtime);
                });
            }
        }
    }
}

macro_rules! tour {
    ($($name:literal: $call:expr,)*) => {
        $( step($name); let _ = $call.await.map_err(|error| format!("{}: {error:?}", $name)).unwrap(); )*
    };
}

/// One of every operation.
pub(crate) async fn tour(dir: &Path) {
    let path = |name: &str| dir.join(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    step("open");
    let mut file = options.open(path("a")).await.unwrap();
    tour! {
        "write_all_at": file.write_all_at(vec![7; 100_000], 0),
        "sync_all": file.sync_all(),
        "sync_data": file.sync_data(),
        "read_at": file.read_at(vec![0; 100], 5),
        "read_exact_at": file.read_exact_at(vec![0; 9000], 5),
        "set_len": file.set_len(50_000),
        "metadata of a file": file.metadata(),
        "set_permissions of a file": file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)),
        "try_clone": file.try_clone(),
        "seek": file.seek(std::io::SeekFrom::End(0)),
        "write_all": file.write_all(b"tail"),
        "flush": file.flush(),
        "rewind": file.rewind(),
        "read": file.read_exact(&mut [0; 10]),
        "fs::write": fs::write(path("b"), vec![8; 10_000]),
        "fs::read": fs::read(path("b")),
        "fs::read_to_string": fs::read_to_string("/proc/self/comm"),
        "metadata": fs::metadata(path("b")),
        "symlink": fs::symlink(path("b"), path("link")),
        "symlink_metadata": fs::symlink_metadata(path("link")),
        "read_link": fs::read_link(path("link")),
        "hard_link": fs::hard_link(path("b"), path("hard")),
        "rename": fs::rename(path("hard"), path("renamed")),
        "copy": fs::copy(path("b"), path("copied")),
        "canonicalize": fs::canonicalize(path("link")),
        "try_exists": fs::try_exists(path("none")),
        "set_permissions": fs::set_permissions(path("b"), std::os::unix::fs::PermissionsExt::from_mode(0o640)),
        "create_dir": fs::create_dir(path("dir")),
        "create_dir_all": fs::create_dir_all(path("dir/x/y")),
        "remove_dir": fs::remove_dir(path("dir/x/y")),
        "remove_dir_all": fs::remove_dir_all(path("dir")),
        "remove_file": fs::remove_file(path("copied")),
        "blocking": tidegate::blocking(|_| ()),
    }
    step("read_dir");
    let mut entries = fs::read_dir(dir).await.unwrap();
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.unwrap() {
        step("metadata of an entry");
        entry.metadata().await.unwrap();
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["a", "b", "link", "renamed"]);
    step("close");
    file.close().await.unwrap();
    for name in names {
        fs::remove_file(dir.join(name)).await.unwrap();
    }
    for (name, compound) in compounds::all(&dir.join("compounds")) {
        step(name);
        compound
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    std::fs::remove_dir_all(dir.join("compounds")).unwrap();
}

type Begun = futures::future::BoxFuture<'static, std::io::Result<()>>;

fn boxed<T>(future: impl Future<Output = std::io::Result<T>> + Send + 'static) -> Begun {
    Box::pin(async move { future.await.map(drop) })
}

/// Operations to be begun on one runtime and ended elsewhere, on files that are there and are not cached.
pub(crate) fn operations(dir: &Path, file: &Arc<File>) -> Vec<(&'static str, Begun)> {
    let path = |name: &str| -> PathBuf { dir.join(name) };
    std::fs::write(path("a"), vec![7; 200_000]).unwrap();
    for name in ["r", "d", "m"] {
        std::fs::write(path(name), "x").unwrap();
    }
    let read = file.read_at(vec![0; 4096], 0);
    let write = file.write_at(vec![1; 4096], 0);
    let large = file.write_at(vec![1; 1 << 20], 0);
    let flattened = |counted: Result<(usize, Vec<u8>), tidegate::buf::BufError<Vec<u8>>>| {
        counted.map_err(std::io::Error::from)
    };
    let mut all = vec![
        ("read_at", boxed(async move { flattened(read.await) })),
        ("write_at", boxed(async move { flattened(write.await) })),
        (
            "large write_at",
            boxed(async move { flattened(large.await) }),
        ),
        ("sync_all", boxed(sync(file.clone(), true))),
        ("sync_data", boxed(sync(file.clone(), false))),
        ("open", boxed(File::open(path("a")))),
        ("create", boxed(File::create(path("new")))),
        ("metadata", boxed(fs::metadata(path("m")))),
        ("fs::read", boxed(fs::read(path("a")))),
        ("fs::write", boxed(fs::write(path("w"), vec![7; 30_000]))),
        ("rename", boxed(fs::rename(path("r"), path("r2")))),
        ("remove_file", boxed(fs::remove_file(path("d")))),
        ("create_dir_all", boxed(fs::create_dir_all(path("x/y/z")))),
        ("copy", boxed(fs::copy(path("a"), path("c")))),
        ("read_dir", boxed(fs::read_dir(dir.join("")))),
        ("canonicalize", boxed(fs::canonicalize(path("m")))),
    ];
    all.extend(compounds::all(&path("compounds")));
    all
}

async fn sync(file: Arc<File>, all: bool) -> std::io::Result<()> {
    match all {
        true => file.sync_all().await,
        false => file.sync_data().await,
    }
}
