/**
 * Which answers may be served, cell by cell: their age, what has changed since their question, and how the change
 * coincided with them.
 */
import t from 'tap'
import { decode } from 'dns-packet'
import type { RouteSpec, Snapshot } from '../../../src/boundary/messages.ts'
import { Entry } from '../../../src/data/cache/entry.ts'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import { CHANGED, FRESH, OVER, STALE, verdict } from '../../../src/data/cache/validity.ts'
import { nameWire } from '../../../src/wire/name.ts'
import { Plane, positive, snapshotOf, udp, type Given } from '../../fixture/bench-plane.ts'
import { loadZone, patchZone } from '../../fixture/local-zone.ts'

const UPSTREAM = '192.0.2.53'
const TTL_MS = 60_000
const STALE_S = 100
const FIRST = 'component.thisdcos.directory'
const SECOND = 'dcos.thisdcos.directory'
const WWW = 'www.example.org'
/** Leads through the first and the second zone to a forwarded name. */
const ALIAS = `out.${FIRST}`

const rest = (number: number, address: string): RouteSpec => ({
  kind: 'forward',
  zone: '',
  label: 1,
  number,
  policy: 'hedge',
  ttl: 'external',
  upstreams: [udp(address, 9, 53)],
})
const snapshot = (number = -9, address = UPSTREAM): Snapshot =>
  snapshotOf({
    own: [
      { kind: 'local', zone: FIRST, label: 0 },
      { kind: 'local', zone: SECOND, label: 0 },
    ],
    rest: rest(number, address),
  })

const plane = async (): Promise<Plane> => {
  const p = await Plane.create(snapshot(), {
    clamps: { minTtl: 0, maxTtl: 86_400, maxNegativeTtl: 3600, serveStale: STALE_S },
  })
  loadZone(p, FIRST, { [ALIAS]: [['CNAME', `x.${SECOND}`]] }, { number: 1, ttl: 3600 })
  loadZone(p, SECOND, { [`x.${SECOND}`]: [['CNAME', WWW]] }, { number: 2, ttl: 3600 })
  return p
}

/** What changes while an answer is stored or in flight, and the name whose answer is checked. */
const CHANGES = {
  'same route': [(p: Plane) => p.resolver.take(snapshot()), WWW],
  'changed route': [(p: Plane) => p.resolver.take(snapshot(-10, '192.0.2.54')), WWW],
  'changed zone': [
    (p: Plane) => patchZone(p, FIRST, { [ALIAS]: [['CNAME', WWW]] }, 11, 3600),
    ALIAS,
  ],
  'changed target zone': [
    (p: Plane) =>
      patchZone(
        p,
        SECOND,
        { [`x.${SECOND}`]: [['CNAME', `y.${SECOND}`]], [`y.${SECOND}`]: [['CNAME', WWW]] },
        12,
        3600,
      ),
    ALIAS,
  ],
} as const
type Change = keyof typeof CHANGES

const AGES = {
  fresh: 1_000,
  expired: TTL_MS + 1_000,
  'stale limit passed': TTL_MS + STALE_S * 1000 + 1_000,
} as const
type Age = keyof typeof AGES

const ask = (p: Plane, name: string): Given[] => p.ask(name)
const oldReply = (p: Plane): void => p.reply(UPSTREAM, positive(WWW, '203.0.113.1'))

/**
 * How the change coincides with the answer. At the end of each, an answer exists that was asked for before the
 * change.
 */
const WAYS = {
  // Stored, then the change.
  hit: async (p: Plane, name: string, change: () => void) => {
    ask(p, name)
    await settle()
    oldReply(p)
    change()
  },
  // The client asks, the zone or route changes, and only then the upstream replies.
  'in flight': async (p: Plane, name: string, change: () => void) => {
    const waiting = ask(p, name)
    await settle()
    change()
    oldReply(p)
    await settle()
    t.equal(rcodeOf(waiting[0]!.entry), 0, 'who asked before the change is answered')
  },
  // An entry is stored and its refresh begins; the zone or route changes; then the refresh's reply arrives.
  prefetch: async (p: Plane, name: string, change: () => void) => {
    ask(p, name)
    await settle()
    oldReply(p)
    await settle()
    const wire = nameWire(WWW)!
    const entry = p.cache.find(wire, 0, wire.length, 1, 0, new Entry())!
    p.resolver.prefetch(entry)
    await settle()
    change()
    oldReply(p)
  },
  // Asked, then the change, then asked by a second client while the first question is in flight, then the answer.
  joined: async (p: Plane, name: string, change: () => void) => {
    ask(p, name)
    await settle()
    change()
    const sent = p.io.sent.length
    const second = ask(p, name)
    await settle()
    const joined = p.io.sent.length === sent
    t.equal(joined, p.resolver.router.match(WWW).spec.label === 1 && sourceOf(p) === -9)
    oldReply(p)
    await settle()
    t.equal(second.length, joined ? 1 : 0, 'the answer to an old question is not for the new one')
  },
} as const
type Way = keyof typeof WAYS

const sourceOf = (p: Plane): number => p.sources.ofName(WWW)
const settle = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate)
}

/**
 * What the next client gets while no upstream answers: the stored answer, a newly composed one, a stale one, or
 * none.
 */
type Outcome = 'stored' | 'anew' | 'stale' | 'none'

