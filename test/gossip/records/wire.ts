/**
 * The encoding of the records: every message can be read back, unknown additions are skipped, and no input makes a
 * reader throw, loop or grow. FUZZ=1000000 runs the last test for longer.
 */
import { deflateRawSync } from 'node:zlib'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import {
  answerWant,
  bucketsMessage,
  largeMessage,
  wantMessage,
} from '../../../src/gossip/records/answers.ts'
import { Ops, readDelta, writeDelta } from '../../../src/gossip/records/delta.ts'
import { Digest, readRoot } from '../../../src/gossip/records/digest.ts'
import { MAX_ENVELOPE, seal, unseal } from '../../../src/gossip/records/envelope.ts'
import { ownerHash } from '../../../src/gossip/records/hash.ts'
import { BUCKETS, DELTAS, LARGE, readMessage, WANT } from '../../../src/gossip/records/message.ts'
import { Reader, varintSize, Writer } from '../../../src/gossip/records/octets.ts'
import type { Owner } from '../../../src/gossip/records/owner.ts'
import { createRecords, type Records } from '../../../src/gossip/records/records.ts'
import { Replica } from '../../../src/gossip/records/replica.ts'
import { Slabs } from '../../../src/gossip/records/slab.ts'
import { type Chain, DELETED, Table } from '../../../src/gossip/records/table.ts'
import { defaultLimits, zeroCounts } from '../../../src/gossip/records/types.ts'
import { seeded } from '../../../scripts/simulate/random.ts'

const replicaOf = (
  entries: Record<string, string>,
  name = 'agent-1',
): { replica: Replica; owner: Owner } => {
  const replica = new Replica({
    limits: defaultLimits,
    counts: zeroCounts(),
    allow: () => true,
    seed: 1,
    onOwner: () => {},
  })
  const owner = replica.ensure(name, 0) as Owner
  replica.advance(owner, 7, 0)
  for (const [key, value] of Object.entries(entries)) {
    const octets = Buffer.from(`\x01${key}${value}`, 'latin1')
    replica.advance(owner, 7, owner.version + 1)
    replica.write(owner, owner.version, octets, 0, 1 + key.length, 1 + key.length, value.length, 0)
  }
  return { replica, owner }
}

t.test('numbers of up to 53 bits survive, larger ones and cut ones do not', async t => {
  for (const n of [
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 48 - 1,
    2 ** 53 - 1,
  ]) {
    const w = new Writer(1)
    w.varint(n)
    t.equal(w.at, varintSize(n))
    const r = new Reader(w.done())
    t.equal(r.varint(), n)
    t.ok(r.ok && r.left === 0)
    const cut = new Reader(w.done().subarray(0, w.at - 1))
    t.equal(cut.varint(), 0)
    t.notOk(cut.ok)
  }
  const padded = new Reader(Buffer.from('858000', 'hex'))
  t.equal(padded.varint(), 5)
  for (const hex of ['ffffffffffffffff7f', '80808080808080808080808001']) {
    const r = new Reader(Buffer.from(hex, 'hex'))
    r.varint()
    t.notOk(r.ok, hex)
  }
  const hash = ownerHash('agent-1')
  const w = new Writer()
  w.hash(hash)
  w.hash(2 ** 53 - 1)
  const r = new Reader(w.done())
  t.same([r.hash(), r.hash(), r.ok], [hash, 2 ** 53 - 1, true])
  t.same([r.u8(), r.u32(), r.hash(), r.text(3), r.part(2).left, r.ok], [0, 0, 0, '', 0, false])
})

t.test('a delta on the wire is these octets', async t => {
  const { replica, owner } = replicaOf({ 'web.marathon': 'abc' })
  const [message] = answerWant(replica, [[owner, 0]], 'packet') as Buffer[]
  t.equal(
    message?.toString('hex'),
    // deltas, version 1, field 1 of 35 octets: agent-1, epoch 7, from 0 to 1, gc 0, whole, age 0; one op of 20
    '9001' +
      '0123' +
      '07' +
      Buffer.from('agent-1').toString('hex') +
      '070001000100' +
      '14' +
      '0100' +
      '0d' +
      '01' +
      Buffer.from('web.marathon').toString('hex') +
      '03616263',
  )
})

