//! The published packages, and what is to be known to run their tests.

/// A package of the registry whose own tests run on both.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// The features that the tests are for.
    pub(crate) features: &'static [&'static str],
    /// Dependencies of its examples and benches alone, which are not built.
    pub(crate) left_out: &'static [&'static str],
    /// What its tests need and the published manifest lacks: such as depend on the package themselves.
    pub(crate) added: &'static str,
    /// The files of tests that are run besides those in the library; none stands for all.
    pub(crate) files: &'static [&'static str],
    /// The tests that are run: those whose names begin so.
    pub(crate) only: &'static str,
    /// How many pass at least, on tokio.
    pub(crate) at_least: usize,
    /// Tests that are not run, with the reason.
    pub(crate) skipped: &'static [(&'static str, &'static str)],
}

const SUITE: Suite = Suite {
    name: "",
    version: "",
    features: &[],
    left_out: &[],
    added: "",
    files: &[],
    only: "",
    at_least: 1,
    skipped: &[],
};

pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "async_zip",
        version: "0.0.19",
        features: &[
            "tokio",
            "tokio-fs",
            "chrono",
            "deflate",
            "bzip2",
            "zstd",
            "xz",
            "lzma",
            "deflate64",
        ],
        left_out: &[
            "actix-multipart",
            "actix-web",
            "anyhow",
            "derive_more",
            "sanitize-filename",
            "uuid",
        ],
        at_least: 40,
        skipped: &[(
            "tests::write::zip64",
            "they write 4 GiB to memory and take a minute",
        )],
        ..SUITE
    },
    Suite {
        name: "cacache",
        version: "13.1.0",
        features: &["tokio-runtime", "mmap", "link_to"],
        left_out: &["criterion"],
        at_least: 40,
        ..SUITE
    },
    Suite {
        name: "hyper-staticfile",
        version: "0.10.1",
        at_least: 25,
        ..SUITE
    },
    Suite {
        name: "opendal-service-fs",
        version: "0.59.5",
        at_least: 5,
        ..SUITE
    },
    Suite {
        name: "rocket",
        version: "0.5.2",
        files: &[
            "file_server",
            "limits",
            "multipart-binary-without-content-type-issue-2934",
            "multipart-limit",
            "raw-strings-multipart-files-1987",
        ],
        at_least: 60,
        skipped: &[(
            "sse_tests::test_heartbeat",
            "it goes by the clock, and opens nothing",
        )],
        ..SUITE
    },
    Suite {
        name: "tokio-tar",
        version: "0.3.1",
        features: &["xattr"],
        at_least: 50,
        ..SUITE
    },
    Suite {
        name: "tower-http",
        version: "0.7.1",
        features: &["fs"],
        only: "services::fs",
        at_least: 110,
        ..SUITE
    },
    Suite {
        name: "unftp-sbe-fs",
        version: "0.4.0",
        left_out: &["pretty_env_logger", "slog-async", "slog-term"],
        added: "[dev-dependencies.libunftp]\nversion = \"=0.24.0\"\ndefault-features = false\nfeatures = [\"ring\"]\n",
        at_least: 30,
        skipped: &[(
            "mlsd::mlst",
            "it takes the first read of a socket for the whole answer",
        )],
        ..SUITE
    },
    Suite {
        name: "poem",
        version: "3.1.12",
        features: &["static-files", "multipart", "tempfile", "test"],
        at_least: 60,
        ..SUITE
    },
];
