//! What all instances write, as Redis tells it (client tracking in broadcasting mode): over a connection of its own to
//! each primary, so that nothing that is kept of its answers outlives what it says now.
//!
//! A connection that is made anew behind the scenes would know of no tracking, and stay silent for ever; so these are
//! held here, and every end of one is told. They are asked several times a second whether the server is there and still
//! the primary, because a network may swallow what is told without a word, and a server that is no primary any more tells
//! nothing of what its successor is told to write.
//!
//! An address may lead to another server from one moment to the next, and connections that exist stay where they are. So
//! nothing is kept before all connections to it are known to lead to the server that tells; and when one of them is made
//! anew, that is no more known (`alarm`).

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{PushInfo, PushKind, RedisError, Value, cmd};
use futures_util::future::{join_all, select_all};
use tokio::time::{sleep, timeout};

use super::PREFIX;
use super::alarm::Turn;
use super::connect::{Target, stands};
use super::node::Node;
use super::push::PushLine;
use super::server_id::Unknown;
use super::servers::{Directory, Primaries};
use crate::clock::Instant;
use crate::store::coherence::{Event, Listener};

/// The records that are told of: those that are kept somewhere.
const KINDS: [&str; 2] = ["session:", "tokens:"];

/// How often each server is asked whether it is there, and how long the answer may take. What was heard counts from when
/// it was asked for, and is believed for a second: where two answers in a row take 375 ms each, it is believed no more just
/// before the second comes, and sessions are looked up until it does.
const BEAT: Duration = Duration::from_millis(250);
const ANSWER: Duration = Duration::from_millis(700);

/// How long it may take until a server has agreed to tell.
const AGREEMENT: Duration = Duration::from_secs(2);

/// Before it is tried again; connections that come up together are one reason to begin anew.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Tells that nothing is told any more, however it ends: also when it breaks down.
struct Voice(Arc<dyn Listener>);

impl Drop for Voice {
    fn drop(&mut self) {
        self.0.told(Event::Lost);
    }
}

/// Keeps telling, for as long as this is polled.
pub(super) async fn follow(directory: Arc<Directory>, listener: Arc<dyn Listener>) {
    let voice = Voice(Arc::clone(&listener));
    directory.alarm.watch(&voice.0);
    // Where this begins anew, there may have been something to hear in between.
    voice.0.told(Event::Lost);
    let mut primaries = Primaries::of(&directory);
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        // Marks those that there are as seen.
        let _ = primaries.now();
        let begun = Instant::now();
        let reason = match listen(&directory, &primaries).await {
            Ok(Listening {
                turn,
                asked,
                mut lines,
            }) => {
                let is_back = directory.alarm.if_still(turn, || {
                    listener.told(Event::Back);
                    listener.heard(Some(asked));
                });
                if is_back {
                    if told.take().is_some() {
                        tracing::info!(
                            "the session store tells of changes again: sessions in use are kept in memory"
                        );
                    }
                    let reason = attend(&mut lines, &directory, turn, &*listener).await;
                    listener.told(Event::Lost);
                    tracing::debug!(reason, "the session store has to be listened to anew");
                }
                None
            }
            Err(reason) => Some(reason),
        };
        if reason.is_none() && begun.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
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
            is_there = primaries.changed() => {
                if !is_there {
                    return;
                }
                // Where they change on and on, too.
                sleep(FIRST_PAUSE).await;
            }
        }
    }
}

/// All of the servers tell.
struct Listening {
    turn: Turn,
    /// Before the first of them was asked to.
    asked: Instant,
    lines: Vec<PushLine>,
}

/// Has each of the servers tell, once it is certain that all that is read and written there goes to them and to no others.
async fn listen(directory: &Directory, primaries: &Primaries) -> Result<Listening, String> {
    let unknown = || "it is not known which servers there are".to_owned();
    let map = directory.map_now().ok_or_else(unknown)?;
    // One that comes up later changes whom is asked, and all of this would be in vain.
    let reached = join_all(map.nodes.iter().map(|node| reached(node))).await;
    reached.into_iter().collect::<Result<(), String>>()?;
    let turn = directory.alarm.turn();
    let map = directory.map_now().ok_or_else(unknown)?;
    let asked = Instant::now();
    let lines = map.nodes.iter().map(|node| line(primaries, node));
    let lines = join_all(lines).await.into_iter();
    Ok(Listening {
        turn,
        asked,
        lines: lines.collect::<Result<_, String>>()?,
    })
}

async fn reached(node: &Node) -> Result<(), String> {
    let reached = timeout(AGREEMENT, node.reached()).await;
    // Whoever takes longer than that is said elsewhere not to answer.
    reached
        .unwrap_or(Ok(()))
        .map_err(|error| format!("{}: {error}", node.address))
}

/// Has one server tell, to which both connections lead.
async fn line(primaries: &Primaries, node: &Node) -> Result<PushLine, String> {
    let line = async {
        let mut line = primaries.listen(&node.address).await?;
        let server = line.server().map_err(Unknown::words)?;
        node.leads_to(server)?;
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
        .map_err(|reason| format!("{}: {reason}", node.address))
}

fn refusal(error: &RedisError) -> String {
    if error.code() == Some("NOPERM") {
        "its user may not track changes: it needs +client|tracking".to_owned()
    } else {
        error.to_string()
    }
}

/// Passes on what is told until something may go untold, and all that was told until then. Gives the reason.
pub(super) async fn attend(
    lines: &mut [PushLine],
    directory: &Directory,
    turn: Turn,
    listener: &dyn Listener,
) -> String {
    let reason = follow_lines(lines, directory, turn, listener).await;
    drain(lines, listener);
    reason
}

async fn follow_lines(
    lines: &mut [PushLine],
    directory: &Directory,
    turn: Turn,
    listener: &dyn Listener,
) -> String {
    let beating = beat(lines.iter().map(PushLine::connection).collect(), listener);
    let hearing = lines.iter_mut().map(|line| Box::pin(hear(line, listener)));
    tokio::select! {
        biased;
        // Also when there are other servers.
        () = directory.alarm.turned(turn) => "a connection was made anew".to_owned(),
        _ = select_all(hearing) => "the connection is lost".to_owned(),
        reason = beating => reason,
    }
}

/// Until the line is lost, or something was missed.
async fn hear(line: &mut PushLine, listener: &dyn Listener) {
    while let Some(push) = line.told().await {
        pass_on(push, listener);
    }
}

/// Passes on what has come already. Where what was known outlasts the server, that is to be taken out of it.
fn drain(lines: &mut [PushLine], listener: &dyn Listener) {
    for line in lines {
        while let Some(push) = line.left() {
            pass_on(push, listener);
        }
        if line.has_missed() {
            listener.told(Event::Flushed);
        }
    }
}

fn pass_on(push: PushInfo, listener: &dyn Listener) {
    if push.kind != PushKind::Invalidate {
        return;
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

/// Until one of the servers does not answer, or says that it is no primary with all its data. What they tell comes over the
/// same connections, and before the answer. Gives the reason.
async fn beat(
    mut servers: Vec<(MultiplexedConnection, Target)>,
    listener: &dyn Listener,
) -> String {
    loop {
        let when = Instant::now();
        let asked = servers.iter_mut().map(|(connection, target)| async {
            let answer = timeout(ANSWER, stands(connection, target)).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {ANSWER:?}")));
            answer.map_err(|reason| format!("{}: {reason}", target.address))
        });
        let answers = join_all(asked).await;
        if let Err(reason) = answers.into_iter().collect::<Result<(), String>>() {
            return reason;
        }
        listener.heard(Some(when));
        sleep(BEAT).await;
    }
}
