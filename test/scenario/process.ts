/** The process under load: stopped, killed, frozen, reloaded. It uses the streams of look-ups of chaos.ts. */
import t from 'tap'
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, ownAddresses } from '../fixture/address.ts'
import { ask, openTcp, query } from '../fixture/client.ts'
import { mesos, none, stream, world } from '../fixture/cluster.ts'
import { daemon, PROGRAM } from '../fixture/daemon.ts'
import { masters } from '../fixture/masters.ts'
import { A, data } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'
import { framed } from '../fixture/wire.ts'

t.setTimeout(600_000)

t.test('25. SIGTERM under load: those who asked before are answered', async t => {
  const w = await world(t, { rules: [...mesos, { delay: 200 }] })
  const waiting = Array.from({ length: 50 }, (_, i) =>
    ask(w.d.addresses[i % 3]!, `n${i}.cold.mesos`),
  )
  await w.three.at(0).heard({}, 50)
  w.d.kill('SIGTERM')
  t.equal((await Promise.all(waiting)).filter(r => r.status === 'NOERROR').length, 50)
  t.equal(await w.d.exited, 0)
})

t.test('32. stopped for three seconds, then going on', async t => {
  const w = await world(t)
  await ask(w.d.at, 'n1.mesos')
  w.d.kill('SIGSTOP')
  const late = w.stub.lookup('n1.mesos')
  await new Promise(resolve => setTimeout(resolve, 3_000))
  w.d.kill('SIGCONT')
  t.equal((await late).result, 'ok')
  none(t, await stream(w))
})

t.test('33. a hundred reloads under load', async t => {
  const w = await world(t)
  const running = stream(w)
  for (let n = 0; n < 100; n++) {
    w.d.kill('SIGHUP')
    await new Promise(resolve => setTimeout(resolve, 15))
  }
  none(t, await running)
  await w.d.until('reloaded')
  t.equal(w.d.process.exitCode, null)
})

t.test(
  '26. killed and started again: clients see no failure while the other addresses are held by nobody',
  async t => {
    const w = await world(t)
    await ask(w.d.at, 'n1.mesos')
    w.d.kill('SIGKILL')
    await once(w.d.process, 'exit')
    const again = await daemon(t, {
      masters: w.three.config,
      listen: { addresses: w.d.addresses.map(a => a.address), port: w.d.at.port },
    })
    t.equal(
      (await ask(again.at, 'n1.mesos')).status,
      'NOERROR',
      'the same addresses can be bound at once',
    )
  },
)

t.test('a command line that does not start the daemon ends, whatever began to load', async t => {
  for (const [args, status] of [
    [['--no-such-option'], 2],
    [['--help'], 0],
  ] as const) {
    const child = spawn(process.execPath, [PROGRAM, 'run', ...args], {
      stdio: 'ignore',
      env: { ...process.env, NODE_OPTIONS: '', _TAPJS_PROCESSINFO_EXCLUDE_: '.' },
    })
    t.teardown(() => child.kill('SIGKILL'))
    const [code] = await once(child, 'exit')
    t.equal(code, status)
  }
})

t.test('a bad configuration is refused before anything is bound, with its place', async t => {
  const hosts = ownAddresses(1)
  const port = await freePort(hosts)
  for (const [settings, complaint] of [
    [{ chache: {} }, /:\d+:\d+: .*chache.*cache/],
    [{ upstreams: ['not an address'] }, /:\d+:\d+: .*upstreams/],
    [{ cache: { maxBytes: 'lots' } }, /:\d+:\d+: .*maxBytes/],
    [{ listen: { addresses: ['0.0.0.0'], port } }, /./],
  ] as const) {
    const d = await daemon(
      t,
      { listen: { addresses: hosts, port }, ...settings },
      { unready: true },
    )
    const status = await Promise.race([d.exited, d.until('ready').then(() => 'ready')])
    if (status === 'ready') t.comment(`accepted: ${JSON.stringify(settings)}`)
    else t.equal(status, 2, JSON.stringify(settings))
    if (status !== 'ready') t.match(d.stray, complaint)
    t.equal(d.lines('listening').length === 0 || status === 'ready', true, 'nothing was bound')
    await d.stop()
  }
})

t.test(
  'an address that cannot be bound does not stop the others, and is taken when it is free',
  async t => {
    const hosts = ownAddresses(3)
    const port = await freePort(hosts)
    const squatter = createSocket('udp4')
    squatter.bind({ address: hosts[1]!, port, exclusive: true })
    await once(squatter, 'listening')
    const d = await daemon(t, { listen: { addresses: hosts, port } }, { unready: true })
    t.match(await d.until('cannot bind, will try again'), { address: hosts[1], transport: 'udp' })
    await d.until('listening', 5)
    t.equal((await ask(d.addresses[0]!, 'ready.spartan')).status, 'NOERROR')
    t.equal((await ask(d.addresses[2]!, 'ready.spartan', 'A', { tcp: true })).status, 'NOERROR')
    t.equal(d.lines('ready').length, 0, 'not ready while one is missing')
    squatter.close()
    await d.until('ready')
    t.equal((await ask(d.addresses[1]!, 'ready.spartan')).status, 'NOERROR')
  },
)

