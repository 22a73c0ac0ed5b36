//! Engines in turns.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::data::Data;
use crate::engine::Engine;
use crate::job::Job;
use crate::stop::Stop;
use crate::summary::{Results, Rounds};
use crate::workload::Workload;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often each engine has its turn at each workload.
    pub rounds: usize,
    /// How long a turn is. Workloads that go through a file once take what they take.
    pub turn: Duration,
    /// Whether each engine has one turn more, in which its system calls are counted.
    pub calls: bool,
    /// Whether to end early.
    pub stop: Stop,
}

/// All rounds of one workload, by the engines that can do it. The order is another one in each round,
/// since every engine finds the machine as the one before has left it. `on_turn` is told who is next, and
/// in which round.
///
/// # Errors
///
/// Those of preparing the files, and `Interrupted` if there is the wish to stop. The error of an engine is
/// kept with its rounds.
pub fn measure(
    settings: &Settings,
    workload: Workload,
    engines: &[Engine],
    data: &Arc<Data>,
    on_turn: &mut dyn FnMut(Engine, usize),
) -> io::Result<Results> {
    let able = engines
        .iter()
        .filter(|engine| engine.why_not(&workload).is_none());
    let mut engines: Vec<Rounds> = able
        .map(|&engine| Rounds {
            engine,
            samples: Vec::with_capacity(settings.rounds),
            calls: None,
            failed: None,
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(workload.tasks as u64);
    let mut order: Vec<usize> = (0..engines.len()).collect();
    let timed_rounds = settings.rounds;
    for round in 0..timed_rounds + usize::from(settings.calls) {
        let is_counted = round == timed_rounds;
        random.shuffle(&mut order);
        for &index in &order {
            let rounds = &mut engines[index];
            on_turn(rounds.engine, round);
            if rounds.failed.is_some() {
                continue;
            }
            let job = Job::new(workload, data, settings.turn, &settings.stop, is_counted)?;
            let sample = rounds.engine.run(&job);
            settings.stop.check()?;
            match sample {
                Ok(sample) if is_counted => rounds.calls = sample.calls,
                Ok(sample) => rounds.samples.push(sample),
                Err(error) => rounds.failed = Some(error.to_string()),
            }
            if workload.writes() {
                data.settle_writes()?;
            }
        }
    }
    Ok(Results { workload, engines })
}
