/**
 * What a compliance checker of the ISC kind asks every server (RFC 6891, RFC
 * 8906): header bits, EDNS versions, options and flags, opcodes and types. A
 * zone of our own is asked with RD=0 and must answer with authority; a name
 * that we forward is asked with RD=1. Each question goes over UDP and TCP.
 */
import t from 'tap'
import { exchange, nextId, type At } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { A, SOA, TXT } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'
import {
  decode,
  encode,
  headerBytes,
  type Edns,
  type Flags,
  type Message,
  type Option,
} from '../fixture/wire.ts'

type Row = {
  readonly says: string
  readonly type?: string
  /** Bits besides RD. */
  readonly flags?: readonly Flags[]
  readonly edns?: Partial<Edns>
  /** EDNS flags besides DO. */
  readonly ednsFlags?: number
  /** Other than 0: a header alone, which RFC 8906 has answered NOTIMP. */
  readonly opcode?: number
}

const option = (code: number, hex = ''): Option => ({ code, data: Buffer.from(hex, 'hex') })
const NSID = option(3)
const ECS = option(8, '00010000')
const EXPIRE = option(9)
const COOKIE = option(10, '0102030405060708')
const KEEPALIVE = option(11)
const UNKNOWN = option(100)
const edns = (...options: Option[]): Partial<Edns> => ({ size: 4096, options })
const edns1 = (...options: Option[]): Partial<Edns> => ({ ...edns(...options), version: 1 })

/** Types that a server need not know to say that there is no such data. */
const TYPES = [
  'A NS MD MF CNAME SOA MB MG MR NULL WKS PTR HINFO MINFO MX TXT RP AFSDB TYPE19 TYPE20 RT TYPE22',
  'TYPE23 SIG KEY PX GPOS AAAA LOC SRV NAPTR KX CERT DNAME APL DS SSHFP TYPE45 RRSIG NSEC DNSKEY',
  'TYPE49 NSEC3 TYPE51 TLSA TYPE53 TYPE55 TYPE56 TYPE58 TYPE59 TYPE60 TYPE61 TYPE62 SVCB HTTPS SPF',
  'TYPE104 TYPE105 TYPE106 TYPE107 TYPE108 TYPE109 URI CAA TYPE258 TYPE259 TYPE666 TYPE32768',
  'TYPE32769 TYPE65279',
].flatMap(line => line.split(' '))

const ROWS: readonly Row[] = [
  { says: 'plain' },
  ...(['aa', 'ad', 'cd', 'ra', 'tc', 'z'] as const).map(flag => ({
    says: `${flag.toUpperCase()} set`,
    flags: [flag],
  })),
  ...[1, 2, 3, 4, 5, 6, 15].map(opcode => ({ says: `opcode ${opcode}`, opcode })),
  {
    says: 'opcode 15, every bit set',
    opcode: 15,
    flags: ['aa', 'tc', 'rd', 'ra', 'z', 'ad', 'cd'],
  },
  { says: 'opcode 15 with OPT', opcode: 15, edns: edns() },
  { says: 'opcode 4 with OPT and an option', opcode: 4, edns: edns(NSID) },
  { says: 'EDNS 0', edns: edns() },
  { says: 'EDNS 1', edns: edns1() },
  { says: 'EDNS 255', edns: { ...edns(), version: 255 } },
  { says: 'a small buffer, a large answer', type: 'TXT', edns: { size: 512, dnssecOk: true } },
  { says: 'no EDNS, a large answer', type: 'TXT' },
  { says: 'a buffer of 0', type: 'TXT', edns: { size: 0 } },
  { says: 'DNSKEY, 512 octets', type: 'DNSKEY', edns: { size: 512, dnssecOk: true } },
  { says: 'an unknown option', edns: edns(UNKNOWN) },
  { says: 'EDNS 1, an unknown option', edns: edns1(UNKNOWN) },
  { says: 'an unknown flag', edns: edns(), ednsFlags: 0x0080 },
  { says: 'all unknown flags', edns: edns(), ednsFlags: 0x7fff },
  { says: 'all unknown flags and DO', edns: { ...edns(), dnssecOk: true }, ednsFlags: 0x7fff },
  { says: 'EDNS 1, an unknown flag', edns: edns1(), ednsFlags: 0x0080 },
  { says: 'DO', edns: { ...edns(), dnssecOk: true } },
  { says: 'DO and CD', flags: ['cd'], edns: { ...edns(), dnssecOk: true } },
  { says: 'EDNS 1, DO', edns: { ...edns1(), dnssecOk: true } },
  { says: 'EDNS 1, AD and CD', flags: ['ad', 'cd'], edns: edns1() },
  { says: 'four options', edns: edns(NSID, ECS, EXPIRE, COOKIE) },
  { says: 'every option twice', edns: edns(NSID, NSID, ECS, ECS, COOKIE, COOKIE) },
  ...Object.entries({ NSID, ECS, EXPIRE, COOKIE, KEEPALIVE }).flatMap(([says, one]) => [
    { says, edns: edns(one) },
    { says: `EDNS 1, ${says}`, edns: edns1(one) },
  ]),
  { says: 'COOKIE, AD and DO', flags: ['ad'], edns: { ...edns(COOKIE), dnssecOk: true } },
  ...TYPES.map(type => ({ says: `type ${type}`, type })),
  ...['A', 'TYPE666'].map(type => ({ says: `type ${type} with OPT`, type, edns: edns() })),
]

