/** The parts of `wire` one by one: tables for few cases, properties for many. */
import t from 'tap'
import { fc } from '../fixture/property.ts'
import dnsPacket from 'dns-packet'
import { rcodeName, RCODE, TYPE, typeName, typeNumber } from '../../src/wire/codes.ts'
import { compose } from '../../src/wire/compose.ts'
import { addOption, hasOption, optionsFit, putOpt, readEde } from '../../src/wire/edns.ts'
import { HEADER } from '../../src/wire/header.ts'
import {
  expandName,
  foldedText,
  MAX_NAME,
  nameText,
  nameWire,
  sameName,
  skipName,
  skipPlainName,
} from '../../src/wire/name.ts'
import { put16, put32, u16, u32 } from '../../src/wire/octets.ts'
import { reply } from '../../src/wire/reply.ts'
import { Records, scan } from '../../src/wire/scan.ts'
import { truncate } from '../../src/wire/truncate.ts'
import { A, AAAA, CNAME, NS, SOA, SRV, TXT, lines, type RR } from '../fixture/rr.ts'
import { typeOf, typeText } from '../fixture/types.ts'
import {
  decode,
  encode,
  nameBytes,
  optBytes,
  optionBytes,
  questionBytes,
  type Flags,
} from '../fixture/wire.ts'

/** Any labels that form a name of at most 255 octets. */
const labels = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 127 })
  .filter(list => list.reduce((n, l) => n + l.length + 1, 1) <= MAX_NAME)
const wireOf = (list: readonly Uint8Array[]): Buffer =>
  Buffer.from([...list.flatMap(l => [l.length, ...l]), 0])

t.test('a name of any octets survives text and back, and no two names share a text', async t => {
  fc.assert(
    fc.property(labels, labels, (a, b) => {
      const [x, y] = [wireOf(a), wireOf(b)]
      const text = nameText(x)
      if (!nameWire(text)?.equals(x)) return false
      return x.equals(y) === (text === nameText(y))
    }),
  )
  const a = nameBytes('a\\.b.mesos')
  const b = nameBytes('a.b.mesos')
  t.not(nameText(a), nameText(b), 'a dot within a label is not a dot between labels')
  t.notOk(sameName(a, 0, b, 0))
})

t.test('names are the same whatever the case of ASCII letters, and of nothing else', async t => {
  fc.assert(
    fc.property(labels, fc.infiniteStream(fc.boolean()), (list, coin) => {
      const x = wireOf(list)
      let at = 0
      const y = wireOf(
        list.map(l =>
          l.map(c => {
            at++
            const letter = (c >= 65 && c <= 90) || (c >= 97 && c <= 122)
            return letter && coin.next().value ? c ^ 32 : c
          }),
        ),
      )
      return at >= 0 && sameName(x, 0, y, 0) && foldedText(x) === foldedText(y)
    }),
  )
  for (const [a, b] of [
    [0x40, 0x60],
    [0x5b, 0x7b],
    [0xc0, 0xe0],
  ] as const) {
    t.notOk(
      sameName(wireOf([Uint8Array.of(a)]), 0, wireOf([Uint8Array.of(b)]), 0),
      `${a.toString(16)} and ${b.toString(16)} differ`,
    )
  }
})

t.test('text that is no name makes none', async t => {
  for (const text of [
    'a..b',
    '.a',
    `${'x'.repeat(64)}.a`,
    Array(128).fill('aa').join('.'),
    'a\\',
    'a\\999',
    'ä'.repeat(64),
    '\u{1f600}',
  ])
    t.equal(nameWire(text), undefined, JSON.stringify(text.slice(0, 20)))
  for (const [text, hex] of [
    ['', '00'],
    ['.', '00'],
    ['a', '016100'],
    ['a.', '016100'],
    ['a.b', '0161016200'],
    ['\\065', '014100'],
    ['a\\.b', '03612e6200'],
  ] as const) {
    t.equal(nameWire(text)?.toString('hex'), hex, JSON.stringify(text))
  }
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), text => {
      const wire = nameWire(text)
      return (
        wire === undefined ||
        (wire.length <= MAX_NAME && skipPlainName(wire, 0, wire.length) === wire.length)
      )
    }),
  )
})

