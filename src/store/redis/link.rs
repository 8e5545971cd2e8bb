//! The link to Redis: one connection at a time, watched, and made anew when it is lost.
//!
//! While Redis answers, calls share the connection. When the link is lost, one attempt to make it anew is
//! waited for; once that has failed, calls fail at once, so that nothing piles up before a Redis that is
//! down or frozen, and attempts go on in the background for ever.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, FromRedisValue};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::connect::{Driver, connect, probe};
use super::fault::{Access, Fault, connection_words, fault};
use crate::domain::redis_settings::RedisSettings;
use crate::store::StoreError;
use crate::store::sealing::random;

/// How often Redis is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The pause after the first attempt that failed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whoever loses a connection sooner than this makes the next one after a short pause, and not at once: otherwise a
/// Redis that closes each of them would be asked without end.
const BRIEF: Duration = Duration::from_millis(500);

/// How old a connection has to be to be made anew because Redis has become a replica. The address may lead to its
/// successor by now; where it does not, this keeps the attempts few.
const BETWEEN_SUCCESSIONS: Duration = Duration::from_secs(5);

/// The link. Ends with whoever holds it.
pub(super) struct Link {
    state: Arc<watch::Sender<State>>,
    timeout: Duration,
    supervisor: AbortHandle,
}

#[derive(Clone)]
enum State {
    /// Nobody knows yet whether it answers. Calls wait for that.
    Connecting,
    /// It answers.
    Up(Up),
    /// It does not, and this is why. Calls fail at once.
    Down(Arc<str>),
}

#[derive(Clone)]
struct Up {
    connection: MultiplexedConnection,
    /// Tells this connection from those before and after it.
    number: u64,
    since: Instant,
}

