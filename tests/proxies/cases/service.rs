//! The service itself: reached over a socket, and not reached at all.

use std::process::Command;

use super::Bound;
use crate::column::Reach;
use crate::kit::ask::Ask;
use crate::rules::{FILMS, PORTAL};
use crate::stack::{Stack, program};

/// While nobody answers, nobody gets in; then those who were signed in still are.
pub async fn stopped(stack: &Stack) {
    let mut gate = stack.gate.write().await;
    let ben = stack.as_user("ben", FILMS).await;
    gate.running.stop();
    for path in ["/", "/api/x", "/lan/x", "/.portcullis/logout"] {
        let url = stack.url(FILMS, &format!("{path}?stopped"));
        for browser in [&ben, &stack.browser()] {
            let page = browser.ask(Ask::fetch(&url)).await.unwrap();
            assert!(page.status >= 500, "{path}: {}", page.status);
            assert!(page.seen().is_none(), "{path}: {}", page.body);
        }
    }
    let page = ben.ask(Ask::fetch(&stack.url(PORTAL, "/"))).await.unwrap();
    assert!(page.status >= 500, "{}", page.status);
    *gate = stack.start_gate().await.unwrap();
    let page = ben.ask(Ask::fetch(&stack.url(FILMS, "/"))).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(stack.reached("?stopped").is_empty());
}

/// A column of sockets has no other way to the service. What is printed for a socket is what such a column runs with;
/// for Traefik nothing is.
pub async fn at_a_socket(stack: &Stack, bound: Option<&Bound>) {
    let text = std::fs::read_to_string(stack.folder.join("portcullis.toml")).unwrap();
    if stack.column.reach == Reach::Socket {
        for name in ["verify.sock", "portal.sock"] {
            let printed = format!("unix:{}/{name}", stack.folder.display());
            assert!(text.contains(&printed), "{text}");
        }
        let ben = stack.as_user("ben", FILMS).await;
        let page = ben.ask(Ask::fetch(&stack.url(FILMS, "/"))).await.unwrap();
        assert_eq!(Stack::seen(&page).all("remote-user"), ["ben"]);
        return;
    }
    let moved = text.lines().map(|line| match line.split_once(" = ") {
        Some(("listen", _)) => "listen = \"unix:/run/portcullis/verify.sock\"",
        _ => line,
    });
    let file = stack.folder.join("moved.toml");
    std::fs::write(&file, moved.collect::<Vec<_>>().join("\n")).unwrap();
    let printed = Command::new(program())
        .args(["snippet", stack.program.snippet(), "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&printed.stderr);
    let text = String::from_utf8_lossy(&printed.stdout);
    if bound.is_some_and(|bound| !bound.applies) {
        assert!(!printed.status.success(), "{text}");
        assert!(said.contains("Traefik cannot reach a socket"), "{said}");
    } else {
        assert!(printed.status.success(), "{said}");
        assert!(text.contains("/run/portcullis/verify.sock"), "{text}");
    }
}
