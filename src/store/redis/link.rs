//! One connection to a server, watched, and made anew when it is lost.
//!
//! While the server answers, calls share the connection. When it is lost, one attempt to make it anew is waited for;
//! once that has failed, calls fail at once, so that nothing piles up before a Redis that is down or frozen, and
//! attempts go on in the background for ever.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::alarm::Alarm;
use super::connect::{Driver, Made, Target, connect, probe};
use super::fault::Access;
use super::node::Report;
use super::server_id::ServerId;
use super::supervise::{Kept, keep};
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

/// How old a connection has to be to be made anew because it leads to another server than its address does by now, or to
/// one that has become a replica. Where a new one leads there again, this keeps the attempts few.
///
/// Of two that lead to different servers one is made anew at once, the first time: what is written over the one would be
/// missed over the other for so long. Where they do not agree after that, there is an address that leads now here, now
/// there, as that of a proxy before several servers may. It is put up with at this pace, since to refuse all reads would
/// have whoever sits behind such a proxy never served at all.
const SETTLED: Duration = Duration::from_secs(5);

/// The link. Ends with whoever holds it.
pub(super) struct Link {
    lane: Arc<Lane>,
    _supervisor: Kept,
}

/// What callers and the supervisor share.
struct Lane {
    target: Target,
    access: Access,
    state: watch::Sender<State>,
    /// How many connections there have been.
    count: AtomicU64,
    report: Arc<Report>,
    /// Rings when a connection is lost, and when one is made.
    alarm: Arc<Alarm>,
    /// The other connection to the same address.
    sibling: OnceLock<Sibling>,
    /// Tells all links to the server that one of them has reached it.
    arrival: Arc<Notify>,
    /// Whether what is read from the server may be kept, so that whoever does has to know of new connections.
    is_listed: Arc<AtomicBool>,
}

struct Sibling {
    lane: Weak<Lane>,
    /// Whether one of the two was given up for the other since they led to one server last. Both share this.
    is_spent: Arc<AtomicBool>,
}

/// What becomes of a connection beside the other one of its pair.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Stays,
    /// The other one goes where the address leads by now.
    Goes,
}

#[derive(Clone)]
pub(super) enum State {
    /// Nobody knows yet whether it answers. Calls wait for that.
    Connecting,
    /// It answers.
    Up(Up),
    /// It does not, and this is why. Calls fail at once.
    Down(Arc<str>),
}

#[derive(Clone)]
pub(super) struct Up {
    pub(super) connection: MultiplexedConnection,
    /// Tells this connection from those before and after it.
    pub(super) number: u64,
    /// When it was begun: who begins later goes where the address leads later.
    pub(super) since: Instant,
    /// Where it leads, if that is told.
    pub(super) server: Option<ServerId>,
}

impl Up {
    /// Whether a new one may lead to another server.
    pub(super) fn is_settled(&self) -> bool {
        self.since.elapsed() >= SETTLED
    }
}

impl State {
    fn is_up(&self, number: u64) -> bool {
        matches!(self, Self::Up(up) if up.number == number)
    }
}

impl Link {
    /// Begins to connect, in the background. To be called within a Tokio runtime, which keeps the link.
    pub(super) fn start(
        target: Target,
        access: Access,
        report: Arc<Report>,
        alarm: Arc<Alarm>,
        arrival: Arc<Notify>,
        is_listed: Arc<AtomicBool>,
    ) -> Self {
        let lane = Arc::new(Lane {
            target,
            access,
            state: watch::Sender::new(State::Connecting),
            count: AtomicU64::new(0),
            report,
            alarm,
            arrival,
            is_listed,
            sibling: OnceLock::new(),
        });
        let kept = Arc::clone(&lane);
        Self {
            lane,
            _supervisor: keep("link", move || supervise(Arc::clone(&kept))),
        }
    }