/** Where the OPT of a message with one begins: it is the last record. */
const optAt = (b: Buffer, options: readonly Option[]): number =>
  b.length - 11 - options.reduce((sum, { data }) => sum + 4 + data.length, 0)

const queryOf = (row: Row, name: string, recursive: boolean): Buffer => {
  const { opcode = 0, flags = [] } = row
  const id = nextId()
  const asked = encode({
    id,
    flags: [...(recursive ? (['rd'] as const) : []), ...flags],
    opcode,
    questions: opcode === 0 ? [{ name, type: row.type ?? 'SOA', class: 'IN' }] : [],
    edns: row.edns,
  })
  if (row.ednsFlags !== undefined) {
    const at = optAt(asked, row.edns?.options ?? []) + 7
    asked.writeUInt16BE(asked.readUInt16BE(at) | row.ednsFlags, at)
  }
  return asked
}

/** What is wrong with a reply, in the words of the rules; 'ok' if nothing is. */
const judge = (
  row: Row,
  raw: Buffer | undefined,
  { recursive, tcp }: { recursive: boolean; tcp: boolean },
): string => {
  if (!raw) return 'timeout'
  let m: Message
  try {
    m = decode(raw)
  } catch (er) {
    return `malformed: ${String(er)}`
  }
  const { opcode = 0, flags = [] } = row
  const version = row.edns?.version ?? 0
  const options = m.edns?.options ?? []
  const rcode = opcode > 0 ? 4 : version > 0 ? 16 : 0
  const dnssecOk = row.edns?.dnssecOk ?? false
  const isSoa = opcode === 0 && (row.type ?? 'SOA') === 'SOA'
  const seesSoa = m.answers.some(r => r.type === 'SOA')
  const answered = opcode === 0 && version === 0
  const most = tcp ? 65_535 : Math.min(1232, Math.max(512, row.edns?.size ?? 512))
  const echoed = (wanted: boolean, name: Flags): string =>
    m[name] && !wanted ? name : !m[name] && wanted ? `no ${name}` : ''
  const faults = [
    m.qr ? '' : 'no qr',
    m.opcode === opcode ? '' : `opcode ${m.opcode}`,
    m.rcode === rcode ? '' : `rcode ${m.rcode}`,
    opcode > 0 && m.questions.length + m.answers.length + m.authority.length > 0 ? 'a body' : '',
    opcode === 0 && m.questions.length !== 1 ? 'no question' : '',
    m.edns && m.edns.version !== 0 ? 'version not 0' : '',
    m.edns && !row.edns ? 'opt' : '',
    !m.edns && row.edns ? 'no opt' : '',
    m.edns && (raw.readUInt16BE(optAt(raw, options) + 7) & 0x7fff) !== 0 ? 'mbz' : '',
    row.edns && m.edns?.dnssecOk !== dnssecOk ? 'do' : '',
    isSoa && answered && !m.tc && !seesSoa ? 'no soa' : '',
    seesSoa && !answered ? 'soa' : '',
    // Authority is for what is ours, and bits other than the opcode are for queries.
    answered && !recursive ? echoed(true, 'aa') : echoed(false, 'aa'),
    echoed(opcode === 0, 'ra'),
    echoed(opcode === 0 && recursive, 'rd'),
    echoed(false, 'ad'),
    echoed(answered && flags.includes('cd'), 'cd'),
    echoed(false, 'z'),
    m.tc && (tcp || raw.length > most) ? 'tc' : '',
    raw.length > most ? `too big: ${raw.length}` : '',
    // NSID and keepalive are for those who ask, an extended error is for errors; nothing else is ever sent.
    ...options.map(({ code }) =>
      code === 3 || code === 11 || (code === 15 && m.rcode !== 0) ? '' : `option ${code}`,
    ),
    version === 0 && opcode === 0 && row.edns?.options?.includes(NSID)
      ? options.filter(o => o.code === 3).length === 1
        ? ''
        : 'no nsid'
      : options.some(o => o.code === 3)
        ? 'nsid'
        : '',
    !tcp && options.some(o => o.code === 11) ? 'keepalive over UDP' : '',
  ].filter(Boolean)
  return faults.join(', ') || 'ok'
}