t.test('stepping over, expanding and refusing agree on what a name is', async () => {
  const out = Buffer.alloc(MAX_NAME + 1)
  fc.assert(
    fc.property(labels, fc.uint8Array({ maxLength: 10 }), (list, tail) => {
      const wire = wireOf(list)
      const b = Buffer.concat([Buffer.alloc(12), wire, tail])
      const end = 12 + wire.length
      return (
        skipName(b, 12, b.length) === end &&
        skipPlainName(b, 12, b.length) === end &&
        expandName(b, 12, b.length, out) === wire.length &&
        out.subarray(0, wire.length).equals(wire) &&
        skipName(b, 12, end - 1) === -1 &&
        expandName(b, 12, end - 1, out) === -1
      )
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(399), (bytes, at) => {
      const n = expandName(bytes, at, bytes.length, out)
      return n === -1 || (n >= 1 && n <= MAX_NAME && skipPlainName(out, 0, n) === n)
    }),
  )
})

const long = nameBytes(['x'.repeat(63), 'x'.repeat(63), 'x'.repeat(63), 'x'.repeat(61)].join('.'))
t.test('the longest name passes, one octet more does not', async t => {
  t.equal(long.length, 255)
  t.equal(skipPlainName(long, 0, 255), 255)
  t.equal(nameWire(nameText(long))?.length, 255)
  const longer = nameBytes(
    ['x'.repeat(63), 'x'.repeat(63), 'x'.repeat(63), 'x'.repeat(62)].join('.'),
  )
  t.equal(skipPlainName(longer, 0, longer.length), -1)
  t.equal(expandName(longer, 0, longer.length, Buffer.alloc(300)), -1)
  // Two labels here, the others behind a pointer.
  const joined = Buffer.concat([
    Buffer.alloc(12),
    long,
    nameBytes('y').subarray(0, 2),
    Buffer.from([0xc0, 12]),
  ])
  t.equal(expandName(joined, 12 + 255, joined.length, Buffer.alloc(300)), -1)
})

t.test('types have the names that everybody gives them', async t => {
  for (let n = 0; n < 70_000; n += n < 300 ? 1 : 997) {
    if (n > 65_535) break
    t.equal(typeNumber(typeName(n)), n, typeName(n))
    if (!typeName(n).startsWith('TYPE')) t.equal(typeOf(typeName(n)), n)
  }
  t.equal(typeNumber('srv'), TYPE.SRV)
  t.equal(typeNumber('TYPE65280'), 65_280)
  for (const text of ['', 'TYPE', 'TYPE65536', 'TYPE-1', 'NOPE', 'constructor', '__proto__'])
    t.equal(typeNumber(text), undefined, text)
  t.equal(typeText(33), typeName(33))
  t.same([0, 2, 3, 5, 16, 23].map(rcodeName), [
    'NOERROR',
    'SERVFAIL',
    'NXDOMAIN',
    'REFUSED',
    'BADVERS',
    'RCODE23',
  ])
})

t.test('octets go in and come out', async () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.nat(0xffffffff), (a, b) => {
      const bytes = Buffer.alloc(6)
      put16(bytes, 0, a)
      put32(bytes, 2, b)
      return (
        bytes.readUInt16BE(0) === a &&
        bytes.readUInt32BE(2) === b &&
        u16(bytes, 0) === a &&
        u32(bytes, 2) === b
      )
    }),
  )
})

t.test('our OPT is an OPT to others', async t => {
  const header = Buffer.from('000180000000000000000001', 'hex')
  const text = Buffer.from('every master is silent')
  for (const [rcode, ede] of [
    [0, -1],
    [2, 22],
    [RCODE.BADVERS, -1],
    [0, 3],
  ] as const) {
    const b = Buffer.alloc(200)
    header.copy(b)
    b[3] = rcode & 15
    const end = putOpt(b, HEADER, true, rcode, ede, ede < 0 ? undefined : text)
    const m = decode(b.subarray(0, end))
    t.match(m, {
      rcode,
      edns: { size: 1232, version: 0, dnssecOk: true },
      ede: ede < 0 ? [] : [{ code: ede, text: 'every master is silent' }],
    })
    t.equal(dnsPacket.decode(b.subarray(0, end)).additionals?.[0]?.type, 'OPT')
    const found = readEde(b, HEADER + 11, end)
    t.same(found, ede < 0 ? undefined : { code: ede, text: 'every master is silent' })
    const more = addOption(b, HEADER, end, 'nsid', Buffer.from('agent'))
    t.ok(hasOption(b, HEADER + 11, more, 'nsid'))
    t.notOk(hasOption(b, HEADER + 11, more, 'keepalive'))
    t.equal(decode(b.subarray(0, more)).edns?.options.at(-1)?.data.toString(), 'agent')
  }
})

