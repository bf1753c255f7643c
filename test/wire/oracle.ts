/**
 * What `wire` reads from a message agrees with our strict decoder and, where it is reliable, with dns-packet: for
 * recorded packets, known attacks, and mutated copies. Nothing throws or reads past the end, and the cost is counted
 * in octets read.
 */
import t from 'tap'
import dnsPacket from 'dns-packet'
import { admit, ACCEPT, Head } from '../../src/data/serve/admit.ts'
import { classify } from '../../src/data/forward/classify.ts'
import { compose } from '../../src/wire/compose.ts'
import * as header from '../../src/wire/header.ts'
import {
  expandName,
  MAX_NAME,
  nameText,
  skipName,
  skipPlainName,
  STEPS,
} from '../../src/wire/name.ts'
import { ADDITIONAL, ANSWER, AUTHORITY, Records, scan, ttlOf } from '../../src/wire/scan.ts'
import { truncate } from '../../src/wire/truncate.ts'
import {
  countLies,
  goodQueries,
  goodReplies,
  manyQuestions,
  mutations,
  optLies,
  pointerQueries,
  pointerReplies,
  rdlengthLies,
  type Odd,
} from '../fixture/mutate.ts'
import { packets } from '../fixture/packets.ts'
import { seedOr } from '../fixture/random.ts'
import type { RR } from '../fixture/rr.ts'
import { typeOf, classOf, rcodeOf, rcodeText } from '../fixture/types.ts'
import { decode, type Message } from '../fixture/wire.ts'

const seed = seedOr(11)
const ROUNDS = 30_000

const tricks = (): Odd[] => [
  ...packets(),
  ...pointerQueries(),
  ...pointerReplies(),
  ...rdlengthLies(),
  ...optLies('query'),
  ...optLies('reply'),
  ...goodReplies().flatMap(b => [...countLies(b)]),
  ...goodQueries().flatMap(b => [...countLies(b)]),
]

/** Known attacks, then mutated copies of all small ones. */
function* all(): Generator<Odd> {
  yield* tricks()
  const good = [...goodQueries(), ...goodReplies(), ...packets().map(p => p.bytes)].filter(
    b => b.length > 11 && b.length < 2000,
  )
  const more = mutations(seed, good)
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = more.next().value as Buffer
    yield { says: `seed ${seed}, mutation ${n}: ${bytes.toString('hex')}`, bytes }
  }
}

const strict = (bytes: Buffer): Message | undefined => {
  try {
    return decode(bytes, { opaque: true })
  } catch {
    return undefined
  }
}

const out = Buffer.alloc(MAX_NAME + 1)
const nameAt = (b: Uint8Array, at: number, end: number): string | undefined =>
  expandName(b, at, end, out) < 0 ? undefined : nameText(out)

/** The records as `wire` sees them: section, owner, type, class, TTL, rdata. */
const seen = (b: Buffer, r: Records): string[] =>
  Array.from({ length: r.count }, (_, i) => i)
    .filter(i => i !== r.opt)
    .map(i =>
      [
        r.section[i],
        nameAt(b, r.at[i]!, b.length),
        r.type[i],
        r.class[i],
        ttlOf(b, r, i),
        b.toString('hex', r.rdataAt[i], r.rdataEnd[i]),
      ].join(' '),
    )

const told = (m: Message): string[] => {
  const one = (section: number) => (r: RR) =>
    [
      section,
      r.name,
      typeOf(r.type),
      classOf(r.class),
      r.ttl > 0x7fffffff ? 0 : r.ttl,
      r.data.split(' ')[2] ?? '',
    ].join(' ')
  return [
    ...m.answers.map(one(ANSWER)),
    ...m.authority.map(one(AUTHORITY)),
    ...m.additional.map(one(ADDITIONAL)),
  ]
}

