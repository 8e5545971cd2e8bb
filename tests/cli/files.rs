//! Secret files: where they are looked for, and what is said about those that cannot be used.

use std::os::unix::process::CommandExt;

use super::support::{Folder, Run, set_mode};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn config(secrets: &str) -> String {
    format!(
        r#"
        [server]
        public_url = "https://auth.example.net"
        [oidc]
        issuer = "https://id.example.net"
        client_id_file = "id"
        client_secret_file = "secret"
        [session]
        store = "memory:"
        {secrets}
        [services.films]
        host = "films.example.net"
        policy = "authenticated"
        "#
    )
}

#[test]
fn relative_files_begin_at_the_configuration_or_at_the_credentials() {
    let (folder, credentials) = (Folder::new(), Folder::new());
    let file = folder.write("portcullis.toml", &config("secret_file = \"keys\""));
    for place in [&folder, &credentials] {
        place.write("id", "portcullis\n");
        place.write("secret", "hunter2\n");
    }
    let keys = format!("# newest first\n{KEY}\n\n  {KEY}=  \n");
    credentials.write("keys", &keys);

    let beside = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!((beside.code, beside.stderr.as_str()), (0, ""));
    let to_be_made = format!(
        "session keys   {} will be made when the service starts\n",
        folder.path().join("keys").display()
    );
    assert!(beside.stdout.contains(&to_be_made), "{}", beside.stdout);
    assert!(!folder.path().join("keys").exists(), "check makes nothing");

    let given = Run::new(["check", "--config"])
        .arg(&file)
        .env("CREDENTIALS_DIRECTORY", credentials.path())
        .done();
    assert_eq!((given.code, given.stderr.as_str()), (0, ""));
    assert!(
        given.stdout.contains("session keys   2\n"),
        "{}",
        given.stdout
    );
}

#[test]
fn a_file_that_is_no_secret_is_refused_without_being_shown() {
    let long = "hunter2".repeat(10_000);
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("secret", "",                       "oidc.client_secret_file", "is empty"),
        ("secret", " \n",                    "oidc.client_secret_file", "is empty"),
        ("secret", "hunter2\nhunter3",       "oidc.client_secret_file", "holds more than one line, and a secret is one"),
        ("secret", "hunter2\0",              "oidc.client_secret_file", "holds something that is not text"),
        ("secret", long.as_str(),            "oidc.client_secret_file", "is longer than 65536 bytes"),
        ("keys",   "# hunter2\n",            "session.secret_file",     "is empty"),
        ("keys",   "hunter2",                "session.secret_file",     ", line 1: not a key: `portcullis secret` prints one (32 bytes as base64url)"),
    ];
    for (name, text, key, expected) in cases {
        let folder = Folder::new();
        let file = folder.write("portcullis.toml", &config("secret_file = \"keys\""));
        folder.write("id", "portcullis");
        folder.write("secret", "hunter2");
        folder.write("keys", KEY);
        let bad = folder.write(name, text);
        let checked = Run::new(["check", "--config"]).arg(&file).done();
        let gap = if expected.starts_with(',') { "" } else { " " };
        let expected = format!("error: {key}: {}{gap}{expected}\n", bad.display());
        assert_eq!(checked.stderr, expected);
        assert_eq!(checked.code, 1);
    }
}

#[test]
fn a_missing_secret_is_named_and_an_open_one_warned_about() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", &config(""));
    folder.write("id", "portcullis");
    let missing = Run::new(["check", "--config"]).arg(&file).done();
    let secret = folder.path().join("secret");
    let expected = format!(
        "error: oidc.client_secret_file: {} cannot be read: it does not exist\n",
        secret.display()
    );
    assert_eq!(missing.stderr, expected);

    folder.write("secret", "hunter2");
    set_mode(&secret, 0o644);
    let open = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(open.code, 0);
    let expected = format!(
        "warning: oidc.client_secret_file: every user of this machine may read or change {0}: \
         `chmod o-rwx {0}`\n",
        secret.display()
    );
    assert_eq!(open.stderr, expected);
}

/// Who we are and whose the file is: what it takes to mend it.
#[test]
fn a_closed_secret_says_whose_it_is() {
    use std::os::unix::fs::MetadataExt;
    const NOBODY: u32 = 65534;

    let folder = Folder::new();
    let file = folder.write("portcullis.toml", &config(""));
    folder.write("id", "portcullis");
    let secret = folder.write("secret", "hunter2");
    let owner = std::fs::metadata(&secret).expect("a file").uid();
    set_mode(&secret, 0o000);

    let mut run = Run::new(["check", "--config"]).arg(&file);
    let user = if owner == 0 {
        // Root reads everything, so somebody else has to try.
        set_mode(folder.path(), 0o755);
        set_mode(&file, 0o644);
        set_mode(&folder.path().join("id"), 0o644);
        run.command().uid(NOBODY).gid(NOBODY);
        NOBODY
    } else {
        owner
    };
    let refused = run.done();
    assert_eq!(refused.code, 1);
    let expected = format!(
        "error: oidc.client_secret_file: {} cannot be read: permission denied; this process runs as \
         uid {user}, gid ",
        secret.display()
    );
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("with mode 0000"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains(&format!("belongs to uid {owner}")),
        "{}",
        refused.stderr
    );
}