    /// Has these two, which lead to one address, lead to one server.
    pub(super) fn pair(one: &Self, other: &Self) {
        let is_spent = Arc::new(AtomicBool::new(false));
        for (link, sibling) in [(one, other), (other, one)] {
            // Each link is in one pair.
            let _ = link.lane.sibling.set(Sibling {
                lane: Arc::downgrade(&sibling.lane),
                is_spent: Arc::clone(&is_spent),
            });
        }
    }

    /// The connection, as soon as it is known whether there is one.
    pub(super) async fn connection(&self) -> Result<Up, StoreError> {
        if let State::Up(up) = &*self.lane.state.borrow() {
            return Ok(up.clone());
        }
        let mut state = self.lane.state.subscribe();
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

    /// Whether it answers, as far as is known now.
    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.lane.state.borrow(), State::Up(_))
    }

    /// Whether it leads to this server, as far as is known now.
    ///
    /// # Errors
    ///
    /// What is known instead, for people.
    pub(super) fn leads_to(&self, server: &ServerId) -> Result<(), &'static str> {
        match &*self.lane.state.borrow() {
            State::Up(up) => match &up.server {
                Some(its) if its == server => Ok(()),
                Some(_) => Err("its address leads to another server than before"),
                None => Err("it is not known yet which server is read and written there"),
            },
            State::Connecting | State::Down(_) => Err("not all connections to it are there"),
        }
    }

    /// Gives up a connection that may lead to another server than its address does by now.
    pub(super) fn leave_unless_to(&self, server: &ServerId) {
        self.lane.leave_unless_to(server);
    }

    /// Gives up a connection that is of no more use. What comes next is not known. Tells whether nobody was sooner.
    pub(super) fn leave(&self, number: u64) -> bool {
        self.lane.leave(number, &State::Connecting)
    }

    /// Gives up whatever connection there is.
    pub(super) fn leave_any(&self) {
        self.lane.leave_if(&State::Connecting, |_| true);
    }

    /// Gives up a connection over which no answer comes.
    pub(super) fn leave_silent(&self, number: u64, reason: &str) {
        self.lane.leave(number, &State::Down(reason.into()));
    }
}

#[cfg(test)]
impl Link {
    /// Tells when the state changes.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.lane.state.subscribe()
    }
}

impl Lane {
    /// Whoever finds first that a connection is lost says what holds from now on.
    fn leave(&self, number: u64, next: &State) -> bool {
        self.leave_if(next, |up| up.number == number)
    }

    /// Where it is not known which server it leads to, our user may not have been allowed to ask. By now it is.
    fn leave_unless_to(&self, server: &ServerId) {
        self.leave_if(&State::Connecting, |up| {
            up.server.as_ref() != Some(server) && up.is_settled()
        });
    }

    /// Of two connections that lead to different servers, the younger one goes where the address leads: the older is to be
    /// given up. What is written over one of them would be missed over the other.
    fn beside_sibling(&self, up: &Up) -> Fit {
        let Some(Sibling { lane, is_spent }) = self.sibling.get() else {
            return Fit::Stays;
        };
        let Some(lane) = lane.upgrade() else {
            return Fit::Stays;
        };
        let its = match &*lane.state.borrow() {
            State::Up(its) => its.clone(),
            State::Connecting | State::Down(_) => return Fit::Stays,
        };
        match (&up.server, &its.server) {
            (Some(here), Some(there)) if here == there => {
                is_spent.store(false, Ordering::SeqCst);
                return Fit::Stays;
            }
            (Some(_), Some(_)) => {}
            (None, _) | (_, None) => return Fit::Stays,
        }
        let is_older = up.since < its.since;
        let older = if is_older { up } else { &its };
        if !older.is_settled() && is_spent.swap(true, Ordering::SeqCst) {
            return Fit::Stays;
        }
        if is_older {
            return Fit::Goes;
        }
        lane.leave(its.number, &State::Connecting);
        Fit::Stays
    }

