import { fc } from '../../fixture/property.ts'
import t from 'tap'
import type { Owner, RRset, ZoneMessage } from '../../../src/boundary/messages.ts'
import { DEFAULT_SOA } from '../../../src/control/zones/apexes.ts'
import { inOneGo } from '../../../src/mesos/dcos-names/steps.ts'
import type { LocalZone } from '../../../src/data/zones/local-zone.ts'
import { Zones } from '../../../src/data/zones/zones.ts'
import { RCODE, TYPE } from '../../../src/wire/codes.ts'
import { SharedTextWriter } from '../../../src/boundary/shared-text.ts'
import { ownersToText } from '../../../src/boundary/zone-text.ts'

const APEX = 'dcos.example.org'
const A = (...data: string[]): RRset[] => [{ type: 'A', ttl: 5, data }]

/** The zone after these messages; the duration of each is in `steps`. */
const applied = (messages: readonly ZoneMessage[], steps: number[] = []): LocalZone => {
  const zones = new Zones()
  for (const message of messages) {
    const work = zones.apply(message)
    let n = 1
    while (!work.next().done) n++
    steps.push(n)
  }
  return zones.get(APEX)!
}

const loading = (pieces: readonly (readonly Owner[])[], owners = 0): ZoneMessage[] => [
  { type: 'zone', op: 'load', apex: APEX, soa: DEFAULT_SOA, ns: 'ns.spartan', serial: 1, owners },
  ...pieces.map(
    piece =>
      ({
        type: 'zone',
        op: 'more',
        apex: APEX,
        text: new SharedTextWriter().write(ownersToText(piece)),
      }) as const,
  ),
  { type: 'zone', op: 'commit', apex: APEX, number: 1, loaded: true },
]

const patching = (set: readonly Owner[], drop: readonly string[]): ZoneMessage => ({
  type: 'zone',
  op: 'patch',
  apex: APEX,
  number: 2,
  serial: 2,
  set,
  drop,
})

const rcode = (zone: LocalZone, name: string): number =>
  zone.answer(name, TYPE.A, () => undefined).rcode

const below = (...labels: string[]): string => [...labels, APEX].join('.')

t.test('a zone that was loaded answers for its owners and what leads to them', async t => {
  const srv: RRset[] = [
    { type: 'SRV', ttl: 60, data: [`0 1 80 ${below('a', 'web')}`, `0 1 81 ${below('web')}`] },
    { type: 'AAAA', ttl: 0, data: ['2001:db8::1'] },
  ]
  const zone = applied(
    loading([
      [
        [below('a', 'web'), A('192.0.2.1', '192.0.2.2')],
        [below('nothing'), []],
      ],
      [
        [below('_http', '_tcp', 'web'), srv],
        [APEX, A('192.0.2.9')],
        ['elsewhere.example.org', A('192.0.2.8')],
        [`x${APEX}`, A('192.0.2.8')],
      ],
    ]),
  )
  t.equal(zone.names, 4)
  t.same(zone.find(below('a', 'web')), A('192.0.2.1', '192.0.2.2'))
  t.same(zone.find(below('_http', '_tcp', 'web')), srv)
  t.same(zone.find(below('nothing')), [])
  t.same(zone.find(APEX), A('192.0.2.9'))
  for (const name of [below('web'), below('_tcp', 'web')]) {
    t.equal(zone.find(name), undefined)
    t.equal(rcode(zone, name), RCODE.NOERROR, `${name} is an empty non-terminal`)
  }
  for (const name of [below('b', 'web'), below('eb'), below('a'), below('', 'a', 'web')])
    t.equal(rcode(zone, name), RCODE.NXDOMAIN, name)
  t.equal(zone.find('elsewhere.example.org'), undefined)
  t.equal(zone.find(`x${APEX}`), undefined)
  t.equal(zone.find('org'), undefined)
})

