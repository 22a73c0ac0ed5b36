//! What a program costs that reads one file and ends: its time, its processor time, and what it has of threads,
//! descriptors and memory, beside the same program on `tokio::fs`.
//!
//! ```sh
//! cargo run --release -p tidegate-benches --bin startup
//! ```

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tidegate_measure::report::table;
use tidegate_measure::summary::median;
use tokio::runtime::{Builder, Runtime};

/// Who reads, in a process that was started for it.
const WHO: &str = "TIDEGATE_STARTUP_WHO";
/// Whether it says what it has, instead of being timed: at once, and after so many seconds of rest.
const REST: &str = "TIDEGATE_STARTUP_REST";

/// Starts each program in turn, and prints medians.
#[derive(Parser)]
struct Options {
    /// How often each program is started
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// How long it rests before what it still has is looked at, in seconds; idle threads end after ten
    #[arg(long, default_value_t = 12)]
    rest: u64,
}

/// A program: by whom it reads, and on which runtime.
#[derive(Clone, Copy)]
struct Program {
    name: &'static str,
    is_ours: bool,
    is_multi: bool,
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "tokio::fs",
        is_ours: false,
        is_multi: true,
    },
    Program {
        name: "tidegate",
        is_ours: true,
        is_multi: true,
    },
    Program {
        name: "tokio::fs, one thread",
        is_ours: false,
        is_multi: false,
    },
    Program {
        name: "tidegate, one thread",
        is_ours: true,
        is_multi: false,
    },
];

/// What a process has at a moment.
struct Holding {
    threads: usize,
    descriptors: usize,
    peak_kib: u64,
}

impl Holding {
    fn now() -> io::Result<Holding> {
        let status = fs::read_to_string("/proc/self/status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        Ok(Holding {
            threads: fs::read_dir("/proc/self/task")?.count(),
            // Without the one that is open for the look.
            descriptors: fs::read_dir("/proc/self/fd")?.count() - 1,
            peak_kib: peak.unwrap_or(0),
        })
    }
}

impl Program {
    fn runtime(self) -> io::Result<Runtime> {
        let mut builder = if self.is_multi {
            Builder::new_multi_thread()
        } else {
            Builder::new_current_thread()
        };
        builder.enable_all().build()
    }

    /// The whole of the program.
    fn run(self, path: &Path, rest: Option<Duration>) -> io::Result<()> {
        let runtime = self.runtime()?;
        let bytes = runtime.block_on(async {
            if self.is_ours {
                tidegate::fs::read(path).await
            } else {
                tokio::fs::read(path).await
            }
        })?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(rest) = rest {
            let soon = Holding::now()?;
            thread::sleep(rest);
            let later = Holding::now()?;
            println!(
                "{} {} {} {} {}",
                soon.threads, soon.descriptors, later.threads, later.descriptors, later.peak_kib
            );
        }
        Ok(())
    }

    fn command(self, path: &Path) -> io::Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(path).env(WHO, self.name);
        Ok(command)
    }

    /// Seconds, and processor seconds.
    fn timed(self, path: &Path) -> io::Result<(f64, f64)> {
        let children = || getrusage(UsageWho::RUSAGE_CHILDREN);
        let (began, before) = (Instant::now(), children()?);
        let status = self.command(path)?.stdout(Stdio::null()).status()?;
        let (took, after) = (began.elapsed(), children()?);
        if !status.success() {
            return Err(io::Error::other(format!("{}: {status}", self.name)));
        }
        let cpu = |usage: nix::sys::resource::Usage| {
            usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
        };
        Ok((took.as_secs_f64(), (cpu(after) - cpu(before)) as f64 * 1e-6))
    }

    /// What it says of itself.
    fn held(self, path: &Path, rest: u64) -> io::Result<Vec<String>> {
        let mut command = self.command(path)?;
        let output = command.env(REST, rest.to_string()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }
}

fn compare(options: &Options) -> io::Result<()> {
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().join("file");
    fs::write(&path, [7; 4096])?;
    let mut timed: Vec<Vec<(f64, f64)>> = vec![Vec::new(); PROGRAMS.len()];
    let mut order: Vec<usize> = (0..PROGRAMS.len()).collect();
    for _ in 0..options.rounds {
        fastrand::shuffle(&mut order);
        for &index in &order {
            timed[index].push(PROGRAMS[index].timed(&path)?);
        }
    }
    let middle = |index: usize, figure: fn(&(f64, f64)) -> f64| {
        median(timed[index].iter().map(figure)).unwrap_or(f64::NAN)
    };
    let mut rows = Vec::new();
    for (index, program) in PROGRAMS.iter().enumerate() {
        let peer = index & !1;
        let ratio = middle(index, |(took, _)| *took) / middle(peer, |(took, _)| *took);
        let mut row = vec![
            program.name.to_owned(),
            format!("{:.2}", middle(index, |(took, _)| took * 1e3)),
            format!("{ratio:.2}"),
            format!("{:.2}", middle(index, |(_, cpu)| cpu * 1e3)),
        ];
        row.extend(program.held(&path, options.rest)?);
        rows.push(row);
    }
    let columns = [
        "program",
        "ms",
        "×",
        "CPU ms",
        "threads",
        "descriptors",
        "threads, idle",
        "descriptors, idle",
        "peak KiB",
    ];
    print!("{}", table(&columns, &rows));
    Ok(())
}

fn main() -> io::Result<()> {
    let Some(who) = env::var(WHO).ok() else {
        return compare(&Options::parse());
    };
    let program = PROGRAMS.iter().find(|program| program.name == who);
    let (Some(program), Some(path)) = (program, env::args_os().nth(1)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let rest = env::var(REST).ok().and_then(|rest| rest.parse().ok());
    program.run(Path::new(&path), rest.map(Duration::from_secs))
}
