//! Many who come with one cookie at one instance, again and again, while another instance ends its session.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};

use super::{LOGOUT, lasts_long, status};
use crate::redis::Shared;
use crate::support::app::TestApp;
use crate::support::browser::Browser;

/// So many come at once.
const AT_ONCE: usize = 12;

/// How long they come before the end, and after it is obeyed.
const BEFORE: Duration = Duration::from_millis(20);
const AFTER: Duration = Duration::from_millis(60);

/// An end that is not obeyed by then is lost.
const LOST: Duration = Duration::from_secs(20);

/// How long after the end was acknowledged a request may be sent that is let in all the same. The promise is a tenth of a
/// second. It is held to where these tests are alone on the machine; a brief run shares two cores with everything else, so
/// that the connection that tells, the instance and Redis may each wait for their turn for long.
fn bound() -> Duration {
    Duration::from_millis(if lasts_long() { 100 } else { 1_000 })
}

/// One answer, and when its request was sent.
struct Answered {
    sent: Instant,
    came: Instant,
    status: u16,
}

/// What ends came to.
#[derive(Default)]
pub struct Ends {
    /// From each acknowledgement until the last request that was let in all the same.
    let_in: Vec<Duration>,
    /// And until the first answer that obeys: without Redis there is none.
    obeyed: Vec<Duration>,
    answers: usize,
    /// 503: nobody was let in, and nothing obeyed.
    unavailable: usize,
}

impl Ends {
    /// Has the session of `cookie` ended by `browser`, which is at one instance, while many bring it to `other`. With
    /// `shared` word of it comes all the time, so that it is read again and again, also at the moment of the end.
    pub async fn end(
        &mut self,
        browser: &Browser<'_>,
        cookie: &str,
        other: &TestApp,
        shared: Option<&Shared>,
    ) {
        let is_over = Cell::new(false);
        let answers = RefCell::new(Vec::new());
        let coming = (0..AT_ONCE).map(async |_| {
            while !is_over.get() {
                let sent = Instant::now();
                let status = status(other, cookie).await;
                let came = Instant::now();
                answers.borrow_mut().push(Answered { sent, came, status });
            }
        });
        let ending = async {
            tokio::time::sleep(BEFORE).await;
            // Where Redis does not answer for a moment it is not recorded, and said so.
            while browser.ask(LOGOUT).navigation().send().await.status != 302 {}
            let acknowledged = Instant::now();
            while answers.borrow().iter().all(|seen| seen.status != 401) {
                assert!(acknowledged.elapsed() < LOST, "an end is lost");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(AFTER).await;
            is_over.set(true);
            acknowledged
        };
        let stirring = async {
            while let Some(shared) = shared.filter(|_| !is_over.get()) {
                let keys = shared.redis.ask(&["KEYS", "portcullis:session:*"]);
                for key in keys.lines() {
                    shared.redis.ask(&["PEXPIRE", key, "3600000"]);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let ((_, acknowledged), ()) = join(join(join_all(coming), ending), stirring).await;
        self.judge(&answers.into_inner(), acknowledged);
    }

    fn judge(&mut self, answers: &[Answered], acknowledged: Instant) {
        let obeying = answers.iter().filter(|seen| seen.status == 401);
        let obeyed = obeying.map(|seen| seen.came).min().expect("it is obeyed");
        let mut let_in = Duration::ZERO;
        for seen in answers {
            match seen.status {
                200 => {
                    let late = seen.sent.saturating_duration_since(acknowledged);
                    assert!(late <= bound(), "let in {late:?} after the end");
                    let_in = let_in.max(late);
                    assert!(
                        seen.sent <= obeyed,
                        "let in {:?} after it was known that the session is over",
                        seen.sent - obeyed
                    );
                }
                401 => {}
                503 => self.unavailable += 1,
                other => unreachable!("{other}"),
            }
        }
        self.answers += answers.len();
        self.let_in.push(let_in);
        let obeyed = obeyed.saturating_duration_since(acknowledged);
        self.obeyed.push(obeyed);
    }

    /// Prints the figures. Of a thousand answers `unavailable` may be 503.
    pub fn conclude(self, what: &str, unavailable: usize) {
        let _ = writeln!(
            std::io::stderr(),
            "{what}: {} ends, none lost; let in for {}, obeyed after {}; of {} answers {} were 503",
            self.let_in.len(),
            quantiles(&self.let_in),
            quantiles(&self.obeyed),
            self.answers,
            self.unavailable
        );
        assert!(
            self.unavailable * 1_000 <= self.answers * unavailable,
            "{} of {} answers",
            self.unavailable,
            self.answers
        );
    }
}

fn quantiles(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    format!("{:.1?} (p50) {:.1?} (p99)", at(50), at(99))
}
