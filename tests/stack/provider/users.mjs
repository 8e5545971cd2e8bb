// The people whom the provider knows. `sub` is a UUID that never changes, the rest may.

const person = (sub, username, given, family, groups) => ({
  sub,
  given_name: given,
  family_name: family,
  name: `${given} ${family}`,
  email: `${username}@example.net`,
  email_verified: true,
  preferred_username: username,
  groups,
});

/** By user name, which is also what the login page posts. */
export const users = new Map(
  [
    person('6f1a2f5e-0a53-4a5f-9a6e-2f6d1f0c9a01', 'ada', 'Ada', 'Lovelace', ['admins']),
    person('b7d0c2a4-5c1b-4c39-8a80-7a4c0e5d3b02', 'ben', 'Ben', 'Okri', ['media']),
    person('3d5b7e90-41c6-4b0a-8f2e-c1a8d4f6b704', 'cleo', 'Cleo', 'Ferrante', ['home']),
    person('e2c94b18-93f7-4f0e-b1d2-5be7a9c6de03', 'eve', 'Eve', 'Arden', []),
  ].map((user) => [user.preferred_username, user]),
);

export const bySubject = (sub) => [...users.values()].find((user) => user.sub === sub);
