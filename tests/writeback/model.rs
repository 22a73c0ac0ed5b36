//! Random operations on a file, some of which fail, against a model of it: no byte is lost, and nothing is said to have
//! been done that was not.

use std::io::{self, ErrorKind, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tidegate::fs::{File, FileState, Space, Writeback};
use tidegate::opcode::Kind;
use tidegate::testing::{FaultGuard, Faults};
use tidegate::{Handle, Route, raw_os_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::{bytes, policy, routes, runtime, until_idle};

const EINTR: i32 = 4;
const ERRORS: [i32; 3] = [5, 28, EINTR];
const LEN_MAX: u64 = 12 << 20;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What the file must be like.
struct Model {
    content: Vec<u8>,
    position: usize,
    /// The error that has to be told, and whether a write was told.
    poison: Option<(i32, bool)>,
}

impl Model {
    fn write(&mut self, at: usize, part: &[u8]) {
        let end = at + part.len();
        self.content.resize(self.content.len().max(end), 0);
        self.content[at..end].copy_from_slice(part);
    }
}

struct Play {
    file: File,
    faults: Faults,
    model: Model,
    random: Random,
    is_bounded: bool,
    what: String,
}

fn kind_of(number: i32) -> ErrorKind {
    io::Error::from_raw_os_error(number).kind()
}

impl Play {
    fn fails(&mut self, kind: Kind, one_in: u64) -> Option<(i32, FaultGuard)> {
        if self.random.below(one_in) > 0 {
            return None;
        }
        let number = ERRORS[self.random.below(3) as usize];
        Some((number, self.faults.on(kind).times(1).fail(number)))
    }

    /// The error that the next write must tell, and tells once.
    fn told_to_a_write(&mut self) -> Option<i32> {
        let (number, told) = self.model.poison.as_mut()?;
        (!std::mem::replace(told, true)).then_some(*number)
    }

    /// All that goes on for nobody is over, and so its error is known.
    async fn settle(&mut self, write_out: Option<(i32, FaultGuard)>) {
        until_idle().await;
        if let Some((number, guard)) = write_out {
            if guard.hits() > 0 && number != EINTR {
                self.model.poison.get_or_insert((number, false));
            }
        }
        let is_poisoned = self.file.state() == FileState::Poisoned;
        assert_eq!(is_poisoned, self.model.poison.is_some(), "{}", self.what);
    }

    fn part(&mut self) -> (usize, Vec<u8>) {
        let most = if self.is_bounded { 3 << 20 } else { 200_000 };
        let len = self.random.below(most) as usize;
        let at = self.random.below(LEN_MAX - most) as usize;
        let seed = self.random.below(1000) as usize;
        (at, bytes(seed, len.max(1)))
    }

    async fn write_at(&mut self) {
        let (at, part) = self.part();
        let write_out = self.fails(Kind::SyncRange, 3);
        let fails = self.fails(Kind::Write, 4);
        let told = self.told_to_a_write();
        let written = self.file.write_all_at(part.clone(), at as u64).await;
        match (written, told, &fails) {
            (Err(error), Some(number), _) => {
                assert_eq!(error.error.kind(), kind_of(number), "{}", self.what);
            }
            (Err(error), None, Some((number, _))) if *number != EINTR => {
                assert_eq!(raw_os_error(&error.error), Some(*number), "{}", self.what);
            }
            (Ok(_), None, None | Some((EINTR, _))) => self.model.write(at, &part),
            (written, ..) => panic!("{}: {written:?}", self.what),
        }
        drop(fails);
        self.settle(write_out).await;
    }

    async fn write(&mut self) {
        let (_, part) = self.part();
        if self.model.position + part.len() > LEN_MAX as usize {
            return;
        }
        let told = self.told_to_a_write();
        let fails = self.fails(Kind::Write, 4);
        let fails = fails.filter(|_| told.is_none());
        let slow = self
            .faults
            .on(Kind::SyncRange)
            .times(1)
            .delay(Duration::from_millis(3));
        let mut written = self.file.write_all(&part[..part.len().min(100_000)]).await;
        if written.is_ok() {
            written = self.file.flush().await;
        }
        match (written, told, &fails) {
            (Err(error), Some(number), _) => {
                assert_eq!(error.kind(), kind_of(number), "{}", self.what);
            }
            (Err(error), None, Some((number, _))) if *number != EINTR => {
                assert_eq!(error.kind(), kind_of(*number), "{}", self.what);
                self.model.poison.get_or_insert((*number, true));
                // It is told again.
                assert!(self.file.flush().await.is_err(), "{}", self.what);
                self.file.acknowledge().unwrap();
                self.file.flush().await.unwrap();
                self.model.poison = None;
            }
            (Ok(()), None, None | Some((EINTR, _))) => {
                let (at, len) = (self.model.position, part.len().min(100_000));
                self.model.write(at, &part[..len]);
                self.model.position += len;
            }
            (written, ..) => panic!("{}: {written:?}", self.what),
        }
        drop((fails, slow));
        self.settle(None).await;
    }

    async fn sync(&mut self) {
        let (kind, data) = match self.random.below(2) {
            0 => (Kind::SyncAll, false),
            _ => (Kind::SyncData, true),
        };
        let fails = self.fails(kind, 3);
        let synced = match data {
            true => self.file.sync_data().await,
            false => self.file.sync_all().await,
        };
        match (synced, self.model.poison, &fails) {
            (Err(error), Some((number, _)), _) => {
                assert_eq!(error.kind(), kind_of(number), "{}", self.what);
            }
            (Err(error), None, Some((number, _))) if *number != EINTR => {
                assert_eq!(raw_os_error(&error), Some(*number), "{}", self.what);
                self.model.poison = Some((*number, false));
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
        let synced = self.file.sync_range(0, 0, Writeback::Complete).await;
        match (&synced, self.model.poison, &fails) {
            (Err(_), Some(_), _) | (Ok(()), None, None) => {}
            (_, None, Some((EINTR, _))) => {}
            (Err(error), None, Some((number, _))) => {
                assert_eq!(raw_os_error(error), Some(*number), "{}", self.what);
                self.model.poison = Some((*number, false));
            }
            _ => panic!("{}: {synced:?}", self.what),
        }
        drop(fails);
        self.settle(None).await;
    }

    async fn resize(&mut self) {
        let len = self.random.below(LEN_MAX);
        match self.random.below(3) {
            0 => {
                self.file.set_len(len).await.unwrap();
                self.model.content.resize(len as usize, 0);
            }
            1 => match self
                .file
                .allocate(0, len.max(1), Space::ReserveExtend)
                .await
            {
                Ok(()) => {
                    let len = self.model.content.len().max(len.max(1) as usize);
                    self.model.content.resize(len, 0);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", self.what),
            },
            _ => match self.file.allocate(len / 2, 100_000, Space::PunchHole).await {
                Ok(()) => {
                    let end = self.model.content.len().min(len as usize / 2 + 100_000);
                    let start = end.min(len as usize / 2);
                    self.model.content[start..end].fill(0);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", self.what),
            },
        }
    }

    async fn seek_and_read(&mut self) {
        let at = self.random.below(LEN_MAX / 2);
        self.model.position = self.file.seek(SeekFrom::Start(at)).await.unwrap() as usize;
        let mut buf = vec![0; self.random.below(50_000) as usize];
        let left = self.model.content.len().saturating_sub(at as usize);
        let len = buf.len().min(left);
        self.file.read_exact(&mut buf[..len]).await.unwrap();
        let expected = &self.model.content[self.model.content.len().min(at as usize)..][..len];
        assert!(buf[..len] == *expected, "{}", self.what);
        self.model.position += len;
    }

    async fn step(&mut self) {
        match self.random.below(12) {
            0..=3 => self.write_at().await,
            4 | 5 => self.write().await,
            6 | 7 => self.sync().await,
            8 => self.sync_range().await,
            9 => self.resize().await,
            10 => self.seek_and_read().await,
            _ => {
                let told = self.file.acknowledge();
                let number = self.model.poison.take().map(|(number, _)| number);
                assert_eq!(
                    told.map(|error| error.kind()),
                    number.map(kind_of),
                    "{}",
                    self.what
                );
            }
        }
    }
}

async fn play(route: Route, seed: u64, path: &Path, faults: &Faults) {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(true);
    let is_bounded = seed % 2 == 0;
    let file = options.open(path).await.unwrap();
    let mut play = Play {
        file: match is_bounded {
            true => file.with_writeback(policy()),
            false => file,
        },
        faults: faults.clone(),
        model: Model {
            content: Vec::new(),
            position: 0,
            poison: None,
        },
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        is_bounded,
        what: String::new(),
    };
    for step in 0..40 {
        play.what = format!("{route:?}, seed {seed}, step {step}");
        play.step().await;
    }
    play.file.acknowledge();
    play.file.sync_all().await.unwrap();
    play.file.close().await.unwrap();
    let content = std::fs::read(path).unwrap();
    let same = content == play.model.content;
    assert!(same, "{}: {} bytes", play.what, content.len());
}

#[test]
fn random_operations_lose_no_byte_and_no_error() {
    for route in routes() {
        runtime(route != Route::Pool).block_on(async {
            let faults = Faults::new();
            Handle::builder()
                .route(route)
                .faults(faults.clone())
                .install()
                .unwrap();
            let dir = tempfile::tempdir().unwrap();
            for seed in 1..=16 {
                play(route, seed, &dir.path().join("f"), &faults).await;
            }
        });
    }
}
