/**
 * Checks what is stored in the cache for any possible reply: it is well formed for a strict decoder, contains only
 * records of the reply, and its TTLs are at the listed offsets.
 */
import t from 'tap'
import { classify } from '../../../src/data/forward/classify.ts'
import { prepare } from '../../../src/data/forward/prepare.ts'
import { Records, scan } from '../../../src/wire/scan.ts'
import {
  countLies,
  goodReplies,
  mutations,
  optLies,
  pointerReplies,
  rdlengthLies,
  type Odd,
} from '../../fixture/mutate.ts'
import { META } from '../../fixture/fill.ts'
import { packets } from '../../fixture/packets.ts'
import { seedOr } from '../../fixture/random.ts'
import { line } from '../../fixture/rr.ts'
import { decode, type Message } from '../../fixture/wire.ts'

const seed = seedOr(31)
const ROUNDS = 40_000

function* replies(): Generator<Odd> {
  const good = [
    ...goodReplies(),
    ...packets('replies').map(p => p.bytes),
    ...packets('odd').map(p => p.bytes),
    ...packets('mesos-dns').map(p => p.bytes),
  ]
  yield* packets()
  yield* pointerReplies()
  yield* rdlengthLies()
  yield* optLies('reply')
  for (const bytes of goodReplies()) yield* countLies(bytes)
  const more = mutations(
    seed,
    good.filter(b => b.length > 11),
  )
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = more.next().value as Buffer
    yield { says: `seed ${seed}, mutation ${n}: ${bytes.toString('hex')}`, bytes }
  }
}

const records = (m: Message): string[] =>
  [...m.answers, ...m.authority, ...m.additional].map(r =>
    // Compression may use another spelling of the same name (RFC 4343).
    line({ ...r, ttl: 0 }).toLowerCase(),
  )

t.test('whatever is kept of a reply is well formed and was in the reply', async t => {
  const r = new Records()
  let kept = 0
  let positive = 0
  for (const { says, bytes } of replies()) {
    if (bytes.length < 12) continue
    const b = Buffer.from(bytes)
    // The exchange has checked this before: a response to one question.
    if ((b[2]! & 0xf8) !== 0x80 || !scan(b, b.length, r) || r.questionEnd === 12) continue
    const is = classify(b, r, true)
    if (is.kind === 'soft' || is.kind === 'truncated') continue
    const fill = prepare(b, r, is.keep, is.whole, META)
    if (!fill) continue
    kept++
    const wire = Buffer.from(fill.wire.subarray(0, fill.length))
    let m: Message
    try {
      m = decode(wire, { opaque: true })
    } catch (er) {
      t.fail(`${er}: ${says}`)
      continue
    }
    if (m.edns || m.tc || m.z || m.aa || m.ad || !m.qr || !m.ra || m.questions.length !== 1)
      t.fail(`flags: ${says}`)
    if (fill.ttls.length !== records(m).length)
      t.fail(`${fill.ttls.length} TTLs for ${records(m).length} records: ${says}`)
    // After writing a TTL at the offsets, every record has it, and nothing else has changed.
    for (const at of fill.ttls) wire.writeUInt32BE(7, at)
    const aged = decode(wire, { opaque: true })
    if (![...aged.answers, ...aged.authority, ...aged.additional].every(x => x.ttl === 7))
      t.fail(`TTL offsets: ${says}`)
    if (records(aged).join('\n') !== records(m).join('\n')) t.fail(`TTL offsets: ${says}`)
    if (is.kind === 'positive') {
      positive++
      const types = new Set([m.questions[0]!.type, 'CNAME', 'DNAME', 'RRSIG'])
      if (!types.has('ANY') && !m.answers.some(a => types.has(a.type)))
        t.fail(`positive without an answer: ${says}`)
    }
    try {
      const before = new Set(records(decode(bytes)))
      const unknown = records(decode(Buffer.from(fill.wire.subarray(0, fill.length)))).filter(
        one => !before.has(one),
      )
      if (unknown.length > 0) t.fail(`was not in the reply: ${unknown.join(', ')}: ${says}`)
    } catch {
      // The decoder refuses this rdata, or there are octets after the end; the first check still applies.
    }
  }
  t.ok(kept > 5_000, `${kept} kept, ${positive} of them positive`)
})
