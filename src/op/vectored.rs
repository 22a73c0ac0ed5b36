//! Reads and writes of several buffers at an offset.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::file::SharedFile;
use super::health::Health;
use super::rw::{
    by_rooms, changed, check_offset, check_write, in_place, load_of, looked_at, position,
};
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
    let place = in_place(&file, offset.into());
    let request = request::ReadVectored::new(file, bufs, place);
    let read = Read {
        request,
        load,
        fenced,
    };
    driver.start(read, &mount).await
}

/// Writes once from the buffers, less the first `skip` bytes of all that they have; where dirty pages are bounded, piece
/// by piece, each once there is room for it.
pub(crate) async fn write<B: IoBuf>(
    file: Arc<SharedFile>,
    mut bufs: Vec<B>,
    skip: usize,
    offset: u64,
) -> Result<(usize, Vec<B>), BufError<Vec<B>>> {
    bufs = check_write(&file, Kind::WriteVectored, offset, bufs)?;
    let offset = position(&file, Kind::WriteVectored, offset);
    let Some(bounded) = file.bounded().cloned() else {
        return write_piece(file, bufs, skip, offset, usize::MAX).await;
    };
    let all = bufs.iter().map(IoBuf::bytes_init);
    let total = all.fold(0, usize::saturating_add).saturating_sub(skip);
    let shared = file.clone();
    let write =
        move |bufs, done, most, at| write_piece(shared.clone(), bufs, skip + done, at, most);
    by_rooms(file, bounded, bufs, total, offset, write).await
}

/// Writes once, so many bytes at most.
async fn write_piece<B: IoBuf>(
    file: Arc<SharedFile>,
    bufs: Vec<B>,
    skip: usize,
    offset: Option<u64>,
    bytes_max: usize,
) -> Result<(usize, Vec<B>), BufError<Vec<B>>> {
    let (driver, mount, load) = (file.driver(), file.mount(), load_of(&file));
    let all = bufs.iter().map(IoBuf::bytes_init);
    let length = all.fold(0, usize::saturating_add).saturating_sub(skip);
    let health = file.health.clone();
    let length = length.min(bytes_max);
    let fenced = health.changes(changed(&file, offset.into(), length));
    let place = in_place(&file, offset.into());
    let request = request::WriteVectored::new(file, bufs, skip, place).at_most(bytes_max);
    let write = Write {
        request,
        load,
        health,
        fenced,
    };
    driver.start(write, &mount).await
}
