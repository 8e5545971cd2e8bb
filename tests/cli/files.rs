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

/// What keeps the service from making its file, or from writing it, is said before it starts.
#[test]
fn a_store_that_cannot_be_written_says_so() {
    const NOBODY: u32 = 65534;

    let folder = Folder::new();
    folder.write("id", "portcullis");
    folder.write("secret", "hunter2");
    // What is said about the key is not followed by what is wrong with its default.
    let file = folder.write("portcullis.toml", &config("").replace("\"memory:\"", "[]"));
    let no_text = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(no_text.stderr, "error: session.store: must be a text\n");

    let text = config("").replace("memory:", "file:state/portcullis.redb");
    let file = folder.write("portcullis.toml", &text);
    let store = folder.path().join("state/portcullis.redb");
    let shown = store.display();
    let checked = || {
        let mut run = Run::new(["check", "--config"]).arg(&file);
        if rustix::process::geteuid().is_root() {
            // Root writes everywhere, so somebody else has to try.
            for name in ["", "portcullis.toml", "id", "secret"] {
                let mode = if name.is_empty() { 0o755 } else { 0o640 };
                set_mode(&folder.path().join(name), mode);
                let path = folder.path().join(name);
                std::os::unix::fs::chown(path, None, Some(NOBODY)).expect("root may");
            }
            run.command().uid(NOBODY).gid(NOBODY);
        }
        let done = run.done();
        (done.code, done.stderr)
    };
    let missing = format!(
        "error: session.store: {shown} cannot be made: the folder {} does not exist\n",
        store.parent().expect("a folder").display()
    );
    assert_eq!(checked(), (1, missing));

    folder.write("state/other", "");
    set_mode(store.parent().expect("a folder"), 0o555);
    let (code, said) = checked();
    let expected = format!(
        "error: session.store: {shown} cannot be made in its folder: permission denied; this process runs as \
         uid "
    );
    assert!(code == 1 && said.starts_with(&expected), "{said}");

    set_mode(store.parent().expect("a folder"), 0o755);
    folder.write("state/portcullis.redb", "");
    set_mode(&store, 0o400);
    let (code, said) = checked();
    let expected = format!(
        "error: session.store: {shown} cannot be read and written: permission denied; this process runs as uid "
    );
    assert!(code == 1 && said.starts_with(&expected), "{said}");
}

/// The second instance ends with a sentence, and the first goes on.
#[test]
fn one_instance_at_a_time_has_the_file() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let folder = Folder::new();
    let listeners =
        "listen = \"127.0.0.1:0\"\nportal_listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"";
    let text = config("").replace("memory:", "file:portcullis.redb");
    let text = text.replace("[server]", &format!("[server]\n{listeners}"));
    let file = folder.write("portcullis.toml", &text);
    folder.write("id", "portcullis");
    folder.write("secret", "hunter2");
    let store = folder.path().join("portcullis.redb");
    let mut first = Run::new(["serve", "--config"]).arg(&file);
    let first = first.command().stdout(Stdio::piped());
    let mut first = first.spawn().expect("the binary runs");
    let log = BufReader::new(first.stdout.take().expect("its log"));
    let up = log.lines().find(|line| {
        let line = line.as_ref().expect("text");
        line.contains("portcullis is up")
    });
    let second = Run::new(["serve", "--config"]).arg(&file).done();
    let still_there = first.try_wait().expect("a process").is_none();
    first.kill().expect("a process");
    first.wait().expect("a process");
    assert!(up.is_some() && still_there);
    assert_eq!(second.code, 1);
    let expected = format!(
        "error: the session store {} is in use by another process: a file serves one instance at a time\n",
        store.display()
    );
    assert_eq!(second.stderr, expected);
    for (name, mode) in [("portcullis.redb", 0o600), ("session.key", 0o600)] {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(folder.path().join(name)).expect("it was made");
        assert_eq!(metadata.mode() & 0o777, mode, "{name}");
    }
    // Killed, it left the file as it was: the next one has it at once.
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""));
    assert!(
        checked
            .stdout
            .contains(&format!("store          file:{}\n", store.display()))
    );
    assert!(checked.stdout.contains("session keys   1\n"));
}
