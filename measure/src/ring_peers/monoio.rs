//! monoio: a ring per runtime, a runtime per thread, not tokio.

use std::io;
use std::path::Path;
use std::rc::Rc;

use monoio::fs::{self, File, OpenOptions};

use super::ring_buf::RingBuf;
use crate::ops::{Mode, Ops, aligned, open_std};

/// monoio's files. They have no streams.
pub(crate) struct Monoio;

impl Ops for Monoio {
    type File = Rc<File>;
    type Buf = RingBuf;
    type Stream = ();

    fn buf(len: usize) -> RingBuf {
        RingBuf(aligned(len))
    }

    async fn open(path: &Path, mode: Mode) -> io::Result<Rc<File>> {
        let file = match mode {
            Mode::Create => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).open(path).await?
            }
            Mode::Read => File::open(path).await?,
            Mode::Direct | Mode::Write => File::from_std(open_std(path, mode)?)?,
        };
        Ok(Rc::new(file))
    }

    async fn read_at(file: &Rc<File>, buf: RingBuf, offset: u64) -> io::Result<(usize, RingBuf)> {
        let (result, buf) = file.read_at(buf, offset).await;
        Ok((result?, buf))
    }

    async fn write_at(file: &Rc<File>, buf: RingBuf, offset: u64) -> io::Result<(usize, RingBuf)> {
        let (result, buf) = file.write_at(buf, offset).await;
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
