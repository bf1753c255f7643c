/** Which records of a response belong to the question, what it amounts to, and how long it lasts. */
import t from 'tap'
import type { Answer } from 'dns-packet'
import { classify, type Classified } from '../../../src/data/forward/classify.ts'
import { typeNumber } from '../../../src/wire/codes.ts'
import { Records, scan } from '../../../src/wire/scan.ts'
import { a, questionOf, response, soa } from '../../fixture/bench-plane.ts'

const NAME = 'www.example.org'

const of = (name: string, type: string, ttl: number, data: unknown, more: object = {}): Answer =>
  ({ name, type, ttl, class: 'IN', data, ...more }) as Answer
const cname = (name: string, to: string, ttl = 60) => of(name, 'CNAME', ttl, to)
const dname = (name: string, to: string, ttl = 60) => of(name, 'DNAME', ttl, to)
const ns = (name: string, ttl = 60) => of(name, 'NS', ttl, 'ns.example.net')
const srv = (target: string, ttl = 60) => of(NAME, 'SRV', ttl, { port: 80, target })
const nsec = (name: string, ttl: number) =>
  of(name, 'NSEC', ttl, { nextDomain: `z.${name}`, rrtypes: ['A'] })
const rrsig = (name: string, typeCovered: string, ttl: number) =>
  of(name, 'RRSIG', ttl, {
    ...{ typeCovered, algorithm: 13, labels: 2, originalTTL: 60, expiration: 2, inception: 1 },
    ...{ keyTag: 1, signersName: 'example.org', signature: Buffer.alloc(8) },
  })
/** A record whose rdata is these octets, of whatever type. */
const raw = (name: string, type: string, octets: number[], ttl = 60) =>
  of(name, `UNKNOWN_${typeNumber(type)}`, ttl, Buffer.from(octets))

type Response = {
  readonly answers?: Answer[]
  readonly authorities?: Answer[]
  readonly additionals?: Answer[]
  readonly rcode?: number
}
/** The message with a pointer to the question for the owner of each record that has its name, as servers write it. */
const withPointers = (wire: Buffer): Buffer => {
  const r = scanned(wire)
  const question = wire.subarray(12, r.qnameEnd)
  const parts = [wire.subarray(0, r.questionEnd)]
  for (let i = 0; i < r.count; i++) {
    const typeAt = r.ttlAt[i]! - 4
    const owner = wire.subarray(r.at[i], typeAt)
    parts.push(owner.equals(question) ? Buffer.from([0xc0, 12]) : owner)
    parts.push(wire.subarray(typeAt, r.rdataEnd[i]))
  }
  return Buffer.concat(parts)
}
const scanned = (wire: Buffer): Records => {
  const records = new Records()
  if (!scan(wire, wire.length, records)) throw new Error('the response is malformed')
  return records
}

type Row = readonly [
  says: string,
  type: string,
  packet: Response,
  /** Kind and TTL, then the numbers of the records that are kept; with DO=0 and with DO=1 if that differs. */
  expected: string,
  dnssecOk?: string,
]

