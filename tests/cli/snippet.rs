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
        "films.example.net:8443, movies.example.net:8443, movies.example.net:9443 {\n\timport portcullis\n\t# reverse_proxy 127.0.0.1:PORT\n}\n",
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
            "haproxy",
            "",
            "error: there is no snippet for \"haproxy\"; there are some for caddy, traefik, nginx and envoy\n",
        ),
        (
            "caddy",
            "flims",
            "error: no service is called \"flims\"; there are: any, films\n",
        ),
        (
            "traefik",
            "",
            "error: server.listen: Traefik cannot reach a socket: it takes an address, such as \"127.0.0.1:9191\"\n",
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

/// These hand on each spelling that they are not told of, and apps that know CGI variables read `X_Our-Very-Long-User`
/// as the name with dashes.
#[test]
fn a_header_with_more_spellings_than_can_be_taken_away_is_refused() {
    let long = "X-Our-Very-Long-Chain-User";
    let headers = format!(
        "policy = \"authenticated\"\n    headers = [{{ name = \"{long}\", claim = \"username\" }}]\n"
    );
    let text = SEVERAL
        .replace("unix:/run/portcullis/verify.sock", "127.0.0.1:9191")
        .replace("policy = \"authenticated\"\n", &headers);
    for proxy in ["traefik", "envoy"] {
        let refused = snippet(&text, &[proxy]);
        assert_eq!((refused.code, &*refused.stdout), (1, ""), "{proxy}");
        let said = format!("error: the header \"{long}\" has too many spellings for this proxy");
        assert!(refused.stderr.starts_with(&said), "{}", refused.stderr);
    }
    // These drop every name with such a character themselves.
    for proxy in ["caddy", "nginx"] {
        let printed = snippet(&text, &[proxy]);
        assert_eq!(printed.code, 0, "{}", printed.stderr);
        assert!(printed.stdout.contains(long), "{}", printed.stdout);
    }
}

/// Its answers are for whoever asks in a dialect that is named.
#[test]
fn a_dialect_that_is_not_answered_is_spoken_of() {
    let text = SEVERAL.replace("unix:/run/portcullis/verify.sock", "127.0.0.1:9191");
    let answering = |dialect: &str| {
        let dialects = format!("dialects = [\"{dialect}\"]\n    listen =");
        text.replacen("listen =", &dialects, 1)
    };
    for (proxy, wanted, other) in [
        ("caddy", "forward-auth", "nginx"),
        ("traefik", "forward-auth", "envoy"),
        ("nginx", "nginx", "forward-auth"),
        ("envoy", "envoy", "nginx"),
    ] {
        let printed = snippet(&answering(other), &[proxy]);
        let line = format!("dialects = [\"{other}\", \"{wanted}\"]");
        let said = format!(
            "warning: server.dialects: \"{wanted}\" is missing, so this proxy would get no answer: say {line}\n"
        );
        assert_eq!((printed.code, printed.stderr.as_str()), (0, &*said));
        let note = format!("yours does not yet. Below [server]:\n#\n#     {line}\n");
        assert!(printed.stdout.contains(&note), "{}", printed.stdout);

        let printed = snippet(&answering(wanted), &[proxy]);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
        assert!(!printed.stdout.contains("dialects"), "{}", printed.stdout);
    }
}

#[test]
fn sockets_and_ports_are_those_of_the_configuration() {
    for (proxy, expected) in [
        (
            "nginx",
            &[
                "    server unix:/run/portcullis/verify.sock;\n",
                "    server 127.0.0.1:9292;\n",
                "    listen 8443 ssl http2;\n    server_name auth.example.net;\n",
                "    listen 9443 ssl http2;\n    server_name\n        movies.example.net;\n",
                "server_name\n        *.apps.example.net\n        films.example.net\n        auth.example.net;\n",
                "X-Original-URL    $scheme://$host:9443$request_uri;\n",
                "    # *.apps.example.net /policy/authenticated;\n",
            ][..],
        ),
        (
            "envoy",
            &[
                "address: { pipe: { path: \"/run/portcullis/verify.sock\" } }",
                "socket_address: { address: \"127.0.0.1\", port_value: 9292 }",
                "socket_address: { address: 0.0.0.0, port_value: 8443 }",
                "domains: [\"*.apps.example.net\"]\n",
            ],
        ),
    ] {
        let printed = snippet(SEVERAL, &[proxy]);
        for part in expected {
            assert!(printed.stdout.contains(part), "{part}\n{}", printed.stdout);
        }
    }
}

const SHARED: &str = r#"
    [services.mealie]
    host = "mealie.example.net"
    posture = "native_oidc"
    [services.plex]
    host = "plex.home.example.net"
    posture = "passthrough"
    "#;

/// What is open is not asked about, but where browsers send it a cookie that opens other apps as well, and the proxy
/// cannot take that out by itself.
#[test]
fn open_services_are_asked_about_only_for_their_cookies() {
    let text = SEVERAL
        .replace("unix:/run/portcullis/verify.sock", "127.0.0.1:9191")
        .replace(
            "store = \"memory:\"",
            "store = \"memory:\"\ncookie_domains = [\"home.example.net\"]",
        );
    let text = format!("{text}{SHARED}");
    let part = |text: &str, from: &str, to: &str| -> String {
        let (_, rest) = text.split_once(from).expect(from);
        rest.split(to).next().unwrap_or_default().to_owned()
    };
    let traefik = snippet(&text, &["traefik"]).stdout;
    let router = |name: &str| part(&traefik, &format!("    app-{name}:\n"), "service:");
    assert!(router("mealie").contains("middlewares: [portcullis-strip]"));
    assert!(router("plex").contains("middlewares: [portcullis]"));
    assert!(router("films").contains("middlewares: [portcullis]"));

    let nginx = snippet(&text, &["nginx"]).stdout;
    let open = part(&nginx, "# The apps that are not protected.\n", "\n}\n");
    assert!(open.contains("mealie.example.net") && !open.contains("plex."));
    assert!(!open.contains("auth_request"), "{open}");

    let envoy = snippet(&text, &["envoy"]).stdout;
    let host = |name: &str| {
        part(
            &envoy,
            &format!("            - name: app-{name}\n"),
            "routes:",
        )
    };
    assert!(host("mealie").contains("*not_protected"));
    assert!(!host("plex").contains("*not_protected"));
    assert!(!host("films").contains("*not_protected"));
}

/// The most specific name wins, whatever else the same service is called.
#[test]
fn traefik_gets_a_router_for_each_domain() {
    let text = SEVERAL.replace("unix:/run/portcullis/verify.sock", "127.0.0.1:9191");
    let text = format!(
        "{text}[services.wide]\nhost = [\"x.a.example.org\", \"*.example.org\"]\npolicy = \"authenticated\"\n\
         [services.narrow]\nhost = \"*.a.example.org\"\npolicy = \"authenticated\"\n"
    );
    let printed = snippet(&text, &["traefik"]).stdout;
    for part in [
        "    app-wide:\n      rule: 'Host(`x.a.example.org`)'\n      middlewares",
        "    app-wide+2:\n      rule: 'HostRegexp(`^.+\\.example\\.org$`)'\n",
        "      priority: 2\n      middlewares: [portcullis]\n      service: app-wide\n",
        "      priority: 3\n      middlewares: [portcullis]\n      service: app-narrow\n",
    ] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
}

/// A request to the one that is left out would be decided as its own, and sent to the other.
#[test]
fn a_domain_is_not_printed_without_the_hosts_below_it() {
    let text = format!(
        "{SEVERAL}[services.wide]\nhost = \"*.example.org\"\npolicy = \"authenticated\"\n[services.narrow]\nhost = \
         \"x.example.org\"\npolicy = \"authenticated\"\n"
    );
    for proxy in ["caddy", "nginx", "envoy"] {
        let refused = snippet(&text, &[proxy, "wide"]);
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        assert!(
            refused.stderr.contains("name \"narrow\" as well"),
            "{}",
            refused.stderr
        );
        assert_eq!(snippet(&text, &[proxy, "wide", "narrow"]).code, 0);
        assert_eq!(snippet(&text, &[proxy, "narrow"]).code, 0);
    }
}

/// A service that leaves its policy to the proxy: nobody gets in until one is named.
#[test]
fn traefik_gets_a_middleware_for_each_policy() {
    let text = SEVERAL.replace("unix:/run/portcullis/verify.sock", "127.0.0.1:9191");
    let text = format!("{text}[policies]\nadmins = {{ allowed_groups = [\"admins\"] }}\n");
    let printed = snippet(&text, &["traefik"]).stdout;
    for part in [
        "portcullis-admins-policy:\n      chain:\n        middlewares: [portcullis-clean, portcullis-admins-ask]\n",
        "address: \"http://127.0.0.1:9191/verify/policy/admins\"\n",
        "address: \"http://127.0.0.1:9191/verify/policy/authenticated\"\n",
        "rule: 'HostRegexp(`^.+\\.apps\\.example\\.net$`)'\n",
    ] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
    for never in ["policy/bypass", "policy/optional", "policy/deny"] {
        assert!(!printed.contains(never), "{never}");
    }
    let alone = snippet(&text, &["traefik", "films"]).stdout;
    assert!(!alone.contains("/verify/policy/"), "{alone}");
}

/// The secret itself is in nobody's output.
#[test]
fn a_secret_of_the_proxy_is_left_to_be_filled_in() {
    let text = SEVERAL
        .replace("unix:/run/portcullis/verify.sock", "127.0.0.1:9191")
        .replace(
            "public_url =",
            "proxy_secret_file = \"/run/secrets/oidc_client_secret\"\n    public_url =",
        );
    for proxy in ["caddy", "traefik", "nginx", "envoy"] {
        let printed = snippet(&text, &[proxy]);
        assert_eq!(printed.code, 0, "{}", printed.stderr);
        assert!(printed.stdout.contains("\"SECRET\""), "{proxy}");
        assert!(!printed.stdout.contains("hunter2"), "{proxy}");
    }
}
