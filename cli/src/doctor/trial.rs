//! A handle that is made and used once in each way that it has, as only that shows whether it works.

use std::future::Future;
use std::io;
use std::time::Duration;

use tidegate::fs::{File, Freshness, StatxOptions, read_dir};
use tidegate::{Errors, Handle, OpExt, Route, Stats};

/// No step takes so long on a machine that does anything at all.
const BOUND: Duration = Duration::from_secs(10);

/// The limit of an operation that has to run out of time.
const LIMIT: Duration = Duration::from_millis(10);

/// What has to be left once a handle is in use: a copy has two files open, and a second mount has lanes of its own.
const FILES_LEFT: usize = 16;
const THREADS_LEFT: usize = 4;

/// What came of it.
pub(super) struct Tried {
    pub(super) settings: Option<tidegate::Settings>,
    pub(super) stats: Option<Stats>,
    /// Whether blocking threads do everything.
    pub(super) is_pool: bool,
    /// What does not work, each with what to do about it.
    pub(super) troubles: Vec<String>,
    /// Why nothing goes through a ring, although there is one.
    pub(super) ring_trouble: Option<String>,
}

/// Makes a handle and runs an operation through each of its kinds of threads.
pub(super) fn trial() -> Tried {
    let mut tried = Tried {
        settings: None,
        stats: None,
        is_pool: false,
        troubles: Vec::new(),
        ring_trouble: None,
    };
    // tokio panics where it is short of descriptors for its signals.
    let build = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build()
    };
    let runtime = std::panic::catch_unwind(build)
        .unwrap_or_else(|_| Err(io::Error::from_raw_os_error(nix::libc::EMFILE)));
    match runtime {
        Ok(runtime) => {
            runtime.block_on(run(&mut tried));
            // What hangs is left to itself.
            runtime.shutdown_background();
        }
        Err(error) => tried.troubles.push(format!(
            "no runtime could be started: {error}{}",
            remedy(&error)
        )),
    }
    tried
}

async fn run(tried: &mut Tried) {
    let handle = match Handle::builder().errors(Errors::Named).install() {
        Ok(handle) => handle,
        Err(error) => return tried.troubles.push(error.to_string()),
    };
    tried.settings = Some(handle.settings());
    tried.is_pool = handle.route() == Route::Pool;
    let metadata = async { tidegate::fs::metadata("/").await.map(drop) };
    // Asked anew, it is not answered at the poll but by a lane.
    let latest = StatxOptions::new().freshness(Freshness::Server);
    let attributes = async { latest.path("/").await.map(drop) };
    let listing = async { read_dir("/").await.map(drop) };
    let call = async { tidegate::blocking(|_| ()).await };
    let limit = async {
        let call = tidegate::blocking(|stop| {
            while !stop.is_wanted() {
                std::thread::yield_now();
            }
        });
        match call.timeout(LIMIT).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
            other => other,
        }
    };
    let data = async {
        let file = match memory_file() {
            Ok(file) => File::from_std(file),
            Err(error) if remedy(&error).is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        file.write_all_at("data", 0).await?;
        file.sync_data().await?;
        let (_, _) = file.read_at(vec![0; 4], 0).await?;
        file.close().await
    };
    let troubles = [
        trouble("the attributes of /", metadata).await,
        trouble("the attributes of /, asked anew,", attributes).await,
        trouble("the list of /", listing).await,
        trouble("writing and reading", data).await,
        trouble("a call on a blocking thread", call).await,
        trouble("an operation with a time limit", limit).await,
    ];
    tried.troubles.extend(troubles.into_iter().flatten());
    if tried.troubles.is_empty() {
        tried.troubles.extend(too_little_left());
    }
    let stats = handle.stats();
    tried.ring_trouble = ring_trouble(&handle, &stats);
    tried.stats = Some(stats);
    handle.shutdown(Duration::from_secs(1)).await;
}

/// What does not work, if it does not.
async fn trouble(what: &str, step: impl Future<Output = io::Result<()>>) -> Option<String> {
    match tokio::time::timeout(BOUND, step).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{what} cannot be had: {error}{}", remedy(&error))),
        Err(_) => Some(format!(
            "{what} did not end within {} s{}",
            BOUND.as_secs(),
            remedy(&io::Error::from_raw_os_error(nix::libc::EAGAIN))
        )),
    }
}

/// A file that nobody else sees: on no disk where that is allowed.
fn memory_file() -> io::Result<std::fs::File> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        if let Ok(file) = memfd_create(c"doctor", MFdFlags::MFD_CLOEXEC) {
            return Ok(file.into());
        }
    }
    tempfile::tempfile()
}

/// Whether so little is left of a limit that operations will fail by it.
fn too_little_left() -> Option<String> {
    let files: io::Result<Vec<_>> = (0..FILES_LEFT).map(|_| std::fs::File::open("/")).collect();
    if let Err(error) = files {
        return Some(format!(
            "less than {FILES_LEFT} more files can be open beside a handle: {error}{}",
            remedy(&error)
        ));
    }
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
    let thread = |_| {
        let gate = gate.clone();
        std::thread::Builder::new()
            .spawn(move || gate.lock().map(|gate| gate.recv().is_ok()).is_ok())
    };
    let threads: io::Result<Vec<_>> = (0..THREADS_LEFT).map(thread).collect();
    drop(open);
    let error = threads.err()?;
    Some(format!(
        "less than {THREADS_LEFT} more threads can be started beside a handle: {error}{}",
        remedy(&error)
    ))
}

/// What to do about an error of the process's limits.
fn remedy(error: &io::Error) -> &'static str {
    match tidegate::raw_os_error(error) {
        // The C library says the same where a stack has no room.
        Some(nix::libc::EAGAIN) if memory_is_limited() => {
            "; raise RLIMIT_AS (ulimit -v), so that threads have room for their stacks"
        }
        Some(nix::libc::EAGAIN) => {
            "; raise RLIMIT_NPROC (ulimit -u), so that threads can be started"
        }
        Some(nix::libc::EMFILE | nix::libc::ENFILE) => "; raise RLIMIT_NOFILE (ulimit -n)",
        Some(nix::libc::ENOMEM) => "; raise RLIMIT_AS (ulimit -v), or give it more memory",
        _ => "",
    }
}

#[cfg(target_os = "freebsd")]
fn memory_is_limited() -> bool {
    // nix does not name that limit there.
    false
}

#[cfg(not(target_os = "freebsd"))]
fn memory_is_limited() -> bool {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// Why the lane's operation did not go through a ring where it was to.
fn ring_trouble(handle: &Handle, stats: &Stats) -> Option<String> {
    let is_by_ring = stats.ops().any(|op| op.lane_ring + op.worker_ring > 0);
    if is_by_ring || handle.route() == Route::Pool {
        return None;
    }
    let reasons: Vec<_> = stats.fallbacks().map(|(reason, _)| reason).collect();
    Some(match reasons.is_empty() {
        true => "nothing went through it".into(),
        false => format!("nothing went through it: {}", reasons.join(", ")),
    })
}
