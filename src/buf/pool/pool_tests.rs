//! Pools, with plain memory and with registered memory, without any I/O.

use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

use super::bits::Bits;
use super::{BufPool, FixedBuf, Registration};
use crate::base::memory::page_bytes;
use crate::buf::{IoBuf, IoBufMut};
use crate::error::{Error, Reason};

fn pool(count: usize) -> BufPool {
    let builder = BufPool::builder().count(count).size(1).register(false);
    builder.build().unwrap()
}

/// xorshift64*.
fn next(state: &mut u64) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize
}

fn seed() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed = std::env::var("TIDEGATE_SEED").ok();
    let seed = seed.map_or(now.as_nanos() as u64 | 1, |seed| seed.parse().unwrap());
    eprintln!("TIDEGATE_SEED={seed}");
    seed
}

/// R50: the set is what a set of std would be, whatever is taken from it and given to it.
#[test]
fn bits_are_a_set() {
    let mut state = seed();
    for bound in [64, 128, 16_384] {
        let bits = Bits::all(bound);
        let mut inside: BTreeSet<usize> = (0..bound).collect();
        let mut outside = Vec::new();
        // As often taken as given, with phases in which one is more frequent.
        for step in 0..20_000 {
            let gives = next(&mut state) % 100 < if step / 3000 % 2 == 0 { 35 } else { 65 };
            match outside.len() {
                several @ 1.. if gives => {
                    let number = outside.swap_remove(next(&mut state) % several);
                    bits.give(number);
                    assert!(inside.insert(number));
                }
                _ => match bits.take(next(&mut state)) {
                    Some(number) => {
                        assert!(inside.remove(&number), "{number} is not in it");
                        outside.push(number);
                    }
                    None => assert!(inside.is_empty()),
                },
            }
        }
        assert_eq!(bits.count(), inside.len());
        let rest: BTreeSet<usize> = std::iter::from_fn(|| bits.take(0)).collect();
        assert_eq!(rest, inside);
    }
    assert_eq!(Bits::none(64).take(7), None);
}

/// R47, R48, R59: what makes no sense is refused with what to do, and sizes are rounded up to pages.
#[test]
fn settings_are_checked_and_rounded() {
    let defaults = BufPool::builder().build().unwrap();
    assert_eq!(defaults.stats().count * defaults.buffer_size(), 512 << 10);
    let large = BufPool::builder().large().build().unwrap();
    assert_eq!(large.stats().count * large.buffer_size(), 4 << 20);
    for (size, align, expected) in [
        (1, 1, page_bytes()),
        (page_bytes() + 1, 1, 2 * page_bytes()),
        (1, 1 << 20, 1 << 20),
    ] {
        let builder = BufPool::builder().size(size).alignment(align);
        let pool = builder.register(false).build().unwrap();
        assert_eq!(pool.buffer_size(), expected);
        for mut buf in [pool.get(), pool.get()] {
            assert_eq!(buf.capacity(), expected);
            assert_eq!(buf.stable_mut_ptr().addr() % align, 0);
        }
    }
    let wrong = [
        BufPool::builder().count(0),
        BufPool::builder().count(16_385),
        BufPool::builder().count(usize::MAX),
        BufPool::builder().size(0),
        BufPool::builder().size((1 << 30) + 1),
        BufPool::builder().size(usize::MAX),
        BufPool::builder().alignment(0),
        BufPool::builder().alignment(3),
        BufPool::builder().alignment(4 << 20),
    ];
    for builder in wrong {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let typed = matches!(Error::from_io(&error), Some(Error::OutOfRange { .. }));
        assert!(typed && error.to_string().contains("set it to"), "{error}");
    }
}

/// R48: as many as a ring's table would have.
#[test]
fn the_largest_pool_lends_all_its_buffers() {
    let pool = pool(16_384);
    let all: Vec<FixedBuf> = std::iter::from_fn(|| pool.try_acquire()).collect();
    let addresses: HashSet<_> = all.iter().map(|buf| buf.stable_ptr()).collect();
    assert_eq!((all.len(), addresses.len()), (16_384, 16_384));
    assert_eq!(pool.stats().in_use, 16_384);
    drop(all);
    assert_eq!(pool.stats().in_use, 0);
}

