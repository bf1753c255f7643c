import t from 'tap'
import { fc } from '../../fixture/property.ts'
import {
  ACCEPT,
  admit,
  DROP_RESPONSE,
  DROP_RUNT,
  Head,
  REPLY,
} from '../../../src/data/serve/admit.ts'
import { RCODE } from '../../../src/wire/codes.ts'
import { nameWire } from '../../../src/wire/name.ts'

type Shape = {
  name?: Buffer
  type?: number
  class?: number
  flags?: number
  counts?: [number, number, number, number]
  extra?: Buffer
}
const query = ({
  name = nameWire('web.mesos')!,
  type = 1,
  class: c = 1,
  flags = 0x0100,
  counts = [1, 0, 0, 0],
  extra = Buffer.alloc(0),
}: Shape): Buffer => {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0x1234, 0)
  head.writeUInt16BE(flags, 2)
  counts.forEach((n, i) => head.writeUInt16BE(n, 4 + 2 * i))
  const tail = Buffer.alloc(4)
  tail.writeUInt16BE(type, 0)
  tail.writeUInt16BE(c, 2)
  return Buffer.concat([head, name, tail, extra])
}
const opt = (size = 1232, ttl = 0, rdata = Buffer.alloc(0), owner = Buffer.of(0)): Buffer => {
  const b = Buffer.alloc(10)
  b.writeUInt16BE(41, 0)
  b.writeUInt16BE(size, 2)
  b.writeUInt32BE(ttl, 4)
  b.writeUInt16BE(rdata.length, 8)
  return Buffer.concat([owner, b, rdata])
}
const one: [number, number, number, number] = [1, 0, 0, 1]

t.test('a message is judged by its octets', async t => {
  const rows: [what: string, wire: Buffer, verdict: number, rcode?: number][] = [
    ['a plain query', query({}), ACCEPT],
    ['a query with EDNS', query({ counts: one, extra: opt() }), ACCEPT],
    ['eleven octets', Buffer.alloc(11), DROP_RUNT],
    ['a response', query({ flags: 0x8180 }), DROP_RESPONSE],
    [
      'a response with nonsense behind it',
      query({ flags: 0x8180, counts: [9, 9, 9, 9] }),
      DROP_RESPONSE,
    ],
    ['NOTIFY', query({ flags: 4 << 11 }), REPLY, RCODE.NOTIMP],
    ['opcode 15, a header alone', query({ flags: 15 << 11 }).subarray(0, 12), REPLY, RCODE.NOTIMP],
    ['DSO, opcode 6 (RFC 8490 §5.1.1)', query({ flags: 6 << 11 }), REPLY, RCODE.NOTIMP],
    ['no question', query({ counts: [0, 0, 0, 0] }), REPLY, RCODE.FORMERR],
    ['two questions (RFC 9619)', query({ counts: [2, 0, 0, 0] }), REPLY, RCODE.FORMERR],
    ['a header and nothing', query({}).subarray(0, 12), REPLY, RCODE.FORMERR],
    ['half a question', query({}).subarray(0, 24), REPLY, RCODE.FORMERR],
    ['a compressed question', query({ name: Buffer.of(0xc0, 12) }), REPLY, RCODE.FORMERR],
    [
      'a label of 64 octets',
      query({ name: Buffer.concat([Buffer.of(64), Buffer.alloc(64, 97), Buffer.of(0)]) }),
      REPLY,
      RCODE.FORMERR,
    ],
    [
      'a name of 256 octets',
      query({
        name: Buffer.concat([...Array<Buffer>(127).fill(Buffer.of(1, 97)), Buffer.of(1, 97, 0)]),
      }),
      REPLY,
      RCODE.FORMERR,
    ],
    [
      'a name of 255 octets',
      query({ name: Buffer.concat([...Array<Buffer>(127).fill(Buffer.of(1, 97)), Buffer.of(0)]) }),
      ACCEPT,
    ],
    ['any octet in a label', query({ name: Buffer.of(3, 0, 255, 46, 0) }), ACCEPT],
    ['the root', query({ name: Buffer.of(0), type: 2 }), ACCEPT],
    ['answers in a query', query({ counts: [1, 1, 0, 0] }), REPLY, RCODE.FORMERR],
    ['octets behind the question', query({ extra: Buffer.of(0) }), REPLY, RCODE.FORMERR],
    ['EDNS version 1', query({ counts: one, extra: opt(1232, 1 << 16) }), REPLY, RCODE.BADVERS],
    [
      'two OPTs',
      query({ counts: [1, 0, 0, 2], extra: Buffer.concat([opt(), opt()]) }),
      REPLY,
      RCODE.FORMERR,
    ],
    [
      'an OPT that is not the root',
      query({ counts: one, extra: opt(1232, 0, Buffer.alloc(0), Buffer.of(1, 97, 0)) }),
      REPLY,
      RCODE.FORMERR,
    ],
    [
      'an option past its OPT',
      query({ counts: one, extra: opt(1232, 0, Buffer.of(0, 3, 0, 9)) }),
      REPLY,
      RCODE.FORMERR,
    ],
    [
      'an unknown option',
      query({ counts: one, extra: opt(1232, 0, Buffer.of(0xff, 1, 0, 1, 7)) }),
      ACCEPT,
    ],
    ['an OPT promised and missing', query({ counts: one }), REPLY, RCODE.FORMERR],
    [
      'RDLENGTH past the end',
      query({ counts: one, extra: opt().fill(255, 9) }),
      REPLY,
      RCODE.FORMERR,
    ],
    ['every flag but QR set', query({ flags: (0x07ff & ~0x0f) | 0x70 }), ACCEPT],
    ['AXFR', query({ type: 252 }), REPLY, RCODE.REFUSED],
    ['IXFR with its SOA', query({ type: 251, counts: [1, 0, 1, 0] }), REPLY, RCODE.REFUSED],
    ['ANY', query({ type: 255 }), ACCEPT],
    ['an unknown type', query({ type: 65280 }), ACCEPT],
    ['OPT as a type', query({ type: 41 }), REPLY, RCODE.FORMERR],
    ['TSIG as a type', query({ type: 250 }), REPLY, RCODE.FORMERR],
    ['class CH', query({ type: 16, class: 3 }), ACCEPT],
    ['class HS', query({ class: 4 }), REPLY, RCODE.REFUSED],
    ['class ANY', query({ class: 255 }), REPLY, RCODE.REFUSED],
  ]
  for (const [what, wire, verdict, rcode] of rows) {
    const head = new Head()
    t.equal(admit(wire, 0, wire.length, head), verdict, what)
    if (rcode !== undefined) t.equal(head.rcode, rcode, what)
  }
})

