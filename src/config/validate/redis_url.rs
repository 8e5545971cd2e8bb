//! The URL of a Redis. It is read without ever being repeated: it may hold a password.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::{Host, Url};

use crate::domain::redis_settings::{RedisAddress, RedisServers};

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// More hosts than anybody lists by hand.
const MOST_HOSTS: usize = 32;

/// The schemes of a Redis.
pub(super) const SCHEMES: [&str; 7] = [
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
];

/// What a URL says.
pub(super) struct Place {
    pub(super) servers: RedisServers,
    pub(super) tls: bool,
    pub(super) database: u32,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
}

/// Reads `written`, whose scheme is one of [`SCHEMES`].
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn place(written: &str) -> Result<Place, String> {
    if written.contains('#') {
        return Err("holds a \"#\": a password is written with %23 for it".to_owned());
    }
    match written.split_once(':') {
        Some(("redis+unix", _)) => socket(written),
        Some((scheme, rest)) => {
            let tls = scheme.starts_with("rediss");
            let form = scheme.split_once('+').map_or("", |(_, form)| form);
            server(form, tls, rest)
        }
        None => Err("is not a URL".to_owned()),
    }
}

/// What stands behind the scheme of a URL that names hosts.
fn server(form: &str, tls: bool, rest: &str) -> Result<Place, String> {
    if rest.contains('?') {
        return Err(
            "takes no parameters: what stands behind \"?\" has keys of its own, session.store_…"
                .to_owned(),
        );
    }
    let rest = rest.strip_prefix("//").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (who, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    let (servers, database) = match form {
        "sentinel" => sentinels(hosts, path)?,
        "cluster" => (cluster(hosts, path)?, 0),
        _ => {
            let address = host(hosts, SERVER_PORT, "redis://host:6379/0")?;
            let path = path.trim_start_matches('/');
            (RedisServers::One(address), database(path)?)
        }
    };
    Ok(Place {
        servers,
        tls,
        database,
        user: decoded(user)?,
        password: decoded(password)?.map(SecretString::from),
    })
}

/// `h1:26379,h2:26379` and `mymaster/0`.
fn sentinels(written: &str, path: &str) -> Result<(RedisServers, u32), String> {
    const EXAMPLE: &str = "redis+sentinel://h1:26379,h2:26379/mymaster/0";
    let sentinels = hosts(written, SENTINEL_PORT, EXAMPLE)?;
    let (primary, number) = path.split_once('/').unwrap_or((path, ""));
    // What Sentinel allows in a name.
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if primary.is_empty() || !primary.chars().all(fits) {
        return Err(format!(
            "does not say by which name the sentinels know the primary: write {EXAMPLE}"
        ));
    }
    let servers = RedisServers::Sentinel {
        sentinels,
        primary: primary.to_owned(),
        user: None,
    };
    Ok((servers, database(number)?))
}

fn cluster(written: &str, path: &str) -> Result<RedisServers, String> {
    let seeds = hosts(written, SERVER_PORT, "redis+cluster://h1:6379,h2:6379")?;
    if !matches!(path, "" | "0") {
        return Err("names a database: a Redis Cluster has number 0 alone".to_owned());
    }
    Ok(RedisServers::Cluster { seeds })
}

/// One or more, with commas between them.
fn hosts(written: &str, port: u16, example: &str) -> Result<Vec<RedisAddress>, String> {
    let mut found: Vec<RedisAddress> = Vec::new();
    for one in written.split(',') {
        let address = host(one, port, example)?;
        if found.contains(&address) {
            return Err(format!("names {address} twice"));
        }
        found.push(address);
    }
    if found.len() > MOST_HOSTS {
        return Err(format!("names more than {MOST_HOSTS} hosts"));
    }
    Ok(found)
}

/// `host`, `host:6379` or `[2001:db8::1]:6379`.
fn host(written: &str, default_port: u16, example: &str) -> Result<RedisAddress, String> {
    let url = Url::parse(&format!("redis://{written}"));
    let url = url.map_err(|error| format!("is not a URL: {error}"))?;
    if url.port() == Some(0) {
        return Err("names port 0, which nobody listens on".to_owned());
    }
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(fits) {
        return Err(format!("names no host: write {example}"));
    }
    Ok(RedisAddress::Tcp {
        host,
        port: url.port().unwrap_or(default_port),
    })
}

/// `redis+unix:///run/redis/redis.sock?db=0&user=portcullis`
fn socket(written: &str) -> Result<Place, String> {
    let url = Url::parse(written).map_err(|error| format!("is not a URL: {error}"))?;
    let path = percent_decode_str(url.path()).decode_utf8();
    let path = path.map_err(|_| "names a socket that is no UTF-8".to_owned())?;
    if url.has_host() && !url.host_str().unwrap_or_default().is_empty()
        || !path.starts_with('/')
        || path.ends_with('/')
    {
        return Err("names no socket: write redis+unix:///run/redis/redis.sock".to_owned());
    }
    let (mut number, mut user) = (0, None);
    for (name, value) in url.query_pairs() {
        match &*name {
            "db" => number = database(&value)?,
            "user" => user = Some(value.into_owned()),
            _ => return Err("takes the parameters \"db\" and \"user\" alone".to_owned()),
        }
    }
    Ok(Place {
        servers: RedisServers::One(RedisAddress::Unix(PathBuf::from(&*path))),
        tls: false,
        database: number,
        user,
        password: None,
    })
}

/// 0 when nothing is written.
fn database(number: &str) -> Result<u32, String> {
    if number.is_empty() {
        return Ok(0);
    }
    number
        .parse()
        .map_err(|_| "has something else than the number of a database behind the host".to_owned())
}

fn decoded(text: &str) -> Result<Option<String>, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| (!text.is_empty()).then(|| text.into_owned()))
        .map_err(|_| "holds a user name or password that is no UTF-8".to_owned())
}
