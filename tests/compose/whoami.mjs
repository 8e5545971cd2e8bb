// Shows what an app is asked, in the form of traefik/whoami.

import { createServer } from 'node:http';

const port = Number(process.argv[process.argv.indexOf('--port') + 1]);
const server = createServer((request, response) => {
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
  }
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`${lines.join('\n')}\n`);
});
server.listen(port);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
