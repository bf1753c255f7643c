/**
 * A silent upstream beside a good one: after at most two slow misses nobody
 * waits for it any more, it is named within five seconds, and it is back
 * within five seconds of answering again. The whole resolver with its races,
 * probes, health and counters over a clock moved by hand.
 */
import t from 'tap'
import type { UpstreamSpec } from '../../../src/boundary/messages.ts'
import { Plane, positive, snapshotOf, udp } from '../../fixture/bench-plane.ts'

const SILENT = '192.0.2.53'
const GOOD = '192.0.2.54'
const GOOD_MS = 12

const specs: Record<string, (address: string, slot: number) => UpstreamSpec> = {
  udp: (address, slot) => udp(address, slot, 53),
  tcp: (address, slot) => ({ protocol: 'tcp', address, port: 53, slot }),
  tls: (address, slot) => ({ protocol: 'tls', address, port: 853, slot }),
  https: (address, slot) => ({ protocol: 'https', url: `https://${address}/dns-query`, slot }),
}

/** Upstreams that answer after GOOD_MS or not at all, over datagrams and over streams. */
class Network {
  readonly silent = new Set<string>()
  /** Nobody answers for this domain. */
  broken = ''
  takesMs = GOOD_MS
  plane!: Plane
  #seen = 0

  static async create(transport: string, order: readonly string[]): Promise<Network> {
    const network = new Network()
    const spec = specs[transport]!
    network.plane = await Plane.create(
      snapshotOf({
        rest: {
          kind: 'forward',
          zone: '',
          label: 1,
          number: -9,
          policy: 'hedge',
          ttl: 'external',
          upstreams: order.map(address => spec(address, address === SILENT ? 1 : 2)),
        },
      }),
      {
        probes: true,
        overStream: (upstream, question, signal) =>
          new Promise((resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('no longer wanted')))
            network.#later(upstream.name, question, () => resolve(answerTo(question)))
          }),
      },
    )
    return network
  }

  #later(upstream: string, question: Buffer, answer: () => void): void {
    if ([...this.silent].some(address => upstream.includes(address))) return
    if (this.broken && question.includes(this.broken)) return
    const { timers, io } = this.plane
    timers.schedule({ due: 0, place: -1, fire: answer }, io.time + this.takesMs)
  }

  /** Moves the clock a millisecond at a time; upstreams answer what they received. */
  async pass(ms: number, until = () => false): Promise<void> {
    const { io } = this.plane
    for (const end = io.time + ms; io.time < end && !until();) {
      for (; this.#seen < io.sent.length; this.#seen++) {
        const { socket, to, bytes } = io.sent[this.#seen]!
        this.#later(to.address, bytes, () => void io.arrive(socket, to, answerTo(bytes)))
      }
      io.advance(1)
      // Lets the promises of streams settle.
      await new Promise(setImmediate)
    }
  }

  #asked = 0
  /** How long the answer to a new name takes. */
  async miss(): Promise<number> {
    const { plane } = this
    const startedAt = plane.io.time
    const given = plane.ask(`n${this.#asked++}.example.org`)
    await this.pass(2_000, () => given.length > 0)
    t.equal(given[0]?.entry.kind, 0, 'there is an answer')
    return given[0]!.at - startedAt
  }

  state(address: string): string | undefined {
    const all = this.plane.resolver.router.upstreams()
    return all.find(u => u.name.includes(address))?.status(this.plane.io.time, 0).state
  }
}

const answerTo = (question: Buffer): Buffer => {
  let name = ''
  for (let at = 12; question[at] !== 0; at += question[at]! + 1)
    name += `${question.toString('latin1', at + 1, at + 1 + question[at]!)}.`
  return positive(name.slice(0, -1) || '.', '203.0.113.1')(question)
}

for (const transport of Object.keys(specs)) {
  for (const order of [
    [SILENT, GOOD],
    [GOOD, SILENT],
  ]) {
    for (const known of [false, true]) {
      const title = `${transport}: the silent one ${order[0] === SILENT ? 'first' : 'second'}, ${known ? 'after it was the best' : 'from the start'}`
      void t.test(title, async t => {
        const network = await Network.create(transport, order)
        const { plane } = network
        if (known) {
          // Both are known, and the one that will become silent was faster.
          for (const upstream of plane.resolver.router.upstreams())
            upstream.replied(plane.io.time, upstream.name.includes(SILENT) ? 1 : GOOD_MS)
        }
        network.silent.add(SILENT)
        const fellSilentAt = plane.io.time
        await network.miss()
        await network.miss()
        const misses: number[] = []
        for (let i = 0; i < 9; i++) misses.push(await network.miss())
        misses.sort((a, b) => a - b)
        t.ok(misses[4]! <= 1.5 * GOOD_MS, `median miss ${misses[4]} ms`)
        t.ok(misses[8]! <= 1.5 * GOOD_MS, `slowest miss ${misses[8]} ms`)
        // Questions continue, as on a busy host.
        while (network.state(SILENT) !== 'dead' && plane.io.time - fellSilentAt < 5_000) {
          await network.miss()
          await network.pass(100)
        }
        t.equal(network.state(SILENT), 'dead', 'status names it')
        t.equal(network.state(GOOD), 'up')
        t.ok(plane.count(1, 'timeouts') >= 1, 'metrics count its silence')
        t.equal(plane.count(2, 'timeouts'), 0, 'and none of the other')
        t.equal(plane.told.filter(line => line.includes(SILENT)).length, 1, 'the log names it once')
        network.silent.clear()
        const backAt = plane.io.time
        await network.pass(5_000, () => network.state(SILENT) === 'up')
        t.equal(network.state(SILENT), 'up', `back after ${plane.io.time - backAt} ms`)
        t.match(plane.told.at(-1), /^upstream back .*192\.0\.2\.53/)
        await network.pass(3_000)
        t.equal(plane.context.lingering.count, 0, 'no race lingers for ever')
      })
    }
  }
}

