//! What the rings submitted, by opcode and form.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::opcode::Form;

/// How many entries of each form the kernel took.
pub(crate) struct Submitted([AtomicU64; 256]);

impl Default for Submitted {
    fn default() -> Submitted {
        Submitted([const { AtomicU64::new(0) }; 256])
    }
}

impl Submitted {
    pub(crate) fn count(&self, form: Form) {
        self.0[form.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Those that were, by form.
    pub(super) fn snapshot(&self) -> Vec<(Form, u64)> {
        let counts = self.0.iter().zip(0..=u8::MAX);
        counts
            .map(|(count, form)| (Form::of_index(form), count.load(Ordering::Relaxed)))
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
    use crate::opcode::TABLE;

    /// Every opcode of the op table has a form of its own, which says its name.
    #[test]
    fn forms_are_named() {
        for opcode in TABLE.iter().filter_map(|row| row.opcode) {
            let form = Form::plain(opcode.code);
            assert_eq!(
                (form.index(), form.name()),
                (opcode.code.into(), opcode.name.into())
            );
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
