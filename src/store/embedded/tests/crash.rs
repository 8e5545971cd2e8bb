//! `kill -9` of a process that writes: what was answered before is there afterwards, and nothing comes back.

use std::collections::{HashMap, HashSet};
use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use super::*;

/// Tells the child of [`whatever_was_answered_outlives_kill_9`] where to write.
const FOLDER: &str = "PORTCULLIS_TEST_CRASH_FOLDER";
const THIS_TEST: &str = "store::embedded::tests::crash::whatever_was_answered_outlives_kill_9";
const ROUNDS: usize = 50;
/// How many write at once, each its own records.
const WRITERS: usize = 4;

/// What is known of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    There,
    Gone,
    /// A write was on its way.
    Either,
}

#[tokio::test]
async fn whatever_was_answered_outlives_kill_9() {
    if let Some(folder) = env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let place = Place::new();
    let mut known = HashMap::new();
    let mut last_version = 0;
    for round in 0..ROUNDS {
        let journal = place.folder.path().join(format!("journal-{round}"));
        // Killed at another moment each time: while the file is made, at the first writes, in the midst of them.
        kill_when(
            start_child(place.folder.path(), &journal),
            &journal,
            round * 8,
        );
        read_journal(&journal, &mut known);
        let store = place.open();
        let listed = store.members(&key("index")).await.expect("an answer");
        let listed: HashSet<String> = listed.into_iter().collect();
        for (name, known) in &mut known {
            let found = store.get(&key(name)).await.expect("an answer");
            let is_there = match known {
                Known::There => true,
                Known::Gone => false,
                Known::Either => found.is_some(),
            };
            assert_eq!(found.is_some(), is_there, "round {round}: {name}");
            // What is there is whole, and can be found by its owner.
            if let Some(record) = found {
                assert_eq!(record.value, value(name), "round {round}: {name}");
                assert!(listed.contains(name), "round {round}: {name}");
                last_version = last_version.max(record.version.0);
            }
            *known = if is_there { Known::There } else { Known::Gone };
        }
        let name = format!("after round {round}");
        put(&store, &name).await;
        let record = store.get(&key(&name)).await.expect("an answer");
        let version = record.expect("a record").version.0;
        assert!(version > last_version, "round {round}");
        last_version = version;
        store.close().await;
    }
    let gone = known
        .values()
        .filter(|known| **known == Known::Gone)
        .count();
    assert!(
        gone > 100 && known.len() - gone > 100,
        "{gone} of {}",
        known.len()
    );
}

fn value(name: &str) -> Vec<u8> {
    name.repeat(40).into_bytes()
}

fn start_child(folder: &Path, journal: &Path) -> Child {
    File::create(journal).expect("a new file");
    Command::new(env::current_exe().expect("this test"))
        .args(["--exact", THIS_TEST, "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("this test runs")
}

/// Kills the child as soon as it has noted as many lines.
fn kill_when(mut child: Child, journal: &Path, lines: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let noted = || fs::read_to_string(journal).expect("a file").lines().count();
    while noted() < lines {
        assert!(Instant::now() < deadline, "the child writes nothing");
        assert!(
            child.try_wait().expect("a child").is_none(),
            "the child has ended"
        );
        std::thread::sleep(Duration::from_micros(500));
    }
    child.kill().expect("a child");
    child.wait().expect("a child");
}

/// Writes records and takes half of them away again, and notes each step before it begins and when it is
/// answered.
async fn write_until_killed(folder: &Path) {
    let clock = Arc::new(ManualClock::default());
    let store = EmbeddedStore::open(&folder.join("portcullis.redb"), clock).expect("a store");
    let last = fs::read_dir(folder).expect("a folder").count() - 2;
    let journal = File::options()
        .append(true)
        .open(folder.join(format!("journal-{last}")))
        .expect("a journal");
    let journal = Mutex::new(journal);
    let note = |what: &str, name: &str| {
        let line = format!("{what} {name}\n");
        let mut journal = journal.lock().expect("nobody panics");
        journal.write_all(line.as_bytes()).expect("a written line");
    };
    let write = async |writer: usize| {
        for number in 0..100_000 {
            let name = format!("{last}-{writer}-{number}");
            note("begun", &name);
            store
                .enlist(&key("index"), &name, HOUR)
                .await
                .expect("listed");
            let made = store.create(&key(&name), &value(&name), HOUR).await;
            assert_eq!(made, Ok(true));
            note("made", &name);
            if number % 2 == 0 {
                note("begun", &name);
                assert_eq!(store.delete(&key(&name)).await, Ok(true));
                note("ended", &name);
            }
        }
    };
    futures_util::future::join_all((0..WRITERS).map(write)).await;
}

fn read_journal(journal: &Path, known: &mut HashMap<String, Known>) {
    let text = fs::read_to_string(journal).expect("a journal");
    for line in text.split_inclusive('\n') {
        // A line that was not written whole was not noted.
        let Some((what, name)) = line
            .strip_suffix('\n')
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        let now = match what {
            "made" => Known::There,
            "ended" => Known::Gone,
            _ => Known::Either,
        };
        known.insert(name.to_owned(), now);
    }
}
