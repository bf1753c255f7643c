/** Encoding and decoding: compared with a real serf's messages, with each other, and with nonsense. */
import { createCipheriv } from 'node:crypto'
import t from 'tap'
import { addressBytes, addressText, socketAddress } from '../../../src/gossip/wire/address.ts'
import { checked, compounded, partsOf } from '../../../src/gossip/wire/compound.ts'
import { crc32 } from '../../../src/gossip/wire/crc32.ts'
import { opened, sealed } from '../../../src/gossip/wire/envelope.ts'
import { decompressed, LzwDecoder } from '../../../src/gossip/wire/lzw.ts'
import * as messages from '../../../src/gossip/wire/messages.ts'
import { BAD, Reader, SHORT } from '../../../src/gossip/wire/msgpack.ts'
import { Writer } from '../../../src/gossip/wire/writer.ts'
import { Packets } from '../../../src/gossip/wire/packet.ts'
import * as serf from '../../../src/gossip/wire/serf.ts'
import { SerfState, SerfStateWriter } from '../../../src/gossip/wire/serf-state.ts'
import { framed, StreamReader } from '../../../src/gossip/wire/stream.ts'
import { Keyring } from '../../../src/gossip/keyring.ts'
import { readTags, writeTags } from '../../../src/gossip/serf/tags.ts'
import { CAPTURED_KEY, compressed, compressMessage, encrypted, plain } from './fixture/captured.ts'
import { randomOf } from './fixture/world.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const random = randomOf(5)
const bytes = (n: number, of = 256): Buffer =>
  Buffer.from(Array.from({ length: n }, () => Math.floor(random() * of)))

t.test('every kind of packet a serf sends is read, and written back octet for octet', async t => {
  const packets = new Packets('', undefined)
  const sealedPackets = new Packets('', new Keyring([CAPTURED_KEY]))
  const kinds = new Set<string>()
  const again = (message: Uint8Array): Uint8Array | undefined => {
    const body = message.subarray(1)
    const inner = body.subarray(1)
    const user = (out: Uint8Array): Buffer => Buffer.concat([Buffer.of(8), out])
    switch (message[0]) {
      case 0: {
        const ping = messages.readPing(body)!
        return messages.writePing(ping.seq, ping.node, ping.source)
      }
      case 1:
        return messages.writeIndirectPing(messages.readPing(body)!)
      case 3:
        return messages.writeAccusation(3, messages.readAccusation(body)!)
      case 4:
        return messages.writeAlive(messages.readState(new Reader(body))!)
      case 5:
        return messages.writeAccusation(5, messages.readAccusation(body)!)
      case 11:
        return messages.writeNack(messages.readAck(body)!.seq)
      case 8:
        if (body[0] === 0) return user(serf.writeIntent(0, serf.readIntent(inner)!))
        if (body[0] === 1) return user(serf.writeIntent(1, serf.readIntent(inner)!))
        if (body[0] === 3) return user(serf.writeUserEvent(serf.readUserEvent(inner)!))
        return user(serf.writeQuery(serf.readQuery(inner)!))
    }
    return undefined
  }
  for (const [ring, all] of [
    [packets, plain.packets],
    [sealedPackets, encrypted.packets],
  ] as const) {
    for (const packet of all) {
      const parts = ring.unpack(packet)
      if (typeof parts === 'string') return t.fail(`a packet was ${parts}`)
      for (const message of parts) {
        kinds.add(message[0] === 8 ? `8:${message[1]}` : String(message[0]))
        if (message[0] === 2)
          t.ok(
            messages.readAck(message.subarray(1))!.payload.length > 0,
            'an ack carries coordinates',
          )
        else t.same(again(message), message)
      }
    }
  }
  t.same([...kinds].sort(), ['0', '1', '11', '2', '3', '4', '5', '8:0', '8:1', '8:3', '8:4'])
})

t.test('what a serf sent says what it meant', async t => {
  const packets = new Packets('', undefined)
  const all = plain.packets.flatMap(packet => packets.unpack(packet) as Uint8Array[])
  const first = (type: number): Uint8Array => all.find(one => one[0] === type)!.subarray(1)
  const alive = messages.readState(new Reader(first(4)))!
  t.match(alive, { node: 'we', address: '127.16.9.9', port: 7946 })
  t.same([...alive.versions], [1, 5, 2, 2, 5, 5])
  t.same(readTags(alive.meta), { role: 'spartan' })
  const ping = messages.readPing(first(0))!
  t.equal(ping.node, 'we')
  t.match(ping.source, { port: 7946, name: /^serf\d$/, address: /^127\.16\.9\.\d$/ })
  const query = all
    .filter(one => one[0] === 8 && one[1] === 4)
    .map(one => serf.readQuery(one.subarray(2))!)
  t.match(
    query.find(one => one.name === 'load'),
    { timeout: 2_000, address: '127.16.9.1', source: 'serf1' },
  )
  t.same(serf.readTagFilter(query.find(one => one.name === 'load')!.filters[0]!.subarray(1)), {
    tag: 'role',
    expression: 'spartan',
  })
})

