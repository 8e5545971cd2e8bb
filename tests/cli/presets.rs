//! `portcullis presets`, and what `check` and `explain` say about the presets in use.

use portcullis::config::presets::Preset;
use serde_json::Value;

use super::support::{Done, Folder, Run};

fn presets(arguments: &[&str]) -> Done {
    Run::new(["presets"].iter().chain(arguments)).done()
}

/// What stands beside the services.
const REST: &str = r#"
    [server]
    public_url = "https://auth.example.net"
    [oidc]
    issuer = "https://id.example.net"
    client_id = "portcullis"
    [session]
    store = "memory:"
    [policies]
    media = { allowed_groups = ["media"] }
"#;

/// Runs `arguments` on these services, with what they say that `[session]` needs.
fn run(arguments: &[&str], services: &str) -> Done {
    let folder = Folder::new();
    let here = folder.path().to_str().expect("UTF-8");
    for part in services.split("\"/run/secrets/").skip(1) {
        let name = part.split('"').next().expect("a name");
        folder.write(name, "hunter2\n");
    }
    let mut rest = REST.to_owned();
    if let Some((_, line)) = services.split_once("# and in [session]: ") {
        let line = line.lines().next().expect("a line");
        rest = rest.replace("[session]", &format!("[session]\n{line}"));
    }
    let text = format!("{rest}{}", services.replace("/run/secrets", here));
    let file = folder.write("portcullis.toml", &text);
    Run::new(arguments).arg("--config").arg(file).done()
}

#[test]
fn the_list_has_a_line_for_each() {
    let listed = presets(&["list"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (0, ""));
    assert_eq!(listed.stdout.lines().count(), Preset::all().count());
    let line = "sonarr          protect         Sonarr, series\n";
    assert!(listed.stdout.contains(line), "{}", listed.stdout);

    let listed = presets(&["list", "--json"]);
    let list: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let ids: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|preset| preset["id"].as_str())
        .collect();
    let expected: Vec<&str> = Preset::all().map(|preset| preset.id).collect();
    assert_eq!(ids, expected);
}

#[test]
fn what_is_shown_of_an_app_passes_the_check() {
    for preset in Preset::all() {
        let shown = presets(&["show", preset.id]);
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
        let lines = shown.stdout.lines();
        let lines: Vec<&str> = lines.filter_map(|line| line.strip_prefix("    ")).collect();
        let lines = lines.join("\n") + "\n";
        assert_eq!(lines, preset.lines());
        for text in [preset.at_the_app, preset.beware, preset.sources].concat() {
            assert!(shown.stdout.contains(text), "{}: {text}", preset.id);
        }
        let checked = run(&["check"], &lines);
        assert_eq!(
            (checked.code, checked.stderr.as_str()),
            (0, ""),
            "{}",
            preset.id
        );
        let posture = format!("\n  {:<14} ", preset.posture.as_str());
        assert!(checked.stdout.contains(&posture), "{}", checked.stdout);
    }
}

/// The lines let a stranger through to the app only where they say so, and close what they say.
#[test]
fn what_is_shown_opens_what_it_says_and_no_more() {
    let mut closed = 0;
    for preset in Preset::all() {
        let ask = |path: &str| {
            let url = format!("https://{}.example.net{path}", preset.id);
            run(&["explain", "--url", &url], &preset.lines()).code
        };
        let expected = if preset.opens() { 0 } else { 10 };
        assert_eq!(ask("/"), expected, "{}", preset.id);
        for pattern in preset.close {
            let path = pattern.replace('*', "some/thing");
            for path in [path.to_uppercase(), path] {
                assert_eq!(ask(&path), 10, "{} {path}", preset.id);
                closed += 1;
            }
        }
    }
    assert!(closed > 0, "Vaultwarden has a page for its administrator");
}

#[test]
fn programs_are_told_the_same() {
    for preset in Preset::all() {
        let shown = presets(&["show", preset.id, "--json"]);
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
        let json: Value = serde_json::from_str(&shown.stdout).expect("JSON");
        assert_eq!(json["id"], preset.id);
        assert_eq!(json["posture"], preset.posture.as_str());
        assert_eq!(json["lines"], preset.lines());
        let answers = json["answers"].as_object().expect("answers");
        assert_eq!(answers.len(), 5, "{answers:?}");
        let bypasses = json["bypasses"].as_array().expect("a list");
        assert_eq!(bypasses.len(), preset.bypasses.len());
    }
}

const SONARR: &str = "\
sonarr: Sonarr, series
pattern: protect, because its login can be turned off, and everybody who gets in may do the same

Signs people in with OpenID Connect itself? no
Believes a header of its proxy?             no
Can its own login be turned off?            yes: authentication method External
Takes an API key?                           yes: X-Api-Key
Has several users?                          no

To write:

    [services.sonarr]
    app = \"sonarr\"
    host = \"sonarr.example.net\"
    policy = \"authenticated\" # or a policy of yours

";

#[test]
fn an_app_is_shown_with_its_answers_and_its_bypasses() {
    let shown = presets(&["show", "sonarr"]);
    assert!(shown.stdout.starts_with(SONARR), "{}", shown.stdout);
    for part in [
        "people sign in twice",
        "SONARR__AUTH__METHOD=External",
        "not DisabledForLocalAddresses",
        "  - \"api\", /api/*: for other apps. They show the app's own API key",
    ] {
        assert!(shown.stdout.contains(part), "{part}\n{}", shown.stdout);
    }
}

