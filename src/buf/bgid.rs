//! Ids of the groups of one ring.

use std::sync::{Arc, Mutex};

use crate::sys::lock::lock;

#[derive(Default)]
pub(crate) struct Bgids(Mutex<(u16, Vec<u16>)>);

pub(crate) struct Bgid(u16, Arc<Bgids>);

impl Bgids {
    pub(crate) fn new(_cap: u32) -> Bgids {
        Bgids::default()
    }

    pub(crate) fn acquire(self: &Arc<Self>, _now_ms: u64) -> Result<Bgid, ()> {
        let (next, free) = &mut *lock(&self.0);
        let id = free.pop().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        });
        Ok(Bgid(id, self.clone()))
    }
}

impl Bgid {
    pub(crate) fn id(&self) -> u16 {
        self.0
    }
}

impl Drop for Bgid {
    fn drop(&mut self) {
        lock(&self.1.0).1.push(self.0);
    }
}