t.test(
  'what is known survives a restart, as stale, and a damaged copy of it is no obstacle',
  async t => {
    const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
    t.teardown(() => rmSync(dir, { recursive: true, force: true }))
    const snapshot = join(dir, 'cache')
    const up = await upstream(t, [
      A('www.example.org. 1 203.0.113.1'),
      A('long.example.org. 3600 203.0.113.2'),
    ])
    const settings = { upstreams: [up.name], cache: { snapshot } }
    const first = await daemon(t, settings)
    await ask(first.at, 'www.example.org')
    await ask(first.at, 'long.example.org')
    t.equal(await first.stop(), 0)
    t.ok(existsSync(snapshot), 'it was written')
    t.equal(statSync(snapshot).mode & 0o077, 0, 'for nobody else to read')
    up.silence()
    await new Promise(resolve => setTimeout(resolve, 1_100))
    const second = await daemon(t, settings)
    t.same(
      data((await ask(second.at, 'www.example.org')).answers),
      ['203.0.113.1'],
      'expired: stale',
    )
    t.same(data((await ask(second.at, 'long.example.org')).answers), ['203.0.113.2'], 'not expired')
    const aged = { source: 'snapshot' }
    t.equal(await second.metric('stale_answer_age_seconds_count', aged), 2, 'and it is counted')
    t.equal(await second.stop(), 0)
    const whole = readFileSync(snapshot)
    const other = await upstream(t, [])
    other.silence()
    const third = await daemon(t, { ...settings, upstreams: [other.name] })
    const read = await third.until('cache snapshot read')
    t.match(read, { entries: 0, otherRoute: 2 }, 'another upstream gave them')
    t.equal((await ask(third.at, 'long.example.org')).status, 'SERVFAIL')
    t.equal(await third.stop(), 0)
    const damage: readonly (readonly [string, () => void])[] = [
      ['truncated', () => truncateSync(snapshot, whole.length >> 1)],
      ['empty', () => writeFileSync(snapshot, '')],
      ['of noise', () => writeFileSync(snapshot, Buffer.alloc(5_000, 0xa5))],
      [
        'with a bit flipped',
        () =>
          writeFileSync(
            snapshot,
            Buffer.from(whole.map((c, i) => (i === whole.length - 9 ? c ^ 4 : c))),
          ),
      ],
      [
        'of another version',
        () => writeFileSync(snapshot, Buffer.from(whole.map((c, i) => (i === 3 ? 0x31 : c)))),
      ],
    ]
    for (const [says, harm] of damage) {
      harm()
      const d = await daemon(t, settings)
      const { err } = await d.until('the cache snapshot is not restored')
      t.match(err, says === 'of another version' ? /another version/ : /damaged/, says)
      t.equal((await ask(d.at, 'ready.spartan')).status, 'NOERROR', says)
      t.equal(await d.stop(), 0)
      t.equal(d.stray, '', says)
    }
  },
)

t.test('SIGTERM: TCP clients that wait are answered too, then all is closed', async t => {
  const three = await masters(t, [{ delay: 300, records: [A('web.mesos. 60 192.0.2.1')] }])
  const d = await daemon(t, { masters: three.config })
  const streams = await Promise.all(Array.from({ length: 5 }, () => openTcp(d.at)))
  streams.forEach(({ socket }, i) => socket.write(framed(query(`n${i}.mesos`))))
  await three.at(0).heard({}, streams.length)
  d.kill('SIGTERM')
  t.ok(
    (await Promise.all(streams.map(s => s.next()))).every(raw => raw !== undefined),
    'answered',
  )
  t.equal(await d.exited, 0)
  await Promise.all(streams.map(s => s.closed))
})

t.test(
  'its page and its API say what it does, and nothing on the wire gets into them raw',
  async t => {
    const up = await upstream(t, [A('www.example.org. 60 203.0.113.1')])
    const d = await daemon(t, { upstreams: [up.name] })
    const evil = '<script>\\010\\027[31m"\\255{}.example.org'
    for (let n = 0; n < 30; n++) await ask(d.at, evil)
    await ask(d.at, 'www.example.org')
    t.equal((await fetch(`${d.admin}/healthz`)).status, 200)
    t.equal((await fetch(`${d.admin}/readyz`)).status, 200)
    for (const path of ['/', '/v1/status', '/metrics']) {
      const page = await d.page(path)
      t.notMatch(page, /<script>\n|\x1b/, path)
    }
    t.ok((await d.metric('dns_requests_total')) >= 31)
    t.ok((await d.metric('cache_misses_total')) >= 2)
    t.match(await d.status(), { node: 'agent-under-test' })
    t.equal((await fetch(`${d.admin}/../../etc/passwd`)).status, 404)
  },
)
