/**
 * A silent upstream beside a good one, with the real daemon and real sockets,
 * over everything an upstream may speak: each pair has a zone of its own, so
 * all pairs are tried side by side. How long a miss takes is held against a
 * clock moved by hand in test/data/forward/silent-upstream.ts.
 */
import t from 'tap'
import type { Test } from 'tap'
import { ownAddress } from '../fixture/address.ts'
import { ask, type Reply } from '../fixture/client.ts'
import { daemon, type Daemon } from '../fixture/daemon.ts'
import { certificate, noOpenssl, overHttps, overTls } from '../fixture/encrypted.ts'
import { A, type RR } from '../fixture/rr.ts'
import { upstream, type Upstream } from '../fixture/upstream.ts'

const NAMES = 300
const address = ownAddress()
const pem = noOpenssl ? undefined : certificate(t, address)

/** An upstream as the configuration names it, and how it falls silent. */
type Speaker = { name: string; silence(): void; resume(): void }

/** By transport: puts what speaks it in front of a scripted upstream. */
const TRANSPORTS: Record<string, (t: Test, up: Upstream, records: RR[]) => Promise<Speaker>> = {
  udp: async (_t, up) => ({ name: up.name, ...hearsOnly(up) }),
  // Every answer over UDP is truncated, and over TCP there is no answer.
  'tcp-after-udp': async (_t, up, records) => ({
    name: up.name,
    silence: () => up.set([...records, { truncate: true, tcp: 'silent' }]),
    resume: () => up.set(records),
  }),
  tcp: async (_t, up) => ({ name: `tcp://${up.name}`, ...hearsOnly(up) }),
}
if (pem) {
  TRANSPORTS['tls'] = async (t, up) => {
    const { port } = await overTls(t, up, pem)
    return { name: `tls://${address}:${port}`, ...hearsOnly(up) }
  }
  TRANSPORTS['tls-without-handshake'] = async (t, up) => {
    const front = await overTls(t, up, pem)
    return {
      name: `tls://${address}:${front.port}`,
      silence: () => (front.handshakes = false),
      resume: () => (front.handshakes = true),
    }
  }
  TRANSPORTS['https'] = async (t, up) => {
    const { port } = await overHttps(t, up, pem)
    return { name: `https://${address}:${port}/dns-query`, ...hearsOnly(up) }
  }
} else t.comment('SKIPPED: openssl is not installed, so nothing is tried over TLS and HTTPS')

/** It reads questions and says nothing. */
const hearsOnly = (up: Upstream): Omit<Speaker, 'name'> => ({
  silence: () => up.silence(),
  resume: () => void up.resume(),
})

const env = pem ? { NODE_EXTRA_CA_CERTS: pem.path } : {}
const recordsOf = (zone: string): RR[] =>
  Array.from({ length: NAMES }, (_, i) => A(`n${i}.${zone}. 60 192.0.2.1`))

type UpstreamState = { name: string; state: string; lastFailure: string; lastFailureAt: number }
const statesOf = async (d: Daemon): Promise<Map<string, UpstreamState>> => {
  const { upstreams } = (await d.status()) as { upstreams: UpstreamState[] }
  return new Map(upstreams.map(u => [u.name, u]))
}

/** One zone with a silent upstream and a good one. */
type Pair = { zone: string; silent: Speaker; silentUp: Upstream; good: Speaker }

const pairOf = async (t: Test, transport: string, zone: string): Promise<Pair> => {
  const records = recordsOf(zone)
  const speak = async (): Promise<[Speaker, Upstream]> => {
    const up = await upstream(t, records, { address })
    return [await TRANSPORTS[transport]!(t, up, records), up]
  }
  const [silent, silentUp] = await speak()
  return { zone, silent, silentUp, good: (await speak())[0] }
}

