//! What a handle tells of the ids of its buffer groups, and how many there may be.

mod common;

use std::io::ErrorKind;

use common::{on_each_route, routes, runtime};
use tidegate::{Error, Handle, Route, fs};

/// R38: a handle whose rings have no groups says so, of as many rings as it has.
#[test]
fn rings_without_groups_have_all_their_ids() {
    on_each_route(|route| async move {
        let handle = Handle::current().unwrap();
        let before = handle.stats();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "text").await.unwrap();
        let groups = handle.stats().buffer_groups;
        assert_eq!((groups.in_flight, groups.peak, groups.exhausted), (0, 0, 0));
        assert_eq!((groups.remaining, groups.per_ring_max), (65_536, 65_536));
        if route == Route::Ring {
            assert!(groups.rings > 0, "{groups:?}");
        }
        if route == Route::Pool {
            assert_eq!(groups.rings, 0);
        }
        let since = handle.stats().since(&before).buffer_groups;
        assert_eq!((since.in_flight_delta, since.exhausted), (0, 0));
    });
}

/// R35: how many there may be is set, shown and checked.
#[test]
fn the_number_of_groups_is_a_setting() {
    for route in routes() {
        runtime(true).block_on(async {
            let builder = || Handle::builder().route(route);
            for wrong in [0, 65_537] {
                let error = builder().buffer_groups_max(wrong).install().unwrap_err();
                let Error::OutOfRange { value, .. } = error else {
                    panic!("{error}");
                };
                assert_eq!(value, u64::from(wrong));
                let text = error.to_string();
                assert!(text.starts_with("buffer_groups_max is "), "{text}");
                assert!(text.contains("1 up to 65536"), "{text}");
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
            let handle = builder().buffer_groups_max(4).install().unwrap();
            assert_eq!(handle.settings().buffer_groups_max, 4);
            fs::metadata("/").await.unwrap();
            let groups = handle.stats().buffer_groups;
            assert_eq!((groups.remaining, groups.per_ring_max), (4, 4));
        });
    }
}
