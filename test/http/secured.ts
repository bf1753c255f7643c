import t, { type Test } from 'tap'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parsePrincipal, parseToken } from '../../src/http/authorization.ts'
import { httpReason, isRefusal, type Http } from '../../src/http/client.ts'
import { parseServiceAccount, type Logins } from '../../src/http/iam-login.ts'
import { securedHttp, securityTroubles, type Security } from '../../src/http/secured.ts'
import { codeOf, messageOf } from '../../src/base/error.ts'
import type { Log } from '../../src/base/log.ts'
import { ownAddress } from '../fixture/address.ts'
import { Authority, hasOpenssl, pems } from '../fixture/certificates.ts'
import { securedMesos } from '../fixture/secured-mesos.ts'

const lines: string[] = []
const say = (msg: string, fields?: object): number => lines.push(`${msg} ${JSON.stringify(fields)}`)
const log: Log = { debug: say, info: say, warn: say, error: say, child: () => log }

const NO_AUTH = { basic: '', token: '', iam: '' }
const NO_TLS = { ca: '', cert: '', key: '', insecure: false }
const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
}) as string

const client = (
  t: Test,
  security: Security,
  now: () => number = Date.now,
  logins: Logins = new Map(),
) => {
  const http = securedHttp(security, { key: file => `mesos.${file}`, log, now, logins })
  t.teardown(() => http.close())
  return http
}

const failure = async (run: Promise<unknown>): Promise<Error> => {
  try {
    await run
  } catch (er) {
    return er as Error
  }
  throw new Error('nothing failed')
}

t.test('a principal is read as people write it', async t => {
  const ps = { principal: 'p', secret: 's:e c' }
  for (const text of [
    'p:s:e c\n',
    'p s:e c',
    '  p\ts:e c  \n\n',
    '{"principal":"p","secret":"s:e c"}',
  ])
    t.same(parsePrincipal(text), ps, text)
  t.same(parsePrincipal('{"credentials":[{"principal":"p","secret":"s:e c"}]}'), ps)
  t.same(parsePrincipal('p:'), { principal: 'p', secret: '' })
  for (const bad of [
    '',
    '\n',
    ':s',
    'p:s\nq:t',
    '{',
    '{}',
    '{"principal":7,"secret":"s"}',
    'p:s\u0007',
  ])
    t.throws(() => parsePrincipal(bad), { code: 'EDATA' }, bad)
  t.throws(() => parsePrincipal('{"principal":"a:b","secret":"s"}'), { code: 'EDATA' })
})

t.test('a token goes as Bearer unless it says its scheme', async t => {
  t.equal(parseToken('abc.def\n'), 'Bearer abc.def')
  t.equal(parseToken('Bearer abc'), 'Bearer abc')
  t.equal(parseToken('token=abc'), 'token=abc')
  for (const bad of ['', 'a b', 'a\nb']) t.throws(() => parseToken(bad), { code: 'EDATA' }, bad)
})

t.test('a service account is checked, and nothing of it is in the complaint', async t => {
  const good = { uid: 'u', private_key: PEM, login_endpoint: 'https://192.0.2.1/login' }
  t.equal(parseServiceAccount(JSON.stringify(good)).uid, 'u')
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  for (const bad of [
    'hunter2',
    'null',
    JSON.stringify({ ...good, private_key: 'hunter2' }),
    JSON.stringify({ ...good, login_endpoint: 'file:///hunter2' }),
    JSON.stringify({ ...good, private_key: ec.export({ type: 'pkcs8', format: 'pem' }) }),
  ]) {
    const er = await failure((async () => parseServiceAccount(bad))())
    t.equal(codeOf(er), 'EDATA')
    t.notMatch(er.message, /hunter2/)
  }
})

t.test('a file that changes is used from the next request on', async t => {
  const dir = t.testdir({ basic: 'p:old' })
  const basic = join(dir, 'basic')
  chmodSync(basic, 0o600)
  const mesos = await securedMesos(t, { address: ownAddress() })
  const header = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
  const http = client(t, { auth: { ...NO_AUTH, basic } })
  mesos.accepts = said => said === header('p:old')
  await http.getJson(`${mesos.url}/state`)
  mesos.accepts = said => said === header('p:new')
  const er = await failure(http.getJson(`${mesos.url}/state`))
  t.match(er.message, /answered 401: it refuses our credentials \(mesos\.auth\.\w+\)/)
  t.ok(isRefusal(er))
  writeFileSync(basic, '')
  t.match((await failure(http.getJson(`${mesos.url}/state`))).message, /401/, 'the last good one')
  writeFileSync(basic, 'p:new')
  await http.getJson(`${mesos.url}/state`)
  t.notMatch(lines.join('\n'), /p:old|p:new|cDpvbGQ|cDpuZXc/, 'no secret in the log')
})

t.test(
  'a secret that others can read is warned of; a missing file fails the exchange only',
  async t => {
    const dir = t.testdir({ token: 'abc' })
    const mesos = await securedMesos(t, { address: ownAddress() })
    chmodSync(join(dir, 'token'), 0o644)
    lines.length = 0
    await client(t, { auth: { ...NO_AUTH, token: join(dir, 'token') } }).getJson(
      `${mesos.url}/state`,
    )
    t.match(lines.join('\n'), /can be read by other users/)
    t.equal(mesos.seen[0], 'Bearer abc')
    const missing: Security = { auth: { ...NO_AUTH, token: join(dir, 'none') } }
    const er = await failure(client(t, missing).getJson(`${mesos.url}/state`))
    t.equal(httpReason(er), 'credentials')
    t.match(er.message, /^mesos\.auth\.token: .*none does not exist/)
    t.match(securityTroubles(missing, { key: file => `mesos.${file}`, log, now: Date.now }), [
      { key: 'mesos.auth.token', problem: /does not exist/ },
    ])
  },
)