t.test(
  'a scan finds what the strict reader finds, and refuses nothing that it accepts',
  async t => {
    const r = new Records()
    let accepted = 0
    let agreed = 0
    for (const { says, bytes } of all()) {
      const ok = scan(bytes, bytes.length, r)
      if (ok) accepted++
      const m = strict(bytes)
      // Names in questions are never compressed by real servers.
      if (
        !m ||
        m.questions.length > 1 ||
        (m.questions.length === 1 && skipPlainName(bytes, 12, bytes.length) < 0)
      )
        continue
      agreed++
      if (!ok) t.fail(`refused: ${says}`)
      else {
        const [is, should] = [seen(bytes, r), told(m)]
        if (is.join('\n') !== should.join('\n')) t.same(is, should, says)
        if (
          m.questions.length === 1 &&
          (r.qtype !== typeOf(m.questions[0]!.type) || r.qclass !== classOf(m.questions[0]!.class))
        )
          t.fail(`question: ${says}`)
        if (r.opt >= 0 !== (m.edns !== undefined)) t.fail(`OPT: ${says}`)
      }
    }
    t.ok(accepted > 5_000, `${accepted} accepted`)
    t.ok(agreed > 3_000, `${agreed} compared`)
  },
)

/**
 * Types whose rdata our strict decoder checks. For other types dns-packet uses its own parser instead of RDLENGTH,
 * which shifts the following records.
 */
const CHECKED = new Set(['A', 'AAAA', 'NS', 'CNAME', 'DNAME', 'PTR', 'MX', 'SRV', 'SOA', 'TXT'])

t.test('dns-packet agrees wherever lengths are true', async t => {
  const r = new Records()
  let compared = 0
  for (const { says, bytes } of all()) {
    if (!scan(bytes, bytes.length, r)) continue
    let m: dnsPacket.DecodedPacket
    try {
      const m0 = decode(bytes)
      if ([...m0.answers, ...m0.authority, ...m0.additional].some(x => !CHECKED.has(x.type)))
        continue
      m = dnsPacket.decode(bytes)
    } catch {
      continue
    }
    const sections = [m.answers ?? [], m.authorities ?? [], m.additionals ?? []]
    let i = 0
    for (const section of sections) {
      for (const record of section) {
        const at = i++
        if (record.type === 'OPT') continue
        const name = nameAt(bytes, r.at[at]!, bytes.length)
        // dns-packet converts labels to UTF-8 and writes the root as '.', so only plain names are compared.
        if (name !== undefined && /^[\w.-]+$/.test(name) && record.name !== name)
          t.fail(`${record.name} is ${name}: ${says}`)
        if ('ttl' in record && (record.ttl ?? 0) !== bytes.readUInt32BE(r.ttlAt[at]!))
          t.fail(`TTL: ${says}`)
        if (
          record.type === 'A' &&
          record.data !== bytes.subarray(r.rdataAt[at], r.rdataEnd[at]).join('.')
        )
          t.fail(`A: ${says}`)
      }
    }
    if (i !== r.count) t.fail(`${i} records, scan has ${r.count}: ${says}`)
    if (
      m.id !== header.id(bytes) ||
      (m.type === 'response') !== header.isResponse(bytes) ||
      m.flag_tc !== header.isTruncated(bytes)
    )
      t.fail(`header: ${says}`)
    compared++
  }
  t.ok(compared > 2_000, `${compared} compared`)
})

const everyRecord = (r: Records): number[] => Array.from({ length: r.count }, (_, i) => i)

/** The message inside a larger buffer filled with `octet`. */
const embedded = (bytes: Buffer, octet: number): Buffer =>
  Buffer.concat([bytes, Buffer.alloc(300, octet)])

t.test('nothing throws, and nothing behind the end changes what is read', async t => {
  const r = new Records()
  const head = new Head()
  const big = Buffer.alloc(65_535)
  let count = 0
  const readAll = (b: Buffer, length: number): string => {
    const found: unknown[] = []
    const verdict = admit(b, 0, length, head)
    found.push(
      verdict,
      ...(verdict === ACCEPT
        ? [head.qnameEnd, head.questionEnd, head.qtype, head.edns, head.payload, head.optionsEnd]
        : [head.rcode]),
    )
    const ok = scan(b, length, r)
    found.push(ok)
    if (ok) {
      found.push(r.count, r.opt, r.end, ...r.rdataEnd.subarray(0, r.count))
      for (let i = 0; i < Math.min(r.count, 50); i++)
        found.push(expandName(b, r.at[i]!, r.end, out))
      if (r.questionEnd > 12) {
        const { kind, rcode, ttl, keep = everyRecord(r) } = classify(b, r, true)
        found.push(kind, rcode, ttl, keep.length)
        const n = compose(b, r, keep, big)
        found.push(n, n > 0 ? big.toString('hex', 0, n) : '')
      }
    }
    const copy = Buffer.from(b)
    const cut = truncate(copy, length, 100)
    found.push(cut, copy.toString('hex', 0, cut))
    found.push(skipName(b, 12, length), skipPlainName(b, 12, length))
    return found.join(' ')
  }
  for (const { says, bytes } of all()) {
    if (bytes.length > 5_000 || bytes.length < 12) continue
    count++
    try {
      const [a, b, c] = [0, 0xff, 0xc0].map(octet => readAll(embedded(bytes, octet), bytes.length))
      if (a !== b || b !== c) t.fail(`reads past the end: ${says}`)
    } catch (er) {
      t.fail(`${er}: ${says}`)
    }
  }
  t.ok(count > ROUNDS * 0.9, `${count} messages`)
})

