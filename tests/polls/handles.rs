//! Calls on a file that was opened before.

use std::future::poll_fn;
use std::io::SeekFrom;
use std::pin::Pin;

use futures::StreamExt;
use tidegate::buf::AlignedBuf;
use tidegate::fs::{Advice, File, Space, Writeback};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt};

use crate::calls::{Act, Call, How, Site, kept};
use crate::watch::Doing;

pub(crate) fn on(name: &'static str, how: How, act: fn(File, Site) -> Doing) -> Call {
    Call {
        name,
        act: Act::Handle(how, act),
        reads: false,
    }
}

pub(crate) fn reads() -> Vec<Call> {
    vec![
        on("File::read_at", How::Read, |f, s| {
            Box::pin(async move { kept((f.read_at(vec![0; s.length], s.offset).await, f)) })
        }),
        on("File::read_at, O_NOATIME", How::NoAtime, |f, s| {
            Box::pin(async move { kept((f.read_at(vec![0; s.length], s.offset).await, f)) })
        }),
        on("File::read_exact_at", How::Read, |f, s| {
            Box::pin(async move { kept((f.read_exact_at(vec![0; s.length], s.offset).await, f)) })
        }),
        on("File::readv_at", How::Read, |f, s| {
            Box::pin(async move {
                let bufs = vec![vec![0; s.length / 2]; 2];
                kept((f.readv_at(bufs, s.offset).await, f))
            })
        }),
        on("File::read_ranges", How::Read, |f, s| {
            Box::pin(async move {
                let ranges = [s.offset..s.offset + 100, s.offset + 2000..s.offset + 4000];
                kept((f.read_ranges(&ranges).await, f))
            })
        }),
        on("File::stream", How::Read, |f, s| {
            Box::pin(async move {
                let mut stream = f.stream(s.offset..).chunk_bytes(4096);
                let first = stream.next().await;
                kept((first, stream, f))
            })
        }),
        on("drop of a stream", How::Read, |f, s| {
            Box::pin(async move {
                let mut stream = f.stream(s.offset..).chunk_bytes(4096);
                let first = futures::poll!(stream.next());
                drop(stream);
                kept((first, f))
            })
        }),
        on("poll_read", How::Read, |mut f, s| {
            Box::pin(async move {
                f.seek(SeekFrom::Start(s.offset)).await?;
                let mut bytes = vec![0; s.length];
                kept((f.read(&mut bytes).await, f))
            })
        }),
        on("read_to_end", How::Read, |mut f, _| {
            Box::pin(async move {
                let mut bytes = Vec::new();
                kept((f.read_to_end(&mut bytes).await, f))
            })
        }),
        on("File::read_at, written file", How::ReadWrite, |f, s| {
            Box::pin(async move { kept((f.read_at(vec![0; s.length], s.offset).await, f)) })
        }),
        on("File::read_at, given up", How::Read, |f, s| {
            Box::pin(async move {
                let first = futures::poll!(Box::pin(f.read_at(vec![0; s.length], s.offset)));
                kept((first.is_ready(), f))
            })
        }),
    ]
}

pub(crate) fn others() -> Vec<Call> {
    let mut calls = vec![
        on("File::metadata", How::Read, |f, _| {
            Box::pin(async move { kept((f.metadata().await, f)) })
        }),
        on("File::statx", How::Read, |f, _| {
            Box::pin(async move { kept((f.statx().await, f)) })
        }),
        on("seek to the end", How::Read, |mut f, _| {
            Box::pin(async move { kept((f.seek(SeekFrom::End(0)).await, f)) })
        }),
        on("File::get_xattr", How::Read, |f, _| {
            Box::pin(async move { kept((f.get_xattr("user.none").await, f)) })
        }),
        on("File::list_xattrs", How::Read, |f, _| {
            Box::pin(async move { kept((f.list_xattrs().await, f)) })
        }),
        on("File::advise", How::Read, |f, s| {
            Box::pin(async move { kept((f.advise(s.offset, 65536, Advice::WillNeed).await, f)) })
        }),
        on("File::try_clone", How::Read, |f, _| {
            Box::pin(async move { kept((f.try_clone().await, f)) })
        }),
        on("File::into_std", How::Read, |f, _| {
            Box::pin(async move { kept(f.into_std().await) })
        }),
        on("File::try_into_std", How::ReadWrite, |f, _| {
            Box::pin(async move { kept(f.try_into_std()) })
        }),
        on("File::from_std", How::Read, |f, _| {
            Box::pin(async move {
                // The descriptor comes and goes without a close.
                kept(File::from_std(f.into_std().await))
            })
        }),
        on("File::close", How::Read, |f, _| {
            Box::pin(async move { kept(f.close().await) })
        }),
        on("File::close, written file", How::ReadWrite, |f, _| {
            Box::pin(async move { kept(f.close().await) })
        }),
    ];
    calls.extend(drops());
    calls.extend(writes());
    calls
}

