//! The server process: answers the kernel through `/dev/fuse`, and takes commands on a socket.
//!
//! It was started with the lifeline as standard input and `/dev/fuse` as standard output, so it prints nothing.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{Filesystem, Session, SessionACL};
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::control::serve_control;
use crate::disk_fs::DiskFs;
use crate::error::{Context, invalid};
use crate::gate::Gate;
use crate::relay;
use crate::tree_fs::TreeFs;

/// No server outlives this, whatever its test does.
const LIFE_MAX: Duration = Duration::from_secs(900);
/// How long a server waits to be unmounted once its test is gone.
const UNMOUNT_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a server gets told: `key=value` arguments.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) tree: bool,
    pub(crate) max_hold: Duration,
    pub(crate) attr_timeout: Duration,
    pub(crate) entry_timeout: Duration,
    pub(crate) direct_io: bool,
    pub(crate) async_dio: bool,
    pub(crate) keep_cache: bool,
    pub(crate) interrupts: bool,
    pub(crate) records: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            tree: false,
            max_hold: Duration::from_secs(10),
            attr_timeout: Duration::ZERO,
            entry_timeout: Duration::from_secs(1),
            direct_io: false,
            async_dio: false,
            keep_cache: false,
            interrupts: false,
            records: false,
        }
    }
}

impl Settings {
    pub(crate) fn to_args(&self) -> Vec<String> {
        vec![
            format!("tree={}", u8::from(self.tree)),
            format!("max_hold={}", self.max_hold.as_millis()),
            format!("attr_timeout={}", self.attr_timeout.as_millis()),
            format!("entry_timeout={}", self.entry_timeout.as_millis()),
            format!("direct_io={}", u8::from(self.direct_io)),
            format!("async_dio={}", u8::from(self.async_dio)),
            format!("keep_cache={}", u8::from(self.keep_cache)),
            format!("interrupts={}", u8::from(self.interrupts)),
            format!("records={}", u8::from(self.records)),
        ]
    }

    fn parse(args: &[OsString]) -> io::Result<Settings> {
        let mut settings = Settings::default();
        for arg in args {
            let pair = arg.to_str().and_then(|arg| arg.split_once('='));
            let (key, value) = pair.ok_or_else(|| invalid(format_args!("setting {arg:?}")))?;
            let value: u64 = value
                .parse()
                .map_err(|_| invalid(format_args!("setting {arg:?}")))?;
            let millis = Duration::from_millis(value);
            match key {
                "tree" => settings.tree = value != 0,
                "max_hold" => settings.max_hold = millis,
                "attr_timeout" => settings.attr_timeout = millis,
                "entry_timeout" => settings.entry_timeout = millis,
                "direct_io" => settings.direct_io = value != 0,
                "async_dio" => settings.async_dio = value != 0,
                "keep_cache" => settings.keep_cache = value != 0,
                "interrupts" => settings.interrupts = value != 0,
                "records" => settings.records = value != 0,
                _ => return Err(invalid(format_args!("setting {arg:?}"))),
            }
        }
        Ok(settings)
    }
}

/// Where a server keeps its parts, inside the work directory.
pub(crate) fn socket_path(work_dir: &Path) -> PathBuf {
    work_dir.join("control")
}

/// The directory a server exposes.
pub(crate) fn backing_dir(work_dir: &Path) -> PathBuf {
    work_dir.join("backing")
}

pub(crate) fn main() -> ! {
    let result = run();
    if let Err(error) = &result {
        let lifeline = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map(UnixStream::from);
        let _ = lifeline.and_then(|mut lifeline| writeln!(lifeline, "{error}"));
    }
    std::process::exit(i32::from(result.is_err()))
}

fn run() -> io::Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [outer, work_dir, settings @ ..] = args.as_slice() else {
        return Err(invalid("a server needs a namespace and a directory"));
    };
    let settings = Settings::parse(settings)?;
    // In the namespace of the test, this process would keep every mount there alive after the test.
    let outer = File::open(outer).context("open the outer mount namespace")?;
    nix::sched::setns(&outer, CloneFlags::CLONE_NEWNS)
        .context("enter the outer mount namespace")?;
    let gate = Arc::new(Gate::new(settings.max_hold));
    let timer = Arc::clone(&gate);
    std::thread::Builder::new()
        .name("timer".into())
        .spawn(move || timer.run_timer())?;
    let work_dir = PathBuf::from(work_dir);
    let backing = backing_dir(&work_dir);
    if settings.tree {
        // The tree keeps a descriptor for each file that the kernel knows.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        serve(
            TreeFs::open(&backing, Arc::clone(&gate), &settings)?,
            gate,
            work_dir,
            settings.interrupts,
        )
    } else {
        serve(
            DiskFs::open(&backing, Arc::clone(&gate), settings.records)?,
            gate,
            work_dir,
            false,
        )
    }
}

/// Serves until the filesystem is unmounted; that also removes the work directory.
fn serve(
    filesystem: impl Filesystem,
    gate: Arc<Gate>,
    work_dir: PathBuf,
    interrupts: bool,
) -> io::Result<()> {
    let mut device = io::stdout().as_fd().try_clone_to_owned()?;
    if interrupts {
        device = relay::start(device, &gate)?;
    }
    let mut lifeline = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let listener = UnixListener::bind(socket_path(&work_dir)).context("bind the control socket")?;
    let session = Session::from_fd(
        filesystem,
        device,
        SessionACL::All,
        fuser::Config::default(),
    )
    .context("FUSE handshake")?;
    let control = Arc::clone(&gate);
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || serve_control(&listener, &control))?;
    writeln!(lifeline, "ready")?;
    let last_gate = Arc::clone(&gate);
    let last_dir = work_dir.clone();
    std::thread::Builder::new()
        .name("lifeline".into())
        .spawn(move || outlive(lifeline, &last_gate, &last_dir))?;
    let result = session.run();
    gate.close();
    let _ = std::fs::remove_dir_all(&work_dir);
    result
}

/// Waits for the end of the test, lets everything go, and ends this process if nobody unmounts it.
fn outlive(mut lifeline: UnixStream, gate: &Gate, work_dir: &Path) {
    let _ = lifeline.set_read_timeout(Some(LIFE_MAX));
    let _ = lifeline.read(&mut [0]);
    gate.close();
    // Being unmounted ends the process from the main thread, so this timer is only for the other case.
    std::thread::park_timeout(UNMOUNT_WAIT_MAX);
    let _ = std::fs::remove_dir_all(work_dir);
    std::process::exit(0);
}
