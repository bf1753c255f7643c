/**
 * What an upstream says over TCP, TLS and HTTPS, through the whole resolver.
 * Over a stream nobody else can have sent it, and nothing better will come.
 */
import t from 'tap'
import type { Answer } from 'dns-packet'
import type { UpstreamSpec } from '../../../src/boundary/messages.ts'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import { a, nxdomain, Plane, positive, response, snapshotOf } from '../../fixture/bench-plane.ts'

const NAME = 'www.example.org'
const specs: UpstreamSpec[] = [
  { protocol: 'tcp', address: '192.0.2.53', port: 53, slot: 9 },
  { protocol: 'tls', address: '192.0.2.53', port: 853, slot: 9 },
  { protocol: 'https', url: 'https://192.0.2.53/dns-query', slot: 9 },
]
const opt = (extended = 0): Answer => ({
  name: '.',
  type: 'OPT',
  udpPayloadSize: 1232,
  extendedRcode: extended,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
})

type Say = (question: Buffer) => Buffer
const changed =
  (say: Say, change: (b: Buffer) => void): Say =>
  question => {
    const b = Buffer.from(say(question))
    change(b)
    return b
  }

/** A resolver whose only upstream says what `say` does, and the questions that it got. */
const over = async (spec: UpstreamSpec, say: Say): Promise<{ p: Plane; asked: Buffer[] }> => {
  const asked: Buffer[] = []
  const rest = { ...snapshotOf().rest, upstreams: [spec] } as never
  const p = await Plane.create(snapshotOf({ rest }), {
    overStream: async (_upstream, question) => {
      asked.push(Buffer.from(question))
      return say(question)
    },
  })
  return { p, asked }
}
const settled = async (): Promise<void> => {
  for (let i = 0; i < 4; i++) await new Promise(setImmediate)
}
const hasOpt = (question: Buffer | undefined): boolean => question?.[11] === 1

const good = positive(NAME, '203.0.113.1')
const ROWS: [title: string, say: Say, rcode: number][] = [
  ['an answer', good, 0],
  ['an answer with OPT', response({ answers: [a(NAME, '203.0.113.1')], additionals: [opt()] }), 0],
  ['NXDOMAIN', nxdomain(NAME), 3],
  ['the question itself, QR=0', question => Buffer.from(question), 2],
  ['an answer with QR=0', changed(good, b => (b[2]! &= 0x7f)), 2],
  ['another opcode', changed(good, b => (b[2]! |= 0x20)), 2],
  ['another name', changed(good, b => (b[13] = 0x78)), 2],
  ['another type', changed(good, b => b.writeUInt16BE(28, 12 + NAME.length + 2)), 2],
  ['truncation', response({ tc: true, answers: [a(NAME, '203.0.113.1')] }), 2],
  ['half a record', question => good(question).subarray(0, -5), 2],
  ['no message', () => Buffer.from('<html>'), 2],
  [
    'a header alone, NOERROR',
    question => changed(good, b => b.fill(0, 4))(question).subarray(0, 12),
    2,
  ],
]

t.test('one response over a stream', async t => {
  for (const spec of specs)
    for (const [title, say, rcode] of ROWS) {
      const { p } = await over(spec, say)
      const given = p.ask(NAME)
      await settled()
      t.equal(given[0] && rcodeOf(given[0].entry), rcode, `${spec.protocol}: ${title}`)
      if (rcode === 2) t.ok(given[0]!.entry.ede >= 0, `${spec.protocol}: ${title}: it says why`)
    }
})

t.test('every RCODE over a stream, with OPT and without', async t => {
  for (const spec of specs) {
    let say: Say = good
    const { p } = await over(spec, question => say(question))
    const wrong: string[] = []
    for (let rcode = 1; rcode < 4096; rcode += rcode < 64 ? 1 : 53)
      for (const withOpt of rcode < 16 ? [true, false] : [true]) {
        const name = `n${rcode}-${withOpt}.example.org`
        say = response({ rcode: rcode & 15, additionals: withOpt ? [opt(rcode >> 4)] : [] })
        const given = p.ask(name)
        await settled()
        const wanted = rcode === 3 || rcode === 6 ? rcode : 2
        const { entry } = given[0]!
        if (rcodeOf(entry) !== wanted || entry.bytes[entry.at + 3] !== (0x80 | wanted))
          wrong.push(`${spec.protocol} ${rcode} ${withOpt}: ${rcodeOf(entry)}`)
      }
    t.same(wrong, [])
  }
})

t.test('that EDNS is lacking is learnt over a stream as over UDP', async t => {
  for (const spec of specs) {
    let refuses: (question: Buffer) => boolean = () => true
    const { p, asked } = await over(spec, question => {
      if (refuses(question)) return response({ rcode: 1 })(question)
      const name = question.toString('latin1', 13, 13 + question[12]!)
      return positive(`${name}.example.org`, '203.0.113.1')(question)
    })
    p.ask('a.example.org')
    await settled()
    t.same(asked.map(hasOpt), [true, false], `${spec.protocol}: asked again without`)
    refuses = hasOpt
    const given = p.ask('b.example.org')
    await settled()
    t.same(asked.slice(2).map(hasOpt), [true, false], 'the retry had failed: nothing was learnt')
    t.equal(rcodeOf(given[0]!.entry), 0)
    p.ask('c.example.org')
    await settled()
    t.same(asked.slice(4).map(hasOpt), [false], 'learnt from the answer')
    const signed = p.ask('d.example.org', 'A', { dnssecOk: true })
    await settled()
    t.equal(rcodeOf(signed[0]!.entry), 2, 'an answer without OPT does not pass for unsigned')
  }
})
