/** A ring over the network in memory, as the daemon uses it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RingEvent } from '../../../src/gossip/core.ts'
import { Keyring } from '../../../src/gossip/keyring.ts'
import { MemoryNetwork } from '../../../src/gossip/net/memory.ts'
import { createRing, type Ring, type RingOptions } from '../../../src/gossip/ring.ts'
import type { Rider } from '../../../src/gossip/rider.ts'
import { silent } from '../../../src/base/log.ts'
import { randomOf } from './fixture/world.ts'
import { folder } from '../../fixture/folder.ts'

const until = async (holds: () => boolean): Promise<boolean> => {
  for (let i = 0; i < 1_000; i++) {
    if (holds()) return true
    await sleep(10)
  }
  return false
}

const random = randomOf(2)
const made = (
  network: MemoryNetwork,
  name: string,
  n: number,
  options: Partial<RingOptions> = {},
): RingOptions => ({
  name,
  bind: { address: `192.0.2.${n}`, port: 7946 },
  tags: { role: 'test' },
  seeds: [{ address: '192.0.2.1', port: 7946 }],
  keyring: new Keyring([new Uint8Array(32)]),
  insecure: false,
  body: network.body(),
  now: () => performance.now(),
  random,
  wallClock: () => 1_795_000_000_500,
  log: silent,
  ...options,
})
const started = async (
  t: Test,
  network: MemoryNetwork,
  name: string,
  n: number,
  options: Partial<RingOptions> = {},
): Promise<Ring> => {
  const ring = createRing(made(network, name, n, options))
  await ring.start()
  t.teardown(() => ring.close())
  return ring
}

t.test('three members meet, talk, change keys, and part', async t => {
  const network = new MemoryNetwork()
  const rings = [
    await started(t, network, 'a', 1),
    await started(t, network, 'b', 2),
    await started(t, network, 'c', 3),
  ] as const
  t.ok(
    await until(() =>
      rings.every(ring => ring.members().filter(one => one.state === 'alive').length === 3),
    ),
  )
  const events: RingEvent[] = []
  const off = rings[2].onEvent(event => events.push(event))
  t.ok(rings[0].userEvent('hi', Buffer.from('there')))
  t.ok(await until(() => events.some(event => event.type === 'userEvent' && event.name === 'hi')))
  t.match(await rings[1].keys.list(), { members: 3, answered: 3, failed: 0 })
  await t.rejects(rings[1].keys.install('nonsense'), { code: 'EGOSSIP' })
  t.ok(rings[1].setTags({ role: 'changed' }))
  t.ok(await until(() => events.some(event => event.type === 'update')))
  t.match(rings[0].stats(), {
    name: 'a',
    encrypted: true,
    joined: true,
    members: { alive: 3, dead: 0 },
    incarnation: 1_795_000_000,
  })
  t.equal(
    await rings[0].join([
      { address: '192.0.2.2', port: 7946 },
      { address: '192.0.2.77', port: 7946 },
    ]),
    1,
  )
  await rings[1].leave()
  t.ok(await until(() => events.some(event => event.type === 'leave')))
  off()
  t.notOk(rings[1].userEvent('late', Buffer.alloc(0)))
  t.equal(await rings[1].join([{ address: '192.0.2.1', port: 7946 }]), 0)
  await rings[1].leave()
  rings[0].nudge()
})

t.test('it does not run open, nameless or boundless', async t => {
  const network = new MemoryNetwork()
  t.throws(() => createRing(made(network, 'a', 1, { keyring: undefined })), {
    code: 'ECONFIG',
    message: /keyring/,
  })
  t.throws(() => createRing(made(network, '', 1)), { code: 'ECONFIG' })
  t.throws(() => createRing(made(network, 'x'.repeat(129), 1)), { code: 'ECONFIG' })
  t.throws(() => createRing(made(network, 'a', 1, { tags: { t: 'x'.repeat(512) } })), {
    code: 'ECONFIG',
  })
  await t.rejects(
    createRing(made(network, 'a', 1, { bind: { address: '0.0.0.0', port: 7946 } })).start(),
    { code: 'ECONFIG', message: /advertise/ },
  )
  const open = createRing(made(network, 'a', 1, { keyring: undefined, insecure: true }))
  await open.start()
  t.notOk(open.stats().encrypted)
  await t.rejects(createRing(made(network, 'b', 1)).start(), { code: 'EBIND' })
  await open.close()
  await open.close()
  t.same(createRing(made(network, 'c', 3)).members(), [])
})

t.test('bound to every address, it begins when this host has one', async t => {
  const network = new MemoryNetwork()
  let own = ''
  const ring = createRing(
    made(network, 'a', 1, { bind: { address: '0.0.0.0', port: 0 }, ownAddress: () => own }),
  )
  t.teardown(() => ring.close())
  await t.rejects(ring.start(), { code: 'ESTATE' })
  own = '192.0.2.9'
  const { port } = await ring.start()
  t.same(ring.stats().at, { address: own, port })
})

t.test('the incarnation survives a clock that goes back', async t => {
  const network = new MemoryNetwork()
  const stateFile = join(folder(t), 'gossip.json')
  const saved = (): number =>
    (JSON.parse(readFileSync(stateFile, 'utf8')) as { incarnation: number }).incarnation
  const first = createRing(made(network, 'a', 1, { stateFile }))
  await first.start()
  t.equal(saved(), 1_795_000_000)
  first.setTags({ role: 'again' })
  await first.close()
  t.equal(saved(), 1_795_000_001, 'and what was used since')
  const second = createRing(made(network, 'a', 1, { stateFile, wallClock: () => 1_000_000 }))
  await second.start()
  t.equal(second.stats().incarnation, 1_795_000_002)
  await second.close()
  for (const odd of ['', 'x', '{}', '{"incarnation":-5}', '{"incarnation":1e99}', '[]', 'null']) {
    writeFileSync(stateFile, odd)
    const third = createRing(made(network, 'a', 1, { stateFile }))
    await third.start()
    t.equal(third.stats().incarnation, 1_795_000_000)
    await third.close()
  }
})

/** Counts how often it is polled. */
class CountingRider implements Rider {
  polls = 0
  nextMs = 1_000
  digest(): Uint8Array {
    return Buffer.alloc(0)
  }
  onDigest(): void {}
  onPacket(): void {}
  onStreamRequest(): undefined {}
  onStreamResponse(): void {}
  onMember(): void {}
  poll(): ReturnType<Rider['poll']> {
    this.polls++
    return { sends: [], nextMs: this.nextMs }
  }
}

