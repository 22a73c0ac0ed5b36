//! `tidegate copy`: a tree, whole and with its metadata, through the library.

mod job;
mod limits;
mod options;
mod patience;
mod plan;
mod progress;
mod report;
mod tree;
mod verify;
mod watch;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use nix::sys::stat::Mode;
use tidegate::{Errors, Handle, Route};
use tokio::task::{JoinError, JoinHandle};

use crate::exit::{Exit, fatal};
use crate::explain::{line, with_advice};
use crate::say;
use crate::worker::{Link, Orders, Shows};
use job::Job;
use options::Options;
use patience::Patience;
use progress::Progress;
use watch::Stuck;

/// The user's file mode mask: of what is made, and is nobody's copy.
static MASK: OnceLock<Mode> = OnceLock::new();

fn users_mask() -> Mode {
    // Not yet asked: what is made is the user's alone.
    let private = Mode::from_bits_truncate(0o077);
    MASK.get().copied().unwrap_or(private)
}

/// From now on, what is made by anybody in this process has none of these bits; those that it had not before.
fn set_mask(mask: Mode) -> Mode {
    nix::sys::stat::umask(mask)
}

/// How long an interrupted copy waits for operations that the disk does not answer.
const DRAIN_BOUND: Duration = Duration::from_secs(5);

/// After how much of that it says what it waits for.
const DRAIN_TOLD_AFTER: Duration = Duration::from_secs(1);

/// How long the end waits for operations that were given up.
const LET_GO_BOUND: Duration = Duration::from_secs(2);

/// How long a copy that has been reported stays to remove temporary files that a server holds.
const TIDY_BOUND: Duration = Duration::from_secs(3600);

const TIDY_LOOK_EVERY: Duration = Duration::from_millis(100);

/// Threads that may hang before everything else on their mounts is left out: a process that only copies has
/// nothing else to spend them on.
const STUCK_THREADS_MAX: usize = 1024;

/// Copies a file or a tree: content, links, modes, times, attributes, owners, holes.
///
/// A directory is copied as DST, whether or not DST exists: the content of SRC ends up directly in
/// DST, and what DST had besides stays. A file is copied as DST, or into DST where that is a
/// directory. With a slash at its end, DST is a directory that SRC goes into under its own name, made where
/// it is missing; a slash at the end of a directory SRC means its content again. Symbolic links are copied as links.
/// Each file appears under its name when it is whole. Devices, FIFOs and sockets are not replaced by files.
#[derive(Args, Debug)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Arguments {
    /// The file or directory to copy.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Where it goes; its parent must exist.
    #[arg(value_name = "DST")]
    destination: PathBuf,
    /// Reads source and destination back and compares content and metadata.
    #[arg(long)]
    verify: bool,
    /// Prints a summary as JSON on stdout.
    #[arg(long)]
    json: bool,
    /// Prints progress and then the summary, each as one line of JSON on stdout.
    #[arg(long, conflicts_with = "json")]
    json_lines: bool,
    /// The way that operations take; without it TIDEGATE_BACKEND decides.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// How long each step may take (500ms, 30s, 2min, off); what hangs is left out and named at the end.
    ///
    /// A step is a listing, a look at attributes, an open, or a part of a file that a slow disk copies in less
    /// than a second: not a whole file. Without it, TIDEGATE_TIMEOUTS decides, else 30 s, and 60 s for data.
    #[arg(long, value_name = "DURATION", value_parser = Patience::parse)]
    timeout: Option<Patience>,
    /// Files in work at a time, 32 at most; without it as many as the disk makes use of.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Shows no progress bar; it is shown on a terminal only.
    #[arg(long)]
    no_progress: bool,
    /// Shows errors, and what is stuck, only.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backend {
    /// Whichever is best for each operation.
    Auto,
    /// io_uring wherever the kernel has the operation; fails where there is no ring.
    Ring,
    /// Blocking threads.
    Pool,
}

impl From<Backend> for Route {
    fn from(backend: Backend) -> Route {
        match backend {
            Backend::Auto => Route::Auto,
            Backend::Ring => Route::Ring,
            Backend::Pool => Route::Pool,
        }
    }
}

impl Arguments {
    /// What there is to see while it goes on.
    pub(crate) fn shows(&self) -> Shows {
        let terminal = std::io::stderr().is_terminal();
        Shows {
            bar: terminal && !(self.no_progress || self.quiet),
            lines: self.json_lines,
        }
    }
}

pub(crate) fn main(arguments: Arguments, link: &Link) -> Exit {
    let runtime = match crate::runtime::runtime().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fatal(&format!(
                "no runtime could be started: {error}; raise RLIMIT_NPROC and RLIMIT_NOFILE"
            ));
        }
    };
    let exit = runtime.block_on(run(arguments, link));
    runtime.shutdown_background();
    exit
}

