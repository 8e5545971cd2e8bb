//! The provider is not there, or does not answer as it should. Whoever is signed in notices nothing.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::kit::ask::Ask;
use crate::kit::fault::{Endpoint, Fault};
use crate::kit::{Failure, Result};
use crate::provider::{Login, Own, expect_page, keys_in};
use crate::scenarios::Outcome;
use crate::seen::Expect;
use crate::service::Plan;
use crate::sockets::most_connections_to;
use crate::stage::{DECISION_LIMIT, LOGIN_LIMIT, MARGIN, RECOVERY_LIMIT, START_LIMIT, Stage};

const NOT_AVAILABLE: &str = "Sign-in is not available";
/// Requests to the provider at once.
const MOST_CONNECTIONS: usize = 32;
/// One more for its metadata, and what stands a moment longer when it is given up.
const FURTHER_CONNECTIONS: usize = 4;
/// For so long connections are counted: until the first requests are given up, and their successors are underway.
const COUNTED_FOR: Duration = Duration::from_secs(8);
/// What hostile answers may cost in memory, in KiB.
const MOST_MEMORY: usize = 50 * 1024;

/// It ends while people are signed in, and somebody is just signing in.
pub async fn gone(stage: &mut Stage) -> Result<Outcome> {
    let mut own = Own::start(stage).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    let login = Login::at_the_provider(stage, "ben").await?;
    stage.changing();
    own.end();
    stage.fault(Expect::CALM);
    let (page, took) = login.must_fail(stage).await?;
    expect_page(&page, 503, NOT_AVAILABLE)?;
    stage.hold(stage.time(1.0, 20.0)).await;
    service.expect_health(200, 200).await?;
    own.run(stage).await?;
    stage.recover(Expect::CALM).await?;
    login.try_again(stage, &page).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "the login under way ended with 503 after {took:.1?}"
    ))
}

/// The token endpoint does not come to an end, and many sign in at once.
pub async fn token_hangs(stage: &mut Stage) -> Result<Outcome> {
    crowd(stage, Fault::Hang).await
}

/// The token endpoint sends its answer byte by byte.
pub async fn token_drips(stage: &mut Stage) -> Result<Outcome> {
    crowd(stage, Fault::Drip).await
}

/// The token endpoint takes half a minute.
pub async fn token_slow(stage: &mut Stage) -> Result<Outcome> {
    crowd(stage, Fault::Late(Duration::from_secs(30))).await
}

async fn crowd(stage: &mut Stage, fault: Fault) -> Result<Outcome> {
    let own = Own::start(stage).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    let size = stage.rounds(60, 500);
    // Each is somebody else, with an address of their own: what is limited by address is not meant here.
    let mut logins = Vec::new();
    for _ in 0..size {
        logins.push(begun_login(stage).await?);
    }
    let one = Login::at_the_provider(stage, "ben").await?;
    own.proxy.set(Endpoint::Token, fault);
    stage.fault(Expect::CALM);
    let mut answers = JoinSet::new();
    for (tab, back) in logins {
        answers.spawn(async move {
            let begun = Instant::now();
            let page = tab.ask(Ask::navigation(&back)).await?;
            Ok::<_, Failure>((page.status, begun.elapsed()))
        });
    }
    let counting = tokio::spawn(most_connections_to(own.proxy.address.port(), COUNTED_FOR));
    let (page, took) = one.must_fail(stage).await?;
    expect_page(&page, 503, NOT_AVAILABLE)?;
    let mut slowest = took;
    while let Some(answer) = answers.join_next().await {
        let (status, took) = answer.map_err(Failure::new)??;
        if status != 503 || took > LOGIN_LIMIT + MARGIN {
            return Err(Failure(format!(
                "a login of the crowd ended with {status} after {took:?}"
            )));
        }
        slowest = slowest.max(took);
    }
    let most = counting.await.map_err(Failure::new)?;
    if most == 0 || most > MOST_CONNECTIONS + FURTHER_CONNECTIONS {
        return Err(Failure(format!(
            "{most} connections to the provider at once"
        )));
    }
    own.proxy.clear();
    stage.recover(Expect::CALM).await?;
    stage.signed_in("ben", 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{size} logins at once, all ended with 503, the slowest after {slowest:.1?}; {most} connections to the provider"
    ))
}

/// A login that is begun, and an answer that says that the provider agreed: the provider will not, but that is
/// not what ends it.
async fn begun_login(stage: &Stage) -> Result<(crate::kit::browser::Browser, String)> {
    let tab = stage.browser()?;
    let page = tab
        .ask(Ask::navigation(&format!("{}/login", stage.public_url())))
        .await?;
    let url = page
        .url
        .join(page.header("location"))
        .map_err(Failure::new)?;
    let parameter = url.query_pairs().find(|(name, _)| name == "state");
    let (_, own_state) =
        parameter.ok_or_else(|| Failure(format!("no state:\n{}\n{}", page.way(), page.body)))?;
    let issuer = url.origin().ascii_serialization();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("code", "some-code")
        .append_pair("state", &own_state)
        .append_pair("iss", &issuer);
    let back = format!("{}/callback?{}", stage.public_url(), query.finish());
    Ok((tab, back))
}

