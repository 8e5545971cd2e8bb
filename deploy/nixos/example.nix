# A household: the six patterns, one app each, and four policies. Secrets are named by the files that sops-nix
# (or agenix) puts them into.
{ config, lib, ... }:

let
  domain = config.networking.domain;
  secret = name: config.sops.secrets.${name}.path;
in
{
  imports = [ ./module.nix ];

  services.portcullis = {
    enable = true;
    # package = inputs.portcullis.packages.${pkgs.system}.default, say: whatever has bin/portcullis.
    publicUrl = "https://auth.${domain}";
    issuer = "https://id.${domain}";
    clientIdFile = secret "portcullis/oidc_client_id";
    clientSecretFile = secret "portcullis/oidc_client_secret";

    policies = {
      admins.allowedGroups = [ "admins" ];
      users.allowedGroups = [ "admins" "users" ];
      media.allowedGroups = [ "admins" "users" "media" ];
      home.allowedGroups = [ "admins" "users" "home" ];
    };

    services = {
      # 1. Signs people in by itself, with OpenID Connect.
      mealie = {
        host = "mealie.${domain}";
        posture = "native_oidc";
      };

      # 2. Believes Remote-User.
      grafana = {
        host = "grafana.${domain}";
        posture = "trusted_header";
        policy = "admins";
      };

      # 3. Has its own login turned off. Programs of the own network reach its API with its own key.
      sonarr = {
        host = "sonarr.${domain}";
        posture = "protect";
        policy = "media";
        bypass = [
          {
            paths = [ "/api/*" "/feed/*" ];
            allowedNetworks = [ "10.20.0.0/16" ];
          }
        ];
      };

      # 4. Insists on a login, but takes an API key.
      paperless-ai = {
        host = "paperless-ai.${domain}";
        posture = "hybrid";
        policy = "home";
        upstreamHeaders = [
          {
            name = "x-api-key";
            valueFile = secret "paperless-ai/api_key";
          }
        ];
        rules = [
          {
            paths = [ "/admin/*" ];
            policy = "admins";
          }
        ];
      };

      # 5. Has users of its own, and no other way.
      plex = {
        host = "plex.${domain}";
        posture = "passthrough";
      };

      # 6. For machines of the own network. Each service can be guarded by what it protects.
      hooks = lib.mkIf (config.services.webhook.enable or false) {
        host = "hooks.${domain}";
        posture = "internal";
        allowedNetworks = [ "10.20.0.0/16" ];
      };
    };

    settings.session.lifetime = "30d";
  };
}