async fn run(arguments: Arguments, link: &Link) -> Exit {
    // All that is made is made with a mode of its own: what others can get to is its user's alone until it is done, and what
    // they cannot get to has the mode of its source at once.
    MASK.get_or_init(|| set_mask(Mode::empty()));
    let handle = match install(&arguments) {
        Ok(handle) => handle,
        Err(error) => return fatal(&error.to_string()),
    };
    let mut orders = match link.orders() {
        Ok(orders) => orders,
        Err(error) => {
            return fatal(&format!(
                "signals cannot be watched: {}",
                with_advice(&error)
            ));
        }
    };
    let progress = Progress::new(link, handle.heartbeat());
    let job = Arc::new(Job::new(progress, arguments.options.clone()));
    let watching = tokio::spawn(watch::watch(handle.clone()));
    let begun = Instant::now();
    let mut work = tokio::spawn(work(
        Arc::clone(&job),
        arguments.source.clone(),
        arguments.destination.clone(),
        limits::jobs(arguments.jobs),
        arguments.verify,
        !(arguments.quiet || arguments.json || arguments.json_lines),
    ));
    let ended = tokio::select! {
        worked = &mut work => Ended::Over(worked),
        () = orders.next() => interrupted(&job, &handle, work, &mut orders).await,
    };
    watching.abort();
    job.progress.finish();
    let report = |verified, stuck: &[Stuck]| {
        finish(&arguments, &handle, &job, begun.elapsed(), verified, stuck)
    };
    let (exit, bound) = match ended {
        Ended::Over(Ok(Ok(verified))) => {
            (report(verified, &watch::given_up(&handle)), LET_GO_BOUND)
        }
        Ended::Over(Ok(Err(message))) => (fatal(&message), LET_GO_BOUND),
        Ended::Over(Err(_)) => {
            let message =
                "an internal error ended the copy; please report it with the message above";
            (fatal(message), LET_GO_BOUND)
        }
        Ended::Stuck(stuck) => (report(None, &stuck), LET_GO_BOUND),
        Ended::Now => (Exit::Interrupted, Duration::ZERO),
    };
    end(&handle, &job, link, exit, bound).await;
    exit
}

fn install(arguments: &Arguments) -> Result<Handle, tidegate::Error> {
    let mut builder = Handle::builder()
        .errors(Errors::Named)
        .stuck_threads_max(STUCK_THREADS_MAX);
    if let Some(backend) = arguments.backend {
        builder = builder.route(backend.into());
    }
    if let Some(patience) = arguments.timeout {
        builder = builder.timeouts(patience.into());
    }
    builder.install()
}

/// What the work comes to; a message where there can be no copy.
type Worked = Result<Option<verify::Verified>, String>;

enum Ended {
    Over(Result<Worked, JoinError>),
    /// Interrupted, with operations that are not answered.
    Stuck(Vec<Stuck>),
    /// Interrupted twice.
    Now,
}

/// Lets what is in work come to an end, but not for ever.
async fn interrupted(
    job: &Job,
    handle: &Handle,
    mut work: JoinHandle<Worked>,
    orders: &mut Orders,
) -> Ended {
    job.stop();
    let bound = async {
        tokio::time::sleep(DRAIN_TOLD_AFTER).await;
        if let Some(oldest) = watch::waited_for(handle).first() {
            let name = oldest.name();
            say::err(&format!(
                "tidegate: waiting: {name}; interrupt again to leave at once"
            ));
        }
        tokio::time::sleep(DRAIN_BOUND - DRAIN_TOLD_AFTER).await;
    };
    let ended = tokio::select! {
        worked = &mut work => Ended::Over(worked),
        () = bound => Ended::Stuck(watch::waited_for(handle)),
        () = orders.next() => Ended::Now,
    };
    work.abort();
    ended
}

/// Lets go of everything, and says what does not let go of us.
async fn end(handle: &Handle, job: &Job, link: &Link, exit: Exit, bound: Duration) {
    let left = handle.shutdown(bound).await;
    let behind = job.remove_leftovers().await;
    for path in &behind {
        say::err(&format!("tidegate: left behind, remove it: {}", line(path)));
    }
    let is_held = !left.stuck.is_empty();
    link.hold(watch::held(left.stuck));
    if !is_held || behind.is_empty() {
        return;
    }
    // All is said. What hangs removes its temporary file itself when it is answered, if it is still there to do so.
    link.end(exit);
    let given_up_at = Instant::now() + TIDY_BOUND;
    while !handle.in_flight().is_empty() && Instant::now() < given_up_at {
        tokio::time::sleep(TIDY_LOOK_EVERY).await;
    }
    job.remove_leftovers().await;
}

/// Finds out what goes where, and copies it.
async fn work(
    job: Arc<Job>,
    source: PathBuf,
    destination: PathBuf,
    jobs: Option<u16>,
    verify: bool,
    tells: bool,
) -> Worked {
    let plan = plan::resolve(&source, &destination, job.options.dry_run).await?;
    Ok(passes(job, plan, jobs, verify, tells).await)
}

/// Copies, then verifies if asked.
async fn passes(
    job: Arc<Job>,
    plan: plan::Plan,
    jobs: Option<u16>,
    verify: bool,
    tells: bool,
) -> Option<verify::Verified> {
    tree::copy(&job, &plan, jobs, tells).await;
    if !verify || job.stopped() {
        return None;
    }
    job.progress.begin("verifying");
    Some(verify::verify(&job, &plan, jobs).await)
}

fn finish(
    arguments: &Arguments,
    handle: &Handle,
    job: &Job,
    took: Duration,
    verified: Option<verify::Verified>,
    stuck: &[Stuck],
) -> Exit {
    let exit = if job.stopped() {
        Exit::Interrupted
    } else if job.errors().total > 0 {
        Exit::Partial
    } else {
        Exit::Done
    };
    let report = report::Report::new(arguments, job, handle, took, verified, stuck);
    if arguments.json_lines {
        say::out(&format!("{}\n", report.json_line()));
    } else if arguments.json {
        say::out(&format!("{}\n", report.json()));
    } else if !arguments.quiet && !arguments.options.dry_run {
        say::out(&format!("{}\n", report.text()));
    }
    exit
}
