//! How a pool stands.

/// What a pool has done, and how it stands.
///
/// See [`BufPool::stats`](super::BufPool::stats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// How many buffers there are.
    pub count: usize,
    /// How many are lent. After a pool has shrunk these may be more than there are to be.
    pub in_use: usize,
    /// How many tasks wait for one.
    pub waiting: usize,
    /// How often one was asked for.
    pub acquires: u64,
    /// How often there was none.
    pub misses: u64,
}

impl PoolStats {
    /// Misses per request; zero as long as there was none.
    ///
    /// See [`BufPool::stats`](super::BufPool::stats).
    pub fn miss_rate(&self) -> f64 {
        match self.acquires {
            0 => 0.0,
            acquires => self.misses as f64 / acquires as f64,
        }
    }
}