void t.test('one that was silent for long is back as soon', async t => {
  for (const transport of Object.keys(specs)) {
    const network = await Network.create(transport, [SILENT, GOOD])
    const { io } = network.plane
    network.silent.add(SILENT)
    for (const end = io.time + 120_000; io.time < end;) {
      await network.miss()
      await network.pass(1_000)
    }
    t.equal(network.state(SILENT), 'dead', transport)
    network.silent.clear()
    const backAt = io.time
    await network.pass(5_000, () => network.state(SILENT) === 'up')
    t.equal(network.state(SILENT), 'up', `${transport}: after ${io.time - backAt} ms`)
    const upstream = network.plane.resolver.router.upstreams().find(u => u.name.includes(SILENT))!
    upstream.failed(io.time, io.time - 1_000, 'timeout')
    t.equal(network.state(SILENT), 'sick', 'and is asked last after its next failure')
  }
})

void t.test(
  'all silent: after the first deadline new names fail at once while probes go on',
  async t => {
    for (const transport of Object.keys(specs)) {
      const network = await Network.create(transport, [SILENT])
      const { plane } = network
      network.silent.add(SILENT)
      const first = plane.ask('first.example.org')
      await network.pass(1_800)
      t.equal(first[0]?.entry.ede, 22, `${transport}: SERVFAIL with EDE 22 at the deadline`)
      const second = plane.ask('second.example.org')
      t.equal(second[0]?.entry.ede, 22, `${transport}: and at once from then on`)
      const probes = plane.count(1, 'probes')
      await network.pass(5_000)
      t.ok(plane.count(1, 'probes') > probes, 'probes go on')
      network.silent.clear()
      await network.pass(5_000, () => network.state(SILENT) === 'up')
      await network.miss()
    }
  },
)

void t.test('one broken domain does not make a route silent, silence of all does', async t => {
  for (const transport of ['udp', 'tls'])
    for (const order of [[GOOD], [SILENT, GOOD], [GOOD, SILENT, '192.0.2.55']])
      for (const state of ['unknown', 'fast', 'slow'])
        for (const silent of [false, true]) {
          const network = await Network.create(transport, order)
          const { plane } = network
          if (state !== 'unknown') {
            for (const upstream of plane.resolver.router.upstreams())
              upstream.replied(plane.io.time, state === 'fast' ? GOOD_MS : 200)
            await network.pass(100)
          }
          const title = `${transport}, ${order.length} ${state}: ${silent ? 'all silent' : 'one domain broken'}`
          network.broken = 'broken'
          if (silent) for (const address of order) network.silent.add(address)
          const broken = plane.ask('www.broken.example')
          await network.pass(1_810)
          t.equal(broken[0]?.entry.ede, 22, title)
          // Another name, for which the upstreams need longer than a silent route is given.
          network.takesMs = 150
          const other = plane.ask('slow.example.org')
          const askedAt = plane.io.time
          await network.pass(100)
          if (silent) {
            t.equal(other[0]?.entry.ede, 22, `${title}: SERVFAIL within 100 ms`)
            const waited = other[0]!.at - askedAt
            // At once if all are known to be dead; otherwise one that is back has time to answer.
            t.ok(waited === 0 || waited >= 80, `${title}: after ${waited} ms`)
          } else {
            t.same(other, [], `${title}: another name waits for its answer`)
            await network.pass(1_000)
            t.equal(other[0]?.entry.kind, 0, `${title}: and gets it`)
          }
        }
})

void t.test('a slow question does not make a resolver dead', async t => {
  const network = await Network.create('udp', [GOOD])
  const { plane } = network
  const slow = plane.ask('slow.example.org')
  // Only the slow question gets no answer; the probes are answered.
  network.silent.add(GOOD)
  await network.pass(5)
  network.silent.clear()
  await network.pass(245)
  network.silent.add(GOOD)
  await network.pass(10)
  network.silent.clear()
  await network.pass(2_000)
  t.equal(slow.length, 1)
  t.equal(network.state(GOOD), 'up')
})

void t.test(
  'the latency of a question that was sent twice is that of the send that was answered',
  async t => {
    const network = await Network.create('udp', [GOOD])
    const { plane } = network
    network.silent.add(GOOD)
    plane.ask('twice.example.org')
    await network.pass(249)
    network.silent.clear()
    await network.pass(100)
    const { srttMs } = plane.resolver.router.upstreams()[0]!.status(plane.io.time, 0)
    t.ok(srttMs >= GOOD_MS && srttMs < GOOD_MS + 3, `${srttMs} ms`)
  },
)
