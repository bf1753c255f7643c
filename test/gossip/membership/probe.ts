/** Probes, ping by ping: the test controls one member's clock and network. */
import t from 'tap'
import { RingCore, type RingEvent } from '../../../src/gossip/core.ts'
import { writeTags } from '../../../src/gossip/serf/tags.ts'
import { type Env, newStats } from '../../../src/gossip/swim/env.ts'
import {
  CAPABILITY,
  type Entry,
  entryOf,
  MemberTable,
  type Node,
  Nodes,
} from '../../../src/gossip/swim/members.ts'
import { Timers } from '../../../src/gossip/swim/timers.ts'
import { followers, Turns } from '../../../src/gossip/swim/turns.ts'
import {
  readPing,
  writeAck,
  writeAlive,
  writeIndirectPing,
} from '../../../src/gossip/wire/messages.ts'
import { Packets } from '../../../src/gossip/wire/packet.ts'
import { ALIVE, DEAD, TYPE } from '../../../src/gossip/wire/types.ts'
import { silent } from '../../../src/base/log.ts'
import { randomOf } from './fixture/world.ts'

const VERSIONS = Uint8Array.of(1, 5, 2, 2, 5, 5)
const at = (n: number): { address: string; port: number } => ({
  address: `192.0.2.${n}`,
  port: 7946,
})

type Sent = {
  readonly ms: number
  readonly to: string
  readonly type: number
  readonly seq: number
  readonly node: string
}

/** Our member and `others` called n1, n2, …; our messages are recorded and answered by `answers`. */
class Lab {
  now = 10_000
  readonly events: RingEvent[] = []
  readonly sent: Sent[] = []
  readonly core: RingCore
  /** Whether a ping is answered, or with which message. */
  answers: (ping: Sent) => boolean = () => true
  readonly #packets = new Packets('', undefined)

  constructor(others: number) {
    this.core = new RingCore({
      name: 'we',
      ...at(200),
      tags: { role: 'test' },
      keyring: undefined,
      random: randomOf(1),
      incarnation: 1,
      now: this.now,
      log: silent,
      onEvent: event => this.events.push(event),
    })
    this.core.start(this.now)
    for (let n = 1; n <= others; n++) {
      const alive = {
        incarnation: 1,
        node: `n${n}`,
        ...at(n),
        meta: new Uint8Array(0),
        versions: VERSIONS,
      }
      this.core.packet(writeAlive(alive), at(n), this.now)
    }
  }

  get seen(): string[] {
    return this.events.flatMap(e => ('member' in e ? [`${e.type} ${e.member.name}`] : []))
  }

  run(ms: number): void {
    const end = this.now + ms
    for (;;) {
      this.#deliver()
      const next = Math.max(this.core.nextMs(), this.now)
      if (next > end) break
      this.now = next
      this.core.tick(this.now)
    }
    this.now = end
  }

  /** Runs until a ping that `answers` ignores is on its way; returns that ping. */
  silence(name: string): Sent {
    this.answers = ({ node }) => node !== name
    const from = this.sent.length
    for (let i = 0; i < 1_000; i++) {
      const ping = this.sent.slice(from).find(one => one.node === name && one.type === TYPE.ping)
      if (ping) return ping
      this.run(10)
    }
    throw new Error('no ping')
  }

  ack(seq: number, from: number): void {
    this.core.packet(writeAck(seq), at(from), this.now)
    this.#deliver()
  }

  #deliver(): void {
    for (const effect of this.core.take()) {
      if (effect.do === 'open') this.core.streamFailed(effect.id, this.now)
      if (effect.do !== 'packet') continue
      const messages = this.#packets.unpack(effect.bytes)
      for (const message of typeof messages === 'string' ? [] : messages) {
        const type = message[0] ?? 0
        const ping = readPing(message.subarray(1))
        const { address } = effect.to
        const sent = {
          ms: this.now,
          to: address,
          type,
          seq: ping?.seq ?? 0,
          node: ping?.node ?? '',
        }
        this.sent.push(sent)
        if (type === TYPE.ping && this.answers(sent))
          this.core.packet(writeAck(sent.seq), effect.to, this.now)
      }
    }
  }
}

const pings = (lab: Lab, seq: number): number[] =>
  lab.sent.filter(one => one.type === TYPE.ping && one.seq === seq).map(one => one.ms)

