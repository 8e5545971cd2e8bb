//! A socket for a group that the service's user is not in.

use std::process::Command;

use super::support::Folder;

/// Root may give a file to any group as long as nobody takes that right away.
#[test]
fn a_group_that_the_user_is_not_in_is_named() {
    let folder = Folder::new();
    let socket = folder.path().join("verify.sock");
    let text = format!(
        "[server]
listen = \"unix:{}\"
portal_listen = \"127.0.0.1:0\"
admin_listen = \"127.0.0.1:0\"
public_url = \"https://auth.example.net\"
socket_group = \"4711\"
[oidc]
issuer = \"https://id.example.net\"
client_id = \"portcullis\"
[session]
store = \"memory:\"
",
        socket.display()
    );
    let file = folder.write("portcullis.toml", &text);
    let ended = Command::new("setpriv")
        .args(["--bounding-set=-chown", "--inh-caps=-chown", "--"])
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--config"])
        .arg(&file)
        .output()
        .expect("setpriv, of util-linux");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("is not in the group 4711"), "{said}");
    assert!(said.contains("server.socket_group"), "{said}");
    let left: Vec<_> = folder
        .path()
        .read_dir()
        .expect("the folder")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "the configuration alone: {left:?}");
}
