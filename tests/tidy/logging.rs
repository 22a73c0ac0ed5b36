//! What is logged is in one place, with names that are defined once.

use crate::lex::Rust;

const PLACE: &str = "src/events/";

pub(crate) fn check(file: &Rust) -> Vec<String> {
    if !file.path.starts_with("src/") || file.path.starts_with(PLACE) {
        return Vec::new();
    }
    let paths = file.find(&["tracing", "::"]).into_iter();
    let imports = file.find(&["use", "tracing"]).into_iter();
    paths
        .chain(imports)
        .map(|at| file.offence(at, "only src/events names tracing: make it an event there"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Rust, check};

    #[test]
    fn logging_outside_of_its_place_is_found() {
        let text = "fn f() { tracing::warn!(\"x\"); ::tracing::info!(\"y\") } use tracing as t;";
        let found = |path: &str, text: &str| check(&Rust::new(path, text)).len();
        assert_eq!(found("src/driver/a.rs", text), 3);
        assert_eq!(found("src/events/mod.rs", text), 0);
        assert_eq!(found("tests/a.rs", text), 0);
        assert_eq!(
            found(
                "src/a.rs",
                "// tracing::warn!\nlet tracing = \"tracing::x\";"
            ),
            0
        );
    }
}
