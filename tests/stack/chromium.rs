//! The same through a real Chromium: what only a browser can show.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::kit::child::Running;
use crate::kit::{Failure, Result, ports, tools};
use crate::setup::{FILMS, NOTES, PORTAL, Stack, folder};

/// Chromium needs seconds for its first page on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--host-resolver-rules=MAP *.localhost 127.0.0.1",
];

/// Fetches the page's own URL and says what a script gets to know.
const FETCH: &str = "const done = arguments[1];
fetch(arguments[0], { redirect: 'manual' }).then(
    async (answer) => done({
        status: answer.status,
        type: answer.headers.get('content-type'),
        redirected: answer.redirected || answer.type === 'opaqueredirect',
        body: await answer.text(),
    }),
    (failure) => done({ failure: String(failure) }),
);";

#[tokio::test]
async fn a_person_signs_in_once_uses_two_apps_and_signs_out() {
    let stack = Stack::shared().await;
    let chromium = Chromium::start().await.unwrap();
    let page = &chromium.client;
    // Whatever happens, Chromium is to be closed before the test ends.
    let outcome = tokio::time::timeout(LIMIT * 2, drive(stack, page)).await;
    chromium.close().await;
    outcome.expect("in time").unwrap();
}

async fn drive(stack: &Stack, page: &Client) -> Result<()> {
    let (films, notes) = (stack.url(FILMS, "/page?x=1"), stack.url(NOTES, "/"));

    // A stranger is led to the provider, signs in and comes back.
    page.goto(&films).await.map_err(Failure::new)?;
    press(page, "button[value=ada]").await?;
    arrive(page, &films).await?;
    assert_eq!(text(page, "#user").await?, "ada");

    // A script of the app gets the app's answer.
    let answer = fetch(page, "/data").await?;
    assert_eq!(answer["status"], 200, "{answer}");

    // The second app, on another root domain: no second login.
    page.goto(&notes).await.map_err(Failure::new)?;
    arrive(page, &notes).await?;
    assert_eq!(text(page, "#user").await?, "ada");

    // A page that was loaded before the session ended: its script is told so, and not redirected.
    page.goto(&films).await.map_err(Failure::new)?;
    let tab = page.window().await.map_err(Failure::new)?;
    let other = page.new_window(true).await.map_err(Failure::new)?;
    page.switch_to_window(other.handle)
        .await
        .map_err(Failure::new)?;
    page.goto(&stack.url(FILMS, "/.portcullis/logout"))
        .await
        .map_err(Failure::new)?;
    arrive(page, &stack.url(PORTAL, "/signed-out")).await?;
    page.switch_to_window(tab).await.map_err(Failure::new)?;
    let answer = fetch(page, "/data").await?;
    assert_eq!(answer["status"], 401, "{answer}");
    assert_eq!(answer["redirected"], false, "{answer}");
    let kind = answer["type"].as_str().unwrap_or_default();
    assert!(kind.starts_with("application/problem+json"), "{answer}");

    // Both apps ask who it is again.
    for url in [&films, &notes] {
        page.goto(url).await.map_err(Failure::new)?;
        find(page, "button[value=ada]").await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_tabs_opened_at_once_both_arrive() {
    let stack = Stack::shared().await;
    let chromium = Chromium::start().await.unwrap();
    let page = &chromium.client;
    let outcome = tokio::time::timeout(LIMIT * 2, drive_two_tabs(stack, page)).await;
    chromium.close().await;
    outcome.expect("in time").unwrap();
}

async fn drive_two_tabs(stack: &Stack, page: &Client) -> Result<()> {
    let urls = [
        stack.url(FILMS, "/first"),
        stack.url(FILMS, "/second?tab=2"),
    ];
    // Both start in the same moment, from a page that has nothing to do with the apps.
    page.goto("data:text/html,start")
        .await
        .map_err(Failure::new)?;
    let open = "for (const url of arguments[0]) window.open(url, '_blank');";
    page.execute(open, vec![json!(urls)])
        .await
        .map_err(Failure::new)?;
    let start = page.window().await.map_err(Failure::new)?;
    let tabs = eventually("two tabs", LIMIT, || async {
        let all = page.windows().await.map_err(Failure::new)?;
        let tabs: Vec<_> = all.into_iter().filter(|tab| *tab != start).collect();
        if tabs.len() == 2 {
            Ok(tabs)
        } else {
            Err(Failure(format!("{}", tabs.len())))
        }
    })
    .await?;
    let mut arrived = Vec::new();
    for tab in &tabs {
        page.switch_to_window(tab.clone())
            .await
            .map_err(Failure::new)?;
        find(page, "button[value=ben]").await?;
    }
    for tab in tabs {
        page.switch_to_window(tab).await.map_err(Failure::new)?;
        press(page, "button[value=ben]").await?;
        find(page, "#user").await?;
        arrived.push(page.current_url().await.map_err(Failure::new)?.to_string());
    }
    arrived.sort();
    assert_eq!(arrived, urls);
    Ok(())
}

pub async fn find(page: &Client, selector: &str) -> Result<fantoccini::elements::Element> {
    let found = page
        .wait()
        .at_most(LIMIT)
        .for_element(Locator::Css(selector))
        .await;
    match found {
        Ok(element) => Ok(element),
        Err(cause) => {
            let url = page
                .current_url()
                .await
                .map_or_else(|e| e.to_string(), |url| url.to_string());
            let source = page.source().await.unwrap_or_default();
            Err(Failure(format!(
                "no {selector} at {url}: {cause}\n{source}"
            )))
        }
    }
}

pub async fn press(page: &Client, selector: &str) -> Result<()> {
    find(page, selector)
        .await?
        .click()
        .await
        .map_err(Failure::of(selector))
}

pub async fn text(page: &Client, selector: &str) -> Result<String> {
    find(page, selector)
        .await?
        .text()
        .await
        .map_err(Failure::of(selector))
}

pub async fn arrive(page: &Client, url: &str) -> Result<()> {
    eventually(url, LIMIT, || async {
        let here = page.current_url().await.map_err(Failure::new)?;
        if here.as_str() == url || here.as_str().starts_with(&format!("{url}?")) {
            Ok(())
        } else {
            Err(Failure(format!("at {here}")))
        }
    })
    .await
}

async fn fetch(page: &Client, url: &str) -> Result<Value> {
    page.execute_async(FETCH, vec![json!(url)])
        .await
        .map_err(Failure::of(url))
}

/// Asks until `attempt` succeeds, at most for `limit`.
///
/// # Errors
///
/// The last attempt's, when the time is up.
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(failure) if start.elapsed() > limit => {
                return Err(Failure(format!("{what}: not after {limit:?}: {failure}")));
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// A Chromium without a window, and the driver that moves it.
pub struct Chromium {
    pub client: Client,
    _driver: Running,
    _profile: tempfile::TempDir,
}

impl Chromium {
    pub async fn start() -> Result<Self> {
        let profile = folder()?;
        let port = ports::free();
        let log = profile.path().join("chromedriver.log");
        let mut driver =
            Running::start("chromedriver", &tools::find("chromedriver")?, &log, |c| {
                // Chromium keeps more than its profile below the home folder.
                c.arg(format!("--port={port}")).env("HOME", profile.path());
            })?;
        let options = json!({
            "goog:chromeOptions": {
                "args": FLAGS.iter().map(ToString::to_string).chain([
                    format!("--user-data-dir={}", profile.path().join("profile").display()),
                ]).collect::<Vec<_>>(),
                "binary": dies_with_its_driver(profile.path())?,
            },
            "acceptInsecureCerts": true,
            "timeouts": { "script": 30_000 },
        });
        let Value::Object(capabilities) = options else {
            unreachable!("an object, see above")
        };
        let connected = driver.wait_for(LIMIT, || async {
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities.clone())
                .connect(&format!("http://127.0.0.1:{port}"))
                .await
                .map_err(Failure::new)
        });
        let client = connected.await?;
        Ok(Self {
            client,
            _driver: driver,
            _profile: profile,
        })
    }

    pub async fn close(self) {
        // When that fails, Chromium ends with its driver.
        let _ = self.client.close().await;
    }
}

/// A program that becomes Chromium and ends when the driver that started it does.
fn dies_with_its_driver(folder: &Path) -> Result<String> {
    let file = folder.join("chromium");
    let script = format!(
        "#!/bin/sh\nexec {} --pdeathsig KILL -- {} \"$@\"\n",
        tools::find("setpriv")?.display(),
        tools::find("chromium")?.display(),
    );
    std::fs::write(&file, script)
        .and_then(|()| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)))
        .map_err(Failure::of(file.display()))?;
    Ok(file.display().to_string())
}
