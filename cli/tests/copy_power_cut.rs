//! What a copy with `--durability full` has reported is whole after a loss of power at any moment, no file is there in part
//! under its name, and `--resume` ends with the same tree.
//!
//! `TIDEGATE_TEST_ROUNDS` says how often the power is cut, and `TIDEGATE_TEST_SEED` when.

#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
#[path = "../../tests/common/trees.rs"]
mod trees;

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
    println!("skip: copy_power_cut: it takes FUSE and loop devices");
}

#[cfg(target_os = "linux")]
mod cuts {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    use libtest_mimic::{Completion, Failed, Trial};
    use tidegate_rig::{FsKind, HeldDisk, Requirements, Story};

    use crate::common::{self, BACKENDS, assert_exit};
    use crate::trees::{self, Entry, Random, look};

    /// Cuts of each filesystem, unless the environment says otherwise.
    const CUTS: u64 = 5;

    /// Copies that are made on a disk before it is cut.
    const COPIES: usize = 5;

    pub(crate) fn trials() -> Vec<Trial> {
        let one = |kind: FsKind| {
            let name = format!("{}::what_was_reported_is_whole", kind.name());
            let shown = name.clone();
            Trial::ignorable_test(name, move || {
                let missing = Requirements::disk(kind).missing();
                if missing.is_empty() {
                    return run(kind).map(|()| Completion::Completed);
                }
                let reason = missing.join(", ");
                println!("skip: {shown}: {reason}");
                Ok(Completion::ignored_with(reason))
            })
        };
        FsKind::ALL.into_iter().map(one).collect()
    }

    /// A copy that was asked for: of what, to which name on the disk, and from when on it was reported.
    struct Asked {
        source: PathBuf,
        name: String,
        looked: BTreeMap<PathBuf, Entry>,
        reported: u64,
    }

    fn run(kind: FsKind) -> Result<(), Failed> {
        let seeds = trees::seeds(CUTS);
        let mut random = Random::new(seeds.start);
        let dir = tempfile::tempdir()?;
        let size_bytes = kind.size_bytes_min().max(128 << 20);
        let mut options = HeldDisk::options(kind, size_bytes).with_story();
        if matches!(kind, FsKind::Ext4) {
            // Otherwise it syncs on its own what is renamed over something.
            options = options.with_mount_options("noauto_da_alloc");
        }
        let disk = options.create()?;
        let begun = disk.moment()?;
        let mut asked = Vec::new();
        for number in 0..COPIES {
            let source = dir.path().join(number.to_string());
            trees::make(&source, 25, &mut random);
            leave_out_special(&source);
            fs::write(source.join("large"), random.bytes(3 << 20))?;
            asked.push(copied(&disk, number, source, format!("copy-{number}"))?);
        }
        // And one over the first.
        let newer = dir.path().join("newer");
        assert_exit(&common::copy("auto", &asked[0].source, &newer, &["-q"]), 0);
        for (path, _) in look(&newer).iter().filter(|(_, entry)| entry.is_file()) {
            fs::write(newer.join(path), random.bytes(30_000))?;
        }
        let name = asked[0].name.clone();
        asked.push(copied(&disk, COPIES, newer, name)?);
        let story = disk.into_story()?;
        let (mut whole, mut left, mut reused) = (0, 0, 0);
        for seed in seeds {
            let (a, b, c) = cut(&story, seed, begun, &asked)
                .map_err(|error| format!("{}, seed {seed}: {error}", kind.name()))?;
            (whole, left, reused) = (whole + a, left + b, reused + c);
        }
        let steps = story.steps();
        println!(
            "{}: cuts in {steps} steps: {whole} reported copies were whole, {left} temporary files were left, {reused} bytes of them used again",
            kind.name()
        );
        Ok(())
    }