t.test(
  'an unanswered ping is sent again, others are asked at its timeout, then it is suspected',
  async t => {
    const lab = new Lab(5)
    const { seq, ms } = lab.silence('n3')
    lab.run(1_500)
    t.same(
      pings(lab, seq).map(then => then - ms),
      [0, 150, 300, 500, 700],
      'five pings under one number, and no more',
    )
    const asks = lab.sent.filter(one => one.type === TYPE.indirectPing && one.seq === seq)
    t.same(
      asks.map(one => one.ms - ms),
      [500, 500, 500],
      'three others, when memberlist would ask them',
    )
    t.ok(lab.seen.includes('suspect n3'))
    t.equal(lab.core.stats.probesFailed, 1)
  },
)

t.test('where every ping is answered none is sent again', async t => {
  const lab = new Lab(5)
  lab.run(20_000)
  const probes = lab.sent.filter(one => one.type === TYPE.ping)
  t.equal(new Set(probes.map(one => one.seq)).size, probes.length)
  t.equal(probes.length, lab.core.stats.probes)
  t.equal(probes.length, 20, 'a round a second, of one member where nobody is watched')
})

t.test(
  'a packet begins a round that is due within 400 ms, and there is still one a second',
  async t => {
    for (const [gap, early] of [
      [410, 0],
      [390, 390],
      [100, 100],
    ] as const) {
      const lab = new Lab(5)
      lab.run(5_000)
      const rounds = (): number[] =>
        lab.sent.filter(one => one.type === TYPE.ping).map(one => one.ms)
      const due = rounds().at(-1)! + 1_000
      lab.run(due - gap - lab.now)
      lab.ack(1, 1)
      lab.run(2_500)
      t.same(
        rounds()
          .slice(-3)
          .map(ms => ms - due),
        early > 0 ? [-early, 1_000, 2_000] : [0, 1_000, 2_000],
        `${gap} ms before`,
      )
    }
    const lab = new Lab(5)
    for (let i = 0; i < 2_000; i++) {
      lab.run(10)
      lab.ack(1, 1)
    }
    t.ok([20, 21].includes(lab.core.stats.probes), 'whatever arrives')
  },
)

t.test('after a round that was late, the next one has its second', async t => {
  const lab = new Lab(5)
  lab.run(5_000)
  const before = lab.core.stats.probes
  lab.now = lab.sent.filter(one => one.type === TYPE.ping).at(-1)!.ms + 1_100
  lab.run(999)
  t.equal(lab.core.stats.probes, before + 1)
  lab.run(2)
  t.equal(lab.core.stats.probes, before + 2)
})

t.test('an answer to any of them is an answer, and a second one is nothing', async t => {
  const lab = new Lab(5)
  const { seq, ms } = lab.silence('n3')
  lab.run(310)
  lab.ack(seq, 3)
  lab.ack(seq, 3)
  lab.answers = () => true
  lab.run(2_000)
  t.same(pings(lab, seq), [ms, ms + 150, ms + 300])
  t.notOk(lab.seen.includes('suspect n3'))
  t.same([lab.core.stats.probesFailed, lab.core.status().health], [0, 0])
  t.notOk(lab.sent.some(one => one.type === TYPE.indirectPing))
})

t.test(
  'with nobody else to ask, silence says as much of us: the health score rises, once',
  async t => {
    const lab = new Lab(1)
    const { seq } = lab.silence('n1')
    lab.run(1_200)
    t.equal(lab.core.status().health, 1)
    t.equal(pings(lab, seq).length, 5)
    lab.answers = () => true
    lab.run(6_000)
    t.equal(lab.core.status().health, 0, 'and falls with the next answer')
  },
)

t.test('who is asked to ping another insists too, and says so when it was in vain', async t => {
  const lab = new Lab(3)
  lab.answers = ({ node }) => node !== 'n3'
  const ask = {
    seq: 77,
    target: at(3).address,
    port: 7946,
    node: 'n3',
    nack: true,
    source: { ...at(1), name: 'n1' },
  }
  const start = lab.now
  lab.core.packet(writeIndirectPing(ask), at(1), lab.now)
  lab.run(600)
  const ours = lab.sent.find(one => one.type === TYPE.ping && one.node === 'n3')
  t.same(
    pings(lab, ours?.seq ?? 0).map(ms => ms - start),
    [0, 150, 300],
  )
  const nack = lab.sent.filter(one => one.type === TYPE.nack)
  t.same(
    nack.map(one => [one.to, one.ms - start]),
    [[at(1).address, 400]],
  )
})

