//! `portcullis explain`: what it says, in words and as JSON, and how it ends.

use serde_json::Value;

use super::support::{Done, Folder, Run};

const SONARR: &str = r#"
    [server]
    public_url = "https://auth.example.net"
    trusted_proxies = ["127.0.0.0/8", "10.0.0.1"]
    [oidc]
    issuer = "https://id.example.net"
    client_id = "portcullis"
    client_secret_file = "secret"
    [session]
    store = "memory:"
    [policies]
    admins = { allowed_groups = ["admins"] }
    media = { allowed_groups = ["admins", "users", "media"] }
    danger = { max_auth_age = "15m", amr = ["phr", "hwk"] }
    [services.sonarr]
    host = "sonarr.example.net"
    policy = "media"
    [[services.sonarr.bypass]]
    paths = ["/api/*", "/feed/*"]
    allowed_networks = ["10.20.0.0/16"]
    [[services.sonarr.rules]]
    paths = ["/settings/*"]
    policy = "danger"
"#;

/// What stands in the secrets' files, and must not be printed.
const SECRET: &str = "hunter2";

fn explain(arguments: &[&str]) -> Done {
    let folder = Folder::new();
    folder.write("secret", SECRET);
    let file = folder.write("portcullis.toml", SONARR);
    let done = Run::new(["explain", "--config"]).arg(file);
    let done = arguments.iter().fold(done, Run::arg).done();
    assert!(!done.stdout.contains(SECRET) && !done.stderr.contains(SECRET));
    done
}

fn json(arguments: &[&str]) -> (i32, Value) {
    let done = explain(&[arguments, &["--json"]].concat());
    assert_eq!(done.stderr, "");
    let object = serde_json::from_str(&done.stdout).expect("JSON");
    (done.code, object)
}

/// Why a step was (not) taken.
fn why<'a>(object: &'a Value, rule: &str) -> Option<&'a str> {
    let steps = object["steps"].as_array()?;
    steps.iter().find(|step| step["rule"] == rule)?["why"].as_str()
}

/// "API bypass not working": which of its conditions it is.
#[test]
#[rustfmt::skip] // the columns are the point
fn the_bypass_of_sonarr_says_what_is_the_matter() {
    let cases: [(&[&str], &str, i32, &str, &str); 7] = [
        (&["--ip", "10.20.0.5"],   "/api/v3/series", 0,  "bypassed_by_rule", "all its conditions hold"),
        (&["--ip", "203.0.113.7"], "/api/v3/series", 10, "not_signed_in",    "in none of allowed_networks: 203.0.113.7, not 10.20.0.0/16"),
        (&[],                      "/api/v3/series", 10, "not_signed_in",    "the client's address is not known"),
        (&["--xff", "junk", "--peer", "127.0.0.1"], "/api/x", 10, "not_signed_in", "the client's address is not known"),
        (&["--ip", "10.20.0.5"],   "/series",        10, "not_signed_in",    "the path is another one: not /api/*, /feed/*"),
        (&["--ip", "10.20.0.5"],   "/API/x",         10, "not_signed_in",    "only in another reading of the path"),
        (&["--ip", "10.20.0.5"],   "/api/../x",      10, "not_signed_in",    "the path is not plain"),
    ];
    for (from, path, code, reason, because) in cases {
        let url = format!("https://sonarr.example.net{path}");
        let (exit, object) = json(&[&["--url", &url], from].concat());
        assert_eq!((exit, &object["reason"]), (code, &reason.into()), "{from:?} {path}");
        let said = why(&object, "bypass[0]").unwrap_or_default();
        assert!(said.contains(because), "{from:?} {path}: {said}");
    }
    let (_, object) = json(&["--url", "https://sonarr.example.net/api/../x"]);
    let said = why(&object, "plain path");
    assert_eq!(said, Some("it holds a segment \".\" or \"..\", so no rule lets it by"));
}

#[test]
fn a_header_that_may_give_the_app_another_path_is_told() {
    let asked = [
        "--ip",
        "10.20.0.5",
        "--url",
        "https://sonarr.example.net/api/v3/series",
    ];
    for header in ["X-Rewrite-URL: /x", "X_Original_URL: /x"] {
        let (exit, object) = json(&[&asked[..], &["--header", header]].concat());
        assert_eq!(
            (exit, &object["reason"]),
            (10, &"not_signed_in".into()),
            "{header}"
        );
        let plain = why(&object, "plain path").unwrap_or_default();
        assert!(
            plain.starts_with("X-Original-URL or X-Rewrite-URL is there"),
            "{plain}"
        );
        let bypass = why(&object, "bypass[0]").unwrap_or_default();
        let told = "the app might take the request for another path, as a header asks, so it lets nothing by";
        assert_eq!(bypass, told);
    }
}

