# What NixOS makes of deploy/nixos/example.nix with `extra` beside it: the failed assertions, the configuration,
# and the unit.
{
  extra ? { },
}:
let
  lib = import ./lib.nix;
  pkgs.formats.json = _: {
    type = lib.types.anything;
    # What it holds in place of a path.
    generate = name: value: { outPath = builtins.toJSON value; };
  };
  module = import ../../../deploy/nixos/module.nix { inherit config lib pkgs; };
  example = import ../../../deploy/nixos/example.nix { inherit config lib; };
  defined = lib.recursiveUpdate example.services.portcullis (
    { package.outPath = "/nix/store/portcullis"; } // extra
  );
  secret = name: lib.nameValuePair name { path = "/run/secrets/${name}"; };
  config = {
    networking.domain = "example.net";
    sops.secrets = builtins.listToAttrs (
      map secret [
        "portcullis/oidc_client_id"
        "portcullis/oidc_client_secret"
        "paperless-ai/api_key"
      ]
    );
    services.webhook.enable = true;
    services.portcullis =
      lib.evaluate "services.portcullis" module.options.services.portcullis
        defined;
  };
  made = module.config;
  unit = made.content.systemd.services.portcullis;
  start = builtins.match "(.*) --config (.*)" unit.serviceConfig.ExecStart;
in
assert example.imports == [ ../../../deploy/nixos/module.nix ];
{
  enabled = made.condition;
  failed = map (assertion: assertion.message) (
    builtins.filter (assertion: !assertion.assertion) made.content.assertions
  );
  command = builtins.elemAt start 0;
  configuration = builtins.fromJSON (builtins.elemAt start 1);
  serviceConfig = removeAttrs unit.serviceConfig [ "ExecStart" ];
}
