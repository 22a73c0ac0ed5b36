//! `tidegate bench`: what the library is worth on a disk of the user's, beside what else there is.

mod output;
mod place;
mod plot;
mod progress;
mod report;
mod rows;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::HumanBytes;
use tempfile::TempDir;
use tidegate::Handle;
use tidegate_measure::data::Size;
use tidegate_measure::header::Header;
use tidegate_measure::rounds::Settings;
use tidegate_measure::stop::Stop;
use tokio::sync::oneshot;

use crate::exit::{Exit, fatal};
use crate::explain::{line, with_advice};
use crate::say;
use crate::worker::{Link, Orders, Shows};
use output::PlotFile;
use progress::Progress;
use report::Report;
use rows::Row;

/// Measures tidegate, tokio::fs and plain threads against each other, on the filesystem of DIR.
///
/// All three do the same on the same files, in turns within each round, and medians over the rounds are
/// shown: rates, processor time, and the latency that 99 of 100 operations stay within. The tables are
/// markdown. The files are in a folder of their own within DIR, take about 3.3 times --size, and are
/// removed at the end. The number in a row's name is how many tasks work at once. For the cold rows, which
/// take root, the kernel's memory of all files of the machine is emptied before each turn.
#[derive(Args, Debug)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Arguments {
    /// A directory on the disk to measure.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Prints all figures of all rounds as JSON, instead of tables.
    #[arg(long)]
    json: bool,
    /// Draws the ratios as bars, as SVG.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// How long a turn is; writing and copying a file take what they take.
    #[arg(long, value_name = "S", default_value = "0.25", value_parser = turn)]
    seconds: Duration,
    /// How many turns each of the three has at each workload.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// MiB of each of the two large files.
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(4..=1 << 24))]
    size: u32,
}

const TURN_MAX: Duration = Duration::from_secs(3600);

fn turn(text: &str) -> Result<Duration, String> {
    let wrong = || "it is a number above 0 and at most 3600".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    let turn = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if turn.is_zero() || turn > TURN_MAX {
        return Err(wrong());
    }
    Ok(turn)
}

/// The small files take a quarter of a large one, up to as many as a service's folder tree has.
const SMALL_FILES_MAX: u64 = 10_000;
const SMALL_FILES_PER_MIB: u64 = 64;

impl Arguments {
    fn data_size(&self) -> Size {
        let mib = u64::from(self.size);
        Size {
            file_bytes: mib << 20,
            small_files: (mib * SMALL_FILES_PER_MIB).min(SMALL_FILES_MAX) as usize,
        }
    }
}

/// What there is to see while it goes on.
pub(crate) fn shows() -> Shows {
    Shows {
        bar: io::stderr().is_terminal(),
        lines: false,
    }
}

pub(crate) fn main(arguments: Arguments, link: &Link) -> Exit {
    // It waits for signals; what is measured has runtimes of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return fatal(&format!(
                "no runtime could be started: {error}; raise RLIMIT_NOFILE"
            ));
        }
    };
    match backend() {
        Ok(()) => runtime.block_on(run(arguments, link)),
        Err(error) => fatal(&error.to_string()),
    }
}

/// Whether the way that `TIDEGATE_BACKEND` asks for can be had: else no row would have the library's figure.
fn backend() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { Handle::current() })?;
    Ok(())
}

/// What the measuring thread ends with.
struct Ended {
    rows: io::Result<Vec<Row>>,
    removed: io::Result<()>,
}