t.test('a silent one beside a good one: answers go on, and everything names it', async t => {
  const pairs: Pair[] = []
  const forwardZones: Record<string, string[]> = {}
  for (const transport of Object.keys(TRANSPORTS))
    for (const order of ['first', 'second']) {
      const pair = await pairOf(t, transport, `${transport}-${order}.corp`)
      pairs.push(pair)
      const names = [pair.silent.name, pair.good.name]
      forwardZones[pair.zone] = order === 'first' ? names : names.reverse()
    }
  const d = await daemon(t, { forwardZones }, { env })

  let asked = 0
  /** Asks a name of each zone that was not asked before; those zones that had no answer. */
  const missEach = async (): Promise<string[]> => {
    const n = asked++ % NAMES
    const replies = await Promise.all(pairs.map(({ zone }) => ask(d.at, `n${n}.${zone}`)))
    return pairs.filter((_, i) => replies[i]!.status !== 'NOERROR').map(({ zone }) => zone)
  }
  /** Asks, as a host that is used does, until all silent ones, or none, are dead. */
  const until = async (state: 'dead' | 'up'): Promise<Map<string, UpstreamState>> => {
    const since = Date.now()
    for (;;) {
      const states = await statesOf(d)
      const missing = pairs.filter(({ silent }) => states.get(silent.name)!.state !== state)
      if (missing.length === 0) {
        t.comment(`all ${pairs.length} are ${state} after ${Date.now() - since} ms`)
        return states
      }
      await missEach()
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
  /** What the log says about one upstream; it may be a moment behind the status. */
  const logged = async (msg: string, name: string, times: number): Promise<number> => {
    const count = (): number => d.lines(msg).filter(line => line['upstream'] === name).length
    for (let n = 1; count() < times; n++) await d.until(msg, n)
    return count()
  }

  for (const times of [1, 2]) {
    // The second time it is known, and may have been the faster one.
    const before = times === 1 ? 'unknown before' : 'known before'
    for (const { silent } of pairs) silent.silence()
    const since = Date.now()
    const states = await until('dead')
    for (const { zone, silent, good } of pairs) {
      const title = `${zone}, ${before}`
      const { lastFailure, lastFailureAt } = states.get(silent.name)!
      t.match(lastFailure, /^(timeout|unreachable)$/, `${title}: status says why`)
      t.ok(lastFailureAt >= since && lastFailureAt <= Date.now(), `${title}: and when`)
      t.equal(await d.metric('upstream_up', { to: silent.name }), 0, `${title}: so do metrics`)
      t.equal(await d.metric('upstream_up', { to: good.name }), 1, `${title}: the other is up`)
      const timeouts = await d.metric('upstream_timeouts_total', { to: silent.name })
      t.ok(timeouts > 0, `${title}: its silence is counted`)
      t.equal(await logged('upstream lost', silent.name, times), times, `${title}: logged once`)
    }
    const heard = pairs.map(({ silentUp }) => silentUp.queries.length)
    for (let i = 0; i < 5; i++) t.same(await missEach(), [], `${before}: all are answered`)
    pairs.forEach(({ zone, silentUp }, i) =>
      t.same(
        silentUp.queries.slice(heard[i]).filter(({ type }) => type === 'A'),
        [],
        `${zone}, ${before}: the silent one gets no client's question`,
      ),
    )
    for (const { silent } of pairs) silent.resume()
    await until('up')
    for (const { zone, silent } of pairs) {
      t.equal(await logged('upstream back', silent.name, times), times, `${zone}: back in the log`)
      t.equal(await d.metric('upstream_up', { to: silent.name }), 1, `${zone}: and in metrics`)
    }
  }
})

t.test(
  'a sole upstream over TLS: a connection that swallows questions is replaced',
  { skip: !pem && 'SKIPPED: openssl is not installed' },
  async t => {
    const records = recordsOf('example.net')
    let swallows = 0
    const up = await upstream(t, records, { address })
    const front = await overTls(t, up, pem!)
    const name = `tls://${address}:${front.port}`
    const d = await daemon(t, { upstreams: [name] }, { env })
    let asked = 0
    const miss = (): Promise<Reply> => ask(d.at, `n${asked++}.example.net`)
    t.equal((await miss()).status, 'NOERROR')

    // The connection there goes dead without an end, as when a firewall forgets it.
    const port = up.queries.at(-1)!.port
    up.set([...records, { drop: true, when: asked => asked.port === port && ++swallows > 0 }])
    const { accepted } = front
    t.equal((await miss()).status, 'NOERROR', 'the question is asked again over a new one')
    t.ok(swallows > 0, 'after the old one has swallowed it')
    t.ok(front.accepted > accepted)
    t.ok(await d.metric('upstream_retransmits_total', { to: name }), 'which is counted')
    swallows = 0
    t.equal((await miss()).status, 'NOERROR')
    t.equal(swallows, 0, 'and the next goes there at once')

    // Now it swallows on every connection.
    up.silence()
    const reply = await ask(d.at, 'n0.example.net', 'AAAA', { edns: {} })
    t.equal(reply.status, 'SERVFAIL')
    t.match(reply.ede, [{ code: 22 }])
    await d.until('upstream lost')
    t.match((await statesOf(d)).get(name), { state: 'dead', lastFailure: 'timeout' })
    t.ok(await d.metric('upstream_timeouts_total', { to: name }))
    t.ok(await d.metric('upstream_probes_total', { to: name }))
    await up.resume()
    await d.until('upstream back')
    t.equal((await miss()).status, 'NOERROR')
  },
)
