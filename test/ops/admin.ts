import { once } from 'node:events'
import {
  linkSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { request, type IncomingHttpHeaders } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { silent, type Fields, type Log } from '../../src/base/log.ts'
import {
  AdminServer,
  isLoopback,
  type AdminAddress,
  type AdminOptions,
} from '../../src/ops/admin.ts'
import { RouteTable, type Route } from '../../src/http/route.ts'

const ADDRESS = '127.12.1.1'

type Reply = { status: number; headers: IncomingHttpHeaders; body: string }
type Ask = { method?: string; headers?: Record<string, string>; body?: string }

const ask = (
  where: AdminAddress,
  path: string,
  { method = 'GET', headers = {}, body }: Ask = {},
): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const to =
      'path' in where ? { socketPath: where.path } : { host: where.address, port: where.port }
    const req = request({ ...to, path, method, headers, agent: false }, res => {
      let text = ''
      res.setEncoding('utf8').on('data', part => (text += part))
      res.on('end', () =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text }),
      )
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end(body)
  })

// prettier-ignore
const routes: Route[] = [
  { method: 'GET', path: '/', handle: () => ({ text: 'home' }) },
  { method: 'GET', path: '/metrics', handle: () => ({ text: 'a 1\n', headers: { 'content-type': 'text/plain; version=0.0.4' } }) },
  { method: 'GET', path: '/v1/hosts/:name', handle: ({ params, query }) => ({ json: [params['name'], query.get('q')] }) },
  { method: 'GET', path: '/v1/hosts/self', handle: () => ({ json: 'self' }) },
  { method: 'POST', path: '/v1/flush', handle: ({ body }) => ({ json: { body: body ?? null } }) },
  { method: 'GET', path: '/v1/keys', unixOnly: true, handle: () => ({ json: 'keys' }) },
  { method: 'DELETE', path: '/v1/keys', handle: () => ({ status: 204 }) },
  { method: 'GET', path: '/throws', handle: () => { throw new Error('with details') } },
  { method: 'GET', path: '/hangs', handle: () => new Promise(() => {}) },
  {
    method: 'GET',
    path: '/long',
    handle: () => ({
      headers: { 'content-type': 'application/json' },
      chunks: (function* () {
        yield '['
        for (let i = 0; i < 2_000; i++) yield `"${'x'.repeat(1_000)}",`
        yield 'null]'
      })(),
    }),
  },
]

