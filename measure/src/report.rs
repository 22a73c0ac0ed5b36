//! Results as a markdown table, and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};
use tidegate::Submit;

use crate::engine::Engine;
use crate::sample::Sample;
use crate::summary::{Results, Rounds};

const MICRO: f64 = 1e-3;
const COLUMNS: [&str; 11] = [
    "engine",
    "rate",
    "CPU µs",
    "switches",
    "calls",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "× spawn_blocking",
    "× tokio::fs",
    "× inline",
];

/// The engines that others are compared with, in the order of the last columns.
const BASES: [Engine; 3] = [Engine::SpawnBlocking, Engine::TokioFs, Engine::Inline];

/// One workload as a markdown section.
pub fn markdown(results: &Results) -> String {
    let workload = &results.workload;
    let mut text = format!(
        "## {}: {:?}, {} at a time, per {}\n\n",
        workload.name,
        workload.op,
        workload.tasks,
        workload.unit()
    );
    let rows: Vec<Vec<String>> = results
        .engines
        .iter()
        .map(|rounds| row(results, rounds))
        .collect();
    text.push_str(&table(&COLUMNS, &rows));
    text.push('\n');
    for rounds in &results.engines {
        let last = rounds.samples.last().map_or("", |sample| &sample.ways);
        if let Some(reason) = &rounds.failed {
            let _ = writeln!(text, "- {} failed: {reason}", rounds.engine);
        } else if !last.is_empty() {
            let _ = writeln!(text, "- {} took, in the last round: {last}", rounds.engine);
        }
    }
    text
}

fn row(results: &Results, rounds: &Rounds) -> Vec<String> {
    let figure = |figure: fn(&Sample) -> f64, factor: f64| {
        let median = rounds.median(figure);
        median.map_or_else(|| "–".to_owned(), |median| short(median * factor))
    };
    let mut cells = vec![
        rounds.engine.to_string(),
        figure(|sample| sample.rate, 1.0),
        figure(|sample| sample.cpu_ns, MICRO),
        figure(|sample| sample.switches, 1.0),
        rounds.calls.map_or_else(|| "–".to_owned(), short),
        figure(|sample| sample.p50_ns, MICRO),
        figure(|sample| sample.p99_ns, MICRO),
        figure(|sample| sample.p999_ns, MICRO),
    ];
    cells.extend(BASES.map(|base| {
        let ratio = results.rate_ratio(rounds, base);
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
    }));
    cells
}

/// A number with about three digits that matter.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A markdown table, its columns as wide as they need to be: the first to the left, others to the right.
pub fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            let cells = [&head].into_iter().chain(rows);
            cells
                .map(|row| row[index].chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        })
        .collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(index, (cell, &width))| match index {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths
        .iter()
        .enumerate()
        .map(|(index, &width)| match index {
            0 => format!(" {} |", "-".repeat(width)),
            _ => format!(" {}: |", "-".repeat(width - 1)),
        });
    let rule = format!("|{}\n", rule.collect::<String>());
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}{rows}", line(&head))
}

fn sample(sample: &Sample) -> Value {
    json!({
        "rate": sample.rate,
        "cpu_ns": sample.cpu_ns,
        "switches": sample.switches,
        "p50_ns": sample.p50_ns,
        "p99_ns": sample.p99_ns,
        "p999_ns": sample.p999_ns,
    })
}

/// One workload for programs: every round, the medians, and the medians of the rounds' ratios.
pub fn json(results: &Results) -> Value {
    let engines: Vec<Value> = results
        .engines
        .iter()
        .map(|rounds| {
            json!({
                "engine": rounds.engine.to_string(),
                "rate": rounds.median(|sample| sample.rate),
                "cpu_ns": rounds.median(|sample| sample.cpu_ns),
                "switches": rounds.median(|sample| sample.switches),
                "calls": rounds.calls,
                "p50_ns": rounds.median(|sample| sample.p50_ns),
                "p99_ns": rounds.median(|sample| sample.p99_ns),
                "p999_ns": rounds.median(|sample| sample.p999_ns),
                "rate_to_spawn_blocking": results.rate_ratio(rounds, Engine::SpawnBlocking),
                "rate_to_tokio_fs": results.rate_ratio(rounds, Engine::TokioFs),
                "rate_to_inline": results.rate_ratio(rounds, Engine::Inline),
                "rate_to_threads": results.rate_ratio(rounds, Engine::Threads),
                "rounds": rounds.samples.iter().map(sample).collect::<Vec<_>>(),
                "ways": rounds.samples.last().map_or("", |sample| &sample.ways),
                "failed": rounds.failed,
            })
        })
        .collect();
    json!({
        "workload": results.workload.name,
        "tasks": results.workload.tasks,
        "bytes": results.workload.bytes,
        "unit": results.workload.unit(),
        "engines": engines,
    })
}