t.test('streams of a serf are read whole, in pieces, and octet by octet', async t => {
  const kinds = new Set<number>()
  for (const [keys, all] of [
    [undefined, plain.streams],
    [[CAPTURED_KEY], encrypted.streams],
  ] as const) {
    for (const stream of all) {
      const results = [stream.length, 7, 1].map(size => {
        const reader = new StreamReader({ label: '', keys })
        let state = 'wait'
        for (let at = 0; at < stream.length && state === 'wait'; at += size) {
          reader.push(stream.subarray(at, at + size))
          do state = reader.step()
          while (state === 'more')
        }
        t.equal(state, 'done')
        return reader.payload
      })
      t.same(results[1], results[0])
      t.same(results[2], results[0])
      const message = results[0]!
      kinds.add(message[0]!)
      if (message[0] !== 6) continue
      const r = new Reader(message, 1)
      const head = messages.readPushPullHead(r, 100, 10_000)!
      const names = Array.from({ length: head.nodes }, () => messages.readState(r)!.node)
      t.ok(names.includes('serf1'))
      const state = new SerfState(r.take(head.userLength))
      t.ok(state.ok && r.ok && r.left === 0)
      t.ok(state.members(100).some(([name]) => name === 'serf1'))
    }
  }
  t.ok(kinds.has(6) && kinds.has(2), 'there were push/pulls and acks')
})

t.test('plain push/pulls end where their values end', async t => {
  const states = ['a', 'b', 'c'].map(node =>
    messages.writeState({
      node,
      address: '192.0.2.1',
      port: 1,
      meta: bytes(40),
      incarnation: 1,
      state: 0,
      versions: bytes(6, 6),
    }),
  )
  const message = Buffer.concat([
    messages.writePushPullHead({ nodes: 3, userLength: 5, join: true }),
    ...states,
    Buffer.from('user!'),
  ])
  for (let cut = 1; cut < message.length; cut++) {
    const reader = new StreamReader({ label: '', keys: undefined })
    reader.push(message.subarray(0, cut))
    t.equal(reader.step(), 'wait')
    reader.push(Buffer.concat([message.subarray(cut), Buffer.from('and more')]))
    t.equal(reader.step(), 'done')
    t.same(reader.payload, message)
  }
})

t.test('streams are labelled, sealed, and refused without either', async t => {
  const keyring = new Keyring([bytes(16)])
  const message = messages.writePing(7, 'we', { address: '192.0.2.1', port: 1, name: 'n' })
  const framedBytes = (label: string, key = true): Buffer =>
    framed([message], label, key ? keyring.primary : undefined, () => keyring.nonce())
  const state = (stream: Uint8Array, label: string, keys?: readonly Uint8Array[]): string => {
    const reader = new StreamReader({ label, keys })
    reader.push(stream)
    const result = reader.step()
    if (result === 'done') t.same(reader.payload, message)
    return result
  }
  t.equal(state(framedBytes('blue'), 'blue', keyring.keys), 'done')
  t.equal(state(framedBytes('blue', false), 'blue'), 'done')
  t.equal(state(framedBytes(''), '', [bytes(16), ...keyring.keys]), 'done', 'by any key')
  t.equal(state(framedBytes('red'), 'blue', keyring.keys), 'bad')
  t.equal(state(framedBytes('blue'), '', keyring.keys), 'bad')
  t.equal(state(framedBytes('', false), '', keyring.keys), 'bad', 'plain text in a ring with keys')
  t.equal(state(framedBytes(''), ''), 'bad', 'a sealed frame in a ring without')
  t.equal(state(framedBytes(''), '', [bytes(16)]), 'bad')
  t.equal(state(hex('0a ffffffff 00'), '', keyring.keys), 'bad', 'no length is believed')
  t.equal(state(hex('06 83 a5 4e6f646573 ce ffffffff'), ''), 'bad')
  t.equal(state(hex('63'), ''), 'bad')
  t.equal(
    state(Buffer.concat([Buffer.of(9), compressMessage(compressMessage(message)).subarray(1)]), ''),
    'more',
  )
})

