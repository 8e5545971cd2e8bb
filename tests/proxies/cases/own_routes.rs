//! What the proxy has beside the app: routes of its own, the names of policies, and a list of headers that has grown
//! stale.

use super::Bound;
use crate::column::Program;
use crate::configured::{FILE, FILED, PUBLIC, SAID, SAYS, STRIPPED};
use crate::kit::ask::Ask;
use crate::rules::{FILMS, LATE, MIXED, OTHER_ROOM, ROOM, STALE};
use crate::stack::Stack;

/// What an operator writes beside what is printed is neither opened by it nor broken.
pub async fn beside_ours(stack: &Stack, bound: Option<&Bound>) {
    let said = format!("{SAYS}x");
    let protected: &[(&str, &str)] = match stack.program {
        Program::Caddy | Program::DebianCaddy => &[(&said, SAID), (FILE, FILED), ("/ping", SAID)],
        Program::Nginx => &[(FILE, FILED)],
        Program::Envoy => &[(&said, SAID)],
        Program::Traefik => &[],
    };
    let (stranger, ben) = (stack.browser(), stack.as_user("ben", MIXED).await);
    let eve = stack.as_user("eve", MIXED).await;
    let stripped = format!("{STRIPPED}/a%20b/?own-route");
    let stripped = [(stripped.as_str(), "\"/a%20b/?own-route\"")];
    for (path, text) in protected.iter().chain(&stripped) {
        let url = stack.url(MIXED, path);
        let page = stranger.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 401, "{path}: {}", page.body);
        assert!(!page.body.contains(text), "{path}: {}", page.body);
        let page = stranger.ask(Ask::navigation(&url)).await.unwrap();
        assert_eq!(page.status, 302, "{path}: {}", page.body);
        let page = eve.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 403, "{path}: {}", page.body);
        let page = ben.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(page.body.contains(text), "{path}: {}", page.body);
    }
    let forged = Ask::fetch(&stack.url(MIXED, stripped[0].0))
        .header("Remote-User", "root")
        .header("Remote_User", "root");
    let seen = Stack::seen(&ben.ask(forged).await.unwrap());
    super::lies::nothing_made_up(&seen, STRIPPED);
    assert_eq!(seen.all("remote-user"), ["ben"]);
    assert_eq!(seen.all("cookie").concat(), "");

    // What is open by the proxy's own word stays so.
    let open = match stack.program {
        Program::Caddy | Program::DebianCaddy => {
            assert!(bound.is_none(), "all of it is protected");
            return;
        }
        Program::Nginx => said,
        Program::Envoy | Program::Traefik => format!("{PUBLIC}x"),
    };
    assert!(bound.is_some(), "not all of it is protected");
    let url = stack.url(MIXED, &open);
    let page = stranger.ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(page.status, 200, "{open}: {}", page.body);
}

/// Below a wildcard the proxy names a policy for one host, and none for another.
pub async fn a_policy_of_the_proxy(stack: &Stack, bound: Option<&Bound>) {
    let named = if bound.is_some() { 403 } else { 200 };
    for (user, host, status) in [
        ("ada", ROOM, named),
        ("ben", ROOM, 403),
        ("ada", OTHER_ROOM, 403),
        ("ben", OTHER_ROOM, 403),
    ] {
        let browser = stack.browser();
        let url = stack.url(host, "/");
        let page = stack.sign_in(&browser, &url, user).await;
        let found = (page.status, page.host());
        assert_eq!(found, (status, host), "{user}: {}", page.way());
        if status == 200 {
            assert_eq!(Stack::seen(&page).all("remote-user"), [user]);
        }
    }
    let url = stack.url(ROOM, "/");
    let page = stack.browser().ask(Ask::fetch(&url)).await.unwrap();
    assert!(matches!(page.status, 401 | 403), "{}", page.status);
}

/// The configuration says [`LATE`] since the proxy's was printed. Whoever believes that header is closed; others are
/// not.
pub async fn a_stale_list(stack: &Stack, bound: Option<&Bound>) {
    let ben = stack.signed_in("ben", FILMS).await;
    let url = stack.url(STALE, "/stale");
    let page = ben.navigate(&url).await.unwrap();
    let found = (page.status, page.host());
    assert_eq!(found, (503, STALE), "{}\n{}", page.way(), page.body);
    for ask in [
        Ask::fetch(&url),
        Ask::fetch(&url).header(LATE, "root"),
        Ask::fetch(&url).header("Portcullis-Copy", LATE),
        // Nor does it help to have the proxy leave its word out.
        Ask::fetch(&url).header("Connection", "Portcullis-Copy"),
        Ask::fetch(&url)
            .header("Connection", "close, portcullis-copy")
            .header("Portcullis-Copy", LATE)
            .header(LATE, "root"),
    ] {
        let page = ben.ask(ask).await.unwrap();
        assert_eq!(page.status, 503, "{}", page.body);
        let named = match stack.program {
            Program::Nginx => "not_copied",
            // Its own answer, which says nothing.
            Program::Envoy => "",
            _ => LATE,
        };
        assert!(page.body.contains(named), "{}", page.body);
        assert_eq!(page.body.contains(LATE), bound.is_none(), "{}", page.body);
    }
    assert!(stack.reached("/stale").is_empty(), "nobody is impersonated");
    let warned = |line: &str| {
        ["WARN", "stale", LATE]
            .iter()
            .all(|word| line.contains(word))
    };
    stack.wait_for_log(warned).await;
}