const EXPECTED: Record<Change, Record<Age, Outcome>> = {
  'same route': { fresh: 'stored', expired: 'stale', 'stale limit passed': 'none' },
  'changed route': { fresh: 'none', expired: 'none', 'stale limit passed': 'none' },
  'changed zone': { fresh: 'anew', expired: 'stale', 'stale limit passed': 'none' },
  'changed target zone': { fresh: 'anew', expired: 'stale', 'stale limit passed': 'none' },
}
/** Number of aliases before the address, by what has changed. */
const ALIASES: Record<Change, number> = {
  'same route': 0,
  'changed route': 0,
  'changed zone': 1,
  'changed target zone': 3,
}

for (const way of Object.keys(WAYS) as Way[])
  for (const change of Object.keys(CHANGES) as Change[])
    for (const age of Object.keys(AGES) as Age[]) {
      const expected = EXPECTED[change][age]
      t.test(`${way}, ${change}, ${age}: ${expected}`, async t => {
        const p = await plane()
        const [apply, name] = CHANGES[change]
        await WAYS[way](p, name, () => apply(p))
        await settle()
        p.io.advance(AGES[age])
        await settle()
        const wire = nameWire(name)!
        const stored = p.cache.find(wire, 0, wire.length, 1, 0, new Entry())
        if (stored && p.validity.of(stored, p.io.time) === FRESH)
          t.equal(stored.bytes.readUInt16BE(stored.at + 6), ALIASES[change] + 1, 'a hit')
        const given = ask(p, name)
        await settle()
        const atOnce = given.length === 1
        for (let i = 0; i < 8; i++) {
          p.io.advance(250)
          await settle()
        }
        const { entry, ede } = given[0]!
        const answers = decode(entry.bytes.subarray(entry.at, entry.at + entry.length)).answers!
        if (expected === 'none') return t.equal(rcodeOf(entry), 2)
        t.equal(rcodeOf(entry), 0)
        t.equal(ede, expected === 'stale' ? 3 : 0)
        t.equal(atOnce, expected !== 'stale', 'nobody upstream was waited for')
        t.equal(answers.length, ALIASES[change] + 1, 'with the aliases as they are now')
      })
    }

t.test('the rule itself', async t => {
  const rows: [now: number, same: boolean, is: number][] = [
    [0, true, FRESH],
    [999, true, FRESH],
    [1_000, true, STALE],
    [1_999, true, STALE],
    [2_000, true, OVER],
    [0, false, CHANGED],
    [1_000, false, CHANGED],
    [2_000, false, CHANGED],
  ]
  for (const [now, same, is] of rows)
    t.equal(verdict(now, 1_000, 2_000, same), is, `${now} ${same}`)
  t.equal(verdict(1_000, 1_000, 1_000, true), OVER, 'no stale limit, no stale answer')
})

t.test('the answer to an old question does not replace that to a new one', async t => {
  const p = await plane()
  ask(p, WWW)
  await settle()
  p.resolver.take(snapshot(-10, '192.0.2.54'))
  ask(p, WWW)
  await settle()
  p.reply('192.0.2.54', positive(WWW, '203.0.113.2'))
  await settle()
  oldReply(p)
  await settle()
  const [given] = ask(p, WWW)
  const { bytes, at, length } = given!.entry
  t.match(decode(bytes.subarray(at, at + length)).answers, [{ data: '203.0.113.2' }])
})

t.test('serveStale 0: nothing stale is given, nor by a refresh that hangs', async t => {
  const p = await Plane.create(snapshot(), {
    clamps: { minTtl: 0, maxTtl: 86_400, maxNegativeTtl: 3600, serveStale: 0 },
  })
  ask(p, WWW)
  await settle()
  oldReply(p)
  await settle()
  p.io.advance(TTL_MS - 300)
  const wire = nameWire(WWW)!
  p.resolver.prefetch(p.cache.find(wire, 0, wire.length, 1, 0, new Entry())!)
  await settle()
  p.io.advance(400)
  const given = ask(p, WWW)
  for (let i = 0; i < 8; i++) {
    p.io.advance(250)
    await settle()
  }
  t.equal(rcodeOf(given[0]!.entry), 2)
  t.equal(given[0]!.ede, 0)
})

t.test('an SRV answer depends on the zones its targets are in', async t => {
  const p = await plane()
  const srv = `_x._tcp.${FIRST}`
  patchZone(p, FIRST, { [srv]: [['SRV', `0 1 80 h.${SECOND}`]] }, 21)
  patchZone(p, SECOND, { [`h.${SECOND}`]: [['A', '192.0.2.1']] }, 22)
  const address = (): unknown => {
    const wire = nameWire(srv)!
    const stored = p.cache.find(wire, 0, wire.length, 33, 0, new Entry())
    const entry =
      stored && p.validity.of(stored, p.io.time) === FRESH ? stored : p.ask(srv, 'SRV')[0]!.entry
    return decode(entry.bytes.subarray(entry.at, entry.at + entry.length)).additionals
  }
  t.match(address(), [{ data: '192.0.2.1' }])
  patchZone(p, SECOND, { [`h.${SECOND}`]: [['A', '192.0.2.2']] }, 23)
  t.match(address(), [{ data: '192.0.2.2' }])
})