t.test('MessagePack of both specifications is read', async t => {
  const values = [
    0,
    1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    0xffff_ffff,
    2 ** 40,
    Number.MAX_SAFE_INTEGER,
    -1,
    -32,
    -33,
    -1000,
  ]
  for (const value of values) t.equal(new Reader(new Writer().int(value).done()).int(), value)
  for (const n of [0, 1, 31, 32, 255, 256, 65_535, 65_536]) {
    const value = bytes(n)
    t.same(new Reader(new Writer().raw(value).done()).raw(1e6), value)
  }
  t.equal(
    new Reader(hex('cf ffffffffffffffff')).int(),
    Number.MAX_SAFE_INTEGER,
    'what cannot be counted is capped',
  )
  t.equal(new Reader(hex('d3 ffffffffffffff38')).int(), -200)
  t.equal(new Reader(hex('d0 80')).int(), -128)
  t.equal(new Reader(hex('d1 ff00')).int(), -256)
  t.equal(new Reader(hex('d2 fffffff0')).int(), -16)
  t.same(new Reader(hex('d9 02 6869')).text(10), 'hi', 'str8')
  t.same(new Reader(hex('c4 02 6869')).raw(10), Buffer.from('hi'), 'bin8')
  t.same(new Reader(hex('93 01 02 03')).raw(10), Buffer.of(1, 2, 3), 'octets as an array')
  for (const text of ['c0', 'a0', '90']) t.equal(new Reader(hex(text)).raw(10).length, 0)
})

t.test(
  'MessagePack that is cut is short, that is wrong is bad, and nothing is read after either',
  async t => {
    const faults: [string, (r: Reader) => unknown, number][] = [
      ['', r => r.int(), SHORT],
      ['cd 01', r => r.int(), SHORT],
      ['a5 6869', r => r.text(10), SHORT],
      ['db ffffffff', r => r.raw(100), BAD],
      ['c3', r => r.int(), BAD],
      ['a1 ff', r => r.text(10), BAD],
      ['05', r => r.map(), BAD],
      ['df 00100000', r => r.map(), BAD],
      ['dd ffffffff', r => r.array(10), BAD],
      ['df ffffffff', r => r.skip(), SHORT],
      ['c1', r => r.skip(), BAD],
      ['cc ff', r => r.uint(10), BAD],
      ['05', r => r.bool(), BAD],
    ]
    for (const [text, read, fault] of faults) {
      const r = new Reader(hex(text))
      read(r)
      t.equal(r.fault, fault, text)
      t.equal(r.int() || r.text(9) || r.raw(9).length || r.map() || r.array(9), 0)
    }
  },
)

t.test('any value is stepped over, however deep it is nested', async t => {
  const deep = Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.of(1)])
  const r = new Reader(deep)
  r.skip()
  t.ok(r.ok && r.left === 0)
  const all = hex(
    '8c a161 01 a162 d900 a163 c403000000 a164 ca00000000 a165 cb0000000000000000 a166 d400 00 a167 c70100 00 a168 dc0001c0 a169 de0001c0c0 a16a c9000000010000 a16b d800000000000000000000000000000000 00 a16c dd00000001 c2',
  )
  const one = new Reader(all)
  one.skip()
  t.ok(one.ok && one.left === 0)
})

t.test('LZW is undone, over full and cleared tables, in steps of any size', async t => {
  const inputs = [
    Buffer.alloc(0),
    Buffer.of(5),
    Buffer.alloc(100_000, 65),
    bytes(50_000),
    bytes(60_000, 4),
    Buffer.from('tobeornottobe'.repeat(5_000)),
  ]
  for (const input of inputs) {
    const packed = compressed(input)
    t.ok(decompressed(packed, 200_000)?.equals(input))
    const decoder = new LzwDecoder(packed, 200_000)
    let steps = 0
    while (decoder.step(1_000) === 'more') steps++
    t.ok(decoder.output().equals(input))
    t.ok(steps <= input.length / 1_000 + 1)
    if (input.length > 0)
      t.equal(decompressed(packed, input.length - 1), undefined, 'not an octet more than allowed')
    if (packed.length > 2)
      t.equal(decompressed(packed.subarray(0, packed.length - 2), 200_000), undefined, 'cut off')
  }
})

t.test('LZW codes that are not there yet are refused', async t => {
  // codes of nine bits: 256 clears, 300 was never defined
  t.equal(decompressed(hex('00 59 02'), 100), undefined)
  t.equal(decompressed(Buffer.alloc(0), 100), undefined)
  for (let i = 0; i < 2_000; i++) decompressed(bytes(60), 10_000)
  t.pass('and no nonsense throws')
})

