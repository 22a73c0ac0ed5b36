//! Random files that are replaced, in pieces, in batches, given up or failing, and random records, against models of them:
//! what is acknowledged is there, what failed is not, and what nobody waited for is whole or not there.
//!
//! `TIDEGATE_TEST_SEED` plays one seed again, and `TIDEGATE_TEST_ROUNDS` says how many are played.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate::fs::{AppendWriter, AtomicFile, AtomicOptions, CommitBatch, FileState, write_atomic};
use tidegate::opcode::Kind;
use tidegate::testing::{FaultGuard, Faults};
use tidegate::{Handle, OpExt};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::append::{Random, all_options};
use crate::atomic::names;
use crate::common;

const ERRORS: [i32; 4] = [4, 5, 28, 122];
const FOLDERS: u64 = 2;
const NAMES: u64 = 6;

/// How a file gets its content.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    Pieces,
    Batch,
}

/// What its maker knows of it.
#[derive(Debug)]
enum End {
    Done,
    Failed(io::Error),
    /// Nobody waited, or not long enough.
    Unknown,
}

struct Job {
    path: PathBuf,
    content: Vec<u8>,
    way: Way,
    options: AtomicOptions,
    pieces: usize,
    /// After how long nobody waits any more, and whether that is a limit or a drop.
    patience: Option<(Duration, bool)>,
}

async fn make(job: &Job, batch: &CommitBatch) -> io::Result<()> {
    if let Way::Whole = job.way {
        return write_atomic(&job.path, job.content.clone(), job.options.clone()).await;
    }
    let mut file: AtomicFile = match job.way {
        Way::Batch => batch.begin(&job.path).await?,
        _ => job.options.begin(&job.path),
    };
    let length = job.content.len().div_ceil(job.pieces).max(1);
    for (number, piece) in job.content.chunks(length).enumerate() {
        match number % 2 {
            0 => file.write(piece.to_vec()).await?,
            _ => file.write_all(piece).await?,
        }
    }
    match job.way {
        Way::Batch => batch.commit(file).await?.await,
        _ => file.commit().await,
    }
}

async fn ended(job: &Job, batch: &CommitBatch) -> End {
    let made = make(job, batch);
    let made = match job.patience {
        None => made.await,
        Some((time, true)) => made.timeout(time).await,
        Some((time, false)) => match tokio::time::timeout(time, made).await {
            Ok(made) => made,
            Err(_) => return End::Unknown,
        },
    };
    match made {
        Ok(()) => End::Done,
        // A piece tells of a limit that ended the one before it.
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            assert!(tidegate::Error::from_io(&error).is_some(), "{error:?}");
            End::Unknown
        }
        Err(error) => End::Failed(error),
    }
}

/// What goes wrong with some of a round's files.
fn trouble(faults: &Faults, random: &mut Random) -> Vec<FaultGuard> {
    let kinds = [Kind::CommitFile, Kind::Write, Kind::CommitFile];
    let count = random.below(4) as usize;
    let mut rule = |kind| {
        let rule = faults
            .on(kind)
            .after(random.below(4))
            .times(1 + random.below(3));
        match random.below(3) {
            0 => rule.fail(ERRORS[random.below(4) as usize]),
            1 => rule.delay(Duration::from_millis(random.below(4))),
            _ => rule.short(1 + random.below(5000) as usize),
        }
    };
    kinds[..count].iter().map(|kind| rule(*kind)).collect()
}

struct Play {
    root: PathBuf,
    /// What is at which path.
    model: BTreeMap<PathBuf, Vec<u8>>,
    random: Random,
    /// No more than so much fits.
    bytes_max: u64,
    what: String,
}

impl Play {
    fn job(&mut self, name: u64, round: u64) -> Job {
        let random = &mut self.random;
        let folder = random.below(FOLDERS);
        let length = match random.below(5) {
            0 => 0,
            1 => random.below(600_000).min(self.bytes_max),
            _ => random.below(20_000),
        };
        let word = format!("{round:05}:{name};");
        let content = word
            .into_bytes()
            .into_iter()
            .cycle()
            .take(length as usize)
            .collect();
        let patience = (random.below(4) == 0).then(|| {
            let time = Duration::from_micros(random.below(3000));
            (time, random.below(2) == 0)
        });
        Job {
            path: self.root.join(format!("{folder}/n{name}")),
            content,
            way: [Way::Whole, Way::Pieces, Way::Batch][random.below(3) as usize],
            options: AtomicOptions::new()
                .sync(random.below(3) > 0)
                .create_new(random.below(5) == 0),
            pieces: 1 + random.below(4) as usize,
            patience,
        }
    }

