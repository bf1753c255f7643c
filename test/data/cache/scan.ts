import t from 'tap'
import { dumpCache, restoreCache } from '../../../src/data/cache/cache-file.ts'
import { Entry, FAILURE, POSITIVE } from '../../../src/data/cache/entry.ts'
import { Validity } from '../../../src/data/cache/validity.ts'
import { PacketCache } from '../../../src/data/cache/packet-cache.ts'
import { flush, recentFirst } from '../../../src/data/cache/scan.ts'
import { nameOf } from '../../../src/data/cache/inspect.ts'
import { nameWire } from '../../../src/wire/name.ts'
import { fillOf } from '../../fixture/fill.ts'

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}.mesos`)
const cacheOf = (count: number): PacketCache => {
  const cache = new PacketCache({ maxBytes: 1 << 24, maxEntries: 10_000 })
  for (const name of names(count)) cache.fill(fillOf(name, { stale: 1000, source: -3 }), 0, 1)
  return cache
}
const find = (cache: PacketCache, name: string): Entry | undefined => {
  const wire = nameWire(name)!
  return cache.find(wire, 0, wire.length, 1, 0, new Entry())
}
/** Runs a job to its end and counts the steps; calls `between` after each. */
const run = <T>(job: Generator<void, T>, between: () => void = () => {}): [T, number] => {
  for (let steps = 1; ; steps++) {
    const step = job.next()
    if (step.done) return [step.value, steps]
    between()
  }
}
const context = (cache: PacketCache) => ({
  cache,
  clamps: { serveStale: 500 },
  now: () => 5_000,
  unixMs: 2_000_000,
  epoch: () => 7,
  originOf: (name: string) =>
    name === 'n3.mesos'
      ? undefined
      : { source: name === 'n600.mesos' ? -4 : -3, zone: 2, staleTtl: 30 },
})

t.test('a flush takes what lies below a name, a little at a time', async t => {
  const cache = cacheOf(3000)
  cache.fill(fillOf('a.example.org'), 0, 1)
  let stored = 0
  // Answers are stored and removed meanwhile.
  const [count, steps] = run(flush(cache, 'Mesos.'), () => {
    cache.fill(fillOf(`x${stored++}.example.org`), 0, 1)
    const other = find(cache, `x${stored - 5}.example.org`)
    if (other) cache.delete(other)
  })
  t.equal(count, 3000)
  t.ok(steps > 40)
  t.ok(find(cache, 'a.example.org'))
  t.equal(find(cache, 'n77.mesos'), undefined)
})

t.test('what was used lately comes first', async t => {
  const cache = cacheOf(300)
  cache.touch(find(cache, 'n250.mesos')!, 90_000)
  cache.touch(find(cache, 'n10.mesos')!, 99_000)
  const [refs] = run(recentFirst(cache, 100_000, () => true))
  t.equal(refs.length, 300)
  t.same(
    refs.slice(0, 2).map(ref => nameOf(cache.at(ref, new Entry())!)),
    ['n10.mesos', 'n250.mesos'],
  )
})

t.test('a dump holds what was there all along, and comes back as stale', async t => {
  const cache = cacheOf(1000)
  let gone = 0
  // Its route has another number now.
  cache.fill(fillOf('n700.mesos', { stale: 500, source: 9 }), 0, 0)
  const validity = new Validity(entry => (entry.source === 9 ? 10 : entry.source))
  const dump = dumpCache({ cache, validity, now: 1_000, unixMs: 1_990_000 })
  const [bytes, steps] = run(dump, () => {
    const entry = find(cache, `n${gone++}.mesos`)
    if (entry && gone < 5) cache.delete(entry)
  })
  t.ok(steps > 60)
  const other = new PacketCache({ maxBytes: 1 << 24, maxEntries: 10_000 })
  other.fill(fillOf('n9.mesos', { ttl: 33 }), 4_000, 7)
  other.fill(fillOf('n11.mesos', { kind: FAILURE }), 4_000, 7)
  const [{ count, otherRoute, trouble }, restoreSteps] = run(restoreCache(bytes, context(other)))
  t.ok(count >= 990 && count < 1000, `${count}`)
  t.equal(trouble, '')
  t.ok(restoreSteps > 60)
  const back = find(other, 'n500.mesos')!
  t.equal(find(other, 'n700.mesos'), undefined, 'nor does what a changed route gave come back')
  t.match(back, {
    staleTtl: 30,
    source: -3,
    zone: 2,
    expiresAt: 5_000,
    staleUntil: 505_000,
    // Stored at 1,989 s and read at 2,000 s: its age comes along.
    storedAt: -6_000,
    restored: true,
    epoch: 7,
  })
  t.equal(find(other, 'n600.mesos'), undefined, 'nor does what another route answers now')
  // n3 and n600, unless one of them was among those deleted above while the dump ran.
  t.ok(otherRoute === 1 || otherRoute === 2, `${otherRoute}`)
  t.equal(find(other, 'n3.mesos'), undefined, 'what is not forwarded stays out')
  t.equal(find(other, 'n9.mesos')!.ttl, 33, 'and what is there already stays')
  t.match(find(other, 'n11.mesos'), { kind: POSITIVE }, 'unless it is a failure')

  const troubleOf = (octets: Uint8Array): string => {
    const empty = cacheOf(0)
    const [back] = run(restoreCache(octets, context(empty)))
    t.match(back, { count: 0, otherRoute: 0 })
    t.equal(empty.entries, 0)
    return back.trouble
  }
  const changed = (at: number): Uint8Array =>
    Buffer.from(bytes.map((octet, i) => (i === at ? octet ^ 1 : octet)))
  for (const at of [0, 5, 300, bytes.length - 1])
    t.equal(troubleOf(changed(at)), 'it is damaged', `at ${at}`)
  for (const length of [0, 3, 20, bytes.length - 1])
    t.equal(troubleOf(bytes.subarray(0, length)), 'it is damaged', `after ${length} octets`)
  t.equal(troubleOf(changed(3)), 'another version has written it')
})