t.test('checksums are those of IEEE 802.3', async t => {
  t.equal(crc32(Buffer.from('123456789')), 0xcbf4_3926)
  t.equal(crc32(Buffer.alloc(0)), 0)
  t.same(checked(hex('0c cbf43926 313233343536373839')), Buffer.from('123456789'))
  t.equal(checked(hex('0c cbf43927 313233343536373839')), undefined)
})

t.test('envelopes open with the key, the label and every octet that made them', async t => {
  for (const size of [16, 24, 32]) {
    const keyring = new Keyring([bytes(size)])
    const label = Buffer.from('blue')
    const message = bytes(100)
    const box = sealed(
      keyring.primary,
      keyring.nonce(),
      [message.subarray(0, 40), message.subarray(40)],
      label,
    )
    t.same(opened(keyring.keys, box, label), message)
    t.same(opened([bytes(16), bytes(32), ...keyring.keys], box, label), message)
    t.equal(opened([bytes(size)], box, label), undefined)
    t.equal(opened(keyring.keys, box, undefined), undefined)
    t.equal(opened([], box, label), undefined)
    for (let at = 0; at < box.length; at++) {
      const bent = Buffer.from(box)
      bent[at]! ^= 1
      t.equal(opened(keyring.keys, bent, label)?.length ?? 0, 0)
      t.equal(opened(keyring.keys, box.subarray(0, at), label), undefined)
    }
  }
})

t.test('envelopes of version 0 are padded', async t => {
  const key = bytes(16)
  const box = (padding: Buffer): Buffer => {
    const nonce = bytes(12)
    const cipher = createCipheriv('aes-128-gcm', key, nonce)
    const body = Buffer.concat([
      cipher.update(Buffer.concat([Buffer.from('hello world'), padding])),
      cipher.final(),
    ])
    return Buffer.concat([Buffer.of(0), nonce, body, cipher.getAuthTag()])
  }
  t.same(opened([key], box(Buffer.alloc(5, 5)), undefined), Buffer.from('hello world'))
  t.equal(opened([key], box(Buffer.alloc(1, 200)), undefined), undefined)
  t.equal(opened([key], box(Buffer.alloc(1, 0)), undefined), undefined)
})

t.test('compounds come apart, and what was cut off is left out', async t => {
  const parts = [bytes(3), bytes(0), bytes(500), bytes(1)]
  const one = Buffer.from(compounded(parts))
  t.same(partsOf(one.subarray(1)), parts)
  t.same(partsOf(one.subarray(1, one.length - 1)), parts.slice(0, 3))
  t.same(partsOf(Buffer.of(200, 1)), [])
  t.same(partsOf(Buffer.alloc(0)), [])
  t.equal(compounded([parts[0]!]), parts[0])
  t.equal(partsOf(compounded(Array.from({ length: 300 }, () => bytes(1))).subarray(1)).length, 255)
})

t.test('packets nest so deep and grow so far and no further', async t => {
  const packets = new Packets('', undefined)
  const nack = messages.writeNack(1)
  t.same(packets.unpack(compressMessage(compounded([nack, nack]))), [nack, nack])
  let deep: Uint8Array = nack
  for (let i = 0; i < 10; i++)
    deep = compounded([deep, deep]).length > 60_000 ? deep : Buffer.from(compounded([deep, nack]))
  t.ok((packets.unpack(deep) as Uint8Array[]).length <= 6)
  t.equal(packets.unpack(compressMessage(Buffer.alloc(70_000, 11))), 'malformed', 'a bomb')
  t.equal(packets.unpack(Buffer.alloc(0)), 'malformed')
  t.equal(packets.unpack(Buffer.of(7)), 'malformed')
  t.equal(packets.unpack(hex('f4 02 6162 0b')), 'refused', 'a label where there is none')
  const blue = new Packets('blue', undefined)
  t.same(blue.unpack(blue.pack([nack])), [nack])
  t.equal(blue.unpack(nack), 'refused')
  t.equal(blue.unpack(Buffer.of(244)), 'refused')
})

t.test('a label and its checksum of envelope lie as memberlist 0.3 lays them', async t => {
  const packed = new Packets('ab', undefined).pack([hex('0b 81 a5 5365714e6f 05')])
  t.same(packed, hex('f4 02 6162 0b 81 a5 5365714e6f 05'))
})

