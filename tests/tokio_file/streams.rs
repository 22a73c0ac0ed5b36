//! tokio's helpers over files, and files in several tasks.

use std::io::{IoSlice, SeekFrom};
use std::sync::Arc;

use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, BufReader, BufStream,
    BufWriter,
};

use super::fs::{self, File, OpenOptions};
use super::{Dir, run};

async fn read_write(dir: &Dir, content: &[u8]) -> File {
    let path = dir.with("file", content);
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .await
        .unwrap()
}

fn numbers(count: u32) -> Vec<u8> {
    (0..count).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn part_of_a_file_is_taken_and_the_rest_is_left() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"0123456789").await;
        let mut part = Vec::new();
        (&mut file).take(4).read_to_end(&mut part).await.unwrap();
        assert_eq!(part, b"0123");
        let mut chained = (&mut file).take(2).chain(&b"XY"[..]);
        part.clear();
        chained.read_to_end(&mut part).await.unwrap();
        assert_eq!(part, b"45XY");
        let mut rest = Vec::with_capacity(100);
        assert_eq!(file.read_buf(&mut rest).await.unwrap(), 4);
        assert_eq!(rest, b"6789");
        assert_eq!(file.read_buf(&mut rest).await.unwrap(), 0);
    });
}

#[test]
fn numbers_are_read_and_written() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"").await;
        file.write_u32(7).await.unwrap();
        file.write_u64_le(8).await.unwrap();
        file.rewind().await.unwrap();
        assert_eq!(file.read_u32().await.unwrap(), 7);
        assert_eq!(file.read_u64_le().await.unwrap(), 8);
        let error = file.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn several_slices_are_written_in_one() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"").await;
        assert!(file.is_write_vectored());
        let slices = ["ab", "", "cde", "f"].map(|text| IoSlice::new(text.as_bytes()));
        assert_eq!(file.write_vectored(&slices).await.unwrap(), 6);
        file.set_max_buf_size(4);
        assert_eq!(file.write_vectored(&slices).await.unwrap(), 4);
        assert_eq!(file.write_vectored(&[]).await.unwrap(), 0);
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"abcdefabcd");
    });
}

#[test]
fn a_buffer_with_several_parts_is_written_whole() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"").await;
        let mut parts = bytes::Buf::chain(&b"abc"[..], &b"defg"[..]);
        file.write_all_buf(&mut parts).await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"abcdefg");
    });
}

#[test]
fn a_file_is_copied_into_another_through_the_traits() {
    run(|dir| async move {
        let content = numbers(1_000_000);
        let mut from = File::open(dir.with("from", &content)).await.unwrap();
        let mut to = File::create(dir.at("to")).await.unwrap();
        let count = tokio::io::copy(&mut from, &mut to).await.unwrap();
        assert_eq!(count, content.len() as u64);
        to.flush().await.unwrap();
        assert!(std::fs::read(dir.at("to")).unwrap() == content);
        from.rewind().await.unwrap();
        let mut from = BufReader::with_capacity(1000, from);
        let mut to = File::create(dir.at("to")).await.unwrap();
        tokio::io::copy_buf(&mut from, &mut to).await.unwrap();
        to.shutdown().await.unwrap();
        assert!(std::fs::read(dir.at("to")).unwrap() == content);
    });
}

#[test]
fn lines_are_read_through_a_buffer() {
    run(|dir| async move {
        let text: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
        let file = File::open(dir.with("file", &text)).await.unwrap();
        let mut lines = BufReader::with_capacity(37, file).lines();
        for n in 0..10_000 {
            assert_eq!(
                lines.next_line().await.unwrap().unwrap(),
                format!("line {n}")
            );
        }
        assert!(lines.next_line().await.unwrap().is_none());
        let mut reader = BufReader::new(File::open(dir.at("file")).await.unwrap());
        let mut line = String::new();
        reader.seek(SeekFrom::Start(7)).await.unwrap();
        reader.read_line(&mut line).await.unwrap();
        assert_eq!(line, "line 1\n");
        reader.seek(SeekFrom::Current(-7)).await.unwrap();
        assert_eq!(reader.read_u8().await.unwrap(), b'l');
    });
}

#[test]
fn small_writes_go_through_a_buffer() {
    run(|dir| async move {
        let mut writer = BufWriter::with_capacity(100, File::create(dir.at("file")).await.unwrap());
        for n in 0..5000u32 {
            writer.write_all(&n.to_le_bytes()).await.unwrap();
        }
        writer.seek(SeekFrom::Start(0)).await.unwrap();
        writer.write_all(&7u32.to_le_bytes()).await.unwrap();
        writer.flush().await.unwrap();
        let mut expected = numbers(5000);
        expected[0] = 7;
        assert!(std::fs::read(dir.at("file")).unwrap() == expected);
    });
}

#[test]
fn one_file_is_read_and_written_through_a_buffer() {
    run(|dir| async move {
        let mut stream = BufStream::new(read_write(&dir, b"0123456789").await);
        let mut buf = [0; 3];
        stream.read_exact(&mut buf).await.unwrap();
        stream.seek(SeekFrom::Start(8)).await.unwrap();
        stream.write_all(b"XYZ").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"01234567XYZ");
    });
}

#[test]
fn halves_of_a_file_share_its_cursor() {
    run(|dir| async move {
        let file = read_write(&dir, b"0123456789").await;
        let (mut reader, mut writer) = tokio::io::split(file);
        reader.read_exact(&mut [0; 2]).await.unwrap();
        let writing = tokio::spawn(async move {
            writer.write_all(b"XY").await.unwrap();
            writer.flush().await.unwrap();
            writer
        });
        let writer = writing.await.unwrap();
        let mut file = reader.unsplit(writer);
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "456789");
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"01XY456789");
    });
}

#[test]
fn a_shared_file_answers_several_tasks() {
    run(|dir| async move {
        let file = Arc::new(read_write(&dir, &[0; 1000]).await);
        let tasks = (0..16u64).map(|n| {
            let file = file.clone();
            tokio::spawn(async move {
                assert_eq!(file.metadata().await.unwrap().len(), 1000);
                file.set_len(1000).await.unwrap();
                if n % 2 == 0 {
                    file.sync_all().await.unwrap();
                } else {
                    file.sync_data().await.unwrap();
                }
                drop(file.try_clone().await.unwrap());
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert!(Arc::into_inner(file).unwrap().try_into_std().is_ok());
    });
}

#[test]
fn a_file_behind_a_lock_is_written_by_several_tasks() {
    run(|dir| async move {
        let file = Arc::new(tokio::sync::Mutex::new(
            File::create(dir.at("file")).await.unwrap(),
        ));
        let tasks = (0..50).map(|n| {
            let file = file.clone();
            tokio::spawn(async move {
                let mut file = file.lock().await;
                file.write_all(format!("{n:03}\n").as_bytes())
                    .await
                    .unwrap();
                file.flush().await.unwrap();
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let text = fs::read_to_string(dir.at("file")).await.unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let expected: Vec<String> = (0..50).map(|n| format!("{n:03}")).collect();
        assert_eq!(lines, expected);
    });
}

#[test]
fn a_file_moves_between_tasks_with_its_cursor() {
    run(|dir| async move {
        let mut file = read_write(&dir, &numbers(3000)).await;
        for n in 0..30u32 {
            file = tokio::spawn(async move {
                for k in 0..100 {
                    assert_eq!(file.read_u32_le().await.unwrap(), n * 100 + k);
                }
                file
            })
            .await
            .unwrap();
        }
        assert_eq!(file.read(&mut [0]).await.unwrap(), 0);
    });
}
