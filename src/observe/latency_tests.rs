//! The histogram against a sorted list.

use std::time::Duration;

use super::{BUCKETS, Histogram, LONGEST_LOG2, PARTS, SHORTEST_LOG2, bucket, longest};

/// A small generator: numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Of any magnitude alike.
    fn nanos(&mut self) -> u64 {
        self.next() >> (20 + self.next() % 44)
    }
}

/// Another seed each time, printed, or the one from the environment.
fn seed() -> u64 {
    let given = std::env::var("TIDEGATE_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        now.map_or(1, |now| now.as_nanos() as u64 | 1)
    });
    eprintln!("TIDEGATE_SEED={seed}");
    seed
}

/// Each bucket ends where the next one begins, and is as narrow as the documentation says.
#[test]
fn buckets_follow_each_other_and_are_narrow() {
    for index in 0..BUCKETS - 1 {
        let end = longest(index);
        assert_eq!((bucket(end), bucket(end + 1)), (index, index + 1));
        if index > 0 {
            let start = longest(index - 1) + 1;
            assert!((end - start) * PARTS as u64 <= start, "bucket {index}");
        }
    }
    assert_eq!(bucket(0), 0);
    assert_eq!(bucket(1 << SHORTEST_LOG2), 1);
    assert_eq!(bucket(1 << LONGEST_LOG2), BUCKETS - 1);
    assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    assert!(Duration::from_nanos(1 << LONGEST_LOG2) > Duration::from_secs(3600));
    assert!(size_of::<Histogram>() < 4400);
}

/// Quantiles of random times lie between the exact ones and these plus a sixteenth.
#[test]
fn quantiles_are_those_of_a_sorted_list() {
    let mut random = Random(seed());
    for _ in 0..200 {
        let histogram = Histogram::default();
        let count = 1 + random.next() % 300;
        let mut exact: Vec<u64> = (0..count).map(|_| random.nanos()).collect();
        for &nanos in &exact {
            histogram.record(Duration::from_nanos(nanos));
        }
        exact.sort_unstable();
        let latency = histogram.snapshot();
        assert_eq!(latency.count(), count);
        assert_eq!(
            latency.max().unwrap(),
            Duration::from_nanos(*exact.last().unwrap())
        );
        for share in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((share * count as f64).ceil() as usize).max(1);
            let truth = exact[rank - 1];
            let told = latency.quantile(share).unwrap().as_nanos() as u64;
            let most = match truth {
                0..512 => 511,
                _ if truth >= 1 << LONGEST_LOG2 => *exact.last().unwrap(),
                _ => truth + truth / PARTS as u64,
            };
            assert!(
                (truth..=most).contains(&told),
                "{share}: {told} for {truth}"
            );
        }
    }
}

/// The difference of two snapshots has what was recorded between them.
#[test]
fn a_difference_has_what_came_between() {
    let mut random = Random(seed());
    let (all, later) = (Histogram::default(), Histogram::default());
    for _ in 0..500 {
        all.record(Duration::from_nanos(random.nanos()));
    }
    let before = all.snapshot();
    let mut most = 0;
    for _ in 0..500 {
        let nanos = random.nanos() >> 5;
        most = nanos.max(most);
        all.record(Duration::from_nanos(nanos));
        later.record(Duration::from_nanos(nanos));
    }
    let difference = all.snapshot().since(&before);
    assert_eq!(difference.count(), 500);
    assert_eq!(difference.buckets, later.snapshot().buckets);
    let told = difference.max().unwrap().as_nanos() as u64;
    assert!((most..=most + most / 16).contains(&told));
    assert_eq!(all.snapshot().since(&all.snapshot()).max(), None);
}

/// Nothing is told of nothing, and of no share that there is not.
#[test]
fn no_time_is_told_without_operations() {
    let histogram = Histogram::default();
    assert_eq!(histogram.snapshot().quantile(0.5), None);
    assert_eq!(histogram.snapshot().max(), None);
    histogram.record(Duration::MAX);
    let latency = histogram.snapshot();
    for share in [-0.1, 1.1, f64::NAN] {
        assert_eq!(latency.quantile(share), None);
    }
    assert_eq!(latency.quantile(0.5), Some(Duration::from_nanos(u64::MAX)));
}
