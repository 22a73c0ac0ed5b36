//! The comparison: options, rounds, output.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tempfile::TempDir;

use crate::place::Place;
use tidegate_measure::calls::Calls;
use tidegate_measure::data::{Data, Size};
use tidegate_measure::engine::{Engine, engines};
use tidegate_measure::header::Header;
use tidegate_measure::report;
use tidegate_measure::rounds::{Settings, measure};
use tidegate_measure::stop::Stop;
use tidegate_measure::workload::{WORKLOADS, Workload};

/// Compares tidegate with its peers, in interleaved rounds, and prints medians.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Where the data set is made; it is removed at the end. Not in memory: some workloads need a disk
    /// [default: next to this program]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// What the files are seen through: this and the next take root
    #[arg(long, value_enum, default_value_t)]
    pub place: Place,
    /// How often each engine has its turn at each workload
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// How long a turn is, in seconds; workloads that go through a file once take what they take
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// MiB of each large file
    #[arg(long, default_value_t = 1024)]
    pub file_mib: u64,
    /// How many small files
    #[arg(long, default_value_t = 20_000)]
    pub small_files: usize,
    /// Only these engines
    #[arg(long, value_delimiter = ',')]
    pub engines: Vec<String>,
    /// Print JSON instead of markdown
    #[arg(long)]
    pub json: bool,
    /// Say where tidegate is slower than `tokio::fs`, and end with 1 if anywhere
    #[arg(long)]
    pub check: bool,
    /// Only these workloads, each a name or its first words, as `hot-read` [default: all]
    pub workloads: Vec<String>,
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl Options {
    fn check(&self) -> io::Result<()> {
        if !(self.seconds > 0.0 && self.seconds < 3600.0) {
            return Err(invalid(
                "--seconds is more than 0 and less than 3600".to_owned(),
            ));
        }
        if self.rounds == 0 || self.file_mib < 4 || self.small_files == 0 {
            return Err(invalid(
                "--rounds and --small-files are at least 1, --file-mib at least 4".to_owned(),
            ));
        }
        Ok(())
    }

    fn chosen_workloads(&self) -> io::Result<Vec<Workload>> {
        let names: Vec<&str> = WORKLOADS.iter().map(|work| work.name).collect();
        let all = self.workloads.is_empty();
        for name in &self.workloads {
            if !WORKLOADS.iter().any(|work| work.is_meant(name)) {
                return Err(invalid(format!(
                    "no workload is named {name}; there are {}",
                    names.join(", ")
                )));
            }
        }
        let is_meant =
            |work: &&Workload| all || self.workloads.iter().any(|name| work.is_meant(name));
        let can_be_cold = Data::can_forget_all();
        let can_be = |work: &&Workload| {
            let is_fit = can_be_cold || !work.is_cold();
            if !is_fit {
                eprintln!("{} needs root, to empty the kernel's caches", work.name);
            }
            is_fit
        };
        let chosen = WORKLOADS.iter().filter(is_meant).filter(can_be);
        Ok(chosen.copied().collect())
    }

    fn chosen_engines(&self) -> io::Result<Vec<Engine>> {
        let all = engines();
        let names: Vec<String> = all.iter().map(Engine::to_string).collect();
        if let Some(name) = self.engines.iter().find(|name| !names.contains(name)) {
            return Err(invalid(format!(
                "no engine is named {name}; there are {}",
                names.join(", ")
            )));
        }
        let is_meant =
            |engine: &Engine| self.engines.is_empty() || self.engines.contains(&engine.to_string());
        Ok(all.into_iter().filter(is_meant).collect())
    }

    fn data_dir(&self) -> io::Result<PathBuf> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => {
                let program = std::env::current_exe()?;
                let folder = program.parent().map(PathBuf::from);
                folder.ok_or_else(|| invalid("this program is in no folder; use --dir".to_owned()))
            }
        }
    }
}

/// Runs the comparison, and writes what came of it. With `--check` returns whether it is slower than `tokio::fs` nowhere.
///
/// # Errors
///
/// `InvalidInput` for options that mean nothing; those of making the data set, and of writing to `out`.
/// An engine that fails is reported in the table.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    options.check()?;
    let (workloads, engines) = (options.chosen_workloads()?, options.chosen_engines()?);
    let dir = options.data_dir()?;
    let not_counted = Calls::start().err();
    let mut header = Header::new(&dir);
    header.add(
        "system calls",
        match &not_counted {
            Some(error) => format!("not counted: {error}"),
            None => "counted in a turn of their own".to_owned(),
        },
    );
    let size = Size {
        file_bytes: options.file_mib << 20,
        small_files: options.small_files,
    };
    std::fs::create_dir_all(&dir)?;
    let folder = TempDir::with_prefix_in("tidegate-bench-", &dir)?;
    let settings = Settings {
        rounds: options.rounds,
        turn: Duration::from_secs_f64(options.seconds),
        calls: not_counted.is_none(),
        stop: Stop::default(),
    };
    let mut mounted = options.place.prepare(folder.path())?;
    if let Some(filesystem) = mounted.filesystem() {
        header.add("seen through", filesystem);
    }
    if !options.json {
        writeln!(out, "{}", header.markdown())?;
    }
    let data = Data::make(&mounted.below(), size, &settings.stop)?;
    let data = Arc::new(mounted.seen(data)?);
    let mut results = Vec::with_capacity(workloads.len());
    for workload in workloads {
        let result = measure(&settings, workload, &engines, &data, &mut |_, _| ())?;
        if !options.json {
            writeln!(out, "{}", report::markdown(&result))?;
            out.flush()?;
        }
        results.push(result);
    }
    if options.json {
        let workloads: Vec<_> = results.iter().map(report::json).collect();
        let all = json!({ "header": header.json(), "workloads": workloads });
        writeln!(out, "{all:#}")?;
    } else {
        write!(out, "{}", report::goals(&results))?;
    }
    let slower = if options.check {
        report::slower_than_tokio(&results)
    } else {
        Vec::new()
    };
    for line in &slower {
        eprintln!("{line}");
    }
    Ok(slower.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Options;
    use clap::Parser;

    fn options(args: &[&str]) -> Options {
        Options::parse_from(["compare"].iter().chain(args))
    }

    #[test]
    fn names_choose_workloads_and_engines() {
        let options = options(&["--engines", "tidegate,threads", "hot-read-1", "create"]);
        assert_eq!(options.chosen_engines().unwrap().len(), 2);
        assert_eq!(options.chosen_workloads().unwrap().len(), 2);
    }

    #[test]
    fn a_wrong_name_is_refused_with_the_right_ones() {
        let engine = options(&["--engines", "x"]).chosen_engines().unwrap_err();
        assert!(engine.to_string().contains("spawn-blocking"), "{engine}");
        let workload = options(&["x"]).chosen_workloads().unwrap_err();
        assert!(workload.to_string().contains("hot-read-32"), "{workload}");
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        for args in [["--seconds", "0"], ["--seconds", "NaN"], ["--rounds", "0"]] {
            assert!(options(&args).check().is_err(), "{args:?}");
        }
    }
}