const report = async (at: At, name: string, recursive: boolean): Promise<string[]> => {
  const lines: string[] = []
  for (const row of ROWS) {
    for (const tcp of [false, true]) {
      const raw = await exchange(at, queryOf(row, name, recursive), { tcp })
      lines.push(`${row.says}, ${tcp ? 'TCP' : 'UDP'}: ${judge(row, raw, { recursive, tcp })}`)
    }
  }
  return lines
}

t.test('a compliance checker says ok in every row', async t => {
  const text = 'x'.repeat(250)
  const up = await upstream(t, [
    SOA('example.org. 300 ns.example.org. root.example.org. 1 60 600 86400 120'),
    A('example.org. 300 203.0.113.1'),
    ...Array.from({ length: 8 }, (_, i) => TXT(`example.org. 300 "${i} ${text}"`)),
  ])
  const d = await daemon(t, { upstreams: [up.name] })
  for (const [says, name, recursive] of [
    ['a zone of ours, RD=0', 'thisdcos.directory', false],
    ['a name that is forwarded, RD=1', 'example.org', true],
  ] as const) {
    const lines = await report(d.at, name, recursive)
    t.equal(lines.length, ROWS.length * 2)
    t.same(
      lines.filter(line => !line.endsWith(': ok')),
      [],
      says,
    )
  }
  const cut = decode(
    (await exchange(
      d.at,
      encode({
        id: 9,
        flags: ['rd'],
        questions: [{ name: 'example.org', type: 'TXT', class: 'IN' }],
      }),
    ))!,
  )
  t.ok(cut.tc, 'the large answer is cut over UDP')
  t.equal(d.stray, '', 'nothing on stderr')
})

t.test('a checker that finds faults', async t => {
  const plain = ROWS[0]!
  const how = { recursive: true, tcp: false }
  const reply = headerBytes(1, ['qr', 'ra', 'z', 'aa'], 0, 2, [0, 0, 0, 0])
  t.equal(judge(plain, undefined, how), 'timeout')
  t.match(judge(plain, Buffer.alloc(5), how), /^malformed/)
  t.equal(judge(plain, reply, how), 'rcode 2, no question, no soa, aa, no rd, z')
})
