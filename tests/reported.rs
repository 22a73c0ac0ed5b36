//! What people reported about `tokio::fs`, tried on both: the same comes out, byte for byte (V13).

mod common;

use std::ffi::OsStr;
use std::io::SeekFrom;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use common::{on_each_route, on_every_backend};

/// The same program on both crates: what it tells has to be equal, and is what is asserted.
macro_rules! on_both {
    ($($name:ident, $dir:ident => $body:block)*) => {
        mod on_tokio {
            use super::*;
            use tokio::fs::{self, File, OpenOptions};
            $(pub(crate) async fn $name($dir: &Path) -> String $body)*
        }
        mod on_tidegate {
            use super::*;
            use tidegate::fs::{self, File, OpenOptions};
            $(pub(crate) async fn $name($dir: &Path) -> String $body)*
        }
        $(#[test]
        fn $name() {
            on_every_backend(|_| async {
                let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
                let expected = on_tokio::$name(theirs.path()).await;
                let found = on_tidegate::$name(ours.path()).await;
                let without = |text: &str, dir: &Path| text.replace(&dir.display().to_string(), "DIR");
                assert_eq!(without(&found, ours.path()), without(&expected, theirs.path()));
                assert_eq!(content(ours.path()), content(theirs.path()));
            });
        })*
    };
}

fn content(dir: &Path) -> Vec<(std::ffi::OsString, Option<Vec<u8>>)> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name(), std::fs::read(entry.path()).ok())
        })
        .collect();
    found.sort();
    found
}

fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufWriter};

