//! What all instances write, as Redis tells it (client tracking in broadcasting mode): over a connection of its own to
//! each primary, so that nothing that is kept of its answers outlives what it says now.
//!
//! A connection that is made anew behind the scenes would know of no tracking, and stay silent for ever; so these are
//! held here, and every end of one is told. They are asked several times a second whether they are there, because a
//! network may swallow what is told without a word.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{ErrorKind, PushKind, RedisError, Value, cmd};
use futures_util::future::{join_all, select_all};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::PREFIX;
use super::push::PushLine;
use super::servers::{Directory, Primaries};
use crate::domain::redis_settings::RedisAddress;
use crate::store::coherence::{Event, Listener};

/// The records that are told of: those that are kept somewhere.
const KINDS: [&str; 2] = ["session:", "tokens:"];

/// How often each server is asked whether it is there, and how long the answer may take: together less than what was
/// heard is believed for.
const BEAT: Duration = Duration::from_millis(250);
const ANSWER: Duration = Duration::from_millis(700);

/// How long it may take until a server has agreed to tell.
const AGREEMENT: Duration = Duration::from_secs(2);

/// Before it is tried again; connections that come up together are one reason to begin anew.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps telling, for as long as this is polled.
pub(super) async fn follow(directory: Arc<Directory>, listener: Arc<dyn Listener>) {
    // Where this begins anew, there may have been something to hear in between.
    listener.told(Event::Lost);
    let mut primaries = Primaries::of(&directory);
    let mut elsewhere = directory.alarm.reads();
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        elsewhere.borrow_and_update();
        let addresses = primaries.now();
        let lines = if addresses.is_empty() {
            Err("it is not known which servers there are".to_owned())
        } else {
            listen(&primaries, &addresses).await
        };
        let reason = match lines {
            Ok(lines) => {
                if told.take().is_some() {
                    tracing::info!(
                        "the session store tells of changes again: sessions in use are kept in memory"
                    );
                }
                let begun = Instant::now();
                listener.told(Event::Back);
                listener.heard(Some(begun));
                let reason = attend(lines, &mut primaries, &mut elsewhere, &*listener).await;
                listener.told(Event::Lost);
                if begun.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                tracing::debug!(reason, "the session store has to be listened to anew");
                None
            }
            Err(reason) => Some(reason),
        };
        // Once for each reason: it goes on for as long as the store is away, which is said elsewhere.
        if reason.is_some() && reason != told {
            let reason = reason.as_deref();
            tracing::warn!(
                reason,
                "the session store does not tell of changes: each request is looked up there"
            );
            told = reason.map(str::to_owned);
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            is_there = primaries.changed() => if !is_there { return },
        }
    }
}

/// Has each of the servers tell.
async fn listen(
    primaries: &Primaries,
    addresses: &[RedisAddress],
) -> Result<Vec<PushLine>, String> {
    let lines = addresses.iter().map(|address| async move {
        let line = async {
            let mut line = primaries.listen(address).await?;
            let mut command = cmd("CLIENT");
            command.arg("TRACKING").arg("ON").arg("BCAST");
            for kind in KINDS {
                command.arg("PREFIX").arg(format!("{PREFIX}{kind}"));
            }
            let agreed = line.ask::<()>(&command).await;
            agreed.map_err(|error| refusal(&error)).map(|()| line)
        };
        let line = timeout(AGREEMENT, line).await;
        line.unwrap_or_else(|_| Err("no answer in time".to_owned()))
            .map_err(|reason| format!("{address}: {reason}"))
    });
    join_all(lines).await.into_iter().collect()
}

fn refusal(error: &RedisError) -> String {
    if error.code() == Some("NOPERM") {
        "its user may not track changes: it needs +client|tracking".to_owned()
    } else {
        error.to_string()
    }
}

/// Passes on what is told until something may go untold. Gives the reason.
async fn attend(
    mut lines: Vec<PushLine>,
    primaries: &mut Primaries,
    elsewhere: &mut watch::Receiver<()>,
    listener: &dyn Listener,
) -> &'static str {
    let connections = lines.iter().map(PushLine::connection).collect();
    let hearing = lines.iter_mut().map(|line| Box::pin(hear(line, listener)));
    tokio::select! {
        biased;
        _ = primaries.changed() => "there are other servers",
        _ = elsewhere.changed() => "a connection was made anew",
        _ = select_all(hearing) => "the connection is lost",
        () = beat(connections, listener) => "no answer",
    }
}

/// Until the line is lost, or something was missed.
async fn hear(line: &mut PushLine, listener: &dyn Listener) {
    while let Some(push) = line.told().await {
        if push.kind != PushKind::Invalidate {
            continue;
        }
        match push.data.into_iter().next() {
            Some(Value::Array(keys)) => {
                for key in &keys {
                    tell(key, listener);
                }
            }
            // No names: whatever there was.
            _ => listener.told(Event::Flushed),
        }
    }
}

fn tell(key: &Value, listener: &dyn Listener) {
    let name = match key {
        Value::BulkString(name) => std::str::from_utf8(name).ok(),
        Value::SimpleString(name) => Some(name.as_str()),
        _ => None,
    };
    // What is not a name of ours is somebody else's.
    if let Some(name) = name.and_then(|name| name.strip_prefix(PREFIX)) {
        listener.told(Event::Changed(name));
    }
}

/// Until one of the servers does not answer. What they tell comes over the same connections, and before the answer.
async fn beat(connections: Vec<MultiplexedConnection>, listener: &dyn Listener) {
    loop {
        let asked = Instant::now();
        let pings = connections.iter().map(|connection| async move {
            let mut connection = connection.clone();
            let pong = timeout(ANSWER, cmd("PING").query_async::<Value>(&mut connection)).await;
            match pong {
                Ok(Ok(_)) => true,
                // A refusal is an answer as well, but for what comes of a connection that is lost.
                Ok(Err(error)) => !error.is_io_error() && error.kind() != ErrorKind::Client,
                Err(_) => false,
            }
        });
        if join_all(pings).await.contains(&false) {
            return;
        }
        listener.heard(Some(asked));
        sleep(BEAT).await;
    }
}
