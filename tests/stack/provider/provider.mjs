// An OpenID Provider that behaves as Pocket ID does, on top of the certified `oidc-provider`.
//
// What it has in common with Pocket ID: its paths; `openid profile email groups`, all claims in
// the ID token too; PKCE for everybody; a refresh token with every login, rotated without grace,
// its reuse ends the whole family; the `iss` response parameter; no consent page; a logout that
// does not ask when it gets an ID token of the person who is signed in; no revocation endpoint.
//
// Settings come from the environment:
//   PROVIDER_PORT                       where to listen; a proxy with https is before it
//   PROVIDER_ADDRESS                    on which address (127.0.0.1)
//   PROVIDER_ISSUER                     the URL under which browsers and clients see it
//   PROVIDER_CLIENT_ID                  the one client
//   PROVIDER_CLIENT_SECRET_FILE         its secret, on one line
//   PROVIDER_REDIRECT_URIS              separated by blanks
//   PROVIDER_POST_LOGOUT_REDIRECT_URIS  separated by blanks
//   PROVIDER_ACCESS_TTL                 seconds that an access token lives (3600)
//   PROVIDER_ALGORITHM                  what ID tokens are signed with (RS256)
//   PROVIDER_CONTROL_PORT               when set, a port of 127.0.0.1 for the tests: POST /rotate/ES512 replaces the
//                                       key, and perhaps its algorithm, as Pocket ID does it: without overlap;
//                                       GET /keys-fetched tells how often the keys were asked for;
//                                       POST /users/ada/groups/media,home and /users/ada/disable change people
//   PROVIDER_BACKCHANNEL_LOGOUT_CA      when set, the client is told at /backchannel-logout of logouts here, which Pocket
//                                       ID does not do; its host is at 127.0.0.1, and its certificate from this file
//   PROVIDER_KEYS_FILE                  a JSON Web Key Set to begin with; the first key signs, all are
//                                       published. Made with one new key when it is not there
//   PROVIDER_ISSUED_FILE                when set, every token answer is appended here, one JSON a
//                                       line: so that a test can look for the tokens in our logs

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { request as requestTls } from 'node:https';
import { text } from 'node:stream/consumers';

import { Provider } from 'oidc-provider';

import { errorPage, loginPage } from './pages.mjs';
import { bySubject, users } from './users.mjs';