on_both! {
    appending_after_a_seek, dir => {
        let path = dir.join("log");
        fs::write(&path, "first\n").await.unwrap();
        let mut file = OpenOptions::new().read(true).append(true).open(&path).await.unwrap();
        let mut told = format!("{:?}", file.stream_position().await);
        file.seek(SeekFrom::Start(2)).await.unwrap();
        file.write_all(b"second\n").await.unwrap();
        file.flush().await.unwrap();
        told += &format!(" {:?}", file.stream_position().await);
        file.seek(SeekFrom::End(-3)).await.unwrap();
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        told + &rest
    }

    reads_seeks_and_writes_mixed, dir => {
        let path = dir.join("mixed");
        fs::write(&path, "0123456789").await.unwrap();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await.unwrap();
        let mut two = [0; 2];
        file.read_exact(&mut two).await.unwrap();
        file.write_all(b"ab").await.unwrap();
        file.read_exact(&mut two).await.unwrap();
        let mut told = format!("{two:?} {:?}", file.stream_position().await);
        file.seek(SeekFrom::Current(-4)).await.unwrap();
        file.write_all(b"cd").await.unwrap();
        told += &format!(" {:?}", kind(file.seek(SeekFrom::Current(-100)).await));
        told += &format!(" {:?}", file.stream_position().await);
        file.seek(SeekFrom::Start(20)).await.unwrap();
        told += &format!(" {:?}", file.read(&mut two).await);
        file.write_all(b"end").await.unwrap();
        file.flush().await.unwrap();
        told
    }

    setting_the_length_below_the_cursor, dir => {
        let path = dir.join("short");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true)
            .open(&path).await.unwrap();
        file.write_all(b"0123456789").await.unwrap();
        file.set_len(4).await.unwrap();
        let mut told = format!("{:?}", file.stream_position().await);
        told += &format!(" {:?}", file.read(&mut [0; 4]).await);
        file.write_all(b"x").await.unwrap();
        file.flush().await.unwrap();
        told += &format!(" {}", file.metadata().await.unwrap().len());
        file.set_len(100).await.unwrap();
        told + &format!(" {:?}", file.stream_position().await)
    }

    loops_of_links_and_names_that_are_too_long, dir => {
        std::os::unix::fs::symlink("two", dir.join("one")).unwrap();
        std::os::unix::fs::symlink("one", dir.join("two")).unwrap();
        let long = dir.join("x".repeat(256));
        let deep = dir.join("y/".repeat(3000));
        let mut told = format!("{:?}", File::open(dir.join("one")).await.map_err(|e| e.kind()).is_err());
        for path in [dir.join("one"), long, deep, dir.join("nul\0byte"), "".into()] {
            told += &format!(
                " {} {} {} {} {} {}",
                kind(File::open(&path).await.map(drop)),
                kind(fs::read(&path).await),
                kind(fs::metadata(&path).await.map(drop)),
                kind(fs::canonicalize(&path).await),
                kind(fs::try_exists(&path).await),
                kind(fs::create_dir_all(&path).await),
            );
        }
        told + &kind(fs::symlink_metadata(dir.join("one")).await.map(|m| m.is_symlink()))
    }

    names_that_are_no_text, dir => {
        let name = OsStr::from_bytes(b"\xff\xfe name\n");
        fs::write(dir.join(name), "x").await.unwrap();
        let mut entries = fs::read_dir(dir).await.unwrap();
        let entry = entries.next_entry().await.unwrap().unwrap();
        let told = format!("{:?} {:?}", entry.file_name(), entry.path());
        let path = fs::canonicalize(entry.path()).await.unwrap();
        fs::rename(path, dir.join("plain")).await.unwrap();
        told
    }

    files_of_proc, dir => {
        let text = fs::read_to_string("/proc/self/status").await.unwrap();
        let mut file = File::open("/proc/self/cmdline").await.unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await.unwrap();
        let mut lines = BufReader::new(File::open("/proc/filesystems").await.unwrap()).lines();
        let mut count = 0;
        while lines.next_line().await.unwrap().is_some() {
            count += 1;
        }
        let length = fs::metadata("/proc/self/status").await.unwrap().len();
        let limit = fs::read_to_string("/proc/sys/kernel/pid_max").await.unwrap();
        let _ = dir;
        format!("{} {} {count} {length} {limit}", text.contains("Pid:"), bytes.len())
    }

    many_small_writes_without_a_flush, dir => {
        let mut file = File::create(dir.join("small")).await.unwrap();
        for n in 0..2000 {
            file.write_all(format!("{n},").as_bytes()).await.unwrap();
        }
        // A later call waits for what was accepted.
        let length = file.metadata().await.unwrap().len();
        file.shutdown().await.unwrap();
        file.shutdown().await.unwrap();
        file.write_all(b"after").await.unwrap();
        file.flush().await.unwrap();
        format!("{length} {}", file.metadata().await.unwrap().len())
    }

    reading_on_after_an_error, dir => {
        let mut folder = File::open(dir).await.unwrap();
        let mut told = String::new();
        for _ in 0..3 {
            told += &kind(folder.read(&mut [0; 8]).await);
        }
        let mut write_only = File::create(dir.join("out")).await.unwrap();
        told += &kind(write_only.read(&mut [0; 8]).await);
        write_only.write_all(b"still").await.unwrap();
        write_only.flush().await.unwrap();
        let mut read_only = File::open(dir.join("out")).await.unwrap();
        let written = read_only.write(b"no").await.map(drop);
        told += &kind(written.and(read_only.flush().await));
        told += &kind(read_only.read(&mut [0; 3]).await);
        told
    }

    lines_and_seeks_through_a_buffer, dir => {
        let text: String = (0..5000).map(|n| format!("line {n}\n")).collect();
        fs::write(dir.join("lines"), &text).await.unwrap();
        let mut reader = BufReader::new(File::open(dir.join("lines")).await.unwrap());
        let (mut line, mut told) = (String::new(), String::new());
        for at in [0, 40_000, 3, 44_000] {
            reader.seek(SeekFrom::Start(at)).await.unwrap();
            line.clear();
            reader.read_line(&mut line).await.unwrap();
            reader.read_line(&mut line).await.unwrap();
            told += &format!("{line} {:?}", reader.stream_position().await);
        }
        reader.seek(SeekFrom::Current(-20)).await.unwrap();
        line.clear();
        reader.read_line(&mut line).await.unwrap();
        let mut writer = BufWriter::new(File::create(dir.join("copy")).await.unwrap());
        reader.rewind().await.unwrap();
        let count = tokio::io::copy_buf(&mut reader, &mut writer).await.unwrap();
        writer.flush().await.unwrap();
        format!("{told} {line} {count}")
    }

    copying_both_ways, dir => {
        fs::write(dir.join("left"), "from the left").await.unwrap();
        let options = OpenOptions::new().read(true).write(true).clone();
        let mut file = options.open(dir.join("left")).await.unwrap();
        let (mut near, mut far) = tokio::io::duplex(4);
        let other = tokio::spawn(async move {
            let mut got = vec![0; 13];
            far.read_exact(&mut got).await.unwrap();
            far.write_all(b" and back").await.unwrap();
            far.shutdown().await.unwrap();
            got
        });
        let counts = tokio::io::copy_bidirectional(&mut file, &mut near).await;
        format!("{counts:?} {:?}", other.await.unwrap())
    }

    a_read_in_a_loop_of_selects, dir => {
        let text: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        fs::write(dir.join("data"), &text).await.unwrap();
        let mut file = File::open(dir.join("data")).await.unwrap();
        let (mut got, mut buf) = (Vec::new(), [0; 777]);
        loop {
            // A future that is dropped before it is done loses no byte.
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                count = file.read(&mut buf) => match count.unwrap() {
                    0 => break,
                    count => { got.extend_from_slice(&buf[..count]); continue }
                }
            }
            let count = file.read(&mut buf).await.unwrap();
            if count == 0 {
                break;
            }
            got.extend_from_slice(&buf[..count]);
        }
        format!("{}", got == text)
    }

    a_listing_while_entries_go, dir => {
        for n in 0..50 {
            fs::write(dir.join(format!("{n}")), "").await.unwrap();
        }
        let mut entries = fs::read_dir(dir).await.unwrap();
        let mut count = 0;
        while let Some(entry) = entries.next_entry().await.unwrap() {
            count += usize::from(entry.file_type().await.unwrap().is_file());
            fs::remove_file(entry.path()).await.unwrap();
            if count == 1 {
                told_of_missing(kind(entry.metadata().await.map(drop)));
            }
        }
        format!("{count} {}", kind(fs::remove_dir(dir.join("none")).await))
    }

    renames_and_links_over_what_is_there, dir => {
        fs::create_dir_all(dir.join("full/in")).await.unwrap();
        fs::write(dir.join("file"), "file").await.unwrap();
        let at = |name: &str| dir.join(name);
        [
            kind(fs::rename(at("file"), at("full")).await),
            kind(fs::rename(at("full"), at("file")).await),
            kind(fs::rename(at("full"), at("full/in/deep")).await),
            kind(fs::rename(at("file"), at("file")).await),
            kind(fs::hard_link(at("full"), at("link")).await),
            kind(fs::hard_link(at("file"), at("file")).await),
            kind(fs::symlink("anything", at("file")).await),
            kind(fs::create_dir(at("full")).await),
            kind(fs::create_dir_all(at("file/below")).await),
            kind(fs::remove_dir(at("full")).await),
            kind(fs::remove_dir(at("file")).await),
            kind(fs::remove_file(at("full/in")).await),
            kind(fs::remove_dir_all(at("file")).await),
            kind(fs::remove_dir_all(at("none")).await),
            kind(fs::copy(at("full"), at("copy")).await),
            kind(fs::copy(at("none"), at("copy")).await),
            kind(fs::read_dir(at("none")).await.map(drop)),
            kind(fs::read_link(at("none")).await),
        ]
        .join(" ")
    }

    text_that_is_none, dir => {
        fs::write(dir.join("bytes"), b"\xff\xfe").await.unwrap();
        let mut text = "before".to_owned();
        let mut file = File::open(dir.join("bytes")).await.unwrap();
        let read = kind(file.read_to_string(&mut text).await);
        format!("{read} {text} {}", kind(fs::read_to_string(dir.join("bytes")).await))
    }
}

fn told_of_missing(told: String) {
    assert_eq!(told, "NotFound");
}

/// A FIFO that nobody opens at the other end is waited for without a limit, and the wait can be dropped.
#[test]
fn opening_a_fifo_has_no_limit() {
    on_each_route(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        tidegate::fs::make_fifo(&path, 0o600).await.unwrap();
        let runtime = common::runtime(true);
        let mut timeouts = tidegate::Timeouts::default();
        timeouts.metadata = Some(Duration::from_millis(1));
        timeouts.data = timeouts.metadata;
        let opening = runtime.spawn(async move {
            let builder = tidegate::Handle::builder().route(route);
            builder.timeouts(timeouts).install().unwrap();
            let mut file = tidegate::fs::File::open(&path).await?;
            let mut text = String::new();
            file.read_to_string(&mut text).await.map(|_| text)
        });
        // So long that a limit of a millisecond would have ended it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!opening.is_finished(), "{route:?}");
        let writer = tokio::task::spawn_blocking({
            let path = dir.path().join("fifo");
            move || std::fs::write(path, "late")
        });
        assert_eq!(opening.await.unwrap().unwrap(), "late");
        writer.await.unwrap().unwrap();
        runtime.shutdown_background();
    });
}
