/**
 * dnstap from the whole daemon: fstrm_capture listens and dnstap-read prints, and readers that come late, leave or are
 * stuck, beside queries that are answered all the time.
 */
import t, { type Test } from 'tap'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownAddress } from '../fixture/address.ts'
import { ask, exchange, openTcp, query } from '../fixture/client.ts'
import { daemon, type Daemon, type Settings } from '../fixture/daemon.ts'
import { dig, have } from '../fixture/dig.ts'
import { decode, dnstapReader, messageIn } from '../fixture/dnstap-reader.ts'
import { A, TXT } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'
import { framed } from '../fixture/wire.ts'

const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
let paths = 0
const newPath = (ending: string): string => join(dir, `${++paths}.${ending}`)

const external = await upstream(t, [
  A('www.example.org. 300 203.0.113.1'),
  ...Array.from({ length: 60 }, (_, n) => TXT(`big.example.org. 300 "${n} ${'x'.repeat(200)}"`)),
])

const until = async (so: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await so())) await sleep(20)
}
const sent = async (one: Daemon, queries: number): Promise<void> =>
  until(async () => (await one.metric('dnstap_sent_total')) >= queries)
const dropped = (one: Daemon, reason: string): Promise<number> =>
  one.metric('dnstap_dropped_total', { reason })
const trouble = async (one: Daemon): Promise<string> => {
  const { health } = (await one.status()) as {
    health: { trouble: readonly { name: string; detail: string }[] }
  }
  return health.trouble.find(({ name }) => name === 'dnstap')?.detail ?? ''
}
const start = (t: Test, dnstap: Settings): Promise<Daemon> =>
  daemon(t, { upstreams: [external.name], allow: ['127.0.0.0/9'], dnstap })

/** fstrm_capture, which listens at `path` and writes what it gets into a file when it ends. */
class Capture {
  readonly file = newPath('tap')
  readonly #process: ChildProcess
  readonly #exited: Promise<unknown>
  #said = ''

  constructor(t: Test, path: string) {
    // As verbose as it can be: then it says each frame.
    const args = ['-ddddd', '-t', 'protobuf:dnstap.Dnstap', '-u', path, '-w', this.file]
    this.#process = spawn('fstrm_capture', args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#said += text))
    this.#exited = once(this.#process, 'exit')
    t.teardown(() => this.stop())
  }

