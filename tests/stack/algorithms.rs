//! A second opinion on what ID tokens are signed with, by a certified provider: each algorithm, and keys that are replaced
//! while everything runs.

use futures_util::future::join_all;

use crate::setup::{FILMS, Stack};

/// What the provider signs with first, and after its key was replaced.
const ROTATIONS: [[&str; 2]; 3] = [["RS256", "ES512"], ["PS256", "ES256"], ["EdDSA", "RS256"]];

#[tokio::test]
async fn each_algorithm_signs_people_in_and_a_new_key_costs_one_fetch() {
    join_all(ROTATIONS.map(|[first, then]| async move {
        let stack = Stack::start_signing(first, "info").await.unwrap();
        stack.signed_in("ada", FILMS).await;
        let before = stack.provider.keys_fetched().await.unwrap();

        stack.provider.rotate_to(then).await.unwrap();
        for user in ["ada", "ben"] {
            stack.signed_in(user, FILMS).await;
        }
        let after = stack.provider.keys_fetched().await.unwrap();
        assert_eq!(after, before + 1, "{first}, then {then}");
        let signed = stack.provider.issued();
        let used: Vec<_> = signed.iter().map(algorithm).collect();
        assert_eq!(used, [first, then, then]);
    }))
    .await;
}

/// The `alg` of an ID token's header.
fn algorithm(answer: &serde_json::Value) -> String {
    use base64::Engine;
    let token = answer["id_token"].as_str().unwrap();
    let header = token.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(header)
        .unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["alg"].as_str().unwrap().to_owned()
}