#[test]
fn json_has_what_programs_need() {
    let url = ["--url", "https://sonarr.example.net/calendar"];
    let person = [
        "--user",
        "ada",
        "--group",
        "media",
        "--group",
        "night",
        "--email",
        "ada@example.net",
    ];
    let (code, object) = json(&[&url[..], &["--ip", "203.0.113.7"], &person].concat());
    assert_eq!(code, 0);
    assert_eq!(object["outcome"], "allow");
    assert_eq!(object["reason"], "member");
    assert_eq!(
        object["sentence"],
        "The policy \"media\" lets the group \"media\" pass."
    );
    assert_eq!(object["client_address"], "203.0.113.7");
    assert_eq!(object["service"], "sonarr");
    let headers = serde_json::json!({
        "Remote-User": "ada",
        "Remote-Name": "",
        "Remote-Email": "ada@example.net",
        "Remote-Groups": "media,night",
    });
    assert_eq!(object["headers"], headers);

    let (code, object) = json(&[&url[..], &["--user", "bob", "--group", "staff"]].concat());
    assert_eq!(code, 11);
    assert_eq!(object["outcome"], "deny");
    assert_eq!(object["reason"], "not_a_member");
    assert_eq!(object["client_address"], "unknown");
    assert_eq!(object["headers"], serde_json::json!({}));
    assert_eq!(
        why(&object, "policy media"),
        Some(
            "\"media\" asks for one of the groups \"admins\", \"users\", \"media\"; the person is in \"staff\""
        )
    );
    let (code, object) = json(&["--url", "https://other.example.net"]);
    assert_eq!((code, &object["service"]), (11, &Value::Null));
    assert_eq!(object["reason"], "unknown_host");
}