const A = a(NAME, '203.0.113.1', 60)
const NET = 'www.example.net'
const ROWS: readonly Row[] = [
  ['an address', 'A', { answers: [A] }, 'positive 60 0'],
  ['the lowest TTL', 'A', { answers: [A, a(NAME, '203.0.113.2', 7), A] }, 'positive 7 0 1 2'],
  ['another owner', 'A', { answers: [A, a('x.example.org', '203.0.113.2', 7)] }, 'positive 60 0'],
  ['another type', 'A', { answers: [of(NAME, 'TXT', 7, 'x'), A] }, 'positive 60 1'],
  ['another class', 'A', { answers: [{ ...A, class: 'CH' } as Answer] }, 'nodata -'],
  [
    'another class beside it',
    'A',
    { answers: [{ ...A, class: 'CH' } as Answer, A] },
    'positive 60 1',
  ],
  [
    'authority and additional',
    'A',
    {
      answers: [A],
      authorities: [ns('example.org', 7)],
      additionals: [a('ns.example.net', '203.0.113.3', 7)],
    },
    'positive 60 0',
  ],
  [
    'all types',
    'ANY',
    { answers: [A, of(NAME, 'TXT', 7, 'x'), a(NET, '203.0.113.1', 1)] },
    'positive 7 0 1',
  ],

  // Rdata that has not the size of its type.
  ['an address of three octets', 'A', { answers: [raw(NAME, 'A', [1, 2, 3])] }, 'soft'],
  ['an address of five octets', 'A', { answers: [A, raw(NAME, 'A', [1, 2, 3, 4, 5])] }, 'soft'],
  [
    'the same behind an alias',
    'A',
    { answers: [cname(NAME, NET), raw(NET, 'A', [1, 2, 3])] },
    'soft',
  ],
  [
    'an IPv6 address of four octets',
    'AAAA',
    { answers: [raw(NAME, 'AAAA', [1, 2, 3, 4])] },
    'soft',
  ],
  [
    'an IPv6 address',
    'AAAA',
    { answers: [raw(NAME, 'AAAA', new Array<number>(16).fill(1))] },
    'positive 60 0',
  ],
  [
    'a name that ends before its rdata',
    'PTR',
    { answers: [raw(NAME, 'PTR', [1, 97, 0, 9])] },
    'soft',
  ],
  ['a name that ends after its rdata', 'NS', { answers: [raw(NAME, 'NS', [1, 97])] }, 'soft'],
  [
    'an alias that ends before its rdata',
    'A',
    { answers: [raw(NAME, 'CNAME', [1, 97, 0, 9])] },
    'soft',
  ],
  [
    'an SRV record without target',
    'SRV',
    { answers: [raw(NAME, 'SRV', [0, 0, 0, 0, 0, 80])] },
    'soft',
  ],
  [
    'an SRV record to the root',
    'SRV',
    { answers: [raw(NAME, 'SRV', [0, 0, 0, 0, 0, 80, 0])] },
    'positive 60 0',
  ],
  [
    'octets after the target',
    'SRV',
    { answers: [raw(NAME, 'SRV', [0, 0, 0, 0, 0, 80, 0, 0])] },
    'soft',
  ],
  ['any octets of another type', 'TXT', { answers: [raw(NAME, 'TXT', [9])] }, 'positive 60 0'],

  // Aliases.
  ['an alias', 'A', { answers: [cname(NAME, NET, 9), a(NET, '203.0.113.1')] }, 'positive 9 0 1'],
  [
    'in another order',
    'A',
    { answers: [a(NET, '203.0.113.1'), cname(NAME, NET)] },
    'positive 60 0 1',
  ],
  [
    'the second alias of a name is left out',
    'A',
    { answers: [cname(NAME, NET), cname(NAME, 'x.example.org', 7), a(NET, '203.0.113.1')] },
    'positive 60 0 2',
  ],
  [
    'what was asked for, beside an alias',
    'A',
    { answers: [cname(NAME, NET), A] },
    'positive 60 0 1',
  ],
  [
    'the alias itself',
    'CNAME',
    { answers: [cname(NAME, NET), cname(NET, 'x.example.org', 7)] },
    'positive 60 0',
  ],
  ['an alias alone', 'A', { answers: [cname(NAME, NET, 9)] }, 'alias 9 0'],
  [
    'an alias, and the zone has no more',
    'A',
    { answers: [cname(NAME, NET, 9)], authorities: [soa('example.net')] },
    'nodata 9 0 1',
  ],
  [
    'an alias, and its target does not exist',
    'A',
    { rcode: 3, answers: [cname(NAME, NET)], authorities: [soa('example.net', 60, 5)] },
    'nxdomain 5 0 1',
  ],
  [
    'an alias and a referral',
    'A',
    { answers: [cname(NAME, NET, 9)], authorities: [ns('example.net')] },
    'alias 9 0',
  ],
  ['an alias to itself', 'A', { answers: [cname(NAME, NAME)] }, 'soft'],
  ['aliases in a circle', 'A', { answers: [cname(NAME, NET), cname(NET, NAME)] }, 'soft'],

  // Negative answers: the SOA record of a zone that the name lies in.
  ['nothing', 'A', {}, 'nodata -'],
  ['no such name', 'A', { rcode: 3 }, 'nxdomain -'],
  ['the SOA of the zone', 'A', { authorities: [soa('example.org', 60, 30)] }, 'nodata 30 0'],
  [
    'its TTL is lower than its MINIMUM',
    'A',
    { rcode: 3, authorities: [soa('example.org', 20, 30)] },
    'nxdomain 20 0',
  ],
  ['the SOA of the name itself', 'A', { authorities: [soa(NAME)] }, 'nodata 60 0'],
  ['the SOA of the root', 'A', { authorities: [soa('.')] }, 'nodata 60 0'],
  ['a foreign SOA', 'A', { rcode: 3, authorities: [soa('example.com')] }, 'nxdomain -'],
  [
    'a foreign one before the right one',
    'A',
    { rcode: 3, authorities: [soa('example.com', 1, 1), soa('example.org')] },
    'nxdomain 60 1',
  ],
  [
    'a short one before a whole one',
    'A',
    { rcode: 3, authorities: [raw('example.org', 'SOA', [0, 0, 0, 0, 0, 1]), soa('example.org')] },
    'nxdomain 60 1',
  ],
  [
    'only the first one',
    'A',
    { rcode: 3, authorities: [soa('example.org'), soa('org', 1, 1)] },
    'nxdomain 60 0',
  ],
  ['one below the name', 'A', { rcode: 3, authorities: [soa(`x.${NAME}`)] }, 'nxdomain -'],
  [
    'one in the additional section',
    'A',
    { rcode: 3, additionals: [soa('example.org')] },
    'nxdomain -',
  ],
  ['a referral', 'A', { authorities: [ns('example.org')] }, 'soft'],
  [
    'name servers beside the SOA',
    'A',
    { authorities: [ns('example.org', 1), soa('example.org')] },
    'nodata 60 1',
  ],

  // DNSSEC.
  ['a signature', 'A', { answers: [A, rrsig(NAME, 'A', 50)] }, 'positive 60 0', 'positive 50 0 1'],
  [
    'the signature alone was asked for',
    'RRSIG',
    { answers: [rrsig(NAME, 'A', 50)] },
    'positive 50 0',
  ],
  ['a signature of another name', 'A', { answers: [A, rrsig(NET, 'A', 50)] }, 'positive 60 0'],
  [
    'the proofs of a wildcard, and not the name servers',
    'A',
    {
      answers: [A, rrsig(NAME, 'A', 60)],
      authorities: [
        ns('example.org', 1),
        rrsig('example.org', 'NS', 1),
        nsec('b.example.org', 40),
        rrsig('b.example.org', 'NSEC', 30),
      ],
    },
    'positive 60 0',
    'positive 30 0 1 4 5',
  ],
  [
    'proofs of an unsigned answer',
    'A',
    { answers: [A], authorities: [nsec('b.example.org', 40)] },
    'positive 60 0',
  ],
  [
    'the proof of a negative answer',
    'A',
    {
      rcode: 3,
      authorities: [
        soa('example.org'),
        nsec('b.example.org', 5),
        rrsig('b.example.org', 'NSEC', 6),
      ],
    },
    'nxdomain 60 0',
    'nxdomain 5 0 1 2',
  ],
  ['a proof alone', 'A', { authorities: [nsec('b.example.org', 5)] }, 'nodata -', 'nodata - 0'],
  [
    'a proof beside an alias',
    'A',
    { answers: [cname(NAME, NET)], authorities: [nsec('b.example.org', 5)] },
    'alias 60 0',
    'alias 5 0',
  ],
  [
    'the signature of a DNAME, and of nothing else there',
    'A',
    {
      answers: [
        dname('example.org', 'example.net', 50),
        rrsig('example.org', 'DNAME', 20),
        rrsig('example.org', 'A', 1),
        rrsig('example.com', 'DNAME', 1),
        cname(NAME, NET),
        a(NET, '203.0.113.1'),
      ],
    },
    'positive 50 0 4 5',
    'positive 20 0 1 4 5',
  ],
  [
    'a signature before its DNAME',
    'A',
    {
      answers: [
        rrsig('example.org', 'DNAME', 20),
        dname('example.org', 'example.net', 50),
        cname(NAME, NET),
        a(NET, '203.0.113.1'),
      ],
    },
    'positive 50 1 2 3',
    'positive 20 0 1 2 3',
  ],
  [
    'a DNAME whose target ends after its rdata',
    'A',
    { answers: [raw('example.org', 'DNAME', [1, 97]), cname(NAME, NET), a(NET, '203.0.113.1')] },
    'soft',
  ],
  [
    'a DNAME signature without octets',
    'A',
    {
      answers: [
        dname('example.org', 'example.net'),
        raw('example.org', 'RRSIG', [0], 1),
        cname(NAME, NET),
        a(NET, '203.0.113.1'),
      ],
    },
    'positive 60 0 2 3',
  ],

  // The addresses of SRV targets.
  [
    'the address of a target',
    'SRV',
    { answers: [srv('h.example.org')], additionals: [a('h.example.org', '203.0.113.1', 7)] },
    'positive 7 0 1',
  ],
  [
    'the address of another name',
    'SRV',
    { answers: [srv('h.example.org')], additionals: [a('i.example.org', '203.0.113.1', 7)] },
    'positive 60 0',
  ],
  [
    'an address of a wrong size',
    'SRV',
    { answers: [srv('h.example.org')], additionals: [raw('h.example.org', 'A', [1, 2, 3], 7)] },
    'positive 60 0',
  ],
  [
    'an address of another class',
    'SRV',
    {
      answers: [srv('h.example.org')],
      additionals: [{ ...a('h.example.org', '203.0.113.1', 7), class: 'CH' } as Answer],
    },
    'positive 60 0',
  ],
  [
    'another type of the target',
    'SRV',
    { answers: [srv('h.example.org')], additionals: [of('h.example.org', 'TXT', 7, 'x')] },
    'positive 60 0',
  ],
  [
    'an address in the authority section',
    'SRV',
    { answers: [srv('h.example.org')], authorities: [a('h.example.org', '203.0.113.1', 7)] },
    'positive 60 0',
  ],
  [
    'additional addresses of an address',
    'A',
    { answers: [A], additionals: [a(NAME, '203.0.113.2', 7)] },
    'positive 60 0',
  ],
]

const summary = ({ kind, ttl, keep }: Classified, count: number): string =>
  kind === 'soft'
    ? 'soft'
    : [kind, ttl ?? '-', ...(keep ?? Array.from({ length: count }, (_, i) => i))].join(' ')

for (const [says, type, packet, expected, signed = expected] of ROWS)
  t.test(says, async t => {
    const plain = response(packet)(Buffer.from(questionOf(NAME, type).wire))
    for (const wire of [plain, withPointers(plain)])
      for (const dnssecOk of [false, true]) {
        const r = scanned(wire)
        const is = classify(wire, r, dnssecOk)
        t.equal(summary(is, r.count), dnssecOk ? signed : expected, `DO=${Number(dnssecOk)}`)
        if (is.kind !== 'soft')
          t.equal(is.whole, is.keep === undefined || is.keep.length === r.count, 'whole')
      }
  })