#[test]
fn an_alias_shows_the_app() {
    let by_alias = presets(&["show", "jellyseerr"]);
    assert_eq!(by_alias.stdout, presets(&["show", "seerr"]).stdout);
    assert!(by_alias.stdout.contains("\nalso: jellyseerr\n"));
}

#[test]
fn an_unknown_app_is_refused() {
    for further in [&[][..], &["--json"]] {
        let refused = presets(&[&["show", "sonar"], further].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
        let expected = "error: no preset is called \"sonar\" (did you mean \"sonarr\"?); \
                        `portcullis presets list` names them all\n";
        assert_eq!(refused.stderr, expected);
    }
}

const SERVICES: &str = r#"
    [services.grafana]
    app = "grafana"
    host = "grafana.example.net"
    policy = "media"
    [services.photos]
    app = "immich"
    host = "photos.example.net"
    policy = "media"
    [services.sonarr]
    app = "sonarr"
    host = "sonarr.example.net"
    policy = "media"
    preset_bypass = ["api"]
    [[services.sonarr.bypass]]
    paths = ["/feed/*"]
    allowed_networks = ["10.20.0.0/16"]
"#;

const CHECKED: &str = "\
service        grafana: grafana.example.net
  preset         grafana; `portcullis presets show grafana` has the settings at the app
  trusted_header login, then policy media
  sent           Remote-User, Remote-Name, Remote-Email, Remote-Groups
  reserved       admin (nobody)
service        photos: photos.example.net
  preset         immich, which advises native_oidc, because it signs people in with OpenID Connect itself, in its \
apps too; `portcullis presets show immich` has the settings at the app
  protect        login, then policy media
  sent           Remote-User, Remote-Name, Remote-Email, Remote-Groups
service        sonarr: sonarr.example.net
  preset         sonarr; `portcullis presets show sonarr` has the settings at the app
  bypass[0]      /feed/* from 10.20.0.0/16: anybody passes, without a login
  preset_bypass[api] /api/*: anybody passes, without a login
  protect        else login, then policy media
";

#[test]
fn the_check_names_the_presets_and_their_advice() {
    let checked = run(&["check"], SERVICES);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let warning =
        "warning: services.photos.posture: is \"protect\", as long as nothing else is written, ";
    assert!(checked.stderr.starts_with(warning), "{}", checked.stderr);
    assert_eq!(checked.stderr.lines().count(), 1, "{}", checked.stderr);
    assert!(checked.stdout.contains(CHECKED), "{}", checked.stdout);
}

/// What has the wrong type is said once, and nothing follows from its not being there.
#[test]
fn a_refused_key_is_not_said_to_be_missing() {
    let services = r#"
        [services.films]
        app = ["immich"]
        host = "films.example.net"
        preset_bypass = ["api"]
        [services.photos]
        app = "immich"
        host = "photos.example.net"
        posture = ["native_oidc"]
        [services.series]
        app = "sonarr"
        host = "series.example.net"
        policy = "media"
        preset_bypass = { api = true }
        service_worker = "perhaps"
    "#;
    let expected = "\
        error: services.films.app: must be a text\n\
        error: services.photos.posture: must be a text\n\
        error: services.series.preset_bypass: must be a list of texts\n\
        error: services.series.service_worker: must be true or false\n";
    let checked = run(&["check"], services);
    assert_eq!((checked.code, checked.stderr.as_str()), (1, expected));
}

fn explained(url: &str, further: &[&str]) -> Done {
    let arguments = [&["explain", "--url", url], further].concat();
    run(&arguments, SERVICES)
}

#[test]
fn the_explanation_names_the_preset() {
    let url = "https://sonarr.example.net/api/v3/series";
    let bypassed = explained(url, &[]);
    assert_eq!(bypassed.code, 0, "{}", bypassed.stdout);
    let service = "service  sonarr (preset sonarr)\n";
    assert!(bypassed.stdout.contains(service), "{}", bypassed.stdout);
    assert!(
        bypassed.stdout.contains("preset_bypass[api]"),
        "{}",
        bypassed.stdout
    );

    let reserved = ["--user", "admin", "--group", "media"];
    let refused = explained("https://grafana.example.net/", &reserved);
    assert_eq!(refused.code, 11, "{}", refused.stdout);
    let service = "service  grafana (preset grafana, which reserves \"admin\")\n";
    assert!(refused.stdout.contains(service), "{}", refused.stdout);
    assert!(
        refused.stdout.starts_with("DENY (reserved_user)\n"),
        "{}",
        refused.stdout
    );

    // A name that the operator gave to somebody is not the preset's to reserve.
    let listed = SERVICES.replace(
        "app = \"grafana\"",
        "app = \"grafana\"\nreserved_users = { Admin = [\"0a11ce00\"] }",
    );
    let arguments = ["explain", "--url", "https://grafana.example.net/"];
    let explained_to = run(&[&arguments[..], &reserved].concat(), &listed);
    let service = "service  grafana (preset grafana)\n";
    assert!(
        explained_to.stdout.contains(service),
        "{}",
        explained_to.stdout
    );

    let refused = explained(
        "https://grafana.example.net/",
        &[&reserved[..], &["--json"]].concat(),
    );
    let json: Value = serde_json::from_str(&refused.stdout).expect("JSON");
    assert_eq!(
        (&json["service"], &json["preset"]),
        (&"grafana".into(), &"grafana".into())
    );
}
