//! From rounds to one figure.

use crate::engine::Engine;
use crate::sample::Sample;
use crate::workload::Workload;

/// The middle value, or the mean of the two middle ones. `None` if there are no values that compare.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// What one engine did in all rounds of a workload: entry `n` is its sample of round `n`.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// Who.
    pub engine: Engine,
    /// One per round.
    pub samples: Vec<Sample>,
    /// System calls per operation or MiB, from a turn of its own after the rounds.
    pub calls: Option<f64>,
    /// Why it gave up, if it did.
    pub failed: Option<String>,
}

impl Rounds {
    /// The median of one figure.
    pub fn median(&self, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples.iter().map(figure))
    }

    /// How many times the other's figure this one is: the median of the ratios within each round, so
    /// that a slow moment of the machine hits both sides.
    pub fn ratio(&self, other: &Rounds, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let pairs = self.samples.iter().zip(&other.samples);
        median(pairs.map(|(ours, theirs)| figure(ours) / figure(theirs)))
    }
}

/// All engines at one workload.
#[derive(Clone, Debug)]
pub struct Results {
    /// What was done.
    pub workload: Workload,
    /// By whom.
    pub engines: Vec<Rounds>,
}

impl Results {
    /// The rounds of one engine, if it took part.
    pub fn of(&self, engine: Engine) -> Option<&Rounds> {
        self.engines.iter().find(|rounds| rounds.engine == engine)
    }

    /// The ratio of the rates of two engines, if both took part.
    pub fn rate_ratio(&self, ours: &Rounds, other: Engine) -> Option<f64> {
        ours.ratio(self.of(other)?, |sample| sample.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::{Rounds, median};
    use crate::engine::Engine;
    use crate::sample::Sample;

    fn rounds(rates: &[f64]) -> Rounds {
        let samples = rates.iter().map(|&rate| Sample {
            rate,
            ..Sample::default()
        });
        Rounds {
            engine: Engine::Inline,
            samples: samples.collect(),
            calls: None,
            failed: None,
        }
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_two() {
        assert_eq!(median([]), None);
        assert_eq!(median([f64::NAN]), None);
        assert_eq!(median([3.0, 1.0, 100.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, f64::INFINITY]), Some(3.0));
    }

    #[test]
    fn a_ratio_compares_within_rounds() {
        let (fast, slow) = (rounds(&[20.0, 2.0, 40.0]), rounds(&[10.0, 1.0, 10.0]));
        assert_eq!(fast.ratio(&slow, |sample| sample.rate), Some(2.0));
    }

    #[test]
    fn rounds_that_are_missing_are_left_out() {
        let (some, all) = (rounds(&[20.0]), rounds(&[10.0, 1.0]));
        assert_eq!(some.ratio(&all, |sample| sample.rate), Some(2.0));
        assert_eq!(rounds(&[]).ratio(&all, |sample| sample.rate), None);
    }
}