t.test('addresses come in 4 or 16 octets and have one spelling', async t => {
  t.equal(addressText(hex('c0000201')), '192.0.2.1')
  t.equal(addressText(hex('00000000000000000000ffffc0000201')), '192.0.2.1')
  t.equal(addressText(hex('20010db8000000000000000000000001')), '2001:db8::1')
  t.equal(addressText(hex('c00002')), '')
  for (const text of ['192.0.2.1', '2001:db8::1', '::'])
    t.equal(addressText(addressBytes(text)), text)
  t.equal(addressBytes('nonsense').length, 0)
  t.equal(socketAddress('::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(socketAddress('fe80::1%lo'), 'fe80::1')
})

t.test('messages that cannot be meant are not read', async t => {
  const bad = [
    new Writer().map(1).text('Node').raw(hex('ff')).done(),
    new Writer().map(1).text('Node').raw(Buffer.alloc(300, 65)).done(),
    new Writer().map(2).text('Node').text('n').text('Addr').raw(bytes(5)).done(),
    new Writer().map(2).text('Node').text('n').text('Meta').raw(bytes(513)).done(),
    new Writer()
      .map(2)
      .text('Node')
      .text('n')
      .text('Incarnation')
      .int(2 ** 33)
      .done(),
    new Writer().map(2).text('Node').text('n').text('Port').int(70_000).done(),
    new Writer().map(2).text('Node').text('n').text('State').int(4).done(),
    new Writer().map(2).text('Node').text('n').done(),
    Buffer.alloc(0),
    hex('c1'),
  ]
  for (const body of bad)
    t.equal(messages.readState(new Reader(body)), undefined, body.toString('hex'))
  const open = new Writer()
    .map(3)
    .text('Node')
    .text('n')
    .text('New')
    .map(1)
    .text('x')
    .array(1)
    .int(1)
    .text('Port')
    .int(5)
    .done()
  t.match(
    messages.readState(new Reader(open)),
    { node: 'n', port: 5, incarnation: 0 },
    'unknown fields are stepped over',
  )
  t.equal(messages.readError(bytes(10)), '')
  t.equal(messages.readError(new Writer().map(1).text('Error').text('no').done()), 'no')
})

t.test('tags are a map of text behind octet 255, or the role alone', async t => {
  const tags = { role: 'agent', __proto__x: '1', dc: 'ä' }
  t.same(readTags(writeTags(tags)!), tags)
  t.same(readTags(Buffer.from('web')), { role: 'web' })
  t.same(readTags(Buffer.alloc(0)), {})
  t.same(readTags(hex('ff c1')), {})
  const odd = readTags(
    Buffer.concat([Buffer.of(255), new Writer().map(1).text('__proto__').text('x').done()]),
  )
  t.equal(Object.getPrototypeOf(odd), Object.prototype)
  t.equal(writeTags({ a: 'x'.repeat(505) })?.length, 512)
  t.equal(writeTags({ a: 'x'.repeat(506) }), undefined)
})

t.test('a Serf state is written and read back, in slices', async t => {
  const event = (ltime: number, name: string): serf.UserEvent => ({
    ltime,
    name,
    payload: bytes(5),
    coalesce: false,
  })
  const groups = [[event(3, 'a'), event(3, 'b')], [event(9, 'c')]]
  const w = new SerfStateWriter({ member: 12, event: 10, query: 4 }, groups, ['gone'], 500)
  for (let i = 0; i < 500; i++) w.member(`n${i}`, i)
  const state = new SerfState(w.done())
  t.match(state, { ok: true, ltime: 12, eventTime: 10, queryTime: 4, left: ['gone'] })
  t.same(
    state.events.map(one => [one.ltime, one.name]),
    [
      [3, 'a'],
      [3, 'b'],
      [9, 'c'],
    ],
  )
  const members: string[] = []
  for (let some = state.members(64); some.length > 0; some = state.members(64))
    members.push(...some.map(([name]) => name))
  t.equal(members.length, 500)
  t.equal(new SerfState(Buffer.of(2)).ok, false)
  t.equal(new SerfState(Buffer.of(9, 0x80)).ok, false)
})

t.test('relayed responses say where they go', async t => {
  const address = new Writer()
    .map(3)
    .text('IP')
    .raw(addressBytes('192.0.2.7'))
    .text('Port')
    .int(7946)
    .text('Zone')
    .text('')
  const body = Buffer.concat([
    new Writer().map(2).text('DestAddr').bytes(address.done()).text('DestName').text('n7').done(),
    Buffer.from('rest'),
  ])
  t.same(serf.readRelay(body), {
    address: '192.0.2.7',
    port: 7946,
    name: 'n7',
    message: Buffer.from('rest'),
  })
  t.equal(serf.readRelay(bytes(9)), undefined)
})
