//! Files of the source tree, a folder of secrets, and programs that `make tools` installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Where containers find their secrets.
pub const SECRETS: &str = "/run/secrets";

/// Where they keep what is to last.
const STATE: &str = "/var/lib/portcullis";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the source tree.
pub fn source(name: &str) -> String {
    let text = fs::read_to_string(root().join(name));
    assert!(text.is_ok(), "{name}: {text:?}");
    text.unwrap_or_default()
}

/// A YAML file of the source tree, with what `<<` stands for filled in.
pub fn yaml(name: &str) -> Value {
    let read: Result<Value, _> = serde_saphyr::from_str(&source(name));
    read.unwrap_or_else(|error| unreadable(name, &error))
}

#[allow(clippy::panic, reason = "a test may")]
fn unreadable(name: &str, error: &dyn std::fmt::Display) -> ! {
    panic!("{name}: {error}")
}

/// The texts of a list.
pub fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// A configuration in a folder of its own, with a made-up secret for each file of `/run/secrets` that it names.
pub struct Configuration {
    folder: TempDir,
    file: PathBuf,
}

impl Configuration {
    /// `name` is the file's: its ending says how it is written.
    pub fn new(name: &str, text: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let here = folder.path().to_str().expect("UTF-8");
        let file = folder.path().join(name);
        let own = text.replace(SECRETS, here).replace(STATE, here);
        fs::write(&file, own).expect("a written file");
        let configuration = Self { folder, file };
        for named in text.split(&format!("\"{SECRETS}/")).skip(1) {
            let secret = named.split('"').next().expect("a name");
            configuration.secret(secret);
        }
        configuration
    }

    /// Makes a secret beside the configuration: a key, which is as good as any password.
    pub fn secret(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        let key = portcullis(["secret"]).output().expect("the binary runs");
        let file = self.folder.path().join(name);
        fs::write(&file, key.stdout).expect("a written file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).expect("a changed mode");
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// `portcullis check`: it has to pass without a word of warning. Returns the summary.
    pub fn check(&self, variables: &[(String, String)]) -> String {
        self.run("check", variables)
    }

    /// A command that has to succeed without a word on standard error. Returns what it printed.
    pub fn run(&self, command: &str, variables: &[(String, String)]) -> String {
        let done = portcullis(command.split(' '))
            .arg("--config")
            .arg(&self.file)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        assert_eq!(said, "");
        String::from_utf8(done.stdout).expect("text")
    }
}

/// The binary, with no variables of its environment.
pub fn portcullis<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().args(arguments);
    command
}

/// A program that `make tools` installs. Where it is not there its tests are passed over, unless
/// `PORTCULLIS_TOOLS=required`.
pub fn tool(name: &str) -> Option<PathBuf> {
    let own = root().join("target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(own)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    let required = std::env::var_os("PORTCULLIS_TOOLS").is_some_and(|value| value == "required");
    assert!(
        found.is_some() || !required,
        "no `{name}`: `make tools` installs it"
    );
    found
}

/// What a program printed that had to succeed.
pub fn output(command: &mut Command) -> Output {
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}
