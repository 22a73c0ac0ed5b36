//! How the handle works, and what goes on beside a dead mount.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tidegate::fs;
use tidegate::{Breaker, Handle, Route};
use tidegate_rig::{Request, StalledFuse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) type Outcome = Result<(), Failed>;

/// Longer than any test; the rig's own limit is for tests that died.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(120);
const WAIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) route: Route,
    /// Blocking threads of one mount.
    pub(crate) cap: usize,
    pub(crate) has_breaker: bool,
}

const fn scene(name: &'static str, route: Route, cap: usize, has_breaker: bool) -> Scene {
    Scene {
        name,
        route,
        cap,
        has_breaker,
    }
}

pub(crate) const SCENES: [Scene; 5] = [
    scene("pool, 8 threads", Route::Pool, 8, false),
    scene("pool, 64 threads", Route::Pool, 64, false),
    scene("ring, 8 threads", Route::Ring, 8, false),
    scene("auto, 8 threads", Route::Auto, 8, false),
    scene("auto, 64 threads and a breaker", Route::Auto, 64, true),
];

impl Scene {
    pub(crate) fn run(self, test: impl AsyncFnOnce(Handle) -> Outcome) -> Outcome {
        // What an earlier handle had ends by itself, late on a busy machine.
        let end = Instant::now() + WAIT;
        while crate::counting::now().are_more_than_idle() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let mut breaker = Breaker::default();
        if !self.has_breaker {
            breaker.timeouts = u32::MAX;
        }
        runtime.block_on(async {
            let builder = Handle::builder().route(self.route).breaker(breaker);
            test(builder.stuck_threads_max(self.cap).install()?).await
        })
    }
}

/// As many as most processes may have.
pub(crate) fn limit_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1024), hard).unwrap();
}

/// A tree whose names the kernel keeps in memory, and of which nothing answers while it is held.
pub(crate) fn tree() -> io::Result<StalledFuse> {
    StalledFuse::options()
        .with_entry_timeout(HOLD_MAX)
        .with_max_hold(HOLD_MAX)
        .create()
}

/// All requests but the one that nobody waits for.
pub(crate) fn all_requests() -> Vec<Request> {
    let mut all = Request::ALL.to_vec();
    all.retain(|request| *request != Request::Release);
    all
}

pub(crate) fn ensure(truth: bool, what: impl Into<String>) -> Result<(), String> {
    if truth { Ok(()) } else { Err(what.into()) }
}

pub(crate) async fn in_time<T>(what: &str, op: impl Future<Output = T>) -> Result<T, String> {
    let done = tokio::time::timeout(WAIT, op).await;
    done.map_err(|_| format!("{what}: does not come to an end"))
}

pub(crate) async fn until(what: &str, mut reached: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + WAIT;
    while !reached() {
        ensure(Instant::now() < end, format!("{what}: not reached"))?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Waits until nothing is in flight: closes and chores have no future to wait for.
pub(crate) async fn drained(handle: &Handle) -> Result<(), String> {
    let waited = until("nothing in flight", || handle.stats().in_flight == 0).await;
    waited.map_err(|error| format!("{error}: {:?}", handle.in_flight()))
}

/// Files elsewhere and sockets, which are nothing to the dead mount.
pub(crate) async fn others_work(dir: &std::path::Path) -> Result<(), String> {
    let work = async {
        let path = dir.join("healthy");
        fs::write(&path, "content").await?;
        let content = fs::read(&path).await?;
        fs::metadata(&path).await?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (accepted, connected) =
            futures::join!(listener.accept(), tokio::net::TcpStream::connect(address));
        let ((mut one, _), mut other) = (accepted?, connected?);
        one.write_all(&content).await?;
        let mut received = [0; 7];
        other.read_exact(&mut received).await?;
        io::Result::Ok(content == b"content" && received == *b"content")
    };
    let worked = in_time("other files and sockets", work).await?;
    let worked = worked.map_err(|error| format!("other files and sockets: {error}"))?;
    ensure(worked, "wrong bytes")
}