/// R50, R51: none when exhausted, back on drop and on unwind, and counted.
#[test]
fn a_buffer_goes_back_on_drop_and_on_unwind() {
    let pool = pool(1);
    let fresh = pool.stats();
    assert_eq!((fresh.acquires, fresh.miss_rate()), (0, 0.0));
    let buf = pool.try_acquire().unwrap();
    assert!(pool.try_acquire().is_none());
    drop(buf);
    let thrown = catch_unwind(AssertUnwindSafe(|| {
        let _buf = pool.try_acquire().unwrap();
        panic!("on purpose");
    }));
    assert!(thrown.is_err());
    assert!(pool.try_acquire().is_some());
    let stats = pool.stats();
    assert_eq!((stats.acquires, stats.misses, stats.in_use), (4, 1, 0));
    assert_eq!(stats.miss_rate(), 0.25);
}

/// R40: cycles without end use no more than the pool has.
#[test]
fn a_hundred_thousand_cycles_leave_the_pool_as_it_was() {
    let pool = pool(1024);
    let mut held = Vec::new();
    let (mut state, mut peak) = (seed(), 0);
    for _ in 0..100_000 {
        if held.len() == 1024 || (!held.is_empty() && next(&mut state) % 2 == 0) {
            held.swap_remove(next(&mut state) % held.len());
        }
        held.push(pool.try_acquire().expect("one is free"));
        peak = peak.max(pool.stats().in_use);
        assert_eq!(pool.stats().in_use, held.len());
    }
    assert!(peak <= 1024);
    held.clear();
    assert_eq!(pool.stats().in_use, 0);
    assert_eq!((pool.stats().acquires, pool.stats().misses), (100_000, 0));
}

/// R50, R56: a buffer is with one thread at a time, however many want one.
#[test]
fn no_two_of_many_threads_have_the_same_buffer() {
    const THREADS: usize = 64;
    const BUFS: usize = 24;
    let pool = pool(BUFS);
    let all: Vec<FixedBuf> = std::iter::from_fn(|| pool.try_acquire()).collect();
    let addresses: Vec<usize> = all.iter().map(|buf| buf.stable_ptr().addr()).collect();
    drop(all);
    let owners: Vec<AtomicBool> = (0..BUFS).map(|_| AtomicBool::new(false)).collect();
    let (most, had) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, owners, addresses) = (&pool, &owners, &addresses);
            let (start, most, had) = (&start, &most, &had);
            scope.spawn(move || {
                start.wait();
                for _ in 0..2_000 {
                    let Some(mut buf) = pool.try_acquire() else {
                        std::thread::yield_now();
                        continue;
                    };
                    let index = addresses
                        .iter()
                        .position(|&at| at == buf.stable_ptr().addr());
                    let owner = &owners[index.expect("no new memory")];
                    assert!(!owner.swap(true, Ordering::AcqRel), "it has another owner");
                    buf.resize(64, thread as u8);
                    assert!(buf.iter().all(|&byte| byte == thread as u8));
                    most.fetch_max(pool.stats().in_use, Ordering::Relaxed);
                    had.fetch_add(1, Ordering::Relaxed);
                    owner.store(false, Ordering::Release);
                }
            });
        }
    });
    assert!(most.into_inner() <= BUFS);
    assert!(had.into_inner() >= BUFS);
    assert_eq!((pool.stats().in_use, pool.stats().count), (0, BUFS));
    assert_eq!(
        std::iter::from_fn(|| pool.try_acquire().map(std::mem::forget)).count(),
        BUFS
    );
}

