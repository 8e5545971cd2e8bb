//! A real Envoy with what `portcullis snippet envoy` prints.

use tokio::sync::OnceCell;

use crate::proxied::{self, Program, Proxied};

async fn shared() -> &'static Proxied {
    static SHARED: OnceCell<Proxied> = OnceCell::const_new();
    SHARED.get_or_init(|| Proxied::start(Program::Envoy)).await
}

macro_rules! behind_envoy {
    ($($check:ident)*) => {
        $(
            #[tokio::test]
            async fn $check() {
                proxied::$check(shared().await).await;
            }
        )*
    };
}

behind_envoy! {
    a_stranger_signs_in_and_comes_back
    programs_are_told_to_sign_in
    a_non_member_is_refused
    a_bypass_names_nobody
    nothing_forged_or_ours_reaches_the_app
    forged_descriptions_change_nothing
    what_is_served_is_what_was_decided_about
    a_network_is_known_by_the_client_s_address
    cookies_joined_by_commas_are_nobodys_and_kept_from_the_app
    odd_targets_let_nobody_in
    a_logout_at_the_host_ends_the_session
    our_own_paths_are_no_way_in
    verify_is_not_reachable
    a_handshake_reaches_the_app_for_a_member_alone
    bodies_and_long_addresses_arrive
}

#[tokio::test]
async fn without_us_nobody_gets_in() {
    proxied::without_us_nobody_gets_in(Program::Envoy).await;
}

#[tokio::test]
async fn nobody_gets_in_where_a_policy_would_have_to_be_named() {
    proxied::a_policy_is_named_by_the_proxy(Program::Envoy, &[]).await;
}
