//! `tidegate walk`: what is in a tree, while no dead disk holds it up.

mod progress;
mod report;
mod totals;

use std::io::{BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use tidegate::fs::{Walk, WalkDir, WalkEntry, WalkError, WalkSort};
use tidegate::{Handle, OpExt, Route};

use crate::exit::{Exit, fatal};
use crate::explain::{cause, line, with_advice};
use crate::say;
use crate::worker::{Link, Shows};
use progress::Progress;
use totals::Totals;

/// Walks a tree and says what is in it: files, directories, bytes, the largest, and what could not be seen.
///
/// What does not answer in time is named and left out, and the rest is walked. Names go to stdout with --print0 or
/// --json only.
#[derive(Args, Debug)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Arguments {
    /// The directory, or file.
    #[arg(value_name = "DIR")]
    root: PathBuf,
    /// Prints a line of JSON for each entry and for each error, and the summary as the last.
    #[arg(long)]
    json: bool,
    /// With --json, prints the summary alone.
    #[arg(long, requires = "json")]
    summary: bool,
    /// Prints the path of each entry, ended by a NUL, and no table.
    #[arg(long, conflicts_with = "json")]
    print0: bool,
    /// How long each call may take (500ms, 30s, 2min); without it TIDEGATE_TIMEOUTS decides, else 30s.
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    timeout: Option<std::time::Duration>,
    /// Threads that walk at a time, 32 at most; by itself as many as pays.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// In which order.
    #[arg(long, value_enum, default_value_t = Sort::Auto)]
    sort: Sort,
    /// Counts extended attributes, too, which are asked for after each entry was seen.
    #[arg(long)]
    xattrs: bool,
    /// Stays on the filesystem of DIR; others are not touched.
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Follows symbolic links.
    #[arg(long)]
    follow: bool,
    /// Goes no deeper than that; DIR itself has depth 0.
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// How many of the largest files are told.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=1000))]
    largest: u16,
    /// The way that operations take; without it TIDEGATE_BACKEND decides.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// Shows no progress; it is shown on a terminal only.
    #[arg(long)]
    no_progress: bool,
    /// Shows errors only.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    /// What is fastest on this filesystem.
    Auto,
    /// By inode.
    Inode,
    /// By name, depth first, always the same.
    Name,
    /// As the filesystem lists it.
    None,
}