    fn copied(
        disk: &HeldDisk,
        number: usize,
        source: PathBuf,
        name: String,
    ) -> Result<Asked, Failed> {
        let to = disk.path().join(&name);
        let more = ["--durability", "full", "-q"];
        assert_exit(&common::copy(BACKENDS[number % 2], &source, &to, &more), 0);
        Ok(Asked {
            looked: look(&source),
            source,
            name,
            reported: disk.moment()?,
        })
    }

    /// Those would be named, and the copies are to be whole.
    fn leave_out_special(root: &Path) {
        for (path, entry) in look(root) {
            if !entry.can_be_copied() {
                fs::remove_file(root.join(path)).unwrap();
            }
        }
    }

    /// Cuts the power once, looks, and goes on with what was not reported. How many copies were whole, how many temporary
    /// files left, and how many bytes of those were used.
    fn cut(
        story: &Story,
        seed: u64,
        begun: u64,
        asked: &[Asked],
    ) -> Result<(u64, u64, u64), String> {
        let mut random = Random::new(seed);
        let first = story.steps_at(begun);
        let steps = first + random.below((story.steps() - first + 1) as u64) as usize;
        let disk = story
            .cut(steps, || random.one_in(2))
            .map_err(|error| format!("unmountable: {error}"))?;
        let (mut whole, mut left, mut reused) = (0, 0, 0);
        for name in asked[..COPIES].iter().map(|asked| &asked.name) {
            let to = disk.path().join(name);
            let all: Vec<_> = asked.iter().filter(|asked| &asked.name == name).collect();
            let is_reported = |asked: &&&Asked| story.steps_at(asked.reported) <= steps;
            let reported = all.iter().filter(is_reported).count();
            let copies = look(&to);
            left += copies.keys().filter(|path| is_temporary(path)).count() as u64;
            nothing_in_part(&copies, &all)?;
            if reported > 0 {
                // The names of the first are those of the one that comes over it.
                let exactly = reported == all.len();
                differs(&all[reported - 1].looked, &copies, exactly)
                    .map_or(Ok(()), |what| Err(format!("{name} was reported: {what}")))?;
                whole += u64::from(exactly);
            }
            let last = all[all.len() - 1];
            let output = common::copy("auto", &last.source, &to, &["--resume", "--json"]);
            if output.status.code() != Some(0) {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{name} is not resumed: {said}"));
            }
            reused += common::json(&output)["reused_bytes"].as_u64().unwrap_or(0);
            let copies = look(&to);
            differs(&last.looked, &copies, true)
                .map_or(Ok(()), |what| Err(format!("{name} was resumed: {what}")))?;
            if copies.len() != last.looked.len() {
                return Err(format!("{name} was resumed, and something is left in it"));
            }
        }
        Ok((whole, left, reused))
    }

    fn is_temporary(path: &Path) -> bool {
        path.to_string_lossy().contains(".tidegate-")
    }

    fn nothing_in_part(copies: &BTreeMap<PathBuf, Entry>, asked: &[&Asked]) -> Result<(), String> {
        let files = copies
            .iter()
            .filter(|(path, copy)| copy.is_file() && !is_temporary(path));
        for (path, copy) in files {
            let is_whole = |asked: &&Asked| {
                let source = asked.looked.get(path);
                source.is_some_and(|source| source.content == copy.content)
            };
            if !asked.iter().any(is_whole) {
                return Err(format!("{path:?} is there in part"));
            }
        }
        Ok(())
    }

    /// The first that is missing, or differs if it has to be the same.
    fn differs(
        looked: &BTreeMap<PathBuf, Entry>,
        copies: &BTreeMap<PathBuf, Entry>,
        exactly: bool,
    ) -> Option<String> {
        looked
            .iter()
            .find_map(|(path, source)| match copies.get(path) {
                None => Some(format!("{path:?} is missing")),
                Some(copy) if exactly => {
                    source.differs(copy).map(|what| format!("{path:?}: {what}"))
                }
                Some(_) => None,
            })
    }
}
