//! The arguments, as the request that a proxy would describe. They are read as its headers are, by the very same
//! functions, so that what is refused there is refused here.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Arguments;
use crate::config::{Config, Listen};
use crate::domain::authentication::{Authentication, Caller};
use crate::domain::explanation::Step;
use crate::domain::forwarded::{ForwardedError, ForwardedRequest};
use crate::domain::identity::Identity;
use crate::domain::proxies::{Entry, TrustedProxies};
use crate::http::read_forwarded;

/// What is asked.
pub(super) struct Asked {
    pub(super) request: ForwardedRequest,
    pub(super) identity: Option<Identity>,
    /// How long ago they signed in, if that is known.
    pub(super) auth_age: Option<Duration>,
    /// How.
    pub(super) amr: Vec<String>,
    /// Whether the peer may ask at all.
    pub(super) trusted: bool,
    /// How the client's address was found.
    pub(super) steps: Vec<Step>,
    /// The headers that nobody gave: those of a browser that opens a page.
    pub(super) assumed: Vec<String>,
}

impl Asked {
    /// Who is signed in.
    pub(super) fn caller(&self) -> Option<Caller<'_>> {
        let authentication = Authentication {
            age: self.auth_age,
            methods: &self.amr,
            in_vain: &[],
        };
        self.identity.as_ref().map(|identity| Caller {
            identity,
            authentication,
        })
    }
}

/// What a browser sends when somebody types an address.
const NAVIGATION: [(&str, &str); 4] = [
    ("Accept", "text/html"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "none"),
];

/// Headers that tell what a browser was doing.
const SAYS_WHO: [&str; 7] = [
    "origin",
    "upgrade",
    "sec-websocket-key",
    "x-requested-with",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
];

/// What `arguments` ask, or a sentence that says which of them cannot be read.
pub(super) fn read(arguments: &Arguments, config: &Config) -> Result<Asked, String> {
    let mut headers = further_headers(&arguments.headers)?;
    let mut assumed = Vec::new();
    // Whoever says something about what the browser was doing says it all: a handshake has no Sec-Fetch-*, and no
    // page of another site sends `none`.
    let said = SAYS_WHO.iter().any(|name| headers.contains_key(*name));
    for (name, value) in NAVIGATION {
        if said && name.starts_with("Sec-Fetch") {
            continue;
        }
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        if !headers.contains_key(&key) {
            headers.insert(key, HeaderValue::from_static(value));
            assumed.push(format!("{name}: {value}"));
        }
    }
    // One that was given empty is one that is not there.
    let empty: Vec<HeaderName> = headers
        .iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| name.clone())
        .collect();
    for name in empty {
        headers.remove(name);
    }
    let (scheme, host, target) = parts(&arguments.url)?;
    for (argument, name, value) in [
        ("--method", "x-forwarded-method", arguments.method.as_str()),
        ("--url", "x-forwarded-proto", scheme),
        ("--url", "x-forwarded-host", host),
        ("--url", "x-forwarded-uri", target),
    ] {
        headers.insert(HeaderName::from_static(name), value_of(argument, value)?);
    }
    let (trusted, steps) = add_client(arguments, config, &mut headers)?;
    let request = read_forwarded(&headers, &config.server.trusted_proxies, &config.services);
    let request = request.map_err(|error| match error {
        ForwardedError::Method => format!("--method: {error}"),
        _ => format!("--url: {error}"),
    })?;
    Ok(Asked {
        request,
        identity: identity(arguments, config),
        auth_age: auth_age(arguments.auth_age.as_deref())?,
        amr: arguments.amr.clone(),
        trusted,
        steps,
        assumed,
    })
}

/// A URL in three parts, each as written: a URL parser would resolve the dots that this may be about.
fn parts(url: &str) -> Result<(&str, &str, &str), String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("--url: must begin with https:// or http://")?;
    let ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(ends);
    match target {
        "" => Ok((scheme, host, "/")),
        target if target.starts_with('/') => Ok((scheme, host, target)),
        _ => Err("--url: there must be a '/' behind the host".to_owned()),
    }
}

fn value_of(argument: &str, value: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(value).ok();
    value.filter(|value| value.to_str().is_ok()).ok_or_else(|| {
        format!(
            "{argument}: holds a control character or one beyond ASCII, which no request holds as it is; in a \
             URL it is percent-encoded"
        )
    })
}

/// The headers of `--header`. Their values are not shown in errors: one may be a secret.
fn further_headers(given: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in given {
        let (name, value) = line
            .split_once(':')
            .ok_or("--header: must be a name, a colon and a value, as in 'Origin: https://app.example.net'")?;
        let key = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| format!("--header: \"{}\" is no name of a header", name.trim()))?;
        let ours = ["method", "proto", "host", "uri", "for"];
        if key
            .as_str()
            .strip_prefix("x-forwarded-")
            .is_some_and(|rest| ours.contains(&rest))
        {
            return Err(format!(
                "--header: {key} is the proxy's; --url, --method, --ip and --xff say what is in it"
            ));
        }
        let value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| format!("--header: the value of {key} holds a control character"))?;
        headers.append(key, value);
    }
    Ok(headers)
}