const nodes = new Nodes()
const nodeOf = (name: string, speaks = true): Node =>
  nodes.of({
    node: name,
    ...at(1),
    meta: writeTags(speaks ? { [CAPABILITY.tag]: CAPABILITY.value } : {}) ?? new Uint8Array(0),
    versions: VERSIONS,
  })
const alive = (name: string, speaks = true): Entry => entryOf(nodeOf(name, speaks), 1, ALIVE, 0)
const tableOf = (entries: readonly Entry[]): MemberTable => {
  const table = new MemberTable()
  for (const entry of entries) table.set(entry)
  return table
}
const turnsOf = (name: string, table: MemberTable, seed = 1): Turns => {
  const env: Env = {
    name,
    now: 0,
    random: randomOf(seed),
    timers: new Timers(),
    stats: newStats(),
    log: silent,
  }
  return new Turns(env, table)
}
const probed = (turns: Turns): string[] => turns.next().map(entry => entry.node.name)
const names = (n: number): string[] => Array.from({ length: n }, (_, i) => `agent-${i}`)

t.test(
  'in one round of everybody each member is looked at by two others, whatever the size',
  async t => {
    for (const size of [3, 4, 10, 100, 1_000]) {
      const table = tableOf(names(size).map(name => alive(name)))
      const watchers = new Map<string, Set<string>>()
      for (const name of names(size)) {
        const watched = followers(table, name, 2)
        for (const one of watched) watchers.set(one, (watchers.get(one) ?? new Set()).add(name))
        const turns = turnsOf(name, table)
        const [first, second] = [probed(turns), probed(turns)]
        const more = second.slice(2)
        if (
          first.join() !== watched.join() ||
          second.slice(0, 2).join() !== watched.join() ||
          more.length !== (size > 3 ? 1 : 0) ||
          [name, ...watched].includes(more[0] ?? '')
        )
          t.fail(`${name} of ${size} probes ${first.join()}, ${second.join()}`)
      }
      t.ok(
        names(size).every(name => watchers.get(name)?.size === 2 && !watchers.get(name)?.has(name)),
        `two of ${size} are watched, and every second round meets anybody else`,
      )
    }
  },
)

t.test('who comes and who dies changes the circle at once', async t => {
  const table = tableOf(names(20).map(name => alive(name)))
  const turns = turnsOf('agent-0', table)
  const round = (): string[] => probed(turns).slice(0, 2)
  const [first = '', second = ''] = round()
  table.set(entryOf(nodeOf(first), 1, DEAD, 0))
  t.equal(round()[0], second)
  t.notOk(round().includes(first))
  table.set(entryOf(nodeOf(first), 2, ALIVE, 0))
  t.same(round(), [first, second])
})

t.test('a plain serf is not watched, but everybody is met by chance', async t => {
  const ring = [...names(8).map(name => alive(name)), alive('serf', false)]
  const table = tableOf(ring)
  const turns = turnsOf('agent-0', table)
  const watched = followers(table, 'agent-0', 2)
  t.notOk(watched.includes('serf'))
  const met = new Set<string>()
  for (let i = 0; i < 2 * 8; i++) for (const name of probed(turns)) met.add(name)
  t.same(
    [...met].sort(),
    ring
      .map(entry => entry.node.name)
      .filter(name => name !== 'agent-0')
      .sort(),
  )
  const strangers = tableOf([alive('we'), ...names(4).map(name => alive(name, false))])
  t.same(followers(strangers, 'we', 2), [])
  const serfs = turnsOf('we', strangers)
  t.same(
    [probed(serfs).length, probed(serfs).length],
    [1, 1],
    'a ring of serfs is probed by chance alone',
  )
  t.same(probed(turnsOf('we', tableOf([alive('we')]))), [])
  t.same(probed(turnsOf('we', tableOf([alive('we'), alive('you')]))), ['you'])
})

t.test('names of one hash stand in the order of the names', async t => {
  const twin = (name: string): Entry => entryOf({ ...nodeOf(name), hash: 7 }, 1, ALIVE, 0)
  const all = ['a', 'b', 'c', 'd', 'e']
  const table = tableOf(all.map(twin))
  t.same(
    all.map(name => followers(table, name, 2).join('')),
    ['bc', 'cd', 'de', 'ea', 'ab'],
  )
})
