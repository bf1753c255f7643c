/** The query log: what each line says, which queries a filter keeps, over the real daemon and `spartan log`. */
import t, { type Test } from 'tap'
import { runCli } from '../../src/cli/program.ts'
import type { LoggedQuery } from '../../src/ops/query-log.ts'
import { readFilter } from '../../src/ops/query-log.ts'
import { ownAddress } from '../fixture/address.ts'
import { ask, exchange } from '../fixture/client.ts'
import { daemon, type Daemon } from '../fixture/daemon.ts'
import { masters } from '../fixture/masters.ts'
import { A, SOA } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'

type Line = Partial<LoggedQuery> & { readonly dropped?: number }

/** `spartan log` beside a daemon. */
class Follower {
  readonly lines: Line[] = []
  readonly exit: Promise<number>
  said = ''
  readonly #interruption = new AbortController()
  #tell: () => void = () => {}

  constructor(t: Test, one: Daemon, args: readonly string[]) {
    this.exit = runCli(['log', '--admin', one.socket, ...args], {
      out: text => {
        this.lines.push(JSON.parse(text) as Line)
        this.#tell()
      },
      err: text => void (this.said += text),
      input: async () => '',
      tty: false,
      interrupted: this.#interruption.signal,
    })
    t.teardown(() => this.stop())
  }

  async stop(): Promise<number> {
    this.#interruption.abort()
    return this.exit
  }

  /** Asks until the log shows a query of this name: then it listens. */
  async listens(one: Daemon, name: string): Promise<void> {
    while (!this.lines.some(line => line.name === name)) await ask(one.at, name)
    this.lines.length = 0
  }