t.test('a delta can be cut at any op, and the pieces join on', async t => {
  const { replica, owner } = replicaOf(
    Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`n${i}`, 'v'.repeat(i)])),
  )
  const w = new Writer()
  let from = 3
  const seen: string[] = []
  let pieces = 0
  while (from < owner.version) {
    w.at = 0
    const reached = writeDelta(w, replica.table, owner, from, owner.version, 200, 0)
    const delta = readDelta(new Reader(w.done()), 60_000)
    t.same([delta?.from, delta?.to, (delta?.ops.end ?? 0) <= 200], [from, reached, true])
    if (!delta) break
    const ops = new Ops(delta)
    while (ops.next())
      seen.push(
        `${ops.reader.bytes.toString('latin1', ops.keyAt + 1, ops.keyAt + ops.keyLength)} ${ops.valueLength}`,
      )
    from = reached
    pieces++
  }
  t.ok(pieces > 3)
  t.same(
    seen,
    Array.from({ length: 37 }, (_, i) => `n${i + 3} ${i + 3}`),
  )
  w.at = 0
  t.equal(
    writeDelta(w, replica.table, owner, 0, owner.version, 200, 0),
    0,
    'a whole state is never cut',
  )
  t.equal(
    writeDelta(w, replica.table, owner, 38, owner.version, 50, 0),
    0,
    'an op that is too large alone is said to be',
  )
})

t.test('what a later version adds is stepped over', async t => {
  const { replica, owner } = replicaOf({ web: 'abc' })
  const [message] = answerWant(replica, [[owner, 0]], 'packet') as [Buffer]
  const more = Buffer.concat([message, Buffer.from('7f03aabbcc', 'hex')])
  const parsed = readMessage(more, 60_000)
  t.ok(typeof parsed !== 'string' && parsed.type === DELTAS && parsed.deltas.length === 1)
  // An op with two octets after its value, and an unknown flag.
  const op = Buffer.from('0b' + '01' + '80' + '02' + '0178' + '03616263' + 'eeee', 'hex')
  const delta = Buffer.concat([
    Buffer.from('0161' + '07' + '00' + '01' + '00' + '01' + '00', 'hex'),
    op,
  ])
  const read = readDelta(new Reader(delta), 60_000)
  t.ok(read)
  if (read) {
    const ops = new Ops(read)
    t.ok(ops.next())
    t.same([ops.version, ops.valueLength], [1, 3])
    t.notOk(ops.next())
    t.ok(read.ops.ok)
  }
  const later = Buffer.from(message)
  later[1] = 2
  t.equal(readMessage(later, 60_000), 'version')
})

t.test('octets that are no message are called so', async t => {
  const { replica, owner } = replicaOf({ web: 'abc', api: 'x' })
  const [deltas] = answerWant(replica, [[owner, 0]], 'packet') as [Buffer]
  const item = { hash: owner.hash, epoch: 7, version: 2, goneMs: 61_000, left: true }
  const messages = [
    deltas,
    bucketsMessage(replica),
    wantMessage([item], [item]),
    largeMessage(WANT),
  ]
  for (const message of messages) {
    t.not(typeof readMessage(message, 60_000), 'string')
    for (let cut = 0; cut < message.length; cut++) {
      const parsed = readMessage(message.subarray(0, cut), 60_000)
      // A cut between fields leaves a message with fewer fields.
      if (typeof parsed !== 'string')
        t.ok(cut === 2 || message === messages[2], `${cut} of ${message.toString('hex', 0, 8)}`)
    }
  }
  const want = readMessage(wantMessage([item], [{ ...item, goneMs: -1, left: false }]), 60_000)
  t.match(want, { type: WANT, list: [item], gone: [{ ...item, goneMs: -1, left: false }] })
  t.match(readMessage(largeMessage(BUCKETS), 9), { type: LARGE, asked: BUCKETS })
  const head = (hex: string): string => '0161' + hex
  for (const [hex, why] of [
    ['', 'nothing'],
    ['07', 'a type that is not ours'],
    ['9f01', 'a type we do not know'],
    ['9001' + '01ff', 'a field longer than the message'],
    ['9001' + '0108' + head('000001000000'), 'epoch 0'],
    ['9001' + '0108' + head('070101000000'), 'from not below to'],
    ['9001' + '0108' + head('070001020000'), 'gc above to'],
    ['9001' + '0108' + head('070203000100'), 'whole but not from 0'],
    ['9001' + '0108' + head('070103020000'), 'a part that begins before what it forgot'],
    ['9001' + '010a' + head('070001000100') + '0201', 'an op longer than the delta'],
    [
      '9001' + '010f' + head('070001000100') + '06' + '02' + '00' + '020178' + '00',
      'an op above to',
    ],
    [
      '9001' + '010e' + head('070001000100') + '05' + '01' + '00' + '0101' + '00',
      'a key without a name',
    ],
    ['9101' + '0101aa', 'buckets of one octet'],
    ['9201' + '0101aa', 'a mask of one octet'],
    ['9301' + '010312ffff', 'half a list item'],
    ['9401', 'large, but what'],
  ] as const)
    t.equal(readMessage(Buffer.from(hex, 'hex'), 60_000), 'malformed', why)
  t.equal(readMessage(deltas, 2), 'malformed', 'a value above what one may have')
})

