//! A real nginx with what `portcullis snippet nginx` prints.

use tokio::sync::OnceCell;

use crate::proxied::{self, Program, Proxied};
use crate::setup::FILMS;

async fn shared() -> &'static Proxied {
    static SHARED: OnceCell<Proxied> = OnceCell::const_new();
    SHARED.get_or_init(|| Proxied::start(Program::Nginx)).await
}

macro_rules! behind_nginx {
    ($($check:ident)*) => {
        $(
            #[tokio::test]
            async fn $check() {
                proxied::$check(shared().await).await;
            }
        )*
    };
}

behind_nginx! {
    a_stranger_signs_in_and_comes_back
    programs_are_told_to_sign_in
    a_non_member_is_refused
    a_bypass_names_nobody
    nothing_forged_or_ours_reaches_the_app
    forged_descriptions_change_nothing
    what_is_served_is_what_was_decided_about
    a_network_is_known_by_the_client_s_address
    cookies_in_several_lines_are_read
    odd_targets_let_nobody_in
    a_logout_at_the_host_ends_the_session
    our_own_paths_are_no_way_in
    verify_is_not_reachable
    a_handshake_reaches_the_app_for_a_member_alone
    bodies_and_long_addresses_arrive
}

#[tokio::test]
async fn without_us_nobody_gets_in() {
    proxied::without_us_nobody_gets_in(Program::Nginx).await;
}

/// A head that is larger than we take is a refusal, and not a status that nginx makes a 500 of.
#[tokio::test]
async fn no_answer_is_unexpected() {
    let stack = shared().await;
    let cookie = format!("Cookie: a={}\r\n", "x".repeat(15_000));
    let lines = format!(
        "Host: {FILMS}:{}\r\nConnection: close\r\n{}",
        stack.https_port,
        cookie.repeat(3)
    );
    let raw = stack.raw();
    let answer = raw
        .send_lines(stack.https_port, FILMS, "GET", b"/page", &lines)
        .await
        .unwrap();
    assert_eq!(answer.status, Some(403), "{}", answer.text);
    let log = stack.proxy.output();
    assert!(!log.contains("unexpected status"), "{log}");
}

#[tokio::test]
async fn a_policy_is_named_by_the_map() {
    let line = "*.rooms.localhost /policy/admins;";
    let changes = [(format!("    # {line}"), format!("    {line}"))];
    let changes = changes.each_ref().map(|(from, to)| (&**from, &**to));
    proxied::a_policy_is_named_by_the_proxy(Program::Nginx, &changes).await;
}
