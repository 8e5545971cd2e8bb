//! Listeners that are sockets in the file system: who may open them, and that whoever does counts as the proxy.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use portcullis::config::RawConfig;
use reqwest::Method;

use crate::support::app::{answer, owned, spawn_app_with};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";

#[actix_web::test]
async fn a_login_over_sockets() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| Some(format!("unix:{}", folder.path().join(name).display()));
    let app = spawn_app_with(|raw: &mut RawConfig| {
        raw.server.listen = at("verify.sock");
        raw.server.portal_listen = at("portal.sock");
        raw.server.admin_listen = at("admin.sock");
        // Whoever may open the socket is the proxy, whatever stands here.
        raw.server.trusted_proxies = Some(owned(&["10.0.0.0/8"]));
        raw.server.socket_mode = Some("0600".into());
        let notes = raw.services.get_mut("notes").expect("notes");
        notes.policy = None;
        notes.posture = Some("internal".into());
        notes.allowed_networks = Some(owned(&["192.0.2.0/24"]));
    })
    .await;
    for name in ["verify.sock", "portal.sock", "admin.sock"] {
        let metadata = std::fs::metadata(folder.path().join(name)).expect("a socket");
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{name}");
    }
    let mut browser = Browser::new(&app);
    assert_eq!(browser.navigate(FILMS).await.end.status, 200);
    assert_eq!(app.health("ready").await.status, 200);

    // The walk goes past our proxies, as ever.
    for (clients, expected) in [
        ("192.0.2.7", 200),
        ("192.0.2.7, 10.0.0.1", 200),
        ("192.0.2.7, 203.0.113.7", 403),
        ("192.0.2.7, 203.0.113.7, 10.0.0.1", 403),
    ] {
        let ask = app.ask(NOTES).header("x-forwarded-for", clients);
        assert_eq!(ask.send().await.status.as_u16(), expected, "{clients}");
    }
    let nobody = app.ask(NOTES).without("x-forwarded-for").send().await;
    assert_eq!(nobody.status, 400);
    // Logins are counted by the client's address, not for the socket as a whole.
    let login = |from: &str| {
        let login = app.portal_from(from, Method::GET, "/login");
        async { answer(login).await.status.as_u16() }
    };
    let mut last = 0;
    for _ in 0..61 {
        last = login("203.0.113.9").await;
    }
    assert_eq!(last, 429);
    assert_eq!(login("203.0.113.10").await, 302);
}

/// Only root may give a file to any group; everybody else to their own.
#[actix_web::test]
async fn a_socket_is_given_to_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = std::fs::metadata(folder.path()).expect("the folder").gid();
    let root = rustix::process::geteuid().is_root();
    let group = if root { 4711 } else { own };
    let path = folder.path().join("verify.sock");
    let _app = spawn_app_with(|raw: &mut RawConfig| {
        raw.server.listen = Some(format!("unix:{}", path.display()));
        raw.server.socket_group = Some(group.to_string());
    })
    .await;
    let metadata = std::fs::metadata(&path).expect("a socket");
    assert_eq!(metadata.gid(), group);
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
}

/// Whoever is in the group is the proxy, and nobody else can so much as connect.
#[actix_web::test]
async fn a_socket_is_opened_by_its_group_alone() {
    const GROUP: u32 = 4711;
    if !rustix::process::geteuid().is_root() {
        let word = "not root: a socket is not tried as somebody else";
        let _ = writeln!(std::io::stderr(), "{word}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // The socket alone is to keep people out.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("its rights");
    let path = |name: &str| folder.path().join(name);
    let at = |name: &str| Some(format!("unix:{}", path(name).display()));
    let _app = spawn_app_with(|raw: &mut RawConfig| {
        raw.server.listen = at("verify.sock");
        raw.server.portal_listen = at("portal.sock");
        raw.server.socket_group = Some(GROUP.to_string());
    })
    .await;
    for name in ["verify.sock", "portal.sock"] {
        let connects = |user: u32, group: u32| {
            let program = "import errno, socket, sys\n\
                           try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n\
                           except OSError as e: sys.exit(errno.errorcode[e.errno])\n";
            let mut command = Command::new("python3");
            command.args(["-c", program]).arg(path(name));
            let done = command.uid(user).gid(group).output().expect("python3");
            (
                done.status.success(),
                String::from_utf8_lossy(&done.stderr).trim().to_owned(),
            )
        };
        let refused = (false, "EACCES".to_owned());
        let connected = (true, String::new());
        assert_eq!(connects(4712, GROUP), connected, "{name}: in the group");
        assert_eq!(connects(4712, 4712), refused, "{name}: in another");
        assert_eq!(
            connects(GROUP, 4712),
            refused,
            "{name}: a user of its number"
        );
    }
}

/// A socket is made under a longer name than its own, so the system's limit comes nine bytes early. What is longer is
/// refused as the configuration is read.
#[actix_web::test]
async fn the_longest_path_of_the_configuration_can_be_listened_on() {
    const LONGEST: usize = 98;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| {
        let begun = format!("{}/{name}", folder.path().display());
        begun.clone() + &"s".repeat(LONGEST - begun.len())
    };
    let at = |name: &str| Some(format!("unix:{}", path(name)));
    let _app = spawn_app_with(|raw: &mut RawConfig| {
        raw.server.listen = at("verify");
        raw.server.portal_listen = at("portal");
        raw.server.admin_listen = at("admin");
    })
    .await;
    for name in ["verify", "portal", "admin"] {
        let connected = UnixStream::connect(path(name));
        assert!(connected.is_ok(), "{name}: {connected:?}");
    }
}