t.test('an envelope gives back its messages, and nothing larger than one may be', async t => {
  const messages = [Buffer.from('one'), Buffer.alloc(5_000, 'two'), Buffer.alloc(0)]
  t.same(unseal(seal(messages)), messages)
  t.ok(seal(messages).length < 200, 'deflated')
  t.same(unseal(seal([])), [])
  const bomb = Buffer.concat([
    Buffer.from('9e0101', 'hex'),
    deflateRawSync(Buffer.alloc(MAX_ENVELOPE + 1)),
  ])
  t.ok(bomb.length < 20_000)
  for (const [octets, why] of [
    [bomb, 'a bomb'],
    [Buffer.from('9e0101deadbeef', 'hex'), 'not deflated'],
    [Buffer.from('9e0100ff', 'hex'), 'cut'],
    [Buffer.from('9e0200', 'hex'), 'another version'],
    [Buffer.from('9e', 'hex'), 'short'],
    [Buffer.alloc(MAX_ENVELOPE + 1, 0x9e), 'long'],
  ] as const)
    t.equal(unseal(octets), undefined, why)
})

t.test('digests agree when the same owners are at the same states, whatever the order', async t => {
  const owners = Array.from({ length: 300 }, (_, i) => ({
    hash: ownerHash(`agent-${i}`),
    epoch: 1_700_000_000 + i,
    version: i * 7,
  }))
  const [a, b] = [new Digest(), new Digest()]
  for (const o of owners) a.toggle(o.hash, o.epoch, o.version)
  for (const o of owners.toReversed()) b.toggle(o.hash, o.epoch, o.version)
  t.same(a.buckets(), b.buckets())
  const root = a.root(true, 300, 12)
  t.equal(root.length, 18)
  t.match(readRoot(root), { synced: true, high: b.high, low: b.low, owners: 300, entries: 12 })
  t.equal(readRoot(root.subarray(1)), undefined)
  const one = owners[17] as (typeof owners)[number]
  b.toggle(one.hash, one.epoch, one.version)
  b.toggle(one.hash, one.epoch, one.version + 1)
  t.equal(a.differing(b.buckets()).length, 1)
  t.not(b.high, a.high)
})

t.test('slabs keep every block apart and use what is given back', async t => {
  const random = seeded(5)
  const slabs = new Slabs()
  const held = new Map<number, Buffer>()
  const check = (address: number, bytes: Buffer): boolean =>
    slabs.slab(address).subarray(slabs.offset(address)).subarray(0, bytes.length).equals(bytes)
  let wrong = 0
  for (let i = 0; i < 20_000; i++) {
    if (held.size > 300) {
      const [address, bytes] = [...held][Math.floor(random() * held.size)] as [number, Buffer]
      if (!check(address, bytes)) wrong++
      slabs.free(address, bytes.length)
      held.delete(address)
    }
    const bytes = Buffer.alloc(1 + Math.floor(random() ** 6 * 60_000), i & 255)
    const address = slabs.store(bytes, 0, bytes.length)
    if (held.has(address)) wrong++
    held.set(address, bytes)
  }
  for (const [address, bytes] of held) if (!check(address, bytes)) wrong++
  t.equal(wrong, 0)
  t.ok(slabs.reserved < 30_000_000, `${slabs.reserved}`)
  t.equal(slabs.store(Buffer.alloc(0), 0, 0), 0)
})