    /// What was there before, what was to come, and what its maker was told: all of it is true.
    fn judge(&mut self, job: Job, end: &End, may_fail: bool) {
        let before = self.model.get(&job.path).cloned();
        let found = match std::fs::read(&job.path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("{}: {error}", self.what),
        };
        let what = format!("{}: {:?} {:?}: {end:?}", self.what, job.path, job.way);
        let is_new = found.as_ref() == Some(&job.content);
        let is_old = found == before;
        match end {
            End::Done => assert!(is_new, "{what}"),
            End::Failed(error) => {
                let exists = error.kind() == ErrorKind::AlreadyExists && before.is_some();
                assert!(exists || may_fail, "{what}");
                // The sync of its directory comes after its name.
                assert!(is_old || is_new, "{what}");
            }
            End::Unknown => assert!(is_old || is_new, "{what}"),
        }
        match found {
            Some(found) => self.model.insert(job.path, found),
            None => self.model.remove(&job.path),
        };
    }

    async fn round(&mut self, round: u64, faults: Option<&Faults>, is_full: bool) {
        self.what = format!("{}, round {round}", self.what);
        let options = AtomicOptions::new().sync(self.random.below(2) == 0);
        let batch = Arc::new(CommitBatch::with_in_flight(options, 3));
        let trouble = faults.map_or(Vec::new(), |faults| trouble(faults, &mut self.random));
        let mut tasks = JoinSet::new();
        for name in 0..1 + self.random.below(NAMES) {
            let (job, batch) = (self.job(name, round), batch.clone());
            tasks.spawn(async move {
                let end = ended(&job, &batch).await;
                (job, end)
            });
        }
        let ends = tasks.join_all().await;
        common::until_idle().await;
        let may_fail = is_full || trouble.iter().any(|rule| rule.hits() > 0);
        drop(trouble);
        for (job, end) in ends {
            self.judge(job, &end, may_fail);
        }
        for folder in 0..FOLDERS {
            let folder = self.root.join(folder.to_string());
            let wanted = self.model.keys().filter(|path| path.starts_with(&folder));
            let wanted: Vec<_> = wanted
                .filter_map(|path| path.file_name()?.to_str())
                .collect();
            let litter = format!("{}: what is left", self.what);
            assert_eq!(names(&folder), wanted, "{litter}");
        }
    }
}

async fn play(root: &Path, seed: u64, faults: Option<&Faults>, bytes_max: u64) {
    (0..FOLDERS).for_each(|folder| std::fs::create_dir(root.join(folder.to_string())).unwrap());
    let mut play = Play {
        root: root.to_path_buf(),
        model: BTreeMap::new(),
        random: Random::from(seed),
        bytes_max,
        what: String::new(),
    };
    for round in 0..12 {
        play.what = format!("seed {seed}");
        play.round(round, faults, bytes_max < u64::MAX).await;
    }
}

/// On each way of doing things, with faults to be made.
fn on_each_with_faults(run: impl AsyncFn(&Path, u64, &Faults)) {
    let seeds = common::seeds(3);
    for route in common::routes() {
        common::runtime(true).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            for &seed in &seeds {
                let dir = tempfile::tempdir().unwrap();
                run(dir.path(), seed, &faults).await;
            }
        });
    }
}

/// With steps that fail, come late or short by rule, each file by itself.
#[test]
fn random_files_are_what_was_said_of_them() {
    on_each_with_faults(async |dir: &Path, seed, faults: &Faults| {
        play(dir, seed, Some(faults), u64::MAX).await;
    });
}

/// Many in one go, some of which are given up.
#[test]
fn random_groups_are_what_was_said_of_them() {
    let seeds = common::seeds(3);
    common::on_each_route(|_| async {
        for &seed in &seeds {
            let dir = tempfile::tempdir().unwrap();
            play(dir.path(), seed, None, u64::MAX).await;
        }
    });
}

