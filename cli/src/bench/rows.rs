//! What is measured, and by whom.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tidegate::Submit;
use tidegate_measure::data::{Data, Size};
use tidegate_measure::engine::Engine;
use tidegate_measure::rounds::{self, Settings};
use tidegate_measure::summary::Results;
use tidegate_measure::workload::{Op, WORKLOADS, Workload};

use super::progress::Progress;

/// The library, and whom it is measured against, in the order of the columns.
pub(super) const ENGINES: [Engine; 3] = [OURS, Engine::TokioFs, Engine::Threads];
pub(super) const OURS: Engine = Engine::Tidegate(Submit::Auto);

/// What an engine is called here.
pub(super) fn label(engine: Engine) -> &'static str {
    match engine {
        Engine::TokioFs => "tokio::fs",
        Engine::Threads => "threads",
        _ => "tidegate",
    }
}

/// Workloads that differ in how many tasks work at once.
pub(super) struct Family {
    pub(super) name: &'static str,
    /// What one operation is.
    pub(super) what: &'static str,
}

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "hot-read",
        what: "4 KiB at a random offset of a file in memory",
    },
    Family {
        name: "direct-read",
        what: "4 KiB at a random offset, past the page cache (O_DIRECT)",
    },
    Family {
        name: "metadata",
        what: "attributes of one of many files, by path, in memory",
    },
    Family {
        name: "read-file",
        what: "a whole file of 4 KiB, by path, in memory",
    },
    Family {
        name: "cold-metadata",
        what: "attributes of each of many files, of which nothing is in memory",
    },
    Family {
        name: "cold-list",
        what: "each entry of a folder with its attributes, with nothing in memory",
    },
    Family {
        name: "cold-file",
        what: "each of many whole files of 4 KiB, with nothing in memory",
    },
    Family {
        name: "cold-random",
        what: "4 KiB at a random offset of a file that is not in memory",
    },
    Family {
        name: "write-sync",
        what: "a new file, in order, 1 MiB at a time, then synced",
    },
    Family {
        name: "copy",
        what: "a whole file in memory: the kernel does it for all three",
    },
];

impl Family {
    /// The one of that name, or all whose names begin so.
    fn workloads(&self) -> impl Iterator<Item = &'static Workload> {
        let is_one = WORKLOADS.iter().any(|work| work.name == self.name);
        WORKLOADS.iter().filter(move |work| match is_one {
            true => work.name == self.name,
            false => work.is_meant(self.name),
        })
    }
}

/// One workload, and how each engine did.
pub(super) struct Row {
    pub(super) family: &'static Family,
    pub(super) results: Results,
    /// Engines without figures, and why they have none.
    pub(super) without: Vec<(Engine, String)>,
}

impl Row {
    /// None of the engines could do it.
    fn left_out(family: &'static Family, workload: Workload, reason: &str) -> Row {
        Row {
            family,
            results: Results {
                workload,
                engines: Vec::new(),
            },
            without: ENGINES.map(|engine| (engine, reason.to_owned())).to_vec(),
        }
    }

    fn new(family: &'static Family, results: Results) -> Row {
        let reason = |engine: Engine| {
            let failed = results.of(engine).and_then(|rounds| rounds.failed.clone());
            let why_not = engine.why_not(&results.workload).map(str::to_owned);
            Some((engine, failed.or(why_not)?))
        };
        let without = ENGINES.into_iter().filter_map(reason).collect();
        Row {
            family,
            results,
            without,
        }
    }
}

fn workloads() -> impl Iterator<Item = (&'static Family, &'static Workload)> {
    FAMILIES
        .iter()
        .flat_map(|family| family.workloads().map(move |workload| (family, workload)))
}

/// How many turns there are in all.
pub(super) fn turns(rounds: usize) -> u64 {
    let able = workloads().map(|(_, workload)| {
        let able = ENGINES
            .iter()
            .filter(|engine| engine.why_not(workload).is_none());
        able.count()
    });
    able.sum::<usize>() as u64 * rounds as u64
}

/// Makes the data set in an empty folder, and measures all rows.
pub(super) fn measure(
    folder: &Path,
    size: Size,
    settings: &Settings,
    progress: &Progress,
) -> io::Result<Vec<Row>> {
    progress.say("making the files");
    let data = Arc::new(Data::make(folder, size, &settings.stop)?);
    let no_direct = data.try_direct().err();
    let no_direct = no_direct.map(|error| format!("there is no O_DIRECT here ({error})"));
    let cannot_be_cold = (!Data::can_forget_all())
        .then(|| "only root can empty the kernel's memory of files".to_owned());
    let mut rows = Vec::new();
    for (family, workload) in workloads() {
        if let (true, Some(reason)) = (workload.is_cold(), &cannot_be_cold) {
            rows.push(Row::left_out(family, *workload, reason));
            continue;
        }
        if let (Op::DirectRanges | Op::DirectRead, Some(reason)) = (workload.op, &no_direct) {
            rows.push(Row::left_out(family, *workload, reason));
            continue;
        }
        let mut on_turn = |engine, round| {
            progress.turn(format!(
                "{}, {}, round {}",
                workload.name,
                label(engine),
                round + 1
            ));
        };
        let results = rounds::measure(settings, *workload, &ENGINES, &data, &mut on_turn)?;
        rows.push(Row::new(family, results));
    }
    progress.say("removing the files");
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, turns};

    /// A name that is in no list would silently measure nothing.
    #[test]
    fn each_family_has_workloads() {
        for family in FAMILIES {
            assert!(family.workloads().count() > 0, "{}", family.name);
        }
        assert_eq!(turns(2), 2 * turns(1));
    }
}