t.test('the table does what a map of maps would', async t => {
  const random = seeded(9)
  const table = new Table(3, 1_000)
  const chains: Chain[] = Array.from({ length: 5 }, (_, i) => ({
    id: i + 1,
    head: 0,
    tail: 0,
    count: 0,
    tombs: 0,
    bytes: 0,
    zoneCount: 0,
    zoneBytes: 0,
  }))
  const model = new Map<string, { value: string | undefined; version: number }>()
  let version = 0
  let wrong = 0
  for (let i = 0; i < 40_000; i++) {
    const chain = chains[Math.floor(random() * 5)] as Chain
    const name = `\x01n${Math.floor(random() * 400)}`
    const key = Buffer.from(name, 'latin1')
    const id = `${chain.id} ${name}`
    const dice = random()
    if (dice < 0.5) {
      const value = `${i}`.repeat(1 + Math.floor(random() * 12))
      table.put(
        chain,
        table.keys.intern(key, 0, key.length),
        ++version,
        Buffer.from(value),
        0,
        value.length,
      )
      model.set(id, { value, version })
    } else if (dice < 0.7) {
      table.put(chain, table.keys.intern(key, 0, key.length), ++version, key, 0, -1)
      model.set(id, { value: undefined, version })
    } else {
      const k = table.keys.find(key, 0, key.length)
      const e = k === 0 ? 0 : table.find(k, chain.id)
      if ((e !== 0) !== model.has(id)) wrong++
      if (e !== 0) table.remove(chain, e)
      model.delete(id)
    }
    if (i % 50 === 0) table.keys.takeChanges(1_000, () => {})
  }
  table.keys.takeChanges(100_000, () => {})
  t.equal(wrong, 0)
  t.equal(table.rows, model.size)
  t.equal(table.keys.count, new Set([...model.keys()].map(id => id.slice(2))).size)
  for (const chain of chains) {
    let last = 0
    let live = 0
    for (let e = chain.head; e !== 0; e = table.after[e] as number) {
      const had = model.get(
        `${chain.id} ${Buffer.from(table.keys.octets(table.key[e] as number)).toString('latin1')}`,
      )
      const deleted = ((table.flags[e] as number) & DELETED) !== 0
      if (
        !had ||
        had.version !== table.version[e] ||
        (table.version[e] as number) <= last ||
        deleted !== (had.value === undefined)
      )
        wrong++
      else if (!deleted && Buffer.from(table.value(e)).toString() !== had.value) wrong++
      if (!deleted) live++
      last = table.version[e] as number
    }
    t.equal(chain.count, live)
  }
  t.equal(wrong, 0)
})