impl State {
    fn is_up(&self, number: u64) -> bool {
        matches!(self, Self::Up(up) if up.number == number)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl Link {
    /// Begins to connect, in the background. To be called within a Tokio runtime, which keeps the link.
    pub(super) fn start(settings: RedisSettings) -> Self {
        let state = Arc::new(watch::Sender::new(State::Connecting));
        let timeout = settings.timeout;
        let supervisor = Supervisor::new(settings, Arc::clone(&state));
        Self {
            state,
            timeout,
            supervisor: tokio::spawn(supervisor.run()).abort_handle(),
        }
    }

    /// Asks Redis, within the time-out. A read whose connection is lost is asked once more over a new one. A
    /// write is not: nobody knows whether it was carried out.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        access: Access,
    ) -> Result<T, StoreError> {
        let mut asked_over = None;
        let asked = self.ask_in_time(command, access, &mut asked_over);
        let answer = timeout(self.timeout, asked).await;
        answer.unwrap_or_else(|_| {
            let reason = format!("no answer within {:?}", self.timeout);
            // Of a call that had to wait for its connection, little time may have been left for the answer.
            if let Some((number, since)) = asked_over
                && since.elapsed() >= self.timeout / 2
            {
                self.leave(number, &State::Down(reason.as_str().into()));
            }
            Err(StoreError::Unreachable(reason))
        })
    }

    async fn ask_in_time<T: FromRedisValue>(
        &self,
        command: &Cmd,
        access: Access,
        asked_over: &mut Option<(u64, Instant)>,
    ) -> Result<T, StoreError> {
        let mut attempts = match access {
            Access::Reads => 2,
            Access::Writes => 1,
        };
        loop {
            let mut up = self.connection().await?;
            attempts -= 1;
            *asked_over = Some((up.number, Instant::now()));
            let error = match command.query_async(&mut up.connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match fault(&error, access) {
                Fault::Answered(error) => return Err(error),
                Fault::Demoted(error) => {
                    if up.since.elapsed() >= BETWEEN_SUCCESSIONS {
                        self.leave(up.number, &State::Connecting);
                    }
                    return Err(error);
                }
                Fault::Lost(reason) => {
                    self.leave(up.number, &State::Connecting);
                    if attempts == 0 {
                        return Err(StoreError::Unreachable(reason));
                    }
                }
            }
        }
    }

    /// The connection, as soon as it is known whether there is one.
    async fn connection(&self) -> Result<Up, StoreError> {
        if let State::Up(up) = &*self.state.borrow() {
            return Ok(up.clone());
        }
        let mut state = self.state.subscribe();
        let known = state
            .wait_for(|state| !matches!(state, State::Connecting))
            .await;
        match known.as_deref() {
            Ok(State::Up(up)) => Ok(up.clone()),
            Ok(State::Down(reason)) => Err(StoreError::Unreachable(reason.to_string())),
            Ok(State::Connecting) | Err(_) => {
                Err(StoreError::Unreachable("the service stops".to_owned()))
            }
        }
    }

    /// Gives up a connection. Whoever finds that first says what holds from now on.
    fn leave(&self, number: u64, next: &State) {
        leave(&self.state, number, next);
    }
}

#[cfg(test)]
impl Link {
    /// Tells when the state changes.
    pub(super) fn watch(&self) -> watch::Receiver<impl Sized + use<>> {
        self.state.subscribe()
    }
}

fn leave(state: &watch::Sender<State>, number: u64, next: &State) {
    state.send_if_modified(|state| {
        let leaves = state.is_up(number);
        if leaves {
            *state = next.clone();
        }
        leaves
    });
}

/// Keeps the link.
struct Supervisor {
    settings: RedisSettings,
    state: Arc<watch::Sender<State>>,
    /// What the log says about the link, if anything yet.
    logged: Option<Logged>,
    pause: Duration,
}

#[derive(PartialEq, Eq)]
enum Logged {
    Up,
    Down(Arc<str>),
}

impl Supervisor {
    fn new(settings: RedisSettings, state: Arc<watch::Sender<State>>) -> Self {
        Self {
            settings,
            state,
            logged: None,
            pause: FIRST_PAUSE,
        }
    }

    async fn run(mut self) {
        for number in 0.. {
            match connect(&self.settings).await {
                Ok((connection, driver)) => {
                    let since = Instant::now();
                    self.log(Logged::Up);
                    self.state.send_replace(State::Up(Up {
                        connection: connection.clone(),
                        number,
                        since,
                    }));
                    self.hold(connection, driver, number).await;
                    self.pause = FIRST_PAUSE;
                    if since.elapsed() < BRIEF {
                        sleep(jittered(FIRST_PAUSE)).await;
                    }
                }
                Err(reason) => {
                    self.down(&reason.into());
                    sleep(jittered(self.pause)).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Until the connection is lost, or somebody has given it up.
    async fn hold(&mut self, connection: MultiplexedConnection, driver: Driver, number: u64) {
        let mut state = self.state.subscribe();
        tokio::select! {
            () = driver => leave(&self.state, number, &State::Connecting),
            reason = silence(connection, self.settings.timeout) => {
                leave(&self.state, number, &State::Down(reason.into()));
            }
            _ = state.wait_for(|state| !state.is_up(number)) => {}
        }
        // What is lost and got back at once is worth no line.
        let lost = match &*self.state.borrow() {
            State::Down(reason) => Some(Arc::clone(reason)),
            State::Connecting | State::Up(_) => None,
        };
        if let Some(reason) = lost {
            self.log(Logged::Down(reason));
        }
    }

    fn down(&mut self, reason: &Arc<str>) {
        self.state.send_replace(State::Down(Arc::clone(reason)));
        self.log(Logged::Down(Arc::clone(reason)));
    }

    /// One line for each change.
    fn log(&mut self, now: Logged) {
        if self.logged.as_ref() == Some(&now) {
            return;
        }
        let address = &self.settings.address;
        match &now {
            Logged::Up => tracing::info!(%address, "the session store answers"),
            Logged::Down(reason) => {
                tracing::error!(%address, %reason, "the session store does not answer");
            }
        }
        self.logged = Some(now);
    }
}

/// Half of the pause at least. Where many have lost the same Redis, they do not come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let [random] = random::<1>();
    pause / 2 + pause / 2 * u32::from(random) / u32::from(u8::MAX)
}

/// Asks every second, and ends when there is no answer. One that refuses is an answer too: it tells the same to
/// whoever asks for something.
async fn silence(mut connection: MultiplexedConnection, limit: Duration) -> String {
    loop {
        sleep(HEARTBEAT).await;
        match timeout(limit, probe(&mut connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                if let Fault::Lost(_) = fault(&error, Access::Reads) {
                    return connection_words(&error);
                }
            }
            Err(_) => return format!("no answer within {limit:?}"),
        }
    }
}