const setting = (name) => {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set`);
    process.exit(1);
  }
  return value;
};
const list = (name) => setting(name).split(/\s+/).filter(Boolean);

const port = Number(setting('PROVIDER_PORT'));
const address = process.env.PROVIDER_ADDRESS ?? '127.0.0.1';
const issuer = setting('PROVIDER_ISSUER');
const clientId = setting('PROVIDER_CLIENT_ID');
const accessTtl = Number(process.env.PROVIDER_ACCESS_TTL ?? 3600);
const day = 24 * 60 * 60;
const backchannelCa = process.env.PROVIDER_BACKCHANNEL_LOGOUT_CA;
const backchannel = backchannelCa && {
  backchannel_logout_uri: list('PROVIDER_REDIRECT_URIS')[0].replace(/\/callback$/, '/backchannel-logout'),
  backchannel_logout_session_required: true,
};

// The key types of the algorithms, as Node makes them.
const keyTypes = {
  RS: () => ['rsa', { modulusLength: 2048 }],
  PS: () => ['rsa', { modulusLength: 2048 }],
  ES: (bits) => ['ec', { namedCurve: { 256: 'P-256', 384: 'P-384', 512: 'P-521' }[bits] }],
  Ed: () => ['ed25519'],
};
const signingKey = (alg) => {
  const { privateKey } = generateKeyPairSync(...keyTypes[alg.slice(0, 2)](alg.slice(2)));
  const kid = randomBytes(8).toString('hex');
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid };
};
const newKeys = (alg) => ({ keys: [signingKey(alg)] });
const keysOf = (file, alg) => {
  if (!file) return newKeys(alg);
  if (!existsSync(file)) writeFileSync(file, JSON.stringify(newKeys(alg)));
  return JSON.parse(readFileSync(file, 'utf8'));
};
/** Asks a client whose host no name server knows. */
const fetchHere = (url, { method, headers, body, signal }) => new Promise((resolve, reject) => {
  const settings = {
    method,
    headers: Object.fromEntries(headers),
    signal,
    ca: readFileSync(backchannelCa),
    lookup: (host, { all }, found) => (all
      ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4)),
  };
  const asked = requestTls(url, settings, (answer) => {
    answer.resume();
    resolve(new Response(null, { status: answer.statusCode }));
  });
  asked.on('error', reject);
  asked.end(String(body ?? ''));
});
const cookieKeys = [randomBytes(32).toString('hex')];
let keysFetched = 0;

/** The provider, with `jwks` for `algorithm`. What it knows of people and their logins is kept beside it. */
const providerWith = (algorithm, jwks) => {
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: readFileSync(setting('PROVIDER_CLIENT_SECRET_FILE'), 'utf8').trim(),
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        redirect_uris: list('PROVIDER_REDIRECT_URIS'),
        post_logout_redirect_uris: list('PROVIDER_POST_LOGOUT_REDIRECT_URIS'),
        id_token_signed_response_alg: algorithm,
        require_auth_time: true,
        ...backchannel,
      },
    ],
    jwks,
    enabledJWA: { idTokenSigningAlgValues: [algorithm] },
    cookies: { keys: cookieKeys },

    routes: {
      authorization: '/authorize',
      token: '/api/oidc/token',
      userinfo: '/api/oidc/userinfo',
      end_session: '/api/oidc/end-session',
      jwks: '/.well-known/jwks.json',
    },
    responseTypes: ['code'],
    scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
    claims: {
      openid: ['sub', 'auth_time', 'amr'],
      profile: ['given_name', 'family_name', 'name', 'preferred_username', 'picture'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    pkce: { required: () => true },

    ttl: {
      AccessToken: accessTtl,
      AuthorizationCode: 60,
      IdToken: 3600,
      RefreshToken: 30 * day,
      Grant: 30 * day,
      Interaction: 3600,
      Session: 3600,
    },
    issueRefreshToken: () => true,
    rotateRefreshToken: true,

    ...(backchannelCa && { fetch: fetchHere }),
    features: {
      backchannelLogout: { enabled: Boolean(backchannelCa) },
      devInteractions: { enabled: false },
      revocation: { enabled: false },
      rpInitiatedLogout: { enabled: true },
      userinfo: { enabled: true },
    },

    findAccount: (ctx, sub) => {
      const user = bySubject(sub);
      if (!user || user.disabled) return undefined;
      return {
        accountId: sub,
        claims: () => ({ ...user, picture: `${issuer}/picture/${sub}` }),
      };
    },
    // Whoever is signed in has agreed: Pocket ID lets an administrator say so for a client.
    loadExistingGrant: async (ctx) => {
      const { session, client } = ctx.oidc;
      const known = session.grantIdFor(client.clientId);
      const grant = (known && await provider.Grant.find(known))
        ?? new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile email groups offline_access');
      await grant.save();
      return grant;
    },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    renderError: (ctx, out) => {
      ctx.type = 'html';
      ctx.body = errorPage(out.error, out.error_description);
    },
  });

  provider.use(async (ctx, next) => {
    if (ctx.path === '/.well-known/jwks.json') keysFetched += 1;
    return next();
  });

  // The proxy before us says which scheme and host the browser used.
  provider.proxy = true;

  /** Ends everything that hangs on the login which `session` holds for `client`. */
  const endLogin = async (session, client) => {
    const grantId = session.grantIdFor(client.clientId);
    if (grantId) {
      const models = [provider.AccessToken, provider.RefreshToken, provider.AuthorizationCode];
      await Promise.all(models.map((model) => model.revokeByGrantId(grantId)));
    }
    await session.destroy();
  };

  // Instead of the question "do you want to sign out?": Pocket ID asks only without a fitting hint.
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route !== 'end_session' || ctx.status !== 200) return;
    const { session, client, params, entities } = ctx.oidc;
    const hint = entities.IdTokenHint?.payload;
    if (!hint || !params.post_logout_redirect_uri) return;
    if (session.accountId && session.accountId !== hint.sub) return;
    if (session.accountId) await endLogin(session, client);
    const back = new URL(params.post_logout_redirect_uri);
    if (params.state !== undefined) back.searchParams.set('state', params.state);
    ctx.body = null;
    ctx.redirect(back.href);
  });

  provider.use(async (ctx, next) => {
    const uid = /^\/interaction\/([\w-]+)$/.exec(ctx.path)?.[1];
    if (!uid) return next();
    ctx.set('Cache-Control', 'no-store');
    try {
      await provider.interactionDetails(ctx.req, ctx.res);
    } catch (error) {
      ctx.status = 400;
      ctx.type = 'html';
      ctx.body = errorPage(error.error ?? 'invalid_request', 'This sign-in has expired. Please start again.');
      return undefined;
    }
    if (ctx.method !== 'POST') {
      ctx.type = 'html';
      ctx.body = loginPage(uid, users.values());
      return undefined;
    }
    const form = new URLSearchParams(await text(ctx.req));
    const user = users.get(form.get('user'));
    if (!user) {
      ctx.status = 400;
      ctx.type = 'html';
      ctx.body = errorPage('unknown_user', 'There is no such user here.');
      return undefined;
    }
    const login = { accountId: user.sub, amr: [form.get('method') === 'otp' ? 'otp' : 'phr'] };
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { login }));
    ctx.status = 303;
    return undefined;
  });

  const issuedFile = process.env.PROVIDER_ISSUED_FILE;
  if (issuedFile) {
    provider.on('grant.success', (ctx) => appendFileSync(issuedFile, `${JSON.stringify(ctx.body)}\n`));
  }
  provider.on('backchannel.error', (ctx, error) => console.error(`backchannel.error: ${error.message}`));
  provider.on('server_error', (ctx, error) => console.error(error));
  for (const refused of ['authorization.error', 'grant.error', 'userinfo.error', 'end_session.error']) {
    provider.on(refused, (ctx, error) => console.error(`${refused}: ${error.message}: ${error.error_detail ?? error.error_description}`));
  }

  return provider.callback();
};

const first = process.env.PROVIDER_ALGORITHM ?? 'RS256';
let answer = providerWith(first, keysOf(process.env.PROVIDER_KEYS_FILE, first));
const server = createServer((request, response) => answer(request, response));
server.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
server.listen(port, address, () => console.log(`${issuer} on ${address}:${port}`));

const controlPort = process.env.PROVIDER_CONTROL_PORT;
if (controlPort) {
  createServer((request, response) => {
    const algorithm = /^\/rotate\/(\w+)$/.exec(request.url)?.[1];
    if (request.method === 'POST' && algorithm) answer = providerWith(algorithm, newKeys(algorithm));
    const [, name, change, groups] = /^\/users\/(\w+)\/(groups|disable)\/?(.*)$/.exec(request.url) ?? [];
    const user = request.method === 'POST' && users.get(name);
    if (user && change === 'groups') user.groups = groups.split(',').filter(Boolean);
    if (user && change === 'disable') user.disabled = true;
    response.end(String(keysFetched));
  }).listen(Number(controlPort), '127.0.0.1');
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