t.test("a rider's member says so in its tags", async t => {
  const ring = await started(t, new MemoryNetwork(), 'a', 1, { rider: new CountingRider() })
  t.match(ring.members(), [{ name: 'a', capable: true, tags: { role: 'test', sp: '1' } }])
})

t.test(
  'a timer that is no longer needed is kept, and does nothing but set itself again',
  async t => {
    let now = 10_000
    const timers: { run: () => void; ms: number }[] = []
    const rider = new CountingRider()
    const ring = await started(t, new MemoryNetwork(), 'a', 1, {
      rider,
      now: () => now,
      random: () => 0.9,
    })
    // the first look for members, which has none to ask
    await new Promise(resolve => setImmediate(resolve))
    const set = t.capture(globalThis, 'setTimeout', ((run: () => void, ms: number) => {
      timers.push({ run, ms })
      return { unref: () => {} }
    }) as unknown as typeof setTimeout)
    rider.nextMs = 100
    ring.nudge()
    rider.nextMs = 500
    ring.nudge()
    t.same(
      timers.map(({ ms }) => ms),
      [100],
    )
    const { polls } = rider
    now += 100
    timers[0]?.run()
    t.equal(rider.polls, polls)
    t.same(
      timers.map(({ ms }) => ms),
      [100, 400],
    )
    now += 399
    timers[1]?.run()
    t.equal(rider.polls, polls + 1, "a millisecond early, as Node's timers can be, is in time")
    set.restore()
  },
)
