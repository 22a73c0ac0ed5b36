//! Owned buffers: every kind holds what was read, gives what is written, and comes back (ARCHITECTURE 4).

mod common;

use std::io::{self, ErrorKind};

use bytes::{Bytes, BytesMut};
use common::on_every_backend;
use tidegate::buf::{AlignedBuf, BufError, IoBuf, IoBufMut, Slice};
use tidegate::fs::{File, OpenOptions};

const TEXT: &[u8] = b"0123456789abcdefghij";

async fn file(dir: &tempfile::TempDir) -> File {
    std::fs::write(dir.path().join("file"), TEXT).unwrap();
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open(dir.path().join("file"))
        .await
        .unwrap()
}

/// Reads into a buffer of some kind, and shows all that it then has initialised.
async fn read<B: IoBufMut + std::fmt::Debug>(
    file: &File,
    buf: B,
    offset: u64,
) -> (usize, Vec<u8>, B) {
    let (count, buf) = file.read_at(buf, offset).await.unwrap();
    let seen = part(&buf);
    (count, seen, buf)
}

/// The initialised bytes.
fn part<B: IoBuf>(buf: &B) -> Vec<u8> {
    // SAFETY: `IoBuf` promises that so many bytes are initialised behind the pointer.
    unsafe { std::slice::from_raw_parts(buf.stable_ptr(), buf.bytes_init()) }.to_vec()
}

#[test]
fn every_kind_of_buffer_is_read_into() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir).await;
        let (count, seen, buf) = read(&file, Vec::with_capacity(4), 2).await;
        assert_eq!((count, &seen[..], buf.len()), (4, &b"2345"[..], 4));
        // A longer buffer keeps its length and what was not overwritten.
        let (count, seen, _) = read(&file, vec![b'.'; 8], 16).await;
        assert_eq!((count, &seen[..]), (4, &b"ghij...."[..]));
        // The spare capacity is read into as well.
        let mut longer = Vec::with_capacity(10);
        longer.extend_from_slice(b"..");
        let (count, seen, _) = read(&file, longer, 0).await;
        assert_eq!((count, &seen[..]), (10, &b"0123456789"[..]));
        let (count, seen, _) = read(&file, vec![b'.'; 5].into_boxed_slice(), 18).await;
        assert_eq!((count, &seen[..]), (2, &b"ij..."[..]));
        let (count, seen, buf) = read(&file, BytesMut::with_capacity(6), 1).await;
        assert_eq!(
            (count, &seen[..], &buf[..]),
            (6, &b"123456"[..], &b"123456"[..])
        );
        let (count, _, buf) = read(&file, AlignedBuf::with_capacity(7, 512), 3).await;
        assert_eq!((count, &buf[..]), (7, &b"3456789"[..]));
        let (count, _, buf) = read(&file, AlignedBuf::zeroed(24, 16), 0).await;
        assert_eq!((count, &buf[..20], &buf[20..]), (20, TEXT, &[0; 4][..]));
        // No room is no error.
        for offset in [0, 10, 20, 1000] {
            let (count, seen, _) = read(&file, Vec::new(), offset).await;
            assert_eq!((count, seen.len()), (0, 0));
            let (count, ..) = read(&file, Vec::<u8>::new().into_boxed_slice(), offset).await;
            assert_eq!(count, 0);
            let (count, ..) = read(&file, BytesMut::new(), offset).await;
            assert_eq!(count, 0);
        }
        file.close().await.unwrap();
    });
}