t.test(
  'a token is renewed before it expires, when it is refused, and its login is no 401',
  async t => {
    const mesos = await securedMesos(t, { address: ownAddress() })
    const dir = t.testdir({
      iam: JSON.stringify({ uid: 'u', private_key: PEM, login_endpoint: `${mesos.url}/login` }),
    })
    let now = 1_700_000_000_000
    let valid = ''
    const issue = (): { status: number; token: string } => {
      const claims = Buffer.from(JSON.stringify({ exp: now / 1_000 + 100 })).toString('base64url')
      valid = `h.${claims}.s${mesos.logins.length}`
      return { status: 200, token: valid }
    }
    mesos.login = issue
    mesos.accepts = said => said === `token=${valid}`
    const http = client(t, { auth: { ...NO_AUTH, iam: join(dir, 'iam') } }, () => now)
    const get = (): Promise<unknown> => http.getJson(`${mesos.url}/state`)
    await Promise.all([get(), get(), get()])
    t.equal(mesos.logins.length, 1, 'one login for all')
    now += 79_000
    await get()
    t.equal(mesos.logins.length, 1)
    now += 2_000
    await get()
    t.equal(mesos.logins.length, 2, 'renewed while the old one was good')
    // the login is down while the token has some time left
    mesos.login = () => ({ status: 503, token: '' })
    now += 85_000
    await get()
    now += 20_000
    const er = await failure(get())
    t.equal(httpReason(er), 'login')
    t.match(er.message, /answered 503 and no token/)
    mesos.login = () => ({ status: 401, token: '' })
    const refused = await failure(get())
    t.ok(isRefusal(refused))
    t.equal((refused as { status?: number }).status, undefined, 'not the 401 of a master')
    mesos.login = issue
    await get()
    valid = 'revoked'
    await get()
    t.not(valid, 'revoked', 'refused and renewed within one exchange')
    t.notMatch(messageOf(er) + lines.join('\n'), /token=|h\.ey/)
  },
)

t.test('clients of one service account log in once, also if the first one is closed', async t => {
  const mesos = await securedMesos(t, { address: ownAddress() })
  const file = join(
    t.testdir({
      iam: JSON.stringify({ uid: 'u', private_key: PEM, login_endpoint: `${mesos.url}/login` }),
    }),
    'iam',
  )
  let valid = 'one'
  mesos.login = () => ({ status: 200, token: valid })
  mesos.accepts = said => said === `token=${valid}`
  const logins: Logins = new Map()
  const [first, second, third] = [1, 2, 3].map(() =>
    client(t, { auth: { ...NO_AUTH, iam: file } }, Date.now, logins),
  ) as [Http, Http, Http]
  const get = (http: Http): Promise<unknown> => http.getJson(`${mesos.url}/state`)
  const stopped = failure(get(first))
  const others = [get(second), get(third)]
  await first.close()
  await stopped
  await Promise.all(others)
  t.equal(mesos.logins.length, 1)
  valid = 'two'
  await Promise.all([get(second), get(third)])
  await get(second)
  t.equal(mesos.logins.length, 2, 'a token that is refused is renewed once for all')
})

t.test('another host that a list redirects to gets no credentials', async t => {
  const dir = t.testdir({ token: 'abc' })
  const [one, other] = [
    await securedMesos(t, { address: ownAddress() }),
    await securedMesos(t, { address: ownAddress() }),
  ]
  const { createServer } = await import('node:http')
  const address = ownAddress()
  const redirecting = createServer((_, res) =>
    res.writeHead(302, { location: `${other.url}/state` }).end(),
  )
  await new Promise<void>(resolve => redirecting.listen(one.port, address, resolve))
  t.teardown(() => void redirecting.close())
  const http = client(t, { auth: { ...NO_AUTH, token: join(dir, 'token') } })
  await http.exchange(`http://${address}:${one.port}/list`, { redirects: 1 })
  t.same(other.seen, [''])
})

if (!hasOpenssl) process.stderr.write('SKIPPED: TLS to Mesos: openssl is not installed\n')

t.test(
  'TLS is verified, shows a client certificate, and takes a renewed authority',
  { skip: !hasOpenssl },
  async t => {
    const dir = t.testdir({})
    const address = ownAddress()
    const ca = new Authority(dir)
    const mine = ca.issue()
    const mesos = await securedMesos(t, {
      address,
      tls: {
        ...pems(ca.issue(address)),
        ca: pems({ cert: ca.ca, key: ca.ca }).cert,
        requestCert: true,
        rejectUnauthorized: true,
      },
    })
    const url = `${mesos.url}/state`
    await client(t, { tls: { ca: ca.ca, ...mine, insecure: false } }).getJson(url)
    const nobody = await failure(client(t, { tls: { ...NO_TLS, ca: ca.ca } }).getJson(url))
    t.equal(codeOf(nobody), 'EHTTP', 'without a client certificate')
    const stranger = await failure(client(t, { tls: { ...NO_TLS, ...mine } }).getJson(url))
    t.match(stranger.message, /cannot be reached: .*certificate/)
    await client(t, { tls: { ...NO_TLS, ...mine, insecure: true } }).getJson(url)
    const another = new Authority(dir, 'other')
    const file = join(dir, 'used.pem')
    writeFileSync(file, pems({ cert: another.ca, key: another.ca }).cert)
    const http = client(t, { tls: { ca: file, ...mine, insecure: false } })
    t.match((await failure(http.getJson(url))).message, /certificate/)
    writeFileSync(file, pems({ cert: ca.ca, key: ca.ca }).cert)
    await http.getJson(url)
    writeFileSync(file, 'nonsense')
    await http.getJson(url)
  },
)
