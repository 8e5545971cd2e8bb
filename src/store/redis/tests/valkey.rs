//! The contract on Valkey, in each form, where `make tools` has installed one.

use super::redis_server::{Plan, valkey};
use super::*;

fn kind() -> Option<Kind> {
    let program = valkey();
    let required = std::env::var("PORTCULLIS_TOOLS").is_ok_and(|tools| tools == "required");
    assert!(
        program.is_some() || !required,
        "`make tools` installs valkey-server"
    );
    Some(Kind {
        program: program?,
        ..Kind::default()
    })
}

#[tokio::test]
async fn one_server() {
    let Some(kind) = kind() else { return };
    let server = RedisServer::start_as(&Plan {
        program: kind.program,
        ..Plan::plain()
    });
    assert!(server.ask(&["INFO", "server"]).contains("valkey_version"));
    contract::holds(&open(settings(server.port)), &server).await;
}

#[tokio::test]
async fn with_sentinels() {
    let Some(kind) = kind() else { return };
    let watched = Watched::start_as(&kind);
    let store = open(sentinels::settings_of(&watched));
    contract::holds(&store, &watched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_a_cluster() {
    let Some(kind) = kind() else { return };
    let cluster = Cluster::start_as(&kind, 3, false);
    let store = open(clusters::settings_of(&cluster));
    contract::holds(&store, &cluster).await;
    clusters::a_slot_moves(&cluster, &store).await;
}
