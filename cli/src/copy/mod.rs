//! `tidegate copy`: a tree, whole and with its metadata, through the library.

mod count;
mod entry;
mod job;
mod links;
mod plan;
mod progress;
mod report;
mod tree;
mod verify;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tidegate::{Handle, Route};

use crate::exit::{Exit, fatal};
use crate::signals::Signals;
use job::Job;
use walk::{Task, Walk};

/// How long an interrupted copy waits for operations that the disk does not answer.
const DRAIN_BOUND: Duration = Duration::from_secs(10);

/// Copies a file or a tree: content, links, modes, times, attributes, owners, holes.
///
/// A directory is copied as DST, whether or not DST exists: the content of SRC ends up directly in
/// DST, and what DST had besides stays. A file is copied as DST, or into DST where that is a
/// directory. Symbolic links are copied as links. Each file appears under its name when it is whole.
#[derive(Args, Debug)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Arguments {
    /// The file or directory to copy.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Where it goes; its parent must exist.
    #[arg(value_name = "DST")]
    destination: PathBuf,
    /// Reads source and destination back and compares content hashes and metadata.
    #[arg(long)]
    verify: bool,
    /// Prints a summary as JSON on stdout.
    #[arg(long)]
    json: bool,
    /// The way that operations take; without it TIDEGATE_BACKEND decides.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// Files in work at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: u16,
    /// Shows no progress bar; it is shown on a terminal only.
    #[arg(long)]
    no_progress: bool,
    /// Shows errors only.
    #[arg(short, long)]
    quiet: bool,
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

pub(crate) fn main(arguments: Arguments) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return fatal(&format!(
                "no runtime could be started: {error}; raise RLIMIT_NPROC and RLIMIT_NOFILE"
            ));
        }
    };
    let exit = runtime.block_on(run(arguments));
    runtime.shutdown_background();
    exit
}

async fn run(arguments: Arguments) -> Exit {
    // What is made is the user's alone until it gets the mode of its source.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let builder = match arguments.backend {
        Some(backend) => Handle::builder().route(backend.into()),
        None => Handle::builder(),
    };
    let handle = match builder.install() {
        Ok(handle) => handle,
        Err(error) => return fatal(&error.to_string()),
    };
    let plan = match plan::resolve(&arguments.source, &arguments.destination).await {
        Ok(plan) => plan,
        Err(message) => return fatal(&message),
    };
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fatal(&format!("signals cannot be watched: {error}")),
    };
    let bar = !(arguments.no_progress || arguments.quiet);
    let job = Arc::new(Job::new(bar));
    let begun = Instant::now();
    let mut work = tokio::spawn(passes(
        Arc::clone(&job),
        plan,
        arguments.jobs,
        arguments.verify,
    ));
    let verified = tokio::select! {
        verified = &mut work => verified,
        () = signals.next() => {
            job.stop();
            tokio::select! {
                drained = tokio::time::timeout(DRAIN_BOUND, work) => match drained {
                    Ok(verified) => verified,
                    Err(_) => Ok(None),
                },
                // A second signal means now.
                () = signals.next() => return Exit::Interrupted,
            }
        }
    };
    job.progress.finish();
    let Ok(verified) = verified else {
        return fatal("an internal error ended the copy; please report it with the message above");
    };
    let exit = finish(&arguments, &handle, &job, begun.elapsed(), verified);
    let left_behind = handle.shutdown(DRAIN_BOUND).await.left_behind;
    if left_behind > 0 {
        eprintln!(
            "tidegate: the disk still has {left_behind} operations; look for a file named .tidegate-*.tmp"
        );
    }
    exit
}

/// Copies, then verifies if asked. Both are walks over the source.
async fn passes(
    job: Arc<Job>,
    plan: plan::Plan,
    jobs: u16,
    verify: bool,
) -> Option<verify::Verified> {
    let root = Task {
        parent: None,
        source: plan.source,
        destination: plan.destination,
    };
    if job.progress.visible() {
        let counting = Walk::new(Arc::clone(&job), count::Count::new(Arc::clone(&job)));
        let root = root.clone();
        tokio::spawn(async move { counting.run(root, count::JOBS).await });
    }
    let tree = tree::Copy::new(Arc::clone(&job), plan.source_id);
    Walk::new(Arc::clone(&job), tree)
        .run(root.clone(), jobs)
        .await;
    if !verify || job.stopped() {
        return None;
    }
    job.progress.begin("verifying");
    let begun = Instant::now();
    let walk = Walk::new(Arc::clone(&job), verify::Verify::new(Arc::clone(&job)));
    walk.run(root, jobs).await;
    Some(walk.pass().verified(begun.elapsed()))
}

fn finish(
    arguments: &Arguments,
    handle: &Handle,
    job: &Job,
    took: Duration,
    verified: Option<verify::Verified>,
) -> Exit {
    let exit = if job.stopped() {
        Exit::Interrupted
    } else if job.errors().total > 0 {
        Exit::Partial
    } else {
        Exit::Done
    };
    let report = report::Report::new(arguments, job, handle, took, verified);
    if arguments.json {
        println!("{}", report.json());
    } else if !arguments.quiet {
        println!("{}", report.text());
    }
    exit
}
