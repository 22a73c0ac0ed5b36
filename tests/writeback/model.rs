//! Random operations on a file that is open twice, some of which fail, come late or come short, against a model of it: no
//! byte is lost, and nothing is said to have been done that was not.
//!
//! `TIDEGATE_TEST_SEED` plays one seed again, and `TIDEGATE_TEST_ROUNDS` says how many are played.

use std::io::{self, ErrorKind, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate::fs::{File, FileState, Space, Writeback};
use tidegate::opcode::Kind;
use tidegate::testing::{FaultGuard, Faults};
use tidegate::{Error, Handle, Route, raw_os_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::common::seeds;
use super::{bytes, policy, routes, runtime, until_idle};

const EINTR: i32 = 4;
const ERRORS: [i32; 3] = [5, 28, EINTR];
const LEN_MAX: u64 = 12 << 20;
const WRITES: [Kind; 2] = [Kind::Write, Kind::WriteVectored];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

/// One of the two times that the file is open.
struct Opened {
    file: File,
    appends: bool,
    position: usize,
    /// The error that has to be told, and whether a write was told.
    poison: Option<(i32, bool)>,
}

struct Play {
    path: PathBuf,
    opened: Vec<Opened>,
    /// Which of them is used.
    at: usize,
    faults: Faults,
    content: Vec<u8>,
    random: Random,
    is_bounded: bool,
    what: String,
}

/// What happens to the next write: some of its steps are late or short, and the one after these may fail.
struct Trouble {
    fails: Option<i32>,
    _short: Option<FaultGuard>,
    failing: Option<FaultGuard>,
    _late: Option<FaultGuard>,
}

impl Trouble {
    /// The error that has come of it.
    fn failed(&self) -> Option<i32> {
        let hits = self.failing.as_ref().map_or(0, FaultGuard::hits);
        self.fails.filter(|number| hits > 0 && *number != EINTR)
    }
}

fn is_poisoned(error: &io::Error) -> bool {
    matches!(Error::from_io(error), Some(Error::Poisoned { .. }))
}

fn kind_of(number: i32) -> ErrorKind {
    io::Error::from_raw_os_error(number).kind()
}

async fn open(path: &Path, appends: bool, is_bounded: bool) -> Opened {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).append(appends);
    let file = options.open(path).await.unwrap();
    Opened {
        file: match is_bounded {
            true => file.with_writeback(policy()),
            false => file,
        },
        appends,
        position: 0,
        poison: None,
    }
}

impl Play {
    fn opened(&mut self) -> &mut Opened {
        &mut self.opened[self.at]
    }

    fn file(&self) -> &File {
        &self.opened[self.at].file
    }

    fn poison(&self) -> Option<i32> {
        self.opened[self.at].poison.map(|(number, _)| number)
    }

    fn fails(&mut self, kind: Kind, one_in: u64) -> Option<(i32, FaultGuard)> {
        if !self.random.one_in(one_in) {
            return None;
        }
        let number = ERRORS[self.random.below(3) as usize];
        Some((number, self.faults.on(kind).times(1).fail(number)))
    }

    fn trouble(&mut self) -> Trouble {
        let [one, other] = WRITES;
        let shorts = self.random.below(4);
        let fails = self.random.one_in(4);
        let fails = fails.then(|| ERRORS[self.random.below(3) as usize]);
        let failing = fails.map(|number| {
            let rule = self.faults.on(one).or(other);
            rule.times(1).fail(number)
        });
        // Of several rules the last decides until it is spent, so the error comes behind the short ones.
        let short = (shorts > 0).then(|| {
            let most = [1, 511, 4096, 70_000][self.random.below(4) as usize];
            let rule = self.faults.on(one).or(other);
            rule.times(shorts).short(most)
        });
        let late = self.random.one_in(6).then(|| {
            let rule = self.faults.on(one).or(other);
            rule.times(1).delay(Duration::from_millis(2))
        });
        Trouble {
            fails,
            _short: short,
            failing,
            _late: late,
        }
    }

    /// The error that the next write must tell, and tells once.
    fn told_to_a_write(&mut self) -> Option<i32> {
        let (number, told) = self.opened().poison.as_mut()?;
        (!std::mem::replace(told, true)).then_some(*number)
    }

    /// All that goes on for nobody is over, and so its error is known.
    async fn settle(&mut self, write_out: Option<(i32, FaultGuard)>) {
        until_idle().await;
        if let Some((number, guard)) = write_out {
            if guard.hits() > 0 && number != EINTR {
                self.opened().poison.get_or_insert((number, false));
            }
        }
        for opened in &self.opened {
            let is_poisoned = opened.file.state() == FileState::Poisoned;
            assert_eq!(is_poisoned, opened.poison.is_some(), "{}", self.what);
        }
    }

    fn part(&mut self) -> (usize, Vec<u8>) {
        let most = if self.is_bounded { 3 << 20 } else { 200_000 };
        let len = self.random.below(most) as usize;
        let at = self.random.below(LEN_MAX - most) as usize;
        let seed = self.random.below(1000) as usize;
        (at, bytes(seed, len.max(1)))
    }

    /// These bytes are there.
    fn wrote(&mut self, at: usize, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        let end = at + part.len();
        self.content.resize(self.content.len().max(end), 0);
        self.content[at..end].copy_from_slice(part);
    }

    /// Some of these bytes are there, in order; everything else is as it was. Returns how many.
    fn wrote_some(&mut self, at: usize, part: &[u8]) -> usize {
        let found = std::fs::read(&self.path).unwrap();
        let mut count = 0;
        while found.get(at + count) == part.get(count) && count < part.len() {
            count += 1;
        }
        self.wrote(at, &part[..count]);
        assert!(found == self.content, "{}: {count} bytes came", self.what);
        count
    }

    async fn write_at(&mut self) {
        let (mut at, part) = self.part();
        if self.opened().appends {
            at = self.content.len();
        }
        if at + part.len() > 2 * LEN_MAX as usize {
            return;
        }
        let write_out = self.fails(Kind::SyncRange, 3);
        let trouble = self.trouble();
        let told = self.told_to_a_write();
        let is_vectored = self.random.one_in(3);
        let written = match is_vectored {
            false => {
                let written = self.file().write_all_at(part.clone(), at as u64).await;
                written.map(drop).map_err(|error| error.error)
            }
            true => {
                let bufs: Vec<_> = part.chunks(part.len().div_ceil(3)).map(Vec::from).collect();
                let written = self.file().writev_all_at(bufs, at as u64).await;
                written.map(drop).map_err(|error| error.error)
            }
        };
        match (written, told, trouble.failed()) {
            (Err(error), Some(number), _) => {
                assert_eq!(error.kind(), kind_of(number), "{}", self.what);
                assert_eq!(self.wrote_some(at, &part[..0]), 0);
            }
            // What a step wrote was written out before the next one, which is told of it.
            (Err(error), None, _) if is_poisoned(&error) => {
                let number = write_out.as_ref().map(|(number, _)| *number);
                assert_eq!(Some(error.kind()), number.map(kind_of), "{}", self.what);
                self.opened().poison = number.map(|number| (number, true));
                self.wrote_some(at, &part);
            }
            (Err(error), None, Some(number)) => {
                assert_eq!(raw_os_error(&error), Some(number), "{}", self.what);
                self.wrote_some(at, &part);
            }
            (Ok(()), None, None) => self.wrote(at, &part),
            // A piece of it failed behind another one, and was written by the next step.
            (Ok(()), None, Some(_)) if self.is_bounded && !is_vectored => self.wrote(at, &part),
            (written, ..) => panic!("{}: {written:?}", self.what),
        }
        drop(trouble);
        self.settle(write_out).await;
    }

    async fn write(&mut self) {
        let (_, part) = self.part();
        let part = &part[..part.len().min(100_000)];
        let told = self.told_to_a_write();
        let trouble = self.trouble();
        let at = match self.opened().appends {
            true => self.content.len(),
            false => self.opened().position,
        };
        if at + part.len() > 2 * LEN_MAX as usize {
            return;
        }
        let mut written = self.opened().file.write_all(part).await;
        if written.is_ok() {
            written = self.opened().file.flush().await;
        }
        match (written, told, trouble.failed()) {
            (Err(error), Some(number), _) => {
                assert_eq!(error.kind(), kind_of(number), "{}", self.what);
                assert_eq!(self.wrote_some(at, &part[..0]), 0);
            }
            (Err(error), None, Some(number)) => {
                assert_eq!(error.kind(), kind_of(number), "{}", self.what);
                let count = self.wrote_some(at, part);
                assert!(count < part.len(), "{}", self.what);
                // It is told again, until somebody takes note.
                let Opened { file, .. } = self.opened();
                assert!(file.flush().await.is_err());
                let acknowledged = file.acknowledge().unwrap();
                file.flush().await.unwrap();
                let is_first = self.poison().is_none();
                assert!(!is_first || acknowledged.kind() == kind_of(number));
                self.opened().poison = None;
                self.seek().await;
            }
            (Ok(()), None, None) => {
                self.wrote(at, part);
                self.opened().position = at + part.len();
            }
            (written, ..) => panic!("{}: {written:?}", self.what),
        }
        drop(trouble);
        self.settle(None).await;
    }

    async fn sync(&mut self) {
        let (kind, data) = match self.random.below(2) {
            0 => (Kind::SyncAll, false),
            _ => (Kind::SyncData, true),
        };
        let fails = self.fails(kind, 3);
        let synced = match data {
            true => self.file().sync_data().await,
            false => self.file().sync_all().await,
        };
        match (synced, self.poison(), &fails) {
            (Err(error), Some(number), _) => {
                assert_eq!(error.kind(), kind_of(number), "{}", self.what);
            }
            (Err(error), None, Some((number, _))) if *number != EINTR => {
                assert_eq!(raw_os_error(&error), Some(*number), "{}", self.what);
                self.opened().poison = Some((*number, false));
            }
            (Err(error), None, Some((EINTR, _))) => {
                assert_eq!(error.kind(), ErrorKind::Interrupted, "{}", self.what);
            }
            (Ok(()), None, None | Some((EINTR, _))) => {}
            (synced, ..) => panic!("{}: {synced:?}", self.what),
        }
        drop(fails);
        self.settle(None).await;
    }

    async fn sync_range(&mut self) {
        let fails = self.fails(Kind::SyncRange, 2);
        let synced = self.file().sync_range(0, 0, Writeback::Complete).await;
        match (&synced, self.poison(), &fails) {
            (Err(_), Some(_), _) | (Ok(()), None, None) => {}
            (_, None, Some((EINTR, _))) => {}
            (Err(error), None, Some((number, _))) => {
                assert_eq!(raw_os_error(error), Some(*number), "{}", self.what);
                self.opened().poison = Some((*number, false));
            }
            _ => panic!("{}: {synced:?}", self.what),
        }
        drop(fails);
        self.settle(None).await;
    }

    async fn resize(&mut self) {
        let len = self.random.below(LEN_MAX);
        let what = self.random.below(3);
        let kind = if what == 0 {
            Kind::SetLen
        } else {
            Kind::Allocate
        };
        let fails = self.fails(kind, 4).filter(|(number, _)| *number != EINTR);
        let resized = match what {
            0 => self.file().set_len(len).await,
            1 => {
                let space = Space::ReserveExtend;
                self.file().allocate(0, len.max(1), space).await
            }
            _ => {
                let space = Space::PunchHole;
                self.file().allocate(len / 2, 100_000, space).await
            }
        };
        let hits = fails.as_ref().map_or(0, |(_, guard)| guard.hits());
        match (resized, fails) {
            (Err(error), Some((number, _))) if hits > 0 => {
                assert_eq!(raw_os_error(&error), Some(number), "{}", self.what);
            }
            (Err(error), _) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", self.what),
            (Ok(()), _) => {
                assert_eq!(hits, 0, "{}", self.what);
                let content = &mut self.content;
                match what {
                    0 => content.resize(len as usize, 0),
                    1 => content.resize(content.len().max(len.max(1) as usize), 0),
                    _ => {
                        let end = content.len().min(len as usize / 2 + 100_000);
                        let start = end.min(len as usize / 2);
                        content[start..end].fill(0);
                    }
                }
            }
        }
    }

    async fn seek(&mut self) {
        let at = SeekFrom::Start(self.random.below(LEN_MAX / 2));
        let opened = self.opened();
        opened.position = opened.file.seek(at).await.unwrap() as usize;
    }

    async fn seek_and_read(&mut self) {
        self.seek().await;
        let at = self.opened().position;
        let mut buf = vec![0; self.random.below(50_000) as usize];
        let left = self.content.len().saturating_sub(at);
        let len = buf.len().min(left);
        let short = self.faults.on(Kind::Read).times(2).short(300);
        self.opened()
            .file
            .read_exact(&mut buf[..len])
            .await
            .unwrap();
        drop(short);
        let expected = &self.content[self.content.len().min(at)..][..len];
        assert!(buf[..len] == *expected, "{}", self.what);
        self.opened().position += len;
    }

    /// Whatever is known to have failed is told by the close, if nobody was told before.
    async fn close(&mut self) {
        let (appends, is_bounded) = (self.opened().appends, self.is_bounded);
        let poison = self.poison();
        let next = open(&self.path, appends, is_bounded).await;
        if next.file.state() == FileState::Poisoned {
            // What failed in the background and was told to nobody yet is told to whoever opens the file.
            let told = next.file.acknowledge().map(|error| error.kind());
            let known = self.opened.iter().filter_map(|one| one.poison);
            let mut known = known.map(|(number, _)| Some(kind_of(number)));
            assert!(known.any(|kind| kind == told), "{}: {told:?}", self.what);
        }
        let Opened { file, .. } = std::mem::replace(self.opened(), next);
        let acknowledged = self.random.one_in(2).then(|| file.acknowledge()).flatten();
        let closed = file.close().await;
        if poison.is_none() || acknowledged.is_some() {
            closed.unwrap();
        } else if let Err(error) = closed {
            assert_eq!(Some(error.kind()), poison.map(kind_of), "{}", self.what);
        }
        self.settle(None).await;
    }

    fn acknowledge(&mut self) {
        let told = self.file().acknowledge();
        let number = self.opened().poison.take().map(|(number, _)| number);
        let told = told.map(|error| error.kind());
        assert_eq!(told, number.map(kind_of), "{}", self.what);
    }

    async fn step(&mut self) {
        self.at = usize::from(self.random.one_in(3));
        match self.random.below(14) {
            0..=3 => self.write_at().await,
            4 | 5 => self.write().await,
            6 | 7 => self.sync().await,
            8 => self.sync_range().await,
            9 | 10 => self.resize().await,
            11 => self.seek_and_read().await,
            12 => self.close().await,
            _ => self.acknowledge(),
        }
    }
}

async fn play(route: Route, seed: u64, path: &Path, faults: &Faults) {
    std::fs::write(path, "").unwrap();
    let is_bounded = seed % 2 == 0;
    let mut play = Play {
        path: path.to_path_buf(),
        opened: Vec::new(),
        at: 0,
        faults: faults.clone(),
        content: Vec::new(),
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        is_bounded,
        what: String::new(),
    };
    for appends in [false, true] {
        play.opened.push(open(path, appends, is_bounded).await);
    }
    for step in 0..40 {
        play.what = format!("{route:?}, seed {seed}, step {step}");
        play.step().await;
    }
    for Opened { file, .. } in play.opened {
        file.acknowledge();
        file.sync_all().await.unwrap();
        file.close().await.unwrap();
    }
    let content = std::fs::read(path).unwrap();
    let same = content == play.content;
    assert!(same, "{}: {} bytes", play.what, content.len());
}

#[test]
fn random_operations_lose_no_byte_and_no_error() {
    let seeds = seeds(12);
    for route in routes() {
        runtime(route != Route::Pool).block_on(async {
            let faults = Faults::new();
            Handle::builder()
                .route(route)
                .faults(faults.clone())
                .install()
                .unwrap();
            let dir = tempfile::tempdir().unwrap();
            for &seed in &seeds {
                play(route, seed, &dir.path().join("f"), &faults).await;
            }
        });
    }
}