t.test('a message of 64 KB costs few reads, whatever it holds', async t => {
  // A view that counts reads, which does not depend on the speed of the machine.
  let reads = 0
  const counting = (b: Buffer): Buffer =>
    new Proxy(b, {
      get: (target, key): unknown => {
        if (typeof key === 'string' && /^\d+$/.test(key)) reads++
        return Reflect.get(target, key, target)
      },
    })
  const r = new Records()
  const head = new Head()
  const big = Buffer.alloc(65_535)
  for (const { says, bytes } of [
    ...pointerQueries(),
    ...pointerReplies(),
    ...optLies('reply'),
    manyQuestions(),
  ]) {
    const b = counting(bytes)
    reads = 0
    admit(b, 0, bytes.length, head)
    // An OPT may hold 16,000 options; each costs two reads.
    t.ok(reads < 70_000, `${says}: admission reads ${reads}`)
    reads = 0
    const ok = scan(b, bytes.length, r)
    t.ok(reads < 100_000, `${says}: a scan reads ${reads}`)
    if (!ok || r.questionEnd === 12) continue
    reads = 0
    const { keep = everyRecord(r) } = classify(b, r, true)
    t.ok(reads < STEPS * 12, `${says}: classification reads ${reads}`)
    reads = 0
    compose(b, r, keep, big)
    t.ok(reads < STEPS * 12, `${says}: composing reads ${reads}`)
  }
})

t.test('a message put together again says the same', async t => {
  const r = new Records()
  const big = Buffer.alloc(65_535)
  let same = 0
  for (const { says, bytes } of [
    ...packets(),
    ...goodReplies().map(bytes => ({ says: 'good', bytes })),
  ]) {
    if (!scan(bytes, bytes.length, r) || r.questionEnd === 12) continue
    let before: Message
    try {
      before = decode(bytes)
    } catch {
      continue
    }
    const keep = everyRecord(r)
    for (const compress of [true, false]) {
      const n = compose(bytes, r, keep, big, undefined, compress)
      t.ok(n > 0, says)
      const after = decode(Buffer.from(big.subarray(0, n)))
      for (const section of ['questions', 'answers', 'authority', 'additional'] as const) {
        // Rdata of an unknown layout keeps its octets, including pointers.
        if (before[section].some(x => /^\\#/.test((x as Partial<RR>).data ?? ''))) continue
        t.same(after[section], before[section], `${says}: ${section}`)
      }
      same++
    }
  }
  t.ok(same > 50, `${same} messages`)
})

t.test('RCODEs, flags and counts are where RFC 1035 has them', async t => {
  for (const { says, bytes } of packets()) {
    const m = strict(bytes)
    if (!m) continue
    t.same(
      [
        header.id(bytes),
        header.opcode(bytes),
        header.isResponse(bytes),
        header.isTruncated(bytes),
        header.rcode(bytes),
      ],
      [m.id, m.opcode, m.qr, m.tc, m.rcode & 15],
      says,
    )
    t.equal(header.qdcount(bytes), m.questions.length)
    t.equal(header.ancount(bytes), m.answers.length)
    t.equal(header.nscount(bytes), m.authority.length)
    t.equal(header.arcount(bytes), m.additional.length + (m.edns ? 1 : 0))
  }
  t.equal(rcodeOf(rcodeText(3)), 3)
})
