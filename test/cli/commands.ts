import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { createSocket } from 'node:dgram'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { decode, encode, type Packet } from 'dns-packet'
import { createProgram, runCli } from '../../src/cli/program.ts'
import type { Io } from '../../src/cli/io.ts'
import { askDaemon, parseAdmin } from '../../src/http/admin-client.ts'
import { silent } from '../../src/base/log.ts'
import { AdminServer } from '../../src/ops/admin.ts'
import type { Route } from '../../src/http/route.ts'
import { version } from '../../src/base/version.ts'
import { dnsServer } from '../fixture/dns-server.ts'
import { status } from '../fixture/status.ts'

type Ran = { readonly exit: number; readonly out: string; readonly err: string }

/** Runs one command line and returns its output. */
const spartan = async (args: readonly string[], more: Partial<Io> = {}): Promise<Ran> => {
  let out = ''
  let err = ''
  const io: Io = {
    out: text => void (out += text),
    err: text => void (err += text),
    input: async () => '',
    tty: false,
    interrupted: new AbortController().signal,
    ...more,
  }
  const exit = await runCli(args, io)
  return { exit, out, err }
}

const GOOD = 'listen: { addresses: [198.51.100.1] }\n'

/** A folder with a short name, because the path of a Unix socket is limited to 107 bytes. */
const shortFolder = (t: Test): string => {
  const dir = mkdtempSync(join(tmpdir(), 'spartan-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** An admin server with these routes on a Unix socket. */
const daemon = async (t: Test, routes: Route[]): Promise<string> => {
  const path = `${shortFolder(t)}/admin.sock`
  const server = new AdminServer({ routes, log: silent })
  await server.listen({ path })
  t.teardown(() => server.close())
  return path
}

const get = (path: string, json: unknown): Route => ({
  method: 'GET',
  path,
  handle: () => ({ json }),
})

const A = (name: string, data: string) => ({ name, type: 'A', ttl: 60, data }) as const

t.test('help, version and usage', async t => {
  const help = await spartan(['--help'])
  t.equal(help.exit, 0)
  for (const command of [
    'run',
    'demo',
    'check',
    'query',
    'status',
    'top',
    'cache',
    'vips',
    'members',
    'keys',
    'upstreams',
    'resolvconf',
    'mesos-dns',
  ]) {
    t.match(help.out, new RegExp(`^  ${command}\\b`, 'm'), command)
    const own = await spartan([command, '--help'])
    t.equal(own.exit, 0)
    t.match(own.out, /\nExamples:\n {2}\$ spartan /, `${command} has examples`)
  }
  t.match(await spartan(['--version']), { exit: 0, out: `${version()}\n` })
  t.match(await spartan([]), { exit: 2 })
  for (const args of [
    ['statsu'],
    ['query'],
    ['check', '--confg', 'x'],
    ['demo', '--seconds', '-1'],
    ['demo', '--seconds', 'x'],
    ['query', 'a', '--server', 'nowhere'],
    ['query', 'a', '--timeout', '5'],
    ['status', '--admin', 'ftp://x'],
    ['mesos-dns'],
    ['cache', 'drop'],
    ['keys'],
  ]) {
    const ran = await spartan(args)
    t.equal(ran.exit, 2, args.join(' '))
    t.equal(ran.out, '')
    t.not(ran.err, '')
  }
  t.match((await spartan(['statsu'])).err, /Did you mean status\?/)
})

t.test('check prints what is in effect, or everything that is wrong', async t => {
  const dir = t.testdir({
    'good.yaml': GOOD,
    'bad.yaml': 'listen: { adresses: [] }\nlog: { level: loud }\n',
  })
  const good = await spartan(['check', '--config', `${dir}/good.yaml`])
  t.equal(good.exit, 0)
  t.match(good.out, /^ {2}addresses: \[198\.51\.100\.1\] +# .*good\.yaml:1$/m)
  t.match(await spartan(['check', '-q', '-c', `${dir}/good.yaml`]), { exit: 0, out: '', err: '' })
  const json = JSON.parse((await spartan(['check', '--json', '-c', `${dir}/good.yaml`])).out)
  t.match(json, { ok: true, values: [{ path: 'node' }] })

  const bad = await spartan(['check', '-c', `${dir}/bad.yaml`])
  t.equal(bad.exit, 2)
  t.equal(bad.out, '')
  t.match(
    bad.err,
    /bad\.yaml:1:11: listen\.adresses: unknown key \(did you mean listen\.addresses\?\)\n/,
  )
  t.match(bad.err, /bad\.yaml:2:15: log\.level: 'loud'/)
  t.match(bad.err, /3 problems, nothing would be started\n$/)
  t.match(JSON.parse((await spartan(['check', '--json', '-c', `${dir}/bad.yaml`])).out), {
    ok: false,
    problems: [{ line: 1, column: 9 }, { suggestion: 'listen.addresses' }, { path: 'log.level' }],
  })
  t.match(await spartan(['check', '-c', `${dir}/none.yaml`]), {
    exit: 2,
    err: /none\.yaml:1:1: there is no such file/,
  })
  t.match(
    await spartan(['status', '-c', `${dir}/bad.yaml`]),
    { exit: 2, err: /bad\.yaml:1:11: listen\.adresses/ },
    'other commands refuse it in the same words',
  )
})

t.test('the example configuration of the package is a good one', async t => {
  const file = new URL('../../deploy/spartan.yaml', import.meta.url).pathname
  const { problems } = JSON.parse((await spartan(['check', '--json', '-c', file])).out) as {
    problems: { key: string }[]
  }
  // The list of masters belongs to the cluster; a host outside one has none.
  t.strictSame(
    problems.filter(({ key }) => key !== 'masters.file'),
    [],
  )
})

t.test('check opens what the daemon would open, and says each thing that it cannot', async t => {
  const dir = t.testdir({ keyring: '{', 'vips.d': { 'bad.yaml': 'vips: 1' }, plain: '' })
  const file = `${dir}/spartan.json`
  const settings = {
    listen: { addresses: ['127.0.0.1'] },
    masters: { source: 'file', file: `${dir}/nowhere` },
    cache: { snapshot: `${dir}/plain/below/cache` },
    gossip: { keyring: `${dir}/keyring` },
    vips: { files: [`${dir}/vips.d`, `${dir}/absent`] },
    stateDir: `${dir}/plain`,
  }
  writeFileSync(file, JSON.stringify(settings))
  const { exit, err } = await spartan(['check', '--quiet', '-c', file])
  t.equal(exit, 1)
  for (const [key, why] of [
    ['masters.file', 'ENOENT'],
    ['cache.snapshot', 'ENOTDIR'],
    ['gossip.keyring', 'open to others|no JSON'],
    ['vips.files', 'bad.yaml:1'],
    ['vips.files', 'ENOENT'],
    ['stateDir', 'no folder'],
  ] as const)
    t.match(err, new RegExp(`${key.replace('.', '\\.')}: .*(${why})`), `${key}: ${why}`)
})

t.test('query asks like a client', async t => {
  const address = '127.11.1.1'
  const port = await dnsServer(t, address, (query, transport) => {
    const [question] = query.questions ?? []
    const name = question?.name ?? ''
    const type = question?.type
    if (name === 'gone.example.org') return { flags: 0x0183 }
    if (name === 'broken.example.org') return { flags: 0x0182 }
    if (name === 'silent.example.org') return undefined
    if (name === 'spoofed.example.org')
      return { id: (query.id ?? 0) ^ 1, answers: [A(name, '192.0.2.66')] }
    if (name === 'other.example.org')
      return { questions: [{ name: 'x.example.org', type: 'A' }], answers: [A(name, '192.0.2.66')] }
    if (name === 'large.example.org')
      return transport === 'udp' ? { flags: 0x0380 } : { answers: [A(name, '192.0.2.2')] }
    if (type === 'PTR') return { answers: [{ name, type: 'PTR', ttl: 5, data: 'web.example.org' }] }
    return { answers: [A(name, '192.0.2.1')] }
  })
  const query = (...args: string[]) =>
    spartan(['query', '--server', `${address}:${port}`, '--timeout', '10s', ...args])

  const plain = await query('web.example.org')
  t.match(plain, { exit: 0, err: '' })
  t.match(
    plain.out,
    /^;; QUERY, NOERROR, id \d+, flags: qr rd ra\n;; question: web\.example\.org\. IN A\n\n;; answer\nweb\.example\.org\. 60 IN A 192\.0\.2\.1\n\n;; 127\.11\.1\.1:\d+ over UDP, [\d.]+ ms, \d+ bytes\n$/,
  )
  t.match(await query('WEB.example.org', '--short'), { exit: 0, out: '192.0.2.1\n' })
  t.match(await query('web.example.org', 'aaaa', '--tcp'), {
    exit: 0,
    out: /question: web\.example\.org\. IN AAAA[^]*over TCP/,
  })
  t.match(
    await query('gone.example.org'),
    { exit: 0, out: /NXDOMAIN/ },
    'that there is no such name is an answer',
  )
  t.match(await query('broken.example.org'), { exit: 1, out: /SERVFAIL/ })
  t.match(
    await query('large.example.org'),
    { exit: 0, out: /192\.0\.2\.2[^]*over TCP/ },
    'a truncated answer is fetched over TCP',
  )
  t.match(await query('192.0.2.7'), {
    exit: 0,
    out: /7\.2\.0\.192\.in-addr\.arpa\. 5 IN PTR web\.example\.org\./,
  })
  t.match(JSON.parse((await query('web.example.org', '--json')).out), {
    rcode: 'NOERROR',
    answer: [{ data: '192.0.2.1' }],
    transport: 'udp',
  })

  const quick = (...args: string[]) =>
    spartan([
      'query',
      '--server',
      `${address}:${port}`,
      '--timeout',
      '50ms',
      '--attempts',
      '2',
      ...args,
    ])
  t.match(await quick('silent.example.org'), {
    exit: 1,
    out: '',
    err: /no response within 50 ms\n$/,
  })
  t.match(
    await quick('spoofed.example.org'),
    { exit: 1, out: '', err: /no response/ },
    'a wrong ID is no response',
  )
  t.match(
    await quick('other.example.org'),
    { exit: 1, out: '', err: /no response/ },
    'nor is another question',
  )

  t.match(await query('x', 'NONSENSE'), { exit: 2, err: /'NONSENSE' is no record type/ })
  t.match(await query('a..b'), { exit: 2, err: /is no name/ })
  t.match(await query('x', '--class', 'HS'), { exit: 2 })
  t.match(
    await query('web.example.org', 'TYPE65', '--dnssec', '--cd', '--no-recurse', '--no-edns'),
    { exit: 0, out: /IN HTTPS/ },
  )
})

t.test('query says at once that nobody listens', async t => {
  // A port that was free a moment ago.
  const socket = createSocket('udp4')
  const port = await new Promise<number>(resolve =>
    socket.bind(0, '127.11.1.2', () => resolve(socket.address().port)),
  )
  socket.close()
  for (const more of [[], ['--tcp']]) {
    t.match(await spartan(['query', 'x', '--server', `127.11.1.2:${port}`, ...more]), {
      exit: 1,
      err: /connection refused: nothing listens there\n$/,
    })
  }
})

t.test('query --trace shows the steps of the daemon', async t => {
  const asked: unknown[] = []
  const admin = await daemon(t, [
    {
      method: 'POST',
      path: '/v1/trace',
      handle: ({ body }) => {
        asked.push(body)
        const wire = encode({
          type: 'response',
          id: 7,
          questions: [{ name: 'web.mesos', type: 'A' }],
          answers: [A('web.mesos', '192.0.2.1')],
        })
        return {
          json: {
            steps: [
              { atMs: 0, step: 'admit', detail: 'loopback' },
              { atMs: 1.5, step: 'route', detail: 'mesos: forward' },
            ],
            wire: wire.toString('base64'),
          },
        }
      },
    },
  ])
  const ran = await spartan(['query', 'web.mesos', '--trace', '--admin', admin])
  t.match(ran, { exit: 0, err: '' })
  t.match(ran.out, /^MS +STEP +DETAIL\n0\.000 +admit +loopback\n1\.500 +route +mesos: forward\n/)
  t.match(ran.out, /web\.mesos\. 60 IN A 192\.0\.2\.1/)
  t.strictSame(asked, [{ name: 'web.mesos', type: 'A' }])
  t.match(
    JSON.parse((await spartan(['query', 'web.mesos', '-t', '--json', '--admin', admin])).out),
    { steps: [{}, { step: 'route' }] },
  )
})

t.test('status, upstreams, vips and members are renderings of what the daemon says', async t => {
  const sick = status({
    health: {
      live: true,
      ready: true,
      degraded: true,
      dead: [],
      notReady: [],
      trouble: [{ name: '198.51.100.3:53', detail: 'no TCP: EADDRINUSE' }],
    },
    gossip: {
      members: { alive: 3, suspect: 1, dead: 0 },
      entries: 42,
      synced: true,
      encrypted: false,
      detail: '',
      ...{ piecesMissing: 0, nameConflicts: 0, probesByTcp: 0 },
    },
  })
  const admin = await daemon(t, [
    get('/v1/status', sick),
    get('/v1/upstreams', sick.upstreams),
    get('/v1/vips', [
      {
        vip: 'web.marathon.l4lb.thisdcos.directory:80',
        protocol: 'tcp',
        backend: [
          { ip: '192.0.2.1', port: 31000 },
          { ip: '2001:db8::1', port: 31001 },
        ],
      },
    ]),
    get('/v1/members', [
      { name: 'agent-1', address: '192.0.2.1:7946', status: 'alive', tags: { role: 'agent' } },
    ]),
    get('/v1/nodes', [{ private_ip: '192.0.2.1', public_ips: [], hostname: 'agent-1' }]),
  ])
  const look = (...args: string[]) => spartan([...args, '--admin', admin])
  const { out } = await look('status')
  for (const words of [
    /^node +agent-17$/m,
    /^state +answering, with trouble$/m,
    /^198\.51\.100\.3:53 +no TCP: EADDRINUSE$/m,
    /3 alive, 1 suspect, 0 dead, 42 entries, NOT ENCRYPTED/,
    /94\.3 % hits/,
    /192\.0\.2\.7:61053 +up +1\.9 ms +timeout/,
  ]) {
    t.match(out, words)
  }
  t.strictSame(JSON.parse((await look('status', '--json')).out), JSON.parse(JSON.stringify(sick)))
  t.match(
    (await look('upstreams')).out,
    /^UPSTREAM +STATE +LATENCY +FAILURES +NEXT PROBE +LAST FAILURE +LAST REPLY\n192\.0\.2\.5:61053 +up +0\.41 ms/,
  )
  t.match(
    (await look('vips')).out,
    /web\.marathon\.l4lb\.thisdcos\.directory:80 +tcp +- +- +- +192\.0\.2\.1:31000 \[2001:db8::1\]:31001/,
  )
  t.match(
    (await look('members')).out,
    /^NAME +ADDRESS +STATUS +TAGS\nagent-1 +192\.0\.2\.1:7946 +alive +\{"role":"agent"\}/,
  )
  t.match((await look('members', '--nodes')).out, /^PRIVATE_IP/)
  t.match(
    await look('top'),
    { exit: 0, out: /^agent-17 {2}1842\.4 queries\/s {2}94\.3 % hits/ },
    'top falls back on the status',
  )
})

t.test('top looks again until it has enough', async t => {
  let looks = 0
  const admin = await daemon(t, [
    { method: 'GET', path: '/v1/status', handle: () => ({ json: (looks++, status()) }) },
    get('/v1/top', [{ name: 'leader.mesos', type: 'A', count: 7 }]),
  ])
  const ran = await spartan(['top', '--times', '3', '--interval', '1ms', '--admin', admin], {
    tty: true,
  })
  t.match(ran, { exit: 0, out: /\u001b\[H\u001b\[J[^]* 7 {2}A +leader\.mesos\n$/ })
  t.equal(ran.out.split('\u001b[H').length - 1, 3)
  const before = looks
  const stop = new AbortController()
  const until = spartan(['top', '--interval', '1h', '--admin', admin], {
    tty: true,
    interrupted: stop.signal,
  })
  while (looks === before) await new Promise(resolve => setImmediate(resolve))
  stop.abort()
  t.match(await until, { exit: 0 }, '^C is the ordinary end')
})

t.test('cache lists, shows and forgets', async t => {
  const asked: string[] = []
  const entry = {
    name: 'leader.mesos',
    type: 'A',
    kind: 'positive',
    zone: 'mesos',
    ttl: 1,
    bytes: 90,
    hits: 12,
  }
  const admin = await daemon(t, [
    {
      method: 'GET',
      path: '/v1/cache',
      handle: ({ query }) => (
        asked.push(query.toString()),
        { json: query.get('name') === 'none' ? [] : [entry] }
      ),
    },
    {
      method: 'POST',
      path: '/v1/cache/flush',
      handle: ({ query }) => (asked.push(`flush ${query.toString()}`), { json: { flushed: 1 } }),
    },
  ])
  const cache = (...args: string[]) => spartan(['cache', ...args, '--admin', admin])
  t.match(await cache('list', '--limit', '5'), {
    exit: 0,
    out: /^NAME +TYPE +KIND +ZONE +TTL +BYTES +HITS\nleader\.mesos +A +positive +mesos +1 +90 +12\n$/,
  })
  t.match(await cache(), { exit: 0, out: /leader\.mesos/ })
  t.match(await cache('show', 'none'), { exit: 0, out: 'nothing cached at or below none\n' })
  t.match(await cache('flush', 'a&b=c.example'), {
    exit: 0,
    out: 'forgot 1 entry at or below a&b=c.example\n',
  })
  t.match(await cache('flush'), { exit: 0, out: 'forgot 1 entry\n' })
  t.strictSame(asked, [
    'limit=5',
    'limit=100',
    'name=none&limit=1000',
    'flush name=a%26b%3Dc.example',
    'flush ',
  ])
})

t.test('a daemon that is not there is one clear line', async t => {
  const dir = shortFolder(t)
  writeFileSync(`${dir}/plain`, '')
  writeFileSync(`${dir}/c.yaml`, `${GOOD}admin: { listen: '', socket: ${dir}/none.sock }\n`)
  writeFileSync(`${dir}/off.yaml`, `${GOOD}admin: { listen: '', socket: '' }\n`)
  for (const args of [
    ['status'],
    ['top'],
    ['cache', 'list'],
    ['cache', 'flush'],
    ['upstreams'],
    ['vips'],
    ['members'],
    ['keys', 'list'],
    ['query', 'x', '--trace'],
  ]) {
    const ran = await spartan([...args, '-c', `${dir}/c.yaml`])
    t.match(
      ran,
      {
        exit: 1,
        out: '',
        err: `spartan: the daemon is not running: nothing answers at ${dir}/none.sock\n`,
      },
      args.join(' '),
    )
  }
  t.match(await spartan(['status', '-c', `${dir}/off.yaml`]), {
    exit: 1,
    err: /neither admin\.socket nor admin\.listen/,
  })
  t.match(await spartan(['status', '--admin', `${dir}/plain`]), { exit: 1, err: /not running/ })
})

t.test('the daemon is asked over the socket, and over TCP where that only looks', async t => {
  const dir = shortFolder(t)
  const server = new AdminServer({
    routes: [
      get('/v1/upstreams', []),
      { method: 'POST', path: '/v1/cache/flush', handle: () => ({ json: { flushed: 0 } }) },
    ],
    log: silent,
  })
  const listen = await server.listen({ address: '127.11.1.3', port: 0 })
  t.teardown(() => server.close())
  const { port } = listen as { port: number }
  const both = { socket: `${dir}/none.sock`, listen: { address: '127.11.1.3', port } }
  t.match(await askDaemon(both, { path: '/v1/upstreams' }), { status: 200, json: [] })
  await t.rejects(askDaemon(both, { path: '/v1/cache/flush', method: 'POST' }), {
    code: 'EHTTP',
    message: /nothing answers at .*none\.sock$/,
  })
  t.match(await spartan(['cache', 'flush', '--admin', `http://127.11.1.3:${port}`]), {
    exit: 1,
    err: /only over the Unix socket/,
  })
  t.match(await spartan(['vips', '--admin', `127.11.1.3:${port}`]), {
    exit: 1,
    err: /has no \/v1\/vips: it is of another version/,
  })
  t.match(await spartan(['status', '--admin', `127.11.1.3:${port}`]), { exit: 1 })

  for (const [text, target] of [
    ['/run/x.sock', { socket: '/run/x.sock', listen: undefined }],
    ['http://127.0.0.1:62080', { socket: '', listen: { address: '127.0.0.1', port: 62080 } }],
    ['http://127.0.0.1', { socket: '', listen: { address: '127.0.0.1', port: 80 } }],
    ['127.0.0.1:62080/', { socket: '', listen: { address: '127.0.0.1', port: 62080 } }],
    ['[::1]:62080', { socket: '', listen: { address: '::1', port: 62080 } }],
    [
      'https://agent-1:62080',
      { socket: '', listen: { address: 'agent-1', port: 62080, https: true } },
    ],
    ['https://[::1]', { socket: '', listen: { address: '::1', port: 443, https: true } }],
    ['ftp://127.0.0.1', undefined],
    ['https://u:p@x', undefined],
    ['http://x/y', undefined],
    ['', undefined],
    ['a b', undefined],
  ] as const) {
    t.strictSame(parseAdmin(text), target, text)
  }
})

t.test('a broken daemon is a sentence, never a hang', async t => {
  const dir = shortFolder(t)
  let said = ''
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', () => (said === 'nothing' ? undefined : socket.end(said)))
  })
  await new Promise<void>(resolve => server.listen(`${dir}/s`, resolve))
  t.teardown(() => server.close())
  const target = { socket: `${dir}/s`, listen: undefined }
  for (const [bytes, message] of [
    ['', /broke/],
    ['nonsense\r\n\r\n', /broke/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', /broke/],
    ['HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}', /refused \/v1\/status: \{\}/],
    ['HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n', /HTTP 503/],
    ['nothing', /did not answer within 50 ms/],
  ] as const) {
    said = bytes
    await t.rejects(
      askDaemon(target, {
        path: '/v1/status',
        deadlineMs: 50 + (bytes === 'nothing' ? 0 : 10_000),
      }),
      { code: 'EHTTP', message },
      bytes,
    )
  }
  said = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]'
  t.match(await spartan(['status', '--admin', `${dir}/s`]), {
    exit: 1,
    err: /not a spartan daemon/,
  })
})

t.test('keys generate writes a keyring once', async t => {
  const dir = t.testdir({})
  const file = `${dir}/keyring.json`
  t.match(await spartan(['keys', 'generate', '--out', file]), {
    exit: 0,
    out: `${file}: 1 key, the first encrypts\n`,
  })
  t.equal(statSync(file).mode & 0o777, 0o600)
  const [first] = JSON.parse(readFileSync(file, 'utf8'))
  t.equal(Buffer.from(first, 'base64').length, 32)
  t.match(await spartan(['keys', 'generate', '-o', file]), {
    exit: 1,
    err: /exists: a new key would cut this node off/,
  })
  t.match(await spartan(['keys', 'generate', '-o', file, '--add']), { exit: 0, out: /2 keys/ })
  t.equal(JSON.parse(readFileSync(file, 'utf8'))[0], first, 'the key that encrypts stays the first')
  const printed = await spartan(['keys', 'generate', '--print'])
  t.equal(Buffer.from(printed.out.trim(), 'base64').length, 32)
  chmodSync(file, 0o644)
  t.match(await spartan(['keys', 'generate', '-o', file, '--add']), {
    exit: 1,
    err: /open to others/,
  })
  writeFileSync(`${dir}/c.yaml`, `${GOOD}gossip: { keyring: ${dir}/named.json }\n`)
  t.match(await spartan(['keys', 'generate', '-c', `${dir}/c.yaml`]), {
    exit: 0,
    out: /named\.json: 1 key/,
  })
  t.match(await spartan(['keys', 'generate', '-o', `${dir}/no/such/folder.json`]), { exit: 1 })
})

t.test('keys are installed, used, removed and listed by the daemon', async t => {
  const asked: unknown[] = []
  const key = Buffer.alloc(32, 7).toString('base64')
  const all = { members: 3, answered: 3, failed: 0, messages: {}, keys: {}, primary: {} }
  const said: Record<string, object> = {
    install: all,
    use: { ...all, failed: 1, messages: { 'agent-2': 'requested key is not in the keyring' } },
    remove: { ...all, answered: 2 },
    list: { ...all, keys: { [key]: 3, abc: 1 }, primary: { [key]: 3 } },
  }
  const admin = await daemon(
    t,
    Object.keys(said).map(name => ({
      method: 'POST' as const,
      path: `/v1/keys/${name}`,
      handle: ({ body }) => (asked.push([name, body]), { json: said[name] }),
    })),
  )
  const keys = (args: string[], more: Partial<Io> = {}) =>
    spartan(['keys', ...args, '--admin', admin], more)
  t.strictSame(await keys(['install', key]), {
    exit: 0,
    out: 'installed on 3 of 3 nodes\n',
    err: '',
  })
  t.strictSame(await keys(['use', '-'], { input: async () => `${key}\n` }), {
    exit: 1,
    out: 'in use on 2 of 3 nodes\nNODE     MESSAGE\nagent-2  requested key is not in the keyring\n',
    err: '',
  })
  t.match(
    await keys(['remove', key]),
    { exit: 1, out: 'removed on 2 of 3 nodes\n' },
    'silence is no consent',
  )
  t.match(await keys(['list']), {
    exit: 0,
    out: new RegExp(`^KEY +NODES +ENCRYPTING\n${key.replace(/\+/g, '.')} +3 +3\nabc +1 +0\n$`),
  })
  t.strictSame(JSON.parse((await keys(['list', '--json'])).out), said['list'])
  t.match(await keys(['install', 'short']), { exit: 2, err: /a key is 16, 24 or 32 octets/ })
  t.strictSame(asked.slice(0, 4), [
    ['install', { key }],
    ['use', { key }],
    ['remove', { key }],
    ['list', undefined],
  ])
})

t.test('resolvconf writes the addresses that answer over UDP and TCP', async t => {
  const ready = (query: Packet) =>
    query.questions?.[0]?.name === 'ready.spartan'
      ? { answers: [A('ready.spartan', '127.0.0.1')] }
      : { flags: 0x0183 }
  const port = await dnsServer(t, '127.11.2.1', ready)
  // Servers on the same port of other addresses: one without TCP, one with SERVFAIL, one with an empty answer, one
  // silent.
  const others = {
    '127.11.2.2': (query: Packet) => ({ ...ready(query), flags: 0x0180 }),
    '127.11.2.3': () => ({ flags: 0x0182 }),
    '127.11.2.4': () => ({ answers: [] }),
    '127.11.2.5': () => undefined,
  }
  for (const [address, rule] of Object.entries(others)) {
    const udp = createSocket('udp4')
    udp.on('message', (wire, from) => {
      const query = decode(wire)
      const said = rule(query)
      if (said)
        udp.send(
          encode({
            type: 'response',
            id: query.id ?? 0,
            questions: query.questions ?? [],
            ...said,
          }),
          from.port,
          from.address,
        )
    })
    await new Promise<void>(resolve => udp.bind(port, address, resolve))
    t.teardown(() => udp.close())
  }
  const dir = t.testdir({ run: { stub: 'nameserver 192.0.2.99\noptions ndots:2\n' } })
  symlinkSync('run/stub', `${dir}/resolv.conf`)
  const file = `${dir}/resolv.conf`
  const resolvconf = (...args: string[]) =>
    spartan(['resolvconf', '--port', String(port), '--timeout', '10s', ...args])
  const all = ['--addresses', '127.11.2.1', ...Object.keys(others), '127.11.2.6', '127.11.2.1:5']

  const printed = await resolvconf('--timeout', '2s', '--search', 'corp.example', ...all)
  t.equal(printed.exit, 0)
  t.match(
    printed.out,
    /^(#.*\n)+options timeout:1 attempts:3\nnameserver 127\.11\.2\.1\nsearch corp\.example\n$/,
  )
  for (const [address, why] of [
    ['127.11.2.2', 'over TCP: connection refused'],
    ['127.11.2.3', 'over UDP: ready.spartan has no answer'],
    ['127.11.2.4', 'over UDP: ready.spartan has no answer'],
    ['127.11.2.5', 'over UDP: no response'],
    ['127.11.2.6', 'over UDP: connection refused'],
  ] as const) {
    t.ok(printed.err.includes(`${address}:${port} left out: ${why}`), address)
  }
  t.match(printed.err, /127\.11\.2\.1:5 left out: resolv\.conf cannot say a port other than/)

  const written = await resolvconf('--write', file, '--keep', '--addresses', '127.11.2.1')
  t.equal(written.exit, 0)
  t.match(
    written.out,
    /^--- .*\n\+\+\+ .*\n@@ [^]*\n-nameserver 192\.0\.2\.99\n[^]*\+options timeout:1 attempts:3 ndots:2\n\+nameserver 127\.11\.2\.1\n/,
  )
  t.match(
    readFileSync(`${dir}/run/stub`, 'utf8'),
    /^nameserver 127\.11\.2\.1$/m,
    'the target of the symlink is written',
  )
  const { mtimeMs, ino } = statSync(`${dir}/run/stub`)
  t.match(await resolvconf('-w', file, '--keep', '-a', '127.11.2.1'), {
    exit: 0,
    out: '',
    err: /is up to date/,
  })
  t.match(statSync(file), { mtimeMs, ino }, 'the same text is not written again')

  const before = readFileSync(file, 'utf8')
  t.match(await resolvconf('-w', file, '-a', '127.11.2.6'), {
    exit: 1,
    out: '',
    err: /no address answers; .*resolv\.conf is left as it is\n$/,
  })
  t.equal(readFileSync(file, 'utf8'), before)
  t.match(await resolvconf('-w', file, '-a', '127.11.2.1', '--search', 'a,b'), {
    exit: 2,
    err: /spaces, not commas/,
  })
  t.match(
    await resolvconf('-w', `${dir}/new`, '-a', '127.11.2.1'),
    { exit: 0, out: /^\+nameserver/m },
    'a file that was absent is made',
  )
  writeFileSync(`${dir}/c.yaml`, `listen: { addresses: [127.11.2.1, 127.11.2.6], port: ${port} }\n`)
  t.match(await resolvconf('-c', `${dir}/c.yaml`), { exit: 0, out: /^nameserver 127\.11\.2\.1$/m })
  t.match(await spartan(['resolvconf', '-c', `${dir}/c.yaml`]), {
    exit: 1,
    err: /left out: resolv\.conf cannot say a port other than 53/,
  })
})

t.test('the commands that are programs are loaded from where they are', async t => {
  const statuses: number[] = []
  const io: Io = {
    out: () => {},
    err: () => {},
    input: async () => '',
    tty: false,
    interrupted: new AbortController().signal,
  }
  const program = await createProgram(io, status => statuses.push(status))
  t.strictSame(program.commands.map(command => command.name()).sort(), [
    'balance',
    'cache',
    'check',
    'completion',
    'demo',
    'drill',
    'keys',
    'log',
    'members',
    'mesos-dns',
    'query',
    'reload',
    'resolvconf',
    'run',
    'status',
    'top',
    'upstreams',
    'version',
    'vips',
  ])
  t.strictSame(statuses, [])
})

t.test('the program itself has the exit statuses, and streams apart', async t => {
  // The child also needs the loaders that run this file as TypeScript.
  const run = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [...process.execArgv, new URL('../../src/main.ts', import.meta.url).pathname, ...args],
      { encoding: 'utf8' },
    )
  t.match(run('--version'), { status: 0, stdout: `${version()}\n` })
  t.match(run('chekc'), { status: 2, stdout: '', stderr: /Did you mean check\?/ })
  t.match(run('status', '--admin', '/nonexistent/admin.sock'), {
    status: 1,
    stdout: '',
    stderr: /^spartan: the daemon is not running: nothing answers at \/nonexistent\/admin\.sock\n$/,
  })
})

t.test('no message passes a control character on to the terminal', async t => {
  const program = await createProgram({} as Io, () => {})
  type One = typeof program
  const all = (one: One, path: string[] = []): [One, string[]][] => [
    [one, path],
    ...one.commands.flatMap(inner => all(inner, [...path, inner.name()])),
  ]
  const EVIL = '\u001b[31mred\u009b\r\nforged'
  const rows = all(program).flatMap(([one, path]) => {
    const config = one.options.some(({ long }) => long === '--config') && one.name() !== 'demo'
    // These write to the process's own standard error.
    const outside = ['run', 'mesos-dns', 'balance'].includes(one.name())
    return [
      [...path, `--${EVIL}`],
      [...path, ...(config && !outside ? ['--config', `/nowhere/${EVIL}`] : [`--x=${EVIL}`])],
      ...(one.name() === 'query'
        ? [
            ['query', `${EVIL}..`],
            ['query', 'a.example', EVIL],
          ]
        : []),
    ]
  })
  t.ok(rows.length > 30)
  for (const args of rows) {
    const { err } = await spartan(args)
    const what = JSON.stringify(args)
    t.notMatch(err, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, what)
    t.notMatch(err, /^forged/m, what)
  }
})