    /// Tells whether anything was given up.
    fn leave_if(&self, next: &State, is_left: impl Fn(&Up) -> bool) -> bool {
        let has_left = self.state.send_if_modified(|state| {
            let leaves = matches!(state, State::Up(up) if is_left(up));
            if leaves {
                *state = next.clone();
            }
            leaves
        });
        if has_left {
            self.alarm.ring();
        }
        has_left
    }

    /// From now on it is this one, unless it leads to where the address led before.
    fn begin(&self, up: Up) {
        self.state.send_replace(match self.beside_sibling(&up) {
            Fit::Stays => State::Up(up),
            Fit::Goes => State::Connecting,
        });
    }

    fn down(&self, reason: &Arc<str>) {
        self.state.send_replace(State::Down(Arc::clone(reason)));
        self.report.down(self.access, reason);
    }

    /// Until the connection is lost, or somebody has given it up.
    async fn hold(&self, up: Up, driver: Driver) {
        let number = up.number;
        let mut state = self.state.subscribe();
        tokio::select! {
            () = driver => {
                self.leave(number, &State::Connecting);
            }
            next = self.silence(up) => {
                self.leave(number, &next);
            }
            _ = state.wait_for(|state| !state.is_up(number)) => {}
        }
        // What is lost and got back at once is worth no line.
        let lost = match &*self.state.borrow() {
            State::Down(reason) => Some(Arc::clone(reason)),
            State::Connecting | State::Up(_) => None,
        };
        if let Some(reason) = lost {
            self.report.down(self.access, &reason);
        }
    }

    /// Asks every second, and ends when there is no answer, or none that is to be gone by any more. Gives what holds then.
    async fn silence(&self, mut up: Up) -> State {
        let limit = self.target.settings.timeout;
        loop {
            sleep(HEARTBEAT).await;
            match timeout(limit, probe(&mut up.connection, &self.target)).await {
                Ok(Ok(())) => {
                    if self.beside_sibling(&up) == Fit::Goes {
                        return State::Connecting;
                    }
                }
                Ok(Err(reason)) => return State::Down(reason.into()),
                Err(_) => return State::Down(format!("no answer within {limit:?}").into()),
            }
        }
    }
}

/// Keeps the link.
async fn supervise(lane: Arc<Lane>) {
    // Where this begins anew, the connection that there may have been is gone.
    lane.state.send_replace(State::Connecting);
    let mut pause = FIRST_PAUSE;
    loop {
        let mut another_arrives = pin!(lane.arrival.notified());
        another_arrives.as_mut().enable();
        let since = Instant::now();
        match connect(&lane.target, None).await {
            Ok(Made {
                connection,
                driver,
                server,
            }) => {
                let (number, made) = (lane.count.fetch_add(1, Ordering::Relaxed), Instant::now());
                lane.report.up(lane.access);
                let up = Up {
                    connection,
                    number,
                    since,
                    server: server.ok(),
                };
                let is_listed = || lane.is_listed.load(Ordering::SeqCst);
                lane.alarm
                    .elsewhere_if(is_listed, || lane.begin(up.clone()));
                lane.arrival.notify_waiters();
                lane.hold(up, driver).await;
                pause = FIRST_PAUSE;
                if made.elapsed() < BRIEF {
                    sleep(jittered(FIRST_PAUSE)).await;
                }
            }
            Err(reason) => {
                lane.down(&reason.into());
                tokio::select! {
                    () = sleep(jittered(pause)) => pause = (pause * 2).min(LONGEST_PAUSE),
                    // The server is there. Whoever hears so from that link need not hear the contrary from this one.
                    () = another_arrives => {
                        lane.state.send_replace(State::Connecting);
                    }
                }
            }
        }
    }
}

/// Half of the pause at least. Where many have lost the same Redis, they do not come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let [random] = random::<1>();
    pause / 2 + pause / 2 * u32::from(random) / u32::from(u8::MAX)
}
