//! The Caddyfile: one snippet for all services, the portal, and a site for each service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, Listen};
use crate::domain::service::{Posture, Service, ServicePolicy};
use crate::domain::service_host::ServiceHost;

/// Takes our own credentials out of what goes to an app. A value of ours never holds a `;`; several in a row are
/// one match, since none could begin where the one before has just ended.
const STRIP: &str = r#"	request_header Cookie "(^|[;\s])(?:(?:__Host-|__Secure-)?portcullis[A-Za-z0-9_-]*=[^;]*(?:;\s*|$))+" "$1"
	request_header -Portcullis-Key
"#;

/// The Caddyfile for `services`. The snippet in it is for all services of the configuration, whichever are chosen:
/// what Caddy copies must cover every header that any of them sets.
pub(super) fn snippet(config: &Config, services: &[&Service]) -> String {
    let verify = dial(&config.server.listen);
    let names = config.services.copied_headers();
    let (told, guarded) = if names.is_empty() {
        (String::new(), String::new())
    } else {
        (copying(names), connection(names) + &lookalikes(names))
    };
    let mut text = format!("{INTRODUCTION}{}", BLOCK_BEGINS.replace("ADDRESS", &verify));
    text.push_str(&told);
    text.push_str(BLOCK_GOES_ON);
    text.push_str(&guarded);
    text.push_str(&format!("{BLOCK_ENDS}{STRIP}}}\n"));
    if has_open_sites(config) {
        text.push_str(&format!("{STRIP_BEGINS}{STRIP}}}\n"));
    }
    text.push_str(&portal(config));
    let mut explained = false;
    for service in services {
        text.push('\n');
        if service.is_open() {
            text.push_str(&open_site(config, service));
            continue;
        }
        if !explained {
            text.push_str(APPS);
            explained = true;
        }
        text.push_str(&site(config, service));
    }
    text
}

const INTRODUCTION: &str = "\
# Portcullis behind Caddy 2.11.4 or later. Older ones let a client's own Remote-User through
# (2.9.0 to 2.11.1) or its Remote_User (before 2.11.4).
#
# One snippet, written once and imported by every site that is to be protected. `portcullis snippet
# caddy` prints all of this for your own configuration.

";

const BLOCK_BEGINS: &str = "\
(portcullis) {
	# Plain `forward_auth`, never inside `route`: Caddy runs `handle`, `handle_path` and `respond`
	# before a `route`, so a site with one of these would serve it to strangers.
	forward_auth ADDRESS {
		# The `?` drops the client's query, which is no business of this request.
		uri /verify?
";

const BLOCK_GOES_ON: &str =
    "		# Without these Caddy would wait for ever for an answer that does not come.
		transport http {
			dial_timeout 1s
			response_header_timeout 5s
		}
	}
";

const BLOCK_ENDS: &str = "	# What lets a browser or a program in here is no business of the app.
";

