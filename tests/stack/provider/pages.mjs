// The provider's two pages. No script and nothing from elsewhere.

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text) => String(text).replace(/[&<>"']/g, (char) => escapes[char]);

const page = (title, body) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 1rem;
         color-scheme: light dark; }
  button { display: flex; align-items: baseline; justify-content: space-between; width: 100%; margin: .5rem 0;
           padding: .75rem 1rem; font: inherit; border: 1px solid #8888; border-radius: .5rem;
           background: none; color: inherit; cursor: pointer; }
  button:hover, button:focus-visible { border-color: currentColor; }
  small { opacity: .7; }
</style>
<h1>${escape(title)}</h1>
${body}
</html>
`;

const button = (user) => `  <button name="user" value="${escape(user.preferred_username)}">
    <span>${escape(user.name)}</span>
    <small>${escape(user.groups.join(', ') || 'no group')}</small>
  </button>`;

/** Who are you? One button stands for one person's passkey, or for the code that was sent to them. */
export const loginPage = (uid, users) => page('Sample sign-in', `<p>Each button stands for a passkey.</p>
<form method="post" action="/interaction/${escape(uid)}">
${[...users].map(button).join('\n')}
  <label><input type="checkbox" name="method" value="otp"> by a code that was sent to me, without a passkey</label>
</form>`);

export const errorPage = (error, description) => page('That did not work', `<p>${escape(description ?? '')}</p>
<p><small>${escape(error)}</small></p>`);
