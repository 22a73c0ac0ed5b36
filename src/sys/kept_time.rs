//! Times as filesystems keep them: many round down.

/// Steps that times are kept in, in nanoseconds: of NTFS and SMB, of UDF, of exFAT, of old ext and HFS+, and of FAT.
const STEPS: [i128; 6] = [
    100,
    1_000,
    1_000_000,
    10_000_000,
    1_000_000_000,
    2_000_000_000,
];

/// Seconds and nanoseconds, as `stat` has them.
pub(crate) type Time = (i64, i64);

fn nanoseconds((seconds, nanoseconds): Time) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// Whether a filesystem that was given the one time may have kept the other.
pub(crate) fn is_kept(given: Time, kept: Time) -> bool {
    let (given, kept) = (nanoseconds(given), nanoseconds(kept));
    given == kept
        || STEPS
            .iter()
            .any(|step| given.div_euclid(*step) * step == kept)
}

/// Whether a copy with that time is as new as its source, or newer.
pub(crate) fn is_as_new(source: Time, copy: Time) -> bool {
    nanoseconds(copy) >= nanoseconds(source) || is_kept(source, copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down_and_not_otherwise() {
        let given = (1_234_567_891, 123_456_789);
        for kept in [
            given,
            (1_234_567_891, 123_456_700),
            (1_234_567_891, 123_456_000),
            (1_234_567_891, 120_000_000),
            (1_234_567_891, 0),
            (1_234_567_890, 0),
        ] {
            assert!(is_kept(given, kept) && is_as_new(given, kept), "{kept:?}");
        }
        for other in [
            (1_234_567_891, 123_456_788),
            (1_234_567_892, 0),
            (1_234_567_889, 0),
            (1_234_567_890, 5),
        ] {
            assert!(!is_kept(given, other), "{other:?}");
        }
        assert!(is_kept((-3, 500), (-4, 0)) && is_as_new(given, (1_234_567_892, 0)));
    }
}
