//! The command line, as a process: what it prints, where, and how it ends.

mod check;
mod conf_d;
mod explain;
mod files;
mod health;
mod open_files;
mod presets;
mod schema;
mod sessions;
mod snippet;
mod sockets;
mod stopping;
mod support;

use support::Run;

#[test]
fn a_secret_is_one_new_line_of_base64url() {
    let (one, other) = (Run::new(["secret"]).done(), Run::new(["secret"]).done());
    assert_eq!(one.code, 0);
    assert_eq!(one.stdout.len(), 44, "43 characters and a line end");
    assert!(one.stdout.ends_with('\n'));
    assert_ne!(one.stdout, other.stdout);
    assert_eq!(one.stderr, "");
}

#[test]
fn the_version_is_told() {
    let told = Run::new(["--version"]).done();
    assert_eq!(told.code, 0);
    assert_eq!(
        told.stdout,
        format!("portcullis {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn an_unknown_command_is_refused() {
    let refused = Run::new(["chekc"]).done();
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("'chekc'"), "{}", refused.stderr);
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = Run::new(["secret"]).command().stdout(writer).status();
    assert_eq!(status.expect("a process").code(), Some(0));
}

#[test]
fn serving_a_bad_configuration_says_all_and_ends() {
    let folder = support::Folder::new();
    let file = folder.write("portcullis.toml", "[server]\nlisten = \"here\"\n");
    for arguments in [vec!["serve"], vec![]] {
        let ended = Run::new(arguments).arg("--config").arg(&file).done();
        assert_eq!(ended.code, 1);
        assert!(
            ended.stderr.contains("error: server.listen: "),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("error: oidc.issuer: "),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
    }
}
