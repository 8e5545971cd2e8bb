//! Which URL is answered where.

use actix_web::web::{ServiceConfig, get, head, post, resource};

use crate::http::dialect::caddy_traefik;
use crate::http::{admin, login, logout, portal};

/// `server.listen`: for the proxy alone. Any method, because proxies differ in what they send.
pub fn verify(config: &mut ServiceConfig) {
    config
        .service(resource("/verify").to(caddy_traefik::check))
        .service(resource("/verify/policy/{name}").to(caddy_traefik::check_policy));
}

/// `server.portal_listen`: what browsers see.
pub fn portal(config: &mut ServiceConfig) {
    let page = |path: &str| resource(path.to_owned());
    config
        .service(
            page("/")
                .route(get().to(portal::front))
                .route(head().to(portal::front)),
        )
        .service(
            page("/login")
                .route(get().to(login::begin))
                .route(head().to(login::begin)),
        )
        .service(page("/callback").route(get().to(login::complete)))
        .service(
            page("/logout")
                .route(get().to(logout::ask))
                .route(head().to(logout::ask))
                .route(post().to(logout::act)),
        )
        .service(
            page("/signed-out")
                .route(get().to(logout::done))
                .route(head().to(logout::done)),
        )
        .service(page("/whoami").route(get().to(portal::whoami)))
        .default_service(actix_web::web::to(portal::not_found));
}

/// `server.admin_listen`: health.
pub fn admin(config: &mut ServiceConfig) {
    config
        .service(resource("/health/live").route(get().to(admin::live)))
        .service(resource("/health/ready").route(get().to(admin::ready)));
}