/// R50, R58: frozen bytes and their parts keep the buffer until the last of them is gone.
#[test]
fn frozen_bytes_keep_the_buffer() {
    let pool = pool(1);
    let mut buf = pool.try_acquire().unwrap();
    buf.extend_from_slice(b"0123456789");
    let address = buf.stable_ptr();
    let whole = buf.freeze();
    assert_eq!((whole.as_ptr(), &whole[..]), (address, &b"0123456789"[..]));
    let parts = [Bytes::slice(&whole, 2..4), Bytes::slice(&whole, 7..)];
    drop(whole);
    assert!(pool.try_acquire().is_none());
    assert_eq!(parts.each_ref().map(|part| &part[..]), [&b"23"[..], b"789"]);
    let other = std::thread::spawn(move || drop(parts));
    other.join().unwrap();
    let again = pool.try_acquire().unwrap();
    assert_eq!((again.stable_ptr(), again.len()), (address, 0));
}

/// What is in use grows and shrinks as asked, and never over the capacity.
#[test]
fn bytes_in_use_are_those_that_were_put_there() {
    let page = page_bytes();
    let mut buf = pool(1).get();
    buf.extend_from_slice(&vec![1; page - 2]);
    assert_eq!(buf.fill_from(&[2; 9]), 2);
    assert_eq!(buf.fill_from(&[3]), 0);
    let over = catch_unwind(AssertUnwindSafe(|| buf.extend_from_slice(&[3])));
    assert!(over.is_err(), "nothing more fits");
    assert_eq!((buf.len(), buf[page - 1]), (page, 2));
    buf.resize(1, 9);
    buf.resize(3, 9);
    assert_eq!(&buf[..], [1, 9, 9]);
    buf[0] = 7;
    let part = buf.slice(1..page);
    assert_eq!((part.bytes_init(), part.bytes_total()), (2, page - 1));
    assert_eq!(&part.into_inner()[..], [7, 9, 9]);
}

/// R51: a dry pool gives plain buffers, which are the same to use.
#[test]
fn a_dry_pool_gives_plain_buffers() {
    let builder = BufPool::builder().count(1).size(10_000).alignment(8192);
    let pool = builder.register(false).build().unwrap();
    let lent = pool.get();
    let mut plain = pool.get();
    assert!(!lent.is_plain() && plain.is_plain());
    assert_eq!(plain.capacity(), lent.capacity());
    assert_eq!(plain.stable_ptr().addr() % 8192, 0);
    assert!(plain.registered().is_none());
    plain.extend_from_slice(b"plain");
    let bytes = plain.freeze();
    drop((pool, lent));
    assert_eq!(&bytes[..], b"plain");
}

/// Resized while buffers are lent: those stay, new ones come, and what is too much goes when it comes back.
#[test]
fn a_pool_is_resized_while_its_buffers_are_lent() {
    let pool = pool(4);
    let mut lent: Vec<FixedBuf> = (0..4).map(|_| pool.try_acquire().unwrap()).collect();
    lent[3].extend_from_slice(b"stays");
    pool.resize(6).unwrap();
    lent.extend((0..2).map(|_| pool.try_acquire().unwrap()));
    assert!(pool.try_acquire().is_none());
    pool.resize(2).unwrap();
    assert_eq!((pool.stats().count, pool.stats().in_use), (2, 6));
    lent.truncate(4);
    assert!(pool.try_acquire().is_none(), "what came back was too much");
    // Growing again keeps what was to go.
    pool.resize(3).unwrap();
    assert_eq!((pool.stats().count, pool.stats().in_use), (3, 4));
    assert_eq!(&lent[3][..], b"stays");
    lent.clear();
    assert_eq!(pool.stats().in_use, 0);
    lent.extend(std::iter::from_fn(|| pool.try_acquire()));
    assert_eq!(lent.len(), 3);
    assert!(pool.resize(0).is_err() && pool.resize(16_385).is_err());
}

/// Memory is given back with the last of its buffers, and not before.
#[test]
fn memory_goes_with_its_last_buffer() {
    let pool = pool(2);
    pool.resize(5).unwrap();
    let shared = pool.users.shared.clone();
    assert_eq!(shared.segments().len(), 2);
    let mut lent: Vec<FixedBuf> = std::iter::from_fn(|| pool.try_acquire()).collect();
    pool.resize(1).unwrap();
    drop(pool);
    assert_eq!(shared.segments().len(), 2);
    let mut last = lent.pop().unwrap();
    lent.clear();
    assert_eq!(shared.segments().len(), 1);
    last.extend_from_slice(b"still there");
    let last = last.freeze();
    drop(last);
    assert_eq!(shared.segments().len(), 0);
    assert_eq!(shared.slots.stats().in_use, 0);
}