/// Adds `X-Forwarded-For`. Tells whether the peer is trusted, and how the client's address is found.
fn add_client(
    arguments: &Arguments,
    config: &Config,
    headers: &mut HeaderMap,
) -> Result<(bool, Vec<Step>), String> {
    let name = HeaderName::from_static("x-forwarded-for");
    if arguments.xff.is_empty() {
        let (line, step) = if let Some(ip) = &arguments.ip {
            address("--ip", ip)?;
            let why = format!("{ip}, as --ip says");
            (ip.as_str(), Step::new("client address", true, why))
        } else {
            let why = "not known: neither --ip nor --xff says it, so it is in no network";
            ("unknown", Step::new("client address", false, why))
        };
        headers.insert(name, value_of("--ip", line)?);
        return Ok((true, vec![step]));
    }
    for line in &arguments.xff {
        headers.append(name.clone(), value_of("--xff", line)?);
    }
    let proxies = &config.server.trusted_proxies;
    let (trusted, step) = peer(arguments, config)?;
    let mut steps = vec![step];
    if trusted {
        add_walk(proxies, &arguments.xff, &mut steps);
    }
    Ok((trusted, steps))
}

fn address(argument: &str, written: &str) -> Result<IpAddr, String> {
    written
        .parse::<IpAddr>()
        .map_err(|_| format!("{argument}: \"{written}\" is no IP address"))
}

/// Whether the other end of the connection may ask.
fn peer(arguments: &Arguments, config: &Config) -> Result<(bool, Step), String> {
    let given = arguments.peer.as_deref();
    let given = given.map(|peer| address("--peer", peer)).transpose()?;
    if let Listen::Unix(path) = &config.server.listen {
        let path = path.display();
        let why = format!("whoever may open {path} is the proxy");
        return Ok((true, Step::new("peer", true, why)));
    }
    let Some(peer) = given else {
        return Err(
            "--xff: needs --peer, the address that the proxy speaks from: whether the list is believed depends \
             on that"
                .to_owned(),
        );
    };
    let proxies = &config.server.trusted_proxies;
    if proxies.trust(peer) {
        let why = format!("{peer} is one of server.trusted_proxies, so its list is believed");
        return Ok((true, Step::new("peer", true, why)));
    }
    let networks: Vec<String> = proxies.networks().iter().map(ToString::to_string).collect();
    let why = format!(
        "{peer} is none of server.trusted_proxies ({}), so it gets no answer",
        networks.join(", ")
    );
    Ok((false, Step::new("peer", false, why)))
}

/// A step for each entry of the list, from right to left.
fn add_walk(proxies: &TrustedProxies, lines: &[String], steps: &mut Vec<Step>) {
    let mut walk = proxies.walk(lines.iter().map(String::as_str)).peekable();
    let mut ended = false;
    while let Some((written, entry)) = walk.next() {
        let shown = match written.trim() {
            "" => "an empty entry",
            written => written,
        };
        let leftmost = walk.peek().is_none();
        let (matched, why) = match entry {
            _ if ended => (
                false,
                "is not looked at: it is what the client says of itself",
            ),
            Entry::Ours(_) if leftmost => (
                true,
                "is a trusted proxy, and the leftmost: it is the client",
            ),
            Entry::Ours(_) => (true, "is a trusted proxy, so the walk goes on"),
            Entry::Foreign(_) => (true, "is no trusted proxy: it is the client"),
            Entry::NoAddress => (false, "is no address: the client is unknown"),
        };
        ended |= !matches!(entry, Entry::Ours(_));
        steps.push(Step::new(
            "X-Forwarded-For",
            matched,
            format!("{shown} {why}"),
        ));
    }
}

/// Whoever says nothing means somebody who has just signed in.
fn auth_age(written: Option<&str>) -> Result<Option<Duration>, String> {
    match written {
        None => Ok(Some(Duration::ZERO)),
        Some("unknown") => Ok(None),
        Some(age) => humantime_serde::re::humantime::parse_duration(age)
            .map(Some)
            .map_err(|_| {
                format!("--auth-age: \"{age}\" is no time such as \"10m\", and not \"unknown\"")
            }),
    }
}

fn identity(arguments: &Arguments, config: &Config) -> Option<Identity> {
    let user = arguments.user.as_ref()?;
    Some(Identity {
        issuer: config.oidc.issuer.clone(),
        subject: arguments.sub.as_ref().unwrap_or(user).clone(),
        username: Some(user.clone()),
        name: None,
        email: arguments.email.clone(),
        groups: arguments.groups.clone(),
    })
}
