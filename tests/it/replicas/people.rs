//! Many people at two instances at once, some of whom come and go: nobody is ever taken for somebody else.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};

use super::{FILMS, HOST, LOGOUT, OBEYED_WITHIN, an_address, lasts_long, pair};
use crate::redis::Shared;
use crate::support::app::TestApp;
use crate::support::browser::Browser;

const PEOPLE: usize = 64;

/// So many of them sign out and in again all the time.
const RESTLESS: usize = 8;

/// Somebody, with the cookie of now.
struct Person {
    name: String,
    cookie: RefCell<String>,
    /// Since when the cookie may be good for nothing: its end was asked for.
    leaves: Cell<Option<Instant>>,
    /// And since when it must be.
    left: Cell<Option<Instant>>,
}

async fn signed_in<'a>(app: &'a TestApp, name: &str) -> Browser<'a> {
    app.issuer.behave(|issuer| {
        let name = name.to_owned();
        issuer.edit_claims = Box::new(move |claims| {
            claims["sub"] = name.clone().into();
            claims["preferred_username"] = name.clone().into();
        });
    });
    let mut browser = Browser::new(app).at(an_address());
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.end.header("remote-user"), name);
    browser
}

/// Asks, and tells whether they were let in: as themselves, and only while they may be.
async fn ask(app: &TestApp, person: &Person) -> bool {
    let cookie = person.cookie.borrow().clone();
    let sent = Instant::now();
    let ask = app.ask(FILMS).fetch().header("cookie", &cookie);
    let answer = ask.send().await;
    let is_the_same = *person.cookie.borrow() == cookie;
    let name = &person.name;
    match answer.status.as_u16() {
        200 => {
            assert_eq!(answer.header("remote-user"), name);
            if let Some(left) = person.left.get().filter(|_| is_the_same) {
                let late = sent.saturating_duration_since(left);
                assert!(late <= OBEYED_WITHIN, "{name} is let in after {late:?}");
            }
            true
        }
        401 => {
            assert!(!is_the_same || person.leaves.get().is_some(), "{name}");
            false
        }
        other => unreachable!("{name}: {other}"),
    }
}

#[actix_web::test]
async fn everybody_is_told_who_they_are() {
    let shared = Shared::start();
    let (one, other) = pair(&shared).await;
    let (mut people, mut browsers) = (Vec::new(), Vec::new());
    for number in 0..PEOPLE {
        let name = format!("user-{number}");
        let browser = signed_in(&one, &name).await;
        people.push(Person {
            name,
            cookie: RefCell::new(browser.cookie_header(HOST)),
            leaves: Cell::new(None),
            left: Cell::new(None),
        });
        browsers.push(browser);
    }
    let time = Duration::from_secs(if lasts_long() { 60 } else { 4 });
    let begun = Instant::now();
    let asking = people.iter().map(async |person| {
        let (mut let_in, mut refused) = (0, 0);
        while begun.elapsed() < time {
            for app in [&one, &other] {
                let count = if ask(app, person).await {
                    &mut let_in
                } else {
                    &mut refused
                };
                *count += 1;
            }
        }
        (let_in, refused)
    });
    let moving = async {
        let mut rounds = 0;
        while begun.elapsed() < time {
            let place = rounds % RESTLESS;
            let (person, browser) = (&people[place], &mut browsers[place]);
            person.leaves.set(Some(Instant::now()));
            let left = browser.ask(LOGOUT).navigation().send().await;
            assert_eq!(left.status, 302, "{left:?}");
            person.left.set(Some(Instant::now()));
            // For long enough that both instances are asked.
            tokio::time::sleep(Duration::from_millis(30)).await;
            *browser = signed_in(&one, &person.name).await;
            person.cookie.replace(browser.cookie_header(HOST));
            person.leaves.set(None);
            person.left.set(None);
            rounds += 1;
        }
        rounds
    };
    let (answers, rounds) = join(join_all(asking), moving).await;
    let let_in: usize = answers.iter().map(|(let_in, _)| let_in).sum();
    let refused: usize = answers.iter().map(|(_, refused)| refused).sum();
    eprintln!(
        "{PEOPLE} people, {let_in} answers, each to its own; {rounds} signed out and in, {refused} answers between"
    );
    assert!(let_in > 4 * PEOPLE, "{let_in}");
    assert!(rounds >= RESTLESS && refused > 0, "{rounds} {refused}");
    // Those who stayed were let in every time.
    let stayed = &answers[RESTLESS..];
    assert!(stayed.iter().all(|(_, refused)| *refused == 0));
}