#[test]
fn text_is_for_people() {
    let arguments = [
        "--url",
        "https://sonarr.example.net/api/x",
        "--xff",
        "198.51.100.9, 203.0.113.7, 10.0.0.1",
        "--peer",
        "127.0.0.1",
        "--policy",
        "admins",
        "--user",
        "ada",
        "--group",
        "admins",
        "--method",
        "POST",
        "--header",
        "Sec-Fetch-Site: cross-site",
    ];
    let said = explain(&arguments);
    assert_eq!((said.code, said.stderr.as_str()), (11, ""));
    let expected = "\
DENY (cross_site)
A page of another site made your browser send this, so it was not delivered.

request  POST https://sonarr.example.net/api/x
client   203.0.113.7
person   ada, in \"admins\"
service  sonarr

yes  peer                   127.0.0.1 is one of server.trusted_proxies, so its list is believed
yes  X-Forwarded-For        10.0.0.1 is a trusted proxy, so the walk goes on
yes  X-Forwarded-For        203.0.113.7 is no trusted proxy: it is the client
no   X-Forwarded-For        198.51.100.9 is not looked at: it is what the client says of itself
yes  host                   \"sonarr.example.net\" of the service \"sonarr\" means it
no   reserved path          the path is not below /.portcullis/
yes  plain path             every reader takes it for the same
no   bypass[0]              the client's address is in none of allowed_networks: 203.0.113.7, not 10.20.0.0/16
no   rules[0]               the path is another one: not /settings/*
yes  policy of the proxy    \"admins\" must allow as well
yes  policy of the service  no rule decides, so \"media\" does
yes  policy media           \"media\" asks for one of the groups \"admins\", \"users\", \"media\"; the person is in \"admins\"
yes  policy admins          \"admins\" asks for one of the groups \"admins\"; the person is in \"admins\"
no   same-origin guard      a page of another site made the browser send it

Assumed, since no --header says otherwise: somebody opens a page in a browser
(Accept: text/html).
";
    assert_eq!(said.stdout, expected);
}

#[test]
fn a_peer_that_is_no_trusted_proxy_gets_no_answer() {
    let url = ["--url", "https://sonarr.example.net/"];
    let (code, object) = json(&[&url[..], &["--xff", "10.20.0.5", "--peer", "9.9.9.9"]].concat());
    assert_eq!((code, &object["reason"]), (11, &"untrusted_peer".into()));
    let said = why(&object, "peer").unwrap_or_default();
    assert!(
        said.starts_with("9.9.9.9 is none of server.trusted_proxies"),
        "{said}"
    );
}

#[test]
#[rustfmt::skip] // the columns are the point
fn bad_arguments_are_named() {
    const URL: &str = "https://sonarr.example.net/";
    let cases: [(&[&str], &str); 15] = [
        (&["--url", "sonarr.example.net"],             "--url: must begin with https:// or http://"),
        (&["--url", "ftp://sonarr.example.net/"],      "--url: the scheme is neither http nor https"),
        (&["--url", "https://"],                       "--url: the host is empty"),
        (&["--url", "https://a@sonarr.example.net/"],  "--url: the host holds a character that no host name has"),
        (&["--url", "https://sonarr.example.net:x/"],  "--url: the port is not a number from 1 to 65535"),
        (&["--url", "https://sonarr.example.net?x"],   "--url: there must be a '/' behind the host"),
        (&["--url", "https://sonarr.example.net/#x"],  "--url: the request target holds a raw '#'"),
        (&["--url", "https://sonarr.example.net/ä"],   "--url: holds a control character or one beyond ASCII"),
        (&["--url", URL, "--method", "G T"],           "--method: the method is not an HTTP token"),
        (&["--url", URL, "--ip", "10.20"],             "--ip: \"10.20\" is no IP address"),
        (&["--url", URL, "--xff", "a", "--peer", "b"], "--peer: \"b\" is no IP address"),
        (&["--url", URL, "--xff", "10.20.0.5"],        "--xff: needs --peer"),
        (&["--url", URL, "--user", "ada", "--auth-age", "soon"], "--auth-age: \"soon\" is no time such as \"10m\", and not \"unknown\""),
        (&["--url", URL, "--header", "hunter"],        "--header: must be a name, a colon and a value"),
        (&["--url", URL, "--header", "X-Forwarded-For: ::1"], "--header: x-forwarded-for is the proxy's"),
    ];
    for (arguments, expected) in cases {
        let refused = explain(arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{arguments:?}");
        let expected = format!("error: {expected}");
        assert!(refused.stderr.starts_with(&expected), "{arguments:?}: {}", refused.stderr);
    }
    // Those that the command line itself cannot be read with.
    assert_eq!(explain(&[]).code, 2);
    assert_eq!(explain(&["--url", URL, "--ip", "::1", "--xff", "::1"]).code, 2);
    assert_eq!(explain(&["--url", URL, "--group", "media"]).code, 2);
    assert_eq!(explain(&["--url", URL, "--auth-age", "1m"]).code, 2);
    assert_eq!(explain(&["--url", URL, "--amr", "phr"]).code, 2);
}

#[test]
#[rustfmt::skip] // the columns are the point
fn a_sign_in_that_will_not_do_is_told_with_what_would() {
    const ASKS: &str = "\"danger\" asks for a sign-in within the last 15 minutes, and a sign-in by one of \"phr\", \"hwk\"";
    let cases: [(&[&str], i32, &str, String); 6] = [
        (&["--amr", "phr"],                         0,  "signed_in",         format!("{ASKS}, and that is so")),
        (&["--amr", "hwk", "--auth-age", "16m"],    0,  "signed_in",         format!("{ASKS}, and that is so")),
        (&["--amr", "phr", "--auth-age", "1h"],     10, "auth_too_old",      format!("{ASKS}; they did 1 hour ago")),
        (&["--amr", "phr", "--auth-age", "unknown"], 10, "auth_time_unknown", format!("{ASKS}; it is not known when they did")),
        (&["--amr", "pwd", "--amr", "otp"],         10, "auth_method",       format!("{ASKS}; the way was \"pwd\", \"otp\"")),
        (&[],                                       10, "auth_method",       format!("{ASKS}; the way is not known")),
    ];
    for (arguments, exit, reason, expected) in cases {
        let url = ["--url", "https://sonarr.example.net/settings/x", "--user", "ada"];
        let (code, object) = json(&[&url[..], arguments].concat());
        assert_eq!((code, &object["reason"]), (exit, &reason.into()), "{arguments:?}");
        assert_eq!(why(&object, "policy danger"), Some(expected.as_str()), "{arguments:?}");
    }
    let told = explain(&["--url", "https://sonarr.example.net/", "--user", "ada", "--auth-age", "90m", "--amr", "phr"]);
    assert!(told.stdout.contains("person   ada, in no group, signed in 90 minutes ago, by \"phr\""), "{}", told.stdout);
}

#[test]
fn a_broken_configuration_is_told_as_everywhere() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", "[server]\nlisten = \"here\"\n");
    let url = ["explain", "--url", "https://a.example.net/", "--config"];
    let ended = Run::new(url).arg(file).done();
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.contains("error: server.listen: "),
        "{}",
        ended.stderr
    );
}

/// A handshake has no Sec-Fetch-*, and no page of another site sends `none`: nothing of the kind is assumed then.
#[test]
fn a_page_of_another_site_is_told_from_a_person() {
    let url = [
        "--url",
        "https://sonarr.example.net/",
        "--user",
        "ada",
        "--group",
        "media",
    ];
    let evil = ["--header", "Origin: https://evil.example"];
    let post = ["--method", "POST"];
    let upgrade = ["--header", "Upgrade: websocket"];
    for further in [
        [&evil[..], &post[..]].concat(),
        [&evil[..], &upgrade[..]].concat(),
    ] {
        let (exit, object) = json(&[&url[..], &further[..]].concat());
        assert_eq!(
            (exit, &object["reason"]),
            (11, &"cross_site".into()),
            "{further:?}"
        );
    }
    let (exit, _) = json(&[&url[..], &post[..]].concat());
    assert_eq!(exit, 0);
}
