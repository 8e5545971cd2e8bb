//! Many records, and many over time.

use std::time::Instant;

use super::*;

/// How large the file may become in which never more than a few hundred records live.
const PLATEAU: u64 = 8 * 1024 * 1024;

#[tokio::test]
async fn churn_does_not_make_the_file_grow() {
    let place = Place::new();
    let store = place.open();
    let generation = async |number: usize| {
        let writes = (0..250).map(async |member| {
            let name = format!("{number}-{member}");
            store
                .enlist(&key("index"), &name, HOUR)
                .await
                .expect("listed");
            let made = store.create(&key(&name), &[7; 1_500], HOUR).await;
            assert_eq!(made, Ok(true));
        });
        futures_util::future::join_all(writes).await;
    };
    for number in 0..40 {
        generation(number).await;
        // None of them is ever taken away but by its time.
        place.clock.advance(HOUR);
    }
    let early = fs::metadata(place.path()).expect("a file").len();
    for number in 40..120 {
        generation(number).await;
        place.clock.advance(HOUR);
    }
    let late = fs::metadata(place.path()).expect("a file").len();
    assert!(late <= early.max(PLATEAU), "{early}, then {late} bytes");
    generation(120).await;
    let listed = store.members(&key("index")).await.expect("an answer");
    assert_eq!(listed.len(), 250);
}

/// Nobody signs in any more, and what is there goes all the same.
#[tokio::test]
async fn what_has_ended_goes_by_itself() {
    let place = Place::new();
    let store = place.open();
    for number in 0..300 {
        put(&store, &number.to_string()).await;
    }
    let records = || {
        let opened = store.current.borrow().clone().expect("a database");
        let transaction = opened.database.begin_read().expect("a transaction");
        tables::count(&transaction).expect("a number")
    };
    assert_eq!(records(), 300);
    place.clock.advance(HOUR);
    let deadline = Instant::now() + Duration::from_secs(20);
    while records() > 0 {
        assert!(Instant::now() < deadline, "{} left", records());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As after `kill -9`: a copy of the file, taken while it is in use.
#[tokio::test]
async fn three_hundred_thousand_sessions_open_at_once_after_a_crash() {
    const SESSIONS: u64 = 300_000;
    const BATCH: u64 = 10_000;
    let place = Place::new();
    let store = place.open();
    let opened = store.current.borrow().clone().expect("a database");
    let ends = place.clock.now().plus(HOUR);
    for batch in 0..SESSIONS / BATCH {
        let transaction = tables::begin(&opened.database, true).expect("a transaction");
        let mut tables =
            tables::Tables::open(&transaction, place.clock.now(), MAX_RECORDS).expect("the tables");
        for number in batch * BATCH..(batch + 1) * BATCH {
            let member = format!("{number:043}");
            for (kind, bytes) in [("session", 450), ("tokens", 900)] {
                let change = Change::Create {
                    key: format!("{kind}:{member}"),
                    value: vec![7; bytes],
                    ends,
                };
                assert_eq!(tables.apply(&change).expect("a change"), Outcome::Done);
            }
            let change = Change::Enlist {
                index: format!("sessions-of:{:043}", number / 3),
                member,
                ends,
            };
            assert_eq!(tables.apply(&change).expect("a change"), Outcome::Done);
        }
        assert!(tables.finish().expect("changes"));
        transaction.commit().expect("a commit");
    }
    drop(opened);
    put(&store, "last").await;
    let after = Place::new();
    fs::copy(place.path(), after.path()).expect("a copy");
    // What the copying left to the disk is not what is measured.
    let copied = fs::File::open(after.path()).expect("a copy");
    copied.sync_all().expect("a copy on the disk");
    let start = Instant::now();
    let copy = after.open();
    let took = start.elapsed();
    let bytes = fs::metadata(after.path()).expect("a file").len();
    println!("{SESSIONS} sessions, {bytes} bytes, opened after a crash in {took:?}");
    assert!(value_of(&copy, "last").await.is_some());
    // A repair that reads the whole file takes half a second at the least, and ten times that where the machine is
    // busy; that is what must not come back.
    assert!(took < Duration::from_millis(400), "{took:?}");
}