t.test('options fit or do not, whatever their octets', async () => {
  const option = fc.record({
    code: fc.nat(0xffff),
    data: fc.uint8Array({ maxLength: 30 }).map(d => Buffer.from(d)),
  })
  fc.assert(
    fc.property(fc.array(option, { maxLength: 8 }), fc.nat(8), (list, more) => {
      const bytes = Buffer.concat([optionBytes(list), Buffer.alloc(more, 1)])
      const whole = optionBytes(list).length
      return (
        optionsFit(bytes, 0, whole) &&
        (more === 0 || more > 3 || !optionsFit(bytes, 0, bytes.length))
      )
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
      if (!optionsFit(bytes, 0, bytes.length)) return true
      readEde(bytes, 0, bytes.length)
      return !hasOption(bytes, 0, bytes.length, 'nsid') || bytes.length >= 4
    }),
  )
})

t.test(
  'a bare reply has the question, the flags of a forwarder, and an OPT only for those who sent one',
  async t => {
    const flagSets: readonly (readonly Flags[])[] = [
      [],
      ['rd'],
      ['rd', 'cd'],
      ['rd', 'ad'],
      ['aa', 'tc', 'ra', 'z'],
    ]
    for (const flags of flagSets) {
      for (const opcode of [0, 2, 4, 15]) {
        for (const edns of [undefined, { dnssecOk: true }]) {
          const query = encode({
            id: 0xbeef,
            flags,
            opcode,
            questions: [{ name: 'WeB.mesos', type: 'A', class: 'IN' }],
            edns,
          })
          const asked = {
            questionEnd: 12 + 11 + 4,
            edns: edns !== undefined,
            dnssecOk: edns !== undefined,
          }
          const m = decode(reply(query, asked, RCODE.SERVFAIL, 22, 'why'))
          t.match(m, {
            id: 0xbeef,
            qr: true,
            opcode,
            rcode: 2,
            aa: false,
            tc: false,
            z: false,
            ad: false,
            rd: opcode === 0 && flags.includes('rd'),
            cd: opcode === 0 && flags.includes('cd'),
            ra: opcode === 0,
            questions: [{ name: 'WeB.mesos' }],
            ede: edns ? [{ code: 22, text: 'why' }] : [],
          })
          t.equal(m.edns !== undefined, edns !== undefined)
          for (const rcode of [RCODE.FORMERR, RCODE.NOTIMP, RCODE.REFUSED, RCODE.BADVERS])
            t.notOk(decode(reply(query, asked, rcode)).cd, 'no CD in an error that rejects')
        }
      }
    }
    const query = encode({ id: 1, flags: ['rd'], questions: [] })
    t.match(decode(reply(query, { questionEnd: 0, edns: false, dnssecOk: false }, RCODE.FORMERR)), {
      rcode: 1,
      questions: [],
    })
    t.ok(
      decode(reply(query, { questionEnd: 0, edns: true, dnssecOk: false }, 0, -1, undefined, true))
        .tc,
    )
    t.match(decode(reply(query, { questionEnd: 0, edns: true, dnssecOk: false }, RCODE.BADVERS)), {
      rcode: 16,
      edns: { version: 0 },
    })
  },
)

/** A response of several RRsets of different sizes. */
const sets = fc.array(
  fc.record({
    owner: fc.integer({ min: 0, max: 9 }),
    count: fc.integer({ min: 1, max: 12 }),
    kind: fc.constantFrom('A', 'AAAA', 'TXT'),
  }),
  { minLength: 1, maxLength: 8 },
)
const recordsOf = (list: readonly { owner: number; count: number; kind: string }[]): RR[] =>
  list.flatMap(({ owner, count, kind }, set) =>
    Array.from({ length: count }, (_, i) => {
      const name = owner === 0 ? 'web.mesos.' : `s${set}-${owner}.mesos.`
      return kind === 'A'
        ? A(`${name} 60 192.0.2.${i}`)
        : kind === 'AAAA'
          ? AAAA(`${name} 60 2001:db8::${i + 1}`)
          : TXT(`${name} 60 "${'t'.repeat(5 * i + 1)}"`)
    }),
  )

t.test(
  'truncation leaves whole sets, a true count, the OPT, and TC when an answer was lost',
  async () => {
    fc.assert(
      fc.property(
        sets,
        sets,
        sets,
        fc.boolean(),
        fc.integer({ min: 40, max: 1500 }),
        (a, b, c, withOpt, limit) => {
          const [answers, authority, additional] = [recordsOf(a), recordsOf(b), recordsOf(c)]
          const whole = encode({
            id: 1,
            flags: ['qr'],
            questions: [{ name: 'web.mesos', type: 'A', class: 'IN' }],
            answers,
            authority,
            additional,
            edns: withOpt ? {} : undefined,
          })
          const bytes = Buffer.from(whole)
          const n = truncate(bytes, bytes.length, limit)
          const m = decode(bytes.subarray(0, n))
          if (n > Math.max(limit, 27 + (withOpt ? 11 : 0))) return false
          if (whole.length <= limit) return bytes.equals(whole)
          if ((m.edns !== undefined) !== withOpt) return false
          const lost = m.answers.length < answers.length || m.authority.length < authority.length
          if (m.tc !== lost) return false
          // The kept records are the first ones, and no RRset is split.
          for (const [kept, all] of [
            [m.answers, answers],
            [m.authority, authority],
            [m.additional, additional],
          ] as const) {
            if (lines(kept).join() !== lines(all.slice(0, kept.length)).join()) return false
            const [last, next] = [all[kept.length - 1], all[kept.length]]
            if (last && next && last.name === next.name && last.type === next.type) return false
          }
          return !(m.authority.length > 0 && m.answers.length < answers.length)
        },
      ),
      { numRuns: 500 },
    )
  },
)

