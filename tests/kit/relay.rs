//! A TCP relay between the service and something that it depends on: what a network does to connections. Needs nothing of
//! the other files here, since other tests use it too.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// What TCP waits at least before it sends again what was lost.
const RETRANSMISSION: Duration = Duration::from_millis(200);
const CHUNK: usize = 16 * 1024;
/// Chunks on their way in one direction: more than a test sends.
const MOST_CHUNKS: usize = 1024;
/// So much of what is sent at the beginning of a connection tells it from others.
const GREETING: usize = 1024;

/// How the network behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// Everything arrives at once.
    #[default]
    Fine,
    /// Nothing arrives, and nobody is told: packets are dropped.
    Silent,
    /// The same for connections over which this was sent once, be it before or after. The others go on.
    SilentFor(&'static str),
    /// Connections break, and new ones are reset.
    Cut,
    /// Everything arrives this much later each way, and of each hundred chunks `lost_percent` once more
    /// than that: a lost packet is to TCP a late one.
    Slow { late: Duration, lost_percent: u32 },
}

/// Relays until it is dropped. Runs on the runtime that started it.
pub struct Relay {
    pub address: SocketAddr,
    target: Arc<AtomicU16>,
    weather: watch::Sender<Weather>,
}

impl Relay {
    /// Listens on a free port of the loopback address and relays to `target`, a port there.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (weather, watched) = watch::channel(Weather::Fine);
        let target = Arc::new(AtomicU16::new(target));
        tokio::spawn(accept(listener, Arc::clone(&target), watched));
        Ok(Self {
            address,
            target,
            weather,
        })
    }

    /// Has new connections lead to another port. Those that there are stay where they are.
    pub fn lead_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<AtomicU16>,
    mut weather: watch::Receiver<Weather>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The relay has been dropped: only then is there nobody left to change the weather.
            () = gone(&mut weather) => return,
        };
        let Ok((near, _)) = accepted else { continue };
        if *weather.borrow() == Weather::Cut {
            let _ = near.set_zero_linger();
            continue;
        }
        let target = target.load(Ordering::SeqCst);
        tokio::spawn(relay(near, target, weather.clone()));
    }
}

async fn gone(weather: &mut watch::Receiver<Weather>) {
    while weather.changed().await.is_ok() {}
}

async fn relay(near: TcpStream, target: u16, mut weather: watch::Receiver<Weather>) {
    // A connection that is made in silence gets nowhere until it ends.
    if until(&mut weather, |now| now != Weather::Silent)
        .await
        .is_err()
    {
        return;
    }
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        let _ = near.set_zero_linger();
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let greeting = Arc::new(Mutex::new(Vec::new()));
    tokio::select! {
        () = pump(near_read, far_write, weather.clone(), (&greeting, true)) => {}
        () = pump(far_read, near_write, weather.clone(), (&greeting, false)) => {}
        _ = until(&mut weather, |now| now == Weather::Cut) => {}
    }
}

/// Waits for a kind of weather; an error when the relay has been dropped.
async fn until(
    weather: &mut watch::Receiver<Weather>,
    is_it: impl Fn(Weather) -> bool,
) -> std::result::Result<(), watch::error::RecvError> {
    weather.wait_for(|now| is_it(*now)).await.map(drop)
}

/// What was sent over a connection first.
type Greeting = Arc<Mutex<Vec<u8>>>;

fn holds(greeting: &Greeting, text: &str) -> bool {
    let greeting = greeting.lock().expect("nobody panics with it");
    let mut places = greeting.windows(text.len());
    places.any(|place| place == text.as_bytes())
}

/// One direction of a connection: whether it is the one that greets. Ends when either side does.
async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut weather: watch::Receiver<Weather>,
    (greeting, greets): (&Greeting, bool),
) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(MOST_CHUNKS);
    let now = weather.clone();
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if greets {
                let mut greeting = greeting.lock().expect("nobody panics with it");
                let left = GREETING.saturating_sub(greeting.len());
                greeting.extend(&buffer[..length.min(left)]);
            }
            let due = Instant::now() + delay(*now.borrow());
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            let passes = |now| match now {
                Weather::Silent => false,
                Weather::SilentFor(text) => !holds(greeting, text),
                _ => true,
            };
            let heard = until(&mut weather, passes).await;
            if heard.is_err() || to.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(reading, writing);
}

fn delay(weather: Weather) -> Duration {
    static CHUNKS: AtomicU32 = AtomicU32::new(0);
    match weather {
        Weather::Slow { late, lost_percent } => {
            // Spread evenly: so a run that is short loses some too.
            let chunk = CHUNKS.fetch_add(1, Ordering::Relaxed);
            let is_lost = chunk.wrapping_mul(37) % 100 < lost_percent;
            late + if is_lost {
                RETRANSMISSION
            } else {
                Duration::ZERO
            }
        }
        _ => Duration::ZERO,
    }
}
