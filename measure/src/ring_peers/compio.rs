//! compio: a ring per runtime, a runtime per thread, not tokio.

use std::io;
use std::path::Path;
use std::rc::Rc;

use compio::BufResult;
use compio::fs::{self, File, OpenOptions};
use compio::io::{AsyncReadAt, AsyncWriteAt};
use nix::fcntl::OFlag;

use super::ring_buf::RingBuf;
use crate::ops::{Mode, Ops, aligned};

/// compio's files, through their positional operations.
pub(crate) struct Compio;

impl Ops for Compio {
    type File = Rc<File>;
    type Buf = RingBuf;
    type Stream = ();

    fn buf(len: usize) -> RingBuf {
        RingBuf(aligned(len))
    }

    async fn open(path: &Path, mode: Mode) -> io::Result<Rc<File>> {
        let mut options = OpenOptions::new();
        match mode {
            Mode::Create => options.write(true).create_new(true),
            Mode::Direct => options.read(true).custom_flags(OFlag::O_DIRECT.bits()),
            Mode::Read => options.read(true),
            Mode::Write => options.write(true),
        };
        Ok(Rc::new(options.open(path).await?))
    }

    async fn read_at(file: &Rc<File>, buf: RingBuf, offset: u64) -> io::Result<(usize, RingBuf)> {
        let BufResult(result, buf) = file.read_at(buf, offset).await;
        Ok((result?, buf))
    }

    async fn write_at(file: &Rc<File>, buf: RingBuf, offset: u64) -> io::Result<(usize, RingBuf)> {
        let BufResult(result, buf) = (&**file).write_at(buf, offset).await;
        Ok((result?, buf))
    }

    async fn sync(file: &Rc<File>) -> io::Result<()> {
        file.sync_data().await
    }

    async fn close(file: Rc<File>) -> io::Result<()> {
        match Rc::into_inner(file) {
            Some(file) => file.close().await,
            None => Ok(()),
        }
    }

    async fn metadata(path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path).await?.len())
    }

    async fn read(path: &Path) -> io::Result<usize> {
        Ok(fs::read(path).await?.len())
    }
}
