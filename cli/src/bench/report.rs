//! The results as tables in markdown, which are as wide as a terminal, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tidegate_measure::data::Size;
use tidegate_measure::engine::Engine;
use tidegate_measure::header::Header;
use tidegate_measure::report::{self, short};
use tidegate_measure::rounds::Settings;
use tidegate_measure::sample::Sample;

use super::rows::{ENGINES, FAMILIES, OURS, Row, label};

const MICRO: f64 = 1e-3;
const NONE: &str = "–";
const LEGEND: &str = "
The number in a name is how many tasks work at once. Tasks of a runtime give way
to each other in the middle of an operation, and its latency has that in it; the
kernel lets threads give way too rarely for a p99 to show it.

";

/// All that was measured, and on what.
pub(super) struct Report {
    pub(super) header: Header,
    pub(super) rows: Vec<Row>,
    pub(super) settings: Settings,
    pub(super) size: Size,
}

/// One table.
struct Section {
    title: &'static str,
    figure: fn(&Sample) -> f64,
    factor: f64,
    /// Whether a file that is gone through once has the figure.
    has_once: bool,
}

const SECTIONS: &[Section] = &[
    Section {
        title: "Rate per second, in operations or MiB. × is tidegate's to the other's.",
        figure: |sample| sample.rate,
        factor: 1.0,
        has_once: true,
    },
    Section {
        title: "Processor time of the process, in µs per operation or MiB; less is better.",
        figure: |sample| sample.cpu_ns,
        factor: MICRO,
        has_once: true,
    },
    Section {
        title: "Latency in µs: 99 of 100 operations take no longer (p99); less is better.",
        figure: |sample| sample.p99_ns,
        factor: MICRO,
        has_once: false,
    },
];

impl Report {
    /// For people, and for documents.
    pub(super) fn text(&self) -> String {
        let mut text = self.header.markdown();
        let Settings { rounds, turn, .. } = &self.settings;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "- medians of {rounds} rounds of {} s; ratios are medians of the rounds' ratios",
            turn.as_secs_f64()
        );
        for section in SECTIONS {
            let _ = write!(text, "\n{}\n\n{}", section.title, self.table(section));
        }
        text.push_str(LEGEND);
        for family in FAMILIES {
            let _ = writeln!(text, "- {}: {}", family.name, family.what);
        }
        for note in self.notes() {
            let _ = writeln!(text, "- {NONE}: {note}");
        }
        text
    }

    fn table(&self, section: &Section) -> String {
        let mut columns = vec!["workload".to_owned()];
        columns.extend(ENGINES.map(|engine| label(engine).to_owned()));
        columns.extend(others().map(|engine| format!("× {}", label(engine))));
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let rows = self.rows.iter();
        let rows = rows.filter(|row| section.has_once || !row.results.workload.is_once());
        let rows: Vec<Vec<String>> = rows.map(|row| section.cells(row)).collect();
        report::table(&columns, &rows)
    }

    /// Why figures are missing, each reason once for all rows that share it.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for row in &self.rows {
            for (engine, reason) in &row.without {
                let by = if row.results.engines.is_empty() {
                    String::new()
                } else {
                    format!(" by {}", label(*engine))
                };
                let note = format!("{}{by}: {reason}", row.family.name);
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }

    /// Engines that began and could not go on.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        self.rows.iter().flat_map(|row| {
            row.results.engines.iter().filter_map(|rounds| {
                let reason = rounds.failed.as_ref()?;
                let name = row.results.workload.name;
                Some(format!("{name} by {}: {reason}", label(rounds.engine)))
            })
        })
    }

    /// For programs: everything.
    pub(super) fn json(&self) -> String {
        let all = json!({
            "header": self.header.json(),
            "settings": {
                "rounds": self.settings.rounds,
                "seconds": self.settings.turn.as_secs_f64(),
                "file_bytes": self.size.file_bytes,
                "small_files": self.size.small_files,
            },
            "workloads": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        format!("{all:#}")
    }
}

/// Whom the library is measured against.
pub(super) fn others() -> impl Iterator<Item = Engine> {
    ENGINES.into_iter().filter(|&engine| engine != OURS)
}

/// Many times as small is not nothing.
fn shown_ratio(ratio: f64) -> String {
    if ratio > 0.0 && ratio < 0.01 {
        "<0.01".to_owned()
    } else {
        short(ratio)
    }
}

impl Section {
    fn cells(&self, row: &Row) -> Vec<String> {
        let workload = &row.results.workload;
        let mut cells = vec![if workload.is_once() {
            format!("{}, {}", workload.name, workload.unit())
        } else {
            workload.name.to_owned()
        }];
        cells.extend(ENGINES.map(|engine| {
            let median = row.results.of(engine);
            let median = median.and_then(|rounds| rounds.median(self.figure));
            median.map_or_else(|| NONE.to_owned(), |median| short(median * self.factor))
        }));
        cells.extend(others().map(|other| {
            let ratio = row.ratio(other, self.figure);
            ratio.map_or_else(|| NONE.to_owned(), shown_ratio)
        }));
        cells
    }
}

impl Row {
    /// The library's figure to another's, if both have it.
    pub(super) fn ratio(&self, other: Engine, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let (ours, other) = (self.results.of(OURS)?, self.results.of(other)?);
        ours.ratio(other, figure)
    }

    fn json(&self) -> Value {
        let mut row = report::json(&self.results);
        let reasons = self.without.iter();
        let reasons = reasons.map(|(engine, reason)| (engine.to_string(), json!(reason)));
        row["what"] = json!(self.family.what);
        row["without"] = Value::Object(reasons.collect());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::shown_ratio;

    /// A ratio is never shown as nothing unless it is.
    #[test]
    fn small_ratios_are_not_rounded_to_nothing() {
        assert_eq!(shown_ratio(0.0001), "<0.01");
        assert_eq!(shown_ratio(0.01), "0.01");
        assert_eq!(shown_ratio(0.0), "0.00");
        assert_eq!(shown_ratio(33.12), "33.1");
    }
}