const weight = (): number => {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('gc')
  if (typeof gc === 'function') for (let i = 0; i < 3; i++) gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Messages recorded between three busy nodes. */
const corpus = (): { packets: Buffer[]; streams: Buffer[]; roots: Buffer[]; disk: Buffer } => {
  let now = 0
  const random = seeded(11)
  const packets: Buffer[] = []
  const streams: Buffer[] = []
  const roots: Buffer[] = []
  const nodes = new Map<string, Records>()
  for (const name of ['a', 'b', 'c'])
    nodes.set(
      name,
      createRecords({
        self: name,
        now: () => now,
        random,
        epoch: 5,
        limits: { tombstoneMs: 2_000 },
      }),
    )
  for (const [name, node] of nodes)
    for (const other of nodes.keys())
      if (other !== name)
        node.onMember(
          {
            type: 'join',
            member: {
              name: other,
              address: '192.0.2.1',
              port: 1,
              state: 'alive',
              incarnation: 1,
              tags: {},
              capable: true,
            },
          },
          0,
        )
  for (let i = 0; i < 1_500; i++) {
    now += 10
    for (const [name, node] of nodes) {
      if (random() < 0.03)
        node.publish(
          { kind: 'vip', name: `n${Math.floor(random() * 40)}` },
          Buffer.from('v'.repeat(random() < 0.05 ? 3_000 : 30)),
        )
      if (random() < 0.01) node.withdraw({ kind: 'vip', name: `n${Math.floor(random() * 40)}` })
      for (const send of node.poll(now).sends) {
        const to = nodes.get(send.to) as Records
        if (send.via === 'packet') {
          packets.push(Buffer.from(send.body))
          if (random() < 0.5) to.onPacket(name, send.body, now)
        } else {
          const response = to.onStreamRequest(name, send.body, now)
          streams.push(Buffer.from(send.body))
          if (response) streams.push(Buffer.from(response))
          node.onStreamResponse(send.to, send.token, response, now)
        }
      }
      if (i % 50 === 0) {
        roots.push(Buffer.from(node.digest()))
        for (const [other, to] of nodes) if (other !== name) to.onDigest(name, node.digest(), now)
      }
    }
  }
  return { packets, streams, roots, disk: (nodes.get('a') as Records).toBytes(0) }
}

t.setTimeout(1_800_000)

const FUZZ = Number(process.env.FUZZ ?? 100_000)

t.test(
  `${FUZZ} mutated messages: nothing throws, memory stays flat, and it still works`,
  async t => {
    const random = seeded(Number(process.env.SEED ?? 13))
    const pick = (n: number): number => Math.floor(random() * n)
    const { packets, streams, roots, disk } = corpus()
    t.ok(packets.length > 100 && streams.length > 5)
    let now = 0
    const limits = { entries: 2_000, owners: 100, ownerEntries: 200 }
    const make = (): Records =>
      createRecords({ self: 'a', now: () => now, random, epoch: 9, limits, seeds: false })
    const node = make()
    node.onMember(
      {
        type: 'join',
        member: {
          name: 'b',
          address: '192.0.2.1',
          port: 1,
          state: 'alive',
          incarnation: 1,
          tags: {},
          capable: true,
        },
      },
      0,
    )
    node.publish({ kind: 'vip', name: 'mine' }, Buffer.from('x'))
    const mutate = (from: Buffer): Buffer => {
      const bytes = Buffer.from(from)
      for (let i = 1 + pick(4); i > 0; i--) {
        const at = pick(bytes.length)
        const how = pick(4)
        if (how < 2) bytes[at] = pick(256)
        else if (how === 2) bytes[at] = (bytes[at] as number) ^ (1 << pick(8))
        else
          bytes.fill(
            [0, 255, 0x80, 0x7f][pick(4)] as number,
            at,
            Math.min(bytes.length, at + pick(8)),
          )
      }
      return random() < 0.2 ? bytes.subarray(0, pick(bytes.length)) : bytes
    }
    const some = (list: readonly Buffer[]): Buffer => mutate(list[pick(list.length)] as Buffer)
    const tokens = [0]
    let half = 0
    for (let i = 0; i < FUZZ; i++) {
      if (i === FUZZ >> 1) half = weight()
      const dice = pick(100)
      if (dice < 75) node.onPacket('b', some(packets), now)
      else if (dice < 85) node.onStreamRequest('b', some(streams), now)
      else if (dice < 95)
        node.onStreamResponse('b', tokens[pick(tokens.length)] as number, some(streams), now)
      else if (dice < 99) node.onDigest('b', some(roots), now)
      else if (i % 20 === 0) make().fromBytes(mutate(disk), 0)
      // zlib frees the memory of a failed inflation only in a turn of the event loop.
      if (i % 1_000 === 0) await new Promise(resolve => setImmediate(resolve))
      if (i % 4 !== 0) continue
      now += pick(20)
      for (const send of node.poll(now).sends)
        if (send.via === 'stream') tokens.splice(0, tokens.length - 3, send.token)
    }
    const grown = weight() - half
    const stats = node.stats()
    t.ok(grown < 8_000_000, `${grown} octets more than halfway`)
    t.ok(stats.refused.malformed > FUZZ / 10)
    t.ok(
      stats.entries <= 2_000 && stats.owners <= 100 && stats.tombstones <= 100 * 400,
      JSON.stringify(stats),
    )
    for (let i = 0; i < 200; i++) node.poll((now += 50))
    t.equal(
      node.lookup({ kind: 'vip', name: 'mine' }).filter(entry => entry.owner === 'a').length,
      1,
    )
    t.equal(node.stats().backlog, 0)
  },
)