const STRIP_BEGINS: &str = "
# For sites that are not protected, and that browsers send our cookies to all the same: they share a
# host or a cookie domain with what is.
(portcullis_strip) {
";

const PORTAL: &str = "
# Where people sign in: `server.public_url`, which is `server.portal_listen`. Not protected.
";

const SHARED_PORTAL: &str = "
# Where people sign in: `server.public_url`, which is `server.portal_listen`. Not protected, and beside
# it what else is served under this host: the provider.
";

/// For whoever runs it to fill in: where an app listens is none of our configuration.
const UPSTREAM: &str = "# reverse_proxy 127.0.0.1:PORT";

const FROM_PROXY: &str = "\
# Its policy is the proxy's to name: give this site a `forward_auth` of its own, like the one above
# with `uri /verify/policy/NAME?`. As it stands here everybody is refused.
";

const APPS: &str = "\
# The protected apps, each with one line more than an open one. Say where the app listens, and take
# the # away.
";

fn copying(names: &[String]) -> String {
    let names = names.join(" ");
    format!(
        "		# The same names twice: what Caddy copies to the app, and our word to Portcullis that it
		# does. The list holds every header that any service sets; Caddy takes the client's own
		# copies of these away.
		header_up Portcullis-Copy \"{names}\"
		copy_headers {names}
"
    )
}

fn connection(names: &[String]) -> String {
    format!(
        "	# A client's `Connection: {}` would make Caddy drop the header just copied.
	request_header Connection \"(?i){}\" \"x\"
",
        names.first().map_or("", String::as_str),
        pattern(names)
    )
}

/// Apps that see headers as CGI variables take `Remote_User` for `Remote-User`, and some `Remote.User` too. So no
/// header is handed on whose name holds one of these characters; where one of ours does, Caddy itself has to see
/// to it.
fn lookalikes(names: &[String]) -> String {
    let free = |mark: &&char| !names.iter().any(|name| name.contains(**mark));
    let lines: String = ['_', '.']
        .iter()
        .filter(free)
        .map(|mark| format!("	request_header -*{mark}*\n"))
        .collect();
    if lines.is_empty() {
        return lines;
    }
    format!(
        "	# Many apps read Remote_User, and some Remote.User, as Remote-User. Newer Caddys drop such names
	# themselves.
{lines}"
    )
}

/// A regular expression for the names, in lower case. Those that begin alike share their beginning.
fn pattern(names: &[String]) -> String {
    let mut families: Vec<(String, Vec<String>)> = Vec::new();
    for name in names {
        let name = name.to_ascii_lowercase();
        let (family, rest) = match name.split_once('-') {
            Some((family, rest)) => (format!("{family}-"), rest.to_owned()),
            None => (name, String::new()),
        };
        match families.iter_mut().find(|(known, _)| *known == family) {
            Some((_, members)) => members.push(rest),
            None => families.push((family, vec![rest])),
        }
    }
    let patterns = families.iter().map(|(family, members)| {
        let members: Vec<String> = members.iter().map(|member| escape(member)).collect();
        match members.as_slice() {
            [only] => format!("{}{only}", escape(family)),
            several => format!("{}({})", escape(family), several.join("|")),
        }
    });
    patterns.collect::<Vec<_>>().join("|")
}

/// Every character that a regular expression could take for more than itself, behind a backslash. Letters,
/// digits, `-` and `_` are never more.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn portal(config: &Config) -> String {
    let site = format!("{}{}", scheme(config), config.server.portal);
    let upstream = dial(&config.server.portal_listen);
    match config.server.public_url.path().trim_end_matches('/') {
        "" => format!("{PORTAL}{site} {{\n\treverse_proxy {upstream}\n}}\n"),
        path => format!(
            "{SHARED_PORTAL}{site} {{
	@portcullis path {path} {path}/*
	handle @portcullis {{
		reverse_proxy {upstream}
	}}
	handle {{
		import portcullis_strip
		{UPSTREAM}
	}}
}}
"
        ),
    }
}

/// Whether a site that is not protected gets our cookies: the provider's beside the portal, an app's that is open,
/// or one below a cookie domain, which need not be a service.
fn has_open_sites(config: &Config) -> bool {
    let mut services = config.services.services().iter();
    config.server.public_url.path() != "/"
        || !config.session.cookie_domains.is_empty()
        || services.any(|service| service.is_open())
}

fn open_site(config: &Config, service: &Service) -> String {
    let why = match service.posture {
        Posture::NativeOidc => "logs people in at the provider itself",
        _ => "has a login of its own",
    };
    format!(
        "# {}: not protected, since its posture is {}: the app {why}.\n\
         {} {{\n\timport portcullis_strip\n\t{UPSTREAM}\n}}\n",
        service.name,
        service.posture.as_str(),
        addresses(config, service)
    )
}

fn site(config: &Config, service: &Service) -> String {
    let warning = match service.policy {
        ServicePolicy::Own(_) => "",
        ServicePolicy::FromProxy => FROM_PROXY,
    };
    let addresses = addresses(config, service);
    format!("{warning}{addresses} {{\n\timport portcullis\n\t{UPSTREAM}\n}}\n")
}

fn addresses(config: &Config, service: &Service) -> String {
    let address = |host: &ServiceHost| match (host.port, config.server.portal.port) {
        (None, Some(port)) => format!("{}{host}:{port}", scheme(config)),
        _ => format!("{}{host}", scheme(config)),
    };
    let all: Vec<String> = service.hosts.iter().map(address).collect();
    all.join(", ")
}

/// Caddy serves `https` unless a site says otherwise.
fn scheme(config: &Config) -> &'static str {
    match config.server.public_url.scheme() {
        "http" => "http://",
        _ => "",
    }
}

/// Where Caddy reaches a listener of ours on the same machine.
fn dial(listen: &Listen) -> String {
    match listen {
        Listen::Unix(path) => format!("unix/{}", path.display()),
        Listen::Tcp(address) => {
            let ip = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                ip => ip,
            };
            SocketAddr::new(ip, address.port()).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_takes_the_names_and_nothing_more() {
        let pattern = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            pattern(&names)
        };
        assert_eq!(
            pattern(&["Remote-User", "Remote-Groups", "X-Api-Key"]),
            "remote-(user|groups)|x-api-key"
        );
        assert_eq!(
            pattern(&["X-WEBAUTH-USER", "Authorization", "x-api-key"]),
            "x-(webauth-user|api-key)|authorization"
        );
        assert_eq!(pattern(&["X.Key*", "a|b"]), r"x\.key\*|a\|b");
    }

    #[test]
    fn names_of_our_own_with_such_a_character_are_not_taken_away() {
        let lines = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let text = lookalikes(&names);
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let (underscore, dot) = ("request_header -*_*", "request_header -*.*");
        assert_eq!(lines(&["Remote-User"]), [underscore, dot]);
        assert_eq!(lines(&["Remote-User", "X_User"]), [dot]);
        assert_eq!(lines(&["X.User"]), [underscore]);
        assert!(lines(&["X.User", "X_User"]).is_empty());
        assert_eq!(lookalikes(&["X._".into()]), "");
    }

    #[test]
    fn listeners_are_dialled_as_caddy_writes_them() {
        let tcp = |address: &str| dial(&Listen::Tcp(address.parse().expect("an address")));
        assert_eq!(tcp("127.0.0.1:9191"), "127.0.0.1:9191");
        assert_eq!(tcp("0.0.0.0:9191"), "127.0.0.1:9191");
        assert_eq!(tcp("[::]:9191"), "[::1]:9191");
        let socket = Listen::Unix("/run/portcullis/verify.sock".into());
        assert_eq!(dial(&socket), "unix//run/portcullis/verify.sock");
    }
}