/// What tidegate is to reach.
struct Goal {
    workload: &'static str,
    what: &'static str,
    /// Whose figure it is divided by; without, the figure itself counts.
    to: Option<Engine>,
    figure: fn(&Sample) -> f64,
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const fn rate(workload: &'static str, to: Engine, least: f64) -> Goal {
    Goal {
        workload,
        what: "rate",
        to: Some(to),
        figure: |sample| sample.rate,
        bound: Bound::AtLeast(least),
    }
}

/// What is to be reached, where possible as a ratio within one run.
const GOALS: &[Goal] = &[
    rate("hot-read-1", Engine::SpawnBlocking, 16.0),
    rate("hot-read-1", Engine::Inline, 0.65),
    rate("hot-read-32", Engine::SpawnBlocking, 6.0),
    rate("hot-read-32", Engine::Inline, 0.65),
    Goal {
        workload: "hot-read-32",
        what: "p99.9 in µs",
        to: None,
        figure: |sample| sample.p999_ns * MICRO,
        bound: Bound::AtMost(500.0),
    },
    rate("metadata-1", Engine::TokioFs, 12.0),
    rate("read-file-64", Engine::TokioFs, 5.0),
    rate("direct-read-32", Engine::SpawnBlocking, 1.2),
    Goal {
        workload: "direct-read-32",
        what: "CPU per op",
        to: Some(Engine::SpawnBlocking),
        figure: |sample| sample.cpu_ns,
        bound: Bound::AtMost(0.5),
    },
    rate("cold-read-128k", Engine::TokioFs, 1.0),
    rate("cold-read-128k", Engine::Threads, 1.0),
    rate("cold-read-1m", Engine::TokioFs, 1.0),
    rate("cold-read-1m", Engine::Threads, 1.0),
    rate("cold-stream-8k", Engine::TokioFs, 1.0),
    rate("cold-stream-8k", Engine::Threads, 1.0),
    rate("cold-stream-128k", Engine::TokioFs, 1.0),
    rate("cold-stream-128k", Engine::Threads, 1.0),
];

impl Goal {
    fn measured(&self, results: &[Results]) -> Option<f64> {
        let mut results = results.iter();
        let result = results.find(|result| result.workload.name == self.workload)?;
        let ours = result.of(Engine::Tidegate(Submit::Auto))?;
        match self.to {
            Some(to) => ours.ratio(result.of(to)?, self.figure),
            None => ours.median(self.figure),
        }
    }

