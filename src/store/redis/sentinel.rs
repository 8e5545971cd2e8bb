//! Sentinels, and the primary that they name. One of them is asked every second, and at once when it tells of a
//! failover or a connection to the primary is lost.
//!
//! Whom they name is believed once it says itself that it is the primary, so a sentinel that is behind leads nobody to
//! a replica. While none of them answers, the primary that is known stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::connect::{Purpose, Target, connect};
use super::fault::{Access, greeting_words};
use super::push::PushLine;
use super::race;
use super::servers::Directory;
use super::slots::SLOTS;
use crate::domain::redis_settings::{RedisAddress, RedisServers};

/// How often a sentinel is asked while all is well, and while the primary does not answer.
const CALM: Duration = Duration::from_secs(1);
const ALARMED: Duration = Duration::from_millis(200);

/// Between two questions at least.
const MOMENT: Duration = Duration::from_millis(20);

/// For one answer of a sentinel that we have a connection to.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a sentinel tells when there is another primary: the one that leads the failover first, then each of them.
const NEWS: [&str; 2] = ["+promoted-slave", "+switch-master"];

/// Follows the primary for as long as this is awaited.
pub(super) async fn follow(directory: Arc<Directory>) {
    let settings = Arc::clone(&directory.settings);
    let RedisServers::Sentinel {
        sentinels, primary, ..
    } = &settings.servers
    else {
        return;
    };
    let mut watch = Watch {
        directory,
        sentinels: sentinels.clone(),
        name: primary.clone(),
        line: None,
        is_missed: false,
    };
    loop {
        watch.look().await;
        watch.directory.redo().await;
        watch.rest().await;
    }
}

struct Watch {
    directory: Arc<Directory>,
    /// The one that answered last stands first.
    sentinels: Vec<RedisAddress>,
    name: String,
    /// To that one.
    line: Option<PushLine>,
    /// Whether the log says that none answers.
    is_missed: bool,
}

impl Watch {
    /// Asks whom they name, and has it used.
    async fn look(&mut self) {
        match self.named().await {
            Ok(address) => {
                self.note(None);
                self.adopt(address).await;
            }
            Err(reason) => {
                if !self.directory.missing(&reason) {
                    self.note(Some(&reason));
                }
            }
        }
    }

    /// The primary that a sentinel names: the one that we have a connection to, else the first that answers.
    async fn named(&mut self) -> Result<RedisAddress, String> {
        if let (Some(line), Some(address)) = (&mut self.line, self.sentinels.first())
            && let Ok(named) = name(line, address, &self.name).await
        {
            return Ok(named);
        }
        self.line = None;
        let mut attempts = Vec::new();
        for (place, address) in self.sentinels.iter().enumerate() {
            let target = Target {
                settings: Arc::clone(&self.directory.settings),
                address: address.clone(),
                purpose: Purpose::Sentinel,
            };
            let name = &self.name;
            attempts.push(async move {
                let (line, named) = meet(&target, name).await?;
                Ok((place, line, named))
            });
        }
        let (place, line, named) = race::first(attempts).await?;
        self.line = Some(line);
        self.sentinels[..=place].rotate_right(1);
        Ok(named)
    }

    /// Uses the server at `address` as the primary, if it is one.
    async fn adopt(&self, address: RedisAddress) {
        let before = self.directory.map_now();
        let before = before.and_then(|map| map.nodes.first().cloned());
        if before.as_ref().is_some_and(|node| node.address == address) {
            return;
        }
        let target = Target {
            settings: Arc::clone(&self.directory.settings),
            address: address.clone(),
            purpose: Purpose::Look,
        };
        match connect(&target, None).await {
            Ok(_) => {
                self.directory.publish(&[(0, SLOTS - 1, address.clone())]);
                if let Some(before) = before {
                    tracing::info!(before = %before.address, now = %address, "the session store has another primary");
                }
            }
            // The one before, if there is one, stays until somebody else is the primary.
            Err(reason) => drop(self.directory.missing(&format!("{address}: {reason}"))),
        }
    }

    /// Until it is time to ask again.
    async fn rest(&mut self) {
        let map = self.directory.map_now();
        let node = map.as_ref().and_then(|map| map.nodes.first());
        let is_up = node.is_some_and(|node| node.link(Access::Reads).is_up());
        let pause = if is_up { CALM } else { ALARMED };
        tokio::select! {
            () = sleep(pause) => return,
            () = self.directory.alarm.notified() => {}
            told = told(self.line.as_mut()) => if !told {
                self.line = None;
            }
        }
        sleep(MOMENT).await;
    }

    /// One line when none answers, and one when one does again.
    fn note(&mut self, failure: Option<&str>) {
        match failure {
            Some(reason) if !self.is_missed => {
                tracing::warn!(reason, "no sentinel of the session store answers");
            }
            None if self.is_missed => {
                tracing::info!("a sentinel of the session store answers");
            }
            _ => {}
        }
        self.is_missed = failure.is_some();
    }
}

/// Waits for news; `false` when the line is lost.
async fn told(line: Option<&mut PushLine>) -> bool {
    match line {
        Some(line) => line.told().await.is_some(),
        None => std::future::pending().await,
    }
}

/// Opens a line to a sentinel, and asks it.
async fn meet(target: &Target, primary: &str) -> Result<(PushLine, RedisAddress), String> {
    let address = &target.address;
    let line = PushLine::open(target).await;
    let mut line = line.map_err(|reason| format!("sentinel {address}: {reason}"))?;
    for channel in NEWS {
        // One that does not let us listen is asked all the same.
        let _ = timeout(PATIENCE, line.listen_to(channel)).await;
    }
    let named = name(&mut line, address, primary).await?;
    Ok((line, named))
}

/// Whom a sentinel names.
async fn name(
    line: &mut PushLine,
    sentinel: &RedisAddress,
    primary: &str,
) -> Result<RedisAddress, String> {
    let mut command = ::redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
    let asked = line.ask::<Option<(String, u16)>>(&command);
    let answer = match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(format!("sentinel {sentinel}: {}", words(&error))),
        Err(_) => {
            return Err(format!(
                "sentinel {sentinel}: no answer within {PATIENCE:?}"
            ));
        }
    };
    match answer {
        Some((host, port)) => Ok(RedisAddress::Tcp { host, port }),
        None => Err(format!(
            "sentinel {sentinel}: it knows no primary \"{primary}\""
        )),
    }
}

fn words(error: &::redis::RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some("NOPERM"), _) => {
            "our user may not ask it (NOPERM): see \"Sentinel\" in docs/redis.md for what it has to be allowed"
                .to_owned()
        }
        (Some("ERR"), Some(detail)) if detail.starts_with("unknown command") => {
            "what answers is no sentinel".to_owned()
        }
        _ => greeting_words(error),
    }
}