/// Resizing and lending on many threads at once ends with as many buffers as were last asked for.
#[test]
fn resizing_and_lending_at_once_lose_no_buffer() {
    let pool = pool(8);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    held.extend(pool.try_acquire());
                    if held.len() > 3 {
                        held.remove(0);
                    }
                    std::thread::yield_now();
                }
            });
        }
        let mut state = seed();
        for _ in 0..2_000 {
            pool.resize(1 + next(&mut state) % 200).unwrap();
        }
        stop.store(true, Ordering::Release);
    });
    let count = pool.stats().count;
    assert_eq!(pool.stats().in_use, 0);
    let all: Vec<FixedBuf> = std::iter::from_fn(|| pool.try_acquire()).collect();
    assert_eq!(all.len(), count);
}

/// R49: nothing is registered that is not to be.
#[test]
fn registration_says_what_there_is() {
    assert_eq!(pool(1).registration(), Registration::Disabled);
    if may_lock_little() {
        return eprintln!("skip: registration_says_what_there_is: little may be locked");
    }
    let pool = BufPool::builder().count(3).build().unwrap();
    let bytes = 3 * pool.buffer_size();
    let no_ring = crate::probe::report().ring_reason();
    let reason = no_ring
        .cloned()
        .or_else(|| is_old().then_some(Reason::KernelTooOld));
    assert_eq!(pool.registration(), expected(bytes, reason.clone()));
    pool.resize(5).unwrap();
    let bytes = 5 * pool.buffer_size();
    assert_eq!(pool.registration(), expected(bytes, reason.clone()));
    assert_eq!(pool.buffer_count(), 5);
    let is_enabled = reason.is_none();
    let bufs: Vec<FixedBuf> = (0..6).map(|_| pool.get()).collect();
    let registered = bufs.iter().filter(|buf| buf.is_registered());
    assert_eq!(registered.count(), if is_enabled { 5 } else { 0 });
    assert!(bufs[0].registered().is_some() && !bufs[0].is_plain());
    assert!(bufs[5].registered().is_none() && bufs[5].is_plain());
}

fn expected(bytes: usize, reason: Option<Reason>) -> Registration {
    match reason {
        None => Registration::Enabled { bytes },
        Some(reason) => Registration::Failed { bytes, reason },
    }
}

/// Whether this kernel lacks tables that are filled later.
fn is_old() -> bool {
    let release = crate::probe::report().kernel().to_owned();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse().ok());
    let mut next = || numbers.next().unwrap_or(0u32);
    (next(), next()) < (5, 19)
}

/// Whether an ordinary user may lock too little for some small pools and the rings of tests.
fn may_lock_little() -> bool {
    let owner = std::fs::metadata("/proc/self");
    owner.is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) != 0)
        && crate::base::limit::locked_memory().is_some_and(|bytes| bytes < 8 << 20)
}

/// R59: no more is registered than allowed, in whole buffers, also when a pool grows.
#[test]
fn no_more_is_registered_than_allowed() {
    let builder = BufPool::builder().count(4).size(64 << 10);
    let pool = builder.registered_bytes_max(150 << 10).build().unwrap();
    let Registration::Enabled { bytes } = pool.registration() else {
        return eprintln!(
            "skip: no_more_is_registered_than_allowed: {}",
            pool.registration()
        );
    };
    assert_eq!(bytes, 128 << 10);
    pool.resize(8).unwrap();
    assert_eq!(pool.registration(), Registration::Enabled { bytes });
    let bufs: Vec<FixedBuf> = std::iter::from_fn(|| pool.try_acquire()).collect();
    let registered = bufs.iter().filter(|buf| buf.registered().is_some());
    assert_eq!((bufs.len(), registered.count()), (8, 2));
}
