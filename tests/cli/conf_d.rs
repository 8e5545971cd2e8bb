//! `conf.d/*.toml`: services and policies in files of their own.

use super::check::GOOD;
use super::support::{Folder, Run};

const PLEX: &str = r#"
    [services.plex]
    host = "plex.example.net"
    posture = "passthrough"
"#;

#[test]
fn files_in_conf_d_count_as_if_they_stood_in_the_configuration() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", GOOD);
    folder.write("conf.d/10-plex.toml", PLEX);
    folder.write(
        "conf.d/20-policies.toml",
        "policies.family = { allowed_groups = [\"family\"] }",
    );
    folder.write("conf.d/notes.txt", "this is not one of them");
    folder.write("conf.d/.#10-plex.toml", "nor is this");
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    assert_eq!(
        (checked.code, checked.stderr.as_str()),
        (0, ""),
        "{}",
        checked.stdout
    );
    assert!(
        checked.stdout.contains("plex: plex.example.net"),
        "{}",
        checked.stdout
    );
}

#[test]
fn what_is_wrong_in_conf_d_is_said_with_the_files_name() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", GOOD);
    let one = folder.write("conf.d/1.toml", PLEX);
    let two = folder.write("conf.d/2.toml", PLEX);
    let three = folder.write(
        "conf.d/3.toml",
        "[server]\nlisten = \"127.0.0.1:1\"\n[services.films]\n",
    );
    let four = folder.write("conf.d/4.toml", "services = 5");
    let last = folder.write("conf.d/5.toml", "[services.x\n");
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    let [file, one, two, three, four, last] =
        [file, one, two, three, four, last].map(|path| path.display().to_string());
    let expected = [
        format!("error: services.plex: is defined twice: in {one} and in {two}\n"),
        format!(
            "error: {three}: only [services] and [policies] may stand here, and this is [server]\n"
        ),
        format!("error: services.films: is defined twice: in {file} and in {three}\n"),
        format!(
            "error: {four}: services must be a table of tables, each under a name of its own\n"
        ),
        format!("error: {last}: line 1, column "),
    ];
    assert_eq!(checked.code, 1);
    for line in expected {
        assert!(checked.stderr.contains(&line), "{line}: {}", checked.stderr);
    }
}

#[test]
fn a_broken_configuration_does_not_hide_a_broken_conf_d() {
    let folder = Folder::new();
    let file = folder.write("portcullis.toml", "[server\n");
    let other = folder.write("conf.d/1.toml", "[services.x\n");
    let checked = Run::new(["check", "--config"]).arg(&file).done();
    let lines: Vec<&str> = checked.stderr.lines().collect();
    for (line, file) in lines.iter().zip([&file, &other]) {
        let expected = format!("error: {}: line 1, column ", file.display());
        assert!(line.starts_with(&expected), "{}", checked.stderr);
    }
    assert_eq!((lines.len(), checked.code), (2, 1), "{}", checked.stderr);
}

/// A configuration may be a link into a store of packages or secrets: `conf.d` is where the operator put the link.
#[test]
fn conf_d_stands_beside_the_link_and_not_beside_its_target() {
    let (folder, store) = (Folder::new(), Folder::new());
    let target = store.write("portcullis.toml", GOOD);
    store.write("conf.d/1.toml", "[services.wrong]\n");
    folder.write("conf.d/1.toml", PLEX);
    let link = folder.path().join("portcullis.toml");
    std::os::unix::fs::symlink(target, &link).expect("a link");
    let checked = Run::new(["check", "--config"]).arg(&link).done();
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""));
    assert!(
        checked.stdout.contains("plex: plex.example.net"),
        "{}",
        checked.stdout
    );
}