/// The token endpoint answers, but not with tokens.
pub async fn token_wrong(stage: &mut Stage) -> Result<Outcome> {
    let own = Own::start(stage).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    let html = "<html><body>Welcome to the captive portal</body></html>";
    let later = Fault::Instead {
        status: "503 Service Unavailable",
        headers: "Retry-After: 30\r\n",
        body: Vec::new(),
    };
    #[rustfmt::skip] // the columns are the point
    let faults = [
        ("500",                  Fault::answer("500 Internal Server Error", "oops"), 503),
        ("503 with Retry-After", later,                                              503),
        ("429",                  Fault::answer("429 Too Many Requests", "slow down"), 503),
        ("reset",                Fault::Reset,                                       503),
        ("truncated",            Fault::Truncated,                                   503),
        ("HTML",                 Fault::answer("200 OK", html),                      403),
        ("empty",                Fault::answer("200 OK", ""),                        403),
    ];
    for (name, fault, status) in faults {
        let login = Login::at_the_provider(stage, "ben").await?;
        own.proxy.set(Endpoint::Token, fault);
        stage.fault(Expect::CALM);
        let (page, _) = login.must_fail(stage).await.map_err(Failure::of(name))?;
        if page.status != status {
            return Err(Failure(format!(
                "{name}: {} instead of {status}",
                page.status
            )));
        }
        stage.hold(stage.time(0.2, 5.0)).await;
        own.proxy.clear();
        stage.changing();
        login
            .try_again(stage, &page)
            .await
            .map_err(Failure::of(name))?;
    }
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(
        "500, 503, 429, reset, truncated, HTML, empty: a page each, and the next login works",
    )
}

/// It is not there when the service starts.
pub async fn down_at_start(stage: &mut Stage) -> Result<Outcome> {
    let mut own = Own::start(stage).await?;
    let plan = in_file(stage, own.plan(stage));
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    service.stop();
    own.end();
    let up = service.start(&plan).await?;
    if up > START_LIMIT + MARGIN {
        return Err(Failure(format!("it took {up:?} to come up")));
    }
    stage.watch().await?;
    stage.fault(Expect::CALM);
    let took = login_is_not_available(stage).await?;
    service.expect_health(200, 200).await?;
    stage.hold(stage.time(1.0, 40.0)).await;
    own.run(stage).await?;
    let back = stage.until_login_works().await?;
    if back > RECOVERY_LIMIT + MARGIN {
        return Err(Failure(format!("a login worked only {back:?} later")));
    }
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "up after {up:.1?}; a login said so after {took:.1?}, and worked {back:.1?} after the provider came"
    ))
}

/// Keeps sessions in a file, so that they outlive the process.
fn in_file(stage: &Stage, plan: Plan) -> Plan {
    let file = stage.folder.path().join("portcullis.redb");
    Plan {
        store: format!("file:{}", file.display()),
        ..plan
    }
}

/// Somebody wants to sign in and is told that this is not possible now. Tells how long that took.
async fn login_is_not_available(stage: &Stage) -> Result<Duration> {
    let browser = stage.browser()?;
    let (page, took) = stage.sign_in_with(&browser, "ben").await?;
    expect_page(&page, 503, NOT_AVAILABLE)?;
    Ok(took)
}

/// What it says of itself, or its keys, is not fit to be read.
pub async fn metadata_wrong(stage: &mut Stage) -> Result<Outcome> {
    let own = Own::start(stage).await?;
    let plan = in_file(stage, own.plan(stage));
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    let json = |body: &str| Fault::Instead {
        status: "200 OK",
        headers: "Content-Type: application/json\r\n",
        body: body.as_bytes().to_vec(),
    };
    let bomb = Fault::Instead {
        status: "200 OK",
        headers: "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        body: gzip_bomb()?,
    };
    #[rustfmt::skip] // the columns are the point
    let faults = [
        ("huge metadata",    Endpoint::Metadata, Fault::Huge),
        ("gzip bomb",        Endpoint::Metadata, bomb.clone()),
        ("invalid metadata", Endpoint::Metadata, json("{\"issuer\":17}")),
        ("hanging metadata", Endpoint::Metadata, Fault::Hang),
        ("huge keys",        Endpoint::Keys,     Fault::Huge),
        ("gzip bomb of keys", Endpoint::Keys,    bomb),
        ("invalid keys",     Endpoint::Keys,     json("{\"keys\":[{\"kty\":17}")),
    ];
    stage.watch().await?;
    let (mut most, mut slowest, mut latest) = (0, Duration::ZERO, Duration::ZERO);
    for (name, endpoint, fault) in faults {
        own.proxy.set(endpoint, fault);
        stage.changing();
        service.start(&plan).await?;
        let before = service.memory_kib()?;
        stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
        stage.fault(Expect::CALM);
        let took = login_is_not_available(stage)
            .await
            .map_err(Failure::of(name))?;
        most = most.max(service.memory_kib()?.saturating_sub(before));
        stage.hold(stage.time(0.0, 5.0)).await;
        own.proxy.clear();
        let back = stage.until_login_works().await.map_err(Failure::of(name))?;
        (slowest, latest) = (slowest.max(took), latest.max(back));
    }
    if most > MOST_MEMORY {
        return Err(Failure(format!("memory grew by {most} KiB")));
    }
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "a login said so after {slowest:.1?} at most, and worked again after {latest:.1?}; memory grew by {most} KiB"
    ))
}

