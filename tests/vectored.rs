//! Vectored reads and writes beyond what std has them do, and appending on every way there is (R64, R68, R71).

mod common;

use std::io::ErrorKind;

use common::{on_each_route, on_every_backend};
use tidegate::Way;
use tidegate::buf::AlignedBuf;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::opcode::Kind;
use tokio::io::AsyncWriteExt;

async fn read_write(path: &std::path::Path) -> File {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    options.open(path).await.unwrap()
}

/// Each buffer has what came, and no buffer more: also where the file ends within one.
#[test]
fn a_short_read_fills_the_buffers_in_order() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = read_write(&dir.path().join("file")).await;
        file.write_all_at("0123456789", 0).await.unwrap();
        let bufs: Vec<Vec<u8>> = (0..4).map(|_| Vec::with_capacity(4)).collect();
        let addresses: Vec<_> = bufs.iter().map(|buf| buf.as_ptr()).collect();
        let (count, bufs) = file.readv_at(bufs, 1).await.unwrap();
        assert_eq!(count, 9);
        assert_eq!(bufs, [&b"1234"[..], b"5678", b"9", b""]);
        assert!(bufs.iter().map(|buf| buf.as_ptr()).eq(addresses));
        let (count, bufs) = file.readv_at(bufs, 10).await.unwrap();
        assert_eq!((count, &bufs[0][..]), (0, &b"1234"[..]));
        let (count, bufs) = file.readv_at(Vec::<Vec<u8>>::new(), 0).await.unwrap();
        assert_eq!((count, bufs.len()), (0, 0));
        let (count, _) = file.readv_at(vec![Vec::new(); 3], 0).await.unwrap();
        assert_eq!(count, 0);
    });
}

/// More buffers than one call takes are clamped, and empty ones among them take no place.
#[test]
fn any_number_of_buffers_is_taken() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = read_write(&dir.path().join("file")).await;
        let bufs: Vec<Vec<u8>> = (0..5000u32)
            .map(|n| vec![n as u8; n as usize % 3])
            .collect();
        let whole = bufs.concat();
        let (count, bufs) = file.writev_at(bufs, 0).await.unwrap();
        assert!(count >= 1024 && count < whole.len(), "{count}");
        let bufs = file.writev_all_at(bufs, 0).await.unwrap();
        assert_eq!(bufs.concat(), whole);
        assert_eq!(fs::read(dir.path().join("file")).await.unwrap(), whole);
        let (count, _) = file.readv_at(vec![vec![0; 1]; 2000], 0).await.unwrap();
        assert_eq!(count, 1024);
        let mut hidden = vec![Vec::new(); 3000];
        hidden.push(vec![b'!'; 5]);
        assert_eq!(file.writev_at(hidden, 7).await.unwrap().0, 5);
        file.writev_all_at(Vec::<&str>::new(), 0).await.unwrap();
        file.writev_all_at(vec!["", ""], 0).await.unwrap();
    });
}

/// More than 2 GiB in one vector are clamped to what one call moves, and the rest follows.
#[test]
fn more_than_two_gib_are_clamped_and_continued() {
    static ZEROS: [u8; 3 << 20] = [0; 3 << 20];
    on_each_route(|_| async {
        let mut writing = OpenOptions::new();
        let null = writing.write(true).open("/dev/null").await.unwrap();
        let bufs = vec![&ZEROS[..]; 1024];
        let (count, bufs) = null.writev_at(bufs, 0).await.unwrap();
        assert_eq!(count, 0x7fff_f000);
        let handle = tidegate::Handle::current().unwrap();
        let calls = || {
            let ways = [Way::WorkerRing, Way::LaneRing, Way::Pool];
            let stats = handle.stats();
            ways.map(|way| stats.count(Kind::WriteVectored, way))
                .iter()
                .sum::<u64>()
        };
        let before = calls();
        null.writev_all_at(bufs, 0).await.unwrap();
        assert_eq!(calls() - before, 2);
    });
}

/// Offsets over 4 GiB are not cut off, and those over `i64::MAX` are refused with the buffers.
#[test]
fn offsets_are_whole_and_bad_ones_give_the_buffers_back() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = read_write(&dir.path().join("file")).await;
        let far = (5 << 32) + 3;
        file.writev_all_at(vec!["far", "away"], far).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), far + 7);
        let (_, bufs) = file
            .readv_at(vec![vec![0; 3], vec![0; 4]], far)
            .await
            .unwrap();
        assert_eq!(bufs, [&b"far"[..], b"away"]);
        assert_eq!(
            file.readv_at(vec![vec![9; 3]], 3).await.unwrap().1[0],
            [0; 3]
        );
        for offset in [1 << 63, u64::MAX] {
            let error = file.readv_at(vec![vec![7; 3]], offset).await.unwrap_err();
            assert_eq!(error.error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.into_parts().1.unwrap(), [[7; 3]]);
            let error = file.writev_at(vec!["back"], offset).await.unwrap_err();
            assert_eq!(error.into_parts().1.unwrap(), ["back"]);
        }
    });
}