t.test('what cannot be read is cut to its question, and says so', async t => {
  const whole = encode({
    id: 9,
    flags: ['qr'],
    questions: [{ name: 'web.mesos', type: 'A', class: 'IN' }],
    answers: Array.from({ length: 40 }, (_, i) => A(`web.mesos. 60 192.0.2.${i}`)),
  })
  const questionEnd = 12 + 11 + 4
  for (const [says, at, octet, questions] of [
    ['a reserved kind of label', questionEnd, 0x80, 1],
    ['an RDLENGTH past the end', questionEnd + 10, 0xff, 1],
    ['a question without an end', 12, 0xff, 0],
  ] as const) {
    const bytes = Buffer.from(whole)
    bytes[at] = octet
    const m = decode(bytes.subarray(0, truncate(bytes, bytes.length, 512)))
    t.match(m, { id: 9, tc: true, answers: [] }, says)
    t.equal(m.questions.length, questions, says)
  }
})

t.test(
  'composing keeps what it is told to keep, compresses, and refuses what does not fit',
  async t => {
    const r = new Records()
    const records = [
      CNAME('web.mesos. 60 app.web.mesos.'),
      A('app.web.mesos. 60 192.0.2.1'),
      A('app.web.mesos. 60 192.0.2.2'),
    ]
    const authority = [
      NS('mesos. 60 ns1.mesos.'),
      SOA('mesos. 60 ns1.mesos. root.ns1.mesos. 1 2 3 4 5'),
    ]
    const additional = [SRV('_a._tcp.mesos. 60 0 1 31000 app.web.mesos.')]
    const bytes = encode({
      id: 1,
      flags: ['qr'],
      questions: [{ name: 'web.mesos', type: 'A', class: 'IN' }],
      answers: records,
      authority,
      additional,
      edns: {},
    })
    t.ok(scan(bytes, bytes.length, r))
    const big = Buffer.alloc(2_000)
    const n = compose(bytes, r, [0, 2, 4], big)
    const m = decode(big.subarray(0, n))
    t.same(lines(m.answers), lines([records[0]!, records[2]!]))
    t.same(lines(m.authority), lines([authority[1]!]))
    t.same([m.additional, m.edns], [[], undefined], 'an OPT is never kept')
    const all = Array.from({ length: r.count }, (_, i) => i)
    const packed = compose(bytes, r, all, big)
    t.ok(packed < bytes.length - 11, `${packed} of ${bytes.length} octets`)
    t.same(lines(decode(big.subarray(0, packed)).additional), lines(additional))
    const plain = compose(bytes, r, all, big, undefined, false)
    t.ok(plain > bytes.length - 11, `${plain} octets without a pointer`)
  },
)

t.test('a response is refused for what RFC 6891 and RFC 9619 forbid', async t => {
  const r = new Records()
  const q = questionBytes({ name: 'a', type: 'A', class: 'IN' })
  const cases: readonly (readonly [string, number[], Buffer, boolean])[] = [
    ['one question', [1, 0, 0, 0], q, true],
    ['none', [0, 0, 0, 0], Buffer.alloc(0), true],
    ['two', [2, 0, 0, 0], Buffer.concat([q, q]), false],
    ['an OPT', [1, 0, 0, 1], Buffer.concat([q, optBytes({})]), true],
    ['two OPTs', [1, 0, 0, 2], Buffer.concat([q, optBytes({}), optBytes({})]), false],
    ['an OPT as answer', [1, 1, 0, 0], Buffer.concat([q, optBytes({})]), false],
    ['a count too many', [1, 1, 0, 0], q, false],
    ['octets behind', [1, 0, 0, 0], Buffer.concat([q, Buffer.alloc(5)]), true],
  ]
  for (const [says, counts, body, good] of cases) {
    const b = Buffer.concat([Buffer.from([0, 7, 0x80, 0, ...counts.flatMap(c => [0, c])]), body])
    t.equal(scan(b, b.length, r), good, says)
  }
})