async fn run(arguments: Arguments, link: &Link) -> Exit {
    let mut orders = match link.orders() {
        Ok(orders) => orders,
        Err(error) => {
            return fatal(&format!(
                "signals cannot be watched: {}",
                with_advice(&error)
            ));
        }
    };
    let size = arguments.data_size();
    let prepared = place::prepare(&arguments.dir, size.needed_bytes());
    let plot = arguments.plot.as_deref().map(PlotFile::begin).transpose();
    let (folder, plot) = match (prepared, plot) {
        (Ok(folder), Ok(plot)) => (folder, plot),
        (Err(message), _) | (_, Err(message)) => return fatal(&message),
    };
    let settings = Settings {
        rounds: arguments.rounds.into(),
        turn: arguments.seconds,
        calls: false,
        stop: Stop::default(),
    };
    announce(&arguments.dir, size);
    let header = Header::new(&arguments.dir);
    let stop = settings.stop.clone();
    let progress = Progress::new(link, rows::turns(settings.rounds));
    let path = folder.path().to_path_buf();
    let ended = match measure_apart(folder, size, settings.clone(), progress.clone()) {
        Ok(ended) => ended,
        Err(error) => return fatal(&format!("no thread could be started: {error}")),
    };
    let Ended { rows, removed } = match wait(ended, &mut orders, &stop).await {
        Ok(ended) => ended,
        Err(exit) => {
            say::err(&format!(
                "tidegate: look for {}, and remove it",
                line(&path)
            ));
            return exit;
        }
    };
    let exit = match rows {
        _ if stop.check().is_err() => Exit::Interrupted,
        Ok(rows) => {
            let report = Report {
                header,
                rows,
                settings,
                size,
            };
            show(&arguments, plot, &report)
        }
        Err(error) => fatal(&format!(
            "cannot measure in {}: {error}",
            line(&arguments.dir)
        )),
    };
    match removed {
        Err(error) => {
            say::err(&format!("tidegate: cannot remove {}: {error}", line(&path)));
            match exit {
                Exit::Done => Exit::Partial,
                exit => exit,
            }
        }
        Ok(()) => exit,
    }
}

fn announce(dir: &Path, size: Size) {
    say::err(&format!(
        "tidegate: measuring in {}, with {} of files that are removed at the end",
        line(dir),
        HumanBytes(size.needed_bytes())
    ));
}

/// Waits for the measuring thread. The first signal asks it to stop, the second does not wait for it.
async fn wait(
    mut ended: oneshot::Receiver<Ended>,
    orders: &mut Orders,
    stop: &Stop,
) -> Result<Ended, Exit> {
    let told = tokio::select! {
        told = &mut ended => told,
        () = orders.next() => {
            stop.stop();
            say::err("tidegate: interrupted; removing the files (interrupt again to leave them)");
            tokio::select! {
                told = &mut ended => told,
                () = orders.next() => return Err(Exit::Interrupted),
            }
        }
    };
    told.map_err(|_| fatal("an internal error ended it; please report it with the message above"))
}

/// Measures on a thread that may block, which removes the folder whatever happens.
fn measure_apart(
    folder: TempDir,
    size: Size,
    settings: Settings,
    progress: Progress,
) -> io::Result<oneshot::Receiver<Ended>> {
    let (tell, ended) = oneshot::channel();
    let work = move || {
        // Dropped in the opposite order, also in a panic: who listens waits for the removal.
        let tell = tell;
        let folder = folder;
        let rows = rows::measure(folder.path(), size, &settings, &progress);
        let removed = folder.close();
        // Nobody listens any more if a second signal came.
        let _ = tell.send(Ended { rows, removed });
    };
    std::thread::Builder::new()
        .name("tidegate-bench".into())
        .spawn(work)?;
    Ok(ended)
}

/// Shows what was measured.
fn show(arguments: &Arguments, plot: Option<PlotFile>, report: &Report) -> Exit {
    if arguments.json {
        say::out(&format!("{}\n", report.json()));
    } else {
        say::out(&report.text());
    }
    let mut exit = Exit::Done;
    for failure in report.failures() {
        say::err(&format!("tidegate: {failure}"));
        exit = Exit::Partial;
    }
    if let Some(plot) = plot {
        if let Err(message) = plot.write(report) {
            say::err(&format!("tidegate: {message}"));
            exit = Exit::Partial;
        }
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::turn;
    use std::time::Duration;

    /// A turn takes time, and ends.
    #[test]
    fn turns_that_mean_nothing_are_refused() {
        assert_eq!(turn("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "1e300", "3601", "x", ""] {
            assert!(turn(text).is_err(), "{text}");
        }
    }
}