t.test('a label that begins like another, or ends like it, is another', async t => {
  const names = ['a', 'ab', 'abc', 'b', 'bc', 'a-b'].flatMap(one => [
    below(one),
    below('x', one),
    below(one, 'x'),
  ])
  const zone = applied(loading([names.map(name => [name, A(`192.0.2.${name.length}`)])]))
  t.equal(zone.names, names.length)
  for (const name of names) t.same(zone.find(name), A(`192.0.2.${name.length}`), name)
  t.equal(zone.find(below('x', 'x')), undefined)
})

t.test('an owner that comes twice holds what came last', async t => {
  const zone = applied(loading([[[below('a'), A('192.0.2.1')]], [[below('a'), A('192.0.2.2')]]]))
  t.same(zone.find(below('a')), A('192.0.2.2'))
  t.equal(zone.names, 1)
})

t.test('a zone grows beyond what was announced', async t => {
  const owners = Array.from({ length: 3_000 }, (_, i): Owner => [
    below(`n${i}`, `g${i % 70}`),
    A(`10.0.${i >> 8}.${i & 255}`),
  ])
  const zone = applied(loading([owners.slice(0, 1_000), owners.slice(1_000)], 10))
  t.equal(zone.names, 3_000)
  t.ok(owners.every(([name, rrsets]) => zone.find(name)?.[0]?.data[0] === rrsets[0]?.data[0]))
})

t.test('what is loaded over the memory of an older zone is all there is', async t => {
  const zones = new Zones()
  const owners = (n: number, word: string): Owner[] =>
    Array.from({ length: n }, (_, i) => [below(`${word}${i}`, `g${i % 7}`), A(`10.0.0.${i % 200}`)])
  let before: Owner[] = []
  for (const [round, n] of [900, 1_000, 20, 800, 3_000, 0, 1_000].entries()) {
    const now = owners(n, round % 3 ? 'n' : `of${round}x`)
    const pieces = [now.slice(0, n / 3), now.slice(n / 3)]
    for (const message of loading(pieces, n)) {
      const serving = zones.get(APEX)
      inOneGo(zones.apply(message))
      if (message.op === 'commit' || !serving) continue
      t.equal(serving.names, before.length, 'what is served stays while the next is loaded')
      t.ok(
        before.every(([name, rrsets]) => serving.find(name)?.[0]?.data[0] === rrsets[0]?.data[0]),
      )
    }
    const zone = zones.get(APEX)!
    t.equal(zone.names, n)
    t.ok(now.every(([name, rrsets]) => zone.find(name)?.[0]?.data[0] === rrsets[0]?.data[0]))
    const gone = before.filter(([name]) => !now.some(([other]) => other === name))
    t.ok(gone.every(([name]) => rcode(zone, name) === RCODE.NXDOMAIN))
    before = now
    if (round !== 3) continue
    inOneGo(zones.apply({ type: 'zone', op: 'remove', apex: APEX }))
    before = []
  }
})

t.test('a zone that is loaded again and again takes no more memory than two of its largest', t => {
  const zones = new Zones()
  let taken = 0
  const Shared = globalThis.SharedArrayBuffer
  globalThis.SharedArrayBuffer = new Proxy(Shared, {
    construct: (target, [length]: [number]) => {
      taken += length
      return new target(length)
    },
  })
  t.teardown(() => (globalThis.SharedArrayBuffer = Shared))
  const after: number[] = []
  for (let round = 0; round < 12; round++) {
    const owners = Array.from({ length: round % 3 ? 3_000 : 40 }, (_, i): Owner => [
      below(`n${i}`, `round-${round}`),
      A('192.0.2.1'),
    ])
    const messages = loading([owners], owners.length)
    taken = 0
    for (const message of messages) inOneGo(zones.apply(message))
    after.push(taken)
  }
  t.ok(after[1]! > 0, 'the count counts')
  t.same(after.slice(4), after.slice(4).fill(0))
  t.end()
})

