//! The opcodes that this process takes the kernel to have, for what makes entries: whoever found them out has noted them
//! before the first ring was made.

use std::sync::OnceLock;

static CODES: OnceLock<Vec<bool>> = OnceLock::new();

/// Notes what was found out, once.
pub(crate) fn note(codes: &[bool]) {
    CODES.get_or_init(|| codes.to_vec());
}

pub(crate) fn has(code: u8) -> bool {
    let codes = CODES.get();
    codes.is_some_and(|codes| codes.get(usize::from(code)).copied().unwrap_or(false))
}
