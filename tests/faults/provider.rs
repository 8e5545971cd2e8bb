//! A provider of a scenario's own, what stands before it, and the steps of a login that are taken one by one.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::fault_proxy::FaultProxy;
use crate::kit::page::Page;
use crate::kit::provider::{Provider, Special, USUAL};
use crate::kit::{Failure, Result, html, ports};
use crate::service::Plan;
use crate::stage::Stage;
use crate::world::ISSUER_HOST;

/// The most redirects of a login.
const MOST_STEPS: usize = 10;

pub struct Own {
    /// `None` while it is not there.
    pub provider: Option<Provider>,
    pub proxy: FaultProxy,
    pub issuer: String,
    /// Of its process, from the next time that it runs.
    pub environment: Vec<(String, String)>,
    behind: u16,
}

impl Own {
    /// A provider that runs, under a name of this machine.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(stage: &Stage) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let issuer = format!("http://{ISSUER_HOST}:{}", address.port());
        let mut own = Self::absent(address, issuer);
        own.run(stage).await?;
        Ok(own)
    }

    /// A provider that does not run yet.
    pub fn absent(address: SocketAddr, issuer: String) -> Self {
        let behind = ports::free();
        Self {
            provider: None,
            proxy: FaultProxy::stopped(address, behind),
            issuer,
            environment: Vec::new(),
            behind,
        }
    }

    /// Runs the provider, anew and with new keys, and hands on to it.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn run(&mut self, stage: &Stage) -> Result<()> {
        self.run_with_keys(stage, None).await
    }

    /// The same with the keys of a file (a JSON Web Key Set, the first one signs), or new ones that are written there.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn run_with_keys(&mut self, stage: &Stage, keys: Option<&Path>) -> Result<()> {
        self.provider = None;
        let portals = [stage.public_url()];
        let folder = stage.folder.path();
        let special = Special {
            keys,
            environment: &self.environment,
            ..USUAL
        };
        let provider = Provider::start_on(self.behind, folder, &self.issuer, &portals, special)?;
        let provider = self.provider.insert(provider);
        self.proxy.listen().await?;
        provider.listens().await
    }

    /// The provider is gone, with all that it knew.
    pub fn end(&mut self) {
        self.proxy.stop();
        self.provider = None;
    }

    /// The port of the provider itself.
    pub fn behind(&self) -> u16 {
        self.behind
    }

    /// A plan for a service that signs people in here.
    pub fn plan(&self, stage: &Stage) -> Plan {
        Plan::new(&self.issuer, &stage.client_secret_file())
    }
}

/// A login that has come as far as the provider's answer.
pub struct Login {
    pub tab: Browser,
    /// Where the provider sends the browser.
    pub back: String,
}

impl Login {
    /// Signs `user` in at the provider, and stops where that sends the browser back to us.
    ///
    /// # Errors
    ///
    /// When it does not come to that.
    pub async fn at_the_provider(stage: &Stage, user: &str) -> Result<Self> {
        let tab = stage.browser()?;
        let back = callback(stage, &tab, &stage.app_url("/page"), user).await?;
        Ok(Self { tab, back })
    }

    /// Comes back. Nobody may be signed in by that; tells the page and how long it took.
    ///
    /// # Errors
    ///
    /// When somebody is signed in, or the page is not fit to be shown.
    pub async fn must_fail(&self, stage: &Stage) -> Result<(Page, Duration)> {
        let (page, took) = stage.step(&self.tab, &self.back).await?;
        let portal = stage.public_url();
        let signed_in = self.tab.cookie(&portal, "__Host-portcullis-sso").is_some();
        if signed_in || page.status < 400 {
            return Err(Failure(format!(
                "this signed somebody in:\n{}\n{}",
                page.way(),
                page.body
            )));
        }
        // A page that leads on, not a loop: it is shown, and asks for nothing by itself.
        let again = page.body.contains("Try again") || page.body.contains("try again");
        if !again
            || page
                .body
                .to_ascii_lowercase()
                .contains("http-equiv=\"refresh\"")
        {
            return Err(Failure(format!(
                "a dead end:\n{}\n{}",
                page.way(),
                page.body
            )));
        }
        Ok((page, took))
    }

    /// Presses "Try again" on a page that [`must_fail`](Self::must_fail) showed, now that the cause is gone: it leads to
    /// where the login began.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn try_again(&self, stage: &Stage, page: &Page) -> Result<()> {
        let link = html::link(&page.body, "Try again");
        let link = link.ok_or_else(|| Failure(format!("no way on:\n{}", page.body)))?;
        let page = self.tab.sign_in(&link, "ben").await?;
        if (page.status, page.url.as_str()) == (200, &*stage.app_url("/page")) {
            return Ok(());
        }
        Err(Failure(format!(
            "\"Try again\" leads elsewhere:\n{}",
            page.way()
        )))
    }
}

/// Begins a login at `url`, signs `user` in at the provider, and tells where the provider sends the browser back to.
///
/// # Errors
///
/// When it does not come to that.
pub async fn callback(stage: &Stage, tab: &Browser, url: &str, user: &str) -> Result<String> {
    let back = format!("{}/callback?", stage.public_url());
    let mut page = tab.ask(Ask::navigation(url)).await?;
    for _ in 0..MOST_STEPS {
        if page.status == 200 && page.url.path().starts_with("/interaction/") {
            let ask = Ask::navigation(page.url.as_str());
            page = tab.ask(ask.form(format!("user={user}"))).await?;
        }
        let next = page
            .url
            .join(page.header("location"))
            .map_err(Failure::new)?;
        if next.as_str().starts_with(&back) {
            return Ok(next.into());
        }
        if !matches!(page.status, 302 | 303) {
            break;
        }
        page = tab.ask(Ask::navigation(next.as_str())).await?;
    }
    Err(Failure(format!(
        "no way to the callback:\n{}\n{}",
        page.way(),
        page.body
    )))
}

/// Holds a page against what it must be.
///
/// # Errors
///
/// When it is another one.
pub fn expect_page(page: &Page, status: u16, title: &str) -> Result<()> {
    if page.status == status && page.body.contains(title) {
        return Ok(());
    }
    let way = page.way();
    Err(Failure(format!(
        "not `{title}` with {status}:\n{way}\n{}",
        page.body
    )))
}

/// The keys of a file that a provider wrote.
///
/// # Errors
///
/// When there is none.
pub fn keys_in(file: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read(file).map_err(Failure::of(file.display()))?;
    let set: Value = serde_json::from_slice(&text).map_err(Failure::of(file.display()))?;
    Ok(set["keys"].as_array().cloned().unwrap_or_default())
}
