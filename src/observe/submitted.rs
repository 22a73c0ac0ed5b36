//! What the rings submitted, by opcode and form.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::opcode::TABLE;

/// An entry's opcode, and what sets it apart from a plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form(u8);

/// Set in a form whose buffer the kernel picks.
const SELECT: u8 = 0x40;
/// Set in a form that goes to the ring's own table of files.
const DIRECT: u8 = 0x80;

/// Opcodes that no operation is named after.
const OTHERS: &[(u8, &str)] = &[
    (0, "NOP"),
    (4, "READ_FIXED"),
    (5, "WRITE_FIXED"),
    (14, "ASYNC_CANCEL"),
    (54, "FIXED_FD_INSTALL"),
    (60, "READV_FIXED"),
    (61, "WRITEV_FIXED"),
];

impl Form {
    /// For an opcode by number; all that there are are below 64.
    pub(crate) fn plain(code: u8) -> Form {
        Form(code & !(SELECT | DIRECT))
    }

    pub(crate) fn select(self) -> Form {
        Form(self.0 | SELECT)
    }

    pub(crate) fn direct(self) -> Form {
        Form(self.0 | DIRECT)
    }

    fn name(self) -> String {
        let code = self.0 & !(SELECT | DIRECT);
        let mut opcodes = TABLE.iter().filter_map(|row| row.opcode);
        let of_table = opcodes.find(|opcode| opcode.code == code);
        let of_others = || OTHERS.iter().find(|other| other.0 == code);
        let name = of_table
            .map(|opcode| opcode.name)
            .or_else(|| of_others().map(|other| other.1));
        let mut name = name.map_or_else(|| format!("opcode {code}"), str::to_owned);
        if self.0 & SELECT != 0 {
            name.push_str("+BUFFER_SELECT");
        }
        if self.0 & DIRECT != 0 {
            name.push_str("+DIRECT");
        }
        name
    }
}

/// How many entries of each form the kernel took.
pub(crate) struct Submitted([AtomicU64; 256]);

impl Default for Submitted {
    fn default() -> Submitted {
        Submitted([const { AtomicU64::new(0) }; 256])
    }
}

impl Submitted {
    pub(crate) fn count(&self, form: Form) {
        self.0[usize::from(form.0)].fetch_add(1, Ordering::Relaxed);
    }

    /// Those that were, by form.
    pub(super) fn snapshot(&self) -> Vec<(Form, u64)> {
        let counts = self.0.iter().zip(0..=u8::MAX);
        counts
            .map(|(count, form)| (Form(form), count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// By name.
pub(super) fn named(counts: &[(Form, u64)]) -> impl Iterator<Item = (String, u64)> {
    counts.iter().map(|(form, count)| (form.name(), *count))
}

/// Each count without what was counted before.
pub(super) fn since(now: &[(Form, u64)], before: &[(Form, u64)]) -> Vec<(Form, u64)> {
    let earlier = |form: Form| before.iter().find(|(other, _)| *other == form);
    now.iter()
        .map(|(form, count)| (*form, count - earlier(*form).map_or(0, |(_, count)| *count)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every opcode of the op table has a form of its own, which says its name.
    #[test]
    fn forms_are_named() {
        for opcode in TABLE.iter().filter_map(|row| row.opcode) {
            let form = Form::plain(opcode.code);
            assert_eq!((form.0, form.name()), (opcode.code, opcode.name.into()));
        }
        let select = Form::plain(22).select();
        assert_eq!(select.name(), "READ+BUFFER_SELECT");
        assert_eq!(Form::plain(18).direct().name(), "OPENAT+DIRECT");
        assert_eq!(Form::plain(4).direct().name(), "READ_FIXED+DIRECT");
        assert_eq!(Form::plain(63).name(), "opcode 63");
    }

    #[test]
    fn what_was_counted_before_is_left_out() {
        let submitted = Submitted::default();
        let (read, write) = (Form::plain(22), Form::plain(23));
        submitted.count(read);
        let before = submitted.snapshot();
        (0..2).for_each(|_| submitted.count(read));
        submitted.count(write);
        let since = since(&submitted.snapshot(), &before);
        assert_eq!(since, [(read, 2), (write, 1)]);
        assert_eq!(
            super::since(&submitted.snapshot(), &submitted.snapshot()),
            []
        );
    }
}
