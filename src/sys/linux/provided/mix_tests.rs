//! Reads of all sorts, cancels and buffers that are given back, in random order; and errors between reads that share a
//! buffer.

use super::*;
use crate::sys::linux::sim::Random;

const COUNT: usize = 8;

/// In the user data of a cancel, besides the number of its target.
const CANCEL: u64 = 1 << 32;

/// `pbuf_conservation`, the random mix: after each round the kernel has what the ledger says, and all else is held.
/// `TIDEGATE_SEED` runs one again.
#[test]
fn whatever_happens_each_buffer_is_with_one_side() {
    let given = std::env::var("TIDEGATE_SEED").ok();
    let given = given.and_then(|seed| seed.parse().ok());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = given.unwrap_or(clock.unwrap().as_nanos() as u64);
    eprintln!("TIDEGATE_SEED={seed}");
    let Some(rig) = Rig::new() else { return };
    let mut mix = Mix::new(rig, seed);
    for _ in 0..500 {
        mix.round();
    }
}

struct Mix {
    rig: Rig,
    random: Random,
    ring: Arc<ProvidedRing>,
    /// Keeps the ring's registration.
    _group: BufGroup,
    file: File,
    memory: File,
    directory: File,
    reader: File,
    writer: File,
    held: Vec<ProvidedBuf>,
    in_flight: usize,
}

impl Mix {
    fn new(mut rig: Rig, seed: u64) -> Mix {
        let group = group(COUNT, 64);
        let (reader, writer) = pipes();
        Mix {
            random: Random(seed),
            ring: rig.provided(&group).unwrap(),
            rig,
            _group: group,
            file: file_of(&[7; 200]),
            memory: File::open("/proc/self/mem").unwrap(),
            directory: File::open("/").unwrap(),
            reader,
            writer,
            held: Vec::new(),
            in_flight: 0,
        }
    }

    fn begin(&mut self, entry: Entry) {
        let is_async = self.random.percent(30);
        let flags = if is_async {
            Flags::ASYNC
        } else {
            Flags::empty()
        };
        self.rig.submit(&entry.flags(flags | Flags::BUFFER_SELECT));
        self.in_flight += 1;
    }

    fn round(&mut self) {
        let mut waiting = Vec::new();
        for number in 1..=self.random.below(12) as u64 {
            let offset = self.random.below(250) as u64;
            let entry = match self.random.below(8) {
                0..3 => read(&self.file, &self.ring, offset),
                3 => read(&self.memory, &self.ring, 0),
                4 => read(&self.directory, &self.ring, 0),
                5 => {
                    waiting.push(number);
                    read(&self.reader, &self.ring, u64::MAX)
                }
                6 => {
                    self.writer.write_all(&[7; 4]).unwrap();
                    continue;
                }
                _ => {
                    let keep = self.random.below(COUNT);
                    self.held.truncate(keep);
                    continue;
                }
            };
            self.begin(entry.user_data(number));
        }
        for number in waiting {
            self.cancel(number);
        }
        self.reap();
    }

    fn cancel(&mut self, number: u64) {
        let cancel = opcode::AsyncCancel::new(number).build();
        self.rig.submit(&cancel.user_data(CANCEL | number));
        self.in_flight += 1;
    }

    fn reap(&mut self) {
        while self.in_flight > 0 {
            let done = self.rig.wait();
            self.in_flight -= 1;
            // A kernel worker was handing the read over to a poll, which does not know of the cancel.
            if done.user_data & CANCEL != 0 && done.result == -errno::EALREADY {
                self.cancel(done.user_data & !CANCEL);
            }
            let taken = self.ring.take(done.result, done.flags).unwrap();
            let bytes = taken.as_deref().unwrap_or_default();
            assert!(bytes.iter().all(|&byte| byte == 7), "{done:?}");
            self.held.extend(taken);
        }
        self.rig.check(&self.ring);
        assert_eq!(self.ring.with_kernel() + self.held.len(), COUNT);
    }
}

/// `pbuf_inc`: an error retires of a shared buffer what its completion says, all or nothing, and the next read goes on
/// from there.
#[test]
fn an_error_retires_what_its_completion_says() {
    let Some(mut rig) = Rig::new() else { return };
    let group = BufGroup::builder().count(8).size(64).incremental(true);
    let group = group.build().unwrap();
    let Some(ring) = rig.provided(&group) else {
        return eprintln!("skip: incremental_buffers: before Linux 6.12");
    };
    let (reader, mut writer) = pipes();
    let memory = File::open("/proc/self/mem").unwrap();
    let directory = File::open("/").unwrap();
    let (mut held, mut goes_on): (Vec<ProvidedBuf>, _) = (Vec::new(), false);
    for file in [&memory, &directory, &memory] {
        for flags in [Flags::empty(), Flags::ASYNC] {
            writer.write_all(b"abc").unwrap();
            rig.submit(&read(&reader, &ring, u64::MAX));
            let done = rig.wait();
            let buf = ring.take(done.result, done.flags).unwrap().unwrap();
            assert_eq!((&buf[..], buffer_more(done.flags)), (&b"abc"[..], true));
            if let Some(last) = held.last() {
                let is_behind = last.as_ptr().wrapping_add(3) == buf.as_ptr();
                assert_eq!(is_behind, goes_on, "{done:?}");
            }
            held.push(buf);
            let entry = read(file, &ring, 0);
            rig.submit(&entry.flags(flags | Flags::BUFFER_SELECT));
            let done = rig.wait();
            assert!([-libc::EIO, -libc::EISDIR].contains(&done.result));
            goes_on = buffer_id(done.flags).is_none() || buffer_more(done.flags);
            assert!(ring.take(done.result, done.flags).unwrap().is_none());
        }
    }
    drop(held);
    assert_eq!(ring.with_kernel(), 8);
    rig.check(&ring);
}