t.test('a rejected query that carries an OPT is known to carry one', async t => {
  const question = query({}).subarray(12)
  const bare = (flags: number, counts: [number, number, number, number], ...rest: Buffer[]) =>
    Buffer.concat([query({ flags, counts }).subarray(0, 12), ...rest])
  const record = Buffer.concat([Buffer.of(0), Buffer.from('00010001000000000000', 'hex')])
  const rows: [what: string, wire: Buffer, rcode: number, edns: boolean][] = [
    ['opcode 15', bare(15 << 11, [0, 0, 0, 1], opt()), RCODE.NOTIMP, true],
    ['opcode 15 with a question', bare(15 << 11, one, question, opt()), RCODE.NOTIMP, true],
    ['opcode 15 without OPT', bare(15 << 11, [1, 0, 0, 0], question), RCODE.NOTIMP, false],
    ['no question', bare(0, [0, 0, 0, 1], opt()), RCODE.FORMERR, true],
    [
      'no question, OPT of version 1',
      bare(0, [0, 0, 0, 1], opt(512, 1 << 16)),
      RCODE.FORMERR,
      true,
    ],
    ['two questions', bare(0, [2, 0, 0, 1], question, question, opt()), RCODE.FORMERR, true],
    ['an answer in the query', bare(0, [1, 1, 0, 1], question, record, opt()), RCODE.FORMERR, true],
    ['OPT as an answer', bare(0, [1, 1, 0, 0], question, opt()), RCODE.FORMERR, false],
    ['OPT cut off', bare(0, [0, 0, 0, 1], opt().subarray(0, 8)), RCODE.FORMERR, false],
    ['65,535 records promised', bare(0, [0, 0, 0, 65_535], record), RCODE.FORMERR, false],
  ]
  for (const [what, wire, rcode, edns] of rows) {
    const head = new Head()
    t.equal(admit(wire, 0, wire.length, head), REPLY, what)
    t.match(head, { rcode, edns }, what)
  }
})

t.test('a head holds what the query said, wherever it lies', async t => {
  const wire = query({ counts: one, flags: 0x0110, extra: opt(300, 0x8000, Buffer.of(0, 3, 0, 0)) })
  const b = Buffer.concat([Buffer.alloc(7, 255), wire])
  const head = new Head()
  t.equal(admit(b, 7, wire.length, head), ACCEPT)
  t.match(head, {
    edns: true,
    dnssecOk: true,
    checkingDisabled: true,
    recursionDesired: true,
    payload: 512,
    qtype: 1,
    questionEnd: 27,
  })
  t.equal(admit(query({}), 0, 27, head), ACCEPT, 'and is overwritten by the next')
  t.match(head, {
    edns: false,
    dnssecOk: false,
    checkingDisabled: false,
    payload: 512,
    optionsEnd: 0,
  })
})

t.test('no octets make admission throw or read past their end', async () => {
  const seeds = [
    query({}),
    query({ counts: one, extra: opt(1232, 0, Buffer.of(0, 10, 0, 2, 1, 2)) }),
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 }),
      fc.nat(60),
      (seed, edits, cut) => {
        const wire = Buffer.from(seed)
        for (const [at, value] of edits) if (at < wire.length) wire[at] = value
        const length = Math.min(wire.length, cut)
        const head = new Head()
        const framed = Buffer.concat([wire.subarray(0, length), Buffer.alloc(300, 0xc0)])
        const verdict = admit(framed, 0, length, head)
        const alone = new Head()
        return (
          verdict === admit(Buffer.from(wire.subarray(0, length)), 0, length, alone) &&
          head.rcode === alone.rcode &&
          head.questionEnd <= length
        )
      },
    ),
    { numRuns: 3000 },
  )
})
