/**
 * Mutated packets and stream frames: nothing throws and no memory grows. 100,000 inputs, or GOSSIP_FUZZ:
 * GOSSIP_FUZZ=1000000 npx tap test/gossip/membership/fuzz.ts
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { type Effect, RingCore } from '../../../src/gossip/core.ts'
import { Keyring } from '../../../src/gossip/keyring.ts'
import type { Rider } from '../../../src/gossip/rider.ts'
import { Packets } from '../../../src/gossip/wire/packet.ts'
import { framed, StreamReader } from '../../../src/gossip/wire/stream.ts'
import { silent } from '../../../src/base/log.ts'
import { CAPTURED_KEY, compressMessage, encrypted, plain } from './fixture/captured.ts'
import { mutated } from './fixture/mutate.ts'
import { randomOf } from './fixture/world.ts'

/** Inputs to each of the two rings. */
const INPUTS = Math.floor(Number(process.env.GOSSIP_FUZZ ?? 100_000) / 2)
const MEMBERS_MOST = 300

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
const heap = (): number => {
  gc()
  return process.memoryUsage().heapUsed
}

const rider: Rider = {
  digest: () => Buffer.alloc(18, 0x81),
  onDigest: () => {},
  onPacket: () => {},
  onStreamRequest: (_, body) => body.subarray(0, 10),
  onStreamResponse: () => {},
  onMember: () => {},
  poll: () => ({ sends: [], nextMs: 5_000 }),
}

/** Whole messages of streams before framing. */
const messages = (streams: readonly Buffer[], keys: readonly Uint8Array[] | undefined): Buffer[] =>
  streams.map(stream => {
    const reader = new StreamReader({ label: '', keys })
    reader.push(stream)
    while (reader.step() === 'more');
    return Buffer.from(reader.payload)
  })

for (const keyed of [false, true]) {
  t.test(
    `${INPUTS} bent inputs to a ring ${keyed ? 'with' : 'without'} a key neither throw nor stay`,
    async t => {
      const random = randomOf(keyed ? 7 : 8)
      const keyring = keyed ? new Keyring([CAPTURED_KEY]) : undefined
      const at = { address: '192.0.2.1', port: 7946 }
      const core = new RingCore({
        name: 'we',
        ...at,
        tags: { role: 'test', sp: '1' },
        keyring,
        rider,
        random,
        incarnation: 1_795_000_000,
        now: 0,
        log: silent,
        membersMost: MEMBERS_MOST,
        onEvent: () => {},
        seeds: [{ address: '192.0.2.9', port: 7946 }],
      })
      let now = 0
      core.start(now)
      const ours = [
        Buffer.of(8, 0xff, 1, 2, 3, 4, 0, 0, 0, 5, 6, 7, 8),
        Buffer.concat([Buffer.of(8, 0xfe, 5), Buffer.from('serf1'), Buffer.alloc(40, 0x90)]),
      ]
      const captured = keyed ? encrypted : plain
      const inner = [
        ...plain.packets.flatMap(
          packet => new Packets('', undefined).unpack(packet) as Uint8Array[],
        ),
        ...plain.packets,
        ...ours,
      ]
      const streamInner = [
        ...messages(plain.streams, undefined),
        ...messages(encrypted.streams, [CAPTURED_KEY]),
        ...plain.streams,
        Buffer.concat([Buffer.of(8, 0x81), Buffer.from('\xaaUserMsgLen\x12', 'latin1'), ours[1]!]),
      ]
      const bentPacket = mutated(inner, random)
      const bentStream = mutated(streamInner, random)
      const bentRaw = mutated([...captured.packets, ...captured.streams], random)
      const below = (n: number): number => Math.floor(random() * n)
      const seal = new Packets('', keyring)
      const packet = (): Uint8Array => {
        const how = below(10)
        if (how === 0) return bentRaw()
        const body = how < 3 ? compressMessage(bentPacket()) : bentPacket()
        return keyed ? seal.pack([body]) : body
      }
      const stream = (): Uint8Array => {
        const how = below(10)
        if (how === 0) return bentRaw()
        const body = how < 3 ? compressMessage(bentStream()) : bentStream()
        return keyed && keyring ? framed([body], '', keyring.primary, () => keyring.nonce()) : body
      }
      let inbound = -1
      const speak = (id: number): void => {
        const bytes = stream()
        const cut = below(bytes.length + 1)
        core.streamData(id, bytes.subarray(0, cut), now)
        core.streamData(id, bytes.subarray(cut), now)
        if (below(2)) core.streamEnded(id, now)
      }
      const settle = (): void => {
        for (let turns = 0; turns < 20; turns++) {
          const effects: Effect[] = core.take()
          for (const effect of effects) {
            // a peer that we connect to answers with nonsense or not at all
            if (effect.do === 'open' && below(3) > 0) speak(effect.id)
            else if (effect.do === 'open' && below(2)) core.streamFailed(effect.id, now)
          }
          if (core.nextMs() > now && effects.length === 0) return
          core.tick(now)
        }
      }
      let early = 0
      for (let i = 0; i < INPUTS; i++) {
        if (i % 8 === 0) {
          core.streamAccepted(inbound, { address: `198.51.100.${below(250)}`, port: 1 }, now)
          speak(inbound--)
        } else core.packet(packet(), { address: `198.51.100.${below(250)}`, port: 7946 }, now)
        if (i % 4 === 0) {
          now += below(40)
          core.tick(now)
        }
        settle()
        if (i === Math.min(30_000, Math.floor(INPUTS * 0.3))) early = heap()
      }
      const late = heap()
      t.ok(
        late - early < 12 * 1024 * 1024,
        `heap ${Math.round(early / 1e6)} MB, then ${Math.round(late / 1e6)} MB`,
      )
      const { alive, suspect, dead, left } = core.counts()
      t.ok(alive + suspect + dead + left <= MEMBERS_MOST)
      t.ok(core.status().streams <= 128)
      t.ok(core.status().queued <= 3 * 4096)
      t.ok(core.stats.malformed > 0 && core.stats.refused + core.stats.malformed > INPUTS / 20)
      t.equal(core.member.name, 'we')
      t.equal(core.member.state, 'alive', 'and we are still there')
      core.close()
    },
  )
}
