//! What a caller gives by value as bytes: taken as it is where it owns them, else copied.
#![allow(
    unsafe_code,
    reason = "asks for the type of what may hold references, and takes it for that type"
)]

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, transmute, transmute_copy};

use bytes::{Bytes, BytesMut};

use super::IoBuf;

/// Bytes in memory of their own.
pub(crate) enum Contents {
    Shared(Bytes),
    Own(Vec<u8>),
}

impl Contents {
    /// Fresh memory costs a page fault for each 4 KiB, which together with the copy is more than to write them into the
    /// page cache.
    pub(crate) fn of<T: AsRef<[u8]>>(contents: T) -> Contents {
        let taken = take::<T, Vec<u8>>(contents)
            .map(Contents::Own)
            .or_else(|contents| take::<T, String>(contents).map(|text| Contents::Own(text.into())))
            .or_else(|contents| take::<T, Bytes>(contents).map(Contents::Shared))
            .or_else(|contents| {
                take::<T, BytesMut>(contents).map(|bytes| Contents::Shared(bytes.freeze()))
            })
            .or_else(|contents| {
                take::<T, Box<[u8]>>(contents).map(|bytes| Contents::Own(bytes.into()))
            });
        taken.unwrap_or_else(|contents| Contents::Own(contents.as_ref().to_vec()))
    }
}

impl AsRef<[u8]> for Contents {
    fn as_ref(&self) -> &[u8] {
        match self {
            Contents::Shared(bytes) => bytes,
            Contents::Own(bytes) => bytes,
        }
    }
}

// SAFETY: the storage of either is on the heap, moves with neither, and changes with neither.
unsafe impl IoBuf for Contents {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ref().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.as_ref().len()
    }

    fn bytes_total(&self) -> usize {
        self.as_ref().len()
    }
}

/// The value as what it is, if that is its type.
fn take<T, U: 'static>(value: T) -> Result<U, T> {
    if type_of::<T>() != TypeId::of::<U>() {
        return Err(value);
    }
    let value = ManuallyDrop::new(value);
    // SAFETY: both are one type: `U` has no lifetimes in which they could differ. The value is not used again.
    Ok(unsafe { transmute_copy::<T, U>(&value) })
}

trait Typed {
    fn type_id(&self) -> TypeId
    where
        Self: 'static;
}

impl<T> Typed for PhantomData<T> {
    fn type_id(&self) -> TypeId
    where
        Self: 'static,
    {
        TypeId::of::<T>()
    }
}

/// The type, whatever its lifetimes.
fn type_of<T>() -> TypeId {
    let typed = PhantomData::<T>;
    // SAFETY: nothing behind the reference is read, and so nothing outlives what it is lent for.
    let typed = unsafe { transmute::<&dyn Typed, &(dyn Typed + 'static)>(&typed) };
    typed.type_id()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// What owns its bytes is not copied; what lends them is.
    #[test]
    fn what_is_owned_is_not_copied() {
        let text = || String::from("a text");
        let same = |at: *const u8, contents: Contents| {
            assert_eq!(contents.as_ref(), b"a text");
            contents.stable_ptr() == at
        };
        let (vec, string) = (text().into_bytes(), text());
        let bytes = Bytes::from(text());
        let bytes_mut = BytesMut::from(text().as_bytes());
        let slice = text().into_bytes().into_boxed_slice();
        let at = vec.as_ptr();
        assert!(same(at, Contents::of(vec)));
        let at = string.as_ptr();
        assert!(same(at, Contents::of(string)));
        let at = bytes.as_ptr();
        assert!(same(at, Contents::of(bytes)));
        let at = bytes_mut.as_ptr();
        assert!(same(at, Contents::of(bytes_mut)));
        let at = slice.as_ptr();
        assert!(same(at, Contents::of(slice)));
        let lent = text();
        let at = lent.as_ptr();
        assert!(!same(at, Contents::of(&lent)));
        assert!(!same(at, Contents::of(&lent[..])));
        assert!(!same(at, Contents::of(lent.as_bytes())));
        assert!(!same(at, Contents::of(Cow::Borrowed(lent.as_bytes()))));
        assert!(!same(at, Contents::of(*b"a text")));
        assert!(!same(at, Contents::of("a text")));
    }

    /// A value of another type of the same shape is not taken for it, whatever its lifetime.
    #[test]
    fn only_the_type_itself_is_taken() {
        struct Wrapped<'a>(Vec<u8>, PhantomData<&'a u8>);
        impl AsRef<[u8]> for Wrapped<'_> {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let wrapped = Wrapped(vec![1, 2, 3], PhantomData);
        assert!(take::<Wrapped<'_>, Vec<u8>>(wrapped).is_err());
    }
}
