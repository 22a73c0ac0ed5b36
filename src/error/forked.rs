//! What a forked child is told.

use super::Error;
use crate::base::fork::Born;
use crate::opcode::Kind;

impl Born {
    /// What a child is told that wants something of it.
    pub(crate) fn check(self, operation: Kind) -> Result<(), Error> {
        match self.is_of_parent() {
            true => Err(Error::ForkedChild { operation }),
            false => Ok(()),
        }
    }
}
