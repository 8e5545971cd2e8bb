//! A Redis Cluster, and the map of its slots. Its nodes are asked for it every second, and at once when one of them
//! sends us elsewhere or a connection is lost.
//!
//! All that answer are asked, since one that is cut off from the others goes on telling what was. Whoever belongs to
//! a cluster that is whole, and has seen the latest election, is believed.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{FromRedisValue, RedisError, Value};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::connect::{Made, Purpose, Target, connect};
use super::fault::{Access, greeting_words};
use super::node::Node;
use super::race;
use super::servers::{Directory, Owner};
use super::slots::SLOTS;
use crate::domain::redis_settings::{RedisAddress, RedisServers};

/// How often the nodes are asked while all is well, and while one does not answer.
const CALM: Duration = Duration::from_secs(1);
const ALARMED: Duration = Duration::from_millis(250);

/// Between two questions at least.
const MOMENT: Duration = Duration::from_millis(20);

/// For the answer of one node.
const PATIENCE: Duration = Duration::from_secs(1);

/// Follows the map for as long as this is awaited.
pub(super) async fn follow(directory: Arc<Directory>) {
    let settings = Arc::clone(&directory.settings);
    let RedisServers::Cluster { seeds } = &settings.servers else {
        return;
    };
    let mut is_missed = false;
    loop {
        match look(&directory, seeds).await {
            Ok(view) => {
                if is_missed {
                    tracing::info!("the session store's cluster answers");
                }
                is_missed = false;
                if directory.publish(&view.owners) {
                    let primaries = directory.map_now().map_or(0, |map| map.nodes.len());
                    tracing::info!(primaries, "the session store's cluster has another map");
                }
            }
            Err(reason) => {
                let is_known = !directory.missing(&reason);
                if is_known && !is_missed {
                    tracing::warn!(
                        reason,
                        "no node of the session store's cluster tells its map"
                    );
                }
                is_missed = is_known;
            }
        }
        directory.redo().await;
        rest(&directory).await;
    }
}

/// Until it is time to ask again.
async fn rest(directory: &Directory) {
    let map = directory.map_now();
    let is_well = map.is_some_and(|map| {
        let mut nodes = map.nodes.iter();
        nodes.all(|node| node.link(Access::Reads).is_up())
    });
    tokio::select! {
        () = sleep(if is_well { CALM } else { ALARMED }) => {}
        () = directory.alarm.rung() => sleep(MOMENT).await,
    }
}

/// What the cluster looks like from one node.
struct View {
    /// Whether that node finds the cluster in order.
    is_whole: bool,
    /// The latest election that it knows of.
    epoch: u64,
    owners: Vec<Owner>,
}

/// Asks the nodes that are known, and when none of them answers those of the configuration.
async fn look(directory: &Arc<Directory>, seeds: &[RedisAddress]) -> Result<View, String> {
    if let Some(map) = directory.map_now() {
        let mut asked = Vec::new();
        for node in &map.nodes {
            asked.push(ask_known(node));
        }
        let views = join_all(asked).await;
        let best = views
            .into_iter()
            .flatten()
            .max_by_key(|view| (view.is_whole, view.epoch));
        if let Some(best) = best {
            return Ok(best);
        }
    }
    let mut attempts = Vec::new();
    for address in seeds {
        let target = Target {
            settings: Arc::clone(&directory.settings),
            address: address.clone(),
            purpose: Purpose::Look,
        };
        attempts.push(async move { ask_seed(&target).await });
    }
    race::first(attempts).await
}

async fn ask_known(node: &Arc<Node>) -> Option<View> {
    let asked = async {
        let mut up = node.link(Access::Reads).connection().await.ok()?;
        view(&mut up.connection, &node.address).await.ok()
    };
    timeout(PATIENCE, asked).await.ok().flatten()
}

async fn ask_seed(target: &Target) -> Result<View, String> {
    let address = &target.address;
    let explained = |reason: String| format!("node {address}: {reason}");
    let Made {
        mut connection,
        driver,
        ..
    } = connect(target, None).await.map_err(explained)?;
    let asked = timeout(PATIENCE, view(&mut connection, address));
    let answer = tokio::select! {
        biased;
        answer = asked => answer,
        () = driver => return Err(explained("the connection was closed".to_owned())),
    };
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    answer.map_err(explained)
}

async fn view(
    connection: &mut MultiplexedConnection,
    asked: &RedisAddress,
) -> Result<View, String> {
    let words = |error: RedisError| greeting_words(&error);
    let info: String = cluster("INFO", connection).await.map_err(words)?;
    let slots: Vec<Value> = cluster("SLOTS", connection).await.map_err(words)?;
    let fact = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let owners: Vec<Owner> = slots.iter().filter_map(|slot| owner(slot, asked)).collect();
    if owners.is_empty() {
        return Err("the cluster has no slots yet".to_owned());
    }
    Ok(View {
        is_whole: fact("cluster_state") == Some("ok"),
        epoch: fact("cluster_current_epoch")
            .and_then(|epoch| epoch.parse().ok())
            .unwrap_or_default(),
        owners,
    })
}

async fn cluster<T: FromRedisValue>(
    word: &str,
    connection: &mut MultiplexedConnection,
) -> Result<T, RedisError> {
    let mut command = ::redis::cmd("CLUSTER");
    command.arg(word).query_async(connection).await
}

/// An entry of `CLUSTER SLOTS`: first slot, last slot, the primary, its replicas.
fn owner(entry: &Value, asked: &RedisAddress) -> Option<Owner> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(primary),
        ..,
    ] = &parts[..]
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = &primary[..] else {
        return None;
    };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    let port = u16::try_from(*port).ok().filter(|port| *port != 0)?;
    // A node that does not know its own name means the one that we have reached it by.
    let host = match String::from_redis_value_ref(host) {
        Ok(host) if !matches!(&*host, "" | "?") => host,
        _ => match asked {
            RedisAddress::Tcp { host, .. } => host.clone(),
            RedisAddress::Unix(_) => return None,
        },
    };
    (first <= last && last < SLOTS).then_some((first, last, RedisAddress::Tcp { host, port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn entries_of_the_map_are_read() {
        let asked = RedisAddress::Tcp { host: "asked".into(), port: 1 };
        let cases = [
            (":0 :99 *3 $3 one :7 $2 id",    Some("0-99 one:7")),
            (":5 :5 *2 $3 ::1 :7",           Some("5-5 [::1]:7")),
            (":0 :99 *2 $0  :7",             Some("0-99 asked:7")),
            (":0 :99 *2 $1 ? :7",            Some("0-99 asked:7")),
            (":0 :99 *2 $-1 :7",             Some("0-99 asked:7")),
            (":0 :99 *2 $3 one :0",          None),
            (":0 :99 *2 $3 one :70000",      None),
            (":9 :5 *2 $3 one :7",           None),
            (":0 :16384 *2 $3 one :7",       None),
            (":0 :99 $3 one",                None),
            (":0 :99 *1 $3 one",             None),
        ];
        for (written, expected) in cases {
            let parts = if written.contains('*') { 3 } else { written.split(' ').count() - 1 };
            let text = format!("*{parts}\r\n{}\r\n", written.replace(' ', "\r\n"));
            let entry = ::redis::parse_redis_value(text.as_bytes()).expect(written);
            let owner = owner(&entry, &asked).map(|(first, last, address)| format!("{first}-{last} {address}"));
            assert_eq!(owner.as_deref(), expected, "{written}");
        }
    }
}