  async until(fits: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const found = this.lines.find(fits)
      if (found) return found
      await new Promise<void>(resolve => (this.#tell = resolve))
    }
  }
}

const soa = SOA('mesos. 60 ns1.mesos. root.ns1.mesos. 1 60 600 86400 60')

const cluster = await masters(t, [soa])
const external = await upstream(t, [
  A('www.example.org. 300 203.0.113.1'),
  A('a.b.example.org. 300 203.0.113.2'),
  A('notexample.org. 300 203.0.113.3'),
  { name: 'bad.example.org', rcode: 'SERVFAIL' },
])
const one = await daemon(t, {
  masters: { source: 'static', addresses: cluster.all.map(m => m.address), port: cluster.port },
  upstreams: [external.name],
  allow: ['127.0.0.0/9'],
})

t.test('each query is a line that says how it was answered', async t => {
  const stranger = '127.211.0.1'
  const client = ownAddress()
  const log = new Follower(t, one, [])
  await log.listens(one, 'begin.mesos')
  const from = { from: client }
  await ask(one.at, 'WWW.example.org', 'A', from)
  await ask(one.at, 'www.example.org', 'A', from)
  await ask(one.addresses[1]!, 'www.example.org', 'A', { ...from, tcp: true })
  await ask(one.at, 'gone.mesos', 'AAAA', from)
  await ask(one.at, 'a.localhost', 'A', from)
  await ask(one.at, 'bad.example.org', 'A', { ...from, edns: {} })
  await ask(one.at, 'www.example.org', 'A', { from: stranger })
  await exchange(one.at, Buffer.from('000101000000000000000000', 'hex'))
  await log.until(({ rcode }) => rcode === 'FORMERR')
  const { address, port } = one.at
  const here = { client, transport: 'udp', server: `${address}:${port}` } as const
  // prettier-ignore
  const wanted: Line[] = [
    { ...here, name: 'WWW.example.org', type: 'A', outcome: 'miss', rcode: 'NOERROR' },
    { ...here, name: 'www.example.org', type: 'A', outcome: 'hit', rcode: 'NOERROR' },
    { ...here, transport: 'tcp', server: `${one.addresses[1]!.address}:${port}`, outcome: 'hit' },
    { ...here, name: 'gone.mesos', type: 'AAAA', outcome: 'miss', rcode: 'NXDOMAIN' },
    { ...here, name: 'a.localhost', outcome: 'local' },
    { ...here, name: 'bad.example.org', outcome: 'failure', rcode: 'SERVFAIL', ede: 22 },
    { ...here, client: stranger, outcome: 'refused', rcode: 'REFUSED', ede: 18 },
    { name: '', type: '', outcome: 'refused', rcode: 'FORMERR' },
  ]
  const lines = log.lines.filter(({ name }) => name !== 'begin.mesos')
  t.match(lines, wanted)
  t.equal(lines.length, wanted.length)
  for (const line of lines) {
    t.ok(line.ms! >= 0 && line.octets! >= 12 && line.port! > 0, JSON.stringify(line))
    t.ok(Math.abs(Date.parse(line.time!) - Date.now()) < 600_000, 'the time is of now')
  }
  t.equal(await log.stop(), 0)
})

t.test('filters keep what they name, and the daemon asks itself unseen', async t => {
  const [mine, other] = [ownAddress(), ownAddress()]
  const byName = new Follower(t, one, ['--name', 'Example.ORG.'])
  const byClient = new Follower(t, one, ['--client', `192.0.2.0/24,${mine}`])
  const byOutcome = new Follower(t, one, ['--outcome', 'hit,nxdomain'])
  const counted = new Follower(t, one, ['--count', '3', '--sample', '2'])
  await byName.listens(one, 'www.example.org')
  while (byClient.lines.length === 0) await ask(one.at, 'begin.example.org', 'A', { from: mine })
  await byOutcome.listens(one, 'www.example.org')
  for (const name of ['a.b.example.org', 'notexample.org', 'example.org', 'gone.example.org'])
    for (const from of [mine, other]) await ask(one.at, name, 'A', { from })
  // The last name is a hit at the second question.
  const last = (line: Line): boolean => line.name === 'gone.example.org' && line.client === other
  await Promise.all([byName.until(last), byOutcome.until(last)])
  await byClient.until(line => line.name === 'gone.example.org')
  const names = (log: Follower): string[] => [...new Set(log.lines.map(line => line.name!))].sort()
  for (const name of names(byName)) t.match(name, /^(.+\.)?example\.org$/)
  t.notOk(names(byName).includes('notexample.org'))
  t.ok(names(byName).includes('a.b.example.org'))
  t.ok(byClient.lines.every(line => line.client === mine))
  t.ok(byOutcome.lines.every(({ outcome, rcode }) => outcome === 'hit' || rcode === 'NXDOMAIN'))
  t.ok(byOutcome.lines.some(({ outcome }) => outcome === 'hit'))
  while (counted.lines.length < 3) await ask(one.at, 'www.example.org')
  t.equal(await counted.exit, 0, 'it ends by itself')
  t.equal(counted.lines.length, 3)
  t.ok(await one.metric('health_request_failures_total').then(n => n === 0))
  const own = [byName, byClient, byOutcome].flatMap(names).filter(name => /spartan$/.test(name))
  t.strictSame(own, [])
})

t.test('wrong filters are refused before anything is watched', async t => {
  for (const [args, says] of [
    [['--outcome', 'great'], /"great" is no outcome: hit, miss/],
    [['--name', 'a..b'], /"a\.\.b" is not a name/],
    [['--client', '10.0.0.0/99'], /10\.0\.0\.0\/99/],
    [['--sample', '0'], /whole number/],
  ] as const) {
    const log = new Follower(t, one, args)
    t.ok((await log.exit) > 0, says.source)
    t.match(log.said, says)
    t.notMatch(log.said, /\n\s+at /, 'no stack')
  }
  const watching = Array.from({ length: 8 }, () => new Follower(t, one, []))
  await Promise.all(watching.map(log => log.listens(one, 'localhost')))
  const ninth = new Follower(t, one, [])
  t.equal(await ninth.exit, 1)
  t.match(ninth.said, /too many watch/)
  await Promise.all(watching.map(log => log.stop()))
  const tenth = new Follower(t, one, [])
  await tenth.listens(one, 'localhost')
  t.pass('who has left makes room')
})

t.test('the filter as the daemon reads it', async t => {
  const read = (text: string) => readFilter(new URLSearchParams(text))
  t.match(read(''), { watching: { every: 1, clients: [], outcomes: -1 } })
  t.match(read('client=10.1.2.3/8&client=::1'), {
    watching: { clients: ['10.0.0.0/8', '::1/128'] },
  })
  t.match(read('outcome=hit&outcome=SERVFAIL'), { watching: { outcomes: 1, rcodes: 1 << 2 } })
  for (const wrong of ['sample=x', 'sample=-1', 'nam=x', 'name=a..b', 'client=x', 'outcome=x'])
    t.match(read(wrong), { problem: /\w/ }, wrong)
})
