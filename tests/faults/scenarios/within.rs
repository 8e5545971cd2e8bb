//! What goes wrong in the service itself, and what a browser does to it: a log that nobody reads, a panic, two tabs.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::Config;
use portcullis::domain::time::Timestamp;
use portcullis::startup::Application;

use crate::kit::browser::bare_client;
use crate::kit::child::Stdout;
use crate::kit::page::Page;
use crate::kit::{Failure, Result};
use crate::provider::{callback, expect_page};
use crate::scenarios::Outcome;
use crate::seen::{Expect, Seen};
use crate::service::Plan;
use crate::stage::{DECISION_LIMIT, Extent, MARGIN, Stage};

/// Fills a pipe with lines of a log many times over.
const REFUSALS: usize = 1_000;
/// More than wait for a reader: the rest is dropped.
const MANY_REFUSALS: usize = 25_000;
/// What waits for a reader takes less, in KiB.
const MOST_MEMORY: usize = 50 * 1024;
const AT_ONCE: usize = 16;
/// So long a stop may take: the log is given up after a second.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Standard output is a pipe that nobody reads.
pub async fn log_unread(stage: &mut Stage) -> Result<Outcome> {
    let plan = Plan {
        stdout: Stdout::Unread,
        ..stage.plan()
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    stage.fault(Expect::CALM);
    let lines = stage.rounds(REFUSALS, MANY_REFUSALS);
    let before = service.memory_kib()?;
    refuse(stage, lines).await?;
    stage.hold(stage.time(1.0, 20.0)).await;
    let grown = service.memory_kib()?.saturating_sub(before);
    if grown > MOST_MEMORY {
        return Err(Failure(format!("memory grew by {grown} KiB")));
    }
    stage.recover(Expect::CALM).await?;
    stage.signed_in("ben", 200).await?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    if stage.extent == Extent::Whole {
        let unread = service.running()?.take_stdout();
        counts_dropped_lines(unread.ok_or_else(|| Failure::new("no pipe"))?)?;
    }
    let begun = Instant::now();
    if !service.stop() || begun.elapsed() > STOP_LIMIT {
        return Err(Failure(format!("a stop took {:?}", begun.elapsed())));
    }
    let stopped = begun.elapsed();
    Outcome::held(format!(
        "{lines} lines that nobody read; memory grew by {grown} KiB; stopped in {stopped:.1?}"
    ))
}

/// Reads on until the log tells how many of its lines were dropped.
fn counts_dropped_lines(unread: ChildStdout) -> Result<()> {
    let (found, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(unread)
            .lines()
            .map_while(std::result::Result::ok);
        if lines.any(|line| line.contains("were dropped")) {
            // Whoever asked may have given up.
            let _ = found.send(());
        }
        // Reads to the end, so that the service is not held up again.
        lines.for_each(drop);
    });
    let waited = told.recv_timeout(Duration::from_secs(20));
    waited.map_err(|_| Failure::new("the log does not tell that lines were dropped"))
}

/// Has requests refused, each of which is a line of the log.
async fn refuse(stage: &Stage, count: usize) -> Result<()> {
    let client = bare_client(&stage.world.root, Duration::from_secs(10))?;
    let (ports, host, cookie) = (
        stage.slot.ports,
        &stage.slot.app_host,
        &stage.cookies.groupless,
    );
    let url = format!("http://127.0.0.1:{}/verify", ports.verify);
    let requests = futures_util::stream::iter(0..count).map(|_| {
        client
            .get(&url)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", host)
            .header("x-forwarded-uri", "/page")
            .header("x-forwarded-for", "203.0.113.7")
            .header("cookie", cookie)
            .send()
    });
    let mut answers = requests.buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        let status = answer.map_err(Failure::of("refusal"))?.status().as_u16();
        if status != 403 {
            return Err(Failure(format!("{status} instead of 403")));
        }
    }
    Ok(())
}

/// The machine's clock, which breaks down when it is told to: one reading in so many by a thread that serves
/// requests.
#[derive(Clone, Default)]
struct BrokenClock {
    every: Arc<AtomicU32>,
    read: Arc<AtomicU32>,
    broke: Arc<AtomicU32>,
}

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        let every = self.every.load(Ordering::Relaxed);
        let serves = std::thread::current()
            .name()
            .is_some_and(|name| name.starts_with("actix-"));
        if every > 0
            && serves
            && self
                .read
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(every)
        {
            self.broke.fetch_add(1, Ordering::Relaxed);
            panic!("a clock that breaks down on purpose");
        }
        SystemClock.now()
    }
}

