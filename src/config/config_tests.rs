//! Configurations, good and bad, as tables: one edit each, and what is said about it.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::domain::dialects::Dialects;
use crate::domain::policy::Requirement;
use crate::domain::relying_party::ClientAuth;
use std::net::Ipv4Addr;

/// An edit of [`good`].
pub(super) type Edit = fn(&mut RawConfig);

#[expect(
    clippy::unnecessary_wraps,
    reason = "what a key holds is optional everywhere"
)]
pub(super) fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(ToString::to_string).collect())
}

pub(super) fn good() -> RawConfig {
    let mut raw = RawConfig::default();
    raw.server.public_url = Some("https://auth.example.net".into());
    raw.oidc.issuer = Some("https://id.example.net".into());
    raw.oidc.client_id = Some("portcullis".into());
    raw.session.store = Some("memory:".into());
    raw.policies.insert(
        "media".into(),
        RawPolicy {
            allowed_groups: texts(&["media"]),
            ..RawPolicy::default()
        },
    );
    raw.services
        .insert("films".into(), service("films.example.net"));
    raw
}

fn service(host: &str) -> RawService {
    RawService {
        host: texts(&[host]),
        policy: Some("media".into()),
        ..RawService::default()
    }
}

pub(super) fn films(raw: &mut RawConfig) -> &mut RawService {
    raw.services.get_mut("films").expect("it is in `good`")
}

pub(super) fn media(raw: &mut RawConfig) -> &mut RawPolicy {
    raw.policies.get_mut("media").expect("it is in `good`")
}

pub(super) fn rule(raw: &mut RawConfig) -> &mut RawRule {
    let rules = &mut films(raw).rules;
    rules.push(RawRule {
        paths: texts(&["/api/*"]),
        policy: Some("deny".into()),
        ..RawRule::default()
    });
    rules.last_mut().expect("it was just added")
}

/// What is said about [`good`] after `edit`: errors if there are any, else warnings.
pub(super) fn said_about(edit: Edit) -> (Vec<String>, Vec<String>) {
    let mut raw = good();
    edit(&mut raw);
    let lines = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect();
    match Config::from_raw(&raw, Path::new("/nowhere")) {
        Ok(config) => (Vec::new(), lines(&config.warnings)),
        Err(problems) => (lines(problems.errors()), lines(problems.warnings())),
    }
}

fn check_errors(cases: &[(Edit, &str)]) {
    for (edit, expected) in cases {
        let (errors, _) = said_about(*edit);
        assert_eq!(errors, [*expected]);
    }
}

fn check_warnings(cases: &[(Edit, &str)]) {
    for (edit, expected) in cases {
        let (errors, warnings) = said_about(*edit);
        assert_eq!(errors, [""; 0], "{expected}");
        assert_eq!(warnings, [*expected]);
    }
}

fn check_fine(edits: &[Edit]) {
    for (index, edit) in edits.iter().enumerate() {
        assert_eq!(said_about(*edit), (vec![], vec![]), "case {index}");
    }
}

