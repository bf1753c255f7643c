/**
 * Measures the memory of one node in a large ring: the real core with `members` members and the real records with
 * `entries` entries spread over them, after a forced garbage collection.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { silent } from '../../src/base/log.ts'
import { RingCore } from '../../src/gossip/core.ts'
import { answerWant } from '../../src/gossip/records/answers.ts'
import type { Owner } from '../../src/gossip/records/owner.ts'
import { createRecords, type Records } from '../../src/gossip/records/records.ts'
import { Replica } from '../../src/gossip/records/replica.ts'
import { defaultLimits, zeroCounts } from '../../src/gossip/records/types.ts'
import { writeTags } from '../../src/gossip/serf/tags.ts'
import { CAPABILITY } from '../../src/gossip/swim/members.ts'
import { writeAlive } from '../../src/gossip/wire/messages.ts'
import { seeded } from './random.ts'

const EPOCH = 1_700_000_000
const VERSIONS = Uint8Array.of(1, 5, 2, 2, 5, 5)
const TAGS = { role: 'agent', [CAPABILITY.tag]: CAPABILITY.value }
const SELF = 'agent-self'

/**
 * Octets by kind, above the memory before; without `trim`, rss includes freed memory that was not returned to the
 * system.
 */
export type Memory = {
  readonly members: number
  readonly entries: number
  readonly rss: number
  /** The part taken by loading the code. */
  readonly code: number
  readonly heap: number
  readonly buffers: number
}

/** Forces a garbage collection, even if node was not started with --expose-gc. */
const collect = (): void => {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('gc')
  if (typeof gc === 'function') for (let i = 0; i < 4; i++) gc()
}

/**
 * Packets as owners send them, created by one replica that forgets each owner afterwards, so that the memory of the
 * senders is not measured.
 */
class Source {
  readonly #replica = new Replica({
    limits: defaultLimits,
    counts: zeroCounts(),
    allow: () => true,
    seed: 1,
    onOwner: () => {},
  })

  packet(name: string, count: number): Uint8Array {
    const replica = this.#replica
    const owner = replica.ensure(name, 0) as Owner
    replica.advance(owner, EPOCH, 0)
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(`\x01app-${i}.${name}.marathon`, 'latin1')
      const value = Buffer.from(`10.0.0.1:8080 ${i} ${name}`.padEnd(28))
      replica.advance(owner, EPOCH, owner.version + 1)
      replica.write(
        owner,
        owner.version,
        Buffer.concat([key, value]),
        0,
        key.length,
        key.length,
        value.length,
        0,
      )
    }
    const [packet] = answerWant(replica, [[owner, 0]], 'stream') as Buffer[]
    for (const _ of replica.drop(owner, 0, false));
    return packet as Buffer
  }
}

/**
 * Builds the node and measures it. `before` is the process's memory before our code was loaded, which is subtracted.
 */
export const weigh = (
  members: number,
  entries: number,
  before: NodeJS.MemoryUsage,
  trim: () => void = () => {},
): Memory & { readonly node: { core: RingCore; records: Records } } => {
  const code = process.memoryUsage().rss - before.rss
  const random = seeded(1)
  let now = 0
  const records = createRecords({ self: SELF, now: () => now, random, epoch: EPOCH, seeds: false })
  const core = new RingCore({
    name: SELF,
    address: '10.255.0.1',
    port: 7946,
    tags: TAGS,
    keyring: undefined,
    rider: records,
    random,
    incarnation: EPOCH,
    now,
    log: silent,
    onEvent: () => {},
  })
  const meta = writeTags(TAGS) as Uint8Array
  const from = { address: '10.0.0.1', port: 7946 }
  const step = (ms: number): void => {
    now += ms
    core.tick(now)
    core.take()
  }
  for (let i = 0; i < members; i++) {
    const address = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`
    core.packet(
      writeAlive({
        incarnation: EPOCH,
        node: `agent-${i}`,
        address,
        port: 7946,
        meta,
        versions: VERSIONS,
      }),
      from,
      now,
    )
    if (i % 100 === 0) step(10)
  }
  const source = new Source()
  const each = Math.ceil(entries / members)
  for (let i = 0; i * each < entries; i++) {
    records.onPacket(`agent-${i}`, source.packet(`agent-${i}`, each), now)
    if (i % 20 === 0) step(10)
  }
  for (let i = 0; i < 200; i++) step(50)
  collect()
  trim()
  const after = process.memoryUsage()
  return {
    members: core.counts().alive,
    entries: records.stats().entries,
    rss: after.rss - before.rss,
    code,
    heap: after.heapUsed - before.heapUsed,
    buffers: after.arrayBuffers - before.arrayBuffers,
    node: { core, records },
  }
}
