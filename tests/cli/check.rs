//! `portcullis check`: what it says about good and bad configurations.

use super::support::{Folder, Run};

pub const GOOD: &str = r#"
    [server]
    public_url = "https://auth.example.net"
    [oidc]
    issuer = "https://id.example.net/"
    client_id = "portcullis"
    [session]
    store = "memory:"
    [policies]
    media = { allowed_groups = ["media"] }
    [services.films]
    host = ["films.example.net", "*.films.example.net"]
    policy = "media"
    bypass = [{ paths = ["/api/*"], allowed_networks = ["10.0.0.0/8"] }]
    [[services.films.rules]]
    paths = ["/admin/*"]
    policy = "deny"
    [services.any]
    host = "*.apps.example.net"
    policy = "from_proxy"
"#;

#[test]
fn a_good_configuration_is_summed_up() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", GOOD);
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(checked.stderr, "");
    assert_eq!(checked.code, 0);
    let expected = "\
        listen         127.0.0.1:9191 (/verify)\n\
        portal_listen  127.0.0.1:9192\n\
        admin_listen   127.0.0.1:9193\n\
        public_url     https://auth.example.net/\n\
        proxies        127.0.0.0/8, ::1/128\n\
        issuer         https://id.example.net/\n\
        redirect URI   https://auth.example.net/callback\n\
        store          memory: (sessions end with the process)\n\
        session keys   one that ends with the process\n\
        policy         media: in media\n\
        service        any: *.apps.example.net\n\
        \x20 protect        login, then the policy that the proxy names; refused where it names none\n\
        \x20 sent           Remote-User, Remote-Name, Remote-Email, Remote-Groups\n\
        service        films: films.example.net, *.films.example.net\n\
        \x20 bypass[0]      /api/* from 10.0.0.0/8: anybody passes, without a login\n\
        \x20 rules[0]       /admin/*: nobody passes\n\
        \x20 protect        else login, then policy media\n\
        \x20 sent           Remote-User, Remote-Name, Remote-Email, Remote-Groups\n\
        copy list      Remote-User Remote-Name Remote-Email Remote-Groups\n";
    assert_eq!(checked.stdout, expected);
}

#[test]
fn the_paths_of_each_dialect_are_shown() {
    let folder = Folder::new();
    let text = GOOD.replace("[oidc]", "dialects = [\"nginx\", \"envoy\"]\n[oidc]");
    let file = folder.write("portcullis.toml", &text);
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    let first = checked.stdout.lines().next();
    let expected = "listen         127.0.0.1:9191 (/verify/nginx, /verify/envoy)";
    assert_eq!(first, Some(expected));
}

/// Every pattern, and everything that an administrator would want to see before it goes live.
#[test]
fn each_pattern_is_summed_up_in_words() {
    let folder = Folder::new();
    folder.write("key", "hunter2");
    let text = r#"
        [server]
        public_url = "https://auth.example.net"
        [oidc]
        issuer = "https://id.example.net"
        client_id = "portcullis"
        [session]
        store = "memory:"
        cookie_domains = ["example.net"]
        [policies]
        admins = { allowed_groups = ["admins"] }
        home = { allowed_groups = ["admins", "home"], required_groups = ["staff"], denied_groups = ["gone"] }
        ada = { allowed_users = ["0a11ce00", "name:ada"], allowed_email_domains = ["example.net"], max_auth_age = "15m", amr = ["phr", "hwk"] }
        [services.grafana]
        host = "grafana.example.net"
        posture = "trusted_header"
        policy = "ada"
        headers = ["Remote-User", { name = "X-WEBAUTH-MAIL", claim = "email" }]
        allowed_origins = ["https://Dashboard.example.net:443"]
        reserved_users = { admin = ["0a11ce00"], root = [] }
        isolated = true
        [services.papers]
        host = "papers.example.net"
        posture = "hybrid"
        policy = "home"
        same_origin_guard = false
        cors_preflight = true
        upstream_headers = [
            { name = "x-api-key", value_file = "key", only_groups = ["admins"] },
            { name = "Authorization", token = "access_token" },
        ]
        [[services.papers.rules]]
        paths = ["/hook"]
        methods = ["POST"]
        requires_header = { name = "X-Hook-Key", value_file = "key" }
        policy = "bypass"
        [services.mealie]
        host = "mealie.example.net"
        posture = "native_oidc"
        [services.plex]
        host = "plex.example.net"
        posture = "passthrough"
        [[services.plex.rules]]
        paths = ["/admin/*"]
        policy = "admins"
        [services.hooks]
        host = "hooks.example.org"
        posture = "internal"
        allowed_networks = ["10.0.0.0/8", "fd00::/8"]
    "#;
    let file = folder.write("portcullis.toml", text);
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let warnings: Vec<&str> = checked.stderr.lines().collect();
    let [name, cookie] = warnings[..] else {
        unreachable!("two warnings: {warnings:?}")
    };
    let expected = "warning: policies.ada.allowed_users[1]: \"name:ada\": ";
    assert!(name.starts_with(expected), "{name}");
    let expected =
        "warning: services.mealie.posture: browsers send it the cookie of \"example.net\", ";
    assert!(cookie.starts_with(expected), "{cookie}");
    assert!(!checked.stdout.contains("hunter"), "{}", checked.stdout);
    let (_, patterns) = checked.stdout.split_once("policy ").expect("policies");
    assert_eq!(format!("policy {patterns}"), PATTERNS);
    assert!(checked.stdout.lines().count() <= 50, "it fits on a screen");
}