/// What waits for the disk itself, after which the library leaves the mount alone for a while.
pub(crate) fn direct() -> Vec<Call> {
    vec![on("File::read_at, O_DIRECT", How::Direct, |f, s| {
        Box::pin(async move {
            let buf = AlignedBuf::zeroed(4096, 4096);
            kept((f.read_at(buf, s.offset).await, f))
        })
    })]
}

fn drops() -> Vec<Call> {
    fn dropped(file: File, _: Site) -> Doing {
        Box::pin(async move {
            drop(file);
            kept(())
        })
    }
    vec![
        on("drop", How::Read, dropped),
        on("drop, O_NOATIME", How::NoAtime, dropped),
        on("drop, O_RDWR", How::ReadWrite, dropped),
        on("drop, O_DIRECT", How::Direct, dropped),
        on("drop of a clone, then of the file", How::Read, |f, _| {
            Box::pin(async move {
                drop(f.try_clone().await);
                drop(f);
                kept(())
            })
        }),
        on("drop with a read under way", How::Read, |f, s| {
            Box::pin(async move {
                let mut read = Box::pin(f.read_at(vec![0; s.length], s.offset));
                let first = futures::poll!(&mut read).is_ready();
                drop(f);
                drop(read);
                kept(first)
            })
        }),
        on("drop with a write accepted", How::ReadWrite, |mut f, _| {
            Box::pin(async move {
                let written = poll_fn(|cx| Pin::new(&mut f).poll_write(cx, &[7; 8192])).await;
                drop(f);
                kept(written)
            })
        }),
    ]
}

fn writes() -> Vec<Call> {
    vec![
        on("File::write_at", How::ReadWrite, |f, s| {
            Box::pin(async move { kept((f.write_at(vec![7; 5000], s.offset).await, f)) })
        }),
        on("File::write_at, given up", How::ReadWrite, |f, s| {
            Box::pin(async move {
                let first = futures::poll!(Box::pin(f.write_at(vec![7; 5000], s.offset)));
                kept((first.is_ready(), f))
            })
        }),
        on("File::writev_at", How::ReadWrite, |f, s| {
            Box::pin(async move { kept((f.writev_at(vec![vec![7; 3000]; 2], s.offset).await, f)) })
        }),
        on("poll_write and poll_flush", How::ReadWrite, |mut f, _| {
            Box::pin(async move {
                let written = f.write(&[7; 8192]).await;
                let flushed = f.flush().await;
                kept((written, flushed, f))
            })
        }),
        on("poll_shutdown", How::ReadWrite, |mut f, _| {
            Box::pin(async move {
                let written = f.write(&[7; 8192]).await;
                let ended = f.shutdown().await;
                kept((written, ended, f))
            })
        }),
        on("File::sync_all", How::ReadWrite, |f, _| {
            Box::pin(async move { kept((f.sync_all().await, f)) })
        }),
        on("File::sync_data", How::ReadWrite, |f, _| {
            Box::pin(async move { kept((f.sync_data().await, f)) })
        }),
        on("File::sync_range", How::ReadWrite, |f, _| {
            Box::pin(async move { kept((f.sync_range(0, 65536, Writeback::Start).await, f)) })
        }),
        on("File::set_len", How::ReadWrite, |f, _| {
            Box::pin(async move { kept((f.set_len(5000).await, f)) })
        }),
        on("File::allocate", How::ReadWrite, |f, _| {
            Box::pin(async move { kept((f.allocate(0, 1 << 20, Space::Reserve).await, f)) })
        }),
        on("File::set_modified", How::ReadWrite, |f, _| {
            Box::pin(async move { kept((f.set_modified(std::time::SystemTime::now()).await, f)) })
        }),
    ]
}