/// 256 MiB of zeros, packed.
fn gzip_bomb() -> Result<Vec<u8>> {
    let script = "head -c 268435456 /dev/zero | gzip -9 --stdout";
    let packed = Command::new("sh").args(["-c", script]).output();
    Ok(packed.map_err(Failure::of("gzip"))?.stdout)
}

/// The provider changes its keys: first it shows both and signs with the old one, then it signs with the new one,
/// then it shows the new one alone. And once without a warning.
pub async fn keys_rotated(stage: &mut Stage) -> Result<Outcome> {
    let folder = stage.folder.path().to_owned();
    let file = |name: &str| folder.join(name);
    let (first, second, third) = (file("k1.json"), file("k2.json"), file("k3.json"));
    let mut own = Own::start(stage).await?;
    own.run_with_keys(stage, Some(&first)).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    // Two further pairs of keys, made as the first one was.
    for spare in [&second, &third] {
        own.run_with_keys(stage, Some(spare)).await?;
    }
    let (first, second) = (keys_in(&first)?, keys_in(&second)?);
    let mut asked = Vec::new();
    let steps = [
        ("both, old signs", [&first[..], &second[..]].concat()),
        ("both, new signs", [&second[..], &first[..]].concat()),
        ("new alone", second.clone()),
        ("another, unannounced", keys_in(&third)?),
    ];
    stage.fault(Expect::CALM);
    let count = stage.rounds(3, 4);
    for (number, (name, keys)) in steps.into_iter().take(count).enumerate() {
        if number == 3 {
            // Unknown keys are asked for now and then only.
            stage.hold(Duration::from_secs(35)).await;
        }
        let keys_file = file(&format!("step-{number}.json"));
        let text = serde_json::json!({ "keys": keys }).to_string();
        fs::write(&keys_file, text).map_err(Failure::of(name))?;
        own.run_with_keys(stage, Some(&keys_file)).await?;
        let before = own.proxy.asked(Endpoint::Keys);
        stage
            .signed_in("ben", 200)
            .await
            .map_err(Failure::of(name))?;
        stage
            .signed_in("ada", 200)
            .await
            .map_err(Failure::of(name))?;
        let fetches = own.proxy.asked(Endpoint::Keys) - before;
        if fetches > 1 {
            return Err(Failure(format!(
                "{name}: keys were asked for {fetches} times"
            )));
        }
        asked.push(fetches.to_string());
    }
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!("keys asked for at each step: {}", asked.join(", ")))
}

/// The provider changes its keys while nobody can get them.
pub async fn keys_out_of_reach(stage: &mut Stage) -> Result<Outcome> {
    let folder = stage.folder.path().to_owned();
    let (old, new) = (folder.join("old.json"), folder.join("new.json"));
    let mut own = Own::start(stage).await?;
    own.run_with_keys(stage, Some(&old)).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    own.proxy.set(
        Endpoint::Keys,
        Fault::answer("500 Internal Server Error", ""),
    );
    own.run_with_keys(stage, Some(&new)).await?;
    stage.fault(Expect::CALM);
    let login = Login::at_the_provider(stage, "ben").await?;
    let (page, took) = login.must_fail(stage).await?;
    // The keys that are known already are good for what they signed.
    own.run_with_keys(stage, Some(&old)).await?;
    let login = Login::at_the_provider(stage, "ben").await?;
    let (back, _) = stage.step(&login.tab, &login.back).await?;
    if back.status != 302 {
        let body = &back.body;
        return Err(Failure(format!(
            "the known key is of no use: {}\n{body}",
            back.status
        )));
    }
    own.proxy.clear();
    stage.recover(Expect::CALM).await?;
    stage.signed_in("ben", 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    let new = page.status;
    Outcome::held(format!(
        "a login with a new key: {new} after {took:.1?}; with a known one it works"
    ))
}