/// Handlers panic in the middle of their work. The service runs in this process, with a clock that makes them.
pub async fn panics(stage: &mut Stage) -> Result<Outcome> {
    let service = stage.prepare(&stage.plan())?;
    let config =
        Config::load(Some(service.config())).map_err(|_| Failure::new("no configuration"))?;
    let clock = BrokenClock::default();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let for_service: Arc<dyn Clock> = Arc::new(clock.clone());
    let running = std::thread::spawn(move || {
        portcullis::oidc::install_crypto_provider();
        actix_web::rt::System::new().block_on(async {
            let application =
                Application::build(config, for_service).map_err(|cause| cause.to_string())?;
            let until = async {
                let _ = stopped.await;
            };
            application
                .run_until(until)
                .await
                .map_err(|cause| cause.to_string())
        })
    });
    if let Err(failure) = service.ready_within(Duration::from_secs(10)).await {
        drop(stop);
        return Err(Failure(format!("{failure}: {:?}", running.join())));
    }
    stage.gather().await?;
    stage.watch().await?;
    // What a panic says goes to the standard error of these tests otherwise, hundreds of times.
    let hook = quiet_panics();
    stage.changing();
    clock.every.store(7, Ordering::Relaxed);
    stage.fault(Expect {
        valid: &[Seen::Pass, Seen::Broken],
        groupless: &[Seen::Forbidden, Seen::Broken],
        logged_out: &[Seen::SignIn, Seen::Broken],
        anonymous: &[Seen::SignIn, Seen::Broken],
        bypassed: &[Seen::Pass, Seen::Broken],
    });
    stage.hold(stage.time(1.5, 20.0)).await;
    clock.every.store(0, Ordering::Relaxed);
    stage.recover(Expect::CALM).await?;
    drop(hook);
    stage.signed_in("ben", 200).await?;
    service.expect_health(200, 200).await?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    let broke = clock.broke.load(Ordering::Relaxed);
    let _ = stop.send(());
    match running.join() {
        Ok(Ok(())) if broke > 10 => {}
        other => return Err(Failure(format!("{broke} panics, and then {other:?}"))),
    }
    Outcome::held(format!(
        "{broke} panics, each a 500; the service runs in the tests' own process for this"
    ))
}

/// Keeps panics of service threads to themselves until it is dropped.
struct QuietPanics;

fn quiet_panics() -> QuietPanics {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let serves = std::thread::current()
            .name()
            .is_some_and(|name| name.starts_with("actix-"));
        if !serves {
            usual(panic);
        }
    }));
    QuietPanics
}

impl Drop for QuietPanics {
    fn drop(&mut self) {
        // Only what the service's threads say is left out, and those of this process do no other work.
        drop(std::panic::take_hook());
    }
}

/// Two tabs of one browser sign in at once, and come back in the other order, twice, or not at all.
pub async fn two_tabs(stage: &mut Stage) -> Result<Outcome> {
    let mut service = stage.start(&stage.plan()).await?;
    stage.gather().await?;
    stage.watch().await?;
    stage.fault(Expect::CALM);
    let browser = stage.browser()?;
    let first = callback(stage, &browser, &stage.app_url("/first"), "ben").await?;
    let second = callback(stage, &browser, &stage.app_url("/second"), "ben").await?;
    for (back, path) in [(&second, "/second"), (&first, "/first")] {
        let page = browser.navigate(back).await?;
        expect_app(&page, path)?;
    }
    // Once more: it is done already, so on to the app.
    let page = browser.navigate(&first).await?;
    expect_app(&page, "/first")?;
    let left = browser
        .history()
        .last()
        .map(|hop| hop.sent_cookies.clone())
        .unwrap_or_default();
    if left.contains("attempt") {
        return Err(Failure(format!("cookies of logins are left: {left}")));
    }
    // In a browser that knows nothing of it: a page that leads on.
    let stranger = stage.browser()?;
    let (page, _) = stage.step(&stranger, &first).await?;
    expect_page(&page, 400, "That sign-in is over")?;
    let again =
        crate::kit::html::link(&page.body, "Sign in").ok_or_else(|| Failure::new("a dead end"))?;
    let page = stranger.sign_in(&again, "ben").await?;
    expect_app(&page, "/first")?;
    // More tabs than are remembered: the oldest gets to its page by what the others did.
    let crowd = stage.browser()?;
    let mut backs = Vec::new();
    for number in 0..5 {
        let path = format!("/tab-{number}");
        backs.push((
            callback(stage, &crowd, &stage.app_url(&path), "ben").await?,
            path,
        ));
    }
    backs.reverse();
    for (back, path) in &backs {
        let page = crowd.navigate(back).await?;
        expect_app(&page, path)?;
    }
    let (page, _) = stage.step(&crowd, &stage.app_url("/page")).await?;
    expect_app(&page, "/page")?;
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(
        "in the other order, twice, in another browser, five at once: each ends at its page",
    )
}

fn expect_app(page: &Page, path: &str) -> Result<()> {
    expect_page(page, 200, "app:ben")?;
    if page.url.path() == path {
        return Ok(());
    }
    Err(Failure(format!(
        "at {} instead of {path}:\n{}",
        page.url.path(),
        page.way()
    )))
}
