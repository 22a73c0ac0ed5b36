//! Every item of `tokio::fs` with its types written out, compiled once for tokio and once for tidegate,
//! and the traits that types and futures have with tokio and therefore have to have here.
//!
//! `tokio_parity` shows that no item is missing in the list.
#![allow(
    clippy::duplicate_mod,
    reason = "the same items, of one crate and of the other"
)]

use std::marker::PhantomData;

/// One trait that a type or a future has or has not.
pub(crate) type Row = (&'static str, &'static str, bool);

/// What a type is, without a value of it.
pub(crate) struct Of<T>(pub(crate) PhantomData<T>);

pub(crate) fn of<T>() -> Of<T> {
    Of(PhantomData)
}

/// The future that a function returns, which has to have this output. The function is not called.
pub(crate) fn future<T, A, F: Future<Output = T>>(_: impl Fn(A) -> F) -> Of<F> {
    of()
}

/// Whether what `Of` holds has the trait: the reference is only taken where the first has no answer.
macro_rules! has {
    ($of:expr, $($bound:tt)+) => {{
        #[allow(dead_code, reason = "one of the two is not chosen")]
        trait Yes {
            fn answer(&self) -> bool {
                true
            }
        }
        impl<T: $($bound)+> Yes for crate::Of<T> {}
        #[allow(dead_code, reason = "one of the two is not chosen")]
        trait No {
            fn answer(&self) -> bool {
                false
            }
        }
        impl<T> No for &crate::Of<T> {}
        #[allow(clippy::needless_borrow, reason = "the reference chooses the trait")]
        let answer = (&$of).answer();
        answer
    }};
}

/// A row for each of the traits.
macro_rules! rows {
    ($rows:ident, $name:expr, $of:expr; $($($bound:path)+),+) => {{
        let (of, name) = ($of, $name);
        $($rows.push((name, stringify!($($bound)+), has!(of, $($bound)+)));)+
    }};
}

#[path = "tokio_signatures"]
mod on_tokio {
    pub(crate) use tokio::fs;
    pub(crate) mod files;
    pub(crate) mod functions;
}

#[path = "tokio_signatures"]
mod on_tidegate {
    pub(crate) use tidegate::fs;
    pub(crate) mod files;
    pub(crate) mod functions;
}

/// What has one of the traits with tokio has it here.
fn compare(theirs: Vec<Row>, ours: Vec<Row>, among: fn(&str) -> bool) {
    assert_eq!(theirs.len(), ours.len());
    let rows = || theirs.iter().zip(&ours).filter(|(row, _)| among(row.1));
    assert!(rows().any(|(theirs, _)| theirs.2) && rows().any(|(theirs, _)| !theirs.2));
    let missing = rows().filter(|(theirs, ours)| theirs.2 && !ours.2);
    let missing: Vec<String> = missing
        .map(|((name, bound, _), _)| format!("{name} is not {bound}"))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn about_unwinding(bound: &str) -> bool {
    bound.contains("UnwindSafe")
}

#[test]
fn types_have_the_traits_that_they_have_with_tokio() {
    let (theirs, ours) = (on_tokio::files::types(), on_tidegate::files::types());
    compare(theirs, ours, |bound| !about_unwinding(bound));
}

/// But for unwinding: the futures hold `io::Error`s over their waits, which are not `UnwindSafe`.
#[test]
fn futures_have_the_traits_that_they_have_with_tokio() {
    let theirs = [on_tokio::files::futures(), on_tokio::functions::futures()].concat();
    let ours = [
        on_tidegate::files::futures(),
        on_tidegate::functions::futures(),
    ]
    .concat();
    compare(theirs, ours, |bound| !about_unwinding(bound));
}

#[test]
fn types_are_unwind_safe_where_they_are_with_tokio() {
    let (theirs, ours) = (on_tokio::files::types(), on_tidegate::files::types());
    compare(theirs, ours, about_unwinding);
}

#[test]
fn a_trait_that_is_missing_is_seen() {
    assert!(has!(of::<u8>(), Send) && has!(of::<String>(), std::fmt::Debug));
    assert!(!has!(of::<std::rc::Rc<u8>>(), Send));
    assert!(!has!(
        future::<usize, (), _>(|()| stays_on_its_thread()),
        Send
    ));
    assert!(has!(future::<(), (), _>(|()| std::future::ready(())), Send));
}

async fn stays_on_its_thread() -> usize {
    let count = std::rc::Rc::new(1);
    std::future::ready(()).await;
    std::rc::Rc::strong_count(&count)
}
