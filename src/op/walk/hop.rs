//! A thread of a walk, as an operation.

use std::io;
#[cfg(feature = "testing")]
use std::path::PathBuf;
use std::sync::Arc;

use super::worker::Worker;
use crate::driver::op::Op;
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::request::{self, Request};
use crate::sys::steps::Steps;

pub(super) type Work = Box<dyn FnOnce(&Steps) -> io::Result<()> + Send>;

/// See the module.
pub(super) struct Hop {
    pub(super) kind: Kind,
    pub(super) worker: Arc<Worker>,
    /// For rules that name paths.
    #[cfg(feature = "testing")]
    pub(super) root: PathBuf,
    pub(super) request: request::Hop<(), Work>,
}

impl Op for Hop {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn target(&self) -> Target {
        Target::Moving(self.worker.clone())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    #[cfg(feature = "testing")]
    fn paths(&mut self, paths: &mut request::Paths) {
        paths.path(&self.root);
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        result.map(drop)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}
