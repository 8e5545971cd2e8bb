//! What has to hold of the image.

use crate::support::{root, source};

#[test]
fn the_image_is_what_the_documents_say() {
    let text = source("deploy/Dockerfile").replace("\\\n", " ");
    let has = |line: &str| {
        assert!(text.lines().any(|written| written == line), "{line}");
    };
    has("USER 10001:10001");
    has("STOPSIGNAL SIGTERM");
    has("ENTRYPOINT [\"portcullis\"]");
    has("CMD [\"serve\"]");
    let health = text.lines().find(|line| line.starts_with("HEALTHCHECK "));
    let health = health.expect("a health check");
    assert!(
        health.ends_with("CMD [\"portcullis\", \"health\"]"),
        "{health}"
    );
    for forbidden in ["curl", "apt-get", ":latest", "ADD "] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
}

/// The builder's Rust is the one that Cargo.toml asks for.
#[test]
fn the_builder_has_the_rust_that_we_need() {
    let text = source("deploy/Dockerfile");
    let from = format!("FROM rust:{}-slim-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text.contains(&from), "{from}");
}

/// What is copied from the source tree exists, and gets past .dockerignore.
#[test]
fn what_is_copied_exists_and_is_sent() {
    let ignored = source(".dockerignore");
    let dockerfile = source("deploy/Dockerfile");
    let copies = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|rest| !rest.starts_with("--from="));
    let mut count = 0;
    for copy in copies {
        let words: Vec<&str> = copy.split(' ').collect();
        let (_, sources) = words.split_last().expect("a target");
        for source in sources {
            assert!(root().join(source).exists(), "{source}");
            let sent = ignored
                .lines()
                .filter_map(|rule| rule.strip_prefix('!'))
                .any(|rule| match rule.strip_suffix('*') {
                    Some(start) => source.starts_with(start),
                    None => rule == *source,
                });
            assert!(sent, "{source} is not sent to the builder");
            count += 1;
        }
    }
    assert!(count >= 5, "copies are found");
}
