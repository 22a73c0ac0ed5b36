//! Files: what is written is read back, on every backend.

mod common;

use std::io::{ErrorKind, SeekFrom};

use common::on_every_backend;
use tidegate::buf::{AlignedBuf, IoBuf};
use tidegate::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// R60, R65, R70: positional reads and writes of any size, past the end and beyond the old end.
#[test]
fn positional_reads_return_what_was_written() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .open(&path)
            .await
            .unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let bytes = file.write_all_at(bytes, 0).await.unwrap();
        for (offset, length) in [(0, 1), (0, 4096), (4095, 2), (99_999, 1), (12_345, 50_000)] {
            let (count, buf) = file
                .read_at(Vec::with_capacity(length), offset as u64)
                .await
                .unwrap();
            assert_eq!(count, length.min(buf.capacity()));
            assert_eq!(buf, bytes[offset..offset + buf.len()]);
        }
        let (count, _) = file.read_at(vec![0; 10], 100_000).await.unwrap();
        assert_eq!(count, 0);
        file.write_all_at("more", 200_000).await.unwrap();
        let (count, buf) = file.read_at(vec![0; 10], 199_998).await.unwrap();
        assert_eq!((count, &buf[..6]), (6, &b"\0\0more"[..]));
        file.sync_all().await.unwrap();
        file.sync_data().await.unwrap();
        file.set_len(3).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 3);
        let error = file.read_exact_at(vec![0; 4], 0).await.unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(&error.into_parts().1.unwrap()[..3], &bytes[..3]);
        file.close().await.unwrap();
    });
}

/// Of a regular file a read is short at the end only, also where some of its pages are still being read: four readers
/// that begin at the same time read them for each other.
#[test]
fn a_read_in_the_middle_is_never_short() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 12;
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; CHUNK * CHUNKS]).unwrap();
        let std = std::fs::File::open(&path).unwrap();
        for _ in 0..3 {
            std.sync_all().unwrap();
            #[cfg(target_os = "linux")]
            let _ = nix::fcntl::posix_fadvise(
                &std,
                0,
                0,
                nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED,
            );
            let readers = (0..4).map(|_| {
                let path = path.clone();
                tokio::spawn(async move {
                    let mut file = File::open(path).await.unwrap();
                    for at in 0..CHUNKS as u64 {
                        let offset = at * CHUNK as u64;
                        let (count, _) = file.read_at(vec![0; CHUNK], offset).await.unwrap();
                        assert_eq!(count, CHUNK, "at {offset}");
                    }
                    let mut all = Vec::new();
                    assert_eq!(file.read_to_end(&mut all).await.unwrap(), CHUNK * CHUNKS);
                })
            });
            for reader in readers.collect::<Vec<_>>() {
                reader.await.unwrap();
            }
        }
    });
}

/// The cursor reads, writes and seeks as a file does.
#[test]
fn the_cursor_behaves_as_tokio_s() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = File::create_new(&path).await.unwrap();
        file.write_all(b"hello, world").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(file.seek(SeekFrom::Start(7)).await.unwrap(), 7);
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "world");
        assert_eq!(file.seek(SeekFrom::End(-5)).await.unwrap(), 7);
        file.write_all(b"there").await.unwrap();
        assert_eq!(file.seek(SeekFrom::Current(-12)).await.unwrap(), 0);
        let mut all = Vec::new();
        file.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"hello, there");
        assert_eq!(
            file.seek(SeekFrom::Current(-13)).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let mut append = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .await
            .unwrap();
        append.write_all(b"!").await.unwrap();
        append.flush().await.unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"hello, there!");
    });
}

/// Whole files, also those that claim to be empty (R63).
#[test]
fn whole_files_are_read_to_their_end() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 1, 4095, 4096, 4097, 300_000] {
            let path = dir.path().join(length.to_string());
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            fs::write(&path, &bytes).await.unwrap();
            for _ in 0..3 {
                assert_eq!(fs::read(&path).await.unwrap(), bytes);
            }
        }
        let status = fs::read_to_string("/proc/self/status").await.unwrap();
        assert!(status.contains("VmRSS"), "{status}");
    });
}

/// Direct I/O, where the filesystem has it.
#[test]
fn direct_reads_are_aligned() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        fs::write(&path, vec![9u8; 65536]).await.unwrap();
        let file = match OpenOptions::new().read(true).direct(true).open(&path).await {
            Ok(file) => file,
            Err(error) => return eprintln!("skip: direct_reads_are_aligned: {error}"),
        };
        let buf = AlignedBuf::with_capacity(8192, 4096);
        let (count, buf) = file.read_at(buf, 4096).await.unwrap();
        assert_eq!((count, &buf[..]), (8192, &[9u8; 8192][..]));
        let error = file
            .read_at(vec![0; 100].slice(1..51), 1)
            .await
            .unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.error.raw_os_error(), Some(libc::EINVAL), "{error}");
    });
}

/// What tasks share and move is `Send` and `Sync`, and a positional read is `'static`.
#[test]
fn handles_and_futures_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    fn moves<T: Send + 'static>(_: &T) {}
    crosses::<File>();
    crosses::<fs::ReadDir>();
    crosses::<fs::DirEntry>();
    crosses::<tidegate::Handle>();
    on_every_backend(|_| async {
        let file = File::open("/proc/self/stat").await.unwrap();
        let read = file.read_at(vec![0; 1], 0);
        moves(&read);
        drop(file);
        assert_eq!(tokio::spawn(read).await.unwrap().unwrap().0, 1);
        moves(&fs::metadata("/"));
        moves(&fs::read_dir("/"));
    });
}