impl From<Sort> for WalkSort {
    fn from(sort: Sort) -> WalkSort {
        match sort {
            Sort::Auto => WalkSort::Auto,
            Sort::Inode => WalkSort::Inode,
            Sort::Name => WalkSort::Name,
            Sort::None => WalkSort::None,
        }
    }
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

/// How long the end waits for what is stuck.
const LET_GO_BOUND: std::time::Duration = std::time::Duration::from_secs(2);

impl Arguments {
    pub(crate) fn shows(&self) -> Shows {
        Shows {
            bar: std::io::stderr().is_terminal() && !(self.no_progress || self.quiet),
            lines: false,
        }
    }
}

pub(crate) fn main(arguments: &Arguments, link: &Link) -> Exit {
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

async fn run(arguments: &Arguments, link: &Link) -> Exit {
    let route = arguments.backend.map(|backend| match backend {
        Backend::Auto => Route::Auto,
        Backend::Ring => Route::Ring,
        Backend::Pool => Route::Pool,
    });
    let mut builder = Handle::builder();
    if let Some(route) = route {
        builder = builder.route(route);
    }
    let handle = match builder.install() {
        Ok(handle) => handle,
        Err(error) => return fatal(&error.to_string()),
    };
    let mut orders = match link.orders() {
        Ok(orders) => orders,
        Err(error) => return fatal(&format!("signals cannot be watched: {error}")),
    };
    let walk = set_up(arguments);
    let progress = Progress::new(link, walk.watch());
    let begun = Instant::now();
    let mut totals = Totals::new(usize::from(arguments.largest), arguments.follow);
    let ended = tokio::select! {
        ended = through(arguments, walk, &mut totals) => Some(ended),
        () = orders.next() => None,
    };
    progress.finish();
    let took = begun.elapsed();
    let exit = match ended {
        None => Exit::Interrupted,
        Some(Err(error)) => return fatal(&format!("stdout: {error}")),
        Some(Ok(())) if totals.is_fatal => Exit::Fatal,
        Some(Ok(())) if totals.errors > 0 => Exit::Partial,
        Some(Ok(())) => Exit::Done,
    };
    let report = report::Report::new(arguments, &totals, took, exit == Exit::Interrupted);
    let left = handle.shutdown(LET_GO_BOUND).await;
    link.hold(held(left.stuck));
    let text = match (arguments.json, arguments.quiet || arguments.print0) {
        (true, _) => report.json().to_string(),
        (false, true) => return exit,
        // Why is on stderr, and there is nothing to count.
        (false, false) if exit == Exit::Fatal && totals.all.entries == 0 => return exit,
        (false, false) => report.text(),
    };
    say::out(&format!("{text}\n"));
    exit
}

/// What the kernel still has at the end.
fn held(ops: Vec<tidegate::OpInFlight>) -> Vec<String> {
    let named = ops.into_iter().map(|op| {
        let path = op.path.as_deref().map_or("-".into(), line);
        let seconds = op.still_for.as_secs();
        format!("    {} {path} for {seconds} s", op.operation)
    });
    named.collect()
}

fn set_up(arguments: &Arguments) -> Walk {
    let mut walk = WalkDir::new(&arguments.root)
        .metadata(true)
        .follow_links(arguments.follow)
        .same_file_system(arguments.one_file_system)
        .max_depth(arguments.depth.unwrap_or(usize::MAX))
        .sort(arguments.sort.into());
    if let Some(jobs) = arguments.jobs {
        walk = walk.threads(jobs);
    }
    if let Some(timeout) = arguments.timeout {
        walk = walk.timeout(timeout);
    }
    walk.walk()
}

async fn through(
    arguments: &Arguments,
    mut walk: Walk,
    totals: &mut Totals,
) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout());
    let tells = arguments.json && !arguments.summary;
    while let Some(found) = walk.next_entry().await {
        match found {
            Ok(entry) => {
                let xattrs = match arguments.xattrs {
                    true => xattrs_of(arguments, &entry).await,
                    false => Xattrs::NotRead,
                };
                let xattrs = match xattrs {
                    Xattrs::Read(names) => Some(names),
                    Xattrs::NotRead => None,
                    Xattrs::Failed(error) => {
                        let (path, reason) = (entry.path(), cause(&error));
                        say::err(&format!("tidegate: listxattr {}: {reason}", line(&path)));
                        if tells {
                            writeln!(out, "{}", report::xattr_error(&entry, &error))?;
                        }
                        totals.fail_xattrs(path, &error);
                        None
                    }
                };
                if arguments.print0 {
                    out.write_all(entry.path().as_os_str().as_bytes())?;
                    out.write_all(b"\0")?;
                } else if tells {
                    writeln!(out, "{}", report::entry(&entry, xattrs.as_deref()))?;
                }
                totals.add(&entry, xattrs.as_deref());
            }
            Err(error) => {
                let told = told(&error);
                say::err(&format!("tidegate: {told}"));
                if tells {
                    writeln!(out, "{}", report::error(&error))?;
                }
                totals.fail(&error);
            }
        }
    }
    totals.walked(&walk.stats());
    out.flush()
}

/// What became of an entry's extended attributes.
enum Xattrs {
    Failed(std::io::Error),
    NotRead,
    Read(Vec<std::ffi::OsString>),
}

/// The names of an entry's extended attributes. A mount point that is left out is not asked: what is mounted there may be
/// dead.
async fn xattrs_of(arguments: &Arguments, entry: &WalkEntry) -> Xattrs {
    if entry.is_mount_point() {
        return Xattrs::NotRead;
    }
    // A link that leads nowhere is told as the link that it is.
    let follow = match entry.is_followed() {
        true => tidegate::fs::Follow::Links,
        false => tidegate::fs::Follow::No,
    };
    let listed = tidegate::fs::list_xattrs(entry.path(), follow);
    let listed = match arguments.timeout {
        Some(timeout) => listed.timeout(timeout).await,
        None => listed.await,
    };
    match listed {
        Ok(names) => Xattrs::Read(names),
        // The filesystem has none.
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Xattrs::Read(Vec::new()),
        Err(error) => Xattrs::Failed(error),
    }
}

/// An error as a line.
fn told(error: &WalkError) -> String {
    let (call, path) = (error.call(), line(error.path()));
    format!("{call} {path}: {}", with_advice(error.io_error()))
}
