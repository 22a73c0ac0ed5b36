//! The two processes of a rig: the test, with mounts of its own, and the server it starts.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::error::{Context, invalid};
use crate::freeze;
use crate::server;

/// Marks a process that is to be a server.
pub(crate) const SERVER_ENV: &str = "TIDEGATE_RIG_SERVER";
/// How long a server may take to begin, and to end.
const SERVER_TURN_MAX: Duration = Duration::from_secs(10);

/// The mount namespace that the process was started in; servers live there, so that they keep no mount of the tests alive.
static OUTER: OnceLock<Result<File, String>> = OnceLock::new();

/// Has to be called first in `main`, before any thread is started.
///
/// In a process that was started as a server this runs the server and does not return. In any other it gives the
/// process mounts of its own, which nobody else sees and which end with it. Where that is not possible
/// (no root, for example), [`Requirements`](crate::Requirements) says so.
pub fn init() {
    if std::env::var_os(SERVER_ENV).is_some() {
        server::main();
    }
    if let Some(mount_dir) = std::env::var_os(freeze::FREEZER_ENV) {
        freeze::main(&mount_dir);
    }
    OUTER.get_or_init(|| leave_outer_namespace().map_err(|error| error.to_string()));
}

fn leave_outer_namespace() -> io::Result<File> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(invalid(
            "tidegate_rig::init() has to be called before any thread is started",
        ));
    }
    let outer = File::open("/proc/self/ns/mnt").context("open /proc/self/ns/mnt")?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).context("unshare mounts (needs CAP_SYS_ADMIN)")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .context("make all mounts private")?;
    Ok(outer)
}

/// The namespace outside, or why there is none.
pub(crate) fn outer_namespace() -> io::Result<&'static File> {
    match OUTER.get() {
        Some(Ok(outer)) => Ok(outer),
        Some(Err(why)) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            why.as_str(),
        )),
        None => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "call tidegate_rig::init() first in main of a `harness = false` test",
        )),
    }
}

/// A running server. It ends when this is dropped, or when this process ends.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    lifeline: BufReader<UnixStream>,
}

impl ServerProcess {
    /// Starts a server for what is mounted through `device`, and waits until it serves.
    pub(crate) fn start(
        device: OwnedFd,
        work_dir: &Path,
        settings: &[String],
    ) -> io::Result<ServerProcess> {
        let (ours, theirs) = UnixStream::pair()?;
        let outer = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            outer_namespace()?.as_raw_fd()
        );
        let child = Command::new("/proc/self/exe")
            .env(SERVER_ENV, "1")
            .arg(outer)
            .arg(work_dir)
            .args(settings)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::from(device))
            .spawn()
            .context("start the FUSE server")?;
        let mut server = ServerProcess {
            child,
            lifeline: BufReader::new(ours),
        };
        match server.read_line()?.trim_end() {
            "ready" => Ok(server),
            "" => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the FUSE server ended at its start; see its output",
            )),
            error => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                format!("the FUSE server could not start: {error}"),
            )),
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        self.lifeline
            .get_ref()
            .set_read_timeout(Some(SERVER_TURN_MAX))?;
        let mut line = String::new();
        self.lifeline
            .read_line(&mut line)
            .context("no answer from the FUSE server")?;
        Ok(line)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Our end of the lifeline says "release everything and go"; the end of theirs says that it is gone.
        let _ = self.lifeline.get_ref().shutdown(std::net::Shutdown::Write);
        if self.read_line().is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
