/**
 * Which datagrams share a message, read from the memory that the kernel would read. Makes no system calls: memory
 * addresses are invented.
 */
import t from 'tap'
import { fc } from '../../fixture/property.ts'
import { Messages } from '../../../src/data/io/arena.ts'
import { inetPeer, InetPeer, NAME_WORDS } from '../../../src/data/io/inet.ts'
import type { Libc } from '../../../src/data/io/libc.ts'
import { LIST, SendList } from '../../../src/data/io/send-list.ts'

const PACKETS = 100
const PACKET_BYTES = 1536

/** Simulated memory, each piece at an address above 32 bits. */
const memories = () => {
  const all: { base: number; memory: ArrayBuffer }[] = []
  const libc = {
    addressOf: (memory: ArrayBuffer) => {
      const base = 0x7f12_3456_7000 + all.length * 0x1_0000_0000
      all.push({ base, memory })
      return base
    },
  } as unknown as Libc
  const at = (address: number): { view: DataView; offset: number } => {
    const { base, memory } = all.findLast(m => m.base <= address)!
    return { view: new DataView(memory), offset: address - base }
  }
  const word = (address: number): number => {
    const { view, offset } = at(address)
    return view.getInt32(offset, true)
  }
  const pointer = (address: number): number => {
    const { view, offset } = at(address)
    return Number(view.getBigUint64(offset, true))
  }
  const half = (address: number): number => {
    const { view, offset } = at(address)
    return view.getUint16(offset, true)
  }
  const peer = (address: number): string => {
    const { view, offset } = at(address)
    const { address: text, port } = new InetPeer(new Int32Array(view.buffer), offset / 4)
    return `${text} ${port}`
  }
  return { libc, word, pointer, half, peer }
}

type Sent = { peer: string; size: number; control: number; packets: number[]; lengths: number[] }

const setUp = () => {
  const m = memories()
  const packets = new Messages(m.libc, {
    headers: 0,
    packets: PACKETS,
    packetBytes: PACKET_BYTES,
    controlBytes: 64,
  })
  const list = new SendList(m.libc, packets)
  const packetOf = new Map(Array.from({ length: PACKETS }, (_, i) => [packets.packetAddress(i), i]))
  /** The messages as sendmmsg would find them. */
  const read = (): Sent[] => {
    const base = list.seal()
    return Array.from({ length: list.count }, (_, i) => {
      const header = list.addressOf(i)
      if (header !== base + i * 64) throw new Error('headers lie one after the other')
      const iov = m.pointer(header + 16)
      const count = m.word(header + 24)
      const control = m.word(header + 40)
      const at = m.pointer(header + 32)
      const joined = control === 24 && m.word(at + 8) === 17 && m.word(at + 12) === 103
      return {
        peer: m.peer(m.pointer(header)),
        size: joined ? m.half(at + 16) : 0,
        control: joined ? 0 : control,
        packets: Array.from({ length: count }, (_, j) => packetOf.get(m.pointer(iov + j * 16))!),
        lengths: Array.from({ length: count }, (_, j) => m.word(iov + j * 16 + 8)),
      }
    })
  }
  const to = (packet: number, address: string, port: number): void =>
    inetPeer(address, port).put(packets.names, packet * NAME_WORDS)
  return { list, read, to }
}

t.test('datagrams of one size for one peer share a message, a shorter one ends it', async t => {
  const { list, read, to } = setUp()
  for (const i of [0, 1, 2, 3, 4, 5]) to(i, '192.0.2.1', 5353)
  to(6, '192.0.2.1', 5354)
  to(7, '2001:db8::1', 5353)
  to(8, '2001:db8::1', 5353)
  to(9, '2001:db8::2', 5353)
  for (const [i, length] of [60, 60, 50, 50, 70, 60, 60, 60, 60, 60].entries())
    list.add(i, length, 0, true)
  t.strictSame(
    read().map(({ packets, size }) => [packets, size]),
    [
      [[0, 1, 2], 60],
      [[3], 0],
      [[4, 5], 70],
      [[6], 0],
      [[7, 8], 60],
      [[9], 0],
    ],
  )
})

t.test(
  'the three masters of a race are three messages, however the questions alternate',
  async t => {
    const { list, read, to } = setUp()
    for (let i = 0; i < 60; i++) {
      to(i, `192.0.2.${i % 3}`, 61053)
      list.add(i, 44, 0, true)
    }
    t.strictSame(
      read().map(m => [m.peer, m.packets.length, m.size]),
      [0, 1, 2].map(i => [`192.0.2.${i} 61053`, 20, 44]),
    )
  },
)

t.test('what must leave from an address of its own, or may not join, stays alone', async t => {
  const { list, read, to } = setUp()
  for (let i = 0; i < 4; i++) to(i, '192.0.2.1', 5353)
  for (let i = 4; i < 6; i++) to(i, '192.0.2.1', 0)
  list.add(0, 60, 32, true)
  list.add(1, 60, 0, true)
  list.add(2, 60, 32, true)
  list.add(3, 60, 0, false)
  list.add(4, 60, 0, true)
  list.add(5, 60, 0, true)
  t.strictSame(
    read().map(m => [m.packets, m.control]),
    [
      [[0], 32],
      [[1], 0],
      [[2], 32],
      [[3], 0],
      [[4], 0],
      [[5], 0],
    ],
  )
})

t.test(
  'whatever is added leaves once, to its peer, in order, and the kernel can cut it',
  async () => {
    const { list, read, to } = setUp()
    const peers = [
      '192.0.2.1',
      '192.0.2.2',
      '::ffff:192.0.2.1',
      '2001:db8::1',
      'fe80::1%1',
      'fe80::1%2',
    ]
    const datagram = fc.record({
      peer: fc.nat({ max: peers.length * 2 - 1 }),
      length: fc.oneof(fc.constant(60), fc.constant(1232), fc.integer({ min: 1, max: 1536 })),
      control: fc.constantFrom(0, 0, 0, 32),
      join: fc.constantFrom(true, true, true, false),
    })
    fc.assert(
      fc.property(fc.array(datagram, { minLength: 1, maxLength: LIST }), all => {
        list.clear()
        const nameOf = (peer: number) => `${peers[peer >> 1]!} ${5353 + (peer & 1)}`
        for (const [i, { peer, length, control, join }] of all.entries()) {
          to(i, peers[peer >> 1]!, 5353 + (peer & 1))
          list.add(i, length, control, join)
        }
        const messages = read()
        const order = new Map<string, number>()
        for (const [m, { peer, size, control, packets, lengths }] of messages.entries()) {
          const [first = -1] = packets
          if (control !== all[first]!.control) return false
          if (
            list.isJoined(m) !== packets.length > 1 ||
            (packets.length > 1 && size !== lengths[0])
          )
            return false
          if (lengths.slice(0, -1).some(l => l !== lengths[0])) return false
          if (lengths.at(-1)! > lengths[0]! || lengths.reduce((a, b) => a + b) > 65_000)
            return false
          for (const [j, packet] of packets.entries()) {
            const one = all[packet]!
            if (nameOf(one.peer) !== peer || one.length !== lengths[j]) return false
            if (packets.length > 1 && (!one.join || one.control > 0)) return false
          }
          // Datagrams that may share a message keep their order for each peer.
          if (all[first]!.join && control === 0) {
            if (first < (order.get(peer) ?? -1)) return false
            order.set(peer, packets.at(-1)!)
          }
        }
        const seen = messages.flatMap(m => m.packets).sort((a, b) => a - b)
        return seen.length === all.length && seen.every((packet, i) => packet === i)
      }),
      { numRuns: 500 },
    )
  },
)
