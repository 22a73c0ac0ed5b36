//! What was acknowledged is there after a loss of power at any moment: all writes up to the last flush, and any of the
//! later ones, on a real filesystem. What leaves out a sync does not pass.
//!
//! `TIDEGATE_TEST_ROUNDS` says how often the power is cut, and `TIDEGATE_TEST_SEED` when.

#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
#[path = "power_cut/promises.rs"]
mod promises;
#[cfg(target_os = "linux")]
#[path = "power_cut/work.rs"]
mod work;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    tidegate_rig::init();
    let mut args = libtest_mimic::Arguments::from_args();
    // One at a time: a disk takes memory.
    args.test_threads = Some(1);
    libtest_mimic::run(&args, cuts::trials()).exit_code()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skip: power_cut: it takes FUSE and loop devices");
}

#[cfg(target_os = "linux")]
mod cuts {
    use std::collections::BTreeMap;
    use std::io;

    use libtest_mimic::{Completion, Failed, Trial};
    use tidegate_rig::{FsKind, HeldDisk, Requirements, Story};

    use crate::common;
    use crate::promises::{Promise, Promises, check};
    use crate::work::{Mode, work};

    /// A control that passes so many cuts shows nothing.
    const CONTROL_CUTS: u64 = 40;

    pub(crate) fn trials() -> Vec<Trial> {
        let mut trials = Vec::new();
        for kind in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
            for mode in Mode::ALL {
                // That ext4 alone shows what no other does not.
                if mode.is_control() && !matches!(kind, FsKind::Ext4) && !is_long() {
                    continue;
                }
                let name = format!("{}::{}", kind.name(), mode.name());
                trials.push(trial(name, kind, mode));
            }
        }
        trials
    }

    fn is_long() -> bool {
        std::env::var_os("TIDEGATE_TEST_ROUNDS").is_some()
    }

    fn trial(name: String, kind: FsKind, mode: Mode) -> Trial {
        let shown = name.clone();
        Trial::ignorable_test(name, move || {
            let missing = Requirements::disk(kind).missing();
            if missing.is_empty() {
                return run(&shown, kind, mode).map(|()| Completion::Completed);
            }
            let reason = missing.join(", ");
            println!("skip: {shown}: {reason}");
            Ok(Completion::ignored_with(reason))
        })
    }

    fn disk(kind: FsKind) -> io::Result<HeldDisk> {
        let size_bytes = kind.size_bytes_min().max(128 << 20);
        let mut options = HeldDisk::options(kind, size_bytes).with_story();
        if matches!(kind, FsKind::Ext4) {
            // Otherwise it syncs on its own what is renamed over something.
            options = options.with_mount_options("noauto_da_alloc");
        }
        options.create()
    }

    fn run(name: &str, kind: FsKind, mode: Mode) -> Result<(), Failed> {
        let disk = disk(kind)?;
        let promises = Promises::new(&disk);
        work(
            mode,
            disk.path(),
            &promises,
            if is_long() { 320 } else { 96 },
        )?;
        let promises = promises.into_all();
        let story = disk.into_story()?;
        let first = promises.first().map_or(0, |promise| promise.moment);
        let first = story.steps_at(first);
        let (mut verdicts, mut cuts) = (BTreeMap::<String, u64>::new(), 0);
        let rounds = if mode.is_control() && !is_long() {
            CONTROL_CUTS
        } else {
            5
        };
        for seed in common::seeds(rounds) {
            let verdict = cut(&story, seed, first, &promises)?;
            cuts += 1;
            if let Err(verdict) = verdict {
                let word = verdict.split(' ').next().unwrap_or_default().to_owned();
                *verdicts.entry(word).or_default() += 1;
                if !mode.is_control() {
                    return Err(format!("{name}, seed {seed}: {verdict}").into());
                }
                if !is_long() {
                    break;
                }
            }
        }
        let (steps, count) = (story.steps(), promises.len());
        println!("{name}: {cuts} cuts in {steps} steps, {count} promises, violated: {verdicts:?}");
        match mode.is_control() && verdicts.is_empty() {
            true => Err(format!("{name}: nothing is seen in {cuts} cuts").into()),
            false => Ok(()),
        }
    }

    /// Cuts the power once; what does not hold any more.
    fn cut(
        story: &Story,
        seed: u64,
        first: usize,
        promises: &[Promise],
    ) -> Result<Result<(), String>, Failed> {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |end: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % end
        };
        let steps = first + below((story.steps() - first + 1) as u64) as usize;
        let disk = match story.cut(steps, || below(2) == 0) {
            Ok(disk) => disk,
            Err(error) => return Ok(Err(format!("unmountable {error}"))),
        };
        let made = promises.iter();
        let made = made.filter(|promise| story.steps_at(promise.moment) <= steps);
        Ok(check(disk.path(), made))
    }
}