/** A folder whose path is short enough for a socket in it. */
const shortDir = (t: Test): string => {
  const dir = mkdtempSync(join(tmpdir(), 'admin-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const server = async (t: Test, over: Partial<AdminOptions> = {}, address: string = ADDRESS) => {
  const admin = new AdminServer({ routes, log: silent, ...over })
  t.teardown(() => admin.close())
  const where = await admin.listen({ address, port: 0 })
  return { admin, where }
}

t.test('a path leads to its route, its segments and its query', async t => {
  const { where } = await server(t)
  t.match(await ask(where, '/'), { status: 200, body: 'home' })
  const name = await ask(where, '/v1/hosts/web%20one.mesos?q=a%26b&x')
  t.strictSame(JSON.parse(name.body), ['web one.mesos', 'a&b'])
  t.equal(name.headers['content-type'], 'application/json')
  t.strictSame(
    JSON.parse((await ask(where, '/v1/hosts/self')).body),
    'self',
    'a literal segment goes first',
  )
  const metrics = await ask(where, '/metrics')
  t.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4')
  t.match(metrics.headers, {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
  })
})

t.test('HEAD says what GET would and sends no body', async t => {
  const { where } = await server(t)
  const reply = await ask(where, '/', { method: 'HEAD' })
  t.match(reply, { status: 200, body: '', headers: { 'content-length': '4' } })
  t.match(await ask(where, '/long', { method: 'HEAD' }), { status: 200, body: '' })
})

t.test('a method that does not fit gets 405 with Allow', async t => {
  const { where } = await server(t)
  t.match(await ask(where, '/metrics', { method: 'PUT' }), {
    status: 405,
    headers: { allow: 'GET, HEAD' },
  })
  t.match(await ask(where, '/v1/keys', { method: 'POST' }), {
    status: 405,
    headers: { allow: 'GET, HEAD, DELETE' },
  })
  t.match(await ask(where, '/', { method: 'OPTIONS' }), { status: 405 })
})

t.test('path tricks find nothing', async t => {
  const { where } = await server(t)
  // prettier-ignore
  for (const path of [
    '//', '/v1//hosts/a', '/v1/hosts/', '/v1/hosts/..', '/v1/hosts/%2e%2e', '/v1/hosts/a%2fb', '/v1/hosts/a%5cb',
    '/v1/hosts/%00', '/v1/hosts/%ff', '/v1/hosts/%', '/metrics/', '/Metrics', '/../metrics', '/v1/hosts/a/b',
    'http://127.12.1.1/metrics', '*',
  ]) {
    t.equal((await ask(where, path)).status, 404, path)
  }
  t.throws(() => new RouteTable([...routes, routes[0]!]), /route twice/)
})

t.test('Host must be a name that cannot be rebound', async t => {
  const { where } = await server(t, { names: ['agent-17'] })
  const status = async (host: string) => (await ask(where, '/', { headers: { host } })).status
  for (const host of [
    'localhost',
    'LOCALHOST:80',
    '127.0.0.1:62080',
    '[::1]:62080',
    ADDRESS,
    `${ADDRESS}:1`,
    'agent-17',
    'Agent-17:62080',
  ]) {
    t.equal(await status(host), 200, host)
  }
  for (const host of [
    'evil.example.org',
    'localhost.example.org',
    '192.0.2.1',
    '127.0.0.1.example.org',
    '[::2]',
  ]) {
    t.equal(await status(host), 403, host)
  }
  const wild = await server(t, {}, '0.0.0.0')
  const at = { address: ADDRESS, port: (wild.where as { port: number }).port }
  t.equal(
    (await ask(at, '/', { headers: { host: '192.0.2.1:62080' } })).status,
    200,
    'any literal behind a wildcard',
  )
  t.equal((await ask(at, '/', { headers: { host: 'evil.example.org' } })).status, 403)
})

t.test('changes and what is secret-adjacent go over the Unix socket only', async t => {
  const { admin, where } = await server(t)
  const path = join(shortDir(t), 'admin.sock')
  t.strictSame(await admin.listen({ path }), { path })
  t.equal(statSync(path).mode & 0o777, 0o660)
  t.match(await ask(where, '/v1/flush', { method: 'POST', body: '{}' }), {
    status: 403,
    body: /Unix socket/,
  })
  t.match(await ask(where, '/v1/keys'), { status: 403 })
  t.match(await ask({ path }, '/v1/keys'), { status: 200, body: '"keys"\n' })
  t.match(await ask({ path }, '/v1/keys', { method: 'DELETE' }), { status: 204, body: '' })
  const flushed = await ask({ path }, '/v1/flush', {
    method: 'POST',
    body: '{"name":"a.example.org"}',
  })
  t.strictSame(JSON.parse(flushed.body), { body: { name: 'a.example.org' } })
  t.strictSame(JSON.parse((await ask({ path }, '/v1/flush', { method: 'POST' })).body), {
    body: null,
  })
  t.match(await ask({ path }, '/v1/flush', { method: 'POST', body: '{"name":' }), {
    status: 400,
    body: /not JSON/,
  })
})

t.test('a body over the limit gets 413, with and without a length', async t => {
  const { admin } = await server(t)
  const path = join(shortDir(t), 'admin.sock')
  await admin.listen({ path })
  const body = JSON.stringify('x'.repeat(70_000))
  const said = { method: 'POST', body, headers: { 'content-length': String(body.length) } }
  t.equal((await ask({ path }, '/v1/flush', said)).status, 413)
  const chunked = { method: 'POST', body, headers: { 'transfer-encoding': 'chunked' } }
  t.equal((await ask({ path }, '/v1/flush', chunked)).status, 413)
  const fits = JSON.stringify('x'.repeat(60_000))
  t.equal((await ask({ path }, '/v1/flush', { method: 'POST', body: fits })).status, 200)
})

t.test('a handler that throws or hangs costs only its own client', async t => {
  const said: [string, Fields | undefined][] = []
  const log: Log = { ...silent, error: (msg, fields) => void said.push([msg, fields]) }
  const { where } = await server(t, { log, handlerTimeout: 50 })
  const thrown = await ask(where, '/throws')
  t.equal(thrown.status, 500)
  t.notMatch(thrown.body, /details/, 'the client is not told what it said')
  t.match(said, [['admin handler failed', { path: '/throws', err: { message: 'with details' } }]])
  t.equal((await ask(where, '/hangs')).status, 504)
  t.equal((await ask(where, '/')).status, 200)
})

t.test('a long response is sent in pieces, to the end', async t => {
  const { where } = await server(t)
  const reply = await ask(where, '/long')
  t.equal((JSON.parse(reply.body) as unknown[]).length, 2_001)
})

t.test('a client that goes away in the middle of a long response is forgotten', async t => {
  const { admin, where } = await server(t)
  const { port } = where as { port: number }
  const socket = connect(port, ADDRESS)
  socket.write('GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  socket.destroy()
  t.equal((await ask(where, '/')).status, 200)
  await admin.close()
})

t.test('connections beyond the cap are closed, the others are served', async t => {
  const { where } = await server(t)
  const { port } = where as { port: number }
  const sockets = Array.from({ length: 70 }, () => connect(port, ADDRESS).on('error', () => {}))
  const closed = new Set<unknown>()
  for (const socket of sockets) socket.on('close', () => closed.add(socket))
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  while (closed.size < 6) await sleep(5)
  t.equal(closed.size, 6)
  const open = sockets.find(socket => !closed.has(socket))!
  open.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [data] = (await once(open, 'data')) as [Buffer]
  t.match(data.toString(), /^HTTP\/1\.1 200 OK/)
  for (const socket of sockets) socket.destroy()
})

t.test('garbage and oversized headers get 400 and 431', async t => {
  const { where } = await server(t)
  const raw = async (text: string): Promise<string> => {
    const socket = connect((where as { port: number }).port, ADDRESS)
    let got = ''
    socket.on('data', part => (got += part.toString()))
    socket.write(text)
    await once(socket, 'close')
    return got
  }
  t.match(await raw('\x00\x01nonsense\r\n\r\n'), /^HTTP\/1\.1 400/)
  t.match(
    await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(10_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431/,
  )
  t.match(await raw('GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400/, 'HTTP/1.1 without Host')
})

t.test('an address that is taken is reported and harms no other', async t => {
  const { admin, where } = await server(t)
  const other = new AdminServer({ routes, log: silent })
  t.teardown(() => other.close())
  await t.rejects(other.listen(where), {
    code: 'EBIND',
    errno: 'EADDRINUSE',
    message: /127\.12\.1\.1:\d+/,
  })
  await t.rejects(other.listen({ address: '192.0.2.1', port: 0 }), {
    code: 'EBIND',
    errno: 'EADDRNOTAVAIL',
  })
  t.equal((await ask(where, '/')).status, 200)
  await admin.close()
  await other.listen(where)
  t.equal((await ask(where, '/')).status, 200)
})

t.test('a socket file of a dead daemon is replaced, anything else is left alone', async t => {
  const dir = shortDir(t)
  writeFileSync(join(dir, 'file'), 'precious')
  const stale = join(dir, 'stale.sock')
  // A second link keeps the file when the listener closes, as after a SIGKILL.
  const dead = createServer().listen(stale)
  await once(dead, 'listening')
  linkSync(stale, join(dir, 'kept'))
  dead.close()
  await once(dead, 'close')
  renameSync(join(dir, 'kept'), stale)
  t.ok(statSync(stale).isSocket())
  const admin = new AdminServer({ routes, log: silent })
  t.teardown(() => admin.close())
  await admin.listen({ path: stale })
  t.equal((await ask({ path: stale }, '/')).status, 200)

  const second = new AdminServer({ routes, log: silent })
  await t.rejects(second.listen({ path: stale }), {
    code: 'EBIND',
    errno: 'EADDRINUSE',
    message: /in use by another process/,
  })
  t.equal((await ask({ path: stale }, '/')).status, 200, 'the living one goes on')
  await t.rejects(second.listen({ path: join(dir, 'file') }), {
    code: 'EBIND',
    errno: 'EEXIST',
    message: /not a socket/,
  })
  t.equal(readFileSync(join(dir, 'file'), 'utf8'), 'precious')
  await t.rejects(second.listen({ path: join(dir, 'no/such/dir.sock') }), { code: 'EBIND' })
  const long = join(dir, 'x'.repeat(100))
  await t.rejects(second.listen({ path: long }), { code: 'EBIND', errno: 'ENAMETOOLONG' })
})

t.test('isLoopback knows what only this host reaches', async t => {
  for (const address of ['127.0.0.1', '127.12.1.1', '::1']) t.ok(isLoopback(address), address)
  for (const address of ['0.0.0.0', '::', '192.0.2.1', '127', 'localhost'])
    t.notOk(isLoopback(address), address)
})