#[test]
fn every_kind_of_buffer_is_written_from() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir).await;
        let mut at = 0;
        macro_rules! write {
            ($buf:expr, $expected:expr) => {
                let expected: &[u8] = $expected;
                let buf = file.write_all_at($buf, at).await.unwrap();
                assert_eq!(part(&buf), expected);
                let back = file
                    .read_exact_at(vec![0; expected.len()], at)
                    .await
                    .unwrap();
                assert_eq!(back, expected);
                at += expected.len() as u64;
            };
        }
        write!(b"vector".to_vec(), b"vector");
        let mut spare = Vec::with_capacity(100);
        spare.extend_from_slice(b"no spare");
        write!(spare, b"no spare");
        write!(b"boxed".to_vec().into_boxed_slice(), b"boxed");
        write!(Bytes::from_static(b"static bytes"), b"static bytes");
        write!(Bytes::from(b"shared bytes".to_vec()).slice(7..), b"bytes");
        write!(BytesMut::from(&b"mutable"[..]), b"mutable");
        write!(&b"static slice"[..], b"static slice");
        write!("static text", b"static text");
        let mut aligned = AlignedBuf::with_capacity(4096, 4096);
        aligned.set_len(3);
        aligned.copy_from_slice(b"abc");
        write!(aligned, b"abc");
        write!(b"a slice of it".to_vec().slice(2..7), b"slice");
        write!(Vec::<u8>::with_capacity(10), b"");
        write!("", b"");
        assert_eq!(
            file.metadata().await.unwrap().len(),
            at.max(TEXT.len() as u64)
        );
        file.close().await.unwrap();
    });
}

/// What lies around a slice stays as it is, whatever is read and however little comes.
#[test]
fn reads_touch_nothing_outside_of_a_slice() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir).await;
        for (begin, end) in [(0, 32), (5, 9), (5, 5), (31, 32), (0, 1), (8, 32)] {
            for offset in [0, 17, 20] {
                let slice = vec![b'#'; 32].slice(begin..end);
                let (count, slice) = file.read_at(slice, offset).await.unwrap();
                let expected = (end - begin).min(20 - offset as usize);
                assert_eq!(count, expected);
                assert_eq!(slice[..count], TEXT[offset as usize..][..count]);
                let whole = slice.into_inner();
                assert_eq!(whole.len(), 32);
                assert!(whole[..begin].iter().all(|&byte| byte == b'#'));
                assert!(whole[begin + count..].iter().all(|&byte| byte == b'#'));
            }
        }
        // A slice of a slice, in spare capacity behind what is initialised.
        let mut buf = Vec::with_capacity(64);
        buf.extend_from_slice(b"head");
        let slice = buf.slice(2..20).slice(2..10);
        let (count, slice) = file.read_at(slice, 4).await.unwrap();
        assert_eq!((count, &slice[..]), (8, &b"456789ab"[..]));
        let outer: Slice<Vec<u8>> = slice.into_inner();
        assert_eq!((outer.begin(), outer.end()), (2, 20));
        assert_eq!(outer.into_inner(), b"head456789ab");
        file.close().await.unwrap();
    });
}

/// Telling a buffer what is initialised lengthens it, and never shortens it.
#[test]
fn initialising_never_shortens() {
    fn check<B: IoBufMut>(mut buf: B, before: usize, after: [usize; 2]) {
        let address = buf.stable_ptr();
        assert_eq!(buf.bytes_init(), before);
        for (length, expected) in [1, 6].into_iter().zip(after) {
            let room = buf.bytes_total();
            // SAFETY: there is room for so many bytes.
            unsafe { buf.stable_mut_ptr().write_bytes(b'x', length.min(room)) };
            // SAFETY: they were just written.
            unsafe { buf.set_init(length.min(room)) };
            assert_eq!(buf.bytes_init(), expected);
            assert!(buf.bytes_init() <= buf.bytes_total());
        }
        let moved = Box::new(buf);
        assert_eq!(
            moved.stable_ptr(),
            address,
            "the memory moved with its owner"
        );
    }
    let mut half = Vec::with_capacity(8);
    half.extend_from_slice(b"abc");
    check(half.clone().into_boxed_slice(), 3, [3, 3]);
    check(BytesMut::from(&b"abc"[..]), 3, [3, 3]);
    check(AlignedBuf::with_capacity(8, 8), 0, [1, 6]);
    check(AlignedBuf::zeroed(8, 8), 8, [8, 8]);
    check(Vec::with_capacity(8), 0, [1, 6]);
    let mut spare = Vec::with_capacity(8);
    spare.extend_from_slice(b"abc");
    check(spare, 3, [3, 6]);
    let mut spare = Vec::with_capacity(8);
    spare.extend_from_slice(b"abc");
    check(spare.slice(1..4), 2, [2, 3]);
}

