//! People who sign in and out, and what of them the visitors carry.

use std::time::{Duration, Instant};

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::page::Page;
use crate::kit::{Failure, Result};
use crate::probes::Cookies;
use crate::seen::{Answer, Seen};
use crate::stage::{LOGIN_LIMIT, MARGIN, RECOVERY_LIMIT, Stage};

const SESSION_COOKIE: &str = "__Host-portcullis";

impl Stage {
    pub fn browser(&self) -> Result<Browser> {
        Browser::new(&self.world.root)
    }

    /// Signs `user` in with a new browser, which must end at the app with `status`.
    ///
    /// # Errors
    ///
    /// When it ends elsewhere or takes too long.
    pub async fn signed_in(&self, user: &str, status: u16) -> Result<Browser> {
        let browser = self.browser()?;
        let (page, _) = self.sign_in_with(&browser, user).await?;
        if (page.host(), page.status) == (&*self.slot.app_host, status) {
            return Ok(browser);
        }
        Err(Failure(format!(
            "{user} is not signed in:\n{}\n{}",
            page.way(),
            page.body
        )))
    }

    /// Has `user` sign in with `browser` and tells where that ends and how long it took.
    ///
    /// # Errors
    ///
    /// When an answer does not come, or is not fit to be shown.
    pub async fn sign_in_with(&self, browser: &Browser, user: &str) -> Result<(Page, Duration)> {
        let begun = Instant::now();
        let page = browser.sign_in(&self.app_url("/page"), user).await?;
        let took = begun.elapsed();
        self.check_page(&page)?;
        if took > LOGIN_LIMIT + MARGIN {
            return Err(Failure(format!("a login took {took:?}:\n{}", page.way())));
        }
        Ok((page, took))
    }

    /// One request of a navigation, no redirect followed, timed.
    ///
    /// # Errors
    ///
    /// As [`sign_in_with`](Self::sign_in_with).
    pub async fn step(&self, browser: &Browser, url: &str) -> Result<(Page, Duration)> {
        let begun = Instant::now();
        let page = browser.ask(Ask::navigation(url)).await?;
        let took = begun.elapsed();
        self.check_page(&page)?;
        if took > LOGIN_LIMIT + MARGIN {
            return Err(Failure(format!("{} took {took:?}", page.way())));
        }
        Ok((page, took))
    }

    fn check_page(&self, page: &Page) -> Result<()> {
        let ours = [&self.slot.portal_host, &self.slot.app_host];
        for hop in &page.hops {
            let is_ours = ours
                .iter()
                .any(|host| hop.url.host_str() == Some(host.as_str()));
            // The app's own pages say nothing about caches.
            if !is_ours || hop.body.starts_with("app:") {
                continue;
            }
            let answer = Answer {
                status: hop.status,
                headers: &hop.headers,
                body: &hop.body,
            };
            if let Some(complaint) = answer.complaint(&self.secrets) {
                return Err(Failure(format!("{complaint}:\n{}", page.way())));
            }
        }
        Ok(())
    }

    /// Signs the visitors in, and one of them out again.
    ///
    /// # Errors
    ///
    /// When that does not work.
    pub async fn gather(&mut self) -> Result<()> {
        self.cookies = Cookies {
            valid: self.cookie_of(&self.signed_in("ben", 200).await?)?,
            groupless: self.cookie_of(&self.signed_in("eve", 403).await?)?,
            logged_out: self.logged_out().await?,
        };
        let values = [
            &self.cookies.valid,
            &self.cookies.groupless,
            &self.cookies.logged_out,
        ];
        let values = values.map(|cookie| cookie.rsplit('=').next().unwrap_or_default().to_owned());
        self.secrets.extend(values);
        // Where the provider is the one that all share, its secret is among them already.
        self.secrets
            .extend(std::fs::read_to_string(self.client_secret_file()));
        Ok(())
    }

    /// Waits for a login to work, as people do who press "try again". Tells how long that took.
    ///
    /// # Errors
    ///
    /// When none does for long.
    pub async fn until_login_works(&self) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            match self.signed_in("ben", 200).await {
                Ok(_) => return Ok(begun.elapsed()),
                // A request that was begun before may have to be given up first.
                Err(failure) if begun.elapsed() > LOGIN_LIMIT + RECOVERY_LIMIT => {
                    return Err(failure);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// What a request to the app by way of Caddy sees that carries this cookie and no other.
    ///
    /// # Errors
    ///
    /// When no answer comes.
    pub async fn seen_with(&self, cookie: &str) -> Result<Seen> {
        let ask = Ask::navigation(&self.app_url("/page")).header("cookie", cookie);
        let page = self.browser()?.ask(ask).await?;
        let answer = Answer {
            status: page.status,
            headers: &page.headers,
            body: &page.body,
        };
        Ok(answer.seen(&format!("{}/login", self.public_url())))
    }

    /// Signs somebody in and out again: the cookie that is of no use any more.
    ///
    /// # Errors
    ///
    /// When that does not work.
    pub async fn logged_out(&self) -> Result<String> {
        let browser = self.signed_in("ada", 200).await?;
        self.sign_out(&browser).await
    }

    /// Signs out whoever is signed in with this browser, and gives back the cookie.
    ///
    /// # Errors
    ///
    /// When that does not work.
    pub async fn sign_out(&self, browser: &Browser) -> Result<String> {
        let cookie = self.cookie_of(browser)?;
        let (page, _) = self
            .step(browser, &self.app_url("/.portcullis/logout"))
            .await?;
        if page.status == 302 && browser.cookie(&self.app_url("/"), SESSION_COOKIE).is_none() {
            return Ok(cookie);
        }
        Err(Failure(format!(
            "nobody is signed out:\n{}\n{}",
            page.way(),
            page.body
        )))
    }

    /// The session's cookie at the app.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn cookie_of(&self, browser: &Browser) -> Result<String> {
        let value = browser.cookie(&self.app_url("/"), SESSION_COOKIE);
        let value = value.ok_or_else(|| Failure::new("no cookie at the app"))?;
        Ok(format!("{SESSION_COOKIE}={value}"))
    }
}