/// Where there is no room for all, the system ends writes in the middle, and says so late.
#[cfg(target_os = "linux")]
#[test]
fn random_files_on_a_full_disk_are_what_was_said_of_them() {
    use nix::mount::{MsFlags, mount};
    let seeds = common::seeds(3);
    let test = "model::random_files_on_a_full_disk_are_what_was_said_of_them";
    common::child::in_child_with_own_mounts(test, || {
        common::on_each_route(|_| async {
            for &seed in &seeds {
                let dir = tempfile::tempdir().unwrap();
                let (kind, flags) = (Some("tmpfs"), MsFlags::empty());
                mount(Some("full"), dir.path(), kind, flags, Some("size=600k")).unwrap();
                play(dir.path(), seed, None, 500_000).await;
                random_records(&dir.path().join("log"), seed, None).await;
                let detach = nix::mount::MntFlags::MNT_DETACH;
                nix::mount::umount2(dir.path(), detach).unwrap();
            }
        });
    });
}

/// Records of many tasks, until some fail; what was acknowledged is there, once, in order, and nothing else.
async fn random_records(path: &Path, seed: u64, faults: Option<&Faults>) {
    let mut random = Random::from(seed);
    let options = all_options();
    let options = &options[random.below(options.len() as u64) as usize];
    let log = Arc::new(options.open(path).await.unwrap());
    let mut model = BTreeMap::new();
    for round in 0..30_u64 {
        let what = format!("seed {seed}, round {round}");
        let trouble = faults.map(|faults| {
            let (after, times) = (random.below(3), 1 + random.below(2));
            let rule = || faults.on(Kind::Append).path_is(path);
            let short = rule().times(3).short(300 + random.below(5000) as usize);
            let rule = rule().after(after).times(times);
            let other = match random.below(3) {
                0 => rule.fail(ERRORS[1 + random.below(3) as usize]),
                _ => rule.delay(Duration::from_millis(random.below(3))),
            };
            (short, other)
        });
        let mut tasks = JoinSet::new();
        for task in 0..random.below(10) {
            let (log, sync) = (log.clone(), random.below(2) == 0);
            let length = [9, 100, 5000, 60_000][random.below(4) as usize];
            let word = format!("{round:04}:{task:02};").into_bytes();
            let record: Vec<u8> = word.into_iter().cycle().take(length).collect();
            tasks.spawn(async move {
                let appended = match sync {
                    true => log.append_sync(record.clone()).await,
                    false => log.append(record.clone()).await,
                };
                appended.map(|offset| (offset, record))
            });
        }
        for appended in tasks.join_all().await {
            match appended {
                Ok((offset, record)) => assert!(model.insert(offset, record).is_none(), "{what}"),
                Err(error) => assert!(tidegate::raw_os_error(&error).is_some(), "{what}: {error}"),
            }
        }
        drop(trouble);
        let records: Vec<u8> = model.values().flatten().copied().collect();
        let found = std::fs::read(path).unwrap();
        match log.state() {
            FileState::Poisoned => {
                let known = found.get(..records.len());
                assert!(known == Some(&records[..]), "{what}: a record is gone");
                assert!(log.append("never").await.is_err(), "{what}");
                log.acknowledge().unwrap();
            }
            _ => {
                // What is reserved behind them may be there, too.
                assert!(found.starts_with(&records), "{what}: a record is gone");
                assert_eq!(log.end(), records.len() as u64, "{what}");
            }
        }
    }
    let end = log.end();
    close(log).await;
    let records: Vec<u8> = model.values().flatten().copied().collect();
    assert_eq!(end, records.len() as u64, "seed {seed}");
    assert!(std::fs::read(path).unwrap() == records, "seed {seed}");
}

async fn close(log: Arc<AppendWriter>) {
    // A poisoned one says so.
    let _ = Arc::into_inner(log).unwrap().close().await;
}

#[test]
fn random_records_are_there_once_and_in_order() {
    on_each_with_faults(async |dir: &Path, seed, faults: &Faults| {
        random_records(&dir.join("log"), seed, Some(faults)).await;
    });
}