  /** Resolves when it has so many frames. */
  async has(frames: number): Promise<void> {
    await until(() => this.#said.split('processing data frame').length > frames)
  }

  /** What dnstap-read prints of it. */
  async stop(...options: readonly string[]): Promise<string> {
    this.#process.kill('SIGINT')
    await this.#exited
    return execFileSync('dnstap-read', [...options, this.file], { encoding: 'utf8' })
  }
}

t.test('real readers show what was asked and answered', async t => {
  if (![have(t, 'fstrm_capture'), have(t, 'dnstap-read'), have(t, 'dig')].every(Boolean)) return
  const path = newPath('sock')
  const first = new Capture(t, path)
  const one = await start(t, { socket: path })
  await one.until('dnstap has a reader')
  const client = ownAddress()
  const stranger = '127.211.0.1'
  const { address, port } = one.at
  await dig(one.at, ['-b', client, 'www.example.org', 'A'])
  await dig(one.at, ['-b', client, '+tcp', 'WWW.example.org', 'A'])
  await dig(one.at, ['-b', client, 'a.localhost', 'AAAA'])
  await dig(one.at, ['-b', client, 'web.mesos.test', 'A'])
  await dig(one.at, ['-b', stranger, 'www.example.org', 'A'])
  await dig(one.at, ['-b', client, '+tcp', 'big.example.org', 'TXT'])
  await sent(one, 6)
  await first.has(12)
  t.equal(await one.metric('dnstap_up'), 1)
  const brief = await first.stop()
  await one.until('dnstap has no reader, queries are not shown to it; it is tried again')
  const lines = brief.trim().split('\n')
  // One of each for every query, in the order of the answers.
  for (const [i, [from, how, asked]] of [
    [client, 'UDP', 'www.example.org/IN/A'],
    [client, 'TCP', 'WWW.example.org/IN/A'],
    [client, 'UDP', 'a.localhost/IN/AAAA'],
    [client, 'UDP', 'web.mesos.test/IN/A'],
    [stranger, 'UDP', 'www.example.org/IN/A'],
    [client, 'TCP', 'big.example.org/IN/TXT'],
  ].entries()) {
    const [cq = '', cr = ''] = lines.slice(2 * i)
    const what = `${how} \\d+b ${asked}$`
    t.match(cq, new RegExp(` CQ ${from}:\\d+ -> ${address}:${port} ${what}`))
    t.match(cr, new RegExp(` CR ${from}:\\d+ <- ${address}:${port} ${what}`))
  }
  t.equal(lines.length, 12, 'and nothing else: what the daemon asks itself is not shown')

  const second = new Capture(t, path)
  await one.until('dnstap has a reader', 2)
  await dig(one.at, ['-b', client, 'www.example.org', 'A'])
  await dig(one.at, ['-b', stranger, 'www.example.org', 'A'])
  await second.has(4)
  const text = await second.stop('-y')
  t.match(text, /identity: agent-under-test\nversion: spartan \d/)
  t.match(text, /type: CLIENT_RESPONSE[^]*?status: NOERROR[^]*?203\.0\.113\.1[^]*?status: REFUSED/)
  t.match(text, /query_address: "127\.211\.0\.1"/)
  const times = [...text.matchAll(/(?:query|response)_time: !!timestamp (\S+)/g)].map(m => m[1]!)
  t.equal(times.length, 4)
  for (const time of times) t.ok(Math.abs(Date.parse(time) - Date.now()) < 600_000, time)
})

t.test('what is sent are the messages as they were on the wire', async t => {
  const path = newPath('sock')
  const reader = await dnstapReader(t, path)
  const one = await start(t, { socket: path, messages: 'both', identity: 'node 7' })
  await one.until('dnstap has a reader')
  const from = ownAddress()
  for (const tcp of [false, true, false, true]) {
    const wire = query('wWw.example.org', 'A', { id: 4711, edns: {} })
    const before = reader.frames.length
    const reply = await exchange(one.at, wire, { from, tcp })
    await reader.until(() => reader.frames.length === before + 2)
    const [cq, cr] = reader.frames.slice(before).map(messageIn)
    t.strictSame(cq!.get(10), wire, tcp ? 'TCP' : 'UDP')
    t.strictSame(cr!.get(14), reply)
    t.equal(cr!.get(3), tcp ? 2 : 1)
    const took = 1000 * ((cr!.get(12) as number) - (cr!.get(8) as number))
    t.ok(took >= 0 && took < 60_000)
  }
  t.equal(String(decode(reader.frames[0]!).get(1)), 'node 7')
})

t.test(
  'without a reader, and with one that is stuck, DNS goes on and the status says so',
  async t => {
    const path = newPath('sock')
    const one = await start(t, { socket: path })
    await one.until('dnstap has no reader, queries are not shown to it; it is tried again')
    t.equal((await ask(one.at, 'www.example.org')).status, 'NOERROR')
    await until(async () => (await dropped(one, 'no_reader')) >= 1)
    t.equal(await trouble(one), `there is no socket ${path}`)
    t.equal(await one.metric('dnstap_up'), 0)
    t.equal(await one.metric('ready'), 1)

    const reader = await dnstapReader(t, path, { stuck: true })
    await one.until('dnstap has a reader')
    const stream = await openTcp(one.at)
    const big = framed(query('big.example.org', 'TXT'))
    let asked = 0
    while ((await dropped(one, 'slow_reader')) === 0) {
      for (let n = 0; n < 50; n++) stream.socket.write(big)
      for (let n = 0; n < 50; n++) await stream.next()
      asked += 50
    }
    t.ok(asked < 2000, `${asked} answers of 13 KB`)
    t.match(await trouble(one), /is too slow: queries are dropped/)
    t.equal((await ask(one.at, 'www.example.org')).status, 'NOERROR')

    reader.resume()
    await until(async () => {
      await ask(one.at, 'www.example.org')
      return (await trouble(one)) === ''
    })
    const before = await one.metric('dnstap_sent_total')
    await ask(one.at, 'www.example.org')
    await sent(one, before + 1)
    stream.socket.destroy()
  },
)

t.test('a daemon that ends says what it has still answered, and STOP', async t => {
  const path = newPath('sock')
  const reader = await dnstapReader(t, path)
  const one = await start(t, { socket: path, messages: 'response' })
  await one.until('dnstap has a reader')
  await ask(one.at, 'www.example.org')
  t.equal(await one.stop(), 0)
  await reader.until(() => reader.controls.includes(3))
  t.equal(reader.frames.length, 1)
  t.strictSame(reader.controls, [4, 2, 3], 'READY, START, STOP')
})

t.test(
  'a daemon ends in time beside a stuck reader, and beside one that does not finish',
  async t => {
    for (const behaviour of [
      { stuck: true },
      { bye: Buffer.alloc(0) },
      { hello: Buffer.alloc(0) },
    ]) {
      const path = newPath('sock')
      const reader = await dnstapReader(t, path, behaviour)
      const one = await start(t, { socket: path })
      await reader.until(() => reader.connections === 1)
      await ask(one.at, 'www.example.org')
      t.equal(await one.stop(), 0)
      t.notMatch(one.lines('stopped')[0], { hanging: /./ })
      t.ok(one.lines('stopped')[0])
    }
  },
)

t.test('a reload turns it on, elsewhere, and off', async t => {
  const [here, there] = [newPath('sock'), newPath('sock')]
  const readers = [await dnstapReader(t, here), await dnstapReader(t, there)] as const
  const one = await daemon(t, { upstreams: [external.name] })
  t.equal(await one.metric('dnstap_up'), 0)
  one.configure({ dnstap: { socket: here, messages: 'query' } })
  await one.reload()
  await one.until('dnstap has a reader')
  await ask(one.at, 'www.example.org')
  await readers[0].until(() => readers[0].frames.length === 1)
  one.configure({ dnstap: { socket: there, messages: 'response' } })
  await one.reload()
  await one.until('dnstap has a reader', 2)
  await readers[0].until(() => readers[0].controls.includes(3))
  await ask(one.at, 'www.example.org')
  await readers[1].until(() => readers[1].frames.length === 1)
  t.equal(messageIn(readers[1].frames[0]!).get(1), 6)
  one.configure({ dnstap: undefined })
  await one.reload()
  await readers[1].until(() => readers[1].controls.includes(3))
  await ask(one.at, 'www.example.org')
  t.equal(readers[0].frames.length + readers[1].frames.length, 2)
  t.notMatch(await one.page('/metrics'), /spartan_dnstap_up \d/)
})
