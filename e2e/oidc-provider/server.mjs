// An OpenID provider for hopgate's end-to-end tests, made with the
// oidc-provider package. It listens on a free loopback port, prints one line
// of JSON with its issuer, and takes commands on standard input, a word a
// line: "rotate" replaces its signing keys. It ends when standard input does.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const audience = 'https://api.example.test';

function newKeys() {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return [
    { ...rsa.privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' },
    { ...ec.privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'ES256' },
  ];
}

// One client for each person of the tests: with client credentials, the
// token speaks for the client, so that its id is the subject.
const people = {
  alice: { org_id: 'org_acme', permissions: ['org:members:read'] },
  bob: { org_id: 'org_acme', permissions: [] },
  carol: { org_id: 'org_globex', permissions: ['org:members:read'] },
};

function newProvider(issuer, keys) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: Object.keys(people).map((id) => ({
      client_id: id,
      client_secret: `${id}-secret`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: (ctx) => ({
          scope: 'read write',
          audience,
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: ctx.get('x-test-alg') || 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (ctx, token) => people[token.clientId],
  });
  provider.on('server_error', (ctx, err) => console.error(err));
  return provider.callback();
}

const server = createServer((req, res) => handle(req, res));
let handle = (req, res) => res.writeHead(503).end();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  handle = newProvider(issuer, newKeys());
  console.log(JSON.stringify({ issuer, audience }));
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      if (line === 'rotate') {
        handle = newProvider(issuer, newKeys());
        console.log(JSON.stringify({ rotated: true }));
      }
    })
    .on('close', () => process.exit(0));
});