t.test('a load that is begun again takes nothing from the first', async t => {
  const zones = new Zones()
  const [load, more] = loading([[[below('a'), A('192.0.2.1')]]])
  for (const message of [load!, more!, ...loading([[[below('b'), A('192.0.2.2')]]])])
    inOneGo(zones.apply(message))
  const zone = zones.get(APEX)!
  t.same([zone.names, rcode(zone, below('a')), rcode(zone, below('b'))], [1, RCODE.NXDOMAIN, 0])
})

t.test('a long message is done in steps', async t => {
  const owners = Array.from({ length: 500 }, (_, i): Owner => [below(`n${i}`), A('192.0.2.1')])
  const steps: number[] = []
  const drop = owners.slice(0, 200).map(([name]) => name)
  applied([...loading([owners]), patching(owners.slice(200), drop), patching([], [])], steps)
  const [load = 0, more = 0, commit = 0, patch = 0, nothing = 0] = steps
  t.same([load, commit, nothing], [1, 1, 1])
  t.ok(more >= 10 && patch >= 10, `${more} and ${patch} steps`)
})

t.test('messages about zones that are not there change nothing', async t => {
  const zones = new Zones()
  const [, more, commit] = loading([[[below('a'), A('192.0.2.1')]]])
  for (const message of [more!, commit!, patching([[below('a'), A('192.0.2.1')]], [])])
    t.equal(inOneGo(zones.apply(message)), false)
  t.equal(zones.get(APEX), undefined)
  t.equal(inOneGo(zones.apply({ type: 'zone', op: 'remove', apex: APEX })), false)
})

/** A simple reference implementation. */
class Plain {
  readonly owners = new Map<string, readonly RRset[]>()

  leadsOn(name: string): boolean {
    return [...this.owners.keys()].some(owner => owner.endsWith(`.${name}`))
  }

  find(name: string): readonly RRset[] | undefined {
    const own = this.owners.get(name)
    if (own || this.leadsOn(name)) return own
    for (let parent = name; parent !== APEX;) {
      parent = parent.slice(parent.indexOf('.') + 1)
      const wild = this.owners.get(`*.${parent}`)
      if (wild) return wild
      if (this.owners.has(parent) || this.leadsOn(parent)) return undefined
    }
    return undefined
  }
}

const anyName = fc
  .array(fc.constantFrom('a', 'b', 'ab', '*'), { maxLength: 3 })
  .map(labels => below(...labels))
const anyOwner = fc
  .tuple(anyName, fc.constantFrom('192.0.2.1', '192.0.2.2', ''))
  .map(([name, ip]): Owner => [name, ip === '' ? [] : A(ip)])

t.test('loaded, changed and dropped, a zone is what a plain list of it is', async () => {
  fc.assert(
    fc.property(
      fc.array(anyOwner, { maxLength: 12 }),
      fc.array(
        fc.tuple(fc.array(anyOwner, { maxLength: 4 }), fc.array(anyName, { maxLength: 4 })),
        {
          maxLength: 4,
        },
      ),
      fc.array(anyName, { minLength: 10, maxLength: 20 }),
      (loaded, patches, asked) => {
        const plain = new Plain()
        for (const [name, rrsets] of loaded) plain.owners.set(name, rrsets)
        for (const [set, drop] of patches) {
          for (const name of drop) plain.owners.delete(name)
          for (const [name, rrsets] of set) plain.owners.set(name, rrsets)
        }
        const zone = applied([
          ...loading([loaded.slice(0, 5), loaded.slice(5)]),
          ...patches.map(([set, drop]) => patching(set, drop)),
        ])
        return (
          zone.names === plain.owners.size &&
          asked.every(name => {
            const found = zone.find(name)
            const want = plain.find(name)
            const exists = want !== undefined || plain.leadsOn(name) || name === APEX
            return (
              JSON.stringify(found) === JSON.stringify(want) &&
              (rcode(zone, name) === RCODE.NOERROR) === exists
            )
          })
        )
      },
    ),
    { numRuns: 1_000 },
  )
})