const PATTERNS: &str = "\
policy         ada: is 0a11ce00 or name:ada, has mail at example.net, signed in by phr or hwk, signed in within the last 15 minutes
policy         admins: in admins
policy         home: in admins or home, in staff, not in gone
cookie domain  example.net: mealie, papers, plex (and whatever else is served on a host of that domain)
service        grafana: grafana.example.net
  trusted_header login, then policy ada
  sent           Remote-User, X-WEBAUTH-MAIL
  guard          pages of https://dashboard.example.net may write too
  reserved       admin (1 person), root (nobody)
  isolated       it has a cookie of its own
service        hooks: hooks.example.org
  internal       only from 10.0.0.0/8, fd00::/8, without a login
  sent           nothing about people
service        mealie: mealie.example.net
  native_oidc    anybody passes; the app asks for the login
  sent           nothing about people
service        papers: papers.example.net
  rules[0]       POST /hook with the header x-hook-key and its secret: anybody passes, without a login
  hybrid         else login, then policy home
  sent           Remote-User, Remote-Name, Remote-Email, Remote-Groups, x-api-key (secret, for admins only), \
Authorization (the person's token)
  guard          off: pages of any site may write
  preflights     pass without a login
service        plex: plex.example.net
  rules[0]       /admin/*: login, then policy admins
  passthrough    else anybody passes; the app has its own login
  sent           Remote-User, Remote-Name, Remote-Email, Remote-Groups
copy list      Remote-User X-WEBAUTH-MAIL Remote-Name Remote-Email Remote-Groups x-api-key Authorization
";

#[test]
fn everything_is_said_at_once() {
    let folder = Folder::new();
    let text = r#"
        sesion = 1
        [server]
        listen = { port = 1 }
        danger_allow_http = "perhaps"
        trustedproxies = ["10.0.0.1"]
        public_url = "http://auth.example.net/portal"
        [oidc]
        client_id = "a"
        client_secret = "hunter2"
        [session]
        store = "redis://:hunter3@redis:6379"
        idle_timeout = "soon"
        lifetime = "500d"
        [policies]
        nobody = {}
        media = { alowed_groups = ["media"] }
        [services.films]
        host = "films.example.net"
        policy = "medai"
        [services.notes]
        host = 7
        rules = [{ paths = ["notes"], policy = ["x"], method = "GET" }, "x"]
        [services.web]
        host = "Films.example.net."
        policy = "authenticated"
    "#;
    let file = folder.write("portcullis.toml", text);
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(checked.code, 1);
    assert_eq!(checked.stdout, "");
    assert!(!checked.stderr.contains("hunter"), "{}", checked.stderr);
    assert_eq!(checked.stderr, EVERYTHING);
}

/// First what could not be read, then what makes no sense.
const EVERYTHING: &str = r#"error: sesion: unknown key (did you mean "session"?)
error: server.danger_allow_http: must be true or false
error: server.listen: must be a text
error: server.trustedproxies: unknown key (did you mean "trusted_proxies"?)
error: session.idle_timeout: must be a time such as "90s", "12h" or "30d"
error: policies.media.alowed_groups: unknown key (did you mean "allowed_groups"?)
error: services.notes.host: must be a list of texts
error: services.notes.rules[0].method: unknown key (did you mean "methods"?)
error: services.notes.rules[0].policy: must be a text
error: services.notes.rules[1]: must be a table
error: server.public_url: must begin with https:// (http needs server.danger_allow_http, for development)
error: oidc.issuer: must be given, exactly as the provider writes it: "https://id.example.net" say
error: oidc.client_secret: secrets do not belong here: put it into a file and name that in client_secret_file (danger_allow_inline_secrets = true would allow it)
error: session.store: holds a password, and secrets do not belong here: put it into a file and name that in session.store_password_file (danger_allow_inline_secrets = true would allow it)
error: session.secret_file: all that share a Redis need the same keys: `portcullis secret` prints one for the file
error: session.lifetime: is longer than 400 days, and browsers keep no cookie for so long
error: policies.nobody: asks for nothing: give allowed_groups, required_groups, denied_groups, allowed_users, allowed_email_domains, max_auth_age or amr, or use the built-in policy "authenticated"
error: services.films.policy: no policy is called "medai" (did you mean "media"?)
error: services.notes.policy: must be given: the name of a policy, or "from_proxy" where the proxy names it
error: services.notes.rules[0].paths: "notes" must begin with '/'
error: services.web.host: "films.example.net" belongs to services.films already
"#;

#[test]
fn the_environment_wins_over_the_file() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", GOOD);
    let checked = Run::new(["check"])
        .env("PORTCULLIS_CONFIG", &file)
        .env(
            "PORTCULLIS__SERVER__LISTEN",
            "unix:/run/portcullis/verify.sock",
        )
        .env(
            "PORTCULLIS__SERVER__TRUSTED_PROXIES",
            " 192.0.2.1, ,192.0.2.2 ",
        )
        .env("PORTCULLIS__SERVICES__FILMS__HOST", "movies.example.net")
        .env("PORTCULLIS__SERVICES__FILMS__POLICY", "authenticated")
        .done();
    assert_eq!(checked.stderr, "");
    let expected = [
        "listen         unix:/run/portcullis/verify.sock (/verify)\n",
        "proxies        192.0.2.1/32, 192.0.2.2/32\n",
        "films: movies.example.net\n",
        "protect        else login\n",
    ];
    for line in expected {
        assert!(checked.stdout.contains(line), "{}", checked.stdout);
    }
}

#[test]
fn the_environment_is_checked_like_the_file() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", GOOD);
    let checked = Run::new(["check", "--config"])
        .arg(&file)
        .env("PORTCULLIS__SESION__STORE", "memory:")
        .env("PORTCULLIS__OIDC__SCOPES", "")
        .env("PORTCULLIS__SERVER__DANGER_ALLOW_HTTP", "maybe")
        .env("PORTCULLIS__SERVICES__FILMS__BYPASS", "everything")
        .env("PORTCULLIS__SERVER[9]__X", "1")
        .done();
    let expected = "\
        error: PORTCULLIS__SERVER[9]__X: is not the name of a setting: PORTCULLIS__SECTION__KEY\n\
        error: sesion: unknown key (did you mean \"session\"?)\n\
        error: server.danger_allow_http: must be true or false\n\
        error: services.films.bypass: must be a list of tables\n\
        error: oidc.scopes: must hold \"openid\": without it there is no login\n";
    assert_eq!(checked.stderr, expected);
    assert_eq!(checked.code, 1);
}

#[test]
fn json_is_read_too() {
    let folder = Folder::new();
    let text = r#"{
        "server": { "public_url": "https://auth.example.net", "trusted_proxies": null },
        "oidc": { "issuer": "https://id.example.net", "client_id": "portcullis" },
        "session": { "store": "memory:" }
    }"#;
    let file = folder.write("portcullis.json", text);
    let checked = Run::new(["--config"]).arg(&file).arg("check").done();
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let warning = "warning: services: there is none, so every request is denied\n";
    assert_eq!(checked.stderr, warning);
}

#[test]
fn files_that_make_no_sense_are_not_repeated() {
    let folder = Folder::new();
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("a.toml", "[oidc]\nclient_secret = hunter2\n",            "line 2, column 17: "),
        ("b.toml", "[oidc]\nclient_secret = \"hunter2\n",          "line 2, column 25: "),
        ("c.toml", "[oidc]\nclient_id = \"x\"\nclient_id = \"y\"", "line 3, column 1: "),
        ("d.json", "{ \"oidc\": { \"client_secret\": hunter2 } }", "line 1, column 30: "),
        ("e.json", "[\"hunter2\"]",                                "cannot be read as a table"),
    ];
    for (name, text, expected) in cases {
        let file = folder.write(name, text);
        let checked = Run::new(["check", "--config"]).arg(&file).done();
        assert_eq!(checked.code, 1);
        let expected = format!("error: {}: {expected}", file.display());
        assert!(checked.stderr.starts_with(&expected), "{}", checked.stderr);
        assert_eq!(checked.stderr.lines().count(), 1, "{}", checked.stderr);
        assert!(!checked.stderr.contains("hunter"), "{}", checked.stderr);
    }
}

#[test]
fn a_missing_file_is_named() {
    let checked = Run::new(["check", "--config", "/nowhere/portcullis.toml"]).done();
    assert_eq!(checked.code, 1);
    let expected = "error: /nowhere/portcullis.toml: cannot be read: it does not exist\n";
    assert_eq!(checked.stderr, expected);
}

/// Both forms of headers, and a hint for each misspelt key of the tables within tables.
#[test]
fn tables_within_tables_are_checked_too() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}{}",
        r#"
        [services.papers]
        host = "papers.example.net"
        policy = "media"
        headers = ["Remote-User", { name = "X-Mail", clam = "email" }, 7]
        upstream_headers = [{ nmae = "X-Key", token = "id_token" }, "hunter2", { name = "X-Key", value_fiel = "hunter2" }]
        reserved_users = { admin = 7 }
        rules = [{ paths = ["/a"], requires_header = { name = "X-Hook", value_fle = "x" }, policy = "deny" }]
        bypass = [{ paths = ["/b"], requires_header = { nam = "X-Hook" } }]
        [services.notes]
        host = "notes.example.net"
        policy = "media"
        headers = [{ name = "X-Mail", clam = "email" }]
        header_encodng = "utf8"
        "#
    );
    let file = folder.write("portcullis.toml", &text);
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(checked.stderr, WITHIN);
}

const WITHIN: &str = r#"error: services.notes.header_encodng: unknown key (did you mean "header_encoding"?)
error: services.notes.headers[0].clam: unknown key (did you mean "claim"?)
error: services.papers.bypass[0].requires_header.nam: unknown key (did you mean "name"?)
error: services.papers.headers[2]: must be a name or a table
error: services.papers.reserved_users.admin: must be a list of texts
error: services.papers.rules[0].requires_header.value_fle: unknown key (did you mean "value_file"?)
error: services.papers.upstream_headers[0].nmae: unknown key (did you mean "name"?)
error: services.papers.upstream_headers[1]: must be a table
error: services.papers.upstream_headers[2].value_fiel: unknown key (did you mean "value_file"?)
error: services.papers.bypass[0].requires_header.name: must be given
error: services.papers.upstream_headers[0].name: must be given: the header that the app wants, "X-Api-Key" say
"#;

#[test]
fn a_list_of_headers_may_be_one_text() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", GOOD);
    let checked = Run::new(["check", "--config"])
        .arg(&file)
        .env(
            "PORTCULLIS__SERVICES__FILMS__HEADERS",
            "X-Email, Remote-User",
        )
        .done();
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""));
    let sent = "  sent           X-Email, Remote-User\n";
    assert!(checked.stdout.contains(sent), "{}", checked.stdout);
}

#[test]
fn a_redis_is_summed_up_without_its_password() {
    let folder = Folder::new();
    folder.write("keys", &format!("{}\n", "k".repeat(43)));
    folder.write("password", "hunter2\n");
    let store = "store = \"redis://portcullis@redis:6379/1\"\n\
                 store_password_file = \"password\"\nsecret_file = \"keys\"";
    let file = folder.write(
        "portcullis.toml",
        &GOOD.replace("store = \"memory:\"", store),
    );
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    let summary = "store          redis://redis:6379/1\nsession keys   1\n";
    assert!(
        checked.stdout.contains(summary),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    let inline = "store = \"redis://portcullis:hunter2@redis:6379/1\"\nsecret_file = \"keys\"";
    let file = folder.write("inline.toml", &GOOD.replace("store = \"memory:\"", inline));
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(checked.code, 1);
    assert!(
        checked.stderr.contains("session.store: holds a password"),
        "{}",
        checked.stderr
    );
    assert!(!checked.stderr.contains("hunter2"), "{}", checked.stderr);
}
