/** Many nodes that join at once: none is refused, and none is left behind. */
import t from 'tap'
import { RingCore } from '../../../src/gossip/core.ts'
import { writeTags } from '../../../src/gossip/serf/tags.ts'
import {
  readPing,
  readPushPullHead,
  writeAck,
  writeAlive,
  writePushPullHead,
  writeState,
} from '../../../src/gossip/wire/messages.ts'
import { Reader } from '../../../src/gossip/wire/msgpack.ts'
import { Packets } from '../../../src/gossip/wire/packet.ts'
import { SerfStateWriter } from '../../../src/gossip/wire/serf-state.ts'
import { NODES_MOST, STREAM_MOST } from '../../../src/gossip/wire/stream.ts'
import { ALIVE, OURS, TYPE } from '../../../src/gossip/wire/types.ts'
import { silent } from '../../../src/base/log.ts'
import { randomOf, World } from './fixture/world.ts'

const tags = { role: 'test', sp: '1' }
const from = { address: '203.0.113.1', port: 7946 }

/** A push/pull with these members, as a joiner or another member sends it. */
const table = (names: readonly string[], join: boolean): Buffer => {
  const states = names.map((node, i) =>
    writeState({
      node,
      address: `203.0.${(i >> 8) & 255}.${i & 255}`,
      port: 7946,
      meta: writeTags(tags)!,
      versions: Uint8Array.of(1, 5, 2, 2, 5, 5),
      incarnation: 1_000,
      state: ALIVE,
    }),
  )
  const serf = new SerfStateWriter({ member: 1, event: 1, query: 1 }, [], [], names.length)
  for (const name of names) serf.member(name, 1)
  const user = serf.done()
  const head = writePushPullHead({ nodes: names.length, userLength: user.length, join })
  return Buffer.concat([head, ...states, user])
}

const names = (what: string, n: number): string[] =>
  Array.from({ length: n }, (_, i) => `${what}${i}`)

t.test(
  'a joiner there is no room for gets a slice of the table, anybody else is sent away',
  async t => {
    const world = new World(1)
    const { core } = world.add('we')
    core.streamAccepted(-1, from, world.now)
    core.streamData(-1, table(names('m', 1_000), true), world.now)
    const answers = new Map<number, number>()
    const work = (): void => {
      for (let i = 0; i < 10_000 && core.nextMs() <= world.now; i++) {
        core.tick(world.now)
        for (const effect of core.take()) {
          if (effect.do === 'close') answers.set(effect.id, 0)
          if (effect.do !== 'end') continue
          const head = readPushPullHead(new Reader(effect.bytes, 1), NODES_MOST, STREAM_MOST)
          answers.set(effect.id, head?.nodes ?? -1)
        }
      }
    }
    work()
    t.equal(core.counts().alive, 1_001)
    answers.clear()
    // four are served, and 32 may wait for it
    for (let id = -2; id > -52; id--) {
      core.streamAccepted(id, from, world.now)
      core.streamData(id, table([`j${-id}`], true), world.now)
    }
    core.streamAccepted(-60, from, world.now)
    core.streamData(-60, table(['j60'], false), world.now)
    work()
    const sizes = [...answers.values()]
    t.equal(sizes.filter(size => size > 1_000).length, 36, 'as many as can wait get all of it')
    t.equal(sizes.filter(size => size === 100).length, 14, 'and the other joiners a slice')
    t.equal(answers.get(-60), 0)
    t.equal(core.stats.busy, 1)
    t.equal(core.counts().alive, 1_001 + 50, 'all who joined are known')
  },
)

t.test(
  'who hears of one member more from everybody asks for it soon, in vain less and less often',
  async t => {
    let now = 10_000
    const core = new RingCore({
      name: 'we',
      address: '192.0.2.200',
      port: 7946,
      tags,
      keyring: undefined,
      random: randomOf(1),
      incarnation: 1,
      now,
      log: silent,
      onEvent: () => {},
    })
    core.start(now)
    const packets = new Packets('', undefined)
    for (const node of names('n', 20)) {
      const at = { address: `192.0.2.${node.slice(1)}`, port: 7946 }
      const words = { meta: writeTags(tags)!, versions: Uint8Array.of(1, 5, 2, 2, 5, 5) }
      core.packet(writeAlive({ incarnation: 1, node, ...at, ...words }), at, now)
    }
    /** All members answer and report how many members they know; none can be reached by stream. */
    let living = 21
    const asked: number[] = []
    const run = (ms: number): void => {
      const end = now + ms
      while (core.nextMs() <= end) {
        now = Math.max(now, core.nextMs())
        core.tick(now)
        for (const effect of core.take()) {
          if (effect.do === 'open') {
            if (effect.bytes[0] === TYPE.pushPull) asked.push(now)
            core.streamFailed(effect.id, now)
          }
          if (effect.do !== 'packet') continue
          const messages = packets.unpack(effect.bytes)
          for (const message of typeof messages === 'string' ? [] : messages) {
            if (message[0] !== TYPE.ping) continue
            const digest = Buffer.alloc(10)
            digest.set([TYPE.user, OURS.digest])
            digest.writeUInt32BE(living === 21 ? core.digest : 7, 2)
            digest.writeUInt32BE(living, 6)
            const ack = writeAck(readPing(message.subarray(1))!.seq)
            core.packet(packets.pack([ack, digest]), effect.to, now)
          }
        }
      }
      now = end
    }
    run(60_000)
    asked.length = 0
    living = 22
    const since = now
    run(20_000)
    const soon = asked.filter(ms => ms - since <= 2_000)
    t.equal(soon.length, 1, 'news had a second to come by itself')
    t.ok(
      asked.length >= 3 && asked.length <= 5,
      `asked after ${asked.map(ms => ms - since).join(', ')} ms`,
    )
    asked.length = 0
    run(60_000)
    t.ok(asked.length <= 5, `${asked.length} times in a minute when it lasts`)
    living = 21
    run(10_000)
    living = 22
    asked.length = 0
    run(600)
    t.same(asked, [], 'a difference that has just begun is left to the news')
  },
)
