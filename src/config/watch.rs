//! Secret files that are read again when they change, without a restart.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::secrets::{self, FromFile, SecretError};
use crate::domain::upstream_key::LiveSecret;

/// How often the files are looked at. Not by notifications of the kernel: those miss bind mounts, network
/// file systems and links that are swapped on the way to the file.
const PERIOD: Duration = Duration::from_secs(5);

/// What a secret has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// One line of text.
    Text,
    /// The value of a header: one line of visible ASCII.
    HeaderValue,
}

/// A secret that follows its file.
#[derive(Debug, Clone)]
pub struct WatchedSecret {
    /// The key that names the file.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// What a new value has to be.
    pub form: SecretForm,
    /// What follows it.
    pub secret: LiveSecret,
}

/// What tells one state of a file from another. Links are followed, so one that is swapped shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    File {
        device: u64,
        inode: u64,
        size: u64,
        /// Seconds and nanoseconds, as the one below.
        modified: (i64, i64),
        /// Of the owner and the rights too, which decide whether it can be read.
        changed: (i64, i64),
    },
    /// It cannot even be looked at.
    Hidden(io::ErrorKind),
}

/// The secrets that are watched.
struct Watch(Vec<Watched>);

/// A secret, and what is known of its file.
struct Watched {
    secret: WatchedSecret,
    /// Its state when it was last read: what it held is known, good or bad.
    read: Option<Stamp>,
    /// Its state when it was last told that it cannot be read. That may pass without the file changing, so it is
    /// tried at every look, and told once.
    unreadable: Option<Stamp>,
}

/// Looks at the files every five seconds, for ever, and reads those that have changed. What cannot be used
/// changes nothing, and is logged once.
pub async fn keep_watching(watched: Vec<WatchedSecret>) {
    if watched.is_empty() {
        return;
    }
    let mut watch = Watch::new(watched);
    let mut every = interval(PERIOD);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let looked = tokio::task::spawn_blocking(move || {
            watch.look();
            watch
        });
        watch = match looked.await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(%error, "secret files are no longer watched");
                return;
            }
        };
    }
}

impl Watch {
    /// The files have been read before, but what they were then is not known, so the first look reads them.
    fn new(watched: Vec<WatchedSecret>) -> Self {
        let unknown = |secret| Watched {
            secret,
            read: None,
            unreadable: None,
        };
        Self(watched.into_iter().map(unknown).collect())
    }

    fn look(&mut self) {
        for watched in &mut self.0 {
            watched.look();
        }
    }
}

impl Watched {
    fn look(&mut self) {
        let stamp = Stamp::of(&self.secret.path);
        if self.read == Some(stamp) {
            return;
        }
        let read = secrets::read_in_form(&self.secret.path, self.secret.form);
        // One that changes while it is read might be half written: it is read at the next look.
        if Stamp::of(&self.secret.path) != stamp {
            return;
        }
        if matches!(read, Err(SecretError::Unreadable { .. })) {
            if self.unreadable == Some(stamp) {
                return;
            }
            self.unreadable = Some(stamp);
        } else {
            self.read = Some(stamp);
            self.unreadable = None;
        }
        self.secret.take(read);
    }
}

impl WatchedSecret {
    fn take(&self, read: Result<FromFile<secrecy::SecretString>, SecretError>) {
        let (key, path) = (&self.key, self.path.display());
        match read {
            Ok(read) => {
                if self.secret.replace(read.value) {
                    tracing::info!(key, %path, "a secret file has changed and was read again");
                }
            }
            Err(error) => tracing::error!(
                key,
                %path,
                %error,
                "a secret file has changed and cannot be used: the secret that was read before stays"
            ),
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) => Self::File {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            Err(error) => Self::Hidden(error.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn watch(path: &Path, form: SecretForm) -> (Watch, LiveSecret) {
        let secret = LiveSecret::new("one".into());
        let watched = WatchedSecret {
            key: "services.papers.upstream_headers[0].value_file".into(),
            path: path.to_owned(),
            form,
            secret: secret.clone(),
        };
        (Watch::new(vec![watched]), secret)
    }

    #[test]
    fn a_secret_follows_its_file_and_outlives_a_bad_one() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "one\n").expect("a written file");
        let (mut watch, secret) = watch(&path, SecretForm::HeaderValue);
        let mut after = |change: &dyn Fn()| {
            change();
            watch.look();
            secret.with(str::to_owned)
        };
        let write = |text: &'static str| {
            let path = path.clone();
            move || fs::write(&path, text).expect("a written file")
        };
        assert_eq!(after(&|| {}), "one");
        assert_eq!(after(&write("the second\n")), "the second");
        assert_eq!(after(&write("")), "the second");
        assert_eq!(after(&write("two\nlines")), "the second");
        assert_eq!(after(&write("späti")), "the second");
        assert_eq!(
            after(&|| fs::remove_file(&path).expect("it is there")),
            "the second"
        );
        assert_eq!(after(&write("the third")), "the third");
    }

    /// As Kubernetes and systemd do it: the link leads to another folder from one moment to the next.
    #[test]
    fn a_link_that_is_swapped_shows() {
        use std::os::unix::fs::symlink;

        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("a", "one"), ("b", "two")] {
            fs::create_dir(at(name)).expect("a folder");
            fs::write(at(name).join("key"), text).expect("a written file");
        }
        symlink(at("a"), at("now")).expect("a link");
        let (mut watch, secret) = watch(&at("now").join("key"), SecretForm::Text);
        watch.look();
        symlink(at("b"), at("next")).expect("a link");
        fs::rename(at("next"), at("now")).expect("a swapped link");
        watch.look();
        assert_eq!(secret.with(str::to_owned), "two");
    }

    /// Who may read a file can change without the file, and so can what else stood in the way.
    #[test]
    fn what_could_not_be_read_is_tried_again() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("key");
        let (mut watch, secret) = watch(&path, SecretForm::Text);
        watch.look();
        assert_eq!(
            (watch.0[0].read, secret.with(str::to_owned)),
            (None, "one".into())
        );
        assert!(watch.0[0].unreadable.is_some());
        fs::write(&path, "two").expect("a written file");
        watch.look();
        assert_eq!(secret.with(str::to_owned), "two");
        assert!(watch.0[0].read.is_some() && watch.0[0].unreadable.is_none());
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "one").expect("a written file");
        let (mut watch, secret) = watch(&path, SecretForm::Text);
        watch.look();
        secret.replace("kept".into());
        watch.look();
        assert_eq!(secret.with(str::to_owned), "kept");
    }
}
