//! `portcullis snippet`: what it prints is what we ship.

use std::fs;
use std::path::Path;

use super::support::{Done, Folder, Run};

/// Runs `snippet` on `text`, with a secret where it says that one is.
fn snippet(text: &str, arguments: &[&str]) -> Done {
    let folder = Folder::new();
    for secret in ["oidc_client_secret", "paperless_ai_api_key"] {
        folder.write(secret, "hunter2\n");
    }
    let here = folder.path().to_str().expect("UTF-8");
    let file = folder.write("portcullis.toml", &text.replace("/run/secrets", here));
    let run = Run::new(["snippet"]);
    let run = arguments.iter().fold(run, Run::arg);
    run.arg("--config").arg(file).done()
}

fn shipped(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(file).expect("a file that we ship")
}

#[test]
fn the_shipped_caddyfile_is_that_of_the_shipped_configuration() {
    let printed = snippet(&shipped("deploy/examples/portcullis.toml"), &["caddy"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    assert_eq!(printed.stdout, shipped("Caddyfile.example"));
}

const SEVERAL: &str = r#"
    [server]
    listen = "unix:/run/portcullis/verify.sock"
    portal_listen = "0.0.0.0:9292"
    public_url = "https://auth.example.net:8443"
    [oidc]
    issuer = "https://id.example.net"
    client_id = "portcullis"
    [session]
    store = "memory:"
    [services.any]
    host = "*.apps.example.net"
    policy = "from_proxy"
    [services.films]
    host = ["films.example.net", "movies.example.net:9443"]
    policy = "authenticated"
"#;

#[test]
fn addresses_are_those_of_the_configuration() {
    let printed = snippet(SEVERAL, &["caddy"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    let expected = [
        "\tforward_auth unix//run/portcullis/verify.sock {\n",
        "auth.example.net:8443 {\n\treverse_proxy 127.0.0.1:9292\n}\n",
        "\n# with `uri /verify/policy/NAME?`. As it stands here everybody is refused.\n*.apps.example.net:8443 {\n",
        "films.example.net:8443, movies.example.net:9443 {\n\timport portcullis\n\t# reverse_proxy 127.0.0.1:PORT\n}\n",
    ];
    for part in expected {
        assert!(printed.stdout.contains(part), "{part}\n{}", printed.stdout);
    }
}

#[test]
fn a_portal_below_a_path_shares_its_site() {
    let text = SEVERAL.replace(
        "https://auth.example.net:8443",
        "https://id.example.net/auth",
    );
    let printed = snippet(&text, &["caddy", "films"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    let expected = "\
id.example.net {
\t@portcullis path /auth /auth/*
\thandle @portcullis {
\t\treverse_proxy 127.0.0.1:9292
\t}
\thandle {
\t\timport portcullis_strip
\t\t# reverse_proxy 127.0.0.1:PORT
\t}
}
";
    assert!(printed.stdout.contains(expected), "{}", printed.stdout);
}

const STRIP: &str = "\n(portcullis_strip) {\n\trequest_header Cookie ";

#[test]
fn a_site_that_is_not_protected_gets_none_of_our_cookies() {
    let open = r#"
    [services.mealie]
    host = "mealie.example.net"
    posture = "native_oidc"
    [services.plex]
    host = "plex.example.net"
    posture = "passthrough"
    "#;
    let text = format!("{SEVERAL}{open}");
    let printed = snippet(&text, &["caddy"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    let sites = [
        "# mealie: not protected, since its posture is native_oidc: the app logs people in at the provider itself.
mealie.example.net:8443 {
\timport portcullis_strip
\t# reverse_proxy 127.0.0.1:PORT
}
",
        "# plex: not protected, since its posture is passthrough: the app has a login of its own.
plex.example.net:8443 {
\timport portcullis_strip
\t# reverse_proxy 127.0.0.1:PORT
}
",
    ];
    for part in sites {
        assert!(printed.stdout.contains(part), "{part}\n{}", printed.stdout);
    }
    // What takes them out is what does so where Portcullis is asked.
    let (before, after) = printed.stdout.split_once(STRIP).expect("it is there");
    let (lines, _) = after.split_once("}\n").expect("it ends");
    assert!(before.contains(lines), "{}", printed.stdout);
    assert!(lines.ends_with("\trequest_header -Portcullis-Key\n"));
}

/// Any other host of the domain gets its cookie as well.
#[test]
fn a_cookie_domain_needs_the_snippet_that_strips() {
    let shared = SEVERAL.replace(
        "store = \"memory:\"",
        "store = \"memory:\"\ncookie_domains = [\"example.net\"]",
    );
    for (text, expected) in [(SEVERAL, false), (shared.as_str(), true)] {
        let printed = snippet(text, &["caddy"]);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
        assert_eq!(printed.stdout.contains(STRIP), expected);
    }
}

/// Before a handshake is over a client has not shown that its address is its own.
#[test]
fn where_networks_open_something_early_data_is_spoken_of() {
    let internal = r#"
    [services.hooks]
    host = "hooks.example.net"
    posture = "internal"
    allowed_networks = ["10.0.0.0/8"]
    "#;
    let bypass = r#"
    [[services.films.bypass]]
    allowed_networks = ["10.0.0.0/8"]
    "#;
    for (more, expected) in [("", false), (internal, true), (bypass, true)] {
        let printed = snippet(&format!("{SEVERAL}{more}"), &["caddy"]);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
        assert_eq!(
            printed.stdout.contains("\n#\t\t\t0rtt off\n"),
            expected,
            "{more}"
        );
    }
}

#[test]
fn services_can_be_chosen() {
    let printed = snippet(SEVERAL, &["caddy", "films"]);
    assert_eq!(printed.code, 0);
    assert!(printed.stdout.contains("films.example.net:8443"));
    assert!(!printed.stdout.contains("apps.example.net"));
}

#[test]
fn what_there_is_no_snippet_for_is_said() {
    let cases = [
        (
            "traefik",
            "",
            "error: there is no snippet for \"traefik\"; this version has one for caddy\n",
        ),
        (
            "caddy",
            "flims",
            "error: no service is called \"flims\"; there are: any, films\n",
        ),
    ];
    for (proxy, service, said) in cases {
        let arguments: Vec<&str> = [proxy, service]
            .into_iter()
            .filter(|argument| !argument.is_empty())
            .collect();
        let refused = snippet(SEVERAL, &arguments);
        assert_eq!(
            (
                refused.code,
                refused.stdout.as_str(),
                refused.stderr.as_str()
            ),
            (1, "", said)
        );
    }
}
