//! Reads and writes of several buffers at an offset.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::file::SharedFile;
use super::health::Health;
use super::rw::{changed, check_offset, check_write, known, load_of, looked_at, position};
use crate::buf::{BufError, IoBuf, IoBufMut};
use crate::driver::fence::Fenced;
use crate::driver::op::{Load, Op};
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::request::{self, Request};

struct Read<B> {
    request: request::ReadVectored<B>,
    load: Load,
    fenced: Fenced,
}

impl<B: IoBufMut> Op for Read<B> {
    type Output = Result<(usize, Vec<B>), BufError<Vec<B>>>;

    fn kind(&self) -> Kind {
        Kind::ReadVectored
    }

    fn target(&self) -> Target {
        Target::file(self.request.fd.as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn fenced(&self) -> Option<Fenced> {
        Some(self.fenced.clone())
    }

    fn load(&self) -> Load {
        self.load
    }

    fn finish(self, result: io::Result<i32>) -> Self::Output {
        match result {
            Ok(count) => Ok(self.request.into_parts(count)),
            Err(error) => Err(BufError::new(error, self.request.into_bufs())),
        }
    }

    fn lost(error: io::Error) -> Self::Output {
        Err(BufError::detached(error))
    }
}

struct Write<B> {
    request: request::WriteVectored<B>,
    load: Load,
    health: Arc<Health>,
    fenced: Fenced,
}

impl<B: IoBuf> Op for Write<B> {
    type Output = Result<(usize, Vec<B>), BufError<Vec<B>>>;

    fn kind(&self) -> Kind {
        Kind::WriteVectored
    }

    fn target(&self) -> Target {
        Target::file(self.request.fd.as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn fenced(&self) -> Option<Fenced> {
        Some(self.fenced.clone())
    }

    fn unheard(&self, number: i32) {
        self.health.note_write(number);
    }

    fn load(&self) -> Load {
        self.load
    }

    fn finish(self, result: io::Result<i32>) -> Self::Output {
        self.health.uncut.note_write();
        match result {
            Ok(count) => Ok((count as usize, self.request.bufs)),
            Err(error) => Err(BufError::new(error, self.request.bufs)),
        }
    }

    fn lost(error: io::Error) -> Self::Output {
        Err(BufError::detached(error))
    }
}

/// Reads once into the buffers, one after the other.
pub(crate) async fn read<B: IoBufMut>(
    file: Arc<SharedFile>,
    bufs: Vec<B>,
    offset: u64,
) -> Result<(usize, Vec<B>), BufError<Vec<B>>> {
    let bufs = check_offset(&file, Kind::ReadVectored, offset, bufs)?;
    let (driver, mount, load) = (file.driver(), file.mount(), load_of(&file));
    let offset = position(&file, Kind::ReadVectored, offset);
    let length = bufs.iter().map(|buf| buf.bytes_total()).sum();
    let fenced = looked_at(&file, offset.into(), length);
    let request = request::ReadVectored::new(file, bufs, offset);
    let read = Read {
        request,
        load,
        fenced,
    };
    driver.start(read, &mount).await
}

/// Writes once from the buffers, less the first `skip` bytes of all that they have.
pub(crate) async fn write<B: IoBuf>(
    file: Arc<SharedFile>,
    bufs: Vec<B>,
    skip: usize,
    offset: u64,
) -> Result<(usize, Vec<B>), BufError<Vec<B>>> {
    let bufs = check_write(&file, Kind::WriteVectored, offset, bufs)?;
    let (driver, mount, load) = (file.driver(), file.mount(), load_of(&file));
    let offset = position(&file, Kind::WriteVectored, offset);
    let length = bufs
        .iter()
        .map(IoBuf::bytes_init)
        .sum::<usize>()
        .saturating_sub(skip);
    let health = file.health.clone();
    let fenced = health.changes(changed(&file, offset.into(), length));
    let at = known(&file, offset);
    let room = match file.bounded().cloned() {
        Some(bounded) => Some(bounded.room(at, length).await),
        None => None,
    };
    let request = request::WriteVectored::new(file.clone(), bufs, skip, offset);
    let write = Write {
        request,
        load,
        health,
        fenced,
    };
    let written = driver.start(write, &mount).await;
    match (room, &written) {
        (Some(room), Ok((count, _))) => room.wrote(&file, at, *count),
        (Some(room), Err(error)) if !error.is_detached() => room.wrote(&file, at, 0),
        _ => {}
    }
    written
}