/// What has no size, no end, no room or no positions.
#[test]
fn files_that_are_no_ordinary_ones_are_read_and_written() {
    on_each_route(|_| async {
        let status = File::open("/proc/self/status").await.unwrap();
        let (count, bufs) = status
            .readv_at(vec![vec![0; 5], vec![0; 20]], 0)
            .await
            .unwrap();
        assert_eq!((count, &bufs[0][..]), (25, &b"Name:"[..]));
        let zero = File::open("/dev/zero").await.unwrap();
        let (count, bufs) = zero.readv_at(vec![vec![1; 9]; 3], 1 << 40).await.unwrap();
        assert_eq!((count, bufs.concat()), (27, vec![0; 27]));
        let mut writing = OpenOptions::new();
        let full = writing.write(true).open("/dev/full").await.unwrap();
        let error = full.writev_all_at(vec!["a", "b"], 0).await.unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::StorageFull);
        assert_eq!(error.into_parts().1.unwrap(), ["a", "b"]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fs::make_fifo(&path, 0o600).await.unwrap();
        let fifo = read_write(&path).await;
        // A stream has no positions: what is asked for at one comes in its turn.
        fifo.writev_all_at(vec!["one", "two"], 99).await.unwrap();
        let (count, bufs) = fifo
            .readv_at(vec![vec![0; 4], vec![0; 9]], 7)
            .await
            .unwrap();
        assert_eq!((count, &bufs.concat()[..6]), (6, &b"onetwo"[..]));
        fifo.write_all_at("three", 1).await.unwrap();
        assert_eq!(fifo.read_exact_at(vec![0; 5], 2).await.unwrap(), b"three");
    });
}

/// Direct I/O takes aligned buffers, and says what is wrong with others.
#[test]
fn direct_vectors_are_aligned() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).direct(true);
        let file = match options.open(&path).await {
            Ok(file) => file,
            Err(error) => return eprintln!("skip: direct_vectors_are_aligned: {error}"),
        };
        let filled = |byte| {
            let mut buf = AlignedBuf::zeroed(8192, 4096);
            buf.fill(byte);
            buf
        };
        file.writev_all_at(vec![filled(1), filled(2)], 4096)
            .await
            .unwrap();
        let empty = || AlignedBuf::with_capacity(4096, 4096);
        let (count, bufs) = file
            .readv_at(vec![empty(), empty(), empty()], 8192)
            .await
            .unwrap();
        assert_eq!(count, 3 * 4096);
        let firsts: Vec<u8> = bufs.iter().map(|buf| buf[4095]).collect();
        assert_eq!(firsts, [1, 2, 2]);
        let error = file.readv_at(vec![vec![0; 100]], 4097).await.unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::InvalidInput);
    });
}

/// R71: what is written at an offset of a file that appends goes to its end, whichever way it takes.
#[test]
fn appending_never_overwrites_what_is_there() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "prefix").await.unwrap();
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).open(&path).await.unwrap();
        file.write_at("1", 0).await.unwrap();
        file.write_all_at("23", 2).await.unwrap();
        file.writev_at(vec!["4", "5"], 0).await.unwrap();
        file.writev_all_at(vec!["6"; 3], 1 << 40).await.unwrap();
        file.write_all(b"7").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"prefix123456667");
        // Many parts, and so several calls: none of them starts at the offset of another.
        file.writev_all_at(vec!["x"; 3000], 0).await.unwrap();
        let all = fs::read(&path).await.unwrap();
        assert_eq!((all.len(), &all[..6]), (15 + 3000, &b"prefix"[..]));
        let mut together = Vec::new();
        for _ in 0..50 {
            together.push(file.writev_at(vec!["ab", "c"], 3));
        }
        for written in futures::future::join_all(together).await {
            assert_eq!(written.unwrap().0, 3);
        }
        let all = fs::read(&path).await.unwrap();
        assert_eq!(&all[3015..], "abc".repeat(50).as_bytes());
    });
}

/// Buffers of reads and writes whose futures are dropped stay whole until the kernel is done.
#[test]
fn dropped_vectors_are_kept_until_the_kernel_is_done() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = read_write(&dir.path().join("file")).await;
        file.set_len(1 << 20).await.unwrap();
        for round in 0..200u64 {
            let read = Box::pin(file.readv_at(vec![vec![1; 4096]; 16], round * 4096));
            drop(futures::future::select(read, std::future::ready(())).await);
            let write = Box::pin(file.writev_at(vec![vec![2; 4096]; 16], round * 4096));
            drop(futures::future::select(write, std::future::ready(())).await);
        }
        file.sync_all().await.unwrap();
        let bytes = file.read_exact_at(vec![9; 1 << 20], 0).await.unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0 || byte == 2));
    });
}