    fn row(&self, measured: f64) -> Vec<String> {
        let (asked, met) = match self.bound {
            Bound::AtLeast(least) => (format!("≥ {least}"), measured >= least),
            Bound::AtMost(most) => (format!("≤ {most}"), measured <= most),
        };
        let to = self.to.map_or_else(String::new, |to| format!(" to {to}"));
        vec![
            format!("{}, {}{to}", self.workload, self.what),
            asked,
            format!("{measured:.2}"),
            if met { "yes" } else { "no" }.to_owned(),
        ]
    }
}

/// Where tidegate is slower than `tokio::fs`, or fails where that does not. What that cannot do is one `spawn_blocking`.
pub fn slower_than_tokio(results: &[Results]) -> Vec<String> {
    let of_one = |results: &Results| {
        let ours = results.of(Engine::Tidegate(Submit::Auto))?;
        let bases = [
            (Engine::TokioFs, "tokio::fs"),
            (Engine::SpawnBlocking, "spawn_blocking"),
        ];
        let able = |(engine, _): &(Engine, _)| results.of(*engine).is_some();
        let (base, base_name) = bases.into_iter().find(able)?;
        let name = results.workload.name;
        match (&ours.failed, results.rate_ratio(ours, base)) {
            (Some(reason), _) => Some(format!("{name}: tidegate failed: {reason}")),
            (None, Some(ratio)) if ratio < 1.0 => Some(format!("{name}: {ratio:.2} × {base_name}")),
            _ => None,
        }
    };
    results.iter().filter_map(of_one).collect()
}

/// How the goals of these workloads fared.
pub fn goals(results: &[Results]) -> String {
    let rows: Vec<Vec<String>> = GOALS
        .iter()
        .filter_map(|goal| Some(goal.row(goal.measured(results)?)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = table(&["tidegate's", "goal", "measured", "met"], &rows);
    format!("## Goals\n\n{table}")
}

#[cfg(test)]
mod tests {
    use super::{goals, json, markdown, short, slower_than_tokio, table};
    use crate::engine::Engine;
    use crate::sample::Sample;
    use crate::summary::{Results, Rounds};
    use crate::workload::WORKLOADS;
    use tidegate::Submit;

    fn rounds(engine: Engine, rates: &[f64]) -> Rounds {
        let sample = |&rate: &f64| Sample {
            rate,
            ..Sample::default()
        };
        Rounds {
            engine,
            samples: rates.iter().map(sample).collect(),
            calls: None,
            failed: None,
        }
    }

    fn results() -> Results {
        Results {
            workload: WORKLOADS[0],
            engines: vec![
                rounds(Engine::Tidegate(Submit::Auto), &[1.6e6, 2e6, 1.7e6]),
                rounds(Engine::SpawnBlocking, &[1e5, 1e5, 1e5]),
            ],
        }
    }

    #[test]
    fn numbers_keep_about_three_digits() {
        let texts = [0.0, 0.123, 12.34, 123.4, 1234.0, 12_340.0, 1_234_000.0].map(short);
        assert_eq!(
            texts,
            ["0.00", "0.12", "12.3", "123", "1234", "12.3 k", "1.23 M"]
        );
    }

    #[test]
    fn a_table_is_markdown_with_columns_in_line() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = table(&["name", "µs"], &[row(["a", "1.00"]), row(["longer", "–"])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "| name   |   µs |",
                "| ------ | ---: |",
                "| a      | 1.00 |",
                "| longer |    – |",
            ]
        );
    }

    #[test]
    fn results_carry_their_ratios() {
        let text = markdown(&results());
        assert!(text.contains("| tidegate       |  1.70 M |"), "{text}");
        assert!(
            text.contains("|            17.00 |           – |"),
            "{text}"
        );
        let json = json(&results());
        assert_eq!(json["engines"][0]["rate_to_spawn_blocking"], 17.0);
        assert!(json["engines"][0]["rate_to_tokio_fs"].is_null());
    }

    #[test]
    fn what_is_slower_than_tokio_is_told() {
        let of = |ours: &[f64]| Results {
            workload: WORKLOADS[0],
            engines: vec![
                rounds(Engine::Tidegate(Submit::Auto), ours),
                rounds(Engine::TokioFs, &[10.0]),
            ],
        };
        assert_eq!(slower_than_tokio(&[of(&[10.0])]), Vec::<String>::new());
        let slower = slower_than_tokio(&[of(&[20.0]), of(&[9.0])]);
        assert_eq!(slower, ["hot-read-1: 0.90 × tokio::fs"]);
        let mut failed = of(&[20.0]);
        failed.engines[0].failed = Some("a short read".to_owned());
        assert_eq!(slower_than_tokio(&[failed]).len(), 1);
    }

    #[test]
    fn goals_are_checked_where_both_sides_were_measured() {
        let text = goals(&[results()]);
        assert!(
            text.contains("hot-read-1, rate to spawn-blocking"),
            "{text}"
        );
        assert!(text.contains("| ≥ 16 |    17.00 | yes |"), "{text}");
        assert!(!text.contains("to inline"), "{text}");
        assert_eq!(goals(&[]), "");
    }
}
