//! Files served over HTTP: requests per second and what the slowest of 100 take, as a client of the same machine sees
//! them, with 64 connections that stay open.
//!
//! ```sh
//! cargo run --release -p tidegate-benches --bin http
//! ```

mod load;
mod servers;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use tidegate_measure::report::{short, table};
use tidegate_measure::usage::Usage;

use self::load::{Load, Served};
use self::servers::{SERVERS, Server};

/// Serves files by three servers in turn, and prints medians over the rounds.
#[derive(Parser)]
struct Options {
    /// Where the files are made [default: next to this program]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How often each server has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is, in seconds, after a quarter of that to get going
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many connections there are
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many files of each length there are
    #[arg(long, default_value_t = 100)]
    files: usize,
    /// The lengths of the files, in KiB
    #[arg(long, value_delimiter = ',', default_values_t = [4, 64, 1024])]
    kib: Vec<usize>,
    /// Only these servers
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Leaves TCP_NODELAY off, as axum does by itself
    #[arg(long)]
    delay: bool,
}

/// One turn of one server.
#[derive(Clone, Copy)]
struct Turn {
    rate: f64,
    p99_us: f64,
    cpu_us: f64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let program = std::env::current_exe()?;
    let dir = options.dir.clone().or(program.parent().map(Path::to_owned));
    let dir = tempfile::TempDir::with_prefix_in("tidegate-http-", dir.unwrap_or_default())?;
    let chosen: Vec<Server> = SERVERS
        .into_iter()
        .filter(|server| {
            options.servers.is_empty() || options.servers.contains(&server.to_string())
        })
        .collect();
    let mut rows = Vec::new();
    for &kib in &options.kib {
        let paths = files(dir.path(), kib << 10, options.files)?;
        let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); chosen.len()];
        let mut order: Vec<usize> = (0..chosen.len()).collect();
        for _ in 0..options.rounds {
            fastrand::shuffle(&mut order);
            for &index in &order {
                turns[index].push(turn(
                    chosen[index],
                    dir.path(),
                    &paths,
                    kib << 10,
                    &options,
                )?);
            }
        }
        for (server, own) in chosen.iter().zip(&turns) {
            rows.push(row(kib, *server, own, &turns[0]));
        }
    }
    let columns = [
        "file",
        "server",
        "requests/s",
        "p99 µs",
        "CPU µs",
        "× the first",
    ];
    print!("{}", table(&columns, &rows));
    Ok(())
}

/// Files of this length, by their paths in URLs.
fn files(dir: &Path, bytes: usize, count: usize) -> io::Result<Arc<[String]>> {
    let mut content = vec![0; bytes];
    let name = |number| format!("/{bytes}-{number}");
    for number in 0..count {
        fastrand::fill(&mut content);
        std::fs::write(dir.join(&name(number)[1..]), &content)?;
    }
    Ok((0..count).map(name).collect())
}

/// One server serves for a while, on a runtime as people have it. Its client is a thread.
fn turn(
    server: Server,
    dir: &Path,
    paths: &Arc<[String]>,
    bytes: usize,
    options: &Options,
) -> io::Result<Turn> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let address: SocketAddr = runtime.block_on(server.start(dir, !options.delay))?;
    let load = Load {
        address,
        paths: paths.clone(),
        bytes,
        connections: options.connections,
    };
    let time = Duration::from_secs_f64(options.seconds);
    load.run_on_a_thread(time / 4)?;
    let before = Usage::now();
    let Served { count, latencies } = load.run_on_a_thread(time)?;
    let used = Usage::now().since(before);
    runtime.shutdown_background();
    // What is left of it ends before the next has its turn.
    thread::sleep(Duration::from_millis(50));
    Ok(Turn {
        rate: count as f64 / time.as_secs_f64(),
        p99_us: latencies.value_at_quantile(0.99) as f64 / 1e3,
        cpu_us: used.cpu.as_secs_f64() * 1e6 / count.max(1) as f64,
    })
}

fn row(kib: usize, server: Server, turns: &[Turn], base: &[Turn]) -> Vec<String> {
    let of = |figure: fn(&Turn) -> f64| short(median(turns.iter().map(figure).collect()));
    let ratios = turns
        .iter()
        .zip(base)
        .map(|(own, base)| own.rate / base.rate);
    vec![
        format!("{kib} KiB"),
        server.to_string(),
        of(|turn| turn.rate),
        of(|turn| turn.p99_us),
        of(|turn| turn.cpu_us),
        format!("{:.2}", median(ratios.collect())),
    ]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
