//! The `Caddyfile.example` that we ship is what the tests run, and what the documents promise.

use crate::kit::example::{Places, directives, fitted_to, shipped, snippet_in};
use crate::kit::gate::Ports;

fn snippet(caddyfile: &str) -> &str {
    snippet_in(caddyfile).expect("a snippet of that name")
}

#[test]
fn the_tests_run_the_shipped_snippet() {
    let gate = Ports {
        verify: 1,
        portal: 2,
        admin: 3,
    };
    let apps = [
        ("one.localhost", 4),
        ("two.localhost", 5),
        ("three.localhost", 6),
    ];
    let used = fitted_to(&Places {
        gate,
        portal: "auth.localhost",
        apps,
    })
    .unwrap();
    let expected = snippet(&shipped().unwrap()).replace("127.0.0.1:9191", "127.0.0.1:1");
    assert_eq!(snippet(&used), expected);
}

#[test]
fn the_snippet_is_the_documented_one() {
    let text = shipped().unwrap();
    let names = "Remote-User Remote-Name Remote-Email Remote-Groups X-Api-Key";
    let (told, copied) = (
        format!("header_up Portcullis-Copy \"{names}\""),
        format!("copy_headers {names}"),
    );
    let documented = [
        "(portcullis) {",
        "forward_auth 127.0.0.1:9191 {",
        "uri /verify?",
        &told,
        &copied,
        "transport http {",
        "dial_timeout 1s",
        "response_header_timeout 5s",
        "keepalive off",
        "}",
        "}",
        r#"request_header Connection "(?i)remote-(user|name|email|groups)|x-api-key" "x""#,
        "request_header -*_*",
        "request_header -*.*",
        r#"request_header Upgrade "(?i)^(?:(websocket)|.*)$" "$1""#,
        "request_header -X-Original-URL",
        "request_header -X-Rewrite-URL",
        r#"request_header Cookie "(^|[;\s])(?:(?:__Host-|__Secure-)?portcullis[A-Za-z0-9_-]*=[^;]*(?:;\s*|$))+" "$1""#,
        "request_header -Portcullis-Key",
        "}",
    ];
    assert_eq!(directives(snippet(&text)), documented);
}