#[test]
fn what_is_not_given_has_its_default() {
    let config = Config::from_raw(&good(), Path::new("/nowhere")).expect("a good configuration");
    let server = &config.server;
    assert_eq!(server.listen.to_string(), "127.0.0.1:9191");
    assert_eq!(server.portal_listen.to_string(), "127.0.0.1:9192");
    assert_eq!(server.admin_listen.to_string(), "127.0.0.1:9193");
    assert_eq!(server.portal.to_string(), "auth.example.net");
    assert_eq!(server.dialects, Dialects::default());
    assert_eq!((server.sockets.mode, server.sockets.group), (0o660, None));
    assert!(server.trusted_proxies.trust(Ipv4Addr::LOCALHOST.into()));
    assert!(
        !server
            .trusted_proxies
            .trust(Ipv4Addr::new(10, 0, 0, 1).into())
    );
    let oidc = &config.oidc;
    assert_eq!(oidc.issuer, "https://id.example.net", "no slash is added");
    assert_eq!(
        oidc.redirect_uri.as_str(),
        "https://auth.example.net/callback"
    );
    assert_eq!(
        oidc.post_logout_redirect_uri.as_str(),
        "https://auth.example.net/signed-out"
    );
    assert_eq!(oidc.scopes, ["openid", "profile", "email", "groups"]);
    assert!(oidc.scopes_follow_metadata);
    assert_eq!(oidc.client_auth, ClientAuth::Auto);
    assert!(oidc.client_secret.is_none());
    let lifetime = config.session.lifetime;
    assert_eq!(lifetime.idle, Duration::from_secs(24 * 60 * 60));
    assert_eq!(lifetime.absolute, Duration::from_secs(30 * 24 * 60 * 60));
    assert!(matches!(config.session.secret, SessionSecret::Ephemeral));
    assert_eq!(config.log.level, tracing::Level::INFO);
    assert_eq!(config.log.format, LogFormat::Json);
    let optional = config.policies.get("optional").expect("built in");
    assert_eq!(optional.requirement, Requirement::Optional);
    assert!(config.policies.get("media").is_some());
    assert!(config.warnings.is_empty());
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_servers_are_refused() {
    check_errors(&[
        (|raw| raw.server.listen = Some("9191".into()),                    "server.listen: must be an address and a port such as \"127.0.0.1:9191\", or \"unix:/absolute/path\""),
        (|raw| raw.server.listen = Some("gate:9191".into()),               "server.listen: must be an address and a port such as \"127.0.0.1:9191\", or \"unix:/absolute/path\""),
        (|raw| raw.server.listen = Some("unix:verify.sock".into()),        "server.listen: the path of a socket must be absolute: \"unix:/run/portcullis/verify.sock\""),
        (|raw| raw.server.control_socket = Some("control.sock".into()),    "server.control_socket: must be an absolute path such as \"/run/portcullis/control.sock\", or \"off\""),
        (|raw| raw.server.control_socket = Some(format!("/{}", "a".repeat(107))), "server.control_socket: the path of a socket has at most 98 bytes"),
        (|raw| { raw.server.admin_listen = Some("unix:/run/a".into()); raw.server.control_socket = Some("unix:/run/a".into()); }, "server.control_socket: is taken by server.admin_listen"),
        (|raw| raw.server.listen = Some("127.0.0.1:9192".into()),          "server.portal_listen: 127.0.0.1:9192 is taken by server.listen"),
        (|raw| raw.server.listen = Some("0.0.0.0:9193".into()),            "server.admin_listen: 127.0.0.1:9193 is taken by server.listen"),
        (|raw| raw.server.public_url = None,                               "server.public_url: must be given: what browsers call the portal, \"https://auth.example.net\" say"),
        (|raw| raw.server.public_url = Some("auth.example.net".into()),    "server.public_url: must be a URL such as \"https://auth.example.net\""),
        (|raw| raw.server.public_url = Some("https://".into()),            "server.public_url: must be a URL such as \"https://auth.example.net\""),
        (|raw| raw.server.public_url = Some("https:\\\\auth.example.net".into()), "server.public_url: must be a URL such as \"https://auth.example.net\""),
        (|raw| raw.server.public_url = Some("https://auth.exam\nple.net".into()), "server.public_url: must be a URL such as \"https://auth.example.net\""),
        (|raw| raw.server.public_url = Some("http://auth.example.net".into()), "server.public_url: must begin with https:// (http needs server.danger_allow_http, for development)"),
        (|raw| raw.server.public_url = Some("https://a:b@auth.example.net".into()), "server.public_url: must not hold a user name or a password"),
        (|raw| raw.server.public_url = Some("https://auth.example.net?".into()), "server.public_url: must not hold a query (\"?\")"),
        (|raw| raw.server.public_url = Some("https://auth.example.net#".into()), "server.public_url: must not hold a fragment (\"#\")"),
        (|raw| raw.server.public_url = Some("https://example.net/auth".into()), "server.public_url: has a path, which is for the issuer's own host: whatever else is served on a host can act as the portal (server.danger_shared_portal_origin allows it)"),
        (|raw| raw.server.public_url = Some("https://0.0.0.0".into()),     "server.public_url: this address means every interface, and no browser can go there"),
        (|raw| raw.server.public_url = Some("https://*.example.net".into()), "server.public_url: the host is none that browsers can go to"),
        (|raw| raw.server.trusted_proxies = texts(&["10.0.0.1", "0.0.0.0/0"]), "server.trusted_proxies[1]: 0.0.0.0/0 holds a large part of the internet: whoever speaks from there could say that they are anybody"),
        (|raw| raw.server.trusted_proxies = texts(&["caddy"]),             "server.trusted_proxies: \"caddy\" is not a network such as \"10.0.0.0/8\" or \"fd00::/8\""),
        (|raw| raw.server.proxy_secret_file = Some("x".into()),            "server.proxy_secret_file: /nowhere/x cannot be read: it does not exist"),
        (|raw| raw.server.dialects = texts(&[]),                           "server.dialects: must name one at least: no proxy could ask anything otherwise"),
        (|raw| raw.server.dialects = texts(&["ngnix"]),                    "server.dialects: must be one of \"forward-auth\", \"nginx\", \"envoy\" (did you mean \"nginx\"?)"),
        (|raw| raw.server.dialects = texts(&["nginx", "forward_auth"]),    "server.dialects[1]: must be one of \"forward-auth\", \"nginx\", \"envoy\" (did you mean \"forward-auth\"?)"),
        (|raw| raw.server.dialects = texts(&["caddy"]),                    "server.dialects: must be one of \"forward-auth\", \"nginx\", \"envoy\""),
        (|raw| raw.server.socket_mode = Some("660x".into()),               "server.socket_mode: must be permission bits in octal, as text: \"0660\" for owner and group"),
        (|raw| raw.server.socket_group = Some("no-such-group".into()),     "server.socket_group: there is no group of this name on this machine"),
    ]);
    check_warnings(&[
        (|raw| raw.server.trusted_proxies = texts(&[]),                    "server.trusted_proxies: is empty: every request to server.listen will be refused"),
        (|raw| raw.server.trusted_proxies = texts(&["10.0.0.1/8"]),        "server.trusted_proxies: 10.0.0.1/8 is taken for the network 10.0.0.0/8"),
        (|raw| raw.server.socket_mode = Some("0600".into()),               "server.socket_mode: none of the listeners is a socket (\"unix:/path\")"),
        (|raw| { raw.server.listen = Some("unix:/run/a".into()); raw.server.socket_mode = Some("0666".into()); }, "server.socket_mode: every user of this machine may open the socket, and whoever may open it counts as the proxy"),
        (|raw| raw.server.danger_allow_http = true,                        "server.danger_allow_http: cookies go without `Secure` and without `__Host-`: for development only"),
    ]);
    check_fine(&[
        |raw| raw.server.listen = Some("[::1]:9191".into()),
        |raw| raw.server.listen = Some("localhost:9191".into()),
        |raw| { raw.server.listen = Some("127.0.0.1:0".into()); raw.server.portal_listen = Some("127.0.0.1:0".into()); },
        |raw| { raw.server.listen = Some("unix:/run/a".into()); raw.server.trusted_proxies = texts(&[]); },
        |raw| { raw.server.listen = Some("unix:/run/a".into()); raw.server.socket_mode = Some("0600".into()); raw.server.socket_group = Some("0".into()); },
        |raw| raw.server.dialects = texts(&["forward-auth", "nginx", "envoy"]),
        |raw| raw.server.public_url = Some("https://auth.example.net:8443/".into()),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_providers_are_refused() {
    check_errors(&[
        (|raw| raw.oidc.issuer = Some("id.example.net".into()),            "oidc.issuer: must be a URL such as \"https://id.example.net\""),
        (|raw| raw.oidc.issuer = Some("http://id.example.net".into()),     "oidc.issuer: must begin with https:// (http needs oidc.danger_allow_http_endpoints)"),
        (|raw| raw.oidc.issuer = Some("https://id.example.net/?a".into()), "oidc.issuer: must not hold a query (\"?\")"),
        (|raw| raw.oidc.issuer = Some("https://auth.example.net:9/x".into()), "oidc.issuer: has the host of server.public_url: give the portal a host of its own, or a path there (\"https://id.example.net/auth\")"),
        (|raw| raw.oidc.client_id = None,                                  "oidc.client_id: must be given, or oidc.client_id_file"),
        (|raw| raw.oidc.client_id = Some(" a".into()),                     "oidc.client_id: must be a name without blanks around it"),
        (|raw| raw.oidc.client_id_file = Some("id".into()),                "oidc.client_id: is given twice: here and by oidc.client_id_file"),
        (|raw| { raw.oidc.client_id = None; raw.oidc.client_id_file = Some("id".into()); }, "oidc.client_id_file: /nowhere/id cannot be read: it does not exist"),
        (|raw| raw.oidc.client_secret = Some("hunter2".into()),            "oidc.client_secret: secrets do not belong here: put it into a file and name that in client_secret_file (danger_allow_inline_secrets = true would allow it)"),
        (|raw| { raw.danger_allow_inline_secrets = true; raw.oidc.client_secret = Some("".into()); }, "oidc.client_secret: is empty: leave it out where the client has no secret"),
        (|raw| raw.oidc.client_secret_file = Some("/".into()),             "oidc.client_secret_file: / is not a regular file"),
        (|raw| raw.oidc.client_auth = Some("bassic".into()),               "oidc.client_auth: must be one of \"auto\", \"basic\", \"post\", \"none\" (did you mean \"basic\"?)"),
        (|raw| raw.oidc.client_auth = Some("post".into()),                 "oidc.client_auth: needs a secret: give oidc.client_secret_file"),
        (|raw| raw.oidc.scopes = texts(&["profile"]),                      "oidc.scopes: must hold \"openid\": without it there is no login"),
        (|raw| raw.oidc.scopes = texts(&["openid", "profile email"]),      "oidc.scopes[1]: is not the name of one scope"),
        (|raw| raw.oidc.groups_claim = Some("/".into()),                   "oidc.groups_claim: a claim needs a name"),
        (|raw| raw.oidc.username_claim = Some(String::new()),              "oidc.username_claim: a claim needs a name"),
        (|raw| { raw.oidc.authorize_params.insert("state".into(), "x".into()); }, "oidc.authorize_params.state: is set by Portcullis itself"),
        (|raw| raw.oidc.ca_file = Some("ca.pem".into()),                   "oidc.ca_file: /nowhere/ca.pem cannot be read: it does not exist"),
    ]);
    check_warnings(&[
        (|raw| { raw.danger_allow_inline_secrets = true; raw.oidc.client_secret = Some("hunter2".into()); raw.oidc.client_auth = Some("none".into()); }, "oidc.client_auth: is \"none\", so the secret is never used"),
    ]);
    check_fine(&[
        |raw| raw.oidc.issuer = Some("http://localhost:9443/".into()),
        |raw| raw.oidc.issuer = Some("http://[::1]:9443".into()),
        |raw| raw.oidc.issuer = Some("http://id.localhost/realms/home".into()),
        |raw| { raw.oidc.issuer = Some("http://id.example.net".into()); raw.oidc.danger_allow_http_endpoints = true; },
        |raw| { raw.danger_allow_inline_secrets = true; raw.oidc.client_secret = Some("hunter2".into()); },
        |raw| { raw.oidc.authorize_params.insert("prompt".into(), "login".into()); },
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_sessions_are_refused() {
    const STORE: &str = "session.store: must be \"file:/path/to/portcullis.redb\", \"redis://host:6379/0\", \"rediss://host:6379/0\", \"redis+sentinel://…\", \"redis+cluster://…\" or \"memory:\"";
    const NO_FILE: &str = "session.store: names no file: write file:/path/to/portcullis.redb";
    check_errors(&[
        (|raw| raw.session.store = Some("redis://redis:6379/0".into()),    "session.secret_file: all that share a Redis need the same keys: `portcullis secret` prints one for the file"),
        (|raw| raw.session.store = Some("https://hunter2@redis".into()),   STORE),
        (|raw| raw.session.store = Some("memory".into()),                  STORE),
        (|raw| raw.session.store = Some("".into()),                        STORE),
        (|raw| raw.session.store = Some("file:".into()),                   NO_FILE),
        (|raw| raw.session.store = Some("file:///".into()),                NO_FILE),
        (|raw| raw.session.store = Some("file:/tmp/".into()),              NO_FILE),
        (|raw| raw.session.store = Some("file://host/a.redb".into()),      "session.store: names a host: a file is on this machine, so write file:/path"),
        (|raw| raw.session.store = Some("file:/nowhere/a.redb".into()),    "session.store: /nowhere/a.redb cannot be made: the folder /nowhere does not exist"),
        (|raw| raw.session.store = Some("file:a.redb".into()),             "session.store: /nowhere/a.redb cannot be made: the folder /nowhere does not exist"),
        (|raw| raw.session.store = Some("file:/dev/null".into()),          "session.store: /dev/null is not a regular file"),
        (|raw| raw.session.secret_file = Some("keys".into()),              "session.secret_file: /nowhere/keys cannot be made: the folder /nowhere does not exist"),
        (|raw| raw.session.secret_file = Some("/".into()),                 "session.secret_file: / is not a regular file"),
        (|raw| raw.session.lifetime = Some(Duration::from_millis(999)),    "session.lifetime: must be one second at least"),
        (|raw| raw.session.idle_timeout = Some(Duration::ZERO),            "session.idle_timeout: must be one second at least"),
        (|raw| raw.session.lifetime = Some(Duration::from_secs(401 * 86_400)), "session.lifetime: is longer than 400 days, and browsers keep no cookie for so long"),
        (|raw| raw.session.idle_timeout = Some(Duration::from_secs(31 * 86_400)), "session.idle_timeout: longer than session.lifetime (30 days where it is not given)"),
        (|raw| raw.session.without_refresh = Some("tokens".into()),        "session.without_refresh: must be one of \"session\", \"token\" (did you mean \"token\"?)"),
        (|raw| { raw.session.idle_timeout = Some(Duration::from_secs(61)); raw.session.lifetime = Some(Duration::from_secs(60)); }, "session.idle_timeout: longer than session.lifetime"),
    ]);
    check_fine(&[
        |raw| raw.session.lifetime = Some(Duration::from_secs(3600)),
        |raw| raw.session.without_refresh = Some("session".into()),
        |raw| raw.session.without_refresh = Some("token".into()),
        |raw| raw.oidc.refresh_grace = Some(Duration::ZERO),
        |raw| raw.session.secret_file = Some("/portcullis-keys-to-be-made".into()),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_policies_are_refused() {
    check_errors(&[
        (|raw| *media(raw) = RawPolicy::default(),                         "policies.media: asks for nothing: give allowed_groups, required_groups, denied_groups, allowed_users, allowed_email_domains, max_auth_age or amr, or use the built-in policy \"authenticated\""),
        (|raw| media(raw).max_auth_age = Some(Duration::ZERO),             "policies.media.max_auth_age: must be a whole number of seconds, and one at least"),
        (|raw| media(raw).max_auth_age = Some(Duration::from_millis(1500)), "policies.media.max_auth_age: must be a whole number of seconds, and one at least"),
        (|raw| media(raw).max_auth_age = Some(Duration::from_secs(401 * 86_400)), "policies.media.max_auth_age: is longer than 400 days, and no session lives for so long"),
        (|raw| media(raw).amr = texts(&[]),                                "policies.media.amr: is empty: name one, or leave the key out"),
        (|raw| media(raw).amr = texts(&["phr", ""]),                       "policies.media.amr[1]: is blank, and nothing is called that"),
        (|raw| media(raw).amr = Some(vec!["x".repeat(65)]),                "policies.media.amr: is longer than 64 bytes, and no way to sign in is called that"),
        (|raw| media(raw).amr = Some((0..17).map(|n| n.to_string()).collect()), "policies.media.amr: names more than 16 ways to sign in"),
        (|raw| media(raw).denied_groups = texts(&[]),                      "policies.media.denied_groups: is empty: name one, or leave the key out"),
        (|raw| media(raw).allowed_groups = texts(&["media", " "]),         "policies.media.allowed_groups[1]: is blank, and nothing is called that"),
        (|raw| { let policy = media(raw).clone(); raw.policies.insert("bypass".into(), policy); }, "policies.bypass: is built in and cannot be defined anew"),
        (|raw| { let policy = media(raw).clone(); raw.policies.insert("from_proxy".into(), policy); }, "policies.from_proxy: is built in and cannot be defined anew"),
        (|raw| { let policy = media(raw).clone(); raw.policies.insert("a/b".into(), policy); }, "policies.a/b: a name is 1 to 100 letters, digits, \"_\", \".\" and \"-\""),
        (|raw| { let policy = media(raw).clone(); raw.policies.insert("..".into(), policy); }, "policies...: cannot be a name: it means something else in URLs"),
        (|raw| { let policy = media(raw).clone(); raw.policies.insert("Media".into(), policy); }, "policies.media: differs from policies.Media in letter case alone"),
    ]);
    check_warnings(&[
        (|raw| media(raw).max_auth_age = Some(Duration::from_secs(59)),    "policies.media.max_auth_age: is shorter than the minute by which clocks may differ: a sign-in counts for a minute more than this, and people are sent to the provider all the time"),
        (|raw| media(raw).allowed_groups = texts(&["media "]),             "policies.media.allowed_groups: \"media \" begins or ends with a blank, and names compare byte for byte"),
    ]);
    check_fine(&[
        |raw| *media(raw) = RawPolicy { max_auth_age: Some(Duration::from_secs(900)), ..RawPolicy::default() },
        |raw| *media(raw) = RawPolicy { amr: texts(&["phr", "hwk"]), ..RawPolicy::default() },
        |raw| { media(raw).max_auth_age = Some(Duration::from_secs(60)); media(raw).amr = texts(&["phr"]); },
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_services_are_refused() {
    check_errors(&[
        (|raw| films(raw).host = None,                                     "services.films.host: must be given: the host that browsers ask for"),
        (|raw| films(raw).host = texts(&[]),                               "services.films.host: must be given: the host that browsers ask for"),
        (|raw| films(raw).host = texts(&["https://films.example.net"]),    "services.films.host: must be a host name such as \"app.example.net\", without a scheme or a path"),
        (|raw| films(raw).host = texts(&["a.example.net", "*"]),           "services.films.host[1]: '*' may stand only as the first label, before a domain name: \"*.example.net\""),
        (|raw| films(raw).host = texts(&["Auth.example.net"]),             "services.films.host: \"auth.example.net\" is the portal's own host (server.public_url)"),
        (|raw| films(raw).host = texts(&["id.example.net"]),               "services.films.host: \"id.example.net\" is the issuer's host (oidc.issuer): whoever signs in has to get there first"),
        (|raw| films(raw).host = texts(&["a.example.net", "A.example.net:8443"]), "services.films.host[1]: \"a.example.net:8443\" is listed twice (one with a port means the default port too)"),
        (|raw| { raw.services.insert("none".into(), service("none.example.net")); }, "services.none: cannot be a name: metrics say it where a host is no service's"),
        (|raw| { raw.services.insert("movies".into(), service("films.example.net")); }, "services.movies.host: \"films.example.net\" belongs to services.films already"),
        (|raw| films(raw).policy = None,                                   "services.films.policy: must be given: the name of a policy, or \"from_proxy\" where the proxy names it"),
        (|raw| films(raw).policy = Some("Media".into()),                   "services.films.policy: no policy is called \"Media\" (did you mean \"media\"?)"),
        (|raw| films(raw).policy = Some("from-proxy".into()),              "services.films.policy: no policy is called \"from-proxy\" (did you mean \"from_proxy\"?)"),
        (|raw| rule(raw).policy = Some("from_proxy".into()),               "services.films.rules[0].policy: only a service can leave its policy to the proxy"),
        (|raw| rule(raw).policy = None,                                    "services.films.rules[0].policy: must be given: the policy that then decides"),
        (|raw| rule(raw).paths = None,                                     "services.films.rules[0]: needs paths, methods, allowed_networks or requires_header: what holds always is the service's own policy"),
        (|raw| rule(raw).paths = texts(&[]),                               "services.films.rules[0].paths: is empty: name something, or leave the key out"),
        (|raw| rule(raw).paths = texts(&["/a", "api/*"]),                  "services.films.rules[0].paths[1]: \"api/*\" must begin with '/'"),
        (|raw| rule(raw).methods = texts(&["GET POST"]),                   "services.films.rules[0].methods: \"GET POST\" is not a method such as \"GET\""),
        (|raw| rule(raw).allowed_networks = texts(&["home"]),              "services.films.rules[0].allowed_networks: \"home\" is not a network such as \"10.0.0.0/8\" or \"fd00::/8\""),
        (|raw| films(raw).bypass = vec![RawBypass { methods: texts(&["GET"]), ..RawBypass::default() }], "services.films.bypass[0]: needs paths or allowed_networks: it would open too much without"),
        (|raw| films(raw).bypass = vec![RawBypass { paths: texts(&["/a"]), allowed_networks: texts(&[]), ..RawBypass::default() }], "services.films.bypass[0].allowed_networks: is empty: name something, or leave the key out"),
    ]);
    check_warnings(&[
        (|raw| raw.services.clear(),                                       "services: there is none, so every request is denied"),
        (|raw| rule(raw).methods = texts(&["get"]),                        "services.films.rules[0].methods: methods compare byte for byte, and \"get\" is not \"GET\""),
        (|raw| rule(raw).allowed_networks = texts(&["0.0.0.0/0"]),         "services.films.rules[0].allowed_networks: 0.0.0.0/0 lets every address in"),
    ]);
    check_fine(&[
        |raw| films(raw).host = texts(&["*.example.net", "films.example.net"]),
        |raw| films(raw).policy = Some("from_proxy".into()),
        |raw| { raw.services.insert("all".into(), service("*.films.example.net")); },
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_logs_are_refused() {
    check_errors(&[
        (|raw| raw.log.level = Some("wran".into()),                        "log.level: must be one of \"error\", \"warn\", \"info\", \"debug\", \"trace\" (did you mean \"warn\"?)"),
        (|raw| raw.log.format = Some("text".into()),                       "log.format: must be one of \"json\", \"pretty\""),
    ]);
}

#[test]
fn bypasses_stand_before_rules() {
    let mut raw = good();
    rule(&mut raw);
    films(&mut raw).bypass.push(RawBypass {
        paths: texts(&["/ping"]),
        ..RawBypass::default()
    });
    let config = Config::from_raw(&raw, Path::new("/nowhere")).expect("a good configuration");
    let rules = &config.services.services()[0].rules;
    let labels: Vec<(&str, &str)> = rules
        .iter()
        .map(|rule| (rule.label.as_str(), rule.policy.name.as_str()))
        .collect();
    assert_eq!(labels, [("bypass[0]", "bypass"), ("rules[0]", "deny")]);
}

#[test]
fn secrets_are_in_no_message_and_in_no_debug_output() {
    let mut raw = good();
    raw.danger_allow_inline_secrets = true;
    raw.oidc.client_secret = Some("hunter2".into());
    assert!(!format!("{raw:?}").contains("hunter"));
    let config = Config::from_raw(&raw, Path::new("/nowhere")).expect("a good configuration");
    assert!(!format!("{config:?}").contains("hunter"));

    for url in [
        "redis://:hunter2@redis:6379/0",
        "hunter2",
        "redis://hunter2@r",
    ] {
        raw.session.store = Some(url.into());
        raw.server.public_url = Some(format!("https://a:hunter2@{url}"));
        raw.oidc.issuer = Some("https://:hunter2@id.example.net".into());
        assert!(!format!("{:?}", raw.session).contains("hunter"));
        let problems = Config::from_raw(&raw, Path::new("/nowhere")).expect_err("a bad one");
        assert!(
            !format!("{problems} {problems:?}").contains("hunter"),
            "{problems}"
        );
    }
}

#[test]
fn a_key_file_is_made_once_and_for_us_alone() {
    use std::os::unix::fs::MetadataExt;

    let name = format!("portcullis-keys-{}", std::process::id());
    let name_of_all = name.clone();
    let path = std::env::temp_dir().join(name);
    let first = SessionSecret::ToBeMade(path.clone())
        .into_keys()
        .expect("a new key");
    let again = SessionSecret::ToBeMade(path.clone())
        .into_keys()
        .expect("the same key");
    let mode = std::fs::metadata(&path).expect("a file").mode();
    let left = std::fs::read_dir(std::env::temp_dir()).expect("a folder");
    let left = left.filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with(&name_of_all)
    });
    assert_eq!(left.count(), 1, "nothing is left beside it");
    std::fs::remove_file(&path).expect("a removed file");
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].expose(), again[0].expose());

    let error = SessionSecret::ToBeMade("/nowhere/keys".into()).into_keys();
    let error = error.expect_err("no such folder").to_string();
    let expected = "/nowhere/keys does not exist, and a new key could not be written there: its \
                    folder does not exist";
    assert_eq!(error, expected);
}

#[test]
fn the_control_socket_is_at_its_usual_place_unless_it_is_said_otherwise() {
    let cases = [
        (None, ControlSocket::Usual),
        (Some("off"), ControlSocket::Off),
        (Some("/run/a"), ControlSocket::At("/run/a".into())),
        (Some("unix:/run/a"), ControlSocket::At("/run/a".into())),
    ];
    for (written, expected) in cases {
        let mut raw = good();
        raw.server.control_socket = written.map(str::to_owned);
        let config = Config::from_raw(&raw, Path::new("/nowhere")).expect("a configuration");
        assert_eq!(config.server.control_socket, expected, "{written:?}");
    }
}