/// Each failure gives the buffer back as it was; `?` makes an `io::Error` of it, with kind and errno.
#[test]
fn buffers_come_back_with_errors() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, TEXT).unwrap();
        let read_only = File::open(&path).await.unwrap();
        let write_only = OpenOptions::new().write(true).open(&path).await.unwrap();
        let error = write_only.read_at(b"kept".to_vec(), 0).await.unwrap_err();
        check(error, b"kept", Some(libc::EBADF));
        let error = read_only
            .write_at(Bytes::from_static(b"kept"), 0)
            .await
            .unwrap_err();
        check(error, b"kept", Some(libc::EBADF));
        let error = read_only.write_all_at("kept", 7).await.unwrap_err();
        check(error, b"kept", Some(libc::EBADF));
        let error = read_only
            .read_at(b"kept".to_vec(), u64::MAX)
            .await
            .unwrap_err();
        check(error, b"kept", Some(libc::EINVAL));
        let error = write_only
            .write_at(b"kept".to_vec(), 1 << 63)
            .await
            .unwrap_err();
        check(error, b"kept", Some(libc::EINVAL));
        let slice = b"is kept".to_vec().slice(3..);
        let error = write_only.read_exact_at(slice, 0).await.unwrap_err();
        check(error, b"kept", Some(libc::EBADF));
        // What there was is in the buffer (R68).
        let error = read_only
            .read_exact_at(vec![b'.'; 8], 15)
            .await
            .unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::UnexpectedEof);
        check(error, b"fghij...", None);
        let converted: io::Result<()> = async {
            read_only.write_all_at(vec![0; 10], 0).await?;
            Ok(())
        }
        .await;
        let error = converted.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    });
}

fn check<B: IoBuf + std::fmt::Debug>(error: BufError<B>, kept: &[u8], errno: Option<i32>) {
    assert!(!error.is_detached());
    let boxed: &dyn std::error::Error = &error;
    assert!(boxed.source().is_some());
    assert_eq!(error.error.raw_os_error(), errno);
    let (error, buf) = error.into_parts();
    assert!(tidegate::Error::from_io(&error).is_none(), "{error:?}");
    assert_eq!(part(&buf.unwrap()), kept);
}

/// A slice has its limits.
#[test]
fn ranges_out_of_bounds_panic() {
    let panics = |f: fn()| std::panic::catch_unwind(f).is_err();
    assert!(panics(|| drop(vec![0u8; 4].into_boxed_slice().slice(2..5))));
    assert!(panics(|| drop(vec![0u8; 4].into_boxed_slice().slice(5..))));
    assert!(panics(|| drop(Vec::<u8>::with_capacity(8).slice(1..))));
    assert!(panics(|| assert!("text".slice(..=4).is_empty())));
    assert!(panics(|| assert!("text".slice(..=usize::MAX).is_empty())));
    assert!(panics(|| drop(AlignedBuf::zeroed(8, 3))));
    assert!(panics(|| AlignedBuf::zeroed(8, 8).set_len(9)));
    assert_eq!(&"text".slice(1..=2)[..], b"ex");
    assert_eq!("text".slice(4..).bytes_total(), 0);
}

/// R7: more than 2 GiB at an offset beyond 4 GiB, and lengths around a page.
#[test]
fn lengths_around_a_page_and_offsets_beyond_four_gigabytes() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .open(&path)
            .await
            .unwrap();
        let bytes: Vec<u8> = (0..9000u32).map(|n| (n * 7 % 251) as u8).collect();
        for base in [0, (1 << 31) - 100, (1 << 32) - 4096, (1u64 << 32) + 1] {
            for length in [0usize, 1, 4095, 4096, 4097, 9000] {
                let written = bytes[..length].to_vec();
                file.write_all_at(written, base).await.unwrap();
                let read = file.read_exact_at(vec![0; length], base).await.unwrap();
                assert_eq!(read, bytes[..length]);
            }
        }
        let std_file = std::fs::File::open(&path).unwrap();
        let mut read = vec![0; 9000];
        std::os::unix::fs::FileExt::read_exact_at(&std_file, &mut read, (1 << 32) + 1).unwrap();
        assert_eq!(read, bytes);
        file.close().await.unwrap();
    });
}
