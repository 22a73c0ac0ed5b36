//! Ways to do the same thing, in turns, without the machinery of [`compare`](crate::compare).

use std::io;
use std::time::Instant;

use tidegate_measure::usage::Usage;

/// One way, and what runs it once: it says how many units it did.
pub type Contender<'a> = (&'a str, Box<dyn FnMut() -> io::Result<u64> + 'a>);

/// What one contender did, in medians over the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Units per second.
    pub rate: f64,
    /// Processor time of the process, in nanoseconds per unit.
    pub cpu_ns: f64,
    /// Context switches of the process per unit.
    pub switches: f64,
}

/// Runs each contender once in each round, in another order each time and after `prepare`, which is not measured.
/// Prints a table: the rate, and the ratios of rate and processor time to the first contender's.
///
/// # Errors
///
/// The first that a contender or the preparation gives.
pub fn contest(
    title: &str,
    rounds: usize,
    prepare: &mut dyn FnMut() -> io::Result<()>,
    contenders: &mut [Contender<'_>],
) -> io::Result<Vec<Standing>> {
    let mut samples: Vec<Vec<Standing>> = contenders.iter().map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let mut random = fastrand::Rng::with_seed(title.len() as u64);
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for &index in &order {
            prepare()?;
            samples[index].push(turn(&mut contenders[index].1)?);
        }
    }
    let standings: Vec<Standing> = samples.iter().map(|samples| median(samples)).collect();
    println!("{title}");
    for ((name, _), standing) in contenders.iter().zip(&standings) {
        println!(
            "  {name:<34} {:>12.0}/s  {:>6.2}x  {:>9.0} ns CPU  {:>6.2}x  {:>7.3} switches",
            standing.rate,
            standing.rate / standings[0].rate,
            standing.cpu_ns,
            standing.cpu_ns / standings[0].cpu_ns,
            standing.switches,
        );
    }
    Ok(standings)
}

fn turn(run: &mut dyn FnMut() -> io::Result<u64>) -> io::Result<Standing> {
    let (began, before) = (Instant::now(), Usage::now());
    let units = run()?.max(1) as f64;
    let used = Usage::now().since(before);
    Ok(Standing {
        rate: units / began.elapsed().as_secs_f64(),
        cpu_ns: used.cpu.as_nanos() as f64 / units,
        switches: used.switches as f64 / units,
    })
}

/// Of each figure by itself.
fn median(samples: &[Standing]) -> Standing {
    let of = |figure: fn(&Standing) -> f64| {
        let mut figures: Vec<f64> = samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(0.0)
    };
    Standing {
        rate: of(|sample| sample.rate),
        cpu_ns: of(|sample| sample.cpu_ns),
        switches: of(|sample| sample.switches),
    }
}
