import t, { type Test } from 'tap'
import { createVerify, generateKeyPairSync } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { silent } from '../../src/base/log.ts'
import { settingsFromJson } from '../../src/mesos-dns/config.ts'
import { mastersHttp } from '../../src/mesos-dns/credentials.ts'
import type { Settings } from '../../src/mesos-dns/settings.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string

const settings = (more: object): Settings =>
  settingsFromJson({ masters: ['203.0.113.1:5050'], externalOn: false, ...more }, 'test', [])
    .settings

let block = 0
const server = async (
  t: Test,
  handle: (req: IncomingMessage, body: string, res: ServerResponse) => void,
): Promise<string> => {
  const made = createServer((req, res) => {
    let body = ''
    req.on('data', part => (body += String(part))).on('end', () => handle(req, body, res))
  })
  const address = `127.15.7.${++block}`
  await new Promise<void>(resolve => made.listen(0, address, resolve))
  t.teardown(() => {
    made.closeAllConnections()
    made.close()
  })
  const at = made.address()
  return `http://${address}:${typeof at === 'object' && at ? at.port : 0}`
}

t.test('a password goes with every exchange', async t => {
  const url = await server(t, (req, _body, res) =>
    res.end(JSON.stringify(req.headers.authorization ?? null)),
  )
  const http = mastersHttp(
    settings({ mesosAuthentication: 'basic', mesosCredentials: { principal: 'p', secret: 'ü' } }),
    silent,
  )
  t.teardown(() => http.close())
  t.equal(await http.getJson(url), `Basic ${Buffer.from('p:ü').toString('base64')}`)
  const plain = mastersHttp(settings({}), silent)
  t.teardown(() => plain.close())
  t.equal(await plain.getJson(url), null)
})

t.test('a token is fetched with a signed login, kept, and renewed when it is refused', async t => {
  let logins = 0
  let valid = ''
  const login = await server(t, (_req, body, res) => {
    const { uid, token } = JSON.parse(body) as { uid: string; token: string }
    const [head = '', claims = '', signature = ''] = token.split('.')
    t.equal(uid, 'mesos-dns')
    t.match(JSON.parse(Buffer.from(head, 'base64url').toString()), { alg: 'RS256', typ: 'JWT' })
    t.match(JSON.parse(Buffer.from(claims, 'base64url').toString()), {
      uid: 'mesos-dns',
      exp: 1_700_003_600,
    })
    t.ok(
      createVerify('RSA-SHA256')
        .update(`${head}.${claims}`)
        .verify(publicKey, signature, 'base64url'),
    )
    valid = `token-${++logins}`
    res.end(JSON.stringify({ token: valid }))
  })
  const master = await server(t, (req, _body, res) => {
    if (req.headers.authorization !== `token=${valid}`) return void res.writeHead(401).end()
    res.writeHead(200).end('{"ok": true}')
  })
  const dir = t.testdir({
    'iam.json': JSON.stringify({ uid: 'mesos-dns', private_key: PEM, login_endpoint: login }),
  })
  const http = mastersHttp(
    settings({ mesosAuthentication: 'iam', iamConfigFile: join(dir, 'iam.json') }),
    silent,
    () => 1_700_000_000_000,
  )
  t.teardown(() => http.close())
  t.match(await Promise.all([http.getJson(master), http.getJson(master)]), [
    { ok: true },
    { ok: true },
  ])
  t.equal(logins, 1, 'one login for both')
  valid = 'another'
  t.match(await http.getJson(master), { ok: true }, 'a refused token is renewed at once')
  valid = 'another'
  const stream = await http.stream(master, {})
  stream.close()
  t.equal(logins, 3)
})

t.test('a login that gives no token is an error, not a crash', async t => {
  const answers = ['', '{', 'null', '{"token": 7}', '{"token": ""}']
  const login = await server(t, (_req, _body, res) => res.end(answers.shift() ?? ''))
  const dir = t.testdir({
    'iam.json': JSON.stringify({ uid: 'u', private_key: PEM, login_endpoint: login }),
  })
  const http = mastersHttp(
    settings({ mesosAuthentication: 'iam', iamConfigFile: join(dir, 'iam.json') }),
    silent,
  )
  t.teardown(() => http.close())
  for (let i = 0; i < 6; i++)
    await t.rejects(http.getJson(login), { code: 'EHTTP', message: /no token/ })
})

t.test('a file that cannot be used is refused with its key', async t => {
  const dir = t.testdir({ 'not.json': 'x', 'less.json': '{"uid": "u"}', 'null.json': 'null' })
  for (const name of ['not.json', 'less.json', 'null.json', 'none.json']) {
    const of = settings({ mesosAuthentication: 'iam', iamConfigFile: join(dir, name) })
    t.throws(() => mastersHttp(of, silent), { code: 'ECONFIG', key: 'iamConfigFile' }, name)
  }
  t.throws(() => mastersHttp(settings({ caCertFile: join(dir, 'none.pem') }), silent), {
    code: 'ECONFIG',
    key: 'caCertFile',
  })
})
